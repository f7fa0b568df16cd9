//! Reductions and softmax, along the innermost dimension, along the outermost, and over all.

use criterion::{Criterion, criterion_group, criterion_main};
use tilewise::{Reduce, ReduceKind, Softmax};
use tilewise_bench::{Case, bench};

fn reduce(criterion: &mut Criterion) {
    let x = vec![1024, 1024];
    let flops = 1024.0 * 1024.0;
    let [rows, columns] = [1, 0].map(|dim| Reduce { dims: vec![dim], ..Default::default() });
    let largest = Reduce { kind: ReduceKind::ArgMax, dims: vec![1], ..Default::default() };
    let all = Reduce::default();
    bench(
        criterion,
        "reduce",
        &[
            Case { name: "sum of rows 1024x1024", op: &rows, shapes: vec![x.clone()], flops },
            Case { name: "sum of columns 1024x1024", op: &columns, shapes: vec![x.clone()], flops },
            Case { name: "argmax of rows 1024x1024", op: &largest, shapes: vec![x.clone()], flops },
            Case { name: "sum of all 224x224", op: &all, shapes: vec![vec![224, 224]], flops: 224.0 * 224.0 },
        ],
    );
}

fn softmax(criterion: &mut Criterion) {
    let sizes = [("128x1000", [128, 1000]), ("1024x1024", [1024, 1024])];
    let cases = sizes.map(|(name, [rows, columns])| Case {
        name,
        op: &Softmax { dim: 1 },
        shapes: vec![vec![rows, columns]],
        flops: (rows * columns) as f64,
    });
    bench(criterion, "softmax", &cases);
}

criterion_group!(benches, reduce, softmax);
criterion_main!(benches);
