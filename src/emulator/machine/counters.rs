//! Counting: what follows from how often each operation was executed.

use crate::emulator::code::{
    AtomicOp, BinaryOp, BufferBinding, Code, CollectOp, Matrix, Memory, Op, TernaryOp, Tile, UnaryOp, Width,
};
use crate::emulator::counters::Counters;

impl Counters {
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
            let executions = executions(op, tally);
            self.flops += flops(op) * executions;
            if let Some((memory, loaded, stored, atomic)) = traffic(op) {
                let space = match memory {
                    Memory::Workgroup => &mut self.workgroup,
                    Memory::Buffer(buffer) => match code.buffers[buffer as usize].binding {
                        BufferBinding::Storage { .. } => &mut self.storage,
                        BufferBinding::Uniform { .. } | BufferBinding::Immediate => &mut self.uniform,
                    },
                };
                space.loaded += loaded * executions;
                space.stored += stored * executions;
                space.atomics += u64::from(atomic) * executions;
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
            | Op::ExpectSame { .. }
    )
}

/// How often an operation was executed: by lanes, or by subgroups where they do it together.
fn executions(op: &Op, tally: &Tally) -> u64 {
    match op {
        Op::CooperativeLoad { .. }
        | Op::CooperativeStore { .. }
        | Op::CooperativeMultiplyAdd { .. }
        | Op::CooperativeBinary { .. } => tally.times,
        _ => tally.lanes,
    }
}

/// Floating point operations of an execution. Comparisons, conversions and changes of sign are none; a function is one.
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
        Op::CooperativeMultiplyAdd { to, operands, .. } => {
            let [a, ..] = &**operands;
            return 2 * to.elements() as u64 * u64::from(a.columns);
        }
        Op::CooperativeBinary { to, .. } => return to.elements() as u64,
        Op::Collect { op, .. } => matches!(op, C::AddF | C::MulF | C::MinF | C::MaxF),
        _ => false,
    };
    u64::from(counts)
}

/// The memory that an operation accesses, the bytes that an execution reads and writes, and whether it is atomic.
fn traffic(op: &Op) -> Option<(Memory, u64, u64, bool)> {
    let bytes = |width: &Width| u64::from(width.bytes());
    let tile_bytes = |tile: &Tile, matrix: &Matrix| matrix.elements() as u64 * bytes(&tile.width);
    Some(match op {
        Op::Load { place, width, .. } => (place.memory, bytes(width), 0, false),
        Op::Store { place, width, .. } => (place.memory, 0, bytes(width), false),
        Op::CooperativeLoad { to, tile } => (tile.place.memory, tile_bytes(tile, to), 0, false),
        Op::CooperativeStore { tile, from } => (tile.place.memory, 0, tile_bytes(tile, from), false),
        Op::AtomicLoad { place, .. } => (place.memory, 4, 0, true),
        Op::AtomicStore { place, .. } => (place.memory, 0, 4, true),
        Op::Atomic { place, .. } | Op::CompareExchange { place, .. } => (place.memory, 4, 4, true),
        _ => return None,
    })
}
