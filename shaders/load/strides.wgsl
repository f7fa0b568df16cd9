// Where a row (or column) of an operand begins that has a stride for each index: batch entry, row, k. Offset and strides count what the
// loader beside this file reads.
struct Params {
    offset: u32,
    batch_0: u32,
    batch_1: u32,
    batch_2: u32,
    outer_stride: u32,
}

struct State {
    base: u32,
}

// Fixes the batch entry and the row (or column).
fn begin(batch: vec3<u32>, outer: u32) -> State {
    let entry = dot(batch, vec3(params.batch_0, params.batch_1, params.batch_2));
    return State(params.offset + entry + outer * params.outer_stride);
}
