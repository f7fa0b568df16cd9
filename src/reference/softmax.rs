//! The twins of [`Softmax`] and [`LogSoftmax`].

use std::collections::HashMap;

use crate::error::Result;
use crate::layout::{DType, Layout, count};
use crate::op::Op;
use crate::op::softmax::{LogSoftmax, Softmax};
use crate::reference::{Expected, HostTensor, Select, TINY, TINY_F16, U, ULP, Value, gamma, perhaps_flushed};

/// exp(d) for d = x - max <= 0, and the most that a GPU may be off: u |d| from the subtraction, with what d is off already, (3 + 2 |d|) ulp of exp.
fn term(d: f64, off: f64) -> (f64, f64) {
    let e = d.exp();
    if d < -88.0 {
        // Below the smallest normal number, about exp(-87.3): the error, 180 ulp there, cannot lift it above twice that.
        return (e, 2.0 * TINY);
    }
    let rounding = U * d.abs() + off;
    let relative = rounding.exp() * (1.0 + (3.0 + 2.0 * (d.abs() + rounding)) * ULP) - 1.0;
    (e, e * relative + TINY)
}

/// What the elements of a row share.
#[derive(Clone, Copy)]
struct Row {
    max: f64,
    /// The sum of exp(x - max).
    sum: f64,
    /// The most that it may be off.
    error: f64,
    /// The most that x - max may be off before it is rounded.
    flushed: f64,
}

impl Row {
    fn of(values: &[f64], dtype: DType) -> Row {
        let any = values.iter().any(|&value| perhaps_flushed(value, dtype)[1] != value);
        let flushed = if any { 2.0 * TINY_F16 } else { 0.0 };
        let nan = values.iter().any(|value| value.is_nan());
        let max = if nan { f64::NAN } else { values.iter().copied().fold(f64::NEG_INFINITY, f64::max) };
        let (mut sum, mut error) = (0.0, 0.0);
        for value in values {
            let (e, off) = term(value - max, flushed);
            sum += e;
            error += off;
        }
        let n = values.len();
        Row { max, sum, error: error + gamma(n) * (sum + error) + n as f64 * TINY, flushed }
    }
}

/// Computes elements of x - max and of what the row shares; each row is summed once.
fn twin(
    op: &dyn Op,
    dim: usize,
    input: &HostTensor,
    select: &Select,
    element: impl Fn(f64, &Row) -> Value,
) -> Result<Vec<Expected>> {
    let Layout { shape, dtype, .. } = op.infer(&[input.layout()])?.swap_remove(0);
    let (inner, len) = (count(&shape[dim + 1..]), shape[dim]);
    let mut rows: HashMap<usize, Row> = HashMap::new();
    Ok(vec![Expected::compute(&shape, dtype, select, |flat| {
        let first = flat - flat / inner % len * inner;
        let values = || (0..len).map(|i| input.at(first + i * inner)).collect::<Vec<_>>();
        let row = rows.entry(first).or_insert_with(|| Row::of(&values(), dtype));
        element(input.at(flat) - row.max, row).stored(dtype)
    })])
}

impl super::Twin for Softmax {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        twin(self, self.dim, &inputs[0], select, |d, row| {
            let (e, error) = term(d, row.flushed);
            let value = e / row.sum;
            // The largest quotient that the errors allow, with a division of 2.5 ulp.
            let high = (e + error) / (row.sum - row.error) * (1.0 + 2.5 * ULP) + TINY;
            Value::within(value, high - value)
        })
    }
}

impl super::Twin for LogSoftmax {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        twin(self, self.dim, &inputs[0], select, |d, row| {
            let log = row.sum.ln();
            let value = d - log;
            // The sum's error through the logarithm, then the logarithm's own: 2^-21 within [0.5, 2], 3 ulp outside.
            let shift = -(-row.error / row.sum).ln_1p();
            let log_error = shift + (3.0 * ULP * (log.abs() + shift)).max(2f64.powi(-21));
            // The two operands' errors, then the rounding of their difference.
            let before = if d.is_finite() { U * d.abs() + row.flushed + log_error } else { 0.0 };
            let own = if value.is_finite() { U * value.abs() + TINY } else { 0.0 };
            Value::within(value, before * (1.0 + U) + own)
        })
    }
}
