//! Masks against PyTorch's, and what pruning promises of them.

mod common;

use std::collections::BTreeMap;

use common::{device, u32s};
use safetensors::SafeTensors;
use serde_json::Value;
use tilewise::prune::{Channels, Layer, prune_global, search, sensitivity};
use tilewise::reference::{HostTensor, Random};
use tilewise::verify::{self, devices};
use tilewise::{Amount, Conv2d, Criterion, Error, Gpu, IndexSelect, Mask, Matmul, Pruned, Tensor};

/// A file of the folder of data.
fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn floats(tensors: &SafeTensors, name: &str) -> (Vec<usize>, Vec<f32>) {
    let view = tensors.tensor(name).unwrap();
    let values = view.data().chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
    (view.shape().to_vec(), values.collect())
}

/// The bits of a packed mask.
fn bools(tensors: &SafeTensors, name: &str, len: usize) -> Vec<bool> {
    let data = tensors.tensor(name).unwrap().data().to_vec();
    (0..len).map(|at| data[at / 8] >> (at % 8) & 1 == 1).collect()
}

fn amount(step: &Value) -> Amount {
    match (step["amount"]["fraction"].as_f64(), step["amount"]["count"].as_u64()) {
        (Some(fraction), _) => Amount::Fraction(fraction),
        (_, Some(count)) => Amount::Count(count as usize),
        _ => panic!("no amount: {step}"),
    }
}

fn order(step: &Value) -> f64 {
    match step["n"].as_str() {
        Some("inf") => f64::INFINITY,
        Some("-inf") => f64::NEG_INFINITY,
        _ => step["n"].as_f64().unwrap(),
    }
}

/// The scores that random numbers stand for, in their places among what is left; what is not left has none.
fn spread(left: &[bool], drawn: &[f32], score: impl Fn(f32) -> f32) -> Vec<f32> {
    let mut drawn = drawn.iter();
    left.iter().map(|&left| if left { score(*drawn.next().unwrap()) } else { 0.0 }).collect()
}

struct Fixtures<'a> {
    own: SafeTensors<'a>,
    model: SafeTensors<'a>,
}

impl Fixtures<'_> {
    fn weights(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        match name.split_once(':').unwrap() {
            ("model", name) => floats(&self.model, name),
            (_, name) => floats(&self.own, &format!("weight.{name}")),
        }
    }

    /// Does what a case says.
    fn prune(&self, gpu: &Gpu, case: &Value) -> Vec<Pruned> {
        let name = case["name"].as_str().unwrap();
        let mut pruned: Vec<Pruned> = case["weights"]
            .as_array()
            .unwrap()
            .iter()
            .map(|weights| {
                let (shape, values) = self.weights(weights.as_str().unwrap());
                Pruned::new(gpu, &gpu.tensor(&shape, &values).unwrap()).unwrap()
            })
            .collect();
        for (number, step) in case["steps"].as_array().unwrap().iter().enumerate() {
            let criterion = step["criterion"].as_str().unwrap();
            if criterion == "global_l1" {
                let mut all: Vec<&mut Pruned> = pruned.iter_mut().collect();
                prune_global(gpu, &mut all, &Criterion::L1Unstructured, amount(step)).unwrap();
                continue;
            }
            let own = &mut pruned[step["tensor"].as_u64().unwrap_or(0) as usize];
            let shape = own.mask().shape().to_vec();
            let axis = || {
                let dim = step["dim"].as_i64().unwrap();
                (if dim < 0 { dim + shape.len() as i64 } else { dim }) as usize
            };
            let scores = || floats(&self.own, &format!("scores.{name}.{number}")).1;
            let drew = self.own.tensor(&format!("scores.{name}.{number}")).is_ok();
            match criterion {
                "l1_unstructured" => own.prune(gpu, &Criterion::L1Unstructured, amount(step)).unwrap(),
                "ln_structured" => {
                    let criterion = Criterion::LnStructured { n: order(step), axis: axis() };
                    own.prune(gpu, &criterion, amount(step)).unwrap();
                }
                "custom" => {
                    let kept = bools(&self.own, &format!("custom.{name}.{number}"), shape.iter().product());
                    own.prune_mask(gpu, &Mask::of_bools(gpu, &shape, &kept).unwrap()).unwrap();
                }
                // The largest numbers are pruned: they are multiples of 2^-24, so that the difference is exact.
                "random_unstructured" if drew => {
                    let left = own.mask().to_bools(gpu).unwrap();
                    let scores = spread(&left, &scores(), |drawn| 1.0 - drawn);
                    own.prune_by(gpu, &gpu.tensor(&shape, &scores).unwrap(), amount(step)).unwrap();
                }
                "random_structured" if drew => {
                    let left = own.left(gpu, axis()).unwrap();
                    let scores = spread(&left, &scores(), |drawn| drawn);
                    own.prune_slices_by(gpu, &gpu.tensor(&[scores.len()], &scores).unwrap(), axis(), amount(step))
                        .unwrap();
                }
                // Nothing was drawn, as nothing is to be pruned.
                "random_unstructured" | "random_structured" => {}
                other => panic!("{other}"),
            }
        }
        pruned
    }
}

