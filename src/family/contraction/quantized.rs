//! Quantized left operands: which bodies take them, and how their planes are read.

use std::ops::Range;

use super::bind::{batch_strides, bind_operand, bind_scalar, word};
use super::pieces::Pieces;
use super::quads::{self, Lie, Side, VECTOR};
use super::sparse::QUADS_ROWS;
use super::{Addressing, Body, Contraction, Variant};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::family::{LOAD_VALUES, wgsl};
use crate::layout::{DType, count};
use crate::op::quantize::{Granularity, QuantLayout, QuantType};
use crate::plan::{Access, Assembly, Binding, Slot};
use crate::problem::Operands;
use crate::profile::{Class, DeviceProfile};
use crate::split::{Region, bytes, reach};

const QUANTIZED: ShaderFile = shader!("load/quantized.wgsl");
const CHUNKS: ShaderFile = shader!("load/chunks.wgsl");
const VECTORS: ShaderFile = shader!("load/vectors.wgsl");
const GATHERED: ShaderFile = shader!("load/gathered.wgsl");
const ZEROS: ShaderFile = shader!("load/zeros.wgsl");
const NO_ZEROS: ShaderFile = shader!("load/no_zeros.wgsl");
const UNPACKED: ShaderFile = shader!("common/unpacked.wgsl");

/// Words that are read at once.
const CHUNK: usize = 4;

/// A quantized matrix as an operand.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// How it lies in memory.
    pub layout: QuantLayout,
    /// The number of its first plane among the inputs; the others follow.
    pub first: usize,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Words of a row.
    pub pitch: usize,
    /// Rows from one entry to the next of each batch dimension: groups of a convolution have their own.
    pub batch: Vec<usize>,
}

impl Quantized {
    /// The planes from input `first` on.
    pub(crate) fn new(layout: &QuantLayout, first: usize, batch: Vec<usize>) -> Result<Self> {
        let [rows, columns] = layout.matrix()?;
        Ok(Quantized { layout: layout.clone(), first, rows, columns, pitch: layout.pitch()?, batch })
    }

    /// The rows that a region reads.
    fn rows_of(&self, pieces: &Pieces<'_>, region: &Region) -> Range<u64> {
        let (m, ..) = pieces.dims();
        let entries = region.0.iter().cloned().zip(self.batch.iter().copied());
        reach(entries.chain([(region.0[m].clone(), 1)]))
    }

    /// The words that a region reads.
    pub(super) fn words_of(&self, pieces: &Pieces<'_>, region: &Region) -> Range<u64> {
        let (rows, pitch) = (self.rows_of(pieces, region), self.pitch as u64);
        rows.start * pitch..rows.end * pitch
    }

    /// Steps of four values.
    pub(super) fn steps(&self) -> f64 {
        self.columns.div_ceil(VECTOR) as f64
    }

    /// Whether all values of a row share a scale.
    fn is_by_row(&self) -> bool {
        matches!(self.layout.scheme.granularity, Granularity::Tensor | Granularity::Channel(0))
    }

    /// Values of k that share a scale where rows have several; 1 where scales go by the column.
    fn block(&self) -> usize {
        match self.layout.scheme.granularity {
            Granularity::Block(len) => len,
            _ => 1,
        }
    }

    /// Loads of 4 bytes that four values of a row take.
    pub(super) fn loads(&self) -> f64 {
        let each = if self.layout.scheme.symmetric { 1.0 } else { 2.0 };
        1.0 + match self.block() {
            _ if self.is_by_row() => 0.0,
            1 => 4.0 * each,
            _ => each,
        }
    }

    /// The bodies of chunks for few columns.
    pub(super) fn tiles(&self, profile: &DeviceProfile, n: usize) -> Vec<Variant> {
        let columns = COLUMNS.into_iter().find(|&columns| columns as usize >= n);
        let mut tiles = columns.map(|columns| tiles_of(profile, columns)).unwrap_or_default();
        let fours = self.layout.scheme.values.per_word();
        tiles.retain(|tile| fours * (tile.per_lane.0 * tile.per_lane.1) as usize <= QUICK);
        tiles
    }

