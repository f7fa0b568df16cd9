//! Gives registers to temporaries: few are alive at a time, and few registers stay in the cache.
//!
//! A temporary is alive from the operation that writes it to its last use, or to the end of the outermost loop that uses it
//! and does not write it. Variables, constants and runs keep a register of their own.

use super::Purpose;
use crate::emulator::code::{BinaryOp, Code, Gather, Matrix, Op, Place, Reg, Target, Tile};

/// Removes operations without effect whose result nothing reads, and numbers the registers anew.
pub(super) fn allocate(code: &mut Code, purposes: &[Purpose]) {
    remove_unread(code, purposes);
    let numbers = numbers(code, purposes);
    for op in &mut code.ops {
        visit(op, &mut |reg, _| *reg = numbers[*reg as usize]);
    }
    let fixed = code.constants.iter_mut().map(|(reg, _)| reg).chain(code.builtins.iter_mut().map(|(reg, _)| reg));
    for reg in fixed {
        *reg = numbers[*reg as usize];
    }
}

fn remove_unread(code: &mut Code, purposes: &[Purpose]) {
    let mut reads = vec![0u32; purposes.len()];
    let mut count = |op: &mut Op, by: i32| {
        visit(op, &mut |reg, written| {
            if !written {
                reads[*reg as usize] = reads[*reg as usize].wrapping_add_signed(by);
            }
        });
        match op {
            Op::Copy { to, .. } | Op::Pick { to, .. } | Op::Unary { to, .. } | Op::Ternary { to, .. } => Some(*to),
            // These may be findings.
            Op::Binary { op: BinaryOp::DivI | BinaryOp::DivU | BinaryOp::RemI | BinaryOp::RemU, .. } => None,
            Op::Binary { op: BinaryOp::Shl | BinaryOp::ShrI | BinaryOp::ShrU, .. } => None,
            Op::Binary { to, .. } => Some(*to),
            _ => None,
        }
        .is_some_and(|to| purposes[to as usize] == Purpose::Temporary && reads[to as usize] == 0)
    };
    for op in &mut code.ops {
        count(op, 1);
    }
    // A use stands after what it uses: backwards, whatever only removed operations read is unread too.
    let mut kept = vec![true; code.ops.len()];
    for (op, kept) in code.ops.iter_mut().zip(&mut kept).rev() {
        if count(op, 0) {
            count(op, -1);
            *kept = false;
        }
    }
    let mut moved = Vec::with_capacity(kept.len());
    let mut here: Target = 0;
    for &kept in &kept {
        moved.push(here);
        here += Target::from(kept);
    }
    let mut keep = kept.iter();
    code.ops.retain(|_| keep.next() == Some(&true));
    let mut keep = kept.iter();
    code.spans.retain(|_| keep.next() == Some(&true));
    for op in &mut code.ops {
        match op {
            Op::If { otherwise: target, .. }
            | Op::Else { end: target }
            | Op::Loop { end: target }
            | Op::EndLoop { start: target }
            | Op::Block { end: target } => *target = moved[*target as usize],
            _ => {}
        }
    }
}

/// A new number for every register.
fn numbers(code: &mut Code, purposes: &[Purpose]) -> Vec<Reg> {
    const NEVER: usize = usize::MAX;
    let mut made = vec![NEVER; purposes.len()];
    let mut last = vec![NEVER; purposes.len()];
    let mut loops: Vec<(usize, usize)> = Vec::new();
    for (index, op) in code.ops.iter_mut().enumerate() {
        if let Op::Loop { end } = *op {
            loops.push((index, end as usize));
        }
        visit(op, &mut |reg, _| {
            let reg = *reg as usize;
            if made[reg] == NEVER {
                made[reg] = index;
            }
            let outer = loops.iter().find(|&&(start, _)| start > made[reg]);
            let end = outer.map_or(index, |&(_, end)| end);
            last[reg] = if last[reg] == NEVER { end } else { end.max(last[reg]) };
        });
        if matches!(op, Op::EndLoop { .. }) {
            loops.pop();
        }
    }
    let mut ending: Vec<Vec<usize>> = vec![Vec::new(); code.ops.len()];
    let mut numbers = vec![Reg::MAX; purposes.len()];
    let mut next: Reg = 0;
    for (reg, &purpose) in purposes.iter().enumerate() {
        if purpose != Purpose::Temporary {
            numbers[reg] = next;
            next += 1;
        } else if last[reg] != NEVER {
            ending[last[reg]].push(reg);
        }
    }
    let mut free = Vec::new();
    for (index, op) in code.ops.iter_mut().enumerate() {
        visit(op, &mut |reg, _| {
            let number = &mut numbers[*reg as usize];
            if *number == Reg::MAX {
                *number = free.pop().unwrap_or_else(|| {
                    next += 1;
                    next - 1
                });
            }
        });
        // Not before: an operation's result never stands in its operands' registers.
        free.extend(ending[index].iter().map(|&reg| numbers[reg]));
    }
    code.registers = next;
    numbers
}

