//! Pruning: which weights can be left out, as `torch.nn.utils.prune` decides it, on the device.
//!
//! [`Pruned`] keeps the weights as they were beside a [`Mask`]; masks compose over repeated pruning, in which an amount applies to what is
//! left, and nothing revives what is pruned. [`prune_global`] prunes several tensors together. [`sensitivity`] and [`search`] find the amounts by a
//! metric of the caller's. What is pruned for good goes into a [`SparseTensor`](crate::SparseTensor), or, where whole channels are,
//! [`Channels`] takes them out of the tensors around them.
//!
//! Ties: of equal importances the first is pruned first, in row-major order, of several tensors in theirs. (PyTorch's `topk` promises no
//! order there.)
//!
//! ```no_run
//! use tilewise::{Amount, Criterion, Gpu, Pruned};
//! let gpu = Gpu::new()?;
//! let weights = gpu.tensor(&[64, 32, 3, 3], &vec![0.1f32; 64 * 32 * 9])?;
//! let mut pruned = Pruned::new(&gpu, &weights)?;
//! pruned.prune(&gpu, &Criterion::L1Unstructured, Amount::Fraction(0.5))?;
//! pruned.prune(&gpu, &Criterion::LnStructured { n: 2.0, axis: 0 }, Amount::Count(8))?;
//! println!("{:.1} % pruned", 100.0 * pruned.mask().sparsity());
//! let small = pruned.remove(); // for good
//! # Ok::<(), tilewise::Error>(())
//! ```
//!
//! Everything here but making masks blocks while the device counts, and is not there in a browser.

#[cfg(not(target_arch = "wasm32"))]
mod channels;
#[cfg(not(target_arch = "wasm32"))]
mod search;

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::layout::count;
use crate::op::binary::{Binary, BinaryKind};
use crate::op::mask::{ApplyMask, BlockMask, ExpandMask, Grain, NanMask, PruneGroups, PruneLowest, matrix, words};
use crate::op::pad::{Pad, PadMode};
use crate::op::reduce::{Reduce, ReduceKind};
use crate::op::unary::{Unary, UnaryKind};
use crate::reference::Random;
use crate::sparse::{count_rows, total};
use crate::tensor::{Operand, Tensor};

#[cfg(not(target_arch = "wasm32"))]
pub use channels::Channels;
#[cfg(not(target_arch = "wasm32"))]
pub use search::{Layer, Search, Sensitivity, Trial, search, sensitivity};

const OP: &str = "prune";

/// How much is pruned, of what is left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// A share, 0 to 1; the count is rounded to the nearest, of two the even one, in f64, as Python's `round` does.
    Fraction(f64),
    /// So many.
    Count(usize),
}

impl Amount {
    /// How many of so many.
    ///
    /// # Errors
    /// [`Error::Option`] for a fraction outside of 0 to 1, and a count above what is left.
    pub fn of(self, left: usize) -> Result<usize> {
        match self {
            Amount::Fraction(fraction) if (0.0..=1.0).contains(&fraction) => {
                Ok((fraction * left as f64).round_ties_even() as usize)
            }
            Amount::Fraction(fraction) => {
                let requirement = "a fraction is from 0 to 1";
                Err(Error::Option { op: OP, option: "amount", value: fraction.to_string(), requirement })
            }
            Amount::Count(count) if count <= left => Ok(count),
            Amount::Count(count) => {
                let requirement = "a count is at most that of what is left";
                let value = format!("{count} of {left}");
                Err(Error::Option { op: OP, option: "amount", value, requirement })
            }
        }
    }
}

/// What is pruned first.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Criterion {
    /// Weights of least magnitude.
    L1Unstructured,
    /// Weights at random.
    RandomUnstructured {
        /// The same seed prunes the same.
        seed: u64,
    },
    /// Slices along an axis (rows, filters, channels) of the least norm: of order `n` above 0, infinity for the largest magnitude, minus
    /// infinity for the least. Amounts count slices of which anything is left.
    LnStructured {
        /// Order of the norm.
        n: f64,
        /// Of the slices.
        axis: usize,
    },
    /// Slices along an axis at random.
    RandomStructured {
        /// The same seed prunes the same.
        seed: u64,
        /// Of the slices.
        axis: usize,
    },
    /// Blocks of so many rows and columns, at most 64 and 32, of the weights as a matrix, by their norm. Amounts count blocks of which
    /// anything is left; those at the edges may be smaller.
    Blocks {
        /// Rows and columns.
        size: [usize; 2],
        /// Order of the norm, as in `LnStructured`.
        n: f64,
    },
}

