//! Every op, in every variant, on every adapter of the machine, against the CPU. What to run first on a new machine, and
//! what to attach to a bug report.
//!
//!     cargo run --release --example selftest -- --json

use std::error::Error;
use std::process::ExitCode;

use lexopt::prelude::*;
use tilewise::reference::{HostTensor, Random, Twin};
use tilewise::verify::{self, Report, SpecialsReport};
use tilewise::{
    Activation, AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, BatchNorm, Binary, BinaryKind, BinaryMatmul, Concat,
    Conv2d, ConvTranspose2d, DType, Dequantize, DequantizeLinear, DynamicQuantize, DynamicQuantizeLinear, FakeQuantize,
    Gpu, Granularity, Histogram, IntegerConv2d, IntegerMatmul, IntegerOutput, IntegerPool2d, IntegerPooling, Layout,
    LogSoftmax, Matmul, MaxPool2d, PackValues, Pad, PadMode, Padding, Permute, Precision, QuantLayout, QuantScheme,
    QuantType, Quantize, QuantizeLinear, QuantizedConv2d, QuantizedMatmul, Ranges, Reduce, ReduceKind, Softmax, Unary,
    UnaryKind, UnpackValues,
};

const HELP: &str = "\
Check every op in every variant on every adapter against the CPU.

Usage: cargo run --release --example selftest -- [OPTIONS]

  --adapter NAME   only adapters whose name contains NAME
  --emulator       the emulator too, which is there by itself where there is no adapter
  --json           a line of JSON for each variant instead of a table
  --help           print this

Exit status: 0 if everything passed, 1 if something failed or there is nothing to check, 2 for bad input.";

/// An op with the inputs that it is tried with.
struct Case {
    op: Box<dyn Twin>,
    inputs: Inputs,
    /// Whether whole numbers have to come out to the bit.
    exact: bool,
}

enum Inputs {
    /// f32 of these shapes: whole numbers, and random ones.
    Floats(Vec<&'static [usize]>),
    /// Such as the op is meant for, of these layouts.
    Drawn(Vec<Layout>),
}

impl Inputs {
    fn draw(&self, op: &dyn Twin, random: &mut Random, whole: bool) -> Result<Vec<HostTensor>, tilewise::Error> {
        match self {
            Inputs::Floats(shapes) => (shapes.iter())
                .map(|shape| {
                    let len = shape.iter().product();
                    HostTensor::new(shape, &if whole { random.integers(len) } else { random.floats(len) })
                })
                .collect(),
            Inputs::Drawn(layouts) => op.draw(layouts, random),
        }
    }
}

fn case(op: impl Twin + 'static, shapes: &[&'static [usize]], exact: bool) -> Case {
    Case { op: Box::new(op), inputs: Inputs::Floats(shapes.to_vec()), exact }
}

fn drawn(op: impl Twin + 'static, layouts: Vec<Layout>, exact: bool) -> Case {
    Case { op: Box::new(op), inputs: Inputs::Drawn(layouts), exact }
}

