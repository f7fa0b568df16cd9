//! Which loads of variables in function space may stand for the variable itself, and need no copy: those whose value is not
//! used after the next assignment to the variable.
//!
//! Statements are numbered in their order, which is the order in which an invocation runs them within a trip of a loop. A
//! value that a loop uses, but does not make, is used until the loop's end.

use std::collections::{HashMap, HashSet};

use naga::{AddressSpace, Block, Expression, Function, GatherMode, Handle, LocalVariable, Module, Statement};

/// Variables that one another's stores may change: pointers that a function is given are not told apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Root {
    Local(Handle<LocalVariable>),
    Foreign,
}

struct Walk<'a> {
    module: &'a Module,
    function: &'a Function,
    now: u32,
    /// When an expression was evaluated, and last used.
    made: Vec<u32>,
    used: Vec<(Handle<Expression>, u32)>,
    loops: Vec<(u32, u32)>,
    /// When a variable is assigned to, and whether by a call, which goes on to use its arguments.
    assigned: HashMap<Root, Vec<(u32, bool)>>,
}

/// The loads that need no copy.
pub(super) fn aliases(module: &Module, function: &Function) -> HashSet<Handle<Expression>> {
    let count = function.expressions.len();
    let mut walk = Walk {
        module,
        function,
        now: 0,
        made: vec![0; count],
        used: Vec::new(),
        loops: Vec::new(),
        assigned: HashMap::new(),
    };
    walk.block(&function.body);
    let mut last = vec![0; count];
    walk.loops.sort_unstable();
    for &(expression, at) in &walk.used {
        let made = walk.made[expression.index()];
        // The outermost loop around the use that does not contain the expression.
        let outer = walk.loops.iter().find(|&&(start, end)| made < start && start <= at && at <= end);
        let at = outer.map_or(at, |&(_, end)| end);
        let last = &mut last[expression.index()];
        *last = at.max(*last);
    }
    // Expressions that pass registers on are used as long as what they are part of.
    let mut handles: Vec<_> = function.expressions.iter().collect();
    handles.reverse();
    for (handle, expression) in &handles {
        if passes_on(expression) {
            operands(expression, |operand| {
                last[operand.index()] = last[operand.index()].max(last[handle.index()]);
            });
        }
    }
    let is_alias = |handle: Handle<Expression>, pointer: Handle<Expression>| {
        let Some(root) = walk.root(pointer) else { return false };
        let Some(assigned) = walk.assigned.get(&root) else { return true };
        let (made, last) = (walk.made[handle.index()], last[handle.index()]);
        let next = assigned.partition_point(|&(at, _)| at <= made);
        assigned[next..].first().is_none_or(|&(at, call)| at > last || at == last && !call)
    };
    let loads = handles.iter().filter_map(|&(handle, expression)| match *expression {
        Expression::Load { pointer } if is_alias(handle, pointer) => Some(handle),
        _ => None,
    });
    loads.collect()
}

/// Whether an expression's registers may be its operands'.
fn passes_on(expression: &Expression) -> bool {
    matches!(
        expression,
        Expression::Access { .. }
            | Expression::AccessIndex { .. }
            | Expression::Compose { .. }
            | Expression::Splat { .. }
            | Expression::Swizzle { .. }
            | Expression::As { .. }
            | Expression::Relational { .. }
            | Expression::Math { fun: naga::MathFunction::Abs | naga::MathFunction::Transpose, .. }
    )
}

fn operands(expression: &Expression, mut f: impl FnMut(Handle<Expression>)) {
    match *expression {
        Expression::Compose { ref components, .. } => components.iter().copied().for_each(f),
        Expression::Access { base, index } => [base, index].into_iter().for_each(f),
        Expression::AccessIndex { base, .. } => f(base),
        Expression::Splat { value, .. } => f(value),
        Expression::Swizzle { vector, .. } => f(vector),
        Expression::ImageLoad { coordinate, .. } => f(coordinate),
        Expression::Load { pointer } | Expression::ArrayLength(pointer) => f(pointer),
        Expression::Unary { expr, .. } | Expression::As { expr, .. } => f(expr),
        Expression::Binary { left, right, .. } => [left, right].into_iter().for_each(f),
        Expression::Select { condition, accept, reject } => [condition, accept, reject].into_iter().for_each(f),
        Expression::Relational { argument, .. } => f(argument),
        Expression::Math { arg, arg1, arg2, arg3, .. } => {
            [Some(arg), arg1, arg2, arg3].into_iter().flatten().for_each(f);
        }
        Expression::CooperativeLoad { ref data, .. } => [data.pointer, data.stride].into_iter().for_each(f),
        Expression::CooperativeMultiplyAdd { a, b, c } => [a, b, c].into_iter().for_each(f),
        // The others have no operands, or are not supported.
        _ => {}
    }
}

