//! Calibration: the scale and the zero point of activations, out of samples of them.

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::layout::{DType, count};
use crate::op::Op;
use crate::op::quantize::{Granularity, Histogram, QuantScheme, QuantType, Ranges};
use crate::quantize::as_operands;
use crate::tensor::{AnyTensor, Operand};

const OP: &str = "calibrate";

/// How a range is chosen out of what was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Calibration {
    /// All of it.
    MinMax,
    /// So many percent of the numbers: of a symmetric scheme the largest magnitudes are left out, else as many at either end.
    Percentile(f64),
    /// The range with the least mean squared error (M. Nagel et al., A White Paper on Neural Network Quantization, arXiv 2106.08295, 3.1), by a
    /// search in steps of an eighth of a power of two and then of a sixteenth of those, one end after the other.
    Mse,
    /// The range that loses the least information (S. Migacz, 8-bit Inference with TensorRT, GTC 2017): of 2048 bins of magnitudes as many as have
    /// the least Kullback-Leibler divergence from what is left of them in as many levels as the values have.
    Entropy,
}

/// Gathers samples of activations, batch after batch, on the device; none of them is read back.
///
/// [`Calibration::MinMax`] keeps a range for each scale. The others keep one histogram, of a scheme with one scale, whose bins go by the bits of
/// numbers: each is 1/2048 of its power of two wide, so that ranges may grow from batch to batch and nothing is binned again. NaN and infinity do
/// not count; [`Calibrated::ignored`] tells how many there were.
///
/// ```no_run
/// use tilewise::{Calibration, Calibrator, Granularity, Gpu, QuantScheme, QuantType};
/// let gpu = Gpu::new()?;
/// let granularity = Granularity::Tensor;
/// let scheme = QuantScheme { values: QuantType::U8, symmetric: false, granularity, ..QuantScheme::default() };
/// let mut calibrator = Calibrator::new(scheme, Calibration::Percentile(99.99))?;
/// for batch in [gpu.tensor(&[4], &[0.0f32, 0.5, 1.0, 0.25])?, gpu.tensor(&[2], &[2.0f32, 0.125])?] {
///     calibrator.feed(&gpu, &batch)?;
/// }
/// let found = calibrator.finish(&gpu)?;
/// println!("scale {} zero point {}", found.scales[0], found.zeros[0]);
/// # Ok::<(), tilewise::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Calibrator {
    scheme: QuantScheme,
    method: Calibration,
    /// The ranges, and the histogram where one is kept.
    state: Vec<AnyTensor>,
    /// How many numbers were seen.
    seen: u64,
}

/// What calibration found, in the order of [`QuantLayout::scales`](crate::QuantLayout::scales).
#[derive(Clone, Debug, PartialEq)]
pub struct Calibrated {
    /// The least and the greatest number of each range; 0 lies in it.
    pub ranges: Vec<[f32; 2]>,
    /// The scales: positive, normal numbers.
    pub scales: Vec<f32>,
    /// The zero points; none of a symmetric scheme.
    pub zeros: Vec<i32>,
    /// NaN and infinities that were seen and did not count; 0 for [`Calibration::MinMax`], which does not count them.
    pub ignored: u64,
}

/// Bits of the mantissa by which numbers are counted.
const MANTISSA: u32 = 11;

/// The scale and the zero point of a range, as [`DynamicQuantize`](crate::DynamicQuantize) has them.
fn scale_of(scheme: &QuantScheme, [least, greatest]: [f32; 2]) -> (f32, i32) {
    let [low, high] = scheme.values.range();
    let (range, steps) = if scheme.symmetric {
        let most = if low < 0 { greatest.max(-least) } else { greatest };
        (f64::from(most), high)
    } else {
        let range = greatest - least;
        // The difference of the largest numbers is none of f32.
        let halves = || 2.0 * f64::from(greatest / 2.0 - least / 2.0);
        (if range.is_finite() { range.into() } else { halves() }, high - low)
    };
    let scale = if range > 0.0 { ((range / f64::from(steps)) as f32).max(f32::MIN_POSITIVE) } else { 1.0 };
    let (smallest, largest) = (half::f16::MIN_POSITIVE.to_f32(), half::f16::MAX.to_f32());
    let scale = match scheme.scales {
        DType::F16 => half::f16::from_f32(scale.min(largest)).to_f32().max(smallest),
        _ => scale,
    };
    let zero = f64::from(low) + f64::from((-least / scale).round_ties_even());
    (scale, if scheme.symmetric { 0 } else { zero.clamp(low.into(), high.into()) as i32 })
}

