//! Elementwise ops, padding and concatenation against their twins.

mod common;

use common::keeps_to_ieee;
use tilewise::reference::{HostTensor, Random, Twin};
use tilewise::verify::{self, devices};
use tilewise::{
    Activation, BatchNorm, Binary, BinaryKind, Concat, DType, DeviceProfile, Layout, Op, Pad, PadMode, Permute, Unary,
    UnaryKind,
};

/// Every candidate on every device within the bound; to the bit where the twin's bound is 0.
#[track_caller]
fn check(op: &dyn Twin, inputs: &[HostTensor]) {
    for gpu in devices() {
        for report in verify::candidates(gpu, op, inputs).unwrap() {
            report.assert_strict();
        }
    }
}

/// As [`check`], on the devices that are known to keep to IEEE with NaN and infinity, which WGSL does not ask of them.
#[track_caller]
fn check_ieee(op: &dyn Twin, inputs: &[HostTensor]) {
    for gpu in devices().iter().filter(|gpu| keeps_to_ieee(&gpu.profile().name)) {
        verify::candidates(gpu, op, inputs).unwrap().iter().for_each(|report| report.assert_strict());
    }
}

/// As [`check`], and every element has to be the twin's to the bit.
#[track_caller]
fn exact(op: &dyn Twin, inputs: &[HostTensor]) {
    for gpu in devices() {
        for report in verify::candidates(gpu, op, inputs).unwrap() {
            report.assert_strict();
            assert_eq!(report.exact_mismatches, 0, "{report}");
        }
    }
}

fn f32s(shape: &[usize], elements: &[f32]) -> HostTensor {
    HostTensor::new(shape, elements).unwrap()
}

fn floats(shape: &[usize], seed: u64) -> HostTensor {
    f32s(shape, &Random::new(seed).floats(shape.iter().product()))
}

fn i32s(shape: &[usize], seed: u64) -> HostTensor {
    let mut random = Random::new(seed);
    let elements: Vec<i32> = (0..shape.iter().product()).map(|_| random.bits() as i32 >> random.below(32)).collect();
    HostTensor::new(shape, &elements).unwrap()
}

fn u32s(shape: &[usize], seed: u64) -> HostTensor {
    let mut random = Random::new(seed);
    let elements: Vec<u32> = (0..shape.iter().product()).map(|_| random.bits() as u32 >> random.below(32)).collect();
    HostTensor::new(shape, &elements).unwrap()
}

/// The magnitudes of an input's elements, as a variance has to be.
fn positive(input: &HostTensor) -> HostTensor {
    let elements: Vec<f32> = (0..input.len()).map(|i| input.at(i).abs() as f32).collect();
    f32s(&input.shape, &elements)
}

/// Numbers over the whole range of a function, its special places among them.
fn ladder(scale: f32) -> HostTensor {
    let mut elements: Vec<f32> = (-130..=130).map(|i| i as f32 / 130.0 * scale).collect();
    elements.extend([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1.0, -1.0, 0.25, -0.25, 0.3333, 3.0, -3.0, 6.0]);
    f32s(&[elements.len()], &elements)
}

#[test]
fn every_function_of_one_float() {
    for kind in UnaryKind::ALL {
        let positive = matches!(kind, UnaryKind::Log | UnaryKind::Sqrt | UnaryKind::Rsqrt);
        for scale in [4.0, 80.0, 3e4] {
            let mut x = ladder(scale);
            if positive {
                let elements: Vec<f32> = (0..x.len()).map(|i| x.at(i).abs() as f32).filter(|&x| x > 0.0).collect();
                x = f32s(&[elements.len()], &elements);
            }
            check(&Unary { kind }, &[x]);
        }
    }
}

