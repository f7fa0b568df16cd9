// Values that another kernel reads, one after the other.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<f32>;

fn store(at: u32, value: f32) {
    data[params.offset + at] = value;
}
