// Rows of a plane in words of four channels, four neighbours at once. Rows are whole vectors.
struct Params {
    offset: u32, // in vectors
}

@group(0) @binding(BINDING) var<storage, read> data: array<vec4<Elem>>;

struct State {
    base: u32,
}

// Fixes the row by its first element; other planes, and how many they are, are not asked for.
fn begin(start: u32, width: u32, plane: u32, planes: u32) -> State {
    return State(params.offset + start / 4u);
}

fn load(state: State, four: u32, nothing: u32) -> Words {
    return data[state.base + four];
}