impl Calibrator {
    /// A calibrator that has seen nothing.
    ///
    /// # Errors
    /// [`Error::Option`] for blocks, which no activations keep from batch to batch, for channels by another method than `MinMax`, for binary
    /// values, and for percentages outside of 0 to 100.
    pub fn new(scheme: QuantScheme, method: Calibration) -> Result<Self> {
        let refused = |option, value: String, requirement| Err(Error::Option { op: OP, option, value, requirement });
        match (scheme.granularity, method) {
            (Granularity::Block(len), _) => {
                return refused("granularity", format!("blocks of {len}"), "the tensor or channels");
            }
            (Granularity::Channel(axis), Calibration::Percentile(_) | Calibration::Mse | Calibration::Entropy) => {
                return refused("granularity", format!("channels of axis {axis}"), "the tensor, but for MinMax");
            }
            (_, Calibration::Percentile(percent)) if !(percent > 0.0 && percent <= 100.0) => {
                return refused("percentile", percent.to_string(), "above 0 and at most 100");
            }
            _ => {}
        }
        if scheme.values == QuantType::Binary {
            return refused("values", "binary".into(), "int8, uint8 or int4: binary values keep no range");
        }
        Ok(Calibrator { scheme, method, state: Vec::new(), seen: 0 })
    }

    /// Takes a batch in: f32 or f16, of any shape, with as many channels as the others. Recorded on the device; waits for nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of channels, [`Error::Limit`] for more than 2^32 - 1 numbers in all where they are counted, and those of
    /// [`apply_all`](Gpu::apply_all).
    pub fn feed(&mut self, gpu: &Gpu, batch: &dyn Operand) -> Result<()> {
        let seen = self.seen.saturating_add(batch.any().len() as u64);
        let counted = self.method != Calibration::MinMax;
        if counted && seen > u32::MAX.into() {
            let (limit, hint) = ("numbers in a histogram", "calibrate with fewer");
            let (needed, available) = (seen, u32::MAX.into());
            return Err(Error::Limit { op: OP.into(), limit, needed, available, hint });
        }
        let ranges = Ranges { granularity: self.scheme.granularity };
        let histogram = Histogram { mantissa: MANTISSA };
        if self.state.is_empty() {
            let groups = count(&ranges.layout(&batch.any().layout())?.scales()?);
            let mut state = vec![gpu.tensor(&[groups, 2], &vec![0u32; 2 * groups])?.any().clone()];
            if counted {
                let bins = 1 << (9 + MANTISSA);
                state.push(gpu.tensor(&[bins], &vec![0u32; bins])?.any().clone());
            }
            self.state = state;
        }
        let ops: [&dyn Op; 2] = [&ranges, &histogram];
        // All or nothing.
        let after = ops.iter().zip(as_operands(&self.state)).map(|(op, before)| gpu.apply_all(*op, &[batch, before]));
        self.state = after.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        self.seen = seen;
        Ok(())
    }

    /// The scales and zero points of what was seen. Blocks; the calibrator can be fed on.
    ///
    /// # Errors
    /// [`Error::Count`] if nothing was fed, and those of [`download`](Gpu::download).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn finish(&self, gpu: &Gpu) -> Result<Calibrated> {
        pollster::block_on(self.read(gpu, true))
    }

    /// As [`finish`](Calibrator::finish), without blocking.
    ///
    /// # Errors
    /// As for [`finish`](Calibrator::finish).
    pub async fn finish_async(&self, gpu: &Gpu) -> Result<Calibrated> {
        self.read(gpu, false).await
    }

    async fn read(&self, gpu: &Gpu, block: bool) -> Result<Calibrated> {
        let [ranges, counts @ ..] = &self.state[..] else {
            return Err(Error::Count { op: OP, what: "batches", expected: "at least 1".into(), found: 0 });
        };
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&gpu.bytes(ranges, block).await?);
        let number = |word: u32| f32::from_bits(word);
        let mut ranges: Vec<[f32; 2]> = words.chunks(2).map(|pair| [0.0 - number(pair[0]), number(pair[1])]).collect();
        let mut ignored = 0;
        if let [counts] = counts {
            let counts: Vec<u32> = bytemuck::pod_collect_to_vec(&gpu.bytes(counts, block).await?);
            let counted = Counted::of(&counts);
            ignored = counted.ignored;
            ranges.iter_mut().for_each(|range| *range = self.chosen(&counted, *range));
        }
        let found: Vec<(f32, i32)> = ranges.iter().map(|&range| scale_of(&self.scheme, range)).collect();
        let zeros = if self.scheme.symmetric { Vec::new() } else { found.iter().map(|(_, zero)| *zero).collect() };
        Ok(Calibrated { ranges, scales: found.iter().map(|(scale, _)| *scale).collect(), zeros, ignored })
    }

    /// The part of a range that is kept.
    fn chosen(&self, counted: &Counted, all: [f32; 2]) -> [f32; 2] {
        match self.method {
            Calibration::MinMax => all,
            Calibration::Percentile(percent) => percentile(&self.scheme, counted, all, percent),
            Calibration::Mse => least_error(&self.scheme, counted, all),
            Calibration::Entropy => least_loss(&self.scheme, counted, all),
        }
    }
}

