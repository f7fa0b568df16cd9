//! Transposed convolution over images.

use crate::error::{Error, Result};
use crate::family::contraction::whole::Fill;
use crate::family::contraction::{Addressing, Contraction, Operand, Target, Windows};
use crate::layout::Layout;
use crate::op::activation::Activation;
use crate::op::conv2d::{Padding, bias, check_bias, check_groups, check_operands, check_options, clamp, expect_side};
use crate::op::precision::{self, Precision};
use crate::op::{Op, expect_addressable, expect_inputs};
use crate::problem::Problem;
use crate::reference::Twin;

/// The transposed convolution of `torch.nn.functional.conv_transpose2d`, the gradient of [`Conv2d`](crate::Conv2d) by
/// its input: every value of `x` adds its multiple of the kernel to the output, at a distance of `stride`.
///
/// `out[n, o, y, ..] = activation(bias[o] + sum over c, i, r with i * stride + r * dilation - top = y, .. of
/// x[n, c, i, ..] * weight[c, o, r, ..])`.
///
/// Inputs, f32 or f16 each: `x` of shape `(n, c, h, w)`, `weight` of shape `(c, o / groups, kh, kw)`, and perhaps `bias` of shape
/// `(o)`. Output: `(n, o, p, q)` with `p = (h - 1) * stride - top - bottom + dilation * (kh - 1) + output_padding + 1`, and
/// `q` alike. Padding is cut off the output, `output_padding` adds rows below and columns to the right; it must be less than
/// the stride or the dilation. Sizes `n` and `o` may be 0; with `c = 0` the sum is 0. Sums are f32, whatever the types; the output
/// is f16 where `x` and `weight` are, else f32.
///
/// NaN and infinity go by IEEE through products and sums. Taps between the values of `x` take part as zeros, so an
/// infinite or NaN weight there makes NaN, where scattering would not meet it. A device may do otherwise:
/// [`verify::specials`](crate::verify::specials) tells.
///
/// ```no_run
/// use tilewise::{ConvTranspose2d, Gpu};
/// let gpu = Gpu::new()?;
/// let x = gpu.tensor(&[1, 2, 4, 4], &[1.0f32; 32])?;
/// let weight = gpu.tensor(&[2, 3, 2, 2], &[0.5f32; 24])?;
/// let upsample = ConvTranspose2d { stride: [2, 2], ..Default::default() };
/// assert_eq!(gpu.conv_transpose2d(&upsample, &x, &weight, None)?.shape(), [1, 3, 8, 8]);
/// # Ok::<(), tilewise::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvTranspose2d {
    /// Distance in the output of neighbours in the input, down and across.
    pub stride: [usize; 2],
    /// Rows and columns cut off the output.
    pub padding: Padding,
    /// Rows and columns added below and to the right.
    pub output_padding: [usize; 2],
    /// Distance of the kernel's taps, down and across.
    pub dilation: [usize; 2],
    /// Parts that the channels fall into.
    pub groups: usize,
    /// Applied last.
    pub activation: Activation,
}

impl Default for ConvTranspose2d {
    /// Stride 1, no padding, dilation 1, one group, no activation.
    fn default() -> Self {
        ConvTranspose2d {
            stride: [1; 2],
            padding: Padding::default(),
            output_padding: [0; 2],
            dilation: [1; 2],
            groups: 1,
            activation: Activation::None,
        }
    }
}

const OP: &str = "conv_transpose2d";

impl ConvTranspose2d {
    /// Height or width of the output.
    fn side(&self, axis: usize, input: usize, kernel: usize) -> Result<usize> {
        let Padding { top, left, bottom, right } = self.padding;
        let (before, after) = [(top, bottom), (left, right)][axis];
        let stretched = (input - 1).checked_mul(self.stride[axis]);
        let reach = (kernel - 1).checked_mul(self.dilation[axis]);
        let whole = stretched.zip(reach).and_then(|(stretched, reach)| {
            stretched.checked_add(reach)?.checked_add(self.output_padding[axis])?.checked_add(1)
        });
        let whole = expect_side(OP, whole)?;
        match before.checked_add(after) {
            Some(cut) if cut < whole => Ok(whole - cut),
            _ => Err(Error::Shape {
                op: OP,
                detail: format!(
                    "padding {before} and {after} leaves nothing of the {} {whole}",
                    ["height", "width"][axis]
                ),
            }),
        }
    }
}

impl Op for ConvTranspose2d {
    fn name(&self) -> &'static str {
        OP
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        self.activation.expect(OP)?;
        check_options(OP, self.stride, self.dilation, self.groups)?;
        for axis in 0..2 {
            if self.output_padding[axis] >= self.stride[axis].max(self.dilation[axis]) {
                return Err(Error::Option {
                    op: OP,
                    option: "output_padding",
                    value: format!("{:?}", self.output_padding),
                    requirement: "must be less than the stride or the dilation",
                });
            }
        }
        expect_inputs(OP, inputs, 2..=3)?;
        check_operands(OP, inputs)?;
        let (x, weight) = (&inputs[0].shape, &inputs[1].shape);
        check_groups(OP, self.groups, &[("input", x[1])])?;
        if x[1] != weight[0] {
            let detail = format!("x {x:?} has {} channels, weight {weight:?} has {}", x[1], weight[0]);
            return Err(Error::Shape { op: OP, detail });
        }
        expect_addressable(OP, "output channels", &[weight[1], self.groups])?;
        let channels = weight[1] * self.groups;
        check_bias(OP, inputs, channels)?;
        let shape = [x[0], channels, self.side(0, x[2], weight[2])?, self.side(1, x[3], weight[3])?];
        expect_addressable(OP, "output", &shape)?;
        Ok(vec![Layout::new(&shape, precision::output(OP, None, inputs)?)])
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        let ([x, weight], out) = ([&inputs[0].shape, &inputs[1].shape], &outputs[0].shape);
        let (images, channels, pixels_in, pixels) = (x[0], x[1], x[2] * x[3], out[2] * out[3]);
        let (rows, summed, taps) = (weight[1], channels / self.groups, weight[2] * weight[3]);
        let batch = vec![summed * rows * taps];
        // Of one row, or of one tap, a filter's k has a single stride.
        let filter = if rows == 1 {
            Addressing::Dense { batch, outer: taps, k: 1, taps: 1 }
        } else {
            Addressing::Dense { batch, outer: taps, k: rows * taps, taps }
        };
        let windows = Windows {
            batch: vec![summed * pixels_in],
            image: channels * pixels_in,
            channels: summed,
            input: [x[2], x[3]],
            output: [out[2], out[3]],
            kernel: [weight[2], weight[3]],
            stride: clamp(self.stride),
            dilation: clamp(self.dilation),
            padding: [self.padding.top, self.padding.left],
            transposed: true,
            fill: Fill::Number(0),
        };
        Ok(Problem::Contraction(Box::new(Contraction {
            batch: vec![self.groups],
            m: rows,
            n: images * pixels,
            k: summed * taps,
            a: Operand { input: 1, dtype: inputs[1].dtype, addressing: filter },
            b: Operand { input: 0, dtype: inputs[0].dtype, addressing: Addressing::Windows(windows) },
            out: Target {
                dtype: outputs[0].dtype,
                batch: vec![rows * pixels],
                row: pixels,
                columns: Some((pixels, out[1] * pixels)),
            },
            alpha: 1.0,
            addend: bias(inputs, vec![rows]),
            residual: None,
            activation: self.activation,
            precision: Precision::F32,
            whole: None,
        })))
    }
}
