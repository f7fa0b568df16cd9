// out = mask with the largest KEEP of each OF neighbours of a row, as far as the mask has kept them
//
// The last group of a row may be shorter, as if zeros that are pruned first filled it up.
//
// Workgroup:  WG_X words of the mask.
// Invocation: a word: 32 scores, each compared with all of its group. Of equal magnitudes the last is kept.
// Dispatch:   ceil(words / WG_X) workgroups, folded.
struct Params {
    workgroups: u32,
    words: u32,
    total: u32, // scores
    columns: u32, // of a row
    keep: u32,
    group: u32, // neighbours in a group
}

fn key(at: u32) -> u32 {
    return bitcast<u32>(f32(scores_load(at))) & 0x7fffffffu;
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
        if ((kept >> i) & 1u) == 0u {
            continue;
        }
        let row = at / params.columns * params.columns;
        let first = row + (at - row) / params.group * params.group;
        let own = key(at);
        var above = 0u;
        for (var other = first; other < min(first + params.group, row + params.columns); other++) {
            let magnitude = key(other);
            let is_above = magnitude > own || (magnitude == own && other > at);
            above += select(0u, 1u, is_above && mask_bit(other));
        }
        if above >= params.keep {
            kept &= ~(1u << i);
        }
    }
    out_store(word, kept);
}
