//! A workgroup: its subgroups, their rendezvous at barriers, and its memory.

use std::sync::atomic::Ordering;

use super::Counters;
use super::counters::Tally;
use super::findings::{Access, Findings, Raised};
use super::shadow::{Cell, Fences, Mode, Stamp};
use super::{Shared, mixed};
use crate::emulator::FindingKind;
use crate::emulator::code::{Builtin, Code, Memory, Op, Reg};

/// The most lanes of a subgroup.
pub(super) const MOST_LANES: usize = 64;

/// What fills workgroup memory that is not zeroed: a NaN in f32 and in f16, an index beyond any array.
const POISON: u32 = 0x7fc0_7fc0;

/// The dispatch is given up: the step budget is spent.
#[derive(Debug)]
pub(super) struct GivenUp;

/// An open frame of control.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    /// Lanes that wait at its end.
    pub left: u64,
    /// Lanes that wait for the second branch of an `If`, or for the `Continuing` of a loop.
    pub parked: u64,
}

/// Where a subgroup stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Running,
    /// At this barrier of the workgroup.
    Waiting(u32),
    Done,
}

#[derive(Debug, Default)]
pub(super) struct Subgroup {
    /// A row of lanes for each register.
    pub registers: Vec<u32>,
    /// The next operation.
    pub at: usize,
    /// The active lanes.
    pub active: u64,
    /// How many they are.
    pub count: u64,
    /// The lanes from the first to the last active one, as a multiple of four: nothing beyond need be computed.
    pub span: usize,
    /// The lanes that there are.
    pub existing: u64,
    pub frames: Vec<Frame>,
    pub state: State,
    /// Its number in the workgroup.
    pub number: u32,
    /// The time of its last barrier of its own.
    pub fence: u32,
}

impl Subgroup {
    /// The active lanes, in their order.
    pub fn lanes(&self) -> impl Iterator<Item = usize> + use<> {
        let mut rest = self.active;
        std::iter::from_fn(move || {
            let lane = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(lane)
        })
    }

    pub fn set_active(&mut self, active: u64) {
        self.active = active;
        self.count = u64::from(active.count_ones());
        self.span = ((u64::BITS - active.leading_zeros()) as usize).next_multiple_of(4);
    }
}

/// A thread's machine, which runs one workgroup at a time.
pub(super) struct Machine<'a, const CHECKED: bool> {
    pub shared: &'a Shared<'a>,
    pub code: &'a Code,
    /// Lanes of a subgroup, and their logarithm.
    pub lanes: usize,
    pub shift: u32,
    subgroups: Vec<Subgroup>,
    /// The order in which subgroups run.
    order: Vec<usize>,
    /// Workgroup memory.
    pub local: Vec<u32>,
    pub local_shadow: Vec<Cell>,
    /// The number of the workgroup, and its id.
    pub group: u64,
    group_id: [u32; 3],
    /// Barriers that this thread has met, from 1.
    pub time: u32,
    /// The times of the workgroup's start, and of its last barriers for each memory.
    pub start: u32,
    pub fence_local: u32,
    pub fence_storage: u32,
    /// The value of a `workgroupUniformLoad`: the operation, the time, the value.
    pub uniform: Option<(u32, u32, u32)>,
    /// Steps claimed from the budget and not spent.
    claimed: u64,
    pub findings: Findings,
    pub tallies: Vec<Tally>,
    pub counters: Counters,
    /// A row in which results are made, since operands may be the same register.
    pub row: [u32; MOST_LANES],
    /// The addresses of an access.
    pub addresses: [u32; MOST_LANES],
}

