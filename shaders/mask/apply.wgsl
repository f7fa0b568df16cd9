// out[i] = x[i] where the mask keeps it, else 0
//
// Workgroup:  WG_X words of the mask.
// Invocation: a word: 32 elements.
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
    let group = workgroup_index(id, count);
    let word = group * WG_X + lane;
    if group >= params.workgroups || word >= params.words {
        return;
    }
    let kept = mask_load(word);
    for (var i = 0u; i < min(params.total - 32u * word, 32u); i++) {
        let at = 32u * word + i;
        out_store(at, select(Elem(0), x_load(at), ((kept >> i) & 1u) == 1u));
    }
}
