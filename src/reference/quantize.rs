//! The twins of quantization: plain divisions, roundings and products, an element at a time.

use crate::error::Result;
use crate::layout::{DType, Layout, count};
use crate::op::Op;
use crate::op::quantize::{
    Dequantize, DequantizeLinear, DynamicQuantize, DynamicQuantizeLinear, FakeQuantize, Granularity, Histogram,
    PackValues, QuantLayout, QuantScheme, QuantType, Quantize, QuantizeLinear, Ranges, UnpackValues,
};
use crate::reference::{
    Expected, HostTensor, MAX_F16, Random, Select, TINY, TINY_F16, Twin, ULP, Value, layouts, perhaps_flushed,
};

/// The scale of an element, by its number.
pub(super) fn group(layout: &QuantLayout, at: usize) -> usize {
    let columns = count(&layout.shape[1..]);
    match layout.scheme.granularity {
        Granularity::Tensor => 0,
        Granularity::Channel(axis) => at / count(&layout.shape[axis + 1..]) % layout.shape[axis],
        Granularity::Block(len) => at / columns * columns.div_ceil(len) + at % columns / len,
    }
}

/// What a zero point of a plane is.
pub(super) fn zero(layout: &QuantLayout, zeros: Option<&HostTensor>, group: usize) -> i32 {
    let Some(zeros) = zeros else { return 0 };
    let byte = (zeros.at(group / 4) as u32 >> (8 * (group % 4))) as u8;
    if layout.scheme.values == QuantType::U8 { byte.into() } else { i32::from(byte as i8) }
}

/// A number, quantized.
fn quantized(values: QuantType, x: f32, scale: f32, zero: i32) -> i32 {
    let [low, high] = values.range();
    if values == QuantType::Binary {
        return if x < 0.0 { -1 } else { 1 };
    }
    let rounded = if x.is_nan() { 0.0 } else { (x / scale).round_ties_even() };
    (f64::from(rounded) + f64::from(zero)).clamp(low.into(), high.into()) as i32
}

/// What a number that is kept in words stands for.
pub(super) fn level(values: QuantType, word: u32, place: usize) -> i32 {
    let bits = word >> (values.bits() * place);
    match values {
        QuantType::I8 => i32::from(bits as i8),
        QuantType::U8 => i32::from(bits as u8),
        QuantType::I4 => i32::from(((bits & 15) << 4) as u8 as i8) >> 4,
        QuantType::Binary => 2 * (bits & 1) as i32 - 1,
    }
}

/// The words of a tensor's values.
fn words(layout: &QuantLayout, value: impl Fn(usize) -> i32) -> Result<Vec<u32>> {
    let ([rows, columns], pitch) = (layout.matrix()?, layout.pitch()?);
    let (bits, per_word) = (layout.scheme.values.bits(), layout.scheme.values.per_word());
    let mut words = vec![0u32; rows * pitch];
    for at in 0..rows * columns {
        let (row, column) = (at / columns, at % columns);
        let kept = match layout.scheme.values {
            QuantType::Binary => u32::from(value(at) > 0),
            _ => value(at) as u32 & (u32::MAX >> (32 - bits)),
        };
        words[row * pitch + column / per_word] |= kept << (bits * (column % per_word));
    }
    Ok(words)
}

/// Words that are known to the bit.
fn exact(shape: &[usize], words: &[u32], select: &Select) -> Expected {
    Expected::compute(shape, DType::U32, select, |at| Value::exact(words[at].into()))
}

/// The f32 product of a whole number and a scale, which a device may round either way.
fn product(level: i32, scale: f64, dtype: DType) -> Value {
    let value = f64::from(level) * scale;
    let exact = f64::from(value as f32) == value && (value == 0.0 || value.abs() >= TINY);
    let product = if exact { Value::exact(value) } else { Value::within(value, ULP * value.abs() + TINY) };
    product.in_f32().stored(dtype)
}

/// Scales between 2^-8 and 2^-4, and zero points in their range.
pub(super) fn draw(layout: &QuantLayout, planes: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
    let mut drawn = Vec::new();
    for plane in planes {
        let scales: Vec<f32> = (0..plane.len()).map(|_| (1.0 + random.signed().abs() * 15.0) / 256.0).collect();
        drawn.push(match plane.dtype {
            DType::F32 => HostTensor::new(&plane.shape, &scales)?,
            DType::F16 => {
                let halves: Vec<half::f16> = scales.into_iter().map(half::f16::from_f32).collect();
                HostTensor::new(&plane.shape, &halves)?
            }
            _ => {
                let [low, high] = layout.scheme.values.range();
                let len = count(&layout.scales()?);
                let mut bytes: Vec<u8> =
                    (0..len).map(|_| (low + random.below((high - low) as usize + 1) as i32) as u8).collect();
                bytes.resize(4 * plane.len(), 0);
                HostTensor::from_bytes(&plane.shape, DType::U32, &bytes)
            }
        });
    }
    Ok(drawn)
}

