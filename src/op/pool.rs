//! Pooling over windows of the last two dimensions.

use crate::error::{Error, Result};
use crate::family::reduce::{Reduce, Task};
use crate::family::window::{Pooling, Window};
use crate::layout::{DType, Layout};
use crate::op::precision::{ELEMENTS, FLOATS};
use crate::op::{Op, expect_dtype, expect_inputs, expect_rank};
use crate::problem::Problem;
use crate::reference::Twin;

/// The largest value of each window: PyTorch's `max_pool2d`.
///
/// Input x (N, C, H, W) f32, f16, i32 or u32, output (N, C, P, Q) of its type, and with `return_indices` a second output of u32:
/// where in its H x W plane each maximum lies, as `row * W + column`. With the extent `E = (kernel - 1) * dilation + 1` along
/// a side, `P = floor((H + top + bottom - E) / stride) + 1`, and `Q` alike.
///
/// Windows are clipped to the plane: padding is no value, so it never wins, not even over negative infinity, and no index
/// points at it. A window with NaN gives NaN and the index of its first NaN (PyTorch gives its last one's); of equal values
/// the first one's index is given.
///
/// # Errors
/// [`Error::Option`] for a kernel, stride or dilation of 0, and for padding that leaves a window without an element;
/// [`Error::Shape`] for empty planes, and where no window fits; [`Error::Rank`], [`Error::DType`], [`Error::Count`]. Planning
/// gives [`Error::Limit`] for sides whose sum with the padding, or a window's extent, passes 2^32, and for a window of more
/// than some 60,000 elements, unless it is the whole plane.
///
/// ```
/// use tilewise::{DType, Layout, MaxPool2d, Op};
/// let pool = MaxPool2d { kernel: [3, 3], stride: Some([2, 2]), padding: [1; 4], ..Default::default() };
/// let pooled = pool.infer(&[Layout::new(&[1, 64, 112, 112], DType::F32)])?;
/// assert_eq!(pooled[0].shape, [1, 64, 56, 56]);
/// # Ok::<(), tilewise::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2d {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Distance of windows, down and across; `None` is the kernel: windows side by side.
    pub stride: Option<[usize; 2]>,
    /// Padding at top, left, bottom, right, each less than the window's extent. PyTorch permits half of it at the most.
    pub padding: [usize; 4],
    /// Distance of a window's elements.
    pub dilation: [usize; 2],
    /// Whether a last window that reaches beyond the padded plane counts, if it starts in the plane or in the padding
    /// before it.
    pub ceil_mode: bool,
    /// Whether to give indices as a second output.
    pub return_indices: bool,
}

impl Default for MaxPool2d {
    /// 2 x 2 windows side by side, no padding.
    fn default() -> Self {
        MaxPool2d {
            kernel: [2, 2],
            stride: None,
            padding: [0; 4],
            dilation: [1, 1],
            ceil_mode: false,
            return_indices: false,
        }
    }
}

/// The mean of each window: PyTorch's `avg_pool2d`.
///
/// Input x (N, C, H, W) f32 or f16 (added up in f32), output (N, C, P, Q) of its type, P and Q as in [`MaxPool2d`]. Each output is the sum of the window's
/// elements over a divisor, by default the number of its places within the padded plane. NaN and infinity go by IEEE: a
/// window with NaN, or with infinities of both signs, gives NaN.
///
/// # Errors
/// As [`MaxPool2d`], and [`Error::Option`] for a divisor of 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool2d {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Distance of windows, down and across; `None` is the kernel: windows side by side.
    pub stride: Option<[usize; 2]>,
    /// Padding with zeros at top, left, bottom, right, each less than the kernel. PyTorch permits half of it at the most.
    pub padding: [usize; 4],
    /// Whether a last window that reaches beyond the padded plane counts, if it starts in the plane or in the padding
    /// before it.
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
            stride: None,
            padding: [0; 4],
            ceil_mode: false,
            count_include_pad: true,
            divisor_override: None,
        }
    }
}

