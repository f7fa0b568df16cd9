//! Operands that are read through textures: windows of buffers at any offset, copies in time, and what does without.

mod common;

use common::{SMALLEST, device, with_profile};
use tilewise::reference::{HostTensor, Random};
use tilewise::verify::{self, devices};
use tilewise::{
    Access, Activation, Bindings, Conv2d, DType, Gpu, Layout, Matmul, Op, Padding, Plan, Program, Unary, Workspace,
    wgpu,
};

/// Texels in a row of the textures.
const ROW: usize = 4096;

/// The devices, told to read all operands through textures.
fn reading_texels() -> impl Iterator<Item = Gpu> {
    devices().iter().map(|gpu| with_profile(gpu, |profile| profile.texels = Some(0)))
}

fn reads_texels(plan: &Plan) -> bool {
    plan.dispatches.iter().any(|dispatch| dispatch.bindings.iter().any(|binding| binding.access == Access::ReadTexels))
}

fn negative(i: usize) -> f32 {
    (i % 23) as f32 - 11.0
}

#[test]
fn windows_start_and_end_anywhere() {
    let relu = Unary::from(Activation::Relu);
    for gpu in reading_texels() {
        let elements: Vec<f32> = (0..9 * ROW).map(negative).collect();
        let arena = gpu.tensor(&[elements.len()], &elements).unwrap();
        // Below a texel, around a row of texels and beyond; at the beginning, in the middle of a texel, at the very end.
        for length in [1, 3, 4, 5, 63, 4 * ROW - 1, 4 * ROW, 4 * ROW + 1, 8 * ROW + 5] {
            for start in [0, 1, 4, 7, elements.len() - length] {
                let part = arena.slice(start..start + length).unwrap();
                let plan = relu.plan(gpu.profile(), &[part.layout()]).unwrap();
                assert!(reads_texels(&plan), "{plan}");
                let explained = plan.explain(gpu.profile()).to_string();
                assert!(explained.contains("bytes are copied into textures"), "{explained}");
                let mut out = gpu.empty::<f32>(&[length]).unwrap();
                gpu.run(&plan, &[&part], &mut [&mut out]).unwrap();
                let expected: Vec<f32> = elements[start..start + length].iter().map(|x| x.max(0.0)).collect();
                assert_eq!(gpu.download(&out).unwrap(), expected, "{start}, {length}");
            }
        }
    }
}

#[test]
fn textures_hold_what_was_written_last() {
    let relu = Unary::from(Activation::Relu);
    for gpu in reading_texels() {
        let x = gpu.tensor(&[8], &[-1.0f32, 2.0, -3.0, 4.0, -5.0, 6.0, -7.0, 8.0]).unwrap();
        let first: tilewise::Tensor<f32> = gpu.apply(&relu, &[&x]).unwrap();
        // In order with what is recorded, by the host and by kernels.
        gpu.write(&x, &[1.0; 8]).unwrap();
        let second: tilewise::Tensor<f32> = gpu.apply(&relu, &[&x]).unwrap();
        let third: tilewise::Tensor<f32> = gpu.apply(&relu, &[&second]).unwrap();
        assert_eq!(gpu.download(&first).unwrap(), [0.0, 2.0, 0.0, 4.0, 0.0, 6.0, 0.0, 8.0]);
        assert_eq!(gpu.download(&third).unwrap(), [1.0; 8]);
    }
}

