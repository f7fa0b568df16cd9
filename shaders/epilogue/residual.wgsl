// What is added before the activation: a tensor that lies as the output does.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

// The value for an element of the output, by its address from the first.
fn load(at: u32) -> f32 {
    return f32(data[params.offset + at]);
}
