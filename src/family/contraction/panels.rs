//! Operands in vectors of four, as the broadcast body reads them: as they lie where they lie well, else packed into panels.

use super::bind::{batch_strides, bind_operand, bind_scalar, word};
use super::pieces::{Pieces, inner};
use super::quads::{self, Lie, QUADS_ACROSS, Side, VECTOR, vector_bytes, whole};
use super::sparse::Sparse;
use super::stored::Stored;
use super::{Addressing, Contraction, GRID, sparse};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::layout::DType;
use crate::plan::{Access, Assembly, Binding, Dispatch, Slot, Work};
use crate::problem::Operands;
use crate::profile::DeviceProfile;
use crate::split::{Region, bytes};

const PACK: ShaderFile = shader!("contraction/pack.wgsl");
pub(super) const PANELS: ShaderFile = shader!("epilogue/panels.wgsl");
const VECTORS: ShaderFile = shader!("load/vectors.wgsl");

/// Invocations of a workgroup that packs: one subgroup of the widest device.
pub(super) const PACKERS: usize = 64;
/// Steps that an invocation packs: with more, few invocations are left for small panels.
const RUN: usize = 16;

/// Rows of b with so many columns lie in pages of their own, and in the same few sets of the nearest cache.
pub(super) const FAR: usize = 4096;

/// How the body gets an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    /// As it lies.
    Lying(Lie),
    /// Through panels in this scratch buffer.
    Packed(usize),
    /// From planes of its own.
    Stored,
}

/// How both operands are fed.
pub(super) fn feeds(problem: &Contraction, operands: &Operands<'_>) -> [Feed; 2] {
    // Four values of k are read at once, and of a always so that they lie side by side. Rows of b that lie far apart are better packed,
    // where that is done once.
    let apart = |side: Side| side.is_constant(problem, operands) && problem.n >= FAR;
    let fits = |side, lie| {
        whole(problem.k) && if side == Side::B { lie == Lie::Along || !apart(side) } else { lie == Lie::Along }
    };
    let lies = |side| quads::lie(problem, side, operands).filter(|&lie| fits(side, lie)).map(Feed::Lying);
    if Stored::of(problem).is_some() {
        // Values of k that are named one by one lie in rows.
        let lists = sparse::of(problem).is_some_and(Sparse::lists);
        let b = lies(Side::B).filter(|&feed| !lists || feed == Feed::Lying(Lie::Across));
        return [Feed::Stored, b.unwrap_or(Feed::Packed(0))];
    }
    let a = lies(Side::A).unwrap_or(Feed::Packed(0));
    // Scratch buffers are numbered as they are needed.
    let b = lies(Side::B).unwrap_or(Feed::Packed(usize::from(matches!(a, Feed::Packed(_)))));
    [a, b]
}

/// Rows or columns of an operand's panel: those of a tile.
fn panel_size(pieces: &Pieces<'_>, side: Side) -> usize {
    match side {
        Side::A => pieces.tile.0,
        Side::B => pieces.tile.1,
    }
}

/// The inputs that are read in vectors as they lie.
pub(super) fn aligned(pieces: &Pieces<'_>, feeds: [Feed; 2]) -> Vec<Slot> {
    let lying = Side::BOTH.into_iter().zip(feeds).filter(|(_, feed)| matches!(feed, Feed::Lying(_)));
    lying.map(|(side, _)| Slot::Input(side.operand(pieces.problem).input)).collect()
}

/// The panels of a region's operand, in a scratch buffer.
pub(super) struct Panels {
    /// Sizes of the three batch dimensions, 1 where the operand broadcasts.
    pub batch: [usize; 3],
    /// Panels of a batch entry.
    pub count: usize,
    /// Rows or columns of a panel.
    pub size: usize,
    /// Steps of a panel and vectors of a step: as many as rows, if each holds four values of k, or a quarter of them.
    pub steps: usize,
    pub width: usize,
}

impl Panels {
    fn of(pieces: &Pieces<'_>, side: Side, region: &Region) -> Self {
        let (batch_dims, _, k_dim) = pieces.dims();
        let strides = match &side.operand(pieces.problem).addressing {
            Addressing::Dense { batch, .. } => batch,
            Addressing::Windows(windows) => &windows.batch,
            Addressing::Sparse(_) | Addressing::Quantized(_) => const { &Vec::new() },
        };
        let own = |dim: usize| if strides.get(dim).is_none_or(|&stride| stride == 0) { 1 } else { region.len(dim) };
        let sizes: Vec<usize> = (0..batch_dims).map(own).collect();
        let quads = region.len(k_dim).div_ceil(VECTOR);
        let panel = panel_size(pieces, side);
        let (steps, width) = match side {
            Side::A => (quads, panel),
            Side::B => (quads * VECTOR, panel / VECTOR),
        };
        let padded = inner(&sizes).map(|size| size.max(1));
        // A dimension that is empty leaves nothing to pack.
        let batch = if sizes.contains(&0) { [0; 3] } else { padded };
        Panels { batch, count: region.len(side.outer(pieces)).div_ceil(panel), size: panel, steps, width }
    }

