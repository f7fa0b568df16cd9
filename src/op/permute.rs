//! Permutation of dimensions.

use crate::error::{Error, Result};
use crate::family::map::{Argument, Function, Map, Part};
use crate::layout::Layout;
use crate::op::precision::ELEMENTS;
use crate::op::{Op, expect_dtype, expect_inputs, merge_dims, strides};
use crate::problem::Problem;
use crate::reference::Twin;

/// Copies a tensor with its dimensions in another order, as `torch.permute(dims).contiguous()`.
///
/// Input: f32, f16, i32 or u32 of any shape. Output dimension `i` is input dimension `dims[i]`. Bits are copied as they are,
/// NaN, infinities, subnormal numbers and the sign of 0 included, except that a device may change the payload of a NaN or
/// flush a subnormal number. Refused: `dims` that is no permutation, and, as [`Error::Limit`](crate::Error::Limit), more
/// than 6 dimensions that remain after neighbours that stay together were merged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Permute {
    /// For each dimension of the output, the dimension of the input.
    pub dims: Vec<usize>,
}

const OP: &str = "permute";

impl Op for Permute {
    fn name(&self) -> &'static str {
        OP
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        expect_inputs(OP, inputs, 1..=1)?;
        expect_dtype(OP, "x", &inputs[0], ELEMENTS)?;
        let shape = &inputs[0].shape;
        let mut sorted = self.dims.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..shape.len()) {
            let detail = format!("dims {:?} is no permutation of the dimensions of x {shape:?}", self.dims);
            return Err(Error::Shape { op: OP, detail });
        }
        let shape: Vec<usize> = self.dims.iter().map(|&dim| shape[dim]).collect();
        Ok(vec![Layout::new(&shape, inputs[0].dtype)])
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        let own = strides(&inputs[0].shape);
        let input = self.dims.iter().map(|&dim| own[dim]).collect();
        let (sizes, mut merged) = merge_dims(&outputs[0].shape, &[input, strides(&outputs[0].shape)]);
        let arguments = vec![Argument::strided(0, std::mem::take(&mut merged[0]))];
        let parts = vec![Part { sizes, arguments, start: 0, strides: std::mem::take(&mut merged[1]) }];
        Ok(Problem::Map(Map { function: Function::Copy, dtype: inputs[0].dtype, parts }))
    }
}
