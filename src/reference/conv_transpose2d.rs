//! The twin of [`ConvTranspose2d`].

use crate::error::Result;
use crate::layout::Layout;
use crate::op::Op;
use crate::op::conv_transpose2d::ConvTranspose2d;
use crate::op::precision::Precision;
use crate::reference::conv2d::Channels;
use crate::reference::matmul::{Term, linear};
use crate::reference::{Expected, HostTensor, Products, Projection, Select, activate, layouts};

impl super::Twin for ConvTranspose2d {
    /// By the definition: for every tap the input pixel, if there is one, that it carries to the output pixel.
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let Layout { shape, dtype, .. } = self.infer(&layouts(inputs))?.swap_remove(0);
        let (x, weight, bias) = (&inputs[0], &inputs[1], inputs.get(2));
        let (channels, height, width) = (x.shape[1], x.shape[2], x.shape[3]);
        let (out_per_group, kernel_h, kernel_w) = (weight.shape[1], weight.shape[2], weight.shape[3]);
        let (out_channels, out_h, out_w) = (shape[1], shape[2], shape[3]);
        let per_group = channels / self.groups;
        Ok(vec![Expected::compute(&shape, dtype, select, |flat| {
            let (across, down) = (flat % out_w, flat / out_w % out_h);
            let (o, n) = (flat / out_w / out_h % out_channels, flat / out_w / out_h / out_channels);
            let (group, o_in_group) = (o / out_per_group, o % out_per_group);
            // The row (or column) of x that a tap carries to the output's.
            let source = |axis: usize, size: usize, tap: usize, out: usize| {
                (0..size).find(|&i| i * self.stride[axis] + tap * self.dilation[axis] == out)
            };
            let mut products = Products::of(Precision::F32, [x, weight]);
            for c in group * per_group..(group + 1) * per_group {
                for r in 0..kernel_h {
                    for s in 0..kernel_w {
                        let row = source(0, height, r, down + self.padding.top);
                        let column = source(1, width, s, across + self.padding.left);
                        // A tap that no pixel reaches meets 0: that shows where the weight is infinite or NaN.
                        let value = row
                            .zip(column)
                            .map_or(0.0, |(row, column)| x.at(((n * channels + c) * height + row) * width + column));
                        products
                            .add(value, weight.at(((c * out_per_group + o_in_group) * kernel_h + r) * kernel_w + s));
                    }
                }
            }
            let addend = bias.map(|bias| Term { beta: 1.0, value: bias.at(o), dtype: bias.dtype() });
            activate(self.activation, linear(products.sum(), 1.0, addend)).stored(dtype)
        })])
    }

    fn matrix(&self, output: &[usize]) -> (usize, usize) {
        (output[1] / self.groups, output[2] * output[3])
    }

    /// As for a convolution, one channel a group; its values are scattered from the input, as the gradient is.
    fn project(&self, inputs: &[HostTensor], output: &HostTensor, seed: u64) -> Option<Projection> {
        let (x, weight) = (&inputs[0], &inputs[1]);
        let (channels, height, width) = (x.shape[1], x.shape[2], x.shape[3]);
        let (out_per_group, kernel_h, kernel_w) = (weight.shape[1], weight.shape[2], weight.shape[3]);
        let (out_h, out_w) = (output.shape[2], output.shape[3]);
        let per_group = channels / self.groups;
        let (area, taps) = (kernel_h * kernel_w, per_group * kernel_h * kernel_w);
        let signed = Channels::of(self.activation, self.groups, output, [inputs.get(2), None], seed)?;
        let filters = signed.filters(taps, |o, tap| {
            let c = o / out_per_group * per_group + tap / area;
            weight.at((c * out_per_group + o % out_per_group) * area + tap % area)
        });
        Some(signed.compare(taps, |n, group| {
            let mut plane = vec![(0.0, 0.0); signed.pixels];
            for (tap, (value, magnitude)) in filters[group].iter().enumerate() {
                let (c, r, s) = (group * per_group + tap / area, tap / kernel_w % kernel_h, tap % kernel_w);
                for row in 0..height {
                    for column in 0..width {
                        let down = (row * self.stride[0] + r * self.dilation[0]).checked_sub(self.padding.top);
                        let across = (column * self.stride[1] + s * self.dilation[1]).checked_sub(self.padding.left);
                        if let (Some(down), Some(across)) = (down, across)
                            && down < out_h
                            && across < out_w
                        {
                            let from = x.at(((n * channels + c) * height + row) * width + column);
                            let to = &mut plane[down * out_w + across];
                            to.0 += from * value;
                            to.1 += from.abs() * magnitude;
                        }
                    }
                }
            }
            plane
        }))
    }
}
