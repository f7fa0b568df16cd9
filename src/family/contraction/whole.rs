//! Contractions of whole numbers: operands in words of several, products that are added in 32 bits, and an epilogue that makes up for
//! zero points before it scales.

use super::bind::{batch_strides, bind_scalar, read};
use super::pieces::Pieces;
use super::{Body, Variant};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::layout::DType;
use crate::plan::{Assembly, Binding, Param};
use crate::profile::{Class, DeviceProfile};
use crate::split::Region;

const DOT: ShaderFile = shader!("product/dot.wgsl");
const UNPACKED: ShaderFile = shader!("product/unpacked.wgsl");
const XNOR: ShaderFile = shader!("product/xnor.wgsl");
const WORDS: ShaderFile = shader!("product/words.wgsl");
const WHOLE: ShaderFile = shader!("epilogue/whole.wgsl");
const SUMS: ShaderFile = shader!("epilogue/whole_sums.wgsl");
const FLOATS: ShaderFile = shader!("epilogue/whole_floats.wgsl");
const CODES: ShaderFile = shader!("epilogue/whole_codes.wgsl");
const PLACES: ShaderFile = shader!("epilogue/whole_places.wgsl");
const SINGLES: ShaderFile = shader!("epilogue/whole_singles.wgsl");
const IN_FOURS: ShaderFile = shader!("epilogue/whole_words.wgsl");
const TERMS: ShaderFile = shader!("load/terms.wgsl");
const SAME_FILL: ShaderFile = shader!("load/same_fill.wgsl");
const FILL: ShaderFile = shader!("load/fill.wgsl");

/// Words of a row's or a column's terms.
pub(crate) const TERM: usize = 4;
const TERM_BYTES: u64 = TERM as u64 * DType::U32.size();

/// What a word of an operand holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// Four int8.
    Int8,
    /// 32 signs.
    Signs,
}

impl Words {
    /// Values of a word.
    pub const fn values(self) -> usize {
        match self {
            Words::Int8 => 4,
            Words::Signs => 32,
        }
    }
}

/// Where the epilogue finds what it has to know of rows, or of columns. Strides count terms, 0 where all share one.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// The number of the input.
    pub input: usize,
    /// How many there are.
    pub count: usize,
    /// Strides of the batch dimensions.
    pub batch: Vec<usize>,
    /// Stride of a row, or a column.
    pub stride: usize,
}

/// What a sum comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// Itself.
    Sums,
    /// A float.
    Floats,
    /// Codes of 8 bits, those of four rows in a word.
    Words {
        /// The zero point.
        zero: i32,
        /// The least and the greatest code.
        range: [i32; 2],
    },
    /// A code of 8 bits, in an element of 32.
    Codes {
        /// The zero point.
        zero: i32,
        /// The least and the greatest code.
        range: [i32; 2],
    },
}

/// What the terms hold last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// Nothing.
    None,
    /// What is added to the whole number.
    Whole,
    /// What is added to the float.
    Float,
}

/// What makes a contraction one of whole numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    /// What a word holds.
    pub words: Words,
    /// Values that a sum runs over.
    pub length: usize,
    /// Of the rows.
    pub rows: Terms,
    /// Of the columns.
    pub columns: Terms,
    /// What is added.
    pub bias: Bias,
    /// What sums come to.
    pub end: End,
}

impl Whole {
    /// With rows and columns in each other's place. What the columns' terms have taken off, k times the product of the zero points, may
    /// be taken off of either.
    pub(super) fn turned(self) -> Self {
        Whole { rows: self.columns, columns: self.rows, ..self }
    }

    /// Refuses a body without a form for words.
    pub(in crate::family) fn expect(&self, op: &'static str, variant: &Variant) -> Result<()> {
        let has =
            matches!(variant.body, Body::Direct | Body::Broadcast | Body::Staged | Body::FewRows | Body::FewColumns);
        // Those whose lanes have four rows that follow each other.
        let in_fours = matches!(variant.body, Body::Broadcast | Body::Staged | Body::FewRows)
            && variant.per_lane.0.is_multiple_of(4);
        let grouped = in_fours || !matches!(self.end, End::Words { .. });
        if has && grouped && variant.parts == 1 && variant.winograd == 0 {
            return Ok(());
        }
        Err(Error::Limit {
            op: op.into(),
            limit: "words of whole numbers",
            needed: 1,
            available: 0,
            hint: "the body multiplies floats alone",
        })
    }

    /// Whether a body multiplies words unpacked to floats: where the packed dot product is emulated that is faster. On lavapipe a register
    /// tile makes 37 to 40 Gmultiply-adds a second so, and 27 with the packed product.
    pub(super) fn is_unpacked(&self, body: Body, profile: &DeviceProfile) -> bool {
        self.words == Words::Int8 && body == Body::Broadcast && profile.class == Class::Cpu
    }

