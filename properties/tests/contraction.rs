//! Properties of matrix products, convolutions and transposed convolutions.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::sample::select;
use tilewise::reference::Twin;
use tilewise::verify::devices;
use tilewise::{Activation, Conv2d, ConvTranspose2d, DType, Layout, Matmul, Op, Padding, Precision};
use tilewise_properties::{
    activation, any_layouts, any_value, class, correct, data, is_exact, lack, limited, planned, run, side, size,
};

/// Options with the shapes of inputs that they take.
type Valid<O> = (O, Vec<Vec<usize>>);

/// A shape that broadcasts to another: leading dimensions left out, others stretched.
fn stretched(shape: Vec<usize>) -> impl Strategy<Value = Vec<usize>> {
    let rank = shape.len();
    (0..=rank, prop::collection::vec(prop::bool::weighted(0.3), rank))
        .prop_map(move |(skip, ones)| (skip..rank).map(|dim| if ones[dim] { 1 } else { shape[dim] }).collect())
}

fn factor() -> impl Strategy<Value = f32> {
    prop_oneof![3 => Just(1.0), 2 => prop::sample::select(vec![0.0, -1.0, 0.5, 2.0, -3.0])]
}

/// The sizes of a product: mostly any, sometimes a vector's.
fn sizes() -> impl Strategy<Value = [usize; 3]> {
    let one = |size: BoxedStrategy<usize>| prop_oneof![4 => size, 1 => side()];
    [one(size().boxed()), one(size().boxed()), one(size().boxed())]
}

