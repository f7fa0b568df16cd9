// out[row, column] = (values[row, column] - zero) * scale
//
// Workgroup:  WG_X * run words of values.
// Invocation: every WG_X-th of them: PER_WORD elements of a row each.
// Dispatch:   ceil(words / (WG_X * run)) workgroups, folded.
// Edges:      what a word holds beyond its row is left out.
struct Params {
    columns: u32,
    pitch: u32, // words of a row
}

fn one(word: u32) {
    let row = word / params.pitch;
    let column = (word - row * params.pitch) * PER_WORD;
    if column >= params.columns {
        return;
    }
    let start = row * params.columns;
    let bits = values_load(word);
    let target_row = out_begin(start, params.columns);
    var group = word_group(start + column, row, column);
    var scale = bitcast<f32>(scales_load(group));
    var zero = zeros_load(group);
    for (var q = 0u; q < PER_WORD / 4u; q++) {
        if column + 4u * q < params.columns {
            var numbers = vec4<f32>();
            // unroll
            for (var c = 0u; c < 4u; c++) {
                if !SHARED {
                    group = group_of(start + column + 4u * q + c);
                    scale = bitcast<f32>(scales_load(group));
                    zero = zeros_load(group);
                }
                numbers[c] = f32(level(bits, 4u * q + c) - zero) * scale;
            }
            out_store(target_row, column / 4u + q, vec4<Elem>(numbers));
        }
    }
}
