//! What fills the hooks of the bodies: operands, products and the epilogue.

use std::ops::Range;

use super::pieces::{Pieces, inner};
use super::quads::{self, Side};
use super::stored::Stored;
use super::{Addressing, Body, Contraction, Operand, Variant, Windows, gpu, panels, quantized, sparse, whole};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::Result;
use crate::family::{STRIDES, activation, wgsl};
use crate::layout::DType;
use crate::plan::{Access, Assembly, Binding, Param, Slot};
use crate::problem::Operands;
use crate::profile::DeviceProfile;
use crate::split::{Region, bytes};

pub(super) const DENSE: ShaderFile = shader!("load/dense.wgsl");
const WINDOWS: ShaderFile = shader!("load/windows.wgsl");
pub(super) const PLACE: ShaderFile = shader!("epilogue/place.wgsl");
pub(super) const LINEAR: ShaderFile = shader!("epilogue/linear.wgsl");
const ADDEND: ShaderFile = shader!("epilogue/addend.wgsl");
pub(super) const NO_ADDEND: ShaderFile = shader!("epilogue/no_addend.wgsl");
const RESIDUAL: ShaderFile = shader!("epilogue/residual.wgsl");
pub(super) const NO_RESIDUAL: ShaderFile = shader!("epilogue/no_residual.wgsl");
const FLOAT: ShaderFile = shader!("product/float.wgsl");
const PANEL_VECTORS: ShaderFile = shader!("contraction/panel_vectors.wgsl");
const PANEL_SCALARS: ShaderFile = shader!("contraction/panel_scalars.wgsl");

/// Fills the hooks of the epilogue. Returns the bytes that it reads and writes.
pub(super) fn bind_output(assembly: &mut Assembly, pieces: &Pieces<'_>, region: &Region) -> Result<u64> {
    let problem = pieces.problem;
    let k_dim = pieces.dims().2;
    activation(assembly, problem.activation);
    let moved = bind_place(assembly, pieces, region)?;
    if let Some(whole) = &problem.whole {
        return Ok(moved + whole.bind_end(assembly, pieces, region)?);
    }
    assembly.fragment("out", LINEAR);
    let (first, last) = (region.0[k_dim].start == 0, region.0[k_dim].end == problem.k);
    assembly.constant("out", "PARTED", Value::Bool(!(first && last)));
    // Parameters, not constants: the parts of a long sum share a pipeline.
    assembly.param("out", "first", Param::U32(first.into())).param("out", "last", Param::U32(last.into()));
    assembly.param("out", "alpha", Param::F32(problem.alpha));

    Ok(moved + bind_addend(assembly, pieces, region)? + bind_residual(assembly, pieces, region))
}

/// Fills the hooks of the epilogue for a body that computes a contraction of whole numbers as a whole. Returns the bytes that it reads and
/// writes.
pub(crate) fn bind_whole_output(assembly: &mut Assembly, op: &'static str, problem: &Contraction) -> Result<u64> {
    let pieces = Pieces { op, problem, tile: (1, 1), step: 1, parts: 1, feeds: None };
    bind_output(assembly, &pieces, &whole_region(problem))
}

/// Those of what elements are, for a body that has sums in floats and stores in a way of its own. Returns the bytes that they read.
pub(crate) fn bind_whole_elements(assembly: &mut Assembly, op: &'static str, problem: &Contraction) -> Result<u64> {
    activation(assembly, problem.activation);
    let pieces = Pieces { op, problem, tile: (1, 1), step: 1, parts: 1, feeds: None };
    let Some(whole) = &problem.whole else { return Ok(0) };
    whole.bind_elements(assembly, &pieces, &whole_region(problem), true)
}

fn whole_region(problem: &Contraction) -> Region {
    let mut sizes = problem.batch.clone();
    sizes.extend([problem.m, problem.n, problem.k]);
    Region::whole(&sizes)
}

