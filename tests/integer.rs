//! Products and convolutions of whole numbers against their twins, to the bit: numbers of the whole range, zero points at its ends.

mod common;

use common::{around, broadcast, small_tiles, with_profile};
use tilewise::reference::{HostTensor, Random, Twin};
use tilewise::verify;
use tilewise::{
    Activation, AdaptiveAvgPool2d, AdaptiveMaxPool2d, AnyTensor, AvgPool2d, BinaryConv2d, BinaryMatmul,
    ContractionBody, ContractionVariant, DType, Error, Granularity, IntegerConv2d, IntegerMatmul, IntegerOutput,
    IntegerPool2d, IntegerPooling, Layout, MaxPool2d, Op, Operand, Padding, Plan, Prepared, QuantLayout, QuantScheme,
    QuantType,
};

/// A byte of the whole range, its ends more often than chance has it.
fn byte(random: &mut Random) -> u8 {
    match random.below(8) {
        0 => 0x80,
        1 => 0x7F,
        2 => 0xFF,
        3 => 0,
        _ => random.below(256) as u8,
    }
}

/// Such bytes.
fn bytes(random: &mut Random, shape: &[usize], dtype: DType) -> HostTensor {
    let len = shape.iter().product();
    let drawn: Vec<u8> = (0..len).map(|_| byte(random)).collect();
    match dtype {
        DType::U8 => HostTensor::new(shape, &drawn).unwrap(),
        _ => HostTensor::new(shape, &drawn.iter().map(|&byte| byte as i8).collect::<Vec<_>>()).unwrap(),
    }
}

/// A zero point at an end of the range.
fn end(dtype: DType, shape: &[usize], greatest: bool) -> HostTensor {
    let len = shape.iter().product();
    match (dtype, greatest) {
        (DType::U8, false) => HostTensor::new(shape, &vec![0u8; len]),
        (DType::U8, true) => HostTensor::new(shape, &vec![255u8; len]),
        (_, false) => HostTensor::new(shape, &vec![-128i8; len]),
        (_, true) => HostTensor::new(shape, &vec![127i8; len]),
    }
    .unwrap()
}

fn floats(shape: &[usize], of: impl Fn(usize) -> f32) -> HostTensor {
    HostTensor::new(shape, &(0..shape.iter().product()).map(of).collect::<Vec<_>>()).unwrap()
}

/// Every candidate, to the bit.
#[track_caller]
fn check(op: &dyn Twin, inputs: &[HostTensor]) {
    for gpu in small_tiles() {
        for report in verify::candidates(&gpu, op, inputs).unwrap() {
            report.assert_strict();
            assert_eq!(report.exact_mismatches, 0, "{op:?} {report}");
        }
    }
}

#[test]
fn sums_of_products_are_exact() {
    let mut random = Random::new(1);
    let types = [DType::I8, DType::U8];
    for (case, k) in [1, 3, 4, 5, 16, 37, 64, 100].into_iter().enumerate() {
        let [a, b] = [types[case % 2], types[case / 2 % 2]];
        let (m, n) = (around(12)[1 + case % 5], around(8)[1 + (case + 2) % 5]);
        let transpose = case % 3 != 0;
        let shape = if transpose { [n, k] } else { [k, n] };
        let inputs = [bytes(&mut random, &[m, k], a), bytes(&mut random, &shape, b)];
        check(&IntegerMatmul { transpose, ..Default::default() }, &inputs);
        for greatest in [false, true] {
            let zeros = [end(a, &[1], greatest), end(b, &[], !greatest)];
            let inputs = [&inputs[..], &zeros].concat();
            check(&IntegerMatmul { transpose, zeros: [true; 2], ..Default::default() }, &inputs);
        }
    }
}

#[test]
fn zero_points_of_rows_and_columns_are_exact() {
    let mut random = Random::new(2);
    let (m, n, k) = (13, 9, 21);
    for (a, b) in [(DType::I8, DType::U8), (DType::U8, DType::I8)] {
        let inputs = [
            bytes(&mut random, &[2, m, k], a),
            bytes(&mut random, &[2, k, n], b),
            bytes(&mut random, &[2, m], a),
            bytes(&mut random, &[2, n], b),
            HostTensor::new(&[n], &(0..n as i32).map(|i| i * 1_000_003 - 4_000_000).collect::<Vec<_>>()).unwrap(),
        ];
        check(&IntegerMatmul { zeros: [true; 2], bias: true, ..Default::default() }, &inputs);
        // One matrix of weights for a batch.
        let weight = bytes(&mut random, &[k, n], b);
        let inputs = [inputs[0].clone(), weight, inputs[2].clone(), bytes(&mut random, &[n], b)];
        check(&IntegerMatmul { zeros: [true; 2], ..Default::default() }, &inputs);
    }
}

