//! Quantization against its twins, bit by bit.

mod common;

use common::f32s;
use safetensors::SafeTensors;
use tilewise::reference::{HostTensor, Random, Twin};
use tilewise::verify::{self, devices};
use tilewise::{
    AnyTensor, DType, Dequantize, DequantizeLinear, DeviceProfile, DynamicQuantize, DynamicQuantizeLinear, Error,
    FakeQuantize, Gpu, Granularity, Histogram, Layout, Op, Operand, PackValues, PlainQuantized, QuantLayout,
    QuantScheme, QuantType, Quantize, QuantizeLinear, QuantizedTensor, Ranges, Tensor, UnpackValues, wgpu,
};

const TYPES: [QuantType; 4] = [QuantType::I8, QuantType::U8, QuantType::I4, QuantType::Binary];

/// Verifies every candidate on every device that has the types; what is exact must come out to the bit.
#[track_caller]
fn check(op: &dyn Twin, inputs: &[HostTensor], exact: bool) {
    for gpu in devices() {
        let halves = inputs.iter().any(|input| input.dtype() == DType::F16)
            || op
                .infer(&inputs.iter().map(HostTensor::layout).collect::<Vec<_>>())
                .unwrap()
                .iter()
                .any(|l| l.dtype == DType::F16);
        if halves && !gpu.profile().features.contains(wgpu::Features::SHADER_F16) {
            continue;
        }
        for report in verify::candidates(gpu, op, inputs).unwrap() {
            report.assert_strict();
            assert!(!exact || report.exact_mismatches == 0, "{op:?} {report}");
        }
    }
}

/// Words of any bits.
fn words(random: &mut Random, shape: &[usize]) -> HostTensor {
    let words: Vec<u32> = (0..shape.iter().product()).map(|_| random.bits() as u32).collect();
    HostTensor::new(shape, &words).unwrap()
}

/// Schemes of a type over a shape: all granularities, scales and symmetries that there are.
fn schemes(values: QuantType, rank: usize) -> Vec<QuantScheme> {
    let mut granularities = vec![Granularity::Tensor, Granularity::Block(32), Granularity::Block(64)];
    granularities.extend((0..rank).map(Granularity::Channel));
    let mut schemes = Vec::new();
    for granularity in granularities {
        for symmetric in [true, false] {
            if symmetric || values != QuantType::Binary {
                schemes.push(QuantScheme { values, granularity, symmetric, scales: DType::F32 });
            }
        }
    }
    schemes
}

fn layouts(values: QuantType, shape: &[usize]) -> Vec<QuantLayout> {
    schemes(values, shape.len()).into_iter().map(|scheme| QuantLayout::new(scheme, shape).unwrap()).collect()
}

/// Shapes with rows around a word, four words, blocks.
const SHAPES: [&[usize]; 9] =
    [&[1], &[5], &[3, 4], &[2, 33], &[3, 64, 1], &[2, 3, 5, 7], &[7, 129], &[1, 3, 31], &[33, 16]];

#[test]
fn numbers_are_rounded_as_onnx_says() {
    let mut random = Random::new(1);
    for values in TYPES {
        for shape in SHAPES {
            for layout in layouts(values, shape) {
                let op = Quantize { layout: layout.clone() };
                let mut inputs = vec![f32s(shape)];
                inputs.extend(layout.planes().unwrap().drain(1..));
                check(&op, &op.draw(&inputs, &mut random).unwrap(), true);
            }
        }
    }
}

#[test]
fn planes_become_numbers() {
    let mut random = Random::new(2);
    for values in TYPES {
        for shape in SHAPES {
            for layout in layouts(values, shape) {
                let op = Dequantize { layout: layout.clone(), output: DType::F32 };
                check(&op, &op.draw(&layout.planes().unwrap(), &mut random).unwrap(), false);
            }
        }
    }
}

#[test]
fn scales_are_found() {
    let mut random = Random::new(3);
    for values in TYPES {
        for shape in SHAPES {
            for layout in layouts(values, shape) {
                let op = DynamicQuantize { layout: layout.clone() };
                check(&op, &op.draw(&[f32s(shape)], &mut random).unwrap(), values != QuantType::Binary);
            }
        }
    }
}

#[test]
fn planes_and_bytes() {
    let mut random = Random::new(4);
    for values in TYPES {
        for shape in SHAPES {
            let scheme = QuantScheme { values, ..QuantScheme::default() };
            let layout = QuantLayout::new(scheme, shape).unwrap();
            let dtype = if values == QuantType::U8 { DType::U8 } else { DType::I8 };
            let op = PackValues { layout: layout.clone() };
            let inputs = op.draw(&[Layout::new(shape, dtype)], &mut random).unwrap();
            check(&op, &inputs, true);
            let plane = layout.planes().unwrap().swap_remove(0);
            let back = UnpackValues { layout: layout.clone() };
            check(&back, &[words(&mut random, &plane.shape)], true);
        }
    }
}