#[test]
fn scratch_that_parts_use_in_turn_is_copied_for_each() {
    let mut random = Random::new(5);
    let conv = Conv2d { padding: Padding::all(1), ..Default::default() };
    let shapes = [vec![3, 5, 9, 10], vec![7, 5, 3, 3]];
    let mut draw = |shape: &Vec<usize>| HostTensor::new(shape, &random.floats(shape.iter().product())).unwrap();
    let inputs: Vec<HostTensor> = shapes.iter().map(&mut draw).collect();
    for gpu in common::small_tiles() {
        // So little work at a time that each image is a part of its own.
        let gpu = with_profile(&gpu, |profile| {
            profile.texels = Some(0);
            profile.floor_flops = 40_000.0 / profile.work_budget.as_secs_f64();
        });
        for plan in conv.plans(gpu.profile(), &shapes.clone().map(|shape| Layout::new(&shape, DType::F32))).unwrap() {
            assert!(reads_texels(&plan) && plan.dispatches.len() > 1, "{plan}");
            let report = verify::plan(&gpu, &conv, &plan, &inputs).unwrap();
            assert!(report.passed() && report.suspect == 0, "{report}");
        }
    }
}

#[test]
fn buffers_that_cannot_be_copied_and_passes_of_a_host_do_without() {
    let Some(gpu) = device() else { return };
    let gpu = with_profile(gpu, |profile| profile.texels = Some(0));
    let device = gpu.device().unwrap();
    // Seven floats, so that the buffer ends inside of a texel.
    let elements: Vec<f32> = (8..15).map(negative).collect();
    let expected: Vec<f32> = elements.iter().map(|x| x.max(0.0)).collect();
    let relu = Unary::from(Activation::Relu);
    for usage in [wgpu::BufferUsages::empty(), wgpu::BufferUsages::COPY_SRC] {
        let buffer = wgpu::util::DeviceExt::create_buffer_init(
            device,
            &wgpu::util::BufferInitDescriptor {
                label: None,
                contents: bytemuck::cast_slice(&elements),
                usage: wgpu::BufferUsages::STORAGE | usage,
            },
        );
        let x = gpu.view::<f32>(&buffer, 0, &[7]).unwrap();
        let plan = relu.plan(gpu.profile(), &[x.layout()]).unwrap();
        assert!(reads_texels(&plan), "{plan}");
        let mut out = gpu.empty::<f32>(&[7]).unwrap();
        gpu.run(&plan, &[&x], &mut [&mut out]).unwrap();
        assert_eq!(gpu.download(&out).unwrap(), expected);

        let out = gpu.empty::<f32>(&[7]).unwrap();
        gpu.submit().unwrap();
        let mut workspace = Workspace::new();
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        plan.encode(&mut pass, &gpu, &Bindings { inputs: &[&x], outputs: &[&out] }, &mut workspace).unwrap();
        drop(pass);
        gpu.queue().unwrap().submit([encoder.finish()]);
        workspace.clear();
        assert_eq!(gpu.download(&out).unwrap(), expected);
    }
}

#[test]
fn textures_are_pooled() {
    let Some(gpu) = device().map(|_| Gpu::builder().build().unwrap()) else { return };
    let gpu = with_profile(&gpu, |profile| profile.texels = Some(0));
    let x = gpu.tensor(&[64, 64], &vec![0.5f32; 4096]).unwrap();
    let run = || {
        let y = gpu.matmul(&gpu.matmul(&x, &x).unwrap(), &x).unwrap();
        gpu.download(&y).unwrap()
    };
    let first = run();
    let before = gpu.stats();
    for _ in 0..20 {
        assert_eq!(run(), first);
    }
    assert_eq!((gpu.stats().created, gpu.stats().live_bytes), (before.created, before.live_bytes));
    // The product and what it is read through lie in the pool; the operand lives on.
    assert!(gpu.trim() >= 2 * x.layout().bytes() && gpu.stats().pooled_bytes == 0);
    assert_eq!(run(), first);
}

#[test]
fn where_memory_is_short_there_are_no_textures() {
    if device().is_none() {
        return;
    }
    // The operand and the result, and nothing for a copy.
    let gpu = Gpu::builder().memory_limit(2 << 20).build().unwrap();
    let gpu = with_profile(&gpu, |profile| profile.texels = Some(0));
    let elements: Vec<f32> = (0..1 << 18).map(negative).collect();
    let x = gpu.tensor(&[1 << 18], &elements).unwrap();
    let y: tilewise::Tensor<f32> = gpu.apply(&Unary::from(Activation::Relu), &[&x]).unwrap();
    assert_eq!(gpu.stats().live_bytes, 2 << 20);
    let expected: Vec<f32> = elements.iter().map(|x| x.max(0.0)).collect();
    assert_eq!(gpu.download(&y).unwrap(), expected);
}