/// Quantization: numbers kept in few bits, and back.
fn quantized() -> Result<Vec<Case>, tilewise::Error> {
    let shape = [13, 70];
    let x = Layout::new(&shape, DType::F32);
    let mut cases = Vec::new();
    for (values, granularity, symmetric) in [
        (QuantType::I8, Granularity::Channel(0), true),
        (QuantType::U8, Granularity::Channel(1), false),
        (QuantType::I4, Granularity::Block(32), false),
        (QuantType::Binary, Granularity::Channel(0), true),
    ] {
        let scheme = QuantScheme { values, granularity, symmetric, scales: DType::F32 };
        let layout = QuantLayout::new(scheme, &shape)?;
        let planes = layout.planes()?;
        let scaled: Vec<Layout> = [x.clone()].into_iter().chain(planes[1..].iter().cloned()).collect();
        let bytes = Layout::new(&shape, if values == QuantType::U8 { DType::U8 } else { DType::I8 });
        cases.push(drawn(Quantize { layout: layout.clone() }, scaled.clone(), true));
        cases.push(drawn(FakeQuantize { layout: layout.clone() }, scaled, false));
        cases.push(drawn(Dequantize { layout: layout.clone(), output: DType::F32 }, planes.clone(), false));
        let exact = values != QuantType::Binary;
        cases.push(drawn(DynamicQuantize { layout: layout.clone() }, vec![x.clone()], exact));
        cases.push(drawn(PackValues { layout: layout.clone() }, vec![bytes], true));
        cases.push(drawn(UnpackValues { layout: layout.clone() }, vec![planes[0].clone()], true));
        // Weights alone.
        let inputs = |shape: &[usize], planes: &[Layout]| -> Vec<Layout> {
            [Layout::new(shape, DType::F32)].into_iter().chain(planes.iter().cloned()).collect()
        };
        for (x, linear) in [([5, 70], true), ([70, 33], false)] {
            let op = QuantizedMatmul { weight: layout.clone(), linear, options: Matmul::default() };
            cases.push(drawn(op, inputs(&x, &planes), false));
        }
        let weight = QuantLayout::new(scheme, &[6, 5, 3, 3])?;
        let planes = weight.planes()?;
        let options = Conv2d { padding: Padding::all(1), ..Default::default() };
        cases.push(drawn(QuantizedConv2d { weight, options }, inputs(&[2, 5, 9, 11], &planes), false));
    }
    let (scale, zeros) = (Layout::new(&[70], DType::F32), Layout::new(&[70], DType::U8));
    cases.push(drawn(QuantizeLinear::default(), vec![x.clone(), scale.clone(), zeros.clone()], true));
    let bytes = Layout::new(&shape, DType::U8);
    cases.push(drawn(DequantizeLinear::default(), vec![bytes, scale, zeros], false));
    cases.push(drawn(DynamicQuantizeLinear, vec![x.clone()], true));
    let ranges = Layout::new(&[70, 2], DType::U32);
    cases.push(drawn(Ranges { granularity: Granularity::Channel(1) }, vec![x.clone(), ranges], true));
    cases.push(drawn(Histogram { mantissa: 2 }, vec![x, Layout::new(&[1 << 11], DType::U32)], true));
    Ok(cases)
}

/// Products, convolutions and pooling of whole numbers of 8 bits, and of signs.
fn integers() -> Result<Vec<Case>, tilewise::Error> {
    let of = |dtype: DType| move |shape: &[usize]| Layout::new(shape, dtype);
    let (f32s, i8s, u8s) = (of(DType::F32), of(DType::I8), of(DType::U8));
    let (zeros, scales) = ([true; 2], [true; 2]);
    let quantized = IntegerOutput::Quantized { dtype: DType::U8, zero: 131 };
    let scheme = QuantScheme { values: QuantType::Binary, ..Default::default() };
    let weight = QuantLayout::new(scheme, &[35, 70])?;
    let plane = weight.planes()?.swap_remove(0);
    let (output, activation) = (IntegerOutput::Sums, Activation::None);
    let signs = BinaryMatmul { weight, scales: [false; 2], bias: false, activation, output };
    let conv = IntegerConv2d { padding: Padding::all(1), zeros, scales, output: quantized, ..Default::default() };
    let pooling = IntegerPooling::Average(AvgPool2d { kernel: [3, 3], padding: [1; 4], ..Default::default() });
    Ok(vec![
        drawn(
            IntegerMatmul { transpose: true, zeros, ..Default::default() },
            vec![u8s(&[67, 130]), i8s(&[35, 130]), u8s(&[67]), i8s(&[1])],
            true,
        ),
        drawn(conv, vec![i8s(&[2, 5, 13, 17]), i8s(&[9, 5, 3, 3]), i8s(&[1]), i8s(&[9]), f32s(&[1]), f32s(&[9])], true),
        drawn(IntegerPool2d { pooling, zero: 3 }, vec![u8s(&[2, 5, 13, 17])], true),
        drawn(signs, vec![f32s(&[33, 70]), plane], true),
    ])
}

