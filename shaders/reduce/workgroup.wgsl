// out[o] = reduction over i < len of source[o, i]
//
// Workgroup:  one output: every invocation takes every WG_X-th value, then a tree in workgroup memory joins them.
// Dispatch:   a workgroup for each output, folded.
// Memory:     8 * WG_X bytes.
// Edges:      invocations beyond len carry nothing and are left out of the tree.
struct Params {
    workgroups: u32,
    outputs: u32,
    len: u32,
    size_1: u32, // sizes of the kept dimensions but the outermost
    size_2: u32,
    size_3: u32,
    empty: u32, // the bits of a reduction of nothing
    divisor: f32,
}

var<workgroup> carries: array<Carry, WG_X>;

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
    if lane == 0u {
        let carry = carries[0];
        if params.len == 0u {
            target_store(target_base, 0u, bitcast<Out>(params.empty));
        } else if ARG {
            target_store(target_base, 0u, Out(carry.index));
        } else if MEAN {
            target_store(target_base, 0u, Out(f32(carry.value) / params.divisor));
        } else {
            target_store(target_base, 0u, Out(carry.value));
        }
    }
}
