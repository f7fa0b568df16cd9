// out = the values of a matrix that its mask keeps, row by row; codes = its bits, 32 of a row to a word; ranks = values before each word
//
// Workgroup:  WG_X rows.
// Invocation: a row.
// Dispatch:   ceil(rows / WG_X) workgroups, folded.
struct Params {
    workgroups: u32,
    rows: u32,
    columns: u32,
    words: u32, // of a row
    entries: u32, // values in all
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
    for (var word = 0u; word < params.words; word++) {
        let first = row * params.columns + 32u * word;
        var bits = mask_span(first, min(params.columns - 32u * word, 32u));
        codes_store(row * params.words + word, bits);
        ranks_store(row * params.words + word, entry);
        while bits != 0u && entry < params.entries {
            out_store(entry, x_load(first + firstTrailingBit(bits)));
            bits &= bits - 1u;
            entry += 1u;
        }
    }
}
