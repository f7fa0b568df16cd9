//! Pooling against its twin.

use tilewise::reference::{HostTensor, Random, Twin};
use tilewise::verify::{self, devices};
use tilewise::{AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, DType, Layout, MaxPool2d, Op};

fn floats(seed: u64, shape: &[usize]) -> HostTensor {
    HostTensor::new(shape, &Random::new(seed).floats(shape.iter().product())).unwrap()
}

#[track_caller]
fn check(op: &dyn Twin, input: &HostTensor, exact: bool) {
    for gpu in devices() {
        for report in verify::candidates(gpu, op, std::slice::from_ref(input)).unwrap() {
            report.assert_strict();
            assert!(!exact || report.exact_mismatches == 0, "{report}");
        }
    }
}

/// Kernel, stride, padding, dilation.
type Window = ([usize; 2], [usize; 2], [usize; 4], [usize; 2]);

/// Windows pairwise over what each side can be.
const WINDOWS: [Window; 7] = [
    ([2, 2], [2, 2], [0, 0, 0, 0], [1, 1]),
    ([3, 3], [2, 2], [1, 1, 1, 1], [1, 1]),
    ([3, 2], [1, 3], [0, 1, 2, 0], [2, 1]),
    ([1, 5], [2, 1], [0, 2, 0, 2], [1, 2]),
    ([5, 3], [3, 2], [2, 0, 1, 2], [1, 3]),
    ([1, 1], [1, 1], [0, 0, 0, 0], [1, 1]),
    ([11, 13], [1, 1], [0, 0, 0, 0], [1, 1]),
];

#[test]
fn maxima_and_their_indices() {
    for (kernel, stride, padding, dilation) in WINDOWS {
        for ceil_mode in [false, true] {
            for return_indices in [false, true] {
                let op = MaxPool2d { kernel, stride, padding, dilation, ceil_mode, return_indices };
                check(&op, &floats(1, &[2, 3, 11, 13]), true);
            }
        }
    }
}

#[test]
fn padding_never_wins_and_the_first_of_equals_stays() {
    let op = MaxPool2d { kernel: [3, 3], stride: [1, 1], padding: [1; 4], return_indices: true, ..Default::default() };
    for value in [-1e30, f32::NEG_INFINITY, f32::NAN, f32::INFINITY] {
        check(&op, &HostTensor::new(&[1, 2, 5, 6], &[value; 60]).unwrap(), true);
    }
    let mut values = Random::new(2).floats(60);
    for at in [0, 17, 18, 45] {
        values[at] = f32::NAN;
    }
    check(&op, &HostTensor::new(&[1, 2, 5, 6], &values).unwrap(), true);
}

#[test]
fn means_by_every_divisor() {
    for (kernel, stride, padding, _) in WINDOWS.into_iter().filter(|window| window.3 == [1, 1]) {
        for ceil_mode in [false, true] {
            for (count_include_pad, divisor_override) in [(true, None), (false, None), (true, Some(7))] {
                let op = AvgPool2d { kernel, stride, padding, ceil_mode, count_include_pad, divisor_override };
                check(&op, &floats(3, &[1, 4, 11, 13]), false);
            }
        }
    }
}

#[test]
fn windows_that_share_the_plane() {
    for output in [[1, 1], [2, 3], [11, 13], [5, 7], [12, 1], [0, 3]] {
        check(&AdaptiveAvgPool2d { output }, &floats(4, &[2, 2, 11, 13]), false);
        check(&AdaptiveMaxPool2d { output }, &floats(5, &[2, 2, 11, 13]), true);
    }
}

#[test]
fn no_planes() {
    check(&MaxPool2d { return_indices: true, ..Default::default() }, &floats(6, &[0, 3, 4, 4]), true);
    check(&AvgPool2d::default(), &floats(6, &[2, 0, 4, 4]), false);
}

#[test]
fn bad_input_is_refused_by_name() {
    let x = Layout::new(&[1, 2, 6, 6], DType::F32);
    let refuse = |op: MaxPool2d, x: &Layout| op.infer(std::slice::from_ref(x)).unwrap_err().to_string();
    let base = MaxPool2d::default();
    assert_eq!(refuse(MaxPool2d { kernel: [0, 2], ..base }, &x), "max_pool2d: kernel = 0: it has to be at least 1");
    assert_eq!(refuse(MaxPool2d { stride: [1, 0], ..base }, &x), "max_pool2d: stride = 0: it has to be at least 1");
    assert_eq!(refuse(MaxPool2d { dilation: [0, 1], ..base }, &x), "max_pool2d: dilation = 0: it has to be at least 1");
    assert_eq!(
        refuse(MaxPool2d { padding: [2, 0, 0, 0], ..base }, &x),
        "max_pool2d: padding = 2: a window holds padding only"
    );
    assert_eq!(
        refuse(MaxPool2d { kernel: [4, 2], dilation: [2, 1], ..base }, &x),
        "max_pool2d: a window of 7 (dilated) does not fit into 6 (padded)"
    );
    assert_eq!(
        refuse(base, &Layout::new(&[2, 6, 6], DType::F32)),
        "max_pool2d: x has 3 dimensions, 4 (n, c, h, w) wanted"
    );
    assert_eq!(refuse(base, &Layout::new(&[1, 2, 6, 6], DType::U8)), "max_pool2d: x is u8, f32 wanted");
    assert_eq!(refuse(base, &Layout::new(&[1, 2, 0, 6], DType::F32)), "max_pool2d: x [1, 2, 0, 6] has empty planes");
    // What is absurd is refused as soon as it is seen, not after a look at each of its 2^59 windows.
    let padding = [1 << 60, 0, 0, 0];
    assert_eq!(
        refuse(MaxPool2d { kernel: [1 << 59, 1], dilation: [2, 1], padding, ..base }, &x),
        "max_pool2d: needs u32 index = 1152921504606846982, the device has 4294967295; \
         use smaller planes, padding or dilation"
    );
    let apart = MaxPool2d { kernel: [1, 1], dilation: [usize::MAX; 2], ..base };
    assert_eq!(apart.infer(std::slice::from_ref(&x)).unwrap()[0].shape, [1, 2, 3, 3]);
    let average = AvgPool2d { divisor_override: Some(0), ..Default::default() };
    assert_eq!(
        average.infer(&[x]).unwrap_err().to_string(),
        "avg_pool2d: divisor_override = 0: it has to be at least 1"
    );
}
