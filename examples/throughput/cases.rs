//! The table of shapes, round ones and awkward ones.

use tilewise::reference::Twin;
use tilewise::{
    Activation, AvgPool2d, Binary, BinaryKind, Conv2d, DType, Granularity, IntegerConv2d, IntegerMatmul, IntegerOutput,
    Layout, Matmul, MaxPool2d, Padding, Permute, Precision, QuantLayout, QuantScheme, QuantType, QuantizedConv2d,
    QuantizedMatmul, Reduce, ReduceKind, Softmax, SparseConv2d, SparseFormat, SparseLayout, SparseMatmul, Unary,
    UnaryKind,
};

/// An op on inputs of some layouts.
pub struct Case {
    pub op: &'static str,
    /// The sizes as a command line gives them.
    pub sizes: String,
    pub twin: Box<dyn Twin>,
    pub inputs: Vec<Layout>,
}

/// Op, what its sizes mean, and the table's.
pub const TABLE: [(&str, &str, &[&str]); 27] = [
    (
        "matmul",
        "MxNxK, or BATCHxMxNxK",
        &[
            "512x512x512",
            "1024x1024x1024",
            "2048x2048x2048",
            "4096x4096x4096",
            "127x127x127",
            "1000x1000x1000",
            "1023x1023x1023",
            "1025x1025x1025",
            "4097x4097x4097",
            "1x4096x4096",
            "2x4096x4096",
            "4x4096x4096",
            "8x4096x4096",
            "16x4096x4096",
            "64x4096x4096",
            "64x64x65536",
            "1024x16x16x16",
            "2048x64x2048",
            "2048x512x2048",
            "2048x1x2048",
        ],
    ),
    (
        "bsr_32",
        SPARSE,
        &["2048x64x2048x20", "2048x512x2048x20", "2048x2048x2048x20", "2048x64x2048x50", "2048x512x2048x50"],
    ),
    ("vectors_32", SPARSE, &["2048x64x2048x50", "2048x512x2048x50", "2048x2048x2048x50"]),
    ("csr", SPARSE, &["2048x512x2048x5", "2048x512x2048x10", "2048x512x2048x20", "2048x512x2048x40", "2048x1x2048x20"]),
    ("bitmask", SPARSE, &["2048x512x2048x20", "2048x1x2048x20"]),
    ("two_four", SPARSE, &["2048x512x2048x50", "2048x1x2048x50"]),
    ("conv2d_bsr_32", "NxCxHxWxOxKEPT of a hundred: 3x3, padded", &["8x256x14x14x256x20", "8x256x14x14x256x50"]),
    ("linear", "MxNxK: x (M, K) by weights (N, K), with a bias and ReLU", LINEAR),
    ("w8_linear", "the same with int8 weights, a scale for each output", LINEAR),
    ("w4_linear", "the same with int4 weights, a scale for each 32 along K", LINEAR),
    ("w1_linear", "the same with binary weights, a scale for each output", LINEAR),
    (
        "int8_matmul",
        "MxNxK: int8 (M, K) by int8 (N, K), dequantized",
        &["512x512x512", "1024x1024x1024", "2048x2048x2048", "1000x1000x1000", "1x4096x4096", "64x4096x4096"],
    ),
    ("conv2d", "NxCxHxWxOxKERNELxSTRIDE, padded by half the kernel", CONV2D),
    ("w8_conv2d", "the same with int8 weights, a scale for each output channel", CONV2D),
    (
        "int8_conv2d",
        "NxCxHxWxOxKERNELxSTRIDE, padded by half the kernel: int8 by int8, dequantized",
        &["8x64x56x56x64x3x1", "8x256x14x14x256x3x1", "8x256x14x14x1024x1x1"],
    ),
    ("winograd", "NxCxHxWxO: 3x3, padded, Precision::Winograd", &["8x64x56x56x64", "8x256x14x14x256"]),
    ("depthwise", "NxCxHxWxKERNELxSTRIDE, padded by half the kernel", &["8x64x56x56x3x1", "8x64x56x56x3x2"]),
    (
        "int8_depthwise",
        "NxCxHxWxKERNELxSTRIDE, padded by half the kernel: int8 by int8, dequantized",
        &["8x64x56x56x3x1", "8x64x56x56x3x2"],
    ),
    ("max_pool2d", "NxCxHxWxKERNELxSTRIDE", &["8x64x56x56x2x2", "8x64x112x112x3x2", "1x64x224x224x7x2"]),
    ("avg_pool2d", "NxCxHxWxKERNELxSTRIDE", &["8x64x56x56x2x2", "8x64x112x112x3x2"]),
    ("softmax", "ROWSxCOLUMNS", &["1024x1024", "64x65536", "16384x127"]),
    ("sum", "ROWSxCOLUMNS: of each row", &["1024x1024", "64x65536", "1x4194304"]),
    ("column_sum", "ROWSxCOLUMNS: of each column", &["1024x1024", "65536x64"]),
    ("relu", "ELEMENTS", &["4194304", "1000003"]),
    ("add", "ELEMENTS", &["4194304", "1000003"]),
    ("transpose", "ROWSxCOLUMNS", &["2048x2048", "1000x3001"]),
    ("nhwc", "NxCxHxW to channels last", &["8x64x56x56"]),
];

