// ranges[group, part] = the largest magnitude of the numbers below 0, and of those above it
//
// Magnitudes are the bits of an f32 without the sign, which are ordered as they are. NaN and infinity do not count.
//
// Workgroup:  WG_X parts.
// Invocation: every parts-th member of a group.
// Dispatch:   ceil(groups * parts / WG_X) workgroups, folded.
struct Params {
    workgroups: u32,
    groups: u32,
    parts: u32,
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = workgroup_index(id, count);
    let at = number * WG_X + lane;
    if number >= params.workgroups || at >= params.groups * params.parts {
        return;
    }
    let group = at / params.parts;
    let length = members(group);
    var below = 0u;
    var above = 0u;
    for (var m = at % params.parts; m < length; m += params.parts) {
        let x = x_load(member(group, m));
        let magnitude = x & 0x7fffffffu;
        if magnitude < 0x7f800000u {
            below = max(below, select(0u, magnitude, x > 0x80000000u));
            above = max(above, select(0u, magnitude, x < 0x80000000u));
        }
    }
    ranges_store(2u * at, below);
    ranges_store(2u * at + 1u, above);
}
