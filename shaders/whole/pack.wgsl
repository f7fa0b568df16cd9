// words[batch, outer, w] = the codes of PER_WORD neighbours along k, the first in the lowest bits; beyond k lie zero bits
//
// Puts an operand of whole numbers into words along k, wherever its values lie: bytes, signs of floats, bits.
//
// Workgroup:  WG_X words.
// Invocation: a word: PER_WORD loads of a code.
// Dispatch:   ceil(items / WG_X) workgroups, folded; neighbours write neighbouring words.
// Memory:     none.
// Edges:      k is clamped when loading; what lies beyond is 0.
// Bounds:     items beyond the last are left out; the loader gets an index below batch, outer and k, and the words' places are strides times
//             indices below those that the host has checked.
struct Params {
    workgroups: u32,
    items: u32, // batch * outer * words
    outer: u32,
    words: u32, // of a row
    k: u32,
    batch_1: u32, // sizes of the last two batch dimensions
    batch_2: u32,
    to_0: u32, // strides of the words
    to_1: u32,
    to_2: u32,
    to_outer: u32,
    to_word: u32,
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let item = workgroup_index(id, count) * WG_X + lane;
    if workgroup_index(id, count) >= params.workgroups || item >= params.items {
        return;
    }
    let entry = item / params.words / params.outer;
    let rest = item % (params.words * params.outer);
    var outer = rest / params.words;
    var at = rest % params.words;
    if OUTER_FASTEST {
        outer = rest % params.outer;
        at = rest / params.outer;
    }
    let batch = batch_index(entry, params.batch_1, params.batch_2);
    let source = source_begin(batch, outer);
    var word = 0u;
    // unroll
    for (var i = 0u; i < PER_WORD; i++) {
        let k = at * PER_WORD + i;
        let code = source_code(source, min(k, params.k - 1u));
        word |= select(0u, code << (i * (32u / PER_WORD)), k < params.k);
    }
    let place = dot(batch, vec3(params.to_0, params.to_1, params.to_2));
    words_store(place + outer * params.to_outer + at * params.to_word, word);
}
