//! Sparse formats: conversions there and back, and products and convolutions against their twins.

mod common;

use common::{patches, small_budget, small_tiles, u32s, with_profile};
use tilewise::reference::{HostTensor, Random, Twin};
use tilewise::verify::{self, devices};
use tilewise::{
    Activation, AnyTensor, Conv2d, Gpu, Mask, Matmul, Pack, Padding, Plan, SparseConv2d, SparseFormat, SparseMatmul,
    SparseTensor, Tensor, Unpack,
};

/// Every format; of 2:4 the weights have to be.
fn formats() -> Vec<SparseFormat> {
    let blocks = |rows, columns| SparseFormat::Blocks { size: [rows, columns], entries: 0 };
    vec![
        SparseFormat::Masked,
        SparseFormat::bsr(16),
        SparseFormat::bsr(32),
        SparseFormat::vectors(16),
        SparseFormat::vectors(32),
        SparseFormat::csr(),
        SparseFormat::bitmask(),
        SparseFormat::TwoFour,
        blocks(4, 1),
        blocks(3, 8),
    ]
}

/// Bits that keep about so many of a hundred weights, in blocks that are all there or not, and nothing of the third row.
fn bits(random: &mut Random, [rows, columns]: [usize; 2], percent: usize, block: [usize; 2]) -> Vec<bool> {
    let across = columns.div_ceil(block[1]);
    let blocks: Vec<bool> = (0..rows.div_ceil(block[0]) * across).map(|_| random.below(100) < percent).collect();
    let held = |row: usize, column: usize| blocks[row / block[0] * across + column / block[1]];
    (0..rows * columns).map(|at| at / columns != 2 && held(at / columns, at % columns)).collect()
}

/// Of each four of a row the first two that are kept.
fn two_of_four(bits: &mut [bool], columns: usize) {
    for row in bits.chunks_mut(columns.max(1)) {
        for four in row.chunks_mut(4) {
            let mut found = 0;
            for bit in four {
                found += usize::from(*bit);
                *bit &= found <= 2;
            }
        }
    }
}

/// A sparse tensor of whole numbers.
fn sparse(
    gpu: &Gpu,
    random: &mut Random,
    shape: &[usize],
    percent: usize,
    format: SparseFormat,
) -> (SparseTensor, Vec<f32>) {
    let block = [[1, 1], [8, 4], [40, 5]][random.below(3)];
    sparse_in(gpu, random, shape, percent, format, block)
}

/// The same with weights that are there or not in such blocks.
fn sparse_in(
    gpu: &Gpu,
    random: &mut Random,
    shape: &[usize],
    percent: usize,
    format: SparseFormat,
    block: [usize; 2],
) -> (SparseTensor, Vec<f32>) {
    let (rows, columns) = (shape[0], shape[1..].iter().product());
    let mut kept = bits(random, [rows, columns], percent, block);
    if format == SparseFormat::TwoFour {
        two_of_four(&mut kept, columns);
    }
    // None is 0 by itself: a 0 is one that is pruned.
    let values: Vec<f32> = random.integers(rows * columns).iter().map(|x| if *x == 0.0 { 8.0 } else { *x }).collect();
    let weights = gpu.tensor(shape, &values).unwrap();
    let mask = Mask::of_bools(gpu, shape, &kept).unwrap();
    let dense = values.iter().zip(&kept).map(|(&value, &kept)| if kept { value } else { 0.0 }).collect();
    (SparseTensor::new(gpu, &weights, &mask, format).unwrap(), dense)
}

fn host(gpu: &Gpu, plane: &AnyTensor) -> HostTensor {
    gpu.download_any(plane).unwrap()
}

fn whole(random: &mut Random, shape: &[usize]) -> HostTensor {
    HostTensor::new(shape, &random.integers(shape.iter().product())).unwrap()
}

/// Every candidate, exactly.
#[track_caller]
fn check(gpu: &Gpu, op: &dyn Twin, inputs: &[HostTensor]) {
    for report in verify::candidates(gpu, op, inputs).unwrap() {
        report.assert_strict();
        assert_eq!(report.exact_mismatches, 0, "{op:?} {report}");
    }
}

const DENSITIES: [usize; 4] = [0, 20, 60, 100];