#[test]
fn every_activation() {
    let with_parameters = [
        Activation::LeakyRelu(-0.5),
        Activation::Elu(2.5),
        Activation::Celu(0.7),
        Activation::HardSigmoid(0.2, 0.5),
        Activation::Clamp(f32::NEG_INFINITY, 1.5),
        Activation::Clamp(-1.5, f32::INFINITY),
        Activation::Clamp(f32::NEG_INFINITY, f32::INFINITY),
        Activation::Threshold(-0.5, 20.0),
    ];
    for activation in Activation::ALL.into_iter().chain(with_parameters) {
        check(&Unary::from(activation), &[ladder(7.0)]);
        check(&Unary::from(activation), &[ladder(110.0)]);
    }
}

#[test]
fn special_values_go_by_ieee() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let x = f32s(&[8], &[nan, inf, -inf, 0.0, -0.0, -1.0, 1.0, -2.5]);
    for kind in UnaryKind::ALL {
        check_ieee(&Unary { kind }, std::slice::from_ref(&x));
    }
    let x: Vec<f32> = [nan, inf, -inf, 0.0, -0.0, 1.0, -1.0, 2.0, -3.0, 0.5].repeat(10);
    let y: Vec<f32> = (0..100).map(|i| x[i / 10]).collect();
    for kind in BinaryKind::ALL {
        check_ieee(&Binary { kind }, &[f32s(&[100], &x), f32s(&[100], &y)]);
    }
}

#[test]
fn whole_numbers_wrap() {
    let mut edges = vec![i32::MIN, i32::MIN + 1, -7, -1, 0, 1, 7, i32::MAX];
    let y: Vec<i32> = edges.iter().flat_map(|&y| [y; 8]).collect();
    edges = edges.repeat(8);
    let (x, y) = (HostTensor::new(&[64], &edges).unwrap(), HostTensor::new(&[64], &y).unwrap());
    for kind in [UnaryKind::Neg, UnaryKind::Abs, UnaryKind::Sign] {
        exact(&Unary { kind }, std::slice::from_ref(&x));
    }
    for kind in &BinaryKind::ALL[..6] {
        exact(&Binary { kind: *kind }, &[x.clone(), y.clone()]);
        exact(&Binary { kind: *kind }, &[i32s(&[7, 1, 65], 1), i32s(&[3, 1], 2)]);
        exact(&Binary { kind: *kind }, &[u32s(&[7, 1, 65], 3), u32s(&[3, 1], 4)]);
    }
}

#[test]
fn operands_broadcast() {
    let shapes: [(&[usize], &[usize]); 9] = [
        (&[], &[]),
        (&[5], &[]),
        (&[2, 3, 4], &[4]),
        (&[2, 3, 4], &[3, 1]),
        (&[2, 1, 4, 1], &[3, 1, 5]),
        (&[0, 3], &[3]),
        (&[2, 1, 2, 1, 2, 1], &[1, 3, 1, 3, 1, 3]),
        (&[63], &[63]),
        (&[5, 65], &[5, 65]),
    ];
    for (x, y) in shapes {
        for (x, y) in [(x, y), (y, x)] {
            exact(&Binary { kind: BinaryKind::Max }, &[floats(x, 1), floats(y, 2)]);
            check(&Binary { kind: BinaryKind::Sub }, &[floats(x, 1), floats(y, 2)]);
        }
    }
    for kind in BinaryKind::ALL {
        check(&Binary { kind }, &[floats(&[6, 50], 5), floats(&[50], 6)]);
    }
    let powers = f32s(&[7], &[-3.0, -0.5, 0.0, 0.5, 1.0, 2.0, 31.0]);
    check(&Binary { kind: BinaryKind::Pow }, &[f32s(&[6, 1], &[-2.0, -0.75, 0.01, 0.9, 1.7, 12.0]), powers]);
}

