// Bytes as whole numbers, the same four times.
struct Params {
    offset: u32, // in bytes
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

fn load(at: u32) -> vec4<i32> {
    let i = params.offset + at;
    let high = data[i / 4u] << (24u - 8u * (i % 4u));
    return vec4(select(i32(high >> 24u), bitcast<i32>(high) >> 24u, LEAST < 0));
}