#[test]
fn sums_become_floats_and_codes_as_the_twin_has_them() {
    let mut random = Random::new(3);
    let (m, n, k) = (11, 10, 35);
    let x = bytes(&mut random, &[m, k], DType::U8);
    let weight = bytes(&mut random, &[n, k], DType::I8);
    let zeros = [bytes(&mut random, &[1], DType::U8), bytes(&mut random, &[n], DType::I8)];
    // Powers of two, so that floats are exact.
    let powers = [floats(&[m], |i| 2f32.powi(-(i as i32))), floats(&[n], |i| 2f32.powi(i as i32 - 8))];
    let bias = floats(&[n], |i| i as f32 * 0.25 - 1.0);
    let op = IntegerMatmul {
        transpose: true,
        zeros: [true; 2],
        scales: [true; 2],
        bias: true,
        activation: Activation::Relu,
        output: IntegerOutput::Floats(DType::F32),
        ..Default::default()
    };
    let inputs = [&[x.clone(), weight.clone()][..], &zeros, &powers, &[bias]].concat();
    check(&op, &inputs);
    // Scales of any kind, and sums at the middle between codes.
    let scales = [floats(&[], |_| 0.0371), floats(&[n], |i| 0.0123 + i as f32 * 0.001)];
    let halves = [floats(&[1], |_| 0.5), floats(&[1], |_| 0.03125)];
    let whole = HostTensor::new(&[n], &(0..n as i32).map(|i| 100 * i - 300).collect::<Vec<_>>()).unwrap();
    for (case, scales) in [scales, halves].into_iter().enumerate() {
        for output in [
            IntegerOutput::Quantized { dtype: DType::I8, zero: -128 },
            IntegerOutput::Quantized { dtype: DType::I8, zero: 127 },
            IntegerOutput::Quantized { dtype: DType::U8, zero: 0 },
            IntegerOutput::Quantized { dtype: DType::U8, zero: 255 },
            IntegerOutput::Words { zero: 3 },
        ] {
            let activation = if case == 0 { Activation::None } else { Activation::Relu };
            let op = IntegerMatmul { output, activation, ..op.clone() };
            let inputs = [&[x.clone(), weight.clone()][..], &zeros, &scales, std::slice::from_ref(&whole)].concat();
            check(&op, &inputs);
        }
    }
}

#[test]
fn quantized_weights_and_words_are_read_as_they_lie() {
    let mut random = Random::new(4);
    for (k, n, m) in [(64, 9, 13), (33, 12, 5), (7, 3, 2), (16, 8, 1)] {
        for (values, symmetric, granularity) in [
            (QuantType::I8, true, Granularity::Channel(0)),
            (QuantType::U8, false, Granularity::Channel(0)),
            (QuantType::I8, false, Granularity::Tensor),
        ] {
            let scheme = QuantScheme { values, granularity, symmetric, scales: DType::F32 };
            let weight = QuantLayout::new(scheme, &[n, k]).unwrap();
            let op = IntegerMatmul {
                weight: Some(weight.clone()),
                zeros: [true, !symmetric],
                scales: [true; 2],
                output: IntegerOutput::Quantized { dtype: DType::I8, zero: 5 },
                ..Default::default()
            };
            let planes = weight.planes().unwrap();
            for x in [Layout::new(&[m, k], DType::I8), Layout::new(&[m, k.div_ceil(4)], DType::U32)] {
                let zero = Layout::new(&[], DType::I8);
                let layouts: Vec<Layout> =
                    [x, planes[0].clone(), zero].into_iter().chain(planes.get(2).cloned()).collect();
                let mut inputs = op.draw(&layouts, &mut random).unwrap();
                inputs.push(floats(&[1], |_| 0.011));
                inputs.push(floats(&planes[1].shape, |i| 0.02 + i as f32 * 0.003));
                check(&op, &inputs);
            }
        }
    }
}

