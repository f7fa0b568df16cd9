//! The emulator as a device: memory, errors, options; then plans, programs, findings and verification on it.
#![cfg(feature = "emulator")]

mod common;

use std::time::Duration;

use common::{TILED, bodies, integers, passes, small_budget, with_profile};
use tilewise::reference::{HostTensor, Random};
use tilewise::verify::{self, devices};
use tilewise::{
    AnyTensor, Bindings, DType, EmulatorOptions, Error, FindingKind, Gpu, Layout, Matmul, MaxPool2d, Op, Param, Plan,
    Program, Tensor, Workspace, wgpu,
};

fn emulator() -> Gpu {
    Gpu::emulated(EmulatorOptions::default()).unwrap()
}

fn ones(gpu: &Gpu, shape: &[usize]) -> Tensor<f32> {
    gpu.tensor(shape, &vec![1.0; shape.iter().product()]).unwrap()
}

/// A plan with small tiles, which an emulator runs soon.
fn small(gpu: &Gpu) -> Gpu {
    with_profile(gpu, |profile| profile.contractions = vec![TILED])
}

// Memory, errors and options need no kernel.

#[test]
fn options_that_no_machine_can_have() {
    let refused = |options: EmulatorOptions| Gpu::emulated(options).unwrap_err().to_string();
    let default = EmulatorOptions::default;
    for (options, text) in [
        (
            EmulatorOptions { subgroup_size: 12, ..default() },
            "emulator: subgroup_size = 12: must be 4, 8, 16, 32 or 64",
        ),
        (EmulatorOptions { sm_count: 0, ..default() }, "emulator: sm_count = 0: must be at least 1"),
        (EmulatorOptions { step_budget: 0, ..default() }, "emulator: step_budget = 0: must be at least 1"),
        (EmulatorOptions { threads: 0, ..default() }, "emulator: threads = 0: must be at least 1"),
        (
            EmulatorOptions {
                limits: Some(wgpu::Limits { min_storage_buffer_offset_alignment: 0, ..Default::default() }),
                ..default()
            },
            "emulator: limits.min_storage_buffer_offset_alignment = 0: must be a power of two, 4 at least",
        ),
    ] {
        assert_eq!(refused(options), text);
    }
}

#[test]
fn the_profile_is_what_the_options_say() {
    let gpu = emulator();
    let profile = gpu.profile();
    assert_eq!(profile.to_string(), "emulator (naga, Unknown, subgroups of 32)");
    assert_eq!((profile.subgroup_size, profile.sm_count), ((32, 32), Some(16)));
    let features = wgpu::Features::IMMEDIATES
        | wgpu::Features::SUBGROUP
        | wgpu::Features::SHADER_F16
        | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    assert_eq!((profile.features, &profile.cooperative_matrices[..]), (features, &[8, 16][..]));
    let limits = wgpu::Limits { max_immediate_size: 128, ..wgpu::Limits::default() };
    assert_eq!(profile.limits, limits);
    let limits = wgpu::Limits { max_compute_workgroup_storage_size: 1024, ..limits };
    let options = EmulatorOptions { subgroup_size: 8, limits: Some(limits.clone()), ..Default::default() };
    let gpu = Gpu::emulated(options).unwrap();
    assert_eq!((&gpu.profile().limits, gpu.profile().subgroup_size), (&limits, (8, 8)));
}

