// Bits, at a stride for each index.
struct Params {
    offset: u32, // in words
    batch_0: u32, // in bits, as the strides that follow
    batch_1: u32,
    batch_2: u32,
    outer_stride: u32,
    k_stride: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

struct State {
    base: u32,
}

fn begin(batch: vec3<u32>, outer: u32) -> State {
    let entry = dot(batch, vec3(params.batch_0, params.batch_1, params.batch_2));
    return State(entry + outer * params.outer_stride);
}

fn code(state: State, k: u32) -> u32 {
    let at = state.base + k * params.k_stride;
    return (data[params.offset + at / 32u] >> (at % 32u)) & 1u;
}