#[test]
fn empty_products_are_empty_or_zero() {
    let mut random = Random::new(5);
    for (m, n, k) in [(0, 3, 4), (3, 0, 4), (3, 4, 0)] {
        let inputs = [bytes(&mut random, &[m, k], DType::I8), bytes(&mut random, &[k, n], DType::I8)];
        check(&IntegerMatmul::default(), &inputs);
    }
}

#[test]
fn sums_are_taken_up_to_what_32_bits_hold() {
    // The largest there are, of one sign: the sum ends next to the limit.
    let op = |zeros| IntegerMatmul { transpose: true, zeros, ..Default::default() };
    let bytes = |k: usize, byte: i8| HostTensor::new(&[1, k], &vec![byte; k]).unwrap();
    let most = 131_071;
    check(&op([false; 2]), &[bytes(most, -128), bytes(most, -128)]);
    let layouts = |k: usize| vec![Layout::new(&[1, k], DType::I8); 2];
    let refused = op([false; 2]).infer(&layouts(most + 1)).unwrap_err();
    assert!(matches!(refused, Error::Limit { needed: 131_072, available: 131_071, .. }), "{refused}");
    let most = 33_025;
    let zero = |zero: i8| HostTensor::new(&[1], &[zero]).unwrap();
    check(&op([true; 2]), &[bytes(most, -128), bytes(most, 127), zero(127), zero(-128)]);
    let zeros = || vec![Layout::new(&[1], DType::I8); 2];
    let refused = op([true; 2]).infer(&[layouts(most + 1), zeros()].concat()).unwrap_err();
    assert!(matches!(refused, Error::Limit { needed: 33_026, available: 33_025, .. }), "{refused}");
}

/// The tile of drivers on the CPU takes its sums out of floats every 1024 terms.
#[test]
fn long_sums_are_exact_in_every_body() {
    let mut random = Random::new(6);
    let k = 5000;
    let inputs = [HostTensor::new(&[9, k], &vec![-128i8; 9 * k]).unwrap(), bytes(&mut random, &[k, 12], DType::I8)];
    check(&IntegerMatmul::default(), &inputs);
    let staged = ContractionVariant { body: ContractionBody::Staged, ..common::STAGED };
    for gpu in small_tiles() {
        let variants: Vec<_> = [staged, common::FEW_ROWS].into_iter().chain(broadcast(&gpu)).collect();
        let gpu = with_profile(&gpu, |profile| profile.contractions = variants.clone());
        for report in verify::candidates(&gpu, &IntegerMatmul::default(), &inputs).unwrap() {
            report.assert_strict();
            assert_eq!(report.exact_mismatches, 0, "{report}");
        }
    }
}

#[test]
fn convolutions_are_exact() {
    let mut random = Random::new(7);
    let padding = Padding { top: 1, left: 2, bottom: 0, right: 1 };
    let cases = [
        // x, weight, stride, dilation, groups
        ([2, 5, 7, 6], [6, 5, 3, 2], [1, 1], [1, 1], 1),
        ([1, 8, 9, 5], [5, 8, 2, 3], [2, 1], [1, 2], 1),
        ([2, 6, 5, 5], [4, 3, 3, 3], [1, 2], [1, 1], 2),
        ([1, 5, 8, 8], [5, 1, 3, 3], [1, 1], [2, 1], 5),
        ([2, 7, 4, 4], [9, 7, 1, 1], [1, 1], [1, 1], 1),
        ([2, 6, 7, 5], [6, 1, 2, 3], [2, 1], [1, 1], 6),
    ];
    let types = [DType::I8, DType::U8];
    for (case, (x, weight, stride, dilation, groups)) in cases.into_iter().enumerate() {
        let [a, b] = [types[case % 2], types[case / 2 % 2]];
        // A kernel of one pixel at every pixel is a product.
        let padding = if weight[2] == 1 { Padding::default() } else { padding };
        let op = IntegerConv2d { stride, dilation, groups, padding, ..Default::default() };
        let inputs = [bytes(&mut random, &x, a), bytes(&mut random, &weight, b)];
        check(&op, &inputs);
        let bias =
            HostTensor::new(&[weight[0]], &(0..weight[0] as i32).map(|i| 1000 * i - 3000).collect::<Vec<_>>()).unwrap();
        for greatest in [false, true] {
            let zeros = [end(a, &[], greatest), end(b, &[weight[0]], !greatest)];
            let inputs = [&inputs[..], &zeros, std::slice::from_ref(&bias)].concat();
            check(&IntegerConv2d { zeros: [true; 2], bias: true, ..op.clone() }, &inputs);
        }
    }
}

