// out = a bit for each block of a matrix of bits: whether any of its own is set
//
// Workgroup:  WG_X words of the output.
// Invocation: a word: 32 blocks of `height` by `width`, those of a row of blocks one after the other.
// Dispatch:   ceil(words / WG_X) workgroups, folded.
// Edges:      the last blocks of rows and columns may be smaller.
struct Params {
    workgroups: u32,
    words: u32,
    total: u32, // blocks
    across: u32, // blocks of a row of them
    rows: u32,
    columns: u32,
    height: u32,
    width: u32, // at most 32
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = workgroup_index(id, count);
    let word = group * WG_X + lane;
    if group >= params.workgroups || word >= params.words {
        return;
    }
    var bits = 0u;
    for (var i = 0u; i < min(params.total - 32u * word, 32u); i++) {
        let block = 32u * word + i;
        let column = block % params.across * params.width;
        let first = block / params.across * params.height;
        var any = 0u;
        for (var row = first; row < min(first + params.height, params.rows); row++) {
            any |= mask_span(row * params.columns + column, min(params.width, params.columns - column));
        }
        bits |= select(0u, 1u << i, any != 0u);
    }
    out_store(word, bits);
}
