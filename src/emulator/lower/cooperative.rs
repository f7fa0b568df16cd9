//! Cooperative matrices: loads, stores, products, and operators on each element.

use naga::{BinaryOperator, CooperativeData, Expression, Handle, Scalar, ScalarKind, TypeInner};

use super::layout::ShapeKind;
use super::memory::Root;
use super::{Lowerer, Regs, Result};
use crate::emulator::code::{BufferBinding, LEAST_LANES, Matrix, Memory, Op, Place, Reg, Tile, Width};

/// What a matrix is like.
#[derive(Clone, Copy)]
struct Kind {
    rows: u32,
    columns: u32,
    scalar: Scalar,
}

impl Kind {
    fn registers(self) -> u32 {
        self.rows * self.columns / LEAST_LANES
    }

    fn is_half(self) -> bool {
        self.scalar.width == 2
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} x {} of f{}", self.rows, self.columns, 8 * self.scalar.width)
    }
}

impl Lowerer<'_> {
    pub(super) fn cooperative_load(&mut self, result: Handle<Expression>, data: &CooperativeData) -> Result<Regs> {
        let kind = self.cooperative_kind(result)?;
        let tile = self.tile(data, kind)?;
        Ok(self.new_matrix(kind, |to| Op::CooperativeLoad { to, tile }))
    }

    pub(super) fn cooperative_store(&mut self, from: Handle<Expression>, data: &CooperativeData) -> Result<()> {
        let kind = self.cooperative_kind(from)?;
        let tile = self.tile(data, kind)?;
        let from = self.matrix(from, kind)?;
        self.op(Op::CooperativeStore { tile, from });
        Ok(())
    }

    pub(super) fn cooperative_multiply_add(&mut self, [a, b, c]: [Handle<Expression>; 3]) -> Result<Regs> {
        let [left, right, sum] = [self.cooperative_kind(a)?, self.cooperative_kind(b)?, self.cooperative_kind(c)?];
        // naga checks the roles alone, and no device multiplies matrices of two types.
        let fits = (left.columns, left.rows, right.columns) == (right.rows, sum.rows, sum.columns);
        if !fits || left.scalar != right.scalar {
            return self.unsupported(format!("cooperative matrices, {left} times {right} plus {sum}"));
        }
        let operands = Box::new([self.matrix(a, left)?, self.matrix(b, right)?, self.matrix(c, sum)?]);
        let half = sum.is_half();
        Ok(self.new_matrix(sum, |to| Op::CooperativeMultiplyAdd { to, operands, half }))
    }

    /// An operator between two matrices, or between a matrix and a scalar.
    pub(super) fn cooperative_operator(
        &mut self,
        op: BinaryOperator,
        left: Handle<Expression>,
        right: Handle<Expression>,
    ) -> Result<Regs> {
        let is_scalar = |this: &Self, side| matches!(this.inner(side), TypeInner::Scalar(_));
        let kind = self.cooperative_kind(if is_scalar(self, left) { right } else { left })?;
        let (op, _) = self.operation(op, kind.scalar)?;
        let mut operand = |side| {
            if !is_scalar(self, side) {
                return self.matrix(side, kind);
            }
            let scalar = self.reg(side)?;
            self.expect_same(scalar);
            Ok(matrix_of(kind, (0..kind.registers()).map(|_| scalar)))
        };
        let operands = Box::new([operand(left)?, operand(right)?]);
        let half = kind.is_half();
        Ok(self.new_matrix(kind, |to| Op::CooperativeBinary { op, to, operands, half }))
    }

    fn cooperative_kind(&self, handle: Handle<Expression>) -> Result<Kind> {
        match *self.inner(handle) {
            TypeInner::CooperativeMatrix { columns, rows, scalar, .. } => {
                Ok(Kind { rows: rows as u32, columns: columns as u32, scalar })
            }
            _ => self.unsupported("an operation on what is no cooperative matrix"),
        }
    }

    fn matrix(&mut self, handle: Handle<Expression>, kind: Kind) -> Result<Matrix> {
        Ok(matrix_of(kind, self.regs(handle)?.iter().copied()))
    }

    /// Emits an operation that makes a matrix; the registers that it is in.
    fn new_matrix(&mut self, kind: Kind, op: impl FnOnce(Matrix) -> Op) -> Regs {
        let registers: Regs = (0..kind.registers()).map(|_| self.temporary()).collect();
        self.op(op(matrix_of(kind, registers.iter().copied())));
        registers
    }

    /// Where a matrix lies in memory.
    fn tile(&mut self, data: &CooperativeData, kind: Kind) -> Result<Box<Tile>> {
        let pointer = self.pointer(data.pointer)?;
        // SPIR-V counts the stride in elements of the array, which may be vectors.
        let step = pointer.shape.size;
        match &pointer.shape.kind {
            ShapeKind::Scalar { .. } => {}
            ShapeKind::Sequence { element, .. }
                if matches!(element.kind, ShapeKind::Scalar { .. }) && step.is_power_of_two() => {}
            _ => return self.unsupported("a cooperative matrix in an array of no scalars nor vectors of 2 or 4"),
        }
        let place = match pointer.root {
            Root::Memory(place) if self.is_shared(place.memory) => place,
            _ => return self.unsupported("a cooperative matrix outside of storage and workgroup memory"),
        };
        if !matches!(
            self.inner(data.stride),
            TypeInner::Scalar(Scalar { kind: ScalarKind::Sint | ScalarKind::Uint, .. })
        ) {
            return self.unsupported("a stride that is no whole number");
        }
        let stride = self.reg(data.stride)?;
        place.index.into_iter().chain([stride]).for_each(|register| self.expect_same(register));
        // What is no element of an array ends where it does itself.
        let end = pointer.end.unwrap_or(Place { base: place.base.saturating_add(step), ..place });
        let width = if kind.is_half() { Width::Half } else { Width::Word };
        Ok(Box::new(Tile { place, end, stride, step, row_major: data.row_major, width }))
    }

    /// Whether the invocations of a workgroup, or of all, share the memory and may write to it.
    fn is_shared(&self, memory: Memory) -> bool {
        match memory {
            Memory::Workgroup => true,
            Memory::Buffer(buffer) => {
                matches!(self.code.buffers[buffer as usize].binding, BufferBinding::Storage { .. })
            }
        }
    }

    fn expect_same(&mut self, value: Reg) {
        if !self.known.contains_key(&value) {
            self.op(Op::ExpectSame { value });
        }
    }
}

fn matrix_of(kind: Kind, registers: impl Iterator<Item = Reg>) -> Matrix {
    Matrix { registers: registers.collect(), rows: kind.rows, columns: kind.columns }
}
