//! Left operands that lie in planes of their own: which bodies read them, and what that costs.

use super::cpu;
use super::pieces::Pieces;
use super::quantized::Quantized;
use super::sparse::{self, Sparse};
use super::{Addressing, Body, Contraction, Variant};
use crate::error::Result;
use crate::plan::{Assembly, Slot};
use crate::problem::Operands;
use crate::profile::{Class, DeviceProfile};
use crate::split::Region;

/// A matrix that is not stored as it is multiplied.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stored<'a> {
    /// Without what is pruned.
    Sparse(&'a Sparse),
    /// In few bits.
    Quantized(&'a Quantized),
}

impl<'a> Stored<'a> {
    /// The left operand of a problem, if it is one.
    pub fn of(problem: &'a Contraction) -> Option<Self> {
        match &problem.a.addressing {
            Addressing::Sparse(sparse) => Some(Stored::Sparse(sparse)),
            Addressing::Quantized(quantized) => Some(Stored::Quantized(quantized)),
            Addressing::Dense { .. } | Addressing::Windows(_) => None,
        }
    }

    /// Rows and columns.
    pub fn sizes(self) -> [usize; 2] {
        match self {
            Stored::Sparse(sparse) => [sparse.rows, sparse.columns],
            Stored::Quantized(quantized) => [quantized.rows, quantized.columns],
        }
    }

    /// What it is, as names of variants tell.
    pub fn name(self) -> String {
        match self {
            Stored::Sparse(sparse) => sparse.format.to_string(),
            Stored::Quantized(quantized) => quantized.layout.scheme.to_string(),
        }
    }

    /// The same with what speaks for or against reading it.
    pub fn description(self) -> String {
        match self {
            Stored::Sparse(sparse) => {
                let kept = 100.0 * sparse.kept as f64 / (sparse.rows * sparse.columns).max(1) as f64;
                format!("{} with {kept:.1} % of the weights kept", sparse.format)
            }
            Stored::Quantized(_) => self.name(),
        }
    }

    /// What is done to have it dense.
    pub fn unpacking(self) -> &'static str {
        match self {
            Stored::Sparse(_) => "unpacking",
            Stored::Quantized(_) => "dequantizing",
        }
    }

    /// Refuses a body that does not read it, or not with such a tile.
    pub(super) fn expect(self, op: &'static str, variant: &Variant) -> Result<()> {
        match self {
            Stored::Sparse(sparse) => sparse.expect(op, variant),
            Stored::Quantized(quantized) => quantized.expect(op, variant),
        }
    }

    /// The variants that may be chosen.
    pub(super) fn every(self, op: &'static str, problem: &Contraction, profile: &DeviceProfile) -> Vec<Variant> {
        let own = match self {
            Stored::Sparse(_) if profile.class == Class::Cpu => cpu::patches(profile).collect(),
            Stored::Sparse(_) => Vec::new(),
            Stored::Quantized(quantized) => quantized.tiles(profile, problem.n),
        };
        let tiles = sparse::tiles(profile, Some(problem.n)).into_iter().chain(own);
        tiles.filter(|variant| self.expect(op, variant).is_ok()).collect()
    }

    /// Steps of four values, of all rows that have theirs in common, and those that are looked at and skipped.
    pub(super) fn steps(self) -> [f64; 2] {
        match self {
            Stored::Sparse(sparse) => [sparse.steps(), sparse.skipped()],
            Stored::Quantized(quantized) => [quantized.steps(), 0.0],
        }
    }

    /// Loads of 16 bytes and of 4 that a step takes: of a row, and beside.
    pub(super) fn loads(self) -> ([f64; 2], f64) {
        match self {
            Stored::Sparse(sparse) => sparse.loads(),
            Stored::Quantized(quantized) => ([0.0, quantized.loads()], 0.0),
        }
    }

    /// Loads that finding a value takes.
    pub(super) fn found(self) -> f64 {
        match self {
            Stored::Sparse(sparse) => sparse.found(),
            Stored::Quantized(quantized) => quantized.loads() / 4.0,
        }
    }

    /// Whether a body can read it as it is aligned.
    pub(super) fn is_aligned(self, body: Body, operands: &Operands<'_>) -> bool {
        match self {
            Stored::Sparse(sparse) => body != Body::Broadcast || sparse.in_vectors(operands),
            Stored::Quantized(quantized) => body != Body::Chunks || quantized.in_chunks(operands),
        }
    }

    /// The input that has to be aligned for a body, or to be unpacked.
    pub(crate) fn aligned(self, body: Option<Body>, operands: &Operands<'_>) -> Option<Slot> {
        match self {
            Stored::Sparse(sparse) => sparse.aligned(operands),
            Stored::Quantized(quantized) => (body == Some(Body::Chunks)).then_some(Slot::Input(quantized.first)),
        }
    }

    /// Fills hook a with the loader of all rows, by k. Returns the bytes that it reads.
    pub(crate) fn bind_rows(self, assembly: &mut Assembly, operands: &Operands<'_>) -> Result<u64> {
        match self {
            Stored::Sparse(sparse) => sparse.bind_rows(assembly, 0, operands),
            Stored::Quantized(quantized) => quantized.bind_rows(assembly, 0..quantized.rows as u64),
        }
    }

    /// Fills hook a with the loader of a body, and the hook of its steps. Returns the bytes that they read.
    pub(super) fn bind(
        self,
        assembly: &mut Assembly,
        pieces: &Pieces<'_>,
        body: Body,
        region: &Region,
        operands: &Operands<'_>,
    ) -> Result<u64> {
        match self {
            Stored::Sparse(sparse) => sparse.bind(assembly, pieces, body, region, operands),
            Stored::Quantized(quantized) => {
                if body.is_in_steps() {
                    assembly.fragment("steps", sparse::DENSE_STEPS);
                }
                quantized.bind(assembly, pieces, body, region)
            }
        }
    }
}
