// out = a bit for each value that is NaN
//
// Workgroup:  WG_X words of the mask.
// Invocation: a word: 32 values.
// Dispatch:   ceil(words / WG_X) workgroups, folded.
struct Params {
    workgroups: u32,
    words: u32,
    total: u32, // values
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = workgroup_index(id, count);
    let word = group * WG_X + lane;
    if group >= params.workgroups || word >= params.words {
        return;
    }
    var bits = 0u;
    for (var i = 0u; i < min(params.total - 32u * word, 32u); i++) {
        let magnitude = bitcast<u32>(f32(x_load(32u * word + i))) & 0x7fffffffu;
        bits |= select(0u, 1u << i, magnitude > 0x7f800000u);
    }
    out_store(word, bits);
}
