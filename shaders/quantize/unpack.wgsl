// out[row, column] = values[row, column], PER_WORD columns to a word before, a byte each after
//
// Workgroup:  WG_X * run words of the output.
// Invocation: every WG_X-th of them: four bytes each, which may be of two rows.
// Dispatch:   ceil(words / (WG_X * run)) workgroups, folded.
// Edges:      what the last word holds behind the output stays.
struct Params {
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