#[test]
fn batch_norm_over_any_rank() {
    for shape in [&[3, 5][..], &[2, 4, 9], &[2, 3, 5, 7], &[2, 3, 2, 3, 2], &[0, 4, 2]] {
        let c = shape[1];
        let variance: Vec<f32> = Random::new(9).floats(c).iter().map(|x| x.abs()).collect();
        let inputs = [floats(shape, 1), floats(&[c], 2), floats(&[c], 3), floats(&[c], 4), f32s(&[c], &variance)];
        check(&BatchNorm::default(), &inputs);
        check(&BatchNorm { epsilon: 0.1, activation: Activation::Relu }, &inputs);
    }
}

#[test]
fn every_padding() {
    let modes = [PadMode::Constant(2.5), PadMode::Reflect, PadMode::Replicate, PadMode::Circular];
    for mode in modes {
        for padding in [
            vec![[0, 0], [0, 0], [2, 1], [1, 3]],
            vec![[0, 0], [1, 1], [0, 0], [0, 0]],
            vec![[-1, 1], [1, -2], [-2, -1], [3, 3]],
            vec![[0, 0]; 4],
        ] {
            exact(&Pad { padding, mode }, &[floats(&[2, 3, 5, 4], 7)]);
        }
        exact(&Pad { padding: vec![[64, 1]], mode }, &[floats(&[65], 8)]);
    }
    exact(&Pad { padding: vec![[3, 2], [1, 0]], mode: PadMode::Constant(f64::NEG_INFINITY) }, &[floats(&[0, 4], 1)]);
    exact(&Pad { padding: vec![], mode: PadMode::Reflect }, &[floats(&[], 1)]);
    exact(&Pad { padding: vec![[1, 2]], mode: PadMode::Constant(-2147483648.0) }, &[i32s(&[5], 1)]);
    exact(&Pad { padding: vec![[1, 2]], mode: PadMode::Constant(4294967295.0) }, &[u32s(&[5], 1)]);
    exact(&Pad { padding: vec![[70, 90]], mode: PadMode::Replicate }, &[u32s(&[1], 1)]);
}

#[test]
fn any_number_of_tensors_joins() {
    for dim in 0..3 {
        let inputs: Vec<HostTensor> = (0..11)
            .map(|i| {
                let mut shape = [3, 2, 5];
                shape[dim] = i;
                floats(&shape, i as u64)
            })
            .collect();
        exact(&Concat { dim }, &inputs);
    }
    exact(&Concat { dim: 0 }, &[i32s(&[3], 1)]);
    exact(&Concat { dim: 1 }, &[u32s(&[2, 70], 1), u32s(&[2, 1], 2), u32s(&[2, 65], 3)]);
}

/// As [`exact`], where operands that are aligned are gone through in vectors.
#[track_caller]
fn in_vectors(op: &dyn Twin, inputs: &[HostTensor]) {
    let layouts: Vec<Layout> = inputs.iter().map(HostTensor::layout).collect();
    for gpu in devices() {
        let plan = op.plan(gpu.profile(), &layouts).unwrap();
        assert_eq!(plan.variant, "map/vectors", "{plan}");
    }
    exact(op, inputs);
}

