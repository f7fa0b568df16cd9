//! Sums in parts: where tiles are too few for a device and k is long, each part of k has workgroups of its own. Their sums go
//! to scratch memory, and a second dispatch adds them in order and applies the epilogue.

use super::GRID;
use super::bind::{DENSE, LINEAR, NO_ADDEND, NO_RESIDUAL, PLACE, batch_strides, bind_output, bind_scalar};
use super::pieces::{Pieces, inner};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::Result;
use crate::family::{STRIDES, activation, wgsl};
use crate::layout::DType;
use crate::op::activation::Activation;
use crate::plan::{Access, Assembly, Binding, Dispatch, Param, Slot, Work};
use crate::problem::Operands;
use crate::profile::DeviceProfile;
use crate::split::Region;

const COMBINE: ShaderFile = shader!("contraction/combine.wgsl");

/// Invocations of a workgroup that adds: one subgroup of the widest device.
const ADDERS: u32 = 64;

/// Values of k in a part of a region, a multiple of the body's step.
pub(super) fn chunk(pieces: &Pieces<'_>, region: &Region) -> usize {
    let k = region.len(pieces.dims().2);
    k.div_ceil(pieces.parts).next_multiple_of(pieces.step).max(pieces.step)
}

/// The parts of a region; of one without sums, one.
pub(super) fn count(pieces: &Pieces<'_>, region: &Region) -> usize {
    let parts = region.len(pieces.dims().2).div_ceil(chunk(pieces, region));
    if elements(pieces, region) > 0 { parts.max(1) } else { 1 }
}

/// Sums of a part.
fn elements(pieces: &Pieces<'_>, region: &Region) -> usize {
    (0..pieces.dims().2).fold(1, |product: usize, dim| product.saturating_mul(region.len(dim)))
}

/// Sizes of the batch dimensions that kernels count, and rows and columns, of a region with sums.
fn sizes(pieces: &Pieces<'_>, region: &Region) -> ([usize; 3], usize, usize) {
    let (m, n, _) = pieces.dims();
    let batch: Vec<usize> = (0..m).map(|dim| region.len(dim)).collect();
    (inner(&batch).map(|size| size.max(1)), region.len(m), region.len(n))
}

/// Bytes of all parts' sums, where there is more than one.
pub(super) fn scratch(pieces: &Pieces<'_>, region: &Region) -> Option<u64> {
    let parts = count(pieces, region);
    (parts > 1).then(|| (elements(pieces, region).saturating_mul(parts) as u64).saturating_mul(DType::F32.size()))
}

fn binding(pieces: &Pieces<'_>, region: &Region, access: Access) -> Binding {
    let range = 0..scratch(pieces, region).unwrap_or(0);
    Binding { slot: Slot::Scratch(0), range, access, element: DType::F32.size() }
}

/// Lets a body store its sums, those of a part after those of the one before. Returns the bytes that it writes.
pub(super) fn bind_partials(assembly: &mut Assembly, pieces: &Pieces<'_>, region: &Region) -> Result<u64> {
    let ([_, middle, last], m, n) = sizes(pieces, region);
    let binding = binding(pieces, region, Access::Write);
    let moved = binding.range.end;
    activation(assembly, Activation::None);
    assembly.fragment("out", PLACE).fragment("out", LINEAR).fragment("addend", NO_ADDEND);
    assembly.fragment("residual", NO_RESIDUAL).bind("out", binding);
    assembly.constant("out", "Elem", Value::Type(wgsl(DType::F32)));
    assembly.constant("out", "COLUMNS_SPLIT", Value::Bool(false)).constant("out", "PARTED", Value::Bool(true));
    // Sums as they are: no epilogue follows the last.
    assembly.param("out", "first", Param::U32(1)).param("out", "last", Param::U32(0));
    batch_strides(assembly, "out", &[middle * last * m * n, last * m * n, m * n])?;
    assembly.size("out", "row_stride", n)?.size("out", "column_first", 0)?;
    assembly.size("out", "column_inner", 1)?.size("out", "column_outer_stride", 0)?;
    assembly.param("out", "alpha", Param::F32(1.0));
    Ok(moved)
}

/// The dispatch that adds a region's parts, if there are several.
pub(super) fn combine(
    pieces: &Pieces<'_>,
    region: &Region,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Option<Dispatch>> {
    let parts = count(pieces, region);
    if parts == 1 {
        return Ok(None);
    }
    let ([_, middle, last], m, n) = sizes(pieces, region);
    let elements = elements(pieces, region);
    let mut assembly = Assembly::new(operands.op, COMBINE, operands.arena());
    assembly.common(GRID);
    assembly.constant("", "WG_X", Value::U32(ADDERS)).constant("", "WG_Y", Value::U32(1));
    assembly.size("", "elements", elements)?.size("", "m", m)?.size("", "n", n)?.size("", "parts", parts)?;
    assembly.size("", "batch_1", middle)?.size("", "batch_2", last)?;
    let partials = binding(pieces, region, Access::Read);
    let moved = partials.range.end;
    assembly.fragment("partials", DENSE).fragment("partials", STRIDES).bind("partials", partials);
    assembly.constant("partials", "Elem", Value::Type(wgsl(DType::F32))).constant("partials", "TAPS", Value::U32(1));
    bind_scalar(&mut assembly, "partials", DType::F32);
    batch_strides(&mut assembly, "partials", &[])?;
    assembly.size("partials", "outer_stride", 1)?.size("partials", "k_stride", elements)?;
    let moved = moved + bind_output(&mut assembly, pieces, region)?;
    let work = Work { flops: elements as f64 * parts as f64, bytes: moved as f64 };
    Ok(Some(assembly.dispatch(profile, elements.div_ceil(ADDERS as usize) as u64, work)?))
}
