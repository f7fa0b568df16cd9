//! What the benchmarks share: each op is verified, then timed.
//!
//! A benchmark's throughput counts floating point operations as criterion's elements: `Gelem/s` reads as GFLOP/s.

use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput};
use tilewise::reference::{Random, Twin};
use tilewise::{AnyTensor, Gpu, Layout, Operand, Plan, verify};

/// An op with the layouts of its inputs.
#[derive(Debug)]
pub struct Case<'a> {
    /// What distinguishes it within its group: sizes, kind.
    pub name: &'a str,
    /// The op.
    pub op: &'a dyn Twin,
    /// The layouts of its inputs.
    pub inputs: Vec<Layout>,
    /// Its floating point operations: two for a multiply-add; where nothing is multiplied, one for each value read.
    pub flops: f64,
}

/// Verifies each case on a device, and times it: recorded one after the other, submitted together, waited for once.
///
/// # Panics
/// If a result is wrong: what is wrong is not worth timing.
pub fn bench_on(gpu: &Gpu, criterion: &mut Criterion, group: &str, cases: &[Case]) {
    let mut group = criterion.benchmark_group(group);
    // Flat sampling and few samples, since a dispatch may take a tenth of a second on a slow device.
    group.sampling_mode(SamplingMode::Flat).sample_size(10).warm_up_time(Duration::from_millis(500));
    for case in cases {
        let run = || Run::new(gpu, case).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        // Made at first use: a case that a filter leaves out costs nothing.
        let mut made = None;
        group.throughput(Throughput::Elements(case.flops as u64));
        group.bench_function(case.name, |bencher| {
            let run = made.get_or_insert_with(run);
            bencher.iter_custom(|iterations| run.time(iterations).unwrap_or_else(|error| panic!("{error}")));
        });
    }
    group.finish();
}

/// A verified op with its operands on the device.
struct Run<'a> {
    gpu: &'a Gpu,
    plan: Plan,
    inputs: Vec<AnyTensor>,
    output: AnyTensor,
}

impl<'a> Run<'a> {
    /// # Panics
    /// If a result is wrong.
    fn new(gpu: &'a Gpu, case: &Case<'_>) -> tilewise::Result<Self> {
        let host = case.op.draw(&case.inputs, &mut Random::new(1))?;
        verify::op(gpu, case.op, &host)?.assert();
        let inputs: Vec<AnyTensor> = host.iter().map(|host| gpu.upload(host)).collect::<Result<_, _>>()?;
        let plan = case.op.plan(gpu.profile(), &case.inputs)?;
        let output = gpu.allocate(&plan.outputs[0])?;
        gpu.warm_up(&[&plan], |_, _| ())?;
        Ok(Run { gpu, plan, inputs, output })
    }

    /// The time from the first recording to the end of the last dispatch.
    fn time(&mut self, iterations: u64) -> tilewise::Result<Duration> {
        let inputs: Vec<&dyn Operand> = self.inputs.iter().map(|input| input as &dyn Operand).collect();
        self.gpu.wait()?;
        let start = Instant::now();
        for _ in 0..iterations {
            self.gpu.run(&self.plan, &inputs, &mut [&mut self.output])?;
        }
        self.gpu.wait()?;
        Ok(start.elapsed())
    }
}
