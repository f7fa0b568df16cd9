//! Operations across the lanes of a subgroup.

use super::workgroup::{MOST_LANES, Machine, Subgroup};
use crate::emulator::FindingKind;
use crate::emulator::code::{CollectOp, Gather, Reg, Scan};

/// What a lane gets from a lane that is not active: WGSL leaves it open, and a NaN or a huge number is seen.
const NOTHING: u32 = 0x7fc0_7fc0;

impl<const CHECKED: bool> Machine<'_, CHECKED> {
    /// A reduction or a scan over the active lanes, in their order.
    pub fn collect(&mut self, subgroup: &mut Subgroup, (op, scan): (CollectOp, Scan), to: Reg, from: Reg) {
        let from = &subgroup.registers[self.row(from)];
        let mut sum = identity(op);
        for (lane, &value) in from.iter().enumerate() {
            let before = sum;
            if subgroup.active >> lane & 1 != 0 {
                sum = combine(op, sum, value);
            }
            self.row[lane] = if scan == Scan::Exclusive { before } else { sum };
        }
        let to = self.row(to);
        if scan == Scan::Reduce {
            subgroup.registers[to].fill(sum);
        } else {
            subgroup.registers[to].copy_from_slice(&self.row[..self.lanes]);
        }
    }

    /// Values of other lanes.
    pub fn gather(&mut self, subgroup: &mut Subgroup, at: usize, from_lane: Gather, (to, from): (Reg, Reg)) {
        let size = self.lanes as u32;
        let mut lanes = [0; MOST_LANES];
        for (lane, source) in lanes[..self.lanes].iter_mut().enumerate() {
            let own = lane as u32;
            let given = |register: Reg| subgroup.registers[self.row(register).start + lane];
            *source = match from_lane {
                Gather::First => subgroup.active.trailing_zeros(),
                Gather::Broadcast(index) | Gather::Shuffle(index) => given(index),
                // Beyond the subgroup's edges there is no lane; every scan by shuffles reads there and drops it.
                Gather::Up(delta) => own.checked_sub(given(delta)).unwrap_or(u32::MAX),
                Gather::Down(delta) => own.checked_add(given(delta)).filter(|&lane| lane < size).unwrap_or(u32::MAX),
                Gather::Xor(mask) => own ^ given(mask),
                Gather::QuadBroadcast(index) => (own & !3).saturating_add(given(index)),
                Gather::QuadSwap(mask) => own ^ u32::from(mask),
            };
        }
        let edge = matches!(from_lane, Gather::Up(_) | Gather::Down(_));
        for (lane, &source) in lanes[..self.lanes].iter().enumerate() {
            let readable = source < size && subgroup.active >> source & 1 != 0;
            self.row[lane] =
                if readable { subgroup.registers[self.row(from).start + source as usize] } else { NOTHING };
            if CHECKED && !readable && subgroup.active >> lane & 1 != 0 && !(edge && source == u32::MAX) {
                let message = || {
                    if source < size {
                        format!("lane {lane} reads lane {source}, which is not active")
                    } else {
                        format!("lane {lane} reads lane {source} of a subgroup of {size}")
                    }
                };
                let invocation = (subgroup.number << self.shift) + lane as u32;
                self.raise(FindingKind::InactiveLane, at as u32, invocation, || (message(), None));
            }
        }
        if CHECKED && let Gather::Broadcast(index) | Gather::QuadBroadcast(index) = from_lane {
            self.expect_same_lane(subgroup, at, index, matches!(from_lane, Gather::QuadBroadcast(_)));
        }
        let to = self.row(to);
        subgroup.registers[to].copy_from_slice(&self.row[..self.lanes]);
    }

    /// A broadcast's lane number must be the same in the active lanes of the subgroup, or of each quad.
    fn expect_same_lane(&mut self, subgroup: &Subgroup, at: usize, index: Reg, quads: bool) {
        let row = &subgroup.registers[self.row(index)];
        let part = if quads { 4 } else { self.lanes };
        let differ = row.chunks(part).enumerate().find_map(|(number, chunk)| {
            let mut active = (0..part).filter(|lane| subgroup.active >> (number * part + lane) & 1 != 0);
            let first = active.next()?;
            active
                .find(|&lane| chunk[lane] != chunk[first])
                .map(|lane| (number * part + lane, chunk[first], chunk[lane]))
        });
        if let Some((lane, one, other)) = differ {
            let invocation = (subgroup.number << self.shift) + lane as u32;
            let message = || format!("a broadcast from lane {one} and from lane {other} at once");
            self.raise(FindingKind::InactiveLane, at as u32, invocation, || (message(), None));
        }
    }

    /// A value of which the subgroup needs one must be the same in its active lanes.
    pub fn expect_same(&mut self, subgroup: &Subgroup, at: usize, value: Reg) {
        if !CHECKED {
            return;
        }
        let row = &subgroup.registers[self.row(value)];
        let mut active = (0..self.lanes).filter(|lane| subgroup.active >> lane & 1 != 0);
        let Some(first) = active.next() else { return };
        if let Some(lane) = active.find(|&lane| row[lane] != row[first]) {
            let (one, other) = (row[first], row[lane]);
            let invocation = (subgroup.number << self.shift) + lane as u32;
            let message = || format!("the lanes of a subgroup do one thing together with {one:#x} and with {other:#x}");
            self.raise(FindingKind::InactiveLane, at as u32, invocation, || (message(), None));
        }
    }

    /// `workgroupUniformLoad`: the value must be the same in all lanes of all subgroups.
    pub fn expect_uniform(&mut self, subgroup: &Subgroup, at: usize, value: Reg) {
        if !CHECKED || subgroup.active == 0 {
            return;
        }
        let row = self.row(value);
        let own = subgroup.registers[row.start + subgroup.active.trailing_zeros() as usize];
        // All subgroups come here between the same two barriers, so at the same time.
        let first = match self.uniform {
            Some((op, time, value)) if (op, time) == (at as u32, self.fence_local) => value,
            _ => own,
        };
        self.uniform = Some((at as u32, self.fence_local, first));
        let mut lanes = (0..self.lanes).filter(|lane| subgroup.active >> lane & 1 != 0);
        if let Some(lane) = lanes.find(|lane| subgroup.registers[row.start + lane] != first) {
            let other = subgroup.registers[row.start + lane];
            let invocation = (subgroup.number << self.shift) + lane as u32;
            let message = || format!("a uniform load gives {first:#x} in one invocation and {other:#x} in another");
            self.raise(FindingKind::NonuniformBarrier, at as u32, invocation, || (message(), None));
        }
    }
}