#[test]
fn every_type_comes_back_as_it_went_and_writes_reach_views() {
    let gpu = emulator();
    let bytes: Vec<u8> = (0..7).collect();
    let t = gpu.tensor(&[7], &bytes).unwrap();
    assert_eq!(gpu.download(&t).unwrap(), bytes);
    assert_eq!(gpu.download(&t.slice(3..6).unwrap()).unwrap(), [3, 4, 5]);
    let halves = [half::f16::from_f32(1.5), half::f16::from_f32(-2.0), half::f16::from_f32(0.25)];
    let t = gpu.tensor(&[3], &halves).unwrap();
    assert_eq!(gpu.download(&t.slice(1..3).unwrap()).unwrap(), halves[1..]);
    assert_eq!(gpu.download(&gpu.tensor::<i32>(&[0], &[]).unwrap()).unwrap(), [0i32; 0]);
    let t = gpu.tensor(&[4], &[1.0f32, 2.0, 3.0, 4.0]).unwrap();
    gpu.write(&t.slice(1..3).unwrap(), &[8.0, 9.0]).unwrap();
    assert_eq!(pollster::block_on(gpu.download_async(&t)).unwrap(), [1.0, 8.0, 9.0, 4.0]);
    let error = gpu.write(&gpu.tensor(&[8], &[0u8; 8]).unwrap().slice(1..5).unwrap(), &[0; 4]).unwrap_err();
    assert_eq!(error.to_string(), "view: bytes 1..5 are not whole words");
}

#[test]
fn checks_and_tuning_that_do_not_block_run_there_too() {
    let gpu = emulator();
    let gpu = with_profile(&gpu, |profile| profile.contractions = Vec::from_iter(common::broadcast(&gpu)));
    let (op, shape) = (Matmul::default(), Layout::new(&[9, 9], DType::F32));
    let cases: [(&dyn Op, &[Layout]); 1] = [(&op, &[shape.clone(), shape])];
    let checked = pollster::block_on(gpu.check_async(&cases)).unwrap();
    assert_eq!(checked.learnt.verdicts(), (1, 0));
    let tuned = pollster::block_on(gpu.tune_async(&cases, Duration::ZERO)).unwrap();
    assert_eq!(tuned.learnt.choices(), 1);
}

#[test]
fn memory_is_counted_capped_and_poisoned() {
    let options = EmulatorOptions { memory_limit: Some(4096), ..Default::default() };
    let gpu = Gpu::emulated(options.clone()).unwrap();
    let held = gpu.empty::<f32>(&[768]).unwrap();
    assert!(gpu.download(&held).unwrap().iter().all(|x| x.is_nan()));
    let other = gpu.clone();
    let error = other.empty::<f32>(&[768]).unwrap_err();
    assert_eq!(error.to_string(), "out of memory: 3072 bytes wanted with 3072 in use, capped at 4096");
    let view = held.slice(1..2).unwrap();
    drop(held);
    let stats = gpu.stats();
    assert_eq!((stats.live_bytes, stats.live_buffers, stats.peak_bytes, stats.created), (3072, 1, 3072, 1));
    drop(view);
    assert_eq!((gpu.stats().live_bytes, gpu.stats().live_buffers, gpu.trim()), (0, 0, 0));
    other.empty::<f32>(&[1024]).unwrap();
    let gpu = Gpu::emulated(EmulatorOptions { poison: false, ..options }).unwrap();
    assert_eq!(gpu.download(&gpu.empty::<f32>(&[3]).unwrap()).unwrap(), [0.0; 3]);
    let most = gpu.profile().limits.max_buffer_size;
    let error = gpu.empty::<f32>(&[(most / 4 + 1) as usize]).unwrap_err();
    let text = format!("tensor: needs max_buffer_size = {}, the device has {most}; split the tensor", most + 4);
    assert_eq!(error.to_string(), text);
}

#[test]
fn what_needs_wgpu_is_a_typed_error() {
    let gpu = emulator();
    let says = |error: Error, what: &str| {
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("{what} is not supported: the emulator has no wgpu device"));
    };
    says(gpu.device().unwrap_err(), "the wgpu device");
    says(gpu.queue().unwrap_err(), "the wgpu queue");
    let a = ones(&gpu, &[2, 2]);
    says(a.buffer().unwrap_err(), "the buffer of a tensor");
    says(AnyTensor::from(a.clone()).buffer().unwrap_err(), "the buffer of a tensor");
    // A host's buffer and a host's pass take a host.
    let Some(device) = devices().iter().find_map(|gpu| gpu.device().ok()) else { return };
    let usage = wgpu::BufferUsages::STORAGE;
    let buffer =
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size: 64, usage, mapped_at_creation: false });
    says(gpu.view::<f32>(&buffer, 0, &[2, 2]).unwrap_err(), "a view of a host's buffer");
    let plan = Matmul::default().plan(gpu.profile(), &[a.layout(), a.layout()]).unwrap();
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    let bindings = Bindings { inputs: &[&a, &a], outputs: &[&a] };
    says(plan.encode(&mut pass, &gpu, &bindings, &mut Workspace::new()).unwrap_err(), "encoding into a host's pass");
}

