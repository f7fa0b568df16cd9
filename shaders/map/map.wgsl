// out[index] = value(index)
//
// Workgroup:  WG_X neighbouring elements of the index space, the last dimension fastest.
// Invocation: one element.
// Dispatch:   ceil(total / WG_X) workgroups, folded.
// Memory:     none.
// Edges:      invocations at or beyond total do nothing.
struct Params {
    workgroups: u32,
    total: u32,
    size_1: u32, // sizes of the dimensions but the outermost
    size_2: u32,
    size_3: u32,
    size_4: u32,
    size_5: u32,
}

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
    let flat = group * WG_X + lane;
    if flat >= params.total {
        return;
    }
    var outer = vec3(0u);
    var inner = vec3(0u, 0u, flat);
    if !FLAT {
        let rest_4 = flat / params.size_5;
        let rest_3 = rest_4 / params.size_4;
        let rest_2 = rest_3 / params.size_3;
        let rest_1 = rest_2 / params.size_2;
        outer = vec3(rest_1 / params.size_1, rest_1 % params.size_1, rest_2 % params.size_2);
        inner = vec3(rest_3 % params.size_3, rest_4 % params.size_4, flat % params.size_5);
    }
    out_store(outer, inner, value_at(outer, inner));
}
