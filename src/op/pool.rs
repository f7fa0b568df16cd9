//! Pooling over windows of the last two dimensions.

use crate::error::{Error, Result};
use crate::family::window::{Pooling, Window};
use crate::layout::{DType, Layout};
use crate::op::{Op, expect_dtype, expect_inputs, expect_rank};
use crate::problem::Problem;

/// The largest value of each window: PyTorch's `max_pool2d`.
///
/// Input x (N, C, H, W) f32, output (N, C, P, Q) f32, and with `return_indices` a second output of u32: where in its H x W
/// plane each maximum lies. Windows are clipped to the plane, so padding never wins, not even over negative infinity. NaN
/// wins over numbers; of equal values, and of several NaN, the first one's index is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2d {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Distance of windows, down and across.
    pub stride: [usize; 2],
    /// Padding at top, left, bottom, right. Every window has to keep an element of the plane.
    pub padding: [usize; 4],
    /// Distance of a window's elements.
    pub dilation: [usize; 2],
    /// Whether a last window that reaches beyond the padded plane counts, if it starts inside.
    pub ceil_mode: bool,
    /// Whether to give indices as a second output.
    pub return_indices: bool,
}

impl Default for MaxPool2d {
    /// 2 x 2 windows side by side, no padding.
    fn default() -> Self {
        MaxPool2d {
            kernel: [2, 2],
            stride: [2, 2],
            padding: [0; 4],
            dilation: [1, 1],
            ceil_mode: false,
            return_indices: false,
        }
    }
}

/// The mean of each window: PyTorch's `avg_pool2d`.
///
/// Input x (N, C, H, W) f32, output (N, C, P, Q) f32. NaN and infinity go by IEEE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool2d {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Distance of windows, down and across.
    pub stride: [usize; 2],
    /// Padding with zeros at top, left, bottom, right. Every window has to keep an element of the plane.
    pub padding: [usize; 4],
    /// Whether a last window that reaches beyond the padded plane counts, if it starts inside.
    pub ceil_mode: bool,
    /// Whether padding counts in the divisor; what lies beyond the padding never does.
    pub count_include_pad: bool,
    /// A divisor for all windows instead.
    pub divisor_override: Option<usize>,
}

impl Default for AvgPool2d {
    /// 2 x 2 windows side by side, no padding, which would count.
    fn default() -> Self {
        AvgPool2d {
            kernel: [2, 2],
            stride: [2, 2],
            padding: [0; 4],
            ceil_mode: false,
            count_include_pad: true,
            divisor_override: None,
        }
    }
}

/// The mean of windows that share the plane evenly: PyTorch's `adaptive_avg_pool2d`; with output `[1, 1]`, global pooling.
///
/// Input x (N, C, H, W) f32, output (N, C, P, Q) f32: window p reaches from floor(p H / P) to ceil((p + 1) H / P).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveAvgPool2d {
    /// P and Q.
    pub output: [usize; 2],
}

/// The largest value of windows that share the plane evenly: PyTorch's `adaptive_max_pool2d`; with output `[1, 1]`, global
/// pooling. Shapes as [`AdaptiveAvgPool2d`], NaN as [`MaxPool2d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveMaxPool2d {
    /// P and Q.
    pub output: [usize; 2],
}

impl Default for AdaptiveAvgPool2d {
    /// Global pooling.
    fn default() -> Self {
        AdaptiveAvgPool2d { output: [1, 1] }
    }
}

impl Default for AdaptiveMaxPool2d {
    /// Global pooling.
    fn default() -> Self {
        AdaptiveMaxPool2d { output: [1, 1] }
    }
}

/// The geometry of strided windows.
struct Strided {
    op: &'static str,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 4],
    dilation: [usize; 2],
    ceil_mode: bool,
}

