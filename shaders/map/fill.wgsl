// One value everywhere, given by its bits.
struct Params {
    bits: u32,
}

struct State {
    value: Unit,
}

fn begin(outer: vec3<u32>, inner: vec2<u32>) -> State {
    return State(Unit(bitcast<Elem>(params.bits)));
}

fn at(state: State, unit: u32) -> Unit {
    return state.value;
}
