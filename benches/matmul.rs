//! Matrix products: cubes, and a vector by a matrix.

use criterion::{Criterion, criterion_group, criterion_main};
use tilewise::Matmul;
use tilewise_bench::{Case, bench};

fn matmul(criterion: &mut Criterion) {
    // The last has one row: every value of b is used once, so memory is the roof.
    let sizes = [
        ("256x256x256", [256; 3]),
        ("512x512x512", [512; 3]),
        ("1024x1024x1024", [1024; 3]),
        ("1x4096x1024", [1, 4096, 1024]),
    ];
    let op = Matmul::default();
    let cases = sizes.map(|(name, [m, n, k])| Case {
        name,
        op: &op,
        shapes: vec![vec![m, k], vec![k, n]],
        flops: 2.0 * (m * n * k) as f64,
    });
    bench(criterion, "matmul", &cases);
}

criterion_group!(benches, matmul);
criterion_main!(benches);
