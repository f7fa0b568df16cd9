//! The twins of ops whose weights lie in planes: each format says what they stand for, and the dense twin does the rest.

use crate::error::Result;
use crate::layout::Layout;
use crate::op::stored::{Planes, StoredConv2d, StoredMatmul};
use crate::reference::{Expected, HostTensor, Projection, Random, Select, Twin, layouts};

/// Weights in planes, as twins read them.
pub(crate) trait Stored: Planes + Clone {
    /// What the planes stand for.
    fn dense(&self, planes: &[HostTensor]) -> Result<HostTensor>;

    /// Planes at random.
    fn draw(&self, planes: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>>;

    /// Small weights, whose kernels are those of large ones.
    fn shrunk(&self) -> Option<Self>;
}

/// A size for a check that takes no time.
pub(super) fn small(size: usize) -> usize {
    if size <= 12 { size } else { size.min(36 + size % 4) }
}

/// The layouts of small inputs, aligned as those that they stand for.
fn small_inputs(inputs: &[Layout], shapes: Vec<Vec<usize>>) -> Vec<Layout> {
    inputs.iter().zip(shapes).map(|(layout, shape)| Layout { shape, ..layout.clone() }).collect()
}

/// The shapes of x and of planes.
fn shapes_of(x: Vec<usize>, weight: &impl Planes) -> Option<Vec<Vec<usize>>> {
    let planes = weight.planes().ok()?.into_iter().map(|plane| plane.shape);
    Some([x].into_iter().chain(planes).collect())
}

/// The dense weights, and the addend if there is one.
fn decoded<'a>(weight: &impl Stored, inputs: &'a [HostTensor]) -> Result<(HostTensor, Option<&'a HostTensor>)> {
    let planes = weight.planes()?.len();
    Ok((weight.dense(&inputs[1..=planes])?, inputs.get(planes + 1)))
}

fn draw(weight: &impl Stored, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
    let planes = weight.planes()?.len();
    let mut drawn = vec![HostTensor::draw(random, &inputs[0])?];
    drawn.extend(weight.draw(&inputs[1..=planes], random)?);
    for addend in &inputs[planes + 1..] {
        drawn.push(HostTensor::draw(random, addend)?);
    }
    Ok(drawn)
}

impl<W: Stored> StoredMatmul<'_, W> {
    fn host_inputs(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>> {
        self.infer(&layouts(inputs))?;
        let (weight, c) = decoded(self.weight, inputs)?;
        Ok(self.dense_inputs(&inputs[0], weight, c))
    }

    /// Small weights, and the inputs that they go with.
    pub(super) fn shrunk(&self, inputs: &[Layout]) -> Option<(W, Vec<Layout>)> {
        let weight = self.weight.shrunk()?;
        let &[rows, columns] = weight.shape() else { return None };
        let mut x: Vec<usize> = inputs[0].shape.iter().map(|&size| small(size)).collect();
        let k = x.len().checked_sub(if self.linear || x.len() == 1 { 1 } else { 2 })?;
        x[k] = columns;
        let mut shapes = shapes_of(x, &weight)?;
        if let Some(c) = inputs.get(shapes.len()) {
            let rank = c.shape.len();
            let of_rows = |dim: usize| dim + if self.linear { 1 } else { 2 } == rank;
            let size = |(dim, &size): (usize, &usize)| match size {
                1 => 1,
                _ if of_rows(dim) => rows,
                _ => small(size),
            };
            shapes.push(c.shape.iter().enumerate().map(size).collect());
        }
        Some((weight, small_inputs(inputs, shapes)))
    }

    pub(super) fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        draw(self.weight, inputs, random)
    }

    pub(super) fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.dense().twin(&self.host_inputs(inputs)?, select)
    }

    pub(super) fn project(&self, inputs: &[HostTensor], output: &HostTensor, seed: u64) -> Option<Projection> {
        self.dense().project(&self.host_inputs(inputs).ok()?, output, seed)
    }
}

impl<W: Stored> StoredConv2d<'_, W> {
    fn host_inputs(&self, inputs: &[HostTensor]) -> Result<Vec<HostTensor>> {
        self.infer(&layouts(inputs))?;
        let (weight, bias) = decoded(self.weight, inputs)?;
        Ok(self.dense_inputs(&inputs[0], weight, bias))
    }

    /// Small filters, and the inputs that they go with.
    pub(super) fn shrunk(&self, inputs: &[Layout]) -> Option<(W, Vec<Layout>)> {
        let groups = self.options.groups;
        // Those of several groups do with fewer images and pixels.
        let weight = if groups == 1 { self.weight.shrunk()? } else { self.weight.clone() };
        let mut x: Vec<usize> = inputs[0].shape.iter().map(|&size| small(size)).collect();
        x[1] = weight.shape()[1] * groups;
        let mut shapes = shapes_of(x, &weight)?;
        if inputs.len() > shapes.len() {
            shapes.push(vec![weight.shape()[0]]);
        }
        Some((weight, small_inputs(inputs, shapes)))
    }

    pub(super) fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        draw(self.weight, inputs, random)
    }

    pub(super) fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.options.twin(&self.host_inputs(inputs)?, select)
    }

    pub(super) fn project(&self, inputs: &[HostTensor], output: &HostTensor, seed: u64) -> Option<Projection> {
        self.options.project(&self.host_inputs(inputs).ok()?, output, seed)
    }
}
