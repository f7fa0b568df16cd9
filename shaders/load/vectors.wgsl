// Operand of a contraction as vectors of four values of k for one row: as it lies, where k is dense, or in panels of PANEL rows,
// in which the vectors of a panel's rows lie side by side for each four values of k. Strides and offset count vectors.
struct Params {
    offset: u32,
    batch_0: u32,
    batch_1: u32,
    batch_2: u32,
    panel_stride: u32, // as it lies, a panel is a row: PANEL is 1
    quad_stride: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<vec4<Elem>>;

// The stride is kept beside the base: drivers on the CPU read a parameter anew for each load.
struct State {
    base: u32,
    quad_stride: u32,
}

// Fixes the batch entry and the row.
fn begin(batch: vec3<u32>, outer: u32) -> State {
    let entry = dot(batch, vec3(params.batch_0, params.batch_1, params.batch_2));
    return State(params.offset + entry + outer / PANEL * params.panel_stride + outer % PANEL, params.quad_stride);
}

// The values at 4 * quad to 4 * quad + 3.
fn load(state: State, quad: u32) -> vec4<Scalar> {
    return vec4<Scalar>(data[state.base + quad * state.quad_stride]);
}
