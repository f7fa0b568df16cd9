// A mask: a bit for each element, 32 to a word, the first in the lowest bit. Bits beyond the last are 0.
struct Params {
    offset: u32, // in words
}

@group(0) @binding(BINDING) var<storage, read> data: array<u32>;

fn load(word: u32) -> u32 {
    return data[params.offset + word];
}

// Whether an element is kept.
fn bit(at: u32) -> bool {
    return ((load(at / 32u) >> (at % 32u)) & 1u) == 1u;
}

// The bits of 1 to 32 elements from `at` on.
fn span(at: u32, length: u32) -> u32 {
    var bits = load(at / 32u) >> (at % 32u);
    if at % 32u + length > 32u {
        bits |= load(at / 32u + 1u) << (32u - at % 32u);
    }
    return bits & (0xffffffffu >> (32u - length));
}
