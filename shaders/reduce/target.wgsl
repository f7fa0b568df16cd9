// Where results go: a stride for each kept dimension.
struct Params {
    offset: u32,
    kept_0: u32,
    kept_1: u32,
    kept_2: u32,
    kept_3: u32,
    divisor: f32, // of a mean; 0 where there is nothing to divide, which makes 0 / 0
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<Elem>;

fn store(o: u32, kept: vec4<u32>, part: u32, carry: Carry) {
    let at = dot(kept, vec4(params.kept_0, params.kept_1, params.kept_2, params.kept_3));
    if ARG {
        data[params.offset + at] = Elem(carry.index);
    } else if MEAN {
        data[params.offset + at] = Elem(f32(carry.value) / params.divisor);
    } else {
        data[params.offset + at] = Elem(carry.value);
    }
    indices_store(at, carry.index);
}
