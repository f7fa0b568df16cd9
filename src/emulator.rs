//! The emulator: runs the same WGSL on any machine, the way a GPU would, without a driver.
//!
//! A kernel is parsed and validated by naga, lowered to a flat [`Code`](code::Code) over registers of a word for each lane,
//! and run subgroup by subgroup with lane masks; barriers are rendezvous. With the sanitizer on, every memory access is
//! checked and reported as a [`Finding`].

pub(crate) mod alu;
pub(crate) mod code;
pub(crate) mod lower;
pub(crate) mod machine;

use std::fmt;

/// How the emulator runs kernels.
#[derive(Clone, Debug, PartialEq)]
pub struct EmulatorOptions {
    /// Lanes of a subgroup: 4, 8, 16, 32 or 64.
    pub subgroup_size: u32,
    /// Multiprocessors to map workgroups onto, for the figures; it does not change results.
    pub sm_count: u32,
    /// Whether memory accesses and barriers are checked.
    pub sanitizer: bool,
    /// The seed of the order in which workgroups, and subgroups between barriers, run; `None` runs them in ascending order.
    pub shuffle: Option<u64>,
    /// Steps of a dispatch, trips of loops and barriers of a subgroup each being one, after which it counts as endless.
    pub step_budget: u64,
    /// Whether workgroup memory starts as zeros, as WGSL has it; off, as the crate's pipelines have it, reading what was not
    /// written is a finding.
    pub zero_workgroup_memory: bool,
    /// Threads that run workgroups.
    pub threads: usize,
}

impl Default for EmulatorOptions {
    fn default() -> Self {
        EmulatorOptions {
            subgroup_size: 32,
            sm_count: 16,
            sanitizer: true,
            shuffle: None,
            step_budget: 1 << 32,
            zero_workgroup_memory: false,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingKind {
    /// Two accesses to overlapping bytes, at least one a write, not both atomic, and no barrier between them.
    Race,
    /// An index beyond an array, or an access beyond a binding.
    OutOfBounds,
    /// A read of workgroup memory that nothing wrote, or of an output that nothing wrote.
    Uninitialised,
    /// A barrier that not all invocations of its workgroup reach together.
    NonuniformBarrier,
    /// A broadcast or shuffle that reads a lane which is not active.
    InactiveLane,
    /// A whole number divided by zero: a lint, WGSL defines the result.
    DivisionByZero,
    /// A shift by the width or more: a lint.
    ShiftOutOfRange,
    /// The step budget is spent.
    StepBudget,
    /// Something that the emulator does not support.
    Unsupported,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FindingKind::Race => "race",
            FindingKind::OutOfBounds => "out_of_bounds",
            FindingKind::Uninitialised => "uninitialised",
            FindingKind::NonuniformBarrier => "nonuniform_barrier",
            FindingKind::InactiveLane => "inactive_lane",
            FindingKind::DivisionByZero => "division_by_zero",
            FindingKind::ShiftOutOfRange => "shift_out_of_range",
            FindingKind::StepBudget => "step_budget",
            FindingKind::Unsupported => "unsupported",
        })
    }
}
