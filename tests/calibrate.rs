//! Calibration against what the same numbers say on the host.

use tilewise::reference::Random;
use tilewise::verify::devices;
use tilewise::{
    Calibrated, Calibration, Calibrator, DType, Error, Gpu, Granularity, QuantScheme, QuantType, QuantizedTensor,
};

const METHODS: [Calibration; 4] =
    [Calibration::MinMax, Calibration::Percentile(99.0), Calibration::Mse, Calibration::Entropy];

fn scheme(values: QuantType, symmetric: bool) -> QuantScheme {
    QuantScheme { values, symmetric, granularity: Granularity::Tensor, scales: DType::F32 }
}

/// Every scheme that activations have.
fn schemes() -> impl Iterator<Item = QuantScheme> {
    let types = [QuantType::I8, QuantType::U8, QuantType::I4];
    types.into_iter().flat_map(|values| [true, false].map(|symmetric| scheme(values, symmetric)))
}

/// Numbers that are close to normally distributed.
fn normal(random: &mut Random, len: usize) -> Vec<f32> {
    (0..len).map(|_| (0..12).map(|_| random.signed()).sum::<f32>() / 2.0).collect()
}

fn calibrated(gpu: &Gpu, scheme: QuantScheme, method: Calibration, batches: &[&[f32]]) -> Calibrated {
    let mut calibrator = Calibrator::new(scheme, method).unwrap();
    for batch in batches {
        calibrator.feed(gpu, &gpu.tensor(&[batch.len()], batch).unwrap()).unwrap();
    }
    calibrator.finish(gpu).unwrap()
}

/// What a number becomes, on the host.
fn kept(scheme: &QuantScheme, found: &Calibrated, x: f32) -> f64 {
    let [low, high] = scheme.values.range().map(f64::from);
    let zero = found.zeros.first().map_or(0.0, |&zero| zero.into());
    let q = (f64::from((x / found.scales[0]).round_ties_even()) + zero).clamp(low, high);
    (q - zero) * f64::from(found.scales[0])
}

fn squared_error(scheme: &QuantScheme, found: &Calibrated, x: &[f32]) -> f64 {
    x.iter().map(|&x| (f64::from(x) - kept(scheme, found, x)).powi(2)).sum()
}

#[test]
fn batches_are_as_good_as_one_in_any_order() {
    let gpu = &devices()[0];
    let mut random = Random::new(1);
    let mut x = normal(&mut random, 3000);
    // Ranges grow from batch to batch, and zeros are many.
    x.iter_mut().enumerate().for_each(|(at, x)| *x *= if at % 3 == 0 { 0.0 } else { 1.0 + at as f32 / 300.0 });
    for scheme in schemes() {
        for method in METHODS {
            let whole = calibrated(gpu, scheme, method, &[&x]);
            let parts = calibrated(gpu, scheme, method, &[&x[..10], &x[10..1500], &[], &x[1500..]]);
            let turned = calibrated(gpu, scheme, method, &[&x[1500..], &x[..1500]]);
            assert_eq!((&whole, &whole), (&parts, &turned), "{scheme} {method:?}");
            assert!(whole.scales[0].is_normal() && whole.scales[0] > 0.0, "{whole:?}");
            assert_eq!(whole.zeros.len(), usize::from(!scheme.symmetric));
        }
    }
}

