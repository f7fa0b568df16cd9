//! Masks of pruning: which weights are kept. A mask is a tensor of u32 words, with a bit for each weight in row-major order, the
//! first in the lowest bit of the first word, 1 for one that is kept; bits beyond the last weight are 0.

use crate::error::{Error, Result};
use crate::family::mask::Mask;
use crate::layout::{DType, Layout, count};
use crate::op::precision::FLOATS;
use crate::op::{Op, expect_dtype, expect_inputs};
use crate::problem::Problem;
use crate::reference::Twin;

/// Words of a mask of so many weights.
pub(crate) const fn words(len: usize) -> usize {
    len.div_ceil(32)
}

fn words_layout(len: usize) -> Layout {
    Layout::new(&[words(len)], DType::U32)
}

/// Refuses what is no mask of so many weights.
pub(crate) fn expect_mask(op: &'static str, operand: &str, layout: &Layout, len: usize) -> Result<()> {
    expect_dtype(op, operand, layout, &[DType::U32])?;
    if layout.shape == [words(len)] {
        return Ok(());
    }
    let detail = format!("{operand} {:?} is no mask of {len} weights: {} words of 32 bits", layout.shape, words(len));
    Err(Error::Shape { op, detail })
}

/// Prunes the `count` scores of least magnitude, out of one tensor or several together, among those that are not pruned yet.
///
/// Inputs: n scores of any shapes, f32 or f16, then their n masks. Outputs: the n masks. Magnitudes are compared exactly, as numbers; NaN
/// counts as larger than infinity. Of equal magnitudes the first is pruned first, in row-major order, the tensors in theirs. With a
/// count above that of the scores which are left, all are pruned.
///
/// Method: a radix select of the last key to be pruned, eight bits a pass over magnitude and index (D. Knuth, The Art of Computer
/// Programming 3, 5.2.5, turned from sorting to selecting).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneLowest {
    /// How many scores are pruned.
    pub count: usize,
}

impl Op for PruneLowest {
    fn name(&self) -> &'static str {
        "prune_lowest"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let op = self.name();
        if inputs.is_empty() || inputs.len() % 2 == 1 {
            let expected = "as many scores as masks, 1 at least".into();
            return Err(Error::Count { op, what: "inputs", expected, found: inputs.len() });
        }
        let (scores, masks) = inputs.split_at(inputs.len() / 2);
        for (scores, mask) in scores.iter().zip(masks) {
            expect_dtype(op, "scores", scores, FLOATS)?;
            expect_mask(op, "mask", mask, scores.len())?;
        }
        Ok(scores.iter().map(|scores| words_layout(scores.len())).collect())
    }

    fn problem(&self, _inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        Ok(Problem::Mask(Mask::Lowest { count: self.count }))
    }
}

/// Keeps the `keep` scores of largest magnitude of each `group` neighbours along the last dimension: N:M sparsity.
///
/// Inputs: scores of shape `(..., columns)`, f32 or f16, and their mask. Output: the mask. What is pruned already stays so, and does not
/// count as kept. Of equal magnitudes the first is pruned first; NaN counts as larger than infinity. Where `group` does not divide
/// `columns`, the last group is filled up with zeros, which are pruned first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneGroups {
    /// N, at least 1.
    pub keep: usize,
    /// M, at least N.
    pub group: usize,
}

impl Op for PruneGroups {
    fn name(&self) -> &'static str {
        "prune_groups"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let op = self.name();
        if self.keep == 0 || self.keep > self.group || self.group > 1024 {
            let requirement = "N is at least 1 and at most M, and M at most 1024";
            let value = format!("{}:{}", self.keep, self.group);
            return Err(Error::Option { op, option: "keep:group", value, requirement });
        }
        expect_inputs(op, inputs, 2..=2)?;
        expect_dtype(op, "scores", &inputs[0], FLOATS)?;
        if inputs[0].shape.is_empty() {
            return Err(Error::Rank { op, operand: "scores", expected: "at least 1", found: 0 });
        }
        expect_mask(op, "mask", &inputs[1], inputs[0].len())?;
        Ok(vec![words_layout(inputs[0].len())])
    }

    fn problem(&self, inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        let columns = inputs[0].shape.last().copied().unwrap_or(1);
        Ok(Problem::Mask(Mask::Groups { columns, keep: self.keep, group: self.group }))
    }
}

