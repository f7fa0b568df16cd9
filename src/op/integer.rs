//! Products and convolutions of whole numbers: int8 by int8, summed in 32 bits, and signs by signs.

pub(crate) mod binary;
pub(crate) mod conv2d;
pub(crate) mod matmul;

use crate::error::{Error, Result};
use crate::family::contraction::whole::{Bias, End, Terms, Whole, Words};
use crate::family::contraction::{Contraction, Target};
use crate::family::integer::{Codes, IntegerContraction, Made, PackWords, Side, Strides};
use crate::layout::{DType, Layout, count};
use crate::op::activation::Activation;
use crate::op::precision::FLOATS;
use crate::op::quantize::{Granularity, QuantLayout, QuantType};
use crate::op::{expect_dtype, expect_inputs, expect_shape};

/// What sums of products of whole numbers come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum IntegerOutput {
    /// Themselves, i32.
    Sums,
    /// Floats, f32 or f16: times the scales, plus the bias, through the activation.
    Floats(DType),
    /// Whole numbers of 8 bits again, i8 or u8: such floats, rounded to the nearest, of two to the even one, plus the zero point, and the
    /// nearest there is of what lies outside of the range. NaN may come out as anything.
    Quantized {
        /// i8 or u8.
        dtype: DType,
        /// The zero point.
        zero: i32,
    },
    /// Such int8 in words of four channels, as the next layer reads them: u32 `(..., ceil(n / 4))` of a product, `(n, ceil(o / 4), p, q)` of
    /// a convolution. Bits beyond the last channel are 0.
    Words {
        /// The zero point.
        zero: i32,
    },
}

impl IntegerOutput {
    fn check(self, op: &'static str, activation: Activation, with: With) -> Result<()> {
        activation.expect(op)?;
        let refused = |option, value: String, requirement| Err(Error::Option { op, option, value, requirement });
        match self {
            IntegerOutput::Sums if activation != Activation::None || with.scales != [false; 2] => {
                refused("output", "Sums".into(), "sums as they are have neither scales nor an activation")
            }
            IntegerOutput::Floats(dtype) if !FLOATS.contains(&dtype) => {
                refused("output", dtype.to_string(), "must be f32 or f16")
            }
            IntegerOutput::Quantized { dtype, .. } if ![DType::I8, DType::U8].contains(&dtype) => {
                refused("output", dtype.to_string(), "must be i8 or u8")
            }
            IntegerOutput::Quantized { zero, .. } | IntegerOutput::Words { zero } => {
                let [least, most] = self.range();
                let fits = (least..=most).contains(&zero);
                if fits { Ok(()) } else { refused("output", zero.to_string(), "a zero point is a number of the type") }
            }
            _ => Ok(()),
        }
    }

    /// The least and the greatest code.
    pub(crate) fn range(self) -> [i32; 2] {
        match self {
            IntegerOutput::Quantized { dtype: DType::U8, .. } => QuantType::U8.range(),
            _ => QuantType::I8.range(),
        }
    }

    pub(crate) fn dtype(self) -> DType {
        match self {
            IntegerOutput::Sums => DType::I32,
            IntegerOutput::Floats(dtype) | IntegerOutput::Quantized { dtype, .. } => dtype,
            IntegerOutput::Words { .. } => DType::U32,
        }
    }

    /// The type of a bias: a whole number, unless the output is a float.
    pub(crate) fn bias(self) -> DType {
        if matches!(self, IntegerOutput::Floats(_)) { DType::F32 } else { DType::I32 }
    }

    fn end(self) -> End {
        match self {
            IntegerOutput::Sums => End::Sums,
            IntegerOutput::Floats(_) => End::Floats,
            IntegerOutput::Quantized { zero, .. } | IntegerOutput::Words { zero } => {
                End::Codes { zero, range: self.range() }
            }
        }
    }

    /// The type in which a contraction stores its results.
    fn stored(self) -> DType {
        match self {
            IntegerOutput::Floats(dtype) => dtype,
            _ => DType::I32,
        }
    }
}

