// out[i] = before[i]: counts, before more are added
//
// Workgroup:  WG_X fours of counts.
// Invocation: every WG_X-th of them.
// Dispatch:   ceil(total / (4 WG_X)) workgroups, folded.
struct Params {
    workgroups: u32,
    total: u32,
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = workgroup_index(id, count);
    if number >= params.workgroups {
        return;
    }
    for (var i = 0u; i < 4u; i++) {
        let at = (4u * number + i) * WG_X + lane;
        if at < params.total {
            out_store(at, before_load(at));
        }
    }
}
