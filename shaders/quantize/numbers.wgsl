// out[i] = (x[i] - zero) * scale, of bytes
//
// Workgroup:  WG_X * run fours of elements.
// Invocation: every WG_X-th of them.
// Dispatch:   ceil(words / (WG_X * run)) workgroups, folded.
struct Params {
    total: u32, // elements
}

fn one(word: u32) {
    var numbers = vec4<f32>();
    // unroll
    for (var c = 0u; c < 4u; c++) {
        let at = 4u * word + c;
        if at < params.total {
            let group = group_of(at);
            numbers[c] = f32(level(x_load(at), 0u) - zeros_load(group)) * bitcast<f32>(scales_load(group));
        }
    }
    out_store(out_begin(0u, params.total), word, vec4<Elem>(numbers));
}
