//! Winograd's method: every tile at its edges, through several variants of the products, and what its larger bound says.

mod common;

use common::{DIRECT, TILED, broadcast, check_split, floats, passes, small_bindings, with_profile};
use tilewise::reference::{HostTensor, Random, Select, Twin};
use tilewise::verify::{self, devices};
use tilewise::{
    Activation, Class, ContractionVariant, Conv2d, ConvTranspose2d, DType, DeviceProfile, Gpu, Layout, Op, Padding,
    Precision, wgpu,
};

const OP: Conv2d = Conv2d {
    stride: [1; 2],
    padding: Padding::all(0),
    dilation: [1; 2],
    groups: 1,
    activation: Activation::None,
    precision: Precision::Winograd,
    output: None,
};

/// Both tiles, by two or three variants of the products.
fn variants(gpu: &Gpu) -> Vec<ContractionVariant> {
    let plain = [Some(TILED), Some(DIRECT), broadcast(gpu)].into_iter().flatten();
    plain.flat_map(|variant| [2, 4].map(|winograd| ContractionVariant { winograd, ..variant })).collect()
}

fn able() -> impl Iterator<Item = Gpu> {
    devices().iter().map(|gpu| with_profile(gpu, |profile| profile.contractions = variants(gpu)))
}

/// -1, 0 and 1: what becomes of them on the way is whole and below 2^24, so that they come out to the bit.
fn units(random: &mut Random, shape: &[usize]) -> HostTensor {
    let elements: Vec<f32> = (0..shape.iter().product()).map(|_| random.below(3) as f32 - 1.0).collect();
    HostTensor::new(shape, &elements).unwrap()
}

fn check(op: &Conv2d, shapes: &[&[usize]]) {
    let mut random = Random::new(0x3E);
    for gpu in able() {
        for (make, exact) in [(units as fn(&mut Random, &[usize]) -> HostTensor, true), (floats, false)] {
            let inputs: Vec<HostTensor> = shapes.iter().map(|shape| make(&mut random, shape)).collect();
            let reports = verify::candidates(&gpu, op, &inputs).unwrap();
            assert_eq!(reports.len(), variants(&gpu).len());
            for report in reports {
                assert!(report.what.contains("Winograd"), "{report}");
                passes(op, &report, exact);
            }
        }
    }
}

#[test]
fn outputs_around_the_sides_of_a_tile() {
    for side in 1..=9 {
        let other = 10 - side;
        let op = Conv2d { padding: Padding { top: side % 3, left: other % 3, bottom: 0, right: 1 }, ..OP };
        let (height, width) = (side + 2 - op.padding.top.min(side + 1), other + 2);
        check(&op, &[&[1, 2, height, width], &[3, 2, 3, 3]]);
    }
}

#[test]
fn images_channels_and_groups() {
    let padded = Conv2d { padding: Padding::all(1), ..OP };
    check(&padded, &[&[3, 2, 5, 6], &[4, 2, 3, 3], &[4]]);
    check(&Conv2d { groups: 2, activation: Activation::Relu, ..padded }, &[&[2, 6, 8, 8], &[4, 3, 3, 3], &[4]]);
    check(&Conv2d { groups: 3, ..OP }, &[&[1, 3, 6, 6], &[3, 1, 3, 3]]);
    // Padding beyond a whole tile.
    check(&Conv2d { padding: Padding::all(7), ..OP }, &[&[1, 1, 2, 3], &[1, 1, 3, 3], &[1]]);
}

#[test]
fn half_precision_storage() {
    for gpu in able().filter(|gpu| gpu.profile().features.contains(wgpu::Features::SHADER_F16)) {
        let mut random = Random::new(4);
        let mut draw = |shape: &[usize]| common::small(&mut random, shape, DType::F16, false);
        let inputs = [draw(&[2, 3, 7, 9]), draw(&[5, 3, 3, 3]), draw(&[5])];
        for report in verify::candidates(&gpu, &OP, &inputs).unwrap() {
            report.assert_strict();
        }
    }
}

