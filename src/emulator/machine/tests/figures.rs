//! The figures: transactions, bank conflicts, traffic, divergence.

use super::build::{Build, at, local, options, run_on};
use crate::emulator::code::*;
use crate::emulator::machine::Counters;

fn counters(b: Build, words: usize, size: u32) -> Counters {
    let outcome = run_on(&b.finish(), [1, 1, 1], &mut [vec![1; words]], &options(size));
    assert!(outcome.complete && outcome.findings.is_empty(), "{:?}", outcome.findings);
    outcome.counters
}

/// A load at so many words from lane to lane, in each of 32 lanes.
fn strided(stride: u32, buffer: bool) -> Counters {
    let mut b = Build::new(32, 1, 32 * 32 * 4);
    let index = b.builtin(Builtin::LocalIndex);
    let byte = b.with(BinaryOp::MulI, index, 4 * stride);
    if buffer {
        b.load(at(0, byte));
    } else {
        b.store(local(0, Some(byte)), index);
    }
    counters(b, 1024, 32)
}

#[test]
fn sectors_and_lines() {
    // The stride in words, sectors, lines; 128 bytes need 4 and 1.
    for (stride, sectors, lines) in [(1, 4, 1), (2, 8, 2), (4, 16, 4), (8, 32, 8), (32, 32, 32)] {
        let total = strided(stride, true).transactions;
        assert_eq!((total.accesses, total.sectors, total.lines), (1, sectors, lines), "stride {stride}");
        assert_eq!((total.least_sectors, total.least_lines), (4, 1));
    }
    let total = strided(0, true).transactions;
    assert_eq!((total.sectors, total.least_sectors, total.lines, total.least_lines), (1, 1, 1, 1));
}

/// From byte 100 on, and in descending order.
#[test]
fn misaligned_accesses() {
    let mut b = Build::new(32, 1, 0);
    let index = b.builtin(Builtin::LocalIndex);
    let byte = b.with(BinaryOp::MulI, index, 4);
    let last = b.constant(124);
    let byte = b.binary(BinaryOp::SubI, last, byte);
    b.load(Place { base: 100, ..at(0, byte) });
    let total = counters(b, 1024, 32).transactions;
    assert_eq!((total.sectors, total.lines, total.least_sectors, total.least_lines), (5, 2, 4, 1));
}

#[test]
fn vectors_count_once() {
    // Two vectors of four components by one expression each, conversions between them left aside.
    let mut b = Build::new(32, 1, 32 * 16);
    let index = b.builtin(Builtin::LocalIndex);
    let byte = b.with(BinaryOp::MulI, index, 16);
    for expression in 0..2 {
        for component in 0..4 {
            let place = Place { base: 4 * component, ..at(0, byte) };
            let value = b.load(place);
            *b.code.spans.last_mut().unwrap() = naga::Span::new(1000 + expression, 2000);
            let value = b.unary(UnaryOp::NotI, value);
            b.store(local(4 * component, Some(byte)), value);
        }
    }
    let scalar = counters(b, 1024, 32);
    // Stores lie between the loads here, so that each counts for itself.
    assert_eq!((scalar.transactions.accesses, scalar.transactions.sectors), (8, 8 * 16));
    let mut b = Build::new(32, 1, 32 * 16);
    let index = b.builtin(Builtin::LocalIndex);
    let byte = b.with(BinaryOp::MulI, index, 16);
    for expression in 0..2 {
        let values = [0, 1, 2, 3].map(|component| {
            let value = b.load(Place { base: 4 * component, ..at(0, byte) });
            *b.code.spans.last_mut().unwrap() = naga::Span::new(1000 + expression, 2000);
            b.unary(UnaryOp::NotI, value)
        });
        for (component, value) in values.into_iter().enumerate() {
            b.store(local(4 * component as u32, Some(byte)), value);
            *b.code.spans.last_mut().unwrap() = naga::Span::new(3000 + expression, 4000);
        }
    }
    let vector = counters(b, 1024, 32);
    let total = vector.transactions;
    assert_eq!((total.accesses, total.sectors, total.lines), (2, 32, 8));
    assert_eq!((total.least_sectors, total.least_lines), (32, 8));
    assert_eq!(vector.storage.loaded, scalar.storage.loaded);
    // 128 distinct words in 32 banks are 4 passes.
    assert_eq!((vector.banks.accesses, vector.banks.passes, vector.banks.extra), (2, 8, 0));
}

