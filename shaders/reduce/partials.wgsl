// Partial results, as partial.wgsl writes them: `columns` of them for each output, side by side.
struct Params {
    offset: u32,
    columns: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<u32>;

// The address of the first partial result of output o.
fn begin(o: u32, kept: vec4<u32>) -> u32 {
    return params.offset + 2u * o * params.columns;
}

fn load(base: u32, i: u32) -> Word {
    return bitcast<Word>(data[base + 2u * i]);
}

fn index(base: u32, i: u32) -> u32 {
    return data[base + 2u * i + 1u];
}
