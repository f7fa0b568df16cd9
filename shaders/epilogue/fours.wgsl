// Rows in fours: vectors, of which each row is a whole number, and starts on one. The offset counts vectors.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<vec4<Elem>>;

struct State {
    base: u32,
}

// Fixes the row, by the address of its first element.
fn begin(start: u32, width: u32) -> State {
    return State(params.offset + start / 4u);
}

fn store(state: State, four: u32, values: vec4<Elem>) {
    data[state.base + four] = values;
}
