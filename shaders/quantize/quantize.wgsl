// values[row, column] = clamp(round(x[row, column] / scale) + zero), PER_WORD columns to a word
//
//     x  f f f f | f f f f | f f        rows lie side by side
//           |         |       |
//     v   word      word     word .     words of a row, zero bits beyond its end
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
    let column = (word - row * params.pitch) * PER_WORD;
    let start = row * params.columns;
    var bits = 0u;
    if column < params.columns {
        let source = x_begin(start, params.columns);
        var group = word_group(start + column, row, column);
        var scale = scales_load(group);
        var zero = zeros_load(group);
        for (var q = 0u; q < PER_WORD / 4u; q++) {
            if column + 4u * q < params.columns {
                let numbers = bitcast<vec4<u32>>(Wide(x_load(source, column / 4u + q)));
                // unroll
                for (var c = 0u; c < 4u; c++) {
                    let i = 4u * q + c;
                    if column + i < params.columns {
                        // A word is of one group, but where these are those of an axis beside the first.
                        if !SHARED {
                            group = group_of(start + column + i);
                            scale = scales_load(group);
                            zero = zeros_load(group);
                        }
                        bits |= saturated(numbers[c], scale, zero) << (BITS * i);
                    }
                }
            }
        }
    }
    out_store(word, bits);
}
