//! The order of candidates on drivers that run on the CPU, by the time they take there.
//!
//! What costs is known from lavapipe (Mesa 22.3.6) on a core with 8 lanes of f32, where the estimates below rank tiles as they
//! measured: a 1024^3 product ran at 38 GFLOP/s on two cores in 32x4 sums a lane, 34 in 16x8, 31 in 16x4, 27 in 8x8, 23 in 8x4,
//! and 10 in the best tile of the direct body.

use super::depthwise::Depthwise;
use super::panels::{self, FAR, Feed};
use super::patches::Patches;
use super::quads::{Lie, Side};
use super::quantized;
use super::stored::Stored;
use super::whole::Words;
use super::winograd;
use super::{Body, Contraction, Variant};
use crate::family::sparse::CPU_RUN;
use crate::problem::Operands;
use crate::profile::{Class, DeviceProfile};

/// Nanoseconds that a subgroup takes.
#[derive(Clone, Copy)]
struct Costs {
    /// For a load of 16 bytes a lane, wherever it goes.
    vector_load: f64,
    /// For a load of 4 bytes a lane.
    scalar_load: f64,
    multiply_add: f64,
}

impl Costs {
    fn of(profile: &DeviceProfile) -> Self {
        if profile.texels.is_some() {
            // With AVX2 alone, whose 16 registers hold few sums: the others are loaded and stored.
            Costs { vector_load: 8.0, scalar_load: 10.0, multiply_add: 0.3 }
        } else {
            // Lanes load one after the other, and the checks around a word cost as much as the load.
            Costs { vector_load: 21.0, scalar_load: 9.5, multiply_add: 0.18 }
        }
    }
}

/// Nanoseconds that a subgroup takes for a broadcast.
const BROADCAST: f64 = 0.4;
/// For a product of words: a packed dot product, or counting bits.
const WORDS: f64 = 1.5;
/// For unpacking a value of a word: two shifts and a conversion.
const UNPACK: f64 = 0.54;
/// For taking a number out of a word and making it a float.
const UNPACKED: f64 = 0.55;
/// For adding up what lanes have summed.
const HANDED: f64 = 100.0;
/// For packing four values a lane: four loads and a store of 16 bytes, and finding the addresses.
const PACK: f64 = 100.0;
/// For copying four values a lane into a plane: four loads and a store, and finding out what lies outside of the image.
const COPY: f64 = 75.0;
/// For keeping a sum over a step of patches: it is written under the loop's mask.
const KEEP: f64 = 0.5;
/// For starting a workgroup and finding its tile.
const WORKGROUP: f64 = 1000.0;

/// Rows and columns of a lane that are worth compiling: more columns lessen the loads of a, more rows those of b.
const BROADCAST_TILES: [(u32, u32); 11] =
    [(1, 8), (1, 16), (2, 8), (4, 8), (8, 4), (8, 8), (16, 4), (16, 8), (24, 4), (32, 4), (32, 8)];
/// Those of words that are unpacked: with eight columns the unpacked values of both fours fill the nearest cache, and 1024^3 took 104 ms of
/// a core in 12x8 or 16x8 sums a lane, 64 to 69 in these from 8x4 on.
const UNPACKED_TILES: [(u32, u32); 6] = [(1, 4), (2, 4), (4, 4), (8, 4), (16, 4), (24, 4)];
/// Above so many sums the compiler takes more than a second: for columns that are far apart alone.
const QUICK_SUMS: u32 = 128;
/// Output channels and pixels of a lane: more channels lessen the loads of images, more rows of pixels those of weights.
const PATCHES_TILES: [(u32, u32); 4] = [(4, 8), (8, 8), (8, 16), (16, 8)];
/// Rows of four pixels of a lane: the more, the fewer rows of images are loaded twice. Eight rows spill registers and touch more
/// lines of memory than they save: 5.8 ms for 8x64x112x112 and 3x3 windows at a stride of 2, four rows 4.3.
const DEPTHWISE_TILES: [(u32, u32); 3] = [(1, 4), (1, 8), (1, 16)];
const DIRECT_TILES: [(u32, u32); 7] = [(1, 1), (1, 4), (1, 8), (4, 4), (4, 8), (8, 4), (8, 8)];

