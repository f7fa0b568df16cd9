//! The twins of the pooling ops.

use crate::error::Result;
use crate::layout::DType;
use crate::op::Op;
use crate::op::pool::{AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, IntegerPool2d, IntegerPooling, MaxPool2d};
use crate::reference::{Expected, HostTensor, Select, TINY, Twin, U, ULP, Value, perhaps_flushed};

/// The output element of a flat index: its plane and place.
fn place(shape: &[usize], flat: usize) -> (usize, [usize; 2]) {
    (flat / shape[3] / shape[2], [flat / shape[3] % shape[2], flat % shape[3]])
}

/// Windows at a stride. Pairs are (height, width).
struct Windows {
    kernel: [usize; 2],
    stride: [usize; 2],
    /// Top and left.
    padding: [usize; 2],
    dilation: [usize; 2],
}

impl Windows {
    /// The elements of a plane of this size that lie in the window of an output, as (y, x).
    fn taps(&self, at: [usize; 2], size: [usize; 2]) -> Vec<(usize, usize)> {
        let side = |i: usize| -> Vec<usize> {
            (0..self.kernel[i])
                .map(|tap| (at[i] * self.stride[i] + tap * self.dilation[i]).wrapping_sub(self.padding[i]))
                .filter(|&place| place < size[i])
                .collect()
        };
        let columns = side(1);
        side(0).into_iter().flat_map(|y| columns.iter().map(move |&x| (y, x))).collect()
    }
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
    let (mut sum, mut magnitude, mut lost) = (0.0, 0.0, 0.0);
    for &(y, z) in taps {
        let value = x.at((plane * x.shape[2] + y) * x.shape[3] + z);
        sum += value;
        magnitude += value.abs();
        lost += (value - perhaps_flushed(value, x.dtype())[1]).abs();
    }
    // A sum beyond f32 is infinite, whatever it is divided by.
    let sum = Value::sum(taps.len(), sum, magnitude);
    let sum = sum.step(sum.value, 1.0, lost);
    let d = divisor as f64;
    let value = sum.value / d;
    // A divisor above 2^24 is rounded to f32: as a product of two sides, each converted within an ulp, and rounded once. WGSL
    // divides within 2.5 ulp.
    let off = if divisor <= 1 << 24 { 0.0 } else { (1.0 + ULP).powi(2) * (1.0 + U) - 1.0 };
    let relative = (1.0 + 2.5 * ULP) / (1.0 - off);
    sum.step(value, relative / d, (relative - 1.0) * value.abs() + TINY).stored(x.dtype())
}

fn output_shape(op: &dyn Op, x: &HostTensor) -> Result<Vec<usize>> {
    Ok(op.infer(&[x.layout()])?.swap_remove(0).shape)
}

/// What is expected of maxima over taps, and of their indices if they are wanted.
fn maxima(
    x: &HostTensor,
    shape: &[usize],
    select: &Select,
    indices: bool,
    taps: impl Fn([usize; 2]) -> Vec<(usize, usize)>,
) -> Vec<Expected> {
    let best = |flat| {
        let (plane, at) = place(shape, flat);
        largest(x, plane, &taps(at))
    };
    let mut expected = vec![Expected::compute(shape, x.dtype(), select, |flat| {
        let [value, flushed] = perhaps_flushed(best(flat).0, x.dtype());
        if value == flushed { Value::exact(value) } else { Value::exact(value).or(Value::exact(flushed)) }
    })];
    expected.extend(
        indices.then(|| Expected::compute(shape, DType::U32, select, |flat| Value::exact(best(flat).1 as f64))),
    );
    expected
}

impl Twin for MaxPool2d {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let x = &inputs[0];
        let shape = output_shape(self, x)?;
        let [top, left, ..] = self.padding;
        let MaxPool2d { kernel, dilation, .. } = *self;
        let windows = Windows { kernel, stride: self.stride.unwrap_or(kernel), padding: [top, left], dilation };
        Ok(maxima(x, &shape, select, self.return_indices, |at| windows.taps(at, [x.shape[2], x.shape[3]])))
    }
}

