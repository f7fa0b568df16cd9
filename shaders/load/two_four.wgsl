// Sparse operand of a contraction that holds two of each four values of a row, and where they lie: four bits, two for each, eight fours
// to a word. Both may be zero.
struct Params {
    offset: u32,
    row: u32, // the first
    pairs: u32, // of a row
    words: u32, // of a row's codes
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

struct State {
    base: u32,
    code: u32,
}

fn begin(batch: vec3<u32>, outer: u32) -> State {
    let row = params.row + outer;
    return State(params.offset + 2u * row * params.pairs, row * params.words);
}

// The values at 4 * quad to 4 * quad + 3.
fn load(state: State, quad: u32) -> vec4<f32> {
    let code = codes_load(state.code + quad / 8u) >> (4u * (quad % 8u));
    let places = vec4(0u, 1u, 2u, 3u);
    let one = select(vec4(0.0), vec4(f32(data[state.base + 2u * quad])), places == vec4(code & 3u));
    return select(one, vec4(f32(data[state.base + 2u * quad + 1u])), places == vec4((code >> 2u) & 3u));
}