impl Walk<'_> {
    fn root(&self, pointer: Handle<Expression>) -> Option<Root> {
        match self.function.expressions[pointer] {
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => self.root(base),
            Expression::LocalVariable(variable) => Some(Root::Local(variable)),
            Expression::FunctionArgument(_) => Some(Root::Foreign),
            Expression::GlobalVariable(variable) => {
                let space = self.module.global_variables[variable].space;
                (space == AddressSpace::Private).then_some(Root::Foreign)
            }
            _ => None,
        }
    }

    fn touch(&mut self, expression: Handle<Expression>) {
        self.used.push((expression, self.now));
    }

    fn assign(&mut self, pointer: Handle<Expression>, call: bool) {
        if let Some(root) = self.root(pointer) {
            self.assigned.entry(root).or_default().push((self.now, call));
        }
    }

    fn block(&mut self, block: &Block) {
        for statement in block.iter() {
            self.now += 1;
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Statement) {
        match *statement {
            Statement::Emit(ref range) => {
                for handle in range.clone() {
                    self.made[handle.index()] = self.now;
                    operands(&self.function.expressions[handle], |operand| self.used.push((operand, self.now)));
                }
            }
            Statement::Block(ref block) => self.block(block),
            Statement::If { condition, ref accept, ref reject } => {
                self.touch(condition);
                self.block(accept);
                self.block(reject);
            }
            Statement::Switch { selector, ref cases } => {
                self.touch(selector);
                cases.iter().for_each(|case| self.block(&case.body));
            }
            Statement::Loop { ref body, ref continuing, break_if } => {
                let start = self.now;
                self.block(body);
                self.block(continuing);
                self.now += 1;
                break_if.into_iter().for_each(|condition| self.touch(condition));
                self.now += 1;
                self.loops.push((start, self.now));
            }
            Statement::Return { value } => value.into_iter().for_each(|value| self.touch(value)),
            Statement::Store { pointer, value } => {
                self.touch(value);
                self.assign(pointer, false);
            }
            Statement::Atomic { ref fun, value, result, .. } => {
                self.touch(value);
                if let naga::AtomicFunction::Exchange { compare: Some(compare) } = *fun {
                    self.touch(compare);
                }
                self.define(result);
            }
            Statement::WorkGroupUniformLoad { result, .. } => self.define(Some(result)),
            Statement::Call { ref arguments, result, .. } => {
                for &argument in arguments {
                    self.touch(argument);
                    self.assign(argument, true);
                }
                // It may change variables of the module as well.
                self.assigned.entry(Root::Foreign).or_default().push((self.now, true));
                self.define(result);
            }
            Statement::SubgroupBallot { result, predicate } => {
                predicate.into_iter().for_each(|predicate| self.touch(predicate));
                self.define(Some(result));
            }
            Statement::SubgroupGather { mode, argument, result } => {
                self.touch(argument);
                match mode {
                    GatherMode::BroadcastFirst | GatherMode::QuadSwap(_) => {}
                    GatherMode::Broadcast(lane)
                    | GatherMode::Shuffle(lane)
                    | GatherMode::ShuffleDown(lane)
                    | GatherMode::ShuffleUp(lane)
                    | GatherMode::ShuffleXor(lane)
                    | GatherMode::QuadBroadcast(lane) => self.touch(lane),
                }
                self.define(Some(result));
            }
            Statement::SubgroupCollectiveOperation { argument, result, .. } => {
                self.touch(argument);
                self.define(Some(result));
            }
            Statement::CooperativeStore { target, ref data } => {
                [target, data.pointer, data.stride].into_iter().for_each(|used| self.touch(used));
            }
            // The others use no values, or are not supported.
            _ => {}
        }
    }

    fn define(&mut self, result: Option<Handle<Expression>>) {
        if let Some(result) = result {
            self.made[result.index()] = self.now;
        }
    }
}
