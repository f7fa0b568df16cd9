//! Operands in vectors of four, as the broadcast body reads them: as they lie where they lie well, else packed into panels.

use std::ops::Range;

use super::{Addressing, Contraction, Operand, Pieces, batch_strides, bind_operand, inner, read, wgsl};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::family::contraction::GRID;
use crate::layout::DType;
use crate::plan::{Access, Assembly, Binding, Dispatch, Slot, Work};
use crate::problem::Operands;
use crate::profile::DeviceProfile;
use crate::split::{Region, bytes};

pub(super) const PACK: ShaderFile = shader!("contraction/pack.wgsl");
pub(super) const PANELS: ShaderFile = shader!("epilogue/panels.wgsl");
const VECTORS: ShaderFile = shader!("load/vectors.wgsl");
const QUADS_ALONG: ShaderFile = shader!("load/quads_along.wgsl");
const QUADS_ACROSS: ShaderFile = shader!("load/quads_across.wgsl");

/// Elements of a vector.
const VECTOR: usize = 4;
/// Invocations of a workgroup that packs: one subgroup of the widest device.
const PACKERS: u32 = 64;
/// Steps that an invocation packs: with more, few invocations are left for small panels.
pub(super) const RUN: usize = 16;

/// How the body gets an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    /// As it lies: k is dense.
    Along,
    /// As it lies: rows or columns are dense.
    Across,
    /// Through panels in this scratch buffer.
    Packed(usize),
}

/// The two operands of a problem, by name of the hook that reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

impl Side {
    fn hook(self) -> &'static str {
        match self {
            Side::A => "a",
            Side::B => "b",
        }
    }

    fn operand(self, problem: &Contraction) -> &Operand {
        match self {
            Side::A => &problem.a,
            Side::B => &problem.b,
        }
    }

    /// The dimension beside k.
    fn outer(self, pieces: &Pieces<'_>) -> usize {
        let (m, n, _) = pieces.dims();
        match self {
            Side::A => m,
            Side::B => n,
        }
    }

    /// Rows or columns of a panel: those of a tile.
    fn panel(self, pieces: &Pieces<'_>) -> usize {
        match self {
            Side::A => pieces.tile.0,
            Side::B => pieces.tile.1,
        }
    }
}

/// How both operands are fed.
pub(super) fn feeds(problem: &Contraction, operands: &Operands<'_>) -> [Feed; 2] {
    let as_it_lies = [Side::A, Side::B].map(|side| feed_as_it_lies(problem, side, operands));
    let a = as_it_lies[0].unwrap_or(Feed::Packed(0));
    // Scratch buffers are numbered as they are needed.
    let b = as_it_lies[1].unwrap_or(Feed::Packed(usize::from(as_it_lies[0].is_none())));
    [a, b]
}

fn feed_as_it_lies(problem: &Contraction, side: Side, operands: &Operands<'_>) -> Option<Feed> {
    let operand = side.operand(problem);
    let Addressing::Dense { ref batch, outer, k, taps: 1 } = operand.addressing else { return None };
    let whole = |count: usize| count.is_multiple_of(VECTOR);
    let aligned = u64::from(operands.inputs[operand.input].align) >= vector_bytes(operand.dtype);
    if !aligned || !whole(problem.k) || !batch.iter().copied().all(whole) {
        return None;
    }
    if k == 1 && whole(outer) {
        return Some(Feed::Along);
    }
    (side == Side::B && outer == 1 && whole(k) && whole(problem.n)).then_some(Feed::Across)
}

/// The inputs that are read in vectors as they lie.
pub(super) fn aligned(pieces: &Pieces<'_>, feeds: [Feed; 2]) -> Vec<Slot> {
    let sides = [Side::A, Side::B].into_iter().zip(feeds);
    let as_they_lie = sides.filter(|(_, feed)| !matches!(feed, Feed::Packed(_)));
    as_they_lie.map(|(side, _)| Slot::Input(side.operand(pieces.problem).input)).collect()
}

fn vector_bytes(dtype: DType) -> u64 {
    VECTOR as u64 * dtype.size()
}

