// Zero points: a byte each, of the sign of the values.
struct Params {
    offset: u32, // in bytes
}

@group(0) @binding(BINDING) var<storage, read> data: array<u32>;

fn load(at: u32) -> i32 {
    let i = params.offset + at;
    let byte = (data[i / 4u] >> (8u * (i % 4u))) & 255u;
    return select(i32(byte), i32(byte << 24u) >> 24u, LOW < 0);
}
