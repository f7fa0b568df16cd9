//! The twins of products and convolutions of whole numbers: sums in i64, each value less its zero point before it is multiplied.

use crate::error::Result;
use crate::layout::{DType, Layout, count};
use crate::op::Op;
use crate::op::activation::Activation;
use crate::op::conv2d::Conv2d;
use crate::op::integer::binary::{BinaryConv2d, BinaryMatmul};
use crate::op::integer::conv2d::IntegerConv2d;
use crate::op::integer::matmul::{IntegerMatmul, Sizes};
use crate::op::integer::{IntegerOutput, Numbers};
use crate::op::quantize::{Granularity, QuantLayout};
use crate::reference::{Expected, HostData, HostTensor, Random, Select, TINY, Twin, U, Value, activate, layouts};

fn infer(op: &impl Op, inputs: &[HostTensor]) -> Result<Layout> {
    Ok(op.infer(&layouts(inputs))?.swap_remove(0))
}

/// Byte `at` of a tensor of bytes, or of words.
fn byte(tensor: &HostTensor, at: usize, unsigned: bool) -> i64 {
    let byte = tensor.bytes()[at];
    if unsigned { byte.into() } else { (byte as i8).into() }
}

/// Sets the bits of words beyond the last of each row's values to 0.
fn clear_tails(words: &mut [u32], pitch: usize, bits: usize) {
    for row in words.chunks_mut(pitch.max(1)) {
        for (at, word) in row.iter_mut().enumerate() {
            let left = bits.saturating_sub(32 * at);
            *word &= if left >= 32 { u32::MAX } else { (1u32 << left) - 1 };
        }
    }
}

/// What is known of a factor beside its values.
struct Factor<'a> {
    unsigned: bool,
    zero: Option<&'a HostTensor>,
    scale: Option<&'a HostTensor>,
    /// Whether the zero points are one for all, though more bytes may be there.
    one: bool,
}

impl<'a> Factor<'a> {
    fn of(side: usize, numbers: &Numbers, inputs: &'a [HostTensor], unsigned: bool, one: bool) -> Self {
        let at = |number: Option<usize>| number.map(|number| &inputs[number]);
        Factor { unsigned, zero: at(numbers.zeros[side]), scale: at(numbers.scales[side]), one }
    }

    fn zero(&self, at: usize) -> i64 {
        let at =
            |tensor: &HostTensor| if self.one || tensor.len() == 1 && tensor.dtype() != DType::U32 { 0 } else { at };
        self.zero.map_or(0, |zero| byte(zero, at(zero), self.unsigned))
    }

    fn scale(&self, at: usize) -> f64 {
        self.scale.map_or(1.0, |scale| scale.at(if scale.len() == 1 { 0 } else { at }))
    }
}

/// What becomes of an exact sum.
struct Ending {
    output: IntegerOutput,
    activation: Activation,
}

impl Ending {
    fn of(&self, sum: i64, bias: Option<f64>, scales: [f64; 2]) -> Value {
        let IntegerOutput::Floats(dtype) = self.output else {
            // A bias is a whole number, and 32 bits are all there are.
            let whole = (sum + bias.unwrap_or(0.0) as i64) as i32;
            if self.output == IntegerOutput::Sums {
                return Value::exact(whole.into());
            }
            // As f32 rounds, and so to the bit.
            let scaled = whole as f32 * (scales[0] as f32 * scales[1] as f32);
            return self.code(activate(self.activation, Value::exact(scaled.into())));
        };
        let scaled = sum as f64 * scales[0] * scales[1];
        let bias = bias.unwrap_or(0.0);
        // The sum, the scale and their product are rounded.
        let bound = 4.0 * U * scaled.abs() + (sum.abs() as f64 + 1.0) * TINY;
        let value = scaled + bias;
        let rounded = Value::within(value, bound * (1.0 + U) + U * value.abs());
        activate(self.activation, rounded.in_f32()).stored(dtype)
    }

    /// The code of a float, or what it may be where the float is not known to the bit.
    fn code(&self, float: Value) -> Value {
        let (IntegerOutput::Quantized { zero, .. } | IntegerOutput::Words { zero }) = self.output else { return float };
        if float.value.is_nan() || float.is_undecided() {
            return Value::undecided(float.value);
        }
        let [least, most] = self.output.range().map(f64::from);
        let zero = f64::from(zero);
        let code = |float: f64| float.clamp(least - zero, most - zero).round_ties_even() + zero;
        let value = code(float.value);
        let off = (code(float.value + float.bound) - value).max(value - code(float.value - float.bound));
        Value::within(value, off)
    }
}

