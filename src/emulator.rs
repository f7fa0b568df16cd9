//! The emulator: runs the same WGSL on any machine, the way a GPU would, without a driver.
//!
//! A kernel is parsed and validated by naga, lowered to a flat `Code` over registers of a word for each lane,
//! and run subgroup by subgroup with lane masks; barriers are rendezvous. With the sanitizer on, every memory access is
//! checked and reported as a [`Finding`].
//!
//! `Gpu::emulated` runs the crate's own kernels so; `Shader` runs anyone's.

#[cfg(feature = "emulator")]
pub(crate) mod alu;
#[cfg(feature = "emulator")]
pub(crate) mod code;
#[cfg(feature = "emulator")]
mod contents;
#[cfg(feature = "emulator")]
pub(crate) mod lower;
#[cfg(feature = "emulator")]
pub(crate) mod machine;
#[cfg(feature = "emulator")]
mod shader;

use std::fmt;

#[cfg(feature = "emulator")]
use crate::error::{Error, Result};
#[cfg(feature = "emulator")]
pub use contents::Contents;
#[cfg(feature = "emulator")]
pub use shader::{BindingData, Ran, Run, Shader};

/// How the emulator runs kernels, and what device it pretends to be.
#[cfg(feature = "emulator")]
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
    /// The limits that the device pretends to have; `None` for WebGPU's defaults, with 128 bytes of immediates.
    pub limits: Option<wgpu::Limits>,
    /// The most bytes that tensors may take together; beyond, [`Error::OutOfMemory`].
    pub memory_limit: Option<u64>,
    /// Whether memory that nothing wrote yet holds NaN instead of zeros, so that reading it shows.
    pub poison: bool,
}

#[cfg(feature = "emulator")]
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
            limits: None,
            memory_limit: None,
            poison: true,
        }
    }
}

/// Bytes of immediates that every Vulkan device has room for; WebGPU has no immediates by default.
#[cfg(feature = "emulator")]
const IMMEDIATE_BYTES: u32 = 128;

#[cfg(feature = "emulator")]
impl EmulatorOptions {
    /// Refuses options that no machine can have.
    pub(crate) fn check(&self) -> Result<()> {
        let limits = self.limits();
        let align = limits.min_storage_buffer_offset_alignment;
        let refuse =
            |option, value: String, requirement| Err(Error::Option { op: "emulator", option, value, requirement });
        if ![4, 8, 16, 32, 64].contains(&self.subgroup_size) {
            return refuse("subgroup_size", self.subgroup_size.to_string(), "must be 4, 8, 16, 32 or 64");
        }
        if self.sm_count == 0 {
            return refuse("sm_count", "0".into(), "must be at least 1");
        }
        if self.step_budget == 0 {
            return refuse("step_budget", "0".into(), "must be at least 1");
        }
        if self.threads == 0 {
            return refuse("threads", "0".into(), "must be at least 1");
        }
        if align < 4 || !align.is_power_of_two() {
            let option = "limits.min_storage_buffer_offset_alignment";
            return refuse(option, align.to_string(), "must be a power of two, 4 at least");
        }
        Ok(())
    }

    /// The limits that the device has.
    pub(crate) fn limits(&self) -> wgpu::Limits {
        let default = || wgpu::Limits { max_immediate_size: IMMEDIATE_BYTES, ..wgpu::Limits::default() };
        self.limits.clone().unwrap_or_else(default)
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
    /// What a subgroup does together and cannot: a broadcast or shuffle reads a lane that is not active, an operation on a
    /// cooperative matrix lacks lanes (all of the subgroup have to be there and active), or the lanes do not agree on what has
    /// to be the same in all of them, as the lane of a broadcast, or the place, the stride or the factor of a matrix.
    InactiveLane,
    /// A whole number divided by zero: a lint, WGSL defines the result.
    DivisionByZero,
    /// A shift by the width or more: a lint, for 32 bits.
    ShiftOutOfRange,
    /// The step budget is spent.
    StepBudget,
    /// Something that the emulator does not support: types of 64 bits, textures, arrays of bindings, ray queries.
    Unsupported,
}

impl FindingKind {
    /// Whether WGSL defines what happens, though nobody means it. All others are errors.
    pub fn is_lint(self) -> bool {
        matches!(self, FindingKind::DivisionByZero | FindingKind::ShiftOutOfRange)
    }
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

/// Where an access stands in the shaders, and who ran it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    /// The shader file, relative to `shaders/`; `(composed text)` for lines that no file has. Of a `Shader`, its name.
    pub file: String,
    /// Line, from 1; 0 if it is about the kernel as a whole.
    pub line: usize,
    /// Column, from 1, in characters; 0 if it is about the kernel as a whole.
    pub column: usize,
    /// `workgroup_id` of the first invocation.
    pub workgroup: [u32; 3],
    /// Its `local_invocation_id`.
    pub invocation: [u32; 3],
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Site { file, line, column, workgroup, invocation } = self;
        if *line == 0 {
            return f.write_str(file);
        }
        write!(f, "{file}:{line}:{column}, workgroup {workgroup:?}, invocation {invocation:?}")
    }
}

/// The other access of a race.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conflict {
    /// Where it stands, and who ran it.
    pub at: Site,
    /// Whether it writes.
    pub write: bool,
}

/// What the emulator's checks found: one place in one kernel, however often it happened there.
///
/// Prints as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub kind: FindingKind,
    /// The op and the variant that ran.
    pub kernel: String,
    /// Where in the shader, and the first invocation that did it.
    pub at: Site,
    /// The variable in memory that it is about, where it is about one, and the byte in it.
    pub address: Option<(String, u64)>,
    /// The access that it conflicts with.
    pub other: Option<Conflict>,
    /// What happened, in words.
    pub message: String,
    /// How often.
    pub count: u64,
}

impl Finding {
    /// Adds it to a list. The same at the same place counts up, so that a list stays as short as the shaders.
    pub(crate) fn merge_into(&self, list: &mut Vec<Finding>) {
        let place = |finding: &Finding| (finding.kind, finding.at.line, finding.at.column);
        let same = |known: &&mut Finding| {
            place(known) == place(self) && known.at.file == self.at.file && known.kernel == self.kernel
        };
        match list.iter_mut().find(same) {
            Some(known) => known.count = known.count.saturating_add(self.count),
            None => list.push(self.clone()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {} at {}", self.kernel, self.kind, self.message, self.at)?;
        if let Some((name, byte)) = &self.address {
            write!(f, ", byte {byte} of `{name}`")?;
        }
        if let Some(other) = &self.other {
            write!(f, "; against the {} at {}", if other.write { "write" } else { "read" }, other.at)?;
        }
        if self.count > 1 { write!(f, "; {} times", self.count) } else { Ok(()) }
    }
}

mod counters;

pub use counters::{Banks, Counted, Counters, Traffic, Transactions};