#[test]
fn operands_are_held_against_the_plan_as_on_any_device() {
    let (gpu, other) = (emulator(), emulator());
    let (a, b) = (ones(&gpu, &[2, 2]), ones(&other, &[2, 2]));
    assert_eq!(gpu.matmul(&a, &b).unwrap_err().to_string(), "matmul: input 1 lives on another device");
    assert_eq!(other.download(&a).unwrap_err().to_string(), "download: the tensor lives on another device");
    assert_eq!(other.write(&a, &[0.0; 4]).unwrap_err().to_string(), "write: the tensor lives on another device");
    if let Some(real) = devices().iter().find(|gpu| gpu.device().is_ok()) {
        assert_eq!(real.matmul(&a, &a).unwrap_err().to_string(), "matmul: input 0 lives on another device");
        let error = gpu.matmul(&ones(real, &[2, 2]), &a).unwrap_err();
        assert_eq!(error.to_string(), "matmul: input 0 lives on another device");
    }
    let arena = ones(&gpu, &[32]);
    let part = |at: usize| arena.slice(at..at + 4).unwrap().reshape(&[2, 2]).unwrap();
    let plan = Matmul::default().plan(gpu.profile(), &[a.layout().in_arena(), a.layout()]).unwrap();
    let error = gpu.run(&plan, &[&part(0), &part(8)], &mut [&mut part(3)]).unwrap_err();
    assert_eq!(error.to_string(), "matmul: output 0 overlaps input 0 in memory");
    let plan = Matmul::default().plan(gpu.profile(), &[a.layout(), a.layout()]).unwrap();
    let error = gpu.run(&plan, &[&part(0), &part(8)], &mut [&mut part(16)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "matmul: input 0 does not fit the plan: it shares its buffer with output 0: plan with Layout::in_arena"
    );
}

#[test]
fn a_lost_device_refuses_everything() {
    let gpu = emulator();
    let a = ones(&gpu, &[1, 1]);
    gpu.notify_lost("the test says so");
    for error in [
        gpu.empty::<f32>(&[1]).map(drop).unwrap_err(),
        gpu.write(&a, &[2.0]).unwrap_err(),
        gpu.matmul(&a, &a).map(drop).unwrap_err(),
        gpu.download(&a).map(drop).unwrap_err(),
        gpu.submit().unwrap_err(),
        gpu.wait().unwrap_err(),
        gpu.timed(|_| Ok(())).map(drop).unwrap_err(),
    ] {
        assert_eq!(error.to_string(), "the device is lost: the test says so");
    }
}

// From here on kernels run: these tests need the lowering and the machine, and fail where either is a stand-in.

#[test]
fn work_runs_in_the_order_of_recording() {
    let gpu = emulator();
    let a = gpu.tensor(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0]).unwrap();
    let first = gpu.matmul(&a, &a).unwrap();
    gpu.write(&a, &[1.0, 0.0, 0.0, 1.0]).unwrap();
    let second = gpu.matmul(&a, &a).unwrap();
    assert_eq!(gpu.download(&first).unwrap(), [7.0, 10.0, 15.0, 22.0]);
    assert_eq!(gpu.download(&second).unwrap(), [1.0, 0.0, 0.0, 1.0]);
    assert_eq!(gpu.findings(), []);
    assert_eq!(gpu.cached(), (1, 0));
    assert_eq!(gpu.stats().live_buffers, 3);
}

