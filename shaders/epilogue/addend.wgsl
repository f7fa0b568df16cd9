// The addend of the epilogue, times beta: a bias (stride 0 along rows or columns) or a whole matrix.
struct Params {
    offset: u32,
    batch_0: u32,
    batch_1: u32,
    batch_2: u32,
    row_stride: u32,
    column_stride: u32,
    beta: f32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

fn load(batch: vec3<u32>, row: u32, column: u32) -> f32 {
    let entry = dot(batch, vec3(params.batch_0, params.batch_1, params.batch_2));
    return params.beta * f32(data[params.offset + entry + row * params.row_stride + column * params.column_stride]);
}
