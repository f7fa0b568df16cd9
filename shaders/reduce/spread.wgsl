// Where a softmax goes: a stride for each kept dimension, and one along the reduction.
struct Params {
    offset: u32,
    kept_0: u32,
    kept_1: u32,
    kept_2: u32,
    kept_3: u32,
    stride: u32,
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<Elem>;

fn begin(kept: vec4<u32>) -> u32 {
    return params.offset + dot(kept, vec4(params.kept_0, params.kept_1, params.kept_2, params.kept_3));
}

fn store(base: u32, i: u32, value: Elem) {
    data[base + i * params.stride] = value;
}
