//! Elementwise operations.

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
