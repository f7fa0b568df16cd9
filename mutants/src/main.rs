//! Breaks tilewise's kernels, one change at a time, and asks whether the crate's checks notice.
//!
//! `cargo run --release -p tilewise-mutants [-- FILTER] [--json]` takes the files whose path below `shaders/` contains
//! FILTER. Fails if a change survives that `equivalent.txt` does not list, if one is killed that it lists, if no case runs a
//! file, or if fewer than 95 % are killed of the changes that can be told from the original. Over all files, it also fails if
//! more than a tenth is listed as equivalent. Changes that are no valid kernel are counted apart: a driver never meets them.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;
use tilewise_mutants::cases::cases;
use tilewise_mutants::equivalent::{self, Entry};
use tilewise_mutants::mutate::{Mutant, mutants};
use tilewise_mutants::run::{Bench, Devices, Outcome};

/// The least share of the valid changes, those listed as equivalent left out, that has to be killed.
const LEAST_KILLED: f64 = 0.95;
/// The largest share of the valid changes that may be listed as equivalent: the way around the line above is narrow.
const MOST_LISTED: f64 = 0.1;

/// What became of a file's mutants.
struct Row {
    file: &'static str,
    mutants: Vec<(Mutant, Outcome)>,
}

impl Row {
    fn count(&self, outcome: &Outcome) -> usize {
        self.mutants.iter().filter(|(_, own)| own == outcome).count()
    }

    fn of(&self, outcome: &Outcome) -> impl Iterator<Item = &Mutant> {
        self.mutants.iter().filter(move |(_, own)| own == outcome).map(|(mutant, _)| mutant)
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let mut filter = String::new();
    let mut as_json = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--json" => as_json = true,
            option if option.starts_with('-') => return Err("usage: tilewise-mutants [FILTER] [--json]".into()),
            _ => filter = argument,
        }
    }
    let start = Instant::now();
    let entries = equivalent::parse(include_str!("../equivalent.txt")).map_err(|e| format!("equivalent.txt: {e}"))?;
    let profile = Devices::new().map_err(|error| error.to_string())?.tight.profile().clone();
    let bench = Bench::new(cases(&profile), |path| path.contains(&filter))?;
    let made: Vec<(&'static str, Mutant)> =
        bench.files().flat_map(|(file, text)| mutants(text).into_iter().map(move |mutant| (file, mutant))).collect();
    let outcomes = bench.outcomes(&made.iter().map(|(file, mutant)| (*file, mutant)).collect::<Vec<_>>());
    let mut rows: Vec<Row> = bench.files().map(|(file, _)| Row { file, mutants: Vec::new() }).collect();
    for ((file, mutant), outcome) in made.into_iter().zip(outcomes) {
        rows.iter_mut()
            .filter(|row| row.file == file)
            .for_each(|row| row.mutants.push((mutant.clone(), outcome.clone())));
    }

    let mut failures: Vec<String> = shader_files(&filter)?
        .into_iter()
        .filter(|path| rows.iter().all(|row| row.file != path))
        .map(|path| format!("{path}: no case runs it"))
        .collect();
    for row in &rows {
        failures.extend(judge(row, &entries));
    }
    let count = |outcome| rows.iter().map(|row| row.count(&outcome)).sum::<usize>();
    let survived = count(Outcome::Survived);
    let killed = count(Outcome::Finding) + count(Outcome::Value) + count(Outcome::Error);
    let excused: usize = rows
        .iter()
        .map(|row| row.of(&Outcome::Survived).filter(|mutant| listed(&entries, row.file, mutant).is_some()).count())
        .sum();
    let valid = killed + survived;
    let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
    if valid > excused && percent(killed, valid - excused) < LEAST_KILLED * 100.0 {
        failures.push(format!("fewer than {:.0} % of what is not equivalent are killed", LEAST_KILLED * 100.0));
    }
    if filter.is_empty() && percent(excused, valid) > MOST_LISTED * 100.0 {
        failures.push(format!("more than {:.0} % are listed as equivalent", MOST_LISTED * 100.0));
    }
    let seconds = start.elapsed().as_secs_f64();
    if as_json {
        println!("{:#}", to_json(&rows, &entries, &failures, seconds));
    } else {
        print(&rows, &entries);
        let (plans, took) = bench.baseline();
        println!(
            "\n{killed} of {valid} valid changes killed ({:.1} %), {excused} listed as equivalent ({:.1} %); of the others {:.1} % killed",
            percent(killed, valid),
            percent(excused, valid),
            percent(killed, valid - excused)
        );
        println!("{seconds:.1} s; {plans} plans, which take {:.1} s once through", took.as_secs_f64());
        failures.iter().for_each(|failure| println!("FAILED: {failure}"));
    }
    Ok(failures.is_empty())
}