/// What loads from such rows cost: the more columns a lane loads side by side, the fewer of them miss.
fn far_factor(columns: u32) -> f64 {
    1.0 + 2.0 / f64::from(columns)
}

fn variant(body: Body, lanes: u32, per_lane: (u32, u32)) -> Variant {
    let step = if body == Body::Broadcast { 4 } else { 1 };
    Variant { body, lanes: (lanes, 1), per_lane, step, parts: 1, winograd: 0 }
}

/// The tiles of the direct body. Without subgroups of a size that is known, as many lanes as most such drivers have.
fn direct(profile: &DeviceProfile) -> impl Iterator<Item = Variant> {
    let lanes = profile.fixed_subgroup_size().unwrap_or(8);
    DIRECT_TILES.into_iter().map(move |tile| variant(Body::Direct, lanes, tile))
}

/// The tiles of the broadcast body, where subgroups have one size.
fn broadcast(profile: &DeviceProfile) -> impl Iterator<Item = Variant> {
    let lanes = profile.fixed_subgroup_size();
    lanes.into_iter().flat_map(|lanes| BROADCAST_TILES.map(|tile| variant(Body::Broadcast, lanes, tile)))
}

/// Those of it for words.
fn broadcast_words(profile: &DeviceProfile) -> impl Iterator<Item = Variant> {
    let lanes = profile.fixed_subgroup_size();
    lanes.into_iter().flat_map(|lanes| UNPACKED_TILES.map(|tile| variant(Body::Broadcast, lanes, tile)))
}

/// The tiles of the patches body, likewise.
pub(super) fn patches(profile: &DeviceProfile) -> impl Iterator<Item = Variant> {
    let lanes = profile.fixed_subgroup_size();
    lanes.into_iter().flat_map(|lanes| PATCHES_TILES.map(|tile| variant(Body::Patches, lanes, tile)))
}

/// Those of the depthwise body, which hands nothing on and takes lanes as the direct one does.
fn depthwise(profile: &DeviceProfile) -> impl Iterator<Item = Variant> {
    let lanes = profile.fixed_subgroup_size().unwrap_or(8);
    DEPTHWISE_TILES.into_iter().map(move |tile| variant(Body::Depthwise, lanes, tile))
}

/// A tile of the broadcast body.
pub(super) fn broadcast_of(lanes: u32, tile: (u32, u32)) -> Variant {
    variant(Body::Broadcast, lanes, tile)
}

pub(super) fn every(profile: &DeviceProfile) -> impl Iterator<Item = Variant> {
    let products = broadcast(profile).chain(broadcast_words(profile));
    products.chain(patches(profile)).chain(depthwise(profile)).chain(direct(profile))
}