impl<'a, const CHECKED: bool> Machine<'a, CHECKED> {
    pub fn new(shared: &'a Shared<'a>) -> Self {
        let launch = shared.launch;
        let (code, prepared) = (launch.code, shared.prepared);
        let lanes = launch.options.subgroup_size;
        let count = prepared.invocations.div_ceil(lanes);
        let subgroups = (0..count).map(|number| {
            let there = (prepared.invocations - number * lanes).min(lanes);
            Subgroup {
                registers: vec![0; code.registers as usize * lanes as usize],
                existing: u64::MAX >> (u64::BITS - there),
                frames: Vec::with_capacity(prepared.depth),
                number,
                ..Subgroup::default()
            }
        });
        let cells = if CHECKED { code.workgroup_bytes.div_ceil(prepared.workgroup_granule) } else { 0 };
        let mut machine = Machine {
            shared,
            code,
            lanes: lanes as usize,
            shift: lanes.trailing_zeros(),
            subgroups: subgroups.collect(),
            order: (0..count as usize).collect(),
            local: vec![0; code.workgroup_bytes.div_ceil(4) as usize],
            local_shadow: vec![Cell::default(); cells as usize],
            group: 0,
            group_id: [0; 3],
            time: 0,
            start: 0,
            fence_local: 0,
            fence_storage: 0,
            uniform: None,
            claimed: 0,
            findings: Findings::default(),
            tallies: vec![Tally::default(); code.ops.len()],
            counters: Counters::default(),
            row: [0; MOST_LANES],
            addresses: [0; MOST_LANES],
        };
        for index in 0..machine.subgroups.len() {
            for &(register, value) in &code.constants {
                machine.row_of(index, register).fill(value);
            }
        }
        machine
    }

    fn row_of(&mut self, subgroup: usize, register: Reg) -> &mut [u32] {
        let start = (register as usize) << self.shift;
        &mut self.subgroups[subgroup].registers[start..start + self.lanes]
    }

    /// What this thread found and counted.
    pub fn finish(mut self) -> (Findings, Counters) {
        self.counters.tally(self.code, &self.tallies, self.lanes as u64);
        (self.findings, self.counters)
    }

    /// Runs a workgroup.
    pub fn run(&mut self, group: u64) -> Result<(), GivenUp> {
        self.begin(group);
        let seed = self.shared.launch.options.shuffle.map(|seed| mixed(seed ^ mixed(group.wrapping_add(1))));
        let mut round = 0u64;
        // A workgroup's order depends on its number alone, not on what its thread ran before.
        self.order.iter_mut().enumerate().for_each(|(turn, index)| *index = turn);
        loop {
            if let Some(seed) = seed {
                for last in (1..self.order.len()).rev() {
                    round = round.wrapping_add(1);
                    self.order.swap(last, (mixed(seed.wrapping_add(round)) % (last as u64 + 1)) as usize);
                }
            }
            for turn in 0..self.order.len() {
                let index = self.order[turn];
                if self.subgroups[index].state == State::Running {
                    // Taken out, so that the rest of the machine can be changed beside it.
                    let mut subgroup = std::mem::take(&mut self.subgroups[index]);
                    let result = self.advance(&mut subgroup);
                    self.subgroups[index] = subgroup;
                    result?;
                }
            }
            if self.subgroups.iter().all(|subgroup| subgroup.state == State::Done) {
                return Ok(());
            }
            self.rendezvous();
        }
    }
}

