//! Accesses to memory: their addresses, the checks, the transactions that they need, and the words themselves.

use std::sync::atomic::{AtomicU32, Ordering};

use super::shadow::{Cell, Mode};
use super::workgroup::{MOST_LANES, Machine, Subgroup};
use crate::emulator::FindingKind;
use crate::emulator::code::{AtomicOp, BufferBinding, Memory, Place, Reg, Width};

/// The address of a lane that accesses nothing: it is inactive or outside.
pub(super) const NONE: u32 = u32::MAX;

const READ: Mode = Mode { write: false, atomic: false, cooperative: false };
const WRITE: Mode = Mode { write: true, ..READ };
const ATOMIC_READ: Mode = Mode { atomic: true, ..READ };
const ATOMIC_WRITE: Mode = Mode { atomic: true, ..WRITE };

impl<const CHECKED: bool> Machine<'_, CHECKED> {
    pub fn load(&mut self, subgroup: &mut Subgroup, at: usize, to: Reg, (place, width): (&Place, Width)) {
        self.access(subgroup, at, place, (width.bytes(), READ));
        let to = self.row(to);
        self.read(place.memory, width, &mut subgroup.registers[to]);
    }

    pub fn store(&mut self, subgroup: &mut Subgroup, at: usize, from: Reg, (place, width): (&Place, Width)) {
        self.access(subgroup, at, place, (width.bytes(), WRITE));
        let from = self.row(from);
        self.write(place.memory, width, &subgroup.registers[from]);
    }

    /// Reads what is at the addresses, 0 where nothing is.
    pub fn read(&self, memory: Memory, width: Width, to: &mut [u32]) {
        let addresses = &self.addresses[..to.len()];
        // NONE is beyond any memory, since sizes are below it.
        match memory {
            Memory::Workgroup => {
                for (to, &byte) in to.iter_mut().zip(addresses) {
                    *to = self.local.get((byte >> 2) as usize).copied().unwrap_or(0);
                }
            }
            Memory::Buffer(buffer) => {
                let words = self.shared.launch.windows[buffer as usize].words;
                for (to, &byte) in to.iter_mut().zip(addresses) {
                    *to = words.get((byte >> 2) as usize).map_or(0, |word| word.load(Ordering::Relaxed));
                }
            }
        }
        if width == Width::Half {
            for (to, &byte) in to.iter_mut().zip(addresses) {
                *to = *to >> (8 * (byte & 2)) & 0xffff;
            }
        }
    }

    /// Writes to the addresses, where something is.
    pub fn write(&mut self, memory: Memory, width: Width, from: &[u32]) {
        let lanes = from.iter().zip(&self.addresses);
        match (memory, width) {
            (Memory::Workgroup, Width::Word) => {
                for (&value, &byte) in lanes {
                    if let Some(word) = self.local.get_mut((byte >> 2) as usize) {
                        *word = value;
                    }
                }
            }
            (Memory::Workgroup, Width::Half) => {
                for (&value, &byte) in lanes {
                    if let Some(word) = self.local.get_mut((byte >> 2) as usize) {
                        *word = with_half(*word, byte, value);
                    }
                }
            }
            (Memory::Buffer(buffer), Width::Word) => {
                let words = self.shared.launch.windows[buffer as usize].words;
                for (&value, &byte) in lanes {
                    if let Some(word) = words.get((byte >> 2) as usize) {
                        word.store(value, Ordering::Relaxed);
                    }
                }
            }
            (Memory::Buffer(buffer), Width::Half) => {
                let words = self.shared.launch.windows[buffer as usize].words;
                for (&value, &byte) in lanes {
                    if let Some(word) = words.get((byte >> 2) as usize) {
                        // Another thread may write the other half.
                        update(word, |word| with_half(word, byte, value));
                    }
                }
            }
        }
    }

    pub fn atomic_load(&mut self, subgroup: &mut Subgroup, at: usize, to: Reg, place: &Place) {
        self.access(subgroup, at, place, (4, ATOMIC_READ));
        self.change(subgroup, place, Some(to), |_, _, old| old);
    }

    pub fn atomic_store(&mut self, subgroup: &mut Subgroup, at: usize, from: Reg, place: &Place) {
        self.access(subgroup, at, place, (4, ATOMIC_WRITE));
        let from = self.row(from).start;
        self.change(subgroup, place, None, |registers, lane, _| registers[from + lane]);
    }

    pub fn atomic(
        &mut self,
        subgroup: &mut Subgroup,
        at: usize,
        place: &Place,
        (op, to, value): (AtomicOp, Option<Reg>, Reg),
    ) {
        self.access(subgroup, at, place, (4, ATOMIC_WRITE));
        let from = self.row(value).start;
        self.change(subgroup, place, to, |registers, lane, old| changed(op, old, registers[from + lane]));
    }

    /// The registers are `to`, `exchanged`, `compare` and `value`.
    pub fn compare_exchange(&mut self, subgroup: &mut Subgroup, at: usize, place: &Place, registers: [Reg; 4]) {
        self.access(subgroup, at, place, (4, ATOMIC_WRITE));
        let [to, exchanged, compare, value] = registers;
        let [compare_row, value_row] = [self.row(compare).start, self.row(value).start];
        let mut equal = [0; MOST_LANES];
        self.change(subgroup, place, Some(to), |registers, lane, old| {
            equal[lane] = u32::from(old == registers[compare_row + lane]);
            if equal[lane] != 0 { registers[value_row + lane] } else { old }
        });
        let exchanged = self.row(exchanged);
        subgroup.registers[exchanged].copy_from_slice(&equal[..self.lanes]);
    }

    /// Changes memory at the addresses, lane after lane; `to` gets what was there, 0 where nothing is.
    fn change(
        &mut self,
        subgroup: &mut Subgroup,
        place: &Place,
        to: Option<Reg>,
        mut new: impl FnMut(&[u32], usize, u32) -> u32,
    ) {
        for lane in 0..self.lanes {
            let word = (self.addresses[lane] >> 2) as usize;
            let registers = &subgroup.registers;
            self.row[lane] = match place.memory {
                Memory::Workgroup => match self.local.get_mut(word) {
                    Some(word) => {
                        let old = *word;
                        *word = new(registers, lane, old);
                        old
                    }
                    None => 0,
                },
                Memory::Buffer(buffer) => match self.shared.launch.windows[buffer as usize].words.get(word) {
                    Some(word) => update(word, |old| new(registers, lane, old)),
                    None => 0,
                },
            };
        }
        if let Some(to) = to {
            let to = self.row(to);
            subgroup.registers[to].copy_from_slice(&self.row[..self.lanes]);
        }
    }

    /// Works out the addresses of an access, checks it and counts it.
    fn access(&mut self, subgroup: &Subgroup, at: usize, place: &Place, (width, mode): (u32, Mode)) {
        let size = self.size(place.memory);
        // What may be added to the base.
        let room = size.checked_sub(width).and_then(|room| room.checked_sub(place.base));
        let lanes = self.lanes;
        let addresses = &mut self.addresses[..lanes];
        match (room, place.index) {
            (None, _) => addresses.fill(NONE),
            (Some(_), None) => addresses.fill(place.base),
            (Some(room), Some(index)) => {
                let start = (index as usize) << self.shift;
                for (address, &index) in addresses.iter_mut().zip(&subgroup.registers[start..start + lanes]) {
                    *address = if index <= room { place.base.wrapping_add(index) } else { NONE };
                }
            }
        }
        if CHECKED && self.addresses[..lanes].contains(&NONE) {
            self.outside(subgroup, at, place, width, size);
        }
        if subgroup.count != lanes as u64 {
            for (lane, address) in self.addresses[..lanes].iter_mut().enumerate() {
                if subgroup.active >> lane & 1 == 0 {
                    *address = NONE;
                }
            }
        }
        let bytes = self.shared.prepared.numbers[at];
        if bytes != 0 {
            self.count(place.memory, bytes);
        }
        self.check(subgroup, at, place.memory, (width, mode));
    }

    /// Bytes of a memory object.
    pub fn size(&self, memory: Memory) -> u32 {
        match memory {
            Memory::Workgroup => self.code.workgroup_bytes,
            Memory::Buffer(buffer) => self.shared.prepared.bytes[buffer as usize],
        }
    }

    /// Checks the accesses to the addresses against the shadow.
    pub fn check(&mut self, subgroup: &Subgroup, at: usize, memory: Memory, (width, mode): (u32, Mode)) {
        if CHECKED {
            match memory {
                Memory::Workgroup => self.check_local(subgroup, at, width, mode),
                Memory::Buffer(buffer) => self.check_buffer(subgroup, at, buffer as usize, width, mode),
            }
        }
    }

    /// Raises a finding for each active lane that is outside.
    #[cold]
    fn outside(&mut self, subgroup: &Subgroup, at: usize, place: &Place, width: u32, size: u32) {
        let code = self.code;
        for lane in (0..self.lanes).filter(|lane| subgroup.active >> lane & 1 != 0) {
            if self.addresses[lane] == NONE {
                let index = place.index.map_or(0, |index| subgroup.registers[self.row(index).start + lane]);
                let byte = u64::from(place.base) + u64::from(index);
                let address = || code.address(place.memory, place.base, byte);
                let detail = || (format!("{width} bytes from byte {byte} on, of {size}"), Some(address()));
                let invocation = (subgroup.number << self.shift) + lane as u32;
                self.raise(FindingKind::OutOfBounds, at as u32, invocation, detail);
            }
        }
    }

    /// Checks an access to workgroup memory against the shadow.
    fn check_local(&mut self, subgroup: &Subgroup, at: usize, width: u32, mode: Mode) {
        let fences = self.fences(subgroup, true);
        let zeroed = self.shared.launch.options.zero_workgroup_memory;
        let granule = self.shared.prepared.workgroup_granule;
        let code = self.code;
        let mut now = self.stamp(subgroup, at, mode);
        for lane in 0..self.lanes {
            let byte = self.addresses[lane];
            if byte != NONE {
                let (mut race, mut unwritten) = (None, false);
                for part in 0..width / granule {
                    let cell = &mut self.local_shadow[(byte / granule + part) as usize];
                    unwritten |= cell.write.time < self.start;
                    let other =
                        if mode.write { cell.write::<true>(now, &fences) } else { cell.read::<true>(now, &fences) };
                    race = race.or(other);
                }
                if let Some(other) = race {
                    self.race(now, mode.write, other, (Memory::Workgroup, byte));
                }
                if unwritten && !mode.write && !mode.atomic && !zeroed {
                    let message = || "workgroup memory is read that nothing in the workgroup wrote".into();
                    let detail = || (message(), Some(code.address(Memory::Workgroup, byte, byte.into())));
                    self.raise(FindingKind::Uninitialised, at as u32, now.local(), detail);
                }
            }
            now.who += 1;
        }
    }

    /// Checks an access to a buffer against the shadow and what was written at all.
    fn check_buffer(&mut self, subgroup: &Subgroup, at: usize, buffer: usize, width: u32, mode: Mode) {
        let window = &self.shared.launch.windows[buffer];
        if let Some(initialised) = window.initialised {
            for lane in 0..self.lanes {
                let byte = self.addresses[lane];
                if byte == NONE {
                    continue;
                }
                let address = window.offset + u64::from(byte);
                if mode.write {
                    initialised.set(address, width);
                } else if !mode.atomic && !initialised.get(address, width) {
                    let name = &self.code.buffers[buffer].name;
                    let detail = || ("memory is read that nothing wrote".into(), Some((name.clone(), u64::from(byte))));
                    let invocation = (subgroup.number << self.shift) + lane as u32;
                    self.raise(FindingKind::Uninitialised, at as u32, invocation, detail);
                }
            }
        }
        let shared = self.shared;
        let Some(mut arena) = shared.prepared.tracked[buffer].and_then(|index| shared.shadow.arena(index)) else {
            return;
        };
        let fences = self.fences(subgroup, false);
        let granule = shared.prepared.storage_granule;
        let mut now = self.stamp(subgroup, at, mode);
        for lane in 0..self.lanes {
            let byte = self.addresses[lane];
            let mut race = None;
            for part in 0..if byte == NONE { 0 } else { width / granule } {
                let address = window.offset + u64::from(byte) + u64::from(part * granule);
                let check = |cell: &mut Cell| {
                    if mode.write { cell.write::<false>(now, &fences) } else { cell.read::<false>(now, &fences) }
                };
                race = race.or(arena.cell(address).and_then(check));
            }
            if let Some(other) = race {
                self.race(now, mode.write, other, (Memory::Buffer(buffer as u32), byte));
            }
            now.who += 1;
        }
    }

    /// Counts the transactions of an access of so many bytes for each lane.
    pub fn count(&mut self, memory: Memory, bytes: u32) {
        match memory {
            Memory::Workgroup => self.count_banks(bytes),
            Memory::Buffer(buffer) => {
                let storage = matches!(self.code.buffers[buffer as usize].binding, BufferBinding::Storage { .. });
                if storage {
                    self.count_sectors(buffer as usize, bytes);
                }
            }
        }
    }

    fn count_sectors(&mut self, buffer: usize, bytes: u32) {
        let mut sorted = [0; MOST_LANES];
        let mut count = 0;
        for &address in &self.addresses[..self.lanes] {
            sorted[count] = address;
            count += usize::from(address != NONE);
        }
        let sorted = &mut sorted[..count];
        if !sorted.is_sorted() {
            sorted.sort_unstable();
        }
        // Where the window starts in a line.
        let shift = self.shared.launch.windows[buffer].offset % 128;
        let (mut covered, mut distinct) = (0, 0);
        // The first sector and line that are not counted yet.
        let (mut sector, mut line) = (0, 0);
        let (mut sectors, mut lines) = (0, 0);
        for &address in sorted.iter() {
            let start = u64::from(address) + shift;
            let end = start + u64::from(bytes);
            distinct += end - end.min(start.max(covered));
            covered = covered.max(end);
            let beyond = (end - 1) / 32 + 1;
            sectors += beyond - beyond.min(sector.max(start / 32));
            sector = sector.max(beyond);
            let beyond = (end - 1) / 128 + 1;
            lines += beyond - beyond.min(line.max(start / 128));
            line = line.max(beyond);
        }
        if count > 0 {
            let total = &mut self.counters.transactions;
            total.accesses += 1;
            total.sectors += sectors;
            total.lines += lines;
            total.least_sectors += distinct.div_ceil(32);
            total.least_lines += distinct.div_ceil(128);
        }
    }

    /// Counts the passes over the banks: a bank gives one word at a time, to any number of lanes.
    fn count_banks(&mut self, bytes: u32) {
        let mut banks = BankUse::default();
        let addresses = self.addresses[..self.lanes].iter().filter(|&&address| address != NONE);
        if bytes <= 4 {
            addresses.for_each(|&address| banks.take(address / 4));
        } else {
            addresses
                .for_each(|&address| (address / 4..(address + bytes).div_ceil(4)).for_each(|word| banks.take(word)));
        }
        if banks.distinct > 0 {
            self.counters.banks.accesses += 1;
            self.counters.banks.passes += banks.passes;
            self.counters.banks.extra += banks.passes - banks.distinct.div_ceil(BANKS as u64);
        }
    }
}

