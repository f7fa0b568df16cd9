//! What the sanitizer finds, each with the mended kernel in which it finds nothing.

use std::sync::atomic::AtomicU32;

use super::build::{Build, at, found, local, options, run_on, span, window};
use crate::emulator::code::*;
use crate::emulator::machine::findings::Access;
use crate::emulator::machine::{Initialised, Launch, Outcome, Window, run};
use crate::emulator::{EmulatorOptions, FindingKind};

const SIZES: [u32; 4] = [4, 8, 32, 64];

/// Runs one workgroup of 16 invocations on 64 words.
fn one(body: impl Fn(&mut Build, Reg), size: u32, shuffle: Option<u64>) -> Outcome {
    let mut b = Build::new(16, 1, 256);
    let index = b.builtin(Builtin::LocalIndex);
    body(&mut b, index);
    let options = EmulatorOptions { shuffle, zero_workgroup_memory: true, ..options(size) };
    run_on(&b.finish(), [1, 1, 1], &mut [vec![1; 64]], &options)
}

/// A kernel has findings of one kind, and none when mended, whatever the subgroups.
fn expect(kind: FindingKind, body: impl Fn(&mut Build, Reg, bool)) {
    for size in SIZES {
        for shuffle in [None, Some(1), Some(2)] {
            let broken = one(|b, index| body(b, index, false), size, shuffle);
            assert!(broken.complete);
            assert!(!broken.findings.is_empty(), "subgroups of {size}");
            assert!(broken.findings.iter().all(|raised| raised.kind == kind), "{:?}", broken.findings);
            let mended = one(|b, index| body(b, index, true), size, shuffle);
            assert!(mended.findings.is_empty(), "subgroups of {size}: {:?}", mended.findings);
        }
    }
}

const LOCAL: Op = Op::Barrier { workgroup: true, storage: false, subgroup: false };
const STORAGE: Op = Op::Barrier { workgroup: false, storage: true, subgroup: false };

/// Each stores its own word, then reads its neighbour's, with a barrier between when mended; what orders workgroup memory
/// does not order storage memory, and the other way round.
#[test]
fn read_after_write() {
    for storage in [false, true] {
        expect(FindingKind::Race, |b, index, mended| {
            let byte = b.with(BinaryOp::MulI, index, 4);
            let next = b.with(BinaryOp::AddI, index, 1);
            let next = b.with(BinaryOp::And, next, 15);
            let next = b.with(BinaryOp::MulI, next, 4);
            let place = |byte| if storage { at(0, byte) } else { local(0, Some(byte)) };
            b.store(place(byte), index);
            b.op(if mended == storage { STORAGE } else { LOCAL });
            b.load(place(next));
        });
    }
}

/// All read a word, which one of them then writes: an early reader, and the last one.
#[test]
fn write_after_read() {
    for (storage, writer) in [(false, 3), (false, 15), (true, 3), (true, 15)] {
        expect(FindingKind::Race, |b, index, mended| {
            let word = b.constant(4 * writer);
            let place = if storage { at(0, word) } else { local(0, Some(word)) };
            let value = b.load(place);
            if mended {
                b.op(if storage { STORAGE } else { LOCAL });
            }
            let writes = b.with(BinaryOp::EqI, index, writer);
            b.if_(writes);
            b.store(place, value);
            b.end();
        });
    }
}

/// All store the same value to one word: a race all the same.
#[test]
fn write_after_write() {
    for storage in [false, true] {
        expect(FindingKind::Race, |b, index, mended| {
            let value = b.constant(5);
            let place = if storage { Place { index: None, ..at(0, 0) } } else { local(0, None) };
            if mended {
                let first = b.with(BinaryOp::EqI, index, 0);
                b.if_(first);
                b.store(place, value);
                b.end();
            } else {
                b.store(place, value);
            }
        });
    }
}

/// Halves of a word are no race; the whole and a half are.
#[test]
fn halves() {
    for storage in [false, true] {
        expect(FindingKind::Race, |b, index, mended| {
            let byte = b.with(BinaryOp::MulI, index, 2);
            let place = if storage { at(0, byte) } else { local(0, Some(byte)) };
            b.op(Op::Store { place, width: Width::Half, from: index });
            if !mended {
                let first = b.with(BinaryOp::EqI, index, 0);
                b.if_(first);
                b.load(place);
                b.end();
            }
        });
    }
}

