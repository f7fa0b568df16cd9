//! Matrix product.

use crate::error::{Error, Result};
use crate::family::contraction::{Addend, Addressing, Contraction, Operand, Residual, Target};
use crate::layout::{DType, Layout};
use crate::op::activation::Activation;
use crate::op::conv2d::check_residual;
use crate::op::precision::{self, FLOATS, Precision};
use crate::op::{Op, broadcast, broadcast_strides, expect_dtype, expect_inputs, merge_dims, strides};
use crate::problem::Problem;
use crate::reference::Twin;

/// `activation(alpha * A B + beta * C + R)`: the matrix product of BLAS (GEMM) with the batches of `torch.matmul`.
///
/// Inputs, f32 or f16 each: `a` of shape `(..., m, k)`, `b` of shape `(..., k, n)`, perhaps `c`, which broadcasts to the output:
/// a bias of shape `(n)`, a column `(m, 1)`, a whole matrix, and after it perhaps a `residual` of the output's shape. Output: `(..., m, n)`. The leading (batch) dimensions of `a`
/// and `b` broadcast. A vector `a` of shape `(k)` counts as `(1, k)`, a vector `b` as `(k, 1)`, and the added dimension
/// is left out of the output again. Every size may be 0; with `k = 0` the product is 0. Sums are f32, whatever the types; the
/// output is f16 where `a` and `b` are, else f32, unless `output` says otherwise. A device without `SHADER_F16` refuses f16.
///
/// NaN and infinity go by IEEE through products and sums; whether a sum of huge terms of both signs overflows depends on the
/// order in which it is formed, which is not specified. With `alpha = 0` they still make NaN; with `beta = 0` those of `c` are not met. For the
/// activation see [`Activation`]. WGSL lets a device ignore all that: [`verify::specials`](crate::verify::specials) tells
/// what it does.
///
/// ```no_run
/// use tilewise::{Activation, Gpu, Matmul};
/// let gpu = Gpu::new()?;
/// let x = gpu.tensor(&[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// let weight = gpu.tensor(&[4, 3], &[0.5f32; 12])?; // stored (out, in), as PyTorch does
/// let bias = gpu.tensor(&[4], &[0.0f32, 1.0, 2.0, 3.0])?;
/// let linear = Matmul { transpose_b: true, activation: Activation::Relu, ..Default::default() };
/// let y: tilewise::Tensor<f32> = gpu.apply(&linear, &[&x, &weight, &bias])?;
/// assert_eq!(y.shape(), [2, 4]);
/// # Ok::<(), tilewise::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Matmul {
    /// `a` is stored `(..., k, m)`.
    pub transpose_a: bool,
    /// `b` is stored `(..., n, k)`.
    pub transpose_b: bool,
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of `c`. With 0, `c` is not read, as in BLAS.
    pub beta: f32,
    /// Applied last.
    pub activation: Activation,
    /// Whether factors may be rounded, for speed.
    pub precision: Precision,
    /// The type of the output, f32 or f16.
    pub output: Option<DType>,
}

impl Default for Matmul {
    /// No transposition, factors 1, no activation, f32 precision.
    fn default() -> Self {
        Matmul {
            transpose_a: false,
            transpose_b: false,
            alpha: 1.0,
            beta: 1.0,
            activation: Activation::None,
            precision: Precision::F32,
            output: None,
        }
    }
}

const OP: &str = "matmul";

/// The sizes that a matrix product runs over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sizes {
    pub batch: Vec<usize>,
    pub m: usize,
    pub n: usize,
    pub k: usize,
}

impl Matmul {
    /// Checks the shapes against each other and reads the sizes off.
    pub(crate) fn sizes(&self, a: &[usize], b: &[usize]) -> Result<Sizes> {
        for (operand, shape) in [("a", a), ("b", b)] {
            if shape.is_empty() {
                return Err(Error::Rank { op: OP, operand, expected: "at least 1", found: 0 });
            }
        }
        let (batch_a, m, k) = matrix(a, self.transpose_a, true);
        let (batch_b, k_of_b, n) = matrix(b, self.transpose_b, false);
        let mismatch = |what: &str| Error::Shape {
            op: OP,
            detail: format!(
                "{what} of a {a:?}{} and b {b:?}{} differ",
                if self.transpose_a { " (transposed)" } else { "" },
                if self.transpose_b { " (transposed)" } else { "" }
            ),
        };
        if k != k_of_b {
            return Err(mismatch("inner dimensions"));
        }
        let batch = broadcast(batch_a, batch_b).ok_or_else(|| mismatch("batch dimensions"))?;
        Ok(Sizes { batch, m, n, k })
    }
}

