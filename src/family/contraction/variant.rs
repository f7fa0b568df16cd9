//! The bodies of the family, their tiles, and what a body refuses.

use super::{Contraction, cpu, gpu, quantized, sparse, winograd};
use crate::compose::{Composition, ShaderFile, shader};
use crate::error::{Error, Result};
use crate::op::precision::Precision;
use crate::profile::DeviceProfile;

const TILED: ShaderFile = shader!("contraction/tiled.wgsl");
const STAGED: ShaderFile = shader!("contraction/staged.wgsl");
const COOPERATIVE: ShaderFile = shader!("contraction/cooperative.wgsl");
const DIRECT: ShaderFile = shader!("contraction/direct.wgsl");
const NARROW: ShaderFile = shader!("contraction/narrow.wgsl");
const BROADCAST: ShaderFile = shader!("contraction/broadcast.wgsl");
const PATCHES: ShaderFile = shader!("contraction/patches.wgsl");
const DEPTHWISE: ShaderFile = shader!("contraction/depthwise.wgsl");
const SPARSE: ShaderFile = shader!("contraction/sparse.wgsl");
const CHUNKS: ShaderFile = shader!("contraction/chunks.wgsl");

/// A body with its tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Which body.
    pub body: Body,
    /// Invocations of a workgroup along columns (x) and rows (y); of a product of few vectors, along those many and k; of
    /// cooperative matrices, subgroups.
    pub lanes: (u32, u32),
    /// Rows and columns that an invocation, or such a subgroup, computes.
    pub per_lane: (u32, u32),
    /// Values of k taken at once; 1 where k is walked one by one.
    pub step: u32,
    /// Parts of k whose sums are taken apart, and added in order by a second dispatch; 1 for none.
    pub parts: u32,
    /// Side of the tiles of an output, 2 or 4, that Winograd's method computes by products of this variant; 0 to go without.
    pub winograd: u32,
}

/// The bodies of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Panels staged in workgroup memory.
    Tiled,
    /// Panels staged in workgroup memory in vectors: the large tiles.
    Staged,
    /// Panels staged in workgroup memory for matrix units.
    Cooperative,
    /// Register tile fed from memory.
    Direct,
    /// A few rows times a matrix that is read once.
    FewRows,
    /// A matrix that is read once times a few columns.
    FewColumns,
    /// Register tile of a subgroup, in which lanes hand each other the values of the left operand.
    Broadcast,
    /// Register tile of a subgroup over patches of pixels, for convolutions: columns of a lane are a patch, four to a row.
    Patches,
    /// Vectors that slide through registers, for convolutions whose groups have one channel: columns of a lane are four to a row.
    Depthwise,
    /// Rows of a sparse operand, with lanes along columns.
    SparseRows,
    /// Rows of a sparse operand times a few columns, with lanes along rows and their steps.
    SparseColumns,
    /// Rows of a quantized operand times a few columns, with lanes along k.
    Chunks,
}

impl Body {
    /// Whether it goes through k in the steps of a hook, which may be those of a sparse operand.
    pub(super) fn is_in_steps(self) -> bool {
        matches!(self, Body::Staged | Body::Cooperative | Body::Broadcast | Body::SparseRows | Body::SparseColumns)
    }

    pub(super) fn shader(self) -> ShaderFile {
        match self {
            Body::Tiled => TILED,
            Body::Staged => STAGED,
            Body::Cooperative => COOPERATIVE,
            Body::Direct => DIRECT,
            Body::FewRows | Body::FewColumns => NARROW,
            Body::Broadcast => BROADCAST,
            Body::Patches => PATCHES,
            Body::Depthwise => DEPTHWISE,
            Body::SparseRows | Body::SparseColumns => SPARSE,
            Body::Chunks => CHUNKS,
        }
    }
}

impl Variant {
    /// The variant that runs within WebGPU's default limits on every device.
    pub const BASELINE: Variant =
        Variant { body: Body::Direct, lanes: (8, 8), per_lane: (1, 1), step: 1, parts: 1, winograd: 0 };

