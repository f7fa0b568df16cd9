//! Transposed convolutions against their twin: every candidate of every device.

use tilewise::reference::{HostTensor, Random};
use tilewise::verify::{self, devices};
use tilewise::{Activation, ConvTranspose2d, DType, DeviceProfile, Error, Layout, Op, Padding};

fn integers(random: &mut Random, shape: &[usize]) -> HostTensor {
    HostTensor::new(shape, &random.integers(shape.iter().product())).unwrap()
}

fn floats(random: &mut Random, shape: &[usize]) -> HostTensor {
    HostTensor::new(shape, &random.floats(shape.iter().product())).unwrap()
}

/// Verifies every candidate on every device; integers must come out to the bit.
#[track_caller]
fn check(op: &ConvTranspose2d, inputs: &[HostTensor], exact: bool) {
    for gpu in devices() {
        for report in verify::candidates(gpu, op, inputs).unwrap() {
            report.assert_strict();
            assert!(!exact || report.exact_mismatches == 0, "{op:?}: {report}");
        }
    }
}

#[test]
fn integers_are_exact_over_pairs_of_options() {
    let mut random = Random::new(1);
    let kernels = [[1, 1], [3, 3], [5, 5], [4, 2], [2, 3]];
    let strides = [[1, 1], [2, 2], [3, 1], [2, 3]];
    let paddings = [Padding::default(), Padding::all(1), Padding { top: 2, left: 0, bottom: 1, right: 1 }];
    let dilations = [[1, 1], [2, 2], [1, 3]];
    // Input channels, output channels of a group, groups: one group, two, depthwise, depthwise with two outputs a channel.
    let channels = [(3, 5, 1), (4, 3, 2), (3, 1, 3), (2, 2, 2), (17, 9, 1)];
    for (i, kernel) in kernels.into_iter().enumerate() {
        for j in 0..5 {
            let (c, o, groups) = channels[(i + j) % channels.len()];
            let (stride, dilation) = (strides[(i + j / 4) % strides.len()], dilations[(i + 2 * j) % dilations.len()]);
            let output_padding = if j < 2 { [0, 0] } else { [0, 1].map(|axis| stride[axis].max(dilation[axis]) - 1) };
            let op = ConvTranspose2d {
                stride,
                padding: paddings[(i / 2 + j) % paddings.len()],
                output_padding,
                dilation,
                groups,
                ..Default::default()
            };
            let x = integers(&mut random, &[2, c, 5, 7]);
            let weight = integers(&mut random, &[c, o, kernel[0], kernel[1]]);
            let bias = integers(&mut random, &[o * groups]);
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
fn padding_may_exceed_the_kernel() {
    let mut random = Random::new(2);
    let op = ConvTranspose2d {
        padding: Padding { top: 3, left: 4, bottom: 0, right: 2 },
        stride: [2, 3],
        ..Default::default()
    };
    check(&op, &[integers(&mut random, &[1, 2, 4, 5]), integers(&mut random, &[2, 3, 2, 2])], true);
}

#[test]
fn strides_that_are_never_used_may_be_of_any_size() {
    let mut random = Random::new(3);
    let op = ConvTranspose2d { stride: [usize::MAX; 2], ..Default::default() };
    check(&op, &[integers(&mut random, &[2, 3, 1, 1]), integers(&mut random, &[3, 4, 3, 3])], true);
}

#[test]
fn random_data_stays_within_the_bound() {
    let mut random = Random::new(4);
    let mut worst: f64 = 0.0;
    let op = ConvTranspose2d { padding: Padding::all(1), stride: [2, 1], ..Default::default() };
    let inputs =
        [floats(&mut random, &[2, 20, 7, 9]), floats(&mut random, &[20, 33, 3, 3]), floats(&mut random, &[33])];
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
    let mut random = Random::new(5);
    for activation in Activation::ALL {
        let op = ConvTranspose2d { activation, stride: [2, 2], ..Default::default() };
        check(
            &op,
            &[floats(&mut random, &[1, 3, 4, 3]), floats(&mut random, &[3, 4, 3, 3]), floats(&mut random, &[4])],
            false,
        );
    }
}

#[test]
fn zero_sizes() {
    let mut random = Random::new(6);
    let op = ConvTranspose2d { padding: Padding::all(1), ..Default::default() };
    for (n, c, o) in [(0, 3, 4), (2, 3, 0), (2, 0, 4)] {
        let inputs =
            [integers(&mut random, &[n, c, 5, 5]), integers(&mut random, &[c, o, 3, 3]), integers(&mut random, &[o])];
        check(&op, &inputs, true);
        check(&op, &inputs[..2], true);
    }
}

#[test]
fn work_is_split_inside_of_images_and_at_bindings() {
    let mut random = Random::new(7);
    let op = ConvTranspose2d { padding: Padding::all(1), stride: [2, 2], groups: 2, ..Default::default() };
    let inputs = [integers(&mut random, &[5, 4, 6, 7]), integers(&mut random, &[4, 3, 3, 3])];
    for gpu in devices() {
        let mut slow: DeviceProfile = gpu.profile().clone();
        slow.floor_flops = 1.0;
        slow.work_budget = std::time::Duration::from_secs(5000);
        let mut small: DeviceProfile = gpu.profile().clone();
        small.limits.max_storage_buffer_binding_size =
            2000 + u64::from(small.limits.min_storage_buffer_offset_alignment);
        for plan in [slow, small].iter().flat_map(|p| op.plans(p, &verify::guarded_layouts(&inputs)).unwrap()) {
            assert!(plan.dispatches.len() > 1, "{plan}");
            let report = verify::plan(gpu, &op, &plan, &inputs).unwrap();
            report.assert_strict();
            assert_eq!(report.exact_mismatches, 0, "{report}");
        }
    }
}

#[test]
fn bad_input_is_refused_by_name() {
    let f32s = |shape: &[usize]| Layout::new(shape, DType::F32);
    let fails = |op: ConvTranspose2d, inputs: &[Layout]| op.infer(inputs).unwrap_err().to_string();
    let op = ConvTranspose2d::default();
    let (x, weight) = (f32s(&[2, 3, 4, 5]), f32s(&[3, 4, 3, 3]));
    let good = [x.clone(), weight.clone()];
    assert_eq!(op.infer(&good).unwrap()[0].shape, [2, 4, 6, 7]);
    assert_eq!(fails(op, &good[..1]), "conv_transpose2d: 1 inputs given, 2 to 3 wanted");
    assert_eq!(fails(op, &[f32s(&[3, 4, 5]), weight.clone()]), "conv_transpose2d: x has 3 dimensions, 4 wanted");
    assert_eq!(
        fails(op, &[Layout::new(&[2, 3, 4, 5], DType::U32), weight.clone()]),
        "conv_transpose2d: x is u32, f32 wanted"
    );
    assert_eq!(
        fails(op, &[x.clone(), f32s(&[2, 4, 3, 3])]),
        "conv_transpose2d: x [2, 3, 4, 5] has 3 channels, weight [2, 4, 3, 3] has 2"
    );
    assert_eq!(
        fails(op, &[x.clone(), weight.clone(), f32s(&[5])]),
        "conv_transpose2d: bias [5] does not fit 4 output channels"
    );
    assert_eq!(fails(ConvTranspose2d { groups: 0, ..op }, &good), "conv_transpose2d: groups = 0: must be at least 1");
    assert_eq!(
        fails(ConvTranspose2d { groups: 2, ..op }, &good),
        "conv_transpose2d: groups = 2 does not divide 3 input channels"
    );
    assert_eq!(
        fails(ConvTranspose2d { stride: [0, 1], ..op }, &good),
        "conv_transpose2d: stride = [0, 1]: must be at least 1"
    );
    assert_eq!(
        fails(ConvTranspose2d { dilation: [1, 0], ..op }, &good),
        "conv_transpose2d: dilation = [1, 0]: must be at least 1"
    );
    assert_eq!(
        fails(ConvTranspose2d { output_padding: [0, 1], ..op }, &good),
        "conv_transpose2d: output_padding = [0, 1]: must be less than the stride or the dilation"
    );
    assert_eq!(
        fails(ConvTranspose2d { padding: Padding::symmetric(3, 0), ..op }, &good),
        "conv_transpose2d: padding 3 and 3 leaves nothing of the height 6"
    );
    let huge = Padding::symmetric(0, usize::MAX);
    assert_eq!(
        fails(ConvTranspose2d { padding: huge, ..op }, &good),
        format!("conv_transpose2d: padding {0} and {0} leaves nothing of the width 7", usize::MAX)
    );
    assert_eq!(
        fails(op, &[f32s(&[2, 3, 4, 0]), weight.clone()]),
        "conv_transpose2d: the image of x [2, 3, 4, 0] is empty"
    );
    assert_eq!(fails(op, &[x, f32s(&[3, 4, 0, 3])]), "conv_transpose2d: the kernel of weight [3, 4, 0, 3] is empty");
    assert!(matches!(
        ConvTranspose2d { stride: [1 << 30, 1], ..op }.infer(&good),
        Err(Error::Limit { limit: "i32 position", needed: 3_221_225_475, .. })
    ));
    assert!(matches!(
        ConvTranspose2d { stride: [usize::MAX, 1], ..op }.infer(&good),
        Err(Error::Limit { limit: "i32 position", needed: u64::MAX, .. })
    ));
    assert!(matches!(
        ConvTranspose2d { stride: [1 << 29, 1 << 28], ..op }.infer(&[f32s(&[64, 3, 4, 5]), weight]),
        Err(Error::Limit { limit: "address space", .. })
    ));
}
