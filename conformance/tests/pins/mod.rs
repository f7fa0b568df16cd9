//! What is known to come of the cases of the releases of ONNX that Debian 12 and Ubuntu 24.04 have.

use tilewise_conformance::table::Table;

mod v1_12;
mod v1_14;

/// The results of a release's cases.
pub struct Pins {
    /// The release.
    pub release: &'static str,
    /// How many cases it has, by which it is known.
    pub cases: usize,
    /// How many cases pass, by operation.
    pub passed: &'static [(&'static str, usize)],
    /// The cases whose element type tilewise lacks.
    pub unsupported: &'static [&'static str],
    /// The cases whose operation tilewise lacks.
    pub not_yet: &'static [&'static str],
}

/// The results of the release with so many cases.
pub fn of(cases: usize) -> Option<&'static Pins> {
    [&v1_12::PINS, &v1_14::PINS].into_iter().find(|pins| pins.cases == cases)
}

/// The results of a table, as the files beside this one have them.
pub fn source(table: &Table, cases: usize) -> String {
    let list = |lines: Vec<String>| lines.iter().map(|line| format!("        {line},\n")).collect::<String>();
    let passed = list(table.passed().iter().map(|row| format!("{row:?}")).collect());
    let names = |names: Vec<&str>| list(names.iter().map(|name| format!("{name:?}")).collect());
    format!(
        "Pins {{\n    release: \"?\",\n    cases: {cases},\n    passed: &[\n{passed}    ],\n    unsupported: &[\n{}    ],\n    \
         not_yet: &[\n{}    ],\n}}",
        names(table.unsupported()),
        names(table.not_yet())
    )
}
