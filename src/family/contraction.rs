//! Contractions: matrix products and everything that is one in disguise.

mod bind;
mod cpu;
pub(crate) mod depthwise;
mod gpu;
mod panels;
mod parts;
mod patches;
mod pieces;
mod quads;
pub(crate) mod quantized;
pub(crate) mod sparse;
pub(crate) mod stored;
mod variant;
pub(crate) mod whole;
mod winograd;

pub(crate) use self::bind::{bind_operand, bind_whole_elements, bind_whole_output};
pub use self::variant::{Body, Variant};
pub(crate) use self::variant::{every, is_fast};

use self::bind::{bind_matrices, bind_output, bind_product, bind_side, workgroup_arrays};
use self::pieces::{Pieces, entries, inner};
use self::quads::Side;
use self::quantized::Quantized;
use self::sparse::Sparse;
use self::stored::Stored;
use self::variant::{expect_subgroups, matrix_side};
use self::whole::{Fill, Whole};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::layout::DType;
use crate::op::activation::Activation;
use crate::op::precision::Precision;
use crate::plan::{Assembly, Dispatch, MAX_TRIPS, Slot, Work, expect_dispatches, too_many_trips};
use crate::problem::{Built, Candidate, Operands};
use crate::profile::{Class, DeviceProfile};
use crate::split::{Divisible, Region, split};

const BLOCKS: ShaderFile = shader!("contraction/blocks.wgsl");
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