/// Which inputs follow the two factors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct With {
    pub zeros: [bool; 2],
    pub scales: [bool; 2],
    pub bias: bool,
}

/// Their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Numbers {
    pub zeros: [Option<usize>; 2],
    pub scales: [Option<usize>; 2],
    pub bias: Option<usize>,
    pub count: usize,
}

impl With {
    pub fn numbers(self) -> Numbers {
        let mut numbers = Numbers { count: 2, ..Numbers::default() };
        let mut next = |there: bool| {
            let number = numbers.count;
            numbers.count += usize::from(there);
            there.then_some(number)
        };
        let zeros = self.zeros.map(&mut next);
        let scales = self.scales.map(&mut next);
        let bias = next(self.bias);
        Numbers { zeros, scales, bias, ..numbers }
    }
}

/// What the ops have in common, whatever their shapes.
#[derive(Clone, Copy)]
pub(crate) struct Common<'a> {
    op: &'static str,
    /// Of a weight that is a quantized tensor.
    weight: Option<&'a QuantLayout>,
    with: With,
    activation: Activation,
    output: IntegerOutput,
}

impl Common<'_> {
    pub fn numbers(&self) -> Numbers {
        self.with.numbers()
    }

    /// Whether values of a factor are unsigned.
    pub fn unsigned(&self, factors: [DType; 2]) -> [bool; 2] {
        let quantized = self.weight.is_some_and(|weight| weight.scheme.values == QuantType::U8);
        [factors[0] == DType::U8, factors[1] == DType::U8 || quantized]
    }

    /// Refuses another number of inputs, and an output that cannot be.
    fn expect_count(&self, inputs: &[Layout]) -> Result<()> {
        let count = self.numbers().count;
        expect_inputs(self.op, inputs, count..=count)?;
        self.output.check(self.op, self.activation, self.with)
    }

    /// Refuses factors that are not of whole numbers.
    fn expect_whole(&self, inputs: &[Layout]) -> Result<()> {
        self.expect_count(inputs)?;
        expect_dtype(self.op, "x", &inputs[0], &[DType::I8, DType::U8, DType::U32])?;
        match self.weight {
            Some(own) => check_weight(self.op, own, &[QuantType::I8, QuantType::U8], &inputs[1]),
            None => expect_dtype(self.op, "weight", &inputs[1], &[DType::I8, DType::U8]),
        }
    }

    /// Refuses what follows factors of whole numbers, and sums of so many of their products that may leave 32 bits.
    fn expect_rest(&self, inputs: &[Layout], many: [usize; 2], channels: usize, terms: usize) -> Result<()> {
        self.check_with(inputs, many, channels)?;
        let unsigned = self.unsigned([inputs[0].dtype, inputs[1].dtype]);
        expect_sums(self.op, terms, [0, 1].map(|side| magnitude(unsigned[side], self.with.zeros[side])))
    }

    /// Refuses zero points, scales and a bias of the wrong type or number. `many` is how many each factor may have beside one.
    fn check_with(&self, inputs: &[Layout], many: [usize; 2], channels: usize) -> Result<()> {
        let (op, numbers) = (self.op, self.numbers());
        let counted = |operand: &str, layout: &Layout, many: usize| {
            if layout.len() == 1 || layout.len() == many {
                return Ok(());
            }
            Err(Error::Shape { op, detail: format!("{operand} {:?} is neither one nor {many}", layout.shape) })
        };
        for side in 0..2 {
            let [zero, scale] = FACTORS[side];
            if let (1, Some(weight)) = (side, self.weight) {
                check_planes(op, weight, inputs, &numbers)?;
                continue;
            }
            if let Some(number) = numbers.zeros[side] {
                let own = if inputs[side].dtype == DType::U32 { DType::I8 } else { inputs[side].dtype };
                expect_dtype(op, zero, &inputs[number], &[own])?;
                counted(zero, &inputs[number], many[side])?;
            }
            if let Some(number) = numbers.scales[side] {
                expect_dtype(op, scale, &inputs[number], FLOATS)?;
                counted(scale, &inputs[number], many[side])?;
            }
        }
        if let Some(number) = numbers.bias {
            expect_dtype(op, "bias", &inputs[number], &[self.output.bias()])?;
            if inputs[number].shape != [channels] {
                let detail = format!("bias {:?} does not fit {channels} output channels", inputs[number].shape);
                return Err(Error::Shape { op, detail });
            }
        }
        Ok(())
    }

    /// x and the weight with what follows them, without their words and their terms, for so many output channels.
    fn sides(&self, inputs: &[Layout], channels: usize) -> [Side; 2] {
        let numbers = self.numbers();
        let unsigned = self.unsigned([inputs[0].dtype, inputs[1].dtype]);
        let mut sides = [0, 1].map(|input| side(input, &numbers, inputs, unsigned[input]));
        sides[1].zero = weight_zero(&numbers, inputs, self.weight);
        sides[1].bias = numbers.bias.map(|number| (number, channels));
        sides
    }

    fn ending(&self, words: Words) -> Ending {
        Ending { words, bias: self.with.bias, activation: self.activation, output: self.output }
    }
}

