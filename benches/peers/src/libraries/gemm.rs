//! gemm: products of matrices on the CPU, on all cores.

use gemm::Parallelism;

use super::{Failure, Library, Prepared};
use crate::cases::{Case, Kind};

pub struct Gemm;

impl Library for Gemm {
    fn name(&self) -> &'static str {
        "gemm 0.19 (CPU)"
    }

    fn prepare(&self, case: &Case, inputs: &[Vec<f32>]) -> Result<Option<Box<dyn Prepared>>, Failure> {
        let (Kind::Matmul, [a, b]) = (case.kind, inputs) else { return Ok(None) };
        let (m, k, n) = (case.shapes[0][0], case.shapes[0][1], case.shapes[1][1]);
        Ok(Some(Box::new(Run { m, n, k, a: a.clone(), b: b.clone(), out: vec![0.0; m * n] })))
    }
}

struct Run {
    m: usize,
    n: usize,
    k: usize,
    a: Vec<f32>,
    b: Vec<f32>,
    out: Vec<f32>,
}

impl Prepared for Run {
    fn run(&mut self, count: usize) -> Result<(), Failure> {
        let Run { m, n, k, a, b, out } = self;
        let (m, n, k) = (*m, *n, *k);
        let (row_of_b, row_of_a) = (n as isize, k as isize);
        for _ in 0..count {
            // SAFETY: the slices hold m x n, m x k and k x n values, row by row, and do not overlap.
            unsafe {
                gemm::gemm(
                    m,
                    n,
                    k,
                    out.as_mut_ptr(),
                    1,
                    row_of_b,
                    false,
                    a.as_ptr(),
                    1,
                    row_of_a,
                    b.as_ptr(),
                    1,
                    row_of_b,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    Parallelism::Rayon(0),
                );
            }
        }
        Ok(())
    }

    fn result(&mut self) -> Result<Vec<f32>, Failure> {
        self.run(1)?;
        Ok(self.out.clone())
    }
}