    /// Fills the hook of the products.
    pub(super) fn bind_product(&self, assembly: &mut Assembly, body: Body, profile: &DeviceProfile) {
        let file = match self.words {
            Words::Signs => XNOR,
            Words::Int8 if self.is_unpacked(body, profile) => UNPACKED,
            Words::Int8 => DOT,
        };
        assembly.fragment("product", file).fragment("product", WORDS);
    }

    /// Fills the hooks of the epilogue beside that of the place. Returns the bytes that they read.
    pub(super) fn bind_end(&self, assembly: &mut Assembly, pieces: &Pieces<'_>, region: &Region) -> Result<u64> {
        assembly.fragment("out", PLACES);
        if let End::Words { .. } = self.end {
            assembly.fragment("out", IN_FOURS).size("out", "rows", region.len(pieces.dims().0))?;
        } else {
            assembly.fragment("out", SINGLES);
        }
        self.bind_elements(assembly, pieces, region, false)
    }

    /// Those of what elements are, wherever they go. Sums in floats are exact, and have zero points made up for. Returns the bytes that they
    /// read.
    pub(super) fn bind_elements(
        &self,
        assembly: &mut Assembly,
        pieces: &Pieces<'_>,
        region: &Region,
        floats: bool,
    ) -> Result<u64> {
        let (m, n, _) = pieces.dims();
        assembly.fragment("out", WHOLE);
        assembly.constant("out", "SIGNS", Value::Bool(self.words == Words::Signs));
        assembly.constant("out", "WHOLE_BIAS", Value::Bool(self.bias == Bias::Whole));
        assembly.constant("out", "FLOAT_BIAS", Value::Bool(self.bias == Bias::Float));
        // A bias may be a whole number that no float is.
        assembly.constant("out", "IN_FLOATS", Value::Bool(floats && self.bias != Bias::Whole));
        assembly.constant("out", "Sum", Value::Type(if floats { "f32" } else { "i32" }));
        assembly.param("out", "k", Param::I32(i32::try_from(self.length).unwrap_or(i32::MAX)));
        match self.end {
            End::Sums => {
                assembly.fragment("out", SUMS);
            }
            End::Floats => {
                assembly.fragment("out", FLOATS);
            }
            End::Words { zero, range: [least, most] } | End::Codes { zero, range: [least, most] } => {
                assembly.fragment("out", CODES).param("out", "zero", Param::I32(zero));
                for (name, end) in [("least", least), ("most", most)] {
                    assembly.param("out", name, Param::F32((end - zero) as f32));
                }
            }
        }
        let mut moved = 0;
        for (hook, terms, dim) in [("rows", &self.rows, m), ("columns", &self.columns, n)] {
            let entry: usize = region.0[..m].iter().zip(&terms.batch).map(|(range, stride)| range.start * stride).sum();
            assembly.fragment(hook, TERMS).bind(hook, bind_terms(terms));
            assembly.constant(hook, "Elem", Value::Type("u32"));
            batch_strides(assembly, hook, &terms.batch)?;
            assembly.size(hook, "base", entry + region.0[dim].start * terms.stride)?;
            assembly.size(hook, "stride", terms.stride)?;
            moved += terms.count as u64 * TERM_BYTES;
        }
        Ok(moved)
    }
}

fn bind_terms(terms: &Terms) -> Binding {
    let bytes = terms.count as u64 * TERM_BYTES;
    Binding { element: TERM_BYTES, ..read(terms.input, 0..bytes, DType::U32) }
}

/// What lies around an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// A number, or a word.
    Number(u32),
    /// The zero point of int8, the first byte of an input.
    Byte {
        /// The number of the input.
        input: usize,
        /// Whether it is unsigned.
        unsigned: bool,
    },
}

/// Fills the hook of what lies around an image of such scalars.
pub(super) fn bind_fill(assembly: &mut Assembly, fill: Fill, dtype: DType) {
    match fill {
        Fill::Number(number) => {
            assembly.fragment("fill", SAME_FILL).constant("fill", "NUMBER", Value::U32(number));
            bind_scalar(assembly, "fill", dtype);
        }
        Fill::Byte { input, unsigned } => {
            assembly.fragment("fill", FILL).constant("fill", "Elem", Value::Type("u32"));
            assembly.constant("fill", "FLIP", flip(unsigned));
            assembly.bind("fill", read(input, 0..1, DType::U8));
        }
    }
}

/// What makes bytes signed: of unsigned ones the highest bit is turned, which takes 128 off.
pub(crate) fn flip(unsigned: bool) -> Value {
    Value::U32(flipped(unsigned))
}

/// The byte that is 0 then.
pub(crate) fn flipped(unsigned: bool) -> u32 {
    if unsigned { 128 } else { 0 }
}
