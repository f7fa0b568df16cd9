// Codes of 8 bits in elements of 32, at a stride for each index.
struct Params {
    k_stride: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

fn code(state: State, k: u32) -> u32 {
    return data[state.base + k * params.k_stride] & 255u;
}
