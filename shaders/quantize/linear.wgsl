// out[i] = clamp(round(x[i] / scale) + zero), a byte each
//
// Workgroup:  WG_X * run words of the output.
// Invocation: every WG_X-th of them: four elements each.
// Dispatch:   ceil(words / (WG_X * run)) workgroups, folded.
// Edges:      what the last word holds behind the output stays.
struct Params {
    total: u32, // elements
}

fn one(word: u32) {
    let numbers = bitcast<vec4<u32>>(Wide(x_load(x_begin(0u, params.total), word)));
    var bytes = 0u;
    // unroll
    for (var c = 0u; c < 4u; c++) {
        if 4u * word + c < params.total {
            let group = group_of(4u * word + c);
            bytes |= saturated(numbers[c], scales_load(group), zeros_load(group)) << (8u * c);
        }
    }
    out_store(word, bytes);
}