/// Batch dimensions, rows and columns of an operand, a vector taken as a row (on the left) or a column.
fn matrix(shape: &[usize], transposed: bool, left: bool) -> (&[usize], usize, usize) {
    match shape {
        [k] if left => (&[], 1, *k),
        [k] => (&[], *k, 1),
        [batch @ .., rows, columns] if transposed => (batch, *columns, *rows),
        [batch @ .., rows, columns] => (batch, *rows, *columns),
        [] => (&[], 1, 1),
    }
}

impl Op for Matmul {
    fn name(&self) -> &'static str {
        OP
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        self.activation.expect(OP)?;
        expect_inputs(OP, inputs, 2..=4)?;
        for (name, layout) in ["a", "b", "c", "residual"].iter().zip(inputs) {
            expect_dtype(OP, name, layout, FLOATS)?;
        }
        let (a, b) = (&inputs[0].shape, &inputs[1].shape);
        let Sizes { batch, m, n, .. } = self.sizes(a, b)?;
        let mut shape = batch;
        if a.len() > 1 {
            shape.push(m);
        }
        if b.len() > 1 {
            shape.push(n);
        }
        if let Some(c) = inputs.get(2)
            && broadcast(&c.shape, &shape).as_ref() != Some(&shape)
        {
            return Err(Error::Shape { op: OP, detail: format!("c {:?} does not broadcast to {shape:?}", c.shape) });
        }
        check_residual(OP, inputs.get(3), &shape)?;
        Ok(vec![Layout::new(&shape, precision::output(OP, self.output, inputs)?)])
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        let (a, b) = (&inputs[0].shape, &inputs[1].shape);
        let Sizes { batch, m, n, k } = self.sizes(a, b)?;
        // The full output shape, with the dimensions that vectors leave out.
        let mut full = batch.clone();
        full.extend([m, n]);

        let rank = batch.len();
        // Batch strides count matrices: scaled to elements by the matrix's size.
        let batched = |shape: &[usize], size: usize| -> Vec<usize> {
            let own = &shape[..shape.len().saturating_sub(2)];
            broadcast_strides(own, &batch).into_iter().map(|stride| stride * size).collect()
        };
        let addend_strides = inputs.get(2).filter(|_| self.beta != 0.0).map(|c| {
            // Against the output as it is, then against the full shape: a left-out dimension has size 1, hence stride 0.
            let short = broadcast_strides(&c.shape, &outputs[0].shape);
            let mut long = short[..rank].to_vec();
            let mut rest = short[rank..].iter();
            long.push(if a.len() > 1 { rest.next().copied().unwrap_or(0) } else { 0 });
            long.push(if b.len() > 1 { rest.next().copied().unwrap_or(0) } else { 0 });
            long
        });
        let out = strides(&full);
        let mut operands = vec![batched(a, m * k), batched(b, k * n), out[..rank].to_vec()];
        operands.extend(addend_strides.iter().map(|strides| strides[..rank].to_vec()));
        let (mut batch, mut merged) = merge_dims(&batch, &operands);
        if batch.len() > 3 {
            // Kernels count three batch dimensions, the rest is a dispatch an entry: let the largest be the ones counted.
            let mut order: Vec<usize> = (0..batch.len()).collect();
            order.sort_by_key(|&dim| batch[dim]);
            batch = order.iter().map(|&dim| batch[dim]).collect();
            for strides in &mut merged {
                *strides = order.iter().map(|&dim| strides[dim]).collect();
            }
        }

        let addend = addend_strides.zip(merged.get(3).cloned()).map(|(strides, batch)| Addend {
            input: 2,
            dtype: inputs[2].dtype,
            batch,
            row: strides[rank],
            column: strides[rank + 1],
            beta: self.beta,
        });
        let (outer, inner) = if self.transpose_a && a.len() > 1 { (1, m) } else { (k, 1) };
        let a = Operand {
            input: 0,
            dtype: inputs[0].dtype,
            addressing: Addressing::Dense { batch: std::mem::take(&mut merged[0]), outer, k: inner, taps: 1 },
        };
        let (outer, inner) = if self.transpose_b && b.len() > 1 { (k, 1) } else { (1, n) };
        let b = Operand {
            input: 1,
            dtype: inputs[1].dtype,
            addressing: Addressing::Dense { batch: std::mem::take(&mut merged[1]), outer, k: inner, taps: 1 },
        };
        let out = Target { dtype: outputs[0].dtype, batch: std::mem::take(&mut merged[2]), row: n, columns: None };
        Ok(Problem::Contraction(Box::new(Contraction {
            batch,
            m,
            n,
            k,
            a,
            b,
            out,
            alpha: self.alpha,
            addend,
            residual: inputs.get(3).map(|layout| Residual { input: 3, dtype: layout.dtype }),
            activation: self.activation,
            precision: self.precision,
            whole: None,
        })))
    }
}