#[test]
fn what_training_sees() {
    let mut random = Random::new(5);
    for values in TYPES {
        for shape in [&[2, 33][..], &[2, 3, 5, 7]] {
            for layout in layouts(values, shape) {
                let op = FakeQuantize { layout: layout.clone() };
                let mut inputs = vec![f32s(shape)];
                inputs.extend(layout.planes().unwrap().drain(1..));
                check(&op, &op.draw(&inputs, &mut random).unwrap(), false);
            }
        }
    }
}

/// The shapes of scales of ONNX: one, one an index of an axis, one a block along it.
fn scale_shapes(shape: &[usize]) -> Vec<(usize, Option<usize>, Vec<usize>)> {
    let mut shapes = vec![(0, None, vec![]), (0, None, vec![1])];
    for axis in 0..shape.len() {
        shapes.push((axis, None, vec![shape[axis]]));
        for block in [1, 3, 64] {
            let mut blocked = shape.to_vec();
            blocked[axis] = shape[axis].div_ceil(block);
            shapes.push((axis, Some(block), blocked));
        }
    }
    shapes
}

#[test]
fn bytes_of_onnx() {
    let mut random = Random::new(6);
    for dtype in [DType::I8, DType::U8] {
        for shape in SHAPES {
            for (axis, block, scales) in scale_shapes(shape) {
                for zeros in [true, false] {
                    let layouts = |x: DType| {
                        let mut layouts = vec![Layout::new(shape, x), f32s(&scales)];
                        layouts.extend(zeros.then(|| Layout::new(&scales, dtype)));
                        layouts
                    };
                    let op = QuantizeLinear { axis, block, output: dtype };
                    check(&op, &op.draw(&layouts(DType::F32), &mut random).unwrap(), true);
                    let op = DequantizeLinear { axis, block, output: DType::F32 };
                    check(&op, &op.draw(&layouts(dtype), &mut random).unwrap(), false);
                }
            }
        }
    }
    for len in [1, 3, 4, 5, 1000, 4099] {
        for negative in [true, false] {
            let x: Vec<f32> = random.floats(len).iter().map(|x| if negative { *x } else { x.abs() }).collect();
            check(&DynamicQuantizeLinear, &[HostTensor::new(&[len], &x).unwrap()], true);
        }
    }
}

/// Divisors and dividends at which f32 rounds a quotient to a tie that it is not, or just not.
#[test]
fn quotients_beside_ties() {
    let mut random = Random::new(7);
    let mut x = Vec::new();
    let mut scales = Vec::new();
    for _ in 0..2000 {
        let scale = f32::from_bits((random.bits() as u32 & 0x7f_ffff) | (120 << 23));
        let tie = (random.below(300) as f32 - 150.0 + 0.5) * scale;
        for step in -3..=3 {
            x.push(f32::from_bits((tie.to_bits() as i32 + step) as u32));
            scales.push(scale);
        }
    }
    for values in [QuantType::I8, QuantType::U8] {
        let scheme = QuantScheme { values, granularity: Granularity::Channel(0), ..QuantScheme::default() };
        let layout = QuantLayout::new(scheme, &[x.len()]).unwrap();
        let inputs = [HostTensor::new(&[x.len()], &x).unwrap(), HostTensor::new(&[x.len()], &scales).unwrap()];
        check(&Quantize { layout }, &inputs, true);
    }
}

/// NaN is 0, infinity the end of the range, subnormal numbers are themselves.
#[test]
fn odd_numbers_are_quantized() {
    let tiny = f32::from_bits(1);
    let x = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, f32::MAX, f32::MIN, tiny, -tiny];
    let x: Vec<f32> = x.into_iter().chain([1.0, -1.0, 0.5, -0.5, 1.5, 2.5, 1e-40, -3e-39]).collect();
    let x = HostTensor::new(&[1, x.len()], &x).unwrap();
    for values in TYPES {
        for (scale, zero) in [(1.0, 0u8), (1.0, 3), (f32::MIN_POSITIVE, 1), (f32::MAX, 0), (1.5e38, 2)] {
            let symmetric = zero == 0 || values == QuantType::Binary;
            let scheme = QuantScheme { values, granularity: Granularity::Tensor, symmetric, scales: DType::F32 };
            let layout = QuantLayout::new(scheme, &x.shape).unwrap();
            let mut inputs = vec![x.clone(), HostTensor::new(&[1], &[scale]).unwrap()];
            inputs.extend((!symmetric).then(|| common::u32s(&[zero.into()])));
            check(&Quantize { layout }, &inputs, true);
        }
        let scheme = QuantScheme { values, granularity: Granularity::Tensor, ..QuantScheme::default() };
        let layout = QuantLayout::new(scheme, &x.shape).unwrap();
        if values != QuantType::Binary {
            check(&DynamicQuantize { layout }, std::slice::from_ref(&x), true);
        }
    }
}