fn identity(op: CollectOp) -> u32 {
    match op {
        CollectOp::All => 1,
        CollectOp::AddF => 0,
        CollectOp::Any | CollectOp::AddI | CollectOp::Or | CollectOp::Xor | CollectOp::MaxU => 0,
        CollectOp::MulI => 1,
        CollectOp::MulF => 1f32.to_bits(),
        CollectOp::MinI => i32::MAX as u32,
        CollectOp::MaxI => i32::MIN as u32,
        CollectOp::MinU | CollectOp::And => u32::MAX,
        CollectOp::MinF => f32::INFINITY.to_bits(),
        CollectOp::MaxF => f32::NEG_INFINITY.to_bits(),
    }
}

fn combine(op: CollectOp, a: u32, b: u32) -> u32 {
    let floats = |f: fn(f32, f32) -> f32| f(f32::from_bits(a), f32::from_bits(b)).to_bits();
    let ints = |f: fn(i32, i32) -> i32| f(a as i32, b as i32) as u32;
    match op {
        CollectOp::All => u32::from(a != 0 && b != 0),
        CollectOp::Any => u32::from(a != 0 || b != 0),
        CollectOp::AddI => a.wrapping_add(b),
        CollectOp::AddF => floats(|a, b| a + b),
        CollectOp::MulI => a.wrapping_mul(b),
        CollectOp::MulF => floats(|a, b| a * b),
        CollectOp::MinI => ints(i32::min),
        CollectOp::MinU => a.min(b),
        CollectOp::MinF => floats(f32::min),
        CollectOp::MaxI => ints(i32::max),
        CollectOp::MaxU => a.max(b),
        CollectOp::MaxF => floats(f32::max),
        CollectOp::And => a & b,
        CollectOp::Or => a | b,
        CollectOp::Xor => a ^ b,
    }
}
