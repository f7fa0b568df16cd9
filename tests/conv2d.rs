//! Convolutions against their twin: both bodies with small tiles around every edge and over pairs of options, and every
//! candidate of every device at its full size.

mod common;

use common::{
    DEPTHWISE, DIRECT, SMALLEST, TILED, around, check, check_full_size, check_projection, check_sampled, check_split,
    check_variants, f32s, floats, integers, pairwise, passes, patches, small_bindings, small_budget, with_profile,
};
use tilewise::reference::{HostTensor, Random};
use tilewise::verify::{self, devices};
use tilewise::{
    Activation, Class, Conv2d, ConvTranspose2d, DType, DeviceProfile, Error, Layout, Op, Padding, Precision, wgpu,
};

#[test]
fn integers_are_exact_over_pairs_of_options() {
    let mut random = Random::new(1);
    let kernels = [[1, 1], [3, 3], [5, 5], [1, 4], [2, 3]];
    let strides = [[1, 1], [2, 2], [3, 1], [1, 2]];
    let paddings = [
        Padding::default(),
        Padding::all(1),
        Padding::symmetric(2, 3),
        Padding { top: 2, left: 0, bottom: 1, right: 3 },
    ];
    let dilations = [[1, 1], [2, 2], [1, 3]];
    // Input channels, output channels, groups: one group, two, depthwise, depthwise with two outputs a channel.
    let channels = [(3, 5, 1), (4, 6, 2), (3, 3, 3), (2, 4, 2), (17, 9, 1)];
    for row in pairwise(&[5, 4, 4, 3, 5, 2, 2]) {
        let (kernel, (c, o, groups)) = (kernels[row[0]], channels[row[4]]);
        let op = Conv2d {
            stride: strides[row[1]],
            padding: paddings[row[2]],
            dilation: dilations[row[3]],
            groups,
            ..Default::default()
        };
        let inputs = [
            integers(&mut random, &[2, c, 10, 14]),
            integers(&mut random, &[o, c / groups, kernel[0], kernel[1]]),
            integers(&mut random, &[o]),
        ];
        // A kernel's sides and its epilogue make a pipeline, so the body is one more choice.
        check_variants(&op, &inputs[..2 + row[5]], true, &[[TILED, DIRECT][row[6]]]);
    }
}

#[test]
fn integers_are_exact_around_every_edge_of_a_tile() {
    let mut random = Random::new(2);
    let (rows, columns) = TILED.tile();
    let sides = [around(rows), around(columns), around(TILED.step as usize)];
    // A 1x1 kernel that steps over columns: k is the channels, columns are pixels.
    let op = Conv2d { stride: [1, 2], ..Default::default() };
    for row in pairwise(&[6, 6, 6]) {
        let [o, pixels, c] = [0, 1, 2].map(|factor| sides[factor][row[factor]]);
        let (images, width) = if pixels == 0 { (0, 1) } else { (1, 2 * pixels - 1) };
        check(&op, &[integers(&mut random, &[images, c, 1, width]), integers(&mut random, &[o, c, 1, 1])], true);
    }
}

#[test]
fn patches_are_exact_around_every_edge() {
    let mut random = Random::new(10);
    // Halos of none to four values, all phases used and not, a step of a row of the kernel and of all of it.
    let windows = [([3, 3], [1, 1]), ([2, 5], [2, 1]), ([3, 4], [1, 3]), ([7, 7], [2, 2]), ([1, 2], [3, 4])];
    let paddings = [Padding::all(1), Padding { top: 2, left: 0, bottom: 1, right: 3 }, Padding::symmetric(0, 6)];
    // Output channels around a tile of four, and groups.
    let channels = [(3, 1, 1), (1, 4, 1), (4, 10, 2), (3, 3, 3)];
    // Rows and columns of the output around a patch, and around what the lanes of most subgroups take together.
    let (heights, widths, images) = ([1, 2, 3, 5], [1, 3, 4, 5, 31, 34], [1, 3]);
    for (kernel, stride) in windows {
        for row in pairwise(&[paddings.len(), channels.len(), heights.len(), widths.len(), images.len()]) {
            let (padding, (c, o, groups)) = (paddings[row[0]], channels[row[1]]);
            let side = |axis: usize, out: usize, padded: usize| {
                ((out - 1) * stride[axis] + kernel[axis]).saturating_sub(padded).max(1)
            };
            let height = side(0, heights[row[2]], padding.top + padding.bottom);
            let width = side(1, widths[row[3]], padding.left + padding.right);
            let op = Conv2d { stride, padding, groups, ..Default::default() };
            let inputs = [
                integers(&mut random, &[images[row[4]], c, height, width]),
                integers(&mut random, &[o, c / groups, kernel[0], kernel[1]]),
            ];
            for gpu in devices() {
                let Some(patches) = patches(gpu) else { continue };
                let gpu = with_profile(gpu, |profile| profile.contractions = vec![patches]);
                for report in verify::candidates(&gpu, &op, &inputs).unwrap() {
                    passes(&op, &report, true);
                }
            }
        }
    }
}

