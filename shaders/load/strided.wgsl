// Operand of a map: the units at an index of six dimensions, a stride for each, 0 where it broadcasts. Strides and offset count
// units.
struct Params {
    offset: u32,
    stride_0: u32,
    stride_1: u32,
    stride_2: u32,
    stride_3: u32,
    stride_4: u32,
    stride_5: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Unit>;

struct State {
    base: u32,
    step: u32,
}

// Fixes the index but for the last dimension.
fn begin(outer: vec3<u32>, inner: vec2<u32>) -> State {
    let slow = dot(outer, vec3(params.stride_0, params.stride_1, params.stride_2));
    return State(params.offset + slow + dot(inner, vec2(params.stride_3, params.stride_4)), params.stride_5);
}

fn load(state: State, unit: u32) -> Unit {
    return data[state.base + unit * state.step];
}
