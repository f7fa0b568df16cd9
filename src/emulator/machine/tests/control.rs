//! Structured control with lane masks.

use super::build::{Build, at, found, options, run_on};
use crate::emulator::code::*;
use crate::emulator::{EmulatorOptions, FindingKind};

/// Runs one workgroup of 16 invocations; what each stored at its index in buffer 0.
fn results(size: u32, body: impl Fn(&mut Build, Reg, Reg)) -> Vec<u32> {
    let mut b = Build::new(16, 1, 0);
    let index = b.builtin(Builtin::LocalIndex);
    let result = b.variable(0);
    body(&mut b, index, result);
    let byte = b.with(BinaryOp::MulI, index, 4);
    b.store(at(0, byte), result);
    let mut buffers = [vec![u32::MAX; 16]];
    let outcome = run_on(&b.finish(), [1, 1, 1], &mut buffers, &options(size));
    assert!(outcome.complete && outcome.findings.is_empty(), "{:?}", outcome.findings);
    buffers[0].clone()
}

/// Runs it with every size of subgroups, and compares with what one invocation computes.
fn expect(body: impl Fn(&mut Build, Reg, Reg), one: impl Fn(u32) -> u32) {
    for size in [4, 8, 16, 32, 64] {
        assert_eq!(results(size, &body), (0..16).map(&one).collect::<Vec<_>>(), "subgroups of {size}");
    }
}

/// Adds a constant to a variable.
fn add(b: &mut Build, variable: Reg, value: u32) {
    let sum = b.with(BinaryOp::AddI, variable, value);
    b.assign(variable, sum);
}

#[test]
fn branches() {
    expect(
        |b, index, result| {
            let odd = b.with(BinaryOp::And, index, 1);
            b.if_(odd);
            add(b, result, 1);
            b.else_();
            add(b, result, 2);
            let large = b.with(BinaryOp::LtU, index, 7);
            b.if_(large);
            add(b, result, 10);
            b.end();
            b.end();
            add(b, result, 100);
        },
        |i| if i % 2 == 1 { 101 } else { 102 + if i < 7 { 10 } else { 0 } },
    );
}

#[test]
fn branches_that_no_lane_takes() {
    expect(
        |b, index, result| {
            let never = b.with(BinaryOp::LtU, index, 0);
            b.if_(never);
            b.loop_();
            add(b, result, 1);
            b.op(Op::Continuing);
            b.end();
            b.else_();
            add(b, result, 2);
            b.end();
            let always = b.with(BinaryOp::LtU, index, 16);
            b.if_(always);
            add(b, result, 10);
            b.else_();
            add(b, result, 20);
            b.end();
        },
        |_| 12,
    );
}

/// Loops whose trips differ, with `continue`, `break` of the inner and of the outer, and `break if`.
#[test]
fn nested_loops() {
    expect(
        |b, index, result| {
            let i = b.variable(0);
            b.loop_();
            let done = b.binary(BinaryOp::LeU, index, i);
            b.if_(done);
            b.leave(0);
            b.end();
            let j = b.variable(0);
            b.loop_();
            add(b, j, 1);
            let odd = b.with(BinaryOp::And, j, 1);
            b.if_(odd);
            b.continue_(1);
            b.end();
            add(b, result, 1);
            let enough = b.with(BinaryOp::LtU, result, 20);
            b.if_(enough);
            b.else_();
            b.leave(0);
            b.end();
            b.op(Op::Continuing);
            let last = b.binary(BinaryOp::LtU, i, j);
            b.op(Op::BreakIf { condition: last });
            b.end();
            b.op(Op::Continuing);
            add(b, i, 1);
            b.end();
            add(b, result, 1000);
        },
        |index| {
            let (mut i, mut result) = (0, 0);
            'outer: while i < index {
                let mut j = 0;
                loop {
                    j += 1;
                    if j % 2 == 0 {
                        result += 1;
                        if result >= 20 {
                            break 'outer;
                        }
                    }
                    if i < j {
                        break;
                    }
                }
                i += 1;
            }
            result + 1000
        },
    );
}

/// A function's body that lanes leave early, out of a loop in a branch.
#[test]
fn early_return() {
    expect(
        |b, index, result| {
            b.block();
            let small = b.with(BinaryOp::LtU, index, 5);
            b.if_(small);
            add(b, result, 7);
            b.leave(0);
            b.end();
            b.loop_();
            add(b, result, 1);
            let enough = b.binary(BinaryOp::LtU, index, result);
            b.if_(enough);
            b.leave(0);
            b.end();
            b.op(Op::Continuing);
            b.end();
            add(b, result, 500);
            b.end();
            add(b, result, 1000);
        },
        |i| if i < 5 { 1007 } else { 1001 + i },
    );
}

