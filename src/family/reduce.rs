//! Reductions: sums, means, extrema, their indices, and softmax.
//!
//! A reduction that is too long for one team of invocations, or for one dispatch, is done in parts: partial results go to
//! scratch memory, in columns for each output, and a last dispatch reduces the columns.

mod softmax;

use std::collections::BTreeSet;
use std::ops::Range;

use crate::compose::{Composition, ShaderFile, Value, shader};
use crate::error::Result;
use crate::family::fours::Fours;
use crate::family::wgsl;
use crate::layout::DType;
use crate::plan::{Access, Assembly, Binding, Dispatch, MAX_TRIPS, Param, Slot, Work, too_many_trips};
use crate::problem::{Built, Candidate, Operands};
use crate::profile::{Class, DeviceProfile};
use crate::split::{Cut, Divisible, Region, bytes, reach, split};

const REDUCE: ShaderFile = shader!("reduce/reduce.wgsl");
const SERIAL: ShaderFile = shader!("reduce/serial.wgsl");
const SUBGROUP: ShaderFile = shader!("reduce/subgroup.wgsl");
const WORKGROUP: ShaderFile = shader!("reduce/workgroup.wgsl");
const SOURCE: ShaderFile = shader!("reduce/source.wgsl");
const SOURCE_FOURS: ShaderFile = shader!("reduce/source_fours.wgsl");
const PARTIALS: ShaderFile = shader!("reduce/partials.wgsl");
const TARGET: ShaderFile = shader!("reduce/target.wgsl");
const PARTIAL: ShaderFile = shader!("reduce/partial.wgsl");
const COMBINE: ShaderFile = shader!("reduce/combine.wgsl");
const GATHER: ShaderFile = shader!("reduce/gather.wgsl");
const GATHER_FOURS: ShaderFile = shader!("reduce/gather_fours.wgsl");
const GATHER_COLUMNS: ShaderFile = shader!("reduce/gather_columns.wgsl");
const COMBINE_FOURS: ShaderFile = shader!("reduce/combine_fours.wgsl");
const UNRAVEL: ShaderFile = shader!("common/unravel.wgsl");
const INDICES: ShaderFile = shader!("epilogue/indices.wgsl");
const NO_INDICES: ShaderFile = shader!("epilogue/no_indices.wgsl");
const GRID: ShaderFile = shader!("common/grid.wgsl");

/// Bytes of a partial result: a value of 4 bytes and its index.
const PARTIAL_BYTES: u64 = 8;

/// What a reduction computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// The sum; of integers modulo 2^32.
    Sum,
    /// The sum over a divisor; a divisor of 0 makes the mean of nothing NaN.
    Mean {
        /// As a rule the number of values.
        divisor: usize,
    },
    /// The largest value.
    Max,
    /// The smallest value.
    Min,
    /// The largest value and, in output 1, the first index at which it is found.
    MaxWithIndex,
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
    /// Whether it gives a value for each of its input.
    fn spreads(self) -> bool {
        matches!(self, Task::Softmax | Task::LogSoftmax)
    }

    /// Whether its output 0 is an index.
    fn is_arg(self) -> bool {
        matches!(self, Task::ArgMax { .. } | Task::ArgMin { .. })
    }

    /// Whether it asks where a value lies.
    fn indexes(self) -> bool {
        self.is_arg() || self == Task::MaxWithIndex
    }
}

/// A reduction of input 0 to output 0: for every index of the kept dimensions, over all of the reduced ones. At most four
/// of each; strides count elements. An index is a flat one over the reduced dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce {
    /// What is computed.
    pub task: Task,
    /// Element type of the input, and of outputs that are not indices.
    pub dtype: DType,
    /// Sizes of the kept dimensions.
    pub kept: Vec<usize>,
    /// The input's strides over them.
    pub kept_strides: Vec<usize>,
    /// The outputs' strides over them.
    pub out_strides: Vec<usize>,
    /// Sizes of the reduced dimensions.
    pub reduced: Vec<usize>,
    /// The input's strides over them.
    pub reduced_strides: Vec<usize>,
}

impl Reduce {
    /// Values of a reduction.
    fn len(&self) -> usize {
        self.reduced.iter().product()
    }

