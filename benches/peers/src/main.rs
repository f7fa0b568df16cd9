//! tilewise beside other libraries, in one run: every result is verified, every round times each library in turn.
//!
//!     cargo run --release --manifest-path benches/peers/Cargo.toml

mod cases;
mod chart;
mod libraries;
mod row;
#[path = "../../../examples/throughput/svg.rs"]
mod svg;

use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lexopt::prelude::*;
use tilewise::reference::{Expected, HostTensor, Random, Select};
use tilewise::{Gpu, verify};

use cases::{Case, cases};
use libraries::{Failure, Library, Prepared};
use row::{Figures, Row};

const HELP: &str = "\
Time tilewise beside burn (wgpu), gemm and rten (CPU). Every result is held against tilewise's CPU reference first; the rounds
of the libraries take turns, and the medians of these rounds are compared.

Usage: cargo run --release --manifest-path benches/peers/Cargo.toml -- [OPTIONS]

  --full             2048 square too: minutes more where no GPU is
  --only NAME        only the ops whose name contains this
  --json             a line of JSON for each library and shape
  --svg FILE         a chart of the ratios, beside the table itself
  --help             print this

Each shape runs in a process of its own. A peer that panics on a thread of its own there, as burn 0.23.0-pre.1 does when a
wait takes longer than a second, is told so and tried once more. burn tunes itself when a shape is first met; that is not
timed. Operands and results stay in each library's own memory.
A ratio above 1 is a shape on which tilewise is that many times as fast as the peer.

Exit status: 0, 1 if a result of tilewise is wrong or missing, 2 for bad input or no device.";

const ROUNDS: usize = 9;
/// A round of a library lasts at least this long, so that waiting for it does not count.
const ROUND: Duration = Duration::from_millis(10);
/// Runs of a round at most.
const MOST_RUNS: usize = 1 << 12;
/// FLOPs per byte from which on a rate is told in FLOP/s: memory is no longer what any machine waits for.
const BUSY_WITH_NUMBERS: f64 = 10.0;

#[derive(Default)]
struct Arguments {
    full: bool,
    only: String,
    json: bool,
    svg: Option<PathBuf>,
    /// The case to run in this process, and the libraries to leave out, by their numbers: how the processes are started.
    case: Option<usize>,
    without: Vec<usize>,
}

/// `None` for help.
fn parse() -> Result<Option<Arguments>, lexopt::Error> {
    let mut arguments = Arguments::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("full") => arguments.full = true,
            Long("only") => arguments.only = parser.value()?.string()?,
            Long("json") => arguments.json = true,
            Long("svg") => arguments.svg = Some(parser.value()?.into()),
            Long("case") => arguments.case = Some(parser.value()?.parse()?),
            Long("without") => arguments.without.push(parser.value()?.parse()?),
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(arguments))
}

/// Exit statuses from here on name the library that was lost, by its number.
const LOST: usize = 10;
/// How often a library may be lost at a shape before it is left out there.
const ATTEMPTS: usize = 2;
/// The number of the library that is running.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Ends the process where a library panics on a thread of its own: whoever waits for that thread would wait for ever.
fn end_with_foreign_threads(names: Vec<&'static str>, case: &Case) {
    let (op, sizes) = (case.name, case.sizes());
    let main = std::thread::current().id();
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == main {
            return default(panic);
        }
        let running = RUNNING.load(Ordering::Relaxed);
        let message = panic.payload_as_str().unwrap_or("without a word");
        let failure = format!("panicked on a thread of its own: {message}");
        println!("{}", Row::new(op, &sizes, names[running], Err(failure)).to_json());
        std::process::exit((LOST + running) as i32);
    }));
}

/// What becomes of an error or a panic, which a peer answers some failures with.
fn guarded<T>(step: impl FnOnce() -> Result<T, Failure>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("panicked: {}", message.unwrap_or("without a word")))
        }
    }
}

/// A library at a case.
struct Entrant {
    prepared: Box<dyn Prepared>,
    /// Runs in a round.
    count: usize,
    /// Milliseconds of a run, by round.
    times: Vec<f64>,
}

