// Operand of a contraction in blocks of four columns and four values of k, where columns are dense: as it lies, with the number of
// columns and k multiples of 4, or in panels of PANEL columns. Strides and offset count vectors of four.
struct Params {
    offset: u32,
    batch_0: u32,
    batch_1: u32,
    batch_2: u32,
    panel_stride: u32, // as it lies, four columns are a panel, at stride 1
    k_stride: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<vec4<Elem>>;

struct State {
    base: u32,
}

// Fixes the batch entry and four columns from `outer` on, of `size`; those beyond repeat the last four.
fn begin(batch: vec3<u32>, outer: u32, size: u32) -> State {
    let entry = dot(batch, vec3(params.batch_0, params.batch_1, params.batch_2));
    let column = min(outer, (size - 1u) / 4u * 4u);
    return State(params.offset + entry + column / PANEL * params.panel_stride + column % PANEL / 4u);
}

// Vector q holds the values of the four columns at 4 * quad + q.
fn load(state: State, quad: u32) -> mat4x4<f32> {
    let first = state.base + 4u * quad * params.k_stride;
    return mat4x4<f32>(
        vec4<f32>(data[first]),
        vec4<f32>(data[first + params.k_stride]),
        vec4<f32>(data[first + 2u * params.k_stride]),
        vec4<f32>(data[first + 3u * params.k_stride]),
    );
}
