//! Every composition of the crate on the emulator, its sanitizer on and its order shuffled, with subgroups of every size:
//! nothing is found, and results are within the bound; where they are exact, they equal the adapters' to the bit.
#![cfg(feature = "emulator")]

mod common;

use std::collections::BTreeSet;

use common::cases::{Case, ops, whole_ops};
use common::{TILED, bodies, floats, integers, passes, patches, with_profile};
use tilewise::reference::{HostTensor, Random, Twin};
use tilewise::verify::{self, devices};
use tilewise::{
    AnyTensor, Class, Conv2d, ConvTranspose2d, DType, EmulatorOptions, Gpu, Layout, Matmul, Operand, Padding, Plan,
    wgpu,
};

/// Elements above which an input costs seconds for each plan: such rows are cut, and the device made to look smaller.
const LONG: usize = 1 << 20;

/// An emulator with subgroups of a size, in an order that differs with it, and room for any kernel's immediates.
fn emulator(subgroup_size: u32) -> Gpu {
    let shuffle = Some(u64::from(subgroup_size));
    let limits = Some(wgpu::Limits { max_immediate_size: 256, ..wgpu::Limits::default() });
    Gpu::emulated(EmulatorOptions { subgroup_size, shuffle, limits, ..Default::default() }).unwrap()
}

/// Each op with the shapes that it is executed with: rows of a million are as well served by fewer elements, which are
/// still reduced in parts.
fn executed(cases: Vec<Case>) -> Vec<Case> {
    let shorter = |shape: Vec<usize>| if shape == [LONG] { vec![70_001] } else { shape };
    cases.into_iter().map(|(op, shapes)| (op, shapes.into_iter().map(shorter).collect())).collect()
}

/// Whole numbers of a type.
fn whole(random: &mut Random, shape: &[usize], dtype: DType) -> HostTensor {
    let numbers = random.integers(shape.iter().product());
    match dtype {
        DType::I32 => HostTensor::new(shape, &numbers.iter().map(|&x| x as i32).collect::<Vec<_>>()),
        DType::U32 => HostTensor::new(shape, &numbers.iter().map(|&x| x.abs() as u32).collect::<Vec<_>>()),
        _ => HostTensor::new(shape, &numbers),
    }
    .unwrap()
}

/// Positive numbers for what takes roots and logarithms of its inputs, as variances are.
fn positive(random: &mut Random, shape: &[usize]) -> HostTensor {
    let elements: Vec<f32> = random.floats(shape.iter().product()).iter().map(|x| x.abs() + 0.25).collect();
    HostTensor::new(shape, &elements).unwrap()
}

/// The plans of an op for a device, with its operands in buffers of their own or in one, aligned well or badly.
fn plans(gpu: &Gpu, op: &dyn Twin, inputs: &[HostTensor], arena: bool) -> Vec<Plan> {
    let plans = |align| {
        let layouts: Vec<Layout> = inputs.iter().map(|input| Layout { arena, align, ..input.layout() }).collect();
        op.plans(gpu.profile(), &layouts).unwrap()
    };
    [4, 16].into_iter().flat_map(plans).collect()
}

