// Division and rounding that come out the same to the bit on every device, whatever its division rounds to and whether it keeps subnormal
// numbers. Floats are given as the bits of an f32.

// Beyond any number that is kept.
const MOST: i32 = 512;

// The whole number nearest to x / s, ties to even, x / s being rounded to f32 before, as ONNX has it; s is positive and normal. What is
// beyond MOST is MOST, with the sign of x, infinity too; NaN is 0.
//
//     x = m 2^a, s = d 2^b, m and d of 24 bits, shift = a - b:    2 x / s = (m 2^(shift + 1)) / d
//
// A whole number k near the quotient is found by the device's division, of numbers that it is good for. On which side of k + 1/2 the quotient
// lies, m 2^(shift + 1) - (2 k + 1) d tells: that is less than 2^26, so that 32 bits of the operands are enough.
fn quotient(x: u32, s: u32) -> i32 {
    let magnitude = x & 0x7fffffffu;
    let shift = i32(magnitude >> 23u) - i32(s >> 23u);
    let e = clamp(shift, -1, 8);
    let m = magnitude & 0x7fffffu;
    let d = s & 0x7fffffu;
    let whole = floor(bitcast<f32>(m | (u32(e + 127) << 23u)) / bitcast<f32>(d | 0x3f800000u));
    let k = i32(whole);
    let beyond = i32(((m | 0x800000u) << u32(e + 1)) - u32(2 * k + 1) * (d | 0x800000u));
    // So near to k + 1/2 it is rounded to it: half a unit in the last place. That of 1/2 is less than quotients lie apart.
    let slack = i32((d | 0x800000u) >> min(150u - (bitcast<u32>(whole) >> 23u), 31u));
    var n = k + select(select(0, 1, beyond > 0), k & 1, abs(beyond) <= slack);
    // A subnormal number is less than any scale.
    n = select(n, select(0, 1, 2u * magnitude > s), magnitude < 0x800000u);
    n = select(n, 0, shift < -1);
    n = select(n, MOST, shift > 8 || magnitude == 0x7f800000u);
    n = select(n, 0, magnitude > 0x7f800000u);
    return select(n, -n, x >= 0x80000000u);
}
