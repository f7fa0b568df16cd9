//! Shorthands: an op, recorded with an output of its own.

use crate::error::Result;
use crate::gpu::Gpu;
use crate::layout::Element;
use crate::tensor::{Operand, Tensor};
use crate::{
    Activation, AvgPool2d, Binary, BinaryKind, Concat, Conv2d, ConvTranspose2d, LogSoftmax, Matmul, MaxPool2d, Op,
    Permute, Reduce, ReduceKind, Softmax, Unary,
};

/// Shorthands for ops; [`apply`](Gpu::apply) runs any op, with all its options.
impl Gpu {
    /// The matrix product `a b`; see [`Matmul`].
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if inner or batch dimensions differ, [`Error::Rank`](crate::Error::Rank) for a scalar,
    /// and those of [`apply_all`](Gpu::apply_all).
    pub fn matmul(&self, a: &Tensor<f32>, b: &Tensor<f32>) -> Result<Tensor<f32>> {
        self.apply(&Matmul::default(), &[a, b])
    }

    /// The convolution of `x` with `weight`; see [`Conv2d`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn conv2d(
        &self,
        options: &Conv2d,
        x: &Tensor<f32>,
        weight: &Tensor<f32>,
        bias: Option<&Tensor<f32>>,
    ) -> Result<Tensor<f32>> {
        self.weighted(options, x, weight, bias)
    }

    /// The transposed convolution of `x` with `weight`; see [`ConvTranspose2d`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn conv_transpose2d(
        &self,
        options: &ConvTranspose2d,
        x: &Tensor<f32>,
        weight: &Tensor<f32>,
        bias: Option<&Tensor<f32>>,
    ) -> Result<Tensor<f32>> {
        self.weighted(options, x, weight, bias)
    }

    /// The largest value of each window; see [`MaxPool2d`], and [`apply_all`](Gpu::apply_all) for the indices too.
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn max_pool2d<T: Element>(&self, options: &MaxPool2d, x: &Tensor<T>) -> Result<Tensor<T>> {
        self.apply(options, &[x])
    }

    /// The mean of each window; see [`AvgPool2d`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn avg_pool2d(&self, options: &AvgPool2d, x: &Tensor<f32>) -> Result<Tensor<f32>> {
        self.apply(options, &[x])
    }

    /// The softmax along a dimension; see [`Softmax`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn softmax(&self, x: &Tensor<f32>, dim: usize) -> Result<Tensor<f32>> {
        self.apply(&Softmax { dim }, &[x])
    }

    /// The logarithm of the softmax along a dimension; see [`LogSoftmax`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn log_softmax(&self, x: &Tensor<f32>, dim: usize) -> Result<Tensor<f32>> {
        self.apply(&LogSoftmax { dim }, &[x])
    }

    /// The sum over dimensions, over all if none is given; see [`Reduce`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn sum<T: Element>(&self, x: &Tensor<T>, dims: &[usize]) -> Result<Tensor<T>> {
        self.apply(&Reduce { kind: ReduceKind::Sum, dims: dims.to_vec(), ..Default::default() }, &[x])
    }

    /// The mean over dimensions, over all if none is given; see [`Reduce`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn mean(&self, x: &Tensor<f32>, dims: &[usize]) -> Result<Tensor<f32>> {
        self.apply(&Reduce { kind: ReduceKind::Mean, dims: dims.to_vec(), ..Default::default() }, &[x])
    }

    /// The index of the largest value along a dimension; see [`Reduce`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn argmax<T: Element>(&self, x: &Tensor<T>, dim: usize) -> Result<Tensor<u32>> {
        self.apply(&Reduce { kind: ReduceKind::ArgMax, dims: vec![dim], ..Default::default() }, &[x])
    }

    /// An activation of each element; see [`Activation`], and [`Unary`] for other functions.
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn activation(&self, activation: Activation, x: &Tensor<f32>) -> Result<Tensor<f32>> {
        self.apply(&Unary::from(activation), &[x])
    }

    /// `x + y`, element by element with broadcasting; see [`Binary`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn add<T: Element>(&self, x: &Tensor<T>, y: &Tensor<T>) -> Result<Tensor<T>> {
        self.apply(&Binary { kind: BinaryKind::Add }, &[x, y])
    }

    /// `x - y`, element by element with broadcasting; see [`Binary`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn sub<T: Element>(&self, x: &Tensor<T>, y: &Tensor<T>) -> Result<Tensor<T>> {
        self.apply(&Binary { kind: BinaryKind::Sub }, &[x, y])
    }

    /// `x * y`, element by element with broadcasting; see [`Binary`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn mul<T: Element>(&self, x: &Tensor<T>, y: &Tensor<T>) -> Result<Tensor<T>> {
        self.apply(&Binary { kind: BinaryKind::Mul }, &[x, y])
    }

    /// `x / y`, element by element with broadcasting; see [`Binary`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn div<T: Element>(&self, x: &Tensor<T>, y: &Tensor<T>) -> Result<Tensor<T>> {
        self.apply(&Binary { kind: BinaryKind::Div }, &[x, y])
    }

    /// The dimensions in another order, copied; see [`Permute`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn permute<T: Element>(&self, x: &Tensor<T>, dims: &[usize]) -> Result<Tensor<T>> {
        self.apply(&Permute { dims: dims.to_vec() }, &[x])
    }

    /// Tensors one after the other along a dimension; see [`Concat`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn concat<T: Element>(&self, inputs: &[&Tensor<T>], dim: usize) -> Result<Tensor<T>> {
        let inputs: Vec<&dyn Operand> = inputs.iter().map(|&input| input as &dyn Operand).collect();
        self.apply(&Concat { dim }, &inputs)
    }

    /// An op whose bias may be left out.
    fn weighted(
        &self,
        op: &dyn Op,
        x: &Tensor<f32>,
        weight: &Tensor<f32>,
        bias: Option<&Tensor<f32>>,
    ) -> Result<Tensor<f32>> {
        match bias {
            Some(bias) => self.apply(op, &[x, weight, bias]),
            None => self.apply(op, &[x, weight]),
        }
    }
}
