// out[o, i] = exp(x[o, i] - m) / s, or x[o, i] - m - log(s), with m = max of x[o, :] and s = sum of exp(x[o, :] - m)
//
// Workgroup:  one row: every invocation takes every WG_X-th value, trees in workgroup memory join maxima and sums.
// Dispatch:   a workgroup for each row, folded.
// Memory:     12 * WG_X bytes.
// Edges:      invocations beyond len carry no maximum, and 0 as their sum.
struct Params {
    workgroups: u32,
    outputs: u32,
    len: u32,
    size_1: u32, // sizes of the kept dimensions but the outermost
    size_2: u32,
    size_3: u32,
}

var<workgroup> carries: array<Carry, WG_X>;
var<workgroup> sums: array<f32, WG_X>;

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let o = workgroup_index(id, count);
    if o >= params.workgroups {
        return;
    }
    let c = o / params.size_3;
    let b = c / params.size_2;
    let kept = vec4(b / params.size_1, b % params.size_1, c % params.size_2, o % params.size_3);
    let target_base = target_begin(kept);
    let base = source_begin(kept);
    let carrying = min(params.len, WG_X);
    if lane < carrying {
        var carry = Carry(source_load(base, lane), lane);
        for (var i = WG_X + lane; i < params.len; i += WG_X) {
            carry = combine(carry, Carry(source_load(base, i), i));
        }
        carries[lane] = carry;
    }
    workgroupBarrier();
    for (var half = WG_X / 2u; half > 0u; half /= 2u) {
        if lane < half && lane + half < carrying {
            carries[lane] = combine(carries[lane], carries[lane + half]);
        }
        workgroupBarrier();
    }
    let largest = carries[0].value;
    var own = 0.0;
    for (var i = lane; i < params.len; i += WG_X) {
        own += exp(source_load(base, i) - largest);
    }
    sums[lane] = own;
    workgroupBarrier();
    for (var half = WG_X / 2u; half > 0u; half /= 2u) {
        if lane < half {
            sums[lane] += sums[lane + half];
        }
        workgroupBarrier();
    }
    let sum = sums[0];
    let log_sum = log(sum);
    for (var i = lane; i < params.len; i += WG_X) {
        let x = source_load(base, i) - largest;
        if LOG {
            target_store(target_base, i, x - log_sum);
        } else {
            target_store(target_base, i, exp(x) / sum);
        }
    }
}
