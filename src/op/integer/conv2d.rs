//! The convolution of whole numbers.

use super::{Common, Ending, IntegerOutput, With, is_shifted, narrow, products, tail, terms};
use crate::error::{Error, Result};
use crate::family::contraction::whole::{Fill, Words};
use crate::family::contraction::{Addressing, Contraction, Target, Windows};
use crate::family::integer::{Codes, IntegerContraction, Made, PackWords, Side, Strides, words};
use crate::layout::{DType, Layout};
use crate::op::Op;
use crate::op::activation::Activation;
use crate::op::conv2d::{Conv2d, Padding, clamp};
use crate::op::precision::Precision;
use crate::op::quantize::QuantLayout;
use crate::problem::Problem;
use crate::reference::Twin;

/// A convolution of whole numbers: what `Conv2d` computes of `x - zero_x` and `weight - zero_w`, exactly, and what is made of it. Around an
/// image lies the zero point.
///
/// Inputs: `x` of shape `(n, c, h, w)`, i8 or u8, or in words of four channels, u32 `(n, ceil(c / 4), h, w)`, of int8; `weight` of shape
/// `(o, c / groups, kh, kw)`, i8 or u8, or the plane of values of a [`QuantLayout`] of that shape. After them, those that are said to be there:
/// the zero points of x and of the weight, the scales of x and of the weight, a bias `(o)`, all as of
/// [`IntegerMatmul`](crate::IntegerMatmul); of x one, of the weight one or `o`. In words, groups are of whole words, or of one channel and one
/// output.
///
/// Output: `(n, o, p, q)`, of what [`IntegerMatmul`](crate::IntegerMatmul) tells.
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
    pub(super) fn of(op: &'static str, x: &Layout, weight: &[usize], groups: usize) -> Result<Self> {
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
    pub(super) fn output(&self, conv: &Conv2d) -> Result<[usize; 4]> {
        let [x, weight] = [self.x, self.weight].map(|shape| Layout::new(&shape, DType::F32));
        let shape = conv.infer(&[x, weight])?.swap_remove(0).shape;
        Ok([shape[0], shape[1], shape[2], shape[3]])
    }

    /// Words of a group's channels.
    fn words(&self, words: Words) -> usize {
        self.weight[1].div_ceil(words.values())
    }

    /// How an image's channels become words.
    pub(super) fn pack_image(&self, codes: Codes, words: Words, groups: usize) -> PackWords {
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
    pub(super) fn pack_weight(&self, codes: Codes, words: Words, row: usize) -> PackWords {
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
    pub(super) fn problem(
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
        Ok(products(contraction, sides, narrow, fused))
    }
}

impl IntegerConv2d {
    pub(crate) fn common(&self) -> Common<'_> {
        let &IntegerConv2d { zeros, scales, bias, activation, output, .. } = self;
        let with = With { zeros, scales, bias };
        Common { op: CONV, weight: self.weight.as_ref(), with, activation, output }
    }

    /// The geometry.
    pub(crate) fn conv(&self) -> Conv2d {
        let IntegerConv2d { stride, padding, dilation, groups, .. } = *self;
        Conv2d { stride, padding, dilation, groups, ..Default::default() }
    }

    pub(crate) fn sizes(&self, x: &Layout, weight: &Layout) -> Result<ConvSizes> {
        ConvSizes::of(CONV, x, self.weight.as_ref().map_or(&weight.shape, |own| &own.shape), self.groups)
    }
}

/// The shape of a convolution's output, in the type that it comes in.
pub(super) fn conv_output(shape: [usize; 4], output: IntegerOutput) -> Layout {
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
        self.common().expect_whole(inputs)?;
        let sizes = self.sizes(&inputs[0], &inputs[1])?;
        let shape = sizes.output(&self.conv())?;
        self.common().expect_rest(inputs, [1, shape[1]], shape[1], sizes.weight[1..].iter().product())?;
        Ok(vec![conv_output(shape, self.output)])
    }

    fn problem(&self, inputs: &[Layout], _outputs: &[Layout]) -> Result<Problem> {
        let sizes = self.sizes(&inputs[0], &inputs[1])?;
        let numbers = self.common().numbers();
        let [x, weight] = self.common().sides(inputs, sizes.weight[0]);
        let (unsigned, mut sides) = ([x.unsigned, weight.unsigned], [weight, x]);
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
        let ending = self.common().ending(Words::Int8);
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
