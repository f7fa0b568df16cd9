//! The network in whole numbers: int8 from layer to layer, in words of four channels.

use std::error::Error;

use tilewise::{
    Activation, Calibrated, Calibration, Calibrator, DType, Gpu, Granularity, IntegerConv2d, IntegerMatmul,
    IntegerOutput, IntegerPool2d, IntegerPooling, Layout, MaxPool2d, Op, Operand, Permute, QuantScheme, QuantizeLinear,
    QuantizedTensor, Result, Tensor,
};

use crate::files::read_idx;
use crate::images::{BATCH, data};
use crate::network::{self, LAST_PIXELS, Network, PIXELS};

/// What a layer takes beside its input.
struct Layer {
    weight: QuantizedTensor,
    /// The zero point of the input.
    zero: Tensor<i8>,
    /// The scale of the input, over that of the output where that is quantized.
    scale: Tensor<f32>,
    /// In steps of both scales where the output is quantized, else as it was.
    bias: Box<dyn Operand>,
    activation: Activation,
    output: IntegerOutput,
}

pub struct Integers {
    layers: Vec<Layer>,
    /// The scale of the images.
    scale: Tensor<f32>,
}

impl Layer {
    /// The op of a layer that is a convolution, or not, and its inputs.
    fn op<'a>(&'a self, is_conv: bool, x: &'a dyn Operand) -> (Box<dyn Op>, Vec<&'a dyn Operand>) {
        let (weight, zeros, scales) = (Some(self.weight.layout().clone()), [true, false], [true; 2]);
        let (bias, activation, output) = (true, self.activation, self.output);
        let op: Box<dyn Op> = if is_conv {
            Box::new(IntegerConv2d { weight, zeros, scales, bias, activation, output, ..Default::default() })
        } else {
            Box::new(IntegerMatmul { weight, zeros, scales, bias, activation, output, ..Default::default() })
        };
        let [values, own] = [&self.weight.planes()[0], &self.weight.planes()[1]];
        (op, vec![x, values, &self.zero, &self.scale, own, &*self.bias])
    }
}

impl Integers {
    /// The network with scales of its activations as they are for 500 training images.
    pub fn calibrate(gpu: &Gpu, whole: &Network) -> std::result::Result<Self, Box<dyn Error>> {
        let images = read_idx(&data().join("train-images-idx3-ubyte"), 3)?;
        // int8, with one scale and one zero point.
        let scheme = QuantScheme { granularity: Granularity::Tensor, symmetric: false, ..QuantScheme::default() };
        let calibrator = || Calibrator::new(scheme, Calibration::Mse);
        let mut calibrators = (0..whole.layers.len()).map(|_| calibrator()).collect::<Result<Vec<_>>>()?;
        // The emulator takes its time.
        let pixels = if gpu.is_emulated() { &images.data[..BATCH / 5 * PIXELS] } else { &images.data[..] };
        for batch in pixels.chunks(BATCH * PIXELS) {
            whole.logits(gpu, batch, |layer, x| calibrators[layer].feed(gpu, x))?;
        }
        let found = calibrators.iter().map(|calibrator| calibrator.finish(gpu)).collect::<Result<Vec<_>>>()?;
        let layers = whole.layers.iter().enumerate().map(|(number, layer)| {
            let weights = if number == 2 { in_words(gpu, &layer.dense)? } else { layer.dense.clone() };
            Layer::new(gpu, &weights, &layer.bias, &found[number], found.get(number + 1))
        });
        let scale = gpu.tensor(&[1], &found[0].scales)?;
        Ok(Integers { layers: layers.collect::<Result<_>>()?, scale })
    }

    /// Bytes of weights, scales and biases.
    pub fn bytes(&self) -> u64 {
        let beside = |layer: &Layer| layer.bias.any().layout().bytes() + layer.scale.layout().bytes() + 1;
        self.layers.iter().map(|layer| layer.weight.bytes() + beside(layer)).sum()
    }

    /// The class of each image.
    pub fn classify(&self, gpu: &Gpu, pixels: &[u8]) -> Result<Vec<u32>> {
        let images = network::images(gpu, pixels)?;
        let (count, first) = (images.shape()[0], &self.layers[0]);
        let quantize = QuantizeLinear { axis: 0, block: None, output: DType::I8 };
        let mut x = gpu.apply_all(&quantize, &[&images, &self.scale, &first.zero])?.swap_remove(0);
        for (number, layer) in self.layers.iter().enumerate() {
            if number == 2 {
                x = x.reshape(&[count, x.len() / count])?;
            }
            let (op, inputs) = layer.op(number < 2, &x);
            let y = gpu.apply_all(&*op, &inputs)?.swap_remove(0);
            x = match layer.output {
                IntegerOutput::Words { zero } if number < 2 => {
                    let pool = IntegerPool2d { pooling: IntegerPooling::Max(MaxPool2d::default()), zero };
                    gpu.apply_all(&pool, &[&y])?.swap_remove(0)
                }
                _ => y,
            };
        }
        gpu.download(&gpu.argmax(&x.typed::<f32>()?, 1)?)
    }

    /// The kernel that the largest layer takes for so many images.
    pub fn path(&self, gpu: &Gpu, images: usize) -> Result<String> {
        let x = gpu.empty::<u32>(&[images, self.layers[2].weight.layout().shape[1] / 4])?;
        let (op, inputs) = self.layers[2].op(false, &x);
        let layouts: Vec<Layout> = inputs.iter().map(|input| input.any().layout()).collect();
        Ok(gpu.plan(&*op, &layouts)?.variant.clone())
    }
}

impl Layer {
    /// A layer whose input, and, unless it is the last, output were calibrated.
    fn new(
        gpu: &Gpu,
        weights: &Tensor<f32>,
        bias: &Tensor<f32>,
        input: &Calibrated,
        output: Option<&Calibrated>,
    ) -> Result<Self> {
        let weight = QuantizedTensor::quantize(gpu, weights, QuantScheme::default())?;
        let (scale, zero) = (input.scales[0], gpu.tensor(&[1], &[input.zeros[0] as i8])?);
        let Some(next) = output else {
            let scale = gpu.tensor(&[1], &[scale])?;
            let output = IntegerOutput::Floats(DType::F32);
            return Ok(Layer {
                weight,
                zero,
                scale,
                bias: Box::new(bias.clone()),
                activation: Activation::None,
                output,
            });
        };
        let own = gpu.download(&weight.planes()[1].clone().typed::<f32>()?)?;
        let steps = gpu.download(bias)?.into_iter().zip(own).map(|(bias, own)| (bias / (scale * own)).round() as i32);
        let bias = gpu.tensor(bias.shape(), &steps.collect::<Vec<i32>>())?;
        let scale = gpu.tensor(&[1], &[scale / next.scales[0]])?;
        let output = IntegerOutput::Words { zero: next.zeros[0] };
        Ok(Layer { weight, zero, scale, bias: Box::new(bias), activation: Activation::Relu, output })
    }
}

/// The weights of the first linear layer, which reads channels four by four: `(out, channel, pixel)` as `(out, channel / 4, pixel, channel % 4)`.
fn in_words(gpu: &Gpu, weights: &Tensor<f32>) -> Result<Tensor<f32>> {
    let [rows, columns] = [weights.shape()[0], weights.shape()[1]];
    let fours = weights.reshape(&[rows, columns / LAST_PIXELS / 4, 4, LAST_PIXELS])?;
    let turned: Tensor<f32> = gpu.apply(&Permute { dims: vec![0, 1, 3, 2] }, &[&fours])?;
    turned.reshape(&[rows, columns])
}
