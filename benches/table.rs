//! Every op over the table of shapes that the example `throughput` prints, a group for each.

#[path = "../examples/throughput/cases.rs"]
mod cases;

use criterion::{Criterion, criterion_group, criterion_main};
use tilewise::{Class, Gpu};
use tilewise_bench::{Case, bench_on};

/// Operations above which a case is left to GPUs: a driver on the CPU would take seconds for each of a hundred runs.
const MOST_ON_A_CPU: f64 = 2e10;

fn table(criterion: &mut Criterion) {
    let gpu = Gpu::new().unwrap_or_else(|error| panic!("{error}"));
    let mut all = cases::cases(None, &[]).unwrap_or_else(|error| panic!("{error}"));
    while let Some(op) = all.first().map(|case| case.op) {
        let group: Vec<cases::Case> = all.extract_if(.., |case| case.op == op).collect();
        let timed: Vec<Case<'_>> = group.iter().filter_map(|case| timed(&gpu, case)).collect();
        bench_on(&gpu, criterion, op, &timed);
    }
}

/// A case with its operations as planned, unless it would take too long.
fn timed<'a>(gpu: &Gpu, case: &'a cases::Case) -> Option<Case<'a>> {
    let plan = case.twin.plan(gpu.profile(), &case.inputs).unwrap_or_else(|error| panic!("{}: {error}", case.sizes));
    let flops = plan.work().flops;
    if gpu.profile().class == Class::Cpu && flops > MOST_ON_A_CPU {
        eprintln!("{} {}: left out on a driver on the CPU", case.op, case.sizes);
        return None;
    }
    Some(Case { name: &case.sizes, op: &*case.twin, inputs: case.inputs.clone(), flops })
}

criterion_group!(benches, table);
criterion_main!(benches);
