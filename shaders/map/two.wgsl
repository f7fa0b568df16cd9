// A function of two arguments, computed in 32 bits.
struct State {
    a: a_State,
    b: b_State,
}

fn begin(outer: vec3<u32>, inner: vec2<u32>) -> State {
    return State(a_begin(outer, inner), b_begin(outer, inner));
}

fn at(state: State, unit: u32) -> Unit {
    var values = a_load(state.a, unit);
    var others = b_load(state.b, unit);
    // unroll
    for (var i = 0u; i < WIDTH; i++) {
        values[i] = Elem(function_apply(Word(values[i]), Word(others[i])));
    }
    return values;
}
