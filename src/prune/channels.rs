//! Physical shrinking: channels of which nothing is left are taken out of the tensors around them.

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::op::index_select::IndexSelect;
use crate::prune::Pruned;
use crate::tensor::Tensor;

/// The channels between two layers that are kept: outputs of the first, inputs of the second.
///
/// A channel that is taken out takes its bias and its batch normalization with it. The smaller network computes what the masked one
/// does where those are 0 there as well; else what the next layer made of that constant is left out.
///
/// ```no_run
/// use tilewise::{Amount, Criterion, Gpu, Pruned, prune::Channels};
/// let gpu = Gpu::new()?;
/// # let [conv1, bias1, fc] = [vec![32, 16, 3, 3], vec![32], vec![10, 32 * 25]].map(|shape| {
/// #     let len = shape.iter().product();
/// #     gpu.tensor(&shape, &vec![0.5f32; len]).unwrap()
/// # });
/// let mut filters = Pruned::new(&gpu, &conv1)?;
/// filters.prune(&gpu, &Criterion::LnStructured { n: 2.0, axis: 0 }, Amount::Fraction(0.25))?;
/// let channels = Channels::of(&gpu, &filters)?;
/// let conv1 = channels.outputs(&gpu, filters.weights())?; // (24, 16, 3, 3)
/// let bias1 = channels.outputs(&gpu, &bias1)?; // (24)
/// let fc = channels.inputs(&gpu, &fc, 25)?; // (10, 24 * 25): 25 pixels of each channel
/// # Ok::<(), tilewise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channels {
    all: usize,
    kept: Vec<usize>,
}

const OP: &str = "channels";

impl Channels {
    /// Those channels of pruned filters `(channels, ...)` of which anything is left.
    ///
    /// # Errors
    /// [`Error::Option`] for a scalar, and those of [`apply`](Gpu::apply).
    pub fn of(gpu: &Gpu, filters: &Pruned) -> Result<Self> {
        let left = filters.left(gpu, 0)?;
        let kept = left.iter().enumerate().filter(|(_, left)| **left).map(|(channel, _)| channel).collect();
        Ok(Channels { all: left.len(), kept })
    }

    /// Those listed, of so many.
    ///
    /// # Errors
    /// [`Error::Option`] for one that there is not, or that does not come after the one before.
    pub fn listed(all: usize, kept: &[usize]) -> Result<Self> {
        if kept.iter().all(|&channel| channel < all) && kept.windows(2).all(|pair| pair[0] < pair[1]) {
            return Ok(Channels { all, kept: kept.to_vec() });
        }
        let requirement = "ascending, each below the number of channels";
        Err(Error::Option { op: OP, option: "kept", value: format!("{kept:?} of {all}"), requirement })
    }

    /// The channels that are kept, ascending.
    pub fn kept(&self) -> &[usize] {
        &self.kept
    }

    /// What a tensor whose first axis is the channels keeps: filters, biases, the four of batch normalization.
    ///
    /// # Errors
    /// [`Error::Shape`] for a tensor of another number of channels, and those of [`apply`](Gpu::apply).
    pub fn outputs(&self, gpu: &Gpu, tensor: &Tensor<f32>) -> Result<Tensor<f32>> {
        self.select(gpu, tensor, 0, 1)
    }

    /// What the next layer's weights `(outputs, channels, ...)` keep. Where the layer is a linear one that takes planes as a row, each channel is
    /// `per_channel` neighbours of the second axis, its pixels; else that is 1.
    ///
    /// # Errors
    /// [`Error::Shape`] for a tensor of another number of channels, and those of [`apply`](Gpu::apply).
    pub fn inputs(&self, gpu: &Gpu, tensor: &Tensor<f32>, per_channel: usize) -> Result<Tensor<f32>> {
        self.select(gpu, tensor, 1, per_channel)
    }

    fn select(&self, gpu: &Gpu, tensor: &Tensor<f32>, axis: usize, per_channel: usize) -> Result<Tensor<f32>> {
        let shape = tensor.shape();
        if shape.get(axis) != self.all.checked_mul(per_channel).as_ref() {
            let detail = format!("axis {axis} of {shape:?} is not {} channels of {per_channel}", self.all);
            return Err(Error::Shape { op: OP, detail });
        }
        let indices =
            self.kept.iter().flat_map(|&channel| channel * per_channel..(channel + 1) * per_channel).collect();
        gpu.apply(&IndexSelect { axis, indices }, &[tensor])
    }
}
