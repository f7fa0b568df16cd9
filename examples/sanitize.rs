//! Runs a compute shader on the emulator with every check on: no GPU and no driver is needed.
//!
//!     cargo run --release --example sanitize -- shader.wgsl --grid 4 --bind 0.0=f32x64:ramp --bind 0.1=f32x64:poison

use std::process::ExitCode;

use lexopt::prelude::*;
use tilewise::Error;
use tilewise::emulator::{Conflict, Contents, Finding, Ran, Run, Shader, Site};

const HELP: &str = "\
Run a compute shader on the emulator and report races, accesses out of bounds, reads of what nothing wrote, barriers that
not all invocations reach, and more.

Usage: cargo run --release --example sanitize -- FILE.wgsl [OPTIONS]

  --entry NAME           the entry point; may be left out if there is one
  --grid X,Y,Z           workgroups; 1 where left out
  --bind G.B=TYPExN:FILL what is bound to @group(G) @binding(B): N elements of f32, i32, u32 or f16, filled with zero,
                         ramp (0, 1, 2, ...), random (floats in [-1, 1), any integers) or poison (not written: reading
                         it is a finding)
  --immediate TYPExN:FILL  the contents of var<immediate>
  --set NAME=VALUE       the value of an override
  --subgroup N           lanes of a subgroup: 4, 8, 16, 32 or 64; 32 unless set
  --shuffle SEED         run workgroups and subgroups in another order
  --steps N              trips of loops after which a dispatch counts as endless
  --zero-workgroup       workgroup memory starts as zeros, as WGSL has it; else reading what was not written is a finding
  --json                 a line of JSON for each finding
  --help                 print this

Exit status: 0 if nothing was found, 1 if something was, 2 for bad input or a shader that is not valid.";

struct Arguments {
    file: std::path::PathBuf,
    /// With an empty name for the only entry point.
    run: Run,
    json: bool,
}

/// Sides of a grid, 1 where left out.
fn grid(text: &str) -> Result<[u32; 3], String> {
    let mut grid = [1; 3];
    let sides: Vec<&str> = text.split(',').collect();
    if sides.len() > grid.len() {
        return Err(format!("a grid has three sides at most, '{text}' has {}", sides.len()));
    }
    for (side, text) in grid.iter_mut().zip(sides) {
        *side = text.trim().parse().map_err(|_| format!("'{text}' is no number of workgroups"))?;
    }
    Ok(grid)
}

fn setting(text: &str) -> Result<(String, f64), String> {
    let wrong = || format!("'{text}' is not of the form NAME=VALUE");
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    let value = match value {
        "true" => 1.0,
        "false" => 0.0,
        number => number.parse().map_err(|_| wrong())?,
    };
    Ok((name.into(), value))
}

/// `None` for help.
fn parse(parser: &mut lexopt::Parser) -> Result<Option<Arguments>, lexopt::Error> {
    let mut file = None;
    let mut run = Run::new("", [1, 1, 1]);
    let mut json = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("entry") => run.entry = parser.value()?.string()?,
            Long("grid") => run.grid = parser.value()?.parse_with(grid)?,
            Long("bind") => run.bindings.push(parser.value()?.parse()?),
            Long("immediate") => run.immediates = parser.value()?.parse::<Contents>()?.bytes,
            Long("set") => run.overrides.extend([parser.value()?.parse_with(setting)?]),
            Long("subgroup") => run.options.subgroup_size = parser.value()?.parse()?,
            Long("shuffle") => run.options.shuffle = Some(parser.value()?.parse()?),
            Long("steps") => run.options.step_budget = parser.value()?.parse()?,
            Long("zero-workgroup") => run.options.zero_workgroup_memory = true,
            Long("json") => json = true,
            Long("help") | Short('h') => return Ok(None),
            Value(path) if file.is_none() => file = Some(path.into()),
            other => return Err(other.unexpected()),
        }
    }
    let file = file.ok_or("no shader file is given")?;
    Ok(Some(Arguments { file, run, json }))
}

fn site(site: &Site) -> serde_json::Value {
    let Site { file, line, column, workgroup, invocation } = site;
    serde_json::json!({
        "file": file, "line": line, "column": column, "workgroup": workgroup, "invocation": invocation,
    })
}

fn json(finding: &Finding) -> String {
    let mut object = site(&finding.at);
    object["kind"] = finding.kind.to_string().into();
    object["severity"] = if finding.kind.is_lint() { "lint" } else { "error" }.into();
    object["message"] = finding.message.as_str().into();
    object["kernel"] = finding.kernel.as_str().into();
    object["count"] = finding.count.into();
    if let Some((variable, byte)) = &finding.address {
        object["variable"] = variable.as_str().into();
        object["byte"] = (*byte).into();
    }
    if let Some(Conflict { at, write }) = &finding.other {
        object["other"] = site(at);
        object["other"]["write"] = (*write).into();
    }
    object.to_string()
}

/// A line of the shader with a mark below its column.
fn excerpt(text: &str, at: &Site) -> String {
    let Some(line) = at.line.checked_sub(1).and_then(|index| text.lines().nth(index)) else {
        return String::new();
    };
    let before: String = line.chars().take(at.column.saturating_sub(1)).collect();
    let indent: String = before.chars().map(|char| if char == '\t' { '\t' } else { ' ' }).collect();
    format!("{:5} | {line}\n      | {indent}^\n", at.line)
}

