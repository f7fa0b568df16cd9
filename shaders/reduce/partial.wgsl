// Partial results, two words each: the bits of the value, and its index. An output has `columns` of them.
struct Params {
    offset: u32,
    columns: u32,
    first: u32, // the column of part 0
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<u32>;

fn store(o: u32, kept: vec4<u32>, part: u32, carry: Carry) {
    let at = params.offset + 2u * (o * params.columns + params.first + part);
    data[at] = bitcast<u32>(carry.value);
    data[at + 1u] = carry.index;
}
