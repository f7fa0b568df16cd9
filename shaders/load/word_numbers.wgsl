// Words of four int8 as whole numbers.
struct Params {
    offset: u32, // in words
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

fn load(at: u32) -> vec4<i32> {
    let word = bitcast<i32>(data[params.offset + at]);
    return vec4(extractBits(word, 0u, 8u), extractBits(word, 8u, 8u), extractBits(word, 16u, 8u), extractBits(word, 24u, 8u));
}
