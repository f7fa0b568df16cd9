// Rows of any width and alignment in fours. What lies beyond a row is NOTHING, given by its bits in 32.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

struct State {
    base: u32,
    width: u32,
}

// Fixes the row, by the address of its first element.
fn begin(start: u32, width: u32) -> State {
    return State(params.offset + start, width);
}

fn load(state: State, four: u32) -> vec4<Elem> {
    // A variable: of constants, infinity is an error to some compilers.
    var nothing = NOTHING;
    var values = vec4(Elem(bitcast<Word>(nothing)));
    // unroll
    for (var i = 0u; i < 4u; i++) {
        if 4u * four + i < state.width {
            values[i] = data[state.base + 4u * four + i];
        }
    }
    return values;
}
