//! The machine: runs [`Code`] workgroup by workgroup, each subgroup by subgroup, with a mask of the active lanes.
//!
//! A workgroup runs on one thread, its subgroups in turn, each until a barrier or its end; a barrier is a rendezvous of all
//! of them. Workgroups are spread over threads; memory that they share is atomic words.

mod access;
mod cooperative;
mod counters;
mod findings;
mod lanes;
mod prepared;
mod shadow;
mod step;
mod workgroup;

#[cfg(test)]
mod tests;

pub(crate) use super::counters::Counters;
pub(crate) use findings::Raised;
pub(crate) use shadow::Initialised;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::EmulatorOptions;
use super::code::Code;
use findings::Findings;
use prepared::Prepared;
use shadow::StorageShadow;
use workgroup::Machine;

/// The most invocations of a workgroup, a power of two: what a number of 12 bits tells apart.
const MOST_INVOCATIONS: u64 = 1 << 12;

/// A dispatch.
pub(crate) struct Launch<'a> {
    /// The kernel.
    pub code: &'a Code,
    /// Workgroups in each dimension.
    pub grid: [u32; 3],
    /// What is bound to each of the code's buffers.
    pub windows: &'a [Window<'a>],
    /// How to run it.
    pub options: &'a EmulatorOptions,
}

/// A part of an allocation, bound to a buffer.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    /// The window's words, from its start on.
    pub words: &'a [AtomicU32],
    /// Which allocation it is a part of.
    pub identity: usize,
    /// Where it starts in the allocation, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// What was written of the whole allocation, where that is tracked.
    pub initialised: Option<&'a Initialised>,
}

/// Tells allocations apart, in findings and where windows overlap.
pub(crate) fn next_identity() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What came of a dispatch, besides the contents of memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// One for each kind and place in the text, in the order of workgroups.
    pub findings: Vec<Raised>,
    /// What was executed.
    pub counters: Counters,
    /// Whether every workgroup ran to its end.
    pub complete: bool,
}

/// What the threads of a dispatch share.
struct Shared<'a> {
    launch: &'a Launch<'a>,
    prepared: &'a Prepared,
    shadow: StorageShadow,
    /// Workgroups of the grid.
    groups: u64,
    /// The next one to run.
    next: AtomicU64,
    /// Steps that no thread has claimed yet.
    steps: AtomicU64,
    /// Steps that a thread claims at a time.
    claim: u64,
    /// Whether the dispatch is given up.
    stop: AtomicBool,
}

/// Runs a dispatch.
pub(crate) fn run(launch: &Launch<'_>) -> Outcome {
    let prepared = match Prepared::new(launch) {
        Ok(prepared) => prepared,
        Err(message) => return refused(message),
    };
    let options = launch.options;
    let groups = launch.grid.iter().map(|&n| u64::from(n)).product::<u64>();
    let threads = (options.threads as u64).min(groups).max(1);
    let shared = Shared {
        launch,
        prepared: &prepared,
        shadow: StorageShadow::new(if options.sanitizer { &prepared.arenas } else { &[] }, prepared.storage_granule),
        groups,
        next: AtomicU64::new(0),
        steps: AtomicU64::new(options.step_budget),
        claim: (options.step_budget / (threads * 16)).clamp(1, 1024),
        stop: AtomicBool::new(false),
    };
    let work = || if options.sanitizer { work::<true>(&shared) } else { work::<false>(&shared) };
    let parts = std::thread::scope(|scope| {
        // Where no thread can be had, this one does all the work.
        let others = (1..threads).filter_map(|_| std::thread::Builder::new().spawn_scoped(scope, work).ok());
        let others = others.collect::<Vec<_>>();
        let mut parts = vec![work()];
        for other in others {
            match other.join() {
                Ok(part) => parts.push(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        parts
    });
    let mut counters = Counters::default();
    let mut findings = Findings::default();
    for (part, counted) in parts {
        findings.merge(part);
        counters.merge(&counted);
    }
    let complete = !shared.stop.load(Ordering::Relaxed);
    Outcome { findings: findings.finish(), counters, complete }
}

/// Runs workgroups until none is left.
fn work<const CHECKED: bool>(shared: &Shared<'_>) -> (Findings, Counters) {
    let mut machine = Machine::<CHECKED>::new(shared);
    while !shared.stop.load(Ordering::Relaxed) {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        if number >= shared.groups {
            break;
        }
        let group = match shared.launch.options.shuffle {
            Some(seed) => permuted(number, shared.groups, seed),
            None => number,
        };
        if machine.run(group).is_err() {
            shared.stop.store(true, Ordering::Relaxed);
        }
    }
    machine.finish()
}

fn refused(message: String) -> Outcome {
    let raised = Raised::unsupported(message, naga::Span::UNDEFINED);
    Outcome { findings: vec![raised], ..Outcome::default() }
}

/// Mixes the bits of a number.
fn mixed(number: u64) -> u64 {
    // The finalizer of MurmurHash3 (Appleby), which is a bijection.
    let number = (number ^ (number >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let number = (number ^ (number >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ (number >> 33)
}

/// Where a permutation of `0..count` takes a number. Each round is a bijection of the numbers of so many bits; numbers
/// beyond `count` are sent on until they fall inside, which keeps it one.
fn permuted(number: u64, count: u64, seed: u64) -> u64 {
    let bits = (u64::BITS - (count - 1).leading_zeros()).max(2);
    let mask = u64::MAX >> (u64::BITS - bits);
    let key = mixed(seed);
    let mut number = number;
    loop {
        for round in 0..4 {
            number ^= key.rotate_left(round * 16) & mask;
            number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask;
            number ^= number >> (bits / 2);
        }
        if number < count {
            return number;
        }
    }
}
