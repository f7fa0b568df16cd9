//! Runs mutants in the cases that their files are part of.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tilewise::reference::{Expected, Select};
use tilewise::verify::{self, Report};
use tilewise::{DeviceProfile, EmulatorOptions, Error, FindingKind, Gpu, Plan, Result, wgpu};

use crate::cases::Case;
use crate::mutate::Mutant;

/// Trips and barriers of a subgroup, far above what the cases take: loops that a mutant makes endless end soon.
const STEP_BUDGET: u64 = 1 << 16;

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is no WGSL, or no kernel that a device takes: not counted.
    Invalid,
    /// The sanitizer found something.
    Finding,
    /// A value was wrong, or a guard was written.
    Value,
    /// It ran out of steps, or an error came back.
    Error,
    /// Nothing noticed.
    Survived,
}

/// A plan of a case.
struct Run {
    case: usize,
    plan: Plan,
    took: Duration,
}

/// The cases, ready to run: planned, with their twins' values.
pub struct Bench {
    cases: Vec<Case>,
    twins: Vec<Vec<Expected>>,
    /// Shortest first.
    runs: Vec<Run>,
    /// The files that the cases' kernels are made of.
    files: BTreeMap<&'static str, &'static str>,
    threads: usize,
}

/// A binding, in bytes: less than the guards around an operand take, so that no buffer is bound as a whole. What a kernel may
/// see of one then ends where its operand ends, and one element beyond is a finding.
const TIGHT: u64 = 24 << 10;

/// Devices for one mutant: kernels are cached by their files' paths.
pub struct Devices {
    /// Binds operands and no more.
    pub tight: Gpu,
    /// For larger operands.
    pub wide: Gpu,
}

impl Devices {
    /// Opens both. Subgroups of 8 make several of a small workgroup.
    ///
    /// # Errors
    /// None with these options.
    pub fn new() -> Result<Self> {
        let open = |binding| {
            let limits = wgpu::Limits {
                max_storage_buffer_binding_size: binding,
                min_storage_buffer_offset_alignment: 32,
                max_immediate_size: 128,
                ..wgpu::Limits::default()
            };
            let (limits, step_budget) = (Some(limits), STEP_BUDGET);
            Gpu::emulated(EmulatorOptions { subgroup_size: 8, step_budget, threads: 1, limits, ..Default::default() })
        };
        Ok(Devices { tight: open(TIGHT)?, wide: open(wgpu::Limits::default().max_storage_buffer_binding_size)? })
    }

    /// The device that has room for what is planned for a profile.
    fn of(&self, profile: &DeviceProfile) -> &Gpu {
        if profile.limits.max_storage_buffer_binding_size > TIGHT { &self.wide } else { &self.tight }
    }
}

/// Does something for every number below `count` on threads, and returns what came out, in order.
fn parallel<T: Send>(threads: usize, count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&number| number < count);
        std::iter::from_fn(take).map(|number| (number, work(number))).collect::<Vec<_>>()
    };
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("work that catches its panics")).collect()
    });
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// The plan with another text in place of a file.
fn with_file(plan: &Plan, path: &str, text: &'static str) -> Plan {
    plan.altered(|plan| {
        for dispatch in &mut plan.dispatches {
            let kernel = Arc::make_mut(&mut dispatch.kernel);
            let fragments = kernel.fragments.iter_mut().map(|(_, file)| file);
            let files = std::iter::once(&mut kernel.body).chain(fragments).chain(&mut kernel.common);
            files.filter(|file| file.path == path).for_each(|file| file.text = text);
        }
    })
}

/// The files of a plan's kernels.
fn files(plan: &Plan) -> impl Iterator<Item = (&'static str, &'static str)> {
    plan.dispatches.iter().flat_map(|dispatch| {
        let kernel = &dispatch.kernel;
        let fragments = kernel.fragments.iter().map(|(_, file)| file);
        std::iter::once(&kernel.body).chain(fragments).chain(&kernel.common).map(|file| (file.path, file.text))
    })
}

/// What a run's result makes of a mutant.
fn judge(result: Result<Report>, exact: bool) -> Outcome {
    let report = match result {
        Ok(report) => report,
        Err(Error::Shader { .. }) => return Outcome::Invalid,
        Err(_) => return Outcome::Error,
    };
    if report.findings.iter().any(|finding| finding.kind == FindingKind::StepBudget) {
        Outcome::Error
    } else if !report.findings.is_empty() {
        Outcome::Finding
    } else if !report.passed() || report.suspect > 0 || exact && report.exact_mismatches > 0 {
        Outcome::Value
    } else {
        Outcome::Survived
    }
}

