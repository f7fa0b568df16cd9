//! Selection of slices along an axis.

use crate::error::{Error, Result};
use crate::family::map::{Argument, Function, Map, Padded, Part};
use crate::layout::{Layout, count};
use crate::op::pad::PadMode;
use crate::op::precision::ELEMENTS;
use crate::op::{Op, expect_dtype, expect_inputs};
use crate::problem::Problem;
use crate::reference::Twin;

/// Copies the slices along an axis that are listed, as `torch.index_select(x, axis, indices)`.
///
/// Input: f32, f16, i32 or u32 of any shape with that axis. Output: the same shape, with as many slices as there are indices, in their order.
/// Neighbours in a run of ascending indices are copied together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexSelect {
    /// Of the input.
    pub axis: usize,
    /// Which slices, each below the axis's size; any order, repeated or not.
    pub indices: Vec<usize>,
}

const OP: &str = "index_select";

impl Op for IndexSelect {
    fn name(&self) -> &'static str {
        OP
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        expect_inputs(OP, inputs, 1..=1)?;
        expect_dtype(OP, "x", &inputs[0], ELEMENTS)?;
        let mut shape = inputs[0].shape.clone();
        let Some(size) = shape.get_mut(self.axis) else {
            let requirement = "below the number of dimensions of x";
            return Err(Error::Option { op: OP, option: "axis", value: self.axis.to_string(), requirement });
        };
        if let Some(index) = self.indices.iter().find(|index| *index >= size) {
            let requirement = "each below the size of the axis";
            return Err(Error::Option { op: OP, option: "indices", value: index.to_string(), requirement });
        }
        *size = self.indices.len();
        Ok(vec![Layout::new(&shape, inputs[0].dtype)])
    }

    fn problem(&self, inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        let shape = &inputs[0].shape;
        let (outer, size, inner) = (count(&shape[..self.axis]), shape[self.axis], count(&shape[self.axis + 1..]));
        let selected = self.indices.len();
        let runs = self.indices.chunk_by(|index, next| index + 1 == *next);
        let mut at = 0;
        let parts = runs.map(|run| {
            let padding = Padded {
                sizes: vec![outer, size, inner],
                before: vec![0, -(run[0] as i64), 0],
                mode: PadMode::Constant(0.0),
                bits: 0,
            };
            let strides = vec![size * inner, inner, 1];
            let start = at * inner;
            at += run.len();
            Part {
                sizes: vec![outer, run.len(), inner],
                arguments: vec![Argument { input: 0, strides, padding: Some(padding) }],
                start,
                strides: vec![selected * inner, inner, 1],
            }
        });
        Ok(Problem::Map(Map { function: Function::Copy, dtype: inputs[0].dtype, parts: parts.collect() }))
    }
}