impl Twin for Quantize {
    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        let mut drawn = vec![HostTensor::draw(random, &inputs[0])?];
        drawn.extend(draw(&self.layout, &inputs[1..], random)?);
        Ok(drawn)
    }

    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let outputs = self.infer(&layouts(inputs))?;
        let (layout, x) = (&self.layout, &inputs[0]);
        let value = |flushed: usize| {
            words(layout, |at| {
                let group = group(layout, at);
                let zero = zero(layout, inputs.get(2), group);
                let x = perhaps_flushed(x.at(at), x.dtype())[flushed];
                quantized(layout.scheme.values, x as f32, inputs[1].at(group) as f32, zero)
            })
        };
        let (own, flushed) = (value(0)?, value(1)?);
        Ok(vec![Expected::compute(&outputs[0].shape, DType::U32, select, |at| {
            // A subnormal half by a scale as small may be anything of two.
            if own[at] == flushed[at] { Value::exact(own[at].into()) } else { Value::undecided(own[at].into()) }
        })])
    }
}

impl Twin for Dequantize {
    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        // Zero bits beyond the last value of a row.
        let per_word = self.layout.scheme.values.per_word();
        let (columns, pitch) = (self.layout.matrix()?[1], self.layout.pitch()?);
        let words: Vec<u32> = (0..inputs[0].len())
            .map(|word| {
                let left = columns.saturating_sub(word % pitch * per_word).min(per_word);
                let kept = (1u64 << (left * self.layout.scheme.values.bits())) - 1;
                random.bits() as u32 & kept as u32
            })
            .collect();
        let mut drawn = vec![HostTensor::new(&inputs[0].shape, &words)?];
        drawn.extend(draw(&self.layout, &inputs[1..], random)?);
        Ok(drawn)
    }

    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let outputs = self.infer(&layouts(inputs))?;
        let (layout, values) = (&self.layout, self.layout.scheme.values);
        let (columns, pitch) = (layout.matrix()?[1], layout.pitch()?);
        Ok(vec![Expected::compute(&outputs[0].shape, self.output, select, |at| {
            let (row, column) = (at / columns, at % columns);
            let word = inputs[0].at(row * pitch + column / values.per_word()) as u32;
            let group = group(layout, at);
            let level = level(values, word, column % values.per_word()) - zero(layout, inputs.get(2), group);
            product(level, inputs[1].at(group), self.output)
        })])
    }
}

impl Twin for FakeQuantize {
    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        Quantize { layout: self.layout.clone() }.draw(inputs, random)
    }

    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let outputs = self.infer(&layouts(inputs))?;
        let (layout, x) = (&self.layout, &inputs[0]);
        Ok(vec![Expected::compute(&outputs[0].shape, x.dtype(), select, |at| {
            let group = group(layout, at);
            let (scale, zero) = (inputs[1].at(group), zero(layout, inputs.get(2), group));
            let [own, flushed] = perhaps_flushed(x.at(at), x.dtype()).map(|x| {
                let kept = quantized(layout.scheme.values, x as f32, scale as f32, zero);
                product(kept - zero, scale, inputs[0].dtype())
            });
            own.or(flushed)
        })])
    }
}

impl Twin for PackValues {
    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        let [low, high] = self.layout.scheme.values.range();
        let binary = self.layout.scheme.values == QuantType::Binary;
        let value = |random: &mut Random| match binary {
            true => 2 * random.below(2) as i32 - 1,
            false => low + random.below((high - low) as usize + 1) as i32,
        };
        let bytes: Vec<u8> = (0..inputs[0].len()).map(|_| value(random) as u8).collect();
        Ok(vec![HostTensor::from_bytes(&inputs[0].shape, inputs[0].dtype, &bytes)])
    }

    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let outputs = self.infer(&layouts(inputs))?;
        let words = words(&self.layout, |at| inputs[0].at(at) as i32)?;
        Ok(vec![exact(&outputs[0].shape, &words, select)])
    }
}

impl Twin for UnpackValues {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let outputs = self.infer(&layouts(inputs))?;
        let values = self.layout.scheme.values;
        let (columns, pitch) = (self.layout.matrix()?[1], self.layout.pitch()?);
        Ok(vec![Expected::compute(&outputs[0].shape, outputs[0].dtype, select, |at| {
            let (row, column) = (at / columns, at % columns);
            let word = inputs[0].at(row * pitch + column / values.per_word()) as u32;
            Value::exact(level(values, word, column % values.per_word()).into())
        })])
    }
}