/// The whole range gives the scales that quantizing all numbers at once does.
#[test]
fn min_and_max_are_those_of_all_batches() {
    for gpu in devices() {
        let mut random = Random::new(2);
        let x = normal(&mut random, 4 * 3 * 50);
        for scheme in schemes() {
            for granularity in [Granularity::Tensor, Granularity::Channel(1)] {
                for scales in [DType::F32, DType::F16] {
                    let scheme = QuantScheme { granularity, scales, ..scheme };
                    let mut calibrator = Calibrator::new(scheme, Calibration::MinMax).unwrap();
                    for batch in x.chunks(3 * 50) {
                        calibrator.feed(gpu, &gpu.tensor(&[1, 3, 50], batch).unwrap()).unwrap();
                    }
                    let found = calibrator.finish(gpu).unwrap();
                    if scales == DType::F16 && !gpu.profile().features.contains(tilewise::wgpu::Features::SHADER_F16) {
                        assert!(found.scales.iter().all(|&scale| half::f16::from_f32(scale).to_f32() == scale));
                        continue;
                    }
                    let all = gpu.tensor(&[4, 3, 50], &x).unwrap();
                    let whole = QuantizedTensor::quantize(gpu, &all, scheme).unwrap();
                    let given = QuantizedTensor::with_scales(gpu, &all, scheme, &found.scales, &found.zeros).unwrap();
                    for (plane, other) in whole.planes().iter().zip(given.planes()) {
                        let bytes =
                            |plane: &tilewise::AnyTensor| format!("{:?}", gpu.download_any(plane).unwrap().data);
                        assert_eq!(bytes(plane), bytes(other), "{scheme}");
                    }
                }
            }
        }
    }
}

/// Percentiles are those of the sorted numbers, up to a bin.
#[test]
fn percentiles_leave_out_the_largest() {
    let gpu = &devices()[0];
    let mut random = Random::new(3);
    let x = normal(&mut random, 5000);
    let near = |found: f32, exact: f32| {
        assert!(found >= exact && found <= exact * (1.0 + 1.0 / 1024.0), "{found} for {exact}");
    };
    for percent in [50.0, 99.0, 99.9, 100.0] {
        let mut sorted = x.clone();
        sorted.sort_by(f32::total_cmp);
        let mut magnitudes: Vec<f32> = x.iter().map(|x| x.abs()).collect();
        magnitudes.sort_by(f32::total_cmp);
        let dropped = ((1.0 - percent / 100.0) * 5000.0) as usize;
        let both = calibrated(gpu, scheme(QuantType::I8, true), Calibration::Percentile(percent), &[&x]).ranges[0];
        near(both[1].max(-both[0]), magnitudes[4999 - dropped]);
        let half = ((1.0 - percent / 100.0) * 2500.0) as usize;
        let ends = calibrated(gpu, scheme(QuantType::U8, false), Calibration::Percentile(percent), &[&x]).ranges[0];
        near(ends[1], sorted[4999 - half].max(0.0));
        near(-ends[0], (-sorted[half]).max(0.0));
        let above = calibrated(gpu, scheme(QuantType::U8, true), Calibration::Percentile(percent), &[&x]).ranges[0];
        near(above[1], sorted[4999 - dropped].max(0.0));
    }
}

/// No range of a fine grid has an error that is much less; with outliers, that of the whole range is much more.
#[test]
fn the_least_error_is_found() {
    let gpu = &devices()[0];
    let mut random = Random::new(4);
    let mut x = normal(&mut random, 4000);
    for outlier in [None, Some(60.0), Some(-500.0)] {
        x[17] = outlier.unwrap_or(x[17]);
        for scheme in schemes() {
            let found = calibrated(gpu, scheme, Calibration::Mse, &[&x]);
            let error = squared_error(&scheme, &found, &x);
            let whole = calibrated(gpu, scheme, Calibration::MinMax, &[&x]);
            assert!(error <= 1.001 * squared_error(&scheme, &whole, &x), "{scheme}");
            if scheme.symmetric {
                let least = (1..2000)
                    .map(|step| {
                        let scales = vec![whole.scales[0] * step as f32 / 2000.0];
                        squared_error(&scheme, &Calibrated { scales, ..whole.clone() }, &x)
                    })
                    .fold(f64::INFINITY, f64::min);
                assert!(error <= 1.02 * least, "{scheme} {outlier:?}: {error} {least}");
            }
        }
    }
    // Four bits of a bell: the tails are worth less than the middle.
    let bell = normal(&mut random, 4000);
    let scheme = scheme(QuantType::I4, true);
    let [mse, all] = [Calibration::Mse, Calibration::MinMax].map(|method| calibrated(gpu, scheme, method, &[&bell]));
    assert!(mse.scales[0] < 0.95 * all.scales[0], "{mse:?} {all:?}");
}

