//! Arithmetic on lanes: what an operation does to the words of its operands, for every lane of a slice.
//!
//! Floats are computed by IEEE 754's rules with subnormals. Where WGSL leaves a choice it is the one that Vulkan drivers
//! take: `min` and `max` give the number where one operand is NaN, `round` is to even.

use super::code::{BinaryOp, TernaryOp, UnaryOp};

/// `to = op(a)` in every lane.
pub(crate) fn unary(op: UnaryOp, to: &mut [u32], a: &[u32]) {
    use UnaryOp::*;
    match op {
        NegF => map(to, a, |a| a ^ SIGN),
        NegI => map(to, a, u32::wrapping_neg),
        NotBool => map(to, a, |a| a ^ 1),
        NotI => map(to, a, |a| !a),
        AbsF => map(to, a, |a| a & !SIGN),
        AbsI => map(to, a, |a| (a as i32).unsigned_abs()),
        SignF => float(to, a, sign),
        SignI => map(to, a, |a| (a as i32).signum() as u32),
        FloorF => float(to, a, f32::floor),
        CeilF => float(to, a, f32::ceil),
        RoundF => float(to, a, f32::round_ties_even),
        TruncF => float(to, a, f32::trunc),
        SqrtF => float(to, a, f32::sqrt),
        InverseSqrtF => float(to, a, |a| 1.0 / a.sqrt()),
        ExpF => float(to, a, f32::exp),
        Exp2F => float(to, a, f32::exp2),
        LogF => float(to, a, f32::ln),
        Log2F => float(to, a, f32::log2),
        SinF => float(to, a, f32::sin),
        CosF => float(to, a, f32::cos),
        TanF => float(to, a, f32::tan),
        AsinF => float(to, a, f32::asin),
        AcosF => float(to, a, f32::acos),
        AtanF => float(to, a, f32::atan),
        SinhF => float(to, a, f32::sinh),
        CoshF => float(to, a, f32::cosh),
        TanhF => float(to, a, f32::tanh),
        AsinhF => float(to, a, f32::asinh),
        AcoshF => float(to, a, f32::acosh),
        AtanhF => float(to, a, f32::atanh),
        QuantizeF16 | RoundF16 => map(to, a, round_f16),
        F16BitsToF => map(to, a, widen_f16),
        FToF16Bits => map(to, a, |a| narrow_f16(round_f16(a))),
        FToI => map(to, a, |a| most(f32::from_bits(a), MAX_I32) as i32 as u32),
        FToU => map(to, a, |a| most(f32::from_bits(a), MAX_U32) as u32),
        IToF => map(to, a, |a| (a as i32 as f32).to_bits()),
        UToF => map(to, a, |a| (a as f32).to_bits()),
        ToBool => map(to, a, |a| u32::from(a != 0)),
        FToBool => map(to, a, |a| u32::from(f32::from_bits(a) != 0.0)),
        CountOneBits => map(to, a, u32::count_ones),
        CountLeadingZeros => map(to, a, u32::leading_zeros),
        CountTrailingZeros => map(to, a, u32::trailing_zeros),
        ReverseBits => map(to, a, u32::reverse_bits),
        FirstLeadingBitI => map(to, a, |a| first_leading_bit(a ^ (a as i32 >> 31) as u32)),
        FirstLeadingBitU => map(to, a, first_leading_bit),
        FirstTrailingBit => map(to, a, |a| if a == 0 { u32::MAX } else { a.trailing_zeros() }),
        FrexpFract => map(to, a, |a| frexp(a).0),
        FrexpExp => map(to, a, |a| frexp(a).1 as u32),
    }
}