#[test]
fn convolutions_of_words_stay_in_words() {
    let mut random = Random::new(8);
    for (c, o, groups) in [(6, 7, 1), (8, 12, 2), (7, 7, 7)] {
        let scheme = QuantScheme { symmetric: c == 6, ..Default::default() };
        let weight = QuantLayout::new(scheme, &[o, c / groups, 3, 3]).unwrap();
        let planes = weight.planes().unwrap();
        for output in [
            IntegerOutput::Words { zero: -7 },
            IntegerOutput::Quantized { dtype: DType::U8, zero: 128 },
            IntegerOutput::Floats(DType::F32),
        ] {
            let bias = matches!(output, IntegerOutput::Words { .. });
            let op = IntegerConv2d {
                padding: Padding::all(1),
                groups,
                weight: Some(weight.clone()),
                zeros: [true, !scheme.symmetric],
                scales: [true; 2],
                bias,
                activation: Activation::Relu,
                output,
                ..Default::default()
            };
            let layouts: Vec<Layout> =
                [Layout::new(&[2, c.div_ceil(4), 5, 6], DType::U32), planes[0].clone(), Layout::new(&[1], DType::I8)]
                    .into_iter()
                    .chain(planes.get(2).cloned())
                    .collect();
            let mut inputs = op.draw(&layouts, &mut random).unwrap();
            inputs.push(floats(&[1], |_| 2f32.powi(-9)));
            inputs.push(floats(&[o], |i| 2f32.powi(i as i32 % 3 - 1)));
            inputs.extend(bias.then(|| HostTensor::new(&[o], &(0..o as i32).collect::<Vec<_>>()).unwrap()));
            check(&op, &inputs);
        }
    }
}

/// Ends of sums with scales of powers of two, so that floats are exact.
fn ends() -> [IntegerOutput; 5] {
    [
        IntegerOutput::Sums,
        IntegerOutput::Floats(DType::F32),
        IntegerOutput::Quantized { dtype: DType::I8, zero: -128 },
        IntegerOutput::Quantized { dtype: DType::U8, zero: 255 },
        IntegerOutput::Words { zero: 127 },
    ]
}

/// A convolution of channels by themselves with everything that its end takes, zero points at an end of their range: x as bytes, or in words.
fn depthwise(
    random: &mut Random,
    op: &IntegerConv2d,
    ([n, c, h, w], kernel): ([usize; 4], [usize; 2]),
    x: DType,
    greatest: bool,
) -> (IntegerConv2d, Vec<HostTensor>) {
    let scaled = op.output != IntegerOutput::Sums;
    let op = IntegerConv2d { groups: c, zeros: [true; 2], scales: [scaled; 2], bias: true, ..op.clone() };
    let image = match x {
        DType::U32 => {
            let shape = [n, c.div_ceil(4), h, w];
            let words: Vec<u32> =
                (0..shape.iter().product()).map(|_| u32::from_le_bytes([0; 4].map(|_: u8| byte(random)))).collect();
            HostTensor::new(&shape, &words).unwrap()
        }
        dtype => bytes(random, &[n, c, h, w], dtype),
    };
    let weight = if greatest { DType::U8 } else { DType::I8 };
    let own = if x == DType::U32 { DType::I8 } else { x };
    let mut inputs = vec![
        image,
        bytes(random, &[c, 1, kernel[0], kernel[1]], weight),
        end(own, &[1], greatest),
        bytes(random, &[c], weight),
    ];
    if scaled {
        inputs.extend([floats(&[1], |_| 2f32.powi(-9)), floats(&[c], |i| 2f32.powi(i as i32 % 3 - 1))]);
    }
    inputs.push(match op.output {
        IntegerOutput::Floats(_) => floats(&[c], |i| i as f32 * 0.5 - 1.0),
        _ => HostTensor::new(&[c], &(0..c as i32).map(|i| 777 * i - 1500).collect::<Vec<_>>()).unwrap(),
    });
    (op, inputs)
}

