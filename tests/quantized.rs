//! Products and convolutions with quantized weights against their twins: every scheme, every body, at ragged sizes.

mod common;

use common::{SMALLEST, STAGED, broadcast, integers, with_profile};
use tilewise::reference::{HostTensor, Random, Twin};
use tilewise::verify::{self, devices};
use tilewise::{
    Activation, Class, ContractionBody, ContractionVariant, DType, Gpu, Granularity, Matmul, QuantLayout, QuantScheme,
    QuantType, QuantizedMatmul,
};

/// All kinds of values with all that may share a scale, though not each with each: every scheme has kernels of its own.
fn schemes() -> Vec<QuantScheme> {
    use Granularity::{Block, Channel, Tensor};
    use QuantType::{Binary, I4, I8, U8};
    let scheme = |(values, granularity, symmetric)| QuantScheme { values, granularity, symmetric, scales: DType::F32 };
    let schemes = [
        (I8, Channel(0), true),
        (I8, Tensor, false),
        (I8, Block(32), false),
        (I8, Block(64), true),
        (U8, Channel(0), false),
        (U8, Block(128), false),
        (U8, Channel(1), false),
        (I4, Tensor, true),
        (I4, Block(32), true),
        (I4, Block(128), false),
        (Binary, Channel(0), true),
        (Binary, Block(32), true),
        (Binary, Block(64), true),
        (Binary, Channel(1), true),
    ];
    schemes.map(scheme).to_vec()
}

/// Planes at random, with anything where no value is: scales are powers of two, or any numbers.
fn planes(random: &mut Random, layout: &QuantLayout, exact: bool) -> Vec<HostTensor> {
    let mut planes = Vec::new();
    for (number, plane) in layout.planes().unwrap().into_iter().enumerate() {
        planes.push(match number {
            1 => {
                let scales: Vec<f32> = (0..plane.len())
                    .map(|_| if exact { 0.5f32.powi(random.below(4) as i32) } else { 0.01 + random.floats(1)[0].abs() })
                    .collect();
                match plane.dtype {
                    DType::F16 => {
                        let halves: Vec<half::f16> = scales.into_iter().map(half::f16::from_f32).collect();
                        HostTensor::new(&plane.shape, &halves).unwrap()
                    }
                    _ => HostTensor::new(&plane.shape, &scales).unwrap(),
                }
            }
            _ => {
                let words: Vec<u32> = (0..plane.len()).map(|_| random.bits() as u32).collect();
                HostTensor::new(&plane.shape, &words).unwrap()
            }
        });
    }
    planes
}

const fn variant(body: ContractionBody, lanes: (u32, u32), per_lane: (u32, u32)) -> ContractionVariant {
    ContractionVariant { body, lanes, per_lane, step: 4, parts: 1, winograd: 0 }
}

/// Small tiles of the bodies that read quantized operands row by row.
fn bodies(gpu: &Gpu) -> Vec<ContractionVariant> {
    let columns = variant(ContractionBody::SparseColumns, (2, 4), (2, 4));
    let staged = (gpu.profile().class != Class::Cpu).then_some(STAGED);
    [columns].into_iter().chain(staged).chain(broadcast(gpu)).collect()
}

/// Every device with such tiles beside the one that is always there. Where larger operands are read through textures, small ones are too.
fn with_bodies(bodies: impl Fn(&Gpu) -> Vec<ContractionVariant>) -> impl Iterator<Item = Gpu> {
    devices().iter().map(move |gpu| {
        with_profile(gpu, |profile| {
            profile.contractions = bodies(gpu);
            profile.texels = profile.texels.map(|_| 0);
        })
    })
}

/// Every candidate; to the bit, where the numbers allow it.
#[track_caller]
fn check(gpu: &Gpu, op: &dyn Twin, inputs: &[HostTensor], exact: bool) {
    for report in verify::candidates(gpu, op, inputs).unwrap() {
        report.assert_strict();
        assert!(!exact || report.exact_mismatches == 0, "{op:?} {report}");
    }
}

fn inputs(x: HostTensor, planes: &[HostTensor], c: Option<HostTensor>) -> Vec<HostTensor> {
    [x].into_iter().chain(planes.iter().cloned()).chain(c).collect()
}

/// W x or x Wᵀ of whole numbers.
fn product(gpu: &Gpu, random: &mut Random, scheme: QuantScheme, [m, k, n]: [usize; 3], linear: bool) {
    let weight = QuantLayout::new(scheme, &[m, k]).unwrap();
    let planes = planes(random, &weight, true);
    let [x, c] = if linear { [vec![n, k], vec![m]] } else { [vec![2, k, n], vec![m, 1]] };
    let options = if linear {
        Matmul { alpha: 2.0, activation: Activation::Relu, ..Default::default() }
    } else {
        Matmul::default()
    };
    let op = QuantizedMatmul { weight, linear, options };
    let (x, c) = (integers(random, &x), integers(random, &c));
    check(gpu, &op, &inputs(x, &planes, Some(c)), true);
}

/// Sizes around tiles, blocks and words.
const SIZES: [[usize; 3]; 5] = [[9, 36, 9], [5, 3, 1], [7, 130, 5], [1, 257, 8], [2, 31, 3]];

/// What any device can do for each scheme: read it as it is, and dequantize it first.
#[test]
fn every_scheme() {
    for gpu in with_bodies(|_| vec![SMALLEST]) {
        let mut random = Random::new(1);
        for (number, scheme) in schemes().into_iter().enumerate() {
            product(&gpu, &mut random, scheme, SIZES[number % SIZES.len()], number % 2 == 0);
            product(&gpu, &mut random, scheme, SIZES[(number + 2) % SIZES.len()], number % 2 == 0);
        }
    }
}

/// The bodies of chunks, whose loader is their own.
#[test]
fn few_columns() {
    let chunks = |columns| variant(ContractionBody::Chunks, (4, 1), (3, columns));
    for gpu in with_bodies(|_| vec![chunks(1), chunks(2)]) {
        let mut random = Random::new(3);
        for (number, scheme) in schemes().into_iter().enumerate() {
            // From one chunk on, and where there is none.
            for (k, n) in [([16, 64, 257, 1100][number % 4], 1), ([100, 130, 512, 3][number % 4], 3)] {
                product(&gpu, &mut random, scheme, [7, k, n], number % 3 > 0);
            }
        }
    }
}

#[test]
fn every_body() {
    for gpu in with_bodies(bodies) {
        let mut random = Random::new(2);
        for (number, scheme) in schemes().into_iter().step_by(4).enumerate() {
            product(&gpu, &mut random, scheme, [9, 68, 9], number % 2 == 0);
            product(&gpu, &mut random, scheme, [7, 67, 5], number % 2 == 0);
        }
    }
}
