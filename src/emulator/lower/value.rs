//! Expressions, except functions of mathematics.

use std::rc::Rc;

use naga::proc::TypeResolution;
use naga::{BinaryOperator, Expression, Handle, RelationalFunction, Scalar, ScalarKind, TypeInner, UnaryOperator};

use super::layout::{Shape, ShapeKind};
use super::memory::{Pointer, Root};
use super::{Lowerer, Regs, Result, Texel, Value};
use crate::emulator::code::{BinaryOp, Length, Memory, Op, Place, Reg, TernaryOp, UnaryOp};
use crate::plan::TEXEL_ROW;

impl<'a> Lowerer<'a> {
    /// What an expression is that has been evaluated, or that can be at any time.
    pub(super) fn value(&mut self, handle: Handle<Expression>) -> Result<Value> {
        if let Some(value) = self.body.values.get(&handle) {
            return Ok(value.clone());
        }
        let value = self.expression(handle)?;
        self.body.values.insert(handle, value.clone());
        Ok(value)
    }

    pub(super) fn regs(&mut self, handle: Handle<Expression>) -> Result<Regs> {
        match self.value(handle)? {
            Value::Regs(regs) => Ok(regs),
            Value::Texel(texel) => {
                let numbers = (0..4).map(|number| self.constant(number)).collect::<Vec<_>>();
                let floats = numbers.into_iter().map(|number| self.float_of(&texel, number));
                let regs: Regs = floats.collect::<Result<Vec<_>>>()?.into();
                Ok(regs)
            }
            Value::Pointer(_) => self.unsupported("a pointer as a value"),
        }
    }

    /// One of the four floats of a texel.
    fn float_of(&mut self, texel: &Texel, number: Reg) -> Result<Reg> {
        let at = self.binary(BinaryOp::AddI, texel.first, number);
        let float = self.element(&texel.floats, at)?;
        Ok(self.load(&float, false)[0])
    }

    /// What a load from a texture gives: at x and y, the four floats of a texel.
    fn texel(&mut self, image: Handle<Expression>, coordinate: Handle<Expression>) -> Result<Value> {
        let (floats, coordinate) = (self.pointer(image)?, self.regs(coordinate)?);
        let [x, y] = coordinate[..] else { return self.unsupported("textures of other dimensions than two") };
        let column = self.temporary();
        self.op(Op::Bound { to: column, index: x, length: Length::Const(TEXEL_ROW) });
        let [row, four] = [TEXEL_ROW, 4].map(|number| self.constant(number));
        let above = self.binary(BinaryOp::MulI, y, row);
        let texel = self.binary(BinaryOp::AddI, above, column);
        Ok(Value::Texel(Texel { floats, first: self.binary(BinaryOp::MulI, texel, four) }))
    }

    /// The register of a scalar.
    pub(super) fn reg(&mut self, handle: Handle<Expression>) -> Result<Reg> {
        match self.regs(handle)?.first() {
            Some(&reg) => Ok(reg),
            None => self.unsupported("a value without components"),
        }
    }

    pub(super) fn pointer(&mut self, handle: Handle<Expression>) -> Result<Pointer> {
        match self.value(handle)? {
            Value::Pointer(pointer) => Ok(pointer),
            Value::Regs(_) | Value::Texel(_) => self.unsupported("a value as a pointer"),
        }
    }

