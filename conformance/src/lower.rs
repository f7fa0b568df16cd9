//! Lowering: a function for each operation of ONNX, which runs it by ops of tilewise.

mod contraction;
mod geometry;
mod movement;
mod pointwise;
mod pooling;
mod quantization;
mod reduction;

use crate::call::Call;
use crate::fault::{Fault, Result};
use crate::tensor::Tensor;

/// Runs a node and gives its outputs.
pub type Lowering = fn(&Call<'_>) -> Result<Vec<Tensor>>;

/// The operations under test: a case counts that has one of them, and none that is neither here nor in [`HELPERS`].
#[rustfmt::skip]
pub const COVERED: &[&str] = &[
    "MatMul", "Gemm", "Conv", "ConvTranspose",
    "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool",
    "Softmax", "LogSoftmax",
    "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Elu", "Selu", "Celu", "HardSigmoid", "HardSwish", "Softplus", "Softsign",
    "Mish", "ThresholdedRelu", "PRelu", "Gelu", "Clip", "BatchNormalization",
    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ArgMax", "ArgMin",
    "Concat", "Pad", "Transpose",
    "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean",
    "Abs", "Neg", "Exp", "Log", "Sqrt", "Reciprocal", "Floor", "Ceil", "Round", "Erf", "Sign",
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear",
    "MatMulInteger", "QLinearMatMul", "ConvInteger", "QLinearConv",
];

/// Operations that cases of several nodes need beside those under test: they change no element, and the host does them.
pub const HELPERS: &[&str] = &["Constant", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Split"];

/// The lowering of an operation.
pub fn find(op_type: &str) -> Option<Lowering> {
    let families =
        [contraction::find, pooling::find, pointwise::find, quantization::find, reduction::find, movement::find];
    families.iter().find_map(|find| find(op_type))
}

/// Runs a node.
///
/// # Errors
/// Why it does not run.
pub fn run(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let lowering = find(call.op_type()).ok_or_else(|| Fault::NotYet(call.op_type().into()))?;
    lowering(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_named_has_a_lowering() {
        for op_type in COVERED.iter().chain(HELPERS) {
            assert!(find(op_type).is_some(), "{op_type}");
        }
        assert!(find("LSTM").is_none());
    }
}