#[test]
fn whole_vectors_are_moved_at_once() {
    let max = Binary { kind: BinaryKind::Max };
    // Around the vectors of an invocation's run.
    for vectors in [1, 7, 8, 9, 17, 65] {
        let row = 4 * vectors;
        in_vectors(&Unary::from(Activation::Relu), &[floats(&[row], 1)]);
        in_vectors(&max, &[floats(&[3, row], 1), floats(&[row], 2)]);
        in_vectors(&max, &[floats(&[3, 1], 1), floats(&[3, row], 2)]);
        in_vectors(&max, &[floats(&[row], 1), floats(&[], 2)]);
        in_vectors(&max, &[i32s(&[2, 1, row], 1), i32s(&[3, row], 2)]);
        in_vectors(&max, &[u32s(&[2, 1, 2, 1, 2, row], 1), u32s(&[3, 1, 3, 1, 1], 2)]);
        in_vectors(&Permute { dims: vec![2, 1, 0, 3] }, &[floats(&[2, 3, 5, row], 1)]);
        in_vectors(&Concat { dim: 0 }, &[floats(&[row], 1), floats(&[5], 2), floats(&[row], 3)]);
        in_vectors(&Concat { dim: 1 }, &[floats(&[2, 3, row], 1), floats(&[2, 2, row], 2)]);
        for mode in [PadMode::Constant(2.5), PadMode::Reflect, PadMode::Replicate, PadMode::Circular] {
            in_vectors(&Pad { padding: vec![[2, 1], [-1, 2], [0, 0]], mode }, &[floats(&[3, 4, row], 1)]);
        }
        in_vectors(&Pad { padding: vec![[row as isize, 0]], ..Pad::default() }, &[floats(&[0], 1)]);
    }
    check(&BatchNorm::default(), &[&[3, 8][..], &[8], &[8], &[8], &[8]].map(|shape| positive(&floats(shape, 1))));
    check(&BatchNorm::default(), &[&[3, 5, 8][..], &[5], &[5], &[5], &[5]].map(|shape| positive(&floats(shape, 1))));
}

#[test]
fn what_is_left_of_a_long_row_is_moved_too() {
    for rest in 0..4 {
        let shape = [(1 << 14) + rest];
        in_vectors(&Binary { kind: BinaryKind::Max }, &[floats(&shape, 1), floats(&shape, 2)]);
    }
    let short = Unary::default().plan(&DeviceProfile::baseline(), &[Layout::new(&[4097], DType::F32)]).unwrap();
    assert_eq!(short.variant, "map/scalar");
}

#[test]
fn operands_that_are_aligned_to_an_element_are_moved_by_elements() {
    let aligned = Layout::new(&[8], DType::F32);
    let profile = DeviceProfile::baseline();
    for align in [4, 8] {
        let layouts = [aligned.clone(), Layout { align, ..aligned.clone() }];
        let plan = Binary::default().plan(&profile, &layouts).unwrap();
        assert_eq!((plan.variant.as_str(), plan.outputs[0].align), ("map/scalar", 4));
    }
    let plan = Binary::default().plan(&profile, &[aligned.clone(), aligned]).unwrap();
    assert_eq!((plan.inputs[0].align, plan.inputs[1].align, plan.outputs[0].align), (16, 16, 16));
    // Of an operand that broadcasts along rows, single elements are read.
    let rows = [Layout::new(&[3, 8], DType::F32), Layout::new(&[3, 1], DType::F32)];
    assert_eq!(Binary::default().plan(&profile, &rows).unwrap().inputs[1].align, 4);
}

#[test]
fn maps_are_split_at_limits() {
    for gpu in devices() {
        let mut profile = gpu.profile().clone();
        profile.limits.max_storage_buffer_binding_size = 2048;
        let gpu = gpu.with_profile(profile);
        let cases: [(Box<dyn Twin>, Vec<HostTensor>); 7] = [
            (Box::new(Unary::from(Activation::Relu)), vec![floats(&[3000], 1)]),
            (Box::new(Pad { padding: vec![[20, 19], [0, 0]], mode: PadMode::Reflect }), vec![floats(&[21, 80], 1)]),
            (Box::new(Binary::default()), vec![floats(&[3, 1000], 1), floats(&[1000], 2)]),
            (Box::new(Binary::default()), vec![floats(&[30, 100], 1), floats(&[30, 1], 2)]),
            (Box::new(Pad { padding: vec![[20, 19], [70, 9]], mode: PadMode::Reflect }), vec![floats(&[21, 80], 1)]),
            (Box::new(Pad { padding: vec![[20, 19], [70, 9]], mode: PadMode::Circular }), vec![floats(&[21, 80], 1)]),
            (Box::new(Concat { dim: 1 }), vec![floats(&[20, 41], 1), floats(&[20, 60], 2)]),
        ];
        for (op, inputs) in cases {
            let plan = op.plan(gpu.profile(), &verify::guarded_layouts(&inputs)).unwrap();
            assert!(plan.dispatches.len() > 2, "{plan}");
            for report in verify::candidates(&gpu, &*op, &inputs).unwrap() {
                report.assert_strict();
            }
        }
    }
}

