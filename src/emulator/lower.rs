//! Lowers the naga module of a kernel to the emulator's [`Code`].
//!
//! Values become registers, a word for each scalar; reading a member or an element at a constant index is picking registers.
//! Pointers are resolved while lowering: each is known to be a run of registers, or an address in memory, at most plus a
//! register that holds an index. Functions are inlined. What is known while lowering is computed while lowering: branches on
//! constants keep one side.

mod cooperative;
mod function;
mod layout;
mod math;
mod memory;
mod registers;
#[cfg(test)]
mod tests;
mod uses;
mod value;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use naga::back::PipelineConstants;
use naga::back::pipeline_constants::process_overrides;
use naga::valid::{GlobalUse, ModuleInfo};
use naga::{
    AddressSpace, Binding, BuiltIn, Expression, Function, Handle, Literal, Module, ShaderStage, Span, TypeInner,
};

use self::function::{Body, Frame};
use self::layout::{Shape, Shapes};
use self::memory::{Pointer, Root};
use super::alu;
use super::code::{BinaryOp, Buffer, BufferBinding, Builtin, Code, Local, Memory, Op, Place, Reg, TernaryOp, UnaryOp};

/// What keeps a kernel from being emulated.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unsupported {
    /// In words.
    pub what: String,
    /// Where in the shader's text.
    pub span: Span,
}

type Result<T> = std::result::Result<T, Unsupported>;

/// Lowers an entry point, with values for the overrides that are named (or numbered, where they have an id).
pub(crate) fn lower(module: &Module, info: &ModuleInfo, entry: &str, overrides: &HashMap<String, f64>) -> Result<Code> {
    let values: PipelineConstants = overrides.iter().map(|(name, value)| (name.clone(), *value)).collect();
    let at = |what: String| Unsupported { what, span: Span::UNDEFINED };
    let (module, info) = process_overrides(module, info, Some((ShaderStage::Compute, entry)), &values)
        .map_err(|error| at(format!("overrides: {error}")))?;
    let index = module
        .entry_points
        .iter()
        .position(|point| point.stage == ShaderStage::Compute && point.name == entry)
        .ok_or_else(|| at(format!("no compute entry point is named '{entry}'")))?;
    let mut lowerer = Lowerer::new(&module, &info, index);
    lowerer.globals()?;
    lowerer.entry_point()?;
    Ok(lowerer.finish())
}

/// What a register is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Purpose {
    /// A value, written once; its register is used again when it is not needed any more.
    Temporary,
    /// One of a run that is indexed while running.
    Run,
    /// A constant or a builtin value.
    Fixed,
    /// A variable.
    Variable,
}

/// The registers of a value.
type Regs = Rc<[Reg]>;

/// What an expression is.
#[derive(Clone, Debug)]
enum Value {
    Regs(Regs),
    Pointer(Pointer),
    Texel(Texel),
}

/// Four floats that a texture's load gives. Memory is read when they are used, and no more of it: the floats beside one that is wanted
/// may be another's, or beyond the end.
#[derive(Clone, Debug)]
struct Texel {
    /// The floats of the texture.
    floats: Pointer,
    /// The number of the texel's first.
    first: Reg,
}

struct Lowerer<'a> {
    module: &'a Module,
    info: &'a ModuleInfo,
    entry: usize,
    shapes: Shapes<'a>,
    code: Code,
    purposes: Vec<Purpose>,
    /// Registers of constants, by their bits, and back.
    constants: HashMap<u32, Reg>,
    known: HashMap<Reg, u32>,
    /// Runs of registers with constants that are indexed while running.
    tables: HashMap<Vec<u32>, Reg>,
    globals: HashMap<Handle<naga::GlobalVariable>, Pointer>,
    /// Where the operation that is lowered stands.
    span: Span,
    /// The frames of control that are open.
    frames: Vec<Frame>,
    /// The function that is lowered.
    body: Body<'a>,
    /// Loads that need no copy, by function; the entry point has none of the handles.
    aliases: HashMap<Option<Handle<Function>>, Rc<HashSet<Handle<Expression>>>>,
}

impl<'a> Lowerer<'a> {
    fn new(module: &'a Module, info: &'a ModuleInfo, entry: usize) -> Self {
        Lowerer {
            module,
            info,
            entry,
            shapes: Shapes::new(module),
            code: Code::default(),
            purposes: Vec::new(),
            constants: HashMap::new(),
            known: HashMap::new(),
            tables: HashMap::new(),
            globals: HashMap::new(),
            span: Span::UNDEFINED,
            frames: Vec::new(),
            body: Body::new(&module.entry_points[entry].function, info.get_entry_point(entry)),
            aliases: HashMap::new(),
        }
    }