/// Numbers of about a magnitude.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bin {
    /// The magnitudes begin here, and end before the other.
    edges: [f64; 2],
    count: u64,
}

/// A histogram as it is evaluated.
#[derive(Clone, Debug, Default, PartialEq)]
struct Counted {
    zeros: u64,
    /// The bins below 0 and those above, by magnitude, empty ones left out.
    sides: [Vec<Bin>; 2],
    ignored: u64,
}

impl Counted {
    fn of(counts: &[u32]) -> Self {
        let mut counted = Counted::default();
        let side = counts.len() / 2;
        let shift = 23 - MANTISSA;
        for (at, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (bin, count) = ((at % side) as u32, u64::from(count));
            let [first, end] = [bin << shift, (bin + 1) << shift].map(|bits| f64::from(f32::from_bits(bits)));
            if first.is_nan() || first.is_infinite() {
                counted.ignored += count;
            } else if at == 0 {
                counted.zeros += count;
            } else {
                // The last bin ends with f32.
                let end = if end.is_finite() { end } else { f32::MAX.into() };
                counted.sides[usize::from(at < side)].push(Bin { edges: [first, end], count });
            }
        }
        counted
    }

    fn total(&self) -> u64 {
        self.zeros + self.sides.iter().flatten().map(|bin| bin.count).sum::<u64>()
    }

    /// The bins of both sides, by magnitude.
    fn magnitudes(&self) -> Vec<Bin> {
        let mut bins: Vec<Bin> = self.sides.iter().flatten().copied().collect();
        bins.sort_by(|x, y| x.edges[0].total_cmp(&y.edges[0]));
        bins
    }
}

/// The magnitudes that are left when so many of the largest are not counted, at the most as far as `most`.
fn without(bins: &[Bin], mut dropped: u64, most: f32) -> f32 {
    for bin in bins.iter().rev() {
        if bin.count > dropped {
            return most.min(bin.edges[1] as f32);
        }
        dropped -= bin.count;
    }
    0.0
}

/// Both ends of a range, no further than a magnitude.
fn within([least, greatest]: [f32; 2], most: f32) -> [f32; 2] {
    [least.max(-most), greatest.min(most)]
}

fn percentile(scheme: &QuantScheme, counted: &Counted, all: [f32; 2], percent: f64) -> [f32; 2] {
    let dropped = |share: f64| (share * (1.0 - percent / 100.0) * counted.total() as f64) as u64;
    let [below, above] = &counted.sides;
    if !scheme.symmetric {
        let half = dropped(0.5);
        return [-without(below, half, -all[0]), without(above, half, all[1])];
    }
    if scheme.values == QuantType::U8 {
        return [all[0], without(above, dropped(1.0), all[1])];
    }
    within(all, without(&counted.magnitudes(), dropped(1.0), all[1].max(-all[0])))
}

/// The sum of squared errors that a range makes.
fn squared_error(scheme: &QuantScheme, counted: &Counted, range: [f32; 2]) -> f64 {
    let (scale, zero) = scale_of(scheme, range);
    let (scale, zero) = (f64::from(scale), f64::from(zero));
    let [low, high] = scheme.values.range().map(f64::from);
    let error = |x: f64| x - ((x / scale).round_ties_even() + zero).clamp(low, high) * scale + zero * scale;
    let side = |bins: &[Bin], sign: f64| -> f64 {
        bins.iter().map(|bin| bin.count as f64 * error(sign * (bin.edges[0] + bin.edges[1]) / 2.0).powi(2)).sum()
    };
    side(&counted.sides[0], -1.0) + side(&counted.sides[1], 1.0)
}