#[test]
fn masks_are_those_of_pytorch() {
    let (own, model) = (file("pruning/fixtures.safetensors"), file("fashion-mnist/model.safetensors"));
    let (_, metadata) = SafeTensors::read_metadata(&own).unwrap();
    let cases: Value = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["cases"]).unwrap();
    let fixtures =
        Fixtures { own: SafeTensors::deserialize(&own).unwrap(), model: SafeTensors::deserialize(&model).unwrap() };
    // The emulator takes a minute for the large ones, and has its own proof of the same kernels.
    let gpu = device().unwrap_or(&devices()[0]);
    let (mut identical, mut tied) = (0, 0);
    for case in cases.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let pruned = fixtures.prune(gpu, case);
        for (number, own) in pruned.iter().enumerate() {
            let found = own.mask().to_bools(gpu).unwrap();
            let expected = bools(&fixtures.own, &format!("mask.{name}.{number}"), found.len());
            let zeros = |mask: &[bool]| mask.iter().filter(|kept| !**kept).count();
            if case["distinct"].as_bool().unwrap() {
                assert_eq!(found, expected, "{name}: weight {number}");
                identical += 1;
            } else if case["steps"].as_array().unwrap().len() == 1 {
                // The same count; and of weights, the same threshold, up to which all are pruned.
                assert_eq!(zeros(&found), zeros(&expected), "{name}: weight {number}");
                tied += 1;
            }
            assert_eq!(own.mask().kept(), found.len() - zeros(&found), "{name}");
        }
        if let (Some(threshold), [step]) = (case["threshold"].as_f64(), &case["steps"].as_array().unwrap()[..])
            && ["l1_unstructured", "global_l1"].contains(&step["criterion"].as_str().unwrap())
        {
            let pruned_most = pruned.iter().flat_map(|own| {
                let kept = own.mask().to_bools(gpu).unwrap();
                let values = gpu.download(own.original()).unwrap();
                values.into_iter().zip(kept).filter(|(_, kept)| !kept).map(|(value, _)| value.abs()).collect::<Vec<_>>()
            });
            assert_eq!(pruned_most.fold(0.0, f32::max), threshold as f32, "{name}");
        }
    }
    assert!(identical > 300 && tied > 10, "{identical} {tied}");
}

fn random(gpu: &Gpu, seed: u64, shape: &[usize]) -> Tensor<f32> {
    gpu.tensor(shape, &Random::new(seed).floats(shape.iter().product())).unwrap()
}