const BANKS: usize = 32;

/// The words that an access takes from each bank.
struct BankUse {
    /// The first word of each bank.
    first: [u32; BANKS],
    /// How many it gives.
    counts: [u8; BANKS],
    /// The words that are not the first of their bank: a vector has four at most.
    others: [u32; 4 * MOST_LANES],
    further: usize,
    /// The words of the busiest bank, and of all.
    passes: u64,
    distinct: u64,
}

impl Default for BankUse {
    fn default() -> Self {
        let others = [0; 4 * MOST_LANES];
        BankUse { first: [NONE; BANKS], counts: [0; BANKS], others, further: 0, passes: 0, distinct: 0 }
    }
}

impl BankUse {
    #[inline(always)]
    fn take(&mut self, word: u32) {
        let bank = word as usize % BANKS;
        if self.first[bank] != word {
            self.add(word, bank);
        }
    }

    fn add(&mut self, word: u32, bank: usize) {
        if self.first[bank] == NONE {
            self.first[bank] = word;
        } else if self.others[..self.further].contains(&word) {
            return;
        } else {
            self.others[self.further] = word;
            self.further += 1;
        }
        // A lane takes a bank's words once, so there are at most as many as lanes.
        self.counts[bank] += 1;
        self.distinct += 1;
        self.passes = self.passes.max(u64::from(self.counts[bank]));
    }
}