/// The mean of windows that share the plane evenly: PyTorch's `adaptive_avg_pool2d`; with output `[1, 1]`, global pooling.
///
/// Input x (N, C, H, W) f32 or f16 (added up in f32), output (N, C, P, Q) of its type: window p reaches from floor(p H / P) to ceil((p + 1) H / P). NaN and
/// infinity as in [`AvgPool2d`].
///
/// # Errors
/// [`Error::Shape`] for empty planes, [`Error::Rank`], [`Error::DType`], [`Error::Count`]. Planning gives [`Error::Limit`]
/// for H P or W Q beyond 2^32, and for a window of more than some 60,000 elements, unless it is the whole plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveAvgPool2d {
    /// P and Q.
    pub output: [usize; 2],
}

/// The largest value of windows that share the plane evenly: PyTorch's `adaptive_max_pool2d`; with output `[1, 1]`, global
/// pooling. Windows as in [`AdaptiveAvgPool2d`]; element types, indices and NaN as in [`MaxPool2d`].
///
/// # Errors
/// As [`AdaptiveAvgPool2d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveMaxPool2d {
    /// P and Q.
    pub output: [usize; 2],
    /// Whether to give indices as a second output.
    pub return_indices: bool,
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
        AdaptiveMaxPool2d { output: [1, 1], return_indices: false }
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
        let Some(extent) = (kernel - 1).checked_mul(dilation).and_then(|reach| reach.checked_add(1)) else {
            return refuse("dilation", dilation, "the window's extent overflows");
        };
        let Some(padded) = size.checked_add(before).and_then(|sum| sum.checked_add(after)) else {
            return refuse("padding", before.max(after), "the padded size overflows");
        };
        if before.max(after) >= extent {
            return refuse("padding", before.max(after), "it has to be less than the window's extent");
        }
        if extent > padded {
            let detail = format!("a window of {extent} (dilated) does not fit into {padded} (padded)");
            return Err(Error::Shape { op: self.op, detail });
        }
        let room = padded - extent;
        let mut out = if self.ceil_mode { room.div_ceil(stride) } else { room / stride } + 1;
        // PyTorch: the last window has to start in the plane or in the padding before it.
        if self.ceil_mode && (out - 1).saturating_mul(stride) >= size + before {
            out -= 1;
        }
        // Every window starts before the plane's end. One that starts in the plane holds that element, and one that starts
        // before it reaches into it, but if elements lie further apart than the plane is long it may step over it.
        if dilation > size && self.steps_over(side, size, out) {
            return refuse("dilation", dilation, "a window steps over the plane and holds padding only");
        }
        Ok(out)
    }

    /// Whether one of `out` windows whose elements lie further apart than the side is long holds none of the side's.
    fn steps_over(&self, side: usize, size: usize, out: usize) -> bool {
        let (before, stride) = (self.padding[side], self.stride[side]);
        let early = before.div_ceil(stride).min(out) as u128;
        let (before, stride, d, size) = (before as u128, stride as u128, self.dilation[side] as u128, size as u128);
        // The first element of the i-th window that is not in the padding before lies at (first + i stride) mod d. Of x
        // mod d, floor((x + d - size) / d) - floor(x / d) tells whether it is beyond the side.
        let first = (d - before % d) % d;
        floor_sum(early, d, stride, first + d - size) != floor_sum(early, d, stride, first)
    }

    /// The layout of the values that are given.
    fn infer(&self, inputs: &[Layout], among: &[DType]) -> Result<Layout> {
        let shape = planes(self.op, inputs, among)?;
        let out = [shape[0], shape[1], self.out(0, shape[2])?, self.out(1, shape[3])?];
        Ok(Layout::new(&out, inputs[0].dtype))
    }

    /// Whether the one window is the plane: a reduction then, which takes any size.
    fn is_plane(&self, inputs: &[Layout]) -> bool {
        // A dilated window is as large as the plane only along a side of one element.
        self.kernel == inputs[0].shape[2..] && self.padding == [0; 4]
    }

    fn window(&self, pooling: Pooling, inputs: &[Layout], outputs: &[Layout]) -> Problem {
        Problem::Window(Window {
            kernel: self.kernel,
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            adaptive: false,
            ..evenly(pooling, inputs, outputs)
        })
    }
}

