// The steps of a convolution: all of them.
struct Params {
    panel: u32, // vectors of ROWS output channels' weights
}

// A step, and where its weights lie.
struct Walk {
    step: u32,
    weights: u32,
}

// The first step of a tile from this row on.
fn first(tile: u32, row: u32, end: u32) -> Walk {
    return Walk(0u, tile * params.panel);
}

// The step behind it, or the end.
fn next(walk: Walk, end: u32) -> Walk {
    return Walk(walk.step + 1u, walk.weights + WEIGHT_VECTORS);
}