    /// What is read at once: vectors where the input is rows of whole ones and aligned to them.
    fn way(&self, operands: &Operands<'_>) -> Way {
        let whole = |counts: &[&[usize]]| {
            Fours::of(&operands.inputs[0], counts.iter().copied().flatten().copied()) == Fours::Vectors
        };
        if self.kept.len() <= 1 && self.reduced_strides == [1] && self.reduced[0] > 0 {
            return if whole(&[&self.kept_strides, &self.reduced]) { Way::Rows } else { Way::Values };
        }
        match (&self.kept_strides[..], self.kept.last()) {
            ([outer @ .., 1], Some(&columns)) if whole(&[outer, &self.reduced_strides, &[columns]]) => Way::Columns,
            _ => Way::Values,
        }
    }

    /// Element type of output 0.
    fn out(&self) -> DType {
        if self.task.is_arg() { DType::U32 } else { self.dtype }
    }
}

/// What a reduction reads at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A value.
    Values,
    /// Four of one output, side by side.
    Rows,
    /// One of each of four outputs, side by side.
    Columns,
}

impl Way {
    /// Values that are read at once.
    fn unit(self) -> usize {
        if self == Way::Values { 1 } else { 4 }
    }

    /// Outputs of a team.
    fn outputs(self) -> usize {
        if self == Way::Columns { 4 } else { 1 }
    }
}

/// Who shares a reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Team {
    /// Nobody: an invocation has it for itself.
    Invocation,
    /// The invocations of a workgroup that is one subgroup.
    Subgroup,
    /// The invocations of a workgroup.
    Workgroup,
}

impl Team {
    fn name(self) -> &'static str {
        match self {
            Team::Invocation => "serial",
            Team::Subgroup => "subgroup",
            Team::Workgroup => "workgroup",
        }
    }
}

/// A team of invocations that shares a reduction, and how much of one it takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The team.
    pub team: Team,
    /// Invocations of a workgroup.
    pub lanes: u32,
    /// The most values that a team reduces; a longer reduction is done in parts.
    pub chunk: usize,
}

impl Variant {
    fn new(team: Team, lanes: u32) -> Self {
        let mut variant = Variant { team, lanes, chunk: 0 };
        variant.chunk = MAX_TRIPS * variant.size();
        variant
    }

    /// Invocations of a team.
    fn size(&self) -> usize {
        if self.team == Team::Invocation { 1 } else { self.lanes as usize }
    }

    /// Workgroups for so many teams.
    fn workgroups(&self, teams: u64) -> u64 {
        if self.team == Team::Invocation { teams.div_ceil(self.lanes.into()) } else { teams }
    }

    /// Fills the hook of the team.
    fn assemble(&self, assembly: &mut Assembly) {
        assembly.constant("", "WG_X", Value::U32(self.lanes)).constant("", "WG_Y", Value::U32(1));
        let file = match self.team {
            Team::Invocation => SERIAL,
            Team::Subgroup => SUBGROUP,
            Team::Workgroup => {
                // A value and an index for each invocation.
                assembly.workgroup_array(8 * self.lanes);
                WORKGROUP
            }
        };
        assembly.fragment("team", file);
    }

    /// Refuses a loop over so many values that it would run too long.
    fn expect_trips(&self, op: &'static str, values: usize) -> Result<()> {
        let trips = values.div_ceil(self.size());
        if trips > MAX_TRIPS { Err(too_many_trips(op, trips)) } else { Ok(()) }
    }
}

/// Whether a kernel relies on how lanes make subgroups.
pub(crate) fn is_fast(kernel: &Composition) -> bool {
    kernel.fragments.iter().any(|&(_, file)| file == SUBGROUP)
}