impl Bench {
    /// Plans the cases, computes their twins, and runs each once: the kernels as they are have to pass. `wanted` says which
    /// files it is about.
    ///
    /// # Errors
    /// In words, a case that cannot be planned or does not pass.
    pub fn new(cases: Vec<Case>, wanted: impl Fn(&str) -> bool) -> std::result::Result<Self, String> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut bench = Bench { cases, twins: Vec::new(), runs: Vec::new(), files: BTreeMap::new(), threads };
        for (number, case) in bench.cases.iter().enumerate() {
            let say = |error| format!("{:?}: {error}", case.op);
            let plans = verify::plans(&case.profile, &*case.op, &case.inputs).map_err(say)?;
            let plans: Vec<_> = plans.into_iter().filter(|plan| files(plan).any(|(path, _)| wanted(path))).collect();
            let twins = if plans.is_empty() { Ok(Vec::new()) } else { case.op.twin(&case.inputs, &Select::All) };
            bench.twins.push(twins.map_err(say)?);
            plans.iter().for_each(|plan| bench.files.extend(files(plan).filter(|(path, _)| wanted(path))));
            bench.runs.extend(plans.into_iter().map(|plan| Run { case: number, plan, took: Duration::ZERO }));
        }
        let timed = parallel(threads, bench.runs.len(), |number| {
            let run = &bench.runs[number];
            let start = Instant::now();
            let result = Devices::new().and_then(|devices| bench.report(&devices, run, &run.plan));
            let said = match &result {
                Ok(report) => report.to_string(),
                Err(error) => error.to_string(),
            };
            match judge(result, bench.cases[run.case].exact) {
                Outcome::Survived => Ok(start.elapsed()),
                outcome => {
                    Err(format!("{outcome:?} without a change: {:?}: {}{said}", bench.cases[run.case].op, run.plan))
                }
            }
        });
        for (run, took) in bench.runs.iter_mut().zip(timed) {
            run.took = took?;
        }
        bench.runs.sort_by_key(|run| run.took);
        Ok(bench)
    }

    /// The files, path and text.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.files.iter().map(|(&path, &text)| (path, text))
    }

    /// Plans, and the time that running each once took, summed over the threads.
    pub fn baseline(&self) -> (usize, Duration) {
        (self.runs.len(), self.runs.iter().map(|run| run.took).sum())
    }

    /// What becomes of mutants of a file each, in their order.
    pub fn outcomes(&self, mutants: &[(&str, &Mutant)]) -> Vec<Outcome> {
        parallel(self.threads, mutants.len(), |number| self.outcome(mutants[number].0, &mutants[number].1.text))
    }

    fn report(&self, devices: &Devices, run: &Run, plan: &Plan) -> Result<Report> {
        let case = &self.cases[run.case];
        verify::against(devices.of(&case.profile), &*case.op, plan, &case.inputs, &self.twins[run.case])
    }

    /// Runs what the file is part of, the shortest first, until something notices that its text is another.
    fn outcome(&self, path: &str, text: &str) -> Outcome {
        // The crate's shaders live as long as the process, and keep their parses as long.
        let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
        let Ok(devices) = Devices::new() else { return Outcome::Error };
        let concerned = self.runs.iter().filter(|run| files(&run.plan).any(|(file, _)| file == path));
        for run in concerned {
            let plan = with_file(&run.plan, path, text);
            let result = catch_unwind(AssertUnwindSafe(|| self.report(&devices, run, &plan)));
            let outcome = result.map_or(Outcome::Error, |result| judge(result, self.cases[run.case].exact));
            if outcome != Outcome::Survived {
                return outcome;
            }
        }
        Outcome::Survived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_change_survives_and_a_change_is_killed() {
        let file = "map/map.wgsl";
        let profile = Devices::new().unwrap().tight.profile().clone();
        let bench = Bench::new(crate::cases::cases(&profile), |path| path == file).unwrap();
        let (_, text) = bench.files().next().unwrap();
        assert_eq!(bench.outcome(file, text), Outcome::Survived);
        assert_eq!(bench.outcome(file, &text.replace("{\n", "{ \n")), Outcome::Survived);
        let changed = |from, to| {
            assert!(text.contains(from));
            bench.outcome(file, &text.replace(from, to))
        };
        assert_eq!(changed("number >= params.total", "number > params.total"), Outcome::Finding);
        assert_eq!(changed("value_begin(outer, inner)", "value_begin(vec3(0u), vec2(0u))"), Outcome::Value);
        assert_eq!(changed("number / params.runs", "number / 0.5"), Outcome::Invalid);
    }
}
