//! GPU against CPU, in a user's own tests: one call runs an op on a [`Gpu`] and on its twin, and reports.
//!
//! An element passes if it lies within the error bound that the twin derived for it: no tuned epsilon. Guard zones around
//! every operand make a dropped bounds check a wrong value: around inputs they hold NaN, then the largest and the lowest
//! finite numbers, one run each; outputs start as NaN and lie between sentinels that must survive.
//!
//! ```no_run
//! use tilewise::{Gpu, Matmul, verify};
//! let gpu = Gpu::new()?;
//! let a = gpu.tensor(&[3, 5], &[0.5f32; 15])?;
//! let b = gpu.tensor(&[5, 4], &[0.25f32; 20])?;
//! let report = verify::matmul(&gpu, &Matmul::default(), &a, &b)?;
//! println!("{report}");
//! report.assert();
//! # Ok::<(), tilewise::Error>(())
//! ```

mod specials;

#[cfg(not(target_arch = "wasm32"))]
mod devices;

use std::fmt;

use crate::emulator::Finding;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::layout::{DType, Layout};
use crate::op::matmul::Matmul;
use crate::plan::Plan;
use crate::profile::DeviceProfile;
use crate::reference::{Expected, HostTensor, MAX_F16, Random, Select, Twin, Value, layouts};
use crate::tensor::{AnyTensor, Operand, Tensor};

#[cfg(not(target_arch = "wasm32"))]
pub use self::devices::devices;

#[cfg(not(target_arch = "wasm32"))]
pub use specials::specials;
pub use specials::{Agreement, Difference, SpecialsReport};

/// What guards are filled with; each is a run of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// NaN, and 0x7FC07FC0 as integer.
    NaN,
    /// The largest finite number: it would win a maximum.
    Max,
    /// The lowest: it would win a minimum.
    Lowest,
}

impl Fill {
    /// Every fill.
    pub const ALL: [Fill; 3] = [Fill::NaN, Fill::Max, Fill::Lowest];

    fn word(self, dtype: DType) -> u32 {
        match (self, dtype) {
            (Fill::NaN, _) => 0x7FC0_7FC0,
            (Fill::Max, DType::F32) => f32::MAX.to_bits(),
            (Fill::Lowest, DType::F32) => f32::MIN.to_bits(),
            (Fill::Max, DType::F16) => 0x7BFF_7BFF,
            (Fill::Lowest, DType::F16) => 0xFBFF_FBFF,
            (Fill::Max, DType::I32) => i32::MAX as u32,
            (Fill::Lowest, DType::I32) => i32::MIN as u32,
            (Fill::Max, DType::I8) => 0x7F7F_7F7F,
            (Fill::Lowest, DType::I8) => 0x8080_8080,
            (Fill::Max, _) => u32::MAX,
            (Fill::Lowest, _) => 0,
        }
    }
}

/// Words of guard before and after an operand, at least: more than any tile reaches beyond its edge.
const GUARD: usize = 4099;
/// The bits that outputs start with, by words and by halves of them: NaN that no kernel makes. Bytes have none to spare: each starts as
/// another than is expected.
const UNWRITTEN: u32 = 0x7FC0_5EED;
const UNWRITTEN_HALF: u16 = 0x7EED;
/// The bits around outputs.
const SENTINEL: u32 = 0xC0DE_D00D;
/// Multiply-adds above which not all of an output is computed on the CPU.
pub const SAMPLING_THRESHOLD: f64 = 2e8;
/// Elements that are drawn then, beside every tile's corners.
pub const SAMPLES: usize = 4096;

/// The element that was furthest off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Worst {
    /// |gpu - expected| / bound. Above 1 is wrong, infinite if the bound is 0.
    pub fraction: f64,
    /// The number of the output.
    pub output: usize,
    /// The flat index.
    pub index: usize,
    /// What the GPU computed.
    pub gpu: f64,
    /// What the twin computed.
    pub expected: f64,
    /// How far the two may be apart.
    pub bound: f64,
}