fn describe(text: &str, ran: &Ran) -> String {
    let mut report = String::new();
    for finding in &ran.findings {
        report += &format!("{finding}\n{}", excerpt(text, &finding.at));
        if let Some(other) = finding.other.as_ref().filter(|other| other.at.line != finding.at.line) {
            report += &excerpt(text, &other.at);
        }
    }
    let lints = ran.findings.iter().filter(|finding| finding.kind.is_lint()).count();
    let errors = ran.findings.len() - lints;
    report
        + &format!(
            "errors: {errors}, lints: {lints}{}\n",
            if ran.complete { "" } else { "; it did not run to its end" }
        )
}

/// The report, and whether anything was found.
fn sanitize(arguments: Arguments) -> Result<(String, bool), String> {
    let Arguments { file, mut run, json: as_json } = arguments;
    let name = file.display().to_string();
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{name}: {error}"))?;
    let explain = |error: Error| match error {
        Error::Wgsl { report, .. } => report,
        other => other.to_string(),
    };
    let shader = Shader::named(name, text.as_str()).map_err(explain)?;
    if run.entry.is_empty() {
        run.entry = match shader.entries()[..] {
            [only] => only.into(),
            ref several => return Err(format!("choose an entry point with --entry: there are {several:?}")),
        };
    }
    let ran = shader.run(&run).map_err(explain)?;
    let report =
        if as_json { ran.findings.iter().map(|finding| json(finding) + "\n").collect() } else { describe(&text, &ran) };
    Ok((report, !ran.findings.is_empty()))
}

fn main() -> ExitCode {
    let done = match parse(&mut lexopt::Parser::from_env()) {
        Ok(None) => Ok((format!("{HELP}\n"), false)),
        Ok(Some(arguments)) => sanitize(arguments),
        Err(error) => Err(format!("{error}; --help lists the options")),
    };
    match done {
        Ok((report, found)) => {
            print!("{report}");
            ExitCode::from(u8::from(found))
        }
        Err(error) => {
            eprintln!("{}", error.trim_end());
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The report for a kernel of the corpus, and whether anything was found.
    fn run(file: &str, options: &str) -> Result<(String, bool), String> {
        let file = format!("{}/tests/corpus/{file}.wgsl", env!("CARGO_MANIFEST_DIR"));
        let arguments = std::iter::once(file.as_str()).chain(options.split_whitespace());
        let arguments = parse(&mut lexopt::Parser::from_args(arguments)).map_err(|error| error.to_string())?;
        sanitize(arguments.unwrap())
    }

    const TILE: &str = "--bind 0.0=f32x64:ramp --bind 0.1=f32x64:poison";

    #[test]
    fn a_race_is_shown_with_both_lines_and_as_json() {
        let (report, found) = run("missing_barrier_broken", TILE).unwrap();
        assert!(found);
        assert!(
            report.contains("   10 |     y[i] = tile[63u - i];\n") && report.contains("    9 |     tile[i] = x[i];\n")
        );
        assert!(report.ends_with(", lints: 0\n"), "{report}");
        let (report, _) = run("missing_barrier_broken", &format!("--json {TILE}")).unwrap();
        let findings: Vec<serde_json::Value> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(findings.iter().all(|finding| finding["message"].is_string() && finding["byte"].is_u64()), "{report}");
        let lines =
            |finding: &serde_json::Value| [&finding["line"], &finding["other"]["line"]].map(|line| line.as_u64());
        let race = findings.iter().find(|finding| finding["kind"] == "race").unwrap();
        let mut lines = lines(race);
        lines.sort();
        assert_eq!((lines, race["severity"].as_str()), ([Some(9), Some(10)], Some("error")), "{report}");
    }

    #[test]
    fn a_clean_kernel_has_no_line_of_json() {
        assert_eq!(run("missing_barrier_mended", TILE).unwrap(), ("errors: 0, lints: 0\n".into(), false));
        assert_eq!(
            run("missing_barrier_mended", &format!("{TILE} --json --shuffle 3")).unwrap(),
            (String::new(), false)
        );
    }

    #[test]
    fn overrides_grids_and_subgroups_are_set() {
        let options = format!("{TILE} --grid 1,1 --subgroup 8 --set SIZE=64 --set SHIFT=3 --entry main");
        assert!(run("override_tile_broken", &options).unwrap().1);
        assert!(!run("override_tile_mended", &options).unwrap().1);
    }

    #[test]
    fn bad_input_is_refused_with_the_reason() {
        for (options, reason) in [
            ("", "main: `x` at group 0, binding 0 has nothing bound"),
            ("--bind 0.0=f32x64", "must be TYPExCOUNT:FILL"),
            ("--bind 0.0=f64x64:ramp", "its type must be f32, i32, u32 or f16"),
            ("--bind 0=f32x64:ramp", "must be GROUP.BINDING=TYPExCOUNT:FILL"),
            ("--bind 0.0=f32x64:spiral", "its fill must be zero, ramp, random or poison"),
            ("--bind 0.0=f32x4294967295:zero", "must be less than 4 GiB"),
            ("--grid 1,2,3,4", "a grid has three sides at most"),
            ("--grid x", "'x' is no number of workgroups"),
            ("--set N", "'N' is not of the form NAME=VALUE"),
            ("--entry other", "no compute entry point has this name; there are [\"main\"]"),
            ("--subgroup 5", "must be 4, 8, 16, 32 or 64"),
            ("--what", "invalid option '--what'"),
        ] {
            let error = run("missing_barrier_broken", options).unwrap_err();
            assert!(error.contains(reason), "{options}: {error}");
        }
        assert!(run("none", "").unwrap_err().contains("none.wgsl: "));
    }
}
