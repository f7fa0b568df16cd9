// What lies around an image of int8: four times its zero point, the first of the columns' terms.
struct Params {
    offset: u32, // in fours
}

@group(0) @binding(BINDING) var<storage, read> data: array<vec4<Elem>>;

fn value() -> u32 {
    return (data[params.offset].x & 255u) * 0x01010101u;
}
