//! Convolutions against their twin: every candidate of every device.

use tilewise::reference::{HostTensor, Random};
use tilewise::verify::{self, devices};
use tilewise::{Activation, Conv2d, DType, DeviceProfile, Error, Layout, Op, Padding};

fn integers(random: &mut Random, shape: &[usize]) -> HostTensor {
    HostTensor::new(shape, &random.integers(shape.iter().product())).unwrap()
}

fn floats(random: &mut Random, shape: &[usize]) -> HostTensor {
    HostTensor::new(shape, &random.floats(shape.iter().product())).unwrap()
}

/// Verifies every candidate on every device; integers must come out to the bit.
#[track_caller]
fn check(op: &Conv2d, inputs: &[HostTensor], exact: bool) {
    for gpu in devices() {
        for report in verify::candidates(gpu, op, inputs).unwrap() {
            report.assert_strict();
            assert!(!exact || report.exact_mismatches == 0, "{op:?}: {report}");
        }
    }
}

const ASYMMETRIC: Padding = Padding { top: 2, left: 0, bottom: 1, right: 3 };

#[test]
fn integers_are_exact_over_pairs_of_options() {
    let mut random = Random::new(1);
    let kernels = [[1, 1], [3, 3], [5, 5], [1, 4], [2, 3]];
    let strides = [[1, 1], [2, 2], [3, 1], [1, 2]];
    let paddings = [Padding::default(), Padding::all(1), Padding::symmetric(2, 3), ASYMMETRIC];
    let dilations = [[1, 1], [2, 2], [1, 3]];
    // Input channels, output channels, groups: one group, two, depthwise, depthwise with two outputs a channel.
    let channels = [(3, 5, 1), (4, 6, 2), (3, 3, 3), (2, 4, 2), (17, 9, 1)];
    for (i, kernel) in kernels.into_iter().enumerate() {
        for j in 0..5 {
            let (c, o, groups) = channels[(i + j) % channels.len()];
            let op = Conv2d {
                stride: strides[(i + 3 * j) % strides.len()],
                padding: paddings[(i / 2 + j) % paddings.len()],
                dilation: dilations[(i + 2 * j) % dilations.len()],
                groups,
                ..Default::default()
            };
            let x = integers(&mut random, &[2, c, 10, 14]);
            let weight = integers(&mut random, &[o, c / groups, kernel[0], kernel[1]]);
            let bias = integers(&mut random, &[o]);
            // Kernel and epilogue make a pipeline: few of them keep the test short.
            if i % 2 == 0 {
                check(&op, &[x, weight, bias], true);
            } else {
                check(&op, &[x, weight], true);
            }
        }
    }
}

#[test]
fn one_by_one_kernels_are_matrix_products() {
    let mut random = Random::new(2);
    for groups in [1, 2, 6] {
        let op = Conv2d { groups, ..Default::default() };
        let inputs = [
            integers(&mut random, &[3, 6, 5, 7]),
            integers(&mut random, &[12, 6 / groups, 1, 1]),
            integers(&mut random, &[12]),
        ];
        check(&op, &inputs, true);
        check(&Conv2d { stride: [2, 2], ..op }, &inputs, true);
        check(&Conv2d { padding: Padding::all(1), ..op }, &inputs, true);
    }
}

#[test]
fn padding_may_exceed_the_kernel_and_the_image() {
    let mut random = Random::new(3);
    let op = Conv2d { padding: Padding { top: 5, left: 4, bottom: 3, right: 6 }, stride: [2, 3], ..Default::default() };
    check(&op, &[integers(&mut random, &[1, 2, 3, 2]), integers(&mut random, &[3, 2, 2, 2])], true);
}

#[test]
fn a_kernel_may_be_as_large_as_the_image() {
    let mut random = Random::new(4);
    check(&Conv2d::default(), &[integers(&mut random, &[2, 3, 6, 7]), integers(&mut random, &[4, 3, 6, 7])], true);
    // Strides and dilations that are never used may be of any size.
    let op = Conv2d { stride: [usize::MAX; 2], dilation: [usize::MAX; 2], ..Default::default() };
    check(&op, &[integers(&mut random, &[2, 3, 6, 7]), integers(&mut random, &[4, 3, 1, 1])], true);
}

