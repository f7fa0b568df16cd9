//! The network: its layers, the programs that run them, and their check against the CPU twins.

use std::path::Path;

use tilewise::reference::{HostTensor, Select, Twin};
use tilewise::{
    Activation, Conv2d, DType, Error, Gpu, Matmul, MaxPool2d, Operand, Program, QuantScheme, QuantizedConv2d,
    QuantizedMatmul, QuantizedTensor, verify,
};

use crate::files::{FileError, read_tensors};

/// Side of an image.
pub const SIDE: usize = 28;
/// Pixels of an image.
pub const PIXELS: usize = SIDE * SIDE;
/// Number of classes, and of logits per image.
pub const CLASSES: usize = 10;
/// Mean and standard deviation of the training pixels, scaled to [0, 1].
const MEAN: f32 = 0.2860;
const STD: f32 = 0.3530;

/// One op with its weights.
pub struct Layer {
    pub name: &'static str,
    /// Where it has one.
    activation: Activation,
    op: Box<dyn Twin>,
    /// The shape, per image, in which the op takes its input.
    input: Vec<usize>,
    /// What the op takes beside its input.
    weights: Vec<HostTensor>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Conv,
    Pool,
    Linear,
}

/// The layers in order, with the weights of a safetensors file.
pub fn load(path: &Path) -> Result<Vec<Layer>, FileError> {
    let mut weights = read_tensors(
        path,
        &[
            ("conv1.weight", &[32, 1, 3, 3]),
            ("conv1.bias", &[32]),
            ("conv2.weight", &[64, 32, 3, 3]),
            ("conv2.bias", &[64]),
            ("fc1.weight", &[128, 64 * 5 * 5]),
            ("fc1.bias", &[128]),
            ("fc2.weight", &[CLASSES, 128]),
            ("fc2.bias", &[CLASSES]),
        ],
    )?
    .into_iter();
    let mut layer = |name, kind, activation, input: &[usize]| {
        let op: Box<dyn Twin> = match kind {
            Kind::Conv => Box::new(Conv2d { activation, ..Default::default() }),
            Kind::Pool => Box::new(MaxPool2d { kernel: [2, 2], ..Default::default() }),
            // PyTorch keeps a linear layer's weight as (out, in): y = x w^T + b.
            Kind::Linear => Box::new(Matmul { transpose_b: true, activation, ..Default::default() }),
        };
        let tensors = if kind == Kind::Pool { 0 } else { 2 };
        Layer { name, activation, op, input: input.to_vec(), weights: weights.by_ref().take(tensors).collect() }
    };
    let (relu, none) = (Activation::Relu, Activation::None);
    Ok(vec![
        layer("conv1 + relu", Kind::Conv, relu, &[1, SIDE, SIDE]),
        layer("pool1", Kind::Pool, none, &[32, 26, 26]),
        layer("conv2 + relu", Kind::Conv, relu, &[32, 13, 13]),
        layer("pool2", Kind::Pool, none, &[64, 11, 11]),
        layer("fc1 + relu", Kind::Linear, relu, &[64 * 5 * 5]),
        layer("fc2", Kind::Linear, none, &[128]),
    ])
}

impl Layer {
    /// The layer with its weights quantized: int8, with a scale for each output channel. What has no weights stays as it is.
    pub fn quantized(self, gpu: &Gpu) -> Result<Self, Error> {
        let [weight, bias] = &self.weights[..] else { return Ok(self) };
        let quantized = QuantizedTensor::quantize(gpu, &gpu.upload(weight)?, QuantScheme::default())?;
        let layout = quantized.layout().clone();
        let activation = self.activation;
        let op: Box<dyn Twin> = if weight.shape.len() == 4 {
            Box::new(QuantizedConv2d { weight: layout, options: Conv2d { activation, ..Default::default() } })
        } else {
            let options = Matmul { activation, ..Default::default() };
            Box::new(QuantizedMatmul { weight: layout, linear: true, options })
        };
        let mut weights =
            quantized.planes().iter().map(|plane| gpu.download_any(plane.any())).collect::<Result<Vec<_>, _>>()?;
        weights.push(bias.clone());
        Ok(Layer { op, weights, ..self })
    }
}

