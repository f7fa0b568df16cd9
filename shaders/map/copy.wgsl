// out[index] = a[index]
//
// Workgroup:  WG_X neighbouring elements of the index space, the last dimension fastest.
// Invocation: one element.
// Dispatch:   ceil(total / WG_X) workgroups, folded.
// Memory:     none.
// Edges:      invocations at or beyond total do nothing.
struct Params {
    workgroups: u32,
    total: u32,
    size_1: u32,
    size_2: u32,
    size_3: u32,
    size_4: u32,
    size_5: u32,
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
) {
    let group = workgroup_index(id, count);
    if group >= params.workgroups {
        return;
    }
    let flat = group * WG_X + lane.x;
    if flat >= params.total {
        return;
    }
    let rest_4 = flat / params.size_5;
    let rest_3 = rest_4 / params.size_4;
    let rest_2 = rest_3 / params.size_3;
    let rest_1 = rest_2 / params.size_2;
    let inner = vec3(rest_3 % params.size_3, rest_4 % params.size_4, flat % params.size_5);
    let outer = vec3(rest_1 / params.size_1, rest_1 % params.size_1, rest_2 % params.size_2);
    out_store(outer, inner, a_load(outer, inner));
}
