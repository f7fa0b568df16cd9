//! Reductions against their twin: every candidate of every device.

use tilewise::reference::{HostTensor, Random};
use tilewise::verify::{self, devices};
use tilewise::{DType, Layout, Op, Reduce, ReduceKind};

const KINDS: [ReduceKind; 6] =
    [ReduceKind::Sum, ReduceKind::Mean, ReduceKind::Max, ReduceKind::Min, ReduceKind::ArgMax, ReduceKind::ArgMin];

fn integers(random: &mut Random, shape: &[usize]) -> HostTensor {
    HostTensor::new(shape, &random.integers(shape.iter().product())).unwrap()
}

#[track_caller]
fn check(op: &Reduce, input: &HostTensor) {
    for gpu in devices() {
        for report in verify::candidates(gpu, op, std::slice::from_ref(input)).unwrap() {
            report.assert_strict();
            assert!(op.kind == ReduceKind::Mean || report.exact_mismatches == 0, "{report}");
        }
    }
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
    assert_eq!(refuse(Mean, &[], &[2], DType::I32), "reduce: input is i32, f32 wanted");
    assert_eq!(refuse(Max, &[1], &[2, 0], DType::F32), "reduce: Max over no elements of input [2, 0]");
    assert_eq!(
        refuse(ArgMax, &[0, 1], &[2, 3, 4], DType::F32),
        "reduce: dims = [0, 1]: an index is found over one dimension, or all"
    );
}
