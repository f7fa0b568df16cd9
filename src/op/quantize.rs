//! Quantization: how numbers are kept in few bits, `x = scale * (q - zero)`, and the ops that go there and back.

use std::fmt;

use crate::error::{Error, Result};
use crate::family::quantize::{self, Scaling};
use crate::layout::{DType, Layout, count};
use crate::op::mask::matrix;
use crate::op::precision::FLOATS;
use crate::op::{Op, expect_dtype, expect_inputs, expect_shape};
use crate::problem::Problem;
use crate::reference::Twin;

/// The whole numbers that values are kept as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuantType {
    /// -128 to 127.
    I8,
    /// 0 to 255.
    U8,
    /// -8 to 7, two to a byte.
    I4,
    /// -1 and 1, eight to a byte: a set bit is 1.
    Binary,
}

impl QuantType {
    /// Bits of a value.
    pub const fn bits(self) -> usize {
        match self {
            QuantType::I8 | QuantType::U8 => 8,
            QuantType::I4 => 4,
            QuantType::Binary => 1,
        }
    }

    /// The type of a value that has a byte for itself.
    pub(crate) const fn byte(self) -> DType {
        if matches!(self, QuantType::U8) { DType::U8 } else { DType::I8 }
    }

    /// Values of a word of 32 bits.
    pub const fn per_word(self) -> usize {
        32 / self.bits()
    }

    /// The least and the greatest value.
    pub const fn range(self) -> [i32; 2] {
        match self {
            QuantType::I8 => [-128, 127],
            QuantType::U8 => [0, 255],
            QuantType::I4 => [-8, 7],
            QuantType::Binary => [-1, 1],
        }
    }
}

impl fmt::Display for QuantType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QuantType::I8 => "int8",
            QuantType::U8 => "uint8",
            QuantType::I4 => "int4",
            QuantType::Binary => "binary",
        })
    }
}

/// What shares a scale, and a zero point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Granularity {
    /// All values.
    Tensor,
    /// The values of an index along this axis: of the weights of a layer, 0 is its output channels.
    Channel(usize),
    /// So many neighbours along the reduction axis, which is all dimensions but the first: 32, 64 or 128. The last block of a row may be
    /// shorter.
    Block(usize),
}

/// How a tensor is quantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QuantScheme {
    /// What values are kept as.
    pub values: QuantType,
    /// What shares a scale.
    pub granularity: Granularity,
    /// Whether the zero point is 0 everywhere, and none are kept.
    pub symmetric: bool,
    /// Type of the scales, f32 or f16.
    pub scales: DType,
}

impl Default for QuantScheme {
    /// int8, symmetric, an f32 scale for each output channel.
    fn default() -> Self {
        QuantScheme { values: QuantType::I8, granularity: Granularity::Channel(0), symmetric: true, scales: DType::F32 }
    }
}

impl fmt::Display for QuantScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symmetry = if self.symmetric { "" } else { "asymmetric " };
        write!(f, "{symmetry}{} ", self.values)?;
        match self.granularity {
            Granularity::Tensor => f.write_str("per tensor")?,
            Granularity::Channel(axis) => write!(f, "per channel of axis {axis}")?,
            Granularity::Block(len) => write!(f, "in blocks of {len}")?,
        }
        if self.scales == DType::F16 { f.write_str(", f16 scales") } else { Ok(()) }
    }
}

/// What a plan knows of a quantized tensor: the scheme, and the shape of its values. Values of more than two dimensions count as a
/// matrix of the first by all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuantLayout {
    /// How it is quantized.
    pub scheme: QuantScheme,
    /// Shape of the values.
    pub shape: Vec<usize>,
}

const OP: &str = "quantize";

