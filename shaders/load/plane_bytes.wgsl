// Rows of bytes of CHANNELS planes, four neighbours of a plane in a word. Rows are whole words.
struct Params {
    offset: u32, // in words
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

struct State {
    base: u32,
    plane: u32,
    last: u32,
}

// Fixes the row, by its first byte in the first plane; of planes beyond so many the last one is read.
fn begin(start: u32, width: u32, plane: u32, planes: u32) -> State {
    return State(params.offset + start / 4u, plane / 4u, planes - 1u);
}

fn load(state: State, four: u32, nothing: u32) -> Words {
    var words: Words;
    // unroll
    for (var j = 0u; j < CHANNELS; j++) {
        words[j] = data[state.base + min(j, state.last) * state.plane + four];
    }
    return words;
}
