//! Softmax and its logarithm against their twins: every candidate of every device.

mod common;

use common::keeps_to_ieee;
use tilewise::reference::{HostTensor, Random};
use tilewise::verify::{self, devices};
use tilewise::{Class, DType, DeviceProfile, Layout, LogSoftmax, Op, Softmax};

#[track_caller]
fn check(dim: usize, shape: &[usize], data: &[f32]) {
    let special = data.iter().any(|x| !x.is_finite());
    let input = [HostTensor::new(shape, data).unwrap()];
    for gpu in devices().iter().filter(|gpu| !special || keeps_to_ieee(&gpu.profile().name)) {
        let mut reports = verify::candidates(gpu, &Softmax { dim }, &input).unwrap();
        reports.extend(verify::candidates(gpu, &LogSoftmax { dim }, &input).unwrap());
        for report in reports {
            report.assert_strict();
        }
    }
}

#[test]
fn lengths_and_dimensions() {
    let mut random = Random::new(1);
    for len in [1, 63, 64, 65, 131, 257] {
        check(1, &[3, len], &random.floats(3 * len));
    }
    for dim in 0..3 {
        check(dim, &[3, 5, 7], &random.floats(105));
    }
}

#[test]
fn extremes() {
    let inf = f32::INFINITY;
    check(1, &[5, 2], &[-inf, -inf, 1.0, -inf, f32::NAN, 0.0, 1e30, -1e30, inf, 0.0]);
    check(0, &[0], &[]);
    // Marks in the shares of several invocations of a workgroup.
    for (at, value) in [(0, inf), (65, f32::NAN), (299, inf), (130, -inf)] {
        let mut row = Random::new(2).floats(300);
        row[at] = value;
        check(1, &[1, 300], &row);
    }
}

#[test]
fn long_rows() {
    let row = Random::new(3).floats(70_000);
    check(1, &[1, 70_000], &row);
    let variants = |len| {
        let plans = Softmax { dim: 1 }.plans(&DeviceProfile::baseline(), &[Layout::new(&[2, len], DType::F32)]);
        plans.unwrap().into_iter().map(|plan| plan.variant.clone()).collect::<Vec<_>>()
    };
    assert_eq!(variants(20_001), ["softmax/workgroup 256", "softmax/serial 64"]);
    // What the loops of a single invocation would not end with.
    assert_eq!(variants(6_000_000), ["softmax/workgroup 256"]);
    let columns = Softmax { dim: 0 }.plans(&DeviceProfile::baseline(), &[Layout::new(&[40_000_000, 2], DType::F32)]);
    assert_eq!(
        columns.unwrap_err().to_string(),
        "softmax: needs loop trips = 50000000, the device has 60000; this problem cannot be cut along its sums"
    );
}

#[test]
fn long_columns_too() {
    let mut random = Random::new(5);
    check(0, &[70_000, 3], &random.floats(210_000));
    check(1, &[2, 1030, 9], &random.floats(2 * 1030 * 9));
}

#[test]
fn rows_and_columns_of_whole_vectors_are_read_in_them() {
    let mut random = Random::new(6);
    // Around the steps that are taken at once, by an invocation, a subgroup and a workgroup.
    for len in [4, 12, 16, 20, 128, 132, 252, 256, 1028, 4100] {
        check(1, &[3, len], &random.floats(3 * len));
        check(1, &[2, len, 8], &random.floats(16 * len));
        check(1, &[2, len, 9], &random.floats(18 * len));
    }
    let align = |dim, shape: &[usize]| {
        let plan = Softmax { dim }.plan(&DeviceProfile::baseline(), &[Layout::new(shape, DType::F32)]).unwrap();
        (plan.inputs[0].align, plan.outputs[0].align)
    };
    assert_eq!(align(1, &[3, 8]), (16, 16));
    assert_eq!(align(1, &[3, 9]), (4, 4));
    assert_eq!(align(1, &[3, 9, 8]), (16, 16));
    assert_eq!(align(1, &[3, 8, 9]), (4, 4));
}

#[test]
fn ascending_rows_are_scaled_down_at_every_step() {
    for step in [1e-3, 0.5, 40.0] {
        for len in [64, 1000, 4099] {
            let row: Vec<f32> = (0..len).map(|i| i as f32 * step - 20.0).collect();
            check(1, &[1, len], &row);
            check(0, &[len, 1, 1], &row);
        }
    }
}

#[test]
fn rows_are_split_by_memory_and_by_work() {
    for gpu in devices() {
        let base = DeviceProfile { class: Class::Unknown, ..gpu.profile().clone() };
        let mut memory = base.clone();
        let slack = u64::from(memory.limits.min_storage_buffer_offset_alignment);
        memory.limits.max_storage_buffer_binding_size = 1024 + slack;
        let mut work = base;
        (work.floor_flops, work.work_budget) = (2000.0, std::time::Duration::from_secs(1));
        for profile in [memory, work] {
            let small = gpu.with_profile(profile);
            let input = [HostTensor::new(&[7, 60, 3], &Random::new(4).floats(1260)).unwrap()];
            let plan = Softmax { dim: 1 }.plan(small.profile(), &[input[0].layout()]).unwrap();
            assert!(plan.dispatches.len() > 3, "{plan}");
            verify::plan(&small, &Softmax { dim: 1 }, &plan, &input).unwrap().assert_strict();
        }
    }
}

#[test]
fn bad_input_is_refused_by_name() {
    let refuse = |dim, dtype| Softmax { dim }.infer(&[Layout::new(&[2, 3], dtype)]).unwrap_err().to_string();
    assert_eq!(refuse(2, DType::F32), "softmax: dimension 2 of input [2, 3], which has 2");
    assert_eq!(refuse(0, DType::I32), "softmax: input is i32, f32 or f16 wanted");
}
