//! f16 storage: operands and outputs in 16 bits, sums in f32.

mod common;

use common::{bodies, small, with_profile};
use half::f16;
use tilewise::reference::{HostTensor, Random, Select, Twin};
use tilewise::verify::{self, devices};
use tilewise::{
    Activation, AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, BatchNorm, Binary, BinaryKind, Concat, Conv2d,
    ConvTranspose2d, DType, DeviceProfile, Error, Gpu, Layout, LogSoftmax, Matmul, MaxPool2d, Op, Pad, PadMode,
    Padding, Permute, Reduce, ReduceKind, Softmax, Unary, UnaryKind, wgpu,
};

/// The devices that can store f16, and the emulator.
fn able() -> impl Iterator<Item = Gpu> {
    #[cfg(feature = "emulator")]
    let emulator = Gpu::emulated(Default::default()).ok();
    #[cfg(not(feature = "emulator"))]
    let emulator = None;
    let able = |gpu: &Gpu| gpu.profile().features.contains(wgpu::Features::SHADER_F16);
    devices().iter().cloned().chain(emulator).filter(able)
}

/// Runs every candidate on whole numbers, which come out to the bit, and on rounded ones.
fn check(op: &dyn Twin, operands: &[(Vec<usize>, DType)]) {
    check_on(op, operands, &[true, false]);
}

/// Runs every candidate on rounded numbers.
fn check_rounded(op: &dyn Twin, operands: &[(Vec<usize>, DType)]) {
    check_on(op, operands, &[false]);
}

fn check_on(op: &dyn Twin, operands: &[(Vec<usize>, DType)], kinds: &[bool]) {
    for gpu in able() {
        let variants = bodies(&gpu);
        let gpu = with_profile(&gpu, |profile| profile.contractions = variants);
        for &whole in kinds {
            let mut random = Random::new(9);
            let inputs: Vec<HostTensor> =
                operands.iter().map(|(shape, dtype)| small(&mut random, shape, *dtype, whole)).collect();
            for report in verify::candidates(&gpu, op, &inputs).unwrap() {
                report.assert_strict();
                assert!(!whole || report.exact_mismatches == 0, "{report}");
            }
        }
    }
}

#[test]
fn matrix_products_of_every_mix_of_types() {
    const TYPES: [DType; 2] = [DType::F32, DType::F16];
    for (number, (a, b)) in TYPES.into_iter().flat_map(|a| TYPES.map(|b| (a, b))).enumerate() {
        let (transpose_a, transpose_b) = (number % 2 == 0, number > 1);
        // Odd sizes, so that rows begin between words; and sizes that vectors divide.
        for (m, n, k) in [(13, 19, 9), (12, 20, 16)] {
            let a_shape = if transpose_a { vec![2, k, m] } else { vec![2, m, k] };
            let b_shape = if transpose_b { vec![n, k] } else { vec![k, n] };
            let output = [None, Some(DType::F16), Some(DType::F32)][number % 3];
            let op = Matmul { transpose_a, transpose_b, output, ..Default::default() };
            check(&op, &[(a_shape, a), (b_shape, b), (vec![n], TYPES[number % 2])]);
        }
    }
}

#[test]
fn convolutions() {
    let conv = Conv2d { padding: Padding::all(1), activation: Activation::Relu, ..Default::default() };
    let (x, weight, bias) = (vec![2, 3, 7, 9], vec![5, 3, 3, 3], vec![5]);
    check(&conv, &[(x.clone(), DType::F16), (weight.clone(), DType::F16), (bias.clone(), DType::F16)]);
    check(&conv, &[(x.clone(), DType::F32), (weight, DType::F16), (bias, DType::F32)]);
    check(&Conv2d::default(), &[(vec![2, 3, 4, 4], DType::F16), (vec![5, 3, 1, 1], DType::F16)]);
    let depthwise = Conv2d { groups: 3, padding: Padding::all(1), ..Default::default() };
    check(&depthwise, &[(vec![1, 3, 8, 8], DType::F16), (vec![3, 1, 3, 3], DType::F16)]);
    let transposed = ConvTranspose2d { stride: [2, 1], ..Default::default() };
    check(&transposed, &[(x, DType::F16), (vec![3, 5, 3, 2], DType::F16)]);
}