impl Entrant {
    /// With its operands in place, its result verified and its runs counted. `None` for an op that the library lacks.
    fn new(library: &dyn Library, inputs: &Inputs<'_>) -> Result<Option<Self>, Failure> {
        let Some(prepared) = library.prepare(inputs.case, &inputs.elements)? else { return Ok(None) };
        let mut entrant = Entrant { prepared, count: 1, times: Vec::new() };
        let result = HostTensor::new(&inputs.expected.shape, &entrant.prepared.result()?)?;
        let report = verify::compare(library.name(), 0, &result, &inputs.expected)?;
        if !report.passed() {
            return Err(format!("wrong: {report}").into());
        }
        while entrant.run()? < ROUND && entrant.count < MOST_RUNS {
            entrant.count *= 2;
        }
        Ok(Some(entrant))
    }

    fn run(&mut self) -> Result<Duration, Failure> {
        let start = Instant::now();
        self.prepared.run(self.count)?;
        Ok(start.elapsed())
    }

    fn time(&mut self) -> Result<(), Failure> {
        let time = self.run()?;
        self.times.push(time.as_secs_f64() * 1e3 / self.count as f64);
        Ok(())
    }

    /// The median and the least.
    fn summary(&mut self) -> Times {
        self.times.sort_by(f64::total_cmp);
        Times { median: self.times[self.times.len() / 2], least: self.times[0] }
    }
}

/// Milliseconds.
#[derive(Clone, Copy)]
struct Times {
    median: f64,
    least: f64,
}

/// What all libraries are given, and what they have to answer.
struct Inputs<'a> {
    case: &'a Case,
    elements: Vec<Vec<f32>>,
    expected: Expected,
    flops: f64,
    bytes: f64,
}

impl<'a> Inputs<'a> {
    fn new(gpu: &Gpu, case: &'a Case) -> Result<Self, Failure> {
        let elements = case.elements(&mut Random::new(1));
        let tensors = case.shapes.iter().zip(&elements).map(|(shape, elements)| HostTensor::new(shape, elements));
        let tensors: Vec<HostTensor> = tensors.collect::<tilewise::Result<_>>()?;
        let op = case.op();
        let layouts: Vec<_> = tensors.iter().map(HostTensor::layout).collect();
        let plan = op.plan(gpu.profile(), &layouts)?;
        let flops = plan.work().flops;
        let bytes = plan.inputs.iter().chain(&plan.outputs).map(|layout| layout.bytes() as f64).sum();
        let expected = op.twin(&tensors, &selection(flops, plan.outputs[0].len()))?.swap_remove(0);
        Ok(Inputs { case, elements, expected, flops, bytes })
    }

    fn rate(&self, milliseconds: f64) -> (f64, &'static str) {
        if self.flops / self.bytes >= BUSY_WITH_NUMBERS {
            (self.flops / milliseconds * 1e-6, "GFLOP/s")
        } else {
            (self.bytes / milliseconds * 1e-6, "GB/s")
        }
    }
}

/// Every element, or a sample of what would take the CPU long.
fn selection(flops: f64, len: usize) -> Select {
    if flops / 2.0 <= verify::SAMPLING_THRESHOLD {
        return Select::All;
    }
    let mut random = Random::new(2);
    Select::At((0..verify::SAMPLES).map(|_| random.below(len)).collect())
}

