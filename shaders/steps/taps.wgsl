// The steps of a convolution: all of them.
struct Walk {
    step: u32,
}

// The first step of a row of weights.
fn first(row: u32, end: u32) -> Walk {
    return Walk(0u);
}

// The step behind it, or the end.
fn next(walk: Walk, end: u32) -> Walk {
    return Walk(walk.step + 1u);
}
