//! Products and convolutions of whole numbers: int8 by int8, summed in 32 bits, and signs by signs.

use crate::error::{Error, Result};
use crate::family::contraction::whole::{Bias, End, Fill, Terms, Whole, Words};
use crate::family::contraction::{Addressing, Contraction, Target, Windows};
use crate::family::integer::{Codes, IntegerContraction, Made, PackWords, Side, Strides, words};
use crate::layout::{DType, Layout, count};
use crate::op::activation::Activation;
use crate::op::conv2d::{Conv2d, Padding, clamp};
use crate::op::precision::{FLOATS, Precision};
use crate::op::quantize::{Granularity, QuantLayout, QuantType};
use crate::op::{Op, expect_addressable, expect_dtype, expect_inputs};
use crate::problem::Problem;
use crate::reference::Twin;

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

/// The factors' names, in errors.
const FACTORS: [[&str; 2]; 2] =
    [["zero point of x", "scale of x"], ["zero point of the weight", "scale of the weight"]];

/// Refuses zero points, scales and a bias of the wrong type or number. `many` is how many each factor may have beside one.
fn check_with(
    op: &'static str,
    with: With,
    inputs: &[Layout],
    (many, channels): ([usize; 2], usize),
    weight: Option<&QuantLayout>,
    output: IntegerOutput,
) -> Result<()> {
    let numbers = with.numbers();
    expect_inputs(op, inputs, numbers.count..=numbers.count)?;
    let counted = |operand: &str, layout: &Layout, many: usize| {
        if layout.len() == 1 || layout.len() == many {
            return Ok(());
        }
        Err(Error::Shape { op, detail: format!("{operand} {:?} is neither one nor {many}", layout.shape) })
    };
    for side in 0..2 {
        let [zero, scale] = FACTORS[side];
        if let (1, Some(weight)) = (side, weight) {
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
        expect_dtype(op, "bias", &inputs[number], &[output.bias()])?;
        if inputs[number].shape != [channels] {
            let detail = format!("bias {:?} does not fit {channels} output channels", inputs[number].shape);
            return Err(Error::Shape { op, detail });
        }
    }
    Ok(())
}

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
        if inputs[number].shape != plane.shape {
            let detail = format!("the {operand} is {:?}, not {:?}", inputs[number].shape, plane.shape);
            return Err(Error::Shape { op, detail });
        }
    }
    Ok(())
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

/// A product of matrices of whole numbers: `(x - zero_x) (weight - zero_w)`, exactly, and what is made of it.
///
/// Inputs: `x` of shape `(..., m, k)`, i8 or u8, or in words of four, u32 `(..., m, ceil(k / 4))`, of int8; `weight` of shape `(k, n)`, or `(n, k)`
/// with `transpose`, or of as many batch dimensions as x, i8 or u8, or the plane of values of a [`QuantLayout`], which is `(n, k)`. After them, those
/// that are said to be there: the zero points of x and of the weight, of their factor's type or a quantized tensor's plane; the scales of x
/// and of the weight, f32 or f16; and a bias `(n)`. Zero points and scales are one, or one a row of x, and one a column of the product for
/// the weight.
///
/// With `whole` the sum of the products, to which a bias of i32 is added, the output is `whole`, i32; or the float `activation(whole * (scale_x *
/// scale_w) + bias)`, with a bias of f32; or a float without that bias, rounded and put in range. Sums are exact in 32 bits: of more terms than
/// may leave them, 131,071 without zero points and 33,025 with both, an [`Error::Limit`] tells.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegerMatmul {
    /// The weight is stored `(..., n, k)`.
    pub transpose: bool,
    /// Of a weight that is a quantized tensor: int8 or uint8, its scale one or one a row.
    pub weight: Option<QuantLayout>,
    /// Whether there are zero points of x, and of the weight.
    pub zeros: [bool; 2],
    /// Whether there are scales of x, and of the weight.
    pub scales: [bool; 2],
    /// Whether there is a bias.
    pub bias: bool,
    /// Applied before rounding.
    pub activation: Activation,
    /// What comes out.
    pub output: IntegerOutput,
}