/// The candidates for a problem on a device, best first.
pub(crate) fn candidates(
    problem: &Reduce,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Vec<Candidate<Variant>> {
    if problem.task.spreads() {
        return softmax::candidates(problem, profile);
    }
    let outputs: usize = problem.kept.iter().product();
    let (len, way) = (problem.len(), problem.way(operands));
    let teams = outputs / way.outputs();
    let columns = if way == Way::Columns { ", four columns at once" } else { "" };
    let facts = format!("{outputs} outputs of {len} values{columns}");
    let candidate = |variant: Variant, why: &str| {
        let (team, parts) = (variant.team.name(), len.div_ceil(variant.chunk));
        let parts = if parts > 1 { format!(" in {parts} parts") } else { String::new() };
        Candidate { variant, name: format!("reduce/{team} {}{parts}", variant.lanes), why: format!("{facts}: {why}") }
    };
    // A variant that cuts reductions so that there are as many teams as `wanted`, each with `least` values or more.
    let spread_out = |variant: Variant, wanted: usize, least: usize| {
        let parts = (wanted / teams.max(1)).min(len / least);
        // Whole fours, as they are read at once.
        let chunk = len.div_ceil(parts.max(1)).next_multiple_of(4).min(variant.chunk);
        (parts > 1).then(|| candidate(Variant { chunk, ..variant }, "too few outputs to fill the device"))
    };
    // A workgroup no wider than the values that there are: 64 keeps two subgroups of 32 busy, 256 any device allows.
    let together = Variant::new(Team::Workgroup, if len >= 1024 { 256 } else { 64 });
    let mut list = Vec::new();
    if profile.class == Class::Cpu {
        // Barriers cost more than the loop that they would shorten; a workgroup of 8 is one subgroup of lavapipe.
        // Parts put more threads to work. 4 Mi values took 70 to 76 ms in parts, 232 ms in a workgroup.
        let serial = Variant::new(Team::Invocation, 8);
        let shared = profile.fixed_subgroup_size().map(|size| Variant::new(Team::Subgroup, size));
        list.extend(spread_out(shared.unwrap_or(serial), 64, 8192));
        // Where the values of an output lie side by side, or those of four do, a workgroup for each costs less than reading several
        // at once from some 256 values on: sums down 1024 x 1024 took 0.55 ms so and 0.58 by invocations, 6.8 and 2.9 down
        // 32 x 131072. With few outputs lanes would be idle.
        let near = (problem.reduced_strides.last() == Some(&1) || way == Way::Columns) && len >= 256;
        let alone = shared.is_none() || !near && teams >= 16;
        let shared = shared.map(|shared| candidate(shared, "class Cpu: a subgroup for each, without barriers"));
        let serial = candidate(serial, "class Cpu: no barriers");
        list.extend(if alone { [Some(serial), shared] } else { [shared, Some(serial)] }.into_iter().flatten());
        list.push(candidate(together, "invocations share a reduction"));
        return list;
    }
    // Some 1,024 workgroups fill the largest devices, and 16 values for each invocation of one outweigh a second dispatch.
    list.extend(spread_out(together, 1024, 4096));
    let serial = Variant::new(Team::Invocation, 64);
    // An invocation for each output fills a device from some ten thousand outputs on, and short reductions leave most
    // of a workgroup idle.
    if len < 32 || teams >= 16_384 && len < 256 {
        list.push(candidate(serial, "outputs fill the device"));
        list.push(candidate(together, "invocations share a reduction"));
    } else {
        list.push(candidate(together, "invocations share a reduction"));
        list.push(candidate(serial, "runs within any limits"));
    }
    list
}

/// A reduction as splitting sees it: dimensions are the kept ones, then the reduced ones.
struct Pieces<'a> {
    op: &'static str,
    problem: &'a Reduce,
    /// What is read at once, where a region allows it.
    way: Way,
}

impl Pieces<'_> {
    /// What is read at once in a region: single values where it does not start and end with vectors.
    fn way(&self, kept: &[Range<usize>], reduced: &[Range<usize>]) -> Way {
        let whole = |range: &Range<usize>| range.start.is_multiple_of(4) && range.len().is_multiple_of(4);
        let along = if self.way == Way::Rows { reduced.last() } else { kept.last() };
        if along.is_some_and(whole) { self.way } else { Way::Values }
    }

    fn whole(&self) -> Region {
        Region::whole(&[&self.problem.kept[..], &self.problem.reduced[..]].concat())
    }

    /// The input's stride over a dimension of the index space.
    fn stride(&self, dim: usize) -> usize {
        let kept = &self.problem.kept_strides;
        if dim < kept.len() { kept[dim] } else { self.problem.reduced_strides[dim - kept.len()] }
    }

    fn source(&self, region: &[Range<usize>]) -> Range<u64> {
        let parts = region.iter().cloned().enumerate().map(|(dim, range)| (range, self.stride(dim)));
        bytes(reach(parts), self.problem.dtype)
    }

    fn target(&self, region: &[Range<usize>]) -> Range<u64> {
        bytes(self.results(region), self.problem.out())
    }

    /// The bytes of output 1, where there is one.
    fn indices(&self, region: &[Range<usize>]) -> Range<u64> {
        bytes(self.results(region), DType::U32)
    }

    /// The elements of an output.
    fn results(&self, region: &[Range<usize>]) -> Range<u64> {
        reach(region.iter().cloned().zip(self.problem.out_strides.iter().copied()))
    }
}

