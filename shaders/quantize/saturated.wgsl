// The bits that a number is kept as: round(x / s) + zero, between LOW and HIGH; of binary numbers, whether it is 0 or more, as NaN is.
fn saturated(x: u32, s: u32, zero: i32) -> u32 {
    if BITS == 1u {
        return select(1u, 0u, x > 0x80000000u && x <= 0xff800000u);
    }
    return u32(clamp(quotient(x, s) + zero, LOW, HIGH)) & (0xffffffffu >> (32u - BITS));
}
