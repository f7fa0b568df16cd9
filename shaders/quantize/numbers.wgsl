// out[i] = (x[i] - zero) * scale, of bytes
//
// Workgroup:  WG_X * run fours of elements.
// Invocation: every WG_X-th of them.
// Dispatch:   ceil(words / (WG_X * run)) workgroups, folded.
struct Params {
    workgroups: u32,
    run: u32, // words of an invocation
    words: u32,
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