    fn unsupported<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(Unsupported { what: what.into(), span: self.span })
    }

    fn shape(&self, ty: Handle<naga::Type>) -> Result<Rc<Shape>> {
        self.shapes.of(ty).or_else(|what| self.unsupported(what))
    }

    /// A place for every variable of the module that the kernel uses.
    fn globals(&mut self) -> Result<()> {
        let used = self.info.get_entry_point(self.entry);
        for (handle, variable) in self.module.global_variables.iter() {
            if used[handle] == GlobalUse::empty() {
                continue;
            }
            self.span = self.module.global_variables.get_span(handle);
            let shape = self.shape(variable.ty)?;
            let memory = |memory, base| Root::Memory(Place { memory, base, index: None });
            let bound = variable.binding.map(|binding| (binding.group, binding.binding));
            let root = match (variable.space, bound) {
                (AddressSpace::Private, _) => Root::Registers { base: self.private(variable, &shape)?, index: None },
                (AddressSpace::WorkGroup, _) => {
                    let base = self.code.workgroup_bytes;
                    let end = shape.size.checked_next_multiple_of(16).and_then(|size| base.checked_add(size));
                    let Some(end) = end else { return self.unsupported("4 GiB of workgroup memory") };
                    self.code.workgroup_bytes = end;
                    let name = variable.name.clone().unwrap_or_default();
                    self.code.locals.push(Local { name, bytes: base..base + shape.size });
                    memory(Memory::Workgroup, base)
                }
                (AddressSpace::Uniform, Some((group, binding))) => {
                    memory(self.buffer(variable, &shape, BufferBinding::Uniform { group, binding }), 0)
                }
                (AddressSpace::Storage { access }, Some((group, binding))) => {
                    let writable = access.contains(naga::StorageAccess::STORE);
                    memory(self.buffer(variable, &shape, BufferBinding::Storage { group, binding, writable }), 0)
                }
                (AddressSpace::Handle, Some((group, binding))) => {
                    let binding = BufferBinding::Storage { group, binding, writable: false };
                    memory(self.buffer(variable, &shape, binding), 0)
                }
                (AddressSpace::Immediate, _) => memory(self.buffer(variable, &shape, BufferBinding::Immediate), 0),
                (space, _) => return self.unsupported(format!("variables in address space {space:?}")),
            };
            if shape.is_cooperative() && matches!(root, Root::Memory(_)) {
                return self.unsupported("a cooperative matrix as a variable in memory");
            }
            self.globals.insert(handle, Pointer::new(root, shape));
        }
        Ok(())
    }

    fn buffer(&mut self, variable: &naga::GlobalVariable, shape: &Shape, binding: BufferBinding) -> Memory {
        let name = variable.name.clone().unwrap_or_default();
        self.code.buffers.push(Buffer { name, binding, least: shape.size });
        Memory::Buffer(self.code.buffers.len() as u32 - 1)
    }

    /// The registers of a variable of the module that each invocation has its own of, with its initial value.
    fn private(&mut self, variable: &naga::GlobalVariable, shape: &Shape) -> Result<Reg> {
        let base = self.run(shape.words, Purpose::Variable);
        let values = match variable.init {
            Some(init) => self.constant_expression(init)?,
            None => self.zeros(shape.words),
        };
        for (to, &from) in (base..).zip(values.iter()) {
            self.op(Op::Assign { to, from });
        }
        Ok(base)
    }

    fn entry_point(&mut self) -> Result<()> {
        let point = &self.module.entry_points[self.entry];
        self.code.workgroup_size = point.workgroup_size;
        let mut arguments = Vec::new();
        for argument in &point.function.arguments {
            let mut regs = Vec::new();
            match (&argument.binding, &self.module.types[argument.ty].inner) {
                (Some(binding), _) => self.builtin(binding, &mut regs)?,
                (None, TypeInner::Struct { members, .. }) => {
                    for member in members {
                        match &member.binding {
                            Some(binding) => self.builtin(binding, &mut regs)?,
                            None => return self.unsupported("an input that is not a builtin value"),
                        }
                    }
                }
                (None, _) => return self.unsupported("an input that is not a builtin value"),
            }
            arguments.push(Value::Regs(regs.into()));
        }
        self.body.arguments = arguments;
        self.function(None)?;
        Ok(())
    }

    /// The registers of a builtin value.
    fn builtin(&mut self, binding: &Binding, regs: &mut Vec<Reg>) -> Result<()> {
        let Binding::BuiltIn(builtin) = *binding else {
            return self.unsupported("an input that is not a builtin value");
        };
        let vector = |of: fn(u8) -> Builtin| (0..3).map(of).collect::<Vec<_>>();
        let builtins = match builtin {
            BuiltIn::GlobalInvocationId => vector(Builtin::GlobalId),
            BuiltIn::LocalInvocationId => vector(Builtin::LocalId),
            BuiltIn::WorkGroupId => vector(Builtin::WorkgroupId),
            BuiltIn::NumWorkGroups => vector(Builtin::NumWorkgroups),
            BuiltIn::LocalInvocationIndex => vec![Builtin::LocalIndex],
            BuiltIn::SubgroupSize => vec![Builtin::SubgroupSize],
            BuiltIn::SubgroupInvocationId => vec![Builtin::SubgroupLane],
            BuiltIn::SubgroupId => vec![Builtin::SubgroupId],
            BuiltIn::NumSubgroups => vec![Builtin::NumSubgroups],
            BuiltIn::WorkGroupSize => {
                let size = self.code.workgroup_size;
                regs.extend(size.map(|side| self.constant(side)));
                return Ok(());
            }
            _ => return self.unsupported(format!("builtin value {builtin:?}")),
        };
        for builtin in builtins {
            let known = self.code.builtins.iter().find(|(_, known)| *known == builtin).map(|&(reg, _)| reg);
            let reg = known.unwrap_or_else(|| {
                let reg = self.run(1, Purpose::Fixed);
                self.code.builtins.push((reg, builtin));
                reg
            });
            regs.push(reg);
        }
        Ok(())
    }

    fn finish(mut self) -> Code {
        self.op(Op::End);
        registers::allocate(&mut self.code, &self.purposes);
        self.code
    }

    /// Registers that follow each other.
    fn run(&mut self, count: u32, purpose: Purpose) -> Reg {
        let base = self.purposes.len() as Reg;
        self.purposes.resize(self.purposes.len() + count as usize, purpose);
        base
    }

    fn temporary(&mut self) -> Reg {
        self.run(1, Purpose::Temporary)
    }

    fn constant(&mut self, bits: u32) -> Reg {
        if let Some(&reg) = self.constants.get(&bits) {
            return reg;
        }
        let reg = self.run(1, Purpose::Fixed);
        self.constants.insert(bits, reg);
        self.code.constants.push((reg, bits));
        self.known.insert(reg, bits);
        reg
    }

    fn float(&mut self, value: f32) -> Reg {
        self.constant(value.to_bits())
    }

    fn zeros(&mut self, count: u32) -> Regs {
        let zero = self.constant(0);
        vec![zero; count as usize].into()
    }

    fn op(&mut self, op: Op) {
        self.code.ops.push(op);
        self.code.spans.push(self.span);
    }

    fn copy(&mut self, from: Reg, to: Reg) {
        self.op(Op::Copy { to, from });
    }

    fn unary(&mut self, op: UnaryOp, a: Reg) -> Reg {
        if let Some(&a) = self.known.get(&a) {
            let mut to = [0];
            alu::unary(op, &mut to, &[a]);
            return self.constant(to[0]);
        }
        let to = self.temporary();
        self.op(Op::Unary { op, to, a });
        to
    }

    fn binary(&mut self, op: BinaryOp, a: Reg, b: Reg) -> Reg {
        use BinaryOp::*;
        if let (Some(&a), Some(&b)) = (self.known.get(&a), self.known.get(&b))
            // What is a finding is left to the machine.
            && match op {
                DivI | DivU | RemI | RemU => b != 0,
                Shl | ShrI | ShrU => b < 32,
                _ => true,
            }
        {
            let mut to = [0];
            alu::binary(op, &mut to, &[a], &[b]);
            return self.constant(to[0]);
        }
        let to = self.temporary();
        self.op(Op::Binary { op, to, a, b });
        to
    }

    fn ternary(&mut self, op: TernaryOp, a: Reg, b: Reg, c: Reg) -> Reg {
        if let (Some(&a), Some(&b), Some(&c)) = (self.known.get(&a), self.known.get(&b), self.known.get(&c)) {
            let mut to = [0];
            alu::ternary(op, &mut to, &[a], &[b], &[c]);
            return self.constant(to[0]);
        }
        let to = self.temporary();
        self.op(Op::Ternary { op, to, a, b, c });
        to
    }

    /// Bits of a literal, as a register holds them.
    fn literal(&mut self, literal: Literal) -> Result<Reg> {
        let bits = match literal {
            Literal::F32(value) => value.to_bits(),
            Literal::F16(value) => value.to_f32().to_bits(),
            Literal::U32(value) => value,
            Literal::I32(value) => value as u32,
            Literal::U16(value) => value.into(),
            Literal::I16(value) => i32::from(value) as u32,
            Literal::Bool(value) => u32::from(value),
            _ => return self.unsupported(format!("literal {literal:?}")),
        };
        Ok(self.constant(bits))
    }

    /// The registers of an expression of the module, all of whose parts are constants.
    fn constant_expression(&mut self, handle: Handle<Expression>) -> Result<Regs> {
        let module = self.module;
        Ok(match module.global_expressions[handle] {
            Expression::Literal(literal) => vec![self.literal(literal)?].into(),
            Expression::Constant(constant) => self.constant_expression(module.constants[constant].init)?,
            Expression::ZeroValue(ty) => {
                let words = self.shape(ty)?.words;
                self.zeros(words)
            }
            Expression::Compose { ref components, .. } => {
                let mut regs = Vec::new();
                for &component in components {
                    regs.extend_from_slice(&self.constant_expression(component)?);
                }
                regs.into()
            }
            Expression::Splat { size, value } => {
                let value = self.constant_expression(value)?[0];
                vec![value; size as usize].into()
            }
            ref other => return self.unsupported(format!("a constant that is not evaluated: {other:?}")),
        })
    }
}
