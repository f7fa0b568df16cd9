// Values in vectors of four that may lie anywhere. The offset counts values.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

fn vector(at: u32) -> vec4<f32> {
    let first = params.offset + 4u * at;
    return vec4(f32(data[first]), f32(data[first + 1u]), f32(data[first + 2u]), f32(data[first + 3u]));
}
