//! Properties of elementwise ops, padding and concatenation.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use tilewise::reference::Twin;
use tilewise::verify::devices;
use tilewise::{BatchNorm, Binary, BinaryKind, Concat, DType, Layout, Pad, PadMode, Unary, UnaryKind};
use tilewise_properties::{activation, any_layouts, any_value, class, correct, data, lack, limited, planned, run};

/// An op with the shapes of its inputs, and whether whole numbers come out to the bit.
type Case = (Box<dyn Twin>, Vec<Vec<usize>>, bool);

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 1usize..=5, 1 => Just(0), 1 => select(vec![31usize, 64, 65, 130])]
}

fn unary() -> impl Strategy<Value = Case> {
    (prop::collection::vec(size(), 0..=4), select(UnaryKind::ALL.to_vec()), activation()).prop_map(
        |(shape, kind, activation)| {
            let kind = if matches!(kind, UnaryKind::Activation(_)) { UnaryKind::Activation(activation) } else { kind };
            let exact = matches!(kind, UnaryKind::Neg | UnaryKind::Abs | UnaryKind::Sign | UnaryKind::Floor);
            (Box::new(Unary { kind }) as Box<dyn Twin>, vec![shape], exact)
        },
    )
}

/// Two shapes that broadcast: both are one shape with some sizes 1, and leading dimensions left out.
fn binary() -> impl Strategy<Value = Case> {
    let side = || (any::<[bool; 6]>(), any::<Index>());
    (prop::collection::vec(size(), 0..=6), select(BinaryKind::ALL.to_vec()), side(), side()).prop_map(
        |(shape, kind, x, y)| {
            let of = |(flat, skip): ([bool; 6], Index)| -> Vec<usize> {
                let sizes: Vec<usize> = shape.iter().zip(flat).map(|(&size, one)| if one { 1 } else { size }).collect();
                sizes[skip.index(shape.len() + 1)..].to_vec()
            };
            let exact = !matches!(kind, BinaryKind::Div | BinaryKind::Pow);
            (Box::new(Binary { kind }) as Box<dyn Twin>, vec![of(x), of(y)], exact)
        },
    )
}

fn batch_norm() -> impl Strategy<Value = Case> {
    (prop::collection::vec(size(), 2..=5), activation()).prop_map(|(shape, activation)| {
        let c = vec![shape[1]];
        // Whole numbers go down to -8: the variance has to stay above 0.
        let op = BatchNorm { epsilon: 9.0, activation };
        (Box::new(op) as Box<dyn Twin>, vec![shape, c.clone(), c.clone(), c.clone(), c], false)
    })
}

/// Padding that every mode can fill, and cropping.
fn pad() -> impl Strategy<Value = Case> {
    let mode = select(vec![PadMode::Constant(7.0), PadMode::Reflect, PadMode::Replicate, PadMode::Circular]);
    let dim = (size(), -3isize..=6, -3isize..=6);
    (prop::collection::vec(dim, 0..=6), mode, any::<[bool; 6]>()).prop_map(|(dims, mode, plain)| {
        let (mut shape, mut padding) = (Vec::new(), Vec::new());
        for ((size, before, after), plain) in dims.into_iter().zip(plain) {
            let most = match mode {
                PadMode::Constant(_) => 6,
                PadMode::Replicate => {
                    if size == 0 {
                        0
                    } else {
                        6
                    }
                }
                PadMode::Reflect => size.saturating_sub(1) as isize,
                PadMode::Circular => size as isize,
            };
            let fit = |side: isize| if plain { 0 } else { side.clamp(-(size as isize) / 2, most) };
            shape.push(size);
            padding.push([fit(before), fit(after)]);
        }
        (Box::new(Pad { padding, mode }) as Box<dyn Twin>, vec![shape], true)
    })
}

fn concat() -> impl Strategy<Value = Case> {
    (prop::collection::vec(size(), 1..=4), any::<Index>(), prop::collection::vec(0usize..=70, 1..=5)).prop_map(
        |(shape, dim, sizes)| {
            let dim = dim.index(shape.len());
            let part =
                |&size: &usize| shape.iter().enumerate().map(|(i, &s)| if i == dim { size } else { s }).collect();
            (Box::new(Concat { dim }) as Box<dyn Twin>, sizes.iter().map(part).collect(), true)
        },
    )
}

fn check(cases: u32, strategy: impl Strategy<Value = Case>) {
    run(cases, (strategy, any::<u64>(), any::<bool>()), |((op, shapes, exact), seed, whole)| {
        correct(&*op, &data(seed, &shapes, whole), exact && whole)
    });
}

#[test]
fn functions_of_one_tensor_agree() {
    check(96, unary());
}

#[test]
fn functions_of_two_tensors_agree() {
    check(128, binary());
}

#[test]
fn batch_norm_agrees() {
    check(48, batch_norm());
}

#[test]
fn padding_agrees() {
    check(128, pad());
}

#[test]
fn concatenation_agrees() {
    check(48, concat());
}

/// Ops with any options.
fn any_op() -> impl Strategy<Value = Box<dyn Twin>> {
    let side = || prop_oneof![3 => -3isize..=6, 1 => any::<isize>()];
    let padding = prop::collection::vec((side(), side()).prop_map(|(before, after)| [before, after]), 0..=7);
    let value = prop_oneof![Just(0.0), Just(0.5), Just(f64::NAN), Just(1e300), any::<f64>()];
    let mode = (0usize..4, value).prop_map(|(mode, value)| {
        [PadMode::Constant(value), PadMode::Reflect, PadMode::Replicate, PadMode::Circular][mode]
    });
    prop_oneof![
        1 => select(UnaryKind::ALL.to_vec()).prop_map(|kind| Box::new(Unary { kind }) as Box<dyn Twin>),
        3 => select(BinaryKind::ALL.to_vec()).prop_map(|kind| Box::new(Binary { kind }) as Box<dyn Twin>),
        1 => (any::<f32>(), activation()).prop_map(|(epsilon, activation)| {
            Box::new(BatchNorm { epsilon, activation }) as Box<dyn Twin>
        }),
        3 => (padding, mode).prop_map(|(padding, mode)| Box::new(Pad { padding, mode }) as Box<dyn Twin>),
        1 => any_value().prop_map(|dim| Box::new(Concat { dim }) as Box<dyn Twin>),
    ]
}

#[test]
fn any_options_are_planned_or_refused() {
    let size = || prop_oneof![3 => 0usize..=20, 1 => any_value()];
    let several = prop::collection::vec(prop::collection::vec(size(), 0..=7), 0..=5)
        .prop_map(|shapes| shapes.iter().map(|shape| Layout::new(shape, DType::F32)).collect());
    let alike = (prop::collection::vec(size(), 0..=7), 1usize..=5)
        .prop_map(|(shape, count)| vec![Layout::new(&shape, DType::F32); count]);
    let inputs = prop_oneof![2 => several, 2 => alike, 1 => any_layouts(3)];
    run(3000, (class(), any_op(), inputs), |(class, op, inputs)| planned(class, &*op, &inputs));
}

#[test]
fn lesser_devices_are_kept_to() {
    let ran = Cell::new(0);
    let case = prop_oneof![unary(), binary(), batch_norm(), pad(), concat()];
    run(96, (lack(), case, any::<u64>()), |(lack, (op, shapes, exact), seed)| {
        ran.set(ran.get() + usize::from(limited(&lack, &*op, &data(seed, &shapes, true), exact)?));
        Ok(())
    });
    assert!(devices().is_empty() || ran.get() > 0, "a lesser device has to run something");
}
