// Values one after the other, which may be read again.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<Elem>;

fn store(at: u32, value: Elem) {
    data[params.offset + at] = value;
}

fn load(at: u32) -> Elem {
    return data[params.offset + at];
}
