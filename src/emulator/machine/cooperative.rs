//! Cooperative matrices. The subgroup does each operation as a whole; where lanes lack, that is found, and the operation goes
//! on as if they were there.

use super::access::NONE;
use super::shadow::Mode;
use super::workgroup::{MOST_LANES, Machine, Subgroup};
use crate::emulator::code::{BinaryOp, MOST_ELEMENTS, Matrix, Place, Tile, UnaryOp, Width};
use crate::emulator::{FindingKind, alu};

const READ: Mode = Mode { write: false, atomic: false, cooperative: true };
const WRITE: Mode = Mode { write: true, ..READ };

/// The elements of a matrix, row after row.
type Elements = [u32; MOST_ELEMENTS];

impl<const CHECKED: bool> Machine<'_, CHECKED> {
    pub fn cooperative_load(&mut self, subgroup: &mut Subgroup, at: usize, to: &Matrix, tile: &Tile) {
        self.expect_all_lanes(subgroup, at);
        let (memory, half) = (tile.place.memory, tile.width == Width::Half);
        let mut elements = [0; MOST_ELEMENTS];
        for first in (0..to.elements()).step_by(self.lanes) {
            self.cooperative_access(subgroup, at, (to, tile), first, READ);
            let mut words = [0; MOST_LANES];
            self.read(memory, tile.width, &mut words[..self.lanes]);
            for (lane, word) in words[..self.lanes].iter().enumerate() {
                elements[element(to, tile, first + lane)] = *word;
            }
        }
        if half {
            each(UnaryOp::F16BitsToF, &mut elements);
        }
        self.set_elements(subgroup, to, &elements);
    }

    pub fn cooperative_store(&mut self, subgroup: &mut Subgroup, at: usize, from: &Matrix, tile: &Tile) {
        self.expect_all_lanes(subgroup, at);
        let mut elements = self.elements(subgroup, from);
        if tile.width == Width::Half {
            each(UnaryOp::FToF16Bits, &mut elements);
        }
        for first in (0..from.elements()).step_by(self.lanes) {
            self.cooperative_access(subgroup, at, (from, tile), first, WRITE);
            let mut words = [0; MOST_LANES];
            for (lane, word) in words[..self.lanes].iter_mut().enumerate() {
                *word = elements[element(from, tile, first + lane)];
            }
            self.write(tile.place.memory, tile.width, &words[..self.lanes]);
        }
    }

    pub fn cooperative_multiply_add(
        &mut self,
        subgroup: &mut Subgroup,
        at: usize,
        (to, half): (&Matrix, bool),
        [a, b, c]: &[Matrix; 3],
    ) {
        self.expect_all_lanes(subgroup, at);
        let floats = |matrix| self.elements(subgroup, matrix).map(f32::from_bits);
        let (left, right, mut sums) = (floats(a), floats(b), floats(c));
        let columns = b.columns as usize;
        for (sums, left) in sums[..c.elements()].chunks_exact_mut(columns).zip(left.chunks_exact(a.columns as usize)) {
            for (left, right) in left.iter().zip(right.chunks_exact(columns)) {
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum += left * right;
                }
            }
        }
        let mut sums = sums.map(f32::to_bits);
        if half {
            each(UnaryOp::RoundF16, &mut sums);
        }
        self.set_elements(subgroup, to, &sums);
    }

    pub fn cooperative_binary(
        &mut self,
        subgroup: &mut Subgroup,
        op: BinaryOp,
        (to, half): (&Matrix, bool),
        operands: &[Matrix; 2],
    ) {
        let [a, b] = operands.each_ref().map(|matrix| self.elements(subgroup, matrix));
        let mut result = [0; MOST_ELEMENTS];
        let there = ..to.elements();
        alu::binary(op, &mut result[there], &a[there], &b[there]);
        if half {
            each(UnaryOp::RoundF16, &mut result);
        }
        self.set_elements(subgroup, to, &result);
    }

    /// All lanes of the subgroup must be there and active.
    fn expect_all_lanes(&mut self, subgroup: &Subgroup, at: usize) {
        let (active, lanes) = (subgroup.count, self.lanes);
        if CHECKED && active != lanes as u64 {
            let message = || format!("{active} of the {lanes} lanes of a subgroup are at what takes all of them");
            self.raise_in(subgroup, FindingKind::InactiveLane, at, || (message(), None));
        }
    }

    fn elements(&self, subgroup: &Subgroup, matrix: &Matrix) -> Elements {
        let mut elements = [0; MOST_ELEMENTS];
        let rows = elements[..matrix.elements()].chunks_exact_mut(self.lanes);
        for (elements, &register) in rows.zip(&matrix.registers) {
            elements.copy_from_slice(&subgroup.registers[self.row(register)]);
        }
        elements
    }

    fn set_elements(&self, subgroup: &mut Subgroup, matrix: &Matrix, elements: &Elements) {
        let rows = elements[..matrix.elements()].chunks_exact(self.lanes);
        for (elements, &register) in rows.zip(&matrix.registers) {
            subgroup.registers[self.row(register)].copy_from_slice(elements);
        }
    }

    /// Works out the addresses of as many elements as there are lanes, in the order of memory, checks and counts them.
    fn cooperative_access(
        &mut self,
        subgroup: &Subgroup,
        at: usize,
        (matrix, tile): (&Matrix, &Tile),
        first: usize,
        mode: Mode,
    ) {
        let (memory, width) = (tile.place.memory, tile.width.bytes());
        let given = |register| u64::from(subgroup.registers[self.row(register).start + first_lane(subgroup)]);
        let address = |place: &Place| u64::from(place.base) + place.index.map_or(0, given);
        let (start, stride) = (address(&tile.place), given(tile.stride) * u64::from(tile.step));
        let end = address(&tile.end).min(self.size(memory).into());
        let (line, code) = (contiguous(matrix, tile), self.code);
        for lane in 0..self.lanes {
            let number = first + lane;
            let byte = start + (number / line) as u64 * stride + (number % line) as u64 * u64::from(width);
            let inside = byte + u64::from(width) <= end;
            // Within the memory, whose size has 32 bits.
            self.addresses[lane] = if inside { byte as u32 } else { NONE };
            if CHECKED && !inside {
                let element = element(matrix, tile, number) as u32;
                let (row, column) = (element / matrix.columns, element % matrix.columns);
                let message = || format!("row {row}, column {column} of a matrix is beyond its array");
                let address = || code.address(memory, tile.place.base, byte);
                let invocation = (subgroup.number << self.shift) + lane as u32;
                self.raise(FindingKind::OutOfBounds, at as u32, invocation, || (message(), Some(address())));
            }
        }
        self.count(memory, width);
        self.check(subgroup, at, memory, (width, mode));
    }
}

fn first_lane(subgroup: &Subgroup) -> usize {
    subgroup.active.trailing_zeros() as usize
}

/// How many elements follow each other in memory.
fn contiguous(matrix: &Matrix, tile: &Tile) -> usize {
    (if tile.row_major { matrix.columns } else { matrix.rows }) as usize
}

/// The number in its matrix of the element with a number in the order of memory.
fn element(matrix: &Matrix, tile: &Tile, number: usize) -> usize {
    if tile.row_major {
        return number;
    }
    let (rows, columns) = (matrix.rows as usize, matrix.columns as usize);
    number % rows * columns + number / rows
}

fn each(op: UnaryOp, elements: &mut Elements) {
    let values = *elements;
    alu::unary(op, elements, &values);
}
