//! Functions of mathematics: operations on scalars, and what is composed of them by WGSL's own formulas.

use naga::{Expression, Handle, MathFunction, Scalar, ScalarKind};

use super::value::component;
use super::{Lowerer, Regs, Result};
use crate::emulator::code::{BinaryOp, Reg, TernaryOp, UnaryOp};

impl Lowerer<'_> {
    pub(super) fn math(
        &mut self,
        fun: MathFunction,
        first: Handle<Expression>,
        others: [Option<Handle<Expression>>; 3],
    ) -> Result<Regs> {
        use MathFunction as M;
        let scalar = self.scalar(first)?;
        let mut arguments = vec![self.regs(first)?];
        for other in others.into_iter().flatten() {
            arguments.push(self.regs(other)?);
        }
        if let Some(value) = self.by_component(fun, scalar, &arguments)? {
            return Ok(value);
        }
        let a = &arguments[0];
        let [b, c] = [1, 2].map(|index| arguments.get(index).unwrap_or(a));
        Ok(match fun {
            M::Dot => [self.dot(scalar, a, b)].into(),
            M::Length => [self.length(scalar, a)].into(),
            M::Distance => {
                let difference = self.zip(a, b, |this, a, b| this.float2(scalar, BinaryOp::SubF, a, b));
                [self.length(scalar, &difference)].into()
            }
            M::Normalize => {
                let length = self.length(scalar, a);
                self.each(a, |this, a| this.float2(scalar, BinaryOp::DivF, a, length))
            }
            M::Cross => {
                let minor = |(i, j): (usize, usize)| self.minor(scalar, [a[i], a[j], b[i], b[j]]);
                [(1, 2), (2, 0), (0, 1)].into_iter().map(minor).collect()
            }
            M::Outer => {
                let mut columns = Vec::new();
                for &b in b.iter() {
                    columns.extend(self.each(a, |this, a| this.float2(scalar, BinaryOp::MulF, a, b)).iter());
                }
                columns.into()
            }
            M::FaceForward => {
                let (dot, zero) = (self.dot(scalar, b, c), self.constant(0));
                let behind = self.binary(BinaryOp::LtF, dot, zero);
                self.each(a, |this, a| {
                    let negated = this.unary(UnaryOp::NegF, a);
                    this.ternary(TernaryOp::Select, behind, negated, a)
                })
            }
            M::Reflect => {
                let (dot, two) = (self.dot(scalar, b, a), self.float(2.0));
                let twice = self.float2(scalar, BinaryOp::MulF, two, dot);
                self.zip(a, b, |this, a, b| {
                    let along = this.float2(scalar, BinaryOp::MulF, twice, b);
                    this.float2(scalar, BinaryOp::SubF, a, along)
                })
            }
            M::Refract => self.refract(scalar, [a, b], c[0]),
            M::Transpose => {
                let columns = match self.body.info[first].ty.inner_with(&self.module.types) {
                    naga::TypeInner::Matrix { columns, .. } => *columns as usize,
                    _ => return self.unsupported("the transpose of what is no matrix"),
                };
                let rows = a.len() / columns;
                (0..a.len()).map(|index| a[index % columns * rows + index / columns]).collect()
            }
            M::Determinant => [self.determinant(scalar, a)].into(),
            M::Modf => {
                let whole = self.each(a, |this, a| this.unary(UnaryOp::TruncF, a));
                let fract = self.zip(a, &whole, |this, a, whole| this.float2(scalar, BinaryOp::SubF, a, whole));
                fract.iter().chain(whole.iter()).copied().collect()
            }
            M::Frexp => {
                let fract = self.each(a, |this, a| this.unary(UnaryOp::FrexpFract, a));
                let exponent = self.each(a, |this, a| this.unary(UnaryOp::FrexpExp, a));
                fract.iter().chain(exponent.iter()).copied().collect()
            }
            M::Dot4I8Packed => [self.binary(BinaryOp::Dot4I8, a[0], b[0])].into(),
            M::Dot4U8Packed => [self.binary(BinaryOp::Dot4U8, a[0], b[0])].into(),
            M::Pack4x8snorm => [self.pack_normed(a, 127.0, true)].into(),
            M::Pack4x8unorm => [self.pack_normed(a, 255.0, false)].into(),
            M::Pack2x16snorm => [self.pack_normed(a, 32767.0, true)].into(),
            M::Pack2x16unorm => [self.pack_normed(a, 65535.0, false)].into(),
            M::Pack2x16float => {
                let bits = self.each(a, |this, a| this.unary(UnaryOp::FToF16Bits, a));
                [self.pack(&bits)].into()
            }
            M::Pack4xI8 | M::Pack4xU8 => [self.pack(a)].into(),
            M::Pack4xI8Clamp => {
                let (low, high) = (self.constant(-128i32 as u32), self.constant(127));
                let clamped = self.each(a, |this, a| {
                    let a = this.binary(BinaryOp::MaxI, a, low);
                    this.binary(BinaryOp::MinI, a, high)
                });
                [self.pack(&clamped)].into()
            }
            M::Pack4xU8Clamp => {
                let high = self.constant(255);
                let clamped = self.each(a, |this, a| this.binary(BinaryOp::MinU, a, high));
                [self.pack(&clamped)].into()
            }
            M::Unpack4x8snorm => self.unpack_normed(a[0], 4, 127.0, true),
            M::Unpack4x8unorm => self.unpack_normed(a[0], 4, 255.0, false),
            M::Unpack2x16snorm => self.unpack_normed(a[0], 2, 32767.0, true),
            M::Unpack2x16unorm => self.unpack_normed(a[0], 2, 65535.0, false),
            M::Unpack2x16float => {
                let halves = self.unpack(a[0], 2, TernaryOp::ExtractBitsU);
                self.each(&halves, |this, half| this.unary(UnaryOp::F16BitsToF, half))
            }
            M::Unpack4xI8 => self.unpack(a[0], 4, TernaryOp::ExtractBitsI),
            M::Unpack4xU8 => self.unpack(a[0], 4, TernaryOp::ExtractBitsU),
            _ => return self.unsupported(format!("{fun:?} of {:?}", scalar.kind)),
        })
    }

    /// Functions that compute each component from the components of their arguments.
    fn by_component(&mut self, fun: MathFunction, scalar: Scalar, arguments: &[Regs]) -> Result<Option<Regs>> {
        let count = arguments.iter().map(|argument| argument.len()).max().unwrap_or(0);
        let mut values = Vec::with_capacity(count);
        for index in 0..count {
            let operands: Vec<Reg> = arguments.iter().map(|argument| component(argument, index)).collect();
            let value = match *operands {
                [a] => self.of_one(fun, scalar, a),
                [a, b] => self.of_two(fun, scalar, a, b),
                [a, b, c] => self.of_three(fun, scalar, [a, b, c]),
                [a, b, offset, count] if fun == MathFunction::InsertBits => {
                    let value = self.insert_bits(scalar, [a, b], offset, count);
                    Some(self.rounded(scalar, value))
                }
                _ => None,
            };
            match value {
                Some(value) => values.push(value),
                None => return Ok(None),
            }
        }
        Ok(Some(values.into()))
    }

    fn of_one(&mut self, fun: MathFunction, scalar: Scalar, a: Reg) -> Option<Reg> {
        use MathFunction as M;
        use ScalarKind::{Float, Sint, Uint};
        let op = match (fun, scalar.kind) {
            (M::Abs, Float) => UnaryOp::AbsF,
            (M::Abs, Sint) => UnaryOp::AbsI,
            (M::Abs, Uint) => return Some(a),
            (M::Sign, Float) => UnaryOp::SignF,
            (M::Sign, Sint) => UnaryOp::SignI,
            (M::Cos, Float) => UnaryOp::CosF,
            (M::Cosh, Float) => UnaryOp::CoshF,
            (M::Sin, Float) => UnaryOp::SinF,
            (M::Sinh, Float) => UnaryOp::SinhF,
            (M::Tan, Float) => UnaryOp::TanF,
            (M::Tanh, Float) => UnaryOp::TanhF,
            (M::Acos, Float) => UnaryOp::AcosF,
            (M::Asin, Float) => UnaryOp::AsinF,
            (M::Atan, Float) => UnaryOp::AtanF,
            (M::Asinh, Float) => UnaryOp::AsinhF,
            (M::Acosh, Float) => UnaryOp::AcoshF,
            (M::Atanh, Float) => UnaryOp::AtanhF,
            (M::Ceil, Float) => UnaryOp::CeilF,
            (M::Floor, Float) => UnaryOp::FloorF,
            (M::Round, Float) => UnaryOp::RoundF,
            (M::Trunc, Float) => UnaryOp::TruncF,
            (M::Exp, Float) => UnaryOp::ExpF,
            (M::Exp2, Float) => UnaryOp::Exp2F,
            (M::Log, Float) => UnaryOp::LogF,
            (M::Log2, Float) => UnaryOp::Log2F,
            (M::Sqrt, Float) => UnaryOp::SqrtF,
            (M::InverseSqrt, Float) => UnaryOp::InverseSqrtF,
            (M::QuantizeToF16, Float) => UnaryOp::QuantizeF16,
            (M::CountTrailingZeros, _) => UnaryOp::CountTrailingZeros,
            (M::CountLeadingZeros, _) => UnaryOp::CountLeadingZeros,
            (M::CountOneBits, _) => UnaryOp::CountOneBits,
            (M::ReverseBits, _) => UnaryOp::ReverseBits,
            (M::FirstTrailingBit, _) => UnaryOp::FirstTrailingBit,
            (M::FirstLeadingBit, Sint) => UnaryOp::FirstLeadingBitI,
            (M::FirstLeadingBit, Uint) => UnaryOp::FirstLeadingBitU,
            (M::Radians, Float) => return Some(self.times(scalar, a, std::f32::consts::PI / 180.0)),
            (M::Degrees, Float) => return Some(self.times(scalar, a, 180.0 / std::f32::consts::PI)),
            (M::Fract, Float) => {
                let floor = self.unary(UnaryOp::FloorF, a);
                return Some(self.float2(scalar, BinaryOp::SubF, a, floor));
            }
            (M::Saturate, Float) => {
                let (zero, one) = (self.constant(0), self.float(1.0));
                return self.of_three(M::Clamp, scalar, [a, zero, one]);
            }
            _ => return None,
        };
        let a = if scalar.width == 2 { self.bits_of_half(op, a) } else { a };
        let value = self.unary(op, a);
        Some(self.rounded(scalar, value))
    }

    /// What a function of the bits of 32 has to be given for those of an i16 or u16.
    fn bits_of_half(&mut self, op: UnaryOp, a: Reg) -> Reg {
        use UnaryOp::{CountLeadingZeros, CountOneBits, CountTrailingZeros, ReverseBits};
        // A bit beyond the 16 that is reached if they are all 0.
        let end = match op {
            CountTrailingZeros => return self.with(BinaryOp::Or, a, 1 << 16),
            CountLeadingZeros => 1 << 15,
            CountOneBits | ReverseBits => 0,
            _ => return a,
        };
        let high = self.with(BinaryOp::Shl, a, 16);
        self.with(BinaryOp::Or, high, end)
    }

    fn with(&mut self, op: BinaryOp, a: Reg, b: u32) -> Reg {
        let b = self.constant(b);
        self.binary(op, a, b)
    }

    fn of_two(&mut self, fun: MathFunction, scalar: Scalar, a: Reg, b: Reg) -> Option<Reg> {
        use MathFunction as M;
        use ScalarKind::{Float, Sint, Uint};
        let op = match (fun, scalar.kind) {
            (M::Min, Float) => BinaryOp::MinF,
            (M::Min, Sint) => BinaryOp::MinI,
            (M::Min, Uint) => BinaryOp::MinU,
            (M::Max, Float) => BinaryOp::MaxF,
            (M::Max, Sint) => BinaryOp::MaxI,
            (M::Max, Uint) => BinaryOp::MaxU,
            (M::Pow, Float) => BinaryOp::PowF,
            (M::Atan2, Float) => BinaryOp::Atan2F,
            (M::Step, Float) => BinaryOp::StepF,
            (M::Ldexp, Float) => BinaryOp::LdexpF,
            _ => return None,
        };
        Some(self.float2(scalar, op, a, b))
    }

    fn of_three(&mut self, fun: MathFunction, scalar: Scalar, [a, b, c]: [Reg; 3]) -> Option<Reg> {
        use MathFunction as M;
        use ScalarKind::{Float, Sint, Uint};
        Some(match (fun, scalar.kind) {
            (M::Clamp, _) => {
                let low = self.of_two(M::Max, scalar, a, b)?;
                self.of_two(M::Min, scalar, low, c)?
            }
            (M::Fma, Float) => {
                let value = self.ternary(TernaryOp::FmaF, a, b, c);
                self.rounded(scalar, value)
            }
            (M::Mix, Float) => {
                let one = self.float(1.0);
                let rest = self.float2(scalar, BinaryOp::SubF, one, c);
                let first = self.float2(scalar, BinaryOp::MulF, a, rest);
                let second = self.float2(scalar, BinaryOp::MulF, b, c);
                self.float2(scalar, BinaryOp::AddF, first, second)
            }
            (M::SmoothStep, Float) => {
                let offset = self.float2(scalar, BinaryOp::SubF, c, a);
                let width = self.float2(scalar, BinaryOp::SubF, b, a);
                let ratio = self.float2(scalar, BinaryOp::DivF, offset, width);
                let t = self.of_one(M::Saturate, scalar, ratio)?;
                let (three, twice) = (self.float(3.0), self.times(scalar, t, 2.0));
                let rest = self.float2(scalar, BinaryOp::SubF, three, twice);
                let square = self.float2(scalar, BinaryOp::MulF, t, t);
                self.float2(scalar, BinaryOp::MulF, square, rest)
            }
            (M::ExtractBits, kind @ (Sint | Uint)) => {
                // The operation itself cuts a field to 32 bits.
                let (offset, count) = if scalar.width == 2 { self.bit_field(scalar, b, c) } else { (b, c) };
                let op = if kind == Sint { TernaryOp::ExtractBitsI } else { TernaryOp::ExtractBitsU };
                self.ternary(op, a, offset, count)
            }
            _ => return None,
        })
    }

    fn float2(&mut self, scalar: Scalar, op: BinaryOp, a: Reg, b: Reg) -> Reg {
        let value = self.binary(op, a, b);
        self.rounded(scalar, value)
    }

    fn times(&mut self, scalar: Scalar, a: Reg, factor: f32) -> Reg {
        let factor = self.float(factor);
        self.float2(scalar, BinaryOp::MulF, a, factor)
    }

    fn each(&mut self, a: &[Reg], mut f: impl FnMut(&mut Self, Reg) -> Reg) -> Regs {
        a.iter().map(|&a| f(self, a)).collect()
    }

    fn zip(&mut self, a: &[Reg], b: &[Reg], mut f: impl FnMut(&mut Self, Reg, Reg) -> Reg) -> Regs {
        a.iter().zip(b).map(|(&a, &b)| f(self, a, b)).collect()
    }

    /// The sum of products, in order.
    pub(super) fn dot(&mut self, scalar: Scalar, a: &[Reg], b: &[Reg]) -> Reg {
        let (times, plus) = match scalar.kind {
            ScalarKind::Float => (BinaryOp::MulF, BinaryOp::AddF),
            _ => (BinaryOp::MulI, BinaryOp::AddI),
        };
        let products = self.zip(a, b, |this, a, b| this.float2(scalar, times, a, b));
        let mut products = products.iter().copied();
        let first = match products.next() {
            Some(first) => first,
            None => self.constant(0),
        };
        products.fold(first, |sum, product| self.float2(scalar, plus, sum, product))
    }

    fn length(&mut self, scalar: Scalar, a: &[Reg]) -> Reg {
        if let [a] = *a {
            return self.unary(UnaryOp::AbsF, a);
        }
        let square = self.dot(scalar, a, a);
        let root = self.unary(UnaryOp::SqrtF, square);
        self.rounded(scalar, root)
    }

    /// a d - b c
    fn minor(&mut self, scalar: Scalar, [a, b, c, d]: [Reg; 4]) -> Reg {
        let first = self.float2(scalar, BinaryOp::MulF, a, d);
        let second = self.float2(scalar, BinaryOp::MulF, b, c);
        self.float2(scalar, BinaryOp::SubF, first, second)
    }

    /// By the first two columns' minors times those of the last two (Laplace), or by the first column.
    fn determinant(&mut self, scalar: Scalar, m: &[Reg]) -> Reg {
        match m.len() {
            4 => self.minor(scalar, [m[0], m[1], m[2], m[3]]),
            9 => {
                let minors = [(4, 8, 5, 7), (5, 6, 3, 8), (3, 7, 4, 6)]
                    .map(|(a, d, b, c)| self.minor(scalar, [m[a], m[b], m[c], m[d]]));
                self.dot(scalar, &m[..3], &minors)
            }
            _ => {
                let pair = |this: &mut Self, column: usize, (i, j): (usize, usize)| {
                    let [left, right] = [column, column + 1].map(|column| &m[4 * column..4 * column + 4]);
                    this.minor(scalar, [left[i], left[j], right[i], right[j]])
                };
                // Rows of the first factor, rows of the second, signs in the order of the rows so that all add.
                let rows = [(0, 1), (2, 0), (0, 3), (1, 2), (3, 1), (2, 3)];
                let others = [(2, 3), (1, 3), (1, 2), (0, 3), (0, 2), (0, 1)];
                let first = rows.map(|rows| pair(self, 0, rows));
                let second = others.map(|rows| pair(self, 2, rows));
                self.dot(scalar, &first, &second)
            }
        }
    }

    /// k = 1 - r^2 (1 - (n.e)^2); 0 where k is negative, else r e - (r n.e + sqrt k) n.
    fn refract(&mut self, scalar: Scalar, [e, n]: [&Regs; 2], ratio: Reg) -> Regs {
        let (zero, one) = (self.constant(0), self.float(1.0));
        let dot = self.dot(scalar, n, e);
        let square = self.float2(scalar, BinaryOp::MulF, dot, dot);
        let sine = self.float2(scalar, BinaryOp::SubF, one, square);
        let ratios = self.float2(scalar, BinaryOp::MulF, ratio, ratio);
        let bent = self.float2(scalar, BinaryOp::MulF, ratios, sine);
        let k = self.float2(scalar, BinaryOp::SubF, one, bent);
        let total = self.binary(BinaryOp::LtF, k, zero);
        let root = self.unary(UnaryOp::SqrtF, k);
        let root = self.rounded(scalar, root);
        let along = self.float2(scalar, BinaryOp::MulF, ratio, dot);
        let sum = self.float2(scalar, BinaryOp::AddF, along, root);
        self.zip(e, n, |this, e, n| {
            let first = this.float2(scalar, BinaryOp::MulF, ratio, e);
            let second = this.float2(scalar, BinaryOp::MulF, sum, n);
            let refracted = this.float2(scalar, BinaryOp::SubF, first, second);
            this.ternary(TernaryOp::Select, total, refracted, zero)
        })
    }

    /// Offset and count of a bit field, cut to the bits that there are.
    fn bit_field(&mut self, scalar: Scalar, offset: Reg, count: Reg) -> (Reg, Reg) {
        let width = self.constant(8 * u32::from(scalar.width));
        let offset = self.binary(BinaryOp::MinU, offset, width);
        let room = self.binary(BinaryOp::SubI, width, offset);
        (offset, self.binary(BinaryOp::MinU, count, room))
    }

    /// The low bits of the second go to an offset of the first.
    fn insert_bits(&mut self, scalar: Scalar, [a, b]: [Reg; 2], offset: Reg, count: Reg) -> Reg {
        let (ones, zero, last) = (self.constant(u32::MAX), self.constant(0), self.constant(31));
        let (offset, count) = self.bit_field(scalar, offset, count);
        let low = self.ternary(TernaryOp::ExtractBitsU, ones, zero, count);
        // An offset of 32 leaves no bits: any shift will do.
        let offset = self.binary(BinaryOp::And, offset, last);
        let mask = self.binary(BinaryOp::Shl, low, offset);
        let shifted = self.binary(BinaryOp::Shl, b, offset);
        let inserted = self.binary(BinaryOp::And, shifted, mask);
        let rest = self.unary(UnaryOp::NotI, mask);
        let kept = self.binary(BinaryOp::And, a, rest);
        self.binary(BinaryOp::Or, kept, inserted)
    }

    /// The low bits of each, from the lowest up, as many as fit.
    fn pack(&mut self, values: &[Reg]) -> Reg {
        let bits = 32 / values.len() as u32;
        let mask = self.constant((1 << bits) - 1);
        let mut packed = self.constant(0);
        for (shift, &value) in (0..32).step_by(bits as usize).zip(values) {
            let part = self.binary(BinaryOp::And, value, mask);
            let shift = self.constant(shift);
            let part = self.binary(BinaryOp::Shl, part, shift);
            packed = self.binary(BinaryOp::Or, packed, part);
        }
        packed
    }

    /// floor(0.5 + scale * clamp(x)) of each.
    fn pack_normed(&mut self, values: &[Reg], scale: f32, signed: bool) -> Reg {
        let (low, high) = (self.float(if signed { -1.0 } else { 0.0 }), self.float(1.0));
        let (scale, half) = (self.float(scale), self.float(0.5));
        let whole = self.each(values, |this, value| {
            let value = this.binary(BinaryOp::MaxF, value, low);
            let value = this.binary(BinaryOp::MinF, value, high);
            let value = this.binary(BinaryOp::MulF, value, scale);
            let value = this.binary(BinaryOp::AddF, value, half);
            let value = this.unary(UnaryOp::FloorF, value);
            this.unary(UnaryOp::FToI, value)
        });
        self.pack(&whole)
    }

    fn unpack(&mut self, packed: Reg, count: u32, op: TernaryOp) -> Regs {
        let bits = self.constant(32 / count);
        let extract = |index| {
            let offset = self.constant(index * (32 / count));
            self.ternary(op, packed, offset, bits)
        };
        (0..count).map(extract).collect()
    }

    fn unpack_normed(&mut self, packed: Reg, count: u32, scale: f32, signed: bool) -> Regs {
        let scale = self.float(scale);
        let op = if signed { TernaryOp::ExtractBitsI } else { TernaryOp::ExtractBitsU };
        let parts = self.unpack(packed, count, op);
        self.each(&parts, |this, part| {
            let value = this.unary(if signed { UnaryOp::IToF } else { UnaryOp::UToF }, part);
            let value = this.binary(BinaryOp::DivF, value, scale);
            let least = this.float(-1.0);
            if signed { this.binary(BinaryOp::MaxF, value, least) } else { value }
        })
    }
}
