// Rows of any width and alignment in fours. What lies beyond a row is not stored.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<Elem>;

struct State {
    base: u32,
    width: u32,
}

// Fixes the row, by the address of its first element.
fn begin(start: u32, width: u32) -> State {
    return State(params.offset + start, width);
}

fn store(state: State, four: u32, values: vec4<Elem>) {
    // unroll
    for (var i = 0u; i < 4u; i++) {
        if 4u * four + i < state.width {
            data[state.base + 4u * four + i] = values[i];
        }
    }
}
