// out[o, i] = exp(x[o, i] - m) / s, or x[o, i] - m - log(s), with m = max of x[o, :] and s = sum of exp(x[o, :] - m)
//
// Team:       an invocation (serial.wgsl) or a workgroup (workgroup.wgsl): one row, in three passes over its values.
// Dispatch:   a team for each row, folded.
// Memory:     the team's.
// Edges:      places beyond len carry no maximum, and 0 as their sum.
struct Params {
    workgroups: u32,
    outputs: u32,
    len: u32,
    size_1: u32, // sizes of the kept dimensions but the outermost
    size_2: u32,
    size_3: u32,
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
    let o = team_number(group, lane);
    if o >= params.outputs {
        return;
    }
    let kept = unravel(o, vec3(params.size_1, params.size_2, params.size_3));
    let base = source_begin(o, kept);
    let place = team_place(lane);
    let carrying = min(params.len, team_SIZE);
    let largest = team_join(gather(base, 0u, params.len, place, false), lane, carrying, false).value;
    var own = 0.0;
    for (var i = place; i < params.len; i += team_SIZE) {
        own += exp(source_load(base, i).value - largest);
    }
    let sum = team_join(Carry(own, 0u), lane, carrying, true).value;
    let log_sum = log(sum);
    let out = target_begin(kept);
    for (var i = place; i < params.len; i += team_SIZE) {
        let x = source_load(base, i).value - largest;
        if LOG {
            target_store(out, i, x - log_sum);
        } else {
            target_store(out, i, exp(x) / sum);
        }
    }
}
