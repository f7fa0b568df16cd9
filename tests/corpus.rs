//! Broken kernels, each with the finding that it must give, and their mended twins, which must give none.
//!
//! The first line of a file says what is expected (`// expect: race 12`, the kind and the line), the second how to run it, in
//! the words of the example `sanitize`: `// run: grid 4; bind 0.0=f32x64:ramp 0.1=f32x64:poison; set N=3; steps 1000`.
#![cfg(feature = "emulator")]

use std::collections::HashMap;
use std::path::Path;

use tilewise::emulator::{EmulatorOptions, Finding, FindingKind, Run, Shader};

/// The dispatch of the second line.
fn run(text: &str) -> Run {
    let mut run = Run::new("main", [1, 1, 1]);
    for part in text.split("; ") {
        let (word, rest) = part.split_once(' ').unwrap();
        match word {
            "grid" => run.grid[0] = rest.parse().unwrap(),
            "bind" => run.bindings = rest.split(' ').map(|binding| binding.parse().unwrap()).collect(),
            "set" => {
                let values = rest.split(' ').map(|value| value.split_once('=').unwrap());
                run.overrides = values.map(|(name, value)| (name.into(), value.parse().unwrap())).collect();
            }
            "steps" => run.options.step_budget = rest.parse().unwrap(),
            _ => panic!("{part}"),
        }
    }
    run
}

/// The kernels of the folder, by name.
fn corpus() -> HashMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().into(), std::fs::read_to_string(path).unwrap()))
        .collect()
}

/// Which of two conflicting accesses comes second depends on the order in which subgroups run.
fn is_at(finding: &Finding, line: usize) -> bool {
    finding.at.line == line || finding.other.as_ref().is_some_and(|other| other.at.line == line)
}

#[test]
fn every_broken_kernel_has_its_finding_and_no_mended_one_has_any() {
    let corpus = corpus();
    let mut failures = Vec::new();
    let mut broken = 0;
    for (name, text) in &corpus {
        let mut lines = text.lines();
        let expected = lines.next().and_then(|line| line.strip_prefix("// expect: ")).expect(name);
        let base = run(lines.next().and_then(|line| line.strip_prefix("// run: ")).expect(name));
        let expected = expected.split_once(' ').map(|(kind, line)| (kind, line.parse::<usize>().unwrap()));
        let (pair, suffix) = name.rsplit_once('_').unwrap();
        assert_eq!(suffix, if expected.is_some() { "broken" } else { "mended" }, "{name}");
        broken += usize::from(expected.is_some());
        assert!(
            corpus.contains_key(&format!("{pair}_broken")) && corpus.contains_key(&format!("{pair}_mended")),
            "{name}"
        );
        let shader = Shader::named(name, text.as_str()).unwrap();
        for subgroup_size in [4, 8, 32, 64] {
            for (shuffle, threads) in [(None, 1), (Some(1), 1), (Some(2), 2), (Some(7), 2)] {
                let options = EmulatorOptions { subgroup_size, shuffle, threads, ..base.options.clone() };
                let ran = shader.run(&Run { options, ..base.clone() }).unwrap();
                let found: Vec<String> = ran.findings.iter().map(Finding::to_string).collect();
                let complaint = format!("{name}, subgroups of {subgroup_size}, order {shuffle:?}: {found:#?}");
                let right = match expected {
                    None => ran.findings.is_empty() && ran.complete,
                    Some((kind, line)) => {
                        let ends = kind != FindingKind::StepBudget.to_string();
                        ran.complete == ends
                            && ran.findings.iter().any(|found| found.kind.to_string() == kind && is_at(found, line))
                    }
                };
                if !right {
                    failures.push(complaint);
                }
            }
        }
    }
    assert!(broken >= 25, "{broken} broken kernels");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