/// A subgroup's barrier orders its own lanes in workgroup memory; no others, and not in storage memory.
#[test]
fn subgroup_barriers() {
    for (partner, size, storage) in [(1, 4, false), (1, 8, false), (8, 8, false), (8, 32, false), (1, 32, true)] {
        let place = |byte| if storage { at(0, byte) } else { local(0, Some(byte)) };
        let ordered = !storage && partner < size;
        let outcome = one(
            |b, index| {
                let byte = b.with(BinaryOp::MulI, index, 4);
                b.store(place(byte), index);
                b.op(Op::Barrier { workgroup: false, storage: false, subgroup: true });
                let other = b.with(BinaryOp::Xor, index, partner);
                let byte = b.with(BinaryOp::MulI, other, 4);
                b.load(place(byte));
            },
            size,
            None,
        );
        assert_eq!(outcome.findings.is_empty(), ordered, "{:?}", outcome.findings);
        assert!(outcome.findings.iter().all(|raised| raised.kind == FindingKind::Race));
    }
}

/// Both atomic is no race; an atomic and a plain access are.
#[test]
fn atomics() {
    for storage in [false, true] {
        expect(FindingKind::Race, |b, _, mended| {
            let one = b.constant(1);
            let place = if storage { Place { index: None, ..at(0, 0) } } else { local(0, None) };
            b.op(Op::Atomic { op: AtomicOp::Add, to: None, place, value: one });
            let to = b.register();
            if mended {
                b.op(Op::AtomicLoad { to, place });
            } else {
                b.load(place);
            }
        });
    }
}

/// What is said of a race.
#[test]
fn both_sides_of_a_race() {
    let mut b = Build::new(4, 1, 64);
    b.code.workgroup_size = [2, 2, 1];
    b.code.locals =
        [("before", 0..16), ("tile", 16..32)].map(|(name, bytes)| Local { name: name.into(), bytes }).into();
    let index = b.builtin(Builtin::LocalIndex);
    let byte = b.with(BinaryOp::MulI, index, 4);
    let store = b.store(local(16, Some(byte)), index);
    let third = b.with(BinaryOp::EqI, index, 2);
    b.if_(third);
    let load = b.code.ops.len();
    b.load(local(28, None));
    b.end();
    let outcome = run_on(&b.finish(), [2, 3, 1], &mut [vec![0]], &options(4));
    // Six workgroups, of which the first speaks.
    assert_eq!(found(&outcome), [(FindingKind::Race, load, 5)]);
    let race = &outcome.findings[0];
    assert_eq!((race.workgroup, race.invocation), ([0, 0, 0], [0, 1, 0]));
    assert_eq!(race.address, Some(("tile".into(), 12)));
    let other = Access { span: span(store), workgroup: [0, 0, 0], invocation: [1, 1, 0], write: true };
    assert_eq!(race.other, Some(other));
    assert!(race.message.starts_with("a read and a write by invocation [1, 1, 0] touch"), "{}", race.message);
}

/// Workgroups write words of their own, or one each that a neighbour reads or writes too; a barrier does not help.
#[test]
fn between_workgroups() {
    for (threads, shuffle) in [(1, None), (1, Some(4)), (3, Some(4))] {
        for (neighbour, write, expected) in [(0, false, 0), (0, true, 0), (1, false, 1), (1, true, 1)] {
            let mut b = Build::new(4, 1, 0);
            let index = b.builtin(Builtin::GlobalId(0));
            let byte = b.with(BinaryOp::MulI, index, 4);
            b.store(at(0, byte), index);
            b.op(STORAGE);
            b.barrier();
            let other = b.with(BinaryOp::AddI, byte, 16 * neighbour);
            if write {
                b.store(at(0, other), index);
            } else {
                b.load(at(0, other));
            }
            let options = EmulatorOptions { threads, shuffle, ..options(4) };
            let outcome = run_on(&b.finish(), [50, 1, 1], &mut [vec![0; 204]], &options);
            assert_eq!(outcome.findings.is_empty(), expected == 0, "{:?}", outcome.findings);
            assert!(outcome.findings.iter().all(|raised| raised.kind == FindingKind::Race));
            let others = outcome.findings.iter().map(|raised| (raised.workgroup, raised.other.as_ref().unwrap()));
            assert!(others.into_iter().all(|(workgroup, other)| workgroup[0].abs_diff(other.workgroup[0]) == 1));
        }
    }
}

