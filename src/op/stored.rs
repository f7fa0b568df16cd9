//! Products and convolutions whose weights lie in planes, whatever the format: the dense op, with the planes in the weights' place.

use crate::error::{Error, Result};
use crate::family::contraction::Contraction;
use crate::family::stored::with_planes;
use crate::layout::{DType, Layout};
use crate::op::conv2d::Conv2d;
use crate::op::matmul::Matmul;
use crate::op::precision::FLOATS;
use crate::op::{Op, expect_dtype, expect_inputs};

/// Weights that lie in planes.
pub(crate) trait Planes {
    /// Shape of the weights.
    fn shape(&self) -> &[usize];

    /// The layouts of the planes.
    fn planes(&self) -> Result<Vec<Layout>>;

    /// Refuses planes that are not those of the weights.
    fn expect(&self, op: &'static str, planes: &[Layout]) -> Result<()>;

    /// The type that the dense op takes them to have, beside x of this one.
    fn dense_dtype(&self, x: DType) -> DType;
}

/// The inputs of an op: x, the planes, perhaps an addend. Returns the layout of the dense weights and the addend's number.
fn expect_stored(op: &'static str, weight: &impl Planes, inputs: &[Layout]) -> Result<(Layout, Option<usize>)> {
    let planes = weight.planes()?.len();
    expect_inputs(op, inputs, 1 + planes..=2 + planes)?;
    weight.expect(op, &inputs[1..=planes])?;
    expect_dtype(op, "x", &inputs[0], FLOATS)?;
    let dense = Layout::new(weight.shape(), weight.dense_dtype(inputs[0].dtype));
    Ok((dense, (inputs.len() > planes + 1).then_some(planes + 1)))
}

/// A matrix product with weights in planes.
pub(crate) struct StoredMatmul<'a, W> {
    pub op: &'static str,
    pub weight: &'a W,
    pub linear: bool,
    pub options: Matmul,
}

impl<W: Planes> StoredMatmul<'_, W> {
    /// The dense op, whose operands are x and the weights in its order.
    pub fn dense(&self) -> Matmul {
        Matmul { transpose_b: self.linear, ..self.options }
    }

    /// The dense op's inputs: layouts or tensors.
    pub fn dense_inputs<T: Clone>(&self, x: &T, weight: T, c: Option<&T>) -> Vec<T> {
        let [a, b] = if self.linear { [x.clone(), weight] } else { [weight, x.clone()] };
        [Some(a), Some(b), c.cloned()].into_iter().flatten().collect()
    }

    pub fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let op = self.op;
        if self.options.transpose_a || self.options.transpose_b {
            let requirement = "false: the weights lie as they are, and `linear` puts them on the right";
            return Err(Error::Option { op, option: "transpose", value: "true".into(), requirement });
        }
        if self.weight.shape().len() != 2 {
            let (expected, found) = ("2", self.weight.shape().len());
            return Err(Error::Rank { op, operand: "weights", expected, found });
        }
        let (weight, addend) = expect_stored(op, self.weight, inputs)?;
        self.dense().infer(&self.dense_inputs(&inputs[0], weight, addend.map(|number| &inputs[number])))
    }

    /// The dense op's contraction, with the weights on the left.
    pub fn contraction(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Contraction> {
        let (weight, addend) = expect_stored(self.op, self.weight, inputs)?;
        let dense = self.dense_inputs(&inputs[0], weight, addend.map(|number| &inputs[number]));
        with_planes(self.op, self.dense().problem(&dense, outputs)?, self.linear, addend)
    }
}

/// A convolution with filters in planes.
pub(crate) struct StoredConv2d<'a, W> {
    pub op: &'static str,
    pub weight: &'a W,
    pub options: &'a Conv2d,
}

impl<W: Planes> StoredConv2d<'_, W> {
    /// The dense op's inputs: layouts or tensors.
    pub fn dense_inputs<T: Clone>(&self, x: &T, weight: T, bias: Option<&T>) -> Vec<T> {
        [Some(x.clone()), Some(weight), bias.cloned()].into_iter().flatten().collect()
    }

    pub fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let (weight, addend) = expect_stored(self.op, self.weight, inputs)?;
        self.options.infer(&self.dense_inputs(&inputs[0], weight, addend.map(|number| &inputs[number])))
    }

    /// The dense op's contraction.
    pub fn contraction(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Contraction> {
        let (weight, addend) = expect_stored(self.op, self.weight, inputs)?;
        let dense = self.dense_inputs(&inputs[0], weight, addend.map(|number| &inputs[number]));
        with_planes(self.op, self.options.problem(&dense, outputs)?, false, addend)
    }
}
