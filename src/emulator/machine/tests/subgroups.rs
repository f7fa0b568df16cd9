//! Operations across lanes, with subgroups of several sizes, the last one partial.

use super::build::{Build, at, found, options, run_on};
use crate::emulator::FindingKind;
use crate::emulator::code::*;

const SIZES: [u32; 5] = [4, 8, 16, 32, 64];
const COUNT: u32 = 70;

/// Runs one workgroup of 70 invocations, of which those with a number not divisible by 3 are active; the results, and
/// what was found.
fn results(size: u32, body: impl Fn(&mut Build, Reg, Reg) -> Reg) -> (Vec<u32>, Vec<FindingKind>) {
    let mut b = Build::new(COUNT, 1, 0);
    let index = b.builtin(Builtin::LocalIndex);
    let lane = b.builtin(Builtin::SubgroupLane);
    let third = b.with(BinaryOp::RemU, index, 3);
    let active = b.unary(UnaryOp::ToBool, third);
    b.if_(active);
    let result = body(&mut b, index, lane);
    let byte = b.with(BinaryOp::MulI, index, 4);
    b.store(at(0, byte), result);
    b.end();
    let mut buffers = [vec![u32::MAX; COUNT as usize]];
    let outcome = run_on(&b.finish(), [1, 1, 1], &mut buffers, &options(size));
    assert!(outcome.complete);
    (buffers[0].clone(), found(&outcome).into_iter().map(|(kind, ..)| kind).collect())
}

/// The active invocations of the subgroup of an invocation.
fn fellows(size: u32, i: u32) -> Vec<u32> {
    let first = i / size * size;
    (first..(first + size).min(COUNT)).filter(|i| i % 3 != 0).collect()
}

fn expect(body: impl Fn(&mut Build, Reg, Reg) -> Reg, one: impl Fn(u32, &[u32]) -> u32) {
    for size in SIZES {
        let (values, found) = results(size, &body);
        assert!(found.is_empty(), "subgroups of {size}: {found:?}");
        for i in 0..COUNT {
            let expected = if i % 3 == 0 { u32::MAX } else { one(i, &fellows(size, i)) };
            assert_eq!(values[i as usize], expected, "subgroups of {size}, invocation {i}");
        }
    }
}

fn collect(b: &mut Build, op: CollectOp, scan: Scan, from: Reg) -> Reg {
    let to = b.register();
    b.op(Op::Collect { op, scan, to, from });
    to
}

#[test]
fn reductions_and_scans() {
    expect(|b, i, _| collect(b, CollectOp::AddI, Scan::Reduce, i), |_, all| all.iter().sum());
    let upto = |i: u32, all: &[u32]| all.iter().filter(|&&other| other <= i).sum::<u32>();
    expect(|b, i, _| collect(b, CollectOp::AddI, Scan::Inclusive, i), upto);
    expect(|b, i, _| collect(b, CollectOp::AddI, Scan::Exclusive, i), |i, all| upto(i, all) - i);
    expect(|b, i, _| collect(b, CollectOp::MaxU, Scan::Reduce, i), |_, all| all[all.len() - 1]);
    expect(|b, i, _| collect(b, CollectOp::MinI, Scan::Reduce, i), |_, all| all[0]);
    expect(|b, i, _| collect(b, CollectOp::Xor, Scan::Reduce, i), |_, all| all.iter().fold(0, |a, b| a ^ b));
    let product = |i: u32, all: &[u32]| {
        all.iter().filter(|&&other| other < i).map(|&other| other as f32).product::<f32>().to_bits()
    };
    expect(
        |b, i, _| {
            let float = b.unary(UnaryOp::UToF, i);
            collect(b, CollectOp::MulF, Scan::Exclusive, float)
        },
        product,
    );
    let any = |b: &mut Build, i: Reg, op| {
        let large = b.with(BinaryOp::LtU, i, 40);
        collect(b, op, Scan::Reduce, large)
    };
    expect(|b, i, _| any(b, i, CollectOp::Any), |_, all| u32::from(all.iter().any(|&i| i < 40)));
    expect(|b, i, _| any(b, i, CollectOp::All), |_, all| u32::from(all.iter().all(|&i| i < 40)));
}

#[test]
fn ballots() {
    for word in 0..4 {
        let mask = move |size: u32, all: &mut dyn Iterator<Item = u32>| {
            let mask = all.fold(0u64, |mask, i| mask | 1 << (i % size));
            [mask as u32, (mask >> 32) as u32, 0, 0][word]
        };
        for size in SIZES {
            for odd in [false, true] {
                let (values, found) = results(size, |b, i, _| {
                    let predicate = odd.then(|| b.with(BinaryOp::And, i, 1));
                    let to = [0; 4].map(|_| b.register());
                    b.op(Op::Ballot { to, predicate });
                    to[word]
                });
                assert!(found.is_empty());
                for i in (0..COUNT).filter(|i| i % 3 != 0) {
                    let mut all = fellows(size, i).into_iter().filter(|i| !odd || i % 2 == 1);
                    assert_eq!(values[i as usize], mask(size, &mut all));
                }
            }
        }
    }
}

