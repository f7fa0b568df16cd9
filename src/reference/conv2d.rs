//! The twin of [`Conv2d`], and the projection that it shares with the transposed one.

use crate::error::Result;
use crate::layout::{DType, Layout};
use crate::op::Op;
use crate::op::activation::Activation;
use crate::op::conv2d::Conv2d;
use crate::op::precision::Precision;
use crate::reference::matmul::{Projected, Term, linear, signs};
use crate::reference::{
    Expected, HostTensor, OVERFLOW, Products, Projection, Select, TINY, Twin, Value, activate, layouts,
};

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

/// The bias and the residual, by their dimensions.
fn addends(inputs: &[HostTensor]) -> [Option<&HostTensor>; 2] {
    [1, 4].map(|rank| inputs[2..].iter().find(|input| input.shape.len() == rank))
}

impl Conv2d {
    /// Whether the caller lets Winograd's method compute it.
    fn may_be_transformed(&self, weight: &HostTensor) -> bool {
        let plain = self.stride == [1; 2] && self.dilation == [1; 2];
        self.precision == Precision::Winograd && weight.shape[2..] == [3, 3] && plain
    }
}

/// The errors of Winograd's method with tiles of 4 x 4 and of 2 x 2 outputs, F(4 x 4, 3 x 3) and F(2 x 2, 3 x 3).
///
/// With y = A' [(G g) * (B' d)] along one axis, by the model of floating point arithmetic every output p is off by at most
/// gamma times the sum of |A'[p, j]| |G[j, r]| |B'[j, i]| |g[r]| |d[i]| over points j, taps r and values i of the tile, where gamma counts the
/// roundings on the way from a value to the output; both axes multiply. The larger of both tiles' factors holds for either.
struct Transformed<'a> {
    conv: &'a Conv2d,
    x: &'a HostTensor,
    weight: &'a HostTensor,
    factors: Factors,
    /// The output channel and, for each place in a tile, what its filters make of the 6 x 6 values of each input channel.
    filters: (usize, Vec<Vec<[f64; 36]>>),
}

/// The factors of a tile's outputs p, taps r and values i.
type Factors = [[[f64; 6]; 3]; 4];

/// The matrices A', G and B' of a tile.
struct Transform<const TILE: usize, const SIDE: usize> {
    outputs: [[f64; SIDE]; TILE],
    filters: [[f64; 3]; SIDE],
    inputs: [[f64; SIDE]; SIDE],
}

const SIXTH: f64 = 1.0 / 6.0;

