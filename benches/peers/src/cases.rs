//! What the libraries compute: ops that all of them know, on shapes that networks have.

use tilewise::reference::Twin;
use tilewise::{Activation, Conv2d, Matmul, MaxPool2d, Padding, Softmax, Unary};

/// An op, in the words of every library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// (m, k) by (k, n).
    Matmul,
    /// 3x3, padded by 1.
    Conv {
        groups: usize,
    },
    /// 2x2, stride 2.
    MaxPool,
    Relu,
    /// Along the last dimension.
    Softmax,
}

/// An op on inputs of some shapes, all f32.
pub struct Case {
    pub kind: Kind,
    pub name: &'static str,
    pub shapes: Vec<Vec<usize>>,
}

impl Case {
    /// As tilewise has it.
    pub fn op(&self) -> Box<dyn Twin> {
        match self.kind {
            Kind::Matmul => Box::new(Matmul::default()),
            Kind::Conv { groups } => Box::new(Conv2d { padding: Padding::all(1), groups, ..Default::default() }),
            Kind::MaxPool => Box::new(MaxPool2d { kernel: [2; 2], stride: Some([2; 2]), ..Default::default() }),
            Kind::Relu => Box::new(Unary::from(Activation::Relu)),
            Kind::Softmax => Box::new(Softmax { dim: 1 }),
        }
    }

    /// `512x512 512x512`
    pub fn sizes(&self) -> String {
        let shape = |shape: &Vec<usize>| shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        self.shapes.iter().map(shape).collect::<Vec<_>>().join(" ")
    }
}

/// The table; `full` adds what takes long where no GPU is.
pub fn cases(full: bool) -> Vec<Case> {
    let matmul = |m, n, k| Case { kind: Kind::Matmul, name: "matmul", shapes: vec![vec![m, k], vec![k, n]] };
    let plane = vec![8, 64, 56, 56];
    let mut cases = vec![matmul(512, 512, 512), matmul(1024, 1024, 1024), matmul(64, 4096, 4096)];
    if full {
        cases.push(matmul(2048, 2048, 2048));
    }
    cases.push(matmul(1, 4096, 4096));
    let conv = |name, groups| Case {
        kind: Kind::Conv { groups },
        name,
        shapes: vec![plane.clone(), vec![64, 64 / groups, 3, 3]],
    };
    cases.extend([conv("conv 3x3", 1), conv("depthwise 3x3", 64)]);
    let one = |kind, name, shape: &[usize]| Case { kind, name, shapes: vec![shape.to_vec()] };
    cases.extend([
        one(Kind::MaxPool, "max pool 2x2", &plane),
        one(Kind::Relu, "relu", &[1 << 22]),
        one(Kind::Softmax, "softmax", &[1024, 1024]),
    ]);
    cases
}
