// out[o] = reduction over i < len of source[o, i]
//
// Workgroup:  WG_X outputs.
// Invocation: one output, its values in order.
// Dispatch:   ceil(outputs / WG_X) workgroups, folded.
// Memory:     none.
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
    if params.len == 0u {
        target_store(target_base, 0u, bitcast<Out>(params.empty));
        return;
    }
    let base = source_begin(kept);
    var carry = Carry(source_load(base, 0u), 0u);
    for (var i = 1u; i < params.len; i++) {
        carry = combine(carry, Carry(source_load(base, i), i));
    }
    if ARG {
        target_store(target_base, 0u, Out(carry.index));
    } else if MEAN {
        target_store(target_base, 0u, Out(f32(carry.value) / params.divisor));
    } else {
        target_store(target_base, 0u, Out(carry.value));
    }
}