/// The part of the epilogue that knows where results go. Returns the bytes that it writes.
fn bind_place(assembly: &mut Assembly, pieces: &Pieces<'_>, region: &Region) -> Result<u64> {
    let out = &pieces.problem.out;
    let range = bytes(pieces.target(region), out.dtype);
    let moved = range.end - range.start;
    assembly.fragment("out", PLACE);
    assembly.bind("out", Binding { slot: Slot::Output(0), range, access: Access::Write, element: out.dtype.size() });
    assembly.constant("out", "Elem", Value::Type(wgsl(out.dtype)));
    assembly.constant("out", "COLUMNS_SPLIT", Value::Bool(out.columns.is_some()));
    batch_strides(assembly, "out", &out.batch)?;
    let (column_inner, column_outer) = out.columns.unwrap_or((1, 0));
    assembly.size("out", "row_stride", out.row)?;
    assembly.size("out", "column_first", region.0[pieces.dims().1].start % column_inner)?;
    assembly.size("out", "column_inner", column_inner)?.size("out", "column_outer_stride", column_outer)?;
    Ok(moved)
}

/// Fills the hook of the epilogue's addend. Returns the bytes that it reads.
pub(super) fn bind_addend(assembly: &mut Assembly, pieces: &Pieces<'_>, region: &Region) -> Result<u64> {
    let Some(addend) = &pieces.problem.addend else {
        assembly.fragment("addend", NO_ADDEND);
        return Ok(0);
    };
    let range = bytes(pieces.addend(addend, region), addend.dtype);
    let moved = range.end - range.start;
    assembly.fragment("addend", ADDEND);
    assembly.constant("addend", "Elem", Value::Type(wgsl(addend.dtype)));
    assembly.bind("addend", read(addend.input, range, addend.dtype));
    batch_strides(assembly, "addend", &addend.batch)?;
    assembly.size("addend", "row_stride", addend.row)?.size("addend", "column_stride", addend.column)?;
    assembly.param("addend", "beta", Param::F32(addend.beta));
    Ok(moved)
}

/// Fills the hook of what is added after the addend. Returns the bytes that it reads.
fn bind_residual(assembly: &mut Assembly, pieces: &Pieces<'_>, region: &Region) -> u64 {
    let Some(residual) = pieces.problem.residual else {
        assembly.fragment("residual", NO_RESIDUAL);
        return 0;
    };
    let range = bytes(pieces.target(region), residual.dtype);
    let moved = range.end - range.start;
    assembly.fragment("residual", RESIDUAL).constant("residual", "Elem", Value::Type(wgsl(residual.dtype)));
    assembly.bind("residual", read(residual.input, range, residual.dtype));
    moved
}

/// Fills an operand's hook with the loader that a body asks for. Returns the bytes that it reads.
pub(super) fn bind_side(
    assembly: &mut Assembly,
    pieces: &Pieces<'_>,
    body: Body,
    side: Side,
    region: &Region,
    operands: &Operands<'_>,
) -> Result<u64> {
    if let (Side::A, Some(stored)) = (side, Stored::of(pieces.problem)) {
        return stored.bind(assembly, pieces, body, region, operands);
    }
    match (body, pieces.feeds) {
        (Body::Chunks, _) => quantized::bind_columns(assembly, pieces, region, operands),
        (Body::SparseRows | Body::SparseColumns, _) => quads::bind(assembly, pieces, side, region, operands),
        (Body::Staged | Body::Cooperative | Body::FewRows, _) => quads::bind(assembly, pieces, side, region, operands),
        (_, Some(feeds)) => panels::bind_fed(assembly, pieces, side, feeds[side as usize], region),
        _ => {
            let (operand, outer) = (side.operand(pieces.problem), side.outer(pieces));
            let range = bytes(pieces.operand(operand, region, outer), operand.dtype);
            let moved = range.end - range.start;
            bind_operand(assembly, side.hook(), operand, range, region.0[outer].start)?;
            Ok(moved)
        }
    }
}

