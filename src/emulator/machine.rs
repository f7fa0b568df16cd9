//! Stand-in for the machine, with its signatures only.

use std::sync::atomic::AtomicU32;

use naga::Span;

use super::code::Code;
use super::{EmulatorOptions, FindingKind};

/// Which words of an allocation have been written.
#[derive(Debug, Default)]
pub(crate) struct Initialised;

impl Initialised {
    /// Of an allocation of so many words, none written.
    pub fn new(_words: usize) -> Self {
        Initialised
    }

    /// Marks words as written.
    pub fn mark(&self, _words: std::ops::Range<usize>) {}
}

/// A window of memory.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    pub words: &'a [AtomicU32],
    pub identity: usize,
    pub offset: u64,
    pub bytes: u64,
    pub initialised: Option<&'a Initialised>,
}

/// A dispatch.
pub(crate) struct Launch<'a> {
    pub code: &'a Code,
    pub grid: [u32; 3],
    pub windows: &'a [Window<'a>],
    pub options: &'a EmulatorOptions,
}

/// An access that another conflicts with.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub span: Span,
    pub workgroup: [u32; 3],
    pub invocation: [u32; 3],
    pub write: bool,
}

/// Something found.
#[derive(Clone, Debug)]
pub(crate) struct Raised {
    pub kind: FindingKind,
    pub span: Span,
    pub other: Option<Access>,
    pub workgroup: [u32; 3],
    pub invocation: [u32; 3],
    pub address: Option<(String, u64)>,
    pub message: String,
    pub count: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters;

/// What a dispatch came to.
pub(crate) struct Outcome {
    pub findings: Vec<Raised>,
    pub counters: Counters,
    pub complete: bool,
}

pub(crate) fn run(_launch: &Launch<'_>) -> Outcome {
    Outcome { findings: Vec::new(), counters: Counters, complete: true }
}
