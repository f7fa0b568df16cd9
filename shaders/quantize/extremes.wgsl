// out[group] = the larger of what was found before and of what the parts found: the magnitude of the least number below 0, and of the greatest
//
// Workgroup:  WG_X groups.
// Invocation: a group.
// Dispatch:   ceil(groups / WG_X) workgroups, folded.
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
    let group = number * WG_X + lane;
    if number >= params.workgroups || group >= params.groups {
        return;
    }
    var below = before_load(2u * group);
    var above = before_load(2u * group + 1u);
    for (var part = 0u; part < params.parts; part++) {
        let at = 2u * (group * params.parts + part);
        below = max(below, ranges_load(at));
        above = max(above, ranges_load(at + 1u));
    }
    out_store(2u * group, below);
    out_store(2u * group + 1u, above);
}