    /// Rows and columns of a workgroup's tile.
    pub const fn tile(&self) -> (usize, usize) {
        let (x, y) = (self.lanes.0 as usize, self.lanes.1 as usize);
        let (rows, columns) = (self.per_lane.0 as usize, self.per_lane.1 as usize);
        match self.body {
            Body::FewRows => (rows, x * columns),
            Body::FewColumns => (x * columns, rows),
            Body::SparseRows => (rows, x * columns),
            Body::SparseColumns => (x * rows, columns),
            Body::Chunks => (rows, columns),
            _ => (y * rows, x * columns),
        }
    }

    /// `contraction/tiled 64x64x16`
    pub fn name(&self) -> String {
        let (m, n) = self.tile();
        let name = match self.body {
            Body::Tiled => format!("contraction/tiled {m}x{n}x{}", self.step),
            Body::Staged => format!("contraction/staged {m}x{n}x{}", self.step),
            Body::Cooperative => format!("contraction/cooperative {m}x{n}x{}", self.step),
            Body::Direct => format!("contraction/direct {m}x{n}"),
            Body::FewRows | Body::FewColumns => format!("contraction/narrow {m}x{n}"),
            Body::Broadcast => format!("contraction/broadcast {m}x{n}"),
            Body::Patches => format!("contraction/patches {m}x{n}"),
            Body::Depthwise => format!("contraction/depthwise {m}x{n}"),
            Body::SparseRows => format!("contraction/sparse {m}x{n}"),
            Body::SparseColumns => format!("contraction/sparse columns {m}x{n}"),
            Body::Chunks => format!("contraction/chunks {m}x{n}"),
        };
        let name = if self.parts > 1 { format!("{name} in {} parts", self.parts) } else { name };
        if self.winograd > 0 { format!("{name} of Winograd's {0}x{0}", self.winograd) } else { name }
    }

    /// Refuses what the bodies cannot be: lanes or values of none, panels that the invocations do not share out evenly.
    pub(super) fn check(&self, op: &'static str) -> Result<()> {
        let counts = [self.lanes.0, self.lanes.1, self.per_lane.0, self.per_lane.1, self.step, self.parts];
        // Beyond any device's workgroup and any register file, and small enough that products stay in range.
        let counted = counts.iter().all(|count| (1..=1024).contains(count));
        let (rows, columns) = self.per_lane;
        let shared = || {
            let (m, n) = self.tile();
            let (lanes, step) = ((self.lanes.0 * self.lanes.1) as usize, self.step as usize);
            (m * step).is_multiple_of(lanes) && (n * step).is_multiple_of(lanes)
        };
        let in_fours = |counts: &[u32]| self.lanes.1 == 1 && counts.iter().all(|count| count.is_multiple_of(4));
        let fits = || match self.body {
            Body::Tiled => shared() && self.parts == 1,
            Body::Staged => rows.is_multiple_of(4) && columns.is_multiple_of(4) && self.step.is_multiple_of(8),
            // Whole matrices of the smaller side.
            Body::Cooperative => [rows, columns, self.step].iter().all(|count| count.is_multiple_of(8)),
            Body::Direct => self.step == 1 && self.parts == 1,
            Body::FewRows | Body::FewColumns => {
                let halves = self.lanes.1 > 1 && self.lanes.1.is_power_of_two();
                rows.is_multiple_of(4) && columns == 4 && self.step == 4 && halves
            }
            Body::Broadcast => self.step == 4 && in_fours(&[columns]) && self.parts == 1,
            Body::Patches => self.step == 1 && in_fours(&[rows, columns]) && self.parts == 1,
            Body::Depthwise => self.step == 1 && rows == 1 && in_fours(&[columns]) && self.parts == 1,
            Body::SparseRows | Body::SparseColumns => {
                self.step == 4 && columns.is_multiple_of(4) && self.lanes.1.is_power_of_two() && self.parts == 1
            }
            Body::Chunks => self.step == 4 && in_fours(&[]) && self.lanes.0.is_power_of_two() && self.parts == 1,
        };
        if counted && [0, 2, 4].contains(&self.winograd) && fits() {
            return Ok(());
        }
        Err(Error::Option {
            op,
            option: "contractions of the profile",
            value: format!("{self:?}"),
            requirement: "counts must be 1 to 1024; tiled panels a multiple of the lanes; staged rows and columns in fours and \
                steps in eights, all three for cooperative matrices; few rows or columns in fours, 4 of those many and steps \
                of 4, with a power of two of lanes along k; direct and depthwise bodies and patches walk k one by one, \
                broadcast ones in steps of 4; both kinds of whole subgroups and depthwise ones take a row of lanes and \
                columns in fours, patches rows too, depthwise ones a single row; sparse ones columns in fours, steps of 4 and a power of two of lanes along them; chunks steps of 4 and \
                such a row of lanes; parts of k with staged bodies, \
                cooperative matrices and few rows or columns alone; Winograd's tiles have a side of 2 or 4",
        })
    }
}

