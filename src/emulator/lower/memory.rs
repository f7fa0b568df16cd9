//! Pointers, loads and stores.

use std::rc::Rc;

use naga::{Scalar, ScalarKind};

use super::layout::{Shape, ShapeKind};
use super::{Lowerer, Purpose, Regs, Result};
use crate::emulator::code::{BinaryOp, Length, Memory, Op, Place, Reg, UnaryOp, Width};

/// Where a pointer points.
#[derive(Clone, Debug)]
pub(super) struct Pointer {
    pub root: Root,
    pub shape: Rc<Shape>,
    /// The end of the array in memory that it points to an element of.
    pub end: Option<Place>,
}

impl Pointer {
    pub fn new(root: Root, shape: Rc<Shape>) -> Self {
        Pointer { root, shape, end: None }
    }

    /// The end of the array in memory that it points to; of a runtime array beyond any memory.
    fn array_end(&self) -> Option<Place> {
        match (&self.root, &self.shape.kind) {
            (&Root::Memory(place), &ShapeKind::Sequence { count, stride, .. }) => {
                let bytes = count.map_or(u32::MAX, |count| count.saturating_mul(stride));
                Some(Place { base: place.base.saturating_add(bytes), ..place })
            }
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Root {
    /// A run of registers from `base` on, or that of `index` times its stride.
    Registers {
        base: Reg,
        index: Option<Index>,
    },
    Memory(Place),
}

/// A register chosen per lane: one of `count`, each `stride` registers after the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Index {
    reg: Reg,
    stride: u32,
    count: u32,
}

impl Lowerer<'_> {
    /// A pointer to a member, or to the element at a constant index.
    pub(super) fn part(&mut self, pointer: &Pointer, index: u32) -> Result<Pointer> {
        let (bytes, words, shape) = match &pointer.shape.kind {
            ShapeKind::Sequence { element, stride, count } => {
                if count.is_some_and(|count| index >= count) {
                    // The length is an override's, which naga does not hold the index against: left to the machine.
                    let index = self.constant(index);
                    return self.element(pointer, index);
                }
                // Only the last element of a binding may overflow, which is beyond any buffer.
                (stride.checked_mul(index), element.words.checked_mul(index), element)
            }
            ShapeKind::Struct(members) => match members.get(index as usize) {
                Some(member) => (Some(member.bytes), Some(member.words), &member.shape),
                None => return self.unsupported("a member that the struct lacks"),
            },
            ShapeKind::Scalar { .. } | ShapeKind::Cooperative => return self.unsupported("a part of a scalar"),
        };
        let shape = shape.clone();
        let root = match pointer.root {
            Root::Registers { base, index } => words.map(|words| Root::Registers { base: base + words, index }),
            Root::Memory(place) => {
                bytes.and_then(|bytes| place.base.checked_add(bytes)).map(|base| Root::Memory(Place { base, ..place }))
            }
        };
        match root {
            Some(root) => Ok(Pointer { root, shape, end: pointer.array_end() }),
            None => self.unsupported("an address beyond 4 GiB"),
        }
    }

    /// A pointer to the element that a register names.
    pub(super) fn element(&mut self, pointer: &Pointer, index: Reg) -> Result<Pointer> {
        let ShapeKind::Sequence { ref element, count, stride } = pointer.shape.kind else {
            return self.unsupported("an index into what has no elements");
        };
        if let (Some(&index), Some(count)) = (self.known.get(&index), count)
            && index < count
        {
            return self.part(pointer, index);
        }
        let length = match (count, &pointer.root) {
            (Some(count), _) => Length::Const(count),
            (None, &Root::Memory(Place { memory: Memory::Buffer(buffer), base, index: None })) => {
                Length::Runtime { buffer, offset: base, stride }
            }
            _ => return self.unsupported("an array without a length outside of a buffer"),
        };
        let bounded = self.temporary();
        self.op(Op::Bound { to: bounded, index, length });
        let root = match (&pointer.root, count) {
            (&Root::Memory(place), _) => {
                let bytes = self.scaled(bounded, stride);
                let index = match place.index {
                    Some(index) => self.binary(BinaryOp::AddI, index, bytes),
                    None => bytes,
                };
                Root::Memory(Place { index: Some(index), ..place })
            }
            (&Root::Registers { base, index: None }, Some(count)) => {
                let index = Index { reg: bounded, stride: element.words, count };
                Root::Registers { base, index: Some(index) }
            }
            (&Root::Registers { base, index: Some(outer) }, Some(count)) => {
                // Two indices are one that counts registers.
                let outer_words = self.scaled(outer.reg, outer.stride);
                let inner_words = self.scaled(bounded, element.words);
                let reg = self.binary(BinaryOp::AddI, outer_words, inner_words);
                let count = (outer.count - 1) * outer.stride + (count - 1) * element.words + 1;
                Root::Registers { base, index: Some(Index { reg, stride: 1, count }) }
            }
            (Root::Registers { .. }, None) => return self.unsupported("an array without a length in registers"),
        };
        Ok(Pointer { root, shape: element.clone(), end: pointer.array_end() })
    }

    fn scaled(&mut self, index: Reg, by: u32) -> Reg {
        if by == 1 {
            return index;
        }
        let by = self.constant(by);
        self.binary(BinaryOp::MulI, index, by)
    }

    /// The value behind a pointer; `alias` says that a variable's own registers will do.
    pub(super) fn load(&mut self, pointer: &Pointer, alias: bool) -> Regs {
        let words = pointer.shape.words;
        match pointer.root {
            Root::Registers { base, index: None } if alias => (base..base + words).collect(),
            Root::Registers { base, index: None } => {
                let copy = |from| {
                    let to = self.temporary();
                    self.copy(from, to);
                    to
                };
                (base..base + words).map(copy).collect()
            }
            Root::Registers { base, index: Some(index) } => {
                let pick = |base| {
                    let to = self.temporary();
                    self.op(Op::Pick { to, base, index: index.reg, stride: index.stride, count: index.count });
                    to
                };
                (base..base + words).map(pick).collect()
            }
            Root::Memory(place) if pointer.shape.is_atomic() => {
                let to = self.temporary();
                self.op(Op::AtomicLoad { to, place });
                [to].into()
            }
            Root::Memory(place) => {
                let leaves = pointer.shape.leaves();
                leaves.into_iter().map(|(at, scalar)| self.load_scalar(place, at, scalar)).collect()
            }
        }
    }

    fn load_scalar(&mut self, place: Place, at: u32, scalar: Scalar) -> Reg {
        let to = self.temporary();
        let width = width(scalar);
        self.op(Op::Load { to, place: Place { base: place.base + at, ..place }, width });
        match scalar.kind {
            ScalarKind::Float if scalar.width == 2 => self.unary(UnaryOp::F16BitsToF, to),
            ScalarKind::Sint => self.rounded(scalar, to),
            // Memory that nothing wrote may hold any word.
            ScalarKind::Bool => self.unary(UnaryOp::ToBool, to),
            _ => to,
        }
    }

    pub(super) fn store(&mut self, pointer: &Pointer, values: &Regs) {
        match pointer.root {
            Root::Registers { base, index: None } => self.assign(base, values),
            Root::Registers { base, index: Some(index) } => {
                let end = base + (index.count - 1) * index.stride + pointer.shape.words;
                let values = self.apart(base..end, values, |_, _| false);
                for (base, &from) in (base..).zip(values.iter()) {
                    let Index { reg, stride, count } = index;
                    self.op(Op::AssignAt { base, index: reg, stride, count, from });
                }
            }
            Root::Memory(place) if pointer.shape.is_atomic() => self.op(Op::AtomicStore { place, from: values[0] }),
            Root::Memory(place) => {
                for ((at, scalar), &value) in pointer.shape.leaves().into_iter().zip(values.iter()) {
                    let from = match scalar {
                        Scalar::F16 => self.unary(UnaryOp::FToF16Bits, value),
                        _ => value,
                    };
                    let width = width(scalar);
                    self.op(Op::Store { place: Place { base: place.base + at, ..place }, width, from });
                }
            }
        }
    }

    /// Assigns to a variable's registers.
    pub(super) fn assign(&mut self, base: Reg, values: &Regs) {
        let values = self.apart(base..base + values.len() as u32, values, |from, to| from == to);
        for (to, &from) in (base..).zip(values.iter()) {
            if to != from {
                self.op(Op::Assign { to, from });
            }
        }
    }

    /// The values, those copied that stand in registers which an assignment to `range` would overwrite before they are read:
    /// `v = v.yx`.
    fn apart(&mut self, range: std::ops::Range<Reg>, values: &Regs, stays: impl Fn(Reg, Reg) -> bool) -> Regs {
        if values.len() < 2 {
            return values.clone();
        }
        let copy = |(to, &from): (Reg, &Reg)| {
            if !range.contains(&from) || stays(from, to) {
                return from;
            }
            let to = self.temporary();
            self.copy(from, to);
            to
        };
        (range.start..).zip(values.iter()).map(copy).collect()
    }

    /// The values in registers that follow each other, from the one returned on.
    pub(super) fn contiguous(&mut self, values: &Regs) -> Reg {
        if let Some(table) = values.iter().map(|value| self.known.get(value).copied()).collect::<Option<Vec<u32>>>() {
            if let Some(&base) = self.tables.get(&table) {
                return base;
            }
            let base = self.run(table.len() as u32, Purpose::Fixed);
            self.code.constants.extend((base..).zip(table.iter().copied()));
            self.tables.insert(table, base);
            return base;
        }
        let base = values.first().copied().unwrap_or(0);
        let follows = |(reg, &value): (Reg, &Reg)| {
            reg == value && matches!(self.purposes[value as usize], Purpose::Run | Purpose::Variable)
        };
        if (base..).zip(values.iter()).all(follows) {
            return base;
        }
        let base = self.run(values.len() as u32, Purpose::Run);
        for (to, &from) in (base..).zip(values.iter()) {
            self.copy(from, to);
        }
        base
    }
}

/// The width of a scalar in memory.
fn width(scalar: Scalar) -> Width {
    if scalar.width == 2 { Width::Half } else { Width::Word }
}
