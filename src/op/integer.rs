//! Products and convolutions of whole numbers: int8 by int8, summed in 32 bits, and signs by signs.

use crate::error::{Error, Result};
use crate::family::contraction::whole::{Bias, End, Terms, Whole, Words};
use crate::family::contraction::{Contraction, Target};
use crate::family::integer::{Codes, IntegerContraction, Made, PackWords, Side, Strides, words};
use crate::layout::{DType, Layout, count};
use crate::op::activation::Activation;
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
const FACTORS: [[&str; 2]; 2] = [["zero point of x", "scale of x"], ["zero point of the weight", "scale of the weight"]];

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
        return refused("weight", weight.scheme.to_string(), "values of another type: int8 and uint8, or signs of binary ops");
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
        let (batch, [m, last]) = (x.shape[..x.shape.len() - 2].to_vec(), [x.shape[x.shape.len() - 2], x.shape[x.shape.len() - 1]]);
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
        let Sizes { batch, m, n, k } = self.sizes(&inputs[0], &inputs[1])?;
        let numbers = self.with().numbers();
        let unsigned = self.unsigned(&[inputs[0].dtype, inputs[1].dtype]);
        let pitch = pitch(k, Words::Int8.values());
        let along = |outer: usize, stride: usize| Strides { batch: vec![outer * stride; batch.len()], outer: stride, k: 1 };
        let pack = |side: &mut Side, outer: usize, from: Strides| {
            side.pack = Some(PackWords {
                codes: Codes::Bytes { unsigned: side.unsigned },
                batch: batch.clone(),
                outer,
                k,
                words: pitch,
                from,
                to: along(outer, pitch),
            });
        };
        let mut sides = [0, 1].map(|input| side(input, &numbers, inputs, unsigned[input]));
        sides[1].zero = weight_zero(&numbers, inputs, self.weight.as_ref());
        sides[1].bias = numbers.bias.map(|number| (number, n));
        let in_words = |input: &Layout| input.align >= 4 && input.dtype != DType::U8;
        // As they lie where a row is as long as words are.
        let x = &inputs[0];
        let own = if x.dtype == DType::U32 { k.div_ceil(4) * 4 } else { k };
        if !(in_words(x) && own == 4 * pitch) {
            pack(&mut sides[0], m, along(m, own));
        }
        match &self.weight {
            Some(weight) if weight.scheme.values == QuantType::I8 && in_words(&inputs[1]) => {}
            Some(_) => pack(&mut sides[1], n, along(n, 4 * pitch)),
            None if self.transpose && in_words(&inputs[1]) && k == 4 * pitch => {}
            None if self.transpose => pack(&mut sides[1], n, along(n, k)),
            None => pack(&mut sides[1], n, Strides { batch: vec![k * n; batch.len()], outer: 1, k: n }),
        }
        let shifted = [0, 1].map(|i| is_shifted(&sides[i]));
        for (i, size) in [m, n].into_iter().enumerate() {
            terms(&mut sides[i], shifted[1 - i], batch.clone(), size, tail(k, k.div_ceil(4), 1));
        }
        let made = |made: Made| made.after(inputs.len());
        let operand = |i: usize, outer: usize, virtually: Made| {
            let input = if sides[i].pack.is_some() { made(virtually) } else { i };
            words(input, vec![outer * pitch; batch.len()], pitch)
        };
        let own = vec![true; batch.len()];
        let contraction = Contraction {
            m,
            n,
            k: pitch,
            a: operand(0, m, Made::Left),
            b: operand(1, n, Made::Right),
            out: Target { dtype: self.output.stored(), batch: vec![m * n; batch.len()], row: n, columns: None },
            alpha: 1.0,
            addend: None,
            residual: None,
            activation: self.activation,
            precision: Precision::F32,
            whole: Some(Whole {
                words: Words::Int8,
                length: k,
                rows: found(&sides[0], made(Made::Rows), &own),
                columns: found(&sides[1], made(Made::Columns), &own),
                bias: bias(self.bias, self.output),
                end: self.output.end(),
            }),
            batch: batch.clone(),
        };
        let total = count(&batch) * m * n;
        let narrow = match self.output {
            IntegerOutput::Quantized { .. } => Some(narrow(total)),
            IntegerOutput::Words { .. } => {
                let (rows, words) = (count(&batch) * m, n.div_ceil(4));
                Some(PackWords {
                    codes: Codes::Words,
                    batch: Vec::new(),
                    outer: rows,
                    k: n,
                    words,
                    from: Strides { batch: Vec::new(), outer: n, k: 1 },
                    to: Strides { batch: Vec::new(), outer: words, k: 1 },
                })
            }
            IntegerOutput::Sums | IntegerOutput::Floats(_) => None,
        };
        Ok(Problem::Integer(Box::new(IntegerContraction { contraction, sides, narrow })))
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

fn bias(there: bool, output: IntegerOutput) -> Bias {
    match (there, output) {
        (false, _) => Bias::None,
        (true, IntegerOutput::Floats(_)) => Bias::Float,
        (true, _) => Bias::Whole,
    }
}

/// Codes, one after the other, into bytes.
fn narrow(total: usize) -> PackWords {
    let strides = Strides { batch: Vec::new(), outer: 0, k: 1 };
    let words = total.div_ceil(4);
    let batch = Vec::new();
    PackWords { codes: Codes::Words, batch, outer: 1, k: total, words, from: strides.clone(), to: strides }
}
