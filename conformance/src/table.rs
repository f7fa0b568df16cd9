//! The table of all cases by operation.

use std::collections::BTreeMap;
use std::fmt;

use crate::cases::{Case, Outcome};
use crate::fault::{CaseError, Fault};

/// The cases of an operation by their outcome.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// How many passed.
    pub passed: usize,
    /// Those with an element type that tilewise lacks.
    pub unsupported: Vec<CaseError>,
    /// Those with an operation that tilewise lacks.
    pub not_yet: Vec<CaseError>,
    /// Those that are wrong, or malformed.
    pub failed: Vec<CaseError>,
}

/// All cases by operation; those with several operations are together in one row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// By operation.
    pub rows: BTreeMap<String, Row>,
}

impl Table {
    /// Takes a case in.
    pub fn add(&mut self, case: &Case, outcome: Outcome) {
        let row = self.rows.entry(case.row().to_owned()).or_default();
        let Outcome::Not(fault) = outcome else {
            row.passed += 1;
            return;
        };
        let list = match fault {
            Fault::Unsupported(_) => &mut row.unsupported,
            Fault::NotYet(_) => &mut row.not_yet,
            Fault::Malformed(_) | Fault::Failed(_) => &mut row.failed,
        };
        list.push(CaseError { case: case.name.clone(), fault });
    }

    /// Cases that passed, by operation, where there are any.
    pub fn passed(&self) -> Vec<(&str, usize)> {
        self.rows
            .iter()
            .filter(|(_, row)| row.passed > 0)
            .map(|(op_type, row)| (op_type.as_str(), row.passed))
            .collect()
    }

    /// The names of the cases whose element type tilewise lacks, sorted.
    pub fn unsupported(&self) -> Vec<&str> {
        names(self.rows.values().flat_map(|row| &row.unsupported))
    }

    /// The names of the cases whose operation tilewise lacks, sorted.
    pub fn not_yet(&self) -> Vec<&str> {
        names(self.rows.values().flat_map(|row| &row.not_yet))
    }

    /// What is wrong.
    pub fn failed(&self) -> impl Iterator<Item = &CaseError> {
        self.rows.values().flat_map(|row| &row.failed)
    }
}

fn names<'a>(errors: impl Iterator<Item = &'a CaseError>) -> Vec<&'a str> {
    let mut names: Vec<&str> = errors.map(|error| error.case.as_str()).collect();
    names.sort_unstable();
    names
}

/// The reasons of a list, each with its number.
fn reasons(errors: &[CaseError]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for error in errors {
        *counts.entry(error.fault.to_string()).or_default() += 1;
    }
    let reasons: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    reasons.join(", ")
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut passed, mut unsupported, mut not_yet, mut failed) = (0, 0, 0, 0);
        writeln!(f, "{:20} {:>6} {:>11} {:>7} {:>6}", "operation", "passed", "unsupported", "not yet", "failed")?;
        for (op_type, row) in &self.rows {
            let [a, b, c] = [row.unsupported.len(), row.not_yet.len(), row.failed.len()];
            let reasons = reasons(&[&row.unsupported[..], &row.not_yet].concat());
            let line = format!("{op_type:20} {:6} {a:11} {b:7} {c:6}  {reasons}", row.passed);
            writeln!(f, "{}", line.trim_end())?;
            passed += row.passed;
            unsupported += a;
            not_yet += b;
            failed += c;
        }
        writeln!(f, "{:20} {passed:6} {unsupported:11} {not_yet:7} {failed:6}", "all")?;
        self.failed().try_for_each(|error| writeln!(f, "failed: {error}"))
    }
}