/// Four codes to a word.
fn in_words(shape: &[usize], dtype: DType, select: &Select, codes: impl Fn(usize) -> [Option<Value>; 4]) -> Expected {
    Expected::compute(shape, dtype, select, |at| {
        let codes = codes(at);
        let decided = codes.iter().flatten().all(|code| code.bound == 0.0);
        let bytes = codes.map(|code| code.map_or(0, |code| code.value as i8 as u8));
        let word = f64::from(u32::from_le_bytes(bytes));
        if decided { Value::exact(word) } else { Value::undecided(word) }
    })
}

/// Whether a weight has one scale, and zero point.
fn is_one(weight: Option<&QuantLayout>) -> bool {
    weight.is_some_and(|weight| weight.scheme.granularity == Granularity::Tensor)
}

/// Words at random that hold values as a quantized tensor's plane does.
fn draw_plane(random: &mut Random, plane: &Layout, columns: usize, bits: usize) -> Result<HostTensor> {
    let mut drawn = HostTensor::draw(random, plane)?;
    if let HostData::U32(words) = &mut drawn.data {
        clear_tails(words, plane.shape[1], columns * bits);
    }
    Ok(drawn)
}

impl Twin for IntegerMatmul {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let Layout { shape, dtype, .. } = infer(self, inputs)?;
        let (x, weight) = (&inputs[0], &inputs[1]);
        let Sizes { m, n, k, .. } = self.sizes(&x.layout(), &weight.layout())?;
        let numbers = self.common().numbers();
        let unsigned = self.common().unsigned([x.dtype(), weight.dtype()]);
        let factors = [
            Factor::of(0, &numbers, inputs, unsigned[0], false),
            Factor::of(1, &numbers, inputs, unsigned[1], is_one(self.weight.as_ref())),
        ];
        let row_bytes = if x.dtype() == DType::U32 { k.div_ceil(4) * 4 } else { k };
        let batched = self.weight.is_none() && weight.shape.len() > 2;
        let plane_bytes = weight.shape.last().copied().unwrap_or(0) * 4;
        let ending = Ending { output: self.output, activation: self.activation };
        let element = |row: usize, j: usize| {
            let entry = if batched { row / m } else { 0 };
            let column = entry * n + j;
            let value = |t: usize| match (&self.weight, self.transpose) {
                (Some(_), _) => j * plane_bytes + t,
                (None, true) => (entry * n + j) * k + t,
                (None, false) => (entry * k + t) * n + j,
            };
            let sum = (0..k)
                .map(|t| {
                    let a = byte(x, row * row_bytes + t, unsigned[0]) - factors[0].zero(row);
                    let b = byte(weight, value(t), unsigned[1]) - factors[1].zero(column);
                    a * b
                })
                .sum();
            let bias = numbers.bias.map(|number| inputs[number].at(j));
            ending.of(sum, bias, [factors[0].scale(row), factors[1].scale(column)])
        };
        if let IntegerOutput::Words { .. } = self.output {
            let words = n.div_ceil(4);
            let codes = |at: usize| {
                [0, 1, 2, 3].map(|i| {
                    let j = at % words * 4 + i;
                    (j < n).then(|| element(at / words, j))
                })
            };
            return Ok(vec![in_words(&shape, dtype, select, codes)]);
        }
        Ok(vec![Expected::compute(&shape, dtype, select, |at| element(at / n, at % n))])
    }

    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        let mut drawn = inputs.iter().map(|layout| HostTensor::draw(random, layout)).collect::<Result<Vec<_>>>()?;
        if let Some(weight) = &self.weight {
            drawn[1] = draw_plane(random, &inputs[1], weight.shape[1], 8)?;
        }
        Ok(drawn)
    }

    fn shrunk(&self, inputs: &[Layout]) -> Option<(Box<dyn Twin>, Vec<Layout>)> {
        let Sizes { k, .. } = self.sizes(&inputs[0], &inputs[1]).ok()?;
        // Words and values of a row have to go on fitting each other.
        let size = |size: usize| Layout::new(&[size], DType::U8).shrunk().shape[0];
        let mut small: Vec<Layout> = inputs.iter().map(Layout::shrunk).collect();
        if inputs[0].dtype == DType::U32 {
            *small[0].shape.last_mut()? = size(k).div_ceil(4);
        }
        let mut op = self.clone();
        if let Some(weight) = &mut op.weight {
            weight.shape = weight.shape.iter().map(|&own| size(own)).collect();
            let planes = weight.planes().ok()?;
            let numbers = self.common().numbers();
            for (number, plane) in [Some(1), numbers.scales[1], numbers.zeros[1]].into_iter().zip(planes) {
                if let Some(number) = number {
                    small[number].shape = plane.shape;
                }
            }
        }
        (count(&small[0].shape) > 0).then(|| (Box::new(op) as Box<dyn Twin>, small))
    }
}