/// `to = op(a, b)` in every lane.
pub(crate) fn binary(op: BinaryOp, to: &mut [u32], a: &[u32], b: &[u32]) {
    use BinaryOp::*;
    match op {
        AddF => float2(to, a, b, |a, b| a + b),
        SubF => float2(to, a, b, |a, b| a - b),
        MulF => float2(to, a, b, |a, b| a * b),
        DivF => float2(to, a, b, |a, b| a / b),
        RemF => float2(to, a, b, |a, b| a % b),
        MinF => float2(to, a, b, f32::min),
        MaxF => float2(to, a, b, f32::max),
        PowF => float2(to, a, b, f32::powf),
        Atan2F => float2(to, a, b, f32::atan2),
        StepF => float2(to, a, b, |edge, x| f32::from(u8::from(edge <= x))),
        LdexpF => map2(to, a, b, |a, b| ldexp(f32::from_bits(a), b as i32).to_bits()),
        AddI => map2(to, a, b, u32::wrapping_add),
        SubI => map2(to, a, b, u32::wrapping_sub),
        MulI => map2(to, a, b, u32::wrapping_mul),
        // As WGSL has it: x / 0 is x, and MIN / -1 is MIN.
        DivI => map2(to, a, b, |a, b| if b == 0 { a } else { (a as i32).wrapping_div(b as i32) as u32 }),
        DivU => map2(to, a, b, |a, b| a.checked_div(b).unwrap_or(a)),
        // x % 0 is 0, and MIN % -1 is 0.
        RemI => map2(to, a, b, |a, b| if b == 0 { 0 } else { (a as i32).wrapping_rem(b as i32) as u32 }),
        RemU => map2(to, a, b, |a, b| a.checked_rem(b).unwrap_or(0)),
        MinI => map2(to, a, b, |a, b| (a as i32).min(b as i32) as u32),
        MaxI => map2(to, a, b, |a, b| (a as i32).max(b as i32) as u32),
        MinU => map2(to, a, b, u32::min),
        MaxU => map2(to, a, b, u32::max),
        And => map2(to, a, b, |a, b| a & b),
        Or => map2(to, a, b, |a, b| a | b),
        Xor => map2(to, a, b, |a, b| a ^ b),
        Shl => map2(to, a, b, u32::wrapping_shl),
        ShrI => map2(to, a, b, |a, b| (a as i32).wrapping_shr(b) as u32),
        ShrU => map2(to, a, b, u32::wrapping_shr),
        EqF => compare(to, a, b, |a, b| a == b),
        NeF => compare(to, a, b, |a, b| a != b),
        LtF => compare(to, a, b, |a, b| a < b),
        LeF => compare(to, a, b, |a, b| a <= b),
        EqI => map2(to, a, b, |a, b| u32::from(a == b)),
        NeI => map2(to, a, b, |a, b| u32::from(a != b)),
        LtI => map2(to, a, b, |a, b| u32::from((a as i32) < b as i32)),
        LeI => map2(to, a, b, |a, b| u32::from(a as i32 <= b as i32)),
        LtU => map2(to, a, b, |a, b| u32::from(a < b)),
        LeU => map2(to, a, b, |a, b| u32::from(a <= b)),
        Dot4I8 => map2(to, a, b, |a, b| dot4(a, b, |byte| i32::from(byte as i8))),
        Dot4U8 => map2(to, a, b, |a, b| dot4(a, b, i32::from)),
    }
}

/// `to = op(a, b, c)` in every lane.
pub(crate) fn ternary(op: TernaryOp, to: &mut [u32], a: &[u32], b: &[u32], c: &[u32]) {
    match op {
        TernaryOp::FmaF => {
            map3(to, a, b, c, |a, b, c| fused(f32::from_bits(a), f32::from_bits(b), f32::from_bits(c)).to_bits())
        }
        TernaryOp::Select => map3(to, a, b, c, |a, b, c| if a != 0 { c } else { b }),
        TernaryOp::ExtractBitsI => map3(to, a, b, c, |a, offset, count| {
            let (offset, count) = bit_field(offset, count);
            if count == 0 { 0 } else { (((a << (32 - count - offset)) as i32) >> (32 - count)) as u32 }
        }),
        TernaryOp::ExtractBitsU => map3(to, a, b, c, |a, offset, count| {
            let (offset, count) = bit_field(offset, count);
            if count == 0 { 0 } else { (a << (32 - count - offset)) >> (32 - count) }
        }),
    }
}

const SIGN: u32 = 1 << 31;

/// The largest f32 that is an i32: WGSL clamps a conversion to what both types can represent.
const MAX_I32: f32 = 2_147_483_520.0;

/// The largest f32 that is a u32.
const MAX_U32: f32 = 4_294_967_040.0;

fn map(to: &mut [u32], a: &[u32], f: impl Fn(u32) -> u32) {
    for (to, &a) in to.iter_mut().zip(a) {
        *to = f(a);
    }
}

fn float(to: &mut [u32], a: &[u32], f: impl Fn(f32) -> f32) {
    map(to, a, |a| f(f32::from_bits(a)).to_bits());
}

fn map2(to: &mut [u32], a: &[u32], b: &[u32], f: impl Fn(u32, u32) -> u32) {
    for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
        *to = f(a, b);
    }
}

fn float2(to: &mut [u32], a: &[u32], b: &[u32], f: impl Fn(f32, f32) -> f32) {
    map2(to, a, b, |a, b| f(f32::from_bits(a), f32::from_bits(b)).to_bits());
}