/// Ranges of nothing, of one number, too small and too large for a scale.
#[test]
fn every_range_has_a_scale() {
    let (max, tiny) = (f32::MAX, f32::MIN_POSITIVE);
    for x in [
        [0.0; 3],
        [-0.0; 3],
        [5.0; 3],
        [-5.0; 3],
        [max; 3],
        [-max; 3],
        [max, -max, 1.0],
        [max, -max * 0.75, 0.0],
        [tiny, 0.0, -tiny],
        [1e-40, -1e-41, 0.0],
        [tiny * 300.0, 0.0, -tiny],
        [1.0, -1e-30, 3e-9],
        [f32::NAN; 3],
        [f32::INFINITY, 2.0, f32::NEG_INFINITY],
        [1e5, -7e4, 2.0],
        [1e7, 0.0, 0.0],
        [1e-6, -1e-7, 0.0],
    ] {
        for values in [QuantType::I8, QuantType::U8, QuantType::I4] {
            for (symmetric, scales) in
                [(true, DType::F32), (false, DType::F32), (true, DType::F16), (false, DType::F16)]
            {
                let scheme = QuantScheme { values, granularity: Granularity::Tensor, symmetric, scales };
                let layout = QuantLayout::new(scheme, &[3]).unwrap();
                check(&DynamicQuantize { layout }, &[HostTensor::new(&[3], &x).unwrap()], true);
            }
        }
        check(&DynamicQuantizeLinear, &[HostTensor::new(&[3], &x).unwrap()], true);
    }
    // Ranges of all magnitudes.
    let mut random = Random::new(8);
    let x: Vec<f32> = (0..4096).map(|_| f32::from_bits(random.bits() as u32)).collect();
    for symmetric in [true, false] {
        for scales in [DType::F32, DType::F16] {
            let scheme =
                QuantScheme { symmetric, scales, granularity: Granularity::Channel(0), ..QuantScheme::default() };
            let layout = QuantLayout::new(scheme, &[1024, 4]).unwrap();
            check(&DynamicQuantize { layout }, &[HostTensor::new(&[1024, 4], &x).unwrap()], true);
        }
    }
}

/// f16 numbers, and scales of f16.
#[test]
fn halves() {
    let mut random = Random::new(9);
    let shape = [3, 70];
    for values in TYPES {
        for layout in layouts(values, &shape) {
            let layout = QuantLayout { scheme: QuantScheme { scales: DType::F16, ..layout.scheme }, ..layout };
            let mut inputs = vec![Layout::new(&shape, DType::F16)];
            inputs.extend(layout.planes().unwrap().drain(1..));
            let quantize = Quantize { layout: layout.clone() };
            check(&quantize, &quantize.draw(&inputs, &mut random).unwrap(), true);
            let fake = FakeQuantize { layout: layout.clone() };
            check(&fake, &fake.draw(&inputs, &mut random).unwrap(), false);
            let dequantize = Dequantize { layout: layout.clone(), output: DType::F16 };
            check(&dequantize, &dequantize.draw(&layout.planes().unwrap(), &mut random).unwrap(), false);
            let dynamic = DynamicQuantize { layout };
            check(&dynamic, &dynamic.draw(&inputs[..1], &mut random).unwrap(), values != QuantType::Binary);
        }
    }
}

/// Many parts of a range, on a device of wgpu alone.
#[test]
fn large_tensors() {
    let Some(gpu) = common::device() else { return };
    let mut random = Random::new(10);
    for (granularity, shape) in [
        (Granularity::Tensor, [1000, 333]),
        (Granularity::Channel(0), [3, 100_003]),
        (Granularity::Channel(1), [70_001, 3]),
        (Granularity::Block(128), [500, 700]),
    ] {
        for values in [QuantType::I8, QuantType::I4] {
            let scheme = QuantScheme { values, granularity, symmetric: false, scales: DType::F32 };
            let op = DynamicQuantize { layout: QuantLayout::new(scheme, &shape).unwrap() };
            let report = verify::op(gpu, &op, &op.draw(&[f32s(&shape)], &mut random).unwrap()).unwrap();
            report.assert_strict();
            assert_eq!(report.exact_mismatches, 0, "{report}");
        }
    }
}