/// The outcome of a comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// What ran: op and variant.
    pub what: String,
    /// Elements compared, all runs together.
    pub compared: usize,
    /// Of these, how many differ at all from the twin's value rounded to the output's type.
    pub exact_mismatches: usize,
    /// How many are wrong: further off than the bound, NaN where a number is expected, never written.
    pub wrong: usize,
    /// How many are within the bound but suspiciously far off: rounding errors rarely all point one way.
    pub suspect: usize,
    /// The element furthest off, as a fraction of its bound.
    pub worst: Worst,
    /// Bytes outside of the outputs that were written.
    pub trespasses: usize,
    /// Whether only a sample was compared, with a projection of the whole where the op has one.
    pub sampled: bool,
    /// The worst fraction of the projection, where there was one.
    pub projection: Option<f64>,
    /// What the emulator's checks found, all runs together.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing was wrong. Suspect elements do not fail a user's check.
    pub fn passed(&self) -> bool {
        self.wrong == 0
            && self.trespasses == 0
            && self.findings.is_empty()
            && self.projection.is_none_or(|fraction| fraction <= 1.0)
    }

    /// Panics with the report unless [`passed`](Report::passed): a test's last line.
    ///
    /// # Panics
    /// If anything was wrong.
    #[track_caller]
    pub fn assert(&self) {
        assert!(self.passed(), "{self}");
    }

    /// As [`assert`](Report::assert), and nothing may even be suspect.
    ///
    /// # Panics
    /// If anything was wrong or suspect.
    #[track_caller]
    pub fn assert_strict(&self) {
        assert!(self.passed() && self.suspect == 0, "{self}");
    }

    /// Takes another report in.
    pub fn merge(&mut self, other: Report) {
        if self.what.is_empty() {
            self.what = other.what;
        }
        self.compared += other.compared;
        self.exact_mismatches += other.exact_mismatches;
        self.wrong += other.wrong;
        self.suspect += other.suspect;
        self.trespasses += other.trespasses;
        self.sampled |= other.sampled;
        other.findings.iter().for_each(|finding| finding.merge_into(&mut self.findings));
        self.projection = match (self.projection, other.projection) {
            (Some(x), Some(y)) => Some(x.max(y)),
            (x, y) => x.or(y),
        };
        if other.worst.fraction > self.worst.fraction || self.compared == other.compared {
            self.worst = other.worst;
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Worst { fraction, output, index, gpu, expected, bound } = self.worst;
        write!(
            f,
            "{}: {} of {} wrong, {} suspect, {} not exact; worst fraction of the bound {fraction:.3} at output {output}, \
             element {index}: GPU {gpu:e}, CPU {expected:e}, bound {bound:.3e}",
            self.what, self.wrong, self.compared, self.suspect, self.exact_mismatches
        )?;
        if self.trespasses > 0 {
            write!(f, "; {} bytes outside of the outputs were written", self.trespasses)?;
        }
        if let Some(fraction) = self.projection {
            write!(f, "; projection of the whole {fraction:.3} of its bound")?;
        }
        if self.sampled {
            f.write_str("; sampled")?;
        }
        if !self.findings.is_empty() {
            let count = self.findings.len();
            write!(f, "; {count} finding{}", if count == 1 { "" } else { "s" })?;
        }
        self.findings.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}

/// The number of a type that is nearest to a value.
fn rounded(value: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F32 => f64::from(value as f32),
        DType::F16 => half::f16::from_f64(value).to_f64(),
        _ => value,
    }
}

/// The largest finite number of a type of floats.
fn largest(dtype: DType) -> f64 {
    if dtype == DType::F16 { MAX_F16 } else { f32::MAX.into() }
}

/// |gpu - expected| as a fraction of the bound: above 1 is wrong. 0 for what is undecided.
fn fraction(gpu: f64, value: &Value, dtype: DType) -> f64 {
    if value.is_undecided() {
        return 0.0;
    }
    let exact = value.value;
    let rounded = rounded(exact, dtype);
    let same = gpu == rounded || (gpu.is_nan() && rounded.is_nan());
    let overflows = exact.is_finite()
        && gpu.is_infinite()
        && exact.abs() + value.bound >= largest(dtype)
        && (gpu > 0.0) == (exact > 0.0);
    let error = (gpu - exact).abs();
    if same || overflows {
        // An exact value is not 0 off if its twin's f64 has digits that f32 lacks; but it is right.
        if value.bound > 0.0 && error.is_finite() { (error / value.bound).min(1.0) } else { 0.0 }
    } else if error.is_nan() || error.is_infinite() || value.bound.is_nan() || value.bound == 0.0 {
        f64::INFINITY
    } else {
        error / value.bound
    }
}

