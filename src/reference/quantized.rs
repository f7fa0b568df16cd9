//! The twins of ops with quantized weights: each value is what its definition says, exactly, and the dense twin does the rest.

use crate::error::Result;
use crate::layout::{DType, Layout, count};
use crate::op::Op;
use crate::op::quantize::{Granularity, QuantLayout, QuantType};
use crate::op::quantized::{QuantizedConv2d, QuantizedMatmul};
use crate::reference::sparse::{small, small_inputs, small_products};
use crate::reference::{Expected, HostData, HostTensor, Projection, Random, Select, Twin};

fn infer(op: &impl Op, inputs: &[HostTensor]) -> Result<Vec<Layout>> {
    op.infer(&inputs.iter().map(HostTensor::layout).collect::<Vec<_>>())
}

/// A number out of the words of a row.
fn number(values: QuantType, words: &HostTensor, row: usize, column: usize, pitch: usize) -> f64 {
    let (per_word, bits) = (values.per_word(), values.bits() as u32);
    let word = words.at(row * pitch + column / per_word) as u32;
    signed(values, word >> (bits * (column % per_word) as u32), bits)
}

/// What the lowest bits stand for.
fn signed(values: QuantType, word: u32, bits: u32) -> f64 {
    let top = word << (32 - bits);
    match values {
        QuantType::U8 => (top >> (32 - bits)).into(),
        QuantType::Binary => f64::from(top >> (32 - bits)) * 2.0 - 1.0,
        QuantType::I8 | QuantType::I4 => (top as i32 >> (32 - bits)).into(),
    }
}

/// What planes stand for: `scale * (q - zero)`.
fn dequantized(layout: &QuantLayout, planes: &[HostTensor]) -> Result<HostTensor> {
    let ([rows, columns], pitch, values) = (layout.matrix()?, layout.pitch()?, layout.scheme.values);
    let scale_of = |row: usize, column: usize| match layout.scheme.granularity {
        Granularity::Tensor => 0,
        Granularity::Channel(0) => row,
        Granularity::Channel(axis) => column / count(&layout.shape[axis + 1..]) % layout.shape[axis],
        Granularity::Block(len) => row * columns.div_ceil(len) + column / len,
    };
    let zero = |at: usize| match planes.get(2) {
        Some(zeros) => signed(values, zeros.at(at / 4) as u32 >> (8 * (at % 4)), 8),
        None => 0.0,
    };
    let value = |row: usize, column: usize| {
        let at = scale_of(row, column);
        planes[1].at(at) * (number(values, &planes[0], row, column, pitch) - zero(at))
    };
    let scales = (0..planes[1].len()).map(|at| planes[1].at(at).abs());
    let scales = scales.fold([f64::INFINITY, 0.0], |[least, most], scale| [scale.min(least), scale.max(most)]);
    let values = (0..rows * columns).map(|at| value(at / columns, at % columns)).collect();
    Ok(HostTensor { shape: layout.shape.clone(), data: HostData::Dequantized { values, scales } })
}

/// Planes at random: any numbers, scales from 1/128 to 1/64.
fn draw(layout: &QuantLayout, planes: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
    let mut drawn = vec![HostTensor::draw(random, &planes[0])?];
    let len = planes[1].len();
    let scales: Vec<f32> = random.floats(len).iter().map(|x| (3.0 + x) / 256.0).collect();
    drawn.push(match layout.scheme.scales {
        DType::F16 => {
            let halves: Vec<half::f16> = scales.into_iter().map(half::f16::from_f32).collect();
            HostTensor::new(&planes[1].shape, &halves)?
        }
        _ => HostTensor::new(&planes[1].shape, &scales)?,
    });
    for zeros in &planes[2..] {
        let nibbles = if layout.scheme.values == QuantType::I4 { 0x0707_0707 } else { u32::MAX };
        let words: Vec<u32> = (0..zeros.len()).map(|_| random.bits() as u32 & nibbles).collect();
        drawn.push(HostTensor::new(&zeros.shape, &words)?);
    }
    Ok(drawn)
}