/// Small weights on each device, with what is done to them.
fn on_devices(test: impl Fn(&Gpu, &Tensor<f32>, &[f32])) {
    let mut random = Random::new(11);
    let elements = random.floats(6 * 70);
    for gpu in devices() {
        test(gpu, &gpu.tensor(&[6, 70], &elements).unwrap(), &elements);
    }
}

#[test]
fn tensors_keep_what_they_are_near() {
    on_devices(|gpu, weights, elements| {
        for values in [QuantType::I8, QuantType::U8, QuantType::I4] {
            for layout in layouts(values, weights.shape()) {
                if layout.scheme.symmetric && values == QuantType::U8 {
                    continue; // Nothing below 0 is near.
                }
                let quantized = QuantizedTensor::quantize(gpu, weights, layout.scheme).unwrap();
                assert_eq!(quantized.bytes(), layout.bytes().unwrap());
                let plain = quantized.to_plain(gpu).unwrap();
                let largest =
                    plain.scales.clone().typed::<f32>().unwrap().to_vec(gpu).unwrap().into_iter().fold(0.0, f32::max);
                let near = quantized.dequantize(gpu, DType::F32).unwrap().typed::<f32>().unwrap().to_vec(gpu).unwrap();
                // Half a step, and as much where the zero point is rounded to the other side.
                let far = near.iter().zip(elements).map(|(near, x)| (near - x).abs()).fold(0.0, f32::max);
                assert!(far > 0.0 && far <= 1.01 * largest, "{} {far} {largest}", layout.scheme);
            }
        }
    });
}

#[test]
fn plain_tensors_go_both_ways() {
    on_devices(|gpu, weights, _| {
        for values in TYPES {
            for layout in layouts(values, weights.shape()) {
                let quantized = QuantizedTensor::quantize(gpu, weights, layout.scheme).unwrap();
                let plain = quantized.to_plain(gpu).unwrap();
                let again = QuantizedTensor::from_plain(gpu, layout.scheme, &plain).unwrap();
                let checked = QuantizedTensor::from_planes(gpu, layout.clone(), quantized.planes().to_vec()).unwrap();
                for other in [again, checked] {
                    for (plane, own) in other.planes().iter().zip(quantized.planes()) {
                        assert_eq!(bits(gpu, plane), bits(gpu, own), "{}", layout.scheme);
                    }
                    assert_eq!(other.layout(), &layout);
                }
                // The same scales from outside give the same values.
                let scales = plain.scales.clone().typed::<f32>().unwrap().to_vec(gpu).unwrap();
                let zeros: Vec<i32> = plain.zeros.as_ref().map_or(vec![], |zeros| match zeros.dtype() {
                    DType::U8 => {
                        zeros.clone().typed::<u8>().unwrap().to_vec(gpu).unwrap().iter().map(|&z| z.into()).collect()
                    }
                    _ => zeros.clone().typed::<i8>().unwrap().to_vec(gpu).unwrap().iter().map(|&z| z.into()).collect(),
                });
                let given = QuantizedTensor::with_scales(gpu, weights, layout.scheme, &scales, &zeros).unwrap();
                assert_eq!(bits(gpu, &given.planes()[0]), bits(gpu, &quantized.planes()[0]), "{}", layout.scheme);
            }
        }
    });
}

/// The words of a plane.
fn bits(gpu: &Gpu, plane: &AnyTensor) -> Vec<u32> {
    match plane.dtype() {
        DType::F32 => plane.clone().typed::<f32>().unwrap().to_vec(gpu).unwrap().iter().map(|x| x.to_bits()).collect(),
        _ => plane.clone().typed::<u32>().unwrap().to_vec(gpu).unwrap(),
    }
}