impl Default for IntegerMatmul {
    /// The sums of products of two matrices.
    fn default() -> Self {
        IntegerMatmul {
            transpose: false,
            weight: None,
            zeros: [false; 2],
            scales: [false; 2],
            bias: false,
            activation: Activation::None,
            output: IntegerOutput::Sums,
        }
    }
}

const MATMUL: &str = "integer_matmul";

/// The sizes of a product: batch, rows, columns, terms.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sizes {
    pub batch: Vec<usize>,
    pub m: usize,
    pub n: usize,
    pub k: usize,
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
    if plane.shape != expected.shape {
        let detail = format!("the weight's plane is {:?}, not {:?}", plane.shape, expected.shape);
        return Err(Error::Shape { op, detail });
    }
    Ok(())
}

impl IntegerMatmul {
    pub(crate) fn with(&self) -> With {
        With { zeros: self.zeros, scales: self.scales, bias: self.bias }
    }

    /// Whether the weight lies `(n, k)`.
    pub(crate) fn is_transposed(&self) -> bool {
        self.transpose || self.weight.is_some()
    }

    /// Whether values of a factor are unsigned.
    pub(crate) fn unsigned(&self, inputs: &[DType; 2]) -> [bool; 2] {
        let quantized = self.weight.as_ref().is_some_and(|weight| weight.scheme.values == QuantType::U8);
        [inputs[0] == DType::U8, inputs[1] == DType::U8 || quantized]
    }

    /// Checks the shapes against each other and reads the sizes off.
    pub(crate) fn sizes(&self, x: &Layout, weight: &Layout) -> Result<Sizes> {
        let shape = match &self.weight {
            Some(own) => &own.shape,
            None => &weight.shape,
        };
        for (operand, shape) in [("x", &x.shape), ("weight", shape)] {
            if shape.len() < 2 {
                return Err(Error::Rank { op: MATMUL, operand, expected: "at least 2", found: shape.len() });
            }
        }
        if self.weight.is_some() && shape.len() != 2 {
            return Err(Error::Rank { op: MATMUL, operand: "weight", expected: "2", found: shape.len() });
        }
        let (batch, [m, last]) =
            (x.shape[..x.shape.len() - 2].to_vec(), [x.shape[x.shape.len() - 2], x.shape[x.shape.len() - 1]]);
        let [rows, columns] = [shape[shape.len() - 2], shape[shape.len() - 1]];
        let (k, n) = if self.is_transposed() { (columns, rows) } else { (rows, columns) };
        let fits = if x.dtype == DType::U32 { last == k.div_ceil(4) } else { last == k };
        if !fits || !(shape.len() == 2 || shape[..shape.len() - 2] == batch) {
            let detail = format!("x {:?} does not fit the weight {shape:?}", x.shape);
            return Err(Error::Shape { op: MATMUL, detail });
        }
        // One matrix of weights: all rows of x are rows of one product.
        let (batch, m) =
            if shape.len() == 2 { (Vec::new(), count(&batch).saturating_mul(m)) } else { (vec![count(&batch)], m) };
        Ok(Sizes { batch, m, n, k })
    }
}

