//! The twin of [`Conv2d`], and the projection that it shares with the transposed one.

use crate::error::Result;
use crate::layout::{DType, Layout};
use crate::op::Op;
use crate::op::activation::Activation;
use crate::op::conv2d::Conv2d;
use crate::op::precision::Precision;
use crate::reference::matmul::{Projected, Term, linear, signs};
use crate::reference::{Expected, HostTensor, Products, Projection, Select, activate};

impl Conv2d {
    /// Shows the window of a group at output pixel (p, q) of image n, tap by tap: the channel in the group, the tap's row and
    /// column, and the value under it, 0 in the padding.
    fn window(
        &self,
        x: &HostTensor,
        [per_group, kernel_h, kernel_w]: [usize; 3],
        [n, group, p, q]: [usize; 4],
        mut see: impl FnMut([usize; 3], f64),
    ) {
        let (channels, height, width) = (x.shape[1], x.shape[2], x.shape[3]);
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
                    see([c, r, s], value);
                }
            }
        }
    }
}

impl super::Twin for Conv2d {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let layouts: Vec<Layout> = inputs.iter().map(HostTensor::layout).collect();
        let Layout { shape, dtype, .. } = self.infer(&layouts)?.swap_remove(0);
        let (x, weight, bias) = (&inputs[0], &inputs[1], inputs.get(2));
        let (per_group, kernel_h, kernel_w) = (weight.shape[1], weight.shape[2], weight.shape[3]);
        let (out_channels, out_h, out_w) = (shape[1], shape[2], shape[3]);
        Ok(vec![Expected::compute(&shape, dtype, select, |flat| {
            let (q, p) = (flat % out_w, flat / out_w % out_h);
            let (o, n) = (flat / out_w / out_h % out_channels, flat / out_w / out_h / out_channels);
            let group = o / (out_channels / self.groups);
            let mut products = Products::of(self.precision, [x.dtype(), weight.dtype()]);
            self.window(x, [per_group, kernel_h, kernel_w], [n, group, p, q], |[c, r, s], value| {
                products.add(value, weight.at(((o * per_group + c) * kernel_h + r) * kernel_w + s));
            });
            let addend = bias.map(|bias| Term { beta: 1.0, value: bias.at(o), dtype: bias.dtype() });
            activate(self.activation, linear(products.sum(), 1.0, addend)).stored(dtype)
        })])
    }

    fn matrix(&self, output: &[usize]) -> (usize, usize) {
        (output[1] / self.groups, output[2] * output[3])
    }

    /// The output's channels of a group with random signs add up to the convolution with the signed sum of their filters:
    /// one channel a group instead of all. Only without activation and in f32.
    fn project(&self, inputs: &[HostTensor], output: &HostTensor, seed: u64) -> Option<Projection> {
        let (x, weight) = (&inputs[0], &inputs[1]);
        let [per_group, kernel_h, kernel_w] = [1, 2, 3].map(|dim| weight.shape[dim]);
        let taps = per_group * kernel_h * kernel_w;
        if self.precision != Precision::F32 || inputs.iter().any(|input| input.dtype() != DType::F32) {
            return None;
        }
        let channels = Channels::of(self.activation, self.groups, output, inputs.get(2), seed)?;
        let out_w = output.shape[3];
        let filters = channels.filters(taps, |o, tap| weight.at(o * taps + tap));
        Some(channels.compare(taps, |n, group| {
            let pixel = |i| {
                let (mut sum, mut magnitude) = (0.0, 0.0);
                self.window(
                    x,
                    [per_group, kernel_h, kernel_w],
                    [n, group, i / out_w, i % out_w],
                    |[c, r, s], value| {
                        let (tap, absolute) = filters[group][(c * kernel_h + r) * kernel_w + s];
                        sum += value * tap;
                        magnitude += value.abs() * absolute;
                    },
                );
                (sum, magnitude)
            };
            (0..channels.pixels).map(pixel).collect()
        }))
    }
}

/// The channels of a convolution's output, with a random sign each.
pub(super) struct Channels<'a> {
    output: &'a HostTensor,
    bias: Option<&'a HostTensor>,
    groups: usize,
    /// Channels of a group.
    per_group: usize,
    signs: Vec<f64>,
    /// Pixels of a channel.
    pub pixels: usize,
}

impl<'a> Channels<'a> {
    /// `None` where nothing can be projected: activations are not linear.
    pub fn of(
        activation: Activation,
        groups: usize,
        output: &'a HostTensor,
        bias: Option<&'a HostTensor>,
        seed: u64,
    ) -> Option<Self> {
        let channels = output.shape[1];
        (activation == Activation::None && output.dtype() == DType::F32 && !output.is_empty()).then(|| Channels {
            output,
            bias,
            groups,
            per_group: channels / groups,
            signs: signs(channels, seed),
            pixels: output.shape[2] * output.shape[3],
        })
    }

    /// The numbers of a group's channels.
    fn group(&self, group: usize) -> std::ops::Range<usize> {
        group * self.per_group..(group + 1) * self.per_group
    }

    /// The signed sum of each group's filters, tap by tap, and that of the magnitudes. `weight(o, tap)` gives a filter's tap.
    pub fn filters(&self, taps: usize, weight: impl Fn(usize, usize) -> f64) -> Vec<Vec<(f64, f64)>> {
        let sum = |group: usize, tap: usize| {
            self.group(group).fold((0.0, 0.0), |(sum, magnitude), o| {
                let value = weight(o, tap);
                (sum + self.signs[o] * value, magnitude + value.abs())
            })
        };
        (0..self.groups).map(|group| (0..taps).map(|tap| sum(group, tap)).collect()).collect()
    }

    /// Compares the output with projected planes: `plane(image, group)` gives each pixel's sum of `terms` products and that
    /// of their magnitudes.
    pub fn compare(&self, terms: usize, plane: impl Fn(usize, usize) -> Vec<(f64, f64)>) -> Projection {
        let mut worst = Projection::default();
        for image in 0..self.output.shape[0] {
            for group in 0..self.groups {
                let addend = self.bias.map(|bias| {
                    self.group(group).fold((1.0, 0.0, 0.0), |(beta, sum, magnitude), o| {
                        (beta, sum + self.signs[o] * bias.at(o), magnitude + bias.at(o).abs())
                    })
                });
                for (pixel, (sum, magnitude)) in plane(image, group).into_iter().enumerate() {
                    let value = Projected { n: self.per_group, k: terms, sum, magnitude, alpha: 1.0, addend };
                    let at = |o| self.output.at((image * self.signs.len() + o) * self.pixels + pixel);
                    let found = self.group(group).map(|o| self.signs[o] * at(o)).sum();
                    worst.take((image * self.groups + group) * self.pixels + pixel, value.fraction(found));
                }
            }
        }
        worst
    }
}
