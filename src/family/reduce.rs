//! Reductions: sums, means, extrema, their indices, and softmax, which spreads two reductions over their values again.

use std::ops::Range;

use crate::compose::{ShaderFile, Value, shader};
use crate::error::Result;
use crate::layout::DType;
use crate::plan::{Access, Assembly, Binding, Dispatch, MAX_TRIPS, Param, Slot, Work, too_many_trips};
use crate::problem::{Built, Candidate, Operands};
use crate::profile::{Class, DeviceProfile};
use crate::split::{Cut, Divisible, Region, bytes, reach, split};

const SERIAL: ShaderFile = shader!("reduce/serial.wgsl");
const WORKGROUP: ShaderFile = shader!("reduce/workgroup.wgsl");
const SOFTMAX_SERIAL: ShaderFile = shader!("reduce/softmax_serial.wgsl");
const SOFTMAX_WORKGROUP: ShaderFile = shader!("reduce/softmax_workgroup.wgsl");
const SOURCE: ShaderFile = shader!("reduce/source.wgsl");
const TARGET: ShaderFile = shader!("reduce/target.wgsl");
const COMBINE: ShaderFile = shader!("reduce/combine.wgsl");
const GRID: ShaderFile = shader!("common/grid.wgsl");

/// What a reduction computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// The sum; of integers modulo 2^32.
    Sum,
    /// The sum divided by the number of values.
    Mean,
    /// The largest value.
    Max,
    /// The smallest value.
    Min,
    /// The index of the largest value, the last one with `last`.
    ArgMax {
        /// Which of equal values wins.
        last: bool,
    },
    /// The index of the smallest value, the last one with `last`.
    ArgMin {
        /// Which of equal values wins.
        last: bool,
    },
    /// `exp(x - max) / sum of exp(x - max)` for every value.
    Softmax,
    /// `x - max - log(sum of exp(x - max))` for every value.
    LogSoftmax,
}

impl Task {
    fn spreads(self) -> bool {
        matches!(self, Task::Softmax | Task::LogSoftmax)
    }
}

/// A reduction of input 0 to output 0: for every index of the kept dimensions, over all of the reduced ones. At most four
/// of each; strides count elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce {
    /// What is computed.
    pub task: Task,
    /// Element type of the input.
    pub dtype: DType,
    /// Element type of the output.
    pub out: DType,
    /// Sizes of the kept dimensions.
    pub kept: Vec<usize>,
    /// The input's strides over them.
    pub kept_strides: Vec<usize>,
    /// The output's strides over them.
    pub out_strides: Vec<usize>,
    /// Sizes of the reduced dimensions.
    pub reduced: Vec<usize>,
    /// The input's strides over them.
    pub reduced_strides: Vec<usize>,
}

impl Reduce {
    fn len(&self) -> usize {
        self.reduced.iter().product()
    }
}

/// A body with its workgroup size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// A workgroup for each output instead of an invocation.
    pub together: bool,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

/// The candidates for a problem on a device, best first.
pub(crate) fn candidates(problem: &Reduce, profile: &DeviceProfile) -> Vec<Candidate<Variant>> {
    let outputs: usize = problem.kept.iter().product();
    let len = problem.len();
    let body = if problem.task.spreads() { "softmax" } else { "reduce" };
    let serial = |lanes: u32, why: String| Candidate {
        variant: Variant { together: false, lanes },
        name: format!("{body}/serial {lanes}"),
        why,
    };
    // A workgroup no wider than the values that there are: 64 keeps two subgroups of 32 busy, 256 any device allows.
    let lanes = if len >= 1024 { 256 } else { 64 };
    let why = format!("{outputs} outputs of {len} values");
    let together = Candidate {
        variant: Variant { together: true, lanes },
        name: format!("{body}/workgroup {lanes}"),
        why: format!("{why}: invocations share a reduction"),
    };
    if profile.class == Class::Cpu {
        // Barriers cost more than the loop that they would shorten; a workgroup of 8 is one subgroup of lavapipe.
        return vec![serial(8, format!("class Cpu: no barriers; {why}")), together];
    }
    // An invocation for each output fills a device from some ten thousand outputs on, and short reductions leave most
    // of a workgroup idle.
    if len < 32 || outputs >= 16_384 && len < 256 {
        vec![serial(64, format!("{why}: outputs fill the device")), together]
    } else {
        vec![together, serial(64, format!("{why}: runs within any limits"))]
    }
}

struct Pieces<'a> {
    op: &'static str,
    problem: &'a Reduce,
}

impl Pieces<'_> {
    fn source(&self, region: &Region) -> Range<u64> {
        let p = self.problem;
        let kept = region.0.iter().cloned().zip(p.kept_strides.iter().copied());
        bytes(reach(kept.chain(p.reduced.iter().map(|&size| 0..size).zip(p.reduced_strides.iter().copied()))), p.dtype)
    }

    fn target(&self, region: &Region) -> Range<u64> {
        let p = self.problem;
        let kept = region.0.iter().cloned().zip(p.out_strides.iter().copied());
        let spread = if p.task.spreads() { p.len() } else { 1 };
        bytes(reach(kept.chain([(0..spread, p.reduced_strides.last().copied().unwrap_or(1))])), p.out)
    }
}

impl Divisible for Pieces<'_> {
    fn op(&self) -> &'static str {
        self.op
    }

    fn cuts(&self) -> Vec<Cut> {
        (0..self.problem.kept.len()).map(|dim| Cut { dim, grain: 1, free: true }).collect()
    }

    fn spans(&self, region: &Region) -> Vec<(Slot, Range<u64>)> {
        vec![(Slot::Input(0), self.source(region)), (Slot::Output(0), self.target(region))]
    }

    fn flops(&self, region: &Region) -> f64 {
        // A softmax reads three times and takes two exponentials, about eight operations each.
        let each = if self.problem.task.spreads() { 20.0 } else { 1.0 };
        each * self.problem.len().max(1) as f64 * region.0.iter().map(|range| range.len() as f64).product::<f64>()
    }
}