impl Op for IntegerMatmul {
    fn name(&self) -> &'static str {
        MATMUL
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let numbers = self.with().numbers();
        expect_inputs(MATMUL, inputs, numbers.count..=numbers.count)?;
        self.output.check(MATMUL, self.activation, self.with())?;
        let [x, weight] = [&inputs[0], &inputs[1]];
        expect_dtype(MATMUL, "x", x, &[DType::I8, DType::U8, DType::U32])?;
        match &self.weight {
            Some(own) => check_weight(MATMUL, own, &[QuantType::I8, QuantType::U8], weight)?,
            None => expect_dtype(MATMUL, "weight", weight, &[DType::I8, DType::U8])?,
        }
        let Sizes { batch, m, n, k } = self.sizes(x, weight)?;
        let entries = count(&batch);
        let many = [entries.saturating_mul(m), entries.saturating_mul(n)];
        check_with(MATMUL, self.with(), inputs, (many, n), self.weight.as_ref(), self.output)?;
        let unsigned = self.unsigned(&[x.dtype, weight.dtype]);
        expect_sums(MATMUL, k, [0, 1].map(|side| magnitude(unsigned[side], self.zeros[side])))?;
        let mut shape = x.shape[..x.shape.len() - 1].to_vec();
        shape.push(if matches!(self.output, IntegerOutput::Words { .. }) { n.div_ceil(4) } else { n });
        expect_addressable(MATMUL, "output", &shape)?;
        Ok(vec![Layout::new(&shape, self.output.dtype())])
    }

    fn problem(&self, inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        let sizes = self.sizes(&inputs[0], &inputs[1])?;
        let Sizes { batch, m, n, k } = &sizes;
        let numbers = self.with().numbers();
        let unsigned = self.unsigned(&[inputs[0].dtype, inputs[1].dtype]);
        let pitch = pitch(*k, Words::Int8.values());
        let mut sides = [0, 1].map(|input| side(input, &numbers, inputs, unsigned[input]));
        sides[1].zero = weight_zero(&numbers, inputs, self.weight.as_ref());
        sides[1].bias = numbers.bias.map(|number| (number, *n));
        let in_words = |input: &Layout| input.align >= 4 && input.dtype != DType::U8;
        let pack = |side: &Side, outer: usize, from: Strides| {
            let codes = Codes::Bytes { unsigned: side.unsigned };
            Some(PackWords {
                codes,
                batch: batch.clone(),
                outer,
                k: *k,
                words: pitch,
                from,
                to: along(batch, outer, pitch),
            })
        };
        // As they lie where a row is as long as words are.
        let x = &inputs[0];
        let own = if x.dtype == DType::U32 { k.div_ceil(4) * 4 } else { *k };
        if !(in_words(x) && own == 4 * pitch) {
            sides[0].pack = pack(&sides[0], *m, along(batch, *m, own));
        }
        let across = Strides { batch: vec![k * n; batch.len()], outer: 1, k: *n };
        sides[1].pack = match &self.weight {
            Some(weight) if weight.scheme.values == QuantType::I8 => None,
            Some(_) => pack(&sides[1], *n, along(batch, *n, 4 * pitch)),
            None if self.transpose && in_words(&inputs[1]) && *k == 4 * pitch => None,
            None if self.transpose => pack(&sides[1], *n, along(batch, *n, *k)),
            None => pack(&sides[1], *n, across),
        };
        let shifted = [1, 0].map(|other| is_shifted(&sides[other]));
        for ((side, shifted), size) in sides.iter_mut().zip(shifted).zip([*m, *n]) {
            terms(side, shifted, batch.clone(), size, tail(*k, k.div_ceil(4), 1));
        }
        let ending = Ending { words: Words::Int8, bias: self.bias, activation: self.activation, output: self.output };
        let in_words = n.div_ceil(4);
        let narrow = match self.output {
            IntegerOutput::Words { .. } => Some(PackWords {
                codes: Codes::Words,
                batch: Vec::new(),
                outer: count(batch) * m,
                k: *n,
                words: in_words,
                from: along(&[], 0, *n),
                to: along(&[], 0, in_words),
            }),
            IntegerOutput::Quantized { .. } => Some(narrow(count(batch) * m * n)),
            IntegerOutput::Sums | IntegerOutput::Floats(_) => None,
        };
        let words = matches!(self.output, IntegerOutput::Words { .. });
        if narrow.is_none() || !(words || n.is_multiple_of(4)) {
            let contraction = product(&sizes, pitch, &sides, inputs.len(), ending);
            return Ok(Problem::Integer(Box::new(IntegerContraction {
                contraction,
                sides,
                narrow,
                fused: None,
                planes: None,
                depthwise: None,
            })));
        }
        // A word is four neighbours of a row of the output: rows of the product with its sides exchanged.
        sides.swap(0, 1);
        let exchanged = Sizes { m: *n, n: *m, ..sizes.clone() };
        let mut contraction = product(&exchanged, pitch, &sides, inputs.len(), ending);
        contraction.out = Target { row: 1, columns: Some((1, *n)), ..contraction.out };
        let fused = Some(Target {
            dtype: DType::U32,
            batch: vec![m * in_words; batch.len()],
            row: 1,
            columns: Some((1, in_words)),
        });
        Ok(Problem::Integer(Box::new(IntegerContraction {
            contraction,
            sides,
            narrow,
            fused,
            planes: None,
            depthwise: None,
        })))
    }
}

