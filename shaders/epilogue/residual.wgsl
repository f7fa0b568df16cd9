// What is added before the activation: a tensor that lies as the output does.
struct Params {
    offset: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

// Adds the value for an element of the output, by its address from the first.
fn add(value: f32, at: u32) -> f32 {
    return value + f32(data[params.offset + at]);
}