impl QuantLayout {
    /// The layout of a tensor of this shape, with the scheme checked against it.
    ///
    /// # Errors
    /// [`Error::Option`] for an axis that the shape does not have, a block of another length than 32, 64 or 128, scales that are neither
    /// f32 nor f16, binary values that are asymmetric; [`Error::Rank`] for a scalar.
    pub fn new(scheme: QuantScheme, shape: &[usize]) -> Result<Self> {
        let layout = QuantLayout { scheme, shape: shape.to_vec() };
        layout.check()?;
        Ok(layout)
    }

    /// Refuses what [`new`](QuantLayout::new) does: fields are open.
    pub(crate) fn check(&self) -> Result<()> {
        let refused = |option, value: String, requirement| Err(Error::Option { op: OP, option, value, requirement });
        matrix(OP, &self.shape)?;
        match self.scheme.granularity {
            Granularity::Channel(axis) if axis >= self.shape.len() => {
                let value = format!("{axis} of {:?}", self.shape);
                return refused("granularity", value, "an axis of the tensor");
            }
            Granularity::Block(len) if ![32, 64, 128].contains(&len) => {
                return refused("granularity", format!("blocks of {len}"), "blocks of 32, 64 or 128");
            }
            _ => {}
        }
        if !FLOATS.contains(&self.scheme.scales) {
            return refused("scales", self.scheme.scales.to_string(), "must be f32 or f16");
        }
        if self.scheme.values == QuantType::Binary && !self.scheme.symmetric {
            return refused("symmetric", "false".into(), "true for binary values, which have no zero");
        }
        Ok(())
    }

    /// Rows and columns of the values as a matrix.
    ///
    /// # Errors
    /// [`Error::Rank`] for a scalar.
    pub fn matrix(&self) -> Result<[usize; 2]> {
        matrix(OP, &self.shape)
    }

    /// Words of 32 bits that hold a row; from four on, a multiple of four, so that each row starts on 16 bytes.
    ///
    /// # Errors
    /// [`Error::Rank`] for a scalar.
    pub fn pitch(&self) -> Result<usize> {
        let words = self.matrix()?[1].div_ceil(self.scheme.values.per_word());
        Ok(if words < 4 { words } else { words.next_multiple_of(4) })
    }

    /// The shape of the scales: `[1]` for the tensor, `[size of the axis]` for channels, `[rows, blocks of a row]` for blocks.
    ///
    /// # Errors
    /// [`Error::Rank`] for a scalar.
    pub fn scales(&self) -> Result<Vec<usize>> {
        let [rows, columns] = self.matrix()?;
        Ok(match self.scheme.granularity {
            Granularity::Tensor => vec![1],
            Granularity::Channel(axis) => vec![self.shape.get(axis).copied().unwrap_or(1)],
            Granularity::Block(len) => vec![rows, columns.div_ceil(len.max(1))],
        })
    }

    /// The layouts of the planes: values, scales, and unless it is symmetric, zero points.
    ///
    /// Values are u32 words `[rows, pitch]`, the first value in the lowest bits; beyond the last of a row lie zero bits. Zero points are
    /// a byte each, in the order of the scales and of the sign of the values, four to a u32 word, zero bits beyond the last.
    ///
    /// # Errors
    /// As for [`new`](QuantLayout::new).
    pub fn planes(&self) -> Result<Vec<Layout>> {
        self.check()?;
        let ([rows, _], scales) = (self.matrix()?, self.scales()?);
        let mut planes =
            vec![Layout::new(&[rows, self.pitch()?], DType::U32), Layout::new(&scales, self.scheme.scales)];
        if !self.scheme.symmetric {
            planes.push(Layout::new(&[count(&scales).div_ceil(4)], DType::U32));
        }
        Ok(planes)
    }

    /// Bytes of all planes.
    ///
    /// # Errors
    /// As for [`new`](QuantLayout::new).
    pub fn bytes(&self) -> Result<u64> {
        Ok(self.planes()?.iter().map(Layout::bytes).sum())
    }
}

impl QuantLayout {
    /// Refuses planes that are not those of the layout.
    pub(crate) fn expect(&self, op: &'static str, planes: &[Layout]) -> Result<()> {
        self.expect_from(op, 0, planes)
    }