fn gather(b: &mut Build, from_lane: Gather, from: Reg) -> Reg {
    let to = b.register();
    b.op(Op::Gather { from_lane, to, from });
    to
}

#[test]
fn gathers() {
    expect(|b, i, _| gather(b, Gather::First, i), |_, all| all[0]);
    // The own lane.
    expect(|b, i, lane| gather(b, Gather::Shuffle(lane), i), |i, _| i);
    expect(
        |b, i, _| {
            let none = b.constant(0);
            gather(b, Gather::Up(none), i)
        },
        |i, _| i,
    );
    // The last active one.
    expect(
        |b, i, lane| {
            let last = collect(b, CollectOp::MaxU, Scan::Reduce, lane);
            gather(b, Gather::Shuffle(last), i)
        },
        |_, all| all[all.len() - 1],
    );
}

#[test]
fn lanes_that_are_not_active() {
    // Invocation 0 is not active; the others may read past the edges with Up and Down, not with the rest.
    let one = |from_lane: fn(Reg) -> Gather, value: u32| {
        results(32, move |b, i, _| {
            let value = b.constant(value);
            gather(b, from_lane(value), i)
        })
        .1
    };
    assert_eq!(one(Gather::Broadcast, 0), [FindingKind::InactiveLane]);
    assert_eq!(one(Gather::Shuffle, 3), [FindingKind::InactiveLane]);
    assert_eq!(one(Gather::Shuffle, 32), [FindingKind::InactiveLane]);
    assert_eq!(one(Gather::Xor, 1), [FindingKind::InactiveLane]);
    assert_eq!(one(Gather::Up, 1), [FindingKind::InactiveLane]);
    assert_eq!(one(Gather::Up, 32), []);
    assert_eq!(one(Gather::Down, 40), []);
    assert_eq!(one(Gather::Xor, 0), []);
    // Not the same lane for all.
    let (_, found) = results(32, |b, i, lane| gather(b, Gather::Broadcast(lane), i));
    assert_eq!(found, [FindingKind::InactiveLane]);
}

/// All lanes are active, the last subgroup is partial.
#[test]
fn shuffles_of_full_subgroups() {
    for size in SIZES {
        let run = |from_lane: &dyn Fn(&mut Build) -> Gather| {
            let mut b = Build::new(COUNT, 1, 0);
            let index = b.builtin(Builtin::LocalIndex);
            let from_lane = from_lane(&mut b);
            let value = gather(&mut b, from_lane, index);
            let byte = b.with(BinaryOp::MulI, index, 4);
            b.store(at(0, byte), value);
            let mut buffers = [vec![0; COUNT as usize]];
            let outcome = run_on(&b.finish(), [1, 1, 1], &mut buffers, &options(size));
            (buffers[0].clone(), found(&outcome).len())
        };
        let whole = COUNT / size * size;
        let (values, _) = run(&|b| Gather::Up(b.constant(1)));
        assert!((0..COUNT).filter(|i| i % size != 0).all(|i| values[i as usize] == i - 1));
        let (values, _) = run(&|b| Gather::Down(b.constant(2)));
        assert!((0..whole).filter(|i| i % size + 2 < size).all(|i| values[i as usize] == i + 2));
        let (values, _) = run(&|b| Gather::Xor(b.constant(3)));
        assert!((0..whole).all(|i| values[i as usize] == i ^ 3));
        let (values, found) = run(&|b| Gather::Broadcast(b.constant(1)));
        assert!((0..COUNT).all(|i| values[i as usize] == i / size * size + 1) && found == 0);
        let (values, _) = run(&|b| Gather::QuadBroadcast(b.constant(2)));
        assert!((0..whole).all(|i| values[i as usize] == i / 4 * 4 + 2));
        for mask in 1..4 {
            let (values, _) = run(&|_| Gather::QuadSwap(mask as u8));
            assert!((0..whole).all(|i| values[i as usize] == i ^ mask));
        }
    }
}

#[test]
fn builtins() {
    for size in SIZES {
        let builtin = |which| {
            let mut b = Build::new(COUNT, 1, 0);
            let index = b.builtin(Builtin::LocalIndex);
            let value = b.builtin(which);
            let byte = b.with(BinaryOp::MulI, index, 4);
            b.store(at(0, byte), value);
            let mut buffers = [vec![0; COUNT as usize]];
            run_on(&b.finish(), [1, 1, 1], &mut buffers, &options(size));
            buffers[0].clone()
        };
        let all = |f: &dyn Fn(u32) -> u32| (0..COUNT).map(f).collect::<Vec<_>>();
        assert_eq!(builtin(Builtin::SubgroupSize), all(&|_| size));
        assert_eq!(builtin(Builtin::SubgroupId), all(&|i| i / size));
        assert_eq!(builtin(Builtin::SubgroupLane), all(&|i| i % size));
        assert_eq!(builtin(Builtin::NumSubgroups), all(&|_| COUNT.div_ceil(size)));
        assert_eq!(builtin(Builtin::LocalId(0)), all(&|i| i));
        assert_eq!(builtin(Builtin::LocalId(1)), all(&|_| 0));
    }
}