impl Strided {
    /// The size of the output along a side (0 down, 1 across).
    fn out(&self, side: usize, size: usize) -> Result<usize> {
        let refuse = |option, value: usize, requirement| {
            Err(Error::Option { op: self.op, option, value: value.to_string(), requirement })
        };
        let (kernel, stride, dilation) = (self.kernel[side], self.stride[side], self.dilation[side]);
        for (option, value) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
            if value == 0 {
                return refuse(option, 0, "it has to be at least 1");
            }
        }
        let (before, after) = (self.padding[side], self.padding[side + 2]);
        let reach = (kernel - 1).checked_mul(dilation).and_then(|reach| reach.checked_add(1));
        let padded = size.checked_add(before).and_then(|sum| sum.checked_add(after));
        let (Some(reach), Some(padded)) = (reach, padded) else {
            return refuse("padding", before.max(after), "sizes overflow");
        };
        if reach > padded {
            let detail = format!("a window of {reach} (dilated) does not fit into {padded} (padded)");
            return Err(Error::Shape { op: self.op, detail });
        }
        if padded > u32::MAX as usize {
            return Err(Error::Limit {
                op: self.op.into(),
                limit: "u32 index",
                needed: padded as u64,
                available: u32::MAX.into(),
                hint: "use smaller planes, padding or dilation",
            });
        }
        // One element alone has no distance: what is larger than the plane is as good as any.
        let dilation = dilation.min(padded);
        let room = padded - reach;
        let mut out = if self.ceil_mode { room.div_ceil(stride) } else { room / stride } + 1;
        // PyTorch: the last window has to start in the plane or in the padding before it.
        if self.ceil_mode && (out - 1) * stride >= size + before {
            out -= 1;
        }
        let holds = |at: usize| {
            let start = at * stride;
            let first = start + before.saturating_sub(start).div_ceil(dilation) * dilation;
            first < before + size && first < start + reach
        };
        // Where the elements of a window lie no further apart than the plane is wide, only the first and the last window
        // can miss it. Else any that starts before the plane can; in a multiple of the dilation they repeat.
        let early = if dilation <= size { 1 } else { before.div_ceil(stride).min(dilation).clamp(1, out) };
        if !(0..early).all(holds) || !holds(out - 1) {
            return refuse("padding", before.max(after), "a window holds padding only");
        }
        Ok(out)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<usize>> {
        let shape = planes(self.op, inputs)?;
        Ok(vec![shape[0], shape[1], self.out(0, shape[2])?, self.out(1, shape[3])?])
    }

    fn window(&self, pooling: Pooling, inputs: &[Layout], outputs: &[Layout]) -> Problem {
        Problem::Window(Window {
            kernel: self.kernel,
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            ..evenly(pooling, inputs, outputs, false)
        })
    }
}

/// Checks the input, and that there is something to pool.
fn planes<'a>(op: &'static str, inputs: &'a [Layout]) -> Result<&'a [usize]> {
    expect_inputs(op, inputs, 1..=1)?;
    expect_dtype(op, "x", &inputs[0], &[DType::F32])?;
    expect_rank(op, "x", &inputs[0], 4, "4 (n, c, h, w)")?;
    let shape = &inputs[0].shape;
    if shape[2] == 0 || shape[3] == 0 {
        return Err(Error::Shape { op, detail: format!("x {shape:?} has empty planes") });
    }
    Ok(shape)
}

/// The problem of windows that share the plane, and the common part of the strided one.
fn evenly(pooling: Pooling, inputs: &[Layout], outputs: &[Layout], adaptive: bool) -> Window {
    let (x, y) = (&inputs[0].shape, &outputs[0].shape);
    Window {
        pooling,
        planes: x[0] * x[1],
        size: [x[2], x[3]],
        out: [y[2], y[3]],
        kernel: [1, 1],
        stride: [1, 1],
        padding: [0; 4],
        dilation: [1, 1],
        adaptive,
    }
}

impl MaxPool2d {
    fn strided(&self) -> Strided {
        let MaxPool2d { kernel, stride, padding, dilation, ceil_mode, .. } = *self;
        Strided { op: "max_pool2d", kernel, stride, padding, dilation, ceil_mode }
    }
}

impl Op for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let shape = self.strided().infer(inputs)?;
        let mut outputs = vec![Layout::new(&shape, DType::F32)];
        outputs.extend(self.return_indices.then(|| Layout::new(&shape, DType::U32)));
        Ok(outputs)
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        Ok(self.strided().window(Pooling::Max, inputs, outputs))
    }
}

impl AvgPool2d {
    fn strided(&self) -> Strided {
        let AvgPool2d { kernel, stride, padding, ceil_mode, .. } = *self;
        Strided { op: "avg_pool2d", kernel, stride, padding, dilation: [1, 1], ceil_mode }
    }
}

impl Op for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        if self.divisor_override == Some(0) {
            let requirement = "it has to be at least 1";
            return Err(Error::Option { op: self.name(), option: "divisor_override", value: "0".into(), requirement });
        }
        Ok(vec![Layout::new(&self.strided().infer(inputs)?, DType::F32)])
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        let pooling = Pooling::Average { count_padding: self.count_include_pad, divisor: self.divisor_override };
        Ok(self.strided().window(pooling, inputs, outputs))
    }
}

fn infer_evenly(op: &'static str, output: [usize; 2], inputs: &[Layout]) -> Result<Vec<Layout>> {
    let shape = planes(op, inputs)?;
    Ok(vec![Layout::new(&[shape[0], shape[1], output[0], output[1]], DType::F32)])
}

impl Op for AdaptiveAvgPool2d {
    fn name(&self) -> &'static str {
        "adaptive_avg_pool2d"
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        infer_evenly(self.name(), self.output, inputs)
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        let pooling = Pooling::Average { count_padding: false, divisor: None };
        Ok(Problem::Window(evenly(pooling, inputs, outputs, true)))
    }
}

impl Op for AdaptiveMaxPool2d {
    fn name(&self) -> &'static str {
        "adaptive_max_pool2d"
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        infer_evenly(self.name(), self.output, inputs)
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        Ok(Problem::Window(evenly(Pooling::Max, inputs, outputs, true)))
    }
}
