//! The ops on masks against their twins, bit by bit.

mod common;

use common::{device, u32s};
use tilewise::reference::{HostTensor, Random, Twin};
use tilewise::verify::{self, devices};
use tilewise::{
    ApplyMask, BlockMask, CountMask, DType, DeviceProfile, Error, ExpandMask, Grain, IndexMask, Layout, Op,
    PruneGroups, PruneLowest,
};

/// Lengths around a word of a mask, and those of several workgroups.
const LENGTHS: [usize; 9] = [1, 5, 31, 32, 33, 64, 67, 1000, 4099];

#[track_caller]
fn check(op: &dyn Twin, inputs: &[HostTensor]) {
    for gpu in devices() {
        for report in verify::candidates(gpu, op, inputs).unwrap() {
            report.assert_strict();
            assert_eq!(report.exact_mismatches, 0, "{op:?} {report}");
        }
    }
}

/// A mask that keeps about so many of a hundred.
fn mask(random: &mut Random, len: usize, percent: usize) -> HostTensor {
    let bits: Vec<bool> = (0..len).map(|_| random.below(100) < percent).collect();
    let words: Vec<u32> =
        bits.chunks(32).map(|bits| bits.iter().rev().fold(0, |word, &bit| word << 1 | u32::from(bit))).collect();
    u32s(&words)
}

fn floats(random: &mut Random, shape: &[usize]) -> HostTensor {
    HostTensor::new(shape, &random.floats(shape.iter().product())).unwrap()
}

/// With many ties, signed zeros among them.
fn whole(random: &mut Random, shape: &[usize]) -> HostTensor {
    let values: Vec<f32> =
        random.integers(shape.iter().product()).iter().map(|x| if *x == 1.0 { -0.0 } else { *x }).collect();
    HostTensor::new(shape, &values).unwrap()
}

#[test]
fn the_lowest_of_a_tensor() {
    let mut random = Random::new(1);
    for len in LENGTHS {
        for percent in [100, 50, 0] {
            for count in [0, 1, len / 3, len / 2, len, len + 1] {
                let kept = mask(&mut random, len, percent);
                check(&PruneLowest { count }, &[floats(&mut random, &[len]), kept.clone()]);
                check(&PruneLowest { count }, &[whole(&mut random, &[len]), kept]);
            }
        }
    }
}

#[test]
fn the_lowest_of_several_tensors() {
    let mut random = Random::new(2);
    let shapes = [vec![3, 5, 7], vec![0], vec![400], vec![2, 33], vec![1]];
    for count in [0, 1, 100, 300, 571, 572, 1000] {
        for percent in [100, 70] {
            let mut inputs: Vec<HostTensor> = shapes.iter().map(|shape| whole(&mut random, shape)).collect();
            inputs.extend(shapes.iter().map(|shape| mask(&mut random, shape.iter().product(), percent)));
            check(&PruneLowest { count }, &inputs);
        }
    }
}

/// Many workgroups, and indices of three digits; in a device of wgpu alone, since the emulator would take long.
#[test]
fn the_lowest_of_many() {
    let Some(gpu) = device() else { return };
    let mut random = Random::new(3);
    for (len, count) in [(70_001, 35_000), (200_000, 1), (200_000, 199_999)] {
        for scores in [floats(&mut random, &[len]), whole(&mut random, &[len])] {
            let report = verify::op(gpu, &PruneLowest { count }, &[scores, mask(&mut random, len, 80)]).unwrap();
            report.assert_strict();
            assert_eq!(report.exact_mismatches, 0, "{report}");
        }
    }
}

#[test]
fn nan_counts_as_larger_than_infinity() {
    let scores = [f32::NAN, f32::INFINITY, 1.0, f32::NEG_INFINITY, -f32::NAN, f32::MAX, -0.5, f32::MIN_POSITIVE];
    let scores = HostTensor::new(&[8], &scores).unwrap();
    for count in 0..=8 {
        check(&PruneLowest { count }, &[scores.clone(), u32s(&[0xff])]);
    }
    for keep in 1..=4 {
        check(&PruneGroups { keep, group: 4 }, &[scores.clone(), u32s(&[0xff])]);
    }
}

#[test]
fn halves_are_scores_too() {
    let mut random = Random::new(4);
    let scores: Vec<half::f16> = random.floats(100).into_iter().map(half::f16::from_f32).collect();
    let scores = HostTensor::new(&[4, 25], &scores).unwrap();
    let mask = mask(&mut random, 100, 90);
    for gpu in devices().iter().filter(|gpu| gpu.profile().features.contains(tilewise::wgpu::Features::SHADER_F16)) {
        let ops: [&dyn Twin; 3] = [&PruneLowest { count: 40 }, &PruneGroups { keep: 2, group: 4 }, &ApplyMask];
        for op in ops {
            let report = verify::op(gpu, op, &[scores.clone(), mask.clone()]).unwrap();
            report.assert_strict();
            assert_eq!(report.exact_mismatches, 0, "{report}");
        }
    }
}

#[test]
fn groups_of_rows() {
    let mut random = Random::new(5);
    for (keep, group) in [(2, 4), (1, 4), (4, 4), (1, 1), (3, 7), (4, 8), (16, 32), (33, 64)] {
        for columns in [1, 3, 4, 5, 11, 32, 33, 100] {
            let (rows, percent) = (1 + random.below(5), [100, 60][random.below(2)]);
            let kept = mask(&mut random, rows * columns, percent);
            check(&PruneGroups { keep, group }, &[whole(&mut random, &[rows, columns]), kept]);
        }
    }
}

