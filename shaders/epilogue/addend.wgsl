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

// What is found once for a column.
struct Column {
    base: u32,
    row_stride: u32,
    beta: f32,
}

fn column_of(batch: vec3<u32>, column: u32) -> Column {
    let entry = params.offset + dot(batch, vec3(params.batch_0, params.batch_1, params.batch_2));
    return Column(entry + column * params.column_stride, params.row_stride, params.beta);
}

fn load(column: Column, row: u32) -> f32 {
    return column.beta * f32(data[column.base + row * column.row_stride]);
}