/// Compares an output with what its twin expects.
///
/// Two NaN agree, two infinities of a sign agree, and an infinity agrees with a value that rounding may push beyond the
/// largest f32.
///
/// # Errors
/// [`Error::Length`] if the output has another number of elements than its twin, and [`Error::DType`] for another type.
pub fn compare(what: &str, output: usize, found: &HostTensor, expected: &Expected) -> Result<Report> {
    if found.shape != expected.shape {
        return Err(Error::Length { shape: expected.shape.clone(), found: found.len() });
    }
    if found.dtype() != expected.dtype {
        return Err(Error::DType {
            op: "verify",
            operand: format!("output {output}"),
            expected: expected.dtype.to_string(),
            found: found.dtype(),
        });
    }
    let mut report = Report { what: what.to_owned(), compared: expected.indices.len(), ..Report::default() };
    for (&index, value) in expected.indices.iter().zip(&expected.values) {
        let (gpu, exact) = (found.at(index), value.value);
        let rounded = rounded(exact, found.dtype());
        let same = gpu == rounded || (gpu.is_nan() && rounded.is_nan());
        report.exact_mismatches += usize::from(!same);
        let fraction = fraction(gpu, value, found.dtype());
        if fraction > 1.0 {
            report.wrong += 1;
        } else if fraction * value.bound > value.suspect {
            report.suspect += 1;
        }
        if fraction > report.worst.fraction || report.worst == Worst::default() {
            report.worst = Worst { fraction, output, index, gpu, expected: exact, bound: value.bound };
        }
    }
    Ok(report)
}

/// Runs an op's best plan between guards, with every fill, and compares each run with the twin.
///
/// # Errors
/// What the op refuses, and what running it may fail with.
#[cfg(not(target_arch = "wasm32"))]
pub fn op<O: Twin + ?Sized>(gpu: &Gpu, op: &O, inputs: &[HostTensor]) -> Result<Report> {
    self::plan(gpu, op, &op.plan(gpu.profile(), &layouts(inputs))?, inputs)
}

/// As [`op`] for every candidate that the device allows, not only the best: a report for each.
///
/// # Errors
/// As [`op`].
#[cfg(not(target_arch = "wasm32"))]
pub fn candidates<O: Twin + ?Sized>(gpu: &Gpu, op: &O, inputs: &[HostTensor]) -> Result<Vec<Report>> {
    let plans = plans(gpu.profile(), op, inputs)?;
    let twins = op.twin(inputs, &selection(op, &plans[0]))?;
    plans.iter().map(|plan| against(gpu, op, plan, inputs, &twins)).collect()
}

/// The plans of every candidate: for operands that are aligned to an element and no more, and where another plan moves operands
/// that are aligned better in vectors, that one too.
///
/// # Errors
/// What the op refuses.
pub fn plans<O: Twin + ?Sized>(profile: &DeviceProfile, op: &O, inputs: &[HostTensor]) -> Result<Vec<Plan>> {
    let mut plans = op.plans(profile, &guarded_layouts(inputs))?;
    let better = |layout: &Layout| layout.align > element_align(layout.dtype);
    let in_vectors = |plan: &Plan| plan.inputs.iter().chain(&plan.outputs).any(better);
    plans.extend(op.plans(profile, &layouts(inputs))?.into_iter().filter(in_vectors));
    Ok(plans)
}

/// As [`op`] for a given plan. Its operands lie as badly aligned as it allows.
///
/// # Errors
/// As [`op`].
#[cfg(not(target_arch = "wasm32"))]
pub fn plan<O: Twin + ?Sized>(gpu: &Gpu, op: &O, plan: &Plan, inputs: &[HostTensor]) -> Result<Report> {
    pollster::block_on(run_plan(gpu, op, plan, inputs, true))
}

/// [`plan`](fn@plan), which blocks or does not.
pub(crate) async fn run_plan<O: Twin + ?Sized>(
    gpu: &Gpu,
    op: &O,
    plan: &Plan,
    inputs: &[HostTensor],
    block: bool,
) -> Result<Report> {
    let twins = op.twin(inputs, &selection(op, plan))?;
    Case { op, plan, inputs, twins: &twins }.run(gpu, block).await
}

/// Verifies a matrix product of tensors that are on the device.
///
/// # Errors
/// As [`op`].
#[cfg(not(target_arch = "wasm32"))]
pub fn matmul(gpu: &Gpu, options: &Matmul, a: &Tensor<f32>, b: &Tensor<f32>) -> Result<Report> {
    op(gpu, options, &[gpu.download_any(a.any())?, gpu.download_any(b.any())?])
}

