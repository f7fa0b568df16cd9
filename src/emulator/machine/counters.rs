//! What was executed, counted.

use crate::emulator::code::{
    AtomicOp, BinaryOp, BufferBinding, Code, CollectOp, Memory, Op, TernaryOp, UnaryOp, Width,
};

/// Bytes that went to and from memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Bytes read.
    pub loaded: u64,
    /// Bytes written.
    pub stored: u64,
    /// Atomic operations, whose bytes are counted as read and written.
    pub atomics: u64,
}

/// Transactions of accesses to storage buffers, an access being one operation of a subgroup. The loads of a vector's
/// components count as one access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transactions {
    /// Accesses with an active lane inside the buffer.
    pub accesses: u64,
    /// Distinct sectors of 32 bytes.
    pub sectors: u64,
    /// The fewest sectors that hold the distinct bytes accessed.
    pub least_sectors: u64,
    /// Distinct lines of 128 bytes.
    pub lines: u64,
    /// The fewest lines that hold the distinct bytes accessed.
    pub least_lines: u64,
}

/// Accesses to workgroup memory: 32 banks of 4 bytes, each giving one word at a time to any number of lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Banks {
    /// Accesses with an active lane inside.
    pub accesses: u64,
    /// Times that the busiest bank of each access had to give a word.
    pub passes: u64,
    /// Passes beyond what the distinct words need when spread over all banks.
    pub extra: u64,
}

/// What a dispatch executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Workgroups that were started.
    pub workgroups: u64,
    /// Operations of subgroups, control not counted.
    pub operations: u64,
    /// Lanes that were active in them.
    pub active_lanes: u64,
    /// Lanes that were not, those that a partial subgroup lacks among them.
    pub idle_lanes: u64,
    /// Floating point operations of active lanes; a fused multiply-add is two.
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
    /// Barriers of subgroups.
    pub barriers: u64,
    /// Trips of loops and barriers of subgroups.
    pub steps: u64,
}

impl Traffic {
    fn merge(&mut self, other: &Traffic) {
        self.loaded += other.loaded;
        self.stored += other.stored;
        self.atomics += other.atomics;
    }
}

impl Counters {
    /// Adds those of another thread or dispatch.
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

    /// Adds what follows from how often each operation was executed.
    pub(super) fn tally(&mut self, code: &Code, tallies: &[Tally], lanes: u64) {
        for (op, tally) in code.ops.iter().zip(tallies) {
            match op {
                Op::If { .. } | Op::BreakIf { .. } => self.branches += tally.times,
                Op::Barrier { .. } => self.barriers += tally.times,
                _ => {}
            }
            if is_control(op) {
                continue;
            }
            self.operations += tally.times;
            self.active_lanes += tally.lanes;
            self.idle_lanes += tally.times * lanes - tally.lanes;
            self.flops += flops(op) * tally.lanes;
            if let Some((memory, loaded, stored, atomic)) = traffic(op) {
                let space = match memory {
                    Memory::Workgroup => &mut self.workgroup,
                    Memory::Buffer(buffer) => match code.buffers[buffer as usize].binding {
                        BufferBinding::Storage { .. } => &mut self.storage,
                        BufferBinding::Uniform { .. } | BufferBinding::Immediate => &mut self.uniform,
                    },
                };
                space.loaded += loaded * tally.lanes;
                space.stored += stored * tally.lanes;
                space.atomics += u64::from(atomic) * tally.lanes;
            }
        }
    }
}

/// How often an operation was executed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// By subgroups.
    pub times: u64,
    /// By lanes.
    pub lanes: u64,
}

fn is_control(op: &Op) -> bool {
    matches!(
        op,
        Op::If { .. }
            | Op::Else { .. }
            | Op::EndIf
            | Op::Loop { .. }
            | Op::Continuing
            | Op::BreakIf { .. }
            | Op::EndLoop { .. }
            | Op::Block { .. }
            | Op::EndBlock
            | Op::Leave { .. }
            | Op::Continue { .. }
            | Op::End
            | Op::Barrier { .. }
            | Op::ExpectUniform { .. }
    )
}

/// Floating point operations of a lane. Comparisons, conversions and changes of sign are none; a function is one.
fn flops(op: &Op) -> u64 {
    use {BinaryOp as B, CollectOp as C, UnaryOp as U};
    let counts = match op {
        Op::Unary { op, .. } => {
            matches!(op, U::FloorF | U::CeilF | U::RoundF | U::TruncF | U::SqrtF | U::InverseSqrtF | U::ExpF | U::Exp2F)
                || matches!(op, U::LogF | U::Log2F | U::SinF | U::CosF | U::TanF | U::AsinF | U::AcosF | U::AtanF)
                || matches!(op, U::SinhF | U::CoshF | U::TanhF | U::AsinhF | U::AcoshF | U::AtanhF)
        }
        Op::Binary { op, .. } => {
            matches!(op, B::AddF | B::SubF | B::MulF | B::DivF | B::RemF | B::MinF | B::MaxF | B::PowF | B::Atan2F)
        }
        Op::Ternary { op: TernaryOp::FmaF, .. } => return 2,
        Op::Atomic { op: AtomicOp::AddF, .. } => true,
        Op::Collect { op, .. } => matches!(op, C::AddF | C::MulF | C::MinF | C::MaxF),
        _ => false,
    };
    u64::from(counts)
}

/// The memory that an operation accesses, the bytes that a lane reads and writes, and whether it is atomic.
fn traffic(op: &Op) -> Option<(Memory, u64, u64, bool)> {
    let bytes = |width: &Width| match width {
        Width::Half => 2,
        Width::Word => 4,
    };
    Some(match op {
        Op::Load { place, width, .. } => (place.memory, bytes(width), 0, false),
        Op::Store { place, width, .. } => (place.memory, 0, bytes(width), false),
        Op::AtomicLoad { place, .. } => (place.memory, 4, 0, true),
        Op::AtomicStore { place, .. } => (place.memory, 0, 4, true),
        Op::Atomic { place, .. } | Op::CompareExchange { place, .. } => (place.memory, 4, 4, true),
        _ => return None,
    })
}
