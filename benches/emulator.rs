//! The emulator: a tiled matrix product with the sanitizer off and on.

use criterion::{Criterion, criterion_group, criterion_main};
use tilewise::{EmulatorOptions, Gpu, Matmul};
use tilewise_bench::{Case, bench_on};

fn emulator(criterion: &mut Criterion) {
    let n = 256;
    let op = Matmul::default();
    let case = Case { name: "256x256x256", op: &op, shapes: vec![vec![n, n]; 2], flops: 2.0 * (n * n * n) as f64 };
    for (group, sanitizer) in [("emulator", false), ("emulator, sanitizer on", true)] {
        let options = EmulatorOptions { sanitizer, ..Default::default() };
        let gpu = Gpu::emulated(options).unwrap_or_else(|error| panic!("{error}"));
        bench_on(&gpu, criterion, group, std::slice::from_ref(&case));
    }
}

criterion_group!(benches, emulator);
criterion_main!(benches);
