//! The comparator must be able to fail: a wrong value, a NaN, a wrong length, all zeros, and what is within bounds passes.

use tilewise::reference::{Expected, HostTensor, Select, Twin, Value};
use tilewise::verify::compare;
use tilewise::{Conflict, DType, Error, Finding, FindingKind, Matmul, Site};

fn inputs() -> [HostTensor; 2] {
    let ramp = |n: usize| (0..n).map(|i| i as f32 * 0.37 - 3.0).collect::<Vec<_>>();
    [HostTensor::new(&[4, 6], &ramp(24)).unwrap(), HostTensor::new(&[6, 5], &ramp(30)).unwrap()]
}

fn expected() -> Expected {
    Matmul::default().twin(&inputs(), &Select::All).unwrap().swap_remove(0)
}

fn right() -> Vec<f32> {
    expected().values.iter().map(|value| value.value as f32).collect()
}

#[test]
fn the_twins_own_values_pass() {
    let report = compare("test", 0, &HostTensor::new(&[4, 5], &right()).unwrap(), &expected()).unwrap();
    assert!(report.passed() && report.exact_mismatches == 0, "{report}");
}

#[test]
fn a_wrong_value_fails_where_it_is() {
    let mut values = right();
    values[13] += 0.01;
    let report = compare("test", 0, &HostTensor::new(&[4, 5], &values).unwrap(), &expected()).unwrap();
    assert!(!report.passed() && report.wrong == 1 && report.worst.index == 13, "{report}");
}

#[test]
fn nan_infinity_and_zeros_fail() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = right();
        values[7] = bad;
        let report = compare("test", 0, &HostTensor::new(&[4, 5], &values).unwrap(), &expected()).unwrap();
        assert!(!report.passed() && report.worst.index == 7, "{report}");
    }
    let report = compare("test", 0, &HostTensor::new(&[4, 5], &[0.0f32; 20]).unwrap(), &expected()).unwrap();
    assert_eq!(report.wrong, 20, "{report}");
}

#[test]
fn a_number_where_nan_is_expected_fails() {
    let expected =
        Expected { values: vec![Value::exact(f64::NAN)], indices: vec![0], shape: vec![1], dtype: DType::F32 };
    for (found, passes) in [(f32::NAN, true), (1.0, false)] {
        let report = compare("test", 0, &HostTensor::new(&[1], &[found]).unwrap(), &expected).unwrap();
        assert_eq!(report.passed(), passes, "{report}");
    }
}

#[test]
fn a_wrong_length_or_type_is_an_error() {
    let short = HostTensor::new(&[4, 4], &[0.0f32; 16]).unwrap();
    assert!(matches!(compare("test", 0, &short, &expected()), Err(Error::Length { .. })));
    let integers = HostTensor::new(&[4, 5], &[0i32; 20]).unwrap();
    assert!(matches!(compare("test", 0, &integers, &expected()), Err(Error::DType { .. })));
}

#[test]
#[should_panic(expected = "1 of 20 wrong")]
fn assert_panics_with_the_report() {
    let mut values = right();
    values[0] = f32::NAN;
    compare("test", 0, &HostTensor::new(&[4, 5], &values).unwrap(), &expected()).unwrap().assert();
}

#[test]
fn the_projection_sees_one_lost_row() {
    let mut values = right();
    values[5..10].fill(0.0);
    let output = HostTensor::new(&[4, 5], &values).unwrap();
    let projection = Matmul::default().project(&inputs(), &output, 1).unwrap();
    assert!(projection.worst_fraction > 1.0 && projection.row == 1, "{projection:?}");
    let output = HostTensor::new(&[4, 5], &right()).unwrap();
    assert!(Matmul::default().project(&inputs(), &output, 1).unwrap().worst_fraction <= 1.0);
}

#[test]
fn a_finding_fails_although_every_value_is_right() {
    let mut report = compare("test", 0, &HostTensor::new(&[4, 5], &right()).unwrap(), &expected()).unwrap();
    assert!(report.passed());
    let site = |line| Site { file: "a.wgsl".into(), line, column: 5, workgroup: [1, 0, 0], invocation: [2, 3, 0] };
    report.findings.push(Finding {
        kind: FindingKind::Race,
        kernel: "matmul tiled".into(),
        at: site(7),
        address: Some(("tile".into(), 12)),
        other: Some(Conflict { at: site(9), write: true }),
        message: "reads what another writes".into(),
        count: 4,
    });
    assert!(!report.passed());
    let text = report.to_string();
    assert!(text.contains("; 1 finding\n"), "{text}");
    assert!(
        text.ends_with(
            "matmul tiled: race: reads what another writes at a.wgsl:7:5, workgroup [1, 0, 0], invocation [2, 3, 0], \
             byte 12 of `tile`; against the write at a.wgsl:9:5, workgroup [1, 0, 0], invocation [2, 3, 0]; 4 times"
        ),
        "{text}"
    );
}

/// A byte can be anything: one that nothing writes is wrong all the same, and so is one behind the output, in its last word.
#[cfg(feature = "emulator")]
#[test]
fn bytes_that_are_not_written_or_do_not_belong_fail() {
    use tilewise::{Gpu, Op, Param, Plan, QuantizeLinear, verify};

    let gpu = Gpu::emulated(Default::default()).unwrap();
    let op = QuantizeLinear::default();
    let x = HostTensor::new(&[7], &[0.0f32, 1.0, 128.0, 255.0, 7.0, 64.0, 192.0]).unwrap();
    let inputs = [x, HostTensor::new(&[], &[1.0f32]).unwrap()];
    let plan = op.plan(gpu.profile(), &inputs.each_ref().map(HostTensor::layout)).unwrap();
    let report = |plan: &Plan| verify::plan(&gpu, &op, plan, &inputs).unwrap();
    report(&plan).assert_strict();
    let nothing = report(&plan.altered(|plan| plan.dispatches.clear()));
    assert_eq!((nothing.wrong, nothing.trespasses), (nothing.compared, 0), "{nothing}");
    let longer = plan.altered(|plan| {
        let lengths = plan.dispatches[0].params.iter_mut().filter(|param| **param == Param::U32(7));
        lengths.for_each(|param| *param = Param::U32(8));
    });
    let trespasses = report(&longer).trespasses;
    assert!((1..=3).contains(&trespasses), "{trespasses}");
}
