//! Convolution over images.

use crate::error::{Error, Result};
use crate::family::contraction::whole::Fill;
use crate::family::contraction::{Addend, Addressing, Contraction, Operand, Residual, Target, Windows};
use crate::layout::{DType, Layout};
use crate::op::activation::Activation;
use crate::op::precision::{self, FLOATS, Precision};
use crate::op::{Op, expect_addressable, expect_dtype, expect_inputs, expect_rank};
use crate::problem::Problem;
use crate::reference::Twin;

/// Rows and columns of zeros around an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Columns to the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// As many rows above as below, and as many columns left as right.
    pub const fn symmetric(vertical: usize, horizontal: usize) -> Self {
        Padding { top: vertical, left: horizontal, bottom: vertical, right: horizontal }
    }

    /// The same on all four sides.
    pub const fn all(size: usize) -> Self {
        Padding::symmetric(size, size)
    }
}

/// `activation(bias[o] + residual[n, o, p, q] + sum over c, r, s of x[n, c, p * stride + r * dilation - padding, ..] * weight[o, c, r, s])`:
/// the convolution of `torch.nn.functional.conv2d` (a cross-correlation: the kernel is not mirrored).
///
/// Inputs, f32 or f16 each: `x` of shape `(n, c, h, w)`, `weight` of shape `(o, c / groups, kh, kw)`, perhaps `bias` of shape
/// `(o)`, and perhaps a `residual` of the output's shape, which is added before the activation. Output: `(n, o, p, q)` with `p = (h + top + bottom - dilation * (kh - 1) - 1) / stride + 1`, rounded down, and `q`
/// alike. With groups, output channels `i * o / groups ..` sum over input channels `i * c / groups ..` only; `groups = c` is
/// a depthwise convolution. Padding may exceed the kernel. Sizes `n` and `o` may be 0; with `c = 0` the sum is 0. Sums are f32,
/// whatever the types; the output is f16 where `x` and `weight` are, else f32, unless `output` says otherwise.
///
/// NaN and infinity go by IEEE through products and sums; the padding takes part as zeros, so an infinite or NaN weight
/// over it makes NaN. A device may do otherwise: [`verify::specials`](crate::verify::specials) tells.
///
/// Computed as an implicit matrix product: weight by windows, the windows never being stored. With
/// [`Precision::Winograd`] windows of 3 x 3 at a stride of 1 may take Winograd's method instead, and infinities and NaN then
/// reach the whole tile.
///
/// ```no_run
/// use tilewise::{Activation, Conv2d, Gpu, Padding};
/// let gpu = Gpu::new()?;
/// let image = gpu.tensor(&[1, 3, 8, 8], &[1.0f32; 192])?;
/// let weight = gpu.tensor(&[4, 3, 3, 3], &[0.5f32; 108])?;
/// let conv = Conv2d { stride: [2, 2], padding: Padding::all(1), activation: Activation::Relu, ..Default::default() };
/// let y = gpu.conv2d(&conv, &image, &weight, None)?;
/// assert_eq!(y.shape(), [1, 4, 4, 4]);
/// # Ok::<(), tilewise::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2d {
    /// Step of the kernel, down and across.
    pub stride: [usize; 2],
    /// Zeros around the image.
    pub padding: Padding,
    /// Distance of the kernel's taps, down and across.
    pub dilation: [usize; 2],
    /// Parts that the channels fall into.
    pub groups: usize,
    /// Applied last.
    pub activation: Activation,
    /// Whether factors may be rounded, for speed.
    pub precision: Precision,
    /// The type of the output, f32 or f16.
    pub output: Option<DType>,
}

impl Default for Conv2d {
    /// Stride 1, no padding, dilation 1, one group, no activation, f32 precision.
    fn default() -> Self {
        Conv2d {
            stride: [1; 2],
            padding: Padding::default(),
            dilation: [1; 2],
            groups: 1,
            activation: Activation::None,
            precision: Precision::F32,
            output: None,
        }
    }
}

const OP: &str = "conv2d";

/// The largest side of an image with all that is around it: positions are counted in 31 bits and a sign.
const SIDE: usize = i32::MAX as usize;

