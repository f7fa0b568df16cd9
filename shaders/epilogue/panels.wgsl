// Panels of vectors that another kernel reads: the vectors one after the other.
struct Params {
    offset: u32, // in vectors
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<vec4<f32>>;

fn store(vector: u32, values: vec4<f32>) {
    data[params.offset + vector] = values;
}
