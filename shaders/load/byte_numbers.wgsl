// Bytes as whole numbers, the same four times.
struct Params {
    offset: u32, // in bytes
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

fn load(at: u32) -> vec4<i32> {
    let i = params.offset + at;
    let byte = extractBits(data[i / 4u], 8u * (i % 4u), 8u);
    return vec4(select(i32(byte), extractBits(bitcast<i32>(byte), 0u, 8u), LEAST < 0));
}