#[test]
fn images_are_cut_where_bindings_are_small() {
    let mut random = Random::new(5);
    let inputs = [units(&mut random, &[5, 2, 6, 6]), units(&mut random, &[3, 2, 3, 3]), units(&mut random, &[3])];
    for gpu in able() {
        // Of five images' points, those of two fit.
        let change = |profile: &mut DeviceProfile| {
            profile.contractions = vec![ContractionVariant { winograd: 2, ..DIRECT }];
            small_bindings(16 * 4 * 3 * 2 * 4)(profile);
        };
        let gpu = with_profile(&gpu, change);
        let plan = OP.plan(gpu.profile(), &verify::guarded_layouts(&inputs)).unwrap();
        // The filters once; the others for each part.
        assert!(plan.dispatches.len() > 4 && (plan.dispatches.len() - 1) % 3 == 0, "{plan}");
        passes(&OP, &verify::plan(&gpu, &OP, &plan, &inputs).unwrap(), true);
    }
    // Where not even one image fits, variants that need no points take its place.
    check_split(&OP, &inputs, 1, small_bindings(700));
}

/// With whole tiles of zeros beside it a window is exact to the usual bound; a large value beside it takes digits away.
#[test]
fn the_bound_grows_with_what_lies_beside_a_window() {
    let bounds = |beside: f32, precision: Precision| {
        let mut x = vec![0.5f32; 36];
        x[35] = beside;
        let inputs =
            [HostTensor::new(&[1, 1, 6, 6], &x).unwrap(), HostTensor::new(&[1, 1, 3, 3], &[0.25f32; 9]).unwrap()];
        let op = Conv2d { precision, ..OP };
        op.twin(&inputs, &Select::All).unwrap()[0].values[0].bound
    };
    let plain = bounds(0.5, Precision::F32);
    assert_eq!(plain, bounds(1e6, Precision::F32));
    let near = bounds(0.5, Precision::Winograd);
    assert!(near > 4.0 * plain && near < 400.0 * plain, "{near} {plain}");
    // The value in the corner has no factor in the tile's first output: its neighbour has.
    let mut x = vec![0.5f32; 36];
    x[28] = 1e6;
    let inputs = [HostTensor::new(&[1, 1, 6, 6], &x).unwrap(), HostTensor::new(&[1, 1, 3, 3], &[0.25f32; 9]).unwrap()];
    let far = OP.twin(&inputs, &Select::All).unwrap()[0].values[0].bound;
    assert!(far > 1e3 * near, "{far} {near}");
    for gpu in able() {
        verify::candidates(&gpu, &OP, &inputs).unwrap().iter().for_each(|report| report.assert());
    }
}

#[test]
fn infinities_reach_the_whole_tile_and_no_further() {
    let mut x = vec![1.0f32; 100];
    x[0] = f32::INFINITY;
    let inputs = [HostTensor::new(&[1, 1, 10, 10], &x).unwrap(), HostTensor::new(&[1, 1, 3, 3], &[1.0f32; 9]).unwrap()];
    let values = &OP.twin(&inputs, &Select::All).unwrap()[0].values;
    let undecided: Vec<usize> = (0..64).filter(|&i| values[i].is_undecided()).collect();
    let tile: Vec<usize> = (0..64).filter(|i| i / 8 < 4 && i % 8 < 4).collect();
    assert_eq!(undecided, tile);
    for gpu in able() {
        verify::candidates(&gpu, &OP, &inputs).unwrap().iter().for_each(|report| report.assert());
    }
}

/// Who does not ask for it does not get it, nor does what it is not made for.
#[test]
fn it_is_for_those_who_ask() {
    let taken = |op: &dyn Op, profile: &DeviceProfile, shapes: [&[usize]; 2]| {
        let layouts = shapes.map(|shape| Layout::new(shape, DType::F32));
        op.plans(profile, &layouts).unwrap().iter().any(|plan| plan.variant.contains("Winograd"))
    };
    let (x, weight): (&[usize], &[usize]) = (&[8, 256, 14, 14], &[256, 256, 3, 3]);
    for class in [Class::Cpu, Class::Unknown] {
        let profile = DeviceProfile { class, ..DeviceProfile::baseline() };
        assert!(taken(&OP, &profile, [x, weight]));
        let first = OP.plan(&profile, &[x, weight].map(|shape| Layout::new(shape, DType::F32))).unwrap();
        assert!(first.variant.ends_with("of Winograd's 4x4"), "{first}");
        assert!(!taken(&Conv2d { precision: Precision::F32, ..OP }, &profile, [x, weight]));
        assert!(!taken(&Conv2d { stride: [1, 2], ..OP }, &profile, [x, weight]));
        assert!(!taken(&Conv2d { dilation: [2, 1], ..OP }, &profile, [x, weight]));
        assert!(!taken(&OP, &profile, [x, &[256, 256, 3, 2]]));
        assert!(!taken(&ConvTranspose2d::default(), &profile, [x, &[256, 256, 3, 3]]));
    }
}
