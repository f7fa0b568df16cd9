//! The emulator: a tiled matrix product with the sanitizer off and on. Elements are lane-operations here: operations of the
//! emulator's code, times the lanes that are active in each.

use criterion::{Criterion, criterion_group, criterion_main};
use tilewise::{DType, EmulatorOptions, Gpu, Layout, Matmul, Result};
use tilewise_bench::{Case, bench_on};

const N: usize = 256;

fn lane_operations() -> Result<u64> {
    let gpu = Gpu::emulated(EmulatorOptions { sanitizer: false, ..Default::default() })?;
    let a = gpu.tensor(&[N, N], &vec![1.0f32; N * N])?;
    let (_, counted) = gpu.counted(|gpu| gpu.matmul(&a, &a))?;
    Ok(counted.iter().map(|dispatch| dispatch.counters.active_lanes).sum())
}

fn emulator(criterion: &mut Criterion) {
    let operations = lane_operations().unwrap_or_else(|error| panic!("{error}"));
    let op = Matmul::default();
    let case = Case {
        name: "256x256x256",
        op: &op,
        inputs: vec![Layout::new(&[N, N], DType::F32); 2],
        flops: operations as f64,
    };
    for (group, sanitizer) in [("emulator", false), ("emulator, sanitizer on", true)] {
        let options = EmulatorOptions { sanitizer, ..Default::default() };
        let gpu = Gpu::emulated(options).unwrap_or_else(|error| panic!("{error}"));
        bench_on(&gpu, criterion, group, std::slice::from_ref(&case));
    }
}

criterion_group!(benches, emulator);
criterion_main!(benches);
