// The argument as it is.
struct State {
    a: a_State,
}

fn begin(outer: vec3<u32>, inner: vec2<u32>) -> State {
    return State(a_begin(outer, inner));
}

fn at(state: State, unit: u32) -> Unit {
    return a_load(state.a, unit);
}
