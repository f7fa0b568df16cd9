//! What the property tests of tilewise share: how many cases run, data, and the three properties.
//!
//! 1. [`correct`]: candidates on every device agree with the CPU twin, between guards: all that the emulator has, and of those that
//!    a driver has the planner's choice and a few drawn ones, since compiling takes most of the time there.
//! 2. [`planned`]: whatever the options and shapes, planning returns a plan that keeps to the limits, or an error.
//! 3. [`limited`]: on a lesser device, an op is refused with [`Error::Limit`], or runs right.
//!
//! `PROPTEST_CASES` is the number of cases of each test, `PROPTEST_RNG_SEED` repeats a run.
//! A failure prints the smallest options, shapes and data seed that fail; nothing is written to disk.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};

use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};
use tilewise::reference::{HostTensor, Random, Select, Twin};
use tilewise::verify::{self, devices};
use tilewise::{Activation, Class, DType, DeviceProfile, Error, Gpu, Layout, Plan, Slot, wgpu};

/// Runs a property on so many cases, or on as many as `PROPTEST_CASES` says.
///
/// # Panics
/// If a case fails, with the smallest one that does.
#[track_caller]
pub fn run<S: Strategy>(cases: u32, strategy: S, property: impl Fn(S::Value) -> TestCaseResult)
where
    S::Value: Debug,
{
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(cases);
    let config = ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 1000, ..Default::default() };
    if let Err(error) = TestRunner::new(config).run(&strategy, property) {
        panic!("{error}");
    }
}

/// A size of a dimension: mostly small, sometimes nothing, one, or around the sides of the tiles.
pub fn size() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 2usize..=20, 1 => Just(0), 2 => Just(1), 2 => prop::sample::select(vec![7, 8, 9, 15, 16, 17])]
}

/// As [`size`], but not 0, and 63 to 65 too, around the largest tile.
pub fn side() -> impl Strategy<Value = usize> {
    prop_oneof![8 => size().prop_map(|size| size.max(1)), 1 => 63usize..=65]
}

/// An activation, more often none.
pub fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![1 => Just(Activation::None), 2 => prop::sample::select(Activation::ALL.to_vec())]
}

/// Whether an activation keeps whole numbers exact.
pub fn is_exact(activation: Activation) -> bool {
    matches!(activation, Activation::None | Activation::Relu)
}

/// The data of an op's inputs: whole numbers where results must be exact, else floats in [-1, 1).
pub fn data(seed: u64, shapes: &[Vec<usize>], exact: bool) -> Vec<HostTensor> {
    let mut random = Random::new(seed);
    let mut tensor = |shape: &Vec<usize>| {
        let len = shape.iter().product();
        let elements = if exact { random.integers(len) } else { random.floats(len) };
        HostTensor::new(shape, &elements).unwrap()
    };
    shapes.iter().map(&mut tensor).collect()
}

/// The first property: every candidate agrees with the twin on every device, to the bit where `exact`.
///
/// # Errors
/// Where it does not hold.
pub fn correct(op: &dyn Twin, inputs: &[HostTensor], exact: bool) -> TestCaseResult {
    devices().iter().try_for_each(|gpu| agrees(gpu, op, inputs, exact))
}

/// Candidates of a case that a driver compiles, beside the planner's choice.
const DRAWN: usize = 2;

fn agrees(gpu: &Gpu, op: &dyn Twin, inputs: &[HostTensor], exact: bool) -> TestCaseResult {
    let fail = |error: Error| TestCaseError::fail(error.to_string());
    let reports = if gpu.is_emulated() {
        verify::candidates(gpu, op, inputs).map_err(fail)?
    } else {
        let plans = verify::plans(gpu.profile(), op, inputs).map_err(fail)?;
        let drawn = drawn(inputs, plans.len()).map(|number| verify::plan(gpu, op, &plans[number], inputs));
        drawn.collect::<Result<_, _>>().map_err(fail)?
    };
    for report in reports {
        prop_assert!(report.passed() && report.suspect == 0, "{report}");
        prop_assert!(!exact || report.exact_mismatches == 0, "{report}");
    }
    Ok(())
}

/// The numbers of some of so many candidates: the first, and neighbours drawn by the shapes, so that a case that fails fails again.
fn drawn(inputs: &[HostTensor], count: usize) -> impl Iterator<Item = usize> {
    let mut hasher = DefaultHasher::new();
    inputs.iter().for_each(|input| input.shape.hash(&mut hasher));
    let (others, start) = (count - 1, hasher.finish() as usize % count);
    std::iter::once(0).chain((0..DRAWN.min(others)).map(move |i| 1 + (start + i) % others))
}

