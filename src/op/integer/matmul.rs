//! The product of matrices of whole numbers.

use super::{Common, Ending, IntegerOutput, With, is_shifted, narrow, pitch, products, tail, terms};
use crate::error::{Error, Result};
use crate::family::contraction::whole::Words;
use crate::family::contraction::{Contraction, Target};
use crate::family::integer::{Codes, Made, PackWords, Side, Strides, words};
use crate::layout::{DType, Layout, count};
use crate::op::activation::Activation;
use crate::op::precision::Precision;
use crate::op::quantize::{QuantLayout, QuantType};
use crate::op::{Op, expect_addressable};
use crate::problem::Problem;
use crate::reference::Twin;

/// A product of matrices of whole numbers: `(x - zero_x) (weight - zero_w)`, exactly, and what is made of it.
///
/// Inputs: `x` of shape `(..., m, k)`, i8 or u8, or in words of four, u32 `(..., m, ceil(k / 4))`, of int8; `weight` of shape `(k, n)`, or `(n, k)`
/// with `transpose`, or of as many batch dimensions as x, i8 or u8, or the plane of values of a [`QuantLayout`], which is `(n, k)`. After them, those
/// that are said to be there: the zero points of x and of the weight, of their factor's type or a quantized tensor's plane; the scales of x
/// and of the weight, f32 or f16; and a bias `(n)`. Zero points and scales are one, or one a row of x, and one a column of the product for
/// the weight.
///
/// With `whole` the sum of the products, to which a bias of i32 is added, the output is `whole`, i32; or the float `activation(whole * (scale_x *
/// scale_w) + bias)`, with a bias of f32; or a float without that bias, rounded and put in range. Sums are exact in 32 bits: of more terms than
/// may leave them, 131,071 without zero points and 33,025 with both, an [`Error::Limit`] tells.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegerMatmul {
    /// The weight is stored `(..., n, k)`.
    pub transpose: bool,
    /// Of a weight that is a quantized tensor: int8 or uint8, its scale one or one a row.
    pub weight: Option<QuantLayout>,
    /// Whether there are zero points of x, and of the weight.
    pub zeros: [bool; 2],
    /// Whether there are scales of x, and of the weight.
    pub scales: [bool; 2],
    /// Whether there is a bias.
    pub bias: bool,
    /// Applied before rounding.
    pub activation: Activation,
    /// What comes out.
    pub output: IntegerOutput,
}

impl Default for IntegerMatmul {
    /// The sums of products of two matrices.
    fn default() -> Self {
        IntegerMatmul {
            transpose: false,
            weight: None,
            zeros: [false; 2],
            scales: [false; 2],
            bias: false,
            activation: Activation::None,
            output: IntegerOutput::Sums,
        }
    }
}

const MATMUL: &str = "integer_matmul";

/// The sizes of a product: batch, rows, columns, terms.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sizes {
    pub batch: Vec<usize>,
    pub m: usize,
    pub n: usize,
    pub k: usize,
}

impl IntegerMatmul {
    pub(crate) fn common(&self) -> Common<'_> {
        let &IntegerMatmul { zeros, scales, bias, activation, output, .. } = self;
        let with = With { zeros, scales, bias };
        Common { op: MATMUL, weight: self.weight.as_ref(), with, activation, output }
    }

    /// Whether the weight lies `(n, k)`.
    pub(crate) fn is_transposed(&self) -> bool {
        self.transpose || self.weight.is_some()
    }

    /// Checks the shapes against each other and reads the sizes off.
    pub(crate) fn sizes(&self, x: &Layout, weight: &Layout) -> Result<Sizes> {
        let shape = match &self.weight {
            Some(own) => &own.shape,
            None => &weight.shape,
        };
        for (operand, shape) in [("x", &x.shape), ("weight", shape)] {
            if shape.len() < 2 {
                return Err(Error::Rank { op: MATMUL, operand, expected: "at least 2", found: shape.len() });
            }
        }
        if self.weight.is_some() && shape.len() != 2 {
            return Err(Error::Rank { op: MATMUL, operand: "weight", expected: "2", found: shape.len() });
        }
        let (batch, [m, last]) =
            (x.shape[..x.shape.len() - 2].to_vec(), [x.shape[x.shape.len() - 2], x.shape[x.shape.len() - 1]]);
        let [rows, columns] = [shape[shape.len() - 2], shape[shape.len() - 1]];
        let (k, n) = if self.is_transposed() { (columns, rows) } else { (rows, columns) };
        let fits = if x.dtype == DType::U32 { last == k.div_ceil(4) } else { last == k };
        if !fits || !(shape.len() == 2 || shape[..shape.len() - 2] == batch) {
            let detail = format!("x {:?} does not fit the weight {shape:?}", x.shape);
            return Err(Error::Shape { op: MATMUL, detail });
        }
        // One matrix of weights: all rows of x are rows of one product.
        let (batch, m) =
            if shape.len() == 2 { (Vec::new(), count(&batch).saturating_mul(m)) } else { (vec![count(&batch)], m) };
        Ok(Sizes { batch, m, n, k })
    }
}