impl Criterion {
    /// Square blocks by their L2 norm.
    pub const fn blocks(side: usize) -> Self {
        Criterion::Blocks { size: [side; 2], n: 2.0 }
    }
}

/// Which weights are kept: a bit for each, on the device.
#[derive(Clone, Debug)]
pub struct Mask {
    words: Tensor<u32>,
    shape: Vec<usize>,
    kept: usize,
}

impl Mask {
    /// A mask that keeps everything.
    ///
    /// # Errors
    /// Those of [`tensor`](Gpu::tensor).
    pub fn full(gpu: &Gpu, shape: &[usize]) -> Result<Self> {
        Mask::of_bools(gpu, shape, &vec![true; count(shape)])
    }

    /// A mask of a value for each weight, row-major: true for one that is kept.
    ///
    /// # Errors
    /// [`Error::Length`] for another number of them, and those of [`tensor`](Gpu::tensor).
    pub fn of_bools(gpu: &Gpu, shape: &[usize], kept: &[bool]) -> Result<Self> {
        if kept.len() != count(shape) {
            return Err(Error::Length { shape: shape.to_vec(), found: kept.len() });
        }
        let packed: Vec<u32> =
            kept.chunks(32).map(|bits| bits.iter().rev().fold(0, |word, &bit| word << 1 | u32::from(bit))).collect();
        Mask::of_words(gpu, shape, &packed)
    }

    /// A mask of words: a bit for each weight, row-major, the first in the lowest bit.
    ///
    /// # Errors
    /// [`Error::Length`] for another number of words than those of the weights, [`Error::Corrupt`] for bits beyond the last weight, and
    /// those of [`tensor`](Gpu::tensor).
    pub fn of_words(gpu: &Gpu, shape: &[usize], packed: &[u32]) -> Result<Self> {
        let len = count(shape);
        if packed.len() != words(len) {
            return Err(Error::Length { shape: shape.to_vec(), found: packed.len().saturating_mul(32) });
        }
        if let Some(last) = packed.last()
            && !len.is_multiple_of(32)
            && last >> (len % 32) != 0
        {
            let detail = format!("bits are set beyond the last of {len} weights");
            return Err(Error::Corrupt { what: "a mask".into(), detail });
        }
        let kept = packed.iter().map(|word| word.count_ones() as usize).sum();
        Ok(Mask { words: gpu.tensor(&[packed.len()], packed)?, shape: shape.to_vec(), kept })
    }

    /// A mask of words on the device, with what it keeps counted there.
    #[cfg(not(target_arch = "wasm32"))]
    fn counted(gpu: &Gpu, shape: &[usize], words: Tensor<u32>) -> Result<Self> {
        let sizes = match shape {
            [] | [_] => [1, count(shape)],
            _ => matrix(OP, shape)?,
        };
        let kept = total(&pollster::block_on(count_rows(gpu, &words, sizes, true))?);
        Ok(Mask { words, shape: shape.to_vec(), kept })
    }

    /// The words on the device: a bit for each weight, row-major, the first in the lowest bit of the first; bits beyond the last are 0.
    pub fn words(&self) -> &Tensor<u32> {
        &self.words
    }

    /// Shape of the weights.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many are kept.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// The share of the weights that is pruned; of none it is 0.
    pub fn sparsity(&self) -> f64 {
        let len = count(&self.shape);
        if len == 0 { 0.0 } else { 1.0 - self.kept as f64 / len as f64 }
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.words.any().layout().bytes()
    }