#[test]
fn conversions_there_and_back_are_exact() {
    for gpu in devices() {
        let mut random = Random::new(1);
        for format in formats() {
            for shape in [vec![1, 1], vec![5, 7], vec![32, 32], vec![33, 70], vec![40, 3, 3, 3], vec![70, 128]] {
                for percent in DENSITIES {
                    let (sparse, dense) = sparse(gpu, &mut random, &shape, percent, format);
                    let back: Tensor<f32> = sparse.to_dense(gpu).unwrap().typed().unwrap();
                    assert_eq!(gpu.download(&back).unwrap(), dense, "{format} {shape:?} {percent} %");
                    assert_eq!(sparse.layout().kept, dense.iter().filter(|x| **x != 0.0).count(), "{format}");
                    assert_eq!(sparse.bytes(), sparse.layout().bytes().unwrap());
                    // What was made here passes for what comes from elsewhere.
                    SparseTensor::from_planes(gpu, sparse.layout().clone(), sparse.planes().to_vec()).unwrap();
                }
            }
        }
    }
}

#[test]
fn packing_and_unpacking_keep_to_their_twins() {
    for gpu in devices() {
        let mut random = Random::new(2);
        for format in formats() {
            for shape in [[3, 5], [33, 36], [40, 67]] {
                let (sparse, dense) = sparse(gpu, &mut random, &shape, 40, format);
                let layout = sparse.layout().clone();
                let planes: Vec<HostTensor> = sparse.planes().iter().map(|plane| host(gpu, plane)).collect();
                check(gpu, &Unpack { layout: layout.clone() }, &planes);
                let bits: Vec<bool> = dense.iter().map(|x| *x != 0.0).collect();
                let words = Mask::of_bools(gpu, &shape, &bits).unwrap();
                let mut inputs =
                    vec![HostTensor::new(&shape, &dense).unwrap(), u32s(&gpu.download(words.words()).unwrap())];
                match format {
                    SparseFormat::Masked => continue,
                    SparseFormat::Blocks { .. } => inputs.extend(planes[1..].iter().cloned()),
                    SparseFormat::TwoFour => {}
                    _ => {
                        let counts = dense.chunks(shape[1]).map(|row| row.iter().filter(|x| **x != 0.0).count() as u32);
                        let mut pointers = vec![0];
                        counts.for_each(|count| pointers.push(pointers.last().unwrap() + count));
                        inputs.push(u32s(&pointers));
                    }
                }
                check(gpu, &Pack { layout }, &inputs);
            }
        }
    }
}

/// Small tiles of every body, for what takes sparse operands and what is done without.
#[test]
fn products_with_small_tiles() {
    for gpu in small_tiles() {
        let mut random = Random::new(3);
        for format in formats() {
            for ([m, k, n], percent) in [([33, 36, 9], 50), ([70, 67, 12], 30), ([32, 64, 33], 0), ([5, 3, 1], 100)] {
                products(&gpu, &mut random, format, [m, k, n], percent);
            }
        }
    }
}

/// What a device plans with, at each edge of a block and around a tile of columns; read through textures where large operands are, since
/// drivers compile that in less time.
#[test]
fn products_as_they_are_planned() {
    for gpu in devices() {
        let gpu = &with_profile(gpu, |profile| profile.texels = profile.texels.map(|_| 0));
        let mut random = Random::new(4);
        let csr = SparseFormat::csr();
        for (format, n) in [
            (SparseFormat::bsr(32), 33),
            (SparseFormat::bsr(16), 5),
            (SparseFormat::vectors(16), 33),
            (csr, 33),
            (csr, 1),
        ] {
            products(gpu, &mut random, format, [65, 100, n], 40);
        }
    }
}

fn products(gpu: &Gpu, random: &mut Random, format: SparseFormat, [m, k, n]: [usize; 3], percent: usize) {
    let (weight, dense) = sparse(gpu, random, &[m, k], percent, format);
    let kept_dense = weight.clone().keep_dense(&gpu.tensor(&[m, k], &dense).unwrap()).unwrap();
    // The dense copy is another input to the same kernels: once will do.
    let with_copy = (m == 33).then_some(kept_dense);
    for weight in [weight].into_iter().chain(with_copy) {
        let layout = weight.layout().clone();
        let planes: Vec<HostTensor> = weight.planes().iter().map(|plane| host(gpu, plane)).collect();
        let inputs = |x: HostTensor, c: HostTensor| -> Vec<HostTensor> {
            [x].into_iter().chain(planes.iter().cloned()).chain([c]).collect()
        };
        let options = Matmul { alpha: 2.0, activation: Activation::Relu, ..Default::default() };
        let op = SparseMatmul { weight: layout.clone(), linear: false, options };
        check(gpu, &op, &inputs(whole(random, &[2, k, n]), whole(random, &[m, 1])));
        let op = SparseMatmul { weight: layout, linear: true, options: Matmul::default() };
        check(gpu, &op, &inputs(whole(random, &[n, k]), whole(random, &[m])));
    }
}

