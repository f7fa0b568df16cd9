// Where each maximum lies in its plane, as a flat index.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<u32>;

fn store(index: u32, at: u32) {
    data[params.offset + index] = at;
}