/// The panels of a region's operand, in a scratch buffer.
struct Panels {
    /// Sizes of the three batch dimensions, 1 where the operand broadcasts.
    batch: [usize; 3],
    /// Panels of a batch entry.
    count: usize,
    /// Steps of a panel and vectors of a step.
    steps: usize,
    width: usize,
}

impl Panels {
    fn of(pieces: &Pieces<'_>, side: Side, region: &Region) -> Self {
        let (batch_dims, _, k_dim) = pieces.dims();
        let strides = match &side.operand(pieces.problem).addressing {
            Addressing::Dense { batch, .. } => batch,
            Addressing::Windows(windows) => &windows.batch,
        };
        let own = |dim: usize| if strides[dim] == 0 { 1 } else { region.len(dim) };
        let sizes: Vec<usize> = (0..batch_dims).map(own).collect();
        let quads = region.len(k_dim).div_ceil(VECTOR);
        let panel = side.panel(pieces);
        let (steps, width) = match side {
            Side::A => (quads, panel),
            Side::B => (quads * VECTOR, panel / VECTOR),
        };
        let padded = inner(&sizes).map(|size| size.max(1));
        // A dimension that is empty leaves nothing to pack.
        let batch = if sizes.contains(&0) { [0; 3] } else { padded };
        Panels { batch, count: region.len(side.outer(pieces)).div_ceil(panel), steps, width }
    }

    /// Vectors of a batch entry.
    fn entry(&self) -> usize {
        self.count.saturating_mul(self.steps).saturating_mul(self.width)
    }

    fn vectors(&self) -> usize {
        self.batch.iter().fold(self.entry(), |product, &size| product.saturating_mul(size))
    }

    fn bytes(&self) -> u64 {
        (self.vectors() as u64).saturating_mul(vector_bytes(DType::F32))
    }

    /// The stride of each batch dimension, 0 where the operand broadcasts.
    fn strides(&self) -> [usize; 3] {
        let [_, middle, last] = self.batch;
        let strides = [middle * last * self.entry(), last * self.entry(), self.entry()];
        std::array::from_fn(|dim| if self.batch[dim] > 1 { strides[dim] } else { 0 })
    }
}

/// Bytes of the scratch buffers for a region, by their number.
pub(super) fn scratch(pieces: &Pieces<'_>, feeds: [Feed; 2], region: &Region) -> Vec<u64> {
    let sides = [Side::A, Side::B].into_iter().zip(feeds);
    let packed = sides.filter(|(_, feed)| matches!(feed, Feed::Packed(_)));
    packed.map(|(side, _)| Panels::of(pieces, side, region).bytes()).collect()
}

