// values[row, column] = x[row, column], a byte each before, PER_WORD columns to a word after
//
// Workgroup:  WG_X words.
// Invocation: a word.
// Dispatch:   ceil(words / WG_X) workgroups, folded.
// Edges:      words beyond a row are 0.
struct Params {
    workgroups: u32,
    words: u32,
    columns: u32,
    pitch: u32, // words of a row
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = workgroup_index(id, count);
    let word = number * WG_X + lane;
    if number >= params.workgroups || word >= params.words {
        return;
    }
    let column = min(word % params.pitch * PER_WORD, params.columns);
    let first = word / params.pitch * params.columns + column;
    let length = min(params.columns - column, PER_WORD);
    var bits = 0u;
    for (var i = 0u; i < length; i++) {
        let byte = x_load(first + i);
        // -1 is 0, all else of its lowest bits.
        let kept = select(byte & (0xffffffffu >> (32u - BITS)), select(0u, 1u, byte < 128u), BITS == 1u);
        bits |= kept << (BITS * i);
    }
    out_store(word, bits);
}
