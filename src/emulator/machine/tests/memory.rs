//! Loads, stores and atomics: their results.

use super::build::{Build, at, found, local, options, run_on};
use crate::emulator::code::*;
use crate::emulator::{EmulatorOptions, FindingKind};

/// Halves of words, written by neighbours, through workgroup memory and back.
#[test]
fn halves() {
    let mut b = Build::new(32, 2, 64);
    let index = b.builtin(Builtin::LocalIndex);
    let byte = b.with(BinaryOp::MulI, index, 2);
    let value = b.register();
    b.op(Op::Load { to: value, place: at(0, byte), width: Width::Half });
    b.op(Op::Store { place: local(0, Some(byte)), width: Width::Half, from: value });
    b.barrier();
    let last = b.constant(62);
    let opposite = b.binary(BinaryOp::SubI, last, byte);
    let value = b.register();
    b.op(Op::Load { to: value, place: local(0, Some(opposite)), width: Width::Half });
    b.op(Op::Store { place: at(1, byte), width: Width::Half, from: value });
    let code = b.finish();
    for size in [4, 32] {
        let mut buffers = [(0..16).map(|i| (2 * i) | ((2 * i + 1) << 16) | 0x8000_8000).collect(), vec![0; 17]];
        let outcome = run_on(&code, [1, 1, 1], &mut buffers, &options(size));
        assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
        let expected = (0..16).map(|i| (31 - 2 * i) | ((30 - 2 * i) << 16) | 0x8000_8000).chain([0]);
        assert_eq!(buffers[1], expected.collect::<Vec<_>>());
    }
}

/// What two workgroups on two threads write to halves of one word.
#[test]
fn halves_of_workgroups() {
    let mut b = Build::new(1, 1, 0);
    let index = b.builtin(Builtin::WorkgroupId(0));
    let byte = b.with(BinaryOp::MulI, index, 2);
    b.op(Op::Store { place: at(0, byte), width: Width::Half, from: index });
    let code = b.finish();
    for sanitizer in [false, true] {
        let mut buffers = [vec![u32::MAX; 2000]];
        let options = EmulatorOptions { threads: 2, sanitizer, ..options(4) };
        let outcome = run_on(&code, [4000, 1, 1], &mut buffers, &options);
        assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
        assert_eq!(buffers[0], (0..2000).map(|i| (2 * i) | ((2 * i + 1) << 16)).collect::<Vec<_>>());
    }
}

#[test]
fn atomics() {
    use AtomicOp::*;
    let start = 0x8000_0005u32;
    let expected = |op: AtomicOp, values: &mut dyn Iterator<Item = u32>| {
        values.fold(start, |old, value| match op {
            Add => old.wrapping_add(value),
            AddF => (f32::from_bits(old) + f32::from_bits(value)).to_bits(),
            Sub => old.wrapping_sub(value),
            And => old & value,
            Or => old | value,
            Xor => old ^ value,
            MinI => (old as i32).min(value as i32) as u32,
            MinU => old.min(value),
            MaxI => (old as i32).max(value as i32) as u32,
            MaxU => old.max(value),
            Exchange => value,
        })
    };
    for op in [Add, AddF, Sub, And, Or, Xor, MinI, MinU, MaxI, MaxU, Exchange] {
        for in_workgroup in [false, true] {
            let mut b = Build::new(20, 2, 16);
            let index = b.builtin(Builtin::LocalIndex);
            let byte = b.with(BinaryOp::MulI, index, 4);
            let place = if in_workgroup { local(4, None) } else { Place { index: None, ..at(0, 0) } };
            if in_workgroup {
                let value = b.constant(start);
                let first = b.with(BinaryOp::EqI, index, 0);
                b.if_(first);
                b.op(Op::AtomicStore { place, from: value });
                b.end();
                b.barrier();
            }
            let value = b.with(BinaryOp::AddI, index, 3);
            let to = b.register();
            b.op(Op::Atomic { op, to: Some(to), place, value });
            b.store(at(1, byte), to);
            if in_workgroup {
                b.barrier();
                let to = b.register();
                b.op(Op::AtomicLoad { to, place });
                let first = b.with(BinaryOp::EqI, index, 0);
                b.if_(first);
                b.op(Op::AtomicStore { place: Place { index: None, ..at(0, 0) }, from: to });
                b.end();
            }
            let mut buffers = [vec![start], vec![0; 20]];
            let outcome = run_on(&b.finish(), [1, 1, 1], &mut buffers, &options(8));
            assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
            assert_eq!(buffers[0][0], expected(op, &mut (3..23)), "{op:?}");
            // In order, each got what the ones before had left.
            let before = (0..20).map(|i| expected(op, &mut (3..3 + i))).collect::<Vec<_>>();
            assert_eq!(buffers[1], before, "{op:?}");
        }
    }
}

/// A counter that workgroups on several threads add to.
#[test]
fn atomics_of_workgroups() {
    for sanitizer in [false, true] {
        let mut b = Build::new(8, 1, 0);
        let one = b.constant(1);
        b.op(Op::Atomic { op: AtomicOp::Add, to: None, place: Place { index: None, ..at(0, 0) }, value: one });
        let mut buffers = [vec![7]];
        let options = EmulatorOptions { threads: 3, sanitizer, ..options(4) };
        let outcome = run_on(&b.finish(), [500, 1, 1], &mut buffers, &options);
        assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
        assert_eq!(buffers[0], [7 + 4000]);
    }
}