impl Divisible for Pieces<'_> {
    fn op(&self) -> &'static str {
        self.op
    }

    fn cuts(&self) -> Vec<Cut> {
        let (task, kept) = (self.problem.task, self.problem.kept.len());
        // A part with indices has to be a run of flat ones.
        let cuttable = |dim: usize| dim <= kept || !task.indexes();
        let mut dims: Vec<usize> = (0..kept + self.problem.reduced.len()).filter(|&dim| cuttable(dim)).collect();
        // The outermost first: that halves what a part spans.
        dims.sort_by_key(|&dim| std::cmp::Reverse(self.stride(dim)));
        let along = match self.way {
            Way::Values => None,
            Way::Rows => Some(kept),
            Way::Columns => kept.checked_sub(1),
        };
        let grain = |dim: usize| if along == Some(dim) { 4 } else { 1 };
        dims.into_iter().map(|dim| Cut { dim, grain: grain(dim), free: true }).collect()
    }

    fn spans(&self, region: &Region) -> Vec<(Slot, Range<u64>)> {
        let mut spans = vec![(Slot::Input(0), self.source(&region.0)), (Slot::Output(0), self.target(&region.0))];
        let indices = self.problem.task == Task::MaxWithIndex;
        spans.extend(indices.then(|| (Slot::Output(1), self.indices(&region.0))));
        spans
    }

    fn flops(&self, region: &Region) -> f64 {
        region.0.iter().map(|range| range.len().max(1) as f64).product::<f64>()
    }
}

/// The partial results of a box of outputs, as splitting sees them.
struct Columns {
    op: &'static str,
    dims: usize,
    columns: usize,
}

impl Divisible for Columns {
    fn op(&self) -> &'static str {
        self.op
    }

    fn cuts(&self) -> Vec<Cut> {
        (0..self.dims).map(|dim| Cut { dim, grain: 1, free: true }).collect()
    }

    fn spans(&self, region: &Region) -> Vec<(Slot, Range<u64>)> {
        vec![(Slot::Scratch(0), 0..count(&region.0) as u64 * self.columns as u64 * PARTIAL_BYTES)]
    }

    fn flops(&self, region: &Region) -> f64 {
        count(&region.0) as f64 * self.columns as f64
    }
}

/// Indices in a box.
fn count(ranges: &[Range<usize>]) -> usize {
    ranges.iter().map(ExactSizeIterator::len).product()
}

/// The boxes that the cuts of all regions together make along some of the dimensions: each fits where its region does.
fn boxes(regions: &[Region], dims: Range<usize>) -> Vec<Vec<Range<usize>>> {
    let mut boxes = vec![Vec::new()];
    for dim in dims {
        let ends: BTreeSet<usize> = regions.iter().map(|region| region.0[dim].end).collect();
        let starts = [0].into_iter().chain(ends.iter().copied());
        let ranges: Vec<Range<usize>> = starts.zip(ends.iter().copied()).map(|(start, end)| start..end).collect();
        boxes = boxes.iter().flat_map(|outer| ranges.chunks(1).map(|range| [&outer[..], range].concat())).collect();
    }
    boxes
}

/// One dispatch: of which outputs, and what it reduces for them.
struct Job<'a> {
    kept: &'a [Range<usize>],
    values: Values<'a>,
    /// Partial results of each output; with one, it is the result.
    columns: usize,
}

#[derive(Clone, Copy)]
enum Values<'a> {
    /// A box of the reduced dimensions, in parts; the first part's result goes to a column.
    Tensor { reduced: &'a [Range<usize>], first: usize },
    /// The partial results.
    Partials,
}