fn compare(to: &mut [u32], a: &[u32], b: &[u32], f: impl Fn(f32, f32) -> bool) {
    map2(to, a, b, |a, b| u32::from(f(f32::from_bits(a), f32::from_bits(b))));
}

fn map3(to: &mut [u32], a: &[u32], b: &[u32], c: &[u32], f: impl Fn(u32, u32, u32) -> u32) {
    for (((to, &a), &b), &c) in to.iter_mut().zip(a).zip(b).zip(c) {
        *to = f(a, b, c);
    }
}

/// The smaller number, NaN staying NaN, which converts to 0.
fn most(a: f32, limit: f32) -> f32 {
    if a > limit { limit } else { a }
}

fn sign(a: f32) -> f32 {
    if a > 0.0 {
        1.0
    } else if a < 0.0 {
        -1.0
    } else {
        a
    }
}

fn first_leading_bit(a: u32) -> u32 {
    // 31 - 32 wraps to all ones, which is what WGSL gives for no bit.
    31u32.wrapping_sub(a.leading_zeros())
}

/// Offset and count of a bit field, cut to 32 bits as WGSL has it.
fn bit_field(offset: u32, count: u32) -> (u32, u32) {
    let offset = offset.min(32);
    (offset, count.min(32 - offset))
}

fn dot4(a: u32, b: u32, widen: impl Fn(u8) -> i32) -> u32 {
    let products = a.to_le_bytes().into_iter().zip(b.to_le_bytes()).map(|(a, b)| widen(a) * widen(b));
    products.sum::<i32>() as u32
}

/// Fraction in [0.5, 1) and exponent; of zero, infinity and NaN the value itself and 0.
fn frexp(a: u32) -> (u32, i32) {
    let value = f32::from_bits(a);
    if value == 0.0 || !value.is_finite() {
        return (a, 0);
    }
    // A subnormal becomes normal by a power of two.
    let (bits, shift) = if value.is_normal() { (a, 0) } else { ((value * 16_777_216.0).to_bits(), 24) };
    let exponent = ((bits >> 23) & 0xff) as i32 - 126 - shift;
    ((bits & !(0xff << 23)) | (126 << 23), exponent)
}

/// a * 2^exponent, rounded once: the product of doubles is exact.
fn ldexp(a: f32, exponent: i32) -> f32 {
    let exponent = exponent.clamp(-400, 400);
    let power = f64::from_bits(((1023 + exponent) as u64) << 52);
    (f64::from(a) * power) as f32
}

