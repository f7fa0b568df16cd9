//! Products and convolutions whose weights are quantized, of activations that are not.

use crate::error::Result;
use crate::family::contraction::quantized::Quantized;
use crate::family::contraction::{Addressing, Contraction, Operand};
use crate::family::stored::StoredContraction;
use crate::layout::{DType, Layout};
use crate::op::Op;
use crate::op::conv2d::Conv2d;
use crate::op::matmul::Matmul;
use crate::op::quantize::QuantLayout;
use crate::op::stored::{Planes, StoredConv2d, StoredMatmul};
use crate::problem::Problem;
use crate::reference::Twin;

impl Planes for QuantLayout {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn planes(&self) -> Result<Vec<Layout>> {
        QuantLayout::planes(self)
    }

    fn expect(&self, op: &'static str, planes: &[Layout]) -> Result<()> {
        QuantLayout::expect(self, op, planes)
    }

    fn dense_dtype(&self, x: DType) -> DType {
        x
    }
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
    pub(crate) fn stored(&self) -> StoredMatmul<'_, QuantLayout> {
        StoredMatmul { op: self.name(), weight: &self.weight, linear: self.linear, options: self.options }
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
        self.stored().infer(inputs)
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        with_quantized(self.stored().contraction(inputs, outputs)?, &self.weight)
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
    pub(crate) fn stored(&self) -> StoredConv2d<'_, QuantLayout> {
        StoredConv2d { op: self.name(), weight: &self.weight, options: &self.options }
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
        self.stored().infer(inputs)
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        with_quantized(self.stored().contraction(inputs, outputs)?, &self.weight)
    }
}