impl Twin for AvgPool2d {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let x = &inputs[0];
        let shape = output_shape(self, x)?;
        let (kernel, stride) = (self.kernel, self.stride.unwrap_or(self.kernel));
        let [top, left, ..] = self.padding;
        let windows = Windows { kernel, stride, padding: [top, left], dilation: [1, 1] };
        Ok(vec![Expected::compute(&shape, x.dtype(), select, |flat| {
            let (plane, at) = place(&shape, flat);
            let taps = windows.taps(at, [x.shape[2], x.shape[3]]);
            // Places of the window within the padded plane.
            let padded = |i: usize| {
                let start = at[i] * stride[i];
                (start + kernel[i]).min(x.shape[i + 2] + self.padding[i] + self.padding[i + 2]) - start
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
        Ok(vec![Expected::compute(&shape, x.dtype(), select, |flat| {
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
        Ok(maxima(x, &shape, select, self.return_indices, |at| even_taps(at, &x.shape, self.output)))
    }
}

impl IntegerPool2d {
    /// The places of an output's window in a plane, and how many count in a mean.
    fn taps(&self, at: [usize; 2], x: &[usize]) -> (Vec<(usize, usize)>, usize) {
        let size = [x[2], x[3]];
        let strided = |kernel, stride: Option<_>, padding: [usize; 4], dilation| {
            let windows =
                Windows { kernel, stride: stride.unwrap_or(kernel), padding: [padding[0], padding[1]], dilation };
            windows.taps(at, size)
        };
        match self.pooling {
            IntegerPooling::Max(MaxPool2d { kernel, stride, padding, dilation, .. }) => {
                (strided(kernel, stride, padding, dilation), 0)
            }
            IntegerPooling::Average(AvgPool2d { kernel, stride, padding, count_include_pad, .. }) => {
                let taps = strided(kernel, stride, padding, [1, 1]);
                let side = |i: usize| {
                    let start = at[i] * stride.unwrap_or(kernel)[i];
                    (start + kernel[i]).min(size[i] + padding[i] + padding[i + 2]) - start
                };
                let counted = if count_include_pad { side(0) * side(1) } else { taps.len() };
                (taps, counted)
            }
            IntegerPooling::AdaptiveMax(AdaptiveMaxPool2d { output, .. })
            | IntegerPooling::AdaptiveAverage(AdaptiveAvgPool2d { output }) => {
                let taps = even_taps(at, x, output);
                let counted = taps.len();
                (taps, counted)
            }
        }
    }
}

impl Twin for IntegerPool2d {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let x = &inputs[0];
        let shape = output_shape(self, x)?;
        let bytes = x.bytes();
        let maximum = matches!(self.pooling, IntegerPooling::Max(_) | IntegerPooling::AdaptiveMax(_));
        // Of words, the byte of one of four channels.
        let pooled = |flat: usize, channel: usize, width: usize| -> i64 {
            let (plane, at) = place(&shape, flat);
            let (taps, counted) = self.taps(at, &x.shape);
            let values = taps.iter().map(|&(y, z)| {
                let byte = bytes[((plane * x.shape[2] + y) * x.shape[3] + z) * width + channel];
                if x.dtype() == DType::U8 { i64::from(byte) } else { i64::from(byte as i8) }
            });
            if maximum {
                return values.max().unwrap_or(0);
            }
            let sum = values.sum::<i64>() + i64::from(self.zero) * (counted - taps.len()) as i64;
            (sum as f64 / counted as f64).round_ties_even() as i64
        };
        Ok(vec![Expected::compute(&shape, x.dtype(), select, |flat| match x.dtype() {
            DType::U32 => {
                let bytes = [0, 1, 2, 3].map(|channel| pooled(flat, channel, 4) as i8 as u8);
                Value::exact(u32::from_le_bytes(bytes).into())
            }
            _ => Value::exact(pooled(flat, 0, 1) as f64),
        })])
    }
}
