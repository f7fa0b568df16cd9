// Words of four int8 as whole numbers.
struct Params {
    offset: u32, // in words
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

fn load(at: u32) -> vec4<i32> {
    return (vec4(bitcast<i32>(data[params.offset + at])) << vec4(24u, 16u, 8u, 0u)) >> vec4(24u);
}
