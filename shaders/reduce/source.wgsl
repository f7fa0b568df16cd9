// The tensor that is reduced: four kept and four reduced dimensions, each with its stride.
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
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

// The address of the first value of a reduction.
fn begin(kept: vec4<u32>) -> u32 {
    return params.offset + dot(kept, vec4(params.kept_0, params.kept_1, params.kept_2, params.kept_3));
}

// The i-th value of a reduction.
fn load(base: u32, i: u32) -> Elem {
    if FLAT {
        return data[base + i * params.reduced_3];
    }
    let c = i / params.size_3;
    let b = c / params.size_2;
    let at = vec4(b / params.size_1, b % params.size_1, c % params.size_2, i % params.size_3);
    return data[base + dot(at, vec4(params.reduced_0, params.reduced_1, params.reduced_2, params.reduced_3))];
}
