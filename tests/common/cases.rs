//! Every op, in the forms that lead to different fragments: what the static and the executed proof of the kernels share.

use tilewise::reference::Twin;
use tilewise::{
    Activation, AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, BatchNorm, Binary, BinaryKind, Concat, Conv2d,
    ConvTranspose2d, LogSoftmax, Matmul, MaxPool2d, Pad, PadMode, Permute, Precision, Reduce, ReduceKind, Softmax,
    Unary, UnaryKind,
};

/// An op with the shapes of its inputs.
pub type Case = (Box<dyn Twin>, Vec<Vec<usize>>);

/// Every op, in the forms that lead to different fragments.
pub fn ops() -> Vec<Case> {
    let plane = vec![2, 4, 9, 11];
    vec![
        (Box::new(Matmul::default()), vec![vec![70, 33], vec![33, 90]]),
        (
            Box::new(Matmul { precision: Precision::F16Multiply, ..Default::default() }),
            vec![vec![17, 33], vec![33, 35]],
        ),
        (
            Box::new(Matmul { activation: Activation::Gelu, ..Default::default() }),
            vec![vec![3, 7, 5], vec![5, 9], vec![9]],
        ),
        (Box::new(Conv2d::default()), vec![plane.clone(), vec![6, 4, 3, 3], vec![6]]),
        (Box::new(Conv2d { groups: 4, ..Default::default() }), vec![plane.clone(), vec![4, 1, 1, 1]]),
        (Box::new(Conv2d { groups: 4, ..Default::default() }), vec![plane.clone(), vec![8, 1, 3, 2], vec![8]]),
        (Box::new(Conv2d { groups: 4, ..Default::default() }), vec![vec![2, 4, 9, 12], vec![4, 1, 2, 5]]),
        (
            Box::new(Conv2d { precision: Precision::Winograd, ..Default::default() }),
            vec![plane.clone(), vec![6, 4, 3, 3], vec![6]],
        ),
        (Box::new(ConvTranspose2d { stride: [2, 3], ..Default::default() }), vec![plane.clone(), vec![4, 5, 3, 2]]),
        (Box::new(MaxPool2d { return_indices: true, ..Default::default() }), vec![plane.clone()]),
        (Box::new(AvgPool2d::default()), vec![plane.clone()]),
        (Box::new(AdaptiveAvgPool2d::default()), vec![plane.clone()]),
        (Box::new(Reduce { dims: vec![1, 3], ..Default::default() }), vec![plane.clone()]),
        (Box::new(Reduce { kind: ReduceKind::ArgMin, last: true, ..Default::default() }), vec![plane.clone()]),
        (Box::new(Reduce::default()), vec![vec![1 << 20]]),
        (Box::new(Reduce { kind: ReduceKind::ArgMax, ..Default::default() }), vec![vec![1 << 20]]),
        (Box::new(Reduce { kind: ReduceKind::Mean, ..Default::default() }), vec![vec![1 << 20]]),
        (Box::new(AdaptiveMaxPool2d { return_indices: true, ..Default::default() }), vec![vec![1, 2, 300, 300]]),
        (Box::new(AdaptiveMaxPool2d { output: [2, 2], return_indices: true }), vec![plane.clone()]),
        (Box::new(Softmax { dim: 1 }), vec![plane.clone()]),
        (Box::new(LogSoftmax { dim: 3 }), vec![plane.clone()]),
        (Box::new(Permute { dims: vec![3, 1, 0, 2] }), vec![plane.clone()]),
        (Box::new(Permute { dims: vec![0, 2, 1] }), vec![vec![2, 12, 8]]),
        (Box::new(Permute { dims: vec![1, 0] }), vec![vec![7, 12]]),
        (Box::new(Unary { kind: UnaryKind::Erf }), vec![plane.clone()]),
        (Box::new(Binary { kind: BinaryKind::Pow }), vec![plane.clone(), vec![9, 1]]),
        (Box::new(BatchNorm::default()), vec![plane.clone(), vec![4], vec![4], vec![4], vec![4]]),
        (Box::new(Concat { dim: 1 }), vec![plane.clone(), plane.clone()]),
        (Box::new(Pad { padding: vec![[1, 1]; 4], mode: PadMode::Reflect }), vec![plane.clone()]),
        (Box::new(Pad { padding: vec![[1, 2]; 4], ..Pad::default() }), vec![vec![2, 0, 1, 1]]),
        // Rows of whole vectors.
        (Box::new(Unary { kind: UnaryKind::Neg }), vec![vec![(1 << 14) + 3]]),
        (Box::new(Binary { kind: BinaryKind::Max }), vec![vec![2, 3, 40], vec![3, 1]]),
        (Box::new(BatchNorm::default()), vec![vec![2, 3, 40], vec![3], vec![3], vec![3], vec![3]]),
        (Box::new(Concat { dim: 0 }), vec![vec![40], vec![3]]),
        (Box::new(Pad { padding: vec![[1, 1], [0, 0]], mode: PadMode::Reflect }), vec![vec![3, 40]]),
    ]
}

/// The ops that compute with whole numbers.
pub fn whole_ops() -> Vec<Case> {
    let plane = vec![2, 4, 9, 11];
    vec![
        (Box::new(Binary { kind: BinaryKind::Div }), vec![plane.clone(), vec![9, 1]]),
        (Box::new(Unary { kind: UnaryKind::Abs }), vec![plane.clone()]),
        (Box::new(Reduce { dims: vec![1, 3], ..Default::default() }), vec![plane.clone()]),
        (Box::new(Reduce { kind: ReduceKind::Max, ..Default::default() }), vec![plane.clone()]),
        (Box::new(Pad { padding: vec![[1, 2]; 4], ..Pad::default() }), vec![plane]),
        (Box::new(Binary { kind: BinaryKind::Sub }), vec![vec![3, 40], vec![40]]),
        (Box::new(Permute { dims: vec![1, 0] }), vec![vec![8, 12]]),
    ]
}