#[test]
fn compare_exchange() {
    let mut b = Build::new(10, 2, 0);
    let index = b.builtin(Builtin::LocalIndex);
    let [to, exchanged] = [b.register(), b.register()];
    let value = b.with(BinaryOp::AddI, index, 1);
    // Invocation i puts i + 1 in the place of i, but number 6 looks for 7.
    let six = b.with(BinaryOp::EqI, index, 6);
    let compare = b.binary(BinaryOp::AddI, index, six);
    b.op(Op::CompareExchange { to, exchanged, place: Place { index: None, ..at(0, 0) }, compare, value });
    let byte = b.with(BinaryOp::MulI, index, 8);
    b.store(at(1, byte), to);
    b.store(Place { base: 4, ..at(1, byte) }, exchanged);
    let mut buffers = [vec![0], vec![0; 20]];
    let outcome = run_on(&b.finish(), [1, 1, 1], &mut buffers, &options(4));
    assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
    assert_eq!(buffers[0], [6]);
    let expected = (0..10).flat_map(|i| if i < 6 { [i, 1] } else { [6, 0] });
    assert_eq!(buffers[1], expected.collect::<Vec<_>>());
}

/// Loads beyond give 0, stores beyond do nothing, clamped indices give the last element.
#[test]
fn out_of_bounds() {
    let mut b = Build::new(8, 2, 16);
    let index = b.builtin(Builtin::LocalIndex);
    let byte = b.with(BinaryOp::MulI, index, 4);
    let value = b.load(at(0, byte));
    let load = b.code.ops.len() - 1;
    let clamped = b.register();
    let bound = b.op(Op::Bound { to: clamped, index, length: Length::Runtime { buffer: 0, offset: 4, stride: 4 } });
    let place = b.with(BinaryOp::MulI, clamped, 4);
    let last = b.load(Place { base: 4, ..at(0, place) });
    let sum = b.with(BinaryOp::MulI, value, 100);
    let sum = b.binary(BinaryOp::AddI, sum, last);
    let store = b.store(Place { base: 8, ..at(1, byte) }, sum);
    // Only lanes that are active matter.
    let low = b.with(BinaryOp::LtU, index, 4);
    b.if_(low);
    b.store(local(0, Some(byte)), index);
    b.end();
    let code = b.finish();
    let mut buffers = [vec![1, 2, 3, 4, 5], vec![0; 8]];
    let outcome = run_on(&code, [1, 1, 1], &mut buffers, &options(8));
    assert_eq!(buffers[1], [0, 0, 102, 203, 304, 405, 505, 5]);
    let kind = FindingKind::OutOfBounds;
    assert_eq!(found(&outcome), [(kind, load, 2), (kind, bound, 3), (kind, store, 1)]);
    let [first, second, third] = &outcome.findings[..] else { panic!() };
    assert_eq!(first.address, Some(("buffer0".into(), 20)));
    assert_eq!((first.invocation, first.message.as_str()), ([5, 0, 0], "4 bytes from byte 20 on, of 20"));
    assert_eq!((second.invocation, second.message.as_str()), ([4, 0, 0], "index 4 is beyond the 4 elements"));
    assert_eq!((third.invocation, &third.address), ([6, 0, 0], &Some(("buffer1".into(), 32))));
    let mut again = [vec![1, 2, 3, 4, 5], vec![0; 8]];
    let outcome = run_on(&code, [1, 1, 1], &mut again, &EmulatorOptions { sanitizer: false, ..options(8) });
    assert!(outcome.findings.is_empty());
    assert_eq!(again, buffers);
}

/// An array without an element: its index is u32::MAX, and so are the bytes from it.
#[test]
fn empty_arrays() {
    for stride in [4, 16] {
        let mut b = Build::new(4, 2, 0);
        let index = b.builtin(Builtin::LocalIndex);
        let length = b.register();
        b.op(Op::ArrayLength { to: length, buffer: 0, offset: 8, stride });
        let clamped = b.register();
        b.op(Op::Bound { to: clamped, index, length: Length::Runtime { buffer: 0, offset: 8, stride } });
        let place = b.with(BinaryOp::MulI, clamped, stride);
        let one = b.constant(1);
        b.store(Place { base: 8, ..at(0, place) }, one);
        let value = b.load(Place { base: 8, ..at(0, place) });
        let byte = b.with(BinaryOp::MulI, index, 4);
        let sum = b.binary(BinaryOp::AddI, value, length);
        b.store(at(1, byte), sum);
        let mut buffers = [vec![5, 6], vec![9; 4]];
        run_on(&b.finish(), [1, 1, 1], &mut buffers, &options(4));
        assert_eq!(buffers, [vec![5, 6], vec![0; 4]]);
    }
}

#[test]
fn workgroup_memory_starts_anew() {
    for zeroed in [true, false] {
        let mut b = Build::new(1, 1, 4);
        let index = b.builtin(Builtin::WorkgroupId(0));
        let byte = b.with(BinaryOp::MulI, index, 4);
        let before = b.load(local(0, None));
        let load = b.code.ops.len() - 1;
        b.store(local(0, None), index);
        b.store(at(0, byte), before);
        let mut buffers = [vec![1; 3]];
        let options = EmulatorOptions { zero_workgroup_memory: zeroed, ..options(4) };
        let outcome = run_on(&b.finish(), [3, 1, 1], &mut buffers, &options);
        if zeroed {
            assert!(outcome.findings.is_empty());
            assert_eq!(buffers[0], [0; 3]);
        } else {
            assert_eq!(found(&outcome), [(FindingKind::Uninitialised, load, 2)]);
            // Never what an earlier workgroup left.
            assert_eq!(buffers[0], [0x7fc0_7fc0; 3]);
        }
    }
}
