//! The product and the convolution of signs.

use super::conv2d::{ConvSizes, conv_output};
use super::matmul::{Sizes, along, product};
use super::{Common, IntegerOutput, With, check_weight, expect_sums, pitch, products, terms};
use crate::error::{Error, Result};
use crate::family::contraction::whole::{Fill, Words};
use crate::family::integer::{Codes, PackWords};
use crate::layout::{Layout, count};
use crate::op::activation::Activation;
use crate::op::conv2d::{Conv2d, Padding};
use crate::op::precision::FLOATS;
use crate::op::quantize::{QuantLayout, QuantType};
use crate::op::{Op, expect_addressable, expect_dtype};
use crate::problem::Problem;
use crate::reference::Twin;

impl Common<'_> {
    /// Refuses what neither binary op takes.
    fn expect_signs(&self, weight: &QuantLayout, inputs: &[Layout]) -> Result<()> {
        let op = self.op;
        self.expect_count(inputs)?;
        if !matches!(self.output, IntegerOutput::Sums | IntegerOutput::Floats(_)) {
            let value = format!("{:?}", self.output);
            return Err(Error::Option { op, option: "output", value, requirement: "sums or floats of signs" });
        }
        expect_dtype(op, "x", &inputs[0], FLOATS)?;
        check_weight(op, weight, &[QuantType::Binary], &inputs[1])?;
        let channels = weight.shape[0];
        self.check_with(inputs, [1, channels], channels)?;
        expect_sums(op, weight.matrix()?[1], [1; 2])
    }
}

/// A product with weights of one bit: the signs of x by those of the weight, times both scales.
///
/// Inputs: `x` of shape `(..., m, k)`, f32 or f16, whose signs count, 0 as +1; the plane of values of a binary [`QuantLayout`] `(n, k)`; and those
/// that are said to be there: the scale of x, one; the scales of the weight, its plane; and a bias `(n)`. Output: `(..., m, n)`, `activation(sum *
/// (scale_x * scale_w) + bias)`, or the sums, i32, to which a bias of i32 is added.
#[derive(Clone, Debug, PartialEq)]
pub struct BinaryMatmul {
    /// Of the weight.
    pub weight: QuantLayout,
    /// Whether there are scales of x, and of the weight.
    pub scales: [bool; 2],
    /// Whether there is a bias.
    pub bias: bool,
    /// Applied last.
    pub activation: Activation,
    /// Sums, or floats.
    pub output: IntegerOutput,
}

const BINARY_MATMUL: &str = "binary_matmul";

impl BinaryMatmul {
    pub(crate) fn common(&self) -> Common<'_> {
        let &BinaryMatmul { scales, bias, activation, output, .. } = self;
        let with = With { zeros: [false; 2], scales, bias };
        Common { op: BINARY_MATMUL, weight: Some(&self.weight), with, activation, output }
    }
}

impl Op for BinaryMatmul {
    fn name(&self) -> &'static str {
        BINARY_MATMUL
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let op = BINARY_MATMUL;
        self.common().expect_signs(&self.weight, inputs)?;
        let &[n, k] = &self.weight.shape[..] else {
            return Err(Error::Rank { op, operand: "weight", expected: "2", found: self.weight.shape.len() });
        };
        let mut shape = inputs[0].shape.clone();
        match shape.last_mut() {
            Some(last) if *last == k => *last = n,
            _ => {
                let detail = format!("x {:?} does not fit the weight {:?}", inputs[0].shape, self.weight.shape);
                return Err(Error::Shape { op, detail });
            }
        }
        expect_addressable(op, "output", &shape)?;
        Ok(vec![Layout::new(&shape, self.output.dtype())])
    }

    fn problem(&self, inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        let [n, k] = self.weight.matrix()?;
        let m = count(&inputs[0].shape[..inputs[0].shape.len() - 1]);
        let sizes = Sizes { batch: Vec::new(), m, n, k };
        let pitch = pitch(k, Words::Signs.values());
        let mut sides = self.common().sides(inputs, n);
        let (codes, batch) = (Codes::Floats(inputs[0].dtype), Vec::new());
        let (from, to) = (along(&[], m, k), along(&[], m, pitch));
        sides[0].pack = Some(PackWords { codes, batch, outer: m, k, words: pitch, from, to });
        for (side, size) in sides.iter_mut().zip([m, n]) {
            terms(side, false, Vec::new(), size, (0, u32::MAX));
        }
        let contraction = product(&sizes, pitch, &sides, inputs.len(), self.common().ending(Words::Signs));
        Ok(Problem::Integer(Box::new(products(contraction, sides, None, None))))
    }
}

/// A convolution with weights of one bit: what `Conv2d` computes of the signs of x and those of the weight, times both scales. What lies
/// around an image counts as 0 does, +1.
///
/// Inputs: `x` of shape `(n, c, h, w)`, f32 or f16, whose signs count; the plane of values of a binary [`QuantLayout`] `(o, c / groups, kh, kw)`; and
/// those that are said to be there, as of [`BinaryMatmul`]; the bias is `(o)`. Output: `(n, o, p, q)`.
#[derive(Clone, Debug, PartialEq)]
pub struct BinaryConv2d {
    /// Step of the kernel, down and across.
    pub stride: [usize; 2],
    /// What lies around the image.
    pub padding: Padding,
    /// Distance of the kernel's taps, down and across.
    pub dilation: [usize; 2],
    /// Parts that the channels fall into.
    pub groups: usize,
    /// Of the weight.
    pub weight: QuantLayout,
    /// Whether there are scales of x, and of the weight.
    pub scales: [bool; 2],
    /// Whether there is a bias.
    pub bias: bool,
    /// Applied last.
    pub activation: Activation,
    /// Sums, or floats.
    pub output: IntegerOutput,
}

const BINARY_CONV: &str = "binary_conv2d";

impl BinaryConv2d {
    pub(crate) fn common(&self) -> Common<'_> {
        let &BinaryConv2d { scales, bias, activation, output, .. } = self;
        let with = With { zeros: [false; 2], scales, bias };
        Common { op: BINARY_CONV, weight: Some(&self.weight), with, activation, output }
    }

    /// The geometry.
    pub(crate) fn conv(&self) -> Conv2d {
        let BinaryConv2d { stride, padding, dilation, groups, .. } = *self;
        Conv2d { stride, padding, dilation, groups, ..Default::default() }
    }
}

impl Op for BinaryConv2d {
    fn name(&self) -> &'static str {
        BINARY_CONV
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        self.common().expect_signs(&self.weight, inputs)?;
        let shape = ConvSizes::of(BINARY_CONV, &inputs[0], &self.weight.shape, self.groups)?.output(&self.conv())?;
        Ok(vec![conv_output(shape, self.output)])
    }

    fn problem(&self, inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        let sizes = ConvSizes::of(BINARY_CONV, &inputs[0], &self.weight.shape, self.groups)?;
        let [x, weight] = self.common().sides(inputs, sizes.weight[0]);
        let mut sides = [weight, x];
        sides[0].pack = Some(sizes.pack_weight(Codes::Bits, Words::Signs, 32 * self.weight.pitch()?));
        sides[1].pack = Some(sizes.pack_image(Codes::Floats(inputs[0].dtype), Words::Signs, self.groups));
        let ending = self.common().ending(Words::Signs);
        let problem = sizes.problem(&self.conv(), sides, (inputs.len(), Fill::Number(0)), ending)?;
        Ok(Problem::Integer(Box::new(problem)))
    }
}
