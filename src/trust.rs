//! Trust in fast kernels, which a device has to earn.
//!
//! What a driver makes of a kernel cannot be known from outside: each has its own compiler, and some of its results are silently
//! wrong. So a fast kernel (one that asks more of a driver than plain shaders do: lanes of a subgroup that hand each other values,
//! tiles that fill the registers) is run on a small case first, between guards, and compared with the CPU. One that fails is banned on this device: plans pass it over. The others,
//! which are plain enough to be right wherever WGSL is, need no check; one of them is a candidate for every problem.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::cache::{CacheFile, fingerprint};
use crate::compose::Composition;
use crate::family;
use crate::plan::Plan;
use crate::problem::{Operands, Problem};
use crate::profile::DeviceProfile;

/// What came of a kernel's check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    /// It matched its twin.
    Passed,
    /// It did not.
    Failed,
}

/// What was learnt about a device: whether kernels are right there, and which variants are fast. Part of its profile, so that
/// planning depends on it and on nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learnt {
    /// By the fingerprint of a kernel.
    verdicts: BTreeMap<u64, Verdict>,
    /// The names of variants, by that of a problem.
    choices: BTreeMap<u64, String>,
}

impl Learnt {
    pub(crate) fn verdict(&self, kernel: &Composition) -> Option<Verdict> {
        // Composing a text only to find nothing would make planning slow.
        if self.verdicts.is_empty() { None } else { self.verdicts.get(&kernel_fingerprint(kernel)?).copied() }
    }

    /// The variant that [`Gpu::tune`](crate::Gpu::tune) found to be the fastest.
    pub(crate) fn choice(&self, problem: &Problem, operands: &Operands<'_>) -> Option<&str> {
        if self.choices.is_empty() {
            None
        } else {
            self.choices.get(&problem_fingerprint(problem, operands)).map(|name| &**name)
        }
    }

    /// How many kernels passed their check, and how many failed.
    pub fn verdicts(&self) -> (usize, usize) {
        let passed = self.verdicts.values().filter(|&&verdict| verdict == Verdict::Passed).count();
        (passed, self.verdicts.len() - passed)
    }

    /// For how many problems a variant was chosen.
    pub fn choices(&self) -> usize {
        self.choices.len()
    }

    /// With what others know, who win.
    pub(crate) fn with(mut self, others: Learnt) -> Self {
        self.verdicts.extend(others.verdicts);
        self.choices.extend(others.choices);
        self
    }

    fn parse(text: &str, header: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != header {
            return None;
        }
        let mut learnt = Learnt::default();
        for line in lines {
            let (kind, rest) = line.split_once(' ')?;
            let (key, value) = rest.split_once(' ')?;
            let key = u64::from_str_radix(key, 16).ok()?;
            match (kind, value) {
                ("kernel", "passed") => drop(learnt.verdicts.insert(key, Verdict::Passed)),
                ("kernel", "failed") => drop(learnt.verdicts.insert(key, Verdict::Failed)),
                ("problem", name) => drop(learnt.choices.insert(key, name.into())),
                _ => return None,
            }
        }
        // A file whose end is missing may have lost half a name.
        text.ends_with('\n').then_some(learnt)
    }

    fn print(&self, header: &str) -> String {
        let mut text = format!("{header}\n");
        for (kernel, verdict) in &self.verdicts {
            let verdict = if *verdict == Verdict::Passed { "passed" } else { "failed" };
            text += &format!("kernel {kernel:016x} {verdict}\n");
        }
        for (problem, name) in &self.choices {
            text += &format!("problem {problem:016x} {name}\n");
        }
        text
    }
}

fn kernel_fingerprint(kernel: &Composition) -> Option<u64> {
    Some(fingerprint(kernel.compose().ok()?.text.as_bytes()))
}

/// All that candidates depend on, beside the device.
fn problem_fingerprint(problem: &Problem, operands: &Operands<'_>) -> u64 {
    let layouts = operands.inputs.iter().chain(operands.outputs).map(|layout| (layout.align, layout.arena));
    fingerprint(format!("{} {problem:?} {:?}", operands.op, layouts.collect::<Vec<_>>()).as_bytes())
}

/// The fast kernels of a plan.
pub(crate) fn fast(plan: &Plan) -> impl Iterator<Item = &Arc<Composition>> {
    plan.dispatches.iter().map(|dispatch| &dispatch.kernel).filter(|kernel| family::is_fast(kernel))
}