#[test]
fn kernels_that_were_not_checked_read_buffers_where_that_is_asked_for() {
    let square = Layout::new(&[64, 64], DType::F32);
    let layouts = [square.clone(), square];
    for gpu in reading_texels() {
        let gpu = with_profile(&gpu, |profile| {
            profile.unchecked = false;
            profile.learnt = Default::default();
            profile.contractions = vec![SMALLEST];
        });
        let plan = Matmul::default().plan(gpu.profile(), &layouts).unwrap();
        assert!(!reads_texels(&plan), "{plan}");
        assert!(plan.passed_over[0].contains("through textures"), "{:?}", plan.passed_over);
    }
}

#[test]
fn programs_read_texels() {
    for gpu in reading_texels() {
        let weight = gpu.tensor(&[6, 5], &(0..30).map(negative).collect::<Vec<_>>()).unwrap();
        let mut build = Program::builder(&gpu);
        let x = build.input(&[3, 6], DType::F32);
        let w = build.constant(&weight);
        let y = build.op(&Matmul::default(), &[x, w]).unwrap();
        let z = build.op(&Unary::from(Activation::Relu), &[y]).unwrap();
        build.output(z).unwrap();
        let program = build.compile().unwrap();
        for round in 0..3 {
            let given: Vec<f32> = (0..18).map(|i| negative(i + round)).collect();
            let result = program.run(&[&gpu.tensor(&[3, 6], &given).unwrap()]).unwrap().swap_remove(0);
            let sum = |i: usize| (0..6).map(|k| given[i / 5 * 6 + k] * negative(k * 5 + i % 5)).sum::<f32>();
            let expected: Vec<f32> = (0..15).map(|i| sum(i).max(0.0)).collect();
            assert_eq!(gpu.download(&result.typed::<f32>().unwrap()).unwrap(), expected);
        }
    }
}

/// Constants are copied at the first run alone, unless memory is short; each constant where a kernel reads it.
#[test]
fn programs_keep_what_their_constants_are_read_through() {
    let relu = Unary::from(Activation::Relu);
    let elements: Vec<f32> = (0..16).map(negative).collect();
    let expected: Vec<f32> = elements.iter().map(|x| x.max(0.0)).collect();
    for limit in [None, Some(64 << 20)] {
        let Some(gpu) = device().map(|_| match limit {
            None => Gpu::builder().build().unwrap(),
            Some(bytes) => Gpu::builder().memory_limit(bytes).build().unwrap(),
        }) else {
            return;
        };
        let gpu = with_profile(&gpu, |profile| profile.texels = Some(0));
        let constant = gpu.tensor(&[16], &elements).unwrap();
        let mut build = Program::builder(&gpu);
        let c = build.constant(&constant);
        let y = build.op(&relu, &[c]).unwrap();
        let z = build.op(&Unary::from(Activation::Relu), &[y]).unwrap();
        build.output(z).unwrap();
        let program = build.compile().unwrap();
        let run = || gpu.download(&program.run(&[]).unwrap().swap_remove(0).typed::<f32>().unwrap()).unwrap();
        assert_eq!((program.prepared_bytes(), run()), (0, expected.clone()));
        let kept = program.prepared_bytes();
        assert_eq!(kept > 0, limit.is_none(), "{kept}");
        // It is not copied again: what is written now is not seen.
        gpu.write(&constant, &[1.0; 16]).unwrap();
        assert_eq!(run(), if limit.is_none() { expected.clone() } else { vec![1.0; 16] });
        assert_eq!(program.prepared_bytes(), kept);
    }
}
