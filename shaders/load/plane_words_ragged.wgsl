// Rows of a plane in words of four channels, of any width and alignment, four neighbours at once. What lies beyond a row is `nothing`.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

struct State {
    base: u32,
    width: u32,
}

// Fixes the row by its first element; other planes, and how many they are, are not asked for.
fn begin(start: u32, width: u32, plane: u32, planes: u32) -> State {
    return State(params.offset + start, width);
}

fn load(state: State, four: u32, nothing: u32) -> Words {
    var words = vec4(nothing);
    // unroll
    for (var i = 0u; i < 4u; i++) {
        if 4u * four + i < state.width {
            words[i] = data[state.base + 4u * four + i];
        }
    }
    return words;
}