    /// A value for each weight, row-major: whether it is kept.
    ///
    /// # Errors
    /// Those of [`download`](Gpu::download).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_bools(&self, gpu: &Gpu) -> Result<Vec<bool>> {
        let words = gpu.download(&self.words)?;
        Ok((0..count(&self.shape)).map(|at| words[at / 32] >> (at % 32) & 1 == 1).collect())
    }

    /// What both keep.
    ///
    /// # Errors
    /// [`Error::Shape`] if they are of other shapes, and those of [`apply`](Gpu::apply).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn and(&self, gpu: &Gpu, other: &Mask) -> Result<Mask> {
        if self.shape != other.shape {
            let detail = format!("masks are of weights {:?} and {:?}", self.shape, other.shape);
            return Err(Error::Shape { op: OP, detail });
        }
        Mask::counted(gpu, &self.shape, self.expanded(gpu, &other.words, &[count(&self.shape)], Grain::Slices(0))?)
    }

    /// What is left without the groups that are pruned.
    #[cfg(not(target_arch = "wasm32"))]
    fn expanded(&self, gpu: &Gpu, groups: &Tensor<u32>, shape: &[usize], grain: Grain) -> Result<Tensor<u32>> {
        gpu.apply(&ExpandMask { shape: shape.to_vec(), grain }, &[groups, &self.words])
    }
}

