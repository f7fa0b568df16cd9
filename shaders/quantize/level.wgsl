// The number that a word of quantized values holds in place i.
fn level(word: u32, i: u32) -> i32 {
    if BITS == 1u {
        return 2 * i32((word >> i) & 1u) - 1;
    }
    return select(i32(extractBits(word, BITS * i, BITS)), extractBits(i32(word), BITS * i, BITS), LOW < 0);
}