    /// Refuses what are not its planes from one on.
    fn expect_from(&self, op: &'static str, first: usize, found: &[Layout]) -> Result<()> {
        let planes = self.planes()?;
        let names = ["values", "scales", "zero points"];
        for ((plane, name), found) in planes.iter().zip(names).skip(first).zip(found) {
            expect_dtype(op, name, found, &[plane.dtype])?;
            expect_shape(op, format_args!("{name} of {} {:?}", self.scheme, self.shape), found, &plane.shape)?;
        }
        Ok(())
    }

    /// Refuses numbers that are not of the shape.
    fn expect_numbers(&self, op: &'static str, x: &Layout) -> Result<()> {
        expect_dtype(op, "x", x, FLOATS)?;
        expect_shape(op, "x", x, &self.shape)
    }

    /// Refuses inputs that are not numbers, their scales and their zero points.
    fn expect_scaled(&self, op: &'static str, inputs: &[Layout]) -> Result<()> {
        let planes = self.planes()?.len();
        expect_inputs(op, inputs, planes..=planes)?;
        self.expect_numbers(op, &inputs[0])?;
        self.expect_from(op, 1, &inputs[1..])
    }
}

/// Keeps numbers in few bits: `clamp(round(x / scale) + zero)`.
///
/// Inputs: x, f32 or f16, of the layout's shape; scales; and of an asymmetric scheme zero points. Output: the plane of values, u32; for the planes see
/// [`QuantLayout::planes`].
///
/// The quotient is rounded to f32 and then to the nearest whole number, ties to even, as ONNX's QuantizeLinear says; what is beyond the
/// range of the values is its end, infinity too. NaN is taken for 0. Of binary values, 1 stands for what is 0 or more and for NaN, -1 for the
/// rest. The values are the same to the bit on every device. Scales are positive, normal numbers: with others, values are unspecified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantize {
    /// Of the values.
    pub layout: QuantLayout,
}

impl Op for Quantize {
    fn name(&self) -> &'static str {
        "quantize"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        self.layout.expect_scaled(self.name(), inputs)?;
        let mut planes = self.layout.planes()?;
        planes.truncate(1);
        Ok(planes)
    }

    fn problem(&self, _inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        Ok(Problem::Quantize(quantize::Quantize::Values(self.layout.clone())))
    }
}

/// The numbers that quantized ones stand for: `(q - zero) * scale`.
///
/// Inputs: the planes of the layout. Output: numbers of its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dequantize {
    /// Of the planes.
    pub layout: QuantLayout,
    /// Type of the numbers, f32 or f16.
    pub output: DType,
}

/// Refuses a type of numbers that are no floats.
fn expect_float(op: &'static str, dtype: DType) -> Result<()> {
    if FLOATS.contains(&dtype) {
        return Ok(());
    }
    Err(Error::Option { op, option: "output", value: dtype.to_string(), requirement: "must be f32 or f16" })
}

impl Op for Dequantize {
    fn name(&self) -> &'static str {
        "dequantize"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let planes = self.layout.planes()?.len();
        expect_inputs(self.name(), inputs, planes..=planes)?;
        self.layout.expect(self.name(), inputs)?;
        expect_float(self.name(), self.output)?;
        Ok(vec![Layout::new(&self.layout.shape, self.output)])
    }

    fn problem(&self, _inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        Ok(Problem::Quantize(quantize::Quantize::Numbers(self.layout.clone())))
    }
}