/// Verifies an op on tensors that are on the device.
///
/// # Errors
/// As [`op`].
#[cfg(not(target_arch = "wasm32"))]
pub fn tensors<O: Twin + ?Sized>(gpu: &Gpu, options: &O, inputs: &[&dyn Operand]) -> Result<Report> {
    let inputs = inputs.iter().map(|input| gpu.download_any(input.any())).collect::<Result<Vec<_>>>()?;
    op(gpu, options, &inputs)
}

/// Layouts of operands that are aligned to an element and no more.
pub fn guarded_layouts(inputs: &[HostTensor]) -> Vec<Layout> {
    inputs.iter().map(|input| Layout { align: element_align(input.dtype()), ..input.layout() }).collect()
}

/// The alignment that every operand has.
fn element_align(dtype: DType) -> u32 {
    dtype.size() as u32
}

/// Which elements of the outputs of a plan are compared: all, or the corners of its tiles and a sample.
fn selection<O: Twin + ?Sized>(op: &O, plan: &Plan) -> Select {
    if plan.work().flops / 2.0 <= SAMPLING_THRESHOLD {
        return Select::All;
    }
    let len = plan.outputs[0].len();
    let (rows, columns) = op.matrix(&plan.outputs[0].shape);
    let (tile_m, tile_n) = plan.dispatches.first().and_then(|dispatch| dispatch.kernel.tile()).unwrap_or((64, 64));
    let corners = |size: usize, tile: usize| -> Vec<usize> {
        (0..size.div_ceil(tile)).flat_map(|t| [t * tile, ((t + 1) * tile).min(size) - 1]).collect()
    };
    let (row_corners, column_corners) = (corners(rows, tile_m), corners(columns, tile_n));
    // Corners of the tiles of the first and the last matrix of a batch.
    let entries = len / (rows * columns).max(1);
    let mut indices: Vec<usize> = [0, entries.saturating_sub(1)]
        .into_iter()
        .flat_map(|entry| row_corners.iter().map(move |row| entry * rows + row))
        .flat_map(|row| column_corners.iter().map(move |column| row * columns + column))
        .collect();
    let mut random = Random::new(0x5EED);
    indices.extend((0..SAMPLES).map(|_| random.below(len)));
    indices.sort_unstable();
    indices.dedup();
    Select::At(indices)
}

/// As [`plan`] for twins that are there already, all elements of them: many plans share them.
///
/// # Errors
/// As [`op`].
#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
pub fn against<O: Twin + ?Sized>(
    gpu: &Gpu,
    op: &O,
    plan: &Plan,
    inputs: &[HostTensor],
    twins: &[Expected],
) -> Result<Report> {
    pollster::block_on(Case { op, plan, inputs, twins }.run(gpu, true))
}

/// A plan, its inputs, and what is expected of it.
struct Case<'a, O: ?Sized> {
    op: &'a O,
    plan: &'a Plan,
    inputs: &'a [HostTensor],
    twins: &'a [Expected],
}

impl<O: Twin + ?Sized> Case<'_, O> {
    /// Runs the plan between guards, with every fill, and compares each run with the twins.
    async fn run(&self, gpu: &Gpu, block: bool) -> Result<Report> {
        let Case { op, plan, inputs, twins } = *self;
        let what = format!("{} {} on {}", plan.op, plan.variant, gpu.profile().name);
        let mut total = Report::default();
        for fill in Fill::ALL {
            let (operands, outputs) = guarded(gpu, plan, inputs, twins, fill)?;
            let findings = {
                let operands: Vec<&dyn Operand> = operands.iter().map(|operand| operand as &dyn Operand).collect();
                gpu.record(plan, &operands, &outputs.iter().map(|(_, output)| output).collect::<Vec<_>>())?
            };
            findings.iter().for_each(|finding| finding.merge_into(&mut total.findings));
            for (number, ((arena, output), expected)) in outputs.iter().zip(twins).enumerate() {
                let zone = gpu.bytes(arena, block).await?;
                let start = (output.byte_offset() - arena.byte_offset()) as usize;
                let end = start + output.layout().bytes() as usize;
                let elements = &zone[start..end];
                let found = HostTensor::from_bytes(output.shape(), output.dtype(), elements);
                let mut report = compare(&what, number, &found, expected)?;
                let outside = zone.iter().enumerate().filter(|(at, _)| !(start..end).contains(at));
                report.trespasses = outside.filter(|(at, byte)| **byte != SENTINEL.to_le_bytes()[at % 4]).count();
                if let Some(unwritten) = unwritten(output.dtype()) {
                    let size = unwritten.len();
                    let untouched = |index: &&usize| elements[**index * size..(**index + 1) * size] == unwritten;
                    report.wrong += expected.indices.iter().filter(untouched).count();
                }
                report.sampled = expected.indices.len() < output.len();
                if report.sampled {
                    report.projection = op.project(inputs, &found, 0xF1E1D).map(|projection| projection.worst_fraction);
                }
                total.merge(report);
            }
        }
        Ok(total)
    }
}