/// The sum over i < n of floor((a i + b) / m), modulo 2^128, for numbers below 2^65 and m above 0, in as many steps as
/// Euclid's algorithm takes. Source: R. L. Graham, D. E. Knuth, O. Patashnik, Concrete Mathematics, section 3.5.
fn floor_sum(n: u128, m: u128, a: u128, b: u128) -> u128 {
    if n == 0 {
        return 0;
    }
    // 0 + 1 + ... + (n - 1), the even factor halved.
    let pairs = if n.is_multiple_of(2) { (n / 2).wrapping_mul(n - 1) } else { n.wrapping_mul((n - 1) / 2) };
    let whole = (a / m).wrapping_mul(pairs).wrapping_add((b / m).wrapping_mul(n));
    let last = (a % m) * n + b % m;
    if last < m { whole } else { whole.wrapping_add(floor_sum(last / m, a % m, m, last % m)) }
}

/// The outputs of a maximum: the values, and their indices if they are wanted.
fn with_indices(values: Layout, indices: bool) -> Vec<Layout> {
    let indices = indices.then(|| Layout::new(&values.shape, DType::U32));
    [values].into_iter().chain(indices).collect()
}

/// Checks the input, and that there is something to pool.
fn planes<'a>(op: &'static str, inputs: &'a [Layout], among: &[DType]) -> Result<&'a [usize]> {
    expect_inputs(op, inputs, 1..=1)?;
    expect_dtype(op, "x", &inputs[0], among)?;
    expect_rank(op, "x", &inputs[0], 4, "4 (n, c, h, w)")?;
    let shape = &inputs[0].shape;
    if shape[2] == 0 || shape[3] == 0 {
        return Err(Error::Shape { op, detail: format!("x {shape:?} has empty planes") });
    }
    Ok(shape)
}

/// The problem of windows that share the plane. Where they share it evenly, they stride over it.
fn evenly(pooling: Pooling, inputs: &[Layout], outputs: &[Layout]) -> Window {
    let (x, y) = (&inputs[0].shape, &outputs[0].shape);
    let (size, out) = ([x[2], x[3]], [y[2], y[3]]);
    let strides = size[0].is_multiple_of(out[0]) && size[1].is_multiple_of(out[1]);
    let kernel = if strides { [size[0] / out[0], size[1] / out[1]] } else { [1, 1] };
    Window {
        pooling,
        dtype: inputs[0].dtype,
        planes: x[0] * x[1],
        size,
        out,
        kernel,
        stride: kernel,
        padding: [0; 4],
        dilation: [1, 1],
        adaptive: !strides,
        zero: None,
    }
}

/// Elements of a plane.
fn plane(x: &Layout) -> usize {
    x.shape[2].saturating_mul(x.shape[3])
}

/// The problem of a window that is the whole plane.
fn whole_planes(task: Task, inputs: &[Layout]) -> Problem {
    let x = &inputs[0];
    let plane = plane(x);
    Problem::Reduce(Reduce {
        task,
        dtype: x.dtype,
        kept: vec![x.shape[0].saturating_mul(x.shape[1])],
        kept_strides: vec![plane],
        out_strides: vec![1],
        reduced: vec![plane],
        reduced_strides: vec![1],
    })
}

/// The largest value with its index or without.
fn max_task(indices: bool) -> Task {
    if indices { Task::MaxWithIndex } else { Task::Max }
}

impl MaxPool2d {
    fn strided(&self) -> Strided {
        let MaxPool2d { kernel, stride, padding, dilation, ceil_mode, .. } = *self;
        let stride = stride.unwrap_or(kernel);
        Strided { op: "max_pool2d", kernel, stride, padding, dilation, ceil_mode }
    }
}