/// a * b + c, rounded once. `f32::mul_add` would be a call for each lane where the target is not known to have the
/// instruction; this is arithmetic on vectors. The product of doubles is exact; their sum is rounded to odd, by its error as
/// Knuth's two-sum gives it, so that rounding it again to f32 is right (Boldo and Melquiond, "Emulation of FMA and correctly
/// rounded sums: proved algorithms using rounding to odd", 2008).
fn fused(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    let part = sum - product;
    let error = (product - (sum - part)) + (c - part);
    let bits = sum.to_bits();
    let odd = if (error < 0.0) == (sum < 0.0) { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    let inexact = error != 0.0 && sum.is_finite() && bits & 1 == 0;
    (if inexact { f64::from_bits(odd) } else { sum }) as f32
}

/// The f32 of the f16 that is next to the f32, ties to even, without branches.
fn round_f16(a: u32) -> u32 {
    let sign = a & SIGN;
    let magnitude = a & !SIGN;
    let value = f32::from_bits(magnitude);
    let normal = magnitude.wrapping_add(0xfff + ((magnitude >> 13) & 1)) & !0x1fff;
    // f16's subnormals are multiples of 2^-24, the unit in the last place of numbers from 0.5 to 1.
    let subnormal = ((value + 0.5) - 0.5).to_bits();
    // 65504 is the largest f16; what rounds beyond is infinite.
    let normal = if normal > 65504f32.to_bits() { f32::INFINITY.to_bits() } else { normal };
    let rounded = if value < 6.103_515_6e-5 { subnormal } else { normal };
    sign | if value.is_nan() { magnitude | 0x0040_0000 } else { rounded }
}

/// The f32 of f16 bits.
fn widen_f16(a: u32) -> u32 {
    let sign = (a & 0x8000) << 16;
    let shifted = (a & 0x7fff) << 13;
    // f32's exponent is biased by 112 more.
    let value = f32::from_bits(shifted) * f32::from_bits((127 + 112) << 23);
    let finite = value.to_bits();
    sign | if value >= 65536.0 { shifted | 0x7f80_0000 } else { finite }
}

/// The f16 bits of an f32 that is an f16.
fn narrow_f16(a: u32) -> u32 {
    let sign = (a >> 16) & 0x8000;
    let value = f32::from_bits(a & !SIGN);
    let scaled = (value * f32::from_bits((127 - 112) << 23)).to_bits() >> 13;
    let finite = if value.is_infinite() { 0x7c00 } else { scaled };
    sign | if value.is_nan() { 0x7e00 } else { finite }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    fn one(op: UnaryOp, a: u32) -> u32 {
        let mut to = [0];
        unary(op, &mut to, &[a]);
        to[0]
    }

    fn two(op: BinaryOp, a: u32, b: u32) -> u32 {
        let mut to = [0];
        binary(op, &mut to, &[a], &[b]);
        to[0]
    }

    fn three(op: TernaryOp, a: u32, b: u32, c: u32) -> u32 {
        let mut to = [0];
        ternary(op, &mut to, &[a], &[b], &[c]);
        to[0]
    }

    #[test]
    fn every_f16_widens_and_narrows_as_the_half_crate_has_it() {
        for bits in 0..=u16::MAX {
            let value = f16::from_bits(bits);
            let wide = one(UnaryOp::F16BitsToF, u32::from(bits));
            if value.is_nan() {
                assert!(f32::from_bits(wide).is_nan());
                assert!(f16::from_bits(one(UnaryOp::FToF16Bits, wide) as u16).is_nan());
            } else {
                assert_eq!(wide, value.to_f32().to_bits(), "{bits:#x}");
                assert_eq!(one(UnaryOp::FToF16Bits, wide), u32::from(bits), "{bits:#x}");
                assert_eq!(one(UnaryOp::RoundF16, wide), wide, "{bits:#x}");
            }
        }
    }

    #[test]
    fn rounding_to_f16_is_to_even() {
        // Around every f16, and around the midpoint between it and the next, where ties and overflow decide.
        for bits in 0..0x7c00u16 {
            let low = f16::from_bits(bits).to_f32();
            let high = if bits == 0x7bff { 65536.0 } else { f16::from_bits(bits + 1).to_f32() };
            let middle = (low + high) / 2.0;
            for value in [low, low.next_up(), middle.next_down(), middle, middle.next_up(), high.next_down()] {
                for value in [value, -value] {
                    let expected = f16::from_f32(value);
                    assert_eq!(one(UnaryOp::RoundF16, value.to_bits()), expected.to_f32().to_bits(), "{value:e}");
                    assert_eq!(one(UnaryOp::FToF16Bits, value.to_bits()), u32::from(expected.to_bits()), "{value:e}");
                }
            }
        }
        assert_eq!(one(UnaryOp::RoundF16, f32::MAX.to_bits()), f32::INFINITY.to_bits());
        assert_eq!(one(UnaryOp::RoundF16, f32::MIN_POSITIVE.to_bits()), 0);
    }

    #[test]
    fn whole_division_is_wgsls() {
        let (min, minus) = (i32::MIN as u32, -1i32 as u32);
        assert_eq!(two(BinaryOp::DivI, 7, 0), 7);
        assert_eq!(two(BinaryOp::DivI, min, minus), min);
        assert_eq!(two(BinaryOp::DivI, -7i32 as u32, 2), -3i32 as u32);
        assert_eq!(two(BinaryOp::RemI, 7, 0), 0);
        assert_eq!(two(BinaryOp::RemI, min, minus), 0);
        assert_eq!(two(BinaryOp::RemI, -7i32 as u32, 2), minus);
        assert_eq!(two(BinaryOp::DivU, u32::MAX, 0), u32::MAX);
        assert_eq!(two(BinaryOp::RemU, 5, 0), 0);
        assert_eq!(one(UnaryOp::AbsI, min), min);
        assert_eq!(one(UnaryOp::NegI, min), min);
    }

    #[test]
    fn conversions_saturate_at_what_both_types_hold() {
        for (value, signed, unsigned) in [
            (f32::INFINITY, 2_147_483_520, 4_294_967_040),
            (f32::NEG_INFINITY, i32::MIN, 0),
            (f32::NAN, 0, 0),
            (3.9, 3, 3),
            (-3.9, -3, 0),
            (3e9, 2_147_483_520, 3_000_000_000),
        ] {
            assert_eq!(one(UnaryOp::FToI, f32::to_bits(value)) as i32, signed);
            assert_eq!(one(UnaryOp::FToU, f32::to_bits(value)), unsigned);
        }
    }

    #[test]
    fn bits() {
        assert_eq!(two(BinaryOp::Shl, 1, 33), 2);
        assert_eq!(two(BinaryOp::ShrI, i32::MIN as u32, 31), u32::MAX);
        assert_eq!(one(UnaryOp::FirstLeadingBitU, 0), u32::MAX);
        assert_eq!(one(UnaryOp::FirstLeadingBitU, 0x8000_0000), 31);
        assert_eq!(one(UnaryOp::FirstLeadingBitI, u32::MAX), u32::MAX);
        assert_eq!(one(UnaryOp::FirstLeadingBitI, -2i32 as u32), 0);
        assert_eq!(one(UnaryOp::FirstLeadingBitI, 5), 2);
        assert_eq!(one(UnaryOp::FirstTrailingBit, 0), u32::MAX);
        assert_eq!(one(UnaryOp::FirstTrailingBit, 8), 3);
        assert_eq!(three(TernaryOp::ExtractBitsI, 0xf0, 4, 4), u32::MAX);
        assert_eq!(three(TernaryOp::ExtractBitsU, 0xf0, 4, 4), 15);
        assert_eq!(three(TernaryOp::ExtractBitsU, u32::MAX, 0, 99), u32::MAX);
        assert_eq!(three(TernaryOp::ExtractBitsI, u32::MAX, 32, 4), 0);
        assert_eq!(two(BinaryOp::Dot4I8, 0xff80_7f01, 0xff80_7f01), 1 + 127 * 127 + 128 * 128 + 1);
        assert_eq!(two(BinaryOp::Dot4U8, u32::MAX, u32::MAX), 4 * 255 * 255);
    }

    #[test]
    fn floats() {
        let nan = f32::NAN.to_bits();
        let bits = f32::to_bits;
        assert_eq!(two(BinaryOp::MinF, nan, bits(2.0)), bits(2.0));
        assert_eq!(two(BinaryOp::MaxF, bits(2.0), nan), bits(2.0));
        assert_eq!(two(BinaryOp::LtF, nan, nan) + two(BinaryOp::EqF, nan, nan), 0);
        assert_eq!(two(BinaryOp::NeF, nan, nan), 1);
        assert_eq!(one(UnaryOp::RoundF, bits(2.5)), bits(2.0));
        assert_eq!(two(BinaryOp::StepF, bits(1.0), bits(1.0)), bits(1.0));
        assert_eq!(two(BinaryOp::LdexpF, bits(1.5), -149i32 as u32), bits(f32::from_bits(2)));
        assert_eq!(two(BinaryOp::LdexpF, bits(1e-38), 250), bits(1e-38 * 2f32.powi(125) * 2f32.powi(125)));
        for value in [1.0, -3.5, 1e-40, f32::MAX, 0.0, f32::from_bits(1)] {
            let fract = f32::from_bits(one(UnaryOp::FrexpFract, bits(value)));
            assert!(value == 0.0 || (0.5..1.0).contains(&fract.abs()), "{value:e} {fract}");
            assert_eq!(two(BinaryOp::LdexpF, bits(fract), one(UnaryOp::FrexpExp, bits(value))), bits(value));
        }
        // One rounding: (1 + 2^-12)^2 - 1 keeps the last bit.
        let x = 1.0 + 1.0 / 4096.0;
        assert_eq!(three(TernaryOp::FmaF, bits(x), bits(x), bits(-1.0)), bits(2f32.powi(-11) + 2f32.powi(-24)));
        assert_eq!(three(TernaryOp::Select, 1, 5, 6), 6);
    }

    #[test]
    fn fused_products_are_rounded_once() {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 32) as u32
        };
        for trial in 0..400_000 {
            let (a, b) = (f32::from_bits(next()), f32::from_bits(next()));
            // Any bits, near cancellation, and a tail far below a tie.
            let c = match trial % 4 {
                0 => f32::from_bits(next()),
                1 => -(a * b),
                2 => f32::from_bits((a * b).to_bits() ^ (next() & 0x8fff_ffff)),
                _ => a * b * 2f32.powi((next() % 120) as i32 - 60),
            };
            let (a, b) = if trial % 3 == 0 { (f32::from_bits(a.to_bits() & !0xfff), b) } else { (a, b) };
            let (ours, std) = (fused(a, b, c), a.mul_add(b, c));
            assert!(
                ours.to_bits() == std.to_bits() || ours.is_nan() && std.is_nan(),
                "{a:e} {b:e} {c:e}: {ours:e} {std:e}"
            );
        }
    }
}
