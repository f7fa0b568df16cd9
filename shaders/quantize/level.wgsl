// The number that a word of quantized values holds in place i.
fn level(word: u32, i: u32) -> i32 {
    let bits = word << (32u - BITS - BITS * i);
    if BITS == 1u {
        return select(-1, 1, bits >= 0x80000000u);
    }
    return select(i32(bits >> (32u - BITS)), i32(bits) >> (32u - BITS), LOW < 0);
}
