//! Every op, in the forms that lead to different fragments: what the static and the executed proof of the kernels share.

use tilewise::reference::Twin;
use tilewise::{
    Activation, AdaptiveAvgPool2d, AdaptiveMaxPool2d, ApplyMask, AvgPool2d, BatchNorm, Binary, BinaryConv2d,
    BinaryKind, BinaryMatmul, BlockMask, Concat, Conv2d, ConvTranspose2d, CountMask, DType, Dequantize,
    DequantizeLinear, DynamicQuantize, DynamicQuantizeLinear, ExpandMask, FakeQuantize, Grain, Granularity, Histogram,
    IndexMask, IntegerConv2d, IntegerMatmul, IntegerOutput, IntegerPool2d, IntegerPooling, Layout, LogSoftmax, Matmul,
    MaxPool2d, NanMask, Pack, PackValues, Pad, PadMode, Padding, Permute, Precision, PruneGroups, PruneLowest,
    QuantLayout, QuantScheme, QuantType, Quantize, QuantizeLinear, QuantizedConv2d, QuantizedMatmul, Ranges, Reduce,
    ReduceKind, Softmax, SparseConv2d, SparseFormat, SparseLayout, SparseMatmul, Unary, UnaryKind, Unpack,
    UnpackValues,
};

/// An op with the shapes of its inputs.
pub type Case = (Box<dyn Twin>, Vec<Vec<usize>>);

/// Every op, in the forms that lead to different fragments.
pub fn ops() -> Vec<Case> {
    let plane = vec![2, 4, 9, 11];
    vec![
        (Box::new(Matmul::default()), vec![vec![70, 33], vec![33, 90]]),
        (
            Box::new(Matmul { precision: Precision::F16Multiply, ..Default::default() }),
            vec![vec![17, 33], vec![33, 35]],
        ),
        (
            Box::new(Matmul { activation: Activation::Gelu, ..Default::default() }),
            vec![vec![3, 7, 5], vec![5, 9], vec![9]],
        ),
        (Box::new(Conv2d::default()), vec![plane.clone(), vec![6, 4, 3, 3], vec![6]]),
        (Box::new(Conv2d::default()), vec![plane.clone(), vec![6, 4, 3, 3], vec![6], vec![2, 6, 7, 9]]),
        (Box::new(Conv2d { groups: 4, ..Default::default() }), vec![plane.clone(), vec![4, 1, 1, 1]]),
        (Box::new(Conv2d { groups: 4, ..Default::default() }), vec![plane.clone(), vec![8, 1, 3, 2], vec![8]]),
        (Box::new(Conv2d { groups: 4, ..Default::default() }), vec![vec![2, 4, 9, 12], vec![4, 1, 2, 5]]),
        (
            Box::new(Conv2d { precision: Precision::Winograd, ..Default::default() }),
            vec![plane.clone(), vec![6, 4, 3, 3], vec![6]],
        ),
        (Box::new(ConvTranspose2d { stride: [2, 3], ..Default::default() }), vec![plane.clone(), vec![4, 5, 3, 2]]),
        (Box::new(MaxPool2d { return_indices: true, ..Default::default() }), vec![plane.clone()]),
        (Box::new(AvgPool2d::default()), vec![plane.clone()]),
        (Box::new(AdaptiveAvgPool2d::default()), vec![plane.clone()]),
        (Box::new(Reduce { dims: vec![1, 3], ..Default::default() }), vec![plane.clone()]),
        (Box::new(Reduce { kind: ReduceKind::ArgMin, last: true, ..Default::default() }), vec![plane.clone()]),
        (Box::new(Reduce::default()), vec![vec![1 << 20]]),
        (Box::new(Reduce { kind: ReduceKind::ArgMax, ..Default::default() }), vec![vec![1 << 20]]),
        (Box::new(Reduce { kind: ReduceKind::Mean, ..Default::default() }), vec![vec![1 << 20]]),
        (Box::new(AdaptiveMaxPool2d { return_indices: true, ..Default::default() }), vec![vec![1, 2, 300, 300]]),
        (Box::new(AdaptiveMaxPool2d { output: [2, 2], return_indices: true }), vec![plane.clone()]),
        (Box::new(Softmax { dim: 1 }), vec![plane.clone()]),
        (Box::new(LogSoftmax { dim: 3 }), vec![plane.clone()]),
        (Box::new(Permute { dims: vec![3, 1, 0, 2] }), vec![plane.clone()]),
        (Box::new(Permute { dims: vec![0, 2, 1] }), vec![vec![2, 12, 8]]),
        (Box::new(Permute { dims: vec![1, 0] }), vec![vec![7, 12]]),
        (Box::new(Unary { kind: UnaryKind::Erf }), vec![plane.clone()]),
        (Box::new(Binary { kind: BinaryKind::Pow }), vec![plane.clone(), vec![9, 1]]),
        (Box::new(BatchNorm::default()), vec![plane.clone(), vec![4], vec![4], vec![4], vec![4]]),
        (Box::new(Concat { dim: 1 }), vec![plane.clone(), plane.clone()]),
        (Box::new(Pad { padding: vec![[1, 1]; 4], mode: PadMode::Reflect }), vec![plane.clone()]),
        (Box::new(Pad { padding: vec![[1, 2]; 4], ..Pad::default() }), vec![vec![2, 0, 1, 1]]),
        // Rows of whole vectors.
        (Box::new(Unary { kind: UnaryKind::Neg }), vec![vec![(1 << 14) + 3]]),
        (Box::new(Binary { kind: BinaryKind::Max }), vec![vec![2, 3, 40], vec![3, 1]]),
        (Box::new(BatchNorm::default()), vec![vec![2, 3, 40], vec![3], vec![3], vec![3], vec![3]]),
        (Box::new(Concat { dim: 0 }), vec![vec![40], vec![3]]),
        (Box::new(Pad { padding: vec![[1, 1], [0, 0]], mode: PadMode::Reflect }), vec![vec![3, 40]]),
    ]
}