/// What weights are pruned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grain {
    /// The slices along an axis: rows, filters, channels.
    Slices(usize),
    /// Blocks of so many rows and columns of the matrix of the first axis by all others; those at the edges may be smaller. A vector of
    /// outputs is a block of one column.
    Blocks([usize; 2]),
}

impl Grain {
    /// The groups of a tensor: their numbers down and across.
    pub(crate) fn groups(self, op: &'static str, shape: &[usize]) -> Result<[usize; 2]> {
        match self {
            Grain::Slices(axis) => match shape.get(axis) {
                Some(&size) => Ok([size, 1]),
                None => Err(Error::Option {
                    op,
                    option: "axis",
                    value: axis.to_string(),
                    requirement: "below the number of dimensions of the weights",
                }),
            },
            Grain::Blocks(block) if block.contains(&0) => Err(Error::Option {
                op,
                option: "block",
                value: format!("{block:?}"),
                requirement: "at least one row and one column",
            }),
            Grain::Blocks(block) => {
                let [rows, columns] = matrix(op, shape)?;
                Ok([rows.div_ceil(block[0]), columns.div_ceil(block[1])])
            }
        }
    }
}

/// Weights as a matrix: the first axis by all others.
pub(crate) fn matrix(op: &'static str, shape: &[usize]) -> Result<[usize; 2]> {
    match shape {
        [] => Err(Error::Rank { op, operand: "weights", expected: "at least 1", found: 0 }),
        [rows, rest @ ..] => Ok([*rows, count(rest)]),
    }
}

/// Prunes all weights of the groups that are pruned.
///
/// Inputs: the mask of the groups, that of a row of blocks after that of the one above, and the mask of the weights. Output: the mask of the
/// weights, without what belongs to pruned groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpandMask {
    /// Shape of the weights.
    pub shape: Vec<usize>,
    /// What a group is.
    pub grain: Grain,
}

impl Op for ExpandMask {
    fn name(&self) -> &'static str {
        "expand_mask"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let op = self.name();
        expect_inputs(op, inputs, 2..=2)?;
        let [down, across] = self.grain.groups(op, &self.shape)?;
        let len = count(&self.shape);
        expect_mask(op, "groups", &inputs[0], down.saturating_mul(across))?;
        expect_mask(op, "mask", &inputs[1], len)?;
        Ok(vec![words_layout(len)])
    }

    fn problem(&self, _inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        let total = count(&self.shape);
        Ok(Problem::Mask(match self.grain {
            Grain::Slices(axis) => {
                let inner = count(&self.shape[axis + 1..]);
                Mask::Expand { total, sizes: [self.shape[axis], inner], block: [1, inner], stride: 1 }
            }
            Grain::Blocks(block) => {
                let [rows, columns] = matrix(self.name(), &self.shape)?;
                Mask::Expand { total, sizes: [rows, columns], block, stride: columns.div_ceil(block[1]) }
            }
        }))
    }
}

/// Zeros the weights that are pruned, whatever they are; the others stay as they are, bit by bit.
///
/// Inputs: weights, f32 or f16, of any shape, and their mask. Output: the weights that are left, of the same shape and type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyMask;

