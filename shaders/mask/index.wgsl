// out[pointers[row] ..] = the columns of the bits set in a row, ascending, then `columns` up to pointers[row + 1]
//
// Workgroup:  WG_X rows.
// Invocation: a row.
// Dispatch:   ceil(rows / WG_X) workgroups, folded.
struct Params {
    workgroups: u32,
    rows: u32,
    columns: u32,
    total: u32, // entries
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
    var entry = pointers_load(row);
    let end = min(pointers_load(row + 1u), params.total);
    for (var column = 0u; column < params.columns; column += 32u) {
        var bits = mask_span(row * params.columns + column, min(params.columns - column, 32u));
        while bits != 0u && entry < end {
            out_store(entry, column + firstTrailingBit(bits));
            bits &= bits - 1u;
            entry += 1u;
        }
    }
    while entry < end {
        out_store(entry, params.columns);
        entry += 1u;
    }
}
