// Rows of a matrix in fours: vectors, of which each row is a whole number, and so is the pitch from a row to the next. The
// offset counts vectors.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<vec4<Elem>>;

struct State {
    base: u32,
}

// Fixes the row.
fn begin(row: u32, pitch: u32, width: u32) -> State {
    return State(params.offset + row * (pitch / 4u));
}

fn store(state: State, four: u32, values: vec4<Elem>) {
    data[state.base + four] = values;
}
