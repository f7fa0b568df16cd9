// The end of a contraction: out = activate(alpha * sum + beta * addend), in this order.
//
// Where the planner had to split k over several dispatches, only the last applies the epilogue; all but the first add to
// what is there already.
struct Params {
    offset: u32,
    batch_0: u32,
    batch_1: u32,
    batch_2: u32,
    row_stride: u32,
    column_first: u32, // with COLUMNS_SPLIT a column is (outer, inner): an image and a pixel in it
    column_inner: u32,
    column_outer_stride: u32,
    first: u32, // of the parts of k: 1 or 0
    last: u32,
    alpha: f32,
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<Elem>;

fn store(batch: vec3<u32>, row: u32, column: u32, sum: f32) {
    var at = params.offset + dot(batch, vec3(params.batch_0, params.batch_1, params.batch_2)) + row * params.row_stride;
    if COLUMNS_SPLIT {
        let c = column + params.column_first;
        at += c / params.column_inner * params.column_outer_stride + c % params.column_inner;
    } else {
        at += column;
    }
    var value = sum;
    if params.first == 0u {
        value += f32(data[at]);
    }
    if params.last == 1u {
        value = activate(params.alpha * value + addend_load(batch, row, column));
    }
    data[at] = Elem(value);
}
