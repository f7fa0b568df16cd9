//! tilewise beside other libraries, in one run: every result is verified, every round times each library in turn.
//!
//!     cargo run --release --manifest-path benches/peers/Cargo.toml

mod cases;
mod libraries;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lexopt::prelude::*;
use tilewise::reference::{Expected, HostTensor, Random, Select};
use tilewise::{Gpu, verify};

use cases::{Case, cases};
use libraries::{Failure, Library, Prepared};

const HELP: &str = "\
Time tilewise beside burn (wgpu), gemm and rten (CPU). Every result is held against tilewise's CPU reference first; the rounds
of the libraries take turns, and the medians of these rounds are compared.

Usage: cargo run --release --manifest-path benches/peers/Cargo.toml -- [OPTIONS]

  --full             2048 square too: minutes more where no GPU is
  --only NAME        only the ops whose name contains this
  --json             a line of JSON for each library and shape
  --help             print this

Each shape runs in a process of its own. A peer that panics on a thread of its own there, as burn 0.23.0-pre.1 does when a
wait takes longer than a second, is told so and tried once more. burn tunes itself when a shape is first met; that is not timed. Operands and results stay in each library's own memory.
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
fn end_with_foreign_threads(names: Vec<&'static str>, case: &Case, as_json: bool) {
    let (op, sizes) = (case.name, case.sizes());
    let main = std::thread::current().id();
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == main {
            return default(panic);
        }
        let running = RUNNING.load(Ordering::Relaxed);
        let message = panic.payload_as_str().unwrap_or("without a word");
        print_failure(op, &sizes, names[running], &format!("panicked on a thread of its own: {message}"), as_json);
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
        let mut random = Random::new(1);
        let elements: Vec<Vec<f32>> = case.shapes.iter().map(|shape| random.floats(shape.iter().product())).collect();
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

fn print(inputs: &Inputs<'_>, outcomes: &Outcomes, as_json: bool) {
    let (op, sizes) = (inputs.case.name, inputs.case.sizes());
    let own = outcomes.first().and_then(|(_, outcome)| outcome.as_ref().ok()).map(|times| times.median);
    for (library, outcome) in outcomes {
        match outcome {
            Ok(times) => {
                let (rate, unit) = inputs.rate(times.median);
                let ratio = own.map(|own| times.median / own);
                if as_json {
                    let object = serde_json::json!({
                        "op": op, "shape": sizes, "library": library, "ms_median": times.median, "ms_min": times.least,
                        "rate": rate, "unit": unit, "tilewise_faster": ratio,
                    });
                    println!("{object}");
                } else {
                    let ratio = ratio.map_or("-".into(), |ratio| format!("{ratio:.2}"));
                    println!(
                        "{op:14} {sizes:24} {library:18} {:10.3} {:10.3} {rate:8.2} {unit:7} {ratio:>8}",
                        times.median, times.least
                    );
                }
            }
            Err(failure) => print_failure(op, &sizes, library, failure, as_json),
        }
    }
}

fn print_failure(op: &str, sizes: &str, library: &str, failure: &str, as_json: bool) {
    if as_json {
        println!("{}", serde_json::json!({"op": op, "shape": sizes, "library": library, "failure": failure}));
    } else {
        println!("{op:14} {sizes:24} {library:18} failed: {failure}");
    }
}

/// Whether the result of tilewise was right. In this process.
fn run_case(arguments: &Arguments, case: &Case) -> Result<bool, Failure> {
    let gpu = Gpu::new()?;
    let libraries = libraries::all(&gpu);
    end_with_foreign_threads(libraries.iter().map(|library| library.name()).collect(), case, arguments.json);
    let inputs = Inputs::new(&gpu, case)?;
    let outcomes = measure(&libraries, &arguments.without, &inputs);
    print(&inputs, &outcomes, arguments.json);
    Ok(outcomes.first().is_some_and(|(_, outcome)| outcome.is_ok()))
}

/// As [`run_case`] in a process of its own, and in another where a peer was lost.
fn start_case(arguments: &Arguments, number: usize) -> Result<bool, Failure> {
    let mut lost: Vec<usize> = Vec::new();
    loop {
        let times = |library: usize| lost.iter().filter(|&&other| other == library).count();
        let mut child = Command::new(std::env::current_exe()?);
        child.arg("--case").arg(number.to_string());
        child.args(arguments.full.then_some("--full")).args(arguments.json.then_some("--json"));
        for library in lost.iter().filter(|&&library| times(library) >= ATTEMPTS) {
            child.arg("--without").arg(library.to_string());
        }
        match child.status()?.code().map(|code| code as usize) {
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
        return run_case(arguments, cases.get(number).ok_or("no case has this number")?);
    }
    if !arguments.json {
        println!("{}", Gpu::new()?.profile());
        println!(
            "{:14} {:24} {:18} {:>10} {:>10} {:>8} {:7} {:>8}",
            "op", "inputs", "library", "ms median", "ms min", "rate", "", "tilewise"
        );
    }
    let mut right = true;
    for (number, _) in cases.iter().enumerate().filter(|(_, case)| case.name.contains(&arguments.only)) {
        right &= start_case(arguments, number)?;
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
