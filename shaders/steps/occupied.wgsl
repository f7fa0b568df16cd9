// The steps of a contraction over all of k, but for those in which a's mask has nothing left: a bit tells it for each block of HEIGHT
// rows by WIDTH values of k, a multiple of 4.
struct Params {
    group: u32, // of the first row
    across: u32, // blocks of a row of them
}

// Whether k is gone through as it is.
const ALL: bool = true;
const SKIPS: bool = true;

alias Place = u32;

// The first step of a tile of rows and the one after its last.
fn range(row: u32, end: u32) -> vec2<u32> {
    return vec2(0u, end);
}

// Where b is read for step s of a.
fn place(s: u32) -> Place {
    return s;
}

// Whether the step adds nothing.
fn is_void(row: u32, at: Place) -> bool {
    return !occupied_bit((params.group + row / HEIGHT) * params.across + 4u * at / WIDTH);
}

fn load_b(quads: b_Quads, at: Place) -> Quad {
    return b_quads_load(quads, at);
}

// The same with zeros from k on, which is not 0.
fn load_b_to(quads: b_Quads, at: Place, k: u32) -> Quad {
    return b_quads_load_to(quads, at, k);
}