    pub(super) fn inner(&self, handle: Handle<Expression>) -> &'a TypeInner {
        self.body.info[handle].ty.inner_with(&self.module.types)
    }

    /// The type of a value's components.
    pub(super) fn scalar(&self, handle: Handle<Expression>) -> Result<Scalar> {
        match self.inner(handle).scalar() {
            Some(scalar) => Ok(scalar),
            None => self.unsupported("an operation on what is no scalar, vector or matrix"),
        }
    }

    fn shape_of(&self, handle: Handle<Expression>) -> Result<Rc<Shape>> {
        match self.body.info[handle].ty {
            TypeResolution::Handle(ty) => self.shape(ty),
            TypeResolution::Value(ref inner) => {
                Shape::of_inner(inner, &self.shapes).or_else(|what| self.unsupported(what))
            }
        }
    }

    /// Evaluates an expression.
    pub(super) fn expression(&mut self, handle: Handle<Expression>) -> Result<Value> {
        let function = self.body.function;
        let module = self.module;
        let regs: Regs = match function.expressions[handle] {
            Expression::Literal(literal) => [self.literal(literal)?].into(),
            Expression::Constant(constant) => self.constant_expression(module.constants[constant].init)?,
            Expression::ZeroValue(ty) => {
                let words = self.shape(ty)?.words;
                self.zeros(words)
            }
            Expression::Compose { ref components, .. } => {
                let mut regs = Vec::new();
                for &component in components {
                    regs.extend_from_slice(&self.regs(component)?);
                }
                regs.into()
            }
            Expression::Access { base, index } => {
                let index = self.reg(index)?;
                return self.access(base, index);
            }
            Expression::AccessIndex { base, index } => match self.value(base)? {
                Value::Pointer(pointer) => return Ok(Value::Pointer(self.part(&pointer, index)?)),
                Value::Regs(regs) => self.part_of(&regs, base, index)?,
                Value::Texel(texel) => {
                    let index = self.constant(index);
                    [self.float_of(&texel, index)?].into()
                }
            },
            Expression::Splat { size, value } => vec![self.reg(value)?; size as usize].into(),
            Expression::Swizzle { size, vector, pattern } => {
                let vector = self.regs(vector)?;
                pattern[..size as usize].iter().map(|&component| vector[component as usize]).collect()
            }
            Expression::FunctionArgument(index) => match self.body.arguments.get(index as usize) {
                Some(argument) => return Ok(argument.clone()),
                None => return self.unsupported("an argument that was not given"),
            },
            Expression::GlobalVariable(variable) => match self.globals.get(&variable) {
                Some(pointer) => return Ok(Value::Pointer(pointer.clone())),
                None => return self.unsupported("a variable that the kernel does not use"),
            },
            Expression::LocalVariable(variable) => match self.body.locals.get(&variable) {
                Some(pointer) => return Ok(Value::Pointer(pointer.clone())),
                None => return self.unsupported("a variable before its function"),
            },
            Expression::Load { pointer } => {
                let pointer = self.pointer(pointer)?;
                self.load(&pointer, self.body.aliases.contains(&handle))
            }
            Expression::Unary { op, expr } => self.negation(op, expr)?,
            Expression::Binary { op, left, right } => self.operator(op, left, right)?,
            Expression::Select { condition, accept, reject } => self.select(condition, accept, reject)?,
            Expression::Relational { fun, argument } => [self.relational(fun, argument)?].into(),
            Expression::Math { fun, arg, arg1, arg2, arg3 } => self.math(fun, arg, [arg1, arg2, arg3])?,
            Expression::As { expr, kind, convert } => self.cast(expr, kind, convert)?,
            Expression::ArrayLength(pointer) => {
                let pointer = self.pointer(pointer)?;
                let ShapeKind::Sequence { stride, count: None, .. } = pointer.shape.kind else {
                    return self.unsupported("the length of what is no runtime array");
                };
                let Root::Memory(Place { memory: Memory::Buffer(buffer), base: offset, index: None }) = pointer.root
                else {
                    return self.unsupported("a runtime array outside of a buffer");
                };
                let to = self.temporary();
                self.op(Op::ArrayLength { to, buffer, offset, stride });
                [to].into()
            }
            Expression::CooperativeLoad { ref data, .. } => self.cooperative_load(handle, data)?,
            Expression::CooperativeMultiplyAdd { a, b, c } => self.cooperative_multiply_add([a, b, c])?,
            Expression::ImageLoad { image, coordinate, array_index: None, sample: None, level: None } => {
                return self.texel(image, coordinate);
            }
            Expression::ImageSample { .. } | Expression::ImageLoad { .. } | Expression::ImageQuery { .. } => {
                return self.unsupported("textures");
            }
            Expression::Derivative { .. } => return self.unsupported("derivatives"),
            Expression::Override(_) => return self.unsupported("an override without a value"),
            Expression::CallResult(_)
            | Expression::AtomicResult { .. }
            | Expression::WorkGroupUniformLoadResult { .. }
            | Expression::SubgroupBallotResult
            | Expression::SubgroupOperationResult { .. } => {
                return self.unsupported("a result before the statement that gives it");
            }
            Expression::RayQueryVertexPositions { .. }
            | Expression::RayQueryProceedResult
            | Expression::RayQueryGetIntersection { .. } => return self.unsupported("ray queries"),
        };
        Ok(Value::Regs(regs))
    }

    fn access(&mut self, base: Handle<Expression>, index: Reg) -> Result<Value> {
        match self.value(base)? {
            Value::Pointer(pointer) => Ok(Value::Pointer(self.element(&pointer, index)?)),
            Value::Texel(texel) => {
                let four = Length::Const(4);
                let number = self.temporary();
                self.op(Op::Bound { to: number, index, length: four });
                Ok(Value::Regs([self.float_of(&texel, number)?].into()))
            }
            Value::Regs(regs) => {
                let shape = self.shape_of(base)?;
                if let (Some(&index), ShapeKind::Sequence { count: Some(count), .. }) =
                    (self.known.get(&index), &shape.kind)
                    && index < *count
                {
                    return Ok(Value::Regs(self.part_of(&regs, base, index)?));
                }
                let run = Pointer::new(Root::Registers { base: self.contiguous(&regs), index: None }, shape);
                let element = self.element(&run, index)?;
                Ok(Value::Regs(self.load(&element, false)))
            }
        }
    }

    /// The registers of a member or an element of a value.
    fn part_of(&self, regs: &Regs, base: Handle<Expression>, index: u32) -> Result<Regs> {
        let shape = self.shape_of(base)?;
        let range = match &shape.kind {
            ShapeKind::Sequence { element, .. } => element.words * index..element.words * (index + 1),
            ShapeKind::Struct(members) => match members.get(index as usize) {
                Some(member) => member.words..member.words + member.shape.words,
                None => return self.unsupported("a member that the struct lacks"),
            },
            ShapeKind::Scalar { .. } | ShapeKind::Cooperative => return self.unsupported("a part of a scalar"),
        };
        match regs.get(range.start as usize..range.end as usize) {
            Some(regs) => Ok(regs.into()),
            None => self.unsupported("a part beyond the end"),
        }
    }

    fn negation(&mut self, op: UnaryOperator, expr: Handle<Expression>) -> Result<Regs> {
        let op = match (op, self.scalar(expr)?.kind) {
            (UnaryOperator::Negate, ScalarKind::Float) => UnaryOp::NegF,
            (UnaryOperator::Negate, _) => UnaryOp::NegI,
            (UnaryOperator::LogicalNot, _) => UnaryOp::NotBool,
            (UnaryOperator::BitwiseNot, _) => UnaryOp::NotI,
        };
        let (scalar, regs) = (self.scalar(expr)?, self.regs(expr)?);
        let negate = |&a: &Reg| {
            let value = self.unary(op, a);
            // The negative of an f16 is one.
            if op == UnaryOp::NegF { value } else { self.rounded(scalar, value) }
        };
        Ok(regs.iter().map(negate).collect())
    }

    fn operator(&mut self, op: BinaryOperator, left: Handle<Expression>, right: Handle<Expression>) -> Result<Regs> {
        let scalar = self.scalar(left)?;
        if [left, right].into_iter().any(|side| matches!(self.inner(side), TypeInner::CooperativeMatrix { .. })) {
            return self.cooperative_operator(op, left, right);
        }
        let (a, b) = (self.regs(left)?, self.regs(right)?);
        if op == BinaryOperator::Multiply {
            match (self.inner(left), self.inner(right)) {
                (TypeInner::Matrix { rows, .. }, TypeInner::Vector { .. } | TypeInner::Matrix { .. }) => {
                    let (rows, inner) = (*rows as usize, a.len() / *rows as usize);
                    let mut product = Vec::new();
                    for column in b.chunks(inner) {
                        for row in 0..rows {
                            let terms: Vec<Reg> = a.iter().skip(row).step_by(rows).copied().collect();
                            product.push(self.dot(scalar, &terms, column));
                        }
                    }
                    return Ok(product.into());
                }
                (TypeInner::Vector { .. }, TypeInner::Matrix { rows, .. }) => {
                    return Ok(b.chunks(*rows as usize).map(|column| self.dot(scalar, &a, column)).collect());
                }
                _ => {}
            }
        }
        let (op, swapped) = self.operation(op, scalar)?;
        let compute = |index| {
            let (a, mut b) = (component(&a, index), component(&b, index));
            if scalar.width == 2 && matches!(op, BinaryOp::Shl | BinaryOp::ShrI | BinaryOp::ShrU) {
                let most = self.constant(15);
                b = self.binary(BinaryOp::And, b, most);
            }
            let result = if swapped { self.binary(op, b, a) } else { self.binary(op, a, b) };
            match op {
                BinaryOp::AddF | BinaryOp::SubF | BinaryOp::MulF | BinaryOp::DivF | BinaryOp::RemF => {
                    self.rounded(scalar, result)
                }
                BinaryOp::AddI | BinaryOp::SubI | BinaryOp::MulI | BinaryOp::DivI | BinaryOp::Shl => {
                    self.rounded(scalar, result)
                }
                _ => result,
            }
        };
        Ok((0..a.len().max(b.len())).map(compute).collect())
    }

    /// The operation of an operator, and whether it takes its operands the other way round.
    pub(super) fn operation(&self, op: BinaryOperator, scalar: Scalar) -> Result<(BinaryOp, bool)> {
        use BinaryOperator as B;
        use ScalarKind::{Bool, Float, Sint, Uint};
        let swapped = matches!(op, B::Greater | B::GreaterEqual);
        let op = match (op, scalar.kind) {
            (B::Add, Float) => BinaryOp::AddF,
            (B::Subtract, Float) => BinaryOp::SubF,
            (B::Multiply, Float) => BinaryOp::MulF,
            (B::Divide, Float) => BinaryOp::DivF,
            (B::Modulo, Float) => BinaryOp::RemF,
            (B::Add, Sint | Uint) => BinaryOp::AddI,
            (B::Subtract, Sint | Uint) => BinaryOp::SubI,
            (B::Multiply, Sint | Uint) => BinaryOp::MulI,
            (B::Divide, Sint) => BinaryOp::DivI,
            (B::Divide, Uint) => BinaryOp::DivU,
            (B::Modulo, Sint) => BinaryOp::RemI,
            (B::Modulo, Uint) => BinaryOp::RemU,
            (B::Equal, Float) => BinaryOp::EqF,
            (B::Equal, Sint | Uint | Bool) => BinaryOp::EqI,
            (B::NotEqual, Float) => BinaryOp::NeF,
            (B::NotEqual, Sint | Uint | Bool) => BinaryOp::NeI,
            (B::Less | B::Greater, Float) => BinaryOp::LtF,
            (B::Less | B::Greater, Sint) => BinaryOp::LtI,
            (B::Less | B::Greater, Uint) => BinaryOp::LtU,
            (B::LessEqual | B::GreaterEqual, Float) => BinaryOp::LeF,
            (B::LessEqual | B::GreaterEqual, Sint) => BinaryOp::LeI,
            (B::LessEqual | B::GreaterEqual, Uint) => BinaryOp::LeU,
            (B::And, Sint | Uint | Bool) | (B::LogicalAnd, Bool) => BinaryOp::And,
            (B::InclusiveOr, Sint | Uint | Bool) | (B::LogicalOr, Bool) => BinaryOp::Or,
            (B::ExclusiveOr, Sint | Uint | Bool) => BinaryOp::Xor,
            (B::ShiftLeft, Sint | Uint) => BinaryOp::Shl,
            (B::ShiftRight, Sint) => BinaryOp::ShrI,
            (B::ShiftRight, Uint) => BinaryOp::ShrU,
            _ => return self.unsupported(format!("{op:?} of {:?}", scalar.kind)),
        };
        Ok((op, swapped))
    }

    fn select(
        &mut self,
        condition: Handle<Expression>,
        accept: Handle<Expression>,
        reject: Handle<Expression>,
    ) -> Result<Regs> {
        let (condition, accept, reject) = (self.regs(condition)?, self.regs(accept)?, self.regs(reject)?);
        let select = |index| {
            let [condition, accept, reject] = [&condition, &accept, &reject].map(|regs| component(regs, index));
            self.ternary(TernaryOp::Select, condition, reject, accept)
        };
        Ok((0..accept.len()).map(select).collect())
    }

    fn relational(&mut self, fun: RelationalFunction, argument: Handle<Expression>) -> Result<Reg> {
        let regs = self.regs(argument)?;
        let join = match fun {
            RelationalFunction::All => BinaryOp::And,
            RelationalFunction::Any => BinaryOp::Or,
            RelationalFunction::IsNan | RelationalFunction::IsInf => {
                return self.unsupported(format!("{fun:?}, which WGSL lacks"));
            }
        };
        let mut regs = regs.iter().copied();
        let first = match regs.next() {
            Some(first) => first,
            None => self.constant(u32::from(join == BinaryOp::And)),
        };
        Ok(regs.fold(first, |all, reg| self.binary(join, all, reg)))
    }

    fn cast(&mut self, expr: Handle<Expression>, kind: ScalarKind, convert: Option<u8>) -> Result<Regs> {
        let from = self.scalar(expr)?;
        let regs = self.regs(expr)?;
        let Some(width) = convert else {
            let to = Scalar { kind, width: from.width };
            return Ok(regs.iter().map(|&a| self.same_bits(from, to, a)).collect());
        };
        if !matches!((kind, width), (ScalarKind::Bool, _) | (_, 2 | 4)) {
            return self.unsupported(format!("{kind:?} of {width} bytes"));
        }
        let to = Scalar { kind, width };
        regs.iter().map(|&a| self.converted(from, to, a)).collect()
    }

    /// The value of another type with the same bits.
    fn same_bits(&mut self, from: Scalar, to: Scalar, a: Reg) -> Reg {
        match (from, to) {
            (from, to) if from == to => a,
            (Scalar::F16, _) => {
                let bits = self.unary(UnaryOp::FToF16Bits, a);
                self.rounded(to, bits)
            }
            (_, Scalar::F16) => {
                let bits = self.rounded(Scalar::U16, a);
                self.unary(UnaryOp::F16BitsToF, bits)
            }
            // Registers hold the bits.
            _ => self.rounded(to, a),
        }
    }

    fn converted(&mut self, from: Scalar, to: Scalar, a: Reg) -> Result<Reg> {
        use ScalarKind::{Bool, Float, Sint, Uint};
        Ok(match (from.kind, to.kind) {
            (Float, Float) if from.width > to.width => self.unary(UnaryOp::RoundF16, a),
            (Float, Float) | (Bool, Bool) => a,
            (Sint | Uint | Bool, Sint | Uint) => self.rounded(to, a),
            (Float, Sint | Uint) => {
                let mut a = a;
                if from.width == 2 {
                    // As wide as the source's finite values are.
                    let (least, most) = (self.float(-65504.0), self.float(65504.0));
                    a = self.binary(BinaryOp::MaxF, a, least);
                    a = self.binary(BinaryOp::MinF, a, most);
                }
                if to.width == 2 {
                    let (least, most) = if to.kind == Sint { (-32768.0, 32767.0) } else { (0.0, 65535.0) };
                    let (least, most) = (self.float(least), self.float(most));
                    a = self.binary(BinaryOp::MaxF, a, least);
                    a = self.binary(BinaryOp::MinF, a, most);
                }
                self.unary(if to.kind == Sint { UnaryOp::FToI } else { UnaryOp::FToU }, a)
            }
            (Sint, Float) => {
                let value = self.unary(UnaryOp::IToF, a);
                self.rounded(to, value)
            }
            (Uint | Bool, Float) => {
                let value = self.unary(UnaryOp::UToF, a);
                self.rounded(to, value)
            }
            (Float, Bool) => self.unary(UnaryOp::FToBool, a),
            (Sint | Uint, Bool) => self.unary(UnaryOp::ToBool, a),
            _ => return self.unsupported(format!("conversion of {:?} to {:?}", from.kind, to.kind)),
        })
    }

    /// A value computed with 32 bits, as its type has it: f16 is rounded, i16 and u16 wrap.
    pub(super) fn rounded(&mut self, scalar: Scalar, value: Reg) -> Reg {
        match scalar {
            Scalar::F16 => self.unary(UnaryOp::RoundF16, value),
            Scalar::I16 => {
                let (offset, count) = (self.constant(0), self.constant(16));
                self.ternary(TernaryOp::ExtractBitsI, value, offset, count)
            }
            Scalar::U16 => {
                let mask = self.constant(0xffff);
                self.binary(BinaryOp::And, value, mask)
            }
            _ => value,
        }
    }
}

/// A component of a vector, or the scalar that stands for all of them.
pub(super) fn component(regs: &Regs, index: usize) -> Reg {
    if regs.len() == 1 { regs[0] } else { regs[index] }
}