#[test]
fn exactly_what_was_asked_for_is_zero() {
    for gpu in devices() {
        let weights = random(gpu, 1, &[24, 5, 3, 3]);
        for (criterion, slice) in [
            (Criterion::L1Unstructured, 1),
            (Criterion::RandomUnstructured { seed: 7 }, 1),
            (Criterion::LnStructured { n: 1.0, axis: 0 }, 45),
            (Criterion::LnStructured { n: f64::NEG_INFINITY, axis: 1 }, 24 * 9),
            (Criterion::RandomStructured { seed: 3, axis: 1 }, 24 * 9),
            (Criterion::Blocks { size: [4, 15], n: 2.0 }, 60),
        ] {
            let mut pruned = Pruned::new(gpu, &weights).unwrap();
            let mut zeros = 0;
            for count in [0, 2, 1] {
                let before = pruned.mask().to_bools(gpu).unwrap();
                pruned.prune(gpu, &criterion, Amount::Count(count)).unwrap();
                zeros += count * slice;
                let after = pruned.mask().to_bools(gpu).unwrap();
                assert!(before.iter().zip(&after).all(|(before, after)| *before || !after), "{criterion:?} revives");
                let values = gpu.download(pruned.weights()).unwrap();
                assert_eq!(values.iter().filter(|value| **value == 0.0).count(), zeros, "{criterion:?}");
            }
            // A mask times its weights is what is left for good, also after an update.
            let new = random(gpu, 2, &[24, 5, 3, 3]);
            pruned.update(gpu, &new).unwrap();
            let kept = pruned.mask().to_bools(gpu).unwrap();
            let product: Vec<f32> = gpu
                .download(&new)
                .unwrap()
                .iter()
                .zip(kept)
                .map(|(value, kept)| if kept { *value } else { 0.0 })
                .collect();
            assert_eq!(gpu.download(&pruned.remove()).unwrap(), product);
        }
    }
}

#[test]
fn random_masks_are_those_of_their_seed() {
    let gpu = &devices()[0];
    let weights = random(gpu, 1, &[30, 40]);
    let mask = |seed| {
        let mut pruned = Pruned::new(gpu, &weights).unwrap();
        pruned.prune(gpu, &Criterion::RandomUnstructured { seed }, Amount::Fraction(0.5)).unwrap();
        assert_eq!(pruned.mask().kept(), 600);
        pruned.mask().to_bools(gpu).unwrap()
    };
    assert_eq!(mask(1), mask(1));
    let differing = mask(1).iter().zip(mask(2)).filter(|(x, y)| **x != *y).count();
    assert!((400..800).contains(&differing), "{differing}");
}

#[test]
fn groups_are_kept_by_row_and_by_vector() {
    for gpu in devices() {
        let shape = [37, 30];
        let weights = random(gpu, 5, &shape);
        let values = gpu.download(&weights).unwrap();
        for outputs in [1, 16] {
            let mut pruned = Pruned::new(gpu, &weights).unwrap();
            pruned.prune_groups(gpu, 2, 4, outputs).unwrap();
            let kept = pruned.mask().to_bools(gpu).unwrap();
            for first in (0..37).step_by(outputs) {
                let rows = first..(first + outputs).min(37);
                for column in (0..30).step_by(4) {
                    let sum = |column: usize| rows.clone().map(|row| values[row * 30 + column].abs()).sum::<f32>();
                    let columns = column..(column + 4).min(30);
                    let mut order: Vec<usize> = columns.clone().collect();
                    order.sort_by(|x, y| sum(*y).total_cmp(&sum(*x)));
                    for column in columns {
                        let among = order[..2.min(order.len())].contains(&column);
                        assert!(rows.clone().all(|row| kept[row * 30 + column] == among), "{first} {column}");
                    }
                }
            }
        }
    }
}

#[test]
fn nan_is_ordered_last_and_never_pruned_silently() {
    for gpu in devices() {
        let mut values = Random::new(9).floats(100);
        values[3] = f32::NAN;
        values[50] = -f32::NAN;
        let weights = gpu.tensor(&[10, 10], &values).unwrap();
        let mut pruned = Pruned::new(gpu, &weights).unwrap();
        pruned.prune(gpu, &Criterion::L1Unstructured, Amount::Count(98)).unwrap();
        let kept = pruned.mask().to_bools(gpu).unwrap();
        assert!(kept[3] && kept[50]);
        let error = pruned.prune(gpu, &Criterion::L1Unstructured, Amount::Count(1)).unwrap_err();
        assert_eq!(error, Error::NotANumber { op: "prune", count: 1 });
        assert_eq!(pruned.mask().kept(), 2, "nothing is lost on an error");
        let mut rows = Pruned::new(gpu, &weights).unwrap();
        rows.prune(gpu, &Criterion::LnStructured { n: 2.0, axis: 0 }, Amount::Count(8)).unwrap();
        let error = rows.prune(gpu, &Criterion::LnStructured { n: 2.0, axis: 0 }, Amount::Fraction(1.0)).unwrap_err();
        assert!(matches!(error, Error::NotANumber { count: 2, .. }), "{error}");
    }
}