/// The ops whose inputs are of several types, with the layouts of those: masks and sparse formats.
pub fn mixed_ops(dtype: DType) -> Vec<(Box<dyn Twin>, Vec<Layout>)> {
    let values = |shape: &[usize]| Layout::new(shape, dtype);
    let mask = |len: usize| Layout::new(&[len.div_ceil(32)], DType::U32);
    let shape = [40, 70];
    let mut cases: Vec<(Box<dyn Twin>, Vec<Layout>)> = vec![
        (Box::new(PruneLowest { count: 5 }), vec![values(&shape), values(&[9]), mask(2800), mask(9)]),
        (Box::new(PruneGroups { keep: 2, group: 4 }), vec![values(&shape), mask(2800)]),
        (Box::new(ExpandMask { shape: shape.to_vec(), grain: Grain::Slices(1) }), vec![mask(70), mask(2800)]),
        (Box::new(ApplyMask), vec![values(&shape), mask(2800)]),
        (Box::new(NanMask), vec![values(&shape)]),
        (Box::new(BlockMask { sizes: shape, block: [32, 32] }), vec![mask(2800)]),
        (Box::new(CountMask { sizes: shape }), vec![mask(2800)]),
        (Box::new(IndexMask { sizes: shape, len: 80 }), vec![mask(2800), Layout::new(&[41], DType::U32)]),
    ];
    let blocks = |size, entries| SparseFormat::Blocks { size, entries };
    for (format, dense) in [
        (SparseFormat::Masked, false),
        (blocks([32, 32], 4), true),
        (blocks([16, 16], 6), false),
        (blocks([16, 1], 120), false),
        (blocks([1, 1], 400), false),
        (SparseFormat::TwoFour, false),
        (SparseFormat::Bitmask { entries: 400 }, false),
    ] {
        let layout = SparseLayout { format, shape: shape.to_vec(), dtype, kept: 400, dense };
        let planes = layout.planes().unwrap();
        let inputs = |x: Layout| -> Vec<Layout> { [x].into_iter().chain(planes.iter().cloned()).collect() };
        if !dense {
            cases.push((Box::new(Unpack { layout: layout.clone() }), planes.clone()));
        }
        let indices = match format {
            SparseFormat::Masked => None,
            SparseFormat::Blocks { .. } => Some(planes[1..3].to_vec()),
            SparseFormat::Bitmask { .. } => Some(vec![Layout::new(&[41], DType::U32)]),
            _ => Some(Vec::new()),
        };
        if let Some(indices) = indices {
            let inputs = [values(&shape), mask(2800)].into_iter().chain(indices).collect();
            cases.push((Box::new(Pack { layout: layout.clone() }), inputs));
        }
        let filters = SparseLayout { shape: vec![40, 7, 2, 5], ..layout.clone() };
        for linear in [false, true] {
            let op = SparseMatmul { weight: layout.clone(), linear, options: Matmul::default() };
            cases.push((Box::new(op), inputs(values(if linear { &[36, 70] } else { &[70, 36] }))));
        }
        let few = SparseMatmul { weight: layout, linear: false, options: Matmul::default() };
        cases.push((Box::new(few), inputs(values(&[70, 3]))));
        // The dense copy has the filters' shape.
        if !dense {
            let op = SparseConv2d { weight: filters, options: Conv2d::default() };
            cases.push((Box::new(op), inputs(values(&[2, 7, 6, 9]))));
        }
    }
    cases.extend(quantized_ops(dtype));
    cases.extend(integer_ops(dtype));
    cases
}