/// The dispatches that pack a region's operands.
pub(super) fn pack(
    pieces: &Pieces<'_>,
    feeds: [Feed; 2],
    region: &Region,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Vec<Dispatch>> {
    let mut dispatches = Vec::new();
    for (side, feed) in [Side::A, Side::B].into_iter().zip(feeds) {
        let Feed::Packed(number) = feed else { continue };
        let panels = Panels::of(pieces, side, region);
        if panels.vectors() > 0 {
            dispatches.push(pack_side(pieces, side, number, &panels, region, operands, profile)?);
        }
    }
    Ok(dispatches)
}

fn pack_side(
    pieces: &Pieces<'_>,
    side: Side,
    number: usize,
    panels: &Panels,
    region: &Region,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Dispatch> {
    let (operand, outer, k_dim) = (side.operand(pieces.problem), side.outer(pieces), pieces.dims().2);
    let (outers, ks) = match side {
        Side::A => (1, VECTOR),
        Side::B => (VECTOR, 1),
    };
    let mut assembly = Assembly::new(operands.op, PACK, operands.arena());
    assembly.common(GRID);
    for (name, value) in [
        ("WG_X", PACKERS),
        ("WG_Y", 1),
        ("PANEL", side.panel(pieces) as u32),
        ("OUTERS", outers as u32),
        ("KS", ks as u32),
        ("RUN", RUN as u32),
    ] {
        assembly.constant("", name, Value::U32(value));
    }
    let runs = panels.vectors() / panels.steps * panels.steps.div_ceil(RUN);
    assembly.size("", "runs", runs)?.size("", "panels", panels.count)?.size("", "steps", panels.steps)?;
    assembly.size("", "outer", region.len(outer))?.size("", "k", region.len(k_dim))?;
    assembly.size("", "batch_1", panels.batch[1])?.size("", "batch_2", panels.batch[2])?;
    let range = bytes(pieces.operand(operand, region, outer), operand.dtype);
    let moved = range.end - range.start + panels.bytes();
    bind_operand(&mut assembly, "source", operand, range, region.0[outer].start)?;
    assembly.fragment("panels", PANELS);
    assembly.bind("panels", panels_binding(number, panels, Access::Write));
    let workgroups = runs.div_ceil(PACKERS as usize) as u64;
    assembly.dispatch(profile, workgroups, Work { flops: 0.0, bytes: moved as f64 })
}

fn panels_binding(number: usize, panels: &Panels, access: Access) -> Binding {
    Binding { slot: Slot::Scratch(number), range: 0..panels.bytes(), access, element: vector_bytes(DType::F32) }
}

/// Fills a hook of the broadcast body with the loader of an operand's feed. Returns the bytes that it reads.
pub(super) fn bind_fed(
    assembly: &mut Assembly,
    pieces: &Pieces<'_>,
    side: Side,
    feed: Feed,
    region: &Region,
) -> Result<u64> {
    let (operand, hook) = (side.operand(pieces.problem), side.hook());
    let range = bytes(pieces.operand(operand, region, side.outer(pieces)), operand.dtype);
    let moved = range.end - range.start;
    let across = side == Side::B && feed != Feed::Along;
    assembly.fragment(
        hook,
        if side == Side::A {
            VECTORS
        } else if across {
            QUADS_ACROSS
        } else {
            QUADS_ALONG
        },
    );
    if let Feed::Packed(number) = feed {
        let panels = Panels::of(pieces, side, region);
        assembly.bind(hook, panels_binding(number, &panels, Access::Read));
        assembly.constant(hook, "Elem", Value::Type(wgsl(DType::F32)));
        assembly.constant(hook, "PANEL", Value::U32(side.panel(pieces) as u32));
        batch_strides(assembly, hook, &panels.strides())?;
        assembly.size(hook, "panel_stride", panels.steps * panels.width)?;
        assembly.size(hook, if across { "k_stride" } else { "quad_stride" }, panels.width)?;
        return Ok(panels.bytes());
    }
    let Addressing::Dense { batch, outer, k, .. } = &operand.addressing else { return Ok(moved) };
    expect_whole(pieces, side, feed, range.clone(), region)?;
    let element = vector_bytes(operand.dtype);
    assembly.bind(hook, Binding { element, ..read(operand.input, range, operand.dtype) });
    assembly.constant(hook, "Elem", Value::Type(wgsl(operand.dtype)));
    let batch: Vec<usize> = batch.iter().map(|stride| stride / VECTOR).collect();
    batch_strides(assembly, hook, &batch)?;
    match (side, feed) {
        (Side::A, _) => {
            assembly.constant(hook, "PANEL", Value::U32(1));
            assembly.size(hook, "panel_stride", outer / VECTOR)?.size(hook, "quad_stride", 1)?;
        }
        (Side::B, Feed::Across) => {
            assembly.constant(hook, "PANEL", Value::U32(VECTOR as u32));
            assembly.size(hook, "panel_stride", 1)?.size(hook, "k_stride", k / VECTOR)?;
        }
        (Side::B, _) => {
            assembly.size(hook, "outer_stride", outer / VECTOR)?;
        }
    }
    Ok(moved)
}

/// Refuses a region that a limit cut in the middle of a vector.
fn expect_whole(pieces: &Pieces<'_>, side: Side, feed: Feed, range: Range<u64>, region: &Region) -> Result<()> {
    let (_, n, k) = pieces.dims();
    let dtype = side.operand(pieces.problem).dtype;
    let whole = |dim| region.len(dim).is_multiple_of(VECTOR);
    if range.start.is_multiple_of(vector_bytes(dtype)) && whole(k) && (feed == Feed::Along || whole(n)) {
        return Ok(());
    }
    Err(Error::Limit {
        op: pieces.op.into(),
        limit: "whole vectors of a part",
        needed: vector_bytes(dtype),
        available: dtype.size(),
        hint: "a variant that loads element by element takes its place",
    })
}
