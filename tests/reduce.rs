//! Reductions against their twin: every candidate of every device.

use tilewise::reference::{HostTensor, Random};
use tilewise::verify::{self, devices};
use tilewise::{Class, DType, DeviceProfile, Error, Gpu, Layout, Op, Reduce, ReduceKind};

const KINDS: [ReduceKind; 6] =
    [ReduceKind::Sum, ReduceKind::Mean, ReduceKind::Max, ReduceKind::Min, ReduceKind::ArgMax, ReduceKind::ArgMin];

fn integers(random: &mut Random, shape: &[usize]) -> HostTensor {
    HostTensor::new(shape, &random.integers(shape.iter().product())).unwrap()
}

#[track_caller]
fn check(op: &Reduce, input: &HostTensor) {
    devices().iter().for_each(|gpu| check_on(gpu, op, input));
}

#[track_caller]
fn check_on(gpu: &Gpu, op: &Reduce, input: &HostTensor) {
    for report in verify::candidates(gpu, op, std::slice::from_ref(input)).unwrap() {
        report.assert_strict();
        assert!(op.kind == ReduceKind::Mean || report.exact_mismatches == 0, "{report}");
    }
}

/// As [`check`], and with the variants that a device of no known class takes, where they are others.
#[track_caller]
fn check_all_variants(op: &Reduce, input: &HostTensor) {
    check(op, input);
    let classed = devices().iter().filter(|gpu| gpu.profile().class != Class::Unknown);
    classed.for_each(|gpu| check_on(&pretend(gpu, 1 << 27, 1e9), op, input));
}

/// The device, as if it were of a class that is unknown, with so many bytes in a binding and operations in a dispatch.
fn pretend(gpu: &Gpu, binding: u64, operations: f64) -> Gpu {
    let mut profile = DeviceProfile { class: Class::Unknown, ..gpu.profile().clone() };
    let slack = u64::from(profile.limits.min_storage_buffer_offset_alignment);
    profile.limits.max_storage_buffer_binding_size = binding + slack;
    (profile.floor_flops, profile.work_budget) = (operations, std::time::Duration::from_secs(1));
    gpu.with_profile(profile)
}

#[test]
fn lengths_around_workgroups_and_the_loop_cap() {
    let mut random = Random::new(1);
    for len in [1, 7, 8, 9, 63, 64, 65, 131, 255, 256, 257, 1024, 70_000] {
        for kind in KINDS {
            for last in [false, true] {
                check(&Reduce { kind, last, ..Default::default() }, &integers(&mut random, &[len]));
            }
        }
    }
}

#[test]
fn values_side_by_side_are_read_in_vectors() {
    let mut random = Random::new(6);
    for len in [4, 8, 28, 32, 36, 252, 256, 260, 1024, 70_004] {
        for kind in KINDS {
            for last in [false, true] {
                let rows = if len > 10_000 { 1 } else { 3 };
                let op = Reduce { kind, last, dims: vec![1], ..Default::default() };
                check(&op, &integers(&mut random, &[rows, len]));
                // Ties everywhere, in whichever place of a vector.
                check(&op, &HostTensor::new(&[rows, len], &vec![2.0f32; rows * len]).unwrap());
                check(&op, &HostTensor::new(&[rows, len], &vec![f32::NAN; rows * len]).unwrap());
            }
        }
    }
    let words: Vec<u32> = (0..3 * 264).map(|_| random.bits() as u32).collect();
    let signed: Vec<i32> = words.iter().map(|&word| word as i32).collect();
    for kind in [ReduceKind::Sum, ReduceKind::Max, ReduceKind::ArgMin] {
        let op = Reduce { kind, dims: vec![1], ..Default::default() };
        check(&op, &HostTensor::new(&[3, 264], &words).unwrap());
        check(&op, &HostTensor::new(&[3, 264], &signed).unwrap());
    }
    check(&Reduce { dims: vec![1, 3], ..Default::default() }, &integers(&mut random, &[2, 5, 3, 8]));
    check(&Reduce { dims: vec![1, 2], ..Default::default() }, &integers(&mut random, &[5, 3, 8]));
    let align = |dims: &[usize], shape: &[usize]| {
        let op = Reduce { dims: dims.to_vec(), ..Default::default() };
        op.plan(&DeviceProfile::baseline(), &[Layout::new(shape, DType::F32)]).unwrap().inputs[0].align
    };
    assert_eq!(align(&[1], &[3, 8]), 16);
    assert_eq!(align(&[1, 2], &[3, 2, 4]), 16);
    assert_eq!(align(&[1], &[3, 9]), 4);
    assert_eq!(align(&[0], &[3, 8]), 16);
    assert_eq!(align(&[0, 2], &[3, 5, 2, 8]), 16);
    assert_eq!(align(&[0], &[3, 9]), 4);
}

