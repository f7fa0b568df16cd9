// Halves, as the bits of the f32 that they are.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<f16>;

fn load(at: u32) -> u32 {
    return bitcast<u32>(f32(data[params.offset + at]));
}
