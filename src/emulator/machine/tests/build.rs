//! Building code by hand, and running it.

use std::sync::atomic::{AtomicU32, Ordering};

use naga::Span;

use crate::emulator::EmulatorOptions;
use crate::emulator::FindingKind;
use crate::emulator::code::*;
use crate::emulator::machine::{Initialised, Launch, Outcome, Window, run};

/// Code in the making. The span of an operation is its number and the next.
#[derive(Default)]
pub struct Build {
    pub code: Code,
    /// The open frames.
    frames: Vec<usize>,
}

/// Bytes beyond the base, in a buffer.
pub fn at(buffer: u32, index: Reg) -> Place {
    Place { memory: Memory::Buffer(buffer), base: 0, index: Some(index) }
}

/// A place in workgroup memory.
pub fn local(base: u32, index: Option<Reg>) -> Place {
    Place { memory: Memory::Workgroup, base, index }
}

impl Build {
    /// A kernel of a one-dimensional workgroup with so many buffers.
    pub fn new(invocations: u32, buffers: u32, workgroup_bytes: u32) -> Self {
        let buffer = |binding| Buffer {
            name: format!("buffer{binding}"),
            binding: BufferBinding::Storage { group: 0, binding, writable: true },
            least: 4,
        };
        let buffers = (0..buffers).map(buffer).collect();
        let code = Code { workgroup_size: [invocations, 1, 1], workgroup_bytes, buffers, ..Code::default() };
        Build { code, frames: Vec::new() }
    }

    pub fn register(&mut self) -> Reg {
        self.code.registers += 1;
        self.code.registers - 1
    }

    pub fn constant(&mut self, value: u32) -> Reg {
        let register = self.register();
        self.code.constants.push((register, value));
        register
    }

    pub fn builtin(&mut self, builtin: Builtin) -> Reg {
        let register = self.register();
        self.code.builtins.push((register, builtin));
        register
    }

    /// Appends an operation; its number.
    pub fn op(&mut self, op: Op) -> usize {
        let number = self.code.ops.len();
        self.code.ops.push(op);
        self.code.spans.push(span(number));
        number
    }

    pub fn unary(&mut self, op: UnaryOp, a: Reg) -> Reg {
        let to = self.register();
        self.op(Op::Unary { op, to, a });
        to
    }

    pub fn binary(&mut self, op: BinaryOp, a: Reg, b: Reg) -> Reg {
        let to = self.register();
        self.op(Op::Binary { op, to, a, b });
        to
    }

    /// `a op constant`
    pub fn with(&mut self, op: BinaryOp, a: Reg, b: u32) -> Reg {
        let b = self.constant(b);
        self.binary(op, a, b)
    }

    /// A new variable.
    pub fn variable(&mut self, value: u32) -> Reg {
        let (to, from) = (self.register(), self.constant(value));
        self.assign(to, from);
        to
    }

    pub fn assign(&mut self, to: Reg, from: Reg) {
        self.op(Op::Assign { to, from });
    }

    pub fn load(&mut self, place: Place) -> Reg {
        let to = self.register();
        self.op(Op::Load { to, place, width: Width::Word });
        to
    }

    pub fn store(&mut self, place: Place, from: Reg) -> usize {
        self.op(Op::Store { place, width: Width::Word, from })
    }

    pub fn barrier(&mut self) -> usize {
        self.op(Op::Barrier { workgroup: true, storage: false, subgroup: false })
    }

    pub fn if_(&mut self, condition: Reg) {
        let number = self.op(Op::If { condition, otherwise: 0 });
        self.frames.push(number);
    }

    pub fn else_(&mut self) {
        let number = self.op(Op::Else { end: 0 });
        let open = self.frames.pop().unwrap();
        if let Op::If { otherwise, .. } = &mut self.code.ops[open] {
            *otherwise = number as u32;
        }
        self.frames.push(number);
    }

    pub fn loop_(&mut self) {
        let number = self.op(Op::Loop { end: 0 });
        self.frames.push(number);
    }

    pub fn block(&mut self) {
        let number = self.op(Op::Block { end: 0 });
        self.frames.push(number);
    }

    /// Closes the innermost frame.
    pub fn end(&mut self) {
        let open = self.frames.pop().unwrap();
        let here = self.code.ops.len() as u32;
        let close = match &mut self.code.ops[open] {
            Op::If { otherwise: target, .. } | Op::Else { end: target } => {
                *target = here;
                Op::EndIf
            }
            Op::Loop { end } => {
                *end = here;
                Op::EndLoop { start: open as u32 }
            }
            Op::Block { end } => {
                *end = here;
                Op::EndBlock
            }
            other => panic!("{other:?} opens no frame"),
        };
        self.op(close);
    }

    pub fn leave(&mut self, depth: u32) {
        self.op(Op::Leave { depth });
    }

    pub fn continue_(&mut self, depth: u32) {
        self.op(Op::Continue { depth });
    }

    pub fn finish(mut self) -> Code {
        assert!(self.frames.is_empty());
        self.op(Op::End);
        self.code
    }
}

/// The span of an operation.
pub fn span(number: usize) -> Span {
    Span::new(number as u32, number as u32 + 1)
}

pub fn options(subgroup_size: u32) -> EmulatorOptions {
    EmulatorOptions { subgroup_size, threads: 1, step_budget: 100_000, ..EmulatorOptions::default() }
}

/// Runs a kernel on buffers of its own.
pub fn run_on(code: &Code, grid: [u32; 3], buffers: &mut [Vec<u32>], options: &EmulatorOptions) -> Outcome {
    let words = |buffer: &Vec<u32>| buffer.iter().map(|&word| AtomicU32::new(word)).collect::<Vec<_>>();
    let memory = buffers.iter().map(words).collect::<Vec<_>>();
    let windows = memory.iter().enumerate().map(|(identity, words)| window(words, identity, None));
    let windows = windows.collect::<Vec<_>>();
    let outcome = run(&Launch { code, grid, windows: &windows, options });
    for (buffer, words) in buffers.iter_mut().zip(&memory) {
        *buffer = words.iter().map(|word| word.load(Ordering::Relaxed)).collect();
    }
    outcome
}

/// The whole of an allocation.
pub fn window<'a>(words: &'a [AtomicU32], identity: usize, initialised: Option<&'a Initialised>) -> Window<'a> {
    Window { words, identity, offset: 0, bytes: words.len() as u64 * 4, initialised }
}

/// Kinds, operations and counts of what was found.
pub fn found(outcome: &Outcome) -> Vec<(FindingKind, usize, u64)> {
    let start = |span: Span| span.to_range().map_or(usize::MAX, |range| range.start);
    outcome.findings.iter().map(|raised| (raised.kind, start(raised.span), raised.count)).collect()
}