const LINEAR: &[&str] = &["1x4096x4096", "4x4096x4096", "8x4096x4096", "64x4096x4096", "512x512x512", "1024x1024x1024"];
const CONV2D: &[&str] = &["8x64x56x56x64x3x1", "8x256x14x14x256x3x1", "1x3x224x224x64x7x2", "8x256x14x14x1024x1x1"];

const SPARSE: &str = "MxNxKxKEPT: sparse weights (M, K), KEPT of a hundred, by x (K, N), the dense copy kept";

/// The cases of an op, or of all; for the sizes given, or the table's.
pub fn cases(op: Option<&str>, sizes: &[String]) -> Result<Vec<Case>, String> {
    let rows: Vec<_> = TABLE.iter().filter(|(name, ..)| op.is_none_or(|op| op == *name)).collect();
    if rows.is_empty() {
        let names: Vec<&str> = TABLE.iter().map(|(name, ..)| *name).collect();
        return Err(format!("no op is called '{}'; there are {}", op.unwrap_or_default(), names.join(", ")));
    }
    if !sizes.is_empty() && rows.len() != 1 {
        return Err("--shapes needs --op: sizes mean something else for each op".into());
    }
    let mut cases = Vec::new();
    for &&(op, meaning, table) in &rows {
        let table: Vec<String> =
            if sizes.is_empty() { table.iter().map(|s| s.to_string()).collect() } else { sizes.to_vec() };
        for text in table {
            let numbers: Option<Vec<usize>> = text.split('x').map(|number| number.parse().ok()).collect();
            let case = numbers.and_then(|numbers| case(op, &numbers));
            let (twin, inputs) = case.ok_or_else(|| format!("'{text}' is not of the form {meaning}"))?;
            cases.push(Case { op, sizes: text, twin, inputs });
        }
    }
    Ok(cases)
}

/// An op, and the layouts of its inputs.
type OnLayouts = (Box<dyn Twin>, Vec<Layout>);

fn case(op: &str, sizes: &[usize]) -> Option<OnLayouts> {
    let (twin, shapes) = match dense(op, sizes) {
        Some(case) => case,
        None => return int8(op, sizes).or_else(|| quantized(op, sizes)).or_else(|| sparse(op, sizes)),
    };
    Some((twin, shapes.iter().map(|shape| Layout::new(shape, DType::F32)).collect()))
}

