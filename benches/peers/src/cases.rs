//! What the libraries compute: ops that all of them know, on shapes that networks have.

use tilewise::reference::{Random, Twin};
use tilewise::{Activation, Conv2d, Matmul, MaxPool2d, Padding, Softmax, Unary};

/// The largest int8 of a range that is symmetric.
const INT8: f32 = 127.0;

/// An op, in the words of every library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// (m, k) by (k, n).
    Matmul,
    /// The same by int8 with one scale, in memory as such: whole numbers up to 127, which each library quantizes without a loss.
    Int8Weights,
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
            Kind::Matmul | Kind::Int8Weights => Box::new(Matmul::default()),
            Kind::Conv { groups } => Box::new(Conv2d { padding: Padding::all(1), groups, ..Default::default() }),
            Kind::MaxPool => Box::new(MaxPool2d { kernel: [2; 2], stride: Some([2; 2]), ..Default::default() }),
            Kind::Relu => Box::new(Unary::from(Activation::Relu)),
            Kind::Softmax => Box::new(Softmax { dim: 1 }),
        }
    }

    /// What the inputs hold.
    pub fn elements(&self, random: &mut Random) -> Vec<Vec<f32>> {
        let mut elements: Vec<Vec<f32>> =
            self.shapes.iter().map(|shape| random.floats(shape.iter().product())).collect();
        if self.kind == Kind::Int8Weights {
            let weights = &mut elements[1];
            weights.iter_mut().for_each(|weight| *weight = (*weight * INT8).round());
            // The scale is that of the largest: 1.
            weights[0] = INT8;
        }
        elements
    }

    /// `512x512 512x512`
    pub fn sizes(&self) -> String {
        let shape = |shape: &Vec<usize>| shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        self.shapes.iter().map(shape).collect::<Vec<_>>().join(" ")
    }
}

/// The table; `full` adds what takes long where no GPU is.
pub fn cases(full: bool) -> Vec<Case> {
    let product = |kind, name, m, n, k| Case { kind, name, shapes: vec![vec![m, k], vec![k, n]] };
    let matmul = |m, n, k| product(Kind::Matmul, "matmul", m, n, k);
    let int8 = |m, n, k| product(Kind::Int8Weights, "int8 weights", m, n, k);
    let plane = vec![8, 64, 56, 56];
    let mut cases = vec![matmul(512, 512, 512), matmul(1024, 1024, 1024), matmul(64, 4096, 4096)];
    if full {
        cases.push(matmul(2048, 2048, 2048));
    }
    cases.extend([matmul(1, 4096, 4096), int8(1024, 1024, 1024), int8(1, 4096, 4096)]);
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