/// Weights with a mask: what they were, and what is left of them.
#[derive(Clone, Debug)]
pub struct Pruned {
    original: Tensor<f32>,
    mask: Mask,
    weights: Tensor<f32>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Pruned {
    /// Weights of which everything is kept so far.
    ///
    /// # Errors
    /// Those of [`tensor`](Gpu::tensor).
    pub fn new(gpu: &Gpu, weights: &Tensor<f32>) -> Result<Self> {
        let mask = Mask::full(gpu, weights.shape())?;
        Ok(Pruned { original: weights.clone(), mask, weights: weights.clone() })
    }

    /// The weights as they were given, or last updated.
    pub fn original(&self) -> &Tensor<f32> {
        &self.original
    }

    /// Which of them are kept.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// The weights, zeros where they are pruned.
    pub fn weights(&self) -> &Tensor<f32> {
        &self.weights
    }

    /// The weights for good: what was pruned is 0, and the mask is forgotten.
    pub fn remove(self) -> Tensor<f32> {
        self.weights
    }

    /// Takes other values for the weights, as a step of training makes them; what is pruned stays so.
    ///
    /// # Errors
    /// [`Error::Shape`] for weights of another shape, and those of [`apply`](Gpu::apply).
    pub fn update(&mut self, gpu: &Gpu, weights: &Tensor<f32>) -> Result<()> {
        if weights.shape() != self.mask.shape {
            let detail = format!("weights are {:?}, not {:?}", weights.shape(), self.mask.shape);
            return Err(Error::Shape { op: OP, detail });
        }
        self.weights = gpu.apply(&ApplyMask, &[weights, &self.mask.words])?;
        self.original = weights.clone();
        Ok(())
    }

    /// Prunes an amount of what is left. On an error nothing is changed.
    ///
    /// # Errors
    /// [`Error::Option`] for an amount, an axis, blocks or a norm out of range, [`Error::NotANumber`] if weights that are NaN would be pruned
    /// (they are ordered last), and those of [`apply`](Gpu::apply).
    pub fn prune(&mut self, gpu: &Gpu, criterion: &Criterion, amount: Amount) -> Result<()> {
        match *criterion {
            Criterion::L1Unstructured => {
                let pruned = amount.of(self.mask.kept)?;
                self.lowest(gpu, &self.original.clone(), pruned)
            }
            Criterion::RandomUnstructured { seed } => {
                let pruned = amount.of(self.mask.kept)?;
                let scores = random(gpu, seed, &self.mask.shape)?;
                self.lowest(gpu, &scores, pruned)
            }
            Criterion::LnStructured { n, axis } => {
                let norms = slices(gpu, &self.weights, axis, Norm::of(n)?)?;
                self.slices(gpu, &norms, axis, amount)
            }
            Criterion::RandomStructured { seed, axis } => {
                let [size, _] = Grain::Slices(axis).groups(OP, &self.mask.shape)?;
                self.slices(gpu, &random(gpu, seed, &[size])?, axis, amount)
            }
            Criterion::Blocks { size, n } => self.blocks(gpu, size, Norm::of(n)?, amount),
        }
    }

    /// Prunes weights by importances of the caller's: the amount of what is left whose magnitude is the least.
    ///
    /// # Errors
    /// [`Error::Shape`] for importances of another shape, and as for [`prune`](Pruned::prune).
    pub fn prune_by(&mut self, gpu: &Gpu, importance: &Tensor<f32>, amount: Amount) -> Result<()> {
        if importance.shape() != self.mask.shape {
            let detail = format!("importances are {:?}, weights {:?}", importance.shape(), self.mask.shape);
            return Err(Error::Shape { op: OP, detail });
        }
        let pruned = amount.of(self.mask.kept)?;
        self.lowest(gpu, importance, pruned)
    }

    /// Keeps of each `group` neighbours of a row, of the weights as a matrix, the `keep` of largest magnitude (N:M sparsity); with `outputs`
    /// above 1, of so many rows together, those whose magnitudes have the largest sum, so that the rows keep the same. Where a size is no
    /// multiple, the last group is smaller, as if zeros filled it up.
    ///
    /// # Errors
    /// [`Error::Option`] for N = 0, N > M, or more than 64 outputs, and as for [`prune`](Pruned::prune).
    pub fn prune_groups(&mut self, gpu: &Gpu, keep: usize, group: usize, outputs: usize) -> Result<()> {
        let sizes = matrix(OP, &self.mask.shape)?;
        let choice = PruneGroups { keep, group };
        if outputs == 1 {
            let scores = self.original.reshape(&sizes)?;
            let words = gpu.apply(&choice, &[&scores, &self.mask.words])?;
            return self.keep(gpu, words);
        }
        let size = [outputs, 1];
        let vectors: Tensor<u32> = gpu.apply(&BlockMask { sizes, block: size }, &[&self.mask.words])?;
        let scores = blocks(gpu, &self.weights, size, Norm::of(1.0)?)?;
        let kept: Tensor<u32> = gpu.apply(&choice, &[&scores, &vectors])?;
        let words = self.mask.expanded(gpu, &kept, &self.mask.shape, Grain::Blocks(size))?;
        self.keep(gpu, words)
    }

    /// Prunes what a mask of the caller's does not keep.
    ///
    /// # Errors
    /// [`Error::Shape`] for a mask of another shape, and as for [`prune`](Pruned::prune).
    pub fn prune_mask(&mut self, gpu: &Gpu, mask: &Mask) -> Result<()> {
        let words = self.mask.and(gpu, mask)?.words;
        self.keep(gpu, words)
    }

    /// Takes over a mask, which keeps nothing that the one before does not.
    fn keep(&mut self, gpu: &Gpu, words: Tensor<u32>) -> Result<()> {
        let mask = Mask::counted(gpu, &self.mask.shape, words)?;
        let nan: Tensor<u32> = gpu.apply(&NanMask, &[&self.original])?;
        let nan = Mask::counted(gpu, &self.mask.shape, nan)?;
        if nan.kept > 0 {
            let lost = self.mask.and(gpu, &nan)?.kept - mask.and(gpu, &nan)?.kept;
            if lost > 0 {
                return Err(Error::NotANumber { op: OP, count: lost });
            }
        }
        self.weights = gpu.apply(&ApplyMask, &[&self.original, &mask.words])?;
        self.mask = mask;
        Ok(())
    }

    /// Prunes slices along an axis by importances of the caller's, one for each: as [`prune_by`](Pruned::prune_by) of those of which anything is
    /// left.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of importances, and as for [`prune`](Pruned::prune).
    pub fn prune_slices_by(&mut self, gpu: &Gpu, importance: &Tensor<f32>, axis: usize, amount: Amount) -> Result<()> {
        let [size, _] = Grain::Slices(axis).groups(OP, &self.mask.shape)?;
        if importance.shape() != [size] {
            let detail = format!("importances are {:?} for {size} slices", importance.shape());
            return Err(Error::Shape { op: OP, detail });
        }
        self.slices(gpu, importance, axis, amount)
    }

    fn lowest(&mut self, gpu: &Gpu, scores: &Tensor<f32>, count: usize) -> Result<()> {
        let words = gpu.apply(&PruneLowest { count }, &[scores, &self.mask.words])?;
        self.keep(gpu, words)
    }

    /// Prunes slices along an axis by their importances.
    fn slices(&mut self, gpu: &Gpu, scores: &Tensor<f32>, axis: usize, amount: Amount) -> Result<()> {
        let left = Mask::of_bools(gpu, &[scores.len()], &self.left(gpu, axis)?)?;
        let count = amount.of(left.kept)?;
        let kept: Tensor<u32> = gpu.apply(&PruneLowest { count }, &[scores, &left.words])?;
        let words = self.mask.expanded(gpu, &kept, &self.mask.shape, Grain::Slices(axis))?;
        // A slice of which nothing is left stays as it is.
        self.keep(gpu, words)
    }

    /// Whether anything of each slice along an axis is left.
    ///
    /// # Errors
    /// [`Error::Option`] for an axis that the weights do not have, and those of [`apply`](Gpu::apply).
    pub fn left(&self, gpu: &Gpu, axis: usize) -> Result<Vec<bool>> {
        let shape = &self.mask.shape;
        Grain::Slices(axis).groups(OP, shape)?;
        let ones = gpu.tensor(shape, &vec![1.0f32; count(shape)])?;
        let ones: Tensor<f32> = gpu.apply(&ApplyMask, &[&ones, &self.mask.words])?;
        let any = slices(gpu, &ones, axis, Norm::Most)?;
        Ok(gpu.download(&any)?.into_iter().map(|any| any > 0.0).collect())
    }

    /// Prunes blocks by their norms.
    fn blocks(&mut self, gpu: &Gpu, size: [usize; 2], norm: Norm, amount: Amount) -> Result<()> {
        let sizes = matrix(OP, &self.mask.shape)?;
        let groups = Grain::Blocks(size).groups(OP, &self.mask.shape)?;
        let left: Tensor<u32> = gpu.apply(&BlockMask { sizes, block: size }, &[&self.mask.words])?;
        let count = amount.of(total(&pollster::block_on(count_rows(gpu, &left, groups, true))?))?;
        let scores = blocks(gpu, &self.weights, size, norm)?;
        let kept: Tensor<u32> = gpu.apply(&PruneLowest { count }, &[&scores, &left])?;
        let words = self.mask.expanded(gpu, &kept, &self.mask.shape, Grain::Blocks(size))?;
        self.keep(gpu, words)
    }
}

/// Prunes an amount of what is left of several tensors together, by magnitude or at random: `torch.nn.utils.prune.global_unstructured`. On an
/// error nothing is changed.
///
/// # Errors
/// [`Error::Option`] for a criterion that is no unstructured one, and as for [`Pruned::prune`].
#[cfg(not(target_arch = "wasm32"))]
pub fn prune_global(gpu: &Gpu, tensors: &mut [&mut Pruned], criterion: &Criterion, amount: Amount) -> Result<()> {
    let left = tensors.iter().map(|pruned| pruned.mask.kept).sum();
    let count = amount.of(left)?;
    let scores: Result<Vec<Tensor<f32>>> = match *criterion {
        Criterion::L1Unstructured => Ok(tensors.iter().map(|pruned| pruned.original.clone()).collect()),
        Criterion::RandomUnstructured { seed } => {
            let seeds = (0u64..).map(|number| seed.wrapping_add(number));
            tensors.iter().zip(seeds).map(|(pruned, seed)| random(gpu, seed, &pruned.mask.shape)).collect()
        }
        ref other => {
            let requirement = "weights of several tensors are pruned one by one";
            return Err(Error::Option { op: OP, option: "criterion", value: format!("{other:?}"), requirement });
        }
    };
    let scores = scores?;
    if tensors.is_empty() {
        return Ok(());
    }
    let inputs: Vec<&dyn Operand> = scores
        .iter()
        .map(|scores| scores as &dyn Operand)
        .chain(tensors.iter().map(|pruned| &pruned.mask.words as &dyn Operand))
        .collect();
    let masks = gpu.apply_all(&PruneLowest { count }, &inputs)?;
    let mut pruned: Vec<Pruned> = tensors.iter().map(|pruned| Pruned::clone(pruned)).collect();
    for (own, words) in pruned.iter_mut().zip(masks) {
        own.keep(gpu, words.typed()?)?;
    }
    tensors.iter_mut().zip(pruned).for_each(|(old, new)| **old = new);
    Ok(())
}

/// Importances at random.
fn random(gpu: &Gpu, seed: u64, shape: &[usize]) -> Result<Tensor<f32>> {
    gpu.tensor(shape, &Random::new(seed).floats(count(shape)))
}

/// What a norm's order comes down to: sums of powers are ordered as their roots are.
#[derive(Clone, Copy, Debug)]
enum Norm {
    Sum(f32),
    Most,
    Least,
}

impl Norm {
    fn of(n: f64) -> Result<Self> {
        if n == f64::INFINITY {
            return Ok(Norm::Most);
        }
        if n == f64::NEG_INFINITY {
            return Ok(Norm::Least);
        }
        if n > 0.0 && n <= 64.0 {
            return Ok(Norm::Sum(n as f32));
        }
        let requirement = "the order of a norm is above 0 and at most 64, or infinite";
        Err(Error::Option { op: OP, option: "n", value: n.to_string(), requirement })
    }

