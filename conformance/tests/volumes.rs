//! Convolutions and pools over three dimensions, against plain loops: what the cases of ONNX have few of.

use tilewise::reference::Random;
use tilewise::verify::devices;
use tilewise_conformance::call::Call;
use tilewise_conformance::device::Device;
use tilewise_conformance::lower;
use tilewise_conformance::proto::{AttributeProto, NodeProto};
use tilewise_conformance::tensor::{Data, Tensor};

/// Windows over three dimensions.
#[derive(Clone, Copy)]
struct Windows {
    kernel: [usize; 3],
    stride: [usize; 3],
    dilation: [usize; 3],
    before: [usize; 3],
    after: [usize; 3],
}

const WINDOWS: Windows =
    Windows { kernel: [2, 3, 2], stride: [2, 1, 3], dilation: [3, 2, 1], before: [1, 2, 0], after: [2, 0, 1] };

fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&value| value as i64).collect();
    AttributeProto { name: Some(name.into()), ints, ..Default::default() }
}

fn int(name: &str, value: usize) -> AttributeProto {
    AttributeProto { name: Some(name.into()), i: Some(value as i64), ..Default::default() }
}

impl Windows {
    fn attributes(&self) -> Vec<AttributeProto> {
        let pads = [self.before, self.after].concat();
        let lists = [("strides", &self.stride[..]), ("dilations", &self.dilation[..]), ("pads", &pads[..])];
        let kernel = ints("kernel_shape", &self.kernel);
        lists.iter().map(|(name, values)| ints(name, values)).chain([kernel]).collect()
    }

    /// Elements from the first to the last of a window.
    fn reach(&self, dim: usize) -> usize {
        (self.kernel[dim] - 1) * self.dilation[dim] + 1
    }

    fn outputs(&self, size: [usize; 3], ceil: bool) -> [usize; 3] {
        [0, 1, 2].map(|dim| {
            let room = size[dim] + self.before[dim] + self.after[dim] - self.reach(dim);
            let more = ceil && !room.is_multiple_of(self.stride[dim]);
            let full = room / self.stride[dim] + 1;
            full + usize::from(more && full * self.stride[dim] < size[dim] + self.before[dim])
        })
    }

    /// The places of a window's taps, counted from the map's first element.
    fn taps(&self, window: [usize; 3]) -> Vec<([usize; 3], [isize; 3])> {
        let place = |tap: [usize; 3]| {
            [0, 1, 2]
                .map(|d| (window[d] * self.stride[d] + tap[d] * self.dilation[d]) as isize - self.before[d] as isize)
        };
        places(self.kernel).into_iter().map(|tap| (tap, place(tap))).collect()
    }
}

/// All places of a box, the last dimension fastest.
fn places([d, h, w]: [usize; 3]) -> Vec<[usize; 3]> {
    (0..d * h * w).map(|at| [at / (h * w), at / w % h, at % w]).collect()
}

/// The flat index of a place, if it lies inside.
fn flat(place: [isize; 3], size: [usize; 3]) -> Option<usize> {
    let inside = (0..3).all(|dim| (0..size[dim] as isize).contains(&place[dim]));
    inside.then(|| ((place[0] as usize * size[1]) + place[1] as usize) * size[2] + place[2] as usize)
}

fn run(op_type: &str, attribute: Vec<AttributeProto>, inputs: &[(Vec<usize>, Vec<f32>)]) -> Option<Vec<Tensor>> {
    let device = Device::new(devices().first()?);
    let tensor =
        |(shape, data): &(Vec<usize>, Vec<f32>)| Tensor { shape: shape.clone(), data: Data::F32(data.clone()) };
    let inputs: Vec<Tensor> = inputs.iter().map(tensor).collect();
    let output = vec!["y".into(), if op_type == "MaxPool" { "indices".into() } else { String::new() }];
    let node = NodeProto { op_type: Some(op_type.into()), attribute, output, ..Default::default() };
    let call = Call { node: &node, opset: 19, inputs: inputs.iter().map(Some).collect(), device: &device };
    Some(lower::run(&call).unwrap())
}

/// The error of a sum of 12 products and a bias, of which none is above 1: 13 roundings of at most 13, and one of the sum.
const BOUND: f64 = (13 * 13 + 13) as f64 / (1u64 << 24) as f64;

#[track_caller]
fn assert_near(found: &Tensor, shape: &[usize], expected: &[f64]) {
    assert_eq!(found.shape, shape);
    let Data::F32(found) = &found.data else { panic!("{} elements", found.dtype()) };
    for (at, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(found) - expected).abs() <= BOUND, "element {at} is {found} instead of {expected}");
    }
}

const SIZE: [usize; 3] = [5, 6, 7];
const PLACES: usize = SIZE[0] * SIZE[1] * SIZE[2];

/// Two maps of two channels.
fn maps(seed: u64) -> (Vec<usize>, Vec<f32>) {
    ([&[2, 2], &SIZE[..]].concat(), Random::new(seed).floats(4 * PLACES))
}