    /// Chunks of a row, fours of a chunk, and how often a chunk changes its scale.
    pub(super) fn chunks(&self) -> [f64; 3] {
        let spans = CHUNK / self.span();
        [self.pitch / CHUNK, self.layout.scheme.values.per_word(), spans].map(|count| count as f64)
    }

    /// Words of a chunk that share a scale.
    fn span(&self) -> usize {
        match self.block() {
            _ if self.is_by_row() => CHUNK,
            block => (block / self.layout.scheme.values.per_word()).clamp(1, CHUNK),
        }
    }

    /// Refuses bodies that read operands of another kind.
    pub(super) fn expect(&self, op: &'static str, variant: &Variant) -> Result<()> {
        let fits = match variant.body {
            Body::Broadcast | Body::SparseRows | Body::SparseColumns | Body::Staged | Body::Cooperative => true,
            Body::Chunks => self.pitch.is_multiple_of(CHUNK) && (self.is_by_row() || self.block() > 1),
            _ => false,
        };
        if fits && variant.parts == 1 && variant.winograd == 0 {
            return Ok(());
        }
        Err(Error::Limit {
            op: op.into(),
            limit: "quantized operands",
            needed: 1,
            available: 0,
            hint: "the body reads operands of another kind, or chunks of 16 bytes whose values share a scale",
        })
    }

    /// Whether its words can be read in chunks.
    pub(super) fn in_chunks(&self, operands: &Operands<'_>) -> bool {
        u64::from(operands.inputs[self.first].align) >= CHUNK as u64 * DType::U32.size()
    }

    /// Binds a plane of scales or zero points as a whole. Returns its bytes.
    fn read(&self, assembly: &mut Assembly, hook: &'static str, file: ShaderFile, plane: usize) -> Result<u64> {
        let layout = &self.layout.planes()?[plane];
        let (slot, range) = (Slot::Input(self.first + plane), 0..layout.bytes());
        assembly.fragment(hook, file).constant(hook, "Elem", Value::Type(wgsl(layout.dtype)));
        assembly.bind(hook, Binding { slot, range, access: Access::Read, element: layout.dtype.size() });
        Ok(layout.bytes())
    }

    /// Fills hook a with the loader of four values of a row, of these rows. Returns the bytes that it reads.
    pub(crate) fn bind_rows(&self, assembly: &mut Assembly, rows: Range<u64>) -> Result<u64> {
        let shape = &self.layout.shape;
        let [run, runs] = match self.layout.scheme.granularity {
            Granularity::Channel(axis) if axis > 0 => [count(&shape[axis + 1..]), shape[axis]],
            _ => [1; 2],
        };
        assembly.size("a", "columns", self.columns)?.size("a", "run", run.max(1))?.size("a", "runs", runs.max(1))?;
        self.bind_planes(assembly, rows, QUANTIZED, 1)
    }

    /// Fills hook a with a loader of so many words at once.
    fn bind_planes(&self, assembly: &mut Assembly, rows: Range<u64>, file: ShaderFile, words: usize) -> Result<u64> {
        let scheme = self.layout.scheme;
        let values = match scheme.values {
            QuantType::I8 => 0,
            QuantType::U8 => 1,
            QuantType::I4 => 2,
            QuantType::Binary => 3,
        };
        assembly.common(UNPACKED).constant("", "VALUES", Value::U32(values));
        assembly.constant("", "QUADS", word(scheme.values.per_word() / VECTOR));
        assembly.constant("a", "ITS_OWN", Value::Bool(self.is_by_row())).constant("a", "BLOCK", word(self.block()));
        let stride = match scheme.granularity {
            Granularity::Channel(0) => 1,
            Granularity::Block(len) => self.columns.div_ceil(len),
            Granularity::Tensor | Granularity::Channel(_) => 0,
        };
        assembly.size("a", "row", rows.start as usize)?.size("a", "scale_stride", stride)?;
        assembly.size("a", "pitch", self.pitch / words)?;
        batch_strides(assembly, "a", &self.batch)?;
        let pitch = self.pitch as u64 * DType::U32.size();
        let (slot, range) = (Slot::Input(self.first), rows.start * pitch..rows.end * pitch);
        let mut bytes = range.end - range.start;
        let element = words as u64 * DType::U32.size();
        assembly.fragment("a", file).bind("a", Binding { slot, range, access: Access::Read, element });
        bytes += self.read(assembly, "scales", LOAD_VALUES, 1)?;
        if scheme.symmetric {
            assembly.fragment("zeros", NO_ZEROS);
        } else {
            assembly.constant("zeros", "SIGNED", Value::Bool(scheme.values != QuantType::U8));
            bytes += self.read(assembly, "zeros", ZEROS, 2)?;
        }
        Ok(bytes)
    }

