//! The twins of ops with quantized weights: each value is what its definition says, exactly, and the dense twin does the rest.

use crate::error::Result;
use crate::layout::Layout;
use crate::op::quantize::QuantLayout;
use crate::op::quantized::{QuantizedConv2d, QuantizedMatmul};
use crate::reference::quantize::{draw, group, level, zero};
use crate::reference::stored::{Stored, small};
use crate::reference::{Expected, HostData, HostTensor, Projection, Random, Select, Twin};

impl Stored for QuantLayout {
    /// `scale * (q - zero)`.
    fn dense(&self, planes: &[HostTensor]) -> Result<HostTensor> {
        let ([rows, columns], pitch, values) = (self.matrix()?, self.pitch()?, self.scheme.values);
        let value = |at: usize| {
            let (group, column) = (group(self, at), at % columns);
            let word = planes[0].at(at / columns * pitch + column / values.per_word()) as u32;
            let level = level(values, word, column % values.per_word()) - zero(self, planes.get(2), group);
            planes[1].at(group) * f64::from(level)
        };
        let scales = (0..planes[1].len()).map(|at| planes[1].at(at).abs());
        let scales = scales.fold([f64::INFINITY, 0.0], |[least, most], scale| [scale.min(least), scale.max(most)]);
        let values = (0..rows * columns).map(value).collect();
        Ok(HostTensor { shape: self.shape.clone(), data: HostData::Dequantized { values, scales } })
    }

    fn draw(&self, planes: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        let mut drawn = vec![HostTensor::draw(random, &planes[0])?];
        drawn.extend(draw(self, &planes[1..], random)?);
        Ok(drawn)
    }

    fn shrunk(&self) -> Option<QuantLayout> {
        const COLUMNS: usize = 256;
        let mut shape = self.shape.clone();
        shape[0] = small(shape[0]);
        let columns = shape.get_mut(1)?;
        *columns = (*columns).min(2 * COLUMNS + *columns % COLUMNS);
        Some(QuantLayout { shape, ..self.clone() })
    }
}

impl Twin for QuantizedMatmul {
    fn shrunk(&self, inputs: &[Layout]) -> Option<(Box<dyn Twin>, Vec<Layout>)> {
        let (weight, inputs) = self.stored().shrunk(inputs)?;
        Some((Box::new(QuantizedMatmul { weight, ..self.clone() }), inputs))
    }

    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        self.stored().draw(inputs, random)
    }

    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.stored().twin(inputs, select)
    }

    fn project(&self, inputs: &[HostTensor], output: &HostTensor, seed: u64) -> Option<Projection> {
        self.stored().project(inputs, output, seed)
    }
}

impl Twin for QuantizedConv2d {
    fn shrunk(&self, inputs: &[Layout]) -> Option<(Box<dyn Twin>, Vec<Layout>)> {
        let (weight, inputs) = self.stored().shrunk(inputs)?;
        Some((Box::new(QuantizedConv2d { weight, ..self.clone() }), inputs))
    }

    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        self.stored().draw(inputs, random)
    }

    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.stored().twin(inputs, select)
    }

    fn matrix(&self, output: &[usize]) -> (usize, usize) {
        self.options.matrix(output)
    }

    fn project(&self, inputs: &[HostTensor], output: &HostTensor, seed: u64) -> Option<Projection> {
        self.stored().project(inputs, output, seed)
    }
}
