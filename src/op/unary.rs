//! Functions of one tensor, element by element.

use crate::error::Result;
use crate::family::map::{Argument, Function, Map, Part};
use crate::layout::{DType, Layout};
use crate::op::activation::Activation;
use crate::op::precision::FLOATS;
use crate::op::{Op, expect_addressable, expect_dtype, expect_inputs};
use crate::problem::Problem;
use crate::reference::Twin;

/// A function of one element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UnaryKind {
    /// -x; floats and i32. The lowest i32 is its own negative.
    Neg,
    /// |x|; floats and i32. The lowest i32 is its own magnitude.
    Abs,
    /// -1, 0 or 1 by the sign of x; floats and i32. NaN gives NaN.
    Sign,
    /// e^x
    Exp,
    /// The natural logarithm; -inf of 0, NaN below it.
    Log,
    /// The square root; NaN below 0.
    Sqrt,
    /// 1 / sqrt(x); inf of 0, NaN below it.
    Rsqrt,
    /// 1 / x
    Reciprocal,
    /// The largest whole number that is not above x.
    Floor,
    /// The smallest whole number that is not below x.
    Ceil,
    /// The nearest whole number, of two the even one.
    Round,
    /// The error function, within 1.5e-7 (Abramowitz and Stegun 7.1.26).
    Erf,
    /// An activation function.
    Activation(Activation),
}

impl UnaryKind {
    /// Every kind, for tests, with [`Activation::Relu`] for the activations.
    pub const ALL: [UnaryKind; 13] = [
        UnaryKind::Neg,
        UnaryKind::Abs,
        UnaryKind::Sign,
        UnaryKind::Exp,
        UnaryKind::Log,
        UnaryKind::Sqrt,
        UnaryKind::Rsqrt,
        UnaryKind::Reciprocal,
        UnaryKind::Floor,
        UnaryKind::Ceil,
        UnaryKind::Round,
        UnaryKind::Erf,
        UnaryKind::Activation(Activation::Relu),
    ];

    /// The number that the shaders know it by.
    pub(crate) fn code(self) -> u32 {
        match self {
            UnaryKind::Activation(_) => 0,
            UnaryKind::Neg => 1,
            UnaryKind::Abs => 2,
            UnaryKind::Sign => 3,
            UnaryKind::Exp => 4,
            UnaryKind::Log => 5,
            UnaryKind::Sqrt => 6,
            UnaryKind::Rsqrt => 7,
            UnaryKind::Reciprocal => 8,
            UnaryKind::Floor => 9,
            UnaryKind::Ceil => 10,
            UnaryKind::Round => 11,
            UnaryKind::Erf => 12,
        }
    }

    fn dtypes(self) -> &'static [DType] {
        match self {
            UnaryKind::Neg | UnaryKind::Abs | UnaryKind::Sign => &[DType::F32, DType::F16, DType::I32],
            _ => FLOATS,
        }
    }
}

/// `out[i] = f(x[i])`, f32 or f16, for some functions i32; any shape. f16 is computed in f32 and rounded. NaN gives NaN, infinities go by IEEE's rules; a device may
/// take numbers below 2^-126 for 0.
///
/// ```no_run
/// use tilewise::{Gpu, Unary, UnaryKind};
/// let gpu = Gpu::new()?;
/// let x = gpu.tensor(&[3], &[1.0f32, 4.0, 9.0])?;
/// let y = gpu.apply::<f32>(&Unary { kind: UnaryKind::Sqrt }, &[&x])?;
/// assert_eq!(gpu.download(&y)?, [1.0, 2.0, 3.0]);
/// # Ok::<(), tilewise::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unary {
    /// The function.
    pub kind: UnaryKind,
}

impl Default for Unary {
    /// ReLU.
    fn default() -> Self {
        Unary { kind: UnaryKind::Activation(Activation::Relu) }
    }
}

impl From<Activation> for Unary {
    fn from(activation: Activation) -> Self {
        Unary { kind: UnaryKind::Activation(activation) }
    }
}

const OP: &str = "unary";

impl Op for Unary {
    fn name(&self) -> &'static str {
        OP
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        if let UnaryKind::Activation(activation) = self.kind {
            activation.expect(OP)?;
        }
        expect_inputs(OP, inputs, 1..=1)?;
        expect_dtype(OP, "x", &inputs[0], self.kind.dtypes())?;
        expect_addressable(OP, "x", &inputs[0].shape)?;
        Ok(vec![Layout::new(&inputs[0].shape, inputs[0].dtype)])
    }

    fn problem(&self, inputs: &[Layout], _: &[Layout]) -> Result<Problem> {
        let part = Part {
            sizes: vec![inputs[0].len()],
            arguments: vec![Argument::strided(0, vec![1])],
            start: 0,
            strides: vec![1],
        };
        Ok(Problem::Map(Map { function: Function::Unary(self.kind), dtype: inputs[0].dtype, parts: vec![part] }))
    }
}
