// Operand of a contraction in blocks of four columns and four values of k, read as it lies: k is dense, a multiple of 4.
// Strides and offset count vectors of four.
struct Params {
    offset: u32,
    batch_0: u32,
    batch_1: u32,
    batch_2: u32,
    outer_stride: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<vec4<Elem>>;

struct State {
    bases: vec4<u32>, // of the columns
}

// Fixes the batch entry and four columns from `outer` on, of `size`; those beyond repeat the last.
fn begin(batch: vec3<u32>, outer: u32, size: u32) -> State {
    let entry = dot(batch, vec3(params.batch_0, params.batch_1, params.batch_2));
    let columns = min(vec4(outer) + vec4(0u, 1u, 2u, 3u), vec4(size - 1u));
    return State(vec4(params.offset + entry) + columns * params.outer_stride);
}

// Vector q holds the values of the four columns at 4 * quad + q.
fn load(state: State, quad: u32) -> mat4x4<f32> {
    return transpose(mat4x4<f32>(
        vec4<f32>(data[state.bases.x + quad]),
        vec4<f32>(data[state.bases.y + quad]),
        vec4<f32>(data[state.bases.z + quad]),
        vec4<f32>(data[state.bases.w + quad]),
    ));
}
