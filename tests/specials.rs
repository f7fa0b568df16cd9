//! NaN, infinity, the largest and the smallest numbers in every op on every device: reported for all, and full agreement
//! with IEEE wanted where the driver is llvmpipe, which keeps to it. WGSL allows others not to.

mod common;

use common::keeps_to_ieee;
use tilewise::reference::{HostTensor, Random, Twin};
use tilewise::verify::{SpecialsReport, devices, specials};
use tilewise::{
    Activation, AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, BatchNorm, Binary, BinaryKind, Class, Concat, Conv2d,
    ConvTranspose2d, LogSoftmax, Matmul, MaxPool2d, Pad, PadMode, Padding, Permute, Reduce, ReduceKind, Softmax, Unary,
    UnaryKind,
};

/// The reports of an op on every device, on random numbers: of the plan for the device, and of the plan for one of another
/// class.
fn reports(op: &dyn Twin, shapes: &[&[usize]]) -> Vec<SpecialsReport> {
    let mut random = Random::new(7);
    let inputs: Vec<HostTensor> =
        shapes.iter().map(|shape| HostTensor::new(shape, &random.floats(shape.iter().product())).unwrap()).collect();
    let mut reports = Vec::new();
    for gpu in devices() {
        let mut profile = gpu.profile().clone();
        profile.class = if profile.class == Class::Cpu { Class::Unknown } else { Class::Cpu };
        for gpu in [gpu, &gpu.with_profile(profile)] {
            let report = specials(gpu, op, &inputs).unwrap();
            println!("{op:?} {shapes:?}: {report}");
            reports.push(report);
        }
    }
    reports
}

/// Wants full agreement where the driver keeps to IEEE.
#[track_caller]
fn check(op: &dyn Twin, shapes: &[&[usize]]) {
    for report in reports(op, shapes).iter().filter(|report| keeps_to_ieee(&report.adapter)) {
        assert!(report.is_ieee(), "{op:?} {shapes:?}: {report}");
    }
}

const PLANE: &[usize] = &[2, 5, 13, 17];

#[test]
fn matrix_products() {
    check(&Matmul::default(), &[&[67, 31], &[31, 70]]);
    check(&Matmul { transpose_a: true, transpose_b: true, ..Default::default() }, &[&[33, 20], &[9, 33]]);
    check(&Matmul { alpha: 0.5, beta: -2.0, ..Default::default() }, &[&[33, 40], &[40, 66], &[66]]);
    check(&Matmul::default(), &[&[40], &[40, 66], &[66]]);
}

#[test]
fn activations() {
    for activation in Activation::ALL {
        check(&Unary::from(activation), &[PLANE]);
    }
    check(&Matmul { activation: Activation::GeluTanh, ..Default::default() }, &[&[33, 4], &[4, 66], &[66]]);
}

#[test]
fn elementwise() {
    for kind in UnaryKind::ALL {
        check(&Unary { kind }, &[PLANE]);
    }
    for kind in BinaryKind::ALL {
        check(&Binary { kind }, &[PLANE, &[13, 1]]);
    }
    check(&BatchNorm::default(), &[PLANE, &[5], &[5], &[5], &[5]]);
    check(&Concat { dim: 1 }, &[PLANE, PLANE]);
    for mode in [PadMode::Constant(f64::NAN), PadMode::Reflect, PadMode::Replicate, PadMode::Circular] {
        check(&Pad { padding: vec![[0, 0], [1, 0], [2, 3], [4, 1]], mode }, &[PLANE]);
    }
}

#[test]
fn convolutions() {
    check(&Conv2d::default(), &[PLANE, &[9, 5, 3, 3], &[9]]);
    check(&Conv2d { padding: Padding::all(1), stride: [2, 1], ..Default::default() }, &[PLANE, &[9, 5, 3, 3]]);
    check(&Conv2d { groups: 5, ..Default::default() }, &[PLANE, &[5, 1, 3, 3], &[5]]);
    check(&Conv2d::default(), &[PLANE, &[9, 5, 1, 1], &[9]]);
    check(&ConvTranspose2d::default(), &[&[2, 5, 6, 7], &[5, 4, 3, 3], &[4]]);
    check(&ConvTranspose2d { stride: [2, 3], ..Default::default() }, &[&[2, 5, 6, 7], &[5, 4, 3, 3]]);
}

#[test]
fn pooling() {
    check(&MaxPool2d { return_indices: true, ..Default::default() }, &[PLANE]);
    check(&MaxPool2d { padding: [1; 4], kernel: [3, 3], ..Default::default() }, &[PLANE]);
    check(&AvgPool2d { padding: [1; 4], kernel: [3, 3], ..Default::default() }, &[PLANE]);
    check(&AdaptiveAvgPool2d { output: [3, 5] }, &[PLANE]);
    check(&AdaptiveMaxPool2d { output: [3, 5], return_indices: true }, &[PLANE]);
}

#[test]
fn reductions() {
    use ReduceKind::*;
    for kind in [Sum, Mean, Max, Min, ArgMax, ArgMin] {
        for dims in [vec![3], vec![1], vec![]] {
            check(&Reduce { kind, dims, ..Default::default() }, &[PLANE]);
        }
    }
    check(&Reduce { kind: ArgMax, dims: vec![2], last: true, ..Default::default() }, &[PLANE]);
}

#[test]
fn softmax() {
    for dim in [1, 3] {
        check(&Softmax { dim }, &[PLANE]);
        check(&LogSoftmax { dim }, &[PLANE]);
    }
}

#[test]
fn permutation() {
    check(&Permute { dims: vec![0, 2, 3, 1] }, &[PLANE]);
}

#[test]
fn there_is_something_to_agree_on() {
    for report in reports(&Matmul::default(), &[&[67, 31], &[31, 70]]) {
        assert!(report.nan.of > 100 && report.infinite.of > 100 && report.finite.of > 1000, "{report}");
        assert!(report.subnormal.of > 1000 && report.undecided < 100, "{report}");
    }
}
