//! Functions of two tensors, element by element, with broadcasting.

use crate::error::{Error, Result};
use crate::family::map::{Argument, Function, Map, Part};
use crate::layout::{DType, Layout};
use crate::op::precision::{ELEMENTS, FLOATS};
use crate::op::{
    Op, broadcast, broadcast_strides, expect_addressable, expect_dtype, expect_inputs, merge_dims, strides,
};
use crate::problem::Problem;
use crate::reference::Twin;

/// A function of two elements. Of i32 and u32, sums and products wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BinaryKind {
    /// x + y
    #[default]
    Add,
    /// x - y
    Sub,
    /// x * y
    Mul,
    /// x / y; of whole numbers rounded towards 0, and x where y is 0 (and the lowest i32 divided by -1 is itself), as WGSL has it.
    Div,
    /// The larger. NaN wins, as in `torch.maximum`.
    Max,
    /// The smaller. NaN wins, as in `torch.minimum`.
    Min,
    /// x^y, f32 only, with the special cases of C's `pow`: 1 for y = 0, NaN for x < 0 and y that is not whole.
    Pow,
    /// x for x >= 0, else x * y, f32 only: PReLU with the slopes y (He et al., arXiv 1502.01852).
    Prelu,
}

impl BinaryKind {
    /// Every kind, for tests.
    pub const ALL: [BinaryKind; 8] = [
        BinaryKind::Add,
        BinaryKind::Sub,
        BinaryKind::Mul,
        BinaryKind::Div,
        BinaryKind::Max,
        BinaryKind::Min,
        BinaryKind::Pow,
        BinaryKind::Prelu,
    ];

    /// The number that the shaders know it by.
    pub(crate) fn code(self) -> u32 {
        match self {
            BinaryKind::Add => 0,
            BinaryKind::Sub => 1,
            BinaryKind::Mul => 2,
            BinaryKind::Div => 3,
            BinaryKind::Max => 4,
            BinaryKind::Min => 5,
            BinaryKind::Pow => 6,
            BinaryKind::Prelu => 7,
        }
    }

    fn dtypes(self) -> &'static [DType] {
        match self {
            BinaryKind::Pow | BinaryKind::Prelu => FLOATS,
            _ => ELEMENTS,
        }
    }
}

/// `out[i] = f(x[i], y[i])` with NumPy's broadcasting: shapes are aligned at their ends, and a size of 1 stretches.
///
/// Inputs `x` and `y`, both f32, f16 (computed in f32 and rounded), i32 or u32. Infinities and NaN go by IEEE's rules; a device may take numbers below 2^-126 for
/// 0. Refused: shapes that do not broadcast, different types, and, as [`Error::Limit`](crate::Error::Limit), more than 6
/// dimensions that remain after neighbours that broadcast alike were merged.
///
/// ```no_run
/// use tilewise::{Binary, BinaryKind, Gpu};
/// let gpu = Gpu::new()?;
/// let x = gpu.tensor(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0])?;
/// let y = gpu.tensor(&[2], &[10.0f32, 20.0])?;
/// let product = gpu.apply::<f32>(&Binary { kind: BinaryKind::Mul }, &[&x, &y])?;
/// assert_eq!(gpu.download(&product)?, [10.0, 40.0, 30.0, 80.0]);
/// # Ok::<(), tilewise::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Binary {
    /// The function.
    pub kind: BinaryKind,
}

const OP: &str = "binary";

impl Op for Binary {
    fn name(&self) -> &'static str {
        OP
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        expect_inputs(OP, inputs, 2..=2)?;
        expect_dtype(OP, "x", &inputs[0], self.kind.dtypes())?;
        expect_dtype(OP, "y", &inputs[1], &[inputs[0].dtype])?;
        let (x, y) = (&inputs[0].shape, &inputs[1].shape);
        let Some(shape) = broadcast(x, y) else {
            return Err(Error::Shape { op: OP, detail: format!("x {x:?} and y {y:?} do not broadcast") });
        };
        for (operand, shape) in [("x", x), ("y", y), ("output", &shape)] {
            expect_addressable(OP, operand, shape)?;
        }
        Ok(vec![Layout::new(&shape, inputs[0].dtype)])
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        let out = &outputs[0].shape;
        let operands: Vec<Vec<usize>> =
            (inputs.iter().map(|input| broadcast_strides(&input.shape, out))).chain([strides(out)]).collect();
        let (sizes, mut merged) = merge_dims(out, &operands);
        let strides = merged.pop().unwrap_or_default();
        let arguments = merged.into_iter().enumerate().map(|(i, strides)| Argument::strided(i, strides)).collect();
        let parts = vec![Part { sizes, arguments, start: 0, strides }];
        Ok(Problem::Map(Map { function: Function::Binary(self.kind), dtype: inputs[0].dtype, parts }))
    }
}