#[test]
fn channels_by_themselves_slide_to_the_bit() {
    let mut random = Random::new(15);
    let pad = |top, left, bottom, right| Padding { top, left, bottom, right };
    let cases = [
        // x, kernel, stride, dilation, padding
        ([1, 6, 9, 8], [3, 3], [1, 1], [1, 1], pad(1, 1, 1, 1)),
        ([2, 5, 7, 13], [3, 3], [2, 2], [1, 1], pad(1, 1, 0, 2)),
        ([1, 3, 11, 17], [3, 3], [3, 3], [1, 1], pad(0, 2, 1, 0)),
        ([1, 2, 6, 12], [3, 2], [1, 2], [2, 3], pad(2, 3, 2, 3)),
        ([1, 4, 5, 16], [5, 5], [2, 1], [1, 1], pad(2, 4, 2, 0)),
        ([1, 2, 4, 20], [2, 4], [2, 3], [3, 2], pad(3, 5, 0, 1)),
        ([3, 7, 1, 1], [1, 1], [1, 1], [1, 1], pad(0, 0, 0, 0)),
        ([2, 5, 1, 1], [3, 3], [1, 1], [1, 1], pad(1, 1, 1, 1)),
        ([1, 2, 3, 2], [3, 3], [1, 1], [2, 2], pad(2, 3, 2, 3)),
        // Two runs of a row where a driver of the CPU has them, the last one ragged, or of whole words.
        ([1, 2, 2, 262], [1, 3], [1, 1], [1, 1], pad(0, 1, 0, 1)),
        ([1, 2, 2, 264], [1, 3], [1, 1], [1, 1], pad(0, 1, 0, 1)),
    ];
    let types = [DType::I8, DType::U32, DType::U8];
    for (case, (x, kernel, stride, dilation, padding)) in cases.into_iter().enumerate() {
        // Each case meets two ends, so that all of them meet bytes and words, and both ends of the range.
        for (number, output) in [case % 5, (case + 2) % 5].map(|end| (end, ends()[end])) {
            let (dtype, greatest) = (types[(case / 5 + number) % 3], case % 2 == 0);
            let op = IntegerConv2d { stride, dilation, padding, output, ..Default::default() };
            let (op, inputs) = depthwise(&mut random, &op, (x, kernel), dtype, greatest);
            for gpu in small_tiles() {
                let plans = verify::plans(gpu.profile(), &op, &inputs).unwrap();
                let slide: Vec<&Plan> = plans.iter().filter(|plan| plan.variant == "whole/depthwise").collect();
                assert!(!slide.is_empty());
                for plan in slide {
                    let report = verify::plan(&gpu, &op, plan, &inputs).unwrap();
                    report.assert_strict();
                    assert_eq!(report.exact_mismatches, 0, "{op:?} {report}");
                }
            }
        }
    }
}

/// Windows of too many taps for registers, in words that nothing else reads.
#[test]
fn large_windows_of_words_do_not_slide() {
    let mut random = Random::new(16);
    for (kernel, dilation) in [([9, 9], [1, 1]), ([2, 2], [40, 1])] {
        let output = IntegerOutput::Words { zero: 1 };
        let op = IntegerConv2d { padding: Padding::all(20), dilation, output, ..Default::default() };
        let (op, inputs) = depthwise(&mut random, &op, ([1, 5, 6, 7], kernel), DType::U32, true);
        let layouts: Vec<Layout> = inputs.iter().map(HostTensor::layout).collect();
        for gpu in small_tiles() {
            let plan = op.plan(gpu.profile(), &layouts).unwrap();
            assert_eq!(plan.variant, "whole/planes", "{plan}");
            assert!(plan.passed_over.iter().any(|why| why.starts_with("whole/depthwise")), "{plan}");
        }
        check(&op, &inputs);
    }
}