/// Products, convolutions and pooling of whole numbers of 8 bits and of signs, with scales and floats of a type.
pub fn integer_ops(dtype: DType) -> Vec<(Box<dyn Twin>, Vec<Layout>)> {
    let of = |dtype: DType| move |shape: &[usize]| Layout::new(shape, dtype);
    let (x, i8s, u8s, u32s, i32s) = (of(dtype), of(DType::I8), of(DType::U8), of(DType::U32), of(DType::I32));
    let mut cases: Vec<(Box<dyn Twin>, Vec<Layout>)> = vec![
        (Box::new(IntegerMatmul::default()), vec![i8s(&[14, 64]), u8s(&[64, 12])]),
        (
            Box::new(IntegerMatmul { transpose: true, zeros: [true; 2], ..Default::default() }),
            vec![u8s(&[2, 14, 33]), i8s(&[2, 9, 33]), u8s(&[1]), i8s(&[2, 9])],
        ),
        (
            Box::new(IntegerMatmul {
                transpose: true,
                scales: [true; 2],
                output: IntegerOutput::Floats(dtype),
                ..Default::default()
            }),
            vec![i8s(&[3, 64]), i8s(&[16, 64]), x(&[3]), x(&[16])],
        ),
        (
            Box::new(IntegerConv2d { padding: Padding::all(1), zeros: [true; 2], ..Default::default() }),
            vec![i8s(&[2, 6, 7, 5]), i8s(&[5, 6, 3, 3]), i8s(&[1]), i8s(&[5])],
        ),
        (Box::new(IntegerConv2d::default()), vec![u8s(&[2, 6, 7, 5]), i8s(&[5, 6, 1, 1])]),
        // Channels that are by themselves.
        (
            Box::new(IntegerConv2d { groups: 6, zeros: [true; 2], ..Default::default() }),
            vec![u8s(&[2, 6, 7, 5]), i8s(&[6, 1, 3, 3]), u8s(&[1]), i8s(&[6])],
        ),
        (
            Box::new(IntegerConv2d { groups: 6, output: IntegerOutput::Words { zero: 2 }, ..Default::default() }),
            vec![u32s(&[2, 2, 7, 5]), i8s(&[6, 1, 3, 3])],
        ),
        // Of such, rows of whole words.
        (
            Box::new(IntegerConv2d {
                padding: Padding::all(1),
                groups: 6,
                output: IntegerOutput::Quantized { dtype: DType::I8, zero: 2 },
                ..Default::default()
            }),
            vec![i8s(&[1, 6, 5, 8]), i8s(&[6, 1, 3, 3])],
        ),
        (
            Box::new(IntegerConv2d {
                padding: Padding::all(1),
                groups: 6,
                output: IntegerOutput::Words { zero: 2 },
                ..Default::default()
            }),
            vec![u32s(&[1, 2, 5, 8]), i8s(&[6, 1, 3, 3])],
        ),
    ];
    let scheme = QuantScheme { scales: dtype, ..Default::default() };
    let weight = QuantLayout::new(scheme, &[12, 8, 3, 3]).unwrap();
    let planes = weight.planes().unwrap();
    for output in [IntegerOutput::Words { zero: 1 }, IntegerOutput::Quantized { dtype: DType::U8, zero: 7 }] {
        let (weight, scales) = (Some(weight.clone()), [true; 2]);
        let (padding, zeros) = (Padding::all(1), [true, false]);
        let op = IntegerConv2d { padding, weight, zeros, scales, bias: true, output, ..Default::default() };
        let inputs = vec![u32s(&[2, 2, 5, 6]), planes[0].clone(), i8s(&[1]), x(&[1]), planes[1].clone(), i32s(&[12])];
        cases.push((Box::new(op), inputs));
    }
    let scheme = QuantScheme { values: QuantType::Binary, ..scheme };
    let output = IntegerOutput::Floats(dtype);
    let (scales, bias, activation) = ([true; 2], false, Activation::None);
    let weight = QuantLayout::new(scheme, &[9, 70]).unwrap();
    let planes = weight.planes().unwrap();
    let op = BinaryMatmul { weight, scales, bias, activation, output };
    cases.push((Box::new(op), vec![x(&[14, 70]), planes[0].clone(), x(&[1]), planes[1].clone()]));
    let weight = QuantLayout::new(scheme, &[6, 5, 3, 3]).unwrap();
    let planes = weight.planes().unwrap();
    let (stride, padding, dilation, groups) = ([1; 2], Padding::all(1), [1; 2], 1);
    let op = BinaryConv2d { stride, padding, dilation, groups, weight, scales, bias, activation, output };
    cases.push((Box::new(op), vec![x(&[2, 5, 6, 7]), planes[0].clone(), x(&[1]), planes[1].clone()]));
    for pooling in [
        IntegerPooling::Max(MaxPool2d::default()),
        IntegerPooling::Average(AvgPool2d::default()),
        IntegerPooling::AdaptiveAverage(AdaptiveAvgPool2d { output: [2, 3] }),
    ] {
        let op = IntegerPool2d { pooling, zero: 3 };
        for layout in [i8s(&[1, 3, 5, 6]), u8s(&[1, 3, 5, 6]), u32s(&[1, 3, 5, 6])] {
            cases.push((Box::new(op), vec![layout]));
        }
    }
    cases
}

