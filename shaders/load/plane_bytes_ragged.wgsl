// Rows of bytes of CHANNELS planes, of any width and alignment, four neighbours of a plane in a word. What lies beyond a row is `nothing`.
struct Params {
    offset: u32, // in bytes
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

struct State {
    base: u32,
    width: u32,
    plane: u32,
    last: u32,
}

// Fixes the row, by its first byte in the first plane; of planes beyond so many the last one is read.
fn begin(start: u32, width: u32, plane: u32, planes: u32) -> State {
    return State(params.offset + start, width, plane, planes - 1u);
}

fn load(state: State, four: u32, nothing: u32) -> Words {
    let left = min(state.width - 4u * four, 4u);
    let beyond = select(0xffffffffu << (8u * left % 32u), 0u, left == 4u);
    var words: Words;
    // unroll
    for (var j = 0u; j < CHANNELS; j++) {
        let at = state.base + min(j, state.last) * state.plane + 4u * four;
        let shift = at % 4u * 8u;
        // The bytes that are there end in this word, or in the next.
        let rest = data[(at + left - 1u) / 4u] << ((32u - shift) % 32u);
        let word = (data[at / 4u] >> shift) | select(rest, 0u, shift == 0u);
        words[j] = (word & ~beyond) | (nothing & beyond);
    }
    return words;
}