const FOUR: Transform<4, 6> = Transform {
    outputs: [
        [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, 1.0, -1.0, 2.0, -2.0, 0.0],
        [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
        [0.0, 1.0, -1.0, 8.0, -8.0, 1.0],
    ],
    filters: [
        [0.25, 0.0, 0.0],
        [-SIXTH, -SIXTH, -SIXTH],
        [-SIXTH, SIXTH, -SIXTH],
        [SIXTH / 4.0, SIXTH / 2.0, SIXTH],
        [SIXTH / 4.0, -SIXTH / 2.0, SIXTH],
        [0.0, 0.0, 1.0],
    ],
    inputs: [
        [4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
        [0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
        [0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
        [0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
        [0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
        [0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
    ],
};

const TWO: Transform<2, 4> = Transform {
    outputs: [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, -1.0, -1.0]],
    filters: [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]],
    inputs: [[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, -1.0, 1.0, 0.0], [0.0, 1.0, 0.0, -1.0]],
};

impl<const TILE: usize, const SIDE: usize> Transform<TILE, SIDE> {
    /// What `each` makes of a point's part in the factor of tap r and value i for output p, added up over the points.
    fn sum(&self, [p, r, i]: [usize; 3], each: fn(f64) -> f64) -> f64 {
        (0..SIDE).map(|j| each(self.outputs[p][j] * self.filters[j][r] * self.inputs[j][i])).sum()
    }
}

/// The larger factors of both tiles, the smaller of which lie in the larger four times.
fn factors() -> Factors {
    let factor = |p: usize, r: usize, i: usize| {
        let four = FOUR.sum([p, r, i], f64::abs);
        // Where the tile of two begins.
        let at = i.checked_sub(p / 2 * 2).filter(|&at| at < 4);
        four.max(at.map_or(0.0, |at| TWO.sum([p % 2, r, at], f64::abs)))
    };
    std::array::from_fn(|p| std::array::from_fn(|r| std::array::from_fn(|i| factor(p, r, i))))
}

/// Roundings on the way from a value to an output, beside those of the sum over channels: three a side in the filter's transform, four
/// in the image's, five in the output's, the product, and a division of 2.5 units in the last place.
const ROUNDINGS: usize = 2 * (3 + 4 + 5) + 1 + 5;
/// What scales numbers up on their way: filters by 24 a side, images by at most 10, products by at most 18 before they are divided.
const SCALED: f64 = (24.0 * 10.0 * 18.0) * (24.0 * 10.0 * 18.0);

impl<'a> Transformed<'a> {
    fn of(conv: &'a Conv2d, x: &'a HostTensor, weight: &'a HostTensor) -> Self {
        Transformed { conv, x, weight, factors: factors(), filters: (usize::MAX, Vec::new()) }
    }

    /// What the filters of an output channel make of the values of a tile, for each of its 16 places and each input channel.
    fn filters(&self, o: usize) -> Vec<Vec<[f64; 36]>> {
        let channels = self.weight.shape[1];
        let of = |place: usize, c: usize| {
            let (down, across) = (&self.factors[place / 4], &self.factors[place % 4]);
            let mut values = [0.0; 36];
            for (tap, i) in (0..9).flat_map(|tap| (0..36).map(move |i| (tap, i))) {
                let weight = self.weight.at((o * channels + c) * 9 + tap).abs();
                values[i] += weight * down[tap / 3][i / 6] * across[tap % 3][i % 6];
            }
            values
        };
        (0..16).map(|place| (0..channels).map(|c| of(place, c)).collect()).collect()
    }

    /// The sum of a window with the larger bound of the method.
    fn sum(&mut self, plain: Value, [n, o, p, q]: [usize; 4]) -> Value {
        if self.filters.0 != o {
            self.filters = (o, self.filters(o));
        }
        let (channels, out_channels) = (self.weight.shape[1], self.weight.shape[0]);
        let group = o / (out_channels / self.conv.groups);
        let (mut magnitude, mut largest) = (0.0, 0.0f64);
        let tile = Conv2d { stride: [4; 2], ..*self.conv };
        let filters = &self.filters.1[p % 4 * 4 + q % 4];
        tile.window(self.x, [channels, 6, 6], [n, group, p / 4, q / 4], |[c, i, j], value| {
            magnitude += filters[c][i * 6 + j] * value.abs();
            largest = largest.max(value.abs());
        });
        let finite = magnitude.is_finite() && plain.value.is_finite() && !plain.is_undecided();
        // Also a transformed value may overflow, where neither factor nor product does.
        if !finite || magnitude.max(largest) * SCALED >= OVERFLOW {
            return Value::undecided(plain.value);
        }
        // What is quantized is rounded when it is scaled.
        let terms = channels + ROUNDINGS + 1;
        let sum = Value::sum(terms, plain.value, magnitude);
        // A transformed value that is flushed takes its product with it.
        let flushed = TINY * SCALED * (1.0 + largest + magnitude) * terms as f64;
        sum.step(plain.value, 1.0, flushed)
    }
}

impl Twin for Conv2d {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let Layout { shape, dtype, .. } = self.infer(&layouts(inputs))?.swap_remove(0);
        let (x, weight) = (&inputs[0], &inputs[1]);
        let [bias, residual] = addends(inputs);
        let (per_group, kernel_h, kernel_w) = (weight.shape[1], weight.shape[2], weight.shape[3]);
        let (out_channels, out_h, out_w) = (shape[1], shape[2], shape[3]);
        let mut transformed = self.may_be_transformed(weight).then(|| Transformed::of(self, x, weight));
        Ok(vec![Expected::compute(&shape, dtype, select, |flat| {
            let (q, p) = (flat % out_w, flat / out_w % out_h);
            let (o, n) = (flat / out_w / out_h % out_channels, flat / out_w / out_h / out_channels);
            let group = o / (out_channels / self.groups);
            let mut products = Products::of(self.precision, [x, weight]);
            self.window(x, [per_group, kernel_h, kernel_w], [n, group, p, q], |[c, r, s], value| {
                products.add(value, weight.at(((o * per_group + c) * kernel_h + r) * kernel_w + s));
            });
            let sum = match &mut transformed {
                None => products.sum(),
                Some(transformed) => transformed.sum(products.sum(), [n, o, p, q]),
            };
            let addend = bias.map(|bias| Term { beta: 1.0, value: bias.at(o), dtype: bias.dtype() });
            let residual = residual.map(|x| Term { beta: 1.0, value: x.at(flat), dtype: x.dtype() });
            activate(self.activation, linear(linear(sum, 1.0, addend), 1.0, residual)).stored(dtype)
        })])
    }

    fn matrix(&self, output: &[usize]) -> (usize, usize) {
        (output[1] / self.groups, output[2] * output[3])
    }

    /// Of a smaller image the residual is as large as the output.
    fn shrunk(&self, inputs: &[Layout]) -> Option<(Box<dyn Twin>, Vec<Layout>)> {
        let residual = 2 + inputs.get(2..)?.iter().position(|input| input.shape.len() == 4)?;
        let mut small: Vec<Layout> = inputs.iter().map(Layout::shrunk).collect();
        small[residual].shape = self.infer(&small[..residual]).ok()?.swap_remove(0).shape;
        Some((Box::new(*self), small))
    }

    /// The output's channels of a group with random signs add up to the convolution with the signed sum of their filters:
    /// one channel a group instead of all. Only without activation and in f32.
    fn project(&self, inputs: &[HostTensor], output: &HostTensor, seed: u64) -> Option<Projection> {
        let (x, weight) = (&inputs[0], &inputs[1]);
        let [per_group, kernel_h, kernel_w] = [1, 2, 3].map(|dim| weight.shape[dim]);
        let taps = per_group * kernel_h * kernel_w;
        if self.precision == Precision::F16Multiply
            || self.may_be_transformed(weight)
            || inputs.iter().any(|input| input.dtype() != DType::F32)
        {
            return None;
        }
        let channels = Channels::of(self.activation, self.groups, output, addends(inputs), seed)?;
        let out_w = output.shape[3];
        let filters = channels.filters(taps, |o, tap| weight.at(o * taps + tap));
        Some(channels.compare(taps + weight.roundings()?, |n, group| {
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
    residual: Option<&'a HostTensor>,
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
        [bias, residual]: [Option<&'a HostTensor>; 2],
        seed: u64,
    ) -> Option<Self> {
        let channels = output.shape[1];
        (activation == Activation::None && output.dtype() == DType::F32 && !output.is_empty()).then(|| Channels {
            output,
            bias,
            residual,
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

    /// What is added to a group's channels: its factor, the signed sum, and that of the magnitudes.
    fn signed(&self, group: usize, value: impl Fn(usize) -> f64) -> (f64, f64, f64) {
        self.group(group).fold((1.0, 0.0, 0.0), |(beta, sum, magnitude), o| {
            (beta, sum + self.signs[o] * value(o), magnitude + value(o).abs())
        })
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
                let addend = self.bias.map(|bias| self.signed(group, |o| bias.at(o)));
                for (pixel, (sum, magnitude)) in plane(image, group).into_iter().enumerate() {
                    let place = |o: usize| (image * self.signs.len() + o) * self.pixels + pixel;
                    let residual = self.residual.map(|x| self.signed(group, |o| x.at(place(o))));
                    let addends = [addend, residual];
                    let value = Projected { n: self.per_group, k: terms, sum, magnitude, alpha: 1.0, addends };
                    let found = self.group(group).map(|o| self.signs[o] * self.output.at(place(o))).sum();
                    worst.take((image * self.groups + group) * self.pixels + pixel, value.fraction(found));
                }
            }
        }
        worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signed, the sums are those of a convolution: 1 for the value under a tap, else 0.
    fn expect_convolution<const TILE: usize, const SIDE: usize>(transform: &Transform<TILE, SIDE>) {
        for (p, r, i) in (0..TILE).flat_map(|p| (0..3).flat_map(move |r| (0..SIDE).map(move |i| (p, r, i)))) {
            let expected = f64::from(u8::from(i == p + r));
            let found = transform.sum([p, r, i], |part| part);
            assert!((found - expected).abs() < 1e-12, "{p} {r} {i}: {found}");
        }
    }

    #[test]
    fn the_matrices_make_convolutions() {
        expect_convolution(&TWO);
        expect_convolution(&FOUR);
    }

    /// One factor of the smaller tile is larger than the larger one's: it counts.
    #[test]
    fn factors_hold_for_both_tiles() {
        let factors = factors();
        assert_eq!(factors[2][0][4], 2.0);
        assert!(FOUR.sum([2, 0, 4], f64::abs) < 1.0);
    }
}
