//! Sparse formats, and the products and convolutions whose weights lie in them.

use std::fmt;

use crate::error::{Error, Result};
use crate::family::contraction::sparse::Sparse;
use crate::family::contraction::{Addressing, Contraction, Operand};
use crate::family::sparse;
use crate::family::stored::StoredContraction;
use crate::layout::{DType, Layout, count};
use crate::op::conv2d::Conv2d;
use crate::op::mask::{expect_mask, matrix, words};
use crate::op::matmul::Matmul;
use crate::op::stored::{Planes, StoredConv2d, StoredMatmul};
use crate::op::{Op, expect_dtype, expect_inputs, expect_shape};
use crate::problem::Problem;
use crate::reference::Twin;

/// Values of k that are read at once.
const QUAD: usize = 4;
/// Rows and columns of the blocks for which [`SparseFormat::Masked`] tells whether they hold anything.
pub(crate) const OCCUPANCY: usize = 32;

/// How a sparse matrix lies in memory. Weights of more than two dimensions count as a matrix of the first by all others.
///
/// | format | planes | bytes of f32 weights, at density d |
/// |---|---|---|
/// | `Masked` | all values (rows filled up to fours), mask, a bit for each block of 32 by 32 | 4.13 a weight |
/// | `Blocks` | blocks that hold anything, their columns as u32, u32 pointers to each row of blocks | 4 d and 4 a block |
/// | `TwoFour` | two values of each four of a row, four bits for where they lie | 2.13 a weight |
/// | `Bitmask` | values row by row, a bit a weight, u32 ranks of each 32 bits | 4 d + 0.25 a weight |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SparseFormat {
    /// All weights, and their mask: nothing is smaller, and blocks of 32 by 32 that hold nothing are skipped.
    Masked,
    /// Block-sparse rows (BSR): the blocks of `size` rows and columns that hold anything, by ascending column. With one row and one column
    /// it is CSR; with one column it holds for each vector of outputs the values of k that any of them keeps, as vector-wise N:M
    /// sparsity leaves them. Columns are 1 or a multiple of 4, rows at most 32. With one column, the entries of each row of blocks are filled
    /// up to fours by such of a column that there is not.
    Blocks {
        /// Rows and columns of a block.
        size: [usize; 2],
        /// Entries in all, as converting counted them.
        entries: usize,
    },
    /// 2:4 sparsity, private to each row: two values of each four.
    TwoFour,
    /// A bit for each weight, and the values that are kept.
    Bitmask {
        /// Values in all, as converting counted them.
        entries: usize,
    },
}

impl fmt::Display for SparseFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SparseFormat::Masked => f.write_str("masked"),
            SparseFormat::Blocks { size: [1, 1], .. } => f.write_str("CSR"),
            SparseFormat::Blocks { size: [rows, 1], .. } => write!(f, "vectors of {rows}"),
            SparseFormat::Blocks { size: [rows, columns], .. } => write!(f, "BSR {rows}x{columns}"),
            SparseFormat::TwoFour => f.write_str("2:4"),
            SparseFormat::Bitmask { .. } => f.write_str("bitmask"),
        }
    }
}

/// What a plan knows of a sparse tensor: the format, the shape of the weights and their type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SparseLayout {
    /// How it lies in memory.
    pub format: SparseFormat,
    /// Shape of the weights.
    pub shape: Vec<usize>,
    /// Type of the values, f32 or f16.
    pub dtype: DType,
    /// Weights that are not pruned.
    pub kept: usize,
    /// Whether the weights are there as a dense tensor too, for when that is faster.
    pub dense: bool,
}

impl SparseLayout {
    /// Rows and columns of the weights as a matrix.
    ///
    /// # Errors
    /// [`Error::Rank`] for a scalar.
    pub fn matrix(&self) -> Result<[usize; 2]> {
        matrix("sparse", &self.shape)
    }