#[test]
fn random_data_stays_within_the_bound() {
    let mut random = Random::new(5);
    let mut worst: f64 = 0.0;
    let op = Conv2d { padding: Padding::all(1), stride: [2, 1], ..Default::default() };
    let inputs =
        [floats(&mut random, &[2, 20, 13, 17]), floats(&mut random, &[33, 20, 3, 3]), floats(&mut random, &[33])];
    for gpu in devices() {
        for report in verify::candidates(gpu, &op, &inputs).unwrap() {
            report.assert_strict();
            worst = worst.max(report.worst.fraction);
        }
    }
    assert!(devices().is_empty() || worst > 0.0, "rounding has to leave a trace somewhere");
}

#[test]
fn every_activation() {
    let mut random = Random::new(6);
    for activation in Activation::ALL {
        let op = Conv2d { activation, padding: Padding::all(1), ..Default::default() };
        check(
            &op,
            &[floats(&mut random, &[1, 3, 2, 3]), floats(&mut random, &[4, 3, 3, 3]), floats(&mut random, &[4])],
            false,
        );
    }
}

#[test]
fn zero_sizes() {
    let mut random = Random::new(7);
    let op = Conv2d { padding: Padding::all(1), ..Default::default() };
    for (n, c, o) in [(0, 3, 4), (2, 3, 0), (2, 0, 4)] {
        let inputs =
            [integers(&mut random, &[n, c, 5, 5]), integers(&mut random, &[o, c, 3, 3]), integers(&mut random, &[o])];
        check(&op, &inputs, true);
        check(&op, &inputs[..2], true);
    }
}

#[test]
fn pieces_that_fit_small_bindings_give_the_same() {
    let mut random = Random::new(8);
    let op = Conv2d { padding: Padding::all(1), groups: 2, ..Default::default() };
    let inputs =
        [integers(&mut random, &[5, 4, 9, 11]), integers(&mut random, &[6, 2, 3, 3]), integers(&mut random, &[6])];
    for gpu in devices() {
        let mut profile: DeviceProfile = gpu.profile().clone();
        // One image of one group is 792 bytes of input.
        profile.limits.max_storage_buffer_binding_size =
            1400 + u64::from(profile.limits.min_storage_buffer_offset_alignment);
        let plans = op.plans(&profile, &verify::guarded_layouts(&inputs)).unwrap();
        for plan in plans {
            assert!(plan.dispatches.len() >= 10, "{plan}");
            for binding in plan.dispatches.iter().flat_map(|dispatch| &dispatch.bindings) {
                assert!(binding.range.end - binding.range.start <= 1400, "{binding:?}");
            }
            let report = verify::plan(gpu, &op, &plan, &inputs).unwrap();
            report.assert_strict();
            assert_eq!(report.exact_mismatches, 0, "{report}");
        }
    }
}

#[test]
fn work_is_split_inside_of_images() {
    let mut random = Random::new(9);
    let op = Conv2d { padding: Padding::all(1), ..Default::default() };
    let inputs = [integers(&mut random, &[3, 2, 9, 23]), integers(&mut random, &[3, 2, 3, 3])];
    for gpu in devices() {
        let mut profile: DeviceProfile = gpu.profile().clone();
        profile.floor_flops = 1.0;
        profile.work_budget = std::time::Duration::from_secs(5000);
        for plan in op.plans(&profile, &verify::guarded_layouts(&inputs)).unwrap() {
            let report = verify::plan(gpu, &op, &plan, &inputs).unwrap();
            report.assert_strict();
            assert_eq!(report.exact_mismatches, 0, "{report}");
        }
    }
}

