//! The network of `classify`, with weights that may be sparse or quantized.

use std::path::Path;

use tilewise::prune::Channels;
use tilewise::reference::HostData;
use tilewise::{
    Activation, Conv2d, Gpu, Layout, Matmul, MaxPool2d, Op, Operand, Pruned, QuantScheme, QuantizedConv2d,
    QuantizedMatmul, QuantizedTensor, Result, SparseConv2d, SparseMatmul, SparseTensor, Tensor,
};

use crate::files::read_tensors;

/// Side of an image.
pub const SIDE: usize = 28;
/// Pixels of an image.
pub const PIXELS: usize = SIDE * SIDE;
/// Mean and standard deviation of the training pixels, scaled to [0, 1].
const MEAN: f32 = 0.2860;
const STD: f32 = 0.3530;
/// Pixels of a channel as the first linear layer takes them.
pub const LAST_PIXELS: usize = 25;

/// Weights as kernels read them.
#[derive(Clone)]
pub enum Weights {
    /// All of them.
    Dense,
    /// What is left.
    Sparse(SparseTensor),
    /// All of them, in few bits.
    Quantized(QuantizedTensor),
}

/// Two convolutions, then two linear layers.
#[derive(Clone)]
pub struct Layer {
    pub dense: Tensor<f32>,
    pub weights: Weights,
    pub bias: Tensor<f32>,
}

/// Images as the network takes them.
pub fn images(gpu: &Gpu, pixels: &[u8]) -> Result<Tensor<f32>> {
    let values: Vec<f32> = pixels.iter().map(|&pixel| (f32::from(pixel) / 255.0 - MEAN) / STD).collect();
    gpu.tensor(&[pixels.len() / PIXELS, 1, SIDE, SIDE], &values)
}

impl Layer {
    /// What the layer, by its number, computes, and of what.
    fn op<'a>(&'a self, number: usize, x: &'a Tensor<f32>) -> (Box<dyn Op>, Vec<&'a dyn Operand>) {
        let (bias, is_conv) = (Some(&self.bias as &dyn Operand), number < 2);
        match &self.weights {
            Weights::Dense => {
                let linear = Matmul { transpose_b: true, ..linear(number) };
                let op: Box<dyn Op> = if is_conv { Box::new(conv()) } else { Box::new(linear) };
                (op, vec![x, &self.dense, &self.bias])
            }
            Weights::Sparse(sparse) => {
                let weight = sparse.layout().clone();
                let op: Box<dyn Op> = if is_conv {
                    Box::new(SparseConv2d { weight, options: conv() })
                } else {
                    Box::new(SparseMatmul { weight, linear: true, options: linear(number) })
                };
                (op, sparse.inputs(x, bias))
            }
            Weights::Quantized(quantized) => {
                let weight = quantized.layout().clone();
                let op: Box<dyn Op> = if is_conv {
                    Box::new(QuantizedConv2d { weight, options: conv() })
                } else {
                    Box::new(QuantizedMatmul { weight, linear: true, options: linear(number) })
                };
                (op, quantized.inputs(x, bias))
            }
        }
    }
}

#[derive(Clone)]
pub struct Network {
    pub layers: Vec<Layer>,
}

fn conv() -> Conv2d {
    Conv2d { activation: Activation::Relu, ..Default::default() }
}

/// The last layer has no activation.
fn linear(number: usize) -> Matmul {
    Matmul { activation: if number == 2 { Activation::Relu } else { Activation::None }, ..Default::default() }
}

