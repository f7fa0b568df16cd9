// sums[group, part] = the sum of |x|; NaN and infinity do not count
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
    var sum = vec4<f32>();
    for (var four = at % params.parts; 4u * four < length; four += params.parts) {
        let magnitude = member_four(group, four) & vec4(0x7fffffffu);
        sum += bitcast<vec4<f32>>(select(magnitude, vec4(0u), magnitude >= vec4(0x7f800000u)));
    }
    sums_store(at, bitcast<u32>(sum.x + sum.y + sum.z + sum.w));
}
