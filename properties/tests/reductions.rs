//! Properties of reductions, softmax and permutations.

use std::cell::Cell;

use proptest::prelude::*;
use tilewise::reference::{HostTensor, Random, Twin};
use tilewise::verify::devices;
use tilewise::{DType, Layout, LogSoftmax, Permute, Reduce, ReduceKind, Softmax};
use tilewise_properties::{any_layouts, any_value, class, correct, data, lack, limited, planned, run};

const KINDS: [ReduceKind; 6] =
    [ReduceKind::Sum, ReduceKind::Mean, ReduceKind::Max, ReduceKind::Min, ReduceKind::ArgMax, ReduceKind::ArgMin];

/// An op on one tensor of a shape, with the element type.
type Case = (Vec<usize>, DType, Box<dyn Twin>);

/// Up to six dimensions, few of them long, sometimes none.
fn shape(rank: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<usize>> {
    let short = prop_oneof![8 => 1usize..=4, 1 => Just(0)];
    let long = prop::sample::select(vec![1usize, 7, 20, 31, 33, 63, 65, 129, 300]);
    (prop::collection::vec(short, rank), long, any::<prop::sample::Index>()).prop_map(|(mut shape, long, at)| {
        if !shape.is_empty() {
            let dim = at.index(shape.len());
            shape[dim] = long;
        }
        shape
    })
}

fn reduce() -> impl Strategy<Value = Case> {
    let kind = prop::sample::select(KINDS.to_vec());
    let dtype = prop::sample::select(vec![DType::F32, DType::F32, DType::I32, DType::U32]);
    (shape(0..=6), kind, dtype, any::<[bool; 2]>(), any::<[bool; 6]>()).prop_map(
        |(mut shape, kind, dtype, [keep_dims, last], chosen)| {
            let dims: Vec<usize> = (0..shape.len()).filter(|&dim| chosen[dim]).collect();
            // Indices are found along one dimension, and nothing has no largest value.
            let index = matches!(kind, ReduceKind::ArgMax | ReduceKind::ArgMin);
            let dims = if index { dims.into_iter().take(1).collect() } else { dims };
            if !matches!(kind, ReduceKind::Sum | ReduceKind::Mean) {
                shape.iter_mut().for_each(|size| *size = (*size).max(1));
            }
            let dtype = if kind == ReduceKind::Mean { DType::F32 } else { dtype };
            (shape, dtype, Box::new(Reduce { kind, dims, keep_dims, last }) as Box<dyn Twin>)
        },
    )
}

fn softmax() -> impl Strategy<Value = Case> {
    (shape(1..=5), any::<prop::sample::Index>(), any::<bool>()).prop_map(|(shape, dim, log)| {
        let dim = dim.index(shape.len());
        let op: Box<dyn Twin> = if log { Box::new(LogSoftmax { dim }) } else { Box::new(Softmax { dim }) };
        (shape, DType::F32, op)
    })
}

fn permute() -> impl Strategy<Value = Case> {
    let dims = |rank: usize| Just((0..rank).collect::<Vec<usize>>()).prop_shuffle();
    let dtype = prop::sample::select(vec![DType::F32, DType::I32, DType::U32]);
    (shape(0..=6).prop_flat_map(move |shape| (dims(shape.len()), Just(shape))), dtype)
        .prop_map(|((dims, shape), dtype)| (shape, dtype, Box::new(Permute { dims }) as Box<dyn Twin>))
}

/// Values for a case: few different ones where `level`, so that maxima draw.
fn input(seed: u64, shape: &[usize], dtype: DType, level: bool) -> HostTensor {
    let len: usize = shape.iter().product();
    let mut random = Random::new(seed);
    match dtype {
        DType::I32 if level => {
            HostTensor::new(shape, &(0..len).map(|_| random.below(5) as i32 - 2).collect::<Vec<_>>())
        }
        DType::I32 => HostTensor::new(shape, &(0..len).map(|_| random.bits() as i32).collect::<Vec<_>>()),
        DType::U32 if level => HostTensor::new(shape, &(0..len).map(|_| random.below(3) as u32).collect::<Vec<_>>()),
        DType::U32 => HostTensor::new(shape, &(0..len).map(|_| random.bits() as u32).collect::<Vec<_>>()),
        _ => return data(seed, &[shape.to_vec()], level).swap_remove(0),
    }
    .unwrap()
}

/// Whether results must come out to the bit: whole numbers always but for quotients and exponentials.
fn is_exact(op: &dyn Twin, dtype: DType, level: bool) -> bool {
    let rounds = op.name().contains("softmax") || format!("{op:?}").contains("Mean");
    !rounds && (level || dtype != DType::F32)
}

fn check(cases: u32, strategy: impl Strategy<Value = Case>) {
    run(cases, (strategy, any::<u64>(), any::<bool>()), |((shape, dtype, op), seed, level)| {
        correct(&*op, &[input(seed, &shape, dtype, level)], is_exact(&*op, dtype, level))
    });
}

#[test]
fn reductions_agree() {
    check(96, reduce());
}

#[test]
fn softmax_agrees() {
    check(32, softmax());
}

#[test]
fn permutations_agree() {
    check(64, permute());
}

/// Ops with any dimensions, on layouts that have them or not.
fn any_op() -> impl Strategy<Value = Box<dyn Twin>> {
    let dim = || prop_oneof![5 => 0usize..=5, 1 => any_value()];
    let dims = || prop::collection::vec(dim(), 0..=6);
    let kind = prop::sample::select(KINDS.to_vec());
    prop_oneof![
        3 => (kind, dims(), any::<[bool; 2]>()).prop_map(|(kind, dims, [keep_dims, last])| {
            Box::new(Reduce { kind, dims, keep_dims, last }) as Box<dyn Twin>
        }),
        1 => dim().prop_map(|dim| Box::new(Softmax { dim }) as Box<dyn Twin>),
        1 => dim().prop_map(|dim| Box::new(LogSoftmax { dim }) as Box<dyn Twin>),
        1 => dims().prop_map(|dims| Box::new(Permute { dims }) as Box<dyn Twin>),
        2 => Just((0..6).collect::<Vec<usize>>()).prop_shuffle().prop_map(|dims| {
            Box::new(Permute { dims }) as Box<dyn Twin>
        }),
    ]
}

#[test]
fn any_dimensions_are_planned_or_refused() {
    let size = prop_oneof![3 => 0usize..=20, 1 => any_value()];
    let one = prop::collection::vec(size, 6).prop_map(|shape| vec![Layout::new(&shape, DType::F32)]);
    let inputs = prop_oneof![4 => one, 1 => any_layouts(4)];
    run(2000, (class(), any_op(), inputs), |(class, op, inputs)| planned(class, &*op, &inputs));
}

#[test]
fn lesser_devices_are_kept_to() {
    let ran = Cell::new(0);
    let case = prop_oneof![reduce(), softmax(), permute()];
    run(64, (lack(), case, any::<u64>()), |(lack, (shape, dtype, op), seed)| {
        let exact = is_exact(&*op, dtype, true);
        ran.set(ran.get() + usize::from(limited(&lack, &*op, &[input(seed, &shape, dtype, true)], exact)?));
        Ok(())
    });
    assert!(devices().is_empty() || ran.get() > 0, "a lesser device has to run something");
}
