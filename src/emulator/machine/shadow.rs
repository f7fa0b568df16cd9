//! Shadows of memory: who wrote and read each cell last, and which words were written at all.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::MOST_INVOCATIONS;

/// Which parts of an allocation were written: a bit for every two bytes.
#[derive(Debug)]
pub(crate) struct Initialised {
    bits: Vec<AtomicU32>,
}

impl Initialised {
    /// For an allocation of so many words, of which none was written.
    pub fn new(words: usize) -> Self {
        Initialised { bits: (0..words.div_ceil(16)).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Marks words as written, for example by an upload.
    pub fn mark(&self, words: std::ops::Range<usize>) {
        for word in words {
            self.set(word as u64 * 4, 4);
        }
    }

    fn word(&self, byte: u64) -> Option<&AtomicU32> {
        self.bits.get(usize::try_from(byte / 64).ok()?)
    }

    /// Marks 2 or 4 bytes.
    pub(super) fn set(&self, byte: u64, width: u32) {
        let mask = mask(byte, width);
        // Most are marked already, and a load is much cheaper than a change.
        if let Some(word) = self.word(byte).filter(|word| word.load(Ordering::Relaxed) & mask != mask) {
            word.fetch_or(mask, Ordering::Relaxed);
        }
    }

    /// Whether all of 2 or 4 bytes were written.
    pub(super) fn get(&self, byte: u64, width: u32) -> bool {
        let mask = mask(byte, width);
        self.word(byte).is_none_or(|word| word.load(Ordering::Relaxed) & mask == mask)
    }
}

fn mask(byte: u64, width: u32) -> u32 {
    (if width == 2 { 1 } else { 3 }) << (byte / 2 % 32)
}

/// The bit of [`Stamp::who`] of an access of a subgroup to a cooperative matrix: any of its lanes may be the one. Those below
/// number the invocation in its workgroup.
const COOPERATIVE: u64 = MOST_INVOCATIONS;

/// The bits of [`Stamp::who`] below the number of the workgroup.
const LOCAL_BITS: u32 = COOPERATIVE.trailing_zeros() + 1;

/// The kind of an access.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mode {
    pub write: bool,
    pub atomic: bool,
    /// By a subgroup together.
    pub cooperative: bool,
}

/// An access: who, when and where.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stamp {
    /// The number of the workgroup, then of the invocation in it.
    pub who: u64,
    /// When, counted by the thread in barriers; 0 is never.
    pub time: u32,
    /// Twice the operation, and 1 if it is atomic.
    pub code: u32,
}

impl Stamp {
    /// An access by an invocation of a workgroup, or by its subgroup together.
    pub fn new(group: u64, local: u32, time: u32, op: u32, mode: Mode) -> Self {
        let cooperative = if mode.cooperative { COOPERATIVE } else { 0 };
        let who = group << LOCAL_BITS | cooperative | u64::from(local);
        Stamp { who, time, code: op << 1 | u32::from(mode.atomic) }
    }

    pub fn group(self) -> u64 {
        self.who >> LOCAL_BITS
    }

    pub fn local(self) -> u32 {
        (self.who & (COOPERATIVE - 1)) as u32
    }

    pub fn op(self) -> u32 {
        self.code >> 1
    }

    fn is_atomic(self) -> bool {
        self.code & 1 != 0
    }

    fn is_cooperative(self) -> bool {
        self.who & COOPERATIVE != 0
    }
}

/// What orders an access after earlier ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fences {
    /// The time of the workgroup's last barrier for this memory.
    pub workgroup: u32,
    /// The time of the subgroup's last barrier of its own.
    pub subgroup: u32,
    /// The logarithm of the subgroup's size.
    pub shift: u32,
}

/// The last accesses to a granule of memory: a word, or half of one where the kernel has accesses of that width.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    pub write: Stamp,
    /// Two readers, of different workgroups or subgroups where there were such: then any write races with one of them.
    /// Else the last two that differ.
    reads: [Stamp; 2],
}

/// Whether nothing orders an access after an earlier one. `LOCAL` is workgroup memory, where there are no other workgroups.
#[inline(always)]
fn unordered<const LOCAL: bool>(old: Stamp, now: Stamp, fences: &Fences) -> bool {
    // What lanes did is in order, but not what a subgroup did: which lane it was is not known.
    let same = old.who == now.who && !now.is_cooperative();
    if old.time == 0 || same || old.is_atomic() && now.is_atomic() {
        return false;
    }
    if !LOCAL && old.group() != now.group() {
        return true;
    }
    old.time >= fences.workgroup
        && (old.time >= fences.subgroup || old.local() >> fences.shift != now.local() >> fences.shift)
}