#[test]
fn products_of_signs_are_exact() {
    let mut random = Random::new(9);
    for (m, n, k) in [(5, 9, 1), (13, 8, 31), (3, 12, 70), (9, 5, 160)] {
        let scheme = QuantScheme { values: QuantType::Binary, ..Default::default() };
        let weight = QuantLayout::new(scheme, &[n, k]).unwrap();
        let planes = weight.planes().unwrap();
        let sums = BinaryMatmul {
            weight: weight.clone(),
            scales: [false; 2],
            bias: false,
            activation: Activation::None,
            output: IntegerOutput::Sums,
        };
        let inputs = sums.draw(&[Layout::new(&[m, k], DType::F32), planes[0].clone()], &mut random).unwrap();
        check(&sums, &inputs);
        let op = BinaryMatmul {
            scales: [true; 2],
            bias: true,
            output: IntegerOutput::Floats(DType::F32),
            activation: Activation::Relu,
            ..sums
        };
        let scales = [floats(&[1], |_| 0.5), floats(&[n], |i| 2f32.powi(-(i as i32)))];
        let inputs = [&inputs[..], &scales, &[floats(&[n], |i| i as f32 - 3.0)]].concat();
        check(&op, &inputs);
    }
}

#[test]
fn convolutions_of_signs_are_exact() {
    let mut random = Random::new(10);
    for (x, filters, groups) in [([2, 5, 6, 7], [6, 5, 3, 3], 1), ([1, 72, 4, 4], [4, 36, 2, 3], 2)] {
        let scheme = QuantScheme { values: QuantType::Binary, ..Default::default() };
        let weight = QuantLayout::new(scheme, &filters).unwrap();
        let op = BinaryConv2d {
            stride: [1, 2],
            padding: Padding::all(1),
            dilation: [1; 2],
            groups,
            weight: weight.clone(),
            scales: [false; 2],
            bias: false,
            activation: Activation::None,
            output: IntegerOutput::Sums,
        };
        let layouts = [Layout::new(&x, DType::F32), weight.planes().unwrap()[0].clone()];
        check(&op, &op.draw(&layouts, &mut random).unwrap());
    }
}

#[test]
fn pooling_of_bytes_and_words_is_exact() {
    let mut random = Random::new(11);
    let ways = [
        IntegerPooling::Max(MaxPool2d {
            kernel: [3, 2],
            stride: Some([2, 1]),
            padding: [1, 0, 2, 1],
            dilation: [1, 2],
            ..Default::default()
        }),
        IntegerPooling::Average(AvgPool2d {
            kernel: [3, 3],
            stride: Some([1, 2]),
            padding: [1, 2, 0, 1],
            ..Default::default()
        }),
        IntegerPooling::Average(AvgPool2d {
            kernel: [2, 4],
            padding: [1, 1, 1, 1],
            count_include_pad: false,
            ..Default::default()
        }),
        IntegerPooling::AdaptiveMax(AdaptiveMaxPool2d { output: [3, 2], ..Default::default() }),
        IntegerPooling::AdaptiveAverage(AdaptiveAvgPool2d { output: [2, 3] }),
        IntegerPooling::AdaptiveAverage(AdaptiveAvgPool2d::default()),
    ];
    for pooling in ways {
        for (dtype, zero) in [(DType::I8, -128), (DType::U8, 255), (DType::I8, 127)] {
            check(&IntegerPool2d { pooling, zero }, &[bytes(&mut random, &[2, 3, 7, 5], dtype)]);
        }
        let op = IntegerPool2d { pooling, zero: -3 };
        check(&op, &op.draw(&[Layout::new(&[2, 2, 7, 5], DType::U32)], &mut random).unwrap());
    }
}

