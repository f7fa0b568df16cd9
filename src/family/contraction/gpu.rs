//! The order of candidates on GPUs, by an estimate of the time that each takes there.
//!
//! The unit is the time in which an SM does a multiply-add for each of its lanes. No GPU was at hand when this was written: the
//! figures are those that compilers and data sheets give, and rank candidates whose times lie far apart.

use super::depthwise::Depthwise;
use super::quads::{self, Lie, Side};
use super::stored::Stored;
use super::variant::{matrix_side, tiled};
use super::winograd;
use super::{Addressing, Body, Contraction, Operand, Variant};
use crate::problem::Operands;
use crate::profile::DeviceProfile;

/// SMs where their number is unknown: a large card's, since tiles too few for the SMs cost more than tiles too small.
const SMS: f64 = 64.0;
/// Invocations that keep an SM busy: two subgroups of 32 for each of four schedulers.
const BUSY: f64 = 256.0;
/// Reading a vector from workgroup memory occupies it for as long as four multiply-adds, whoever needs the values; scalars in
/// their place cost twice that.
const VECTOR_READS: f64 = 1.0;
const SCALAR_READS: f64 = 2.0;
/// Loading a value, finding its address and staging it, per multiply-add that it serves.
const STAGING: f64 = 8.0;
/// A multiply-add of a matrix unit: an eighth of a plain one by the data sheets of most, and less of the largest.
const MATRIX: f64 = 0.125;
/// Two barriers and what waits at them, where other workgroups of the SM fill most of the time.
const STEP: f64 = 1000.0;
/// What an SM's share of the bandwidth takes for a value: 1 TB/s is 2.5e11 values a second, while 64 SMs do 1.2e13 multiply-adds.
const VALUE: f64 = 50.0;
/// A second dispatch: 5 microseconds at 1.5 GHz and 128 lanes.
const DISPATCH: f64 = 1e6;

/// Sums from which on a second pass pays, and the shortest part of them.
const LONG: usize = 2048;
const SHORTEST_PART: usize = 512;
/// The most parts: beyond, adding them up costs more than what they save.
const MOST_PARTS: usize = 8;
/// A product of a few vectors has few sums: parts of them cost little.
const MOST_NARROW_PARTS: usize = 64;

/// Rows (or columns) up to which a product is one of a few vectors.
pub(super) const FEW: usize = 8;

pub(super) const fn staged(lanes: (u32, u32), per_lane: (u32, u32), step: u32) -> Variant {
    Variant { body: Body::Staged, lanes, per_lane, step, parts: 1, winograd: 0 }
}

/// Tiles with the lanes that share out their blocks about evenly. 128 x 128 takes 16.5 KiB of workgroup memory in steps of 16;
/// devices that grant 16 KiB step by 8.
pub(super) const STAGED: [Variant; 7] = [
    staged((16, 16), (8, 8), 16),
    staged((16, 16), (8, 8), 8),
    staged((16, 16), (8, 4), 16),
    staged((32, 8), (8, 4), 16),
    staged((16, 8), (8, 4), 16),
    staged((32, 8), (4, 4), 16),
    staged((8, 8), (4, 4), 32),
];

/// Tiles of subgroups with matrix units: 64 x 32 for each of eight subgroups, smaller ones where there is less to do, or 16 KiB of
/// workgroup memory. For RDNA3 (Mesa 25.0, nothing was run) none spills, and 12, 18 and 20 subgroups of 64 fit into a SIMD, of
/// convolutions 8, 12 and 18; of 64 x 64 for each of four only 6 would. For each product of matrices they access workgroup memory 2, 3
/// and 8 times; with k outermost in the panels it was 12.5, 17 and 36 times.
pub(super) const COOPERATIVE: [Variant; 3] =
    [cooperative((4, 2), (64, 32), 32), cooperative((2, 2), (32, 32), 32), cooperative((2, 1), (16, 16), 32)];

const fn cooperative(lanes: (u32, u32), per_lane: (u32, u32), step: u32) -> Variant {
    Variant { body: Body::Cooperative, lanes, per_lane, step, parts: 1, winograd: 0 }
}

/// Rows of fours of an invocation of a depthwise convolution: more rows load fewer of the image's twice, fewer take fewer registers.
/// 64 fill two subgroups of 32 or one of 64.
pub(super) const DEPTHWISE: [Variant; 3] = [depthwise(16), depthwise(8), depthwise(4)];

const fn depthwise(columns: u32) -> Variant {
    Variant { body: Body::Depthwise, lanes: (64, 1), per_lane: (1, columns), step: 1, parts: 1, winograd: 0 }
}

