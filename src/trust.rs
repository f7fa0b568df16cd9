//! Trust in fast kernels, which a device has to earn.
//!
//! What a driver makes of a kernel cannot be known from outside: each has its own compiler, and some of its results are silently
//! wrong. So a fast kernel (one that relies on more than plain WGSL, as the lanes of a subgroup) is run on a small case first,
//! between guards, and compared with the CPU. One that fails is banned on this device: plans pass it over. The others,
//! which are plain enough to be right wherever WGSL is, need no check; one of them is a candidate for every problem.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::compose::Composition;
use crate::family;
use crate::plan::Plan;
use crate::profile::DeviceProfile;

/// What came of a kernel's check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It matched its twin.
    Passed,
    /// It did not.
    Failed,
}

/// The verdicts of a device, by kernel. Part of its profile, so that planning depends on them and on nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts(BTreeMap<u64, Verdict>);

impl Verdicts {
    pub(crate) fn of(&self, kernel: &Composition) -> Option<Verdict> {
        // Composing a text only to find nothing would make planning slow.
        if self.0.is_empty() { None } else { self.0.get(&fingerprint(kernel)?).copied() }
    }

    /// How many kernels passed, and how many failed.
    pub fn counts(&self) -> (usize, usize) {
        let passed = self.0.values().filter(|&&verdict| verdict == Verdict::Passed).count();
        (passed, self.0.len() - passed)
    }

    /// With those of others, which win.
    pub(crate) fn with(mut self, others: Verdicts) -> Self {
        self.0.extend(others.0);
        self
    }

    fn parse(text: &str, header: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != header {
            return None;
        }
        let verdict = |line: &str| {
            let (kernel, verdict) = line.split_once(' ')?;
            let verdict = match verdict {
                "passed" => Verdict::Passed,
                "failed" => Verdict::Failed,
                _ => return None,
            };
            Some((u64::from_str_radix(kernel, 16).ok()?, verdict))
        };
        Some(Verdicts(lines.map(verdict).collect::<Option<_>>()?))
    }

    fn print(&self, header: &str) -> String {
        let line = |(kernel, verdict): (&u64, &Verdict)| {
            format!("{kernel:016x} {}\n", if *verdict == Verdict::Passed { "passed" } else { "failed" })
        };
        format!("{header}\n") + &self.0.iter().map(line).collect::<String>()
    }
}

/// Tells kernels apart by their text, between runs of a program too: FNV-1a (Fowler, Noll and Vo, 1991) of 64 bits.
fn fingerprint(kernel: &Composition) -> Option<u64> {
    let text = kernel.compose().ok()?.text;
    Some(text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)))
}

/// The fast kernels of a plan.
pub(crate) fn fast(plan: &Plan) -> impl Iterator<Item = &Arc<Composition>> {
    plan.dispatches.iter().map(|dispatch| &dispatch.kernel).filter(|kernel| family::is_fast(kernel))
}

/// Why a plan may not be made for a device, if it may not.
pub(crate) fn objection(kernels: &[&Composition], profile: &DeviceProfile) -> Option<&'static str> {
    let verdict = |kernel: &&&Composition| profile.verdicts.of(kernel);
    let mut fast = kernels.iter().filter(|kernel| family::is_fast(kernel));
    if profile.unchecked {
        let banned = fast.any(|kernel| verdict(&kernel) == Some(Verdict::Failed));
        return banned.then_some("failed its check on this device");
    }
    let unknown = fast.any(|kernel| verdict(&kernel) != Some(Verdict::Passed));
    unknown.then_some("has not passed a check on this device: Gpu::check makes one")
}

/// A file of verdicts.
#[derive(Debug)]
struct Cache {
    path: PathBuf,
    header: String,
}

