//! The table of shapes, round ones and awkward ones.

use tilewise::reference::Twin;
use tilewise::{
    Activation, AvgPool2d, Binary, BinaryKind, Conv2d, DType, Granularity, Layout, Matmul, MaxPool2d, Padding, Permute,
    Precision, QuantLayout, QuantScheme, QuantType, QuantizedConv2d, QuantizedMatmul, Reduce, ReduceKind, Softmax,
    Unary, UnaryKind,
};

/// An op on inputs.
pub struct Case {
    pub op: &'static str,
    /// The sizes as a command line gives them.
    pub sizes: String,
    pub twin: Box<dyn Twin>,
    pub inputs: Vec<Layout>,
}

const LINEAR: &[&str] = &["1x4096x4096", "4x4096x4096", "8x4096x4096", "64x4096x4096", "512x512x512", "1024x1024x1024"];
const CONV2D: &[&str] = &["8x64x56x56x64x3x1", "8x256x14x14x256x3x1", "1x3x224x224x64x7x2", "8x256x14x14x1024x1x1"];

/// Op, what its sizes mean, and the table's.
pub const TABLE: [(&str, &str, &[&str]); 18] = [
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
        ],
    ),
    ("linear", "MxNxK: x (M, K) by weights (N, K), with a bias and ReLU", LINEAR),
    ("w8_linear", "the same with int8 weights, a scale for each output", LINEAR),
    ("w4_linear", "the same with int4 weights, a scale for each 32 along K", LINEAR),
    ("w1_linear", "the same with binary weights", LINEAR),
    ("conv2d", "NxCxHxWxOxKERNELxSTRIDE, padded by half the kernel", CONV2D),
    ("w8_conv2d", "the same with int8 weights, a scale for each output channel", CONV2D),
    ("winograd", "NxCxHxWxO: 3x3, padded, Precision::Winograd", &["8x64x56x56x64", "8x256x14x14x256"]),
    ("depthwise", "NxCxHxWxKERNELxSTRIDE, padded by half the kernel", &["8x64x56x56x3x1", "8x64x56x56x3x2"]),
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

/// The cases of an op, or of all; for the sizes given, or the table's.
pub fn cases(op: Option<&str>, sizes: &[String]) -> Result<Vec<Case>, String> {
    let rows: Vec<_> =
        TABLE.iter().filter(|(name, ..)| op.is_none_or(|op| op.split(',').any(|op| op == *name))).collect();
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
            let case = numbers.and_then(|numbers| quantized(op, &numbers).or_else(|| plain(op, &numbers)));
            let (twin, inputs) = case.ok_or_else(|| format!("'{text}' is not of the form {meaning}"))?;
            cases.push(Case { op, sizes: text, twin, inputs });
        }
    }
    Ok(cases)
}

/// An op, and the layouts of its inputs.
type OnLayouts = (Box<dyn Twin>, Vec<Layout>);

fn conv(groups: usize, kernel: usize, stride: usize) -> Conv2d {
    Conv2d { stride: [stride; 2], padding: Padding::all(kernel / 2), groups, ..Default::default() }
}

/// Of f32 activations and quantized weights.
fn quantized(op: &str, sizes: &[usize]) -> Option<OnLayouts> {
    let values = match op.split_once('_')?.0 {
        "w8" => QuantType::I8,
        "w4" => QuantType::I4,
        "w1" => QuantType::Binary,
        _ => return None,
    };
    let granularity = if values == QuantType::I4 { Granularity::Block(32) } else { Granularity::Channel(0) };
    let scheme = QuantScheme { values, granularity, ..Default::default() };
    let f32s = |shape: &[usize]| Layout::new(shape, DType::F32);
    let (op, x, weight): (Box<dyn Twin>, _, _) = match (op.split_once('_')?.1, sizes) {
        ("linear", &[m, n, k]) => {
            let weight = QuantLayout::new(scheme, &[n, k]).ok()?;
            let options = Matmul { activation: Activation::Relu, ..Default::default() };
            (Box::new(QuantizedMatmul { weight: weight.clone(), linear: true, options }), f32s(&[m, k]), weight)
        }
        ("conv2d", &[n, c, h, w, o, kernel, stride]) => {
            let weight = QuantLayout::new(scheme, &[o, c, kernel, kernel]).ok()?;
            let op = QuantizedConv2d { weight: weight.clone(), options: conv(1, kernel, stride) };
            (Box::new(op), f32s(&[n, c, h, w]), weight)
        }
        _ => return None,
    };
    let planes = weight.planes().ok()?;
    let bias = (weight.shape.len() == 2).then(|| f32s(&weight.shape[..1]));
    Some((op, [x].into_iter().chain(planes).chain(bias).collect()))
}

/// Of f32 alone.
fn plain(op: &str, sizes: &[usize]) -> Option<OnLayouts> {
    let (twin, shapes) = on_shapes(op, sizes)?;
    Some((twin, shapes.iter().map(|shape| Layout::new(shape, DType::F32)).collect()))
}

fn on_shapes(op: &str, sizes: &[usize]) -> Option<(Box<dyn Twin>, Vec<Vec<usize>>)> {
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