/// What is checked: shapes off the tiles' edges, several tiles wide.
fn cases() -> Vec<Case> {
    let strided =
        Conv2d { stride: [2, 1], padding: Padding::all(2), dilation: [1, 2], groups: 2, ..Default::default() };
    let winograd = Conv2d { padding: Padding::all(1), precision: Precision::Winograd, ..Default::default() };
    let plane: &[usize] = &[2, 5, 13, 17];
    vec![
        case(Matmul::default(), &[&[67, 131], &[131, 70]], true),
        case(Matmul::default(), &[&[3, 17, 33], &[33, 9]], true),
        case(Matmul { transpose_a: true, transpose_b: true, ..Default::default() }, &[&[65, 66], &[35, 65]], true),
        case(Matmul { alpha: 0.5, beta: -2.0, ..Default::default() }, &[&[33, 40], &[40, 66], &[66]], true),
        case(Matmul { activation: Activation::Gelu, ..Default::default() }, &[&[33, 40], &[40, 66], &[66]], false),
        case(Conv2d::default(), &[&[2, 5, 13, 17], &[9, 5, 3, 3], &[9]], true),
        case(winograd, &[&[2, 5, 13, 17], &[9, 5, 3, 3], &[9]], false),
        case(strided, &[&[1, 4, 13, 17], &[6, 2, 3, 3]], true),
        case(ConvTranspose2d { stride: [2, 2], ..Default::default() }, &[&[2, 5, 6, 7], &[5, 4, 3, 3], &[4]], true),
        case(MaxPool2d { padding: [1; 4], kernel: [3, 3], return_indices: true, ..Default::default() }, &[plane], true),
        case(AvgPool2d { padding: [1; 4], kernel: [3, 3], ..Default::default() }, &[plane], false),
        case(AdaptiveAvgPool2d { output: [3, 5] }, &[plane], false),
        case(AdaptiveMaxPool2d { output: [3, 5], ..Default::default() }, &[plane], true),
        case(Reduce { dims: vec![1, 3], ..Default::default() }, &[plane], true),
        case(Reduce { kind: ReduceKind::ArgMax, dims: vec![3], ..Default::default() }, &[plane], true),
        case(Reduce::default(), &[&[200_000]], true),
        case(AdaptiveMaxPool2d { output: [1, 1], return_indices: true }, &[&[1, 2, 300, 300]], true),
        case(Softmax { dim: 3 }, &[plane], false),
        case(LogSoftmax { dim: 1 }, &[plane], false),
        case(Permute { dims: vec![0, 2, 3, 1] }, &[plane], true),
        case(Unary { kind: UnaryKind::Floor }, &[plane], true),
        case(Unary::from(Activation::Gelu), &[plane], false),
        case(Binary { kind: BinaryKind::Mul }, &[plane, &[13, 1]], true),
        case(Binary { kind: BinaryKind::Div }, &[plane, &[5, 1, 1]], false),
        case(BatchNorm { epsilon: 9.0, ..Default::default() }, &[plane, &[5], &[5], &[5], &[5]], false),
        case(Pad { padding: vec![[0, 0], [1, 0], [2, 3], [4, 1]], mode: PadMode::Reflect }, &[plane], true),
        case(Concat { dim: 1 }, &[plane, &[2, 3, 13, 17]], true),
    ]
}

/// A line of the table.
struct Row {
    op: &'static str,
    variant: String,
    cases: usize,
    /// Elements that differ where whole numbers have to come out to the bit.
    exact_mismatches: usize,
    worst: f64,
    /// What becomes of NaN and infinity: for the variant that the op chooses by itself. Reported, never a failure.
    specials: Option<SpecialsReport>,
    failures: Vec<String>,
}

impl Row {
    fn take(&mut self, report: &Report, exact: bool) {
        self.cases += 1;
        self.worst = self.worst.max(report.worst.fraction);
        if exact {
            self.exact_mismatches += report.exact_mismatches;
        }
        if !report.passed() || (exact && report.exact_mismatches > 0) {
            self.failures.push(report.to_string());
        }
    }
}

/// The row of a variant, a new one if it is the first of its kind.
fn row<'a>(rows: &'a mut Vec<Row>, op: &'static str, variant: &str) -> &'a mut Row {
    let at = rows.iter().position(|row| row.op == op && row.variant == variant).unwrap_or_else(|| {
        rows.push(Row {
            op,
            variant: variant.into(),
            cases: 0,
            exact_mismatches: 0,
            worst: 0.0,
            specials: None,
            failures: Vec::new(),
        });
        rows.len() - 1
    });
    &mut rows[at]
}

/// Checks everything on one device, with whole numbers and with random ones.
fn check(gpu: &Gpu) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut drawn = Vec::new();
    for (op, cases) in [("quantize", quantized()), ("integer", integers())] {
        match cases {
            Ok(cases) => drawn.extend(cases),
            Err(error) => row(&mut rows, op, "-").failures.push(error.to_string()),
        }
    }
    for (number, case) in cases().iter().chain(&drawn).enumerate() {
        let op = case.op.name();
        for whole in [true, false] {
            let mut random = Random::new(number as u64);
            let inputs = case.inputs.draw(&*case.op, &mut random, whole);
            // Scales that are no numbers are not to be had.
            let odd = !whole && matches!(case.inputs, Inputs::Floats(_));
            // Plans are made in the order of the candidates that are checked: they name the reports' variants.
            let outcome = inputs.and_then(|inputs| {
                let plans = verify::plans(gpu.profile(), &*case.op, &inputs)?;
                let specials = if odd { Some(verify::specials(gpu, &*case.op, &inputs)?) } else { None };
                Ok((plans.into_iter().zip(verify::candidates(gpu, &*case.op, &inputs)?), specials))
            });
            match outcome {
                Ok((reports, specials)) => {
                    reports.for_each(|(plan, report)| {
                        row(&mut rows, op, &plan.variant).take(&report, whole && case.exact);
                    });
                    if let Some(specials) = specials {
                        let row = row(&mut rows, op, &specials.variant);
                        row.specials.get_or_insert_default().merge(specials);
                    }
                }
                Err(error) => row(&mut rows, op, "-").failures.push(error.to_string()),
            }
        }
    }
    rows
}

