// out[row, column] = values[row, column], PER_WORD columns to a word before, a byte each after
//
// Workgroup:  WG_X * run words of the output.
// Invocation: every WG_X-th of them: four bytes each, which may be of two rows.
// Dispatch:   ceil(words / (WG_X * run)) workgroups, folded.
// Edges:      what the last word holds behind the output stays.
struct Params {
    workgroups: u32,
    run: u32, // words of an invocation
    words: u32,
    total: u32, // elements
    columns: u32,
    pitch: u32, // words of a row
}

fn one(word: u32) {
    var bytes = 0u;
    for (var i = 0u; i < min(params.total - 4u * word, 4u); i++) {
        let at = 4u * word + i;
        let column = at % params.columns;
        let kept = values_load(at / params.columns * params.pitch + column / PER_WORD);
        bytes |= (u32(level(kept, column % PER_WORD)) & 255u) << (8u * i);
    }
    out_store(word, bytes);
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = workgroup_index(id, count);
    if number >= params.workgroups {
        return;
    }
    for (var i = 0u; i < params.run; i++) {
        let word = (number * params.run + i) * WG_X + lane;
        if word < params.words {
            one(word);
        }
    }
}