/// What came of each library that has the op, in their order.
type Outcomes = Vec<(&'static str, Result<Times, String>)>;

/// Verifies and times all libraries, a round of each in turn.
fn measure(libraries: &[Box<dyn Library>], without: &[usize], inputs: &Inputs<'_>) -> Outcomes {
    let mut entrants = Vec::new();
    for (number, library) in libraries.iter().enumerate().filter(|(number, _)| !without.contains(number)) {
        RUNNING.store(number, Ordering::Relaxed);
        match guarded(|| Entrant::new(&**library, inputs)) {
            Ok(None) => {}
            Ok(Some(entrant)) => entrants.push((number, library.name(), Ok(entrant))),
            Err(failure) => entrants.push((number, library.name(), Err(failure))),
        }
    }
    for _ in 0..ROUNDS {
        for (number, _, entrant) in &mut entrants {
            RUNNING.store(*number, Ordering::Relaxed);
            if let Ok(running) = entrant
                && let Err(failure) = guarded(|| running.time())
            {
                *entrant = Err(failure);
            }
        }
    }
    entrants.into_iter().map(|(_, name, entrant)| (name, entrant.map(|mut entrant| entrant.summary()))).collect()
}

/// Tells the process that started this one.
fn tell(inputs: &Inputs<'_>, outcomes: Outcomes) {
    let own = outcomes.first().and_then(|(_, outcome)| outcome.as_ref().ok()).map(|times| times.median);
    for (library, outcome) in outcomes {
        let figures = outcome.map(|Times { median, least }| {
            let (rate, unit) = inputs.rate(median);
            Figures { median, least, rate, unit: unit.into(), tilewise_faster: own.map(|own| median / own) }
        });
        println!("{}", Row::new(inputs.case.name, &inputs.case.sizes(), library, figures).to_json());
    }
}

/// Whether the result of tilewise was right. In this process.
fn run_case(case: &Case, without: &[usize]) -> Result<bool, Failure> {
    let gpu = Gpu::new()?;
    let libraries = libraries::all(&gpu);
    end_with_foreign_threads(libraries.iter().map(|library| library.name()).collect(), case);
    let inputs = Inputs::new(&gpu, case)?;
    let outcomes = measure(&libraries, without, &inputs);
    let right = outcomes.first().is_some_and(|(_, outcome)| outcome.is_ok());
    tell(&inputs, outcomes);
    Ok(right)
}

/// As [`run_case`] in a process of its own, and in another where a peer was lost. Every row is printed and kept.
fn start_case(arguments: &Arguments, number: usize, rows: &mut Vec<Row>) -> Result<bool, Failure> {
    let mut lost: Vec<usize> = Vec::new();
    loop {
        let times = |library: usize| lost.iter().filter(|&&other| other == library).count();
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--case").arg(number.to_string()).args(arguments.full.then_some("--full"));
        for library in lost.iter().filter(|&&library| times(library) >= ATTEMPTS) {
            command.arg("--without").arg(library.to_string());
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
            let line = line?;
            match Row::from_json(&line) {
                Some(row) => {
                    if arguments.json {
                        println!("{line}")
                    } else {
                        println!("{row}")
                    }
                    rows.retain(|other| !other.is_retold_by(&row));
                    rows.push(row);
                }
                // A library's own words.
                None => eprintln!("{line}"),
            }
        }
        match child.wait()?.code().map(|code| code as usize) {
            Some(0) => return Ok(true),
            // tilewise itself may not be lost.
            Some(1 | LOST) => return Ok(false),
            Some(code) if code > LOST && times(code - LOST) < ATTEMPTS => lost.push(code - LOST),
            code => return Err(format!("the process of a shape ended with {code:?}").into()),
        }
    }
}

/// Whether all results of tilewise were right.
fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let cases = cases(arguments.full);
    if let Some(number) = arguments.case {
        return run_case(cases.get(number).ok_or("no case has this number")?, &arguments.without);
    }
    let profile = Gpu::new()?.profile().clone();
    if !arguments.json {
        println!("{profile}");
        println!("{}", row::HEAD);
    }
    let mut right = true;
    let mut rows = Vec::new();
    for (number, _) in cases.iter().enumerate().filter(|(_, case)| case.name.contains(&arguments.only)) {
        right &= start_case(arguments, number, &mut rows)?;
    }
    if let Some(file) = &arguments.svg {
        let picture = chart::draw(&format!("{} ({})", profile.name, profile.driver), &rows);
        std::fs::write(file, picture).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(right)
}

fn main() -> ExitCode {
    let done = match parse() {
        Ok(None) => {
            println!("{HELP}");
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
