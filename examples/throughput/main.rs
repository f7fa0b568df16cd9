//! How fast every op is, beside what the device can do: multiply-adds in registers and copies of memory, measured first.
//!
//!     cargo run --release --example throughput -- --op matmul

mod cases;
mod chart;
mod limits;
mod svg;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lexopt::prelude::*;
use tilewise::reference::{HostTensor, Random};
use tilewise::{Activation, AnyTensor, Class, ContractionVariant, DeviceProfile, Gpu, Operand, Plan, Unary, verify};

use cases::Case;
use limits::{Bare, Limits};

const HELP: &str = "\
Verify and time each op over a table of shapes, as a share of the device's own limits, which are measured first.

Usage: cargo run --release --example throughput -- [OPTIONS]

  --op NAME          only this op
  --shapes A,B,..    these sizes instead of the table's
  --adapter NAME     the first adapter whose name contains this
  --quick            one small shape of each op: to see that it works
  --json             a line of JSON for each row
  --svg FILE         a chart of the table, beside the table itself
  --help             print this

Of an op's time the fraction of the limit is the least that the device could take: its operations at the measured rate of
multiply-adds, or the bytes of its operands and outputs at the measured rate of copies, whichever is longer. Nothing is
prepared beforehand: where operands are packed, packing counts.

Exit status: 0, 1 if a result is wrong, 2 for bad input or no device.";

/// Dispatches that each need the one before.
const TINY: usize = 1000;
/// Those whose recording is timed: few enough that none is submitted meanwhile, which may wait for the device.
const RECORDED: usize = 200;
/// A round lasts at least this long, so that submitting it does not count.
const ROUND: Duration = Duration::from_millis(10);
const ROUNDS: usize = 9;
/// Cases of the table that would take longer than this on a perfect device are left out.
const PATIENCE: f64 = 0.5;
/// FLOP/s below which lavapipe on two cores of an AMD EPYC is not alone on its machine: it reaches 180e9. It makes two instructions of a
/// multiply-add, which Zen runs side by side; on Intel's cores, which have three ports for them, 117e9 is the most that was seen.
const BUSY: f64 = 150e9;

#[derive(Default)]
struct Arguments {
    op: Option<String>,
    shapes: Vec<String>,
    adapter: Option<String>,
    quick: bool,
    json: bool,
    svg: Option<PathBuf>,
}

/// `None` for help.
fn parse() -> Result<Option<Arguments>, lexopt::Error> {
    let mut arguments = Arguments::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("op") => arguments.op = Some(parser.value()?.string()?),
            Long("shapes") => arguments.shapes = parser.value()?.string()?.split(',').map(String::from).collect(),
            Long("adapter") => arguments.adapter = Some(parser.value()?.string()?),
            Long("quick") => arguments.quick = true,
            Long("json") => arguments.json = true,
            Long("svg") => arguments.svg = Some(parser.value()?.into()),
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(arguments))
}

/// A line of the table.
struct Row {
    op: String,
    shape: String,
    variant: String,
    ms_median: f64,
    ms_min: f64,
    gflops: f64,
    gbps: f64,
    fraction_of_limit: f64,
    verified: bool,
}

impl Row {
    fn print(&self, adapter: &str, as_json: bool) {
        let Row { op, shape, variant, ms_median, ms_min, gflops, gbps, fraction_of_limit, verified } = self;
        if as_json {
            let object = serde_json::json!({
                "adapter": adapter, "op": op, "shape": shape, "variant": variant, "ms_median": ms_median,
                "ms_min": ms_min, "gflops": gflops, "gbps": gbps, "fraction_of_limit": fraction_of_limit,
                "verified": verified,
            });
            println!("{object}");
        } else {
            let wrong = if *verified { "" } else { "  WRONG" };
            println!(
                "{op:11} {shape:22} {variant:32} {ms_median:10.3} {ms_min:10.3} {gflops:9.2} {gbps:8.2} {:6.1} %{wrong}",
                fraction_of_limit * 100.0
            );
        }
    }
}

/// An op with its operands on the device.
struct Prepared<'a> {
    gpu: &'a Gpu,
    plan: Plan,
    inputs: Vec<AnyTensor>,
    output: AnyTensor,
}