/// Elements up to which an input is made, to ask the twin too.
const SMALL: usize = 4096;

/// The second property: planning for any device never panics, and ends. A plan has the output layouts that
/// [`Op::infer`](tilewise::Op::infer) and the twin have, keeps to the device's limits, and can be printed.
///
/// # Errors
/// Where it does not hold.
pub fn planned(class: Class, op: &dyn Twin, inputs: &[Layout]) -> TestCaseResult {
    let outputs = op.infer(inputs);
    let features = wgpu::Features::SHADER_F16;
    let profile = DeviceProfile { class, features, ..DeviceProfile::baseline() };
    match (op.plans(&profile, inputs), &outputs) {
        (Ok(plans), Ok(outputs)) => {
            plans.iter().try_for_each(|plan| keeps_to(plan, inputs, outputs, &profile))?;
        }
        (Ok(_), Err(error)) => prop_assert!(false, "planned what is refused: {error}"),
        (Err(found), Err(error)) => prop_assert_eq!(&found, error),
        // What the shapes allow, the device may not; no other refusal is left.
        (Err(Error::Limit { .. }), Ok(_)) => {}
        (Err(error), Ok(_)) => prop_assert!(false, "refused late: {error}"),
    }
    // A twin asked for no elements tells its shapes.
    if let Ok(outputs) = outputs
        && inputs.iter().all(|layout| layout.len() <= SMALL)
    {
        let blank = |layout: &Layout| match layout.dtype {
            DType::F16 => HostTensor::new(&layout.shape, &vec![half::f16::ZERO; layout.len()]),
            DType::I32 => HostTensor::new(&layout.shape, &vec![0i32; layout.len()]),
            DType::U32 => HostTensor::new(&layout.shape, &vec![0u32; layout.len()]),
            _ => HostTensor::new(&layout.shape, &vec![0f32; layout.len()]),
        };
        let blanks: Result<Vec<HostTensor>, Error> = inputs.iter().map(blank).collect();
        let expected = blanks.and_then(|blanks| op.twin(&blanks, &Select::At(Vec::new())));
        let expected = expected.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let expected: Vec<_> = expected.into_iter().map(|output| (output.shape, output.dtype)).collect();
        let outputs: Vec<_> = outputs.into_iter().map(|output| (output.shape, output.dtype)).collect();
        prop_assert_eq!(expected, outputs);
    }
    Ok(())
}

/// Whether a plan has these operands and keeps to the limits of the device that it was made for.
fn keeps_to(plan: &Plan, inputs: &[Layout], outputs: &[Layout], profile: &DeviceProfile) -> TestCaseResult {
    let shapes = |layouts: &[Layout]| -> Vec<_> { layouts.iter().map(|l| (l.shape.clone(), l.dtype)).collect() };
    prop_assert_eq!(shapes(&plan.inputs), shapes(inputs));
    prop_assert_eq!(shapes(&plan.outputs), shapes(outputs));
    prop_assert!(plan.to_string().starts_with(plan.op));
    let limits = &profile.limits;
    for dispatch in &plan.dispatches {
        prop_assert!(dispatch.grid.iter().all(|side| (1..=limits.max_compute_workgroups_per_dimension).contains(side)));
        prop_assert!(dispatch.bindings.len() <= limits.max_storage_buffers_per_shader_stage as usize);
        prop_assert!(dispatch.workgroup_memory <= limits.max_compute_workgroup_storage_size);
        for binding in &dispatch.bindings {
            let bytes = match binding.slot {
                Slot::Input(i) => inputs[i].bytes(),
                Slot::Output(i) => outputs[i].bytes(),
                Slot::Scratch(i) => plan.scratch[i],
            };
            prop_assert!(binding.range.start <= binding.range.end && binding.range.end <= bytes, "{:?}", binding);
            prop_assert!(binding.range.end - binding.range.start <= limits.max_storage_buffer_binding_size);
        }
    }
    let text = plan.explain(profile);
    let invocations =
        |line: &str| -> Option<u32> { line.split_once("workgroups of ")?.1.split_once(" invocations")?.0.parse().ok() };
    let found: Vec<u32> = text.lines().filter_map(invocations).collect();
    prop_assert_eq!(found.len(), plan.dispatches.len());
    prop_assert!(found.iter().all(|&count| count <= limits.max_compute_invocations_per_workgroup), "{}", text);
    Ok(())
}

/// The families of devices that planning tells apart most.
pub fn class() -> impl Strategy<Value = Class> {
    prop::sample::select(vec![Class::Cpu, Class::Nvidia, Class::Mobile, Class::Unknown])
}