/// Refuses strides, dilations and groups of 0.
pub(super) fn check_options(op: &'static str, stride: [usize; 2], dilation: [usize; 2], groups: usize) -> Result<()> {
    for (option, values) in [("stride", stride), ("dilation", dilation)] {
        if values.contains(&0) {
            return Err(Error::Option { op, option, value: format!("{values:?}"), requirement: "must be at least 1" });
        }
    }
    if groups == 0 {
        return Err(Error::Option { op, option: "groups", value: "0".into(), requirement: "must be at least 1" });
    }
    Ok(())
}

/// Refuses operands of the wrong number, type or rank, and empty images and kernels. After the bias, what follows is left alone.
pub(super) fn check_operands(op: &'static str, inputs: &[Layout]) -> Result<()> {
    for ((name, rank, words), layout) in [("x", 4, "4"), ("weight", 4, "4"), ("bias", 1, "1")].into_iter().zip(inputs) {
        expect_dtype(op, name, layout, FLOATS)?;
        expect_rank(op, name, layout, rank, words)?;
        expect_addressable(op, name, &layout.shape)?;
    }
    for (what, layout) in ["image of x", "kernel of weight"].iter().zip(inputs) {
        if layout.shape[2..].contains(&0) {
            return Err(Error::Shape { op, detail: format!("the {what} {:?} is empty", layout.shape) });
        }
    }
    Ok(())
}

/// The inputs up to the bias, and the residual: of three, a third of four dimensions is no bias.
fn split(inputs: &[Layout]) -> (&[Layout], Option<&Layout>) {
    match inputs {
        [operands @ .., residual] if inputs.len() == 4 || (inputs.len() == 3 && residual.shape.len() == 4) => {
            (operands, Some(residual))
        }
        _ => (inputs, None),
    }
}

/// Refuses a residual of another type or shape than an output has.
pub(super) fn check_residual(op: &'static str, residual: Option<&Layout>, output: &[usize]) -> Result<()> {
    let Some(residual) = residual else { return Ok(()) };
    expect_dtype(op, "residual", residual, FLOATS)?;
    if residual.shape == output {
        return Ok(());
    }
    Err(Error::Shape { op, detail: format!("residual {:?} is not of the output's shape {output:?}", residual.shape) })
}

/// Refuses channels that groups do not divide.
pub(super) fn check_groups(op: &'static str, groups: usize, channels: &[(&str, usize)]) -> Result<()> {
    for (what, channels) in channels {
        if channels % groups != 0 {
            return Err(Error::Shape {
                op,
                detail: format!("groups = {groups} does not divide {channels} {what} channels"),
            });
        }
    }
    Ok(())
}

pub(super) fn check_bias(op: &'static str, inputs: &[Layout], channels: usize) -> Result<()> {
    match inputs.get(2) {
        Some(bias) if bias.shape != [channels] => {
            Err(Error::Shape { op, detail: format!("bias {:?} does not fit {channels} output channels", bias.shape) })
        }
        _ => Ok(()),
    }
}

/// Refuses sides that cannot be counted.
pub(super) fn expect_side(op: &'static str, side: Option<usize>) -> Result<usize> {
    side.filter(|&side| side <= SIDE).ok_or_else(|| Error::Limit {
        op: op.into(),
        limit: "i32 position",
        needed: side.map_or(u64::MAX, |side| side as u64),
        available: SIDE as u64,
        hint: "the image with its padding is too large",
    })
}

/// Values above a side never matter: such a stride takes no second step, such a dilation has no second tap.
pub(super) fn clamp(values: [usize; 2]) -> [usize; 2] {
    values.map(|value| value.min(SIDE))
}

/// The bias as a convolution's addend: a value for each row, that is for each output channel of a group.
pub(super) fn bias(inputs: &[Layout], batch: Vec<usize>) -> Option<Addend> {
    inputs.get(2).map(|bias| Addend { input: 2, dtype: bias.dtype, batch, row: 1, column: 0, beta: 1.0 })
}

