//! The twin of [`Matmul`].

use crate::error::Result;
use crate::layout::{DType, Layout, count};
use crate::op::Op;
use crate::op::matmul::Matmul;
use crate::op::precision::Precision;
use crate::reference::{
    Expected, HostTensor, OVERFLOW, Products, Projection, Random, Select, TINY, U, Value, activate, broadcast_index,
    gamma, layouts, tiny,
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

/// An element of the addend, its factor, and the type in which it is stored.
pub(super) struct Term {
    pub beta: f64,
    pub value: f64,
    pub dtype: DType,
}

/// `alpha * sum + beta * addend` with its roundings.
pub(super) fn linear(sum: Value, alpha: f64, addend: Option<Term>) -> Value {
    let scaled = alpha * sum.value;
    let scaling = if alpha == 1.0 { 0.0 } else { U * scaled.abs() + TINY };
    let product = sum.step(scaled, alpha.abs(), scaling);
    let Some(Term { beta, value: c, dtype }) = addend else { return product.in_f32() };
    let term = beta * c;
    let adding = if beta == 1.0 { 0.0 } else { U * term.abs() + TINY };
    let value = product.value + term;
    // A part that passes the largest f32 is infinite, unless it is fused with the addition.
    let overflows = |part: f64, off: f64| part.is_finite() && part.abs() + off >= OVERFLOW;
    if (overflows(product.value, product.bound) || overflows(term, adding)) && !overflows(value, 0.0) {
        return Value::undecided(value);
    }
    // The sum is rounded after its operands were: (1 + u) times their errors, plus its own. A flushed addend is lost.
    let flushed = if c.abs() < tiny(dtype) { term.abs() } else { 0.0 };
    product.step(value, 1.0 + U, (adding + flushed) * (1.0 + U) + U * value.abs()).in_f32()
}

/// One value of a projection: the signed sum of `n` elements, each of them `linear` of a sum of `k` products.
pub(super) struct Projected {
    pub n: usize,
    pub k: usize,
    /// The signed sum of the products' sums.
    pub sum: f64,
    /// Their magnitudes, added up.
    pub magnitude: f64,
    pub alpha: f64,
    /// Of what is added, in order: its factor, the signed sum of factor times values, and the sum of their magnitudes.
    pub addends: [Option<(f64, f64, f64)>; 2],
}

impl Projected {
    /// The error of what was found as a fraction of its bound: the sum of the bounds that `linear` derives for the elements,
    /// |value| being at most its magnitude, and what this f64 arithmetic loses. Where a sum may leave f32 on the way, nothing
    /// can be said.
    pub fn fraction(&self, found: f64) -> f64 {
        let (n, k, alpha) = (self.n as f64, self.k as f64, self.alpha.abs());
        let scaled = alpha * self.magnitude;
        let sums = alpha * ((gamma(self.k) + U) * self.magnitude + n * k * TINY);
        let scaling = if self.alpha == 1.0 { 0.0 } else { U * scaled + n * TINY };
        let (mut expected, mut all, mut rounding) = (self.alpha * self.sum, scaled, sums + scaling);
        for (beta, addend, magnitude) in self.addends.into_iter().flatten() {
            let adding = if beta == 1.0 { 0.0 } else { U * magnitude + n * TINY };
            all += magnitude;
            (expected, rounding) = (expected + addend, (1.0 + U) * (rounding + adding) + U * all);
        }
        if !all.is_finite() || all.max(self.magnitude) > f64::from(f32::MAX) {
            return 0.0;
        }
        let error = (found - expected).abs();
        let bound = rounding + (n + k + 2.0) * f64::EPSILON * all;
        // A NaN in the output has to be the worst of all.
        if error == 0.0 {
            0.0
        } else if error.is_nan() {
            f64::INFINITY
        } else {
            error / bound
        }
    }
}

/// A random sign for each of `n` elements.
pub(super) fn signs(n: usize, seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed);
    (0..n).map(|_| if random.bits() & 1 == 0 { 1.0 } else { -1.0 }).collect()
}

impl super::Twin for Matmul {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let Layout { shape, dtype, .. } = self.infer(&layouts(inputs))?.swap_remove(0);
        let (a, b, c) = (&inputs[0], &inputs[1], inputs.get(2).filter(|_| self.beta != 0.0));
        let g = Geometry::of(self, &a.shape, &b.shape, &shape);
        Ok(vec![Expected::compute(&shape, dtype, select, |flat| {
            let (entry, i, j) = (flat / g.n / g.m, flat / g.n % g.m, flat % g.n);
            let mut products = Products::of(self.precision, [a, b]);
            for k in 0..g.k {
                products.add(a.at(g.a(entry, i, k)), b.at(g.b(entry, k, j)));
            }
            let addend = c.map(|c| Term {
                beta: self.beta.into(),
                value: c.at(broadcast_index(&c.shape, &shape, flat)),
                dtype: c.dtype(),
            });
            let residual = inputs.get(3).map(|x| Term { beta: 1.0, value: x.at(flat), dtype: x.dtype() });
            let value = linear(linear(products.sum(), self.alpha.into(), addend), 1.0, residual);
            activate(self.activation, value).stored(dtype)
        })])
    }

    /// C x = alpha A (B x) + beta (addend x) for a vector x of random signs, row by row; only without activation and in f32.
    fn project(&self, inputs: &[HostTensor], output: &HostTensor, seed: u64) -> Option<Projection> {
        let (a, b, c) = (&inputs[0], &inputs[1], inputs.get(2).filter(|_| self.beta != 0.0));
        let in_f32 =
            self.precision != Precision::F16Multiply && inputs.iter().chain([output]).all(|x| x.dtype() == DType::F32);
        if self.activation != crate::Activation::None || output.is_empty() || !in_f32 {
            return None;
        }
        let g = Geometry::of(self, &a.shape, &b.shape, &output.shape);
        let (signs, beta) = (signs(g.n, seed), f64::from(self.beta));
        let roundings = a.roundings()? + b.roundings()?;
        let mut worst = Projection::default();
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
                let row = entry * g.m + i;
                let (mut sum, mut magnitude) = (0.0, 0.0);
                for (k, (signed, absolute)) in projected.iter().enumerate() {
                    let value = a.at(g.a(entry, i, k));
                    sum += value * signed;
                    magnitude += (value * absolute).abs();
                }
                let addends = [c.zip(Some(beta)), inputs.get(3).zip(Some(1.0))].map(|addend| {
                    addend.map(|(addend, beta)| {
                        (0..g.n).fold((beta, 0.0, 0.0), |(beta, sum, magnitude), j| {
                            let value = beta * addend.at(broadcast_index(&addend.shape, &output.shape, row * g.n + j));
                            (beta, sum + signs[j] * value, magnitude + value.abs())
                        })
                    })
                });
                let k = g.k + roundings;
                let value = Projected { n: g.n, k, sum, magnitude, alpha: self.alpha.into(), addends };
                worst.take(row, value.fraction((0..g.n).map(|j| signs[j] * output.at(row * g.n + j)).sum()));
            }
        }
        Some(worst)
    }
}
