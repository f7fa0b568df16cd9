//! Quantization: how numbers are kept in few bits, `x = scale * (q - zero)`, and the ops that go there and back.

use std::fmt;

use crate::error::{Error, Result};
use crate::layout::{DType, Layout, count};
use crate::op::mask::matrix;
use crate::op::precision::FLOATS;

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
