// sums[group, part] = the sum of |x|; NaN and infinity do not count
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
    var sum = 0.0;
    for (var m = at % params.parts; m < length; m += params.parts) {
        let magnitude = x_load(member(group, m)) & 0x7fffffffu;
        sum += bitcast<f32>(select(magnitude, 0u, magnitude >= 0x7f800000u));
    }
    sums_store(at, bitcast<u32>(sum));
}
