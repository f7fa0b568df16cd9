//! Contractions: matrix products and everything that is one in disguise.

mod cpu;
pub(crate) mod depthwise;
mod gpu;
mod panels;
mod parts;
mod patches;
mod quads;
pub(crate) mod quantized;
pub(crate) mod sparse;
pub(crate) mod stored;
pub(crate) mod whole;
mod winograd;

use std::ops::Range;

use self::quads::Side;
use self::quantized::Quantized;
use self::sparse::Sparse;
use self::stored::Stored;
use self::whole::{End, Fill, Whole};
use crate::compose::{Composition, ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::family::{LOAD_BITS, STRIDES, activation, wgsl};
use crate::layout::DType;
use crate::op::activation::Activation;
use crate::op::precision::Precision;
use crate::plan::{
    Access, Assembly, Binding, Dispatch, MAX_TRIPS, Param, Slot, Work, expect_dispatches, too_many_trips,
};
use crate::problem::{Built, Candidate, Operands};
use crate::profile::{Class, DeviceProfile};
use crate::split::{Cut, Divisible, Region, bytes, reach, split};

const TILED: ShaderFile = shader!("contraction/tiled.wgsl");
const NARROW: ShaderFile = shader!("contraction/narrow.wgsl");
const COMBINE: ShaderFile = shader!("contraction/combine.wgsl");
const STAGED: ShaderFile = shader!("contraction/staged.wgsl");
const BLOCKS: ShaderFile = shader!("contraction/blocks.wgsl");
const COOPERATIVE: ShaderFile = shader!("contraction/cooperative.wgsl");
const PANEL_VECTORS: ShaderFile = shader!("contraction/panel_vectors.wgsl");
const PANEL_SCALARS: ShaderFile = shader!("contraction/panel_scalars.wgsl");
const DIRECT: ShaderFile = shader!("contraction/direct.wgsl");
const BROADCAST: ShaderFile = shader!("contraction/broadcast.wgsl");
const PATCHES: ShaderFile = shader!("contraction/patches.wgsl");
const DEPTHWISE: ShaderFile = shader!("contraction/depthwise.wgsl");
const SPARSE: ShaderFile = shader!("contraction/sparse.wgsl");
const CHUNKS: ShaderFile = shader!("contraction/chunks.wgsl");
const DENSE: ShaderFile = shader!("load/dense.wgsl");
const WINDOWS: ShaderFile = shader!("load/windows.wgsl");
const PLACE: ShaderFile = shader!("epilogue/place.wgsl");
const LINEAR: ShaderFile = shader!("epilogue/linear.wgsl");
const FLOAT: ShaderFile = shader!("product/float.wgsl");
const ADDEND: ShaderFile = shader!("epilogue/addend.wgsl");
const NO_ADDEND: ShaderFile = shader!("epilogue/no_addend.wgsl");
const RESIDUAL: ShaderFile = shader!("epilogue/residual.wgsl");
const NO_RESIDUAL: ShaderFile = shader!("epilogue/no_residual.wgsl");
const GRID: ShaderFile = shader!("common/grid.wgsl");

/// `out[batch, i, j] = activation(alpha * sum over k of a[batch, i, k] * b[batch, j, k] + beta * addend[batch, i, j] + residual[batch, i, j])`.
///
/// Strides count elements. Batch dimensions are listed outermost first; an operand that broadcasts one has stride 0 there.
#[derive(Clone, Debug, PartialEq)]
pub struct Contraction {
    /// Sizes of the batch dimensions.
    pub batch: Vec<usize>,
    /// Rows of the output.
    pub m: usize,
    /// Columns of the output.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
    /// The left operand: rows by k.
    pub a: Operand,
    /// The right operand: columns by k.
    pub b: Operand,
    /// Where results go.
    pub out: Target,
    /// Factor of the sum.
    pub alpha: f32,
    /// The addend with its factor beta.
    pub addend: Option<Addend>,
    /// What is added after it, in the order of the output.
    pub residual: Option<Residual>,
    /// Applied last.
    pub activation: Activation,
    /// Whether factors may be rounded.
    pub precision: Precision,
    /// Of whole numbers: what words hold, and how sums of their products end. Strides, and k, then count words, and the factor and the
    /// addend above are not used.
    pub whole: Option<Whole>,
}

impl Contraction {
    /// Whether sums may be cut along k: each part but the first adds to what lies in the output, which f16 would round.
    fn cuts_k(&self) -> bool {
        self.whole.is_none() && self.out.dtype == DType::F32 && self.a.addressing.cuts_k() && self.b.addressing.cuts_k()
    }
}

/// An operand of a contraction: an input and how its values are found in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    /// The number of the input.
    pub input: usize,
    /// Its element type.
    pub dtype: DType,
    /// How (batch, outer, k) becomes an address; outer is a row of a or a column of b.
    pub addressing: Addressing,
}

