// The steps of a convolution, each TAPS values of k, that meet a block of a sparse matrix, of which the weights are the dense form: a block has
// HEIGHT rows and WIDTH columns, and those of the same rows lie in the order of their columns.
struct Params {
    offset: u32,
    row: u32, // the first
}

@group(0) @binding(BINDING) var<storage, read> data: array<u32>;

struct Walk {
    step: u32,
    entry: u32, // the first block that does not end before the step
    last: u32, // behind the row's blocks
}

// Moves on to a step that meets a block, or to the end.
fn meet(walk: Walk, end: u32) -> Walk {
    var entry = walk.entry;
    var column = 0u;
    // Blocks that end before the step are left behind; with none to come it stands beyond all steps.
    loop {
        if entry >= walk.last {
            return Walk(end, entry, walk.last);
        }
        column = data[params.offset + entry] * WIDTH;
        if column + WIDTH > walk.step * TAPS {
            break;
        }
        entry++;
    }
    return Walk(max(walk.step, column / TAPS), entry, walk.last);
}

// The first step of a row of weights.
fn first(row: u32, end: u32) -> Walk {
    let group = (params.row + row) / HEIGHT;
    return meet(Walk(0u, pointers_load(group), pointers_load(group + 1u)), end);
}

// The step behind it, or the end.
fn next(walk: Walk, end: u32) -> Walk {
    return meet(Walk(walk.step + 1u, walk.entry, walk.last), end);
}