/// The strides of matrices whose rows lie one after the other.
fn along(batch: &[usize], outer: usize, stride: usize) -> Strides {
    Strides { batch: vec![outer * stride; batch.len()], outer: stride, k: 1 }
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

/// The product of matrices whose rows, and columns, are so many words.
fn product(sizes: &Sizes, pitch: usize, sides: &[Side; 2], inputs: usize, ending: Ending) -> Contraction {
    let Sizes { batch, m, n, k } = sizes;
    let operand = |side: &Side, outer: usize, made: Made| {
        let input = if side.pack.is_some() { made.after(inputs) } else { side.input };
        words(input, vec![outer * pitch; batch.len()], pitch)
    };
    let own = vec![true; batch.len()];
    Contraction {
        batch: batch.clone(),
        m: *m,
        n: *n,
        k: pitch,
        a: operand(&sides[0], *m, Made::Left),
        b: operand(&sides[1], *n, Made::Right),
        out: Target { dtype: ending.output.stored(), batch: vec![m * n; batch.len()], row: *n, columns: None },
        alpha: 1.0,
        addend: None,
        residual: None,
        activation: ending.activation,
        precision: Precision::F32,
        whole: Some(ending.whole(*k, sides, [&own, &own], inputs)),
        blocks: None,
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

/// Codes, one after the other, into bytes.
fn narrow(total: usize) -> PackWords {
    let strides = Strides { batch: Vec::new(), outer: 0, k: 1 };
    let words = total.div_ceil(4);
    let batch = Vec::new();
    PackWords { codes: Codes::Words, batch, outer: 1, k: total, words, from: strides.clone(), to: strides }
}

/// A convolution of whole numbers: what `Conv2d` computes of `x - zero_x` and `weight - zero_w`, exactly, and what is made of it. Around an
/// image lies the zero point.
///
/// Inputs: `x` of shape `(n, c, h, w)`, i8 or u8, or in words of four channels, u32 `(n, ceil(c / 4), h, w)`, of int8; `weight` of shape
/// `(o, c / groups, kh, kw)`, i8 or u8, or the plane of values of a [`QuantLayout`] of that shape. After them, those that are said to be there:
/// the zero points of x and of the weight, the scales of x and of the weight, a bias `(o)`, all as of [`IntegerMatmul`]; of x one, of the weight
/// one or `o`. In words, groups are of whole words, or of one channel and one output.
///
/// Output: `(n, o, p, q)`, of what [`IntegerMatmul`] tells.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegerConv2d {
    /// Step of the kernel, down and across.
    pub stride: [usize; 2],
    /// What lies around the image.
    pub padding: Padding,
    /// Distance of the kernel's taps, down and across.
    pub dilation: [usize; 2],
    /// Parts that the channels fall into.
    pub groups: usize,
    /// Of a weight that is a quantized tensor: int8 or uint8, its scale one or one a row.
    pub weight: Option<QuantLayout>,
    /// Whether there are zero points of x, and of the weight.
    pub zeros: [bool; 2],
    /// Whether there are scales of x, and of the weight.
    pub scales: [bool; 2],
    /// Whether there is a bias.
    pub bias: bool,
    /// Applied before rounding.
    pub activation: Activation,
    /// What comes out.
    pub output: IntegerOutput,
}

impl Default for IntegerConv2d {
    /// Stride 1, no padding, dilation 1, one group: the sums of products.
    fn default() -> Self {
        IntegerConv2d {
            stride: [1; 2],
            padding: Padding::default(),
            dilation: [1; 2],
            groups: 1,
            weight: None,
            zeros: [false; 2],
            scales: [false; 2],
            bias: false,
            activation: Activation::None,
            output: IntegerOutput::Sums,
        }
    }
}

const CONV: &str = "integer_conv2d";

/// The sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ConvSizes {
    /// Shape of x in values.
    pub x: [usize; 4],
    /// Shape of the weight.
    pub weight: [usize; 4],
}

impl ConvSizes {
    /// Of x in values, unless it is in words, and of the weight's values.
    fn of(op: &'static str, x: &Layout, weight: &[usize], groups: usize) -> Result<Self> {
        let four = |operand: &'static str, shape: &[usize]| {
            <[usize; 4]>::try_from(shape).map_err(|_| Error::Rank { op, operand, expected: "4", found: shape.len() })
        };
        let (mut image, weight) = (four("x", &x.shape)?, four("weight", weight)?);
        if x.dtype == DType::U32 {
            let channels = weight[1].saturating_mul(groups);
            // Where each channel is by itself, words are too.
            let alone = weight[1] == 1 && weight[0] == groups;
            let whole = groups == 1 || alone || weight[1].is_multiple_of(4);
            if image[1] != channels.div_ceil(4) || !whole {
                let detail = format!("x {:?} in words does not hold {channels} channels in {groups} groups", x.shape);
                return Err(Error::Shape { op, detail });
            }
            image[1] = channels;
        }
        Ok(ConvSizes { x: image, weight })
    }

    /// The shape of the output.
    fn output(&self, conv: &Conv2d) -> Result<[usize; 4]> {
        let [x, weight] = [self.x, self.weight].map(|shape| Layout::new(&shape, DType::F32));
        let shape = conv.infer(&[x, weight])?.swap_remove(0).shape;
        Ok([shape[0], shape[1], shape[2], shape[3]])
    }

    /// Words of a group's channels.
    fn words(&self, words: Words) -> usize {
        self.weight[1].div_ceil(words.values())
    }

    /// How an image's channels become words.
    fn pack_image(&self, codes: Codes, words: Words, groups: usize) -> PackWords {
        let ([n, c, h, w], channels, own) = (self.x, self.weight[1], self.words(words));
        let pixels = h * w;
        PackWords {
            codes,
            batch: vec![n, groups],
            outer: pixels,
            k: channels,
            words: own,
            from: Strides { batch: vec![c * pixels, channels * pixels], outer: 1, k: pixels },
            to: Strides { batch: vec![groups * own * pixels, own * pixels], outer: 1, k: pixels },
        }
    }

    /// How a weight's channels become words: a filter lies as an image does, `row` after the one before.
    fn pack_weight(&self, codes: Codes, words: Words, row: usize) -> PackWords {
        let ([o, channels, kh, kw], own) = (self.weight, self.words(words));
        let taps = kh * kw;
        PackWords {
            codes,
            batch: vec![o],
            outer: taps,
            k: channels,
            words: own,
            from: Strides { batch: vec![row], outer: 1, k: taps },
            to: Strides { batch: vec![own * taps], outer: 1, k: taps },
        }
    }

    /// The problem where each channel is by itself, over planes in words of four channels. `row` is the distance of filters in bytes.
    fn planes(
        &self,
        conv: &Conv2d,
        mut sides: [Side; 2],
        (inputs, row): (usize, usize),
        ending: Ending,
    ) -> Result<Option<IntegerContraction>> {
        let ([n, c, h, w], [o, channels, kh, kw]) = (self.x, self.weight);
        if channels != 1 || conv.groups == 1 || o != conv.groups {
            return Ok(None);
        }
        let [_, _, p, q] = self.output(conv)?;
        let (pixels, taps, own) = (p * q, kh * kw, o.div_ceil(4));
        let one_by_one = |batch: Vec<usize>, k: usize| Strides { batch, outer: 1, k };
        for (side, shape) in sides.iter_mut().zip([[1, taps, row], [n, h * w, h * w]]) {
            let [entries, outer, stride] = shape;
            let codes = Codes::Bytes { unsigned: side.unsigned };
            side.pack = side.pack.is_some().then(|| PackWords {
                codes,
                batch: vec![entries],
                outer,
                k: c,
                words: own,
                from: one_by_one(vec![c * stride], stride),
                to: one_by_one(vec![own * outer], outer),
            });
        }
        terms(&mut sides[0], false, Vec::new(), o, (0, u32::MAX));
        terms(&mut sides[1], false, Vec::new(), n * pixels, (0, u32::MAX));
        let input = |side: &Side, made: Made| if side.pack.is_some() { made.after(inputs) } else { side.input };
        let target = |dtype: DType, channels: usize| Target {
            dtype,
            batch: Vec::new(),
            row: pixels,
            columns: Some((pixels, channels * pixels)),
        };
        let contraction = Contraction {
            batch: Vec::new(),
            m: o,
            n: n * pixels,
            k: taps,
            a: words(input(&sides[0], Made::Left), Vec::new(), taps),
            b: words(input(&sides[1], Made::Right), Vec::new(), taps),
            out: target(ending.output.stored(), o),
            alpha: 1.0,
            addend: None,
            residual: None,
            activation: ending.activation,
            precision: Precision::F32,
            whole: Some(ending.whole(taps, &sides, [&[], &[]], inputs)),
            blocks: None,
        };
        let windows = Windows {
            batch: Vec::new(),
            image: own * h * w,
            channels: own,
            input: [h, w],
            output: [p, q],
            kernel: [kh, kw],
            stride: clamp(conv.stride),
            dilation: clamp(conv.dilation),
            padding: [conv.padding.top, conv.padding.left],
            transposed: false,
            fill: Fill::Number(0),
        };
        let in_words = matches!(ending.output, IntegerOutput::Words { .. });
        Ok(Some(IntegerContraction {
            contraction,
            sides,
            narrow: self.narrow(ending.output, pixels),
            fused: in_words.then(|| target(DType::U32, own)),
            planes: Some(windows),
            depthwise: None,
        }))
    }

    /// How codes become the output's bytes, or words.
    fn narrow(&self, output: IntegerOutput, pixels: usize) -> Option<PackWords> {
        let (images, o) = (self.x[0], self.weight[0]);
        match output {
            IntegerOutput::Words { .. } => Some(PackWords {
                codes: Codes::Words,
                batch: vec![images],
                outer: pixels,
                k: o,
                words: o.div_ceil(4),
                from: Strides { batch: vec![o * pixels], outer: 1, k: pixels },
                to: Strides { batch: vec![o.div_ceil(4) * pixels], outer: 1, k: pixels },
            }),
            IntegerOutput::Quantized { .. } => Some(narrow(images * o * pixels)),
            IntegerOutput::Sums | IntegerOutput::Floats(_) => None,
        }
    }

    /// The problem over words. The weight is the left side.
    fn problem(
        &self,
        conv: &Conv2d,
        mut sides: [Side; 2],
        (inputs, fill): (usize, Fill),
        ending: Ending,
    ) -> Result<IntegerContraction> {
        let ([n, _, h, w], [o, channels, kh, kw]) = (self.x, self.weight);
        let own = self.words(ending.words);
        let shape = self.output(conv)?;
        let layout = |shape: &[usize]| Layout::new(shape, DType::F32);
        let in_words = [layout(&[n, conv.groups * own, h, w]), layout(&[o, own, kh, kw])];
        let mut contraction = conv.problem(&in_words, &[layout(&shape)])?.contraction(CONV)?;
        for (operand, side, made) in
            [(&mut contraction.a, &sides[0], Made::Left), (&mut contraction.b, &sides[1], Made::Right)]
        {
            operand.dtype = DType::U32;
            operand.input = if side.pack.is_some() { made.after(inputs) } else { side.input };
            if let Addressing::Windows(windows) = &mut operand.addressing {
                windows.fill = fill;
            }
        }
        let tail = tail(channels, own, kh * kw);
        let shifted = [1, 0].map(|other| is_shifted(&sides[other]));
        // Rows are those of a group, whatever the image.
        terms(&mut sides[0], shifted[0], vec![conv.groups], contraction.m, tail);
        terms(&mut sides[1], shifted[1], contraction.batch.clone(), contraction.n, tail);
        let dims = contraction.batch.len();
        let rows: Vec<bool> = (0..dims).map(|dim| dim + 1 == dims).collect();
        contraction.out.dtype = ending.output.stored();
        contraction.activation = ending.activation;
        contraction.whole = Some(ending.whole(channels * kh * kw, &sides, [&rows, &vec![true; dims]], inputs));
        let [_, o, p, q] = shape;
        let pixels = p * q;
        let narrow = self.narrow(ending.output, pixels);
        // Rows are channels: four of them are a word, unless a group ends within.
        let rows = contraction.m;
        let is_whole = conv.groups == 1 || rows.is_multiple_of(4);
        let fused = (matches!(ending.output, IntegerOutput::Words { .. }) && is_whole).then(|| {
            let per_group = rows.div_ceil(4) * pixels;
            let image = o.div_ceil(4) * pixels;
            let batch = if dims > 1 { vec![image, per_group] } else { vec![per_group] };
            let columns = contraction.out.columns.map(|_| (pixels, image));
            Target { dtype: DType::U32, batch, row: pixels, columns }
        });
        Ok(IntegerContraction { contraction, sides, narrow, fused, planes: None, depthwise: None })
    }
}

