// Signs of floats, at a stride for each index: a set bit for those below 0, so that where they meet weights with a set bit for +1, the bits
// differ where the product is +1. What is 0, either way, counts as +1.
struct Params {
    offset: u32,
    batch_0: u32,
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
    return State(params.offset + entry + outer * params.outer_stride);
}

fn code(state: State, k: u32) -> u32 {
    return select(0u, 1u, data[state.base + k * params.k_stride] < Elem());
}