/// The index of the scale of an element of x.
fn linear_group(x: &[usize], axis: usize, block: Option<usize>, scale: &[usize], at: usize) -> usize {
    if count(scale) == 1 {
        return 0;
    }
    let inner = count(&x[axis + 1..]);
    let along = at / inner % x[axis];
    match block {
        None => along,
        Some(block) => (at / inner / x[axis] * scale[axis] + along / block) * inner + at % inner,
    }
}

/// The scheme of values that are bytes.
fn bytes(dtype: DType) -> QuantType {
    if dtype == DType::U8 { QuantType::U8 } else { QuantType::I8 }
}

/// Scales as [`draw`] has them, and zero points of any value.
fn draw_linear(inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
    let scales = QuantLayout::new(QuantScheme::default(), &[1])?;
    let mut drawn = vec![HostTensor::draw(random, &inputs[0])?];
    drawn.extend(draw(&scales, &inputs[1..2], random)?);
    if let Some(zeros) = inputs.get(2) {
        drawn.push(HostTensor::draw(random, zeros)?);
    }
    Ok(drawn)
}

impl Twin for QuantizeLinear {
    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        draw_linear(inputs, random)
    }

    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let outputs = self.infer(&layouts(inputs))?;
        let x = &inputs[0];
        Ok(vec![Expected::compute(&outputs[0].shape, self.output, select, |at| {
            let group = linear_group(&x.shape, self.axis, self.block, &inputs[1].shape, at);
            let zero = inputs.get(2).map_or(0, |zeros| zeros.at(group) as i32);
            let scale = inputs[1].at(group) as f32;
            let [own, flushed] = perhaps_flushed(x.at(at), x.dtype())
                .map(|x| Value::exact(quantized(bytes(self.output), x as f32, scale, zero).into()));
            own.or(flushed)
        })])
    }
}

impl Twin for DequantizeLinear {
    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        draw_linear(inputs, random)
    }

    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let outputs = self.infer(&layouts(inputs))?;
        let x = &inputs[0];
        Ok(vec![Expected::compute(&outputs[0].shape, self.output, select, |at| {
            let group = linear_group(&x.shape, self.axis, self.block, &inputs[1].shape, at);
            let zero = inputs.get(2).map_or(0, |zeros| zeros.at(group) as i32);
            product(x.at(at) as i32 - zero, inputs[1].at(group), self.output)
        })])
    }
}

impl Twin for DynamicQuantizeLinear {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let outputs = self.infer(&layouts(inputs))?;
        let x = &inputs[0];
        let finite = || (0..x.len()).map(|at| x.at(at) as f32).filter(|x| x.is_finite());
        let (least, greatest) = (finite().fold(0.0, f32::min), finite().fold(0.0, f32::max));
        let scale = scale(QuantType::U8, false, least, greatest, DType::F32);
        let zero = (-least / scale).round_ties_even().clamp(0.0, 255.0);
        let one = |output: usize, value: f32| {
            Expected::compute(&outputs[output].shape, outputs[output].dtype, select, |_| Value::exact(value.into()))
        };
        let values = Expected::compute(&outputs[0].shape, DType::U8, select, |at| {
            Value::exact(quantized(QuantType::U8, x.at(at) as f32, scale, zero as i32).into())
        });
        Ok(vec![values, one(1, scale), one(2, zero)])
    }
}

/// The scale of a range, as it is kept.
fn scale(values: QuantType, symmetric: bool, least: f32, greatest: f32, dtype: DType) -> f32 {
    let [low, high] = values.range();
    let range = match (symmetric, values) {
        (false, _) => greatest - least,
        (true, QuantType::U8) => greatest,
        (true, _) => greatest.max(-least),
    };
    // The difference of the largest numbers is none of f32.
    let range = if range.is_finite() { f64::from(range) } else { 2.0 * f64::from(greatest / 2.0 - least / 2.0) };
    let steps = if symmetric { high } else { high - low };
    let scale = if range == 0.0 { 1.0 } else { ((range / f64::from(steps)) as f32).max(f32::MIN_POSITIVE) };
    match dtype {
        DType::F16 => half::f16::from_f32(scale.min(MAX_F16 as f32)).to_f32().max(TINY_F16 as f32),
        _ => scale,
    }
}

