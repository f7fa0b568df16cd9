// Panels of vectors that another kernel wrote: the vectors one after the other.
struct Params {
    offset: u32, // in vectors
}

@group(0) @binding(BINDING) var<storage, read> data: array<vec4<f32>>;

fn load(vector: u32) -> vec4<f32> {
    return data[params.offset + vector];
}
