// The steps of a convolution, each TAPS values of k, that meet a block of a sparse matrix. It has HEIGHT rows and WIDTH columns, no fewer than
// TAPS, and those of the same rows lie in the order of their columns. Each block has room for the weights of SLOTS steps of every tile of
// its rows, as many as it may meet; a step that meets two belongs to the first.
struct Params {
    offset: u32,
    row: u32, // the first
}

@group(0) @binding(BINDING) var<storage, read> data: array<u32>;

struct Walk {
    step: u32,
    weights: u32,
    behind: u32, // the first step that the block does not meet
    entry: u32,
    last: u32, // behind the row's blocks
    part: u32, // of a block's room: the tile's
}

// The steps of a block from `done` on, of which there is one at least, or the end.
fn of_block(entry: u32, last: u32, part: u32, done: u32, end: u32) -> Walk {
    let column = data[params.offset + min(entry, last - 1u)] * WIDTH;
    let step = max(column / TAPS, done);
    let weights = ((entry * (HEIGHT / ROWS) + part) * SLOTS + step - column / TAPS) * WEIGHT_VECTORS;
    return Walk(select(end, step, entry < last), weights, (column + WIDTH - 1u) / TAPS + 1u, entry, last, part);
}

fn first(tile: u32, row: u32, end: u32) -> Walk {
    let group = (params.row + row) / HEIGHT;
    let last = pointers_load(group + 1u);
    let entry = pointers_load(group);
    if entry == last {
        return Walk(end, 0u, end, last, last, 0u);
    }
    return of_block(entry, last, (params.row + row) % HEIGHT / ROWS, 0u, end);
}

fn next(walk: Walk, end: u32) -> Walk {
    // Both, since drivers on the CPU go both ways of a branch.
    let other = of_block(walk.entry + 1u, walk.last, walk.part, walk.step + 1u, end);
    let step = walk.step + 1u;
    if step < walk.behind {
        return Walk(step, walk.weights + WEIGHT_VECTORS, walk.behind, walk.entry, walk.last, walk.part);
    }
    return other;
}