/// Where a body has rows in fours, codes leave it in words, and nothing follows.
#[test]
fn codes_leave_in_words_where_rows_are_in_fours() {
    let mut random = Random::new(12);
    let (padding, scales, zero) = (Padding::all(1), [true; 2], 9);
    let words = IntegerOutput::Words { zero };
    let bytes_of = |dtype| IntegerOutput::Quantized { dtype, zero };
    let conv = |groups| IntegerConv2d { padding, groups, scales, output: words, ..Default::default() };
    let product = |output| IntegerMatmul { scales, output, ..Default::default() };
    let int8 = |shape: &[usize]| Layout::new(shape, DType::I8);
    let cases: Vec<(Box<dyn Twin>, Vec<Layout>)> = vec![
        (Box::new(conv(1)), vec![int8(&[2, 3, 6, 5]), int8(&[10, 3, 3, 3])]),
        (Box::new(conv(2)), vec![int8(&[2, 8, 6, 5]), int8(&[24, 4, 3, 3])]),
        (
            Box::new(IntegerConv2d { padding: Padding::default(), ..conv(1) }),
            vec![int8(&[2, 6, 4, 4]), int8(&[9, 6, 1, 1])],
        ),
        (Box::new(product(words)), vec![int8(&[19, 20]), int8(&[20, 27])]),
        (Box::new(product(bytes_of(DType::U8))), vec![int8(&[2, 19, 20]), int8(&[2, 20, 28])]),
        (Box::new(product(bytes_of(DType::I8))), vec![int8(&[5, 20]), int8(&[20, 8])]),
    ];
    for gpu in small_tiles() {
        let in_fours = broadcast(&gpu).map(|variant| ContractionVariant { per_lane: (8, 4), ..variant });
        let variants: Vec<_> = [common::STAGED, common::FEW_ROWS].into_iter().chain(in_fours).collect();
        let gpu = with_profile(&gpu, |profile| profile.contractions = variants.clone());
        for (op, factors) in &cases {
            let mut inputs: Vec<HostTensor> =
                factors.iter().map(|factor| bytes(&mut random, &factor.shape, DType::I8)).collect();
            inputs.extend([floats(&[1], |_| 0.013), floats(&[1], |_| 0.07)]);
            let layouts: Vec<Layout> = inputs.iter().map(HostTensor::layout).collect();
            for plan in op.plans(gpu.profile(), &layouts).unwrap() {
                let last = plan.dispatches.last().unwrap().kernel.body.path;
                let direct = plan.variant.contains("direct");
                assert_eq!(last.starts_with("contraction/"), !direct, "{plan}");
                let report = verify::plan(&gpu, &**op, &plan, &inputs).unwrap();
                report.assert_strict();
                assert_eq!(report.exact_mismatches, 0, "{op:?} {report}");
            }
        }
    }
}

/// A convolution in words with everything that there is: two groups, zero points, scales, a bias.
fn with_everything(random: &mut Random) -> (IntegerConv2d, Vec<HostTensor>) {
    let op = IntegerConv2d {
        padding: Padding::all(1),
        groups: 2,
        zeros: [true; 2],
        scales: [true; 2],
        bias: true,
        output: IntegerOutput::Quantized { dtype: DType::U8, zero: 100 },
        ..Default::default()
    };
    let inputs = vec![
        bytes(random, &[2, 6, 7, 5], DType::U8),
        bytes(random, &[8, 3, 3, 3], DType::I8),
        end(DType::U8, &[1], true),
        bytes(random, &[8], DType::I8),
        floats(&[1], |_| 0.011),
        floats(&[8], |i| 0.02 + i as f32 * 0.005),
        HostTensor::new(&[8], &(0..8).map(|i| 500 * i - 2000).collect::<Vec<i32>>()).unwrap(),
    ];
    (op, inputs)
}

#[test]
fn work_is_cut_and_buffers_are_shared() {
    let mut random = Random::new(13);
    let (op, inputs) = with_everything(&mut random);
    common::check_split(&op, &inputs, 8, common::small_budget(5_000));
    for gpu in small_tiles() {
        let layouts: Vec<Layout> = inputs.iter().map(|input| input.layout().in_arena()).collect();
        for plan in op.plans(gpu.profile(), &layouts).unwrap() {
            let report = verify::plan(&gpu, &op, &plan, &inputs).unwrap();
            report.assert_strict();
            assert_eq!(report.exact_mismatches, 0, "{report}");
        }
    }
}