    /// The layouts of the planes, and last, where it is kept, of the dense tensor.
    ///
    /// # Errors
    /// [`Error::Option`] for blocks that no kernel takes, [`Error::Rank`] for a scalar.
    pub fn planes(&self) -> Result<Vec<Layout>> {
        let [rows, columns] = self.matrix()?;
        let u32s = |len: usize| Layout::new(&[len], DType::U32);
        let values = |len: usize| Layout::new(&[len], self.dtype);
        let quads = columns.div_ceil(QUAD);
        let mut planes = match self.format {
            SparseFormat::Masked => {
                let blocks = rows.div_ceil(OCCUPANCY) * columns.div_ceil(OCCUPANCY);
                vec![values(rows * quads * QUAD), u32s(words(rows * columns)), u32s(words(blocks))]
            }
            SparseFormat::Blocks { size: [height, width], entries } => {
                if !(1..=32).contains(&height) || !(width == 1 || (width % QUAD == 0 && (QUAD..=32).contains(&width))) {
                    return Err(Error::Option {
                        op: "sparse",
                        option: "size",
                        value: format!("{height} x {width}"),
                        requirement: "1 to 32 rows, and 1 column or 4 to 32 in fours",
                    });
                }
                if width == 1 && entries % QUAD != 0 {
                    let requirement = "a multiple of 4 where blocks have one column";
                    return Err(Error::Option {
                        op: "sparse",
                        option: "entries",
                        value: entries.to_string(),
                        requirement,
                    });
                }
                let len = entries.saturating_mul(height * width);
                vec![values(len), u32s(entries), u32s(rows.div_ceil(height) + 1)]
            }
            SparseFormat::TwoFour => vec![values(rows * quads * 2), u32s(rows * quads.div_ceil(8))],
            SparseFormat::Bitmask { entries } => {
                let codes = rows * words(columns);
                vec![values(entries), u32s(codes), u32s(codes)]
            }
        };
        planes.extend(self.dense.then(|| Layout::new(&self.shape, self.dtype)));
        Ok(planes)
    }

    /// Bytes of all planes, the dense tensor included where it is kept.
    ///
    /// # Errors
    /// As for [`planes`](SparseLayout::planes).
    pub fn bytes(&self) -> Result<u64> {
        Ok(self.planes()?.iter().map(Layout::bytes).sum())
    }

    /// The share of the weights that is not pruned; of none it is 0.
    pub fn density(&self) -> f64 {
        self.kept as f64 / count(&self.shape).max(1) as f64
    }

    /// The weights as a dense tensor would lie.
    fn dense_layout(&self) -> Layout {
        Layout::new(&self.shape, self.dtype)
    }
}

impl Planes for SparseLayout {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn planes(&self) -> Result<Vec<Layout>> {
        SparseLayout::planes(self)
    }

    fn expect(&self, op: &'static str, found: &[Layout]) -> Result<()> {
        let planes = self.planes()?;
        for (number, (plane, found)) in planes.iter().zip(found).enumerate() {
            let name = format!("plane {number}");
            expect_dtype(op, &name, found, &[plane.dtype])?;
            expect_shape(op, format_args!("{name} of {}", self.format), found, &plane.shape)?;
        }
        Ok(())
    }

    fn dense_dtype(&self, _x: DType) -> DType {
        self.dtype
    }
}

/// Copies what is kept of dense weights into the planes of a format.
///
/// Inputs: weights, f32 or f16; their mask; and, but for `TwoFour`, u32 pointers: for `Blocks` also the columns of the entries before them.
/// Outputs: the planes that hold values, and for `Bitmask` and `TwoFour` those that tell where they lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// What they are packed into: `Blocks`, `TwoFour` or `Bitmask`.
    pub layout: SparseLayout,
}

impl Op for Pack {
    fn name(&self) -> &'static str {
        "pack"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let op = self.name();
        let mut planes = SparseLayout { dense: false, ..self.layout.clone() }.planes()?;
        let [rows, _] = self.layout.matrix()?;
        let (indices, outputs) = match self.layout.format {
            SparseFormat::Blocks { .. } => (planes.split_off(1), planes),
            SparseFormat::Bitmask { .. } => (vec![Layout::new(&[rows + 1], DType::U32)], planes),
            SparseFormat::TwoFour => (Vec::new(), planes),
            SparseFormat::Masked => {
                let requirement = "a format that leaves out what is pruned";
                return Err(Error::Option { op, option: "format", value: "masked".into(), requirement });
            }
        };
        expect_inputs(op, inputs, 2 + indices.len()..=2 + indices.len())?;
        expect_dtype(op, "weights", &inputs[0], &[self.layout.dtype])?;
        expect_shape(op, "weights", &inputs[0], &self.layout.shape)?;
        expect_mask(op, "mask", &inputs[1], inputs[0].len())?;
        for (index, found) in indices.iter().zip(&inputs[2..]) {
            expect_dtype(op, "an index plane", found, &[DType::U32])?;
            expect_shape(op, "an index plane", found, &index.shape)?;
        }
        Ok(outputs)
    }

    fn problem(&self, _inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        let [rows, columns] = self.layout.matrix()?;
        Ok(Problem::Pack(sparse::Pack { format: self.layout.format, rows, columns }))
    }
}

