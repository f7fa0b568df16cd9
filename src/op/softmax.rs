//! Softmax and its logarithm.

use crate::error::Result;
use crate::family::reduce::{Reduce, Task};
use crate::layout::Layout;
use crate::op::precision::FLOATS;
use crate::op::reduce::expect_dim;
use crate::op::{Op, expect_dtype, expect_inputs};
use crate::problem::Problem;
use crate::reference::Twin;

/// `exp(x - max) / sum of exp(x - max)` along a dimension; f32 or f16 (computed in f32 and rounded), output of the
/// input's shape and type.
///
/// A row with NaN or +infinity is NaN there or throughout, and a row of -infinity alone is NaN, as in PyTorch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Softmax {
    /// The dimension.
    pub dim: usize,
}

/// `x - max - log(sum of exp(x - max))` along a dimension; f32 or f16 (computed in f32 and rounded), output of the
/// input's shape and type. NaN as in [`Softmax`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSoftmax {
    /// The dimension.
    pub dim: usize,
}

fn infer(op: &'static str, dim: usize, inputs: &[Layout]) -> Result<Vec<Layout>> {
    expect_inputs(op, inputs, 1..=1)?;
    expect_dtype(op, "input", &inputs[0], FLOATS)?;
    expect_dim(op, dim, &inputs[0].shape)?;
    Ok(vec![Layout::new(&inputs[0].shape, inputs[0].dtype)])
}

fn problem(task: Task, dim: usize, inputs: &[Layout]) -> Problem {
    let shape = &inputs[0].shape;
    let (outer, inner): (usize, usize) = (shape[..dim].iter().product(), shape[dim + 1..].iter().product());
    let kept_strides = vec![shape[dim] * inner, 1];
    Problem::Reduce(Reduce {
        task,
        dtype: inputs[0].dtype,
        kept: vec![outer, inner],
        out_strides: kept_strides.clone(),
        kept_strides,
        reduced: vec![shape[dim]],
        reduced_strides: vec![inner],
    })
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        infer("softmax", self.dim, inputs)
    }

    fn problem(&self, inputs: &[Layout], _: &[Layout]) -> Result<Problem> {
        Ok(problem(Task::Softmax, self.dim, inputs))
    }
}

impl Op for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        infer("log_softmax", self.dim, inputs)
    }

    fn problem(&self, inputs: &[Layout], _: &[Layout]) -> Result<Problem> {
        Ok(problem(Task::LogSoftmax, self.dim, inputs))
    }
}
