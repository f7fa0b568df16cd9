// Where a contraction's results go: element (batch, row, column) at a stride for each index.
struct Params {
    offset: u32,
    batch_0: u32,
    batch_1: u32,
    batch_2: u32,
    row_stride: u32,
    column_first: u32, // with COLUMNS_SPLIT a column is (outer, inner): an image and a pixel in it
    column_inner: u32,
    column_outer_stride: u32,
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<Elem>;

// Where the first row of a column lies, and how far apart rows are: found once for all rows, since it takes a division, and since drivers
// on the CPU read parameters as slowly as memory.
struct State {
    base: u32,
    row_stride: u32,
}

fn begin(batch: vec3<u32>, column: u32) -> State {
    let entry = params.offset + dot(batch, vec3(params.batch_0, params.batch_1, params.batch_2));
    if COLUMNS_SPLIT {
        let c = column + params.column_first;
        return State(entry + c / params.column_inner * params.column_outer_stride + c % params.column_inner, params.row_stride);
    }
    return State(entry + column, params.row_stride);
}

// The place of the first element.
fn start() -> u32 {
    return params.offset;
}

fn place(state: State, row: u32) -> u32 {
    return state.base + row * state.row_stride;
}
