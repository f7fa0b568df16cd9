//! Batch normalisation in inference.

use crate::error::{Error, Result};
use crate::family::map::{Argument, Function, Map, Part};
use crate::layout::Layout;
use crate::op::activation::Activation;
use crate::op::precision::FLOATS;
use crate::op::{
    Op, broadcast_strides, expect_addressable, expect_dtype, expect_inputs, expect_rank, merge_dims, strides,
};
use crate::problem::Problem;
use crate::reference::Twin;

/// Batch normalisation with running statistics, and a fused activation:
/// `out[n, c, ..] = activation((x[n, c, ..] - mean[c]) / sqrt(variance[c] + epsilon) * weight[c] + bias[c])`
/// (Ioffe and Szegedy, arXiv 1502.03167).
///
/// Inputs, all f32: `x` of shape `(n, c, ..)`, then `weight`, `bias`, `mean` and `variance` of shape `(c)`. NaN and infinities
/// go by IEEE's rules; a negative `variance + epsilon` gives NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance, at least 0; 1e-5 by default.
    pub epsilon: f32,
    /// Applied to the result.
    pub activation: Activation,
}

impl Default for BatchNorm {
    fn default() -> Self {
        BatchNorm { epsilon: 1e-5, activation: Activation::None }
    }
}

const OP: &str = "batch_norm";
const STATISTICS: [&str; 4] = ["weight", "bias", "mean", "variance"];

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        OP
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        self.activation.expect(OP)?;
        if !(self.epsilon >= 0.0 && self.epsilon.is_finite()) {
            let value = self.epsilon.to_string();
            return Err(Error::Option {
                op: OP,
                option: "epsilon",
                value,
                requirement: "must be finite and at least 0",
            });
        }
        expect_inputs(OP, inputs, 5..=5)?;
        let (x, statistics) = (&inputs[0], &inputs[1..]);
        expect_dtype(OP, "x", x, FLOATS)?;
        expect_addressable(OP, "x", &x.shape)?;
        if x.shape.len() < 2 {
            return Err(Error::Rank { op: OP, operand: "x", expected: "at least 2", found: x.shape.len() });
        }
        for (name, layout) in STATISTICS.into_iter().zip(statistics) {
            expect_dtype(OP, name, layout, &[x.dtype])?;
            expect_rank(OP, name, layout, 1, "1")?;
            if layout.shape[0] != x.shape[1] {
                let detail = format!("{name} {:?} for {} channels of x {:?}", layout.shape, x.shape[1], x.shape);
                return Err(Error::Shape { op: OP, detail });
            }
        }
        Ok(vec![Layout::new(&x.shape, x.dtype)])
    }

    fn problem(&self, inputs: &[Layout], _: &[Layout]) -> Result<Problem> {
        let shape = &inputs[0].shape;
        let channels = broadcast_strides(&[vec![shape[1]], vec![1; shape.len() - 2]].concat(), shape);
        let (sizes, mut merged) = merge_dims(shape, &[strides(shape), channels]);
        let (channels, strides) = (merged.pop().unwrap_or_default(), merged.pop().unwrap_or_default());
        let statistics = (1..=4).map(|input| Argument::strided(input, channels.clone()));
        let arguments = [Argument::strided(0, strides.clone())].into_iter().chain(statistics).collect();
        let part = Part { sizes, arguments, start: 0, strides };
        let function = Function::Normalize { epsilon: self.epsilon, activation: self.activation };
        Ok(Problem::Map(Map { function, dtype: inputs[0].dtype, parts: vec![part] }))
    }
}