/// Blocks of ggml with any bits and scales, negative, zero and subnormal ones too.
#[test]
fn blocks_of_ggml_go_both_ways() {
    let mut random = Random::new(12);
    for gpu in devices() {
        for shape in [&[1, 32][..], &[3, 160], &[2, 4, 16, 2]] {
            let blocks = shape.iter().product::<usize>() / 32;
            for odd in [false, true] {
                let mut make = |size: usize| -> Vec<u8> {
                    let mut bytes = Vec::new();
                    for block in 0..blocks {
                        let scale = if odd { [0.0, -0.25, 1e-6][block % 3] } else { 0.01 + 0.1 * block as f32 };
                        bytes.extend(half::f16::from_f32(scale).to_le_bytes());
                        bytes.extend((0..size).map(|_| random.bits() as u8));
                    }
                    bytes
                };
                let (q8, q4) = (make(32), make(16));
                let tensor = QuantizedTensor::from_q8_0(gpu, shape, &q8).unwrap();
                assert_eq!(tensor.to_q8_0(gpu).unwrap(), q8);
                let number =
                    |block: &[u8], q: i32| f32::from(half::f16::from_le_bytes([block[0], block[1]])) * q as f32;
                let expected: Vec<f32> = q8
                    .chunks(34)
                    .flat_map(|block| block[2..].iter().map(move |&q| number(block, (q as i8).into())))
                    .collect();
                assert_eq!(dequantized(gpu, &tensor), expected);
                let tensor = QuantizedTensor::from_q4_0(gpu, shape, &q4).unwrap();
                assert_eq!(tensor.to_q4_0(gpu).unwrap(), q4);
                let expected: Vec<f32> = q4
                    .chunks(18)
                    .flat_map(|block| {
                        let low = block[2..].iter().map(|byte| byte & 15);
                        let high = block[2..].iter().map(|byte| byte >> 4);
                        low.chain(high).map(move |q| number(block, i32::from(q) - 8))
                    })
                    .collect();
                assert_eq!(dequantized(gpu, &tensor), expected);
            }
        }
    }
}

fn dequantized(gpu: &Gpu, tensor: &QuantizedTensor) -> Vec<f32> {
    if tensor.layout().scheme.scales == DType::F16 && !gpu.profile().features.contains(wgpu::Features::SHADER_F16) {
        // Kernels do not read the scales there: as f32 they do.
        let plain = tensor.to_plain(gpu).unwrap();
        let scales: Vec<f32> = plain
            .scales
            .clone()
            .typed::<half::f16>()
            .unwrap()
            .to_vec(gpu)
            .unwrap()
            .iter()
            .map(|scale| scale.to_f32())
            .collect();
        let layout = tensor.layout();
        let layout = QuantLayout { scheme: QuantScheme { scales: DType::F32, ..layout.scheme }, ..layout.clone() };
        let scales = gpu.tensor(&layout.scales().unwrap(), &scales).unwrap();
        let op = Dequantize { layout, output: DType::F32 };
        return gpu.apply::<f32>(&op, &[&tensor.planes()[0], &scales]).unwrap().to_vec(gpu).unwrap();
    }
    tensor.dequantize(gpu, DType::F32).unwrap().typed::<f32>().unwrap().to_vec(gpu).unwrap()
}