/// One number far outside loses less than the steps that it takes from all others.
#[test]
fn entropy_leaves_outliers_out() {
    let gpu = &devices()[0];
    let mut random = Random::new(5);
    let mut x = normal(&mut random, 20_000);
    x[3] = 30.0;
    for scheme in schemes() {
        let found = calibrated(gpu, scheme, Calibration::Entropy, &[&x]);
        let most = found.ranges[0][1];
        assert!(most > 1.0 && most < 15.0, "{scheme} {found:?}");
    }
    // What is spread evenly is kept whole.
    let even = random.floats(20_000);
    let found = calibrated(gpu, scheme(QuantType::I8, true), Calibration::Entropy, &[&even]);
    assert!(found.ranges[0][1] > 0.9, "{found:?}");
}

#[test]
fn every_tensor_has_a_scale() {
    let gpu = &devices()[0];
    for scheme in schemes() {
        for method in METHODS {
            for (x, ignored) in [
                (vec![0.0; 40], 0),
                (vec![-0.0; 40], 0),
                (vec![3.5; 40], 0),
                (vec![-3.5; 40], 0),
                (vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.0], 3),
                (vec![f32::NAN; 3], 3),
                (vec![f32::MAX, f32::MIN], 0),
                (vec![1e-40, -1e-41], 0),
                (vec![], 0),
            ] {
                let found = calibrated(gpu, scheme, method, &[&x]);
                let scale = found.scales[0];
                assert!(scale.is_normal() && scale > 0.0, "{scheme} {method:?} {x:?}: {found:?}");
                assert_eq!(found.ignored, if method == Calibration::MinMax { 0 } else { ignored }, "{method:?} {x:?}");
                let [low, high] = scheme.values.range();
                assert!(found.zeros.iter().all(|zero| (low..=high).contains(zero)), "{found:?}");
                // What is equal everywhere comes back, but for what a symmetric range of bytes without sign lacks.
                if x.len() == 40 && (x[0] >= 0.0 || scheme.values != QuantType::U8 || !scheme.symmetric) {
                    let near = kept(&scheme, &found, x[0]);
                    assert!((near - f64::from(x[0])).abs() <= 0.01 * 3.5, "{scheme} {method:?} {x:?}: {found:?}");
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_calibrated_is_refused() {
    let gpu = &devices()[0];
    let refused = |scheme, method| match Calibrator::new(scheme, method) {
        Err(Error::Option { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    let plain = scheme(QuantType::I8, true);
    let with = |granularity| QuantScheme { granularity, ..plain };
    assert_eq!(refused(with(Granularity::Block(32)), Calibration::MinMax), "granularity");
    for method in &METHODS[1..] {
        assert_eq!(refused(with(Granularity::Channel(0)), *method), "granularity");
    }
    for percent in [0.0, -1.0, 100.5, f64::NAN] {
        assert_eq!(refused(plain, Calibration::Percentile(percent)), "percentile");
    }
    assert_eq!(refused(scheme(QuantType::Binary, true), Calibration::MinMax), "values");
    let mut channels = Calibrator::new(with(Granularity::Channel(0)), Calibration::MinMax).unwrap();
    assert!(matches!(channels.finish(gpu), Err(Error::Count { found: 0, .. })));
    channels.feed(gpu, &gpu.tensor(&[2, 3], &[1.0f32; 6]).unwrap()).unwrap();
    let before = channels.finish(gpu).unwrap();
    let error = channels.feed(gpu, &gpu.tensor(&[3, 3], &[9.0f32; 9]).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
    assert_eq!(channels.finish(gpu).unwrap(), before);
    assert!(matches!(channels.feed(gpu, &gpu.tensor(&[2], &[1u32; 2]).unwrap()), Err(Error::DType { .. })));
}
