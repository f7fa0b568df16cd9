// One value everywhere, given by the bits of it in 32.
struct Params {
    bits: u32,
}

struct State {
    value: Unit,
}

fn begin(outer: vec3<u32>, inner: vec2<u32>) -> State {
    return State(Unit(Elem(bitcast<Word>(params.bits))));
}

fn at(state: State, unit: u32) -> Unit {
    return state.value;
}
