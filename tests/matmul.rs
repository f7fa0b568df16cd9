//! Matrix products against their twin: every candidate of every device, around the edges of every tile.

use tilewise::reference::{HostTensor, Random};
use tilewise::verify::{self, devices};
use tilewise::{Activation, DType, DeviceProfile, Error, Layout, Matmul, Op};

fn integers(random: &mut Random, shape: &[usize]) -> HostTensor {
    HostTensor::new(shape, &random.integers(shape.iter().product())).unwrap()
}

fn floats(random: &mut Random, shape: &[usize]) -> HostTensor {
    HostTensor::new(shape, &random.floats(shape.iter().product())).unwrap()
}

/// Verifies every candidate on every device; integers must come out to the bit.
#[track_caller]
fn check(op: &Matmul, inputs: &[HostTensor], exact: bool) {
    for gpu in devices() {
        for report in verify::candidates(gpu, op, inputs).unwrap() {
            report.assert_strict();
            assert!(!exact || report.exact_mismatches == 0, "{report}");
        }
    }
}

#[test]
fn integers_are_exact_around_every_tile() {
    let mut random = Random::new(1);
    // Around 8, 16, 32 and 64, the tiles' sides, pairwise over m, n and k.
    let sizes = [1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 131];
    for (i, &m) in sizes.iter().enumerate() {
        let n = sizes[(i * 5 + 3) % sizes.len()];
        let k = sizes[(i * 7 + 1) % sizes.len()];
        check(&Matmul::default(), &[integers(&mut random, &[m, k]), integers(&mut random, &[k, n])], true);
    }
}

#[test]
fn random_data_stays_within_the_bound() {
    let mut random = Random::new(2);
    let mut worst: f64 = 0.0;
    for (m, n, k) in [(5, 70, 300), (66, 34, 129), (130, 130, 1000)] {
        let inputs = [floats(&mut random, &[m, k]), floats(&mut random, &[k, n])];
        for gpu in devices() {
            for report in verify::candidates(gpu, &Matmul::default(), &inputs).unwrap() {
                report.assert_strict();
                worst = worst.max(report.worst.fraction);
            }
        }
    }
    assert!(devices().is_empty() || worst > 0.0, "rounding has to leave a trace somewhere");
}

#[test]
fn transposed_operands() {
    let mut random = Random::new(3);
    for (transpose_a, transpose_b) in [(true, false), (false, true), (true, true)] {
        let op = Matmul { transpose_a, transpose_b, ..Default::default() };
        for (m, n, k) in [(17, 35, 20), (65, 9, 33)] {
            let a = if transpose_a { [k, m] } else { [m, k] };
            let b = if transpose_b { [n, k] } else { [k, n] };
            check(&op, &[integers(&mut random, &a), integers(&mut random, &b)], true);
        }
    }
}

#[test]
fn batches_broadcast() {
    let mut random = Random::new(4);
    for (a, b) in [
        (vec![3, 5, 7], vec![3, 7, 4]),
        (vec![3, 5, 7], vec![7, 4]),
        (vec![5, 7], vec![2, 3, 7, 4]),
        (vec![2, 1, 5, 7], vec![3, 7, 4]),
        // Four batch dimensions that do not merge: more than a kernel counts.
        (vec![2, 1, 2, 1, 3, 4], vec![1, 3, 1, 2, 4, 5]),
    ] {
        check(&Matmul::default(), &[integers(&mut random, &a), integers(&mut random, &b)], true);
    }
}

#[test]
fn vectors() {
    let mut random = Random::new(5);
    for (a, b) in [(vec![9], vec![9]), (vec![9], vec![9, 4]), (vec![6, 9], vec![9]), (vec![2, 6, 9], vec![9])] {
        check(&Matmul::default(), &[integers(&mut random, &a), integers(&mut random, &b)], true);
    }
}

#[test]
fn addends_and_factors() {
    let mut random = Random::new(6);
    for c in [vec![19], vec![1], vec![], vec![33, 1], vec![33, 19], vec![2, 33, 19], vec![2, 1, 1]] {
        let op = Matmul { alpha: 0.5, beta: -2.0, ..Default::default() };
        let inputs = [integers(&mut random, &[2, 33, 10]), integers(&mut random, &[10, 19]), integers(&mut random, &c)];
        check(&op, &inputs, true);
    }
    // With beta = 0 the addend is not read, even if it is NaN.
    let op = Matmul { beta: 0.0, ..Default::default() };
    let nan = HostTensor::new(&[4], &[f32::NAN; 4]).unwrap();
    check(&op, &[integers(&mut random, &[3, 2]), integers(&mut random, &[2, 4]), nan], true);
}

#[test]
fn every_activation() {
    let mut random = Random::new(7);
    for activation in Activation::ALL {
        let op = Matmul { activation, alpha: 3.0, ..Default::default() };
        check(
            &op,
            &[floats(&mut random, &[40, 21]), floats(&mut random, &[21, 36]), floats(&mut random, &[36])],
            false,
        );
    }
}

