// out = mask without the elements whose group is pruned
//
// The elements lie as (outer, middle, inner); the group of one is middle / middle_block * stride + inner / inner_block: slices along an
// axis, or blocks of a matrix.
//
// Workgroup:  WG_X words of the mask.
// Invocation: a word: 32 elements.
// Dispatch:   ceil(words / WG_X) workgroups, folded.
struct Params {
    workgroups: u32,
    words: u32,
    total: u32, // elements
    middle: u32, // sizes of the two last dimensions
    inner: u32,
    middle_block: u32,
    inner_block: u32,
    stride: u32,
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
    let bits = min(params.total - 32u * word, 32u);
    var kept = mask_load(word) & (0xffffffffu >> (32u - bits));
    for (var i = 0u; i < bits; i++) {
        let at = 32u * word + i;
        let middle = at / params.inner % params.middle;
        if !groups_bit(middle / params.middle_block * params.stride + at % params.inner / params.inner_block) {
            kept &= ~(1u << i);
        }
    }
    out_store(word, kept);
}
