// The steps of a contraction over the blocks of rows that a sparse matrix holds: a is their stream, step by step, and b is read in
// the rows that a block's columns name. A block has WIDTH columns, a multiple of 4.
// Unbounded:  what is read decides what is read next.
struct Params {
    offset: u32,
    group: u32, // of the first row
    entries: u32, // blocks in all, at least 1
    k: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<u32>;

const ALL: bool = false;
const SKIPS: bool = false;

alias Place = u32;
const QUADS: u32 = WIDTH / 4u;

// The first step of a tile of rows and the one after its last.
fn range(row: u32, end: u32) -> vec2<u32> {
    let group = params.group + row / HEIGHT;
    return vec2(pointers_load(group), pointers_load(group + 1u)) * QUADS;
}

// Where b is read for step s of a.
fn place(s: u32) -> Place {
    let quad = data[params.offset + min(s / QUADS, params.entries - 1u)] * QUADS + s % QUADS;
    // A block at the edge reaches beyond k: there it holds zeros, which take what is before it.
    return min(quad, (params.k - 1u) / 4u);
}

// Whether the step adds nothing.
fn is_void(row: u32, at: Place) -> bool {
    return false;
}

fn load_b(quads: b_Quads, at: Place) -> Quad {
    if WHOLE {
        return b_quads_load(quads, at);
    }
    return b_quads_load_to(quads, at, params.k);
}

// The same with zeros from k on, which is not 0.
fn load_b_to(quads: b_Quads, at: Place, k: u32) -> Quad {
    return b_quads_load_to(quads, at, params.k);
}
