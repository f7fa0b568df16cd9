// Sparse operand of a contraction as a stream of the values that it holds for HEIGHT rows: for each four values of k, a vector for every row.
struct State {
    row: u32, // of its group
}

fn begin(batch: vec3<u32>, outer: u32) -> State {
    return State(outer % HEIGHT);
}

// The values of step `quad` of the stream.
fn load(state: State, quad: u32) -> vec4<f32> {
    return vector(quad * HEIGHT + state.row);
}
