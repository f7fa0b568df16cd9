// ranges[group, part] = the largest magnitude of the numbers below 0, and of those above it
//
// Magnitudes are the bits of an f32 without the sign, which are ordered as they are. NaN and infinity do not count.
//
// Workgroup:  WG_X parts.
// Invocation: every parts-th four of a group.
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
    var below = vec4(0u);
    var above = vec4(0u);
    for (var four = at % params.parts; 4u * four < length; four += params.parts) {
        let x = member_four(group, four);
        let signed = x & vec4(0x7fffffffu);
        let magnitude = select(signed, vec4(0u), signed >= vec4(0x7f800000u));
        below = max(below, select(vec4(0u), magnitude, x > vec4(0x80000000u)));
        above = max(above, select(vec4(0u), magnitude, x < vec4(0x80000000u)));
    }
    ranges_store(2u * at, max(max(below.x, below.y), max(below.z, below.w)));
    ranges_store(2u * at + 1u, max(max(above.x, above.y), max(above.z, above.w)));
}