fn matmul(activation: impl Strategy<Value = Activation>) -> impl Strategy<Value = Valid<Matmul>> {
    let options = (any::<bool>(), any::<bool>(), factor(), factor(), activation).prop_map(
        |(transpose_a, transpose_b, alpha, beta, activation)| Matmul {
            transpose_a,
            transpose_b,
            alpha,
            beta,
            activation,
            ..Default::default()
        },
    );
    let batch = prop_oneof![2 => Just(vec![]), 3 => prop::collection::vec(0usize..=3, 1..=5)];
    let batches = batch.prop_flat_map(|batch| (stretched(batch.clone()), stretched(batch)));
    let vectors = (prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    (options, sizes(), batches, vectors)
        .prop_flat_map(|(op, [m, n, k], (mut a, mut b), (row, column))| {
            a.extend(if op.transpose_a { [k, m] } else { [m, k] });
            b.extend(if op.transpose_b { [n, k] } else { [k, n] });
            let a = if row { vec![k] } else { a };
            let b = if column { vec![k] } else { b };
            let out = op.infer(&layouts(&[a.clone(), b.clone()])).unwrap().swap_remove(0).shape;
            (Just(op), Just(a), Just(b), prop::option::of(stretched(out)))
        })
        .prop_map(|(op, a, b, c)| (op, [Some(a), Some(b), c].into_iter().flatten().collect()))
}

fn layouts(shapes: &[Vec<usize>]) -> Vec<Layout> {
    shapes.iter().map(|shape| Layout::new(shape, DType::F32)).collect()
}

/// How a kernel is moved along a side of an image.
#[derive(Clone, Copy, Debug)]
struct Along {
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
    after: usize,
    /// Of the input.
    size: usize,
    output_padding: usize,
}

fn along(kernel: usize, stride: impl Strategy<Value = usize>) -> impl Strategy<Value = Along> {
    (stride, 1usize..=3, 0usize..=4, 0usize..=4, 1usize..=12, 0usize..=2).prop_map(
        move |(stride, dilation, before, after, size, output_padding)| Along {
            kernel,
            stride,
            dilation,
            before,
            after,
            size,
            output_padding,
        },
    )
}

/// Images, groups, channels of a group in and out.
fn channels() -> impl Strategy<Value = (usize, usize, usize, usize)> {
    let count = || prop_oneof![8 => 1usize..=5, 1 => Just(0), 1 => Just(17)];
    (0usize..=3, 1usize..=3, count(), count())
}

/// What a convolution's pipelines depend on: height and width of the kernel, whether there is a bias, the activation.
/// Compiling takes most of the time, so these are few, and each meets many shapes.
type Fixed = ([usize; 2], bool, Activation);

fn fixed(activation: impl Strategy<Value = Activation>) -> impl Strategy<Value = Fixed> {
    (prop::sample::select(vec![[1, 1], [3, 3], [2, 3]]), any::<bool>(), activation)
}

fn padding(y: Along, x: Along) -> Padding {
    Padding { top: y.before, left: x.before, bottom: y.after, right: x.after }
}

fn shapes(x: [usize; 4], weight: [usize; 4], bias: Option<usize>) -> Vec<Vec<usize>> {
    [Some(x.to_vec()), Some(weight.to_vec()), bias.map(|size| vec![size])].into_iter().flatten().collect()
}

fn conv2d(([kh, kw], bias, activation): Fixed) -> impl Strategy<Value = Valid<Conv2d>> {
    (channels(), along(kh, 1usize..=3), along(kw, 1usize..=3)).prop_map(move |((images, groups, c, o), y, x)| {
        let op = Conv2d {
            stride: [y.stride, x.stride],
            padding: padding(y, x),
            dilation: [y.dilation, x.dilation],
            groups,
            activation,
            ..Default::default()
        };
        // The image is made large enough for the kernel.
        let [height, width] = [y, x].map(|side| {
            let reach = (side.kernel - 1) * side.dilation + 1;
            side.size.max(reach.saturating_sub(side.before + side.after))
        });
        let weight = [groups * o, c, y.kernel, x.kernel];
        (op, shapes([images, groups * c, height, width], weight, bias.then_some(groups * o)))
    })
}

fn conv_transpose2d(
    ([kh, kw], bias, activation): Fixed,
    [down, across]: [usize; 2],
) -> impl Strategy<Value = Valid<ConvTranspose2d>> {
    (channels(), along(kh, Just(down)), along(kw, Just(across))).prop_map(move |((images, groups, c, o), y, x)| {
        let sides = [y, x].map(|mut side| {
            side.output_padding = side.output_padding.min(side.stride.max(side.dilation) - 1);
            // The padding leaves something.
            let whole = (side.size - 1) * side.stride + (side.kernel - 1) * side.dilation + side.output_padding + 1;
            side.before = side.before.min(whole - 1);
            side.after = side.after.min(whole - 1 - side.before);
            side
        });
        let [y, x] = sides;
        let op = ConvTranspose2d {
            stride: [y.stride, x.stride],
            padding: padding(y, x),
            output_padding: [y.output_padding, x.output_padding],
            dilation: [y.dilation, x.dilation],
            groups,
            activation,
        };
        let weight = [groups * c, o, y.kernel, x.kernel];
        (op, shapes([images, groups * c, y.size, x.size], weight, bias.then_some(groups * o)))
    })
}

/// Most shapes without an activation, which keeps pipelines few and results exact.
fn plain() -> impl Strategy<Value = Activation> {
    Just(Activation::None)
}

#[test]
fn products_are_exact() {
    run(48, (matmul(plain()), any::<u64>()), |((op, shapes), seed)| correct(&op, &data(seed, &shapes, true), true));
}

#[test]
fn products_with_activations_are_within_the_bound() {
    run(16, (matmul(activation()), any::<u64>()), |((op, shapes), seed)| {
        let exact = is_exact(op.activation);
        correct(&op, &data(seed, &shapes, exact), exact)
    });
}

/// Several shapes for one choice of what pipelines depend on, with a seed.
fn convolutions(
    activation: impl Strategy<Value = Activation> + 'static,
    count: usize,
) -> impl Strategy<Value = (Vec<Valid<Conv2d>>, u64)> {
    let several = fixed(activation).prop_flat_map(move |fixed| prop::collection::vec(conv2d(fixed), count));
    (several, any::<u64>())
}

/// As [`convolutions`]; the pipelines of these depend on the stride too.
fn transposed(
    activation: impl Strategy<Value = Activation> + 'static,
    count: usize,
) -> impl Strategy<Value = (Vec<Valid<ConvTranspose2d>>, u64)> {
    let strides = prop::sample::select(vec![[1, 2], [2, 2], [3, 1]]);
    let several = (fixed(activation), strides)
        .prop_flat_map(move |(fixed, stride)| prop::collection::vec(conv_transpose2d(fixed, stride), count));
    (several, any::<u64>())
}

#[test]
fn convolutions_are_exact() {
    run(2, convolutions(plain(), 8), |(cases, seed)| {
        cases.iter().try_for_each(|(op, shapes)| correct(op, &data(seed, shapes, true), true))
    });
}

#[test]
fn convolutions_with_activations_are_within_the_bound() {
    run(1, convolutions(activation(), 6), |(cases, seed)| {
        cases.iter().try_for_each(|(op, shapes)| correct(op, &data(seed, shapes, false), false))
    });
}

#[test]
fn transposed_convolutions_are_exact() {
    run(2, transposed(plain(), 8), |(cases, seed)| {
        cases.iter().try_for_each(|(op, shapes)| correct(op, &data(seed, shapes, true), true))
    });
}

#[test]
fn transposed_convolutions_with_activations_are_within_the_bound() {
    run(1, transposed(activation(), 6), |(cases, seed)| {
        cases.iter().try_for_each(|(op, shapes)| correct(op, &data(seed, shapes, false), false))
    });
}

/// Sizes of which a product has any, also absurd ones.
fn any_sizes<const N: usize>() -> impl Strategy<Value = [usize; N]> {
    prop::collection::vec(prop_oneof![3 => 0usize..=20, 2 => any_value()], N)
        .prop_map(|sizes| std::array::from_fn(|i| sizes[i]))
}

/// Layouts that fit each other, or any at all.
fn fitting_or_any(fitting: Vec<Vec<usize>>) -> impl Strategy<Value = Vec<Layout>> {
    let rank = fitting[0].len();
    prop_oneof![4 => Just(layouts(&fitting)), 1 => any_layouts(rank)]
}

/// How factors are multiplied, and what is asked of the output.
fn types() -> impl Strategy<Value = (Precision, Option<DType>)> {
    let output = prop_oneof![4 => Just(None), 1 => select(vec![DType::F32, DType::F16, DType::U8]).prop_map(Some)];
    (select(vec![Precision::F32, Precision::F16Multiply, Precision::Winograd]), output)
}

#[test]
fn products_of_any_shapes_are_planned_or_refused() {
    let strategy = (any::<(bool, bool, bool)>(), any_sizes(), any::<(f32, f32)>(), activation(), types())
        .prop_flat_map(
            |(
                (transpose_a, transpose_b, addend),
                [batch, wide, m, n, k],
                (alpha, beta),
                activation,
                (precision, output),
            )| {
                let op = Matmul { transpose_a, transpose_b, alpha, beta, activation, precision, output };
                let a = if transpose_a { vec![batch, 1, k, m] } else { vec![batch, 1, m, k] };
                let b = if transpose_b { vec![wide, n, k] } else { vec![wide, k, n] };
                let c = addend.then(|| vec![batch, 1, m, 1]);
                (Just(op), fitting_or_any([Some(a), Some(b), c].into_iter().flatten().collect()))
            },
        );
    run(400, (class(), strategy), |(class, (op, inputs))| planned(class, &op, &inputs));
}

fn any_padding() -> impl Strategy<Value = Padding> {
    any_sizes().prop_map(|[top, left, bottom, right]| Padding { top, left, bottom, right })
}

#[test]
fn convolutions_of_any_shapes_are_planned_or_refused() {
    let pair = || any_sizes::<2>();
    let options = (pair(), any_padding(), pair(), pair(), any_value(), activation(), types());
    let strategy = (options, any_sizes(), any::<bool>()).prop_flat_map(|(options, [n, c, h, w, o, kh, kw], bias)| {
        let (stride, padding, dilation, output_padding, groups, activation, (precision, output)) = options;
        let conv = Conv2d { stride, padding, dilation, groups, activation, precision, output };
        let transposed = ConvTranspose2d { stride, padding, output_padding, dilation, groups, activation };
        let (all_in, all_out) = (c.saturating_mul(groups), o.saturating_mul(groups));
        let fitting = shapes([n, all_in, h, w], [all_out, c, kh, kw], bias.then_some(all_out));
        let turned = shapes([n, all_in, h, w], [all_in, o, kh, kw], bias.then_some(all_out));
        (Just((conv, transposed)), fitting_or_any(fitting), fitting_or_any(turned))
    });
    run(400, (class(), strategy), |(class, ((conv, transposed), inputs, turned))| {
        planned(class, &conv, &inputs)?;
        planned(class, &transposed, &turned)
    });
}

#[test]
fn lesser_devices_are_kept_to() {
    let ran = Cell::new(0);
    let product = (lack(), matmul(plain()), any::<u64>());
    run(32, product, |(lack, (op, shapes), seed)| {
        ran.set(ran.get() + usize::from(limited(&lack, &op, &data(seed, &shapes, true), true)?));
        Ok(())
    });
    let three_by_three = ([3, 3], true, Activation::None);
    let convolution = (lack(), conv2d(three_by_three), conv_transpose2d(three_by_three, [2, 1]), any::<u64>());
    run(8, convolution, |(lack, (conv, shapes), (transposed, turned), seed)| {
        for (op, shapes) in [(&conv as &dyn Twin, &shapes), (&transposed, &turned)] {
            ran.set(ran.get() + usize::from(limited(&lack, op, &data(seed, shapes, true), true)?));
        }
        Ok(())
    });
    assert!(devices().is_empty() || ran.get() > 0, "a lesser device has to run something");
}
