// out[i] = (clamp(round(x[i] / scale) + zero) - zero) * scale
//
// Workgroup:  WG_X fours of elements.
// Invocation: four elements.
// Dispatch:   ceil(words / WG_X) workgroups, folded.
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
    for (var i = 0u; i < min(params.total - 4u * word, 4u); i++) {
        let at = 4u * word + i;
        let group = group_of(at);
        let scale = scales_load(group);
        let zero = zeros_load(group);
        let kept = level(saturated(x_load(at), scale, zero), 0u);
        out_store(at, Elem(f32(kept - zero) * bitcast<f32>(scale)));
    }
}
