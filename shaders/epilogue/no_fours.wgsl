// Nothing to store: the hook's empty form.
struct State {
    start: u32,
}

fn begin(start: u32, width: u32) -> State {
    return State(start);
}

fn store(state: State, four: u32, values: vec4<u32>) {}
