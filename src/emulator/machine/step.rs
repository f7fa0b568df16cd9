//! The interpreter of a subgroup: one operation after the other, over all lanes.

use std::ops::Range;

use super::workgroup::{Frame, GivenUp, Machine, State, Subgroup};
use crate::emulator::code::{BinaryOp, Op, Reg};
use crate::emulator::{FindingKind, alu};

impl<const CHECKED: bool> Machine<'_, CHECKED> {
    /// The words of a register.
    #[inline(always)]
    pub fn row(&self, register: Reg) -> Range<usize> {
        let start = (register as usize) << self.shift;
        start..start + self.lanes
    }

    /// The words of a register up to the last active lane.
    #[inline(always)]
    pub fn active_row(&self, subgroup: &Subgroup, register: Reg) -> Range<usize> {
        let start = (register as usize) << self.shift;
        start..start + subgroup.span
    }

    /// Makes a row of others, up to the last active lane.
    #[inline(always)]
    fn make<const N: usize>(
        &mut self,
        subgroup: &mut Subgroup,
        to: Reg,
        from: [Reg; N],
        make: impl Fn(&mut [u32], [&[u32]; N]),
    ) {
        let to_row = self.active_row(subgroup, to);
        let rows = from.map(|register| self.active_row(subgroup, register));
        let registers = &mut subgroup.registers;
        if from.contains(&to) {
            let result = &mut self.row[..to_row.len()];
            make(result, rows.map(|row| &registers[row]));
            registers[to_row].copy_from_slice(result);
        } else {
            // In place, between the registers before and after.
            let (before, rest) = registers.split_at_mut(to_row.start);
            let (result, after) = rest.split_at_mut(to_row.len());
            make(
                result,
                rows.map(|row| {
                    if row.start < to_row.start { &before[row] } else { &after[row.start - to_row.end..][..row.len()] }
                }),
            );
        }
    }

    /// The active lanes in which a register is not 0.
    #[inline]
    fn mask(&self, subgroup: &Subgroup, register: Reg) -> u64 {
        let row = &subgroup.registers[self.active_row(subgroup, register)];
        // Four at a time: a lane count is a multiple of 4.
        let mut mask = 0;
        for (index, four) in row.chunks_exact(4).enumerate() {
            let bit = |lane: usize| u64::from(four[lane] != 0) << lane;
            mask |= (bit(0) | bit(1) | bit(2) | bit(3)) << (4 * index);
        }
        mask & subgroup.active
    }

    /// Runs a subgroup until it waits at a barrier of the workgroup or ends.
    pub fn advance(&mut self, subgroup: &mut Subgroup) -> Result<(), GivenUp> {
        let (code, prepared) = (self.code, self.shared.prepared);
        loop {
            let at = subgroup.at;
            let tally = &mut self.tallies[at];
            tally.times += 1;
            tally.lanes += subgroup.count;
            subgroup.at = at + 1;
            match &code.ops[at] {
                &Op::Unary { op, to, a } => self.make(subgroup, to, [a], |to, [a]| alu::unary(op, to, a)),
                &Op::Binary { op, to, a, b } => {
                    if CHECKED {
                        self.lint(subgroup, op, b, at);
                    }
                    self.make(subgroup, to, [a, b], |to, [a, b]| alu::binary(op, to, a, b));
                }
                &Op::Ternary { op, to, a, b, c } => {
                    self.make(subgroup, to, [a, b, c], |to, [a, b, c]| alu::ternary(op, to, a, b, c));
                }
                Op::Load { to, place, width } => self.load(subgroup, at, *to, (place, *width)),
                Op::Store { place, width, from } => self.store(subgroup, at, *from, (place, *width)),
                &Op::Assign { to, from } => self.assign(subgroup, to, from),
                &Op::Copy { to, from } => {
                    let (to, from) = (self.row(to), self.active_row(subgroup, from));
                    subgroup.registers.copy_within(from, to.start);
                }
                &Op::Pick { to, base, index, stride, count } => {
                    for lane in 0..subgroup.span {
                        let chosen = subgroup.registers[self.row(index).start + lane].min(count.saturating_sub(1));
                        self.row[lane] = subgroup.registers[self.row(base + chosen * stride).start + lane];
                    }
                    let to = self.active_row(subgroup, to);
                    subgroup.registers[to].copy_from_slice(&self.row[..subgroup.span]);
                }
                &Op::AssignAt { base, index, stride, count, from } => {
                    for lane in subgroup.lanes() {
                        let chosen = subgroup.registers[self.row(index).start + lane].min(count.saturating_sub(1));
                        let value = subgroup.registers[self.row(from).start + lane];
                        subgroup.registers[self.row(base + chosen * stride).start + lane] = value;
                    }
                }
                &Op::Bound { to, index, .. } => self.bound(subgroup, at, to, index),
                &Op::ArrayLength { to, .. } => {
                    let to = self.row(to);
                    subgroup.registers[to].fill(prepared.numbers[at]);
                }
                Op::AtomicLoad { to, place } => self.atomic_load(subgroup, at, *to, place),
                Op::AtomicStore { place, from } => self.atomic_store(subgroup, at, *from, place),
                Op::Atomic { op, to, place, value } => self.atomic(subgroup, at, place, (*op, *to, *value)),
                Op::CompareExchange { to, exchanged, place, compare, value } => {
                    self.compare_exchange(subgroup, at, place, [*to, *exchanged, *compare, *value]);
                }
                &Op::If { condition, otherwise } => {
                    let taken = self.mask(subgroup, condition);
                    let parked = subgroup.active & !taken;
                    subgroup.frames.push(Frame { left: 0, parked });
                    if taken == 0 {
                        subgroup.at = otherwise as usize;
                    } else if parked != 0 {
                        self.counters.divergent += 1;
                    }
                    subgroup.set_active(taken);
                }
                &Op::Else { end } => {
                    let active = subgroup.active;
                    let mut other = 0;
                    if let Some(frame) = subgroup.frames.last_mut() {
                        frame.left |= active;
                        other = std::mem::take(&mut frame.parked);
                    }
                    subgroup.set_active(other);
                    if other == 0 {
                        subgroup.at = end as usize;
                    }
                }
                Op::EndIf | Op::EndBlock => self.close(subgroup, at),
                Op::Loop { .. } | Op::Block { .. } => subgroup.frames.push(Frame::default()),
                Op::Continuing => {
                    let parked = subgroup.frames.last_mut().map_or(0, |frame| std::mem::take(&mut frame.parked));
                    subgroup.set_active(subgroup.active | parked);
                    self.skip_idle(subgroup, at);
                }
                &Op::BreakIf { condition } => {
                    let left = self.mask(subgroup, condition);
                    if left != 0 {
                        if left != subgroup.active {
                            self.counters.divergent += 1;
                        }
                        if let Some(frame) = subgroup.frames.last_mut() {
                            frame.left |= left;
                        }
                        subgroup.set_active(subgroup.active & !left);
                        self.skip_idle(subgroup, at);
                    }
                }
                &Op::EndLoop { start } => {
                    let parked = subgroup.frames.last_mut().map_or(0, |frame| std::mem::take(&mut frame.parked));
                    if subgroup.active | parked == 0 {
                        self.close(subgroup, at);
                    } else {
                        self.step(subgroup, at)?;
                        subgroup.set_active(subgroup.active | parked);
                        subgroup.at = start as usize + 1;
                    }
                }
                &Op::Leave { depth } => {
                    if let Some(frame) = subgroup.frames.get_mut(depth as usize) {
                        frame.left |= subgroup.active;
                    }
                    subgroup.set_active(0);
                    subgroup.at = prepared.skip[at] as usize;
                }
                &Op::Continue { depth } => {
                    if let Some(frame) = subgroup.frames.get_mut(depth as usize) {
                        frame.parked |= subgroup.active;
                    }
                    subgroup.set_active(0);
                    subgroup.at = prepared.skip[at] as usize;
                }
                Op::End => {
                    subgroup.state = State::Done;
                    return Ok(());
                }
                &Op::Barrier { subgroup: alone, .. } => {
                    self.step(subgroup, at)?;
                    if !alone {
                        subgroup.state = State::Waiting(at as u32);
                        return Ok(());
                    }
                    self.subgroup_barrier(subgroup, at);
                }
                &Op::ExpectUniform { value } => self.expect_uniform(subgroup, at, value),
                &Op::Ballot { to, predicate } => {
                    let mask = predicate.map_or(subgroup.active, |predicate| self.mask(subgroup, predicate));
                    for (register, word) in to.into_iter().zip([mask as u32, (mask >> 32) as u32, 0, 0]) {
                        let to = self.row(register);
                        subgroup.registers[to].fill(word);
                    }
                }
                &Op::Collect { op, scan, to, from } => self.collect(subgroup, (op, scan), to, from),
                &Op::Gather { from_lane, to, from } => self.gather(subgroup, at, from_lane, (to, from)),
                &Op::ExpectSame { value } => self.expect_same(subgroup, at, value),
                Op::CooperativeLoad { to, tile } => self.cooperative_load(subgroup, at, to, tile),
                Op::CooperativeStore { tile, from } => self.cooperative_store(subgroup, at, from, tile),
                Op::CooperativeMultiplyAdd { to, operands, half } => {
                    self.cooperative_multiply_add(subgroup, at, (to, *half), operands);
                }
                Op::CooperativeBinary { op, to, operands, half } => {
                    self.cooperative_binary(subgroup, *op, (to, *half), operands);
                }
            }
        }
    }

    /// Closes the innermost frame: its lanes join again.
    fn close(&mut self, subgroup: &mut Subgroup, at: usize) {
        let frame = subgroup.frames.pop().unwrap_or_default();
        subgroup.set_active(subgroup.active | frame.left | frame.parked);
        self.skip_idle(subgroup, at);
    }

    /// Without an active lane, goes on at the next operation of control.
    #[inline]
    fn skip_idle(&self, subgroup: &mut Subgroup, at: usize) {
        if subgroup.active == 0 {
            subgroup.at = self.shared.prepared.skip[at] as usize;
        }
    }

    #[inline]
    fn assign(&mut self, subgroup: &mut Subgroup, to: Reg, from: Reg) {
        let (to, from) = (self.row(to), self.row(from));
        if subgroup.count == self.lanes as u64 {
            subgroup.registers.copy_within(from, to.start);
            return;
        }
        for lane in subgroup.lanes() {
            subgroup.registers[to.start + lane] = subgroup.registers[from.start + lane];
        }
    }

    fn bound(&mut self, subgroup: &mut Subgroup, at: usize, to: Reg, index: Reg) {
        let length = self.shared.prepared.numbers[at];
        let row = self.active_row(subgroup, index);
        if CHECKED && subgroup.registers[row.clone()].iter().any(|&index| index >= length) {
            for lane in subgroup.lanes() {
                let index = subgroup.registers[row.start + lane];
                if index >= length {
                    let message = || format!("index {index} is beyond the {length} elements");
                    let invocation = (subgroup.number << self.shift) + lane as u32;
                    self.raise(FindingKind::OutOfBounds, at as u32, invocation, || (message(), None));
                }
            }
        }
        let last = length.wrapping_sub(1);
        self.make(subgroup, to, [index], |to, [index]| {
            for (to, &index) in to.iter_mut().zip(index) {
                // Without an element the last is u32::MAX, and so has to be the result.
                *to = if length == 0 { last } else { index.min(last) };
            }
        });
    }

    /// Divisions by zero and shifts by the width or more.
    #[inline]
    fn lint(&mut self, subgroup: &Subgroup, op: BinaryOp, b: Reg, at: usize) {
        let (divides, shifts) = match op {
            BinaryOp::DivI | BinaryOp::DivU | BinaryOp::RemI | BinaryOp::RemU => (true, false),
            BinaryOp::Shl | BinaryOp::ShrI | BinaryOp::ShrU => (false, true),
            _ => return,
        };
        let wrong = |&b: &u32| divides && b == 0 || shifts && b >= 32;
        let row = self.active_row(subgroup, b);
        if !subgroup.registers[row.clone()].iter().any(wrong) {
            return;
        }
        for lane in subgroup.lanes() {
            let b = subgroup.registers[row.start + lane];
            if wrong(&b) {
                let invocation = (subgroup.number << self.shift) + lane as u32;
                let kind = if divides { FindingKind::DivisionByZero } else { FindingKind::ShiftOutOfRange };
                let message = || {
                    if divides {
                        "a whole number is divided by zero".into()
                    } else {
                        format!("a shift by {b} bits of 32")
                    }
                };
                self.raise(kind, at as u32, invocation, || (message(), None));
            }
        }
    }
}