/// Runs every plan of every op, with these ways to bind operands (one buffer or several) and to pass parameters (in a
/// uniform buffer or as immediates), and adds the kernels that ran.
fn run_all(gpu: &Gpu, cases: Vec<Case>, ways: &[(bool, bool)], dtype: DType, kernels: &mut BTreeSet<String>) {
    let mut random = Random::new(0xE0);
    let exact = dtype != DType::F32;
    for (op, shapes) in cases {
        // A power of a negative number and the root of a negative variance are NaN, which would check little.
        let roots = ["BatchNorm", "Pow"].iter().any(|name| format!("{op:?}").contains(name));
        let make = |shape: &Vec<usize>| match dtype {
            DType::F32 if roots => positive(&mut random, shape),
            DType::F32 => floats(&mut random, shape),
            _ => whole(&mut random, shape, dtype),
        };
        let inputs: Vec<HostTensor> = shapes.iter().map(make).collect();
        for &(arena, uniform) in ways {
            let mut ran = BTreeSet::new();
            for class in [Class::Unknown, Class::Cpu] {
                let gpu = with_profile(gpu, |profile| {
                    profile.class = class;
                    profile.contractions = bodies(gpu);
                    // As drivers on the CPU read operands.
                    profile.texels = (class == Class::Cpu).then_some(0);
                    if uniform {
                        profile.features.remove(wgpu::Features::IMMEDIATES);
                    }
                });
                for plan in plans(&gpu, &*op, &inputs, arena) {
                    for dispatch in &plan.dispatches {
                        let text = dispatch.kernel.compose().unwrap().text;
                        assert_eq!(text.contains("var<uniform>"), uniform, "{plan}");
                        kernels.insert(dispatch.kernel.body.path.to_owned());
                    }
                    // Both classes plan for most of the same variants, for operands aligned well and badly, read as they are and through
                    // textures.
                    if ran.insert((
                        plan.variant.clone(),
                        plan.inputs.iter().map(|layout| layout.align).collect::<Vec<_>>(),
                        plan.dispatches.iter().any(|dispatch| !dispatch.kernel.texels.is_empty()),
                    )) {
                        let report = verify::plan(&gpu, &*op, &plan, &inputs).unwrap();
                        assert!(report.passed() && report.suspect == 0, "{report}");
                        assert!(!exact || report.exact_mismatches == 0, "{report}");
                    }
                }
            }
        }
    }
    assert_eq!(gpu.findings(), []);
}

/// The kernels of the crate: a new one has to be added here, and to the cases.
const KERNELS: [&str; 17] = [
    "contraction/broadcast.wgsl",
    "contraction/combine.wgsl",
    "contraction/cooperative.wgsl",
    "contraction/depthwise.wgsl",
    "contraction/direct.wgsl",
    "contraction/narrow.wgsl",
    "contraction/pack.wgsl",
    "contraction/patches.wgsl",
    "contraction/planes.wgsl",
    "contraction/staged.wgsl",
    "contraction/tiled.wgsl",
    "map/map.wgsl",
    "map/squares.wgsl",
    "reduce/reduce.wgsl",
    "reduce/softmax.wgsl",
    "window/pool.wgsl",
    "window/slide.wgsl",
];

/// Each size runs half of the ways, its neighbour the other half.
fn with_subgroups_of(size: u32) {
    let gpu = emulator(size);
    let all = [(false, false), (true, true), (false, true), (true, false)];
    let ways = if matches!(size, 4 | 32) { &all[..2] } else { &all[2..] };
    let mut kernels = BTreeSet::new();
    run_all(&gpu, executed(ops()), ways, DType::F32, &mut kernels);
    run_all(&gpu, executed(whole_ops()), ways, DType::I32, &mut kernels);
    assert_eq!(kernels.into_iter().collect::<Vec<_>>(), KERNELS);
}

#[test]
fn with_subgroups_of_4() {
    with_subgroups_of(4);
}

#[test]
fn with_subgroups_of_8() {
    with_subgroups_of(8);
}

#[test]
fn with_subgroups_of_32() {
    with_subgroups_of(32);
}

#[test]
fn with_subgroups_of_64() {
    with_subgroups_of(64);
}

#[test]
fn contractions_at_full_size() {
    let mut random = Random::new(0xE1);
    let op = Matmul::default();
    let inputs = [integers(&mut random, &[70, 35]), integers(&mut random, &[35, 66])];
    for size in [4, 8, 32, 64] {
        let gpu = emulator(size);
        for report in verify::candidates(&gpu, &op, &inputs).unwrap() {
            passes(&op, &report, true);
        }
    }
    let image = [vec![1, 3, 9, 8], vec![5, 3, 3, 3], vec![5]].map(|shape| integers(&mut random, &shape));
    let back = [vec![1, 3, 9, 8], vec![3, 5, 3, 3], vec![5]].map(|shape| integers(&mut random, &shape));
    let gpu = emulator(32);
    for report in verify::candidates(&gpu, &Conv2d::default(), &image).unwrap() {
        passes(&Conv2d::default(), &report, true);
    }
    for report in verify::candidates(&gpu, &ConvTranspose2d::default(), &back).unwrap() {
        passes(&ConvTranspose2d::default(), &report, true);
    }
}