/// Fills an operand's hook with the loader of its addressing; `first` is its first row or column.
pub(crate) fn bind_operand(
    assembly: &mut Assembly,
    hook: &'static str,
    operand: &Operand,
    range: Range<u64>,
    first: usize,
) -> Result<()> {
    assembly.bind(hook, read(operand.input, range, operand.dtype));
    assembly.constant(hook, "Elem", Value::Type(wgsl(operand.dtype)));
    bind_scalar(assembly, hook, operand.dtype);
    match &operand.addressing {
        Addressing::Sparse(_) | Addressing::Quantized(_) => return Err(sparse::unfit(assembly.op())),
        Addressing::Dense { batch, outer, k, taps } => {
            assembly.fragment(hook, DENSE).fragment(hook, STRIDES);
            // Invocations that stage neighbours should read neighbours.
            assembly.constant(hook, "K_FASTEST", Value::Bool(gpu::k_fastest(operand))).constant(
                hook,
                "TAPS",
                word(*taps),
            );
            batch_strides(assembly, hook, batch)?;
            assembly.size(hook, "outer_stride", *outer)?.size(hook, "k_stride", *k)?;
        }
        Addressing::Windows(windows) => {
            assembly.fragment(hook, WINDOWS);
            whole::bind_fill(assembly, windows.fill, operand.dtype);
            assembly.constant(hook, "K_FASTEST", Value::Bool(gpu::k_fastest(operand)));
            bind_windows(assembly, hook, windows, first)?;
        }
    }
    Ok(())
}

/// The constants and parameters of the windows' loader; `first` is the first column.
fn bind_windows(assembly: &mut Assembly, hook: &'static str, windows: &Windows, first: usize) -> Result<()> {
    let pixels = windows.output[0] * windows.output[1];
    batch_strides(assembly, hook, &windows.batch)?;
    assembly.size(hook, "image_stride", windows.image)?.size(hook, "row_stride", windows.input[1])?;
    assembly.size(hook, "channel_stride", windows.input[0] * windows.input[1])?;
    assembly.size(hook, "column_first", first % pixels)?.size(hook, "pixels", pixels)?;
    assembly.size(hook, "out_width", windows.output[1])?;
    let names = [
        ("KERNEL_H", "SPREAD_H", "height", "step_h", "tap_h", "origin_h"),
        ("KERNEL_W", "SPREAD_W", "width", "step_w", "tap_w", "origin_w"),
    ];
    for (axis, (kernel, spread, side, step, tap, origin)) in names.into_iter().enumerate() {
        let (stride, input) = (windows.stride[axis], windows.input[axis]);
        let (dilation, padding) = (low_word(windows.dilation[axis]), low_word(windows.padding[axis]));
        // By the kernel's sides and the spread the loader divides at every load: constants make that cheap.
        assembly.constant(hook, kernel, word(windows.kernel[axis]));
        if windows.transposed {
            assembly.constant(hook, spread, word(stride));
            assembly.size(hook, side, (input - 1) * stride + 1)?.size(hook, step, 1)?;
            assembly.param(hook, tap, Param::U32(dilation.wrapping_neg())).param(hook, origin, Param::U32(padding));
        } else {
            assembly.constant(hook, spread, word(1));
            assembly.size(hook, side, input)?.size(hook, step, stride)?;
            assembly.param(hook, tap, Param::U32(dilation)).param(hook, origin, Param::U32(padding.wrapping_neg()));
        }
    }
    Ok(())
}

pub(super) fn batch_strides(assembly: &mut Assembly, hook: &str, batch: &[usize]) -> Result<()> {
    let [s0, s1, s2] = inner(batch);
    assembly.size(hook, "batch_0", s0)?.size(hook, "batch_1", s1)?.size(hook, "batch_2", s2)?;
    Ok(())
}

/// What the loaders of a hook hand on: words as they are, floats of any size as f32.
pub(super) fn bind_scalar(assembly: &mut Assembly, hook: &'static str, dtype: DType) {
    assembly.constant(hook, "Scalar", Value::Type(dtype.word()));
}

pub(super) fn read(input: usize, range: Range<u64>, dtype: DType) -> Binding {
    Binding { slot: Slot::Input(input), range, access: Access::Read, element: dtype.size() }
}