/// The factors' names, in errors.
const FACTORS: [[&str; 2]; 2] =
    [["zero point of x", "scale of x"], ["zero point of the weight", "scale of the weight"]];

/// Refuses planes of a quantized weight that are not its own.
fn check_planes(op: &'static str, weight: &QuantLayout, inputs: &[Layout], numbers: &Numbers) -> Result<()> {
    let planes = weight.planes()?;
    if numbers.zeros[1].is_some() == weight.scheme.symmetric {
        let requirement = "of the weight true where it is asymmetric, and only there";
        return Err(Error::Option { op, option: "zeros", value: format!("{}", weight.scheme), requirement });
    }
    let own = [(FACTORS[1][1], numbers.scales[1], planes.get(1)), (FACTORS[1][0], numbers.zeros[1], planes.get(2))];
    for (operand, number, plane) in own {
        let (Some(number), Some(plane)) = (number, plane) else { continue };
        expect_dtype(op, operand, &inputs[number], &[plane.dtype])?;
        expect_shape(op, operand, &inputs[number], &plane.shape)?;
    }
    Ok(())
}

/// Refuses a weight that kernels do not take as it is quantized.
fn check_weight(op: &'static str, weight: &QuantLayout, values: &[QuantType], plane: &Layout) -> Result<()> {
    weight.check()?;
    let refused = |option, value: String, requirement| Err(Error::Option { op, option, value, requirement });
    if !values.contains(&weight.scheme.values) {
        return refused(
            "weight",
            weight.scheme.to_string(),
            "values of another type: int8 and uint8, or signs of binary ops",
        );
    }
    if !matches!(weight.scheme.granularity, Granularity::Tensor | Granularity::Channel(0)) {
        return refused("weight", weight.scheme.to_string(), "a scale for the tensor, or for each row");
    }
    let expected = &weight.planes()?[0];
    expect_dtype(op, "weight", plane, &[DType::U32])?;
    expect_shape(op, "the weight's plane", plane, &expected.shape)
}

/// The largest magnitude of a factor less its zero point.
fn magnitude(unsigned: bool, zero: bool) -> u64 {
    if unsigned || zero { 255 } else { 128 }
}

/// Refuses sums that may leave 32 bits.
fn expect_sums(op: &'static str, k: usize, magnitudes: [u64; 2]) -> Result<()> {
    let most = i32::MAX as u64 / (magnitudes[0] * magnitudes[1]);
    if k as u64 <= most {
        return Ok(());
    }
    Err(Error::Limit {
        op: op.into(),
        limit: "terms of a sum in 32 bits",
        needed: k as u64,
        available: most,
        hint: "cut the sum, and add the parts as floats",
    })
}

/// Words of a row, filled up to fours from four on.
pub(crate) fn pitch(k: usize, per_word: usize) -> usize {
    let words = k.div_ceil(per_word);
    if words < 4 { words } else { words.next_multiple_of(4) }
}

