// Operand of a contraction in vectors of four values of k of one column, gathered value by value with the loader that fills the hook
// `source`; beyond k, zeros.
struct Params {
    k: u32,
}

alias State = source_State;

fn begin(batch: vec3<u32>, outer: u32) -> State {
    return source_begin(batch, outer);
}

// The values at 4 * quad to 4 * quad + 3, the first of which is below k.
fn load(state: State, quad: u32) -> vec4<f32> {
    var values: vec4<f32>;
    // unroll
    for (var q = 0u; q < 4u; q++) {
        let at = 4u * quad + q;
        values[q] = select(0.0, source_load(state, min(at, params.k - 1u)), at < params.k);
    }
    return values;
}
