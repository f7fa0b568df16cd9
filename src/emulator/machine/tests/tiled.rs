//! A tiled matrix product, the kernel that the machine is made fast for.

use std::time::Instant;

use super::build::{Build, at, local, options, run_on};
use crate::emulator::EmulatorOptions;
use crate::emulator::code::*;

const TILE: u32 = 16;

/// c = a b for square matrices: a workgroup of 16 x 16 invocations computes a tile, an invocation one element; tiles of a
/// and b go through workgroup memory. Written as the lowering does it: indices clamped, the inner loop not unrolled.
fn product(n: u32) -> Code {
    use BinaryOp::*;
    let mut b = Build::new(TILE, 3, 2 * TILE * TILE * 4);
    b.code.workgroup_size = [TILE, TILE, 1];
    let [x, y] = [0, 1].map(|c| b.builtin(Builtin::LocalId(c)));
    let [column, row] = [0, 1].map(|c| b.builtin(Builtin::GlobalId(c)));
    let own = b.with(MulI, y, TILE);
    let own = b.binary(AddI, own, x);
    let own = b.with(MulI, own, 4);
    let sum = b.variable(0);
    let tile = b.variable(0);
    let length = Length::Const(n * n);
    let bounded = |b: &mut Build, index: Reg, length: Length| {
        let to = b.register();
        b.op(Op::Bound { to, index, length });
        b.with(MulI, to, 4)
    };
    b.loop_();
    let more = b.with(LtU, tile, n);
    let done = b.unary(UnaryOp::NotBool, more);
    b.if_(done);
    b.leave(0);
    b.end();
    for (buffer, base) in [(0, 0), (1, TILE * TILE * 4)] {
        let (row, column) =
            if buffer == 0 { (row, b.binary(AddI, tile, x)) } else { (b.binary(AddI, tile, y), column) };
        let index = b.with(MulI, row, n);
        let index = b.binary(AddI, index, column);
        let index = bounded(&mut b, index, length);
        let value = b.load(at(buffer, index));
        b.store(local(base, Some(own)), value);
    }
    b.barrier();
    let k = b.variable(0);
    b.loop_();
    let more = b.with(LtU, k, TILE);
    let done = b.unary(UnaryOp::NotBool, more);
    b.if_(done);
    b.leave(1);
    b.end();
    let index = b.with(MulI, y, TILE);
    let index = b.binary(AddI, index, k);
    let index = bounded(&mut b, index, Length::Const(TILE * TILE));
    let left = b.load(local(0, Some(index)));
    let index = b.with(MulI, k, TILE);
    let index = b.binary(AddI, index, x);
    let index = bounded(&mut b, index, Length::Const(TILE * TILE));
    let right = b.load(local(TILE * TILE * 4, Some(index)));
    let term = b.binary(MulF, left, right);
    let next = b.binary(AddF, sum, term);
    b.assign(sum, next);
    b.op(Op::Continuing);
    let next = b.with(AddI, k, 1);
    b.assign(k, next);
    b.end();
    b.barrier();
    b.op(Op::Continuing);
    let next = b.with(AddI, tile, TILE);
    b.assign(tile, next);
    b.end();
    let index = b.with(MulI, row, n);
    let index = b.binary(AddI, index, column);
    let index = bounded(&mut b, index, length);
    b.store(at(2, index), sum);
    b.finish()
}

fn check(n: u32, options: &EmulatorOptions) -> f64 {
    let code = product(n);
    let value = |seed: u32| move |i: u32| ((i.wrapping_mul(2654435761) >> seed) % 17) as f32 - 8.0;
    let a = (0..n * n).map(value(7)).collect::<Vec<_>>();
    let b = (0..n * n).map(value(11)).collect::<Vec<_>>();
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let mut buffers = [bits(&a), bits(&b), vec![0; (n * n) as usize]];
    let start = Instant::now();
    let outcome = run_on(&code, [n / TILE, n / TILE, 1], &mut buffers, options);
    let seconds = start.elapsed().as_secs_f64();
    assert!(outcome.complete);
    assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
    let n = n as usize;
    for (i, &bits) in buffers[2].iter().enumerate() {
        let exact = (0..n).map(|k| a[i / n * n + k] * b[k * n + i % n]).sum::<f32>();
        assert_eq!(f32::from_bits(bits), exact, "element {i}");
    }
    let cube = (n * n * n) as u64;
    let counters = outcome.counters;
    assert_eq!(counters.flops, 2 * cube);
    assert_eq!((counters.idle_lanes, counters.divergent), (0, 0));
    assert_eq!(counters.workgroup.loaded, 8 * cube);
    assert_eq!(counters.storage.loaded, 8 * cube / u64::from(TILE));
    // A subgroup of 32 takes two rows of a tile: 64 bytes each, two sectors, from two lines.
    let transactions = counters.transactions;
    assert_eq!((transactions.sectors, transactions.lines), (4 * transactions.accesses, 2 * transactions.accesses));
    assert_eq!(
        (transactions.least_sectors, transactions.least_lines),
        (4 * transactions.accesses, transactions.accesses)
    );
    assert_eq!(counters.banks.extra, 0);
    seconds
}

#[test]
fn product_is_exact() {
    let options = EmulatorOptions { step_budget: 1 << 32, ..options(32) };
    check(64, &options);
    check(64, &EmulatorOptions { threads: 3, shuffle: Some(5), ..options.clone() });
    check(64, &EmulatorOptions { sanitizer: false, ..options });
}