/// Pixels as the network takes them.
pub fn normalise(pixels: &[u8]) -> Vec<f32> {
    pixels.iter().map(|&pixel| (f32::from(pixel) / 255.0 - MEAN) / STD).collect()
}

fn with_batch(batch: usize, shape: &[usize]) -> Vec<usize> {
    [&[batch], shape].concat()
}

/// Plans and compiles the network for a batch. The results are the logits, or with `every_layer` the output of each layer.
pub fn compile(gpu: &Gpu, layers: &[Layer], batch: usize, every_layer: bool) -> Result<Program, Error> {
    let mut build = Program::builder(gpu);
    let mut value = build.input(&with_batch(batch, &layers[0].input), DType::F32);
    for (number, layer) in layers.iter().enumerate() {
        let mut inputs = vec![build.reshape(value, &with_batch(batch, &layer.input))?];
        for weight in &layer.weights {
            inputs.push(build.constant(&gpu.upload(weight)?));
        }
        value = build.op(&*layer.op, &inputs)?;
        if every_layer || number + 1 == layers.len() {
            build.output(value)?;
        }
    }
    build.compile()
}

/// What the check of one image found.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Whether every element of every layer lies within its bound.
    pub passed: bool,
    /// The number of the layer that came closest to its bound, and how close: 1 is the bound.
    pub worst: (usize, f64),
}

/// Checks every layer of one image: the GPU's output against the twin of the layer applied to the GPU's own input to it,
/// so that the twin's bound holds for this layer alone. `values` are the input of the network and the outputs of the layers.
fn check_image(layers: &[Layer], inputs: &mut [Vec<HostTensor>], values: &[&[f32]]) -> Result<Check, Error> {
    let mut check = Check { passed: true, worst: (0, 0.0) };
    for (number, (layer, inputs)) in layers.iter().zip(inputs).enumerate() {
        inputs[0] = HostTensor::new(&with_batch(1, &layer.input), values[number])?;
        for expected in layer.op.twin(inputs, &Select::All)? {
            let found = HostTensor::new(&expected.shape, values[number + 1])?;
            let report = verify::compare(layer.name, 0, &found, &expected)?;
            if !report.passed() {
                log::error!("{report}");
            }
            check.passed &= report.passed();
            if report.worst.fraction > check.worst.1 {
                check.worst = (number, report.worst.fraction);
            }
        }
    }
    Ok(check)
}

/// Checks images on all CPU cores; the batch may be longer. `values` as for one image, for the whole batch.
pub fn check(layers: &[Layer], values: &[Vec<f32>], batch: usize, images: usize) -> Result<Vec<Check>, Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(images.max(1));
    let share = images.div_ceil(threads);
    let work = |first: usize| -> Result<Vec<Check>, Error> {
        // The image takes the place of the first input; the weights are copied once a thread.
        let mut inputs = layers
            .iter()
            .map(|layer| Ok([vec![HostTensor::new::<f32>(&[0], &[])?], layer.weights.clone()].concat()))
            .collect::<Result<Vec<_>, Error>>()?;
        (first..(first + share).min(images))
            .map(|image| {
                let of_image = |value: &Vec<f32>| {
                    let size = value.len() / batch;
                    image * size..(image + 1) * size
                };
                let values: Vec<&[f32]> = values.iter().map(|value| &value[of_image(value)]).collect();
                check_image(layers, &mut inputs, &values)
            })
            .collect()
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..images).step_by(share.max(1)).map(|first| scope.spawn(move || work(first))).collect();
        let mut checks = Vec::with_capacity(images);
        for worker in workers {
            checks.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(checks)
    })
}
