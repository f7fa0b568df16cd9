//! The twin of [`Conv2d`].

use crate::error::Result;
use crate::layout::{DType, Layout};
use crate::op::Op;
use crate::op::conv2d::Conv2d;
use crate::reference::matmul::linear;
use crate::reference::{Expected, HostTensor, Products, Select, activate};

impl super::Twin for Conv2d {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let layouts: Vec<Layout> = inputs.iter().map(HostTensor::layout).collect();
        let shape = self.infer(&layouts)?.swap_remove(0).shape;
        let (x, weight, bias) = (&inputs[0], &inputs[1], inputs.get(2));
        let (channels, height, width) = (x.shape[1], x.shape[2], x.shape[3]);
        let (per_group, kernel_h, kernel_w) = (weight.shape[1], weight.shape[2], weight.shape[3]);
        let (out_channels, out_h, out_w) = (shape[1], shape[2], shape[3]);
        Ok(vec![Expected::compute(&shape, DType::F32, select, |flat| {
            let (q, p) = (flat % out_w, flat / out_w % out_h);
            let (o, n) = (flat / out_w / out_h % out_channels, flat / out_w / out_h / out_channels);
            let group = o / (out_channels / self.groups);
            let mut products = Products::default();
            for c in 0..per_group {
                for r in 0..kernel_h {
                    for s in 0..kernel_w {
                        let row = (p * self.stride[0] + r * self.dilation[0]).checked_sub(self.padding.top);
                        let column = (q * self.stride[1] + s * self.dilation[1]).checked_sub(self.padding.left);
                        let value = match (row, column) {
                            (Some(row), Some(column)) if row < height && column < width => {
                                x.at(((n * channels + group * per_group + c) * height + row) * width + column)
                            }
                            _ => 0.0,
                        };
                        products.add(value, weight.at(((o * per_group + c) * kernel_h + r) * kernel_w + s));
                    }
                }
            }
            let addend = bias.map(|bias| (1.0, bias.at(o)));
            activate(self.activation, linear(products.sum(), 1.0, addend))
        })])
    }
}