/// Keeps numbers in few bits by scales and zero points of their own range: weights once, activations each time.
///
/// Input: x, f32 or f16, of the layout's shape. Outputs: the planes of the layout.
///
/// The range of what shares a scale reaches from its least number to its greatest, and takes in 0; NaN and infinity do not count. Asymmetric, as
/// ONNX's DynamicQuantizeLinear says:
///
/// ```text
/// scale = (greatest - least) / (high - low)    zero = clamp(low + round(-least / scale))    of values from low to high
/// ```
///
/// Symmetric, `scale = max(|x|) / high`, so that -128 of int8 and -8 of int4 stand for nothing; of uint8 `max(x) / high`, and what is below 0
/// becomes 0. A range of nothing but 0 has the scale 1, one too small for its scale to be a normal number the least that is. Binary,
/// `scale = mean(|x|)` (M. Rastegari et al., XNOR-Net, arXiv 1603.05279), a sum in f32: all else is the same to the bit on every device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicQuantize {
    /// Of the planes.
    pub layout: QuantLayout,
}

impl Op for DynamicQuantize {
    fn name(&self) -> &'static str {
        "dynamic_quantize"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let planes = self.layout.planes()?;
        expect_inputs(self.name(), inputs, 1..=1)?;
        self.layout.expect_numbers(self.name(), &inputs[0])?;
        Ok(planes)
    }

    fn problem(&self, _inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        Ok(Problem::Quantize(quantize::Quantize::Dynamic(self.layout.clone())))
    }
}

/// What numbers become by being kept in few bits: [`Quantize`] and [`Dequantize`] at once, for training with quantization in mind.
///
/// Inputs: x, f32 or f16, of the layout's shape; scales; and of an asymmetric scheme zero points. Output: numbers of x's shape and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeQuantize {
    /// As which they are kept.
    pub layout: QuantLayout,
}

impl Op for FakeQuantize {
    fn name(&self) -> &'static str {
        "fake_quantize"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        self.layout.expect_scaled(self.name(), inputs)?;
        Ok(vec![Layout::new(&self.layout.shape, inputs[0].dtype)])
    }

    fn problem(&self, _inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        Ok(Problem::Quantize(quantize::Quantize::Fake(self.layout.clone())))
    }
}

/// The types of whole numbers that are kept in a byte each.
const BYTES: &[DType] = &[DType::I8, DType::U8];

/// Puts values that are a byte each into a plane of values.
///
/// Input: values of the layout's shape, u8 for uint8 and else i8: int4 ones from -8 to 7, binary ones -1 or 1. Output: the plane, u32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackValues {
    /// Of the plane.
    pub layout: QuantLayout,
}

impl Op for PackValues {
    fn name(&self) -> &'static str {
        "pack_values"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let mut planes = self.layout.planes()?;
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_dtype(self.name(), "values", &inputs[0], &[self.layout.scheme.values.byte()])?;
        expect_shape(self.name(), "values", &inputs[0], &self.layout.shape)?;
        planes.truncate(1);
        Ok(planes)
    }

    fn problem(&self, _inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        Ok(Problem::Quantize(quantize::Quantize::Pack(self.layout.clone())))
    }
}

/// The values of a plane, a byte each: what [`PackValues`] takes.
///
/// Input: the plane. Output: the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnpackValues {
    /// Of the plane.
    pub layout: QuantLayout,
}

impl Op for UnpackValues {
    fn name(&self) -> &'static str {
        "unpack_values"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        self.layout.expect(self.name(), inputs)?;
        Ok(vec![Layout::new(&self.layout.shape, self.layout.scheme.values.byte())])
    }

    fn problem(&self, _inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        Ok(Problem::Quantize(quantize::Quantize::Unpack(self.layout.clone())))
    }
}

