//! Convolutions as residual and depthwise-separable networks have them.

use criterion::{Criterion, criterion_group, criterion_main};
use tilewise::{Conv2d, Padding};
use tilewise_bench::{Case, bench};

fn conv2d(criterion: &mut Criterion) {
    let x = vec![1, 64, 56, 56];
    let padded = Conv2d { padding: Padding::all(1), ..Default::default() };
    let depthwise = Conv2d { groups: 64, ..padded };
    let pixels = 56.0 * 56.0;
    bench(
        criterion,
        "conv2d",
        &[
            Case {
                name: "3x3 64->64 56x56",
                op: &padded,
                shapes: vec![x.clone(), vec![64, 64, 3, 3]],
                flops: 2.0 * 64.0 * 64.0 * 9.0 * pixels,
            },
            Case {
                name: "1x1 64->64 56x56",
                op: &Conv2d::default(),
                shapes: vec![x.clone(), vec![64, 64, 1, 1]],
                flops: 2.0 * 64.0 * 64.0 * pixels,
            },
            Case {
                name: "3x3 depthwise 64 56x56",
                op: &depthwise,
                shapes: vec![x.clone(), vec![64, 1, 3, 3]],
                flops: 2.0 * 64.0 * 9.0 * pixels,
            },
        ],
    );
}

criterion_group!(benches, conv2d);
criterion_main!(benches);