/// A reader of another workgroup long ago is not forgotten for later readers.
#[test]
fn a_write_after_many_readers() {
    let mut b = Build::new(4, 1, 0);
    let group = b.builtin(Builtin::WorkgroupId(0));
    let last = b.with(BinaryOp::EqI, group, 3);
    let place = Place { index: None, ..at(0, 0) };
    let value = b.load(place);
    b.op(STORAGE);
    let index = b.builtin(Builtin::LocalIndex);
    let first = b.with(BinaryOp::EqI, index, 0);
    let writes = b.binary(BinaryOp::And, last, first);
    b.if_(writes);
    let store = b.store(place, value);
    b.end();
    let code = b.finish();
    let outcome = run_on(&code, [4, 1, 1], &mut [vec![0]], &options(4));
    assert_eq!(found(&outcome), [(FindingKind::Race, store, 0)]);
    assert_eq!(outcome.findings[0].workgroup, [3, 0, 0]);
    // One workgroup alone orders it by its barrier.
    let code = Code { builtins: vec![(group, Builtin::NumWorkgroups(1)), (index, Builtin::LocalIndex)], ..code };
    let outcome = run_on(&code, [1, 3, 1], &mut [vec![0]], &options(4));
    assert!(!outcome.findings.is_empty());
    let outcome = run_on(&code, [1, 1, 1], &mut [vec![0]], &options(4));
    assert!(outcome.findings.is_empty());
}

/// Two windows of one allocation: apart, or overlapping by a word.
#[test]
fn aliases() {
    let words = (0..64).map(AtomicU32::new).collect::<Vec<_>>();
    for (offset, identity, expected) in [(32, 0, 0), (28, 0, 1), (28, 1, 0)] {
        let mut b = Build::new(8, 2, 0);
        let index = b.builtin(Builtin::LocalIndex);
        let byte = b.with(BinaryOp::MulI, index, 4);
        let value = b.load(at(0, byte));
        let store = b.store(at(1, byte), value);
        let other =
            Window { words: &words[offset as usize / 4..][..8], identity, offset, bytes: 32, initialised: None };
        let windows = [Window { words: &words[..8], bytes: 32, ..window(&words, 0, None) }, other];
        let outcome = run(&Launch { code: &b.finish(), grid: [1, 1, 1], windows: &windows, options: &options(8) });
        let race = (FindingKind::Race, store, 0);
        assert_eq!(found(&outcome), vec![race; expected]);
        let address = Some(("buffer1".to_string(), 0));
        assert!(outcome.findings.iter().all(|raised| raised.address == address));
    }
}

/// An output that is read before anything wrote it, now or in an earlier dispatch.
#[test]
fn uninitialised_storage() {
    let words = (0..16).map(AtomicU32::new).collect::<Vec<_>>();
    let initialised = Initialised::new(16);
    initialised.mark(0..3);
    let dispatch = |offset: u32, store: bool| {
        let mut b = Build::new(4, 1, 0);
        let index = b.builtin(Builtin::LocalIndex);
        let byte = b.with(BinaryOp::MulI, index, 4);
        let place = Place { base: offset, ..at(0, byte) };
        if store {
            b.store(place, index)
        } else {
            b.load(place) as usize
        };
        let windows = [Window { bytes: 60, words: &words[1..], offset: 4, ..window(&words, 0, Some(&initialised)) }];
        let outcome = run(&Launch { code: &b.finish(), grid: [1, 1, 1], windows: &windows, options: &options(4) });
        found(&outcome).into_iter().map(|(kind, _, count)| (kind, count)).collect::<Vec<_>>()
    };
    // Words 1 and 2 were written, 3 and 4 not.
    assert_eq!(dispatch(0, false), [(FindingKind::Uninitialised, 1)]);
    assert_eq!(dispatch(8, true), []);
    assert_eq!(dispatch(0, false), []);
    assert_eq!(dispatch(12, false), [(FindingKind::Uninitialised, 0)]);
}