#[test]
fn products_are_verified_with_every_subgroup_size_and_order() {
    let mut random = Random::new(11);
    let inputs = [integers(&mut random, &[13, 9]), integers(&mut random, &[9, 11])];
    for subgroup_size in [4, 8, 16, 32, 64] {
        let shuffle = (subgroup_size > 8).then_some(u64::from(subgroup_size));
        let options = EmulatorOptions { subgroup_size, shuffle, ..Default::default() };
        let gpu = Gpu::emulated(options).unwrap();
        let gpu = with_profile(&gpu, |profile| profile.contractions = bodies(&gpu));
        for report in verify::candidates(&gpu, &Matmul::default(), &inputs).unwrap() {
            passes(&Matmul::default(), &report, true);
        }
        assert_eq!(gpu.findings(), []);
    }
}

#[test]
fn parameters_in_a_uniform_buffer_where_there_are_no_immediates() {
    let gpu = with_profile(&emulator(), |profile| profile.features = wgpu::Features::empty());
    let a = gpu.tensor(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0]).unwrap();
    assert_eq!(gpu.download(&gpu.matmul(&a, &a).unwrap()).unwrap(), [7.0, 10.0, 15.0, 22.0]);
}

#[test]
fn views_of_one_arena_at_odd_offsets_and_plans_of_many_dispatches() {
    let gpu = emulator();
    let mut elements = vec![f32::NAN; 64];
    elements[3..7].copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
    let arena = gpu.tensor(&[64], &elements).unwrap();
    let a = arena.slice(3..7).unwrap().reshape(&[2, 2]).unwrap();
    let mut c = arena.slice(21..25).unwrap().reshape(&[2, 2]).unwrap();
    let plan = Matmul::default().plan(gpu.profile(), &[a.layout().in_arena(), a.layout()]).unwrap();
    gpu.run(&plan, &[&a, &a], &mut [&mut c]).unwrap();
    assert_eq!(gpu.download(&c).unwrap(), [7.0, 10.0, 15.0, 22.0]);
    let mut random = Random::new(12);
    let inputs = [integers(&mut random, &[36, 40]), integers(&mut random, &[40, 24])];
    let split = with_profile(&small(&gpu), small_budget(4000));
    let plan = Matmul::default().plan(split.profile(), &verify::guarded_layouts(&inputs)).unwrap();
    assert!(plan.dispatches.len() > 4, "{plan}");
    passes(&Matmul::default(), &verify::plan(&split, &Matmul::default(), &plan, &inputs).unwrap(), true);
}

#[test]
fn a_program_runs_and_its_dispatches_are_untimed() {
    let gpu = emulator();
    let swap = gpu.tensor(&[2, 2], &[0.0f32, 1.0, 1.0, 0.0]).unwrap();
    let mut build = Program::builder(&gpu);
    let (x, w) = (build.input(&[2, 2], DType::F32), build.constant(&swap));
    let y = build.op(&Matmul::default(), &[x, w]).unwrap();
    let z = build.op(&Matmul::default(), &[w, y]).unwrap();
    build.output(z).unwrap();
    let program = build.compile().unwrap();
    let input = gpu.tensor(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0]).unwrap();
    let (output, timings) = gpu.timed(|_| program.run(&[&input])).unwrap();
    assert_eq!(gpu.download(&output[0].clone().typed::<f32>().unwrap()).unwrap(), [4.0, 3.0, 2.0, 1.0]);
    let kernels = timings.kernels();
    assert_eq!((kernels.len(), kernels[0].dispatches, kernels[0].ms), (1, 2, None));
    assert!(timings.to_string().lines().nth(1).unwrap().ends_with("untimed"), "{timings}");
    assert_eq!(gpu.timed(|_| Ok(())).unwrap().1.spans, []);
}

