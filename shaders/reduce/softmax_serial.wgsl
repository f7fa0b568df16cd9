// out[o, i] = exp(x[o, i] - m) / s, or x[o, i] - m - log(s), with m = max of x[o, :] and s = sum of exp(x[o, :] - m)
//
// Workgroup:  WG_X rows.
// Invocation: one row, in three passes.
// Dispatch:   ceil(outputs / WG_X) workgroups, folded.
// Memory:     none.
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
    let o = group * WG_X + lane;
    if o >= params.outputs {
        return;
    }
    let c = o / params.size_3;
    let b = c / params.size_2;
    let kept = vec4(b / params.size_1, b % params.size_1, c % params.size_2, o % params.size_3);
    let target_base = target_begin(kept);
    let base = source_begin(kept);
    var largest = Carry(source_load(base, 0u), 0u);
    for (var i = 1u; i < params.len; i++) {
        largest = combine(largest, Carry(source_load(base, i), i));
    }
    var sum = 0.0;
    for (var i = 0u; i < params.len; i++) {
        sum += exp(source_load(base, i) - largest.value);
    }
    let log_sum = log(sum);
    for (var i = 0u; i < params.len; i++) {
        let x = source_load(base, i) - largest.value;
        if LOG {
            target_store(target_base, i, x - log_sum);
        } else {
            target_store(target_base, i, exp(x) / sum);
        }
    }
}