impl Op for ApplyMask {
    fn name(&self) -> &'static str {
        "apply_mask"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let op = self.name();
        expect_inputs(op, inputs, 2..=2)?;
        expect_dtype(op, "x", &inputs[0], FLOATS)?;
        expect_mask(op, "mask", &inputs[1], inputs[0].len())?;
        Ok(vec![Layout::new(&inputs[0].shape, inputs[0].dtype)])
    }

    fn problem(&self, _inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        Ok(Problem::Mask(Mask::Apply))
    }
}

/// Tells which values are NaN.
///
/// Input: f32 or f16 of any shape. Output: a mask of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NanMask;

impl Op for NanMask {
    fn name(&self) -> &'static str {
        "nan_mask"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_dtype(self.name(), "x", &inputs[0], FLOATS)?;
        Ok(vec![words_layout(inputs[0].len())])
    }

    fn problem(&self, _inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        Ok(Problem::Mask(Mask::Nan))
    }
}

/// A mask of the blocks of a matrix: which of them hold anything that is kept.
///
/// Input: the mask of a matrix. Output: the mask of its blocks, a row of them after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockMask {
    /// Rows and columns of the matrix.
    pub sizes: [usize; 2],
    /// Those of a block, at most 64 and 32; blocks at the edges may be smaller.
    pub block: [usize; 2],
}

impl Op for BlockMask {
    fn name(&self) -> &'static str {
        "block_mask"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let op = self.name();
        let [height, width] = self.block;
        if !(1..=64).contains(&height) || !(1..=32).contains(&width) {
            let requirement = "1 to 64 rows and 1 to 32 columns";
            return Err(Error::Option { op, option: "block", value: format!("{:?}", self.block), requirement });
        }
        expect_inputs(op, inputs, 1..=1)?;
        expect_mask(op, "mask", &inputs[0], count(&self.sizes))?;
        let [down, across] = Grain::Blocks(self.block).groups(op, &self.sizes)?;
        Ok(vec![words_layout(down * across)])
    }

    fn problem(&self, _inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        Ok(Problem::Mask(Mask::Blocks { sizes: self.sizes, block: self.block }))
    }
}

/// Counts what is kept of each row of a matrix.
///
/// Input: the mask of a matrix. Output: u32 `(rows)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountMask {
    /// Rows and columns of the matrix.
    pub sizes: [usize; 2],
}

impl Op for CountMask {
    fn name(&self) -> &'static str {
        "count_mask"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_mask(self.name(), "mask", &inputs[0], count(&self.sizes))?;
        Ok(vec![Layout::new(&[self.sizes[0]], DType::U32)])
    }

    fn problem(&self, _inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        Ok(Problem::Mask(Mask::Count { columns: self.sizes[1] }))
    }
}

/// Lists the columns of what is kept of each row of a matrix, ascending.
///
/// Inputs: the mask of a matrix, and u32 pointers `(rows + 1)`: the entries of row i begin at pointer i and end before the next. Output: u32
/// `(len)`. Entries that a row has left over hold the number of columns, which is none; what a row has more than its entries is left
/// out. The pointers ascend from 0 to `len`: entries that none covers are not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexMask {
    /// Rows and columns of the matrix.
    pub sizes: [usize; 2],
    /// Entries of all rows.
    pub len: usize,
}

impl Op for IndexMask {
    fn name(&self) -> &'static str {
        "index_mask"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let op = self.name();
        expect_inputs(op, inputs, 2..=2)?;
        expect_mask(op, "mask", &inputs[0], count(&self.sizes))?;
        expect_dtype(op, "pointers", &inputs[1], &[DType::U32])?;
        let pointers = self.sizes[0].saturating_add(1);
        if inputs[1].shape != [pointers] {
            let detail = format!("pointers {:?} are not the {pointers} of {} rows", inputs[1].shape, self.sizes[0]);
            return Err(Error::Shape { op, detail });
        }
        Ok(vec![Layout::new(&[self.len], DType::U32)])
    }

    fn problem(&self, _inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        Ok(Problem::Mask(Mask::Index { columns: self.sizes[1] }))
    }
}
