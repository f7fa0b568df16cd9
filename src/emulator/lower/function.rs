//! Statements: control flow, calls, atomics, barriers, subgroup operations.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use naga::valid::FunctionInfo;
use naga::{
    AtomicFunction, Block, CollectiveOperation, Direction, Expression, Function, GatherMode, Handle, LocalVariable,
    ScalarKind, Statement, SubgroupOperation, SwitchCase, SwitchValue,
};

use super::memory::{Pointer, Root};
use super::{Lowerer, Purpose, Regs, Result, Value, uses};
use crate::emulator::code::{AtomicOp, BinaryOp, CollectOp, Gather, Op, Place, Reg, Scan, Target, UnaryOp};

/// The function that is lowered, at one of the places where it is called.
pub(super) struct Body<'a> {
    pub function: &'a Function,
    pub info: &'a FunctionInfo,
    pub arguments: Vec<Value>,
    pub values: HashMap<Handle<Expression>, Value>,
    pub locals: HashMap<Handle<LocalVariable>, Pointer>,
    /// Loads that need no copy.
    pub aliases: Rc<HashSet<Handle<Expression>>>,
    returns: Returns,
    returned: Option<Regs>,
}

/// What becomes of a returned value, and of the lanes that return.
#[derive(Clone, Copy)]
struct Returns {
    /// Registers of the result, where there is more than one return.
    variable: Option<Reg>,
    /// Depth of the block that lanes leave when they return early.
    depth: u32,
}

impl<'a> Body<'a> {
    pub fn new(function: &'a Function, info: &'a FunctionInfo) -> Self {
        Body {
            function,
            info,
            arguments: Vec::new(),
            values: HashMap::new(),
            locals: HashMap::new(),
            aliases: Rc::default(),
            returns: Returns { variable: None, depth: 0 },
            returned: None,
        }
    }
}

/// A frame of control that is open.
pub(super) struct Frame {
    kind: FrameKind,
    start: Target,
    /// Operations that go on at the frame's next operation of control.
    pending: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FrameKind {
    If,
    Loop,
    Switch,
    Function,
}

/// The returns of a block.
#[derive(Clone, Copy, Default)]
struct Returning {
    /// Some return is followed by statements that must not run.
    early: bool,
    /// Some return stands within a branch.
    branched: bool,
}

impl Returning {
    fn of(block: &Block, tail: bool, nested: bool) -> Self {
        let mut found = Returning::default();
        let mut merge = |other: Returning| {
            found.early |= other.early;
            found.branched |= other.branched;
        };
        for (index, statement) in block.iter().enumerate() {
            let tail = tail && index + 1 == block.len();
            match statement {
                Statement::Return { .. } => merge(Returning { early: !tail, branched: nested }),
                Statement::Block(block) => merge(Returning::of(block, tail, nested)),
                Statement::If { accept, reject, .. } => {
                    merge(Returning::of(accept, tail, true));
                    merge(Returning::of(reject, tail, true));
                }
                Statement::Switch { cases, .. } => {
                    cases.iter().for_each(|case| merge(Returning::of(&case.body, tail && !case.fall_through, true)));
                }
                Statement::Loop { body, .. } => merge(Returning::of(body, false, true)),
                _ => {}
            }
            if is_end(statement) {
                break;
            }
        }
        found
    }
}

/// Whether nothing after the statement runs.
fn is_end(statement: &Statement) -> bool {
    matches!(statement, Statement::Return { .. } | Statement::Break | Statement::Continue | Statement::Kill)
}

impl Lowerer<'_> {
    /// Lowers the body that is set; gives what it returns.
    pub(super) fn function(&mut self, handle: Option<Handle<Function>>) -> Result<Option<Regs>> {
        let function = self.body.function;
        let module = self.module;
        let aliases = self.aliases.entry(handle).or_insert_with(|| Rc::new(uses::aliases(module, function)));
        self.body.aliases = aliases.clone();
        for (local, variable) in function.local_variables.iter() {
            self.span = function.local_variables.get_span(local);
            let shape = self.shape(variable.ty)?;
            let base = self.run(shape.words, Purpose::Variable);
            let values = match variable.init {
                Some(init) => self.regs(init)?,
                None => self.zeros(shape.words),
            };
            self.assign(base, &values);
            self.body.locals.insert(local, Pointer::new(Root::Registers { base, index: None }, shape));
        }
        let returning = Returning::of(&function.body, true, false);
        let words = match &function.result {
            Some(result) => self.shape(result.ty)?.words,
            None => 0,
        };
        let variable = returning.branched.then(|| self.run(words, Purpose::Variable));
        self.body.returns = Returns { variable, depth: self.frames.len() as u32 };
        if returning.early {
            self.open(FrameKind::Function, Op::Block { end: 0 });
        }
        self.block(&function.body, true)?;
        if returning.early {
            self.close(Op::EndBlock);
        }
        Ok(match variable {
            Some(base) => Some((base..base + words).collect()),
            None => self.body.returned.take(),
        })
    }