#[test]
fn bank_conflicts() {
    for (stride, passes) in [(1, 1), (2, 2), (3, 1), (4, 4), (8, 8), (16, 16), (31, 1), (32, 32)] {
        let banks = strided(stride, false).banks;
        assert_eq!((banks.accesses, banks.passes, banks.extra), (1, passes, passes - 1), "stride {stride}");
    }
    // All lanes of a subgroup of 64 read one word, then a word each.
    let mut b = Build::new(64, 1, 256);
    let index = b.builtin(Builtin::LocalIndex);
    let byte = b.with(BinaryOp::MulI, index, 4);
    b.store(local(0, Some(byte)), index);
    b.barrier();
    b.load(local(0, None));
    let banks = counters(b, 1, 64).banks;
    assert_eq!((banks.accesses, banks.passes, banks.extra), (2, 3, 0));
}

#[test]
fn traffic_and_lanes() {
    // 20 invocations in subgroups of 16: one of 16 and one of 4.
    let mut b = Build::new(20, 1, 128);
    let index = b.builtin(Builtin::LocalIndex);
    let byte = b.with(BinaryOp::MulI, index, 4);
    let low = b.with(BinaryOp::LtU, index, 6);
    b.if_(low);
    let value = b.load(at(0, byte));
    let product = b.register();
    b.op(Op::Ternary { op: TernaryOp::FmaF, to: product, a: value, b: value, c: value });
    b.else_();
    b.op(Op::Store { place: local(0, Some(byte)), width: Width::Half, from: index });
    b.end();
    let one = b.constant(1);
    b.op(Op::Atomic { op: AtomicOp::Add, to: None, place: Place { index: None, ..at(0, 0) }, value: one });
    b.code.buffers.push(Buffer {
        name: "params".into(),
        binding: BufferBinding::Uniform { group: 0, binding: 1 },
        least: 4,
    });
    b.load(Place { memory: Memory::Buffer(1), base: 0, index: None });
    let outcome = run_on(&b.finish(), [1, 1, 1], &mut [vec![0; 32], vec![1]], &options(16));
    let counted = outcome.counters;
    assert_eq!((counted.storage.loaded, counted.storage.stored, counted.storage.atomics), (24 + 80, 80, 20));
    assert_eq!((counted.workgroup.loaded, counted.workgroup.stored), (0, 28));
    assert_eq!((counted.uniform.loaded, counted.flops), (80, 12));
    // Of the two subgroups the first splits.
    assert_eq!((counted.branches, counted.divergent), (2, 1));
    // MulI, LtU, Atomic and the uniform load in two subgroups; Load and FmaF in one; Store in both.
    assert_eq!((counted.operations, counted.active_lanes), (4 * 2 + 2 + 2, 4 * 20 + 2 * 6 + 14));
    assert_eq!(counted.active_lanes + counted.idle_lanes, counted.operations * 16);
}

/// A load, a product and a store of matrices of 8 by 8: what they count does not depend on the lanes.
#[test]
fn cooperative_matrices() {
    for (size, row_major) in [4, 8, 16, 32, 64].into_iter().flat_map(|size| [(size, false), (size, true)]) {
        let mut b = Build::new(64, 1, 2 * 64);
        let mut matrix = || Matrix { registers: (0..16).map(|_| b.register()).collect(), rows: 8, columns: 8 };
        let [half, product, sum] = [matrix(), matrix(), matrix()];
        let stride = b.constant(8);
        let tile = |memory, width| {
            let place = Place { memory, base: 0, index: None };
            let end = Place { base: 256, ..place };
            Box::new(Tile { place, end, stride, step: 4, row_major, width })
        };
        let shared = Box::new(Tile { step: 2, ..*tile(Memory::Workgroup, Width::Half) });
        let first = b.builtin(Builtin::SubgroupId);
        let first = b.with(BinaryOp::EqI, first, 0);
        b.if_(first);
        b.op(Op::CooperativeLoad { to: product.clone(), tile: tile(Memory::Buffer(0), Width::Word) });
        let operands = [product.clone(), product.clone(), product.clone()];
        b.op(Op::CooperativeMultiplyAdd { to: sum.clone(), operands: Box::new(operands), half: true });
        let operands = [sum.clone(), sum.clone()];
        b.op(Op::CooperativeBinary { op: BinaryOp::AddF, to: half.clone(), operands: Box::new(operands), half: true });
        b.op(Op::CooperativeStore { tile: shared, from: half });
        b.end();
        let counted = counters(b, 64, size);
        assert_eq!(counted.flops, 2 * 8 * 8 * 8 + 64, "subgroups of {size}");
        assert_eq!((counted.storage.loaded, counted.storage.stored), (256, 0));
        assert_eq!((counted.workgroup.loaded, counted.workgroup.stored), (0, 128));
        let accesses = 64 / u64::from(size);
        // Neighbours in memory are neighbours in an access, whether they are in a row or in a column.
        let total = counted.transactions;
        assert_eq!((total.accesses, total.least_sectors), (accesses, total.sectors));
        assert_eq!(total.sectors, 8.max(accesses));
        assert_eq!((counted.banks.accesses, counted.banks.passes, counted.banks.extra), (accesses, accesses, 0));
    }
}
