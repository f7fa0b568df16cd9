//! The node test cases of ONNX, all of those that have an operation under test.

use tilewise::verify::devices;
use tilewise_conformance::device::Device;
use tilewise_conformance::table::Table;
use tilewise_conformance::{cases, data};

mod pins;

#[test]
fn node_cases() {
    let Some(folder) = data() else {
        assert!(
            std::env::var("TILEWISE_REQUIRE_ONNX").as_deref() != Ok("1"),
            "TILEWISE_REQUIRE_ONNX is set, and the test cases are not there: install libonnx-testdata"
        );
        eprintln!("the ONNX test cases are not there (libonnx-testdata): nothing is checked");
        return;
    };
    let Some(gpu) = devices().first() else { return };
    let all = cases(&folder).unwrap_or_else(|error| panic!("{error}"));
    let device = Device::new(gpu);
    let mut table = Table::default();
    let (mut left_out, mut foreign) = (0, std::collections::BTreeSet::new());
    for case in all.iter().filter(|case| case.concerns()) {
        if case.foreign().next().is_some() {
            left_out += 1;
            foreign.extend(case.foreign());
            continue;
        }
        table.add(case, case.run(&device));
    }
    eprintln!("{table}");
    eprintln!("{} ops ran on {} and agreed with their twins", device.runs(), gpu.profile().name);
    eprintln!("left out, since they have other operations too: {left_out} cases, with {foreign:?}");

    assert_eq!(table.failed().count(), 0, "cases failed");
    let Some(pins) = pins::of(all.len()) else {
        panic!("no results are pinned for {} cases; they are: {}", all.len(), pins::source(&table, all.len()));
    };
    if table.passed() != pins.passed || table.unsupported() != pins.unsupported || table.not_yet() != pins.not_yet {
        eprintln!("the results are: {}", pins::source(&table, all.len()));
    }
    assert_eq!(table.passed(), pins.passed, "passed, ONNX {}", pins.release);
    assert_eq!(table.unsupported(), pins.unsupported, "unsupported, ONNX {}", pins.release);
    assert_eq!(table.not_yet(), pins.not_yet, "not yet, ONNX {}", pins.release);
}