pub(super) fn word(value: usize) -> Value {
    Value::U32(low_word(value))
}

/// A number that is below 2^32: ops refuse kernels whose side is not, and `size` refuses sums as long.
pub(super) fn low_word(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Fills the hook of the products, and names what bodies and loaders hand on in blocks of four by four.
pub(super) fn bind_product(assembly: &mut Assembly, problem: &Contraction, body: Body, profile: &DeviceProfile) {
    let [stage, quad] = match (&problem.whole, body) {
        (Some(_), _) => ["u32", "array<vec4<u32>, 4>"],
        (None, Body::Cooperative) => ["f16", "mat4x4<f16>"],
        (None, _) => ["f32", "mat4x4<f32>"],
    };
    assembly.constant("", "Stage", Value::Type(stage)).constant("", "Quad", Value::Type(quad));
    match &problem.whole {
        Some(whole) => whole.bind_product(assembly, body, profile),
        None => {
            assembly.fragment("product", FLOAT);
        }
    }
}

/// The matrices of the cooperative body, where its panels lie, and what each subgroup's sums leave through.
pub(super) fn bind_matrices(assembly: &mut Assembly, variant: &Variant, side: u32, profile: &DeviceProfile) {
    let [left, right, sum] = match side {
        16 => ["coop_mat16x16<f16, A>", "coop_mat16x16<f16, B>", "coop_mat16x16<f32, C>"],
        _ => ["coop_mat8x8<f16, A>", "coop_mat8x8<f16, B>", "coop_mat8x8<f32, C>"],
    };
    assembly.enable("f16").enable("wgpu_cooperative_matrix");
    for (name, value) in [("Left", left), ("Right", right), ("Sum", sum)] {
        assembly.constant("", name, Value::Type(value));
    }
    let lanes = profile.fixed_subgroup_size().unwrap_or(1);
    assembly.constant("", "SIDE", Value::U32(side)).constant("", "LANES", Value::U32(lanes));
    assembly.workgroup_array(4 * side * side * variant.lanes.0 * variant.lanes.1);
    // Metal, which has the small ones, loads matrices from scalars alone.
    assembly.fragment("panel", if side == 16 { PANEL_VECTORS } else { PANEL_SCALARS });
}

/// Tells of the panels that a body keeps in workgroup memory.
pub(super) fn workgroup_arrays(assembly: &mut Assembly, variant: &Variant) {
    let (tile_m, tile_n) = (variant.lanes.1 * variant.per_lane.0, variant.lanes.0 * variant.per_lane.1);
    match variant.body {
        // Two panels, with a value of padding for each k.
        Body::Tiled => {
            assembly.workgroup_array(4 * variant.step * (tile_m + 1)).workgroup_array(4 * variant.step * (tile_n + 1));
        }
        // Likewise with a vector of padding.
        Body::Staged => {
            assembly.workgroup_array(4 * variant.step * (tile_m + 4)).workgroup_array(4 * variant.step * (tile_n + 4));
        }
        // Panels of f16, with two vectors of padding for each row or column.
        Body::Cooperative => {
            let pitch = 2 * (variant.step + 8);
            assembly.workgroup_array(pitch * tile_m).workgroup_array(pitch * tile_n);
        }
        // The sums that half of the lanes hand to the others.
        Body::FewRows | Body::FewColumns => {
            assembly.workgroup_array(16 * variant.per_lane.0 * variant.lanes.0 * (variant.lanes.1 / 2));
        }
        // Likewise.
        Body::SparseRows | Body::SparseColumns => {
            let half = (variant.lanes.1 / 2).max(1);
            assembly.workgroup_array(4 * variant.per_lane.0 * variant.per_lane.1 * variant.lanes.0 * half);
        }
        Body::Chunks => {
            assembly.workgroup_array(4 * variant.per_lane.0 * variant.per_lane.1 * variant.lanes.0);
        }
        Body::Direct | Body::Broadcast | Body::Patches | Body::Depthwise => {}
    }
}
