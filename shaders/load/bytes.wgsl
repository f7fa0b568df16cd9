// Bytes, at any place of a word.
struct Params {
    offset: u32, // in bytes
}

@group(0) @binding(BINDING) var<storage, read> data: array<u32>;

fn load(at: u32) -> u32 {
    let i = params.offset + at;
    return (data[i / 4u] >> (8u * (i % 4u))) & 255u;
}