/// A branch that all lanes leave: what follows it in the block runs for none.
#[test]
fn all_leave() {
    expect(
        |b, index, result| {
            b.block();
            let odd = b.with(BinaryOp::And, index, 1);
            b.if_(odd);
            add(b, result, 1);
            b.leave(0);
            b.else_();
            add(b, result, 2);
            b.leave(0);
            b.end();
            b.loop_();
            b.op(Op::Continuing);
            b.end();
            b.end();
        },
        |i| if i % 2 == 1 { 1 } else { 2 },
    );
}

#[test]
fn picked_registers() {
    expect(
        |b, index, result| {
            let base = b.variable(10);
            for value in [20, 30, 40] {
                b.variable(value);
            }
            // Constants take a register between two variables.
            let stride = 2;
            let chosen = b.register();
            b.op(Op::Bound { to: chosen, index, length: Length::Const(16) });
            let chosen = b.with(BinaryOp::And, chosen, 3);
            let large = b.with(BinaryOp::LtU, index, 6);
            b.if_(large);
            b.op(Op::AssignAt { base, index: chosen, stride, count: 4, from: index });
            b.end();
            let to = b.register();
            b.op(Op::Pick { to, base, index: chosen, stride, count: 4 });
            b.assign(result, to);
        },
        |i| if i < 6 { i } else { [10, 20, 30, 40][(i & 3) as usize] },
    );
}

#[test]
fn endless_loops_end() {
    for (threads, shuffle) in [(1, None), (3, Some(1))] {
        let mut b = Build::new(8, 1, 0);
        b.loop_();
        b.op(Op::Continuing);
        let last = b.op(Op::Continuing) + 1;
        b.end();
        let options = EmulatorOptions { threads, shuffle, step_budget: 5000, ..options(4) };
        let outcome = run_on(&b.finish(), [8, 1, 1], &mut [vec![0]], &options);
        assert!(!outcome.complete);
        assert_eq!(found(&outcome), [(FindingKind::StepBudget, last, 0)]);
        assert!(outcome.counters.steps <= 5001 + threads as u64, "{}", outcome.counters.steps);
    }
}

#[test]
fn a_budget_that_is_enough() {
    let mut b = Build::new(4, 1, 0);
    let i = b.variable(0);
    b.loop_();
    b.op(Op::Continuing);
    add(&mut b, i, 1);
    let done = b.with(BinaryOp::LeU, i, 9);
    let done = b.unary(UnaryOp::NotBool, done);
    b.op(Op::BreakIf { condition: done });
    b.end();
    let code = b.finish();
    // Nine times it starts again.
    let run = |step_budget| run_on(&code, [1, 1, 1], &mut [vec![0]], &EmulatorOptions { step_budget, ..options(4) });
    assert!(run(9).complete);
    assert_eq!(run(9).counters.steps, 9);
    assert!(!run(8).complete);
}

#[test]
fn every_workgroup_runs_once() {
    let mut b = Build::new(6, 1, 0);
    b.code.workgroup_size = [3, 2, 1];
    let [gx, gy, gz] = [0, 1, 2].map(|c| b.builtin(Builtin::GlobalId(c)));
    let [nx, ny] = [0, 1].map(|c| b.builtin(Builtin::NumWorkgroups(c)));
    let [width, height] = [(nx, 3), (ny, 2)].map(|(n, side)| b.with(BinaryOp::MulI, n, side));
    let index = b.binary(BinaryOp::MulI, gz, height);
    let index = b.binary(BinaryOp::AddI, index, gy);
    let index = b.binary(BinaryOp::MulI, index, width);
    let index = b.binary(BinaryOp::AddI, index, gx);
    let byte = b.with(BinaryOp::MulI, index, 4);
    let value = b.load(at(0, byte));
    let value = b.binary(BinaryOp::AddI, value, index);
    b.store(at(0, byte), value);
    let code = b.finish();
    for grid in [[5, 3, 2], [1, 1, 1], [1, 7, 1], [64, 1, 1], [65, 2, 1]] {
        for (threads, shuffle) in [(1, None), (2, None), (1, Some(3)), (3, Some(0)), (64, Some(u64::MAX))] {
            let options = EmulatorOptions { threads, shuffle, ..options(4) };
            let count = 6 * grid.iter().product::<u32>();
            let mut buffers = [(0..count).map(|i| 1000 + i).collect::<Vec<_>>()];
            let outcome = run_on(&code, grid, &mut buffers, &options);
            assert!(outcome.complete && outcome.findings.is_empty(), "{:?}", outcome.findings);
            assert_eq!(buffers[0], (0..count).map(|i| 1000 + 2 * i).collect::<Vec<_>>());
            assert_eq!(outcome.counters.workgroups * 6, u64::from(count));
        }
    }
    let outcome = run_on(&code, [4, 0, 1], &mut [vec![0]], &options(4));
    assert!(outcome.complete && outcome.counters.workgroups == 0);
}