    /// Vectors of a batch entry.
    fn entry(&self) -> usize {
        self.count.saturating_mul(self.steps).saturating_mul(self.width)
    }

    pub fn vectors(&self) -> usize {
        self.batch.iter().fold(self.entry(), |product, &size| product.saturating_mul(size))
    }

    pub fn bytes(&self) -> u64 {
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
    let sides = Side::BOTH.into_iter().zip(feeds);
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
    for (side, feed) in Side::BOTH.into_iter().zip(feeds) {
        let Feed::Packed(number) = feed else { continue };
        let panels = Panels::of(pieces, side, region);
        if panels.vectors() > 0 {
            dispatches.push(pack_side(pieces, side, &panels, number, region, operands, profile)?);
        }
    }
    Ok(dispatches)
}

/// The dispatch that packs an operand of a region into a scratch buffer.
pub(super) fn pack_side(
    pieces: &Pieces<'_>,
    side: Side,
    panels: &Panels,
    number: usize,
    region: &Region,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Dispatch> {
    let (operand, outer, k_dim) = (side.operand(pieces.problem), side.outer(pieces), pieces.dims().2);
    let outers = panels.size / panels.width;
    let mut assembly = Assembly::new(operands.op, PACK, operands.arena());
    assembly.common(GRID);
    for (name, value) in [
        ("WG_X", PACKERS),
        ("WG_Y", 1),
        ("PANEL", panels.size),
        ("OUTERS", outers),
        ("KS", VECTOR / outers),
        ("RUN", RUN),
    ] {
        assembly.constant("", name, word(value));
    }
    let runs = panels.vectors() / panels.steps * panels.steps.div_ceil(RUN);
    assembly.size("", "runs", runs)?.size("", "panels", panels.count)?.size("", "steps", panels.steps)?;
    assembly.size("", "outer", region.len(outer))?.size("", "k", region.len(k_dim))?;
    assembly.size("", "batch_1", panels.batch[1])?.size("", "batch_2", panels.batch[2])?;
    let range = bytes(pieces.operand(operand, region, outer), operand.dtype);
    let moved = range.end - range.start + panels.bytes();
    bind_operand(&mut assembly, "source", operand, range, region.0[outer].start)?;
    assembly.fragment("panels", PANELS).bind("panels", panels_binding(number, panels, Access::Write));
    assembly.constant("panels", "Elem", Value::Type(operand.dtype.word()));
    assembly.dispatch(profile, runs.div_ceil(PACKERS) as u64, Work { flops: 0.0, bytes: moved as f64 })
}

pub(super) fn panels_binding(number: usize, panels: &Panels, access: Access) -> Binding {
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
    match feed {
        Feed::Packed(number) => bind_packed(assembly, pieces, side, number, region),
        Feed::Lying(lie) => bind_lying(assembly, pieces, side, lie, region),
        // Bound with the steps.
        Feed::Stored => Ok(0),
    }
}

fn bind_packed(
    assembly: &mut Assembly,
    pieces: &Pieces<'_>,
    side: Side,
    number: usize,
    region: &Region,
) -> Result<u64> {
    let (panels, hook) = (Panels::of(pieces, side, region), side.hook());
    let dtype = side.operand(pieces.problem).dtype;
    let (loader, stride) = match side {
        Side::A => {
            bind_scalar(assembly, hook, dtype);
            (VECTORS, "quad_stride")
        }
        Side::B => (QUADS_ACROSS, "k_stride"),
    };
    assembly.fragment(hook, loader).bind(hook, panels_binding(number, &panels, Access::Read));
    assembly.constant(hook, "Elem", Value::Type(dtype.word()));
    assembly.constant(hook, "PANEL", word(panels.size));
    batch_strides(assembly, hook, &panels.strides())?;
    assembly.size(hook, "panel_stride", panels.steps * panels.width)?.size(hook, stride, panels.width)?;
    Ok(panels.bytes())
}

fn bind_lying(assembly: &mut Assembly, pieces: &Pieces<'_>, side: Side, lie: Lie, region: &Region) -> Result<u64> {
    let (operand, hook) = (side.operand(pieces.problem), side.hook());
    if !(quads::lies_whole(pieces, side, lie, region) && whole(region.len(pieces.dims().2))) {
        return Err(Error::Limit {
            op: pieces.op.into(),
            limit: "whole vectors of a part",
            needed: vector_bytes(operand.dtype),
            available: operand.dtype.size(),
            hint: "a variant that loads element by element takes its place",
        });
    }
    let range = bytes(pieces.operand(operand, region, side.outer(pieces)), operand.dtype);
    let moved = range.end - range.start;
    match (side, &operand.addressing) {
        (Side::A, Addressing::Dense { batch, outer, .. }) => {
            quads::bind_in_vectors(assembly, hook, operand, range, batch)?;
            assembly.fragment(hook, VECTORS).constant(hook, "PANEL", Value::U32(1));
            bind_scalar(assembly, hook, operand.dtype);
            assembly.size(hook, "panel_stride", outer / VECTOR)?.size(hook, "quad_stride", 1)?;
        }
        _ => quads::bind_vectors(assembly, pieces, side, lie, range)?,
    }
    Ok(moved)
}