impl<'a> Prepared<'a> {
    fn new(gpu: &'a Gpu, case: &Case, elements: &[HostTensor]) -> tilewise::Result<Self> {
        let inputs = elements.iter().map(|elements| gpu.upload(elements)).collect::<tilewise::Result<Vec<_>>>()?;
        let plan = case.twin.plan(gpu.profile(), &case.inputs)?;
        let output = gpu.allocate(&plan.outputs[0])?;
        gpu.warm_up(&[&plan], |_, _| ())?;
        Ok(Prepared { gpu, plan, inputs, output })
    }

    /// From the first recording to the end of the last dispatch.
    fn run(&mut self, count: usize) -> tilewise::Result<Duration> {
        let inputs: Vec<&dyn Operand> = self.inputs.iter().map(|input| input as &dyn Operand).collect();
        self.gpu.wait()?;
        let start = Instant::now();
        for _ in 0..count {
            self.gpu.run(&self.plan, &inputs, &mut [&mut self.output])?;
        }
        self.gpu.wait()?;
        Ok(start.elapsed())
    }

    /// Milliseconds of one run: the median and the least.
    fn time(&mut self) -> tilewise::Result<(f64, f64)> {
        let mut count = 1;
        while self.run(count)? < ROUND && count < 1 << 12 {
            count *= 2;
        }
        let mut times = (0..ROUNDS)
            .map(|_| Ok(self.run(count)?.as_secs_f64() * 1e3 / count as f64))
            .collect::<tilewise::Result<Vec<f64>>>()?;
        times.sort_by(f64::total_cmp);
        Ok((times[ROUNDS / 2], times[0]))
    }
}

/// `None` if the device would take too long.
fn measure(gpu: &Gpu, case: &Case, limits: &Limits, patient: bool) -> Result<Option<Row>, Box<dyn Error>> {
    let mut random = Random::new(1);
    let elements = case.twin.draw(&case.inputs, &mut random)?;
    let mut prepared = Prepared::new(gpu, case, &elements)?;
    // Of the plainest variant: what an op asks for, however few operations another makes of it.
    let plain = DeviceProfile { contractions: vec![ContractionVariant::BASELINE], ..DeviceProfile::baseline() };
    let flops = case.twin.plan(&plain, &prepared.plan.inputs)?.work().flops;
    let bytes =
        prepared.plan.inputs.iter().chain(&prepared.plan.outputs).map(|layout| layout.bytes() as f64).sum::<f64>();
    let least = (flops / limits.flops).max(bytes / limits.bytes);
    if least > PATIENCE && !patient {
        return Ok(None);
    }
    let report = verify::op(gpu, &*case.twin, &elements)?;
    if !report.passed() {
        eprintln!("{report}");
    }
    let (ms_median, ms_min) = prepared.time()?;
    Ok(Some(Row {
        op: case.op.into(),
        shape: case.sizes.clone(),
        variant: prepared.plan.variant.clone(),
        ms_median,
        ms_min,
        gflops: flops / ms_median * 1e-6,
        gbps: bytes / ms_median * 1e-6,
        fraction_of_limit: least * 1e3 / ms_median,
        verified: report.passed(),
    }))
}

