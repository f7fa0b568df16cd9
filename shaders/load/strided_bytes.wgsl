// Bytes, at a stride for each index; offset and strides count bytes. Of unsigned ones FLIP turns the highest bit, which takes 128 off.
struct Params {
    k_stride: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

fn code(state: State, k: u32) -> u32 {
    let at = state.base + k * params.k_stride;
    return ((data[at / 4u] >> (8u * (at % 4u))) & 255u) ^ FLIP;
}