    /// Opens a frame; the operation's target is set when the frame is closed.
    fn open(&mut self, kind: FrameKind, op: Op) {
        let start = self.code.ops.len() as Target;
        self.op(op);
        self.frames.push(Frame { kind, start, pending: Vec::new() });
    }

    /// Emits an operation of control of the innermost frame, at which what waits for it goes on.
    fn meet(&mut self, op: Op) {
        let here = self.code.ops.len() as Target;
        let pending = self.frames.last_mut().map(|frame| std::mem::take(&mut frame.pending)).unwrap_or_default();
        for index in pending {
            match &mut self.code.ops[index] {
                Op::If { otherwise: target, .. } | Op::Else { end: target } => *target = here,
                _ => {}
            }
        }
        self.op(op);
    }

    fn close(&mut self, op: Op) {
        let here = self.code.ops.len() as Target;
        self.meet(op);
        if let Some(frame) = self.frames.pop() {
            match &mut self.code.ops[frame.start as usize] {
                Op::Loop { end } | Op::Block { end } => *end = here,
                _ => {}
            }
        }
    }

    /// The innermost frame of one of the kinds.
    fn depth_of(&self, kinds: &[FrameKind]) -> Result<u32> {
        match self.frames.iter().rposition(|frame| kinds.contains(&frame.kind)) {
            Some(depth) => Ok(depth as u32),
            None => self.unsupported("a break or continue outside of a loop"),
        }
    }

    /// Lowers a block; `tail` says that the function ends after it.
    fn block(&mut self, block: &Block, tail: bool) -> Result<()> {
        let count = block.len();
        for (index, (statement, &span)) in block.span_iter().enumerate() {
            self.span = span;
            self.statement(statement, tail && index + 1 == count)?;
            if is_end(statement) {
                break;
            }
        }
        Ok(())
    }

