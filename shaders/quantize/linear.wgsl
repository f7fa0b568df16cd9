// out[i] = clamp(round(x[i] / scale) + zero), a byte each
//
// Workgroup:  WG_X words of the output.
// Invocation: a word: four elements.
// Dispatch:   ceil(words / WG_X) workgroups, folded.
// Edges:      what the last word holds behind the output stays.
struct Params {
    workgroups: u32,
    words: u32,
    total: u32, // elements
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = workgroup_index(id, count);
    let word = number * WG_X + lane;
    if number >= params.workgroups || word >= params.words {
        return;
    }
    var bytes = 0u;
    for (var i = 0u; i < min(params.total - 4u * word, 4u); i++) {
        let at = 4u * word + i;
        let group = group_of(at);
        bytes |= saturated(x_load(at), scales_load(group), zeros_load(group)) << (8u * i);
    }
    out_store(word, bytes);
}