/// The dispatches of a variant.
pub(crate) fn build(
    problem: &Reduce,
    variant: &Variant,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Built> {
    // Softmax goes over its values three times.
    let passes = if problem.task.spreads() { 3 } else { 1 };
    let trips = passes * problem.len().div_ceil(if variant.together { variant.lanes as usize } else { 1 });
    if trips > MAX_TRIPS {
        return Err(too_many_trips(operands.op, trips));
    }
    let pieces = Pieces { op: operands.op, problem };
    let regions = split(&pieces, Region::whole(&problem.kept), profile)?;
    let dispatches = regions.iter().map(|region| dispatch(&pieces, *variant, region, operands, profile));
    Ok(Built::scalar(dispatches.collect::<Result<_>>()?))
}

/// Aligned at the end of four, the rest filled.
fn four(values: &[usize], fill: usize) -> [usize; 4] {
    let mut four = [fill; 4];
    let n = values.len().min(4);
    four[4 - n..].copy_from_slice(&values[values.len() - n..]);
    four
}

fn dispatch(
    pieces: &Pieces<'_>,
    variant: Variant,
    region: &Region,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Dispatch> {
    let p = pieces.problem;
    let spreads = p.task.spreads();
    let body = match (spreads, variant.together) {
        (false, false) => SERIAL,
        (false, true) => WORKGROUP,
        (true, false) => SOFTMAX_SERIAL,
        (true, true) => SOFTMAX_WORKGROUP,
    };
    let mut assembly = Assembly::new(operands.op, body, operands.arena());
    assembly.common(GRID).common(COMBINE);
    if variant.together {
        // A value and an index for each invocation, for softmax a sum too.
        assembly.workgroup_array(8 * variant.lanes);
        if spreads {
            assembly.workgroup_array(4 * variant.lanes);
        }
    }
    let elem = p.dtype.wgsl().unwrap_or("f32");
    let out = p.out.wgsl().unwrap_or("f32");
    assembly.constant("", "WG_X", Value::U32(variant.lanes)).constant("", "WG_Y", Value::U32(1));
    assembly.constant("", "Elem", Value::Type(elem));
    for (name, value) in [
        ("FLOAT", p.dtype == DType::F32),
        ("ADDS", matches!(p.task, Task::Sum | Task::Mean)),
        ("LARGEST", !matches!(p.task, Task::Min | Task::ArgMin { .. })),
        ("LAST", matches!(p.task, Task::ArgMax { last: true } | Task::ArgMin { last: true })),
    ] {
        assembly.constant("", name, Value::Bool(value));
    }
    let outputs: usize = region.0.iter().map(|range| range.len()).product();
    let sizes: Vec<usize> = region.0.iter().map(|range| range.len()).collect();
    let [_, s1, s2, s3] = four(&sizes, 1);
    assembly.size("", "outputs", outputs)?.size("", "len", p.len())?;
    assembly.size("", "size_1", s1)?.size("", "size_2", s2)?.size("", "size_3", s3)?;
    if spreads {
        assembly.constant("", "LOG", Value::Bool(p.task == Task::LogSoftmax));
    } else {
        assembly.constant("", "Out", Value::Type(out));
        assembly.constant("", "ARG", Value::Bool(matches!(p.task, Task::ArgMax { .. } | Task::ArgMin { .. })));
        assembly.constant("", "MEAN", Value::Bool(p.task == Task::Mean));
        let empty = if p.task == Task::Mean { f32::NAN.to_bits() } else { 0 };
        assembly.param("", "empty", Param::U32(empty)).param("", "divisor", Param::F32(p.len() as f32));
    }

    let (source, target) = (pieces.source(region), pieces.target(region));
    let bytes = (source.end - source.start + target.end - target.start) as f64;
    assembly.fragment("source", SOURCE);
    assembly
        .bind("source", Binding { slot: Slot::Input(0), range: source, access: Access::Read, element: p.dtype.size() });
    assembly.constant("source", "Elem", Value::Type(elem));
    assembly.constant("source", "FLAT", Value::Bool(p.reduced.len() <= 1));
    let names = ["kept_0", "kept_1", "kept_2", "kept_3"];
    for (name, stride) in names.iter().zip(four(&p.kept_strides, 0)) {
        assembly.size("source", name, stride)?;
    }
    for (name, stride) in ["reduced_0", "reduced_1", "reduced_2", "reduced_3"].iter().zip(four(&p.reduced_strides, 0)) {
        assembly.size("source", name, stride)?;
    }
    let [_, r1, r2, r3] = four(&p.reduced, 1).map(|size| size.max(1));
    assembly.size("source", "size_1", r1)?.size("source", "size_2", r2)?.size("source", "size_3", r3)?;
    assembly.fragment("target", TARGET);
    assembly
        .bind("target", Binding { slot: Slot::Output(0), range: target, access: Access::Write, element: p.out.size() });
    assembly.constant("target", "Elem", Value::Type(out));
    for (name, stride) in names.iter().zip(four(&p.out_strides, 0)) {
        assembly.size("target", name, stride)?;
    }
    assembly.size("target", "stride", p.reduced_strides.last().copied().unwrap_or(1))?;
    let workgroups = if variant.together { outputs } else { outputs.div_ceil(variant.lanes as usize) };
    assembly.dispatch(profile, workgroups as u64, Work { flops: pieces.flops(region), bytes })
}
