// out = mask without the scores whose key is at most the one found
//
// Workgroup:  WG_X words of the mask.
// Invocation: a word: 32 scores.
// Dispatch:   ceil(words / WG_X) workgroups, folded.
struct Params {
    workgroups: u32,
    words: u32,
    total: u32, // scores
    first: u32, // index of the first score
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
    let last = vec2(state_load(0u), state_load(1u));
    let bits = min(params.total - 32u * word, 32u);
    var kept = mask_load(word) & (0xffffffffu >> (32u - bits));
    for (var i = 0u; i < bits; i++) {
        let at = 32u * word + i;
        let magnitude = bitcast<u32>(f32(scores_load(at))) & 0x7fffffffu;
        if magnitude < last.x || (magnitude == last.x && params.first + at <= last.y) {
            kept &= ~(1u << i);
        }
    }
    out_store(word, kept);
}
