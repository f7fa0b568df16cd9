//! Elementwise operations: none yet, until tilewise has ops for them. What their lowerings have to mind:
//!
//! - Before operator set 7, `Add`, `Sub`, `Mul`, `Div`, `Pow` broadcast only with the attribute `broadcast` = 1, the second
//!   operand standing from dimension `axis` on: it takes dimensions of size 1 at its end.
//! - `Max` and `Min` take any number of operands. `Pow` takes exponents of another type, and gives the base's.
//! - The bounds of `Clip` are the attributes `min` and `max` before operator set 11, then inputs that may be left out.
//! - The slope of `PRelu` broadcasts to x by NumPy's rule; before operator set 7 it is one or one per channel.
//! - Defaults: `LeakyRelu` alpha 0.01; `Elu`, `Celu`, `ThresholdedRelu` alpha 1; `Selu` alpha 1.67326319217681884765625, gamma
//!   1.05070102214813232421875; `HardSigmoid` alpha 0.2, beta 0.5 (`HardSwish` is x times that with alpha 1/6, beta 0.5).
//! - `BatchNormalization` has epsilon 1e-5 and inputs x, scale, bias, mean, var; with `training_mode` = 1 mean and var are
//!   x's own, and the running ones are outputs 1 and 2.

use super::Lowering;
use crate::call::Call;
use crate::fault::{Fault, Result};
use crate::tensor::Tensor;

#[rustfmt::skip]
const NOT_YET: &[&str] = &[
    "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Elu", "Selu", "Celu", "HardSigmoid", "HardSwish", "Softplus", "Softsign",
    "Mish", "ThresholdedRelu", "PRelu", "Gelu", "Clip", "BatchNormalization",
    "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min",
    "Abs", "Neg", "Exp", "Log", "Sqrt", "Reciprocal", "Floor", "Ceil", "Erf", "Sign",
];

pub(super) fn find(op_type: &str) -> Option<Lowering> {
    NOT_YET.contains(&op_type).then_some(not_yet)
}

fn not_yet(call: &Call<'_>) -> Result<Vec<Tensor>> {
    // A type that the crate lacks is the stronger reason.
    call.inputs.iter().flatten().try_for_each(|input| input.host().map(drop))?;
    Err(Fault::NotYet(call.op_type().into()))
}