/// Quantization, of numbers and scales of a type.
pub fn quantized_ops(dtype: DType) -> Vec<(Box<dyn Twin>, Vec<Layout>)> {
    let x = |shape: &[usize]| Layout::new(shape, dtype);
    let shape = [6, 70];
    let mut cases: Vec<(Box<dyn Twin>, Vec<Layout>)> = Vec::new();
    for (values, granularity, symmetric) in [
        (QuantType::I8, Granularity::Tensor, true),
        (QuantType::I8, Granularity::Channel(1), false),
        (QuantType::U8, Granularity::Channel(0), false),
        (QuantType::I4, Granularity::Block(32), true),
        (QuantType::I4, Granularity::Block(64), false),
        (QuantType::Binary, Granularity::Channel(0), true),
    ] {
        let scheme = QuantScheme { values, granularity, symmetric, scales: dtype };
        let layout = QuantLayout::new(scheme, &shape).unwrap();
        let planes = layout.planes().unwrap();
        let bytes = Layout::new(&shape, if values == QuantType::U8 { DType::U8 } else { DType::I8 });
        let scaled = || [x(&shape)].into_iter().chain(planes[1..].iter().cloned()).collect::<Vec<_>>();
        cases.push((Box::new(Quantize { layout: layout.clone() }), scaled()));
        cases.push((Box::new(FakeQuantize { layout: layout.clone() }), scaled()));
        cases.push((Box::new(Dequantize { layout: layout.clone(), output: dtype }), planes.clone()));
        cases.push((Box::new(DynamicQuantize { layout: layout.clone() }), vec![x(&shape)]));
        cases.push((Box::new(PackValues { layout: layout.clone() }), vec![bytes]));
        cases.push((Box::new(UnpackValues { layout }), planes[..1].to_vec()));
    }
    for (output, block, scales) in
        [(DType::I8, None, vec![]), (DType::U8, None, vec![70]), (DType::U8, Some(32), vec![6, 3])]
    {
        let (scale, zeros) = (x(&scales), Layout::new(&scales, output));
        let op = QuantizeLinear { axis: 1, block, output };
        cases.push((Box::new(op), vec![x(&shape), scale.clone(), zeros.clone()]));
        cases.push((Box::new(op), vec![x(&shape), scale.clone()]));
        let op = DequantizeLinear { axis: 1, block, output: dtype };
        cases.push((Box::new(op), vec![Layout::new(&shape, output), scale.clone(), zeros]));
        cases.push((Box::new(op), vec![Layout::new(&shape, output), scale]));
    }
    let counts = Layout::new(&[1 << 11], DType::U32);
    cases.push((Box::new(Histogram { mantissa: 2 }), vec![x(&shape), counts]));
    let ranges = Ranges { granularity: Granularity::Channel(1) };
    cases.push((Box::new(ranges), vec![x(&shape), Layout::new(&[70, 2], DType::U32)]));
    if dtype == DType::F32 {
        cases.push((Box::new(DynamicQuantizeLinear), vec![x(&shape)]));
    }
    for (values, granularity, symmetric) in [
        (QuantType::I8, Granularity::Channel(0), true),
        (QuantType::U8, Granularity::Block(64), false),
        (QuantType::I4, Granularity::Channel(1), false),
        (QuantType::Binary, Granularity::Block(32), true),
    ] {
        let scheme = QuantScheme { values, granularity, symmetric, scales: dtype };
        let weight = QuantLayout::new(scheme, &[40, 70]).unwrap();
        let inputs = |x: Layout, weight: &QuantLayout| -> Vec<Layout> {
            [x].into_iter().chain(weight.planes().unwrap()).collect()
        };
        for (x, linear) in [([36, 70], true), ([70, 36], false), ([70, 3], false), ([1, 70], true)] {
            let op = QuantizedMatmul { weight: weight.clone(), linear, options: Matmul::default() };
            cases.push((Box::new(op), inputs(Layout::new(&x, dtype), &weight)));
        }
        let weight = QuantLayout::new(scheme, &[40, 7, 2, 5]).unwrap();
        let op = QuantizedConv2d { weight: weight.clone(), options: Conv2d { groups: 2, ..Default::default() } };
        cases.push((Box::new(op), inputs(Layout::new(&[2, 14, 6, 9], dtype), &weight)));
    }
    cases
}

/// The ops that compute with whole numbers.
pub fn whole_ops() -> Vec<Case> {
    let plane = vec![2, 4, 9, 11];
    vec![
        (Box::new(Binary { kind: BinaryKind::Div }), vec![plane.clone(), vec![9, 1]]),
        (Box::new(Unary { kind: UnaryKind::Abs }), vec![plane.clone()]),
        (Box::new(Reduce { dims: vec![1, 3], ..Default::default() }), vec![plane.clone()]),
        (Box::new(Reduce { kind: ReduceKind::Max, ..Default::default() }), vec![plane.clone()]),
        (Box::new(Pad { padding: vec![[1, 2]; 4], ..Pad::default() }), vec![plane]),
        (Box::new(Binary { kind: BinaryKind::Sub }), vec![vec![3, 40], vec![40]]),
        (Box::new(Permute { dims: vec![1, 0] }), vec![vec![8, 12]]),
    ]
}
