// The steps of a contraction over the values of k that a sparse matrix holds for each group of HEIGHT rows: a is their stream, and b is read
// at four listed values of k at once. Entries that fill up a group are k, and read zeros.
// Unbounded:  what is read decides what is read next.
struct Params {
    offset: u32,
    group: u32, // of the first row
    entries: u32, // at least 1
    k: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<u32>;

const ALL: bool = false;
const SKIPS: bool = false;

alias Place = vec4<u32>;

// The first step of a tile of rows and the one after its last.
fn range(row: u32, end: u32) -> vec2<u32> {
    let group = params.group + row / HEIGHT;
    return vec2(pointers_load(group), pointers_load(group + 1u)) / 4u;
}

// Where b is read for step s of a.
fn place(s: u32) -> Place {
    let first = params.offset + min(4u * s, params.entries - 4u);
    return vec4(data[first], data[first + 1u], data[first + 2u], data[first + 3u]);
}

// Whether the step adds nothing.
fn is_void(row: u32, at: Place) -> bool {
    return false;
}

fn load_b(quads: b_Quads, at: Place) -> Quad {
    return b_quads_gather(quads, at, params.k);
}

fn load_b_to(quads: b_Quads, at: Place, k: u32) -> Quad {
    return b_quads_gather(quads, at, params.k);
}
