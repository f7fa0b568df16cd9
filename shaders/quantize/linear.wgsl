// out[i] = clamp(round(x[i] / scale) + zero), a byte each
//
// Workgroup:  WG_X * run words of the output.
// Invocation: every WG_X-th of them: four elements each.
// Dispatch:   ceil(words / (WG_X * run)) workgroups, folded.
// Edges:      what the last word holds behind the output stays.
struct Params {
    workgroups: u32,
    run: u32, // words of an invocation
    words: u32,
    total: u32, // elements
}

fn one(word: u32) {
    var bytes = 0u;
    for (var i = 0u; i < min(params.total - 4u * word, 4u); i++) {
        let at = 4u * word + i;
        let group = group_of(at);
        bytes |= saturated(x_load(at), scales_load(group), zeros_load(group)) << (8u * i);
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