#[test]
fn the_largest_of_a_volume_and_where_it_is() {
    for (ceil, column_major) in [(false, false), (true, true)] {
        let mut x = maps(1);
        // Equal values: the first one's place counts.
        x.1.iter_mut().for_each(|x| *x = (*x * 3.0).round());
        let mut attributes = WINDOWS.attributes();
        attributes.extend([int("ceil_mode", ceil.into()), int("storage_order", column_major.into())]);
        let Some(found) = run("MaxPool", attributes, std::slice::from_ref(&x)) else { return };
        let out = WINDOWS.outputs(SIZE, ceil);
        let (mut largest, mut indices) = (Vec::new(), Vec::new());
        for (map, elements) in x.1.chunks(PLACES).enumerate() {
            for window in places(out) {
                let (mut best, mut best_at) = (f32::NEG_INFINITY, 0);
                for at in WINDOWS.taps(window).iter().filter_map(|&(_, place)| flat(place, SIZE)) {
                    if elements[at] > best {
                        (best, best_at) = (elements[at], at);
                    }
                }
                let [d, h, w] = places(SIZE)[best_at];
                let within = if column_major { (w * SIZE[1] + h) * SIZE[0] + d } else { best_at };
                largest.push(best.into());
                indices.push((map * PLACES + within) as i64);
            }
        }
        assert_near(&found[0], &[&[2, 2], &out[..]].concat(), &largest);
        assert_eq!(found[1], Tensor::integers(found[0].shape.clone(), indices));
    }
}

#[test]
fn the_mean_of_a_volume() {
    for (dilated, ceil, padding_counts) in
        [(true, false, false), (true, true, true), (true, true, false), (false, true, true), (false, false, false)]
    {
        let windows = if dilated { WINDOWS } else { Windows { dilation: [1; 3], after: [1, 1, 1], ..WINDOWS } };
        let x = maps(2);
        let mut attributes = windows.attributes();
        attributes.extend([int("ceil_mode", ceil.into()), int("count_include_pad", padding_counts.into())]);
        let Some(found) = run("AveragePool", attributes, std::slice::from_ref(&x)) else { return };
        let out = windows.outputs(SIZE, ceil);
        let padded = [0, 1, 2].map(|dim| windows.before[dim] + SIZE[dim] + windows.after[dim]);
        let mut means = Vec::new();
        for elements in x.1.chunks(PLACES) {
            for window in places(out) {
                let taps = windows.taps(window);
                let inside: Vec<usize> = taps.iter().filter_map(|&(_, place)| flat(place, SIZE)).collect();
                let shifted = |place: [isize; 3]| [0, 1, 2].map(|dim| place[dim] + windows.before[dim] as isize);
                let in_padding = taps.iter().filter(|&&(_, place)| flat(shifted(place), padded).is_some()).count();
                let count = if padding_counts { in_padding } else { inside.len() };
                means.push(inside.iter().map(|&at| f64::from(elements[at])).sum::<f64>() / count as f64);
            }
        }
        assert_near(&found[0], &[&[2, 2], &out[..]].concat(), &means);
    }
}

/// In two groups of one channel each, with three outputs each.
#[test]
fn a_convolution_of_volumes() {
    let (x, taps) = (maps(3), WINDOWS.kernel.iter().product::<usize>());
    let weight = ([&[6, 1], &WINDOWS.kernel[..]].concat(), Random::new(4).floats(6 * taps));
    let bias = (vec![6], Random::new(5).floats(6));
    let attributes = [WINDOWS.attributes(), vec![int("group", 2)]].concat();
    let Some(found) = run("Conv", attributes, &[x.clone(), weight.clone(), bias.clone()]) else { return };
    let out = WINDOWS.outputs(SIZE, false);
    let mut sums = Vec::new();
    for (n, o) in (0..2).flat_map(|n| (0..6).map(move |o| (n, o))) {
        let map = &x.1[(n * 2 + o / 3) * PLACES..][..PLACES];
        for window in places(out) {
            let product = |(tap, (_, place))| {
                let value = flat(place, SIZE).map_or(0.0, |at| f64::from(map[at]));
                value * f64::from(weight.1[o * taps + tap])
            };
            let sum: f64 = WINDOWS.taps(window).into_iter().enumerate().map(product).sum();
            sums.push(sum + f64::from(bias.1[o]));
        }
    }
    assert_near(&found[0], &[&[2, 6], &out[..]].concat(), &sums);
}

/// In two groups of one channel each, with three outputs each; `before` and `after` are cut off.
#[test]
fn a_transposed_convolution_of_volumes() {
    let added = [1, 0, 2];
    let (x, taps) = (maps(6), WINDOWS.kernel.iter().product::<usize>());
    let weight = ([&[2, 3], &WINDOWS.kernel[..]].concat(), Random::new(7).floats(6 * taps));
    let attributes = [WINDOWS.attributes(), vec![int("group", 2), ints("output_padding", &added)]].concat();
    let Some(found) = run("ConvTranspose", attributes, &[x.clone(), weight.clone()]) else { return };
    let out = [0, 1, 2].map(|dim| {
        let whole = (SIZE[dim] - 1) * WINDOWS.stride[dim] + WINDOWS.reach(dim) + added[dim];
        whole - WINDOWS.before[dim] - WINDOWS.after[dim]
    });
    let per_map: usize = out.iter().product();
    let mut sums = vec![0.0; 12 * per_map];
    for (n, o) in (0..2).flat_map(|n| (0..6).map(move |o| (n, o))) {
        let map = &x.1[(n * 2 + o / 3) * PLACES..][..PLACES];
        for (at, from) in places(SIZE).into_iter().enumerate() {
            for (tap, (_, to)) in WINDOWS.taps(from).into_iter().enumerate() {
                if let Some(to) = flat(to, out) {
                    sums[(n * 6 + o) * per_map + to] += f64::from(map[at]) * f64::from(weight.1[o * taps + tap]);
                }
            }
        }
    }
    assert_near(&found[0], &[&[2, 6], &out[..]].concat(), &sums);
}