#[test]
fn bad_input_is_refused_by_name() {
    let gpu = &devices()[0];
    let weights = random(gpu, 1, &[4, 6]);
    let mut pruned = Pruned::new(gpu, &weights).unwrap();
    let l1 = Criterion::L1Unstructured;
    for amount in [Amount::Fraction(-0.1), Amount::Fraction(1.5), Amount::Fraction(f64::NAN), Amount::Count(25)] {
        let error = pruned.prune(gpu, &l1, amount).unwrap_err();
        assert!(matches!(error, Error::Option { option: "amount", .. }), "{error}");
    }
    let structured = |n, axis| Criterion::LnStructured { n, axis };
    for (criterion, option) in [
        (structured(2.0, 2), "axis"),
        (structured(0.0, 0), "n"),
        (structured(f64::NAN, 0), "n"),
        (Criterion::RandomStructured { seed: 1, axis: 5 }, "axis"),
        (Criterion::Blocks { size: [0, 4], n: 2.0 }, "block"),
        (Criterion::Blocks { size: [4, 64], n: 2.0 }, "block"),
    ] {
        let error = pruned.prune(gpu, &criterion, Amount::Count(1)).unwrap_err();
        assert!(matches!(error, Error::Option { option: found, .. } if found == option), "{criterion:?} {error}");
    }
    let groups = pruned.prune_groups(gpu, 5, 4, 1).unwrap_err();
    assert!(matches!(groups, Error::Option { option: "keep:group", .. }), "{groups}");
    let other = Mask::full(gpu, &[6, 4]).unwrap();
    assert!(matches!(pruned.prune_mask(gpu, &other).unwrap_err(), Error::Shape { .. }));
    assert!(matches!(pruned.update(gpu, &random(gpu, 1, &[5, 5])).unwrap_err(), Error::Shape { .. }));
    assert!(matches!(Mask::of_words(gpu, &[40], &[1]).unwrap_err(), Error::Length { .. }));
    assert!(matches!(Mask::of_words(gpu, &[40], &[1, 1 << 8]).unwrap_err(), Error::Corrupt { .. }));
    let global = prune_global(gpu, &mut [&mut pruned], &structured(2.0, 0), Amount::Count(1)).unwrap_err();
    assert!(matches!(global, Error::Option { option: "criterion", .. }), "{global}");
    assert_eq!(pruned.mask().kept(), 24);
}

#[test]
fn slices_are_selected() {
    let mut random = Random::new(3);
    for gpu in devices() {
        for (axis, indices) in
            [(0, vec![0, 1, 4]), (1, vec![2, 0, 0, 1]), (2, vec![6]), (1, vec![]), (0, (0..5).collect())]
        {
            let x = HostTensor::new(&[5, 3, 7], &random.floats(105)).unwrap();
            for report in verify::candidates(gpu, &IndexSelect { axis, indices }, std::slice::from_ref(&x)).unwrap() {
                report.assert_strict();
                assert_eq!(report.exact_mismatches, 0, "{report}");
            }
        }
    }
    let (axis, indices) = (0, vec![5]);
    let x = u32s(&[1, 2, 3]).layout();
    let error = tilewise::Op::infer(&IndexSelect { axis, indices }, &[x]).unwrap_err();
    assert!(matches!(error, Error::Option { option: "indices", .. }), "{error}");
}