impl<const CHECKED: bool> Machine<'_, CHECKED> {
    /// Sets up the registers and the memory of a workgroup.
    fn begin(&mut self, group: u64) {
        let grid = self.shared.launch.grid.map(u64::from);
        self.group = group;
        self.group_id =
            [group % grid[0], group / grid[0] % grid[1], group / grid[0] / grid[1]].map(|component| component as u32);
        self.counters.workgroups += 1;
        if self.time > u32::MAX / 2 {
            // Long before the time runs out; what is forgotten is of earlier workgroups.
            self.time = 0;
            self.local_shadow.fill(Cell::default());
        }
        self.time += 1;
        (self.start, self.fence_local, self.fence_storage) = (self.time, self.time, self.time);
        self.uniform = None;
        self.local.fill(if self.shared.launch.options.zero_workgroup_memory { 0 } else { POISON });
        let (start, code) = (self.start, self.code);
        for index in 0..self.subgroups.len() {
            let subgroup = &mut self.subgroups[index];
            (subgroup.at, subgroup.state, subgroup.fence) = (0, State::Running, start);
            subgroup.frames.clear();
            subgroup.set_active(subgroup.existing);
            for &(register, builtin) in &code.builtins {
                let first = index as u32 * self.lanes as u32;
                for lane in 0..self.lanes {
                    let value = self.builtin(builtin, first + lane as u32);
                    self.row_of(index, register)[lane] = value;
                }
            }
        }
    }

    fn builtin(&self, builtin: Builtin, local: u32) -> u32 {
        let component = |c: u8, from: [u32; 3]| from.get(usize::from(c)).copied().unwrap_or(0);
        let lanes = self.lanes as u32;
        match builtin {
            Builtin::LocalId(c) => component(c, self.local_id(local)),
            Builtin::GlobalId(c) => {
                let group = component(c, self.group_id);
                group
                    .wrapping_mul(component(c, self.code.workgroup_size))
                    .wrapping_add(component(c, self.local_id(local)))
            }
            Builtin::WorkgroupId(c) => component(c, self.group_id),
            Builtin::NumWorkgroups(c) => component(c, self.shared.launch.grid),
            Builtin::LocalIndex => local,
            Builtin::SubgroupSize => lanes,
            Builtin::SubgroupLane => local % lanes,
            Builtin::SubgroupId => local / lanes,
            Builtin::NumSubgroups => self.subgroups.len() as u32,
        }
    }

    /// `local_invocation_id` of an invocation.
    pub fn local_id(&self, local: u32) -> [u32; 3] {
        let [x, y, _] = self.code.workgroup_size;
        [local % x, local / x % y, local / x / y]
    }

    /// Lets the subgroups that wait at barriers go on, after all of them have come there.
    fn rendezvous(&mut self) {
        let waiting = self.subgroups.iter().filter_map(|subgroup| match subgroup.state {
            State::Waiting(at) => Some((at, subgroup)),
            _ => None,
        });
        let mut first = None;
        let (mut here, mut elsewhere) = (0, false);
        let (mut workgroup, mut storage) = (false, false);
        for (at, subgroup) in waiting {
            let &mut (barrier, _) =
                first.get_or_insert((at, subgroup.number << self.shift | subgroup.active.trailing_zeros()));
            if at == barrier {
                here += subgroup.count;
            } else {
                elsewhere = true;
            }
            if let Op::Barrier { workgroup: w, storage: s, .. } = self.code.ops[at as usize] {
                workgroup |= w;
                storage |= s;
            }
        }
        let all = u64::from(self.shared.prepared.invocations);
        if let Some((barrier, invocation)) = first.filter(|_| CHECKED && here < all) {
            let others = if elsewhere { "others wait at another one" } else { "the others ended or went another way" };
            let message = || format!("{here} of {all} invocations are at this barrier, {others}");
            self.raise(FindingKind::NonuniformBarrier, barrier, invocation, || (message(), None));
        }
        self.time = self.time.saturating_add(1);
        if workgroup {
            self.fence_local = self.time;
        }
        if storage {
            self.fence_storage = self.time;
        }
        for subgroup in &mut self.subgroups {
            if subgroup.state != State::Done {
                subgroup.state = State::Running;
            }
        }
    }

    /// A barrier of a subgroup alone.
    pub fn subgroup_barrier(&mut self, subgroup: &mut Subgroup, at: usize) {
        if CHECKED && subgroup.active != subgroup.existing {
            let (here, all) = (subgroup.count, subgroup.existing.count_ones());
            let message = || format!("{here} of {all} lanes of the subgroup are at this barrier");
            self.raise_in(subgroup, FindingKind::NonuniformBarrier, at, || (message(), None));
        }
        self.time = self.time.saturating_add(1);
        subgroup.fence = self.time;
    }

    /// Spends a step of the budget.
    #[inline]
    pub fn step(&mut self, subgroup: &Subgroup, at: usize) -> Result<(), GivenUp> {
        self.counters.steps += 1;
        if self.claimed == 0 {
            self.claim(subgroup, at)?;
        }
        self.claimed -= 1;
        Ok(())
    }

    #[cold]
    fn claim(&mut self, subgroup: &Subgroup, at: usize) -> Result<(), GivenUp> {
        let shared = self.shared;
        let take = |steps: u64| Some(steps.saturating_sub(shared.claim));
        let left = shared.steps.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or(0);
        self.claimed = left.min(shared.claim);
        if self.claimed == 0 {
            // One thread says so, the others stop.
            if !shared.stop.swap(true, Ordering::Relaxed) {
                let budget = shared.launch.options.step_budget;
                let message = || format!("the budget of {budget} steps is spent: the loop counts as endless");
                self.raise_in(subgroup, FindingKind::StepBudget, at, || (message(), None));
            }
            return Err(GivenUp);
        }
        if shared.stop.load(Ordering::Relaxed) { Err(GivenUp) } else { Ok(()) }
    }

    /// Raises a finding in the first active lane.
    pub fn raise_in(
        &mut self,
        subgroup: &Subgroup,
        kind: FindingKind,
        at: usize,
        detail: impl FnOnce() -> (String, Option<(String, u64)>),
    ) {
        let invocation = subgroup.number << self.shift | subgroup.active.trailing_zeros();
        self.raise(kind, at as u32, invocation, detail);
    }

    /// Raises a finding in an invocation; its detail, a message and an address, is asked for the first time only.
    pub fn raise(
        &mut self,
        kind: FindingKind,
        op: u32,
        invocation: u32,
        detail: impl FnOnce() -> (String, Option<(String, u64)>),
    ) {
        if self.findings.is_new(kind, op) {
            let (message, address) = detail();
            self.add(op, invocation, Raised { kind, message, address, ..self.blank() });
        }
    }

    /// Raises a race with another access.
    #[cold]
    pub fn race(&mut self, now: Stamp, write: bool, other: (Stamp, bool), (memory, byte): (Memory, u32)) {
        let kind = FindingKind::Race;
        if !self.findings.is_new(kind, now.op()) {
            return;
        }
        let (stamp, other_write) = other;
        let grid = self.shared.launch.grid.map(u64::from);
        let group = stamp.group();
        let other = Access {
            span: self.code.spans[stamp.op() as usize],
            workgroup: [group % grid[0], group / grid[0] % grid[1], group / grid[0] / grid[1]].map(|c| c as u32),
            invocation: self.local_id(stamp.local()),
            write: other_write,
        };
        let word = |write: bool| if write { "write" } else { "read" };
        let whose = if group == self.group { "" } else { " of another workgroup" };
        let message = format!(
            "a {} and a {} by invocation {:?}{whose} touch the same bytes, with nothing between that orders them",
            word(write),
            word(other_write),
            other.invocation,
        );
        let address = Some(self.code.address(memory, byte, byte.into()));
        self.add(now.op(), now.local(), Raised { kind, message, address, other: Some(other), ..self.blank() });
    }

    fn blank(&self) -> Raised {
        Raised {
            kind: FindingKind::Unsupported,
            span: naga::Span::UNDEFINED,
            other: None,
            workgroup: self.group_id,
            invocation: [0; 3],
            address: None,
            message: String::new(),
            count: 0,
        }
    }

    fn add(&mut self, op: u32, invocation: u32, raised: Raised) {
        let raised = Raised { span: self.code.spans[op as usize], invocation: self.local_id(invocation), ..raised };
        self.findings.add(op, self.group, raised);
    }

    /// What an access of a subgroup's first lane is noted as.
    pub fn stamp(&self, subgroup: &Subgroup, at: usize, mode: Mode) -> Stamp {
        Stamp::new(self.group, subgroup.number << self.shift, self.time, at as u32, mode)
    }

    /// What orders an access to workgroup memory or, else, to storage memory after earlier ones.
    pub fn fences(&self, subgroup: &Subgroup, local: bool) -> Fences {
        // A subgroup's barrier does not reach storage memory.
        let (workgroup, own) = if local { (self.fence_local, subgroup.fence) } else { (self.fence_storage, 0) };
        Fences { workgroup, subgroup: own, shift: self.shift }
    }
}
