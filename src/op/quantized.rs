//! Products and convolutions whose weights are quantized, of activations that are not.

use crate::error::{Error, Result};
use crate::family::contraction::quantized::Quantized;
use crate::family::contraction::{Addressing, Contraction, Operand};
use crate::family::stored::{StoredContraction, with_planes};
use crate::layout::{DType, Layout};
use crate::op::conv2d::Conv2d;
use crate::op::matmul::Matmul;
use crate::op::precision::FLOATS;
use crate::op::quantize::QuantLayout;
use crate::op::{Op, expect_dtype, expect_inputs};
use crate::problem::Problem;
use crate::reference::Twin;

/// The inputs of an op with quantized weights: x, planes, perhaps an addend. Returns the addend's number.
fn expect_quantized(op: &'static str, weight: &QuantLayout, inputs: &[Layout]) -> Result<Option<usize>> {
    let planes = weight.planes()?.len();
    expect_inputs(op, inputs, 1 + planes..=2 + planes)?;
    weight.expect(op, &inputs[1..=planes])?;
    expect_dtype(op, "x", &inputs[0], FLOATS)?;
    Ok((inputs.len() > planes + 1).then_some(planes + 1))
}

/// The problem of an op that has the weights as its left operand, with a quantized tensor in their place.
fn with_quantized(mut contraction: Contraction, weight: &QuantLayout) -> Result<Problem> {
    let [_, columns] = weight.matrix()?;
    let batch = match &contraction.a.addressing {
        Addressing::Dense { batch, .. } => batch.iter().map(|stride| stride / columns.max(1)).collect(),
        _ => Vec::new(),
    };
    // Where it is dequantized first, nothing is rounded to f16.
    let dense = Operand { dtype: DType::F32, ..contraction.a };
    let addressing = Addressing::Quantized(Quantized::new(weight, 1, batch)?);
    contraction.a = Operand { input: 1, dtype: DType::U32, addressing };
    Ok(Problem::Stored(Box::new(StoredContraction { contraction, dense, kept_dense: false })))
}

/// A matrix product with quantized weights: `activation(alpha * W x + beta * c)`, or with x on the left,
/// `activation(alpha * x Wᵀ + beta * c)`, of W = scale * (q - zero) and x as it is, summed in f32.
///
/// Inputs: x, f32 or f16; the planes of the weights, which are a matrix `(rows, columns)`; and perhaps c, which broadcasts to the output. Of
/// W x, x is `(..., columns, n)` and the output `(..., rows, n)`; of x Wᵀ, a linear layer, x is `(..., n, columns)` and the output
/// `(..., n, rows)`.
///
/// Weights are dequantized as they are loaded, or into scratch memory for a dense kernel: the plan says which, and why. Scales are taken to be
/// normal numbers above 0, as quantizing makes them. A scale may be applied to sums of q * x instead of each q: x that comes within a factor of
/// 255 / scale of the largest f32 may overflow there.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedMatmul {
    /// Of the weights.
    pub weight: QuantLayout,
    /// Whether x is on the left, and the weights are the right operand, transposed, as in a linear layer.
    pub linear: bool,
    /// Factors, activation and output type; transpositions are not taken.
    pub options: Matmul,
}

impl QuantizedMatmul {
    /// The dense op, whose operands are x and the weights in its order.
    pub(crate) fn dense(&self) -> Matmul {
        Matmul { transpose_b: self.linear, ..self.options }
    }

    /// The dense op's inputs: layouts or tensors.
    pub(crate) fn dense_inputs<T: Clone>(&self, x: &T, weight: T, c: Option<&T>) -> Vec<T> {
        let [a, b] = if self.linear { [x.clone(), weight] } else { [weight, x.clone()] };
        [Some(a), Some(b), c.cloned()].into_iter().flatten().collect()
    }

    fn dense_layouts(&self, inputs: &[Layout], addend: Option<usize>) -> Vec<Layout> {
        let weight = Layout::new(&self.weight.shape, inputs[0].dtype);
        self.dense_inputs(&inputs[0], weight, addend.map(|number| &inputs[number]))
    }
}

impl Op for QuantizedMatmul {
    fn name(&self) -> &'static str {
        "quantized_matmul"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let op = self.name();
        if self.options.transpose_a || self.options.transpose_b {
            let requirement = "false: the weights lie as they are, and `linear` puts them on the right";
            return Err(Error::Option { op, option: "transpose", value: "true".into(), requirement });
        }
        if self.weight.shape.len() != 2 {
            let (expected, found) = ("2", self.weight.shape.len());
            return Err(Error::Rank { op, operand: "weights", expected, found });
        }
        let addend = expect_quantized(op, &self.weight, inputs)?;
        self.dense().infer(&self.dense_layouts(inputs, addend))
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        let op = self.name();
        let addend = expect_quantized(op, &self.weight, inputs)?;
        let dense = self.dense().problem(&self.dense_layouts(inputs, addend), outputs)?;
        with_quantized(with_planes(op, dense, self.linear, addend)?, &self.weight)
    }
}

/// A convolution with quantized filters.
///
/// Inputs: x `(n, c, h, w)`, f32 or f16; the planes of the filters, which are `(o, c / groups, kernel height, kernel width)`; and perhaps a bias
/// `(o)`. Output and options are those of [`Conv2d`]. Of how filters are dequantized, [`QuantizedMatmul`] tells.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedConv2d {
    /// Of the filters.
    pub weight: QuantLayout,
    /// Stride, padding, dilation, groups, activation and output type.
    pub options: Conv2d,
}

impl QuantizedConv2d {
    fn dense_layouts(&self, inputs: &[Layout], addend: Option<usize>) -> Vec<Layout> {
        let weight = Layout::new(&self.weight.shape, inputs[0].dtype);
        let bias = addend.map(|number| inputs[number].clone());
        [Some(inputs[0].clone()), Some(weight), bias].into_iter().flatten().collect()
    }
}

impl Op for QuantizedConv2d {
    fn name(&self) -> &'static str {
        "quantized_conv2d"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let addend = expect_quantized(self.name(), &self.weight, inputs)?;
        self.options.infer(&self.dense_layouts(inputs, addend))
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        let op = self.name();
        let addend = expect_quantized(op, &self.weight, inputs)?;
        let dense = self.options.problem(&self.dense_layouts(inputs, addend), outputs)?;
        with_quantized(with_planes(op, dense, false, addend)?, &self.weight)
    }
}