#[test]
fn patches_with_subgroups_of_every_size() {
    let mut random = Random::new(0xE3);
    // Halos of none to four values, runs of one phase and of several, kernels taken whole and row by row.
    let windows = [([3, 3], [1, 1]), ([2, 5], [2, 1]), ([3, 6], [1, 3]), ([7, 7], [2, 2]), ([1, 2], [3, 4])];
    for (kernel, stride) in windows {
        let op = Conv2d {
            stride,
            padding: Padding { top: 2, left: 0, bottom: 1, right: 3 },
            groups: 2,
            ..Default::default()
        };
        let inputs =
            [vec![2, 4, 7, 39], vec![10, 2, kernel[0], kernel[1]], vec![10]].map(|shape| integers(&mut random, &shape));
        for size in [4, 8, 32, 64] {
            let gpu = emulator(size);
            let gpu = with_profile(&gpu, |profile| profile.contractions = patches(&gpu).into_iter().collect());
            for report in verify::candidates(&gpu, &op, &inputs).unwrap() {
                assert!(report.what.contains("contraction/patches"), "{report}");
                passes(&op, &report, true);
            }
        }
    }
}

/// The outputs of an op, as bytes.
fn bytes(gpu: &Gpu, op: &dyn Twin, inputs: &[HostTensor]) -> Vec<Vec<u8>> {
    let operands: Vec<AnyTensor> = inputs.iter().map(|input| gpu.upload(input).unwrap()).collect();
    let operands: Vec<&dyn Operand> = operands.iter().map(|operand| operand as &dyn Operand).collect();
    let outputs = gpu.apply_all(op, &operands).unwrap();
    let download = |output: AnyTensor| gpu.download_any(&output).unwrap().bytes().to_vec();
    outputs.into_iter().map(download).collect()
}

#[test]
fn exact_results_equal_the_adapters_to_the_bit() {
    let adapters: Vec<&Gpu> = devices().iter().filter(|gpu| !gpu.is_emulated()).collect();
    if adapters.is_empty() {
        return eprintln!("no adapter to compare the emulator with");
    }
    let mut random = Random::new(0xE2);
    let mut compared = 0;
    // Ops whose results on whole numbers no rounding touches.
    let rounded = ["Avg", "Softmax", "Erf", "Pow", "BatchNorm", "Gelu", "Mean"];
    let exact = |op: &dyn Twin| !rounded.iter().any(|name| format!("{op:?}").contains(name));
    let floats = executed(ops()).into_iter().filter(|(op, _)| exact(&**op)).map(|case| (case, DType::F32));
    let whole_numbers = [DType::I32, DType::U32].into_iter().flat_map(|dtype| {
        let signed = move |op: &dyn Twin| dtype == DType::U32 && format!("{op:?}").contains("Abs");
        whole_ops().into_iter().filter(move |(op, _)| !signed(&**op)).map(move |case| (case, dtype))
    });
    for ((op, shapes), dtype) in floats.chain(whole_numbers) {
        let inputs: Vec<HostTensor> = shapes.iter().map(|shape| whole(&mut random, shape, dtype)).collect();
        for gpu in &adapters {
            // On the same plan: what an adapter plans with, the emulator does too.
            let small = with_profile(gpu, |profile| profile.contractions = vec![TILED]);
            let emulated = emulator(32);
            let mut profile = emulated.profile().clone();
            (profile.class, profile.contractions) = (gpu.profile().class, vec![TILED]);
            let found = bytes(&emulated.with_profile(profile), &*op, &inputs);
            assert!(found == bytes(&small, &*op, &inputs), "{op:?} {dtype:?} on {}", gpu.profile().name);
            compared += found.iter().map(Vec::len).sum::<usize>();
            assert_eq!(emulated.findings(), []);
        }
    }
    assert!(compared > 10_000, "{compared}");
}
