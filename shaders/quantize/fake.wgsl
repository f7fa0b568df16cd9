// out[i] = (clamp(round(x[i] / scale) + zero) - zero) * scale
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
    for (var i = 0u; i < min(params.total - 4u * word, 4u); i++) {
        let at = 4u * word + i;
        let group = group_of(at);
        let scale = scales_load(group);
        let zero = zeros_load(group);
        let kept = level(saturated(x_load(at), scale, zero), 0u);
        out_store(at, Elem(f32(kept - zero) * bitcast<f32>(scale)));
    }
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