#[test]
fn corrupt_tensors_are_refused() {
    let gpu = &devices()[0];
    let scheme = QuantScheme { symmetric: false, ..QuantScheme::default() };
    let weights = gpu.tensor(&[2, 5], &[0.5f32; 10]).unwrap();
    let with = |scales: &[f32], zeros: &[i32]| QuantizedTensor::with_scales(gpu, &weights, scheme, scales, zeros);
    with(&[0.1, 0.2], &[-128, 127]).unwrap();
    for scale in [0.0, -0.1, f32::NAN, f32::INFINITY, 1e-40, -0.0] {
        let error = with(&[0.1, scale], &[0, 0]).unwrap_err();
        assert!(matches!(&error, Error::Corrupt { detail, .. } if detail.starts_with("scale 1 ")), "{error}");
    }
    for zero in [-129, 128] {
        let error = with(&[0.1, 0.1], &[0, zero]).unwrap_err();
        assert!(matches!(&error, Error::Corrupt { detail, .. } if detail.starts_with("zero point 1 ")), "{error}");
    }
    assert!(matches!(with(&[0.1], &[0, 0]), Err(Error::Length { .. })));
    assert!(matches!(with(&[0.1, 0.1], &[0]), Err(Error::Length { .. })));
    // Too large and too small for f16.
    let halves = QuantScheme { scales: DType::F16, symmetric: true, ..scheme };
    for scale in [1e5, 1e-6] {
        let error = QuantizedTensor::with_scales(gpu, &weights, halves, &[scale; 2], &[]).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }

    let layout = QuantLayout::new(scheme, &[2, 5]).unwrap();
    let planes = |words: [u32; 4], scales: [f32; 2], zeros: u32| {
        let planes = vec![
            gpu.tensor(&[2, 2], &words).unwrap().any().clone(),
            gpu.tensor(&[2], &scales).unwrap().any().clone(),
            gpu.tensor(&[1], &[zeros]).unwrap().any().clone(),
        ];
        QuantizedTensor::from_planes(gpu, layout.clone(), planes)
    };
    planes([1, 0xff, 2, 3], [1.0, 2.0], 0xffff).unwrap();
    for error in [
        planes([1, 0x100, 2, 3], [1.0, 2.0], 0).unwrap_err(),
        planes([1, 1, 2, 3], [1.0, 0.0], 0).unwrap_err(),
        planes([1, 1, 2, 3], [1.0, 2.0], 0x10000).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
    let few = vec![gpu.tensor(&[2, 2], &[0u32; 4]).unwrap().any().clone()];
    assert!(matches!(QuantizedTensor::from_planes(gpu, layout.clone(), few), Err(Error::Count { .. })));

    // Values that have no place in four bits, or stand for no sign.
    let scales = gpu.tensor(&[1], &[1.0f32]).unwrap();
    for (values, wrong) in [(QuantType::I4, 8i8), (QuantType::I4, -9), (QuantType::Binary, 0), (QuantType::Binary, 2)] {
        let scheme = QuantScheme { values, granularity: Granularity::Tensor, ..QuantScheme::default() };
        let plain = |value: i8| PlainQuantized::new(&gpu.tensor(&[1, 2], &[1, value]).unwrap(), &scales, None);
        QuantizedTensor::from_plain(gpu, scheme, &plain(-1)).unwrap();
        let error = QuantizedTensor::from_plain(gpu, scheme, &plain(wrong)).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
    let scheme = QuantScheme { granularity: Granularity::Tensor, ..scheme };
    let bytes = gpu.tensor(&[1, 2], &[1i8, 2]).unwrap();
    let without = QuantizedTensor::from_plain(gpu, scheme, &PlainQuantized::new(&bytes, &scales, None)).unwrap_err();
    assert!(matches!(without, Error::Count { .. }), "{without}");
    let unsigned = QuantScheme { values: QuantType::U8, symmetric: true, ..scheme };
    let error = QuantizedTensor::from_plain(gpu, unsigned, &PlainQuantized::new(&bytes, &scales, None)).unwrap_err();
    assert!(matches!(error, Error::DType { .. }), "{error}");

    for (shape, bytes) in [(&[1, 32][..], 33), (&[1, 32], 35), (&[2, 32], 34)] {
        let error = QuantizedTensor::from_q8_0(gpu, shape, &vec![0; bytes]).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
    let error = QuantizedTensor::from_q8_0(gpu, &[1, 33], &[0; 68]).unwrap_err();
    assert!(matches!(error, Error::Option { option: "shape", .. }), "{error}");
    let infinite = [half::f16::INFINITY.to_le_bytes().to_vec(), vec![0; 16]].concat();
    let error = QuantizedTensor::from_q4_0(gpu, &[1, 32], &infinite).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    let rows = QuantizedTensor::quantize(gpu, &weights, QuantScheme::default()).unwrap();
    assert!(matches!(rows.to_q8_0(gpu), Err(Error::Option { option: "scheme", .. })));
}

#[test]
fn bad_input_is_refused_by_name() {
    let profile = DeviceProfile::baseline();
    let scheme = QuantScheme::default();
    for (scheme, option) in [
        (QuantScheme { granularity: Granularity::Channel(2), ..scheme }, "granularity"),
        (QuantScheme { granularity: Granularity::Block(48), ..scheme }, "granularity"),
        (QuantScheme { scales: DType::I32, ..scheme }, "scales"),
        (QuantScheme { values: QuantType::Binary, symmetric: false, ..scheme }, "symmetric"),
    ] {
        let error = QuantLayout::new(scheme, &[3, 4]).unwrap_err();
        assert!(matches!(error, Error::Option { option: found, .. } if found == option), "{error}");
    }
    assert!(matches!(QuantLayout::new(scheme, &[]), Err(Error::Rank { .. })));
    let layout = QuantLayout::new(scheme, &[3, 4]).unwrap();
    let refused = |op: &dyn Op, inputs: &[Layout]| op.plan(&profile, inputs).unwrap_err();
    let op = Quantize { layout: layout.clone() };
    assert!(matches!(refused(&op, &[f32s(&[3, 4])]), Error::Count { .. }));
    assert!(matches!(refused(&op, &[f32s(&[4, 3]), f32s(&[3])]), Error::Shape { .. }));
    assert!(matches!(refused(&op, &[f32s(&[3, 4]), f32s(&[4])]), Error::Shape { .. }));
    assert!(matches!(refused(&op, &[f32s(&[3, 4]), Layout::new(&[3], DType::F16)]), Error::DType { .. }));
    let op = Dequantize { layout, output: DType::I8 };
    let values = Layout::new(&[3, 1], DType::U32);
    assert!(matches!(refused(&op, &[values, f32s(&[3])]), Error::Option { option: "output", .. }));
    let linear = QuantizeLinear { axis: 2, ..QuantizeLinear::default() };
    assert!(matches!(refused(&linear, &[f32s(&[3, 4]), f32s(&[4])]), Error::Option { option: "axis", .. }));
    let linear = QuantizeLinear { axis: 0, ..QuantizeLinear::default() };
    assert!(matches!(refused(&linear, &[f32s(&[3, 4]), f32s(&[4])]), Error::Shape { .. }));
    let zeros = Layout::new(&[3], DType::I8);
    assert!(matches!(refused(&linear, &[f32s(&[3, 4]), f32s(&[3]), zeros]), Error::DType { .. }));
    let blocks = QuantizeLinear { block: Some(0), ..linear };
    assert!(matches!(refused(&blocks, &[f32s(&[3, 4]), f32s(&[3])]), Error::Option { option: "block", .. }));
    let wide = QuantizeLinear { output: DType::I32, ..linear };
    assert!(matches!(refused(&wide, &[f32s(&[3, 4]), f32s(&[3])]), Error::Option { option: "output", .. }));
}

/// An output of bytes starts on a word: what it is written with; it may end anywhere.
#[test]
fn outputs_of_bytes_start_on_words() {
    let gpu = &devices()[0];
    let op = QuantizeLinear::default();
    let x = gpu.tensor(&[5], &[1.0f32, -1.0, 300.0, 2.5, 3.5]).unwrap();
    let scale = gpu.tensor(&[], &[1.0f32]).unwrap();
    let plan = op.plan(gpu.profile(), &[x.layout(), scale.layout()]).unwrap();
    let all = gpu.tensor(&[12], &[7u8; 12]).unwrap();
    let mut odd = all.slice(1..6).unwrap();
    let error = gpu.run(&plan, &[&x, &scale], &mut [&mut odd]).unwrap_err();
    assert!(matches!(error, Error::Unplanned { .. }), "{error}");
    let mut even = all.slice(4..9).unwrap();
    gpu.run(&plan, &[&x, &scale], &mut [&mut even]).unwrap();
    assert_eq!(all.to_vec(gpu).unwrap(), [7, 7, 7, 7, 1, 0, 255, 2, 4, 7, 7, 7]);
    // Inputs of bytes start anywhere.
    let back: Tensor<f32> = gpu.apply(&DequantizeLinear::default(), &[&all.slice(3..7).unwrap(), &scale]).unwrap();
    assert_eq!(back.to_vec(gpu).unwrap(), [7.0, 1.0, 0.0, 255.0]);
    assert!(gpu.findings().is_empty(), "{:?}", gpu.findings());
}

#[test]
fn ranges_and_counts_of_several_tensors() {
    let mut random = Random::new(13);
    for shape in SHAPES.into_iter().chain([&[300, 40][..]]) {
        for granularity in [Granularity::Tensor, Granularity::Channel(0), Granularity::Channel(shape.len() - 1)] {
            let scheme = QuantScheme { granularity, ..QuantScheme::default() };
            let groups = QuantLayout::new(scheme, shape).unwrap().scales().unwrap();
            let ranges = Layout::new(&[groups[0], 2], DType::U32);
            let op = Ranges { granularity };
            check(&op, &op.draw(&[f32s(shape), ranges], &mut random).unwrap(), true);
        }
        for mantissa in [0, 2] {
            let op = Histogram { mantissa };
            let counts = Layout::new(&[1 << (9 + mantissa)], DType::U32);
            check(&op, &op.draw(&[f32s(shape), counts], &mut random).unwrap(), true);
        }
    }
    let odd = [f32::NAN, f32::INFINITY, -f32::INFINITY, 0.0, -0.0, 1e-40, -1e-40, f32::MAX, f32::MIN];
    let odd = HostTensor::new(&[9], &odd).unwrap();
    check(&Histogram { mantissa: 0 }, &[odd.clone(), common::u32s(&[0; 512])], true);
    let ranges = HostTensor::new(&[1, 2], &[0u32; 2]).unwrap();
    check(&Ranges { granularity: Granularity::Tensor }, &[odd, ranges], true);
}

/// Every composition with all operands in one buffer.
#[test]
fn operands_share_a_buffer() {
    let mut random = Random::new(14);
    for gpu in devices() {
        for (op, layouts) in common::cases::quantized_ops(DType::F32) {
            let inputs = op.draw(&layouts, &mut random).unwrap();
            let layouts: Vec<Layout> = inputs.iter().map(|input| input.layout().in_arena()).collect();
            let plan = op.plan(gpu.profile(), &layouts).unwrap();
            verify::plan(gpu, &*op, &plan, &inputs).unwrap().assert_strict();
        }
    }
}

/// PyTorch's values, scales, zero points and numbers, bit by bit.
#[test]
fn pytorch_quantizes_to_the_same_bits() {
    let file = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/data/quantization/fixtures.safetensors")).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&file).unwrap();
    let cases: serde_json::Value = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["cases"]).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let (mut compared, mut parted) = (0, 0);
    for case in cases.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let tensor = |what: &str| tensors.tensor(&format!("{name}.{what}")).unwrap();
        let floats = |what: &str| -> Vec<f32> {
            tensor(what).data().chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
        };
        let (shape, x, scales) = (tensor("x").shape().to_vec(), floats("x"), floats("scales"));
        let zeros: Vec<i32> =
            tensor("zeros").data().chunks(4).map(|bytes| i32::from_le_bytes(bytes.try_into().unwrap())).collect();
        let values = if case["dtype"] == "quint8" { QuantType::U8 } else { QuantType::I8 };
        let axis = case["axis"].as_u64().map(|axis| axis as usize);
        let granularity = axis.map_or(Granularity::Tensor, Granularity::Channel);
        let scheme = QuantScheme { values, granularity, symmetric: false, scales: DType::F32 };
        let [low, high] = values.range();
        let group = |at: usize| axis.map_or(0, |axis| at / shape[axis + 1..].iter().product::<usize>() % shape[axis]);
        // PyTorch multiplies by the reciprocal, ONNX divides: where it matters, ONNX holds.
        let by =
            |ratio: f32, at: usize| (ratio.round_ties_even() as i32).saturating_add(zeros[group(at)]).clamp(low, high);
        let pytorch: Vec<i32> =
            tensor("values").data().iter().map(|&q| if low == 0 { q.into() } else { (q as i8).into() }).collect();
        let expected: Vec<i32> = (0..x.len())
            .map(|at| {
                assert_eq!(by(x[at] * (1.0 / scales[group(at)]), at), pytorch[at], "{name} {at}");
                by(x[at] / scales[group(at)], at)
            })
            .collect();
        let differ = expected.iter().zip(&pytorch).filter(|(own, other)| own != other).count();
        assert_eq!(differ as u64, case["differs"].as_u64().unwrap(), "{name}");
        (compared, parted) = (compared + x.len(), parted + differ);
        for gpu in devices() {
            let weights = gpu.tensor(&shape, &x).unwrap();
            let given = QuantizedTensor::with_scales(gpu, &weights, scheme, &scales, &zeros).unwrap();
            assert_eq!(whole_numbers(gpu, &given.to_plain(gpu).unwrap().values), expected, "{name}");
            let numbers = given.dequantize(gpu, DType::F32).unwrap().typed::<f32>().unwrap().to_vec(gpu).unwrap();
            for (at, (number, other)) in numbers.iter().zip(floats("numbers")).enumerate() {
                // A device may round the product to either side.
                let near = (number - other).abs() <= f32::EPSILON * other.abs();
                assert!(near || expected[at] != pytorch[at], "{name} {at}: {number} {other}");
            }
            if case["symmetric"] == true {
                let scheme = QuantScheme { symmetric: true, ..scheme };
                let plain = QuantizedTensor::with_scales(gpu, &weights, scheme, &scales, &[]).unwrap();
                assert_eq!(whole_numbers(gpu, &plain.to_plain(gpu).unwrap().values), expected, "{name}");
            }
            if case["observed"] == true {
                let plain = QuantizedTensor::quantize(gpu, &weights, scheme).unwrap().to_plain(gpu).unwrap();
                assert_eq!(plain.scales.clone().typed::<f32>().unwrap().to_vec(gpu).unwrap(), scales, "{name}");
                assert_eq!(whole_numbers(gpu, &plain.zeros.unwrap()), zeros, "{name}");
                assert_eq!(whole_numbers(gpu, &plain.values), expected, "{name}");
            }
        }
    }
    assert!(compared > 20_000 && parted > 0 && parted < compared / 20, "{parted} of {compared}");
}

/// The elements of a tensor of bytes.
fn whole_numbers(gpu: &Gpu, tensor: &AnyTensor) -> Vec<i32> {
    let found = gpu.download_any(tensor).unwrap();
    (0..found.len()).map(|at| found.at(at) as i32).collect()
}
