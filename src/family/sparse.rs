//! Packing weights into sparse formats, and unpacking what lies in planes.

use super::mask::{Kernel, expect_trips, lanes};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::Result;
use crate::family::contraction::stored::Stored;
use crate::family::{GROUP_OF, LOAD_BITS, LOAD_VALUES, wgsl};
use crate::op::mask::words;
use crate::op::sparse::SparseFormat;
use crate::problem::{Built, Candidate, Operands};
use crate::profile::{Class, DeviceProfile};

const PACK_BLOCKS: ShaderFile = shader!("sparse/pack_blocks.wgsl");
const PACK_BITS: ShaderFile = shader!("sparse/pack_bits.wgsl");
const PACK_TWO_FOUR: ShaderFile = shader!("sparse/pack_two_four.wgsl");
const UNPACK: ShaderFile = shader!("sparse/unpack.wgsl");

/// Values that an invocation moves at once.
const QUAD: usize = 4;
/// Such vectors that one unpacks on class Cpu, one after the other.
pub(crate) const CPU_RUN: usize = 64;

/// Dense weights that are packed; inputs and outputs are those of the op.
#[derive(Clone, Debug, PartialEq)]
pub struct Pack {
    /// Into what.
    pub format: SparseFormat,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

pub(crate) fn pack_candidates() -> Vec<Candidate<()>> {
    vec![Candidate { variant: (), name: "sparse/pack".into(), why: "runs within any limits".into() }]
}

pub(crate) fn build_pack(problem: &Pack, operands: &Operands<'_>, profile: &DeviceProfile) -> Result<Built> {
    let Pack { format, rows, columns } = *problem;
    let kernel = |body| -> Result<Kernel<'_>> {
        let mut kernel = Kernel::new(body, lanes(profile), operands, profile);
        kernel.assembly().constant("", "Elem", Value::Type(wgsl(operands.outputs[0].dtype)));
        let kernel = kernel.input("x", LOAD_VALUES, 0)?.input("mask", LOAD_BITS, 1)?.output("out", 0)?;
        kernel.size("rows", rows)?.size("columns", columns)
    };
    let quads = columns.div_ceil(QUAD);
    let dispatch = match format {
        SparseFormat::Blocks { size: [height, width], .. } => {
            let vectors = operands.outputs[0].len() / QUAD;
            let mut kernel =
                kernel(PACK_BLOCKS)?.input("columns", LOAD_VALUES, 2)?.input("pointers", LOAD_VALUES, 3)?;
            kernel.assembly().common(GROUP_OF);
            let kernel = kernel.size("vectors", vectors)?.size("groups", rows.div_ceil(height))?;
            kernel.size("height", height)?.size("width", width)?.dispatch(vectors)?
        }
        SparseFormat::Bitmask { entries } => {
            expect_trips(operands.op, words(columns) + columns)?;
            let kernel = kernel(PACK_BITS)?.input("pointers", LOAD_VALUES, 2)?;
            let kernel = kernel.output("codes", 1)?.output("ranks", 2)?.size("words", words(columns))?;
            kernel.size("entries", entries)?.dispatch(rows)?
        }
        _ => {
            let codes = quads.div_ceil(8);
            let kernel = kernel(PACK_TWO_FOUR)?.output("codes", 1)?.size("pairs", quads)?.size("words", codes)?;
            kernel.dispatch(rows * codes)?
        }
    };
    Ok(Built::scalar(vec![dispatch]))
}

pub(crate) fn unpack_candidates() -> Vec<Candidate<()>> {
    vec![Candidate { variant: (), name: "sparse/unpack".into(), why: "runs within any limits".into() }]
}

pub(crate) fn build_unpack(stored: Stored<'_>, operands: &Operands<'_>, profile: &DeviceProfile) -> Result<Built> {
    let [rows, columns] = stored.sizes();
    let quads = columns.div_ceil(QUAD);
    // A workgroup costs class Cpu more than what it does for a few values.
    let run = if profile.class == Class::Cpu { CPU_RUN } else { 1 };
    let mut kernel = Kernel::new(UNPACK, lanes(profile), operands, profile);
    kernel.assembly().constant("", "Elem", Value::Type(wgsl(operands.outputs[0].dtype)));
    kernel.assembly().constant("", "RUN", Value::U32(run as u32));
    let bytes = stored.bind_rows(kernel.assembly(), operands)?;
    let kernel = kernel.moves(bytes).output("out", 0)?.size("rows", rows)?;
    let kernel = kernel.size("columns", columns)?.size("quads", quads)?;
    let aligned = stored.aligned(None, operands).into_iter().collect();
    Ok(Built { aligned, ..Built::scalar(vec![kernel.dispatch((rows * quads).div_ceil(run))?]) })
}
