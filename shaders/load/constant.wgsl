// Operand of a map that broadcasts along the last dimension: an element for a whole row, read once. Strides and offset count
// elements.
struct Params {
    offset: u32,
    stride_0: u32,
    stride_1: u32,
    stride_2: u32,
    stride_3: u32,
    stride_4: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

struct State {
    value: Unit,
}

// Fixes the index but for the last dimension.
fn begin(outer: vec3<u32>, inner: vec2<u32>) -> State {
    let slow = dot(outer, vec3(params.stride_0, params.stride_1, params.stride_2));
    let fast = dot(inner, vec2(params.stride_3, params.stride_4));
    return State(Unit(data[params.offset + slow + fast]));
}

fn load(state: State, unit: u32) -> Unit {
    return state.value;
}