/// The entry that lists a mutant.
fn listed<'a>(entries: &'a [Entry], file: &str, mutant: &Mutant) -> Option<&'a Entry> {
    entries.iter().find(|entry| entry.covers(file, mutant))
}

fn describe(file: &str, mutant: &Mutant) -> String {
    format!("{file}:{}:{}: {}", mutant.line, mutant.column, mutant.change)
}

/// Survivors that are not listed, mutants that are listed but do not survive, and what is listed but is no mutant.
fn judge(row: &Row, entries: &[Entry]) -> Vec<String> {
    let mut failures = Vec::new();
    for (mutant, outcome) in &row.mutants {
        let name = describe(row.file, mutant);
        match (outcome, listed(entries, row.file, mutant)) {
            (Outcome::Survived, None) => failures.push(format!("{name} survives")),
            (Outcome::Survived, Some(_)) | (_, None) => {}
            (outcome, Some(_)) => failures.push(format!("{name} is listed as equivalent, but is killed: {outcome:?}")),
        }
    }
    for entry in entries.iter().filter(|entry| entry.files.iter().any(|file| file == row.file)) {
        for change in &entry.changes {
            let one = |(mutant, _): &(Mutant, _)| mutant.line_text == entry.line_text && mutant.change == *change;
            if !row.mutants.iter().any(one) {
                failures.push(format!("{}: equivalent.txt lists what is no mutant: {change}", row.file));
            }
        }
    }
    failures
}

/// The shader files whose paths contain the filter, as they lie on disk.
fn shader_files(filter: &str) -> Result<Vec<String>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shaders");
    let mut folders = vec![root.clone()];
    let mut paths = Vec::new();
    while let Some(folder) = folders.pop() {
        let say = |error| format!("{}: {error}", folder.display());
        for entry in std::fs::read_dir(&folder).map_err(say)? {
            let path = entry.map_err(say)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "wgsl") {
                let below = path.strip_prefix(&root).map_err(|error| error.to_string())?;
                paths.push(below.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    paths.retain(|path| path.contains(filter));
    paths.sort();
    Ok(paths)
}

fn print(rows: &[Row], entries: &[Entry]) {
    let line = |name: &str, cells: [String; 6]| {
        println!("{name:<30}{}", cells.map(|cell| format!("{cell:>9}")).concat());
    };
    line("file", ["mutants", "finding", "value", "error", "invalid", "survived"].map(String::from));
    let outcomes = [Outcome::Finding, Outcome::Value, Outcome::Error, Outcome::Invalid, Outcome::Survived];
    let mut totals = [0; 6];
    for row in rows {
        let [finding, value, error, invalid, survived] = outcomes.each_ref().map(|outcome| row.count(outcome));
        let counts = [row.mutants.len(), finding, value, error, invalid, survived];
        totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
        line(row.file, counts.map(|count| count.to_string()));
    }
    line("all", totals.map(|count| count.to_string()));
    println!();
    for row in rows {
        for mutant in row.of(&Outcome::Survived) {
            let reason = listed(entries, row.file, mutant).map_or("NOT LISTED", |entry| entry.reason.as_str());
            println!("{}\n    {}\n    {reason}", describe(row.file, mutant), mutant.line_text);
        }
    }
}

fn to_json(rows: &[Row], entries: &[Entry], failures: &[String], seconds: f64) -> serde_json::Value {
    let survivor = |row: &Row, mutant: &Mutant| {
        let reason = listed(entries, row.file, mutant).map(|entry| &entry.reason);
        json!({
            "line": mutant.line, "column": mutant.column, "text": mutant.line_text, "change": mutant.change,
            "equivalent": reason,
        })
    };
    let files: Vec<_> = rows
        .iter()
        .map(|row| {
            let survivors: Vec<_> = row.of(&Outcome::Survived).map(|mutant| survivor(row, mutant)).collect();
            json!({
                "file": row.file, "mutants": row.mutants.len(), "finding": row.count(&Outcome::Finding),
                "value": row.count(&Outcome::Value), "error": row.count(&Outcome::Error),
                "invalid": row.count(&Outcome::Invalid), "survivors": survivors,
            })
        })
        .collect();
    json!({ "files": files, "failures": failures, "seconds": seconds })
}