    fn statement(&mut self, statement: &Statement, tail: bool) -> Result<()> {
        match *statement {
            Statement::Emit(ref range) => {
                for handle in range.clone() {
                    self.span = self.body.function.expressions.get_span(handle);
                    let value = self.expression(handle)?;
                    self.body.values.insert(handle, value);
                }
            }
            Statement::Block(ref block) => self.block(block, tail)?,
            Statement::If { condition, ref accept, ref reject } => {
                let condition = self.reg(condition)?;
                self.branch(
                    condition,
                    |this| this.block(accept, tail),
                    !reject.is_empty(),
                    |this| this.block(reject, tail),
                )?;
            }
            Statement::Switch { selector, ref cases } => self.switch(selector, cases, tail)?,
            Statement::Loop { ref body, ref continuing, break_if } => {
                let span = self.span;
                self.open(FrameKind::Loop, Op::Loop { end: 0 });
                let start = self.frames.last().map_or(0, |frame| frame.start);
                self.block(body, false)?;
                self.meet(Op::Continuing);
                self.block(continuing, false)?;
                // The trips are the loop's own: where they are too many, it is what counts as endless.
                self.span = span;
                if let Some(condition) = break_if {
                    let condition = self.reg(condition)?;
                    self.op(Op::BreakIf { condition });
                }
                self.close(Op::EndLoop { start });
            }
            Statement::Break => {
                let depth = self.depth_of(&[FrameKind::Loop, FrameKind::Switch])?;
                self.op(Op::Leave { depth });
            }
            Statement::Continue => {
                let depth = self.depth_of(&[FrameKind::Loop])?;
                self.op(Op::Continue { depth });
            }
            Statement::Return { value } => self.returns(value, tail)?,
            Statement::ControlBarrier(flags) => self.barrier(flags),
            Statement::Store { pointer, value } => {
                let pointer = self.pointer(pointer)?;
                let values = self.regs(value)?;
                self.store(&pointer, &values);
            }
            Statement::Call { function, ref arguments, result } => self.call(function, arguments, result)?,
            Statement::Atomic { pointer, ref fun, value, result } => self.atomic(pointer, fun, value, result)?,
            Statement::WorkGroupUniformLoad { pointer, result } => {
                let pointer = self.pointer(pointer)?;
                self.barrier(naga::Barrier::WORK_GROUP);
                let values = self.load(&pointer, false);
                values.iter().for_each(|&value| self.op(Op::ExpectUniform { value }));
                self.barrier(naga::Barrier::WORK_GROUP);
                self.body.values.insert(result, Value::Regs(values));
            }
            Statement::SubgroupBallot { result, predicate } => {
                let predicate = predicate.map(|predicate| self.reg(predicate)).transpose()?;
                let to = [(); 4].map(|()| self.temporary());
                self.op(Op::Ballot { to, predicate });
                self.body.values.insert(result, Value::Regs(to.into()));
            }
            Statement::SubgroupGather { mode, argument, result } => self.gather(mode, argument, result)?,
            Statement::SubgroupCollectiveOperation { op, collective_op, argument, result } => {
                self.collect(op, collective_op, argument, result)?;
            }
            Statement::CooperativeStore { target, ref data } => self.cooperative_store(target, data)?,
            Statement::ImageStore { .. } | Statement::ImageAtomic { .. } => return self.unsupported("textures"),
            // An invocation's accesses are in order anyway, and where nobody waits, nobody's are ordered after another's.
            Statement::MemoryBarrier(_) => {}
            Statement::Kill => return self.unsupported("discard"),
            Statement::RayQuery { .. } | Statement::RayPipelineFunction(_) => return self.unsupported("ray queries"),
        }
        Ok(())
    }

    /// Runs one side in the lanes where the condition holds, the other in the others; only one where the condition is known.
    fn branch(
        &mut self,
        condition: Reg,
        accept: impl FnOnce(&mut Self) -> Result<()>,
        otherwise: bool,
        reject: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        match self.known.get(&condition) {
            Some(0) if otherwise => return reject(self),
            Some(0) => return Ok(()),
            Some(_) => return accept(self),
            None => {}
        }
        let start = self.code.ops.len();
        self.open(FrameKind::If, Op::If { condition, otherwise: 0 });
        if let Some(frame) = self.frames.last_mut() {
            frame.pending.push(start);
        }
        accept(self)?;
        if otherwise {
            let here = self.code.ops.len();
            self.meet(Op::Else { end: 0 });
            if let Some(frame) = self.frames.last_mut() {
                frame.pending.push(here);
            }
            reject(self)?;
        }
        self.close(Op::EndIf);
        Ok(())
    }

    /// A switch is a block of ifs: lanes go into the cases that they match, and from one that falls through into the next.
    fn switch(&mut self, selector: Handle<Expression>, cases: &[SwitchCase], tail: bool) -> Result<()> {
        let selector = self.reg(selector)?;
        let mut matches = Vec::with_capacity(cases.len());
        let mut any = self.constant(0);
        for case in cases {
            let value = match case.value {
                SwitchValue::I32(value) => value as u32,
                SwitchValue::U32(value) => value,
                SwitchValue::Default => {
                    matches.push(None);
                    continue;
                }
            };
            let value = self.constant(value);
            let equal = self.binary(BinaryOp::EqI, selector, value);
            any = self.either(any, equal);
            matches.push(Some(equal));
        }
        let other = self.unary(UnaryOp::NotBool, any);
        self.open(FrameKind::Switch, Op::Block { end: 0 });
        let mut before = None;
        for (case, condition) in cases.iter().zip(matches) {
            let mut condition = condition.unwrap_or(other);
            if let Some(before) = before {
                condition = self.either(before, condition);
            }
            let tail = tail && !case.fall_through;
            self.branch(condition, |this| this.block(&case.body, tail), false, |_| Ok(()))?;
            before = case.fall_through.then_some(condition);
        }
        self.close(Op::EndBlock);
        Ok(())
    }

