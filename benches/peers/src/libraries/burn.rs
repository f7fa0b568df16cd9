//! burn through wgpu, with autotuning as it ships.

use burn::tensor::activation::{relu, softmax};
use burn::tensor::module::{conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::quantization::{QuantScheme, QuantValue};
use burn::tensor::{Device, DeviceKind, Tensor, TensorData};
use tilewise::{Class, Gpu};

use super::{Failure, Library, Prepared};
use crate::cases::{Case, Kind};

pub struct Burn(Device);

impl Burn {
    /// On the adapter that tilewise uses, as far as burn lets choose: a driver on the CPU only if tilewise runs on one.
    pub fn beside(gpu: &Gpu) -> Self {
        let cpu = gpu.profile().class == Class::Cpu;
        Burn(Device::wgpu(if cpu { DeviceKind::Cpu } else { DeviceKind::DefaultDevice }))
    }

    fn tensor<const D: usize>(&self, case: &Case, inputs: &[Vec<f32>], index: usize) -> Tensor<D> {
        Tensor::from_data(TensorData::new(inputs[index].clone(), case.shapes[index].clone()), &self.0)
    }

    fn run<const D: usize>(&self, op: impl Fn() -> Tensor<D> + 'static) -> Box<dyn Prepared> {
        Box::new(Run { device: self.0.clone(), op })
    }
}

impl Library for Burn {
    fn name(&self) -> &'static str {
        "burn 0.23.0-pre.1"
    }

    fn prepare(&self, case: &Case, inputs: &[Vec<f32>]) -> Result<Option<Box<dyn Prepared>>, Failure> {
        Ok(Some(match case.kind {
            Kind::Matmul => {
                let (a, b) = (self.tensor::<2>(case, inputs, 0), self.tensor::<2>(case, inputs, 1));
                self.run(move || a.clone().matmul(b.clone()))
            }
            Kind::Int8Weights => {
                let scheme = QuantScheme::default().with_value(QuantValue::Q8S);
                let a = self.tensor::<2>(case, inputs, 0);
                let b = self.tensor::<2>(case, inputs, 1).quantize_dynamic(&scheme);
                self.run(move || a.clone().matmul(b.clone()))
            }
            Kind::Conv { groups } => {
                let (x, weight) = (self.tensor::<4>(case, inputs, 0), self.tensor::<4>(case, inputs, 1));
                self.run(move || {
                    let options = ConvOptions::new([1; 2], [1; 2], [1; 2], groups);
                    conv2d(x.clone(), weight.clone(), None, options)
                })
            }
            Kind::MaxPool => {
                let x = self.tensor::<4>(case, inputs, 0);
                self.run(move || max_pool2d(x.clone(), MaxPoolOptions::new([2; 2]).with_stride([2; 2])))
            }
            Kind::Relu => {
                let x = self.tensor::<1>(case, inputs, 0);
                self.run(move || relu(x.clone()))
            }
            Kind::Softmax => {
                let x = self.tensor::<2>(case, inputs, 0);
                self.run(move || softmax(x.clone(), 1))
            }
        }))
    }
}

struct Run<F> {
    device: Device,
    op: F,
}

impl<const D: usize, F: Fn() -> Tensor<D>> Prepared for Run<F> {
    fn run(&mut self, count: usize) -> Result<(), Failure> {
        for _ in 0..count {
            (self.op)();
        }
        self.device.sync().map_err(|error| format!("{error:?}").into())
    }

    fn result(&mut self) -> Result<Vec<f32>, Failure> {
        let data = (self.op)().try_into_data().map_err(|error| format!("{error:?}"))?;
        data.try_into_vec().map_err(|error| format!("{error:?}").into())
    }
}