/// Of whole numbers: two factors, their scales.
fn int8(op: &str, sizes: &[usize]) -> Option<OnLayouts> {
    let int8 = |shape: &[usize]| Layout::new(shape, DType::I8);
    let scale = |len: usize| Layout::new(&[len], DType::F32);
    Some(match (op, sizes) {
        ("int8_matmul", &[m, n, k]) => {
            let (scales, output) = ([true; 2], IntegerOutput::Floats(DType::F32));
            let op = IntegerMatmul { transpose: true, scales, output, ..Default::default() };
            (Box::new(op), vec![int8(&[m, k]), int8(&[n, k]), scale(1), scale(n)])
        }
        ("int8_conv2d", &[n, c, h, w, o, kernel, stride]) => {
            let (scales, output) = ([true; 2], IntegerOutput::Floats(DType::F32));
            let padding = Padding::all(kernel / 2);
            let op = IntegerConv2d { stride: [stride; 2], padding, scales, output, ..Default::default() };
            (Box::new(op), vec![int8(&[n, c, h, w]), int8(&[o, c, kernel, kernel]), scale(1), scale(o)])
        }
        ("int8_depthwise", &[n, c, h, w, kernel, stride]) => {
            let (scales, output) = ([true; 2], IntegerOutput::Floats(DType::F32));
            let (padding, groups) = (Padding::all(kernel / 2), c);
            let op = IntegerConv2d { stride: [stride; 2], padding, groups, scales, output, ..Default::default() };
            (Box::new(op), vec![int8(&[n, c, h, w]), int8(&[c, 1, kernel, kernel]), scale(1), scale(c)])
        }
        _ => return None,
    })
}

fn conv(groups: usize, kernel: usize, stride: usize) -> Conv2d {
    Conv2d { stride: [stride; 2], padding: Padding::all(kernel / 2), groups, ..Default::default() }
}

/// Of f32 activations and quantized weights.
fn quantized(op: &str, sizes: &[usize]) -> Option<OnLayouts> {
    let (weights, op) = op.split_once('_')?;
    let (values, granularity) = match weights {
        "w8" => (QuantType::I8, Granularity::Channel(0)),
        "w4" => (QuantType::I4, Granularity::Block(32)),
        "w1" => (QuantType::Binary, Granularity::Channel(0)),
        _ => return None,
    };
    let scheme = QuantScheme { values, granularity, ..Default::default() };
    let f32s = |shape: &[usize]| Layout::new(shape, DType::F32);
    let weight = |shape: &[usize]| QuantLayout::new(scheme, shape).ok();
    let inputs = |x: Layout, weight: &QuantLayout, bias: Option<Layout>| -> Option<Vec<Layout>> {
        Some([x].into_iter().chain(weight.planes().ok()?).chain(bias).collect())
    };
    match (op, sizes) {
        ("linear", &[m, n, k]) => {
            let weight = weight(&[n, k])?;
            let inputs = inputs(f32s(&[m, k]), &weight, Some(f32s(&[n])))?;
            let options = Matmul { activation: Activation::Relu, ..Default::default() };
            Some((Box::new(QuantizedMatmul { weight, linear: true, options }), inputs))
        }
        ("conv2d", &[n, c, h, w, o, kernel, stride]) => {
            let weight = weight(&[o, c, kernel, kernel])?;
            let inputs = inputs(f32s(&[n, c, h, w]), &weight, None)?;
            Some((Box::new(QuantizedConv2d { weight, options: conv(1, kernel, stride) }), inputs))
        }
        _ => None,
    }
}