    fn either(&mut self, a: Reg, b: Reg) -> Reg {
        match self.known.get(&a) {
            Some(0) => b,
            _ => self.binary(BinaryOp::Or, a, b),
        }
    }

    fn returns(&mut self, value: Option<Handle<Expression>>, tail: bool) -> Result<()> {
        let Returns { variable, depth } = self.body.returns;
        if let Some(value) = value {
            let values = self.regs(value)?;
            match variable {
                Some(base) => self.assign(base, &values),
                // The caller may change the variable that the value is in before it uses the value.
                None => {
                    let own = |reg: &Reg| match self.purposes[*reg as usize] {
                        Purpose::Variable => {
                            let to = self.temporary();
                            self.copy(*reg, to);
                            to
                        }
                        _ => *reg,
                    };
                    self.body.returned = Some(values.iter().map(own).collect());
                }
            }
        }
        if !tail {
            self.op(Op::Leave { depth });
        }
        Ok(())
    }

    fn call(
        &mut self,
        handle: Handle<Function>,
        arguments: &[Handle<Expression>],
        result: Option<Handle<Expression>>,
    ) -> Result<()> {
        let arguments = arguments.iter().map(|&argument| self.value(argument)).collect::<Result<_>>()?;
        let mut body = Body::new(&self.module.functions[handle], &self.info[handle]);
        body.arguments = arguments;
        let caller = std::mem::replace(&mut self.body, body);
        let returned = self.function(Some(handle))?;
        self.body = caller;
        if let Some(result) = result {
            match returned {
                Some(values) => self.body.values.insert(result, Value::Regs(values)),
                None => return self.unsupported("a function that never returns"),
            };
        }
        Ok(())
    }

    fn barrier(&mut self, flags: naga::Barrier) {
        self.op(Op::Barrier {
            workgroup: flags.contains(naga::Barrier::WORK_GROUP),
            storage: flags.contains(naga::Barrier::STORAGE),
            subgroup: flags.contains(naga::Barrier::SUB_GROUP),
        });
    }

    fn atomic(
        &mut self,
        pointer: Handle<Expression>,
        fun: &AtomicFunction,
        value: Handle<Expression>,
        result: Option<Handle<Expression>>,
    ) -> Result<()> {
        let place = self.atomic_place(pointer)?;
        let kind = self.scalar(value)?.kind;
        let mut value = self.reg(value)?;
        let op = match (*fun, kind) {
            (AtomicFunction::Add, ScalarKind::Float) => AtomicOp::AddF,
            (AtomicFunction::Subtract, ScalarKind::Float) => {
                value = self.unary(UnaryOp::NegF, value);
                AtomicOp::AddF
            }
            (AtomicFunction::Exchange { compare: None }, _) => AtomicOp::Exchange,
            // naga validates no other.
            (_, ScalarKind::Float) => return self.unsupported(format!("atomic {fun:?} of f32")),
            (AtomicFunction::Add, _) => AtomicOp::Add,
            (AtomicFunction::Subtract, _) => AtomicOp::Sub,
            (AtomicFunction::And, _) => AtomicOp::And,
            (AtomicFunction::ExclusiveOr, _) => AtomicOp::Xor,
            (AtomicFunction::InclusiveOr, _) => AtomicOp::Or,
            (AtomicFunction::Min, ScalarKind::Sint) => AtomicOp::MinI,
            (AtomicFunction::Min, _) => AtomicOp::MinU,
            (AtomicFunction::Max, ScalarKind::Sint) => AtomicOp::MaxI,
            (AtomicFunction::Max, _) => AtomicOp::MaxU,
            (AtomicFunction::Exchange { compare: Some(compare) }, _) => {
                let compare = self.reg(compare)?;
                let (to, exchanged) = (self.temporary(), self.temporary());
                self.op(Op::CompareExchange { to, exchanged, place, compare, value });
                if let Some(result) = result {
                    self.body.values.insert(result, Value::Regs([to, exchanged].into()));
                }
                return Ok(());
            }
        };
        let to = result.map(|result| {
            let to = self.temporary();
            self.body.values.insert(result, Value::Regs([to].into()));
            to
        });
        self.op(Op::Atomic { op, to, place, value });
        Ok(())
    }

