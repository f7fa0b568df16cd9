//! Transposed convolutions against their twin: both bodies with small tiles around every edge and over pairs of options, and
//! every candidate of every device at its full size.

mod common;

use common::{
    DIRECT, SMALLEST, TILED, around, check, check_full_size, check_projection, check_sampled, check_split,
    check_variants, f32s, floats, integers, pairwise, small_bindings, small_budget,
};
use tilewise::reference::Random;
use tilewise::{Activation, ConvTranspose2d, DType, Error, Layout, Op, Padding};

#[test]
fn integers_are_exact_over_pairs_of_options() {
    let mut random = Random::new(1);
    let kernels = [[1, 1], [3, 3], [5, 5], [4, 2], [2, 3]];
    let strides = [[1, 1], [2, 2], [3, 1], [2, 3]];
    let paddings = [Padding::default(), Padding::all(1), Padding { top: 2, left: 0, bottom: 1, right: 1 }];
    let dilations = [[1, 1], [2, 2], [1, 3]];
    // Input channels, output channels of a group, groups: one group, two, depthwise, depthwise with two outputs a channel.
    let channels = [(3, 5, 1), (4, 3, 2), (3, 1, 3), (2, 2, 2), (17, 9, 1)];
    for row in pairwise(&[5, 4, 3, 3, 5, 2, 2, 2]) {
        let (kernel, (c, o, groups)) = (kernels[row[0]], channels[row[4]]);
        let (stride, dilation) = (strides[row[1]], dilations[row[3]]);
        let op = ConvTranspose2d {
            stride,
            padding: paddings[row[2]],
            output_padding: [0, 1].map(|axis| row[5] * (stride[axis].max(dilation[axis]) - 1)),
            dilation,
            groups,
            ..Default::default()
        };
        let inputs = [
            integers(&mut random, &[2, c, 5, 7]),
            integers(&mut random, &[c, o, kernel[0], kernel[1]]),
            integers(&mut random, &[o * groups]),
        ];
        // A kernel's sides, the stride and the epilogue make a pipeline, so the body is one more choice.
        check_variants(&op, &inputs[..2 + row[6]], true, &[[TILED, DIRECT][row[7]]]);
    }
}

#[test]
fn integers_are_exact_around_every_edge_of_a_tile() {
    let mut random = Random::new(2);
    let (rows, columns) = TILED.tile();
    let sides = [around(rows), around(columns), around(TILED.step as usize)];
    // A kernel of one row and two taps, cut to as many pixels as there are inputs: k is twice the channels.
    let op = ConvTranspose2d { padding: Padding { right: 1, ..Default::default() }, ..Default::default() };
    for row in pairwise(&[6, 6, 6]) {
        let [o, pixels, c] = [0, 1, 2].map(|factor| sides[factor][row[factor]]);
        let (images, width) = if pixels == 0 { (0, 1) } else { (1, pixels) };
        check(&op, &[integers(&mut random, &[images, c, 1, width]), integers(&mut random, &[c, o, 1, 2])], true);
    }
}

#[test]
fn every_candidate_at_full_size() {
    // Two tiles of 64 either way, the second a rest, and three steps of 16 with a rest.
    let op = ConvTranspose2d { padding: Padding::all(1), stride: [2, 1], ..Default::default() };
    check_full_size(&op, &[&[2, 5, 4, 10], &[5, 70, 3, 3], &[70]]);
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
    let op = ConvTranspose2d { padding: Padding::all(1), stride: [2, 1], ..Default::default() };
    let inputs = [[2, 20, 7, 9].as_slice(), &[20, 33, 3, 3], &[33]].map(|shape| floats(&mut random, shape));
    check(&op, &inputs, false);
}

#[test]
fn every_activation() {
    let mut random = Random::new(5);
    let inputs = [[1, 3, 4, 3].as_slice(), &[3, 4, 3, 3], &[4]].map(|shape| floats(&mut random, shape));
    for activation in Activation::ALL {
        let op = ConvTranspose2d { activation, stride: [2, 2], ..Default::default() };
        check_variants(&op, &inputs, false, &[SMALLEST]);
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
    let inputs = [[5, 4, 6, 7].as_slice(), &[4, 3, 3, 3]].map(|shape| integers(&mut random, shape));
    check_split(&op, &inputs, 1, small_budget(5000));
    check_split(&op, &inputs, 1, small_bindings(2000));
}

#[test]
fn the_projection_sees_what_is_lost() {
    let op = ConvTranspose2d { padding: Padding::all(1), stride: [1, 2], groups: 2, ..Default::default() };
    // Outputs of 3 x 4 x 5 pixels in two groups of three channels.
    let place = |flat: usize| (flat / 120 * 2 + flat % 120 / 60) * 20 + flat % 20;
    check_projection(&op, &[&[3, 4, 4, 3], &[4, 3, 3, 3], &[6]], place);
    check_projection(&op, &[&[3, 4, 4, 3], &[4, 3, 3, 3]], place);
}

#[test]
fn large_convolutions_are_sampled_and_projected() {
    let op = ConvTranspose2d { padding: Padding::all(1), stride: [2, 2], ..Default::default() };
    check_sampled(&op, &[&[1, 64, 28, 28], &[64, 64, 4, 4], &[64]]);
}

#[test]
fn bad_input_is_refused_by_name() {
    let fails = |op: ConvTranspose2d, inputs: &[Layout]| op.infer(inputs).unwrap_err().to_string();
    let op = ConvTranspose2d::default();
    let (x, weight) = (f32s(&[2, 3, 4, 5]), f32s(&[3, 4, 3, 3]));
    let good = [x.clone(), weight.clone()];
    assert_eq!(op.infer(&good).unwrap()[0].shape, [2, 4, 6, 7]);
    assert_eq!(fails(op, &good[..1]), "conv_transpose2d: 1 inputs given, 2 to 3 wanted");
    assert_eq!(fails(op, &[f32s(&[3, 4, 5]), weight.clone()]), "conv_transpose2d: x has 3 dimensions, 4 wanted");
    assert_eq!(
        fails(op, &[Layout::new(&[2, 3, 4, 5], DType::U32), weight.clone()]),
        "conv_transpose2d: x is u32, f32 or f16 wanted"
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
