//! The twin of [`Binary`].

use crate::error::Result;
use crate::layout::DType;
use crate::op::Op;
use crate::op::binary::{Binary, BinaryKind};
use crate::reference::{
    Expected, HostTensor, Select, TINY, Twin, U, ULP, Value, broadcast_index, layouts, perhaps_flushed,
};

/// A function of two f32 with WGSL's error of it.
fn float(kind: BinaryKind, x: f64, y: f64) -> Value {
    let rounded = |value: f64| Value::within(value, U * value.abs() + TINY);
    match kind {
        BinaryKind::Add => rounded(x + y),
        BinaryKind::Sub => rounded(x - y),
        BinaryKind::Mul => rounded(x * y),
        // 2.5 ulp, unless the divisor is so small that it may be taken for 0, or so large that its reciprocal may.
        BinaryKind::Div if y != 0.0 && y.abs() < TINY => Value::undecided(x / y),
        BinaryKind::Div if y.is_finite() && y.abs() > 1.0 / TINY => Value::within(x / y, (x / y).abs()),
        BinaryKind::Div => Value::within(x / y, 2.5 * ULP * (x / y).abs() + TINY),
        BinaryKind::Max if x.is_nan() || y.is_nan() => Value::exact(f64::NAN),
        BinaryKind::Min if x.is_nan() || y.is_nan() => Value::exact(f64::NAN),
        BinaryKind::Max => Value::exact(if x > y { x } else { y }),
        BinaryKind::Min => Value::exact(if x < y { x } else { y }),
        BinaryKind::Pow => power(x, y),
        BinaryKind::Prelu if x < 0.0 => rounded(x * y),
        BinaryKind::Prelu => Value::exact(x),
    }
}

/// |x|^y as exp2(y log2 |x|): WGSL has log2 within 2^-21 near 1 and 3 ulp elsewhere, exp2 within 3 + 2 |e| ulp.
fn power(x: f64, y: f64) -> Value {
    let value = x.powf(y);
    if x != 0.0 && x.abs() < TINY && y != 0.0 {
        // A base that may be taken for 0.
        return Value::undecided(value);
    }
    if !value.is_finite() || value == 0.0 || x.abs() == 1.0 || y == 0.0 {
        return Value::within(value, TINY);
    }
    let log = x.abs().log2();
    let of_log = if (0.5..=2.0).contains(&x.abs()) { 2f64.powi(-21) } else { 3.0 * ULP * log.abs() };
    let exponent = y * log;
    let of_exponent = y.abs() * of_log + U * exponent.abs();
    let relative = (of_exponent * std::f64::consts::LN_2).exp_m1() + (3.0 + 2.0 * exponent.abs()) * ULP;
    Value::within(value, value.abs() * relative + TINY)
}

/// A function of two whole numbers, which wrap as 32 bits do.
fn whole(kind: BinaryKind, dtype: DType, x: f64, y: f64) -> f64 {
    if dtype == DType::I32 {
        let (x, y) = (x as i32, y as i32);
        f64::from(match kind {
            BinaryKind::Add => x.wrapping_add(y),
            BinaryKind::Sub => x.wrapping_sub(y),
            BinaryKind::Mul => x.wrapping_mul(y),
            BinaryKind::Div => {
                if y == 0 {
                    x
                } else {
                    x.wrapping_div(y)
                }
            }
            BinaryKind::Max => x.max(y),
            _ => x.min(y),
        })
    } else {
        let (x, y) = (x as u32, y as u32);
        f64::from(match kind {
            BinaryKind::Add => x.wrapping_add(y),
            BinaryKind::Sub => x.wrapping_sub(y),
            BinaryKind::Mul => x.wrapping_mul(y),
            BinaryKind::Div => x.checked_div(y).unwrap_or(x),
            BinaryKind::Max => x.max(y),
            _ => x.min(y),
        })
    }
}

impl Twin for Binary {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let out = self.infer(&layouts(inputs))?.swap_remove(0);
        Ok(vec![Expected::compute(&out.shape, out.dtype, select, |i| {
            let [x, y] = [0, 1].map(|side: usize| inputs[side].at(broadcast_index(&inputs[side].shape, &out.shape, i)));
            match out.dtype {
                DType::F32 | DType::F16 => {
                    let [(x, flushed_x), (y, flushed_y)] =
                        [x, y].map(|operand| perhaps_flushed(operand, out.dtype).into());
                    let value = float(self.kind, x, y);
                    let others = [(flushed_x, y), (x, flushed_y), (flushed_x, flushed_y)];
                    let others = others.into_iter().filter(|&other| other != (x, y));
                    others.fold(value, |value, (x, y)| value.or(float(self.kind, x, y))).stored(out.dtype)
                }
                dtype => Value::exact(whole(self.kind, dtype, x, y)),
            }
        })])
    }
}
