// What the epilogue of whole numbers has to know of a row, or of a column: four words. Strides count fours; a stride of 0 is for terms
// that all share.
struct Params {
    offset: u32,
    batch_0: u32,
    batch_1: u32,
    batch_2: u32,
    base: u32, // of the part that a dispatch computes
    stride: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<vec4<Elem>>;

fn load(batch: vec3<u32>, at: u32) -> vec4<u32> {
    let entry = dot(batch, vec3(params.batch_0, params.batch_1, params.batch_2));
    return data[params.offset + params.base + entry + at * params.stride];
}