/// Dispatches that do next to nothing, each needing the one before: recorded by tilewise, and by wgpu alone beside.
fn tiny(gpu: &Gpu) -> Result<Row, Box<dyn Error>> {
    let bare = Bare::new(gpu)?;
    let op = Unary::from(Activation::Relu);
    let start: Vec<f32> = (0..64).map(|i| i as f32 - 32.0).collect();
    let (a, b) = (gpu.tensor(&[64], &start)?, gpu.empty::<f32>(&[64])?);
    let plan = tilewise::Op::plan(&op, gpu.profile(), &[a.layout()])?;
    let run = || -> tilewise::Result<(Duration, Duration)> {
        gpu.wait()?;
        let start = Instant::now();
        let mut recorded = Duration::ZERO;
        for i in 0..TINY {
            let (from, mut to) = if i % 2 == 0 { (&a, b.clone()) } else { (&b, a.clone()) };
            gpu.run(&plan, &[from], &mut [&mut to])?;
            if i + 1 == RECORDED {
                recorded = start.elapsed();
            }
        }
        gpu.submit()?;
        gpu.wait()?;
        Ok((recorded, start.elapsed()))
    };
    run()?;
    bare.run(TINY)?;
    let (mut own, mut recording, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (recorded, whole) = run()?;
        recording.push(recorded.as_secs_f64() * 1e3 / RECORDED as f64);
        own.push(whole.as_secs_f64() * 1e3 / TINY as f64);
        alone.push(bare.run(TINY)?.as_secs_f64() * 1e3 / TINY as f64);
    }
    [&mut own, &mut recording, &mut alone].into_iter().for_each(|times| times.sort_by(f64::total_cmp));
    let median = |times: &[f64]| times[ROUNDS / 2];
    let expected: Vec<f32> = start.iter().map(|x| x.max(0.0)).collect();
    Ok(Row {
        op: "dispatch".into(),
        shape: format!("{TINY} of 64"),
        variant: format!("recorded in {:.2} us each", median(&recording) * 1e3),
        ms_median: median(&own),
        ms_min: own[0],
        gflops: 0.0,
        gbps: 512.0 / median(&own) * 1e-6,
        fraction_of_limit: median(&alone) / median(&own),
        verified: gpu.download(&b)? == expected,
    })
}

fn limit(op: &str, what: &str, gflops: f64, gbps: f64) -> Row {
    Row {
        op: op.into(),
        shape: String::new(),
        variant: what.into(),
        ms_median: 0.0,
        ms_min: 0.0,
        gflops,
        gbps,
        fraction_of_limit: 1.0,
        verified: true,
    }
}

/// Whether every result was right.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let mut cases = cases::cases(arguments.op.as_deref(), &arguments.shapes)?;
    if arguments.quick {
        cases.dedup_by_key(|case| case.op);
    }
    let gpu = match &arguments.adapter {
        Some(name) => Gpu::builder().adapter_name(name).build()?,
        None => Gpu::new()?,
    };
    let profile = gpu.profile();
    if !arguments.json {
        println!("{profile}");
        println!(
            "{:11} {:22} {:32} {:>10} {:>10} {:>9} {:>8} {:>8}",
            "op", "shape", "variant", "ms median", "ms min", "GFLOP/s", "GB/s", "of limit"
        );
    }
    let limits = limits::measure(&gpu)?;
    limit("limit", "multiply-adds in registers", limits.flops * 1e-9, 0.0).print(&profile.name, arguments.json);
    limit("limit", "copy, read and written", 0.0, limits.bytes * 1e-9).print(&profile.name, arguments.json);
    if profile.class == Class::Cpu && limits.flops < BUSY {
        eprintln!(
            "the multiply-adds are slower than this driver's on two free cores (AMD's; of Intel's 100 to 117 GFLOP/s are to be \
             expected): the machine is busy or small, compare nothing"
        );
    }
    let mut rows = Vec::new();
    for case in &cases {
        match measure(&gpu, case, &limits, !arguments.shapes.is_empty())? {
            Some(row) => {
                row.print(&profile.name, arguments.json);
                rows.push(row);
            }
            None => eprintln!("{} {}: left out, it would take long; --shapes runs it", case.op, case.sizes),
        }
    }
    if arguments.op.is_none() {
        let row = tiny(&gpu)?;
        row.print(&profile.name, arguments.json);
        rows.push(row);
    }
    if let Some(file) = &arguments.svg {
        let (flops, bytes) = (limits.flops, limits.bytes);
        let words = format!(
            "of {:.0} GFLOP/s of multiply-adds in registers (blue) and {:.1} GB/s of copying (green), measured first",
            flops * 1e-9,
            bytes * 1e-9
        );
        let picture = chart::draw(&format!("{} ({})", profile.name, profile.driver), &words, flops / bytes, &rows);
        std::fs::write(file, picture).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(rows.iter().all(|row| row.verified))
}

fn main() -> ExitCode {
    let done = match parse() {
        Ok(None) => {
            println!("{HELP}\n\nOps and what their sizes are:");
            cases::TABLE.iter().for_each(|(op, sizes, _)| println!("  {op:12} {sizes}"));
            return ExitCode::SUCCESS;
        }
        Ok(Some(arguments)) => run(&arguments),
        Err(error) => Err(format!("{error}; --help lists the options").into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
