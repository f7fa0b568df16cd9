//! f16 storage: operands and outputs in 16 bits, sums in f32.

mod common;

use common::{bodies, small, with_profile};
use half::f16;
use tilewise::reference::{HostTensor, Random, Twin};
use tilewise::verify::{self, devices};
use tilewise::{
    Activation, Conv2d, ConvTranspose2d, DType, DeviceProfile, Error, Gpu, Layout, Matmul, Op, Padding, wgpu,
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

/// Runs every candidate on exact and on rounded data.
fn check(op: &dyn Twin, operands: &[(Vec<usize>, DType)]) {
    for gpu in able() {
        let variants = bodies(&gpu);
        let gpu = with_profile(&gpu, |profile| profile.contractions = variants);
        for whole in [true, false] {
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
