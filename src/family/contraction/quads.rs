//! Operands in blocks of four rows (or columns) and four values of k: in vectors as they lie, else gathered value by value.

use std::ops::Range;

use super::bind::{batch_strides, bind_operand, read};
use super::pieces::Pieces;
use super::sparse::{self, Sparse};
use super::{Addressing, Contraction, Operand};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::Result;
use crate::family::wgsl;
use crate::layout::DType;
use crate::plan::{Assembly, Binding, Slot};
use crate::problem::Operands;
use crate::split::{Region, bytes};

pub(super) const QUADS_ALONG: ShaderFile = shader!("load/quads_along.wgsl");
pub(super) const QUADS_ACROSS: ShaderFile = shader!("load/quads_across.wgsl");
const QUADS_GATHERED: ShaderFile = shader!("load/quads_gathered.wgsl");

/// Elements of a vector.
pub(super) const VECTOR: usize = 4;

pub(super) const fn vector_bytes(dtype: DType) -> u64 {
    VECTOR as u64 * dtype.size()
}

/// Whether vectors fill a length.
pub(super) fn whole(length: usize) -> bool {
    length.is_multiple_of(VECTOR)
}

/// The two operands of a problem, by name of the hook that reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

impl Side {
    pub(super) const BOTH: [Side; 2] = [Side::A, Side::B];

    pub(super) fn hook(self) -> &'static str {
        match self {
            Side::A => "a",
            Side::B => "b",
        }
    }

    pub(super) fn operand(self, problem: &Contraction) -> &Operand {
        match self {
            Side::A => &problem.a,
            Side::B => &problem.b,
        }
    }

    /// Whether the operand is the same at every run.
    pub(super) fn is_constant(self, problem: &Contraction, operands: &Operands<'_>) -> bool {
        operands.inputs[self.operand(problem).input].constant
    }

    /// The size beside k: rows of a, columns of b.
    fn size(self, problem: &Contraction) -> usize {
        match self {
            Side::A => problem.m,
            Side::B => problem.n,
        }
    }

    /// The dimension beside k.
    pub(super) fn outer(self, pieces: &Pieces<'_>) -> usize {
        let (m, n, _) = pieces.dims();
        match self {
            Side::A => m,
            Side::B => n,
        }
    }
}

/// Which way an operand's vectors lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// k is dense.
    Along,
    /// Rows, or columns, are dense.
    Across,
}

/// How an operand lies in vectors; `None` if it does not.
pub(super) fn lie(problem: &Contraction, side: Side, operands: &Operands<'_>) -> Option<Lie> {
    let operand = side.operand(problem);
    let Addressing::Dense { ref batch, outer, k, taps: 1 } = operand.addressing else { return None };
    let aligned = u64::from(operands.inputs[operand.input].align) >= vector_bytes(operand.dtype);
    if !aligned || !batch.iter().copied().all(whole) {
        return None;
    }
    if k == 1 && whole(outer) && whole(problem.k) {
        return Some(Lie::Along);
    }
    (outer == 1 && whole(k) && whole(side.size(problem))).then_some(Lie::Across)
}

/// Whether a part of an operand that lies in vectors does so too: a limit may have cut it in the middle of one.
pub(super) fn lies_whole(pieces: &Pieces<'_>, side: Side, lie: Lie, region: &Region) -> bool {
    let dense = match lie {
        Lie::Along => pieces.dims().2,
        Lie::Across => side.outer(pieces),
    };
    whole(region.0[dense].start) && whole(region.len(dense))
}

/// The inputs that are read in vectors.
pub(super) fn aligned(problem: &Contraction, operands: &Operands<'_>) -> Vec<Slot> {
    let sides = Side::BOTH.into_iter().filter(|&side| lie(problem, side, operands).is_some());
    sides.map(|side| Slot::Input(side.operand(problem).input)).collect()
}

/// Fills a hook with the loader of an operand's blocks. Returns the bytes that it reads.
pub(super) fn bind(
    assembly: &mut Assembly,
    pieces: &Pieces<'_>,
    side: Side,
    region: &Region,
    operands: &Operands<'_>,
) -> Result<u64> {
    let (operand, outer) = (side.operand(pieces.problem), side.outer(pieces));
    let range = bytes(pieces.operand(operand, region, outer), operand.dtype);
    let moved = range.end - range.start;
    // Values of k that a sparse operand names one by one lie in rows, or are gathered.
    let lists = sparse::of(pieces.problem).is_some_and(Sparse::lists);
    let fits = |&lie: &Lie| lies_whole(pieces, side, lie, region) && (!lists || lie == Lie::Across);
    match lie(pieces.problem, side, operands).filter(fits) {
        Some(lie) => {
            bind_vectors(assembly, pieces, side, lie, range)?;
            assembly.constant(side.hook(), "K_FASTEST", Value::Bool(lie == Lie::Along));
        }
        None => {
            bind_operand(assembly, side.hook(), operand, range, region.0[outer].start)?;
            assembly.fragment(side.hook(), QUADS_GATHERED);
        }
    }
    Ok(moved)
}

/// The loader of an operand that lies in vectors.
pub(super) fn bind_vectors(
    assembly: &mut Assembly,
    pieces: &Pieces<'_>,
    side: Side,
    lie: Lie,
    range: Range<u64>,
) -> Result<()> {
    let (operand, hook) = (side.operand(pieces.problem), side.hook());
    let Addressing::Dense { batch, outer, k, .. } = &operand.addressing else { return Ok(()) };
    bind_in_vectors(assembly, hook, operand, range, batch)?;
    match lie {
        Lie::Along => {
            assembly.fragment(hook, QUADS_ALONG).size(hook, "outer_stride", outer / VECTOR)?;
        }
        Lie::Across => {
            assembly.fragment(hook, QUADS_ACROSS).constant(hook, "PANEL", Value::U32(VECTOR as u32));
            assembly.size(hook, "panel_stride", 1)?.size(hook, "k_stride", k / VECTOR)?;
        }
    }
    Ok(())
}

/// Binds an operand's memory in vectors, with its batch strides in them.
pub(super) fn bind_in_vectors(
    assembly: &mut Assembly,
    hook: &'static str,
    operand: &Operand,
    range: Range<u64>,
    batch: &[usize],
) -> Result<()> {
    let element = vector_bytes(operand.dtype);
    assembly.bind(hook, Binding { element, ..read(operand.input, range, operand.dtype) });
    assembly.constant(hook, "Elem", Value::Type(wgsl(operand.dtype)));
    let batch: Vec<usize> = batch.iter().map(|stride| stride / VECTOR).collect();
    batch_strides(assembly, hook, &batch)
}
