//! The twin of [`Unary`].

use crate::error::Result;
use crate::layout::DType;
use crate::op::Op;
use crate::op::unary::{Unary, UnaryKind};
use crate::reference::activation::{EXP_TINY, activate, erf, exp_error};
use crate::reference::{Expected, HostTensor, Select, TINY, Twin, U, ULP, Value, perhaps_flushed};

/// A function of an f32 with WGSL's error of it.
fn float(kind: UnaryKind, x: f64) -> Value {
    // WGSL may take what is below the normal range for 0: a function with a pole there may then be anything.
    let relative = |y: f64, ulps: f64| {
        Value::within(y, if x.abs() < TINY && x != 0.0 { f64::INFINITY } else { ulps * ULP * y.abs() + TINY })
    };
    match kind {
        UnaryKind::Neg => Value::exact(-x),
        UnaryKind::Abs => Value::exact(x.abs()),
        UnaryKind::Sign => Value::exact(if x > 0.0 {
            1.0
        } else if x < 0.0 {
            -1.0
        } else {
            x
        }),
        UnaryKind::Exp => Value::within(x.exp(), x.exp() * exp_error(x) + EXP_TINY),
        // Absolute near 1, where the logarithm passes 0.
        UnaryKind::Log if (0.5..=2.0).contains(&x) => Value::within(x.ln(), 2f64.powi(-21)),
        UnaryKind::Log => relative(x.ln(), 3.0),
        // By 1 / inverseSqrt(x): 2 ulp and a division's 2.5.
        UnaryKind::Sqrt => Value::within(x.sqrt(), 5.0 * ULP * x.sqrt() + if x < TINY { TINY.sqrt() } else { 0.0 }),
        UnaryKind::Rsqrt => relative(1.0 / x.sqrt(), 2.0),
        UnaryKind::Reciprocal => relative(1.0 / x, 2.5),
        UnaryKind::Floor => Value::exact(x.floor()),
        UnaryKind::Ceil => Value::exact(x.ceil()),
        UnaryKind::Round => Value::exact(x.round_ties_even()),
        UnaryKind::Erf => {
            // 1 - p exp(-x^2): the polynomial is off by 1.5e-7, exp by its own error, times what remains of erfc.
            let y = if x.is_infinite() { x.signum() } else { erf(x) };
            let tail = (1.0 - y.abs()).max(0.0);
            Value::within(y, 1.5e-7 + tail * (exp_error((x * x).min(100.0)) + 12.0 * U) + 2.0 * U)
        }
        UnaryKind::Activation(activation) => activate(activation, Value::exact(x)),
    }
}

impl Twin for Unary {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let x = &inputs[0];
        let out = self.infer(&[x.layout()])?.swap_remove(0);
        Ok(vec![Expected::compute(&out.shape, out.dtype, select, |i| match (x.dtype(), self.kind) {
            (DType::F32 | DType::F16, kind) => {
                let [exactly, flushed] = perhaps_flushed(x.at(i), x.dtype());
                let value = float(kind, exactly);
                if exactly == flushed { value } else { value.or(float(kind, flushed)) }.stored(out.dtype)
            }
            // The lowest i32 is its own negative and magnitude.
            (_, UnaryKind::Neg) => Value::exact((x.at(i) as i32).wrapping_neg().into()),
            (_, UnaryKind::Abs) => Value::exact((x.at(i) as i32).wrapping_abs().into()),
            (_, _) => Value::exact((x.at(i) as i32).signum().into()),
        })])
    }
}