/// The scales and zero points of ranges.
fn scaled(layout: &QuantLayout, x: &HostTensor) -> Result<(Vec<f32>, Vec<i32>)> {
    let scheme = layout.scheme;
    let mut ranges = vec![[0f32; 2]; count(&layout.scales()?)];
    for at in 0..x.len() {
        let x = x.at(at) as f32;
        let range = &mut ranges[group(layout, at)];
        if x.is_finite() {
            *range = [range[0].min(x), range[1].max(x)];
        }
    }
    let [low, high] = scheme.values.range();
    let of = |[least, greatest]: [f32; 2]| {
        let scale = scale(scheme.values, scheme.symmetric, least, greatest, scheme.scales);
        let zero = f64::from(low) + f64::from((-least / scale).round_ties_even());
        (scale, if scheme.symmetric { 0 } else { zero.clamp(low.into(), high.into()) as i32 })
    };
    Ok(ranges.into_iter().map(of).unzip())
}

impl Twin for DynamicQuantize {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let outputs = self.infer(&layouts(inputs))?;
        let (layout, x) = (&self.layout, &inputs[0]);
        let values = layout.scheme.values;
        if values == QuantType::Binary {
            let mut sums = vec![(0usize, 0f64); outputs[1].len()];
            for at in 0..x.len() {
                let (members, sum) = &mut sums[group(layout, at)];
                *members += 1;
                *sum += if x.at(at).is_finite() { x.at(at).abs() } else { 0.0 };
            }
            let mean = |at: usize| {
                let (members, sum) = sums[at];
                let mean = sum / members.max(1) as f64;
                let clamped = mean.max(if layout.scheme.scales == DType::F16 { TINY_F16 } else { TINY });
                let sum = Value::sum(members, sum, sum);
                if sum.value.is_infinite() {
                    return Value::exact(f32::MAX.into());
                }
                // A division's 2.5 units beside the sum's error.
                sum.step(clamped, 1.0 / members.max(1) as f64, 2.5 * ULP * clamped)
            };
            let words = words(layout, |at| quantized(values, x.at(at) as f32, 1.0, 0))?;
            let scales = Expected::compute(&outputs[1].shape, layout.scheme.scales, select, |at| {
                mean(at).stored(layout.scheme.scales)
            });
            return Ok(vec![exact(&outputs[0].shape, &words, select), scales]);
        }
        let (scales, zeros) = scaled(layout, x)?;
        let words = words(layout, |at| {
            let group = group(layout, at);
            quantized(values, x.at(at) as f32, scales[group], zeros[group])
        })?;
        let mut expected = vec![exact(&outputs[0].shape, &words, select)];
        expected.push(Expected::compute(&outputs[1].shape, layout.scheme.scales, select, |at| {
            Value::exact(scales[at].into())
        }));
        if let Some(plane) = outputs.get(2) {
            let mut bytes: Vec<u8> = zeros.iter().map(|&zero| zero as u8).collect();
            bytes.resize(4 * plane.len(), 0);
            let words: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes);
            expected.push(exact(&plane.shape, &words, select));
        }
        Ok(expected)
    }
}

impl Twin for Ranges {
    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        let before: Vec<u32> = (0..inputs[1].len()).map(|_| random.signed().abs().to_bits()).collect();
        Ok(vec![HostTensor::draw(random, &inputs[0])?, HostTensor::new(&inputs[1].shape, &before)?])
    }

    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let outputs = self.infer(&layouts(inputs))?;
        let layout = self.layout(&inputs[0].layout())?;
        let mut ranges: Vec<u32> = (0..inputs[1].len()).map(|at| inputs[1].at(at) as u32).collect();
        for at in 0..inputs[0].len() {
            let x = inputs[0].at(at) as f32;
            if x.is_finite() && x != 0.0 {
                let range = &mut ranges[2 * group(&layout, at) + usize::from(x > 0.0)];
                *range = x.abs().to_bits().max(*range);
            }
        }
        Ok(vec![exact(&outputs[0].shape, &ranges, select)])
    }
}

impl Twin for Histogram {
    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        let before: Vec<u32> = (0..inputs[1].len()).map(|_| random.below(100) as u32).collect();
        Ok(vec![HostTensor::draw(random, &inputs[0])?, HostTensor::new(&inputs[1].shape, &before)?])
    }

    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let outputs = self.infer(&layouts(inputs))?;
        let mut counts: Vec<u32> = (0..inputs[1].len()).map(|at| inputs[1].at(at) as u32).collect();
        for at in 0..inputs[0].len() {
            let x = inputs[0].at(at) as f32;
            let bin = if x == 0.0 { 0 } else { x.to_bits() >> (23 - self.mantissa) };
            counts[bin as usize] = counts[bin as usize].wrapping_add(1);
        }
        Ok(vec![exact(&outputs[0].shape, &counts, select)])
    }
}