/// The smaller network computes what the masked one does.
#[test]
fn channels_that_are_pruned_are_taken_out() {
    for gpu in devices() {
        // Whole numbers up to 8: sums stay below 27 * 8^2 * 72 * 8 < 2^24, so that they are exact in any order.
        let integers =
            |seed, shape: &[usize]| gpu.tensor(shape, &Random::new(seed).integers(shape.iter().product())).unwrap();
        let [conv, fc] = [integers(1, &[8, 3, 3, 3]), integers(2, &[5, 8 * 9])];
        let x = integers(3, &[2, 3, 5, 5]);
        let mut filters = Pruned::new(gpu, &conv).unwrap();
        filters.prune(gpu, &Criterion::LnStructured { n: 2.0, axis: 0 }, Amount::Count(3)).unwrap();
        let channels = Channels::of(gpu, &filters).unwrap();
        assert_eq!(channels.kept().len(), 5);
        let network = |conv: &Tensor<f32>, fc: &Tensor<f32>| {
            let y = gpu.conv2d(&Conv2d::default(), &x, conv, None).unwrap();
            let rows = y.reshape(&[2, y.len() / 2]).unwrap();
            let linear = Matmul { transpose_b: true, ..Default::default() };
            gpu.download(&gpu.apply::<f32>(&linear, &[&rows, fc]).unwrap()).unwrap()
        };
        let masked = network(filters.weights(), &fc);
        let conv = channels.outputs(gpu, filters.weights()).unwrap();
        let fc = channels.inputs(gpu, &fc, 9).unwrap();
        assert_eq!((conv.shape(), fc.shape()), (&[5, 3, 3, 3][..], &[5, 45][..]));
        let small = network(&conv, &fc);
        assert_eq!(masked, small);
        assert!(small.iter().any(|x| *x != 0.0));
        assert!(matches!(channels.inputs(gpu, &conv, 1).unwrap_err(), Error::Shape { .. }));
        assert!(matches!(Channels::listed(4, &[1, 1]).unwrap_err(), Error::Option { .. }));
    }
}

#[test]
fn amounts_are_found_within_a_loss() {
    let gpu = &devices()[0];
    let layers: Vec<Layer> = [("robust", 1), ("delicate", 2)]
        .map(|(name, seed)| Layer { name: name.into(), weights: random(gpu, seed, &[10, 10]) })
        .into();
    let importance: BTreeMap<usize, f64> = BTreeMap::from([(0, 0.001), (1, 0.01)]);
    // What is left of each layer, the second counting ten times as much.
    let metric = |weights: &[Tensor<f32>]| {
        let lost = |weights: &Tensor<f32>| gpu.download(weights).unwrap().iter().filter(|x| **x == 0.0).count() as f64;
        Ok(1.0 - weights.iter().enumerate().map(|(i, weights)| importance[&i] * lost(weights)).sum::<f64>())
    };
    let amounts = [0.25, 0.5, 0.75];
    let mut seen = Vec::new();
    let choice = (&Criterion::L1Unstructured, &amounts[..]);
    let table = sensitivity(gpu, &layers, choice, metric, |done, all| seen.push((done, all))).unwrap();
    assert_eq!((table.dense, table.trials.len(), seen.last()), (1.0, 6, Some(&(7, 7))));
    assert!((table.trials[5].metric - 0.25).abs() < 1e-9 && table.to_string().contains("delicate"), "{table}");
    let found = search(gpu, &layers, (choice.0, choice.1, 0.08), metric, |_, _| {}).unwrap();
    // 75 of the first cost 0.075, and no step of the second fits beside.
    assert_eq!(found.amounts, [0.75, 0.0]);
    assert!((found.metric - 0.925).abs() < 1e-9, "{found}");
    assert_eq!(found.pruned[0].mask().kept(), 25);
    let error = search(gpu, &layers, (choice.0, choice.1, -1.0), metric, |_, _| {}).unwrap_err();
    assert!(matches!(error, Error::Option { option: "budget", .. }), "{error}");
    let error = sensitivity(gpu, &layers, (choice.0, &[0.5, 0.2]), metric, |_, _| {}).unwrap_err();
    assert!(matches!(error, Error::Option { option: "amounts", .. }), "{error}");
}