/// Shows every register of an operation, and whether it is written. Runs are shown by their first register.
fn visit(op: &mut Op, f: &mut impl FnMut(&mut Reg, bool)) {
    let in_place = |place: &mut Place, f: &mut dyn FnMut(&mut Reg, bool)| {
        if let Some(index) = &mut place.index {
            f(index, false);
        }
    };
    let matrix = |matrix: &mut Matrix, written: bool, f: &mut dyn FnMut(&mut Reg, bool)| {
        matrix.registers.iter_mut().for_each(|register| f(register, written));
    };
    let in_tile = |tile: &mut Tile, f: &mut dyn FnMut(&mut Reg, bool)| {
        in_place(&mut tile.place, f);
        in_place(&mut tile.end, f);
        f(&mut tile.stride, false);
    };
    match op {
        Op::Copy { to, from } | Op::Assign { to, from } => {
            f(from, false);
            f(to, true);
        }
        Op::Pick { to, base, index, .. } => {
            f(base, false);
            f(index, false);
            f(to, true);
        }
        Op::AssignAt { base, index, from, .. } => {
            f(index, false);
            f(from, false);
            f(base, true);
        }
        Op::Unary { to, a, .. } => {
            f(a, false);
            f(to, true);
        }
        Op::Binary { to, a, b, .. } => {
            f(a, false);
            f(b, false);
            f(to, true);
        }
        Op::Ternary { to, a, b, c, .. } => {
            f(a, false);
            f(b, false);
            f(c, false);
            f(to, true);
        }
        Op::Bound { to, index, .. } => {
            f(index, false);
            f(to, true);
        }
        Op::ArrayLength { to, .. } => f(to, true),
        Op::Load { to, place, .. } | Op::AtomicLoad { to, place } => {
            in_place(place, f);
            f(to, true);
        }
        Op::Store { place, from, .. } | Op::AtomicStore { place, from } => {
            in_place(place, f);
            f(from, false);
        }
        Op::Atomic { to, place, value, .. } => {
            in_place(place, f);
            f(value, false);
            if let Some(to) = to {
                f(to, true);
            }
        }
        Op::CompareExchange { to, exchanged, place, compare, value } => {
            in_place(place, f);
            f(compare, false);
            f(value, false);
            f(to, true);
            f(exchanged, true);
        }
        Op::If { condition, .. } | Op::BreakIf { condition } => f(condition, false),
        Op::ExpectUniform { value } | Op::ExpectSame { value } => f(value, false),
        Op::Ballot { to, predicate } => {
            if let Some(predicate) = predicate {
                f(predicate, false);
            }
            to.iter_mut().for_each(|to| f(to, true));
        }
        Op::Collect { to, from, .. } => {
            f(from, false);
            f(to, true);
        }
        Op::Gather { from_lane, to, from } => {
            match from_lane {
                Gather::First | Gather::QuadSwap(_) => {}
                Gather::Broadcast(lane)
                | Gather::Shuffle(lane)
                | Gather::Up(lane)
                | Gather::Down(lane)
                | Gather::Xor(lane)
                | Gather::QuadBroadcast(lane) => f(lane, false),
            }
            f(from, false);
            f(to, true);
        }
        Op::CooperativeLoad { to, tile } => {
            in_tile(tile, f);
            matrix(to, true, f);
        }
        Op::CooperativeStore { tile, from } => {
            in_tile(tile, f);
            matrix(from, false, f);
        }
        Op::CooperativeMultiplyAdd { to, operands, .. } => {
            operands.iter_mut().for_each(|operand| matrix(operand, false, f));
            matrix(to, true, f);
        }
        Op::CooperativeBinary { to, operands, .. } => {
            operands.iter_mut().for_each(|operand| matrix(operand, false, f));
            matrix(to, true, f);
        }
        Op::Else { .. }
        | Op::EndIf
        | Op::Loop { .. }
        | Op::Continuing
        | Op::EndLoop { .. }
        | Op::Block { .. }
        | Op::EndBlock
        | Op::Leave { .. }
        | Op::Continue { .. }
        | Op::End
        | Op::Barrier { .. } => {}
    }
}