/// A product with weights of which so many of a hundred are kept, spread evenly, in a sparse format: W x, with W (M, K) and x (K, N); or a
/// convolution of 3 x 3, of which the first five sizes are those of the image and the output.
fn sparse(op: &str, sizes: &[usize]) -> Option<OnLayouts> {
    let (shape, x, percent) = match *sizes {
        [m, n, k, percent] => (vec![m, k], vec![k, n], percent),
        [n, c, h, w, o, percent] => (vec![o, c, 3, 3], vec![n, c, h, w], percent),
        _ => return None,
    };
    let (rows, columns) = (shape[0], shape[1..].iter().product::<usize>());
    let share = |all: usize| all * percent.min(100) / 100;
    let blocks = |[height, width]: [usize; 2], fill: usize| SparseFormat::Blocks {
        size: [height, width],
        entries: rows.div_ceil(height) * share(columns.div_ceil(width)).next_multiple_of(fill),
    };
    let (format, name) = match op.strip_prefix("conv2d_") {
        Some(format) if sizes.len() == 6 => (format, "conv2d"),
        None if sizes.len() == 4 => (op, "matmul"),
        _ => return None,
    };
    let format = match format {
        "bsr_32" => blocks([32, 32], 1),
        "bsr_16" => blocks([16, 16], 1),
        "vectors_32" => blocks([32, 1], 4),
        "csr" => blocks([1, 1], 4),
        "bitmask" => SparseFormat::Bitmask { entries: share(rows * columns) },
        "two_four" => SparseFormat::TwoFour,
        _ => return None,
    };
    let kept = if format == SparseFormat::TwoFour { rows * columns / 2 } else { share(rows * columns) };
    let weight = SparseLayout { format, shape, dtype: DType::F32, kept, dense: true };
    let mut inputs = vec![Layout::new(&x, DType::F32)];
    inputs.extend(weight.planes().ok()?);
    let twin: Box<dyn Twin> = if name == "conv2d" {
        let options = Conv2d { padding: Padding::all(1), ..Default::default() };
        Box::new(SparseConv2d { weight, options })
    } else {
        Box::new(SparseMatmul { weight, linear: false, options: Matmul::default() })
    };
    Some((twin, inputs))
}

/// An op, and the shapes of its inputs, all f32.
type OnShapes = (Box<dyn Twin>, Vec<Vec<usize>>);

fn dense(op: &str, sizes: &[usize]) -> Option<OnShapes> {
    Some(match (op, sizes) {
        ("matmul", &[m, n, k]) => (Box::new(Matmul::default()), vec![vec![m, k], vec![k, n]]),
        ("matmul", &[batch, m, n, k]) => (Box::new(Matmul::default()), vec![vec![batch, m, k], vec![batch, k, n]]),
        ("linear", &[m, n, k]) => {
            let op = Matmul { transpose_b: true, activation: Activation::Relu, ..Default::default() };
            (Box::new(op), vec![vec![m, k], vec![n, k], vec![n]])
        }
        ("conv2d", &[n, c, h, w, o, kernel, stride]) => {
            (Box::new(conv(1, kernel, stride)), vec![vec![n, c, h, w], vec![o, c, kernel, kernel]])
        }
        ("winograd", &[n, c, h, w, o]) => {
            let op = Conv2d { precision: Precision::Winograd, ..conv(1, 3, 1) };
            (Box::new(op), vec![vec![n, c, h, w], vec![o, c, 3, 3]])
        }
        ("depthwise", &[n, c, h, w, kernel, stride]) => {
            (Box::new(conv(c, kernel, stride)), vec![vec![n, c, h, w], vec![c, 1, kernel, kernel]])
        }
        ("max_pool2d", &[n, c, h, w, kernel, stride]) => {
            let op = MaxPool2d { kernel: [kernel; 2], stride: Some([stride; 2]), ..Default::default() };
            (Box::new(op), vec![vec![n, c, h, w]])
        }
        ("avg_pool2d", &[n, c, h, w, kernel, stride]) => {
            let op = AvgPool2d { kernel: [kernel; 2], stride: Some([stride; 2]), ..Default::default() };
            (Box::new(op), vec![vec![n, c, h, w]])
        }
        ("softmax", &[rows, columns]) => (Box::new(Softmax { dim: 1 }), vec![vec![rows, columns]]),
        ("sum" | "column_sum", &[rows, columns]) => {
            let op = Reduce { kind: ReduceKind::Sum, dims: vec![usize::from(op == "sum")], ..Default::default() };
            (Box::new(op), vec![vec![rows, columns]])
        }
        ("relu", &[len]) => (Box::new(Unary { kind: UnaryKind::Activation(Activation::Relu) }), vec![vec![len]]),
        ("add", &[len]) => (Box::new(Binary { kind: BinaryKind::Add }), vec![vec![len], vec![len]]),
        ("transpose", &[rows, columns]) => (Box::new(Permute { dims: vec![1, 0] }), vec![vec![rows, columns]]),
        ("nhwc", &[n, c, h, w]) => (Box::new(Permute { dims: vec![0, 2, 3, 1] }), vec![vec![n, c, h, w]]),
        _ => return None,
    })
}
