// Signs of floats, at a stride for each index: a set bit for those below 0, so that where they meet weights with a set bit for +1, the bits
// differ where the product is +1. What is 0, either way, counts as +1.
struct Params {
    k_stride: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

fn code(state: State, k: u32) -> u32 {
    return select(0u, 1u, data[state.base + k * params.k_stride] < Elem());
}
