// Where each maximum lies, as a flat index, at the address of its value.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<u32>;

fn store(address: u32, index: u32) {
    data[params.offset + address] = index;
}