#[test]
fn depthwise_convolutions_are_exact_around_every_edge() {
    let mut random = Random::new(11);
    // Kernels of all sides to seven, strides below and above them, and dilations, one of them of a single row.
    let windows = [
        ([3, 3], [1, 1], [1, 1]),
        ([3, 3], [2, 2], [1, 1]),
        ([7, 7], [1, 1], [1, 1]),
        ([5, 2], [1, 3], [1, 2]),
        ([1, 4], [2, 1], [9, 1]),
        ([2, 3], [3, 1], [2, 3]),
        ([1, 1], [2, 5], [1, 1]),
    ];
    // The last exceeds the kernel.
    let paddings = [Padding::all(1), Padding { top: 2, left: 0, bottom: 1, right: 3 }, Padding::symmetric(9, 6)];
    // Channels, and outputs of each.
    let channels = [(3, 1), (2, 3)];
    // Rows and columns of the output around the rows and the four of an invocation, and more columns than a run of fours.
    let (heights, widths, images) = ([1, 2, 3, 5], [1, 3, 4, 5, 8, 260], [1, 3]);
    for (kernel, stride, dilation) in windows {
        for row in pairwise(&[paddings.len(), channels.len(), heights.len(), widths.len(), images.len(), 2]) {
            let (padding, (c, outputs)) = (paddings[row[0]], channels[row[1]]);
            let side = |axis: usize, out: usize, padded: usize| {
                ((out - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1).saturating_sub(padded).max(1)
            };
            let height = side(0, heights[row[2]], padding.top + padding.bottom);
            let width = side(1, widths[row[3]], padding.left + padding.right);
            let op = Conv2d { stride, padding, dilation, groups: c, ..Default::default() };
            let inputs = [
                integers(&mut random, &[images[row[4]], c, height, width]),
                integers(&mut random, &[c * outputs, 1, kernel[0], kernel[1]]),
                integers(&mut random, &[c * outputs]),
            ];
            check_depthwise(&op, &inputs[..2 + row[5]], 1, |_| ());
        }
    }
}

#[test]
fn depthwise_convolutions_end_with_their_epilogue() {
    let mut random = Random::new(12);
    let shapes: [&[usize]; 3] = [&[2, 3, 6, 9], &[6, 1, 3, 3], &[6]];
    let op = Conv2d { padding: Padding::all(1), groups: 3, ..Default::default() };
    let inputs = shapes.map(|shape| floats(&mut random, shape));
    for activation in [Activation::None, Activation::Relu, Activation::Gelu] {
        check_variants(&Conv2d { activation, ..op }, &inputs, false, &[DEPTHWISE]);
    }
}

#[test]
fn depthwise_pieces_that_fit_small_bindings_give_the_same() {
    let mut random = Random::new(13);
    let op = Conv2d { padding: Padding::all(1), groups: 3, ..Default::default() };
    let inputs = [[3, 3, 8, 12].as_slice(), &[6, 1, 3, 3], &[6]].map(|shape| integers(&mut random, shape));
    // A plane is 384 bytes: bindings hold one, or an image.
    for (bytes, dispatches) in [(400, 18), (2500, 3)] {
        check_depthwise(&op, &inputs, dispatches, small_bindings(bytes));
    }
    check_depthwise(&op, &inputs, 18, small_budget(2000));
}

/// Verifies the depthwise body, in so many dispatches, on every device.
#[track_caller]
fn check_depthwise(op: &Conv2d, inputs: &[HostTensor], dispatches: usize, change: impl Fn(&mut DeviceProfile)) {
    for gpu in devices() {
        let gpu = with_profile(gpu, |profile| {
            profile.contractions = vec![DEPTHWISE];
            change(profile);
        });
        for plan in op.plans(gpu.profile(), &verify::guarded_layouts(inputs)).unwrap() {
            assert_eq!(plan.dispatches.len(), dispatches, "{plan}");
            passes(op, &verify::plan(&gpu, op, &plan, inputs).unwrap(), true);
        }
    }
}

/// A driver on the CPU with subgroups of eight.
fn on_the_cpu() -> DeviceProfile {
    let mut profile = DeviceProfile { class: Class::Cpu, subgroup_size: (8, 8), ..DeviceProfile::baseline() };
    profile.features |= wgpu::Features::SUBGROUP;
    profile
}

#[test]
fn patches_refuse_what_is_no_convolution_of_theirs() {
    let profile = DeviceProfile {
        contractions: vec![tilewise::ContractionVariant {
            body: tilewise::ContractionBody::Patches,
            lanes: (8, 1),
            per_lane: (4, 8),
            step: 1,
            parts: 1,
            winograd: 0,
        }],
        ..on_the_cpu()
    };
    let refused = |op: &dyn Op, inputs: &[Layout]| match op.plan(&profile, inputs) {
        Err(Error::Limit { limit, needed, available, .. }) => (limit, needed, available),
        other => panic!("{other:?}"),
    };
    let (x, op) = (f32s(&[2, 3, 8, 30]), Conv2d::default());
    let of = |kernel: [usize; 2]| [x.clone(), f32s(&[4, 3, kernel[0], kernel[1]])];
    assert_eq!(refused(&op, &of([1, 1])), ("operands without windows", 1, 0));
    assert_eq!(refused(&Conv2d { dilation: [1, 3], ..op }, &of([3, 2])), ("dilation", 3, 1));
    assert_eq!(refused(&op, &of([3, 6])), ("values of a window behind its vector", 5, 4));
    let transposed = ConvTranspose2d::default();
    assert_eq!(refused(&transposed, &[x.clone(), f32s(&[3, 4, 3, 3])]), ("transposed windows", 1, 0));
    let wide = [f32s(&[1, 1, 1, 240_010]), f32s(&[1, 1, 1, 2])];
    assert_eq!(refused(&op, &wide), ("loop trips", 60_003, 60_000));
    // A dilation of a single tap is none, and a stride shortens the halo.
    assert!(Conv2d { dilation: [9, 9], stride: [1, 2], ..op }.plan(&profile, &of([1, 1])).is_ok());
    assert!(Conv2d { stride: [1, 2], ..op }.plan(&profile, &of([8, 10])).is_ok());
    assert!(op.plan(&DeviceProfile { subgroup_size: (4, 4), ..profile.clone() }, &of([3, 3])).is_err());
}

#[test]
fn depthwise_bodies_refuse_what_is_no_convolution_of_theirs() {
    let profile = DeviceProfile { contractions: vec![DEPTHWISE], ..on_the_cpu() };
    let refused = |op: &dyn Op, inputs: &[Layout]| match op.plan(&profile, inputs) {
        Err(Error::Limit { limit, needed, available, .. }) => (limit, needed, available),
        other => panic!("{other:?}"),
    };
    let (x, op) = (f32s(&[2, 4, 40, 80]), Conv2d { groups: 4, ..Default::default() });
    let of = |kernel: [usize; 2]| [x.clone(), f32s(&[4, 1, kernel[0], kernel[1]])];
    assert_eq!(refused(&op, &of([1, 1])), ("operands without windows", 1, 0));
    assert_eq!(
        refused(&Conv2d { groups: 2, ..op }, &[x.clone(), f32s(&[4, 2, 3, 3])]),
        ("channels of a group but one", 1, 0)
    );
    let transposed = ConvTranspose2d { groups: 4, ..Default::default() };
    assert_eq!(refused(&transposed, &of([3, 3])), ("transposed windows", 1, 0));
    // Nine rows and eleven with that of the second output; of a four of outputs 7 + 3 columns.
    assert!(Conv2d { dilation: [5, 3], ..op }.plan(&profile, &of([3, 3])).is_ok());
    assert_eq!(refused(&Conv2d { dilation: [20, 3], ..op }, &of([2, 3])), ("vectors of an invocation", 66, 64));
    assert_eq!(refused(&op, &of([11, 10])), ("multiply-adds of a step", 220, 200));
}

#[test]
fn drivers_on_the_cpu_choose_by_what_a_convolution_costs() {
    let chosen = |op: Conv2d, x: &[usize], weight: &[usize]| {
        let plan = op.plan(&on_the_cpu(), &[f32s(x), f32s(weight)]).unwrap();
        plan.variant.split(' ').next().unwrap().to_owned()
    };
    let op = Conv2d { padding: Padding::all(1), ..Default::default() };
    assert_eq!(chosen(op, &[8, 64, 56, 56], &[64, 64, 3, 3]), "contraction/patches");
    assert_eq!(chosen(Conv2d { stride: [2, 2], ..op }, &[1, 3, 224, 224], &[64, 3, 7, 7]), "contraction/patches");
    assert_eq!(chosen(Conv2d { groups: 64, ..op }, &[8, 64, 56, 56], &[64, 1, 3, 3]), "contraction/depthwise");
    assert_eq!(chosen(Conv2d { groups: 64, ..op }, &[1, 64, 7, 7], &[128, 1, 5, 5]), "contraction/depthwise");
    // Rows of four pixels and a halo are half empty.
    assert_eq!(chosen(op, &[1, 512, 4, 4], &[512, 512, 3, 3]), "contraction/broadcast");
    assert_eq!(chosen(Conv2d { dilation: [2, 2], ..op }, &[8, 64, 56, 56], &[64, 64, 3, 3]), "contraction/broadcast");
    assert_eq!(chosen(Conv2d::default(), &[8, 64, 56, 56], &[64, 64, 1, 1]), "contraction/broadcast");
}

#[test]
fn every_candidate_at_full_size() {
    // Two tiles of 64 either way, the second a rest, and three steps of 16 with a rest.
    let op = Conv2d { padding: Padding::all(1), stride: [2, 1], ..Default::default() };
    check_full_size(&op, &[&[2, 5, 9, 11], &[70, 5, 3, 3], &[70]]);
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
    let op = Conv2d { padding: Padding::all(1), stride: [2, 1], ..Default::default() };
    let inputs = [[2, 20, 13, 17].as_slice(), &[33, 20, 3, 3], &[33]].map(|shape| floats(&mut random, shape));
    check(&op, &inputs, false);
}

#[test]
fn residuals_are_added_before_the_activation() {
    let mut random = Random::new(17);
    let op = Conv2d { padding: Padding::all(1), activation: Activation::Relu, ..Default::default() };
    for (groups, kernel, biased) in [(1, [3, 3], true), (4, [3, 2], false), (1, [1, 1], true)] {
        let op = Conv2d { groups, ..op };
        let shapes = [vec![2, 4, 7, 9], [vec![8, 4 / groups], kernel.to_vec()].concat(), vec![8]];
        let mut inputs: Vec<HostTensor> = shapes.iter().map(|shape| integers(&mut random, shape)).collect();
        let output = op.infer(&inputs.iter().map(HostTensor::layout).collect::<Vec<_>>()).unwrap().swap_remove(0);
        inputs.push(integers(&mut random, &output.shape));
        if !biased {
            inputs.remove(2);
        }
        check(&op, &inputs, true);
    }
    let plain = Conv2d { activation: Activation::None, ..op };
    check_projection(&plain, &[&[2, 4, 5, 6], &[6, 4, 3, 3], &[6], &[2, 6, 5, 6]], |flat| flat / 180 * 30 + flat % 30);
    let winograd = Conv2d { precision: Precision::Winograd, ..plain };
    check(&winograd, &[[2, 4, 9, 8], [6, 4, 3, 3], [2, 6, 9, 8]].map(|shape| floats(&mut random, &shape)), false);
}

#[test]
fn every_activation() {
    let mut random = Random::new(6);
    let inputs = [[1, 3, 2, 3].as_slice(), &[4, 3, 3, 3], &[4]].map(|shape| floats(&mut random, shape));
    for activation in Activation::ALL {
        let op = Conv2d { activation, padding: Padding::all(1), ..Default::default() };
        check_variants(&op, &inputs, false, &[SMALLEST]);
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
    let inputs = [[5, 4, 9, 11].as_slice(), &[6, 2, 3, 3], &[6]].map(|shape| integers(&mut random, shape));
    // One image of one group is 792 bytes of input.
    check_split(&op, &inputs, 9, small_bindings(1400));
}

#[test]
fn work_is_split_inside_of_images() {
    let mut random = Random::new(9);
    let op = Conv2d { padding: Padding::all(1), ..Default::default() };
    let inputs = [[3, 2, 9, 23].as_slice(), &[3, 2, 3, 3]].map(|shape| integers(&mut random, shape));
    check_split(&op, &inputs, 3, small_budget(5000));
}

#[test]
fn the_projection_sees_what_is_lost() {
    let op = Conv2d { padding: Padding::all(1), stride: [1, 2], dilation: [2, 1], groups: 2, ..Default::default() };
    // Outputs of 3 x 5 x 4 pixels in two groups of three channels.
    let place = |flat: usize| (flat / 120 * 2 + flat % 120 / 60) * 20 + flat % 20;
    check_projection(&op, &[&[3, 4, 7, 8], &[6, 2, 3, 3], &[6]], place);
    check_projection(&op, &[&[3, 4, 7, 8], &[6, 2, 3, 3]], place);
}

#[test]
fn large_convolutions_are_sampled_and_projected() {
    check_sampled(
        &Conv2d { padding: Padding::all(1), ..Default::default() },
        &[&[2, 64, 56, 56], &[64, 64, 3, 3], &[64]],
    );
}

#[test]
fn bad_input_is_refused_by_name() {
    let fails = |op: Conv2d, inputs: &[Layout]| op.infer(inputs).unwrap_err().to_string();
    let op = Conv2d::default();
    let (x, weight) = (f32s(&[2, 3, 8, 9]), f32s(&[4, 3, 3, 3]));
    let good = [x.clone(), weight.clone()];
    assert_eq!(op.infer(&good).unwrap()[0].shape, [2, 4, 6, 7]);
    assert_eq!(fails(op, &good[..1]), "conv2d: 1 inputs given, 2 to 4 wanted");
    assert_eq!(fails(op, &[f32s(&[3, 8, 9]), weight.clone()]), "conv2d: x has 3 dimensions, 4 wanted");
    assert_eq!(fails(op, &[x.clone(), f32s(&[4, 3, 3])]), "conv2d: weight has 3 dimensions, 4 wanted");
    assert_eq!(fails(op, &[x.clone(), weight.clone(), f32s(&[1, 4])]), "conv2d: bias has 2 dimensions, 1 wanted");
    assert_eq!(
        fails(op, &[x.clone(), Layout::new(&[4, 3, 3, 3], DType::I32)]),
        "conv2d: weight is i32, f32 or f16 wanted"
    );
    assert_eq!(
        fails(op, &[x.clone(), f32s(&[4, 2, 3, 3])]),
        "conv2d: x [2, 3, 8, 9] in 1 groups has 3 channels each, weight [4, 2, 3, 3] has 2"
    );
    assert_eq!(fails(op, &[x.clone(), weight.clone(), f32s(&[5])]), "conv2d: bias [5] does not fit 4 output channels");
    let residual = [x.clone(), weight.clone(), f32s(&[4]), f32s(&[2, 4, 6, 6])];
    let said = "conv2d: residual [2, 4, 6, 6] is not of the output's shape [2, 4, 6, 7]";
    assert_eq!(fails(op, &residual), said);
    assert_eq!(fails(op, &[&residual[..2], &residual[3..]].concat()), said);
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
