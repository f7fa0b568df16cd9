// Panels of vectors that another kernel reads: the vectors one after the other.
struct Params {
    offset: u32, // in vectors
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<vec4<Elem>>;

fn store(vector: u32, values: vec4<Elem>) {
    data[params.offset + vector] = values;
}