/// The bodies' best tiles, the fastest first, with the reason.
pub(super) fn ranked(
    problem: &Contraction,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Vec<(Variant, String)> {
    let Contraction { m, n, k, .. } = *problem;
    let why = |variant: &Variant, ns: f64| {
        let unpacked = problem.whole.as_ref().is_some_and(|whole| whole.is_unpacked(variant.body, profile));
        let how = if unpacked { ", int8 unpacked to f32, since packed dot products are emulated" } else { "" };
        format!("class Cpu, m={m}, n={n}, k={k}: about {:.3} ms on a core, by its loads{how}", ns * 1e-6)
    };
    timed(problem, operands, profile).into_iter().map(|(variant, ns)| (variant, why(&variant, ns))).collect()
}

/// Likewise, with the nanoseconds that each takes on a core.
pub(super) fn timed(problem: &Contraction, operands: &Operands<'_>, profile: &DeviceProfile) -> Vec<(Variant, f64)> {
    let costs = Costs::of(profile);
    if let Some(whole) = &problem.whole {
        let mut best = vec![cheapest(direct(profile), |tile| direct_ns(problem, tile, costs))];
        if profile.fixed_subgroup_size().is_some() {
            let ns = |tile: &Variant| broadcast_ns(problem, operands, tile, costs);
            best.push(match whole.is_unpacked(Body::Broadcast, profile) {
                true => cheapest(broadcast_words(profile), ns),
                false => cheapest(broadcast(profile), ns),
            });
        }
        best.sort_by(|(_, x), (_, y)| x.total_cmp(y));
        return best;
    }
    let mut best = vec![
        cheapest(direct(profile), |tile| direct_ns(problem, tile, costs)),
        cheapest(depthwise(profile), |tile| depthwise_ns(problem, operands, tile, costs)),
    ];
    if profile.fixed_subgroup_size().is_some() {
        best.push(cheapest(broadcast(profile), |tile| broadcast_ns(problem, operands, tile, costs)));
        best.push(cheapest(patches(profile), |tile| patches_ns(problem, operands, tile, costs)));
    }
    best.extend(winograd::TILES.into_iter().filter_map(|tile| winograd_ns(problem, tile, operands, profile)));
    best.retain(|(_, ns)| ns.is_finite());
    best.sort_by(|(_, x), (_, y)| x.total_cmp(y));
    best
}

/// Winograd's method through the fastest variant of its products.
fn winograd_ns(
    problem: &Contraction,
    tile: u32,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Option<(Variant, f64)> {
    let (variant, products, moved) = winograd::fastest(problem, tile, operands, |p, own| timed(p, own, profile))?;
    let lanes = f64::from(profile.fixed_subgroup_size().unwrap_or(8));
    Some((variant, products + moved / lanes * Costs::of(profile).scalar_load))
}

fn cheapest(variants: impl Iterator<Item = Variant>, ns: impl Fn(&Variant) -> f64) -> (Variant, f64) {
    let first = (Variant::BASELINE, f64::INFINITY);
    variants.map(|variant| (variant, ns(&variant))).fold(first, |best, next| if next.1 < best.1 { next } else { best })
}

/// Tiles of the output, over all batch entries.
fn tiles(problem: &Contraction, variant: &Variant) -> f64 {
    let (tile_m, tile_n) = variant.tile();
    let entries: f64 = problem.batch.iter().map(|&size| size as f64).product();
    problem.m.div_ceil(tile_m) as f64 * problem.n.div_ceil(tile_n) as f64 * entries
}

fn direct_ns(problem: &Contraction, variant: &Variant, costs: Costs) -> f64 {
    let (rows, columns) = (f64::from(variant.per_lane.0), f64::from(variant.per_lane.1));
    let product = if problem.whole.is_some() { WORDS } else { costs.multiply_add };
    let step = (rows + columns) * costs.scalar_load + rows * columns * product;
    tiles(problem, variant) * (WORKGROUP + problem.k as f64 * step)
}

fn depthwise_ns(problem: &Contraction, operands: &Operands<'_>, variant: &Variant, costs: Costs) -> f64 {
    let Ok(depthwise) = Depthwise::of(problem, variant, operands) else { return f64::INFINITY };
    let counts = depthwise.counts(problem, Class::Cpu);
    let moved = counts.vectors * costs.vector_load + counts.scalars * costs.scalar_load;
    let workgroups = (counts.runs / f64::from(variant.lanes.0)).ceil();
    workgroups * (WORKGROUP + moved + counts.multiply_adds * costs.multiply_add)
}

fn broadcast_ns(problem: &Contraction, operands: &Operands<'_>, variant: &Variant, costs: Costs) -> f64 {
    let [a, b] = panels::feeds(problem, operands);
    let (rows, columns) = (f64::from(variant.per_lane.0), f64::from(variant.per_lane.1));
    let lanes = f64::from(variant.lanes.0);
    let far = b == Feed::Lying(Lie::Across) && problem.n >= FAR;
    if !far && variant.per_lane.0 * variant.per_lane.1 > QUICK_SUMS {
        return f64::INFINITY;
    }
    let loads = (rows / lanes).ceil() + columns * if far { far_factor(variant.per_lane.1) } else { 1.0 };
    let products = match &problem.whole {
        None => 4.0 * rows * (BROADCAST + columns * costs.multiply_add),
        // Each value is unpacked for itself.
        Some(whole) if whole.words == Words::Int8 => {
            let values = 4.0 * whole.words.values() as f64;
            values * (loads * UNPACK + rows * (BROADCAST + columns * costs.multiply_add))
        }
        Some(_) => 4.0 * rows * (BROADCAST + columns * WORDS),
    };
    let step = loads * costs.vector_load + products;
    let entries: f64 = problem.batch.iter().map(|&size| size as f64).product();
    let packed = |side: Side, feed, outer: usize| match feed {
        Feed::Packed(_) if !side.is_constant(problem, operands) => {
            entries * outer as f64 * problem.k as f64 / 4.0 / lanes * PACK
        }
        _ => 0.0,
    };
    let packing = packed(Side::A, a, problem.m) + packed(Side::B, b, problem.n);
    packing + tiles(problem, variant) * (WORKGROUP + problem.k.div_ceil(4) as f64 * step)
}

fn patches_ns(problem: &Contraction, operands: &Operands<'_>, variant: &Variant, costs: Costs) -> f64 {
    // With an output channel or two, as in depthwise convolutions, most of a tile is thrown away: 40 ms for 8x64x56x56 and 3x3
    // windows, where the direct body took 28.
    if problem.m * 2 < variant.per_lane.0 as usize {
        return f64::INFINITY;
    }
    let Ok(patches) = Patches::of(operands.op, problem, variant) else { return f64::INFINITY };
    let counts = patches.counts(problem);
    let sums = f64::from(variant.per_lane.0 * variant.per_lane.1);
    let handed_on = counts.weights * (BROADCAST + f64::from(variant.per_lane.1) * costs.multiply_add);
    let step = counts.loads * costs.vector_load + handed_on + sums * KEEP;
    let panels = if Side::A.is_constant(problem, operands) { 0.0 } else { counts.panels };
    let packing = (panels * PACK + counts.planes * COPY) / f64::from(variant.lanes.0);
    packing + counts.tiles * (WORKGROUP + counts.steps * step)
}

/// A body that reads an operand in planes.
pub(super) fn stored_ns(
    problem: &Contraction,
    stored: Stored<'_>,
    variant: &Variant,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> f64 {
    let costs = Costs::of(profile);
    if variant.body == Body::Patches {
        return patches_ns(problem, operands, variant, costs);
    }
    let (rows, columns) = (f64::from(variant.per_lane.0), f64::from(variant.per_lane.1));
    let lanes = f64::from(variant.lanes.0);
    if let (Body::Chunks, Stored::Quantized(quantized)) = (variant.body, stored) {
        let [chunks, quads, spans] = quantized.chunks();
        let column =
            if quantized::lies_in_fours(problem, operands) { costs.vector_load } else { 4.0 * costs.scalar_load };
        let four = columns * column + 4.0 * rows * (UNPACKED + columns * costs.multiply_add);
        let scales = spans * rows * (quantized.loads() - 1.0) * costs.scalar_load;
        let chunk = rows * costs.vector_load + quads * four + scales;
        return tiles(problem, variant) * (WORKGROUP + HANDED * rows * columns + (chunks / lanes).ceil() * chunk);
    }
    let ([vectors, scalars], beside) = stored.loads();
    let row_loads = vectors * costs.vector_load + scalars * costs.scalar_load;
    let sums = 4.0 * rows * columns * costs.multiply_add;
    let lying = panels::feeds(problem, operands)[1];
    let entries: f64 = problem.batch.iter().map(|&size| size as f64).product();
    let (step, packing) = if variant.body == Body::Broadcast {
        let handed = 4.0 * rows * BROADCAST;
        let packing = match lying {
            Feed::Packed(_) => entries * problem.n as f64 * problem.k as f64 / 4.0 / lanes * PACK,
            _ => 0.0,
        };
        ((rows / lanes).ceil() * row_loads + columns * costs.vector_load + handed + sums, packing)
    } else {
        // Of what is gathered, value by value.
        let load = if lying == Feed::Lying(Lie::Across) { costs.vector_load } else { 4.0 * costs.scalar_load };
        (rows * row_loads + columns * load + sums, 0.0)
    };
    let [taken, skipped] = stored.steps();
    let steps = taken * (step + beside * costs.scalar_load) + skipped * costs.scalar_load;
    packing + tiles(problem, variant) * (WORKGROUP + steps)
}

/// Unpacking: an invocation finds and stores four values.
pub(super) fn unpack_ns(stored: Stored<'_>, profile: &DeviceProfile) -> f64 {
    let costs = Costs::of(profile);
    let lanes = f64::from(profile.fixed_subgroup_size().unwrap_or(8));
    let [rows, columns] = stored.sizes();
    let four = WORKGROUP / CPU_RUN as f64 + 4.0 * stored.found() * costs.scalar_load + PACK;
    (rows * columns) as f64 / 4.0 / lanes * four
}