/// A word of which the half at a byte is replaced.
fn with_half(word: u32, byte: u32, half: u32) -> u32 {
    let shift = 8 * (byte & 2);
    word & !(0xffff << shift) | (half & 0xffff) << shift
}

/// Changes a word at once; what it was before.
fn update(word: &AtomicU32, mut new: impl FnMut(u32) -> u32) -> u32 {
    let mut old = word.load(Ordering::Relaxed);
    loop {
        match word.compare_exchange_weak(old, new(old), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(old) => return old,
            Err(now) => old = now,
        }
    }
}

fn changed(op: AtomicOp, old: u32, value: u32) -> u32 {
    match op {
        AtomicOp::Add => old.wrapping_add(value),
        AtomicOp::AddF => (f32::from_bits(old) + f32::from_bits(value)).to_bits(),
        AtomicOp::Sub => old.wrapping_sub(value),
        AtomicOp::And => old & value,
        AtomicOp::Or => old | value,
        AtomicOp::Xor => old ^ value,
        AtomicOp::MinI => (old as i32).min(value as i32) as u32,
        AtomicOp::MinU => old.min(value),
        AtomicOp::MaxI => (old as i32).max(value as i32) as u32,
        AtomicOp::MaxU => old.max(value),
        AtomicOp::Exchange => value,
    }
}