#[test]
fn neighbouring_columns_are_read_in_vectors() {
    let mut random = Random::new(7);
    for (len, columns) in [(1, 4), (3, 8), (7, 36), (8, 4), (65, 12), (300, 4), (9000, 4)] {
        for kind in KINDS {
            for last in [false, true] {
                let op = Reduce { kind, last, dims: vec![0], ..Default::default() };
                check(&op, &integers(&mut random, &[len, columns]));
                check(&op, &HostTensor::new(&[len, columns], &vec![2.0f32; len * columns]).unwrap());
                check(&op, &HostTensor::new(&[len, columns], &vec![f32::NAN; len * columns]).unwrap());
            }
        }
    }
    let words: Vec<u32> = (0..5 * 3 * 8).map(|_| random.bits() as u32).collect();
    for kind in [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min] {
        check(
            &Reduce { kind, dims: vec![0, 2], ..Default::default() },
            &HostTensor::new(&[5, 2, 3, 4], &words).unwrap(),
        );
        check(&Reduce { kind, dims: vec![1], ..Default::default() }, &HostTensor::new(&[5, 3, 8], &words).unwrap());
    }
    // In pieces that hold whole vectors of columns, and in parts.
    for gpu in devices() {
        for (binding, operations) in [(512, f64::MAX), (1 << 20, 100.0), (1 << 20, 30.0)] {
            let op = Reduce { kind: ReduceKind::ArgMax, dims: vec![1], ..Default::default() };
            check_on(&pretend(gpu, binding, operations), &op, &integers(&mut random, &[3, 9, 12]));
        }
    }
}

#[test]
fn a_row_of_200_000_in_every_kind() {
    let mut random = Random::new(3);
    let len = 200_000;
    // Whole numbers with many ties, and one largest and one smallest in a part's middle and at its end.
    let ties = random.integers(len);
    let mut single = ties.clone();
    (single[123_457], single[60_000 - 1]) = (99.0, -99.0);
    let cast: Vec<i32> = single.iter().map(|&value| value as i32 * 1_000_000).collect();
    let inputs = [HostTensor::new(&[len], &ties), HostTensor::new(&[1, len], &single), HostTensor::new(&[len], &cast)];
    for input in inputs.map(Result::unwrap) {
        for kind in KINDS.into_iter().filter(|&kind| kind != ReduceKind::Mean || input.dtype() == DType::F32) {
            for last in [false, true] {
                let op = Reduce { kind, last, ..Default::default() };
                check_all_variants(&op, &input);
            }
        }
    }
}

#[test]
fn few_long_reductions_are_done_in_parts() {
    let row = [Layout::new(&[1 << 20], DType::F32)];
    let profile = DeviceProfile::baseline();
    let plans = Reduce::default().plans(&profile, &row).unwrap();
    let facts: Vec<_> = plans.iter().map(|p| (p.variant.as_str(), p.dispatches.len(), p.scratch_bytes())).collect();
    assert_eq!(
        facts,
        [
            ("reduce/workgroup 256 in 256 parts", 2, 256 * 8),
            ("reduce/workgroup 256", 1, 0),
            ("reduce/serial 64 in 18 parts", 2, 18 * 8)
        ]
    );
    // Enough outputs fill the device without.
    let rows = [Layout::new(&[2048, 1 << 16], DType::F32)];
    let plan = Reduce { dims: vec![1], ..Default::default() }.plan(&profile, &rows).unwrap();
    assert_eq!((plan.variant.as_str(), plan.scratch_bytes()), ("reduce/workgroup 256", 0));
    // A row that no loop of the serial kernel can hold in parts, and an index beyond 32 bits.
    let row = [Layout::new(&[5_000_000_000], DType::F32)];
    let plans = Reduce::default().plans(&profile, &row).unwrap();
    assert!(plans.iter().all(|plan| plan.variant.starts_with("reduce/workgroup")), "{plans:?}");
    let index = Reduce { kind: ReduceKind::ArgMax, ..Default::default() };
    assert!(matches!(index.plan(&profile, &row).unwrap_err(), Error::Limit { .. }));
}

