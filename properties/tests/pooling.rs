//! Properties of pooling.

use std::cell::Cell;

use proptest::prelude::*;
use tilewise::reference::Twin;
use tilewise::verify::devices;
use tilewise::{AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, DType, Layout, MaxPool2d};
use tilewise_properties::{any_layouts, any_value, class, correct, data, lack, limited, planned, run, side};

/// Every pooling op with the same windows.
#[derive(Clone, Copy, Debug)]
struct Pools {
    max: MaxPool2d,
    average: AvgPool2d,
    adaptive_max: AdaptiveMaxPool2d,
    adaptive_average: AdaptiveAvgPool2d,
}

impl Pools {
    fn ops(&self) -> [&dyn Twin; 4] {
        [&self.max, &self.average, &self.adaptive_max, &self.adaptive_average]
    }
}

/// Pooling with values of options drawn alike.
fn pools(
    value: impl Strategy<Value = usize> + Clone,
    padding: impl Strategy<Value = usize>,
) -> impl Strategy<Value = Pools> {
    let pair = move || [value.clone(), value.clone()];
    let divisor = prop::option::weighted(0.3, pair()[0].clone());
    let paddings = prop::collection::vec(padding, 4);
    (pair(), pair(), paddings, pair(), pair(), any::<[bool; 3]>(), divisor).prop_map(
        |(kernel, stride, padding, dilation, output, [ceil_mode, return_indices, count_include_pad], divisor)| {
            let padding = std::array::from_fn(|i| padding[i]);
            Pools {
                max: MaxPool2d { kernel, stride: Some(stride), padding, dilation, ceil_mode, return_indices },
                average: AvgPool2d {
                    kernel,
                    stride: Some(stride),
                    padding,
                    ceil_mode,
                    count_include_pad,
                    divisor_override: divisor,
                },
                adaptive_max: AdaptiveMaxPool2d { output, return_indices },
                adaptive_average: AdaptiveAvgPool2d { output },
            }
        },
    )
}

fn plane() -> impl Strategy<Value = Vec<usize>> {
    (0usize..=3, 0usize..=4, side(), side()).prop_map(|(n, c, h, w)| vec![n, c, h, w])
}

/// Pooling with padding below the kernel's sides, and a plane that the dilated kernel fits into.
fn fitting() -> impl Strategy<Value = (Pools, Vec<usize>)> {
    (pools(mostly_small(), 0usize..=3), plane()).prop_map(|(mut pools, mut shape)| {
        for side in 0..2 {
            let most = pools.max.kernel[side] - 1;
            for edge in [side, side + 2] {
                pools.max.padding[edge] = pools.max.padding[edge].min(most);
            }
            shape[side + 2] = shape[side + 2].max(most * pools.max.dilation[side] + 1);
        }
        pools.average.padding = pools.max.padding;
        (pools, shape)
    })
}

/// The ops that take a plane; whatever is refused is none of these properties' business.
fn taken<'a>(pools: &'a Pools, shape: &[usize]) -> impl Iterator<Item = &'a dyn Twin> {
    let layout = Layout::new(shape, DType::F32);
    pools.ops().into_iter().filter(move |op| op.infer(std::slice::from_ref(&layout)).is_ok())
}

fn mostly_small() -> impl Strategy<Value = usize> + Clone {
    prop_oneof![6 => 1usize..=4, 1 => 5usize..=9]
}

#[test]
fn windows_hold_what_the_twin_finds() {
    let ran = Cell::new([0; 4]);
    run(64, (fitting(), any::<u64>()), |((pools, shape), seed)| {
        // Whole numbers draw level often, which the first of equals has to win.
        for exact in [true, false] {
            for op in taken(&pools, &shape) {
                let averages = op.name().contains("avg");
                correct(op, &data(seed, std::slice::from_ref(&shape), exact), !averages)?;
                let mut count = ran.get();
                count[pools.ops().iter().position(|other| other.name() == op.name()).unwrap_or(0)] += 1;
                ran.set(count);
            }
        }
        Ok(())
    });
    assert!(ran.get().iter().all(|&count| count > 16), "most windows have to be taken: {ran:?}");
}

#[test]
fn any_windows_are_planned_or_refused() {
    let size = || prop_oneof![3 => 0usize..=20, 1 => any_value()];
    let shape = prop::collection::vec(size(), 4).prop_map(|shape| vec![Layout::new(&shape, DType::F32)]);
    let inputs = prop_oneof![5 => shape, 1 => any_layouts(4)];
    let padding = prop_oneof![3 => 0usize..=2, 1 => any_value()];
    run(2000, (class(), pools(any_value().boxed(), padding), inputs), |(class, pools, inputs)| {
        pools.ops().into_iter().try_for_each(|op| planned(class, op, &inputs))
    });
}

#[test]
fn lesser_devices_are_kept_to() {
    let ran = Cell::new(0);
    run(48, (lack(), pools(mostly_small(), 0usize..=3), plane(), any::<u64>()), |(lack, pools, shape, seed)| {
        for op in taken(&pools, &shape) {
            let input = data(seed, std::slice::from_ref(&shape), false);
            ran.set(ran.get() + usize::from(limited(&lack, op, &input, false)?));
        }
        Ok(())
    });
    assert!(devices().is_empty() || ran.get() > 0, "a lesser device has to run something");
}