#[test]
fn a_right_operand_beyond_a_binding_is_cut_along_k() {
    // 256 MiB each, where 128 fit. Columns of b span as much as all of it: cutting n would not end before single columns.
    let layout = Layout::new(&[8192, 8192], DType::F32);
    let profile = DeviceProfile::baseline();
    let plan = Matmul::default().plan(&profile, &[layout.clone(), layout]).unwrap();
    let least = plan.work().flops / profile.work_limit();
    assert!((plan.dispatches.len() as f64) < 4.0 * least, "{} dispatches, {least} at least", plan.dispatches.len());
}

#[test]
fn a_smaller_device_gets_a_smaller_variant() {
    let layout = Layout::new(&[64, 64], DType::F32);
    let variants = |change: &dyn Fn(&mut DeviceProfile)| -> Vec<String> {
        let mut profile = DeviceProfile::baseline();
        change(&mut profile);
        let plans = Matmul::default().plans(&profile, &[layout.clone(), layout.clone()]).unwrap();
        plans.into_iter().map(|plan| plan.variant).collect()
    };
    let memory = variants(&|profile| profile.limits.max_compute_workgroup_storage_size = 8 << 10);
    assert_eq!(memory, ["contraction/tiled 32x32x16", "contraction/tiled 16x16x16", "contraction/direct 8x8"]);
    let lanes = variants(&|profile| profile.limits.max_compute_invocations_per_workgroup = 128);
    assert_eq!(lanes, ["contraction/direct 8x8"]);
}

#[test]
fn sizes_beyond_the_address_space_are_refused() {
    let refuse = |a: &[usize], b: &[usize]| {
        let inputs = [Layout::new(a, DType::F32), Layout::new(b, DType::F32)];
        Matmul::default().plan(&DeviceProfile::baseline(), &inputs).unwrap_err().to_string()
    };
    let message = |operand: &str| {
        format!(
            "matmul: {operand}: needs address space = {}, the device has {}; split the problem",
            u64::MAX,
            isize::MAX
        )
    };
    assert_eq!(refuse(&[usize::MAX, 2], &[2, 3]), message("input 0"));
    assert_eq!(refuse(&[1 << 40, 1], &[1, 1 << 40]), message("output 0"));
    // The largest that can be counted passes 64 bits where it is rounded up to a tile.
    let error = refuse(&[1, 1], &[1, isize::MAX as usize / 4]);
    assert!(error.contains("dispatches of a plan"), "{error}");
}

#[test]
fn zero_sizes() {
    let mut random = Random::new(8);
    for (m, n, k) in [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)] {
        check(&Matmul::default(), &[integers(&mut random, &[m, k]), integers(&mut random, &[k, n])], true);
        let op = Matmul { activation: Activation::Sigmoid, ..Default::default() };
        check(
            &op,
            &[integers(&mut random, &[m, k]), integers(&mut random, &[k, n]), integers(&mut random, &[n])],
            false,
        );
    }
}

#[test]
fn bad_input_is_refused_by_name() {
    let f32s = |shape: &[usize]| Layout::new(shape, DType::F32);
    let infer = |inputs: &[Layout]| Matmul::default().infer(inputs).unwrap_err().to_string();
    assert_eq!(infer(&[f32s(&[2, 3]), f32s(&[4, 5])]), "matmul: inner dimensions of a [2, 3] and b [4, 5] differ");
    assert_eq!(
        infer(&[f32s(&[2, 2, 3]), f32s(&[3, 3, 5])]),
        "matmul: batch dimensions of a [2, 2, 3] and b [3, 3, 5] differ"
    );
    assert_eq!(infer(&[f32s(&[]), f32s(&[4, 5])]), "matmul: a has 0 dimensions, at least 1 wanted");
    assert_eq!(infer(&[f32s(&[2, 3])]), "matmul: 1 inputs given, 2 to 3 wanted");
    assert_eq!(infer(&[f32s(&[2, 3]), Layout::new(&[3, 2], DType::I32)]), "matmul: b is i32, f32 wanted");
    assert_eq!(infer(&[f32s(&[2, 3]), f32s(&[3, 2]), f32s(&[3])]), "matmul: c [3] does not broadcast to [2, 2]");
    assert!(matches!(Matmul::default().infer(&[f32s(&[2, 3]), f32s(&[4, 5])]), Err(Error::Shape { op: "matmul", .. })));
}

#[test]
fn sums_longer_than_drivers_count_trips() {
    // Mesa 22.3's software driver silently ends a shader's loops after 65,535 trips together.
    for k in [65_530, 70_000, 140_001] {
        let a = HostTensor::new(&[3, k], &vec![1.0f32; 3 * k]).unwrap();
        let b = HostTensor::new(&[k], &vec![1.0f32; k]).unwrap();
        check(&Matmul::default(), &[a, b], true);
    }
}