#[test]
fn slices_and_blocks_are_expanded() {
    let mut random = Random::new(6);
    let shape = vec![5, 4, 3, 7];
    let kept = mask(&mut random, 420, 80);
    for axis in 0..4 {
        let groups = mask(&mut random, shape[axis], 50);
        check(&ExpandMask { shape: shape.clone(), grain: Grain::Slices(axis) }, &[groups, kept.clone()]);
    }
    for block in [[1, 1], [16, 16], [32, 32], [2, 5], [32, 1], [3, 84], [1, 32]] {
        for shape in [vec![37, 70], vec![32, 32], vec![1, 65], vec![9, 2, 3, 3]] {
            let (rows, columns) = (shape[0], shape[1..].iter().product::<usize>());
            let groups = mask(&mut random, rows.div_ceil(block[0]) * columns.div_ceil(block[1]), 50);
            let kept = mask(&mut random, rows * columns, 90);
            check(&ExpandMask { shape, grain: Grain::Blocks(block) }, &[groups, kept]);
        }
    }
}

#[test]
fn what_is_pruned_is_zero_whatever_it_was() {
    let mut random = Random::new(7);
    for len in LENGTHS {
        check(&ApplyMask, &[floats(&mut random, &[len]), mask(&mut random, len, 50)]);
    }
    let odd = HostTensor::new(&[4], &[f32::NAN, f32::INFINITY, f32::NAN, -0.0]).unwrap();
    check(&ApplyMask, &[odd.clone(), u32s(&[0b1100])]);
    check(&ApplyMask, &[odd, u32s(&[0b0011])]);
}

#[test]
fn blocks_rows_and_columns_of_a_mask() {
    let mut random = Random::new(8);
    for sizes in [[1, 1], [37, 70], [64, 64], [3, 129], [33, 31], [5, 0], [0, 7]] {
        for percent in [100, 30, 2, 0] {
            let bits = mask(&mut random, sizes[0] * sizes[1], percent);
            for block in [[32, 32], [16, 16], [1, 4], [32, 1], [5, 7]] {
                check(&BlockMask { sizes, block }, std::slice::from_ref(&bits));
            }
            check(&CountMask { sizes }, std::slice::from_ref(&bits));
            // As many entries as bits, rows filled up to fours, and rows that have too few.
            let counts: Vec<usize> = (0..sizes[0])
                .map(|row| (0..sizes[1]).filter(|column| bit(&bits, row * sizes[1] + column)).count())
                .collect();
            let forms: [fn(usize) -> usize; 3] = [|n| n, |n| n.next_multiple_of(4), |n| n / 2];
            for form in forms {
                let mut pointers = vec![0u32];
                pointers.extend(counts.iter().scan(0, |end, &n| {
                    *end += form(n) as u32;
                    Some(*end)
                }));
                let len = *pointers.last().unwrap() as usize;
                check(&IndexMask { sizes, len }, &[bits.clone(), u32s(&pointers)]);
            }
        }
    }
}

fn bit(mask: &HostTensor, at: usize) -> bool {
    mask.at(at / 32) as u32 >> (at % 32) & 1 == 1
}

#[test]
fn bad_input_is_refused_by_name() {
    let profile = DeviceProfile::baseline();
    let scores = Layout::new(&[10, 10], DType::F32);
    let mask = |words: usize| Layout::new(&[words], DType::U32);
    let refused = |op: &dyn Op, inputs: &[Layout]| op.plan(&profile, inputs).unwrap_err();
    let short = refused(&PruneLowest { count: 1 }, &[scores.clone(), mask(3)]);
    assert!(
        matches!(short, Error::Shape { op: "prune_lowest", .. }) && short.to_string().contains("4 words"),
        "{short}"
    );
    assert!(matches!(refused(&PruneLowest::default(), std::slice::from_ref(&scores)), Error::Count { found: 1, .. }));
    assert!(matches!(refused(&PruneLowest::default(), &[]), Error::Count { found: 0, .. }));
    assert!(matches!(refused(&PruneLowest::default(), &[scores.clone(), scores.clone()]), Error::DType { .. }));
    for (keep, group) in [(0, 4), (5, 4), (1, 0), (1, 2000)] {
        let error = refused(&PruneGroups { keep, group }, &[scores.clone(), mask(4)]);
        assert!(matches!(error, Error::Option { option: "keep:group", .. }), "{error}");
    }
    let shape = vec![10, 10];
    let axis = refused(&ExpandMask { shape: shape.clone(), grain: Grain::Slices(2) }, &[mask(1), mask(4)]);
    assert!(matches!(axis, Error::Option { option: "axis", .. }), "{axis}");
    let block = refused(&ExpandMask { shape, grain: Grain::Blocks([0, 4]) }, &[mask(1), mask(4)]);
    assert!(matches!(block, Error::Option { option: "block", .. }), "{block}");
    assert!(matches!(refused(&ApplyMask, &[scores.clone(), mask(5)]), Error::Shape { .. }));
    let block = refused(&BlockMask { sizes: [10, 10], block: [1, 33] }, &[mask(4)]);
    assert!(matches!(block, Error::Option { option: "block", .. }), "{block}");
    assert!(matches!(refused(&CountMask { sizes: [10, 11] }, &[mask(3)]), Error::Shape { .. }));
    let pointers = refused(&IndexMask { sizes: [10, 10], len: 3 }, &[mask(4), mask(10)]);
    assert!(pointers.to_string().contains("11"), "{pointers}");
}