    /// Fills hook a with the loader of a body. Returns the bytes that it reads.
    pub(super) fn bind(
        &self,
        assembly: &mut Assembly,
        pieces: &Pieces<'_>,
        body: Body,
        region: &Region,
    ) -> Result<u64> {
        let rows = self.rows_of(pieces, region);
        match body {
            Body::Chunks => {
                let per_word = self.layout.scheme.values.per_word();
                let is_whole = self.columns.is_multiple_of(CHUNK * per_word);
                assembly.constant("", "SPAN", word(self.span())).constant("", "WHOLE", Value::Bool(is_whole));
                assembly.size("", "chunks", self.pitch / CHUNK)?;
                assembly.size("a", "last", self.columns.div_ceil(self.block()).saturating_sub(1))?;
                return self.bind_planes(assembly, rows, CHUNKS, CHUNK);
            }
            Body::Staged | Body::Cooperative => {
                assembly.fragment("a", QUADS_ROWS);
            }
            _ => {}
        }
        self.bind_rows(assembly, rows)
    }
}

/// How the columns lie that a body of chunks reads in vectors of four values of k.
pub(super) fn lies_in_fours(problem: &Contraction, operands: &Operands<'_>) -> bool {
    quads::lie(problem, Side::B, operands) == Some(Lie::Along)
}

/// Fills hook b with the loader of four values of k of a column. Returns the bytes that it reads.
pub(super) fn bind_columns(
    assembly: &mut Assembly,
    pieces: &Pieces<'_>,
    region: &Region,
    operands: &Operands<'_>,
) -> Result<u64> {
    let (_, n, _) = pieces.dims();
    let operand = &pieces.problem.b;
    let range = bytes(pieces.operand(operand, region, n), operand.dtype);
    let moved = range.end - range.start;
    match &operand.addressing {
        Addressing::Dense { batch, outer, .. } if lies_in_fours(pieces.problem, operands) => {
            quads::bind_in_vectors(assembly, "b", operand, range, batch)?;
            bind_scalar(assembly, "b", operand.dtype);
            assembly.fragment("b", VECTORS).constant("b", "PANEL", Value::U32(1));
            assembly.size("b", "panel_stride", outer / VECTOR)?.size("b", "quad_stride", 1)?;
        }
        _ => {
            bind_operand(assembly, "source", operand, range, region.0[n].start)?;
            assembly.fragment("b", GATHERED).size("b", "k", pieces.problem.k)?;
        }
    }
    Ok(moved)
}

const fn chunks(lanes: u32, per_lane: (u32, u32)) -> Variant {
    Variant { body: Body::Chunks, lanes: (lanes, 1), per_lane, step: 4, parts: 1, winograd: 0 }
}

/// Columns of the bodies of chunks.
const COLUMNS: [u32; 4] = [1, 2, 4, 8];
/// Rows on class Cpu: the more, the fewer loads of columns.
const CPU_ROWS: [u32; 5] = [16, 8, 4, 2, 1];
/// Multiplications of fours that are worth compiling, all of a chunk being unrolled: twice as many take more than a second.
const QUICK: usize = 256;

/// The tiles of so many columns.
fn tiles_of(profile: &DeviceProfile, columns: u32) -> Vec<Variant> {
    if profile.class == Class::Cpu {
        let lanes = profile.fixed_subgroup_size().unwrap_or(8);
        return CPU_ROWS.map(|rows| chunks(lanes, (rows, columns))).to_vec();
    }
    [(64, 4), (32, 4), (32, 1)].map(|(lanes, rows)| chunks(lanes, (rows, columns))).to_vec()
}

/// Those for any number.
pub(super) fn every(profile: &DeviceProfile) -> Vec<Variant> {
    COLUMNS.into_iter().flat_map(|columns| tiles_of(profile, columns)).collect()
}
