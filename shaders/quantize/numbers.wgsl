// out[i] = (x[i] - zero) * scale, of bytes
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
        let x = level(x_load(at), 0u);
        out_store(at, Elem(f32(x - zeros_load(group)) * bitcast<f32>(scales_load(group))));
    }
}