#[test]
fn bad_input_is_refused_by_name() {
    let layout = |shape: &[usize]| Layout::new(shape, DType::F32);
    let refused = |op: &dyn Op, inputs: &[Layout]| {
        let error = op.infer(inputs).unwrap_err().to_string();
        assert_eq!(op.plan(&DeviceProfile::baseline(), inputs).unwrap_err().to_string(), error);
        error
    };
    let ints = Layout::new(&[2], DType::U32);
    let cases: [(&dyn Op, Vec<Layout>, &str); 15] = [
        (&Binary::default(), vec![layout(&[2, 3]), layout(&[2])], "binary: x [2, 3] and y [2] do not broadcast"),
        (&Binary::default(), vec![layout(&[2]), ints.clone()], "binary: y is u32, f32 wanted"),
        (&Binary { kind: BinaryKind::Pow }, vec![ints.clone(), ints.clone()], "binary: x is u32, f32 or f16 wanted"),
        (&Unary { kind: UnaryKind::Neg }, vec![ints.clone()], "unary: x is u32, f32 or f16 or i32 wanted"),
        (&Unary::default(), vec![], "unary: 0 inputs given, 1 wanted"),
        (&Unary::from(Activation::Celu(0.0)), vec![layout(&[1])], "unary: activation = Celu(0.0): an alpha above 0"),
        (&Concat::default(), vec![], "concat: 0 inputs given, 1 or more wanted"),
        (&Concat { dim: 1 }, vec![layout(&[2])], "concat: dimension 1 of input [2], which has 1"),
        (
            &Concat { dim: 0 },
            vec![layout(&[2, 3]), layout(&[2, 4])],
            "concat: input 1 [2, 4] differs from input 0 [2, 3] outside of dimension 0",
        ),
        (
            &Pad { padding: vec![[3, 0]], mode: PadMode::Reflect },
            vec![layout(&[3])],
            "pad: padding [3, 0] of dimension 0 of x [3], mode Reflect",
        ),
        (
            &Pad { padding: vec![[-2, -2]], ..Pad::default() },
            vec![layout(&[3])],
            "pad: padding [-2, -2] of dimension 0 of x [3], mode Constant(0.0)",
        ),
        (&Pad::default(), vec![layout(&[3])], "pad: 0 pairs of padding given, 1 wanted"),
        (
            &Pad { padding: vec![[1, 1]], mode: PadMode::Constant(0.5) },
            vec![ints.clone()],
            "pad: mode = Constant(0.5): must be a number of the input's type",
        ),
        (
            &BatchNorm { epsilon: f32::NAN, ..Default::default() },
            vec![],
            "batch_norm: epsilon = NaN: must be finite and at least 0",
        ),
        (
            &BatchNorm::default(),
            vec![layout(&[2, 3]), layout(&[3]), layout(&[3]), layout(&[4]), layout(&[3])],
            "batch_norm: mean [4] for 3 channels of x [2, 3]",
        ),
    ];
    for (op, inputs, text) in cases {
        assert_eq!(refused(op, &inputs), text);
    }
    let huge = usize::MAX;
    let pad = Pad { padding: vec![[isize::MAX, isize::MAX]], ..Pad::default() };
    for (op, inputs) in [
        (&Unary::default() as &dyn Op, vec![layout(&[huge, 2])]),
        (&Binary::default(), vec![layout(&[huge, 1]), layout(&[huge])]),
        (&Concat { dim: 0 }, vec![layout(&[huge]), layout(&[huge])]),
        (&pad, vec![layout(&[3])]),
    ] {
        assert!(matches!(op.infer(&inputs), Err(tilewise::Error::Limit { .. })), "{op:?}");
    }
}
