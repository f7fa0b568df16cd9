// The tensor that is reduced: four kept and four reduced dimensions, each with its stride in elements. Read are units of WIDTH
// neighbours, which the offset counts; handed on are words.
struct Params {
    offset: u32,
    kept_0: u32,
    kept_1: u32,
    kept_2: u32,
    kept_3: u32,
    reduced_0: u32,
    reduced_1: u32,
    reduced_2: u32,
    reduced_3: u32,
    size_1: u32,
    size_2: u32,
    size_3: u32,
    first: u32, // the index of the first value
}

@group(0) @binding(BINDING) var<storage, read> data: array<Unit>;

// The address of the first value of output o.
fn begin(o: u32, kept: vec4<u32>) -> u32 {
    return params.offset + dot(kept, vec4(params.kept_0, params.kept_1, params.kept_2, params.kept_3)) / WIDTH;
}

// The i-th value of a reduction.
fn load(base: u32, i: u32) -> Words {
    if FLAT {
        return Words(data[base + i * (params.reduced_3 / WIDTH)]);
    }
    let at = unravel(i, vec3(params.size_1, params.size_2, params.size_3));
    let strides = vec4(params.reduced_0, params.reduced_1, params.reduced_2, params.reduced_3);
    return Words(data[base + dot(at, strides) / WIDTH]);
}

// Its index.
fn index(base: u32, i: u32) -> u32 {
    return params.first + i;
}