/// Prints a row as a line of the table, or of JSON.
fn print(adapter: &str, row: &Row, json: bool) {
    let status = if row.failures.is_empty() { "passed" } else { "failed" };
    if json {
        println!(
            "{}",
            serde_json::json!({
                "adapter": adapter,
                "op": row.op,
                "variant": row.variant,
                "cases": row.cases,
                "exact_mismatches": row.exact_mismatches,
                // JSON has no infinity: an unbounded error is null.
                "worst_bound_fraction": row.worst,
                // Outputs that are as IEEE has them, of how many: null where the variant was not asked.
                "specials": row.specials.as_ref().map(|specials| serde_json::json!({
                    "nan": [specials.nan.agree, specials.nan.of],
                    "infinite": [specials.infinite.agree, specials.infinite.of],
                    "finite": [specials.finite.agree, specials.finite.of],
                    "subnormal": [specials.subnormal.agree, specials.subnormal.of],
                })),
                "status": status,
            })
        );
    } else {
        let Row { op, variant, cases, exact_mismatches, worst, specials, .. } = row;
        let specials =
            specials.as_ref().map_or("-".into(), |specials| format!("{} {}", specials.nan, specials.infinite));
        println!("{op:20} {variant:28} {cases:5} {exact_mismatches:16} {worst:21.3} {specials:>20}  {status}");
    }
    row.failures.iter().for_each(|failure| eprintln!("  {failure}"));
}

/// What to check: a name and, if it can be opened, the device.
type Device = (String, tilewise::Result<Gpu>);

fn devices(arguments: &Arguments) -> Vec<Device> {
    let mut adapters = Gpu::adapters();
    let none = adapters.is_empty();
    let wanted = arguments.adapter.to_lowercase();
    adapters.retain(|adapter| adapter.info.name.to_lowercase().contains(&wanted));
    if none {
        eprintln!("no adapter found: is a GPU driver installed?");
    }
    // Where an adapter is a must, the emulator does not make up for it.
    let required = std::env::var("TILEWISE_REQUIRE_GPU").as_deref() == Ok("1");
    let instead = none && !required;
    let opened = adapters.iter().map(|adapter| (adapter.to_string(), adapter.open()));
    opened.chain((arguments.emulator || instead).then(emulator).flatten()).collect()
}

#[cfg(feature = "emulator")]
fn emulator() -> Option<Device> {
    Some(("emulator".into(), Gpu::emulated(Default::default())))
}

#[cfg(not(feature = "emulator"))]
fn emulator() -> Option<Device> {
    None
}

/// Whether all passed.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let devices = devices(arguments);
    let mut passed = !devices.is_empty();
    for (name, device) in devices {
        if !arguments.json {
            println!("{name}");
            println!(
                "{:20} {:28} {:>5} {:>16} {:>21} {:>20}  status",
                "op", "variant", "cases", "exact_mismatches", "worst_bound_fraction", "NaN and inf kept"
            );
        }
        match device {
            Ok(gpu) => {
                for row in check(&gpu) {
                    print(&name, &row, arguments.json);
                    passed &= row.failures.is_empty();
                }
            }
            Err(error) => {
                eprintln!("error: {error}");
                passed = false;
            }
        }
    }
    Ok(passed)
}

#[derive(Default)]
struct Arguments {
    /// Part of the name.
    adapter: String,
    emulator: bool,
    json: bool,
}

/// `None` for help.
fn parse() -> Result<Option<Arguments>, lexopt::Error> {
    let mut arguments = Arguments::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("adapter") => arguments.adapter = parser.value()?.string()?,
            Long("emulator") => arguments.emulator = true,
            Long("json") => arguments.json = true,
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(arguments))
}

fn main() -> ExitCode {
    env_logger::init();
    let outcome = match parse() {
        Ok(Some(arguments)) => run(&arguments),
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => Err(format!("{error}; see --help").into()),
    };
    match outcome {
        Ok(passed) => ExitCode::from(u8::from(!passed)),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
