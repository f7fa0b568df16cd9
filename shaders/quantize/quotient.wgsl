// Division and rounding in whole numbers: what comes out is the same to the bit on every device, whatever its division rounds to and
// whether it keeps subnormal numbers. Floats are given as the bits of an f32.

// Beyond any number that is kept.
const MOST: i32 = 512;

// The whole number nearest to x / s, ties to even, x / s being rounded to f32 before, as ONNX has it; s is positive and normal. What is
// beyond MOST is MOST or more, with the sign of x, infinity too; NaN is 0.
//
//     x = m 2^a, s = d 2^b, m and d of 24 bits: x / s = (m 2^(a - b)) / d = k + rest / bottom
fn quotient(x: u32, s: u32) -> i32 {
    let magnitude = x & 0x7fffffffu;
    if magnitude == 0u || magnitude > 0x7f800000u {
        return 0;
    }
    var n = MOST;
    var m = (magnitude & 0x7fffffu) | 0x800000u;
    var exponent = i32(magnitude >> 23u);
    if exponent == 0 {
        let missing = countLeadingZeros(magnitude) - 8u;
        m = magnitude << missing;
        exponent = 1 - i32(missing);
    }
    let shift = exponent - i32((s >> 23u) & 255u);
    if shift < -1 {
        n = 0; // below 1/2
    } else if shift <= 8 && magnitude < 0x7f800000u {
        let top = m << u32(max(shift, 0));
        let bottom = ((s & 0x7fffffu) | 0x800000u) << u32(max(-shift, 0));
        // The device's division is off by a few units in the last place: k by 1 at the most.
        var k = i32(f32(top) / f32(bottom));
        var rest = i32(top - u32(k) * bottom);
        if rest < 0 {
            k -= 1;
            rest += i32(bottom);
        } else if rest >= i32(bottom) {
            k += 1;
            rest -= i32(bottom);
        }
        // How far x / s is beyond k + 1/2, times 2 bottom; and how far it may be from there and yet be rounded to it: half a unit in
        // the last place, which below 1/2 is half of that above it.
        let beyond = 2 * rest - i32(bottom);
        let place = firstLeadingBit(2u * u32(k) + 1u);
        let slack = i32(bottom >> (24u - place + select(0u, 1u, k == 0 && beyond < 0)));
        n = k + select(select(0, 1, beyond > 0), k & 1, abs(beyond) <= slack);
    }
    return select(n, -n, x >= 0x80000000u);
}
