//! rten: a runtime for networks on the CPU, on all cores.

use rten::ops::{Padding, conv, matmul, max_pool};
use rten::{BufferPool, FloatOperators, thread_pool};
use rten_tensor::prelude::*;
use rten_tensor::{Tensor, TensorView};

use super::{Failure, Library, Prepared};
use crate::cases::{Case, Kind};

pub struct Rten;

impl Library for Rten {
    fn name(&self) -> &'static str {
        "rten 0.27 (CPU)"
    }

    fn prepare(&self, case: &Case, inputs: &[Vec<f32>]) -> Result<Option<Box<dyn Prepared>>, Failure> {
        // It has no functions for these outside of its graphs.
        if [Kind::Relu, Kind::Int8Weights].contains(&case.kind) {
            return Ok(None);
        }
        let tensor = |(shape, elements): (&Vec<usize>, &Vec<f32>)| Tensor::from_data(shape, elements.clone());
        let inputs = case.shapes.iter().zip(inputs).map(tensor).collect();
        Ok(Some(Box::new(Run { kind: case.kind, inputs, pool: BufferPool::new() })))
    }
}

struct Run {
    kind: Kind,
    inputs: Vec<Tensor>,
    pool: BufferPool,
}

impl Run {
    fn once(&self) -> Result<Tensor, Failure> {
        let input = |index: usize| -> TensorView { self.inputs[index].view() };
        let pool = &self.pool;
        let done = thread_pool().run(|| match self.kind {
            Kind::Matmul => matmul(pool, input(0), input(1), None),
            Kind::Conv { groups } => {
                conv(pool, input(0), input(1), None, Padding::from([1; 4]), groups, &[1; 2], &[1; 2])
            }
            Kind::MaxPool => max_pool(pool, input(0), &[2; 2], &[2; 2], Padding::from([0; 4]), Default::default()),
            Kind::Softmax => input(0).softmax(1),
            Kind::Relu | Kind::Int8Weights => unreachable!("not prepared"),
        });
        done.map_err(|error| format!("{error:?}").into())
    }
}

impl Prepared for Run {
    fn run(&mut self, count: usize) -> Result<(), Failure> {
        (0..count).try_for_each(|_| self.once().map(drop))
    }

    fn result(&mut self) -> Result<Vec<f32>, Failure> {
        Ok(self.once()?.to_vec())
    }
}