impl Op for IntegerMatmul {
    fn name(&self) -> &'static str {
        MATMUL
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        self.common().expect_whole(inputs)?;
        let Sizes { batch, m, n, k } = self.sizes(&inputs[0], &inputs[1])?;
        let entries = count(&batch);
        let many = [entries.saturating_mul(m), entries.saturating_mul(n)];
        self.common().expect_rest(inputs, many, n, k)?;
        let mut shape = inputs[0].shape.clone();
        shape.pop();
        shape.push(if matches!(self.output, IntegerOutput::Words { .. }) { n.div_ceil(4) } else { n });
        expect_addressable(MATMUL, "output", &shape)?;
        Ok(vec![Layout::new(&shape, self.output.dtype())])
    }

    fn problem(&self, inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        let sizes = self.sizes(&inputs[0], &inputs[1])?;
        let Sizes { batch, m, n, k } = &sizes;
        let pitch = pitch(*k, Words::Int8.values());
        let mut sides = self.common().sides(inputs, *n);
        let in_words = |input: &Layout| input.align >= 4 && input.dtype != DType::U8;
        let pack = |side: &Side, outer: usize, from: Strides| {
            let codes = Codes::Bytes { unsigned: side.unsigned };
            Some(PackWords {
                codes,
                batch: batch.clone(),
                outer,
                k: *k,
                words: pitch,
                from,
                to: along(batch, outer, pitch),
            })
        };
        // As they lie where a row is as long as words are.
        let x = &inputs[0];
        let own = if x.dtype == DType::U32 { k.div_ceil(4) * 4 } else { *k };
        if !(in_words(x) && own == 4 * pitch) {
            sides[0].pack = pack(&sides[0], *m, along(batch, *m, own));
        }
        let across = Strides { batch: vec![k * n; batch.len()], outer: 1, k: *n };
        sides[1].pack = match &self.weight {
            Some(weight) if weight.scheme.values == QuantType::I8 => None,
            Some(_) => pack(&sides[1], *n, along(batch, *n, 4 * pitch)),
            None if self.transpose && in_words(&inputs[1]) && *k == 4 * pitch => None,
            None if self.transpose => pack(&sides[1], *n, along(batch, *n, *k)),
            None => pack(&sides[1], *n, across),
        };
        let shifted = [1, 0].map(|other| is_shifted(&sides[other]));
        for ((side, shifted), size) in sides.iter_mut().zip(shifted).zip([*m, *n]) {
            terms(side, shifted, batch.clone(), size, tail(*k, k.div_ceil(4), 1));
        }
        let ending = self.common().ending(Words::Int8);
        let in_words = n.div_ceil(4);
        let narrow = match self.output {
            IntegerOutput::Words { .. } => Some(PackWords {
                codes: Codes::Words,
                batch: Vec::new(),
                outer: count(batch) * m,
                k: *n,
                words: in_words,
                from: along(&[], 0, *n),
                to: along(&[], 0, in_words),
            }),
            IntegerOutput::Quantized { .. } => Some(narrow(count(batch) * m * n)),
            IntegerOutput::Sums | IntegerOutput::Floats(_) => None,
        };
        let words = matches!(self.output, IntegerOutput::Words { .. });
        if narrow.is_none() || !(words || n.is_multiple_of(4)) {
            let contraction = product(&sizes, pitch, &sides, inputs.len(), ending);
            return Ok(Problem::Integer(Box::new(products(contraction, sides, narrow, None))));
        }
        // A word is four neighbours of a row of the output: rows of the product with its sides exchanged.
        sides.swap(0, 1);
        let exchanged = Sizes { m: *n, n: *m, ..sizes.clone() };
        let mut contraction = product(&exchanged, pitch, &sides, inputs.len(), ending);
        contraction.out = Target { row: 1, columns: Some((1, *n)), ..contraction.out };
        let fused = Some(Target {
            dtype: DType::U32,
            batch: vec![m * in_words; batch.len()],
            row: 1,
            columns: Some((1, in_words)),
        });
        Ok(Problem::Integer(Box::new(products(contraction, sides, narrow, fused))))
    }
}

/// The strides of matrices whose rows lie one after the other.
pub(super) fn along(batch: &[usize], outer: usize, stride: usize) -> Strides {
    Strides { batch: vec![outer * stride; batch.len()], outer: stride, k: 1 }
}

/// The product of matrices whose rows, and columns, are so many words.
pub(super) fn product(sizes: &Sizes, pitch: usize, sides: &[Side; 2], inputs: usize, ending: Ending) -> Contraction {
    let Sizes { batch, m, n, k } = sizes;
    let operand = |side: &Side, outer: usize, made: Made| {
        let input = if side.pack.is_some() { made.after(inputs) } else { side.input };
        words(input, vec![outer * pitch; batch.len()], pitch)
    };
    let own = vec![true; batch.len()];
    Contraction {
        batch: batch.clone(),
        m: *m,
        n: *n,
        k: pitch,
        a: operand(&sides[0], *m, Made::Left),
        b: operand(&sides[1], *n, Made::Right),
        out: Target { dtype: ending.output.stored(), batch: vec![m * n; batch.len()], row: *n, columns: None },
        alpha: 1.0,
        addend: None,
        residual: None,
        activation: ending.activation,
        precision: Precision::F32,
        whole: Some(ending.whole(*k, sides, [&own, &own], inputs)),
    }
}
