//! The twin of [`Reduce`].

use crate::error::Result;
use crate::layout::DType;
use crate::op::Op;
use crate::op::reduce::{Reduce, ReduceKind};
use crate::reference::{Expected, HostTensor, Select, TINY, U, ULP, Value, layouts, perhaps_flushed};

/// The flat indices of the values that an output is reduced from, in row-major order.
fn members(op: &Reduce, shape: &[usize], output: usize) -> Vec<usize> {
    let reduced = |dim: usize| op.dims.is_empty() || op.dims.contains(&dim);
    let mut indices = vec![0];
    // The output's own index, from the innermost dimension out.
    let mut at = vec![0; shape.len()];
    let mut rest = output;
    for dim in (0..shape.len()).rev().filter(|&dim| !reduced(dim)) {
        at[dim] = rest % shape[dim];
        rest /= shape[dim];
    }
    for (dim, &size) in shape.iter().enumerate() {
        let range = if reduced(dim) { 0..size } else { at[dim]..at[dim] + 1 };
        indices = indices.iter().flat_map(|&index| range.clone().map(move |i| index * size + i)).collect();
    }
    indices
}

/// The position and value of the winner: NaN over all else, then the largest (or smallest), then the first (or last).
fn winner(values: &[f64], largest: bool, last: bool) -> (usize, f64) {
    let mut best = (0, values.first().copied().unwrap_or(f64::NAN));
    for (i, &value) in values.iter().enumerate().skip(1) {
        let tie = value == best.1 || (value.is_nan() && best.1.is_nan());
        let better = if largest { value > best.1 } else { value < best.1 };
        if (tie && last) || (!best.1.is_nan() && (value.is_nan() || better)) {
            best = (i, value);
        }
    }
    best
}

impl super::Twin for Reduce {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let out = self.infer(&layouts(inputs))?.swap_remove(0);
        let input = &inputs[0];
        Ok(vec![Expected::compute(&out.shape, out.dtype, select, |output| {
            let values: Vec<f64> = members(self, &input.shape, output).into_iter().map(|i| input.at(i)).collect();
            let flushed = |value: &f64| perhaps_flushed(*value, input.dtype())[1] != *value;
            let sum = || {
                let sum = Value::sum(values.len(), values.iter().sum(), values.iter().map(|v| v.abs()).sum());
                let lost = values.iter().filter(|value| flushed(value)).map(|v| v.abs()).sum();
                sum.step(sum.value, 1.0, lost)
            };
            let extreme = |largest| {
                let value = winner(&values, largest, false).1;
                if flushed(&value) { Value::exact(value).or(Value::exact(0.0)) } else { Value::exact(value) }
            };
            match (self.kind, input.dtype()) {
                (ReduceKind::Sum, DType::F32 | DType::F16) => sum().stored(out.dtype),
                (ReduceKind::Sum, dtype) => {
                    // Modulo 2^32: the exact sum, cut.
                    let exact: i64 = values.iter().map(|&v| v as i64).fold(0, i64::wrapping_add);
                    Value::exact(if dtype == DType::I32 { f64::from(exact as i32) } else { f64::from(exact as u32) })
                }
                (ReduceKind::Mean, _) => {
                    // The count is rounded to f32 above 2^24, then a division of 2.5 ulp, of a sum that may be off by its
                    // bound.
                    let (sum, n) = (sum(), values.len() as f64);
                    let relative = (1.0 + 2.5 * ULP) / (1.0 - if values.len() <= 1 << 24 { 0.0 } else { U });
                    let value = sum.value / n;
                    sum.step(value, relative / n, (relative - 1.0) * value.abs() + TINY).stored(out.dtype)
                }
                (ReduceKind::Max, _) => extreme(true),
                (ReduceKind::Min, _) => extreme(false),
                (ReduceKind::ArgMax, _) => Value::exact(winner(&values, true, self.last).0 as f64),
                (ReduceKind::ArgMin, _) => Value::exact(winner(&values, false, self.last).0 as f64),
            }
        })])
    }
}