/// The taps of output pixel (p, q) as (r, s) and the pixel of x under each, `None` around the image.
fn taps(conv: &Conv2d, [h, w]: [usize; 2], [kh, kw]: [usize; 2], [p, q]: [usize; 2]) -> Vec<(usize, Option<usize>)> {
    let mut taps = Vec::new();
    for (r, s) in (0..kh).flat_map(|r| (0..kw).map(move |s| (r, s))) {
        let row = (p * conv.stride[0] + r * conv.dilation[0]).checked_sub(conv.padding.top).filter(|&row| row < h);
        let column = (q * conv.stride[1] + s * conv.dilation[1]).checked_sub(conv.padding.left).filter(|&x| x < w);
        taps.push((r * kw + s, row.zip(column).map(|(row, column)| row * w + column)));
    }
    taps
}

impl Twin for IntegerConv2d {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let Layout { shape, dtype, .. } = infer(self, inputs)?;
        let (x, weight) = (&inputs[0], &inputs[1]);
        let sizes = self.sizes(&x.layout(), &weight.layout())?;
        let ([_, c, h, w], [o, channels, kh, kw]) = (sizes.x, sizes.weight);
        let numbers = self.common().numbers();
        let unsigned = self.common().unsigned([x.dtype(), weight.dtype()]);
        let factors = [
            Factor::of(0, &numbers, inputs, unsigned[0], true),
            Factor::of(1, &numbers, inputs, unsigned[1], is_one(self.weight.as_ref())),
        ];
        let filter = if self.weight.is_some() { weight.shape[1] * 4 } else { channels * kh * kw };
        let ending = Ending { output: self.output, activation: self.activation };
        let words = c.div_ceil(4);
        let value = |image: usize, channel: usize, pixel: usize| match x.dtype() {
            DType::U32 => byte(x, ((image * words + channel / 4) * h * w + pixel) * 4 + channel % 4, false),
            _ => byte(x, (image * c + channel) * h * w + pixel, unsigned[0]),
        };
        let (out_h, out_w) = (shape[2], shape[3]);
        let element = |image: usize, row: usize, pixel: usize| {
            let group = row / (o / self.groups);
            let mut sum = 0;
            for (tap, at) in taps(&self.conv(), [h, w], [kh, kw], [pixel / out_w, pixel % out_w]) {
                for t in 0..channels {
                    // Around the image lies the zero point, which leaves nothing.
                    let a = at.map_or(0, |at| value(image, group * channels + t, at) - factors[0].zero(0));
                    sum += a * (byte(weight, row * filter + t * kh * kw + tap, unsigned[1]) - factors[1].zero(row));
                }
            }
            let bias = numbers.bias.map(|number| inputs[number].at(row));
            ending.of(sum, bias, [factors[0].scale(0), factors[1].scale(row)])
        };
        let (planes, pixels) = (shape[1], out_h * out_w);
        if let IntegerOutput::Words { .. } = self.output {
            let codes = |at: usize| {
                [0, 1, 2, 3].map(|i| {
                    let row = at / pixels % planes * 4 + i;
                    (row < o).then(|| element(at / pixels / planes, row, at % pixels))
                })
            };
            return Ok(vec![in_words(&shape, dtype, select, codes)]);
        }
        let element = |at: usize| element(at / pixels / planes, at / pixels % planes, at % pixels);
        Ok(vec![Expected::compute(&shape, dtype, select, element)])
    }

    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        let mut drawn = inputs.iter().map(|layout| HostTensor::draw(random, layout)).collect::<Result<Vec<_>>>()?;
        if let Some(weight) = &self.weight {
            drawn[1] = draw_plane(random, &inputs[1], weight.matrix()?[1], 8)?;
        }
        Ok(drawn)
    }

    fn shrunk(&self, inputs: &[Layout]) -> Option<(Box<dyn Twin>, Vec<Layout>)> {
        let sizes = self.sizes(&inputs[0], &inputs[1]).ok()?;
        let small = |size: usize| Layout::new(&[size], DType::U8).shrunk().shape[0];
        // Channels by the group, so that there is a whole number of them still.
        let (groups, channels) = (small(self.groups), small(sizes.weight[1]));
        let o = groups * small(sizes.weight[0] / self.groups);
        let mut layouts: Vec<Layout> = inputs.iter().map(Layout::shrunk).collect();
        let c = groups * channels;
        layouts[0].shape[1] = if inputs[0].dtype == DType::U32 { c.div_ceil(4) } else { c };
        let mut op = IntegerConv2d { groups, ..self.clone() };
        let numbers = self.common().numbers();
        let counted = [numbers.zeros[1], numbers.scales[1], numbers.bias];
        for number in counted.into_iter().flatten().filter(|&number| inputs[number].len() > 1) {
            layouts[number].shape = vec![o];
        }
        match &mut op.weight {
            Some(weight) => {
                weight.shape = vec![o, channels, sizes.weight[2], sizes.weight[3]];
                let planes = weight.planes().ok()?;
                for (number, plane) in [Some(1), numbers.scales[1], numbers.zeros[1]].into_iter().zip(planes) {
                    if let Some(number) = number {
                        layouts[number].shape = plane.shape;
                    }
                }
            }
            None => layouts[1].shape = vec![o, channels, sizes.weight[2], sizes.weight[3]],
        }
        Some((Box::new(op), layouts))
    }
}

