//! The twin of [`Matmul`].

use crate::error::Result;
use crate::layout::{DType, Layout, count};
use crate::op::Op;
use crate::op::matmul::Matmul;
use crate::reference::{
    Expected, HostTensor, OVERFLOW, Products, Projection, Random, Select, TINY, U, Value, activate, broadcast_index,
    gamma,
};

/// Indices into the operands of the product, and its sizes.
struct Geometry {
    batch: Vec<usize>,
    m: usize,
    n: usize,
    k: usize,
    batch_a: Vec<usize>,
    batch_b: Vec<usize>,
    transpose_a: bool,
    transpose_b: bool,
}

impl Geometry {
    fn of(op: &Matmul, a: &[usize], b: &[usize], out: &[usize]) -> Self {
        let split = |shape: &[usize]| shape[..shape.len().saturating_sub(2)].to_vec();
        let (transpose_a, transpose_b) = (op.transpose_a && a.len() > 1, op.transpose_b && b.len() > 1);
        let k = match a {
            [k] => *k,
            [.., rows, columns] => {
                if transpose_a {
                    *rows
                } else {
                    *columns
                }
            }
            [] => 1,
        };
        let vectors = usize::from(a.len() > 1) + usize::from(b.len() > 1);
        let batch = out[..out.len() - vectors].to_vec();
        let m = if a.len() > 1 { out[batch.len()] } else { 1 };
        let n = if b.len() > 1 { out[out.len() - 1] } else { 1 };
        Geometry { batch, m, n, k, batch_a: split(a), batch_b: split(b), transpose_a, transpose_b }
    }

    /// The number of an operand's matrix for an entry of the output's batch.
    fn entry(&self, own: &[usize], entry: usize) -> usize {
        let (mut rest, mut index, mut scale) = (entry, 0, 1);
        for (dim, &size) in self.batch.iter().enumerate().rev() {
            let at = rest % size;
            rest /= size;
            if let Some(own_dim) = (dim + own.len()).checked_sub(self.batch.len()) {
                if own[own_dim] > 1 {
                    index += at * scale;
                }
                scale *= own[own_dim];
            }
        }
        index
    }

    fn a(&self, entry: usize, i: usize, k: usize) -> usize {
        let at = if self.transpose_a { k * self.m + i } else { i * self.k + k };
        self.entry(&self.batch_a, entry) * self.m * self.k + at
    }

    fn b(&self, entry: usize, k: usize, j: usize) -> usize {
        let at = if self.transpose_b { j * self.k + k } else { k * self.n + j };
        self.entry(&self.batch_b, entry) * self.k * self.n + at
    }
}

/// `alpha * sum + beta * addend` with its roundings.
pub(super) fn linear(sum: Value, alpha: f64, addend: Option<(f64, f64)>) -> Value {
    let scaled = alpha * sum.value;
    let scaling = if alpha == 1.0 { 0.0 } else { U * scaled.abs() + TINY };
    let product = sum.step(scaled, alpha.abs(), scaling);
    let Some((beta, c)) = addend else { return product.in_f32() };
    let term = beta * c;
    let adding = if beta == 1.0 { 0.0 } else { U * term.abs() + TINY };
    let value = product.value + term;
    // A part that passes the largest f32 is infinite, unless it is fused with the addition.
    let overflows = |part: f64, off: f64| part.is_finite() && part.abs() + off >= OVERFLOW;
    if (overflows(product.value, product.bound) || overflows(term, adding)) && !overflows(value, 0.0) {
        return Value::undecided(value);
    }
    // The sum is rounded after its operands were: (1 + u) times their errors, plus its own. A flushed addend is lost.
    let flushed = if c.abs() < TINY { term.abs() } else { 0.0 };
    product.step(value, 1.0 + U, (adding + flushed) * (1.0 + U) + U * value.abs()).in_f32()
}

impl super::Twin for Matmul {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let layouts: Vec<Layout> = inputs.iter().map(HostTensor::layout).collect();
        let shape = self.infer(&layouts)?.swap_remove(0).shape;
        let (a, b, c) = (&inputs[0], &inputs[1], inputs.get(2).filter(|_| self.beta != 0.0));
        let g = Geometry::of(self, &a.shape, &b.shape, &shape);
        Ok(vec![Expected::compute(&shape, DType::F32, select, |flat| {
            let (entry, i, j) = (flat / g.n / g.m, flat / g.n % g.m, flat % g.n);
            let mut products = Products::default();
            for k in 0..g.k {
                products.add(a.at(g.a(entry, i, k)), b.at(g.b(entry, k, j)));
            }
            let addend = c.map(|c| (f64::from(self.beta), c.at(broadcast_index(&c.shape, &shape, flat))));
            activate(self.activation, linear(products.sum(), self.alpha.into(), addend))
        })])
    }

    /// C x = alpha A (B x) + beta (addend x) for a vector x of random signs, row by row; only without activation.
    fn project(&self, inputs: &[HostTensor], output: &HostTensor, seed: u64) -> Option<Projection> {
        let (a, b) = (&inputs[0], &inputs[1]);
        if self.activation != crate::Activation::None || inputs.len() > 2 || output.is_empty() {
            return None;
        }
        let g = Geometry::of(self, &a.shape, &b.shape, &output.shape);
        let mut random = Random::new(seed);
        let signs: Vec<f64> = (0..g.n).map(|_| if random.bits() & 1 == 0 { 1.0 } else { -1.0 }).collect();
        let mut worst = Projection { worst_fraction: 0.0, row: 0 };
        for entry in 0..count(&g.batch) {
            // B x, and the sums of magnitudes for the bound.
            let projected: Vec<(f64, f64)> = (0..g.k)
                .map(|k| {
                    (0..g.n).fold((0.0, 0.0), |(sum, magnitude), j| {
                        let value = b.at(g.b(entry, k, j));
                        (sum + signs[j] * value, magnitude + value.abs())
                    })
                })
                .collect();
            for i in 0..g.m {
                let (mut expected, mut magnitude) = (0.0, 0.0);
                for (k, (sum, absolute)) in projected.iter().enumerate() {
                    let value = a.at(g.a(entry, i, k));
                    expected += value * sum;
                    magnitude += (value * absolute).abs();
                }
                let row = entry * g.m + i;
                let found: f64 = (0..g.n).map(|j| signs[j] * output.at(row * g.n + j)).sum();
                let alpha = f64::from(self.alpha);
                let bound = alpha.abs() * (gamma(g.k) + 2.0 * U) * magnitude + (g.n * (g.k + 1)) as f64 * TINY;
                let error = (found - alpha * expected).abs();
                let fraction = if error <= bound { error / bound.max(TINY) } else { f64::INFINITY.min(error / bound) };
                // A NaN in the output has to be the worst of all.
                let fraction = if fraction.is_nan() { f64::INFINITY } else { fraction };
                if fraction > worst.worst_fraction {
                    worst = Projection { worst_fraction: fraction, row };
                }
            }
        }
        Some(worst)
    }
}
