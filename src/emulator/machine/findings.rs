//! What the machine has to say about a kernel, folded so that a broken one gives a readable list.

use std::collections::HashMap;

use naga::Span;

use crate::emulator::{Conflict, Finding, FindingKind, Site};

/// A finding, in the terms of the code.
#[derive(Clone, Debug)]
pub(crate) struct Raised {
    /// What it is about.
    pub kind: FindingKind,
    /// The operation.
    pub span: Span,
    /// The other access of a race.
    pub other: Option<Access>,
    /// `workgroup_id`
    pub workgroup: [u32; 3],
    /// `local_invocation_id`
    pub invocation: [u32; 3],
    /// The memory's name, and the byte in it.
    pub address: Option<(String, u64)>,
    /// What is wrong, with the numbers.
    pub message: String,
    /// How many more of the same kind at the same place there were.
    pub count: u64,
}

impl Raised {
    /// About what cannot be run.
    pub fn unsupported(message: String, span: Span) -> Self {
        Raised {
            kind: FindingKind::Unsupported,
            span,
            other: None,
            workgroup: [0; 3],
            invocation: [0; 3],
            address: None,
            message,
            count: 0,
        }
    }

    /// In terms of the text: `locate` gives the file, line and column of a span.
    pub fn located(self, kernel: &str, locate: impl Fn(Span) -> (String, usize, usize)) -> Finding {
        let site = |span, workgroup, invocation| {
            let (file, line, column) = locate(span);
            Site { file, line, column, workgroup, invocation }
        };
        Finding {
            kind: self.kind,
            kernel: kernel.into(),
            at: site(self.span, self.workgroup, self.invocation),
            address: self.address,
            other: self
                .other
                .map(|other| Conflict { at: site(other.span, other.workgroup, other.invocation), write: other.write }),
            message: self.message,
            // The machine counts how many more there were.
            count: self.count.saturating_add(1),
        }
    }
}

/// An access to memory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Access {
    /// The operation.
    pub span: Span,
    /// `workgroup_id`
    pub workgroup: [u32; 3],
    /// `local_invocation_id`
    pub invocation: [u32; 3],
    /// Whether it writes.
    pub write: bool,
}

/// The findings of a thread.
#[derive(Default)]
pub(super) struct Findings {
    /// Each with the number of its workgroup.
    list: Vec<(u64, Raised)>,
    /// The finding of a kind at an operation.
    known: HashMap<(FindingKind, u32), usize>,
    /// The finding of a kind at a place in the text: an inlined function is there more than once.
    places: HashMap<(FindingKind, Option<std::ops::Range<usize>>), usize>,
}

impl Findings {
    /// Whether a finding is the first of its kind at an operation; else it is only counted.
    pub fn is_new(&mut self, kind: FindingKind, op: u32) -> bool {
        match self.known.get(&(kind, op)) {
            Some(&index) => {
                self.list[index].1.count = self.list[index].1.count.saturating_add(1);
                false
            }
            None => true,
        }
    }

    /// Adds the first one of an operation.
    pub fn add(&mut self, op: u32, group: u64, raised: Raised) {
        let kind = raised.kind;
        let index = self.fold(group, raised);
        self.known.insert((kind, op), index);
    }

    fn fold(&mut self, group: u64, raised: Raised) -> usize {
        let place = (raised.kind, raised.span.to_range());
        if let Some(&index) = self.places.get(&place) {
            let (old_group, old) = &mut self.list[index];
            let count = old.count.saturating_add(raised.count).saturating_add(1);
            // The lowest workgroup speaks for all, so that threads do not change what is said.
            if group < *old_group {
                (*old_group, *old) = (group, raised);
            }
            old.count = count;
            return index;
        }
        let index = self.list.len();
        self.list.push((group, raised));
        self.places.insert(place, index);
        index
    }

    /// Adds those of another thread.
    pub fn merge(&mut self, other: Findings) {
        for (group, raised) in other.list {
            self.fold(group, raised);
        }
    }

    /// All of them, in the order of workgroups, then of the text.
    pub fn finish(mut self) -> Vec<Raised> {
        self.list.sort_by_key(|(group, raised)| (*group, raised.span.to_range().map(|range| range.start), raised.kind));
        self.list.into_iter().map(|(_, raised)| raised).collect()
    }
}