/// The last words of a row whose last bits do not count, and which do.
fn tail(k: usize, words: usize, taps: usize) -> (usize, u32) {
    let rest = k % Words::Int8.values();
    let mask = if rest == 0 { u32::MAX } else { (1 << (8 * rest)) - 1 };
    ((words.max(1) - 1) * taps, mask)
}

/// Whether a zero point may be another than 0 once values are signed.
fn is_shifted(side: &Side) -> bool {
    side.zero.is_some() || side.unsigned
}

/// The terms of a factor's rows, or columns: as many as there are where anything of them differs, else one.
fn terms(side: &mut Side, other_shifted: bool, batch: Vec<usize>, size: usize, tail: (usize, u32)) {
    side.sum = other_shifted.then_some(tail);
    let many = side.sum.is_some()
        || side.zero.is_some_and(|zero| zero.1)
        || side.scale.is_some_and(|scale| scale.1)
        || side.bias.is_some();
    side.terms = if many { (batch, size) } else { (Vec::new(), 1) };
}

/// Where an epilogue finds them; `own` says of each batch dimension whether the factor has it.
fn found(side: &Side, input: usize, own: &[bool]) -> Terms {
    let (sizes, size) = &side.terms;
    let many = count(sizes) * size > 1 || !sizes.is_empty();
    let mut stride = *size;
    let mut batch = vec![0; own.len()];
    for (dim, slot) in batch.iter_mut().enumerate().rev().filter(|(dim, _)| own[*dim] && many) {
        *slot = stride;
        stride *= sizes[dim + sizes.len() - own.len()];
    }
    Terms { input, count: count(sizes) * size, batch, stride: usize::from(*size > 1) }
}

/// A factor with what follows it among the inputs, without its words and its terms.
fn side(input: usize, numbers: &Numbers, inputs: &[Layout], unsigned: bool) -> Side {
    let many = |number: usize| (number, inputs[number].len() > 1);
    Side {
        input,
        pack: None,
        terms: (Vec::new(), 1),
        zero: numbers.zeros[input].map(many),
        unsigned,
        scale: numbers.scales[input].map(many),
        bias: None,
        sum: None,
    }
}

/// The zero points of a weight, and whether there are many: those of a plane are four to a word.
fn weight_zero(numbers: &Numbers, inputs: &[Layout], weight: Option<&QuantLayout>) -> Option<(usize, bool)> {
    let is_many = |number: usize| match weight {
        Some(weight) => matches!(weight.scheme.granularity, Granularity::Channel(_)),
        None => inputs[number].len() > 1,
    };
    numbers.zeros[1].map(|number| (number, is_many(number)))
}

/// How a contraction of words ends.
#[derive(Clone, Copy)]
struct Ending {
    words: Words,
    bias: bool,
    activation: Activation,
    output: IntegerOutput,
}

impl Ending {
    /// What makes a contraction of two sides, with these batch dimensions of each, one of whole numbers.
    fn whole(self, length: usize, sides: &[Side; 2], own: [&[bool]; 2], inputs: usize) -> Whole {
        Whole {
            words: self.words,
            length,
            rows: found(&sides[0], Made::Rows.after(inputs), own[0]),
            columns: found(&sides[1], Made::Columns.after(inputs), own[1]),
            bias: match (self.bias, self.output) {
                (false, _) => Bias::None,
                (true, IntegerOutput::Floats(_)) => Bias::Float,
                (true, _) => Bias::Whole,
            },
            end: self.output.end(),
        }
    }
}

/// The problem of a contraction of words.
fn products(
    contraction: Contraction,
    sides: [Side; 2],
    narrow: Option<PackWords>,
    fused: Option<Target>,
) -> IntegerContraction {
    IntegerContraction { contraction, sides, narrow, fused, planes: None, depthwise: None }
}

/// Codes, one after the other, into bytes.
fn narrow(total: usize) -> PackWords {
    let strides = Strides { batch: Vec::new(), outer: 0, k: 1 };
    let words = total.div_ceil(4);
    let batch = Vec::new();
    PackWords { codes: Codes::Words, batch, outer: 1, k: total, words, from: strides.clone(), to: strides }
}
