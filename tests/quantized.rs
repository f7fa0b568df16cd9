//! Products and convolutions with quantized weights against their twins: every scheme, every body, at ragged sizes.

mod common;

use common::{SMALLEST, STAGED, broadcast, floats, integers, with_profile};
use tilewise::reference::{HostTensor, Random, Twin};
use tilewise::verify::{self, devices};
use tilewise::{
    Activation, Class, ContractionBody, ContractionVariant, Conv2d, DType, DeviceProfile, Error, Gpu, Granularity,
    Layout, Matmul, Op, Padding, QuantLayout, QuantScheme, QuantType, QuantizedConv2d, QuantizedMatmul,
    QuantizedTensor, Tensor,
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

/// What a device plans with for few columns: GPUs too, where a row has chunks for all lanes.
#[test]
fn few_columns_as_they_are_planned() {
    for gpu in devices() {
        let gpu = &with_profile(gpu, |profile| profile.texels = profile.texels.map(|_| 0));
        let mut random = Random::new(9);
        for (values, n) in [(QuantType::I8, 1), (QuantType::I4, 3)] {
            let scheme = QuantScheme { values, granularity: Granularity::Block(32), ..Default::default() };
            let weight = QuantLayout::new(scheme, &[17, 2048]).unwrap();
            let planes = planes(&mut random, &weight, true);
            let op = QuantizedMatmul { weight, linear: true, options: Matmul::default() };
            let report = verify::op(gpu, &op, &inputs(integers(&mut random, &[n, 2048]), &planes, None)).unwrap();
            report.assert_strict();
            assert!(report.exact_mismatches == 0 && report.what.contains("contraction/chunks"), "{report}");
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

#[test]
fn convolutions() {
    for gpu in with_bodies(|gpu| [SMALLEST].into_iter().chain(broadcast(gpu)).collect()) {
        let mut random = Random::new(4);
        let [by_row, blocks, axis] = [Granularity::Channel(0), Granularity::Block(32), Granularity::Channel(1)];
        for (values, granularity, groups) in [
            (QuantType::I8, by_row, 1),
            (QuantType::I4, blocks, 2),
            (QuantType::U8, axis, 1),
            (QuantType::Binary, by_row, 5),
        ] {
            let symmetric = values != QuantType::U8;
            let scheme = QuantScheme { values, granularity, symmetric, scales: DType::F32 };
            let weight = QuantLayout::new(scheme, &[10, 10 / groups, 3, 3]).unwrap();
            let planes = planes(&mut random, &weight, true);
            let options = Conv2d { stride: [2, 1], padding: Padding::all(1), groups, ..Default::default() };
            let op = QuantizedConv2d { weight, options };
            let (x, bias) = (integers(&mut random, &[2, 10, 7, 9]), integers(&mut random, &[10]));
            check(&gpu, &op, &inputs(x, &planes, Some(bias)), true);
            // A pixel is a product.
            let weight = QuantLayout::new(scheme, &[6, 10, 1, 1]).unwrap();
            let planes = self::planes(&mut random, &weight, true);
            let op = QuantizedConv2d { weight, options: Conv2d::default() };
            check(&gpu, &op, &inputs(integers(&mut random, &[2, 10, 5, 4]), &planes, None), true);
        }
    }
}

/// Any numbers and scales: within the bound, and not as if nothing were ever rounded.
#[test]
fn random_numbers_stay_within_the_bound() {
    for gpu in with_bodies(|_| vec![SMALLEST, variant(ContractionBody::Chunks, (4, 1), (3, 1))]) {
        let mut random = Random::new(5);
        let mut worst = 0.0f64;
        for (number, scheme) in schemes().into_iter().step_by(3).enumerate() {
            let weight = QuantLayout::new(scheme, &[9, 300]).unwrap();
            let planes = planes(&mut random, &weight, false);
            let op = QuantizedMatmul { weight, linear: true, options: Matmul::default() };
            let x = floats(&mut random, &[[1, 3][number % 2], 300]);
            for report in verify::candidates(&gpu, &op, &inputs(x.clone(), &planes, None)).unwrap() {
                report.assert_strict();
                worst = worst.max(report.worst.fraction);
            }
        }
        assert!(worst > 0.001, "{worst}");
    }
}

#[test]
fn halves() {
    for gpu in with_bodies(|_| vec![SMALLEST, variant(ContractionBody::Chunks, (4, 1), (3, 2))]) {
        if !gpu.profile().features.contains(tilewise::wgpu::Features::SHADER_F16) {
            continue;
        }
        let mut random = Random::new(6);
        for granularity in [Granularity::Channel(0), Granularity::Block(32)] {
            let scheme = QuantScheme { granularity, scales: DType::F16, ..Default::default() };
            let weight = QuantLayout::new(scheme, &[5, 96]).unwrap();
            let planes = planes(&mut random, &weight, true);
            let x: Vec<half::f16> = random.integers(2 * 96).into_iter().map(half::f16::from_f32).collect();
            let op = QuantizedMatmul {
                weight,
                linear: true,
                options: Matmul { output: Some(DType::F32), ..Default::default() },
            };
            check(&gpu, &op, &inputs(HostTensor::new(&[2, 96], &x).unwrap(), &planes, None), true);
        }
    }
}

/// Sums that no chunk and no block divides, longer than those of most layers.
#[test]
fn long_sums() {
    for gpu in with_bodies(|_| vec![variant(ContractionBody::Chunks, (8, 1), (2, 1))]) {
        let mut random = Random::new(7);
        let scheme = QuantScheme { granularity: Granularity::Block(128), symmetric: false, ..Default::default() };
        let weight = QuantLayout::new(scheme, &[3, 40_003]).unwrap();
        let planes = planes(&mut random, &weight, false);
        let op = QuantizedMatmul { weight, linear: true, options: Matmul::default() };
        check(&gpu, &op, &inputs(floats(&mut random, &[1, 40_003]), &planes, None), false);
    }
}

/// The choice is told, and follows from the sizes: few columns read what is stored, and what no loader takes fast is dequantized.
#[test]
fn the_plan_tells_its_choice() {
    for class in [Class::Cpu, Class::Unknown] {
        let mut profile = DeviceProfile { class, subgroup_size: (8, 8), ..DeviceProfile::baseline() };
        if class == Class::Cpu {
            profile.features |= tilewise::wgpu::Features::SUBGROUP;
        }
        let plan = |scheme: QuantScheme, [m, n, k]: [usize; 3]| {
            let weight = QuantLayout::new(scheme, &[n, k]).unwrap();
            let layouts: Vec<Layout> =
                [Layout::new(&[m, k], DType::F32)].into_iter().chain(weight.planes().unwrap()).collect();
            QuantizedMatmul { weight, linear: true, options: Matmul::default() }.plan(&profile, &layouts).unwrap()
        };
        for n in [1, 3, 8] {
            let plan = plan(QuantScheme::default(), [n, 1024, 1024]);
            assert!(plan.variant.starts_with("contraction/chunks"), "{plan}");
            assert!(plan.why.contains("times as fast as dequantizing it"), "{plan}");
            assert_eq!(plan.dispatches.len(), 1);
        }
        let by_column = QuantScheme { granularity: Granularity::Channel(1), symmetric: false, ..Default::default() };
        let plan = plan(by_column, [2048; 3]);
        assert!(plan.variant.contains("after dequantizing asymmetric int8 per channel of axis 1"), "{plan}");
        assert_eq!(plan.scratch[plan.scratch.len() - 1], 2048 * 2048 * 4);
    }
}

#[test]
fn shorthands() {
    for gpu in devices() {
        let mut random = Random::new(8);
        let scheme = QuantScheme { granularity: Granularity::Block(32), ..Default::default() };
        let numbers = random.floats(6 * 40);
        let weight = QuantizedTensor::quantize(gpu, &gpu.tensor(&[6, 40], &numbers).unwrap(), scheme).unwrap();
        let near: Tensor<f32> = weight.dequantize(gpu, DType::F32).unwrap().typed().unwrap();
        let near = gpu.download(&near).unwrap();
        let x = random.floats(40);
        let expected: Vec<f64> =
            near.chunks(40).map(|row| row.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum()).collect();
        let close = |found: Vec<f32>| {
            let off = found.iter().zip(&expected).map(|(found, expected)| (f64::from(*found) - expected).abs());
            assert!(found.len() == 6 && off.fold(0.0, f64::max) < 1e-4, "{found:?} {expected:?}");
        };
        let column = gpu.tensor(&[40, 1], &x).unwrap();
        close(gpu.download(&gpu.quantized_matmul(&weight, &column).unwrap()).unwrap());
        let row = gpu.tensor(&[1, 40], &x).unwrap();
        close(gpu.download(&gpu.quantized_linear(&row, &weight, None).unwrap()).unwrap());
        let filters = gpu.tensor(&[6, 40, 1, 1], &numbers).unwrap();
        let filters = QuantizedTensor::quantize(gpu, &filters, scheme).unwrap();
        let image = gpu.tensor(&[1, 40, 1, 1], &x).unwrap();
        close(gpu.download(&gpu.quantized_conv2d(&Conv2d::default(), &image, &filters, None).unwrap()).unwrap());
    }
}

#[test]
fn bad_inputs_are_refused() {
    let profile = DeviceProfile::baseline();
    let weight = QuantLayout::new(QuantScheme::default(), &[8, 64]).unwrap();
    let op = QuantizedMatmul { weight: weight.clone(), linear: true, options: Matmul::default() };
    let inputs = |x: Layout| -> Vec<Layout> { [x].into_iter().chain(weight.planes().unwrap()).collect() };
    let f32s = |shape: &[usize]| Layout::new(shape, DType::F32);
    let refused = |op: &dyn Op, inputs: &[Layout]| op.plan(&profile, inputs).unwrap_err();
    assert!(matches!(refused(&op, &inputs(f32s(&[3, 63]))), Error::Shape { .. }));
    assert!(matches!(refused(&op, &inputs(Layout::new(&[3, 64], DType::I32))), Error::DType { .. }));
    assert!(matches!(refused(&op, &inputs(f32s(&[3, 64]))[..2]), Error::Count { .. }));
    let mut swapped = inputs(f32s(&[3, 64]));
    swapped.swap(1, 2);
    assert!(matches!(refused(&op, &swapped), Error::DType { .. }));
    let mut short = inputs(f32s(&[3, 64]));
    short[2] = f32s(&[7]);
    assert!(matches!(refused(&op, &short), Error::Shape { .. }));
    let turned = QuantizedMatmul { options: Matmul { transpose_a: true, ..Default::default() }, ..op.clone() };
    assert!(matches!(refused(&turned, &inputs(f32s(&[3, 64]))), Error::Option { option: "transpose", .. }));
    let filters = QuantLayout::new(QuantScheme::default(), &[8, 4, 4, 4]).unwrap();
    let cube = QuantizedMatmul { weight: filters.clone(), ..op };
    assert!(matches!(refused(&cube, &inputs(f32s(&[3, 64]))), Error::Rank { .. }));
    let conv = QuantizedConv2d { weight: filters, options: Conv2d::default() };
    let mut images: Vec<Layout> = inputs(f32s(&[1, 3, 8, 8]));
    images.splice(1.., conv.weight.planes().unwrap());
    assert!(matches!(refused(&conv, &images), Error::Shape { .. }));
}