/// What shares a scale, of x and its scales; refuses scales of another shape, and zero points.
fn scaling(
    op: &'static str,
    (axis, block): (usize, Option<usize>),
    x: &Layout,
    scales: &[Layout],
    dtype: DType,
) -> Result<Scaling> {
    let refused = |option, value: String, requirement| Err(Error::Option { op, option, value, requirement });
    let [scale, zeros @ ..] = scales else { return Ok(Scaling::One) };
    expect_dtype(op, "scale", scale, FLOATS)?;
    if let [zeros] = zeros {
        expect_dtype(op, "zero point", zeros, &[dtype])?;
        if zeros.shape != scale.shape {
            let detail = format!("zero points are {:?}, scales {:?}", zeros.shape, scale.shape);
            return Err(Error::Shape { op, detail });
        }
    }
    if block.is_none() && (scale.shape.is_empty() || scale.shape == [1]) {
        return Ok(Scaling::One);
    }
    if axis >= x.shape.len() {
        return refused("axis", format!("{axis} of {:?}", x.shape), "an axis of the tensor");
    }
    let mut expected = vec![x.shape[axis]];
    if let Some(block) = block {
        if block == 0 {
            return refused("block", "0".into(), "at least 1");
        }
        expected = x.shape.clone();
        expected[axis] = expected[axis].div_ceil(block);
    }
    expect_shape(op, format_args!("scales of axis {axis} of {:?}", x.shape), scale, &expected)?;
    let sizes = [count(&x.shape[..axis]), x.shape[axis], count(&x.shape[axis + 1..])];
    Ok(Scaling::Axis { sizes, block })
}

/// `clamp(round(x / scale) + zero)`, a byte each: [QuantizeLinear](https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html) of ONNX.
///
/// Inputs: x, f32 or f16; the scale: one, of shape `()` or `(1)`, one for each index of the axis, or, with blocks, one for each block, of the
/// shape of x with the blocks of the axis; and perhaps zero points of the output's type and the scale's shape. Output: x's shape.
///
/// Rounding, saturation, NaN and scales are as [`Quantize`] has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantizeLinear {
    /// The axis of the scales.
    pub axis: usize,
    /// Neighbours along the axis that share a scale.
    pub block: Option<usize>,
    /// Type of the output, i8 or u8.
    pub output: DType,
}

impl Default for QuantizeLinear {
    /// u8, an axis of 1, no blocks.
    fn default() -> Self {
        QuantizeLinear { axis: 1, block: None, output: DType::U8 }
    }
}

impl Op for QuantizeLinear {
    fn name(&self) -> &'static str {
        "quantize_linear"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let op = self.name();
        expect_inputs(op, inputs, 2..=3)?;
        expect_dtype(op, "x", &inputs[0], FLOATS)?;
        if !BYTES.contains(&self.output) {
            let value = self.output.to_string();
            return Err(Error::Option { op, option: "output", value, requirement: "must be i8 or u8" });
        }
        scaling(op, (self.axis, self.block), &inputs[0], &inputs[1..], self.output)?;
        Ok(vec![Layout::new(&inputs[0].shape, self.output)])
    }

    fn problem(&self, inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        let scaling = scaling(self.name(), (self.axis, self.block), &inputs[0], &inputs[1..], self.output)?;
        Ok(Problem::Quantize(quantize::Quantize::Bytes(scaling)))
    }
}

/// `(x - zero) * scale`: [DequantizeLinear](https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html) of ONNX.
///
/// Inputs: x, i8 or u8; the scale, and perhaps zero points of the type of x, as [`QuantizeLinear`] has them. Output: x's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DequantizeLinear {
    /// The axis of the scales.
    pub axis: usize,
    /// Neighbours along the axis that share a scale.
    pub block: Option<usize>,
    /// Type of the output, f32 or f16.
    pub output: DType,
}

impl Default for DequantizeLinear {
    /// f32, an axis of 1, no blocks.
    fn default() -> Self {
        DequantizeLinear { axis: 1, block: None, output: DType::F32 }
    }
}

impl Op for DequantizeLinear {
    fn name(&self) -> &'static str {
        "dequantize_linear"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let op = self.name();
        expect_inputs(op, inputs, 2..=3)?;
        expect_dtype(op, "x", &inputs[0], BYTES)?;
        expect_float(op, self.output)?;
        scaling(op, (self.axis, self.block), &inputs[0], &inputs[1..], inputs[0].dtype)?;
        Ok(vec![Layout::new(&inputs[0].shape, self.output)])
    }

    fn problem(&self, inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        let scaling = scaling(self.name(), (self.axis, self.block), &inputs[0], &inputs[1..], inputs[0].dtype)?;
        Ok(Problem::Quantize(quantize::Quantize::OfBytes(scaling)))
    }
}