/// The weights of a sparse tensor as a dense one, zeros in their places.
///
/// Inputs: its planes. Output: the weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpack {
    /// Of the sparse tensor.
    pub layout: SparseLayout,
}

impl Op for Unpack {
    fn name(&self) -> &'static str {
        "unpack"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let count = self.layout.planes()?.len();
        expect_inputs(self.name(), inputs, count..=count)?;
        self.layout.expect(self.name(), inputs)?;
        Ok(vec![self.layout.dense_layout()])
    }

    fn problem(&self, _inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        Ok(Problem::Unpack(operand(&self.layout, 0)?))
    }
}

/// A sparse tensor's planes as an operand of a contraction.
fn operand(layout: &SparseLayout, first: usize) -> Result<Sparse> {
    let [rows, columns] = layout.matrix()?;
    let planes = layout.planes()?.len() - usize::from(layout.dense);
    Ok(Sparse { format: layout.format, first, planes, rows, columns, dtype: layout.dtype, kept: layout.kept })
}

/// The problem of an op that has the weights as its left operand, with a sparse tensor in their place.
fn with_sparse(mut contraction: Contraction, layout: &SparseLayout, first: usize) -> Result<Problem> {
    let sparse = operand(layout, first)?;
    let dense = Operand { input: first + sparse.planes, ..contraction.a.clone() };
    contraction.a = Operand { input: first, dtype: layout.dtype, addressing: Addressing::Sparse(sparse) };
    Ok(Problem::Stored(Box::new(StoredContraction { contraction, dense, kept_dense: layout.dense })))
}

/// A matrix product with sparse weights: `activation(alpha * W x + beta * c)`, or with x on the left, `activation(alpha * x Wᵀ + beta * c)`.
///
/// Inputs: x, f32 or f16; the planes of the weights, which are a matrix `(rows, columns)`; the dense weights, if the layout has them; and perhaps
/// c, which broadcasts to the output. Of W x, x is `(..., columns, n)` and the output `(..., rows, n)`; of x Wᵀ, a linear layer, x is
/// `(..., n, columns)` and the output `(..., n, rows)`.
///
/// What is pruned is not multiplied: an infinite x makes no NaN there, unless the planner finds a dense kernel faster, or the place shares a
/// block with one that is kept.
///
/// The planes are taken at their word: what does not come from [`SparseTensor`](crate::SparseTensor), which checks them, may read anything.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseMatmul {
    /// Of the weights.
    pub weight: SparseLayout,
    /// Whether x is on the left, and the weights are the right operand, transposed, as in a linear layer.
    pub linear: bool,
    /// Factors, activation and output type; transpositions are not taken.
    pub options: Matmul,
}

impl SparseMatmul {
    pub(crate) fn stored(&self) -> StoredMatmul<'_, SparseLayout> {
        StoredMatmul { op: self.name(), weight: &self.weight, linear: self.linear, options: self.options }
    }
}

impl Op for SparseMatmul {
    fn name(&self) -> &'static str {
        "sparse_matmul"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        self.stored().infer(inputs)
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        with_sparse(self.stored().contraction(inputs, outputs)?, &self.weight, 1)
    }
}

/// A convolution with sparse filters.
///
/// Inputs: x `(n, c, h, w)`, f32 or f16; the planes of the filters, which are `(o, c, kernel height, kernel width)`; the dense filters, if the
/// layout has them; and perhaps a bias `(o)`. Output and options are those of [`Conv2d`], with one group.
///
/// Of what is pruned, and of planes from elsewhere, [`SparseMatmul`] tells.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseConv2d {
    /// Of the filters.
    pub weight: SparseLayout,
    /// Stride, padding, dilation, activation and output type.
    pub options: Conv2d,
}

impl SparseConv2d {
    pub(crate) fn stored(&self) -> StoredConv2d<'_, SparseLayout> {
        StoredConv2d { op: self.name(), weight: &self.weight, options: &self.options }
    }
}

impl Op for SparseConv2d {
    fn name(&self) -> &'static str {
        "sparse_conv2d"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let op = self.name();
        if self.options.groups != 1 {
            let requirement = "1: groups are sparse already";
            return Err(Error::Option { op, option: "groups", value: self.options.groups.to_string(), requirement });
        }
        self.stored().infer(inputs)
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        with_sparse(self.stored().contraction(inputs, outputs)?, &self.weight, 1)
    }
}