/// The dispatches of a variant.
pub(crate) fn build(
    problem: &Reduce,
    variant: &Variant,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Built> {
    if problem.task.spreads() {
        return softmax::build(problem, variant, operands, profile);
    }
    let op = operands.op;
    let pieces = Pieces { op, problem, way: problem.way(operands) };
    let regions = split(&pieces, pieces.whole(), profile)?;
    let dims = problem.kept.len();
    let mut kept = boxes(&regions, 0..dims);
    let reduced = boxes(&regions, dims..dims + problem.reduced.len());
    let parts = |reduced: &[Range<usize>]| count(reduced).div_ceil(variant.chunk).max(1);
    let columns = reduced.iter().map(|reduced| parts(reduced)).sum();
    variant.expect_trips(op, columns)?;
    if columns > 1 {
        // All columns of some outputs have to fit into one binding.
        let pieces = Columns { op, dims, columns };
        let cut = kept.into_iter().map(|kept| split(&pieces, Region(kept), profile)).collect::<Result<Vec<_>>>()?;
        kept = cut.into_iter().flatten().map(|region| region.0).collect();
    }
    let mut built = Built::scalar(Vec::new());
    let mut scratch = 0;
    for kept in &kept {
        let mut add = |values| -> Result<()> {
            built.dispatches.push(dispatch(&pieces, variant, &Job { kept, values, columns }, operands, profile)?);
            Ok(())
        };
        let mut first = 0;
        for reduced in &reduced {
            add(Values::Tensor { reduced, first })?;
            first += parts(reduced);
        }
        if columns > 1 {
            add(Values::Partials)?;
            scratch = scratch.max(count(kept) as u64 * columns as u64 * PARTIAL_BYTES);
        }
    }
    built.scratch.extend((columns > 1).then_some(scratch));
    let in_vectors = kept.iter().any(|kept| reduced.iter().any(|reduced| pieces.way(kept, reduced) != Way::Values));
    built.aligned.extend(in_vectors.then_some(Slot::Input(0)));
    Ok(built)
}

/// Aligned at the end of four, the rest filled.
fn four(values: &[usize], fill: usize) -> [usize; 4] {
    let mut four = [fill; 4];
    let n = values.len().min(4);
    four[4 - n..].copy_from_slice(&values[values.len() - n..]);
    four
}

const KEPT: [&str; 4] = ["kept_0", "kept_1", "kept_2", "kept_3"];
const REDUCED: [&str; 4] = ["reduced_0", "reduced_1", "reduced_2", "reduced_3"];
const SIZES: [&str; 3] = ["size_1", "size_2", "size_3"];

/// Parameters for the sizes of all dimensions but the outermost of four.
fn sizes(assembly: &mut Assembly, hook: &str, ranges: &[Range<usize>]) -> Result<()> {
    let lengths: Vec<usize> = ranges.iter().map(|range| range.len().max(1)).collect();
    for (name, size) in SIZES.iter().zip(four(&lengths, 1).into_iter().skip(1)) {
        assembly.size(hook, name, size)?;
    }
    Ok(())
}

fn dispatch(
    pieces: &Pieces<'_>,
    variant: &Variant,
    job: &Job<'_>,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Dispatch> {
    let (p, task) = (pieces.problem, pieces.problem.task);
    let mut assembly = Assembly::new(operands.op, REDUCE, operands.arena());
    assembly.common(GRID).common(COMBINE).common(UNRAVEL);
    variant.assemble(&mut assembly);
    assembly.constant("", "Elem", Value::Type(wgsl(p.dtype)));
    assembly.constant("", "Word", Value::Type(p.dtype.word()));
    for (name, value) in [
        ("FLOAT", p.dtype.is_float()),
        ("LARGEST", !matches!(task, Task::Min | Task::ArgMin { .. })),
        ("LAST", matches!(task, Task::ArgMax { last: true } | Task::ArgMin { last: true })),
    ] {
        assembly.constant("", name, Value::Bool(value));
    }
    let outputs = count(job.kept);
    let (len, way) = match job.values {
        Values::Tensor { reduced, .. } => (count(reduced), pieces.way(job.kept, reduced)),
        Values::Partials => (job.columns, Way::Values),
    };
    sizes(&mut assembly, "", job.kept)?;
    assembly.size("", "len", len)?;
    let in_parts = job.columns > 1 && matches!(job.values, Values::Tensor { .. });
    let parts = if in_parts { len.div_ceil(variant.chunk).max(1) } else { 1 };
    assembly.constant("", "ADDS", Value::Bool(matches!(task, Task::Sum | Task::Mean { .. })));
    let pairs = (outputs / way.outputs()).saturating_mul(parts);
    assembly.size("", "pairs", pairs)?.size("", "parts", parts)?;
    assembly.constant("", "OUTPUTS", Value::U32(way.outputs() as u32));
    assembly.size("", "chunk", if in_parts { variant.chunk } else { len })?;
    let moved = bind_source(&mut assembly, pieces, way, job)? + bind_target(&mut assembly, pieces, job)?;
    let flops = match job.values {
        Values::Tensor { reduced, .. } => pieces.flops(&Region([job.kept, reduced].concat())),
        Values::Partials => outputs as f64 * len as f64,
    };
    let workgroups = variant.workgroups(pairs as u64);
    assembly.dispatch(profile, workgroups, Work { flops, bytes: moved as f64 })
}

/// Bytes of the partial results of a job.
fn partials(job: &Job<'_>) -> Range<u64> {
    0..count(job.kept) as u64 * job.columns as u64 * PARTIAL_BYTES
}

/// Fills the hook that values come from; returns the bytes that are read.
fn bind_source(assembly: &mut Assembly, pieces: &Pieces<'_>, way: Way, job: &Job<'_>) -> Result<u64> {
    let p = pieces.problem;
    let Values::Tensor { reduced, .. } = job.values else {
        let range = partials(job);
        let bytes = range.end;
        assembly.fragment("source", PARTIALS).fragment("gather", GATHER).size("source", "columns", job.columns)?;
        assembly.bind("source", Binding { slot: Slot::Scratch(0), range, access: Access::Read, element: 4 });
        return Ok(bytes);
    };
    let range = pieces.source(&[job.kept, reduced].concat());
    let bytes = range.end - range.start;
    let unit = way.unit();
    let binding = Binding { slot: Slot::Input(0), range, access: Access::Read, element: unit as u64 * p.dtype.size() };
    assembly.bind("source", binding);
    match way {
        Way::Values => assembly.fragment("gather", GATHER),
        Way::Rows => assembly.fragment("gather", GATHER_FOURS).common(COMBINE_FOURS),
        Way::Columns => assembly.fragment("gather", GATHER_COLUMNS).common(COMBINE_FOURS),
    };
    if way == Way::Rows {
        assembly.fragment("source", SOURCE_FOURS);
        assembly.size("source", "pitch", p.kept_strides.last().copied().unwrap_or(0) / unit)?;
    } else {
        assembly.fragment("source", SOURCE).constant("source", "FLAT", Value::Bool(reduced.len() <= 1));
        let [unit_type, words] = if way == Way::Columns { ["vec4<Elem>", "vec4<Word>"] } else { ["Elem", "Word"] };
        assembly.constant("source", "Unit", Value::Type(unit_type)).constant("source", "Words", Value::Type(words));
        assembly.constant("source", "WIDTH", Value::U32(unit as u32));
        let strides = KEPT.iter().zip(four(&p.kept_strides, 0)).chain(REDUCED.iter().zip(four(&p.reduced_strides, 0)));
        for (name, stride) in strides {
            assembly.size("source", name, stride)?;
        }
        sizes(assembly, "source", reduced)?;
    }
    // The flat index of the box's first value: only the outermost dimension is cut where it matters.
    let inner: usize = p.reduced.iter().skip(1).product();
    let first = if p.task.indexes() { reduced.first().map_or(0, |range| range.start * inner) } else { 0 };
    assembly.size("source", "first", first)?;
    Ok(bytes)
}

/// Fills the hook that results go to; returns the bytes that are written.
fn bind_target(assembly: &mut Assembly, pieces: &Pieces<'_>, job: &Job<'_>) -> Result<u64> {
    let (p, task) = (pieces.problem, pieces.problem.task);
    if let (Values::Tensor { first, .. }, 2..) = (job.values, job.columns) {
        let range = partials(job);
        let bytes = range.end;
        assembly.fragment("target", PARTIAL).size("target", "columns", job.columns)?.size("target", "first", first)?;
        assembly.bind("target", Binding { slot: Slot::Scratch(0), range, access: Access::Write, element: 4 });
        return Ok(bytes);
    }
    let range = pieces.target(job.kept);
    let bytes = range.end - range.start;
    let target = |slot, range, dtype: DType| Binding { slot, range, access: Access::Write, element: dtype.size() };
    assembly.fragment("target", TARGET);
    assembly.bind("target", target(Slot::Output(0), range, p.out()));
    assembly.constant("target", "Elem", Value::Type(wgsl(p.out())));
    for (name, stride) in KEPT.iter().zip(four(&p.out_strides, 0)) {
        assembly.size("target", name, stride)?;
    }
    let (mean, divisor) = if let Task::Mean { divisor } = task { (true, divisor) } else { (false, 1) };
    assembly.constant("", "MEAN", Value::Bool(mean)).param("target", "divisor", Param::F32(divisor as f32));
    assembly.constant("", "ARG", Value::Bool(task.is_arg()));
    let indices = task == Task::MaxWithIndex;
    assembly.fragment("indices", if indices { INDICES } else { NO_INDICES });
    if !indices {
        return Ok(bytes);
    }
    let range = pieces.indices(job.kept);
    let both = bytes + range.end - range.start;
    assembly.bind("indices", target(Slot::Output(1), range, DType::U32));
    Ok(both)
}