/// A half that nothing wrote, of a word whose other half was.
#[test]
fn uninitialised_workgroup_memory() {
    for (stored, expected) in [(8, 0), (7, 1), (0, 1)] {
        let mut b = Build::new(8, 1, 16);
        let index = b.builtin(Builtin::LocalIndex);
        let byte = b.with(BinaryOp::MulI, index, 2);
        let stored = b.with(BinaryOp::LtU, index, stored);
        b.if_(stored);
        b.op(Op::Store { place: local(0, Some(byte)), width: Width::Half, from: index });
        b.end();
        b.barrier();
        let to = b.register();
        b.op(Op::Load { to, place: local(0, Some(byte)), width: Width::Half });
        let code = b.finish();
        let outcome = run_on(&code, [3, 1, 1], &mut [vec![0]], &options(8));
        assert_eq!(outcome.findings.len(), expected, "{:?}", outcome.findings);
        assert!(outcome.findings.iter().all(|raised| raised.kind == FindingKind::Uninitialised));
        let zeroed = EmulatorOptions { zero_workgroup_memory: true, ..options(8) };
        assert!(run_on(&code, [3, 1, 1], &mut [vec![0]], &zeroed).findings.is_empty());
    }
}

/// Divisions by zero and shifts too far, in active lanes only.
#[test]
fn lints() {
    use BinaryOp::*;
    let cases = [DivI, DivU, RemI, RemU].map(|op| (op, FindingKind::DivisionByZero));
    let shifts = [Shl, ShrI, ShrU].map(|op| (op, FindingKind::ShiftOutOfRange));
    for (op, kind) in cases.into_iter().chain(shifts) {
        expect(kind, |b, index, mended| {
            let wrong = b.with(SubI, index, 3);
            let wrong = if kind == FindingKind::DivisionByZero { wrong } else { b.with(MulI, index, 4) };
            let fine = if kind == FindingKind::DivisionByZero { b.with(NeI, index, 3) } else { b.with(LtU, index, 8) };
            b.if_(fine);
            if !mended {
                b.else_();
            }
            b.binary(op, index, wrong);
            b.end();
        });
    }
}

/// A kernel that is wrong everywhere has a list that can be read.
#[test]
fn findings_are_folded() {
    let mut b = Build::new(32, 1, 64);
    let index = b.builtin(Builtin::LocalIndex);
    let far = b.constant(1000);
    // The same expression twice, as an inlined function has it.
    for _ in 0..2 {
        b.store(at(0, far), index);
        *b.code.spans.last_mut().unwrap() = naga::Span::new(7, 9);
    }
    let code = b.finish();
    for threads in [1, 2] {
        let options = EmulatorOptions { threads, ..options(32) };
        let outcome = run_on(&code, [100, 1, 1], &mut [vec![0]], &options);
        assert_eq!(found(&outcome), [(FindingKind::OutOfBounds, 7, 2 * 100 * 32 - 1)]);
        assert_eq!((outcome.findings[0].workgroup, outcome.findings[0].invocation), ([0; 3], [0; 3]));
    }
}

#[test]
fn refusals() {
    let code = Build::new(4, 1, 0).finish();
    let words = [AtomicU32::new(0)];
    let windows = [window(&words, 0, None)];
    let message = |code: &Code, windows: &[Window<'_>], size: u32| {
        let outcome = run(&Launch { code, grid: [1, 1, 1], windows, options: &options(size) });
        assert!(!outcome.complete && outcome.findings[0].kind == FindingKind::Unsupported);
        outcome.findings[0].message.clone()
    };
    assert_eq!(message(&code, &windows, 12), "a subgroup has 4, 8, 16, 32 or 64 lanes, not 12");
    assert_eq!(message(&code, &[], 4), "0 windows for 1 buffers");
    let large = Code { workgroup_size: [4096, 2, 1], ..code.clone() };
    assert_eq!(message(&large, &windows, 4), "a workgroup of 8192 invocations: from 1 to 4096 can be run");
    let mut open = code;
    open.ops.insert(0, Op::EndIf);
    open.spans.push(naga::Span::UNDEFINED);
    assert_eq!(message(&open, &windows, 4), "a frame is closed that was not opened");
}