/// How an operand's values are found.
#[derive(Clone, Debug, PartialEq)]
pub enum Addressing {
    /// At a stride for each index.
    Dense {
        /// Strides of the batch dimensions.
        batch: Vec<usize>,
        /// Stride of the row (of a) or column (of b).
        outer: usize,
        /// Stride of k, or of `k / taps`.
        k: usize,
        /// Above 1, k is a pair: `k % taps` lies at stride 1. Not 0.
        taps: usize,
    },
    /// The windows of a convolution; columns are (image, pixel of the output), k is (channel, tap).
    Windows(Windows),
    /// A sparse matrix; of the left operand alone, the same for all batch entries.
    Sparse(Sparse),
    /// A quantized matrix; of the left operand alone.
    Quantized(Quantized),
}

impl Addressing {
    /// Whether a part of k is an operand like the whole.
    fn cuts_k(&self) -> bool {
        matches!(self, Addressing::Dense { taps: 1, .. })
    }
}

/// The windows that a kernel is moved over. All sides, strides, dilations and paddings are below 2^31.
#[derive(Clone, Debug, PartialEq)]
pub struct Windows {
    /// Strides of the batch dimensions.
    pub batch: Vec<usize>,
    /// Stride of an image.
    pub image: usize,
    /// Channels that a batch entry sums over.
    pub channels: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of the output.
    pub output: [usize; 2],
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Step of the window, down and across.
    pub stride: [usize; 2],
    /// Distance of taps, down and across.
    pub dilation: [usize; 2],
    /// Padding above and left.
    pub padding: [usize; 2],
    /// Whether the stride spreads the input instead of the windows.
    pub transposed: bool,
    /// What lies around the image.
    pub fill: Fill,
}

/// Where a contraction's results go: always output 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Element type.
    pub dtype: DType,
    /// Strides of the batch dimensions.
    pub batch: Vec<usize>,
    /// Stride of a row.
    pub row: usize,
    /// `Some((inner, stride))`: a column is a pair, `column % inner` at stride 1 and `column / inner` at this stride.
    pub columns: Option<(usize, usize)>,
}

/// The addend of a contraction's epilogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Addend {
    /// The number of the input.
    pub input: usize,
    /// Its element type.
    pub dtype: DType,
    /// Strides of the batch dimensions.
    pub batch: Vec<usize>,
    /// Stride of a row; 0 for a bias of columns.
    pub row: usize,
    /// Stride of a column; 0 for a bias of rows.
    pub column: usize,
    /// Its factor.
    pub beta: f32,
}