#[test]
fn the_output_is_what_its_operands_are_or_what_is_asked_for() {
    let layouts = |a, b| [Layout::new(&[2, 3], a), Layout::new(&[3, 4], b)];
    let output = |asked, a, b| {
        let op = Matmul { output: asked, ..Default::default() };
        op.infer(&layouts(a, b)).map(|outputs| outputs[0].dtype)
    };
    assert_eq!(output(None, DType::F16, DType::F16), Ok(DType::F16));
    assert_eq!(output(None, DType::F16, DType::F32), Ok(DType::F32));
    assert_eq!(output(Some(DType::F32), DType::F16, DType::F16), Ok(DType::F32));
    assert_eq!(output(Some(DType::F16), DType::F32, DType::F32), Ok(DType::F16));
    let error = output(Some(DType::U8), DType::F16, DType::F16).unwrap_err();
    assert_eq!(error.to_string(), "matmul: output = u8: must be f32 or f16");
}

#[test]
fn a_device_without_f16_says_so() {
    let halves = [Layout::new(&[2, 3], DType::F16), Layout::new(&[3, 4], DType::F16)];
    let error = Matmul::default().plan(&DeviceProfile::baseline(), &halves).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert_eq!(error.to_string(), "matmul with f16 operands is not supported: the device lacks SHADER_F16");
}

/// Sums that f16 cannot hold on the way: they are f32, and rounded once.
#[test]
fn sums_do_not_suffer_from_the_type_of_their_terms() {
    for gpu in able() {
        let (ones, a) = (vec![f16::ONE; 4096], gpu.tensor(&[1, 4096], &[f16::ONE; 4096]).unwrap());
        let b = gpu.tensor(&[4096, 1], &ones).unwrap();
        let sum: Vec<f16> = gpu.download(&gpu.apply(&Matmul::default(), &[&a, &b]).unwrap()).unwrap();
        // Added up in f16 it would stay at 2048.
        assert_eq!(sum, [f16::from_f32(4096.0)]);
        let wide = gpu.tensor(&[1, 4096], &[f16::MAX; 4096]).unwrap();
        let op = Matmul { output: Some(DType::F32), ..Default::default() };
        let sum: Vec<f32> = gpu.download(&gpu.apply(&op, &[&wide, &b]).unwrap()).unwrap();
        assert_eq!(sum, [65504.0 * 4096.0]);
    }
}

/// Element by element, and copied: in vectors, one by one, from odd places, padded, joined and turned.
#[test]
fn maps_of_halves() {
    let halves = |shapes: &[&[usize]]| -> Vec<(Vec<usize>, DType)> {
        shapes.iter().map(|shape| (shape.to_vec(), DType::F16)).collect()
    };
    for kind in UnaryKind::ALL {
        check_rounded(&Unary { kind }, &halves(&[&[3, 7]]));
    }
    check_rounded(&Unary::from(Activation::Gelu), &halves(&[&[2, 12]]));
    for kind in BinaryKind::ALL {
        check_rounded(&Binary { kind }, &halves(&[&[3, 5, 8], &[5, 1]]));
    }
    check_rounded(&Binary::default(), &halves(&[&[5, 7], &[7]]));
    let channels: &[usize] = &[3];
    let norm = BatchNorm { epsilon: 9.0, activation: Activation::Relu };
    check_rounded(&norm, &halves(&[&[2, 3, 5], channels, channels, channels, channels]));
    for (shape, dims) in [(&[5, 7][..], vec![1, 0]), (&[12, 8], vec![1, 0]), (&[2, 3, 4, 6], vec![0, 2, 3, 1])] {
        check(&Permute { dims }, &halves(&[shape]));
    }
    check(&Concat { dim: 1 }, &halves(&[&[3, 4], &[3, 5]]));
    check(&Concat { dim: 0 }, &halves(&[&[3, 8], &[1, 8]]));
    for mode in [PadMode::Constant(0.1), PadMode::Reflect, PadMode::Replicate, PadMode::Circular] {
        check(&Pad { padding: vec![[1, 2], [3, 0]], mode }, &halves(&[&[4, 5]]));
    }
    check(&Pad { padding: vec![[1, 1], [1, 1]], mode: PadMode::Constant(-2.0) }, &halves(&[&[2, 0]]));
}