pub(super) const fn tiled(per_lane: u32) -> Variant {
    Variant { body: Body::Tiled, lanes: (16, 16), per_lane: (per_lane, per_lane), step: 16, parts: 1, winograd: 0 }
}

/// Whether a kernel relies on how lanes make subgroups, or fills registers and workgroup memory as few shaders do.
pub(crate) fn is_fast(kernel: &Composition) -> bool {
    [BROADCAST, PATCHES, DEPTHWISE, STAGED, NARROW, COOPERATIVE, CHUNKS].contains(&kernel.body)
}

/// Every variant that may be chosen on a device: what a small problem, whose best is another, is planned with.
pub(crate) fn every(profile: &DeviceProfile) -> Vec<Variant> {
    let staged = gpu::STAGED.into_iter().chain(gpu::COOPERATIVE).chain(gpu::DEPTHWISE);
    let plain = staged.chain([tiled(4), tiled(2), tiled(1), Variant::BASELINE]);
    let plain: Vec<Variant> =
        plain.chain(cpu::every(profile)).chain(sparse::tiles(profile, None)).chain(quantized::every(profile)).collect();
    let transformed = winograd::TILES.into_iter().flat_map(|tile| winograd::through(tile, &plain));
    plain.iter().copied().chain(transformed).collect()
}

/// The largest side of the device's matrices that fits a variant, where factors may be rounded.
pub(super) fn matrix_side(op: &str, problem: &Contraction, variant: &Variant, profile: &DeviceProfile) -> Result<u32> {
    let counts = [variant.per_lane.0, variant.per_lane.1, variant.step];
    let fits = |side: &&u32| counts.iter().all(|count| count.is_multiple_of(**side));
    let sides = match problem.precision {
        Precision::F32 | Precision::Winograd => &[][..],
        Precision::F16Multiply if profile.fixed_subgroup_size().is_none() => &[],
        Precision::F16Multiply => &profile.cooperative_matrices,
    };
    sides.iter().filter(fits).max().copied().ok_or_else(|| Error::Limit {
        op: op.into(),
        limit: "cooperative matrices of f16",
        needed: counts.into_iter().min().unwrap_or_default().into(),
        available: sides.iter().max().copied().unwrap_or_default().into(),
        hint: "they are for Precision::F16Multiply on devices that have them, with subgroups of one size",
    })
}

/// Refuses a body of whole subgroups where the device has none of that size, or several sizes.
pub(super) fn expect_subgroups(op: &'static str, variant: &Variant, profile: &DeviceProfile) -> Result<()> {
    let size = profile.fixed_subgroup_size().unwrap_or(0);
    if size == variant.lanes.0 {
        return Ok(());
    }
    Err(Error::Limit {
        op: op.into(),
        limit: "fixed subgroup size",
        needed: variant.lanes.0.into(),
        available: size.into(),
        hint: "the kernel takes a workgroup for a subgroup",
    })
}