impl IntegerConv2d {
    pub(crate) fn with(&self) -> With {
        With { zeros: self.zeros, scales: self.scales, bias: self.bias }
    }

    /// The geometry.
    pub(crate) fn conv(&self) -> Conv2d {
        let IntegerConv2d { stride, padding, dilation, groups, .. } = *self;
        Conv2d { stride, padding, dilation, groups, ..Default::default() }
    }

    pub(crate) fn unsigned(&self, inputs: &[DType; 2]) -> [bool; 2] {
        let quantized = self.weight.as_ref().is_some_and(|weight| weight.scheme.values == QuantType::U8);
        [inputs[0] == DType::U8, inputs[1] == DType::U8 || quantized]
    }

    pub(crate) fn sizes(&self, x: &Layout, weight: &Layout) -> Result<ConvSizes> {
        ConvSizes::of(CONV, x, self.weight.as_ref().map_or(&weight.shape, |own| &own.shape), self.groups)
    }
}

/// The shape of a convolution's output, in the type that it comes in.
fn conv_output(shape: [usize; 4], output: IntegerOutput) -> Layout {
    let [n, o, p, q] = shape;
    let channels = if matches!(output, IntegerOutput::Words { .. }) { o.div_ceil(4) } else { o };
    Layout::new(&[n, channels, p, q], output.dtype())
}

