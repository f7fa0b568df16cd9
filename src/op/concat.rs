//! Concatenation.

use crate::error::{Error, Result};
use crate::family::map::{Argument, Function, Map, Part};
use crate::layout::Layout;
use crate::op::precision::ELEMENTS;
use crate::op::reduce::expect_dim;
use crate::op::{Op, expect_addressable, expect_dtype, merge_dims, strides};
use crate::problem::Problem;
use crate::reference::Twin;

/// Joins tensors along a dimension, as `torch.cat`.
///
/// Inputs: one or more, all f32, all i32 or all u32, of one shape but for the dimension `dim`; an input may be empty there. Bits
/// are copied as they are, except that a device may change the payload of a NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Concat {
    /// The dimension along which the inputs follow one another.
    pub dim: usize,
}

const OP: &str = "concat";

impl Op for Concat {
    fn name(&self) -> &'static str {
        OP
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let Some(first) = inputs.first() else {
            return Err(Error::Count { op: OP, what: "inputs", expected: "1 or more".into(), found: 0 });
        };
        expect_dtype(OP, "input 0", first, ELEMENTS)?;
        expect_dim(OP, self.dim, &first.shape)?;
        let mut shape = first.shape.clone();
        for (i, input) in inputs.iter().enumerate().skip(1) {
            expect_dtype(OP, &format!("input {i}"), input, &[first.dtype])?;
            let alike = |(dim, (x, y)): (usize, (&usize, &usize))| dim == self.dim || x == y;
            if input.shape.len() != shape.len() || !input.shape.iter().zip(&first.shape).enumerate().all(alike) {
                let detail = format!(
                    "input {i} {:?} differs from input 0 {:?} outside of dimension {}",
                    input.shape, first.shape, self.dim
                );
                return Err(Error::Shape { op: OP, detail });
            }
            shape[self.dim] = shape[self.dim].saturating_add(input.shape[self.dim]);
        }
        expect_addressable(OP, "output", &shape)?;
        Ok(vec![Layout::new(&shape, first.dtype)])
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        let out = strides(&outputs[0].shape);
        let mut parts = Vec::new();
        let mut start = 0;
        for (i, input) in inputs.iter().enumerate() {
            if !input.is_empty() {
                let (sizes, mut merged) = merge_dims(&input.shape, &[strides(&input.shape), out.clone()]);
                let arguments = vec![Argument::strided(i, std::mem::take(&mut merged[0]))];
                parts.push(Part { sizes, arguments, start, strides: std::mem::take(&mut merged[1]) });
            }
            start += input.shape[self.dim] * out[self.dim];
        }
        Ok(Problem::Map(Map { function: Function::Copy, dtype: outputs[0].dtype, parts }))
    }
}
