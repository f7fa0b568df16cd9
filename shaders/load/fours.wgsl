// Rows in fours: vectors, of which each row is a whole number, and starts on one. The offset counts vectors.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<vec4<Elem>>;

struct State {
    base: u32,
}

// Fixes the row, by the address of its first element.
fn begin(start: u32, width: u32) -> State {
    return State(params.offset + start / 4u);
}

fn load(state: State, four: u32) -> vec4<Elem> {
    return data[state.base + four];
}