impl Op for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        Ok(with_indices(self.strided().infer(inputs, ELEMENTS)?, self.return_indices))
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        let strided = self.strided();
        if strided.is_plane(inputs) {
            return Ok(whole_planes(max_task(self.return_indices), inputs));
        }
        Ok(strided.window(Pooling::Max, inputs, outputs))
    }
}

impl AvgPool2d {
    fn strided(&self) -> Strided {
        let AvgPool2d { kernel, stride, padding, ceil_mode, .. } = *self;
        let stride = stride.unwrap_or(kernel);
        Strided { op: "avg_pool2d", kernel, stride, padding, dilation: [1, 1], ceil_mode }
    }
}

impl Op for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        if self.divisor_override == Some(0) {
            let requirement = "it has to be at least 1";
            return Err(Error::Option { op: self.name(), option: "divisor_override", value: "0".into(), requirement });
        }
        Ok(vec![self.strided().infer(inputs, FLOATS)?])
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        let strided = self.strided();
        if strided.is_plane(inputs) {
            let divisor = self.divisor_override.unwrap_or(plane(&inputs[0]));
            return Ok(whole_planes(Task::Mean { divisor }, inputs));
        }
        let pooling = Pooling::Average { count_padding: self.count_include_pad, divisor: self.divisor_override };
        Ok(strided.window(pooling, inputs, outputs))
    }
}

/// The output of windows that share the plane.
fn even(shape: &[usize], output: [usize; 2], dtype: DType) -> Layout {
    Layout::new(&[shape[0], shape[1], output[0], output[1]], dtype)
}

impl Op for AdaptiveAvgPool2d {
    fn name(&self) -> &'static str {
        "adaptive_avg_pool2d"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let shape = planes(self.name(), inputs, FLOATS)?;
        Ok(vec![even(shape, self.output, inputs[0].dtype)])
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        if self.output == [1, 1] {
            return Ok(whole_planes(Task::Mean { divisor: plane(&inputs[0]) }, inputs));
        }
        let pooling = Pooling::Average { count_padding: false, divisor: None };
        Ok(Problem::Window(evenly(pooling, inputs, outputs)))
    }
}

impl Op for AdaptiveMaxPool2d {
    fn name(&self) -> &'static str {
        "adaptive_max_pool2d"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let shape = planes(self.name(), inputs, ELEMENTS)?;
        Ok(with_indices(even(shape, self.output, inputs[0].dtype), self.return_indices))
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        if self.output == [1, 1] {
            return Ok(whole_planes(max_task(self.return_indices), inputs));
        }
        Ok(Problem::Window(evenly(Pooling::Max, inputs, outputs)))
    }
}

/// How whole numbers are pooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerPooling {
    /// The largest of each window, without indices.
    Max(MaxPool2d),
    /// The mean of each window, without a divisor of its own.
    Average(AvgPool2d),
    /// The largest of windows that share the plane.
    AdaptiveMax(AdaptiveMaxPool2d),
    /// Their mean.
    AdaptiveAverage(AdaptiveAvgPool2d),
}

/// Pooling of int8 or uint8, so that a quantized network stays in them: what the floats' op of [`IntegerPooling`] gives, to the bit.
///
/// Input x `(n, c, h, w)`, i8 or u8, or in words of four channels, u32 `(n, ceil(c / 4), h, w)`, of int8; the output is of the same kind, with the
/// same scale and zero point. A mean is rounded to the nearest, of two to the even one. Padding wins no maximum, and where it counts in a
/// mean, it has the zero point's value.
///
/// # Errors
/// As of the floats' op, [`Error::Option`] for indices, for a divisor of a mean's own and for a zero point that the type does not have, and [`Error::Limit`]
/// for windows of more than some 60,000 elements, the whole plane too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntegerPool2d {
    /// What of each window.
    pub pooling: IntegerPooling,
    /// The zero point of x.
    pub zero: i32,
}

/// The types of the ops on whole numbers of 8 bits; u32 are words of four.
const BYTES: &[DType] = &[DType::I8, DType::U8, DType::U32];

