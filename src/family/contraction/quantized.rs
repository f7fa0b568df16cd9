//! Quantized left operands: which bodies take them, and how their planes are read.

use std::ops::Range;

use super::quads::VECTOR;
use super::sparse::QUADS_ROWS;
use super::{Body, Pieces, Variant, batch_strides, wgsl, word};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::family::LOAD_VALUES;
use crate::layout::{DType, count};
use crate::op::quantize::{Granularity, QuantLayout, QuantType};
use crate::plan::{Access, Assembly, Binding, Slot};
use crate::split::{Region, reach};

const QUANTIZED: ShaderFile = shader!("load/quantized.wgsl");
const ZEROS: ShaderFile = shader!("load/zeros.wgsl");
const NO_ZEROS: ShaderFile = shader!("load/no_zeros.wgsl");
const UNPACKED: ShaderFile = shader!("common/unpacked.wgsl");

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

    /// Refuses bodies that read operands of another kind.
    pub(super) fn expect(&self, op: &'static str, variant: &Variant) -> Result<()> {
        let fits = matches!(
            variant.body,
            Body::Broadcast | Body::SparseRows | Body::SparseColumns | Body::Staged | Body::Cooperative
        );
        if fits && variant.parts == 1 && variant.winograd == 0 {
            return Ok(());
        }
        Err(Error::Limit {
            op: op.into(),
            limit: "quantized operands",
            needed: 1,
            available: 0,
            hint: "the body reads operands of another kind",
        })
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
        let scheme = self.layout.scheme;
        let values = match scheme.values {
            QuantType::I8 => 0,
            QuantType::U8 => 1,
            QuantType::I4 => 2,
            QuantType::Binary => 3,
        };
        assembly.common(UNPACKED).constant("", "VALUES", Value::U32(values));
        assembly.constant("a", "ITS_OWN", Value::Bool(self.is_by_row())).constant("a", "BLOCK", word(self.block()));
        let shape = &self.layout.shape;
        let (stride, [run, runs]) = match scheme.granularity {
            Granularity::Tensor => (0, [1; 2]),
            Granularity::Channel(0) => (1, [1; 2]),
            Granularity::Block(len) => (self.columns.div_ceil(len), [1; 2]),
            Granularity::Channel(axis) => (0, [count(&shape[axis + 1..]), shape[axis]]),
        };
        assembly.size("a", "row", rows.start as usize)?.size("a", "pitch", self.pitch)?.size(
            "a",
            "scale_stride",
            stride,
        )?;
        assembly.size("a", "columns", self.columns)?.size("a", "run", run.max(1))?.size("a", "runs", runs.max(1))?;
        batch_strides(assembly, "a", &self.batch)?;
        let pitch = self.pitch as u64 * DType::U32.size();
        let (slot, range) = (Slot::Input(self.first), rows.start * pitch..rows.end * pitch);
        let mut bytes = range.end - range.start;
        assembly.fragment("a", QUANTIZED);
        assembly.bind("a", Binding { slot, range, access: Access::Read, element: DType::U32.size() });
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
        if matches!(body, Body::Staged | Body::Cooperative) {
            assembly.fragment("a", QUADS_ROWS);
        }
        self.bind_rows(assembly, self.rows_of(pieces, region))
    }
}
