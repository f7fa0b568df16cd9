// Scales of ranges, rounded to the nearest, ties to even, in whole numbers: the same to the bit on every device. Floats are given as the
// bits of an f32.

const ONE: u32 = 0x3f800000u;
const LEAST: u32 = 0x00800000u;
const GREATEST: u32 = 0x7f7fffffu;

// m 2^exponent, with the highest bit of m set and the lowest for anything that was lost; the smallest and the largest normal number
// beyond them.
fn to_float(m: u32, exponent: i32) -> u32 {
    let rest = m & 255u;
    let up = rest > 128u || (rest == 128u && ((m >> 8u) & 1u) == 1u);
    let field = exponent + 158;
    if field < 1 {
        return LEAST;
    }
    return min((u32(min(field, 255)) << 23u) + ((m >> 8u) & 0x7fffffu) + select(0u, 1u, up), GREATEST);
}

// The sum of two magnitudes, as 24 bits and an exponent: it does not overflow.
fn sum(x: u32, y: u32) -> vec2<u32> {
    let large = max(x, y);
    let small = min(x, y);
    let apart = min(max(large >> 23u, 1u) - max(small >> 23u, 1u), 31u);
    let hidden = select(vec2(0u), vec2(0x800000u), vec2(large, small) >= vec2(0x800000u));
    let m = ((vec2(large, small) & vec2(0x7fffffu)) | hidden) << vec2(7u);
    let lost = select(0u, 1u, (m.y & ((1u << apart) - 1u)) != 0u);
    let added = (m.x + (m.y >> apart)) | lost;
    // To 24 bits, those of an f32.
    let carried = added >> 31u;
    let below = 7u + carried;
    let half = 1u << (below - 1u);
    let rest = added & (2u * half - 1u);
    let bits = added >> below;
    let up = rest > half || (rest == half && (bits & 1u) == 1u);
    return vec2(bits + select(0u, 1u, up), max(large >> 23u, 1u) + carried);
}

// The scale that takes a range to DIVISOR steps, or 1 for one without any; in f16 where scales are kept so.
fn scale_of(below: u32, above: u32) -> u32 {
    let range = select(vec2(0u, 0u), sum(below, above), ASYMMETRIC);
    var m = range.x;
    var exponent = i32(range.y) - 150;
    if !ASYMMETRIC {
        let most = select(above, max(below, above), LOW < 0);
        m = (most & 0x7fffffu) | select(0u, 0x800000u, most >= LEAST);
        exponent = i32(max(most >> 23u, 1u)) - 150;
    }
    var scale = ONE;
    if m > 0u {
        let missing = countLeadingZeros(m);
        let top = m << missing;
        let whole = top / DIVISOR;
        let shift = countLeadingZeros(whole);
        let rest = (top % DIVISOR) << shift;
        let bits = ((whole << shift) + rest / DIVISOR) | select(0u, 1u, rest % DIVISOR != 0u);
        scale = to_float(bits, exponent - i32(missing + shift));
    }
    return kept_scale(scale);
}

// A positive scale as it is kept.
fn kept_scale(scale: u32) -> u32 {
    if !HALVES {
        return scale;
    }
    let nearest = (scale + 0xfffu + ((scale >> 13u) & 1u)) & 0xffffe000u;
    return clamp(nearest, 0x38800000u, 0x477fe000u);
}