impl Conv2d {
    /// Height or width of the output.
    fn side(&self, axis: usize, input: usize, kernel: usize) -> Result<usize> {
        let Padding { top, left, bottom, right } = self.padding;
        let (before, after) = [(top, bottom), (left, right)][axis];
        let padded = expect_side(OP, input.checked_add(before).and_then(|sum| sum.checked_add(after)))?;
        let reach = (kernel - 1).checked_mul(self.dilation[axis]).and_then(|reach| reach.checked_add(1));
        match reach {
            Some(reach) if reach <= padded => Ok((padded - reach) / self.stride[axis] + 1),
            _ => Err(Error::Shape {
                op: OP,
                detail: format!(
                    "kernel {kernel} with dilation {} is larger than the padded {} {padded}",
                    self.dilation[axis],
                    ["height", "width"][axis]
                ),
            }),
        }
    }
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        OP
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        self.activation.expect(OP)?;
        check_options(OP, self.stride, self.dilation, self.groups)?;
        expect_inputs(OP, inputs, 2..=4)?;
        let (operands, residual) = split(inputs);
        check_operands(OP, operands)?;
        let (x, weight) = (&inputs[0].shape, &inputs[1].shape);
        check_groups(OP, self.groups, &[("input", x[1]), ("output", weight[0])])?;
        if x[1] / self.groups != weight[1] {
            let detail = format!(
                "x {x:?} in {} groups has {} channels each, weight {weight:?} has {}",
                self.groups,
                x[1] / self.groups,
                weight[1]
            );
            return Err(Error::Shape { op: OP, detail });
        }
        check_bias(OP, operands, weight[0])?;
        let shape = [x[0], weight[0], self.side(0, x[2], weight[2])?, self.side(1, x[3], weight[3])?];
        expect_addressable(OP, "output", &shape)?;
        check_residual(OP, residual, &shape)?;
        Ok(vec![Layout::new(&shape, precision::output(OP, self.output, inputs)?)])
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        let (operands, residual) = split(inputs);
        let ([x, weight], out) = ([&inputs[0].shape, &inputs[1].shape], &outputs[0].shape);
        let (images, channels, pixels_in, pixels) = (x[0], x[1], x[2] * x[3], out[2] * out[3]);
        let (rows, summed) = (out[1] / self.groups, channels / self.groups);
        let k = summed * weight[2] * weight[3];
        // A 1x1 kernel at every pixel is a plain matrix product for each image.
        let pointwise = weight[2..] == [1, 1] && self.stride == [1; 2] && self.padding == Padding::default();
        let per_group = [rows * k, summed * pixels_in, rows * pixels, rows];
        let per_image = [0, channels * pixels_in, out[1] * pixels, 0];
        let [a, b, target, addend] =
            [0, 1, 2, 3].map(|i| if pointwise { vec![per_image[i], per_group[i]] } else { vec![per_group[i]] });
        let b = if pointwise {
            Addressing::Dense { batch: b, outer: 1, k: pixels_in, taps: 1 }
        } else {
            Addressing::Windows(Windows {
                batch: b,
                image: channels * pixels_in,
                channels: summed,
                input: [x[2], x[3]],
                output: [out[2], out[3]],
                kernel: [weight[2], weight[3]],
                stride: clamp(self.stride),
                dilation: clamp(self.dilation),
                padding: [self.padding.top, self.padding.left],
                transposed: false,
                fill: Fill::Number(0),
            })
        };
        Ok(Problem::Contraction(Box::new(Contraction {
            batch: if pointwise { vec![images, self.groups] } else { vec![self.groups] },
            m: rows,
            n: if pointwise { pixels } else { images * pixels },
            k,
            a: Operand {
                input: 1,
                dtype: inputs[1].dtype,
                addressing: Addressing::Dense { batch: a, outer: k, k: 1, taps: 1 },
            },
            b: Operand { input: 0, dtype: inputs[0].dtype, addressing: b },
            out: Target {
                dtype: outputs[0].dtype,
                batch: target,
                row: pixels,
                columns: (!pointwise).then_some((pixels, out[1] * pixels)),
            },
            alpha: 1.0,
            addend: bias(operands, addend),
            residual: residual.map(|layout| Residual { input: operands.len(), dtype: layout.dtype }),
            activation: self.activation,
            precision: self.precision,
            whole: None,
        })))
    }
}
