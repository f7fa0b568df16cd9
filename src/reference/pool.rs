//! The twins of the pooling ops.

use crate::error::Result;
use crate::layout::{DType, Layout};
use crate::op::Op;
use crate::op::pool::{AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d};
use crate::reference::{Expected, HostTensor, Select, TINY, Twin, ULP, Value};

/// The output element of a flat index: its plane and place.
fn place(shape: &[usize], flat: usize) -> (usize, [usize; 2]) {
    (flat / shape[3] / shape[2], [flat / shape[3] % shape[2], flat % shape[3]])
}

/// The elements of the plane that lie in a strided window, as (y, x).
fn taps(
    at: [usize; 2],
    x: &[usize],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 4],
    dilation: [usize; 2],
) -> Vec<(usize, usize)> {
    let mut taps = Vec::new();
    for r in 0..kernel[0] {
        for s in 0..kernel[1] {
            let y = (at[0] * stride[0] + r * dilation[0]) as i64 - padding[0] as i64;
            let z = (at[1] * stride[1] + s * dilation[1]) as i64 - padding[1] as i64;
            if (0..x[2] as i64).contains(&y) && (0..x[3] as i64).contains(&z) {
                taps.push((y as usize, z as usize));
            }
        }
    }
    taps
}

/// The elements of an adaptive window.
fn even_taps(at: [usize; 2], x: &[usize], out: [usize; 2]) -> Vec<(usize, usize)> {
    let side = |i: usize| at[i] * x[i + 2] / out[i]..((at[i] + 1) * x[i + 2]).div_ceil(out[i]);
    side(0).flat_map(|y| side(1).map(move |z| (y, z))).collect()
}

/// The largest value and its index in the plane.
fn largest(x: &HostTensor, plane: usize, taps: &[(usize, usize)]) -> (f64, usize) {
    let mut best = (f64::NEG_INFINITY, usize::MAX);
    for &(y, z) in taps {
        let at = y * x.shape[3] + z;
        let value = x.at(plane * x.shape[2] * x.shape[3] + at);
        if best.1 == usize::MAX || !best.0.is_nan() && (value.is_nan() || value > best.0) {
            best = (value, at);
        }
    }
    best
}

fn mean(x: &HostTensor, plane: usize, taps: &[(usize, usize)], divisor: usize) -> Value {
    let (mut sum, mut magnitude) = (0.0, 0.0);
    for &(y, z) in taps {
        let value = x.at((plane * x.shape[2] + y) * x.shape[3] + z);
        sum += value;
        magnitude += value.abs();
    }
    let d = divisor as f64;
    let value = sum / d;
    // WGSL divides within 2.5 ulp.
    Value::sum(taps.len(), sum, magnitude).step(value, (1.0 + 3.0 * ULP) / d, 2.5 * ULP * value.abs() + TINY)
}

fn output_shape(op: &dyn Op, x: &HostTensor) -> Result<Vec<usize>> {
    let layout: Layout = x.layout();
    Ok(op.infer(&[layout])?.swap_remove(0).shape)
}

impl Twin for MaxPool2d {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let x = &inputs[0];
        let shape = output_shape(self, x)?;
        let best = |flat| {
            let (plane, at) = place(&shape, flat);
            largest(x, plane, &taps(at, &x.shape, self.kernel, self.stride, self.padding, self.dilation))
        };
        let mut expected = vec![Expected::compute(&shape, DType::F32, select, |flat| Value::exact(best(flat).0))];
        if self.return_indices {
            expected.push(Expected::compute(&shape, DType::U32, select, |flat| Value::exact(best(flat).1 as f64)));
        }
        Ok(expected)
    }
}

impl Twin for AvgPool2d {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let x = &inputs[0];
        let shape = output_shape(self, x)?;
        Ok(vec![Expected::compute(&shape, DType::F32, select, |flat| {
            let (plane, at) = place(&shape, flat);
            let taps = taps(at, &x.shape, self.kernel, self.stride, self.padding, [1, 1]);
            // Places of the window within the padded plane.
            let padded = |i: usize| {
                let start = at[i] * self.stride[i];
                (start + self.kernel[i]).min(x.shape[i + 2] + self.padding[i] + self.padding[i + 2]) - start
            };
            let counted = if self.count_include_pad { padded(0) * padded(1) } else { taps.len() };
            mean(x, plane, &taps, self.divisor_override.unwrap_or(counted))
        })])
    }
}

impl Twin for AdaptiveAvgPool2d {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let x = &inputs[0];
        let shape = output_shape(self, x)?;
        Ok(vec![Expected::compute(&shape, DType::F32, select, |flat| {
            let (plane, at) = place(&shape, flat);
            let taps = even_taps(at, &x.shape, self.output);
            mean(x, plane, &taps, taps.len())
        })])
    }
}

impl Twin for AdaptiveMaxPool2d {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let x = &inputs[0];
        let shape = output_shape(self, x)?;
        Ok(vec![Expected::compute(&shape, DType::F32, select, |flat| {
            let (plane, at) = place(&shape, flat);
            Value::exact(largest(x, plane, &even_taps(at, &x.shape, self.output)).0)
        })])
    }
}