#[test]
fn what_follows_from_weights_is_made_once() {
    let mut random = Random::new(14);
    let (op, inputs) = with_everything(&mut random);
    let Some(gpu) = common::device() else { return };
    let tensors: Vec<AnyTensor> = inputs.iter().map(|input| gpu.upload(input).unwrap()).collect();
    let layouts: Vec<Layout> = inputs.iter().map(HostTensor::layout).collect();
    let known = |i: usize| i != 0;
    let layouts: Vec<Layout> =
        layouts.into_iter().enumerate().map(|(i, layout)| if known(i) { layout.constant() } else { layout }).collect();
    let plan = op.plan(gpu.profile(), &layouts).unwrap();
    let constants: Vec<usize> = (0..inputs.len()).filter(|&i| known(i)).collect();
    let Prepared { once, each } = plan.prepare(&constants).unwrap();
    // The words of the weights, and the terms of rows.
    assert!(once.dispatches.len() >= 2, "{once}");
    let run = |plan: &Plan, inputs: &[&AnyTensor]| -> Vec<AnyTensor> {
        let mut outputs: Vec<AnyTensor> = plan.outputs.iter().map(|layout| gpu.allocate(layout).unwrap()).collect();
        let inputs: Vec<&dyn Operand> = inputs.iter().map(|&input| input as &dyn Operand).collect();
        gpu.run(plan, &inputs, &mut outputs.iter_mut().map(|output| output as &mut dyn Operand).collect::<Vec<_>>())
            .unwrap();
        outputs
    };
    let made = run(&once, &constants.iter().map(|&i| &tensors[i]).collect::<Vec<_>>());
    let all: Vec<&AnyTensor> = tensors.iter().chain(&made).collect();
    let bytes = |outputs: Vec<AnyTensor>| gpu.download(&outputs[0].clone().typed::<u8>().unwrap()).unwrap();
    let whole = bytes(run(&plan, &tensors.iter().collect::<Vec<_>>()));
    assert_eq!(bytes(run(&each, &all)), whole);
    let expected = op.twin(&inputs, &tilewise::reference::Select::All).unwrap().swap_remove(0);
    assert!(expected.values.iter().zip(&whole).all(|(value, &byte)| value.value == f64::from(byte)));
}

#[test]
fn bad_input_is_refused_by_name() {
    let int8 = |shape: &[usize]| Layout::new(shape, DType::I8);
    let refused = |op: &dyn Op, inputs: &[Layout], words: &str| {
        let error = op.infer(inputs).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    let op = IntegerMatmul::default();
    let [a, b] = [int8(&[3, 5]), int8(&[5, 4])];
    refused(&op, std::slice::from_ref(&a), "1 inputs given, 2 wanted");
    refused(&op, &[a.clone(), int8(&[6, 4])], "does not fit the weight");
    refused(&op, &[Layout::new(&[3, 5], DType::F32), b.clone()], "x is f32");
    refused(&op, &[a.clone(), Layout::new(&[5, 4], DType::U32)], "weight is u32");
    let zeros = IntegerMatmul { zeros: [true, false], ..op.clone() };
    refused(&zeros, &[a.clone(), b.clone(), Layout::new(&[1], DType::U8)], "zero point of x is u8");
    refused(&zeros, &[a.clone(), b.clone(), int8(&[2])], "neither one nor 3");
    let scales = IntegerMatmul { scales: [true, false], ..op.clone() };
    refused(&scales, &[a.clone(), b.clone(), Layout::new(&[1], DType::F32)], "sums as they are");
    for (dtype, zero) in [(DType::I8, 128), (DType::I8, -129), (DType::U8, -1), (DType::U8, 256)] {
        let output = IntegerOutput::Quantized { dtype, zero };
        refused(
            &IntegerMatmul { output, ..op.clone() },
            &[a.clone(), b.clone()],
            "a zero point is a number of the type",
        );
    }
    let output = IntegerOutput::Quantized { dtype: DType::I32, zero: 0 };
    refused(&IntegerMatmul { output, ..op.clone() }, &[a.clone(), b.clone()], "must be i8 or u8");
    let bias = IntegerMatmul { bias: true, ..op };
    refused(&bias, &[a.clone(), b.clone(), Layout::new(&[4], DType::F32)], "bias is f32");
    refused(&bias, &[a, b, Layout::new(&[3], DType::I32)], "does not fit 4 output channels");
    let conv = IntegerConv2d { groups: 2, ..Default::default() };
    let words = Layout::new(&[1, 2, 5, 5], DType::U32);
    refused(&conv, &[words, int8(&[4, 3, 3, 3])], "in words does not hold 6 channels in 2 groups");
    // A weight by blocks has scales within its sums.
    let scheme = QuantScheme { granularity: Granularity::Block(32), ..Default::default() };
    let weight = QuantLayout::new(scheme, &[4, 64]).unwrap();
    let plane = weight.planes().unwrap().swap_remove(0);
    let blocks = IntegerMatmul { weight: Some(weight), ..Default::default() };
    refused(&blocks, &[int8(&[3, 64]), plane], "a scale for the tensor, or for each row");
    let pool = IntegerPool2d { pooling: IntegerPooling::Max(MaxPool2d::default()), zero: 200 };
    refused(&pool, &[int8(&[1, 2, 6, 6])], "a zero point is a number of the type");
}
