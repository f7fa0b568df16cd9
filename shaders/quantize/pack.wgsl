// values[row, column] = x[row, column], a byte each before, PER_WORD columns to a word after
//
// Workgroup:  WG_X * run words.
// Invocation: every WG_X-th of them.
// Dispatch:   ceil(words / (WG_X * run)) workgroups, folded.
// Edges:      words beyond a row are 0.
struct Params {
    columns: u32,
    pitch: u32, // words of a row
}

fn one(word: u32) {
    let row = word / params.pitch;
    let column = min((word - row * params.pitch) * PER_WORD, params.columns);
    let first = row * params.columns + column;
    let length = min(params.columns - column, PER_WORD);
    var bits = 0u;
    for (var i = 0u; i < length; i++) {
        let byte = x_load(first + i);
        // Of binary values -1 is 0; others keep their lowest bits.
        let kept = select(byte & (0xffffffffu >> (32u - BITS)), select(0u, 1u, byte == 1u), BITS == 1u);
        bits |= kept << (BITS * i);
    }
    out_store(word, bits);
}
