// histogram[digit] += the number of kept scores whose key goes on with that digit after the digits found
//
// A pass of a radix select. The key of a score is its magnitude, as the bits of an f32 without the sign, which are ordered as the
// magnitudes are, with NaN above infinity; after it comes the index, so that no two keys are equal and of equal magnitudes the first is
// the lowest. The digits of the lowest keys are found eight bits at a time, the highest first.
//
// Workgroup:  WG_X * run neighbouring scores; counts in workgroup memory, so that the device's counts are touched once for each digit.
// Invocation: every WG_X-th of them, and then every WG_X-th digit.
// Dispatch:   ceil(total / (WG_X * run)) workgroups, folded.
// Memory:     1 KiB.
// Edges:      invocations beyond the last score count nothing.
struct Params {
    workgroups: u32,
    total: u32, // scores
    run: u32,
    first: u32, // index of the first score: those of other tensors come before
    fixed: u32, // the bits of the word that were found
    shift: u32, // of the digit in the word
    by_index: u32, // whether the word is the index, 1 or 0
}

const DIGITS: u32 = 256u;
var<workgroup> counts: array<atomic<u32>, DIGITS>;

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = workgroup_index(id, count);
    if group >= params.workgroups {
        return;
    }
    for (var digit = lane; digit < DIGITS; digit += WG_X) {
        atomicStore(&counts[digit], 0u);
    }
    workgroupBarrier();
    let found = vec2(state_load(0u), state_load(1u));
    for (var i = 0u; i < params.run; i++) {
        let at = (group * params.run + i) * WG_X + lane;
        if at >= params.total || !mask_bit(at) {
            continue;
        }
        let magnitude = bitcast<u32>(f32(scores_load(at))) & 0x7fffffffu;
        var word = magnitude;
        var matches = ((magnitude ^ found.x) & params.fixed) == 0u;
        if params.by_index == 1u {
            word = params.first + at;
            matches = magnitude == found.x && ((word ^ found.y) & params.fixed) == 0u;
        }
        if matches {
            atomicAdd(&counts[(word >> params.shift) & (DIGITS - 1u)], 1u);
        }
    }
    workgroupBarrier();
    for (var digit = lane; digit < DIGITS; digit += WG_X) {
        let counted = atomicLoad(&counts[digit]);
        if counted > 0u {
            histogram_add(digit, counted);
        }
    }
}