    /// Each magnitude to the power of the order.
    fn powers(self, gpu: &Gpu, x: &Tensor<f32>) -> Result<Tensor<f32>> {
        match self {
            Norm::Sum(2.0) => gpu.mul(x, x),
            Norm::Sum(1.0) | Norm::Most | Norm::Least => gpu.apply(&Unary { kind: UnaryKind::Abs }, &[x]),
            Norm::Sum(n) => {
                let magnitudes: Tensor<f32> = gpu.apply(&Unary { kind: UnaryKind::Abs }, &[x])?;
                gpu.apply(&Binary { kind: BinaryKind::Pow }, &[&magnitudes, &gpu.tensor(&[1], &[n])?])
            }
        }
    }

    fn kind(self) -> ReduceKind {
        match self {
            Norm::Sum(_) => ReduceKind::Sum,
            Norm::Most => ReduceKind::Max,
            Norm::Least => ReduceKind::Min,
        }
    }
}

/// The norms of the slices along an axis.
fn slices(gpu: &Gpu, weights: &Tensor<f32>, axis: usize, norm: Norm) -> Result<Tensor<f32>> {
    let shape = weights.shape();
    let [size, _] = Grain::Slices(axis).groups(OP, shape)?;
    let powers = norm.powers(gpu, weights)?.reshape(&[count(&shape[..axis]), size, count(&shape[axis + 1..])])?;
    gpu.apply(&Reduce { kind: norm.kind(), dims: vec![0, 2], ..Reduce::default() }, &[&powers])
}

/// The norms of the blocks of weights as a matrix, `(blocks down, blocks across)`.
fn blocks(gpu: &Gpu, weights: &Tensor<f32>, size: [usize; 2], norm: Norm) -> Result<Tensor<f32>> {
    let [rows, columns] = matrix(OP, weights.shape())?;
    let [down, across] = Grain::Blocks(size).groups(OP, weights.shape())?;
    let powers = norm.powers(gpu, weights)?.reshape(&[rows, columns])?;
    // What fills up the blocks at the edges does not count.
    let padding = vec![[0, (down * size[0] - rows) as isize], [0, (across * size[1] - columns) as isize]];
    let mode = match norm {
        Norm::Least => PadMode::Constant(f64::from(f32::MAX)),
        _ => PadMode::default(),
    };
    let padded: Tensor<f32> = gpu.apply(&Pad { padding, mode }, &[&powers])?;
    let padded = padded.reshape(&[down, size[0], across, size[1]])?;
    gpu.apply(&Reduce { kind: norm.kind(), dims: vec![1, 3], ..Reduce::default() }, &[&padded])
}
