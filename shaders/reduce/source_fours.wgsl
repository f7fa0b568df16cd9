// The tensor that is reduced, along its rows, in vectors of four. Pitch and offset count vectors.
struct Params {
    offset: u32,
    pitch: u32, // from a row to the next
    first: u32, // the index of the first value
}

@group(0) @binding(BINDING) var<storage, read> data: array<vec4<Elem>>;

// The address of the first vector of output o.
fn begin(o: u32, kept: vec4<u32>) -> u32 {
    return params.offset + o * params.pitch;
}

fn load(base: u32, four: u32) -> vec4<Word> {
    return vec4<Word>(data[base + four]);
}

// The index of the i-th value of a reduction.
fn index(base: u32, i: u32) -> u32 {
    return params.first + i;
}