#[test]
fn reading_what_nothing_wrote_is_a_finding_with_its_place() {
    let gpu = emulator();
    let (a, never) = (ones(&gpu, &[3, 3]), gpu.empty::<f32>(&[3, 3]).unwrap());
    let c = gpu.matmul(&a, &never).unwrap();
    assert!(gpu.download(&c).unwrap().iter().all(|x| x.is_nan()));
    let findings = gpu.findings();
    let finding = findings.iter().find(|finding| finding.kind == FindingKind::Uninitialised).unwrap();
    assert!(finding.kernel.starts_with("matmul ") && finding.at.file.ends_with(".wgsl"), "{finding}");
    assert!(finding.at.line > 0 && finding.at.column > 0 && finding.count >= 9, "{finding}");
    let line = finding.to_string();
    let place = format!("{}:{}:{}", finding.at.file, finding.at.line, finding.at.column);
    assert!(line.starts_with("matmul ") && line.contains("uninitialised") && line.contains(&place), "{line}");
    assert!(!line.contains('\n'), "{line}");
    // They are told once.
    assert_eq!(gpu.findings(), []);
}

/// A plan whose first input is read far outside of its buffer.
fn astray(plan: &Plan) -> Plan {
    plan.altered(|plan| {
        let params = plan.dispatches.iter_mut().flat_map(|dispatch| &mut dispatch.params);
        params.filter(|param| **param == Param::Offset(0)).for_each(|param| *param = Param::U32(1 << 20));
    })
}

#[test]
fn a_report_with_findings_fails_and_shows_them() {
    let gpu = small(&emulator());
    let op = Matmul::default();
    // Zeros: reading others of them makes no wrong value.
    let inputs = [HostTensor::new(&[4, 4], &[0.0f32; 16]).unwrap(), HostTensor::new(&[4, 4], &[1.0f32; 16]).unwrap()];
    let plan = op.plan(gpu.profile(), &verify::guarded_layouts(&inputs)).unwrap();
    verify::plan(&gpu, &op, &plan, &inputs).unwrap().assert_strict();
    let report = verify::plan(&gpu, &op, &astray(&plan), &inputs).unwrap();
    assert!(!report.passed(), "{report}");
    assert!(report.findings.iter().any(|finding| finding.kind == FindingKind::OutOfBounds), "{report}");
    assert!(report.to_string().contains(": out_of_bounds: "), "{report}");
    // Without the sanitizer nothing is found, and robust access goes on.
    let gpu = small(&Gpu::emulated(EmulatorOptions { sanitizer: false, ..Default::default() }).unwrap());
    assert_eq!(verify::plan(&gpu, &op, &astray(&plan), &inputs).unwrap().findings, []);
}

#[test]
fn a_kernel_that_does_not_end_is_an_error() {
    let gpu = Gpu::emulated(EmulatorOptions { step_budget: 3, ..Default::default() }).unwrap();
    let error = gpu.matmul(&ones(&gpu, &[64, 64]), &ones(&gpu, &[64, 64])).unwrap_err();
    assert!(matches!(error, Error::Shader { .. }), "{error}");
    assert!(error.to_string().contains(": it does not come to its end: matmul "), "{error}");
    assert!(gpu.findings().iter().any(|finding| finding.kind == FindingKind::StepBudget));
}

#[test]
fn a_plan_for_a_greater_device_is_refused_with_the_numbers() {
    let gpu = emulator();
    let lesser = wgpu::Limits { max_compute_invocations_per_workgroup: 8, ..gpu.profile().limits.clone() };
    let small = Gpu::emulated(EmulatorOptions { limits: Some(lesser), ..Default::default() }).unwrap();
    let a = ones(&small, &[64, 64]);
    let error = small.with_profile(gpu.profile().clone()).matmul(&a, &a).unwrap_err();
    assert!(matches!(error, Error::Limit { limit: "max_compute_invocations_per_workgroup", .. }), "{error}");
    let lesser = wgpu::Limits { max_compute_workgroups_per_dimension: 2, ..gpu.profile().limits.clone() };
    let small = Gpu::emulated(EmulatorOptions { limits: Some(lesser), ..Default::default() }).unwrap();
    let x = ones(&small, &[1, 4, 64, 64]);
    let pool = MaxPool2d { kernel: [2, 2], ..Default::default() };
    let error = small.with_profile(gpu.profile().clone()).apply::<f32>(&pool, &[&x]).unwrap_err();
    assert!(matches!(error, Error::Limit { limit: "max_compute_workgroups_per_dimension", .. }), "{error}");
}