/// Numbers as u8 by the scale and the zero point of their range:
/// [DynamicQuantizeLinear](https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html) of ONNX.
///
/// Input: x, f32, of any shape. Outputs: the u8 values, of x's shape; the scale, an f32; the zero point, a u8. They are what
/// [`DynamicQuantize`] tells of asymmetric uint8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DynamicQuantizeLinear;

impl Op for DynamicQuantizeLinear {
    fn name(&self) -> &'static str {
        "dynamic_quantize_linear"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        expect_inputs(self.name(), inputs, 1..=1)?;
        expect_dtype(self.name(), "x", &inputs[0], &[DType::F32])?;
        Ok(vec![Layout::new(&inputs[0].shape, DType::U8), Layout::new(&[], DType::F32), Layout::new(&[], DType::U8)])
    }

    fn problem(&self, _inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        Ok(Problem::Quantize(quantize::Quantize::DynamicBytes))
    }
}

/// How far numbers reach, over several tensors.
///
/// Inputs: x, f32 or f16, and the ranges so far, u32 `(groups, 2)`, at first 0. Output: the ranges with those of x, of the same form: for each
/// of what shares a scale, the magnitudes of the least number below 0 and of the greatest above it, as the bits of an f32. NaN and infinity do
/// not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranges {
    /// What shares a scale.
    pub granularity: Granularity,
}

impl Ranges {
    /// The layout of x, for what shares a scale.
    pub(crate) fn layout(&self, x: &Layout) -> Result<QuantLayout> {
        QuantLayout::new(QuantScheme { granularity: self.granularity, ..QuantScheme::default() }, &x.shape)
    }
}

impl Op for Ranges {
    fn name(&self) -> &'static str {
        "ranges"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let op = self.name();
        expect_inputs(op, inputs, 2..=2)?;
        expect_dtype(op, "x", &inputs[0], FLOATS)?;
        expect_dtype(op, "ranges", &inputs[1], &[DType::U32])?;
        let groups = count(&self.layout(&inputs[0])?.scales()?);
        expect_shape(op, "ranges", &inputs[1], &[groups, 2])?;
        Ok(vec![Layout::new(&[groups, 2], DType::U32)])
    }

    fn problem(&self, inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        Ok(Problem::Quantize(quantize::Quantize::Ranges(self.layout(&inputs[0])?)))
    }
}

/// How many numbers begin with which bits, over several tensors: a histogram that needs to know no range.
///
/// Inputs: x, f32 or f16, and the counts so far, u32 `(2^(9 + mantissa))`, at first 0. Output: the counts with those of x, of the same form: bin i
/// counts numbers whose sign, exponent and first bits of the mantissa as f32 are i, so that a bin is `2^-mantissa` of its power of two wide. The
/// bins of the largest exponent count NaN and infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Bits of the mantissa, at most 15.
    pub mantissa: u32,
}

impl Op for Histogram {
    fn name(&self) -> &'static str {
        "histogram"
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let op = self.name();
        if self.mantissa > 15 {
            let value = self.mantissa.to_string();
            return Err(Error::Option { op, option: "mantissa", value, requirement: "at most 15 bits" });
        }
        expect_inputs(op, inputs, 2..=2)?;
        expect_dtype(op, "x", &inputs[0], FLOATS)?;
        expect_dtype(op, "counts", &inputs[1], &[DType::U32])?;
        let bins = 1 << (9 + self.mantissa);
        expect_shape(op, "counts", &inputs[1], &[bins])?;
        Ok(vec![Layout::new(&[bins], DType::U32)])
    }

    fn problem(&self, _inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        Ok(Problem::Quantize(quantize::Quantize::Histogram { shift: 23 - self.mantissa }))
    }
}
