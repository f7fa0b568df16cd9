// Values in vectors of four that lie on 16 bytes, or 8 of f16. The offset counts vectors.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<vec4<Elem>>;

fn vector(at: u32) -> vec4<f32> {
    return vec4<f32>(data[params.offset + at]);
}