/// An input that lies as the output does, and is added to it before the activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Residual {
    /// The number of the input.
    pub input: usize,
    /// Its element type.
    pub dtype: DType,
}

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
    fn is_in_steps(self) -> bool {
        matches!(self, Body::Staged | Body::Cooperative | Body::Broadcast | Body::SparseRows | Body::SparseColumns)
    }

    fn shader(self) -> ShaderFile {
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
    fn check(&self, op: &'static str) -> Result<()> {
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

const fn tiled(per_lane: u32) -> Variant {
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
fn matrix_side(op: &str, problem: &Contraction, variant: &Variant, profile: &DeviceProfile) -> Result<u32> {
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

/// The matrices of the cooperative body, where its panels lie, and what each subgroup's sums leave through.
fn bind_matrices(assembly: &mut Assembly, variant: &Variant, side: u32, profile: &DeviceProfile) {
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

/// The candidates for a problem on a device, best first.
pub(crate) fn candidates(
    problem: &Contraction,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
    choice: Option<&str>,
) -> Vec<Candidate<Variant>> {
    let candidate = |variant: Variant, why: String| Candidate { name: variant.name(), variant, why };
    if !profile.contractions.is_empty() {
        return profile.contractions.iter().map(|&variant| candidate(variant, "the profile's choice".into())).collect();
    }
    let ranked = match profile.class {
        Class::Cpu => cpu::ranked(problem, operands, profile),
        _ => gpu::ranked(problem, operands, profile),
    };
    let mut list: Vec<_> = ranked.into_iter().map(|(variant, why)| candidate(variant, why)).collect();
    list.push(candidate(Variant::BASELINE, "runs within any limits".into()));
    // Tuning tries more than a class and a shape speak for.
    if choice.is_some_and(|name| list.iter().all(|known| known.name != name)) {
        let chosen = every(profile).into_iter().find(|variant| Some(&*variant.name()) == choice);
        list.extend(chosen.map(|variant| candidate(variant, "tuned".into())));
    }
    list
}

/// Variants for a problem with the time that each is estimated to take: nanoseconds of a core on class Cpu, multiply-adds of an SM
/// elsewhere. Those that a profile forces take no time.
pub(crate) fn timed(problem: &Contraction, operands: &Operands<'_>, profile: &DeviceProfile) -> Vec<(Variant, f64)> {
    if !profile.contractions.is_empty() {
        return profile.contractions.iter().map(|&variant| (variant, 0.0)).collect();
    }
    let mut timed = match profile.class {
        Class::Cpu => cpu::timed(problem, operands, profile),
        _ => gpu::timed(problem, operands, profile),
    };
    timed.push((Variant::BASELINE, f64::MAX));
    timed
}

/// Likewise for a problem whose left operand lies in planes, of the bodies that read it.
pub(crate) fn timed_stored(
    problem: &Contraction,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Vec<(Variant, f64)> {
    let Some(stored) = Stored::of(problem) else { return Vec::new() };
    if !profile.contractions.is_empty() {
        let forced = profile.contractions.iter().copied().chain([sparse::BASELINE]);
        return forced
            .filter(|variant| stored.expect(operands.op, variant).is_ok())
            .map(|variant| (variant, 0.0))
            .collect();
    }
    let every = stored.every(operands.op, problem, profile);
    let time = |variant: &Variant| match profile.class {
        Class::Cpu => cpu::stored_ns(problem, stored, variant, operands, profile),
        _ => gpu::stored_time(problem, stored, variant, profile),
    };
    let mut timed: Vec<(Variant, f64)> = every.into_iter().map(|variant| (variant, time(&variant))).collect();
    timed.retain(|(_, time)| time.is_finite());
    timed.sort_by(|(_, x), (_, y)| x.total_cmp(y));
    // The best tile of each body, and what any device can do.
    let mut best: Vec<(Variant, f64)> = Vec::new();
    for (variant, time) in timed {
        if variant == sparse::BASELINE || best.iter().all(|(other, _)| other.body != variant.body) {
            best.push((variant, time));
        }
    }
    best
}

/// The time that unpacking such an operand takes, in the same measure.
pub(crate) fn unpack_time(stored: Stored<'_>, profile: &DeviceProfile) -> f64 {
    match profile.class {
        Class::Cpu => cpu::unpack_ns(stored, profile),
        _ => gpu::unpack_time(stored, profile),
    }
}

/// The dispatches of a variant.
pub(crate) fn build(
    problem: &Contraction,
    variant: &Variant,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Built> {
    variant.check(operands.op)?;
    match Stored::of(problem) {
        Some(stored) => stored.expect(operands.op, variant)?,
        None if matches!(variant.body, Body::SparseRows | Body::SparseColumns | Body::Chunks) => {
            return Err(sparse::unfit(operands.op));
        }
        None => {}
    }
    if let Some(whole) = &problem.whole {
        whole.expect(operands.op, variant)?;
    }
    if variant.winograd > 0 {
        return winograd::build(problem, variant, operands, profile);
    }
    if variant.body == Body::FewColumns {
        return build(&turned(problem, operands.op)?, &Variant { body: Body::FewRows, ..*variant }, operands, profile);
    }
    if Stored::of(problem).is_some_and(|stored| !stored.is_aligned(variant.body, operands)) {
        return Err(sparse::unfit(operands.op));
    }
    let feeds = match variant.body {
        Body::Broadcast => {
            expect_subgroups(operands.op, variant, profile)?;
            Some(panels::feeds(problem, operands))
        }
        Body::Cooperative => {
            matrix_side(operands.op, problem, variant, profile)?;
            None
        }
        Body::Patches => return patches::build(problem, variant, operands, profile),
        Body::Depthwise => return depthwise::build(problem, variant, operands, profile),
        _ => None,
    };
    let (step, parts) = (variant.step as usize, variant.parts as usize);
    let pieces = Pieces { op: operands.op, problem, tile: variant.tile(), step, parts, feeds };
    let mut scratch: Vec<u64> = Vec::new();
    let mut sizes = problem.batch.clone();
    sizes.extend([problem.m, problem.n, problem.k]);
    // The loop over k may not run longer than some drivers count; dense operands are cut along k instead.
    let reach = MAX_TRIPS * variant.step as usize;
    if problem.k > reach && !problem.cuts_k() {
        return Err(too_many_trips(operands.op, problem.k.div_ceil(variant.step as usize)));
    }
    let outer = problem.batch.len().saturating_sub(3);
    let k_dim = problem.batch.len() + 2;
    let mut dispatches = Vec::new();
    let parts = problem.batch[..outer]
        .iter()
        .fold(1, |product: usize, &size| product.saturating_mul(size))
        .saturating_mul(problem.k.div_ceil(reach));
    expect_dispatches(operands.op, parts)?;
    for entry in entries(&sizes, outer) {
        // With k = 0 there is one part still, which writes the epilogue of an empty sum.
        for start in (0..problem.k.max(1)).step_by(reach) {
            let mut whole = entry.clone();
            whole.0[k_dim] = start..(start + reach).min(problem.k);
            for region in split(&pieces, whole, profile)? {
                if let Some(feeds) = pieces.feeds {
                    dispatches.extend(panels::pack(&pieces, feeds, &region, operands, profile)?);
                }
                // A region uses the scratch memory after the one before it.
                let needed = pieces.scratch(&region);
                scratch.resize(scratch.len().max(needed.len()), 0);
                scratch.iter_mut().zip(needed).for_each(|(most, needed)| *most = needed.max(*most));
                expect_dispatches(operands.op, dispatches.len() + 2)?;
                dispatches.push(dispatch(&pieces, variant, &region, operands, profile)?);
                dispatches.extend(parts::combine(&pieces, &region, operands, profile)?);
            }
        }
    }
    let aligned = match (variant.body, pieces.feeds) {
        (Body::Staged | Body::Cooperative | Body::FewRows | Body::SparseRows | Body::SparseColumns, _) => {
            quads::aligned(problem, operands)
        }
        (Body::Chunks, _) if quantized::lies_in_fours(problem, operands) => vec![Slot::Input(problem.b.input)],
        (_, Some(feeds)) => panels::aligned(&pieces, feeds),
        _ => Vec::new(),
    };
    let aligned = aligned
        .into_iter()
        .chain(Stored::of(problem).and_then(|stored| stored.aligned(Some(variant.body), operands)))
        .collect();
    Ok(Built { scratch, dispatches, aligned })
}

/// The problem with rows and columns in each other's place. Its columns have a stride, as pairs with an inner size of 1.
pub(crate) fn turned(problem: &Contraction, op: &'static str) -> Result<Contraction> {
    if problem.out.columns.is_some() {
        return Err(Error::Limit {
            op: op.into(),
            limit: "strides of a row",
            needed: 2,
            available: 1,
            hint: "few columns are computed as the few rows of the transposed problem",
        });
    }
    let Contraction { m, n, .. } = *problem;
    let out = Target { row: 1, columns: Some((1, problem.out.row)), ..problem.out.clone() };
    let turn = |addend: &Addend| Addend { row: addend.column, column: addend.row, ..addend.clone() };
    let (a, b, addend) = (problem.b.clone(), problem.a.clone(), problem.addend.as_ref().map(turn));
    let whole = problem.whole.clone().map(Whole::turned);
    Ok(Contraction { m: n, n: m, a, b, out, addend, whole, ..problem.clone() })
}

/// Refuses a body of whole subgroups where the device has none of that size, or several sizes.
fn expect_subgroups(op: &'static str, variant: &Variant, profile: &DeviceProfile) -> Result<()> {
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

/// The index space with its first `outer` dimensions taken apart: kernels count three batch dimensions.
fn entries(sizes: &[usize], outer: usize) -> Vec<Region> {
    let mut regions = vec![Region::whole(sizes)];
    for (dim, &size) in sizes.iter().enumerate().take(outer) {
        regions = regions
            .into_iter()
            .flat_map(|region| {
                (0..size).map(move |i| {
                    let mut one = region.clone();
                    one.0[dim] = i..i + 1;
                    one
                })
            })
            .collect();
    }
    regions
}

/// A contraction as splitting sees it: dimensions are the batch dimensions, then m, n, k.
struct Pieces<'a> {
    op: &'static str,
    problem: &'a Contraction,
    tile: (usize, usize),
    step: usize,
    /// Parts of k at the most.
    parts: usize,
    /// How the operands are fed in vectors, where the body takes them so.
    feeds: Option<[panels::Feed; 2]>,
}

impl Pieces<'_> {
    fn dims(&self) -> (usize, usize, usize) {
        let batch = self.problem.batch.len();
        (batch, batch + 1, batch + 2)
    }

    /// Bytes of the scratch buffers for a region, by their number.
    fn scratch(&self, region: &Region) -> Vec<u64> {
        match self.feeds {
            Some(feeds) => panels::scratch(self, feeds, region),
            None => parts::scratch(self, region).into_iter().collect(),
        }
    }

    /// The elements of an operand that a region reads; `outer` is its dimension beside k.
    fn operand(&self, operand: &Operand, region: &Region, outer_dim: usize) -> Range<u64> {
        let (.., k_dim) = self.dims();
        match &operand.addressing {
            // Its planes are read as a whole.
            Addressing::Sparse(sparse) => 0..sparse.values() as u64,
            Addressing::Quantized(quantized) => quantized.words_of(self, region),
            Addressing::Dense { batch, outer, k, taps } => {
                let part = &region.0[k_dim];
                reach((region.0.iter().cloned().zip(batch.iter().copied())).chain([
                    (region.0[outer_dim].clone(), *outer),
                    (part.start / taps..part.end.div_ceil(*taps), *k),
                    (0..*taps, 1),
                ]))
            }
            Addressing::Windows(windows) => {
                // Whole images: the loader is told where in the first one it starts.
                let pixels = windows.output[0] * windows.output[1];
                let images = region.0[outer_dim].start / pixels..region.0[outer_dim].end.div_ceil(pixels);
                let size = windows.channels * windows.input[0] * windows.input[1];
                reach(
                    (region.0.iter().cloned().zip(windows.batch.iter().copied()))
                        .chain([(images, windows.image), (0..size, 1)]),
                )
            }
        }
    }

    fn target(&self, region: &Region) -> Range<u64> {
        let (m, n, _) = self.dims();
        let Target { batch, row, columns, .. } = &self.problem.out;
        let group = match &self.problem.whole {
            Some(Whole { end: End::Words { .. }, .. }) => 4,
            _ => 1,
        };
        let rows = (region.0[m].start / group..region.0[m].end.div_ceil(group), *row);
        let entries = region.0.iter().cloned().zip(batch.iter().copied());
        match columns {
            None => reach(entries.chain([rows, (region.0[n].clone(), 1)])),
            Some((inner, stride)) => {
                // Whole outer columns (images): the kernel is told where in the first one it starts.
                let outer = region.0[n].start / inner..region.0[n].end.div_ceil(*inner);
                reach(entries.chain([rows, (outer, *stride), (0..*inner, 1)]))
            }
        }
    }

    fn addend(&self, addend: &Addend, region: &Region) -> Range<u64> {
        let (m, n, _) = self.dims();
        let entries = region.0.iter().cloned().zip(addend.batch.iter().copied());
        reach(entries.chain([(region.0[m].clone(), addend.row), (region.0[n].clone(), addend.column)]))
    }
}

impl Divisible for Pieces<'_> {
    fn op(&self) -> &'static str {
        self.op
    }

    fn cuts(&self) -> Vec<Cut> {
        let (m, n, k) = self.dims();
        let mut cuts: Vec<Cut> = (0..m).map(|dim| Cut { dim, grain: 1, free: true }).collect();
        cuts.push(Cut { dim: m, grain: self.tile.0, free: true });
        if let Some((pixels, _)) = self.problem.out.columns {
            // Operands are whole images: a part across two of them spans more than either.
            cuts.push(Cut { dim: n, grain: pixels, free: false });
        }
        cuts.push(Cut { dim: n, grain: self.tile.1, free: true });
        // Cutting k makes every piece but the first read the output again.
        if self.problem.cuts_k() {
            cuts.push(Cut { dim: k, grain: self.step, free: false });
        }
        cuts
    }

    fn spans(&self, region: &Region) -> Vec<(Slot, Range<u64>)> {
        let (m, n, _) = self.dims();
        let Contraction { a, b, out, addend, residual, .. } = self.problem;
        let mut spans = vec![
            (Slot::Input(a.input), bytes(self.operand(a, region, m), a.dtype)),
            (Slot::Input(b.input), bytes(self.operand(b, region, n), b.dtype)),
            (Slot::Output(0), bytes(self.target(region), out.dtype)),
        ];
        spans.extend(addend.iter().map(|add| (Slot::Input(add.input), bytes(self.addend(add, region), add.dtype))));
        spans.extend(residual.map(|add| (Slot::Input(add.input), bytes(self.target(region), add.dtype))));
        let scratch = self.scratch(region).into_iter().enumerate();
        spans.extend(scratch.map(|(number, bytes)| (Slot::Scratch(number), 0..bytes)));
        spans
    }

    fn flops(&self, region: &Region) -> f64 {
        let products = self.problem.whole.as_ref().map_or(1.0, |whole| whole.words.values() as f64);
        2.0 * products * region.0.iter().map(|range| range.len() as f64).product::<f64>()
    }
}

/// The strides of the last three batch dimensions: those that a kernel counts.
fn inner<T: Copy + Default>(batch: &[T]) -> [T; 3] {
    let mut last = [T::default(); 3];
    let n = batch.len().min(3);
    last[3 - n..].copy_from_slice(&batch[batch.len() - n..]);
    last
}

fn dispatch(
    pieces: &Pieces<'_>,
    variant: &Variant,
    region: &Region,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Dispatch> {
    let (m_dim, n_dim, k_dim) = pieces.dims();
    let (m, n, k) = (region.len(m_dim), region.len(n_dim), region.len(k_dim));
    let batch: Vec<usize> = region.0[..m_dim].iter().map(|range| range.len()).collect();
    let mut assembly = Assembly::new(operands.op, variant.body.shader(), operands.arena());

    assembly.common(GRID);
    if variant.body == Body::Cooperative {
        bind_matrices(&mut assembly, variant, matrix_side(operands.op, pieces.problem, variant, profile)?, profile);
    }
    for (name, value) in [
        ("WG_X", variant.lanes.0),
        ("WG_Y", variant.lanes.1),
        ("ROWS", variant.per_lane.0),
        ("COLUMNS", variant.per_lane.1),
        ("STEP", variant.step),
    ] {
        assembly.constant("", name, Value::U32(value));
    }
    if matches!(variant.body, Body::SparseRows | Body::SparseColumns) {
        assembly.constant("", "ACROSS", Value::Bool(variant.body == Body::SparseRows));
        assembly.constant("", "WHOLE", Value::Bool(quads::whole(k)));
    }
    bind_product(&mut assembly, pieces.problem, variant.body, profile);
    workgroup_arrays(&mut assembly, variant);
    assembly.size("", "m", m)?.size("", "n", n)?;
    match pieces.feeds {
        Some(_) => assembly.size("", "quads", k.div_ceil(4))?,
        None => assembly.size("", "k", k)?,
    };
    let counted = inner(&batch).map(|size| size.max(1));
    assembly.size("", "batch_1", counted[1])?.size("", "batch_2", counted[2])?;
    if matches!(variant.body, Body::Staged | Body::Cooperative) {
        assembly.common(BLOCKS);
    }
    if matches!(variant.body, Body::Staged | Body::Cooperative | Body::FewRows) {
        assembly.size("", "batch_0", counted[0])?.size("", "chunk", parts::chunk(pieces, region))?;
    }

    let mut bytes_moved = 0;
    for side in Side::BOTH {
        bytes_moved += bind_side(&mut assembly, pieces, variant.body, side, region, operands)?;
    }
    if variant.body.is_in_steps() && Stored::of(pieces.problem).is_none() {
        assembly.fragment("steps", sparse::DENSE_STEPS);
    }

    let parts = parts::count(pieces, region);
    bytes_moved += if parts > 1 {
        parts::bind_partials(&mut assembly, pieces, region)?
    } else {
        bind_output(&mut assembly, pieces, region)?
    };

    let (tile_m, tile_n) = variant.tile();
    let tiles = batch.iter().product::<usize>() as u64 * (m.div_ceil(tile_m) as u64) * (n.div_ceil(tile_n) as u64);
    let work = Work { flops: pieces.flops(region), bytes: bytes_moved as f64 };
    assembly.dispatch(profile, tiles * parts as u64, work)
}

/// Fills the hooks of the epilogue. Returns the bytes that it reads and writes.
fn bind_output(assembly: &mut Assembly, pieces: &Pieces<'_>, region: &Region) -> Result<u64> {
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
fn bind_addend(assembly: &mut Assembly, pieces: &Pieces<'_>, region: &Region) -> Result<u64> {
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

/// Tells of the panels that a body keeps in workgroup memory.
fn workgroup_arrays(assembly: &mut Assembly, variant: &Variant) {
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

/// Fills an operand's hook with the loader that a body asks for. Returns the bytes that it reads.
fn bind_side(
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

/// A number that is below 2^32: ops refuse kernels whose side is not, and `size` refuses sums as long.
fn low_word(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn word(value: usize) -> Value {
    Value::U32(low_word(value))
}

fn read(input: usize, range: Range<u64>, dtype: DType) -> Binding {
    Binding { slot: Slot::Input(input), range, access: Access::Read, element: dtype.size() }
}

fn batch_strides(assembly: &mut Assembly, hook: &str, batch: &[usize]) -> Result<()> {
    let [s0, s1, s2] = inner(batch);
    assembly.size(hook, "batch_0", s0)?.size(hook, "batch_1", s1)?.size(hook, "batch_2", s2)?;
    Ok(())
}

/// What the loaders of a hook hand on: words as they are, floats of any size as f32.
fn bind_scalar(assembly: &mut Assembly, hook: &'static str, dtype: DType) {
    assembly.constant(hook, "Scalar", Value::Type(dtype.word()));
}

/// Fills the hook of the products, and names what bodies and loaders hand on in blocks of four by four.
fn bind_product(assembly: &mut Assembly, problem: &Contraction, body: Body, profile: &DeviceProfile) {
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
