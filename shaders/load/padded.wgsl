// Operand of a map over a padded index space: what lies outside of the tensor follows from EDGE, 0 a constant, 1 the mirror
// image without the edge itself, 2 the edge, 3 the tensor again. Strides, offset, base and the last dimension's size and
// padding count units.
struct Params {
    offset: u32,
    base: u32, // the address at which the bound range starts
    bits: u32, // of the constant, in 32
    stride_0: u32,
    stride_1: u32,
    stride_2: u32,
    stride_3: u32,
    stride_4: u32,
    stride_5: u32,
    size_0: i32,
    size_1: i32,
    size_2: i32,
    size_3: i32,
    size_4: i32,
    size_5: i32,
    before_0: i32,
    before_1: i32,
    before_2: i32,
    before_3: i32,
    before_4: i32,
    before_5: i32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Unit>;

struct State {
    base: u32,
    beyond: bool,
}

// The place in a dimension of the tensor for a place relative to its start.
fn place(at: i32, size: i32) -> i32 {
    switch EDGE {
        case 1u: {
            let mirrored = abs(at);
            return min(mirrored, 2 * (size - 1) - mirrored);
        }
        case 2u: {
            return clamp(at, 0, size - 1);
        }
        case 3u: { // at most the tensor once more on either side
            return at + select(0, size, at < 0) - select(0, size, at >= size);
        }
        default: {
            return at;
        }
    }
}

fn is_beyond(at: i32, size: i32) -> bool {
    return EDGE == 0u && (at < 0 || at >= size);
}

// Fixes the index but for the last dimension.
fn begin(outer: vec3<u32>, inner: vec2<u32>) -> State {
    let at_0 = place(i32(outer.x) - params.before_0, params.size_0);
    let at_1 = place(i32(outer.y) - params.before_1, params.size_1);
    let at_2 = place(i32(outer.z) - params.before_2, params.size_2);
    let at_3 = place(i32(inner.x) - params.before_3, params.size_3);
    let at_4 = place(i32(inner.y) - params.before_4, params.size_4);
    let slow = dot(vec3<u32>(vec3(at_0, at_1, at_2)), vec3(params.stride_0, params.stride_1, params.stride_2));
    let fast = dot(vec2<u32>(vec2(at_3, at_4)), vec2(params.stride_3, params.stride_4));
    let outer_beyond = is_beyond(at_0, params.size_0) || is_beyond(at_1, params.size_1) || is_beyond(at_2, params.size_2);
    let inner_beyond = is_beyond(at_3, params.size_3) || is_beyond(at_4, params.size_4);
    return State(params.offset + slow + fast - params.base, outer_beyond || inner_beyond);
}

fn load(state: State, unit: u32) -> Unit {
    let at = place(i32(unit) - params.before_5, params.size_5);
    if state.beyond || is_beyond(at, params.size_5) {
        return Unit(Elem(bitcast<Word>(params.bits)));
    }
    return data[state.base + u32(at) * params.stride_5];
}
