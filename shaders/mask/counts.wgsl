// Counts that workgroups add to.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<atomic<u32>>;

fn add(at: u32, count: u32) {
    atomicAdd(&data[params.offset + at], count);
}