/// Inputs of an op with quantized weights at random.
fn draw_inputs(weight: &QuantLayout, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
    let planes = weight.planes()?.len();
    let mut drawn = vec![HostTensor::draw(random, &inputs[0])?];
    drawn.extend(draw(weight, &inputs[1..=planes], random)?);
    for addend in &inputs[planes + 1..] {
        drawn.push(HostTensor::draw(random, addend)?);
    }
    Ok(drawn)
}

/// A small tensor of the same scheme, whose kernels are those of a large one.
fn shrunk(weight: &QuantLayout) -> Option<QuantLayout> {
    const COLUMNS: usize = 256;
    let mut shape = weight.shape.clone();
    shape[0] = small(shape[0]);
    let columns = shape.get_mut(1)?;
    *columns = (*columns).min(2 * COLUMNS + *columns % COLUMNS);
    Some(QuantLayout { shape, ..weight.clone() })
}

impl QuantizedMatmul {
    fn host_inputs(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>> {
        infer(self, inputs)?;
        let planes = self.weight.planes()?.len();
        let weights = dequantized(&self.weight, &inputs[1..=planes])?;
        Ok(self.dense_inputs(&inputs[0], weights, inputs.get(planes + 1)))
    }
}

impl Twin for QuantizedMatmul {
    fn shrunk(&self, inputs: &[Layout]) -> Option<(Box<dyn Twin>, Vec<Layout>)> {
        let weight = shrunk(&self.weight)?;
        let shapes = small_products(weight.matrix().ok()?, weight.planes().ok()?, inputs, self.linear)?;
        Some((Box::new(QuantizedMatmul { weight, ..self.clone() }), small_inputs(inputs, shapes)))
    }

    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        draw_inputs(&self.weight, inputs, random)
    }

    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.dense().twin(&self.host_inputs(inputs)?, select)
    }

    fn project(&self, inputs: &[HostTensor], output: &HostTensor, seed: u64) -> Option<Projection> {
        self.dense().project(&self.host_inputs(inputs).ok()?, output, seed)
    }
}

impl QuantizedConv2d {
    fn host_inputs(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>> {
        infer(self, inputs)?;
        let planes = self.weight.planes()?.len();
        let weights = dequantized(&self.weight, &inputs[1..=planes])?;
        Ok([Some(inputs[0].clone()), Some(weights), inputs.get(planes + 1).cloned()].into_iter().flatten().collect())
    }
}

impl Twin for QuantizedConv2d {
    fn shrunk(&self, inputs: &[Layout]) -> Option<(Box<dyn Twin>, Vec<Layout>)> {
        let groups = self.options.groups;
        // Those of several groups do with fewer images and pixels.
        let weight = if groups == 1 { shrunk(&self.weight)? } else { self.weight.clone() };
        let mut x: Vec<usize> = inputs[0].shape.iter().map(|&size| small(size)).collect();
        x[1] = weight.shape[1] * groups;
        let planes = weight.planes().ok()?;
        let mut shapes: Vec<Vec<usize>> = [x].into_iter().chain(planes.into_iter().map(|plane| plane.shape)).collect();
        if inputs.len() > shapes.len() {
            shapes.push(vec![weight.shape[0]]);
        }
        Some((Box::new(QuantizedConv2d { weight, ..self.clone() }), small_inputs(inputs, shapes)))
    }

    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        draw_inputs(&self.weight, inputs, random)
    }

    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.options.twin(&self.host_inputs(inputs)?, select)
    }

    fn matrix(&self, output: &[usize]) -> (usize, usize) {
        self.options.matrix(output)
    }

    fn project(&self, inputs: &[HostTensor], output: &HostTensor, seed: u64) -> Option<Projection> {
        self.options.project(&self.host_inputs(inputs).ok()?, output, seed)
    }
}