/// What a device lacks, against the one that the tests run on.
#[derive(Clone, Copy, Debug)]
pub struct Lack {
    class: Class,
    binding_size: Option<u64>,
    flops: Option<f64>,
    grid_side: Option<u32>,
    workgroup_memory: Option<u32>,
    invocations: Option<u32>,
    buffers: Option<u32>,
    immediates: bool,
}

/// Lesser devices: mostly one or two things are short.
pub fn lack() -> impl Strategy<Value = Lack> {
    fn short<T: Clone + Debug + 'static>(values: Vec<T>) -> impl Strategy<Value = Option<T>> {
        prop::option::weighted(0.4, prop::sample::select(values))
    }
    (
        class(),
        short(vec![0, 4, 256, 512, 1 << 10, 4 << 10]),
        short(vec![5e3, 2e4, 1e5]),
        short(vec![0, 1, 2, 5]),
        short(vec![0, 1 << 10, 3 << 10, 8 << 10]),
        short(vec![1, 8, 64, 128]),
        short(vec![0, 2, 3, 4]),
        any::<bool>(),
    )
        .prop_map(|(class, binding_size, flops, grid_side, workgroup_memory, invocations, buffers, immediates)| {
            Lack { class, binding_size, flops, grid_side, workgroup_memory, invocations, buffers, immediates }
        })
}

impl Lack {
    fn apply(&self, profile: &mut DeviceProfile) {
        profile.class = self.class;
        profile.floor_flops = self.flops.unwrap_or(profile.floor_flops);
        let limits = &mut profile.limits;
        if let Some(bytes) = self.binding_size {
            // What is lost where windows start at a multiple comes on top.
            limits.max_storage_buffer_binding_size = bytes + u64::from(limits.min_storage_buffer_offset_alignment);
        }
        for (limit, value) in [
            (&mut limits.max_compute_workgroups_per_dimension, self.grid_side),
            (&mut limits.max_compute_workgroup_storage_size, self.workgroup_memory),
            (&mut limits.max_compute_invocations_per_workgroup, self.invocations),
            (&mut limits.max_storage_buffers_per_shader_stage, self.buffers),
            (&mut limits.max_immediate_size, self.immediates.then_some(0)),
        ] {
            *limit = value.unwrap_or(*limit);
        }
    }
}

/// The third property: on a lesser device an op is refused with [`Error::Limit`], or every candidate keeps to the limits
/// and agrees with the twin. Returns whether it ran, so that a test can tell that not everything was refused.
///
/// # Errors
/// Where it does not hold.
pub fn limited(lack: &Lack, op: &dyn Twin, inputs: &[HostTensor], exact: bool) -> Result<bool, TestCaseError> {
    let layouts = verify::guarded_layouts(inputs);
    let outputs = op.infer(&layouts).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let mut ran = false;
    for gpu in devices() {
        let mut profile = gpu.profile().clone();
        lack.apply(&mut profile);
        match op.plans(&profile, &layouts) {
            Ok(plans) => {
                plans.iter().try_for_each(|plan| keeps_to(plan, &layouts, &outputs, &profile))?;
                agrees(&gpu.with_profile(profile), op, inputs, exact)?;
                ran = true;
            }
            Err(Error::Limit { .. }) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
    Ok(ran)
}

/// Any value of an option: mostly sensible, sometimes 0, huge or as large as can be.
pub fn any_value() -> impl Strategy<Value = usize> {
    prop_oneof![
        6 => 1usize..=4,
        1 => Just(0),
        1 => 5usize..=70,
        1 => (4u32..usize::BITS).prop_map(|bits| 1 << bits),
        1 => (4u32..usize::BITS).prop_map(|bits| (1 << bits) - 1),
        1 => (0usize..3).prop_map(|less| usize::MAX - less),
    ]
}

/// Any layouts: mostly of one rank and f32, of any number.
pub fn any_layouts(rank: usize) -> impl Strategy<Value = Vec<Layout>> {
    use DType::{F16, F32, I8, I32, U8, U32};
    let dtype = prop_oneof![30 => Just(F32), 1 => prop::sample::select(vec![F16, I32, U32, I8, U8])];
    let rank = prop_oneof![8 => Just(rank), 1 => 0usize..=9];
    let size = prop_oneof![2 => 0usize..=20, 1 => any_value()];
    let shape = rank.prop_flat_map(move |rank| prop::collection::vec(size.clone(), rank));
    let layout = (shape, dtype).prop_map(|(shape, dtype)| Layout::new(&shape, dtype));
    prop::collection::vec(layout, 0..=4)
}