/// Why a plan may not be made for a device, if it may not.
pub(crate) fn objection(kernels: &[&Composition], profile: &DeviceProfile) -> Option<&'static str> {
    // The usual case: telling kernels apart by their text would cost more than the planning.
    if profile.unchecked && profile.learnt.verdicts().1 == 0 {
        return None;
    }
    let verdict = |kernel: &&&Composition| profile.learnt.verdict(kernel);
    let mut fast = kernels.iter().filter(|kernel| family::is_fast(kernel));
    if profile.unchecked {
        let banned = fast.any(|kernel| verdict(&kernel) == Some(Verdict::Failed));
        return banned.then_some("failed its check on this device");
    }
    let unknown = fast.any(|kernel| verdict(&kernel) != Some(Verdict::Passed));
    unknown.then_some("has not passed a check on this device: Gpu::check makes one")
}

/// What is being learnt about a device, shared by its clones.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    known: Mutex<HashMap<Arc<Composition>, Verdict>>,
    learnt: Mutex<Learnt>,
    file: Option<CacheFile>,
    /// Whether kernels are checked when they are first planned for.
    pub by_itself: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Trust {
    /// With what earlier runs learnt, if a file keeps it.
    pub fn new(file: Option<CacheFile>, by_itself: bool) -> Self {
        // A file that cannot be read, of another device or damaged, is no file: it is written anew.
        let read = |file: &CacheFile| Learnt::parse(&String::from_utf8(file.read()?).ok()?, file.header());
        let learnt = file.as_ref().and_then(read).unwrap_or_default();
        Trust { known: Mutex::default(), learnt: Mutex::new(learnt), file, by_itself }
    }

    pub fn learnt(&self) -> Learnt {
        lock(&self.learnt).clone()
    }

    pub fn of(&self, kernel: &Arc<Composition>) -> Option<Verdict> {
        if let Some(verdict) = lock(&self.known).get(kernel) {
            return Some(*verdict);
        }
        let verdict = lock(&self.learnt).verdict(kernel)?;
        lock(&self.known).insert(kernel.clone(), verdict);
        Some(verdict)
    }

    /// Keeps a verdict, also for later runs.
    pub fn add<'a>(&self, kernels: impl Iterator<Item = &'a Arc<Composition>>, verdict: Verdict) {
        let mut learnt = lock(&self.learnt);
        for kernel in kernels {
            lock(&self.known).insert(kernel.clone(), verdict);
            learnt.verdicts.extend(kernel_fingerprint(kernel).map(|fingerprint| (fingerprint, verdict)));
        }
        self.keep(&learnt);
    }

    /// Keeps a choice, also for later runs.
    pub fn choose(&self, problem: &Problem, operands: &Operands<'_>, variant: &str) {
        let mut learnt = lock(&self.learnt);
        learnt.choices.insert(problem_fingerprint(problem, operands), variant.into());
        self.keep(&learnt);
    }

    fn keep(&self, learnt: &Learnt) {
        if let Some(file) = &self.file {
            file.write(learnt.print(file.header()).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_is_read_as_it_was_written_and_nothing_else_is() {
        let verdicts = [(7, Verdict::Passed), (u64::MAX, Verdict::Failed)].into();
        let learnt = Learnt { verdicts, choices: [(1, "contraction/tiled 64x64x16".into())].into() };
        let text = learnt.print("header");
        let lines = [
            "header",
            "kernel 0000000000000007 passed",
            "kernel ffffffffffffffff failed",
            "problem 0000000000000001 contraction/tiled 64x64x16",
            "",
        ];
        assert_eq!(text, lines.join("\n"));
        assert_eq!(Learnt::parse(&text, "header").as_ref(), Some(&learnt));
        assert_eq!((learnt.verdicts(), learnt.choices()), ((1, 1), 1));
        for damaged in
            ["", "another\n", "header\nkernel 07\n", "header\nkernel 07 maybe\n", "header\nkernel x passed\n"]
        {
            assert_eq!(Learnt::parse(damaged, "header"), None, "{damaged:?}");
        }
        assert_eq!(Learnt::parse(&text[..text.len() - 3], "header"), None);
        assert_eq!(Learnt::parse("header\n", "header"), Some(Learnt::default()));
    }
}
