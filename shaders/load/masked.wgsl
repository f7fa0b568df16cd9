// Sparse operand of a contraction, all of it with a mask: four values of a row at once, zeros where they are pruned. Rows are whole vectors.
struct Params {
    row: u32, // the first
    pitch: u32, // vectors of a row
    columns: u32, // of the mask
}

struct State {
    base: u32,
    first: u32, // bit of the row
}

fn begin(batch: vec3<u32>, outer: u32) -> State {
    let row = params.row + outer;
    return State(row * params.pitch, row * params.columns);
}

// The values at 4 * quad to 4 * quad + 3.
fn load(state: State, quad: u32) -> vec4<f32> {
    let left = params.columns - min(4u * quad, params.columns - 1u);
    let bits = mask_span(state.first + params.columns - left, min(left, 4u));
    let kept = ((vec4(bits) >> vec4(0u, 1u, 2u, 3u)) & vec4(1u)) == vec4(1u);
    return select(vec4(0.0), vector(state.base + quad), kept);
}
