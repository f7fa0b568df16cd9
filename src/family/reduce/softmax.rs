//! Softmax and its logarithm, which spread two reductions over their values again: along rows, or down columns in fours.

use std::ops::Range;

use super::{COMBINE, GRID, Reduce, Task, Team, Variant};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::Result;
use crate::family::fours::Fours;
use crate::family::wgsl;
use crate::layout::DType;
use crate::plan::{Access, Assembly, Binding, Dispatch, Slot, Work};
use crate::problem::{Built, Candidate, Operands};
use crate::profile::{Class, DeviceProfile};
use crate::split::{Cut, Divisible, Region, bytes, reach, split};

const SOFTMAX: ShaderFile = shader!("reduce/softmax.wgsl");

/// Steps that the kernel takes at once on its first way through the values.
const BLOCK: usize = 4;

/// The tensor as the kernels see it: `outer` matrices of `len` rows and `inner` columns. Reduced are columns, or where there is
/// but one, the matrix as a row.
struct Matrices<'a> {
    op: &'static str,
    operands: &'a Operands<'a>,
    log: bool,
    outer: usize,
    len: usize,
    inner: usize,
}

/// The candidates for a problem on a device, best first.
pub(super) fn candidates(problem: &Reduce, profile: &DeviceProfile) -> Vec<Candidate<Variant>> {
    let (len, inner) = (problem.len(), problem.kept[1]);
    let outputs: usize = problem.kept.iter().product();
    let candidate = |variant: Variant, why: &str| {
        let name = format!("softmax/{} {}", variant.team.name(), variant.lanes);
        Candidate { variant, name, why: format!("{outputs} outputs of {len} values: {why}") }
    };
    // Invocations of a workgroup take four values each: 64 keep two subgroups of 32 busy, 256 any device allows.
    let together =
        candidate(Variant::new(Team::Workgroup, if len >= 1024 { 256 } else { 64 }), "invocations share a reduction");
    if profile.class == Class::Cpu {
        let serial = candidate(Variant::new(Team::Invocation, 8), "class Cpu: no barriers");
        let Some(size) = profile.fixed_subgroup_size().filter(|_| inner == 1) else { return vec![serial, together] };
        let shared = candidate(Variant::new(Team::Subgroup, size), "class Cpu: a subgroup for each, without barriers");
        // From about 256 values on, a workgroup for each row costs less than rows that lie apart; and few rows leave lanes idle.
        let shares = len >= 256 || outputs < 16;
        return if shares { vec![shared, serial, together] } else { vec![serial, shared, together] };
    }
    let serial = Variant::new(Team::Invocation, 64);
    // An invocation for each fills a device from some ten thousand on, and short reductions leave most of a workgroup idle.
    if len < 32 || outputs >= 16_384 && len < 256 {
        vec![candidate(serial, "outputs fill the device"), together]
    } else {
        vec![together, candidate(serial, "runs within any limits")]
    }
}

impl Matrices<'_> {
    fn along(&self) -> bool {
        self.inner == 1
    }

    /// The type of all elements.
    fn dtype(&self) -> DType {
        self.operands.inputs[0].dtype
    }

    /// The elements of a region: a range of matrices, and of their columns.
    fn span(&self, region: &Region) -> Range<u64> {
        let [outer, columns] = [0, 1].map(|dim| region.0[dim].clone());
        reach([(outer, self.len * self.inner), (columns, 1), (0..self.len, self.inner)])
    }
}

impl Divisible for Matrices<'_> {
    fn op(&self) -> &'static str {
        self.op
    }

    fn cuts(&self) -> Vec<Cut> {
        // Columns in fours.
        [1, 4].into_iter().enumerate().map(|(dim, grain)| Cut { dim, grain, free: true }).collect()
    }

    fn spans(&self, region: &Region) -> Vec<(Slot, Range<u64>)> {
        let span = bytes(self.span(region), self.dtype());
        vec![(Slot::Input(0), span.clone()), (Slot::Output(0), span)]
    }

    fn flops(&self, region: &Region) -> f64 {
        // Two exponentials, about eight operations each, and some more.
        20.0 * region.len(0) as f64 * region.len(1) as f64 * self.len as f64
    }
}

/// The dispatches of a variant.
pub(super) fn build(
    problem: &Reduce,
    variant: &Variant,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Built> {
    let (op, log, len) = (operands.op, problem.task == Task::LogSoftmax, problem.len());
    let (outer, inner) = (problem.kept[0], problem.kept[1]);
    let matrices = Matrices { op, operands, log, outer, len, inner };
    let steps = if matrices.along() { len.div_ceil(4) } else { len };
    // Twice through the values, the first time in blocks.
    variant.expect_trips(op, steps.saturating_add(steps.div_ceil(BLOCK)))?;
    let mut built = Built::default();
    for region in split(&matrices, Region::whole(&[matrices.outer, inner]), profile)? {
        built.dispatches.push(dispatch(&matrices, variant, &region, &mut built.aligned, profile)?);
    }
    Ok(built)
}

fn dispatch(
    matrices: &Matrices<'_>,
    variant: &Variant,
    region: &Region,
    aligned: &mut Vec<Slot>,
    profile: &DeviceProfile,
) -> Result<Dispatch> {
    let Matrices { op, operands, log, len, inner, .. } = *matrices;
    let along = matrices.along();
    let mut assembly = Assembly::new(op, SOFTMAX, operands.arena());
    assembly.common(GRID).common(COMBINE);
    variant.assemble(&mut assembly);
    let dtype = matrices.dtype();
    assembly.constant("", "Word", Value::Type(dtype.word())).constant("", "Elem", Value::Type(wgsl(dtype)));
    assembly.constant("", "NOTHING", Value::U32(f32::NEG_INFINITY.to_bits()));
    for (name, value) in [("FLOAT", true), ("LARGEST", true), ("LAST", false), ("LOG", log), ("ALONG", along)] {
        assembly.constant("", name, Value::Bool(value));
    }
    let columns = region.len(1);
    let (pitch, width) = if along { (len, len) } else { (inner, columns) };
    let fours = columns.div_ceil(4);
    let teams = region.len(0) * fours;
    let steps = if along { len.div_ceil(4) } else { len };
    for (name, value) in [("teams", teams), ("steps", steps), ("fours", fours), ("pitch", pitch), ("width", width)] {
        assembly.size("", name, value)?;
    }
    let span = matrices.span(region);
    let counts = [span.start as usize, pitch, width];
    let (source, target) = (Fours::of(&operands.inputs[0], counts), Fours::of(&operands.outputs[0], counts));
    for (fours, hook, fragment, slot, access) in [
        (source, "source", source.load(), Slot::Input(0), Access::Read),
        (target, "target", target.store(), Slot::Output(0), Access::Write),
    ] {
        let binding = Binding { slot, range: bytes(span.clone(), dtype), access, element: fours.bytes(dtype) };
        assembly.fragment(hook, fragment).bind(hook, binding);
        aligned.extend((fours == Fours::Vectors).then_some(slot));
    }
    let moved = 2 * (span.end - span.start) * dtype.size();
    let work = Work { flops: matrices.flops(region), bytes: moved as f64 };
    assembly.dispatch(profile, variant.workgroups(teams as u64), work)
}