/// A tensor that holds an operand and what guards it, and the operand.
type Zoned = (AnyTensor, AnyTensor);

/// The inputs between guards of a fill, and the outputs between sentinels, each with a tensor that holds it and them. They
/// share one buffer where the plan is made for that.
fn guarded(
    gpu: &Gpu,
    plan: &Plan,
    inputs: &[HostTensor],
    twins: &[Expected],
    fill: Fill,
) -> Result<(Vec<AnyTensor>, Vec<Zoned>)> {
    let mut zones: Vec<Zone> = Vec::new();
    let mut add = |guard: u32, elements: &[u8], shape: &[usize], layout: &Layout| {
        let start = match zones.last() {
            Some(last) if plan.in_arena() => last.start + last.bytes.len(),
            _ => 0,
        };
        let before = guard_before(start, layout.align as usize);
        let words = (before + elements.len()).div_ceil(4) + GUARD;
        let mut bytes: Vec<u8> = std::iter::repeat_n(guard.to_le_bytes(), words).flatten().collect();
        bytes[before..before + elements.len()].copy_from_slice(elements);
        zones.push(Zone { start, before, bytes, shape: shape.to_vec(), dtype: layout.dtype });
    };
    for (input, layout) in inputs.iter().zip(&plan.inputs) {
        add(fill.word(input.dtype()), input.bytes(), &input.shape, layout);
    }
    for (number, layout) in plan.outputs.iter().enumerate() {
        add(SENTINEL, &before(layout, twins.get(number)), &layout.shape, layout);
    }
    let upload = |bytes: &[u8]| -> Result<AnyTensor> {
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
        Ok(AnyTensor::from(gpu.tensor(&[words.len()], &words)?))
    };
    let arena = match plan.in_arena() {
        true => Some(upload(&zones.iter().flat_map(|zone| zone.bytes.iter().copied()).collect::<Vec<u8>>())?),
        false => None,
    };
    let place = |zone: &Zone| -> Result<Zoned> {
        let whole = arena.clone().map_or_else(|| upload(&zone.bytes), Ok)?;
        let part = |at: usize, shape: &[usize], dtype| AnyTensor::new(whole.storage().clone(), at as u64, shape, dtype);
        let all = part(zone.start, &[zone.bytes.len() / 4], DType::U32);
        Ok((all, part(zone.start + zone.before, &zone.shape, zone.dtype)))
    };
    let mut placed = zones.iter().map(place).collect::<Result<Vec<Zoned>>>()?;
    let outputs = placed.split_off(inputs.len());
    Ok((placed.into_iter().map(|(_, operand)| operand).collect(), outputs))
}

/// The bits of an element of an output that nothing wrote, where there are bits that nothing writes.
fn unwritten(dtype: DType) -> Option<Vec<u8>> {
    match dtype.size() {
        1 => None,
        2 => Some(UNWRITTEN_HALF.to_le_bytes().into()),
        _ => Some(UNWRITTEN.to_le_bytes().into()),
    }
}

/// What an output holds before it is written.
fn before(layout: &Layout, expected: Option<&Expected>) -> Vec<u8> {
    let Some(unwritten) = unwritten(layout.dtype) else {
        let mut bytes = vec![0; layout.len()];
        let values = expected.into_iter().flat_map(|expected| expected.indices.iter().zip(&expected.values));
        // Half the range away from what is expected: further than any bound.
        values.for_each(|(&index, value)| bytes[index] = (value.value as i32 as u8) ^ 0x80);
        return bytes;
    };
    unwritten.repeat(layout.len())
}

/// An operand between guards: whole words.
struct Zone {
    /// Where it starts in its buffer.
    start: usize,
    /// Bytes of guard before the operand.
    before: usize,
    bytes: Vec<u8>,
    shape: Vec<usize>,
    dtype: DType,
}

/// Bytes of guard before an operand in a zone that starts there, so that the operand has this alignment and no better.
fn guard_before(start: usize, align: usize) -> usize {
    let at = (start + 4 * GUARD).next_multiple_of(align);
    // An odd multiple of the alignment is no multiple of twice as much.
    let at = if (at / align).is_multiple_of(2) { at + align } else { at };
    at - start
}