impl Op for IntegerConv2d {
    fn name(&self) -> &'static str {
        CONV
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        let numbers = self.with().numbers();
        expect_inputs(CONV, inputs, numbers.count..=numbers.count)?;
        self.output.check(CONV, self.activation, self.with())?;
        let [x, weight] = [&inputs[0], &inputs[1]];
        expect_dtype(CONV, "x", x, &[DType::I8, DType::U8, DType::U32])?;
        match &self.weight {
            Some(own) => check_weight(CONV, own, &[QuantType::I8, QuantType::U8], weight)?,
            None => expect_dtype(CONV, "weight", weight, &[DType::I8, DType::U8])?,
        }
        let sizes = self.sizes(x, weight)?;
        let shape = sizes.output(&self.conv())?;
        check_with(CONV, self.with(), inputs, ([1, shape[1]], shape[1]), self.weight.as_ref(), self.output)?;
        let unsigned = self.unsigned(&[x.dtype, weight.dtype]);
        let magnitudes = [0, 1].map(|side| magnitude(unsigned[side], self.zeros[side]));
        expect_sums(CONV, sizes.weight[1..].iter().product(), magnitudes)?;
        Ok(vec![conv_output(shape, self.output)])
    }

    fn problem(&self, inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        let sizes = self.sizes(&inputs[0], &inputs[1])?;
        let numbers = self.with().numbers();
        let unsigned = self.unsigned(&[inputs[0].dtype, inputs[1].dtype]);
        let mut sides = [1, 0].map(|input| side(input, &numbers, inputs, unsigned[input]));
        sides[0].zero = weight_zero(&numbers, inputs, self.weight.as_ref());
        sides[0].bias = numbers.bias.map(|number| (number, sizes.weight[0]));
        let row = match &self.weight {
            Some(weight) => 4 * weight.pitch()?,
            None => sizes.weight[1..].iter().product(),
        };
        sides[0].pack = Some(sizes.pack_weight(Codes::Bytes { unsigned: unsigned[1] }, Words::Int8, row));
        if inputs[0].dtype != DType::U32 {
            sides[1].pack = Some(sizes.pack_image(Codes::Bytes { unsigned: unsigned[0] }, Words::Int8, self.groups));
        }
        let fill = match numbers.zeros[0] {
            Some(input) => Fill::Byte { input, unsigned: unsigned[0] },
            None => Fill::Number(if unsigned[0] { 0x8080_8080 } else { 0 }),
        };
        let ending = Ending { words: Words::Int8, bias: self.bias, activation: self.activation, output: self.output };
        let conv = self.conv();
        let depthwise = sizes.planes(&conv, sides.clone(), (inputs.len(), row), ending)?;
        Ok(Problem::Integer(Box::new(match depthwise {
            // Words of channels that are by themselves are read in no other way.
            Some(planes) if inputs[0].dtype == DType::U32 => planes,
            depthwise => {
                let products = sizes.problem(&conv, sides, (inputs.len(), fill), ending)?;
                IntegerContraction { depthwise: depthwise.map(Box::new), ..products }
            }
        })))
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

/// Checks what both binary ops have in common.
fn check_binary(
    op: &'static str,
    (weight, output): (&QuantLayout, IntegerOutput),
    activation: Activation,
    with: With,
    inputs: &[Layout],
) -> Result<()> {
    let numbers = with.numbers();
    expect_inputs(op, inputs, numbers.count..=numbers.count)?;
    output.check(op, activation, with)?;
    if !matches!(output, IntegerOutput::Sums | IntegerOutput::Floats(_)) {
        let value = format!("{output:?}");
        return Err(Error::Option { op, option: "output", value, requirement: "sums or floats of signs" });
    }
    expect_dtype(op, "x", &inputs[0], FLOATS)?;
    check_weight(op, weight, &[QuantType::Binary], &inputs[1])?;
    let channels = weight.shape[0];
    check_with(op, with, inputs, ([1, channels], channels), Some(weight), output)?;
    expect_sums(op, weight.matrix()?[1], [1; 2])
}

impl BinaryMatmul {
    pub(crate) fn with(&self) -> With {
        With { zeros: [false; 2], scales: self.scales, bias: self.bias }
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
        check_binary(op, (&self.weight, self.output), self.activation, self.with(), inputs)?;
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
        let numbers = self.with().numbers();
        let pitch = pitch(k, Words::Signs.values());
        let mut sides = [0, 1].map(|input| side(input, &numbers, inputs, false));
        sides[1].bias = numbers.bias.map(|number| (number, n));
        let (codes, batch) = (Codes::Floats(inputs[0].dtype), Vec::new());
        let (from, to) = (along(&[], m, k), along(&[], m, pitch));
        sides[0].pack = Some(PackWords { codes, batch, outer: m, k, words: pitch, from, to });
        for (side, size) in sides.iter_mut().zip([m, n]) {
            terms(side, false, Vec::new(), size, (0, u32::MAX));
        }
        let ending = Ending { words: Words::Signs, bias: self.bias, activation: self.activation, output: self.output };
        let contraction = product(&sizes, pitch, &sides, inputs.len(), ending);
        Ok(Problem::Integer(Box::new(IntegerContraction {
            contraction,
            sides,
            narrow: None,
            fused: None,
            planes: None,
            depthwise: None,
        })))
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
    pub(crate) fn with(&self) -> With {
        With { zeros: [false; 2], scales: self.scales, bias: self.bias }
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
        check_binary(BINARY_CONV, (&self.weight, self.output), self.activation, self.with(), inputs)?;
        let shape = ConvSizes::of(BINARY_CONV, &inputs[0], &self.weight.shape, self.groups)?.output(&self.conv())?;
        Ok(vec![conv_output(shape, self.output)])
    }

    fn problem(&self, inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        let sizes = ConvSizes::of(BINARY_CONV, &inputs[0], &self.weight.shape, self.groups)?;
        let numbers = self.with().numbers();
        let mut sides = [1, 0].map(|input| side(input, &numbers, inputs, false));
        sides[0].bias = numbers.bias.map(|number| (number, sizes.weight[0]));
        sides[0].pack = Some(sizes.pack_weight(Codes::Bits, Words::Signs, 32 * self.weight.pitch()?));
        sides[1].pack = Some(sizes.pack_image(Codes::Floats(inputs[0].dtype), Words::Signs, self.groups));
        let ending = Ending { words: Words::Signs, bias: self.bias, activation: self.activation, output: self.output };
        let problem = sizes.problem(&self.conv(), sides, (inputs.len(), Fill::Number(0)), ending)?;
        Ok(Problem::Integer(Box::new(problem)))
    }
}