impl Op for IntegerPool2d {
    fn name(&self) -> &'static str {
        "integer_pool2d"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let op = self.name();
        let refused = |option, value: String, requirement| Err(Error::Option { op, option, value, requirement });
        let x = planes(op, inputs, BYTES)?;
        let range = if inputs[0].dtype == DType::U8 { 0..=255 } else { -128..=127 };
        if !range.contains(&self.zero) {
            return refused("zero", self.zero.to_string(), "a zero point is a number of the type");
        }
        let shape = match self.pooling {
            IntegerPooling::Max(MaxPool2d { return_indices: true, .. })
            | IntegerPooling::AdaptiveMax(AdaptiveMaxPool2d { return_indices: true, .. }) => {
                return refused("return_indices", "true".into(), "whole numbers of 8 bits have no indices");
            }
            IntegerPooling::Average(AvgPool2d { divisor_override: Some(divisor), .. }) => {
                return refused(
                    "divisor_override",
                    divisor.to_string(),
                    "means of whole numbers are over their window",
                );
            }
            IntegerPooling::Max(pool) => pool.strided().infer(inputs, BYTES)?.shape,
            IntegerPooling::Average(pool) => pool.strided().infer(inputs, BYTES)?.shape,
            IntegerPooling::AdaptiveMax(AdaptiveMaxPool2d { output, .. })
            | IntegerPooling::AdaptiveAverage(AdaptiveAvgPool2d { output }) => vec![x[0], x[1], output[0], output[1]],
        };
        Ok(vec![Layout::new(&shape, inputs[0].dtype)])
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        let mean = |count_padding| Pooling::Average { count_padding, divisor: None };
        let problem = match self.pooling {
            IntegerPooling::Max(pool) => pool.strided().window(Pooling::Max, inputs, outputs),
            IntegerPooling::Average(pool) => pool.strided().window(mean(pool.count_include_pad), inputs, outputs),
            IntegerPooling::AdaptiveMax(_) => Problem::Window(evenly(Pooling::Max, inputs, outputs)),
            IntegerPooling::AdaptiveAverage(_) => Problem::Window(evenly(mean(false), inputs, outputs)),
        };
        match problem {
            Problem::Window(window) => Ok(Problem::Window(Window { zero: Some(self.zero), ..window })),
            other => Ok(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether every window holds an element, counted one by one.
    fn all_hold(pool: &Strided, size: usize, out: usize) -> bool {
        let [kernel, stride, dilation] = [pool.kernel[0], pool.stride[0], pool.dilation[0]];
        let inside = |at: usize| (pool.padding[0]..pool.padding[0] + size).contains(&at);
        (0..out).all(|p| (0..kernel).any(|r| inside(p * stride + r * dilation)))
    }

    #[test]
    fn windows_without_an_element_are_found_without_a_walk() {
        let mut refused = 0;
        for code in 0..4 * 5 * 5 * 6 * 6 * 4 * 2 {
            let mut rest = code;
            let mut digit = |n: usize| {
                let digit = rest % n;
                rest /= n;
                digit
            };
            let (kernel, stride, dilation) = (digit(4) + 1, digit(5) + 1, digit(5) + 1);
            let (before, after, size) = (digit(6), digit(6), digit(4) + 1);
            let ceil_mode = digit(2) == 1;
            let extent = (kernel - 1) * dilation + 1;
            if before.max(after) >= extent || extent > before + size + after {
                continue;
            }
            let (stride, dilation) = ([stride; 2], [dilation; 2]);
            let padding = [before, before, after, after];
            let pool = Strided { op: "pool", kernel: [kernel; 2], stride, padding, dilation, ceil_mode };
            let room = before + size + after - extent;
            let mut out = if ceil_mode { room.div_ceil(stride[0]) } else { room / stride[0] } + 1;
            out -= usize::from(ceil_mode && (out - 1) * stride[0] >= size + before);
            match pool.out(0, size) {
                Ok(found) => assert!(found == out && all_hold(&pool, size, out), "{code}"),
                Err(error) => {
                    assert!(!all_hold(&pool, size, out), "{code}: {error}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 100, "{refused}");
    }
}
