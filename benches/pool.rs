//! Pooling: the windows of common networks, and the whole plane.

use criterion::{Criterion, criterion_group, criterion_main};
use tilewise::{AdaptiveAvgPool2d, AvgPool2d, MaxPool2d};
use tilewise_bench::{Case, bench};

fn pool(criterion: &mut Criterion) {
    let x = vec![1, 64, 112, 112];
    let max = MaxPool2d { kernel: [3, 3], stride: Some([2, 2]), padding: [1; 4], ..Default::default() };
    let average = AvgPool2d::default();
    let global = AdaptiveAvgPool2d::default();
    bench(
        criterion,
        "pool",
        &[
            Case { name: "max 3x3 stride 2", op: &max, shapes: vec![x.clone()], flops: 64.0 * 56.0 * 56.0 * 9.0 },
            Case { name: "average 2x2 stride 2", op: &average, shapes: vec![x.clone()], flops: 64.0 * 112.0 * 112.0 },
            Case { name: "global average", op: &global, shapes: vec![vec![1, 512, 7, 7]], flops: 512.0 * 49.0 },
        ],
    );
}

criterion_group!(benches, pool);
criterion_main!(benches);