/// The sign of a float: 0, either way, is +1.
fn sign(x: f64) -> i64 {
    if x < 0.0 { -1 } else { 1 }
}

/// The sign that a plane of bits holds in a row.
fn bit(plane: &HostTensor, row: usize, at: usize) -> i64 {
    let word = plane.at(row * plane.shape[1] + at / 32) as u32;
    if word >> (at % 32) & 1 == 1 { 1 } else { -1 }
}

impl Twin for BinaryMatmul {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let Layout { shape, dtype, .. } = infer(self, inputs)?;
        let [n, k] = self.weight.matrix()?;
        let numbers = self.common().numbers();
        let scales = [0, 1].map(|side| Factor::of(side, &numbers, inputs, false, false));
        let ending = Ending { output: self.output, activation: self.activation };
        Ok(vec![Expected::compute(&shape, dtype, select, |at| {
            let (row, j) = (at / n, at % n);
            let sum = (0..k).map(|t| sign(inputs[0].at(row * k + t)) * bit(&inputs[1], j, t)).sum();
            ending.of(sum, numbers.bias.map(|number| inputs[number].at(j)), [scales[0].scale(0), scales[1].scale(j)])
        })])
    }

    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        let mut drawn = inputs.iter().map(|layout| HostTensor::draw(random, layout)).collect::<Result<Vec<_>>>()?;
        drawn[1] = draw_plane(random, &inputs[1], self.weight.matrix()?[1], 1)?;
        Ok(drawn)
    }
}

impl Twin for BinaryConv2d {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let Layout { shape, dtype, .. } = infer(self, inputs)?;
        let (x, weight) = (&inputs[0], &inputs[1]);
        let (c, h, w) = (x.shape[1], x.shape[2], x.shape[3]);
        let &[o, channels, kh, kw] = &self.weight.shape[..] else { return Ok(Vec::new()) };
        let numbers = self.common().numbers();
        let scales = [0, 1].map(|side| Factor::of(side, &numbers, inputs, false, false));
        let ending = Ending { output: self.output, activation: self.activation };
        let pixels = shape[2] * shape[3];
        Ok(vec![Expected::compute(&shape, dtype, select, |at| {
            let (image, row, pixel) = (at / pixels / o, at / pixels % o, at % pixels);
            let group = row / (o / self.groups);
            let mut sum = 0;
            for (tap, at) in taps(&self.conv(), [h, w], [kh, kw], [pixel / shape[3], pixel % shape[3]]) {
                for t in 0..channels {
                    let place = |at: usize| (image * c + group * channels + t) * h * w + at;
                    sum += at.map_or(1, |at| sign(x.at(place(at)))) * bit(weight, row, t * kh * kw + tap);
                }
            }
            let bias = numbers.bias.map(|number| inputs[number].at(row));
            ending.of(sum, bias, [scales[0].scale(0), scales[1].scale(row)])
        })])
    }

    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        let mut drawn = inputs.iter().map(|layout| HostTensor::draw(random, layout)).collect::<Result<Vec<_>>>()?;
        drawn[1] = draw_plane(random, &inputs[1], self.weight.matrix()?[1], 1)?;
        Ok(drawn)
    }
}
