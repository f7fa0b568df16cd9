// Zero points: a byte each, SIGNED or not, four to a word.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<u32>;

fn load(at: u32) -> f32 {
    let word = data[params.offset + at / 4u];
    if SIGNED {
        return f32(i32(word << (24u - 8u * (at % 4u))) >> 24u);
    }
    return f32((word >> (8u * (at % 4u))) & 255u);
}
