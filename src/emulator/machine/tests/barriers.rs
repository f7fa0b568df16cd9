//! Barriers: a rendezvous of the workgroup, and what happens where not all come.

use super::build::{Build, at, found, local, options, run_on};
use crate::emulator::code::*;
use crate::emulator::{EmulatorOptions, FindingKind};

/// Each invocation stores its index, and after a barrier reads that of its opposite.
fn exchange(b: &mut Build, count: u32) -> Reg {
    let index = b.builtin(Builtin::LocalIndex);
    let byte = b.with(BinaryOp::MulI, index, 4);
    b.store(local(0, Some(byte)), index);
    b.barrier();
    let last = b.constant(4 * (count - 1));
    let opposite = b.binary(BinaryOp::SubI, last, byte);
    let value = b.load(local(0, Some(opposite)));
    b.store(at(0, byte), value);
    byte
}

#[test]
fn all_meet() {
    for count in [1, 3, 64, 70] {
        for size in [4, 8, 32, 64] {
            for shuffle in [None, Some(1), Some(2)] {
                let mut b = Build::new(count, 1, 4 * count);
                exchange(&mut b, count);
                let mut buffers = [vec![u32::MAX; count as usize]];
                let options = EmulatorOptions { shuffle, ..options(size) };
                let outcome = run_on(&b.finish(), [1, 1, 1], &mut buffers, &options);
                assert!(outcome.complete && outcome.findings.is_empty(), "{:?}", outcome.findings);
                assert_eq!(buffers[0], (0..count).rev().collect::<Vec<_>>());
                let subgroups = u64::from(count.div_ceil(size));
                assert_eq!((outcome.counters.barriers, outcome.counters.steps), (subgroups, subgroups));
            }
        }
    }
}

/// A sum by halves, the barrier in a uniform loop.
#[test]
fn barriers_in_loops() {
    for mended in [true, false] {
        let mut b = Build::new(64, 1, 256);
        let index = b.builtin(Builtin::LocalIndex);
        let byte = b.with(BinaryOp::MulI, index, 4);
        b.store(local(0, Some(byte)), index);
        let half = b.variable(32);
        b.loop_();
        if mended {
            b.barrier();
        }
        let done = b.with(BinaryOp::EqI, half, 0);
        b.if_(done);
        b.leave(0);
        b.end();
        let mine = b.binary(BinaryOp::LtU, index, half);
        b.if_(mine);
        let other = b.binary(BinaryOp::AddI, index, half);
        let other = b.with(BinaryOp::MulI, other, 4);
        let sum = b.load(local(0, Some(byte)));
        let value = b.load(local(0, Some(other)));
        let sum = b.binary(BinaryOp::AddI, sum, value);
        b.store(local(0, Some(byte)), sum);
        b.end();
        b.op(Op::Continuing);
        let next = b.with(BinaryOp::ShrU, half, 1);
        b.assign(half, next);
        b.end();
        let sum = b.load(local(0, None));
        b.store(at(0, byte), sum);
        let mut buffers = [vec![0; 64]];
        let outcome = run_on(&b.finish(), [1, 1, 1], &mut buffers, &options(8));
        assert!(outcome.complete);
        if mended {
            assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
            assert_eq!(buffers[0], [63 * 64 / 2; 64]);
        } else {
            assert!(found(&outcome).iter().any(|(kind, ..)| *kind == FindingKind::Race), "{:?}", outcome.findings);
        }
    }
}

/// Some lanes return before a barrier: of one subgroup, or whole subgroups.
#[test]
fn not_all_come() {
    for (limit, size, here) in [(5, 4, 5), (8, 8, 8), (5, 32, 5)] {
        let mut b = Build::new(16, 1, 64);
        let index = b.builtin(Builtin::LocalIndex);
        let stays = b.with(BinaryOp::LtU, index, limit);
        b.block();
        b.if_(stays);
        b.else_();
        b.leave(0);
        b.end();
        let barrier = b.barrier();
        b.end();
        let byte = b.with(BinaryOp::MulI, index, 4);
        b.store(at(0, byte), index);
        let mut buffers = [vec![u32::MAX; 16]];
        let code = b.finish();
        let outcome = run_on(&code, [2, 1, 1], &mut buffers, &options(size));
        // It goes on to the end.
        assert!(outcome.complete);
        assert_eq!(buffers[0], (0..16).collect::<Vec<_>>());
        let first = &outcome.findings[0];
        assert_eq!(found(&outcome)[0], (FindingKind::NonuniformBarrier, barrier, 1));
        assert!(first.message.starts_with(&format!("{here} of 16 invocations")), "{}", first.message);
        let options = EmulatorOptions { sanitizer: false, ..options(size) };
        let outcome = run_on(&code, [2, 1, 1], &mut buffers, &options);
        assert!(outcome.complete && outcome.findings.is_empty());
    }
}

/// The branches of an `if` each have a barrier, for different subgroups and for lanes of one.
#[test]
fn different_barriers() {
    for size in [8, 16] {
        let mut b = Build::new(16, 1, 64);
        let index = b.builtin(Builtin::LocalIndex);
        let low = b.with(BinaryOp::LtU, index, 8);
        b.if_(low);
        let one = b.barrier();
        b.else_();
        b.barrier();
        b.end();
        let outcome = run_on(&b.finish(), [1, 1, 1], &mut [vec![0]], &options(size));
        assert!(outcome.complete);
        assert_eq!(found(&outcome)[0], (FindingKind::NonuniformBarrier, one, 0));
    }
}

#[test]
fn barriers_of_subgroups() {
    for (bit, expected) in [(16, 0), (1, 1)] {
        let mut b = Build::new(32, 1, 0);
        let index = b.builtin(Builtin::LocalIndex);
        let some = b.with(BinaryOp::And, index, bit);
        b.if_(some);
        b.op(Op::Barrier { workgroup: false, storage: false, subgroup: true });
        b.end();
        let outcome = run_on(&b.finish(), [1, 1, 1], &mut [vec![0]], &options(16));
        assert!(outcome.complete);
        assert_eq!(outcome.findings.len(), expected);
    }
}

/// `workgroupUniformLoad`, of a word that all read, and of words that differ in or between subgroups.
#[test]
fn uniform_loads() {
    for (shift, expected) in [(31, 0), (3, 1), (0, 1)] {
        let mut b = Build::new(16, 1, 64);
        let index = b.builtin(Builtin::LocalIndex);
        let byte = b.with(BinaryOp::MulI, index, 4);
        b.store(local(0, Some(byte)), index);
        b.barrier();
        let part = b.with(BinaryOp::ShrU, index, shift);
        let byte = b.with(BinaryOp::MulI, part, 4);
        let value = b.load(local(0, Some(byte)));
        b.op(Op::ExpectUniform { value });
        b.barrier();
        let outcome = run_on(&b.finish(), [3, 1, 1], &mut [vec![0]], &options(8));
        assert_eq!(outcome.findings.len(), expected, "{:?}", outcome.findings);
        assert!(outcome.findings.iter().all(|raised| raised.kind == FindingKind::NonuniformBarrier));
    }
}
