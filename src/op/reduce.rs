//! Reductions over any dimensions.

use crate::error::{Error, Result};
use crate::family::reduce::{self, Task};
use crate::layout::{DType, Layout};
use crate::op::precision::{ELEMENTS, FLOATS};
use crate::op::{Op, expect_dtype, expect_inputs, merge_dims, strides};
use crate::problem::Problem;
use crate::reference::Twin;

/// What a [`Reduce`] computes of the values that it reduces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReduceKind {
    /// The sum: f32, f16 (added up in f32), i32, u32, integers modulo 2^32. Of nothing it is 0.
    #[default]
    Sum,
    /// The mean: f32, f16. Of nothing it is NaN.
    Mean,
    /// The largest value: f32, f16, i32, u32.
    Max,
    /// The smallest value: f32, f16, i32, u32.
    Min,
    /// The index of the largest value, as u32; input f32, f16, i32, u32.
    ArgMax,
    /// The index of the smallest value, as u32; input f32, f16, i32, u32.
    ArgMin,
}

/// A reduction over a set of dimensions: PyTorch's `sum`, `mean`, `amax`, `amin`, `argmax`, `argmin`.
///
/// One input of rank 8 at most. The output lacks the reduced dimensions, or has size 1 there with `keep_dims`. NaN wins
/// over every other value in maxima, minima and their indices, as in PyTorch; sums go by IEEE. An index counts within
/// the dimension, or within the flattened input where all dimensions are reduced.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reduce {
    /// What is computed.
    pub kind: ReduceKind,
    /// The dimensions to reduce; none means all. Indices take one, or all.
    pub dims: Vec<usize>,
    /// Reduced dimensions stay, with size 1.
    pub keep_dims: bool,
    /// Of equal values the last one's index, not the first one's (`select_last_index` of ONNX).
    pub last: bool,
}

const OP: &str = "reduce";

impl Reduce {
    fn is_reduced(&self, dim: usize) -> bool {
        self.dims.is_empty() || self.dims.contains(&dim)
    }

    fn is_index(&self) -> bool {
        matches!(self.kind, ReduceKind::ArgMax | ReduceKind::ArgMin)
    }
}

/// Refuses a dimension that the shape does not have.
pub(crate) fn expect_dim(op: &'static str, dim: usize, shape: &[usize]) -> Result<()> {
    if dim < shape.len() {
        return Ok(());
    }
    Err(Error::Shape { op, detail: format!("dimension {dim} of input {shape:?}, which has {}", shape.len()) })
}

impl Op for Reduce {
    fn name(&self) -> &'static str {
        OP
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        expect_inputs(OP, inputs, 1..=1)?;
        let among: &[DType] = if self.kind == ReduceKind::Mean { FLOATS } else { ELEMENTS };
        expect_dtype(OP, "input", &inputs[0], among)?;
        let shape = &inputs[0].shape;
        if shape.len() > 8 {
            return Err(Error::Rank { op: OP, operand: "input", expected: "at most 8", found: shape.len() });
        }
        for (i, &dim) in self.dims.iter().enumerate() {
            expect_dim(OP, dim, shape)?;
            if self.dims[..i].contains(&dim) {
                return Err(Error::Shape {
                    op: OP,
                    detail: format!("dimension {dim} is listed twice in {:?}", self.dims),
                });
            }
        }
        if self.is_index() && self.dims.len() > 1 && self.dims.len() < shape.len() {
            let value = format!("{:?}", self.dims);
            return Err(Error::Option {
                op: OP,
                option: "dims",
                value,
                requirement: "an index is found over one dimension, or all",
            });
        }
        let reduced = (0..shape.len()).filter(|&dim| self.is_reduced(dim)).map(|dim| shape[dim]);
        let out: Vec<usize> = (0..shape.len())
            .filter(|&dim| self.keep_dims || !self.is_reduced(dim))
            .map(|dim| if self.is_reduced(dim) { 1 } else { shape[dim] })
            .collect();
        let out = Layout::new(&out, if self.is_index() { DType::U32 } else { inputs[0].dtype });
        if reduced.into_iter().any(|size| size == 0)
            && !out.is_empty()
            && !matches!(self.kind, ReduceKind::Sum | ReduceKind::Mean)
        {
            return Err(Error::Shape {
                op: OP,
                detail: format!("{:?} over no elements of input {shape:?}", self.kind),
            });
        }
        Ok(vec![out])
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        let shape = &inputs[0].shape;
        let own = strides(shape);
        let pick = |reduced: bool, values: &[usize]| -> Vec<usize> {
            (0..shape.len()).filter(|&dim| self.is_reduced(dim) == reduced).map(|dim| values[dim]).collect()
        };
        let kept = pick(false, shape);
        let (kept, mut kept_strides) = merge_dims(&kept, &[pick(false, &own), strides(&kept)]);
        let (reduced, mut reduced_strides) = merge_dims(&pick(true, shape), &[pick(true, &own)]);
        let task = match self.kind {
            ReduceKind::Sum => Task::Sum,
            ReduceKind::Mean => Task::Mean { divisor: inputs[0].len() / outputs[0].len().max(1) },
            ReduceKind::Max => Task::Max,
            ReduceKind::Min => Task::Min,
            ReduceKind::ArgMax => Task::ArgMax { last: self.last },
            ReduceKind::ArgMin => Task::ArgMin { last: self.last },
        };
        Ok(Problem::Reduce(reduce::Reduce {
            task,
            dtype: inputs[0].dtype,
            kept,
            out_strides: std::mem::take(&mut kept_strides[1]),
            kept_strides: std::mem::take(&mut kept_strides[0]),
            reduced,
            reduced_strides: std::mem::take(&mut reduced_strides[0]),
        }))
    }
}