#[test]
fn memory_limits_and_budgets_cut_along_every_dimension() {
    let mut random = Random::new(4);
    // Reduced dimensions outside, inside and on both sides of kept ones; kept ones larger than a binding. Bytes of a binding,
    // operations of a dispatch.
    let cases: [(&[usize], &[usize], u64, f64); 7] = [
        (&[9, 1500], &[0], 4096, 1e9),
        (&[3, 1500], &[1], 4096, 1e9),
        (&[5, 6, 7, 40], &[0, 2], 4096, 1e9),
        (&[5000], &[], 4096, 1e9),
        (&[5000], &[], 1 << 27, 700.0),
        (&[4, 600], &[1], 1 << 27, 150.0),
        (&[5, 6, 30], &[0, 2], 1024, 200.0),
    ];
    for gpu in devices() {
        for (shape, dims, binding, operations) in cases {
            let small = pretend(gpu, binding, operations);
            let input = integers(&mut random, shape);
            for kind in KINDS.into_iter().take(if dims.len() < 2 { 6 } else { 4 }) {
                let op = Reduce { kind, dims: dims.to_vec(), ..Default::default() };
                let plan = op.plan(small.profile(), &[input.layout()]).unwrap();
                assert!(plan.dispatches.len() > 3, "{plan}");
                let spans = plan.dispatches.iter().flat_map(|d| &d.bindings).map(|b| b.range.end - b.range.start);
                assert!(spans.max() <= Some(binding), "{plan}");
                assert!(plan.scratch.iter().all(|&bytes| bytes <= binding), "{plan}");
                assert!(plan.dispatches.iter().all(|dispatch| dispatch.work.flops <= operations), "{plan}");
                let report = verify::plan(&small, &op, &plan, std::slice::from_ref(&input)).unwrap();
                report.assert_strict();
                assert!(kind == ReduceKind::Mean || report.exact_mismatches == 0, "{report}");
            }
        }
    }
}

#[test]
fn nan_and_infinity_in_any_part() {
    let mut random = Random::new(5);
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let len = 70_000;
    let cases: [&[(usize, f32)]; 6] = [
        &[(69_999, nan), (60_000, nan), (17, inf)],
        &[(0, nan)],
        &[(65_000, inf), (3, inf)],
        &[(59_999, -inf), (60_001, -inf)],
        &[(12_345, inf), (65_432, -inf)],
        &[(1023, -0.0)],
    ];
    for marks in cases {
        let mut values = random.integers(len);
        marks.iter().for_each(|&(at, value)| values[at] = value);
        let input = HostTensor::new(&[len], &values).unwrap();
        for kind in KINDS {
            for last in [false, true] {
                let op = Reduce { kind, last, ..Default::default() };
                check_all_variants(&op, &input);
            }
        }
    }
}

#[test]
fn every_set_of_dimensions() {
    let mut random = Random::new(2);
    let input = integers(&mut random, &[3, 4, 5, 6]);
    for mask in 0..16usize {
        let dims: Vec<usize> = (0..4).filter(|dim| mask >> dim & 1 == 1).collect();
        for keep_dims in [false, true] {
            for kind in KINDS.into_iter().take(if dims.len() == 1 { 6 } else { 4 }) {
                check(&Reduce { kind, dims: dims.clone(), keep_dims, last: false }, &input);
            }
        }
    }
}

#[test]
fn integers_wrap_and_nan_wins() {
    for kind in [ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min, ReduceKind::ArgMax, ReduceKind::ArgMin] {
        let op = Reduce { kind, ..Default::default() };
        check(&op, &HostTensor::new(&[3], &[i32::MAX, -5, i32::MAX]).unwrap());
        check(&op, &HostTensor::new(&[3], &[u32::MAX, 5, u32::MAX]).unwrap());
        check(&op, &HostTensor::new(&[4], &[1.0, f32::NAN, f32::INFINITY, f32::NAN]).unwrap());
    }
}

#[test]
fn nothing() {
    let none = HostTensor::new::<f32>(&[2, 0], &[]).unwrap();
    for dims in [vec![0], vec![1], vec![]] {
        check(&Reduce { dims: dims.clone(), ..Default::default() }, &none);
        check(&Reduce { kind: ReduceKind::Mean, dims, ..Default::default() }, &none);
    }
}

#[test]
fn bad_input_is_refused_by_name() {
    let refuse = |kind, dims: &[usize], shape: &[usize], dtype| {
        let op = Reduce { kind, dims: dims.to_vec(), ..Default::default() };
        op.infer(&[Layout::new(shape, dtype)]).unwrap_err().to_string()
    };
    use ReduceKind::*;
    assert_eq!(refuse(Sum, &[2], &[2, 3], DType::F32), "reduce: dimension 2 of input [2, 3], which has 2");
    assert_eq!(refuse(Sum, &[1, 1], &[2, 3], DType::F32), "reduce: dimension 1 is listed twice in [1, 1]");
    assert_eq!(refuse(Sum, &[], &[1; 9], DType::F32), "reduce: input has 9 dimensions, at most 8 wanted");
    assert_eq!(refuse(Mean, &[], &[2], DType::I32), "reduce: input is i32, f32 or f16 wanted");
    assert_eq!(refuse(Max, &[1], &[2, 0], DType::F32), "reduce: Max over no elements of input [2, 0]");
    assert_eq!(
        refuse(ArgMax, &[0, 1], &[2, 3, 4], DType::F32),
        "reduce: dims = [0, 1]: an index is found over one dimension, or all"
    );
}
