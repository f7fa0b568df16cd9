// What lies around an image of int8: its zero point, a byte, four times. Of an unsigned one FLIP turns the highest bit.
struct Params {
    offset: u32, // in bytes
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

fn value() -> u32 {
    return (((data[params.offset / 4u] >> (8u * (params.offset % 4u))) & 255u) ^ FLIP) * 0x01010101u;
}