impl Network {
    pub fn load(gpu: &Gpu, path: &Path) -> std::result::Result<Self, Box<dyn std::error::Error>> {
        let tensors = read_tensors(
            path,
            &[
                ("conv1.weight", &[32, 1, 3, 3]),
                ("conv1.bias", &[32]),
                ("conv2.weight", &[64, 32, 3, 3]),
                ("conv2.bias", &[64]),
                ("fc1.weight", &[128, 64 * LAST_PIXELS]),
                ("fc1.bias", &[128]),
                ("fc2.weight", &[10, 128]),
                ("fc2.bias", &[10]),
            ],
        )?;
        let mut uploaded = Vec::new();
        for tensor in &tensors {
            let HostData::F32(elements) = &tensor.data else { return Err("the weights are not f32".into()) };
            uploaded.push(gpu.tensor(&tensor.shape, elements)?);
        }
        let layers = uploaded.chunks(2).map(|pair| {
            let [dense, bias] = [pair[0].clone(), pair[1].clone()];
            Layer { dense, weights: Weights::Dense, bias }
        });
        Ok(Network { layers: layers.collect() })
    }

    /// Weights of all layers.
    pub fn weights(&self) -> usize {
        self.layers.iter().map(|layer| layer.dense.len()).sum()
    }

    /// Bytes of the weights as they are stored for use, without the dense copies that are there for speed, and of the biases.
    pub fn bytes(&self) -> u64 {
        let bytes = |layer: &Layer| {
            let dense = layer.dense.layout().bytes();
            let weights = match &layer.weights {
                Weights::Dense => dense,
                Weights::Sparse(sparse) => sparse.bytes() - if sparse.layout().dense { dense } else { 0 },
                Weights::Quantized(quantized) => quantized.bytes(),
            };
            weights + layer.bias.layout().bytes()
        };
        self.layers.iter().map(bytes).sum()
    }

    /// Keeps the weights of all layers in few bits.
    pub fn quantize(&mut self, gpu: &Gpu, scheme: QuantScheme) -> Result<()> {
        for layer in &mut self.layers {
            layer.weights = Weights::Quantized(QuantizedTensor::quantize(gpu, &layer.dense, scheme)?);
        }
        Ok(())
    }

    /// Takes the filters that are pruned out of the convolutions, and what they feed out of the next layers.
    pub fn shrink(&mut self, gpu: &Gpu, pruned: &[Pruned]) -> Result<()> {
        for (number, filters) in pruned[..2].iter().enumerate() {
            let channels = Channels::of(gpu, filters)?;
            let [own, next] = &mut self.layers[number..number + 2] else { continue };
            own.dense = channels.outputs(gpu, &own.dense)?;
            own.bias = channels.outputs(gpu, &own.bias)?;
            next.dense = channels.inputs(gpu, &next.dense, if number == 1 { LAST_PIXELS } else { 1 })?;
        }
        Ok(())
    }

    /// The class of each image.
    pub fn classify(&self, gpu: &Gpu, pixels: &[u8]) -> Result<Vec<u32>> {
        gpu.download(&gpu.argmax(&self.logits(gpu, pixels, |_, _| Ok(()))?, 1)?)
    }

    /// The logits of each image; shows what each layer takes in.
    pub fn logits(
        &self,
        gpu: &Gpu,
        pixels: &[u8],
        mut see: impl FnMut(usize, &Tensor<f32>) -> Result<()>,
    ) -> Result<Tensor<f32>> {
        let mut x = images(gpu, pixels)?;
        let count = x.shape()[0];
        for (number, layer) in self.layers.iter().enumerate() {
            if number == 2 {
                x = x.reshape(&[count, x.len() / count])?;
            }
            see(number, &x)?;
            let (op, inputs) = layer.op(number, &x);
            let y = gpu.apply(&*op, &inputs)?;
            x = if number < 2 { gpu.max_pool2d(&MaxPool2d::default(), &y)? } else { y };
        }
        Ok(x)
    }

    /// The kernel that the largest layer takes for so many images.
    pub fn path(&self, gpu: &Gpu, images: usize) -> Result<String> {
        let layer = &self.layers[2];
        let x = gpu.empty::<f32>(&[images, layer.dense.shape()[1]])?;
        let (op, inputs) = layer.op(2, &x);
        let layouts: Vec<Layout> = inputs.iter().map(|input| input.any().layout()).collect();
        let plan = gpu.plan(&*op, &layouts)?;
        Ok(plan.variant.clone())
    }
}