    fn atomic_place(&mut self, pointer: Handle<Expression>) -> Result<Place> {
        match self.pointer(pointer)?.root {
            Root::Memory(place) => Ok(place),
            Root::Registers { .. } => self.unsupported("an atomic in function space"),
        }
    }

    fn gather(&mut self, mode: GatherMode, argument: Handle<Expression>, result: Handle<Expression>) -> Result<()> {
        let from_lane = match mode {
            GatherMode::BroadcastFirst => Gather::First,
            GatherMode::Broadcast(lane) => Gather::Broadcast(self.reg(lane)?),
            GatherMode::Shuffle(lane) => Gather::Shuffle(self.reg(lane)?),
            GatherMode::ShuffleDown(lane) => Gather::Down(self.reg(lane)?),
            GatherMode::ShuffleUp(lane) => Gather::Up(self.reg(lane)?),
            GatherMode::ShuffleXor(lane) => Gather::Xor(self.reg(lane)?),
            GatherMode::QuadBroadcast(lane) => Gather::QuadBroadcast(self.reg(lane)?),
            GatherMode::QuadSwap(Direction::X) => Gather::QuadSwap(1),
            GatherMode::QuadSwap(Direction::Y) => Gather::QuadSwap(2),
            GatherMode::QuadSwap(Direction::Diagonal) => Gather::QuadSwap(3),
        };
        let arguments = self.regs(argument)?;
        let gather = |&from: &Reg| {
            let to = self.temporary();
            self.op(Op::Gather { from_lane, to, from });
            to
        };
        let values = arguments.iter().map(gather).collect();
        self.body.values.insert(result, Value::Regs(values));
        Ok(())
    }

    fn collect(
        &mut self,
        op: SubgroupOperation,
        scan: CollectiveOperation,
        argument: Handle<Expression>,
        result: Handle<Expression>,
    ) -> Result<()> {
        let scalar = self.scalar(argument)?;
        let op = match (op, scalar.kind) {
            (SubgroupOperation::All, _) => CollectOp::All,
            (SubgroupOperation::Any, _) => CollectOp::Any,
            (SubgroupOperation::Add, ScalarKind::Float) => CollectOp::AddF,
            (SubgroupOperation::Add, _) => CollectOp::AddI,
            (SubgroupOperation::Mul, ScalarKind::Float) => CollectOp::MulF,
            (SubgroupOperation::Mul, _) => CollectOp::MulI,
            (SubgroupOperation::Min, ScalarKind::Float) => CollectOp::MinF,
            (SubgroupOperation::Min, ScalarKind::Sint) => CollectOp::MinI,
            (SubgroupOperation::Min, _) => CollectOp::MinU,
            (SubgroupOperation::Max, ScalarKind::Float) => CollectOp::MaxF,
            (SubgroupOperation::Max, ScalarKind::Sint) => CollectOp::MaxI,
            (SubgroupOperation::Max, _) => CollectOp::MaxU,
            (SubgroupOperation::And, _) => CollectOp::And,
            (SubgroupOperation::Or, _) => CollectOp::Or,
            (SubgroupOperation::Xor, _) => CollectOp::Xor,
        };
        let scan = match scan {
            CollectiveOperation::Reduce => Scan::Reduce,
            CollectiveOperation::InclusiveScan => Scan::Inclusive,
            CollectiveOperation::ExclusiveScan => Scan::Exclusive,
        };
        let arguments = self.regs(argument)?;
        let collect = |&from: &Reg| {
            let to = self.temporary();
            self.op(Op::Collect { op, scan, to, from });
            self.rounded(scalar, to)
        };
        let values = arguments.iter().map(collect).collect();
        self.body.values.insert(result, Value::Regs(values));
        Ok(())
    }
}