/// All tiles that suit a problem, the fastest first, with the reason.
pub(super) fn ranked(
    problem: &Contraction,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Vec<(Variant, String)> {
    let sms = sms(profile);
    let Contraction { m, n, k, .. } = *problem;
    let best = entries(problem) * m as f64 * n as f64 * k as f64 / sms;
    let why =
        |time: f64| format!("m={m}, n={n}, k={k}: an estimated {:.1} % of the peak", 100.0 * best / time.max(1.0));
    timed(problem, operands, profile).into_iter().map(|(variant, time)| (variant, why(time))).collect()
}

fn sms(profile: &DeviceProfile) -> f64 {
    profile.sm_count.filter(|&count| count > 0).map_or(SMS, f64::from)
}

/// Likewise, with the time of each.
pub(super) fn timed(problem: &Contraction, operands: &Operands<'_>, profile: &DeviceProfile) -> Vec<(Variant, f64)> {
    let sms = sms(profile);
    let matrices = COOPERATIVE.into_iter().filter(|tile| matrix_side(operands.op, problem, tile, profile).is_ok());
    let mut variants: Vec<Variant> = matrices.chain(STAGED).chain([4, 2, 1].map(tiled)).collect();
    variants.extend(narrow(problem, operands));
    variants.extend(DEPTHWISE.into_iter().filter(|variant| Depthwise::of(problem, variant, operands).is_ok()));
    let in_parts: Vec<Variant> = variants.iter().filter_map(|variant| split(problem, variant, sms)).collect();
    variants.extend(in_parts);
    if let Some(whole) = &problem.whole {
        variants.retain(|variant| whole.expect(operands.op, variant).is_ok());
    }
    let mut timed: Vec<_> = variants.into_iter().map(|variant| (variant, time(problem, &variant, sms))).collect();
    timed.extend(winograd::TILES.into_iter().filter_map(|tile| winograd_time(problem, tile, operands, profile)));
    timed.sort_by(|(_, x), (_, y)| x.total_cmp(y));
    timed
}

/// Winograd's method through the fastest variant of its products.
fn winograd_time(
    problem: &Contraction,
    tile: u32,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Option<(Variant, f64)> {
    let (variant, products, moved) = winograd::fastest(problem, tile, operands, |p, own| timed(p, own, profile))?;
    Some((variant, products + moved / sms(profile) * VALUE + 3.0 * DISPATCH))
}

/// The kernels for products of a few vectors: invocations lie along k or across it, as the large operand does.
fn narrow(problem: &Contraction, operands: &Operands<'_>) -> Option<Variant> {
    let (body, few, large) = match (problem.m, problem.n) {
        (m, _) if m <= FEW => (Body::FewRows, m, Side::B),
        (_, n) if n <= FEW && problem.out.columns.is_none() => (Body::FewColumns, n, Side::A),
        _ => return None,
    };
    let along = match quads::lie(problem, large, operands) {
        Some(lie) => lie == Lie::Along,
        None => k_fastest(large.operand(problem)),
    };
    let lanes = if along { (1, 64) } else { (8, 16) };
    Some(Variant { body, lanes, per_lane: (few.next_multiple_of(4).max(4) as u32, 4), step: 4, parts: 1, winograd: 0 })
}

/// Whether neighbours in k lie closer than neighbours in rows (or columns).
pub(super) fn k_fastest(operand: &Operand) -> bool {
    match &operand.addressing {
        Addressing::Dense { outer, k, taps, .. } => *taps > 1 || k < outer,
        // Pixels lie side by side.
        Addressing::Windows(_) => false,
        Addressing::Sparse(_) | Addressing::Quantized(_) => true,
    }
}

/// A variant with its sums in parts, where they are long and its tiles leave a third of the SMs without work.
fn split(problem: &Contraction, variant: &Variant, sms: f64) -> Option<Variant> {
    let most = match variant.body {
        Body::Staged | Body::Cooperative => MOST_PARTS,
        Body::FewRows | Body::FewColumns => MOST_NARROW_PARTS,
        _ => return None,
    };
    let tiles = tiles(problem, variant) * (lanes(variant) / BUSY).min(1.0);
    if problem.k < LONG || tiles >= sms * 2.0 / 3.0 {
        return None;
    }
    let parts = ((sms / tiles.max(1.0)) as usize).clamp(2, most).min(problem.k / SHORTEST_PART);
    Some(Variant { parts: parts as u32, ..*variant })
}

fn entries(problem: &Contraction) -> f64 {
    problem.batch.iter().map(|&size| size as f64).product()
}

/// Tiles of the output, over all batch entries.
fn tiles(problem: &Contraction, variant: &Variant) -> f64 {
    let (tile_m, tile_n) = variant.tile();
    problem.m.div_ceil(tile_m) as f64 * problem.n.div_ceil(tile_n) as f64 * entries(problem)
}

fn lanes(variant: &Variant) -> f64 {
    let subgroup = if variant.body == Body::Cooperative { 32.0 } else { 1.0 };
    subgroup * f64::from(variant.lanes.0 * variant.lanes.1)
}

fn time(problem: &Contraction, variant: &Variant, sms: f64) -> f64 {
    let parts = f64::from(variant.parts);
    let sums = entries(problem) * problem.m as f64 * problem.n as f64;
    // Of the busiest SM.
    let workgroups = (tiles(problem, variant) * parts / sms).ceil().max(1.0);
    let idle = (BUSY / (workgroups * lanes(variant))).max(1.0);
    // Partial sums are written and read once.
    let combining = if variant.parts > 1 { DISPATCH + 2.0 * parts * sums / sms * VALUE } else { 0.0 };
    let k = problem.k as f64;
    workgroups * k / parts * value_of_k(variant, k) * idle + combining
}

/// What one of k values costs a workgroup.
fn value_of_k(variant: &Variant, k: f64) -> f64 {
    let (tile_m, tile_n) = variant.tile();
    let (tile_m, tile_n) = (tile_m as f64, tile_n as f64);
    let reads = match variant.body {
        // The matrix is read once.
        Body::FewRows => return tile_n * VALUE,
        Body::FewColumns => return tile_m * VALUE,
        // Each value is read once and written once, however many k has.
        Body::Depthwise => return 2.0 * tile_n * VALUE / k,
        Body::Staged => VECTOR_READS,
        // Registers are the matrices' affair: what is left is to feed them.
        Body::Cooperative => {
            let fed = MATRIX + STAGING * (1.0 / tile_m + 1.0 / tile_n);
            return tile_m * tile_n * fed + STEP / f64::from(variant.step);
        }
        _ => SCALAR_READS,
    };
    let (rows, columns) = (f64::from(variant.per_lane.0), f64::from(variant.per_lane.1));
    let product = 1.0 + reads * (1.0 / rows + 1.0 / columns) + STAGING * (1.0 / tile_m + 1.0 / tile_n);
    tile_m * tile_n * product + STEP / f64::from(variant.step)
}

/// A body that reads an operand in planes, whose rows hold so many values of k. Values that are loaded without being staged, by many
/// invocations, come from the nearest cache.
pub(super) fn stored_time(
    problem: &Contraction,
    stored: Stored<'_>,
    variant: &Variant,
    profile: &DeviceProfile,
) -> f64 {
    let [steps, _] = stored.steps();
    let k = 4.0 * steps;
    let (rows, columns) = (f64::from(variant.per_lane.0), f64::from(variant.per_lane.1));
    let (tile_m, tile_n) = variant.tile();
    let cached = SCALAR_READS * STAGING / 2.0;
    let value = match variant.body {
        Body::Staged => value_of_k(variant, k),
        // Likewise in as many bytes as it takes, of which lanes beyond a row's chunks get none.
        Body::Chunks => match stored {
            Stored::Quantized(quantized) => {
                let [chunks, ..] = quantized.chunks();
                let idle = (chunks / lanes(variant)).ceil() * lanes(variant) / chunks.max(1.0);
                let bytes = quantized.layout.scheme.values.bits() as f64 / 32.0;
                tile_m as f64 * idle * (VALUE * bytes).max(columns * cached / rows)
            }
            Stored::Sparse(_) => return f64::INFINITY,
        },
        // The matrix is read once, and four columns whether they are there or not.
        Body::SparseColumns => tile_m as f64 * VALUE.max(columns * cached / rows),
        _ => (tile_m * tile_n) as f64 * (1.0 + cached * (1.0 / rows + 1.0 / columns)),
    };
    let workgroups = (tiles(problem, variant) / sms(profile)).ceil().max(1.0);
    let idle = (BUSY / (workgroups * lanes(variant))).max(1.0);
    workgroups * k * value * idle
}

/// Unpacking: each value is read and written.
pub(super) fn unpack_time(stored: Stored<'_>, profile: &DeviceProfile) -> f64 {
    let [rows, columns] = stored.sizes();
    DISPATCH + 2.0 * (rows * columns) as f64 * stored.found() / sms(profile) * VALUE
}
