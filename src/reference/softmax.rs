//! The twins of [`Softmax`] and [`LogSoftmax`].

use crate::error::Result;
use crate::layout::DType;
use crate::op::Op;
use crate::op::softmax::{LogSoftmax, Softmax};
use crate::reference::reduce::line;
use crate::reference::{Expected, HostTensor, Select, TINY, U, ULP, Value, gamma};

/// exp(d) for d = x - max <= 0, and the most that a GPU may be off: u |d| from the subtraction, (3 + 2 |d|) ulp of exp.
fn term(d: f64) -> (f64, f64) {
    let e = d.exp();
    if d < -88.0 {
        // Below the smallest normal number, about exp(-87.3): the error, 180 ulp there, cannot lift it above twice that.
        return (e, 2.0 * TINY);
    }
    let rounding = U * d.abs();
    let relative = rounding.exp() * (1.0 + (3.0 + 2.0 * (d.abs() + rounding)) * ULP) - 1.0;
    (e, e * relative + TINY)
}

/// x - max for an element, exp of it, and the sum of all exps: with the errors of the last two.
fn parts(values: &[f64], at: usize) -> (f64, (f64, f64), (f64, f64)) {
    let nan = values.iter().any(|value| value.is_nan());
    let max = if nan { f64::NAN } else { values.iter().copied().fold(f64::NEG_INFINITY, f64::max) };
    let (mut sum, mut error) = (0.0, 0.0);
    for value in values {
        let (e, off) = term(value - max);
        sum += e;
        error += off;
    }
    let n = values.len();
    (values[at] - max, term(values[at] - max), (sum, error + gamma(n) * (sum + error) + n as f64 * TINY))
}

impl super::Twin for Softmax {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let shape = self.infer(&[inputs[0].layout()])?.swap_remove(0).shape;
        Ok(vec![Expected::compute(&shape, DType::F32, select, |flat| {
            let (values, at) = line(&inputs[0], self.dim, flat);
            let (_, (e, e_error), (sum, sum_error)) = parts(&values, at);
            let value = e / sum;
            // The largest quotient that the errors allow, with a division of 2.5 ulp.
            let high = (e + e_error) / (sum - sum_error) * (1.0 + 2.5 * ULP) + TINY;
            Value::within(value, high - value)
        })])
    }
}

impl super::Twin for LogSoftmax {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let shape = self.infer(&[inputs[0].layout()])?.swap_remove(0).shape;
        Ok(vec![Expected::compute(&shape, DType::F32, select, |flat| {
            let (values, at) = line(&inputs[0], self.dim, flat);
            let (d, _, (sum, sum_error)) = parts(&values, at);
            let log = sum.ln();
            let value = d - log;
            // The sum's error through the logarithm, then the logarithm's own: 2^-21 within [0.5, 2], 3 ulp outside.
            let shift = -(-sum_error / sum).ln_1p();
            let log_error = shift + (3.0 * ULP * (log.abs() + shift)).max(2f64.powi(-21));
            // The two operands' errors, then the rounding of their difference.
            let before = if d.is_finite() { U * d.abs() + log_error } else { 0.0 };
            let own = if value.is_finite() { U * value.abs() + TINY } else { 0.0 };
            Value::within(value, before * (1.0 + U) + own)
        })])
    }
}
