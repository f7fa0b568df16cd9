// Values that another kernel has stored, one after the other.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

fn load(at: u32) -> Elem {
    return data[params.offset + at];
}
