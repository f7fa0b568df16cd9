// scales[group] = the sum of |x| / the number of members, at the least the smallest normal number
//
// Workgroup:  WG_X groups.
// Invocation: a group.
// Dispatch:   ceil(groups / WG_X) workgroups, folded.
struct Params {
    workgroups: u32,
    groups: u32,
    parts: u32,
    count: u32, // members of a group
    across: u32, // groups of a row
    step: u32, // between groups of a row
    limit: u32, // of a row: the last group of one may be shorter
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = workgroup_index(id, count);
    let group = number * WG_X + lane;
    if number >= params.workgroups || group >= params.groups {
        return;
    }
    var sum = 0.0;
    for (var part = 0u; part < params.parts; part++) {
        sum += bitcast<f32>(sums_load(group * params.parts + part));
    }
    let scale = clamp(bitcast<u32>(sum / f32(min(params.count, params.limit - group % params.across * params.step))), LEAST, GREATEST);
    scales_store(group, ScaleElem(bitcast<f32>(kept_scale(scale))));
}