/// Whether nothing orders a write after a read. A subgroup that stores a matrix has those that it loaded.
#[inline(always)]
fn unordered_read<const LOCAL: bool>(read: Stamp, now: Stamp, fences: &Fences) -> bool {
    let own = || read.group() == now.group() && read.local() >> fences.shift == now.local() >> fences.shift;
    unordered::<LOCAL>(read, now, fences) && !(read.is_cooperative() && now.is_cooperative() && own())
}

impl Cell {
    /// Notes a read; the write that it races with, if any.
    #[inline(always)]
    pub fn read<const LOCAL: bool>(&mut self, now: Stamp, fences: &Fences) -> Option<(Stamp, bool)> {
        let [first, second] = self.reads;
        if first.who == now.who && first.time != 0 {
            if !(now.is_atomic() && first.time >= fences.workgroup) {
                self.reads[0] = now;
            }
        } else {
            let apart = if LOCAL {
                let live = first.time >= fences.workgroup && second.time >= fences.workgroup;
                live && first.local() >> fences.shift != second.local() >> fences.shift
            } else {
                first.time != 0 && second.time != 0 && first.group() != second.group()
            };
            if !apart || (!now.is_atomic() && (first.is_atomic() || second.is_atomic())) {
                self.reads = [now, first];
            }
        }
        unordered::<LOCAL>(self.write, now, fences).then_some((self.write, true))
    }

    /// Notes a write; the access that it races with, if any, and whether that writes.
    #[inline(always)]
    pub fn write<const LOCAL: bool>(&mut self, now: Stamp, fences: &Fences) -> Option<(Stamp, bool)> {
        let [first, second] = self.reads;
        let race = if unordered::<LOCAL>(self.write, now, fences) {
            Some((self.write, true))
        } else if unordered_read::<LOCAL>(first, now, fences) {
            Some((first, false))
        } else if unordered_read::<LOCAL>(second, now, fences) {
            Some((second, false))
        } else {
            None
        };
        self.write = now;
        if !now.is_atomic() {
            // Who races with one of the readers races with this write as well.
            self.reads = [Stamp::default(); 2];
        }
        race
    }
}

/// Cells of a page.
const PAGE: u64 = 1024;

/// Cells of a page, once one of them is accessed.
type Cells = Option<Box<[Cell]>>;
type Page = Mutex<Cells>;

/// A range of an allocation in which a dispatch writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arena {
    pub identity: usize,
    pub bytes: std::ops::Range<u64>,
}

/// The shadow of storage memory, shared by threads: each page has a lock of its own.
pub(super) struct StorageShadow {
    /// For each arena.
    pages: Vec<(u64, Vec<Page>)>,
    /// Bytes of a cell.
    granule: u64,
}

impl StorageShadow {
    pub fn new(arenas: &[Arena], granule: u32) -> Self {
        let granule = u64::from(granule);
        let pages = arenas.iter().map(|arena| {
            // Pages start at whole words of the allocation.
            let start = arena.bytes.start & !3;
            let count = (arena.bytes.end - start).div_ceil(PAGE * granule);
            (start, (0..count).map(|_| Page::default()).collect())
        });
        StorageShadow { pages: pages.collect(), granule }
    }

    /// A view of an arena that keeps the last page locked.
    pub fn arena(&self, index: usize) -> Option<ArenaView<'_>> {
        let (start, pages) = self.pages.get(index)?;
        Some(ArenaView { start: *start, granule: self.granule, pages, locked: None })
    }
}

/// Access to the cells of an arena.
pub(super) struct ArenaView<'a> {
    start: u64,
    granule: u64,
    pages: &'a [Page],
    locked: Option<(u64, MutexGuard<'a, Cells>)>,
}

impl ArenaView<'_> {
    /// The cell of a byte of the allocation.
    pub fn cell(&mut self, byte: u64) -> Option<&mut Cell> {
        let cell = byte.checked_sub(self.start)? / self.granule;
        let page = cell / PAGE;
        if self.locked.as_ref().is_none_or(|(number, _)| *number != page) {
            // Never two locks at a time.
            self.locked = None;
            let guard = self.pages.get(page as usize)?.lock().unwrap_or_else(PoisonError::into_inner);
            self.locked = Some((page, guard));
        }
        let (_, guard) = self.locked.as_mut()?;
        let cells = guard.get_or_insert_with(|| vec![Cell::default(); PAGE as usize].into_boxed_slice());
        cells.get_mut((cell % PAGE) as usize)
    }
}
