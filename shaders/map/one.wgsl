// A function of one argument, computed in 32 bits.
struct State {
    a: a_State,
}

fn begin(outer: vec3<u32>, inner: vec2<u32>) -> State {
    return State(a_begin(outer, inner));
}

fn at(state: State, unit: u32) -> Unit {
    var values = a_load(state.a, unit);
    // unroll
    for (var i = 0u; i < WIDTH; i++) {
        values[i] = Elem(function_apply(Word(values[i])));
    }
    return values;
}