/// The verdicts that a device has come to, shared by its clones.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    known: Mutex<HashMap<Arc<Composition>, Verdict>>,
    verdicts: Mutex<Verdicts>,
    cache: Option<Cache>,
    /// Whether kernels are checked when they are first planned for.
    pub by_itself: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Trust {
    /// With the verdicts of earlier runs, if a folder keeps them for this adapter, driver and version of the crate.
    pub fn new(profile: &DeviceProfile, folder: Option<&Path>, by_itself: bool) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let header = format!("tilewise {version}\t{}\t{}\t{}", profile.name, profile.backend, profile.driver);
        let cache = folder.map(|folder| {
            let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
            let name: String = format!("{version} {} {}", profile.name, profile.driver).chars().map(plain).collect();
            Cache { path: folder.join(format!("{name}.verdicts")), header: header.replace('\n', " ") }
        });
        // A file that cannot be read, of another device or damaged, is no file: it is written anew.
        let read = |cache: &Cache| Verdicts::parse(&std::fs::read_to_string(&cache.path).ok()?, &cache.header);
        let verdicts = cache.as_ref().and_then(read).unwrap_or_default();
        Trust { known: Mutex::default(), verdicts: Mutex::new(verdicts), cache, by_itself }
    }

    pub fn verdicts(&self) -> Verdicts {
        lock(&self.verdicts).clone()
    }

    pub fn of(&self, kernel: &Arc<Composition>) -> Option<Verdict> {
        if let Some(verdict) = lock(&self.known).get(kernel) {
            return Some(*verdict);
        }
        let verdict = lock(&self.verdicts).of(kernel)?;
        lock(&self.known).insert(kernel.clone(), verdict);
        Some(verdict)
    }

    /// Keeps a verdict, also for later runs.
    pub fn add<'a>(&self, kernels: impl Iterator<Item = &'a Arc<Composition>>, verdict: Verdict) {
        let mut verdicts = lock(&self.verdicts);
        for kernel in kernels {
            lock(&self.known).insert(kernel.clone(), verdict);
            if let Some(fingerprint) = fingerprint(kernel) {
                verdicts.0.insert(fingerprint, verdict);
            }
        }
        if let Some(cache) = &self.cache
            && let Err(error) = cache.write(&verdicts)
        {
            log::warn!("cannot keep verdicts in {}: {error}", cache.path.display());
        }
    }
}

impl Cache {
    /// Replaces the file as a whole, so that no reader sees half of it.
    fn write(&self, verdicts: &Verdicts) -> std::io::Result<()> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let unique = format!("{}.{:?}", std::process::id(), std::thread::current().id());
        let draft = self.path.with_extension(unique.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
        std::fs::write(&draft, verdicts.print(&self.header))?;
        std::fs::rename(&draft, &self.path)
    }
}

/// Where this system keeps what can be made again, in a folder of the crate's own; `TILEWISE_CACHE_DIR` says otherwise.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let folder = |variable: &str| std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(own) = folder("TILEWISE_CACHE_DIR") {
        return Some(own);
    }
    let system = if cfg!(target_os = "windows") {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        folder("HOME").map(|home| home.join("Library/Caches"))
    } else {
        folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))
    };
    system.map(|system| system.join("tilewise"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read_as_they_were_written_and_nothing_else_is() {
        let verdicts = Verdicts([(7, Verdict::Passed), (u64::MAX, Verdict::Failed)].into());
        let text = verdicts.print("header");
        assert_eq!(text, "header\n0000000000000007 passed\nffffffffffffffff failed\n");
        assert_eq!(Verdicts::parse(&text, "header").as_ref(), Some(&verdicts));
        assert_eq!(verdicts.counts(), (1, 1));
        for damaged in
            ["", "another\n", "header\n07", "header\n07 maybe\n", "header\nx passed\n", &text[..text.len() - 3]]
        {
            assert_eq!(Verdicts::parse(damaged, "header"), None, "{damaged:?}");
        }
        assert_eq!(Verdicts::parse("header\n", "header"), Some(Verdicts::default()));
    }
}
