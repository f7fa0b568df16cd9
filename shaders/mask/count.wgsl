// out[row] = the number of bits set in a row
//
// Workgroup:  WG_X rows.
// Invocation: a row.
// Dispatch:   ceil(rows / WG_X) workgroups, folded.
struct Params {
    workgroups: u32,
    rows: u32,
    columns: u32,
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = workgroup_index(id, count);
    let row = group * WG_X + lane;
    if group >= params.workgroups || row >= params.rows {
        return;
    }
    var counted = 0u;
    for (var column = 0u; column < params.columns; column += 32u) {
        counted += countOneBits(mask_span(row * params.columns + column, min(params.columns - column, 32u)));
    }
    out_store(row, counted);
}
