// Sparse operand of a contraction as the values that are kept, a bit for each that may be, 32 of a row to a word, and for each word how many
// values lie before its own.
// Unbounded:  what is read decides what is read next.
struct Params {
    offset: u32,
    row: u32, // the first
    words: u32, // of a row
    entries: u32, // values in all, at least 1
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

struct State {
    word: u32,
}

fn begin(batch: vec3<u32>, outer: u32) -> State {
    return State((params.row + outer) * params.words);
}

// The values at 4 * quad to 4 * quad + 3.
fn load(state: State, quad: u32) -> vec4<f32> {
    let word = state.word + quad / 8u;
    let shift = 4u * (quad % 8u);
    let bits = codes_load(word);
    let nibble = (bits >> shift) & 15u;
    let below = countOneBits(bits & ((1u << shift) - 1u));
    let first = params.offset + ranks_load(word) + below;
    let last = params.offset + params.entries - 1u;
    var values: vec4<f32>;
    // unroll
    for (var i = 0u; i < 4u; i++) {
        let at = first + countOneBits(nibble & ((1u << i) - 1u));
        values[i] = select(0.0, f32(data[min(at, last)]), ((nibble >> i) & 1u) == 1u);
    }
    return values;
}
