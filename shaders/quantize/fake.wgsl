// out[i] = (clamp(round(x[i] / scale) + zero) - zero) * scale
//
// Workgroup:  WG_X * run fours of elements.
// Invocation: every WG_X-th of them.
// Dispatch:   ceil(words / (WG_X * run)) workgroups, folded.
struct Params {
    total: u32, // elements
}

fn one(word: u32) {
    let numbers = bitcast<vec4<u32>>(Wide(x_load(x_begin(0u, params.total), word)));
    var kept = vec4<f32>();
    // unroll
    for (var c = 0u; c < 4u; c++) {
        if 4u * word + c < params.total {
            let group = group_of(4u * word + c);
            let scale = scales_load(group);
            let zero = zeros_load(group);
            kept[c] = f32(level(saturated(numbers[c], scale, zero), 0u) - zero) * bitcast<f32>(scale);
        }
    }
    out_store(out_begin(0u, params.total), word, vec4<Elem>(kept));
}
