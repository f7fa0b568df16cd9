// words[batch, outer, w] = the codes of PER_WORD neighbours along k, the first in the lowest bits; beyond k lie zero bits
//
// Puts an operand of whole numbers into words along k, wherever its values lie: bytes, signs of floats, bits.
//
// Workgroup:  WG_X runs of up to RUN words.
// Invocation: a run of neighbouring words: PER_WORD loads of a code for each. Finding its place takes divisions, which drivers on the CPU make
//             lane by lane; elsewhere RUN is 1, and neighbours write neighbouring words.
// Dispatch:   ceil(runs / WG_X) workgroups, folded.
// Memory:     none.
// Edges:      k is clamped when loading; what lies beyond is 0.
// Bounds:     runs beyond the last are left out, and end where rows do; the loader gets an index below batch, outer and k, and the words' places
//             are strides times indices below those that the host has checked.
struct Params {
    workgroups: u32,
    runs: u32, // batch * ceil(outer / RUN) * words, or batch * outer * ceil(words / RUN)
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
    let run = workgroup_index(id, count) * WG_X + lane;
    if workgroup_index(id, count) >= params.workgroups || run >= params.runs {
        return;
    }
    // Runs go along what words are neighbours in.
    let fast = select(params.words, params.outer, OUTER_FASTEST);
    let slow = select(params.outer, params.words, OUTER_FASTEST);
    let runs = (fast + RUN - 1u) / RUN;
    let row = run / runs;
    let first = run % runs * RUN;
    let batch = batch_index(row / slow, params.batch_1, params.batch_2);
    let place = dot(batch, vec3(params.to_0, params.to_1, params.to_2));
    for (var i = first; i < min(first + RUN, fast); i++) {
        let outer = select(row % slow, i, OUTER_FASTEST);
        let at = select(i, row % slow, OUTER_FASTEST);
        let source = source_begin(batch, outer);
        var word = 0u;
        // unroll
        for (var j = 0u; j < PER_WORD; j++) {
            let k = at * PER_WORD + j;
            let code = source_code(source, min(k, params.k - 1u));
            word |= select(0u, code << (j * (32u / PER_WORD)), k < params.k);
        }
        words_store(place + outer * params.to_outer + at * params.to_word, word);
    }
}