/// What is below the normal range of f16 may be taken for 0, and nothing else.
#[test]
fn twins_know_that_small_halves_may_be_flushed() {
    let tiny = f16::from_bits(3);
    let host = |values: &[f16]| HostTensor::new(&[values.len()], values).unwrap();
    let of = |op: &dyn Twin, inputs: &[HostTensor]| op.twin(inputs, &Select::All).unwrap().swap_remove(0).values;
    let reciprocal = of(&Unary { kind: UnaryKind::Reciprocal }, &[host(&[tiny, f16::ONE])]);
    assert!(reciprocal[0].is_undecided() && !reciprocal[1].is_undecided());
    let ceiling = of(&Unary { kind: UnaryKind::Ceil }, &[host(&[tiny])])[0];
    assert_eq!((ceiling.value, ceiling.bound >= 1.0), (1.0, true));
    let product = of(&Binary { kind: BinaryKind::Mul }, &[host(&[tiny, f16::ONE]), host(&[f16::MAX, f16::ONE])]);
    assert!(product[0].bound >= product[0].value && product[1].bound < 2.0 / 1024.0, "{product:?}");
}

/// Sums in f32, extremes and their places, by every team, along rows and across them, in parts.
#[test]
fn reductions_of_halves() {
    for kind in [ReduceKind::Sum, ReduceKind::Max, ReduceKind::ArgMin] {
        for (shape, dim) in [(&[5, 7][..], 1), (&[3, 12], 1), (&[9, 8], 0), (&[2, 3, 5], 1)] {
            check(&Reduce { kind, dims: vec![dim], ..Default::default() }, &[(shape.to_vec(), DType::F16)]);
        }
    }
    check_rounded(&Reduce { kind: ReduceKind::Mean, ..Default::default() }, &[(vec![1 << 15], DType::F16)]);
    for (shape, dim) in [(&[5, 7][..], 1), (&[3, 12], 1), (&[3, 9, 8], 1), (&[2, 3, 5], 0)] {
        check_rounded(&Softmax { dim }, &[(shape.to_vec(), DType::F16)]);
        check_rounded(&LogSoftmax { dim }, &[(shape.to_vec(), DType::F16)]);
    }
}

/// Both bodies, in vectors and not, with indices beside values of half their size.
#[test]
fn pooling_of_halves() {
    let planes = |height, width| [(vec![1, 3, height, width], DType::F16)];
    for (height, width) in [(7, 9), (8, 8)] {
        let kernel = [3, 3];
        for return_indices in [false, true] {
            let op = MaxPool2d { kernel, padding: [1; 4], return_indices, ..Default::default() };
            check(&op, &planes(height, width));
            check(&AdaptiveMaxPool2d { output: [1, 1], return_indices }, &planes(height, width));
        }
        check_rounded(&AvgPool2d { kernel, padding: [1; 4], ..Default::default() }, &planes(height, width));
        check_rounded(&AdaptiveAvgPool2d { output: [3, 4] }, &planes(height, width));
        check_rounded(&AdaptiveAvgPool2d { output: [1, 1] }, &planes(height, width));
    }
}
