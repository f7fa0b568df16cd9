//! Softmax and its logarithm against their twins: every candidate of every device.

use tilewise::reference::{HostTensor, Random};
use tilewise::verify::{self, devices};
use tilewise::{DType, Layout, LogSoftmax, Op, Softmax};

#[track_caller]
fn check(dim: usize, shape: &[usize], data: &[f32]) {
    let input = [HostTensor::new(shape, data).unwrap()];
    for gpu in devices() {
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
}

#[test]
fn bad_input_is_refused_by_name() {
    let refuse = |dim, dtype| Softmax { dim }.infer(&[Layout::new(&[2, 3], dtype)]).unwrap_err().to_string();
    assert_eq!(refuse(2, DType::F32), "softmax: dimension 2 of input [2, 3], which has 2");
    assert_eq!(refuse(0, DType::I32), "softmax: input is i32, f32 wanted");
}
