//! `Precision::F16Multiply`: matrix units where a device has them, by the emulator everywhere.
#![cfg(feature = "emulator")]

mod common;

use common::{COOPERATIVE, small, with_profile};
use tilewise::reference::{HostTensor, Random, Twin};
use tilewise::verify::{self, devices};
use tilewise::{
    Activation, Class, ContractionVariant, Conv2d, DType, DeviceProfile, EmulatorOptions, Gpu, Layout, Matmul, Op,
    Padding, Precision, wgpu,
};

fn emulator(subgroup_size: u32) -> Gpu {
    Gpu::emulated(EmulatorOptions { subgroup_size, ..Default::default() }).unwrap()
}

/// The devices that have matrix units, and emulators with them.
fn able() -> impl Iterator<Item = Gpu> {
    let adapters = devices().iter().filter(|gpu| !gpu.profile().cooperative_matrices.is_empty()).cloned();
    adapters.chain([8, 32, 64].map(emulator))
}

fn check(gpu: &Gpu, op: &dyn Twin, operands: &[(Vec<usize>, DType)]) {
    for whole in [true, false] {
        let mut random = Random::new(9);
        let inputs: Vec<HostTensor> =
            operands.iter().map(|(shape, dtype)| small(&mut random, shape, *dtype, whole)).collect();
        for report in verify::candidates(gpu, op, &inputs).unwrap() {
            assert!(report.what.contains("cooperative"), "{report}");
            report.assert_strict();
            assert!(!whole || report.exact_mismatches == 0, "{report}");
        }
    }
}

fn matmul() -> Matmul {
    Matmul { precision: Precision::F16Multiply, ..Default::default() }
}

#[test]
fn products_at_every_edge_of_a_tile() {
    for gpu in able() {
        for side in gpu.profile().cooperative_matrices.clone() {
            let gpu = with_profile(&gpu, |profile| {
                profile.cooperative_matrices = vec![side];
                profile.contractions = vec![COOPERATIVE, ContractionVariant { parts: 2, ..COOPERATIVE }];
            });
            for (number, (m, n, k)) in
                [(16, 32, 16), (1, 1, 1), (15, 33, 17), (17, 31, 48), (35, 67, 8)].into_iter().enumerate()
            {
                let (transpose_a, transpose_b) = (number % 2 == 1, number % 3 == 1);
                let a = if transpose_a { vec![2, k, m] } else { vec![2, m, k] };
                let b = if transpose_b { vec![n, k] } else { vec![k, n] };
                let dtype = [DType::F32, DType::F16][number % 2];
                let op = Matmul { transpose_a, transpose_b, activation: Activation::Relu, ..matmul() };
                check(&gpu, &op, &[(a, dtype), (b, DType::F16), (vec![n], DType::F32)]);
            }
        }
    }
}

#[test]
fn convolutions() {
    for gpu in able() {
        let gpu = with_profile(&gpu, |profile| profile.contractions = vec![COOPERATIVE]);
        let op = Conv2d { padding: Padding::all(1), precision: Precision::F16Multiply, ..Default::default() };
        check(&gpu, &op, &[(vec![2, 3, 7, 9], DType::F32), (vec![17, 3, 3, 3], DType::F16), (vec![17], DType::F32)]);
    }
}

/// The planner's own tiles, each as a workgroup of full size with two steps of k.
#[test]
fn full_tiles() {
    let limits = wgpu::Limits { max_compute_workgroup_storage_size: 32 << 10, ..wgpu::Limits::default() };
    let limits = wgpu::Limits { max_immediate_size: 128, max_compute_invocations_per_workgroup: 1024, ..limits };
    let gpu = Gpu::emulated(EmulatorOptions { limits: Some(limits), ..Default::default() }).unwrap();
    let mut random = Random::new(5);
    let (a, b) = (small(&mut random, &[130, 64], DType::F16, true), small(&mut random, &[64, 132], DType::F16, true));
    let op = Matmul { output: Some(DType::F32), ..matmul() };
    let plans = verify::plans(gpu.profile(), &op, &[a.clone(), b.clone()]).unwrap();
    let cooperative = |plan: &&tilewise::Plan| plan.variant.contains("cooperative");
    let tiles: std::collections::BTreeSet<_> = plans.iter().filter(cooperative).map(|plan| &plan.variant).collect();
    assert!(tiles.len() >= 3, "{tiles:?}");
    for plan in plans.iter().filter(cooperative) {
        let report = verify::plan(&gpu, &op, plan, &[a.clone(), b.clone()]).unwrap();
        report.assert_strict();
        assert_eq!(report.exact_mismatches, 0, "{report}");
    }
}

/// Matrix units are for those who ask; who asks where there are none gets f32.
#[test]
fn nothing_is_rounded_in_silence() {
    let square = Layout::new(&[256, 256], DType::F16);
    let variant = |op: &Matmul, profile: &DeviceProfile| {
        let plans = op.plans(profile, &[square.clone(), square.clone()]).unwrap();
        (plans[0].variant.clone(), plans.iter().any(|plan| plan.variant.contains("cooperative")))
    };
    let gpu = emulator(32);
    let profile = DeviceProfile { class: Class::Nvidia, ..gpu.profile().clone() };
    assert!(variant(&matmul(), &profile).0.contains("cooperative"));
    assert!(!variant(&Matmul::default(), &profile).1);
    let without = DeviceProfile { cooperative_matrices: Vec::new(), ..profile.clone() };
    assert!(!variant(&matmul(), &without).1);
    let unknown = DeviceProfile { subgroup_size: (32, 64), ..profile };
    assert!(!variant(&matmul(), &unknown).1);
}

/// What f16 cannot hold: nothing is said of it, and what it can hold is right beside it.
#[test]
fn factors_that_f16_cannot_hold() {
    let gpu = with_profile(&emulator(32), |profile| profile.contractions = vec![COOPERATIVE]);
    let a = HostTensor::new(&[2, 2], &[1e6f32, 1.0, 2.0, 0.5]).unwrap();
    let b = HostTensor::new(&[2, 1], &[1.0f32, 3.0]).unwrap();
    let expected = matmul().twin(&[a.clone(), b.clone()], &tilewise::reference::Select::All).unwrap();
    assert!(expected[0].values[0].is_undecided() && !expected[0].values[1].is_undecided());
    verify::op(&gpu, &matmul(), &[a, b]).unwrap().assert_strict();
}
