//! Quantization against its twins, bit by bit.

mod common;

use common::f32s;
use tilewise::reference::{HostTensor, Random, Twin};
use tilewise::verify::{self, devices};
use tilewise::{
    DType, Dequantize, DequantizeLinear, DynamicQuantize, DynamicQuantizeLinear, FakeQuantize, Granularity, Layout,
    PackValues, QuantLayout, QuantScheme, QuantType, Quantize, QuantizeLinear, UnpackValues, wgpu,
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