#[test]
fn convolutions() {
    let planned = devices().iter().map(|gpu| with_profile(gpu, |profile| profile.texels = profile.texels.map(|_| 0)));
    let few = vec![SparseFormat::bsr(16), SparseFormat::csr()];
    let small = small_tiles().map(|gpu| (gpu, formats()));
    for (gpu, formats) in small.chain(planned.map(|gpu| (gpu, few.clone()))) {
        let mut random = Random::new(5);
        for format in formats {
            let (weight, _) = sparse(&gpu, &mut random, &[33, 5, 3, 3], 40, format);
            let planes = weight.planes().iter().map(|plane| host(&gpu, plane));
            let options = Conv2d { stride: [2, 1], padding: Padding::all(1), ..Default::default() };
            let op = SparseConv2d { weight: weight.layout().clone(), options };
            let inputs: Vec<HostTensor> = [whole(&mut random, &[2, 5, 7, 9])]
                .into_iter()
                .chain(planes)
                .chain([whole(&mut random, &[33])])
                .collect();
            check(&gpu, &op, &inputs);
        }
    }
}

/// Convolutions by steps that meet a block: blocks begin and end within a channel, or take several, all of a row's or none are there, and the
/// last ones reach beyond the weights; kernels whose rows are steps of their own, too. Blocks that are narrower than a step go another way.
#[test]
fn steps_without_blocks_are_passed() {
    for gpu in devices() {
        let Some(patches) = patches(gpu) else { continue };
        let gpu = with_profile(gpu, |profile| profile.contractions = vec![patches]);
        // Parts begin within a row of blocks.
        let in_parts = with_profile(&gpu, small_budget(100_000));
        let mut random = Random::new(6);
        for (size, kernel, channels) in [
            ([16, 16], [3, 3], 9),
            ([32, 32], [3, 3], 9),
            ([16, 12], [3, 3], 9),
            ([32, 8], [3, 3], 9),
            ([16, 16], [7, 7], 2),
            ([32, 32], [1, 1], 70),
            ([16, 16], [2, 3], 5),
        ] {
            for percent in DENSITIES {
                let shape = [40, channels, kernel[0], kernel[1]];
                let format = SparseFormat::Blocks { size, entries: 0 };
                let (weight, dense) = sparse_in(&gpu, &mut random, &shape, percent, format, size);
                let with_copy = weight.clone().keep_dense(&gpu.tensor(&shape, &dense).unwrap()).unwrap();
                for weight in [weight, with_copy] {
                    let planes = weight.planes().iter().map(|plane| host(&gpu, plane));
                    let options = Conv2d { stride: [1, 2], padding: Padding::all(1), ..Default::default() };
                    let op = SparseConv2d { weight: weight.layout().clone(), options };
                    let x = whole(&mut random, &[2, channels, 9, 11]);
                    let inputs: Vec<HostTensor> =
                        [x].into_iter().chain(planes).chain([whole(&mut random, &[40])]).collect();
                    let plans = verify::plans(gpu.profile(), &op, &inputs).unwrap();
                    let (body, format) = ("contraction/patches", format!("of BSR {}x{}", size[0], size[1]));
                    let by_blocks = |plan: &Plan| plan.variant.starts_with(body) && plan.variant.ends_with(&format);
                    assert_eq!(plans.iter().any(by_blocks), size[1] >= 9 || kernel != [3, 3], "{}", plans[0]);
                    check(&gpu, &op, &inputs);
                    if !op.weight.dense {
                        let parts = verify::plans(in_parts.profile(), &op, &inputs).unwrap();
                        assert!(parts[0].dispatches.len() > plans[0].dispatches.len() + 2, "{}", parts[0]);
                        check(&in_parts, &op, &inputs);
                    }
                }
            }
        }
    }
}
