//! What was executed, counted.

/// Bytes and atomic operations that lanes asked of a kind of memory. What several lanes read at one address counts for each;
/// an element of a cooperative matrix counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes read by lanes.
    pub loaded: u64,
    /// Bytes written by lanes.
    pub stored: u64,
    /// Atomic operations of lanes, whose bytes are counted as read and written.
    pub atomics: u64,
}

/// Transactions of accesses to storage buffers, an access being one operation of a subgroup. The loads of a vector's
/// components count as one access. A cooperative matrix takes accesses of as many elements as there are lanes, in the order of
/// memory. There is no cache: what two accesses need counts for both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transactions {
    /// Accesses with an active lane inside the buffer.
    pub accesses: u64,
    /// Distinct sectors of 32 bytes, summed over the accesses.
    pub sectors: u64,
    /// The fewest sectors that hold the distinct bytes of each access.
    pub least_sectors: u64,
    /// Distinct lines of 128 bytes, summed over the accesses.
    pub lines: u64,
    /// The fewest lines that hold the distinct bytes of each access.
    pub least_lines: u64,
}

impl Transactions {
    /// The bytes of the sectors.
    pub fn bytes(&self) -> u64 {
        32 * self.sectors
    }

    /// The fewest sectors in those that were needed: 1 for neighbours at neighbouring addresses. `None` without an access.
    pub fn coalescing(&self) -> Option<f64> {
        (self.sectors > 0).then(|| self.least_sectors as f64 / self.sectors as f64)
    }
}

/// Accesses to workgroup memory: 32 banks of 4 bytes, each giving one word at a time to any number of lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Banks {
    /// Accesses with an active lane inside.
    pub accesses: u64,
    /// Times that the busiest bank of each access had to give a word.
    pub passes: u64,
    /// Passes beyond what the distinct words need when spread over all banks: the bank conflicts.
    pub extra: u64,
}

/// What the emulator executed, counted exactly: no time, and no guess of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Workgroups that were started, those among them that fill up a folded grid and do nothing.
    pub workgroups: u64,
    /// Operations of subgroups, control not counted. Operations are those of the emulator's code, not a GPU's instructions.
    pub operations: u64,
    /// Lanes that were active in them, summed over the operations.
    pub active_lanes: u64,
    /// Lanes that were not, masked off by a branch or lacking in a partial subgroup, summed likewise.
    pub idle_lanes: u64,
    /// Floating point operations of active lanes; a fused multiply-add is two. Those on cooperative matrices count once for each
    /// element, a product of M x K and K x N as 2 M N K.
    pub flops: u64,
    /// Traffic of workgroup memory.
    pub workgroup: Traffic,
    /// Traffic of storage buffers.
    pub storage: Traffic,
    /// Traffic of uniform buffers and immediates.
    pub uniform: Traffic,
    /// Transactions of storage buffers.
    pub transactions: Transactions,
    /// Passes over workgroup memory.
    pub banks: Banks,
    /// Conditional branches that subgroups came to.
    pub branches: u64,
    /// Those at which lanes went both ways.
    pub divergent: u64,
    /// Barriers that subgroups came to, each counting.
    pub barriers: u64,
    /// Trips of loops and barriers of subgroups.
    pub steps: u64,
}

/// The counters of one dispatch: what [`Gpu::counted`](crate::Gpu::counted) returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// The op.
    pub op: &'static str,
    /// The variant that ran.
    pub variant: String,
    /// The dispatch's number in its plan, from 0.
    pub dispatch: usize,
    /// Its grid of workgroups.
    pub grid: [u32; 3],
    /// What it executed.
    pub counters: Counters,
}

impl Traffic {
    fn merge(&mut self, other: &Traffic) {
        self.loaded += other.loaded;
        self.stored += other.stored;
        self.atomics += other.atomics;
    }
}

impl Counters {
    /// Adds those of another dispatch.
    pub fn merge(&mut self, other: &Counters) {
        self.workgroups += other.workgroups;
        self.operations += other.operations;
        self.active_lanes += other.active_lanes;
        self.idle_lanes += other.idle_lanes;
        self.flops += other.flops;
        self.workgroup.merge(&other.workgroup);
        self.storage.merge(&other.storage);
        self.uniform.merge(&other.uniform);
        self.transactions.accesses += other.transactions.accesses;
        self.transactions.sectors += other.transactions.sectors;
        self.transactions.least_sectors += other.transactions.least_sectors;
        self.transactions.lines += other.transactions.lines;
        self.transactions.least_lines += other.transactions.least_lines;
        self.banks.accesses += other.banks.accesses;
        self.banks.passes += other.banks.passes;
        self.banks.extra += other.banks.extra;
        self.branches += other.branches;
        self.divergent += other.divergent;
        self.barriers += other.barriers;
        self.steps += other.steps;
    }
}