/// The factor from 2^-10 to 1 with the least error.
fn least_factor(error: impl Fn(f32) -> f64) -> f32 {
    let best = |factors: &mut dyn Iterator<Item = f32>| {
        let least = factors.map(|factor| (error(factor), factor)).min_by(|x, y| x.0.total_cmp(&y.0));
        least.map_or(1.0, |(_, factor)| factor)
    };
    let near = best(&mut (0..=80).map(|step| f32::exp2(-step as f32 / 8.0)));
    best(&mut (-16..=16).map(|step| (near * f32::exp2(step as f32 / 128.0)).min(1.0)))
}

fn least_error(scheme: &QuantScheme, counted: &Counted, all: [f32; 2]) -> [f32; 2] {
    if scheme.symmetric {
        let scaled = |factor: f32| all.map(|end| end * factor);
        return scaled(least_factor(|factor| squared_error(scheme, counted, scaled(factor))));
    }
    let mut range = all;
    for _ in 0..2 {
        for end in [1, 0] {
            if all[end] != 0.0 {
                let with = |factor: f32| {
                    let mut range = range;
                    range[end] = all[end] * factor;
                    range
                };
                range = with(least_factor(|factor| squared_error(scheme, counted, with(factor))));
            }
        }
    }
    range
}

/// Bins of magnitudes out of which entropy takes its range.
const BINS: usize = 2048;

/// Bins of one width, up to a magnitude.
fn even_bins(bins: &[Bin], most: f64) -> Vec<f64> {
    let mut even = vec![0.0; BINS];
    let width = most / BINS as f64;
    for bin in bins {
        let [first, end] = bin.edges.map(|edge| edge.min(most) / width);
        let last = (BINS - 1).min(first as usize);
        if end <= first {
            even[last] += bin.count as f64;
            continue;
        }
        // What lies across a border is shared.
        for (at, share) in even.iter_mut().enumerate().take((end.ceil() as usize).min(BINS)).skip(last) {
            let part = end.min(at as f64 + 1.0) - first.max(at as f64);
            *share += bin.count as f64 * part.max(0.0) / (end - first);
        }
    }
    even
}

/// The divergence of the first `kept` bins, those behind added to the last, from the same in so many levels; infinite where these miss some.
fn divergence(bins: &[f64], kept: usize, levels: usize) -> f64 {
    let (own, behind) = bins.split_at(kept);
    let outliers: f64 = behind.iter().sum();
    let reference = |at: usize| own[at] + if at + 1 == kept { outliers } else { 0.0 };
    let level = |at: usize| at * levels / kept;
    let mut sums = vec![(0.0, 0usize); levels];
    for (at, &count) in own.iter().enumerate() {
        let (sum, occupied) = &mut sums[level(at)];
        *sum += count;
        *occupied += usize::from(reference(at) > 0.0);
    }
    let (all, left) = (own.iter().sum::<f64>() + outliers, own.iter().sum::<f64>());
    let term = |at: usize| {
        let p = reference(at) / all;
        let (sum, occupied) = sums[level(at)];
        let q = sum / (occupied.max(1) as f64 * left);
        if p > 0.0 { p * (p / q).ln() } else { 0.0 }
    };
    let sum: f64 = (0..kept).map(term).sum();
    if sum.is_nan() { f64::INFINITY } else { sum }
}

fn least_loss(scheme: &QuantScheme, counted: &Counted, all: [f32; 2]) -> [f32; 2] {
    let [low, high] = scheme.values.range();
    let one_sided = !scheme.symmetric && all.contains(&0.0);
    let unsigned = scheme.symmetric && low == 0;
    // The levels on one side of 0.
    let levels = if one_sided {
        high - low + 1
    } else if unsigned || scheme.symmetric {
        high + 1
    } else {
        (high - low + 1) / 2
    };
    let levels = levels.unsigned_abs() as usize;
    let (bins, most) = match unsigned {
        true => (counted.sides[1].clone(), all[1]),
        false => (counted.magnitudes(), all[1].max(-all[0])),
    };
    if most <= 0.0 {
        return all;
    }
    let mut bins = even_bins(&bins, most.into());
    // What is near 0 is kept by any range, and there may be very much of it.
    bins[0] = bins[1];
    let least = (levels..=BINS).map(|kept| (divergence(&bins, kept, levels), kept)).min_by(|x, y| x.0.total_cmp(&y.0));
    let kept = least.map_or(BINS, |(_, kept)| kept);
    let most = (f64::from(most) * kept as f64 / BINS as f64) as f32;
    if unsigned { [all[0], most] } else { within(all, most) }
}
