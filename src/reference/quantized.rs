//! The twins of ops with quantized weights: each value is what its definition says, exactly, and the dense twin does the rest.

use crate::error::Result;
use crate::layout::Layout;
use crate::op::Op;
use crate::op::quantize::QuantLayout;
use crate::op::quantized::{QuantizedConv2d, QuantizedMatmul};
use crate::reference::quantize::{draw, group, level, zero};
use crate::reference::sparse::{small, small_inputs, small_products};
use crate::reference::{Expected, HostData, HostTensor, Projection, Random, Select, Twin};

fn infer(op: &impl Op, inputs: &[HostTensor]) -> Result<Vec<Layout>> {
    op.infer(&inputs.iter().map(HostTensor::layout).collect::<Vec<_>>())
}

/// What planes stand for: `scale * (q - zero)`.
fn dequantized(layout: &QuantLayout, planes: &[HostTensor]) -> Result<HostTensor> {
    let ([rows, columns], pitch, values) = (layout.matrix()?, layout.pitch()?, layout.scheme.values);
    let value = |at: usize| {
        let (group, column) = (group(layout, at), at % columns);
        let word = planes[0].at(at / columns * pitch + column / values.per_word()) as u32;
        let level = level(values, word, column % values.per_word()) - zero(layout, planes.get(2), group);
        planes[1].at(group) * f64::from(level)
    };
    let scales = (0..planes[1].len()).map(|at| planes[1].at(at).abs());
    let scales = scales.fold([f64::INFINITY, 0.0], |[least, most], scale| [scale.min(least), scale.max(most)]);
    let values = (0..rows * columns).map(value).collect();
    Ok(HostTensor { shape: layout.shape.clone(), data: HostData::Dequantized { values, scales } })
}

/// Inputs of an op with quantized weights at random.
fn draw_inputs(weight: &QuantLayout, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
    let planes = weight.planes()?.len();
    let mut drawn = vec![HostTensor::draw(random, &inputs[0])?, HostTensor::draw(random, &inputs[1])?];
    drawn.extend(draw(weight, &inputs[2..=planes], random)?);
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
