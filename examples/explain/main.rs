//! How the ops map onto a GPU, and what their kernels do there, counted by the emulator: no GPU and no driver is needed.
//!
//!     cargo run --release --example explain -- matmul --svg matmul.svg

mod cases;
mod picture;
mod svg;

use std::error::Error;
use std::process::ExitCode;

use lexopt::prelude::*;
use tilewise::{EmulatorOptions, Explanation, Gpu, Mapping};

const HELP: &str = "\
Explain how each op is planned and mapped onto a machine, with figures counted by the emulator.

Usage: cargo run --release --example explain -- [OP] [OPTIONS]

  OP             only this op: matmul, conv2d, softmax, ...
  --svg FILE     write the pictures as SVG, too
  --subgroup N   lanes of a subgroup: 4, 8, 16, 32 or 64; 32 unless set
  --sms N        multiprocessors; 4 unless set
  --json         a line of JSON for each dispatch instead of text
  --help         print this

Exit status: 0, or 2 for bad input.";

struct Arguments {
    op: Option<String>,
    svg: Option<std::path::PathBuf>,
    options: EmulatorOptions,
    json: bool,
}

/// `None` for help.
fn parse() -> Result<Option<Arguments>, lexopt::Error> {
    let options = EmulatorOptions { sm_count: 4, ..Default::default() };
    let mut arguments = Arguments { op: None, svg: None, options, json: false };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("svg") => arguments.svg = Some(parser.value()?.into()),
            Long("subgroup") => arguments.options.subgroup_size = parser.value()?.parse()?,
            Long("sms") => arguments.options.sm_count = parser.value()?.parse()?,
            Long("json") => arguments.json = true,
            Long("help") | Short('h') => return Ok(None),
            Value(op) if arguments.op.is_none() => arguments.op = Some(op.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(arguments))
}

/// Prints text, its long lines broken between words.
fn print_wrapped(text: &str) {
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len() + 2;
        let mut broken = String::new();
        let mut column = 0;
        for word in line.split_inclusive(' ') {
            if column > indent && column + word.trim_end().chars().count() > 100 {
                broken.truncate(broken.trim_end().len());
                broken.push('\n');
                broken.extend(std::iter::repeat_n(' ', indent));
                column = indent;
            }
            broken.push_str(word);
            column += word.chars().count();
        }
        println!("{broken}");
    }
}

fn json(explanation: &Explanation, number: usize, mapping: &Mapping) -> serde_json::Value {
    let counted = mapping.counters.map(|counters| {
        serde_json::json!({
            "workgroups": counters.workgroups,
            "operations": counters.operations,
            "active_lanes": counters.active_lanes,
            "idle_lanes": counters.idle_lanes,
            "flops": counters.flops,
            "loaded_bytes": counters.storage.loaded,
            "stored_bytes": counters.storage.stored,
            "workgroup_loaded_bytes": counters.workgroup.loaded,
            "workgroup_stored_bytes": counters.workgroup.stored,
            "accesses": counters.transactions.accesses,
            "sectors": counters.transactions.sectors,
            "least_sectors": counters.transactions.least_sectors,
            "bank_passes": counters.banks.passes,
            "extra_bank_passes": counters.banks.extra,
            "branches": counters.branches,
            "divergent": counters.divergent,
            "barriers": counters.barriers,
        })
    });
    serde_json::json!({
        "plan": explanation.plan,
        "dispatch": number,
        "kernel": mapping.kernel,
        "grid": mapping.grid,
        "tiles": mapping.tiles,
        "workgroup": mapping.workgroup,
        "tile": mapping.tile,
        "subgroup_size": mapping.subgroup_size.1,
        "subgroups": mapping.subgroups(),
        "sm_count": mapping.sm_count,
        "waves": mapping.waves(),
        "tail": mapping.tail(),
        "room_by_memory": mapping.room_by_memory(),
        "room_by_size": mapping.room_by_size(),
        "planned_flops": mapping.work.flops,
        "least_bytes": mapping.work.bytes,
        "intensity": mapping.intensity(),
        "roof": mapping.roof().map(|roof| roof.to_string()),
        "counted": counted,
    })
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::emulated(arguments.options.clone())?;
    let mut cases = cases::cases();
    let names: Vec<&str> = cases.iter().map(|case| case.op.name()).collect();
    if let Some(op) = &arguments.op {
        if !names.contains(&op.as_str()) {
            return Err(format!("no op {op}; there are {}", names.join(", ")).into());
        }
        cases.retain(|case| case.op.name() == op);
    }
    let mut explanations = Vec::new();
    for case in &cases {
        let explanation = case.explain(&gpu)?;
        for (number, mapping) in explanation.dispatches.iter().enumerate() {
            if arguments.json {
                println!("{}", json(&explanation, number, mapping));
            }
        }
        if !arguments.json {
            print_wrapped(&explanation.to_string());
            for (number, mapping) in explanation.dispatches.iter().enumerate() {
                print!("  {number}, the picture:\n{}", picture::terminal(mapping));
            }
            println!();
        }
        explanations.push(explanation);
    }
    if let Some(path) = &arguments.svg {
        std::fs::write(path, svg::document(&explanations)).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

fn main() -> ExitCode {
    env_logger::init();
    let outcome = match parse() {
        Ok(Some(arguments)) => run(&arguments),
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => Err(format!("{error}; see --help").into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