#[test]
fn bad_input_is_refused_by_name() {
    let f32s = |shape: &[usize]| Layout::new(shape, DType::F32);
    let fails = |op: Conv2d, inputs: &[Layout]| op.infer(inputs).unwrap_err().to_string();
    let op = Conv2d::default();
    let (x, weight) = (f32s(&[2, 3, 8, 9]), f32s(&[4, 3, 3, 3]));
    let good = [x.clone(), weight.clone()];
    assert_eq!(op.infer(&good).unwrap()[0].shape, [2, 4, 6, 7]);
    assert_eq!(fails(op, &good[..1]), "conv2d: 1 inputs given, 2 to 3 wanted");
    assert_eq!(fails(op, &[f32s(&[3, 8, 9]), weight.clone()]), "conv2d: x has 3 dimensions, 4 wanted");
    assert_eq!(fails(op, &[x.clone(), f32s(&[4, 3, 3])]), "conv2d: weight has 3 dimensions, 4 wanted");
    assert_eq!(fails(op, &[x.clone(), weight.clone(), f32s(&[1, 4])]), "conv2d: bias has 2 dimensions, 1 wanted");
    assert_eq!(fails(op, &[x.clone(), Layout::new(&[4, 3, 3, 3], DType::I32)]), "conv2d: weight is i32, f32 wanted");
    assert_eq!(
        fails(op, &[x.clone(), f32s(&[4, 2, 3, 3])]),
        "conv2d: x [2, 3, 8, 9] in 1 groups has 3 channels each, weight [4, 2, 3, 3] has 2"
    );
    assert_eq!(fails(op, &[x.clone(), weight.clone(), f32s(&[5])]), "conv2d: bias [5] does not fit 4 output channels");
    assert_eq!(fails(Conv2d { groups: 0, ..op }, &good), "conv2d: groups = 0: must be at least 1");
    assert_eq!(fails(Conv2d { groups: 2, ..op }, &good), "conv2d: groups = 2 does not divide 3 input channels");
    assert_eq!(fails(Conv2d { groups: 3, ..op }, &good), "conv2d: groups = 3 does not divide 4 output channels");
    assert_eq!(fails(Conv2d { stride: [1, 0], ..op }, &good), "conv2d: stride = [1, 0]: must be at least 1");
    assert_eq!(fails(Conv2d { dilation: [0, 1], ..op }, &good), "conv2d: dilation = [0, 1]: must be at least 1");
    assert_eq!(
        fails(Conv2d { dilation: [4, 1], ..op }, &good),
        "conv2d: kernel 3 with dilation 4 is larger than the padded height 8"
    );
    assert_eq!(
        fails(Conv2d { dilation: [1, usize::MAX], ..op }, &good),
        format!("conv2d: kernel 3 with dilation {} is larger than the padded width 9", usize::MAX)
    );
    assert_eq!(fails(op, &[f32s(&[2, 3, 0, 9]), weight.clone()]), "conv2d: the image of x [2, 3, 0, 9] is empty");
    assert_eq!(fails(op, &[x.clone(), f32s(&[4, 3, 3, 0])]), "conv2d: the kernel of weight [4, 3, 3, 0] is empty");
    let huge = Padding { top: usize::MAX, ..Default::default() };
    assert!(matches!(
        Conv2d { padding: huge, ..op }.infer(&good),
        Err(Error::Limit { limit: "i32 position", needed: u64::MAX, .. })
    ));
    let large = Padding::symmetric(1 << 30, 1 << 30);
    assert!(matches!(
        Conv2d { padding: large, ..op }.infer(&good),
        Err(Error::Limit { limit: "i32 position", needed: 2_147_483_656, available: 2_147_483_647, .. })
    ));
    // An output of 2^62 elements fits no address space, nor does an input that a 0 makes empty.
    let large = Padding::symmetric(1 << 29, 1 << 29);
    assert!(matches!(Conv2d { padding: large, ..op }.infer(&good), Err(Error::Limit { limit: "address space", .. })));
    assert_eq!(
        fails(op, &[f32s(&[0, 1 << 40, 1 << 20, 1 << 20]), weight]),
        format!("conv2d: x: needs address space = {}, the device has {}; split the problem", u64::MAX, isize::MAX)
    );
}
