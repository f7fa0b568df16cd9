//! The emulator's code: a kernel as a flat list of operations on registers.
//!
//! A register holds one 32-bit word for each lane of a subgroup. Vectors, matrices, structs and arrays in function space are
//! runs of registers; a static access is just another register. Functions are inlined, and pointers resolved to a
//! [`Place`] or a run of registers, while naga's module is lowered. Values in registers:
//!
//! - f32, i32, u32: their bits; bool: 0 or 1; i16, u16: the bits of the i32 or u32 of the same value;
//! - f16: the bits of the f32 of the same value; [`UnaryOp::RoundF16`] follows each operation that may leave f16 (correct: f32
//!   has more than twice the digits of f16, so rounding twice gives what rounding once does for + - * / and sqrt).
//!
//! Arithmetic runs on all lanes, active or not: what an inactive lane holds in a temporary is never read. Writes to variables
//! ([`Op::Assign`], [`Op::AssignAt`]) and to memory, and every finding, are masked by the active lanes.

use std::ops::Range;

use naga::Span;

/// The number of a register.
pub(crate) type Reg = u32;

/// An index into [`Code::ops`].
pub(crate) type Target = u32;

/// A kernel, ready to run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Code {
    /// The operations; the last is [`Op::End`].
    pub ops: Vec<Op>,
    /// Where in the shader's text each operation stands.
    pub spans: Vec<Span>,
    /// Registers of a subgroup.
    pub registers: u32,
    /// Registers that hold one value in all lanes from the start, and are never written.
    pub constants: Vec<(Reg, u32)>,
    /// Registers that hold builtin values from the start.
    pub builtins: Vec<(Reg, Builtin)>,
    /// Sides of a workgroup, in invocations.
    pub workgroup_size: [u32; 3],
    /// Bytes of workgroup memory. Every variable starts at a multiple of 16.
    pub workgroup_bytes: u32,
    /// The variables in it.
    pub locals: Vec<Local>,
    /// Memory that is bound from outside.
    pub buffers: Vec<Buffer>,
}

impl Code {
    /// What a finding calls a byte: that of the variable in whose memory `inside` lies, though the byte may be beyond it.
    pub fn address(&self, memory: Memory, inside: u32, byte: u64) -> (String, u64) {
        match memory {
            Memory::Workgroup => match self.locals.iter().find(|local| local.bytes.contains(&inside)) {
                Some(local) => (local.name.clone(), byte - u64::from(local.bytes.start)),
                None => ("workgroup memory".into(), byte),
            },
            Memory::Buffer(buffer) => (self.buffers[buffer as usize].name.clone(), byte),
        }
    }
}

/// A value that the machine provides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builtin {
    /// Component of `local_invocation_id`.
    LocalId(u8),
    /// Component of `global_invocation_id`.
    GlobalId(u8),
    /// Component of `workgroup_id`.
    WorkgroupId(u8),
    /// Component of `num_workgroups`.
    NumWorkgroups(u8),
    /// `local_invocation_index`
    LocalIndex,
    /// `subgroup_size`
    SubgroupSize,
    /// `subgroup_invocation_id`
    SubgroupLane,
    /// `subgroup_id`
    SubgroupId,
    /// `num_subgroups`
    NumSubgroups,
}

/// A variable in workgroup memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Local {
    /// Its name, for findings.
    pub name: String,
    /// Its bytes.
    pub bytes: Range<u32>,
}

/// Memory that is bound from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Buffer {
    /// The variable's name, for findings.
    pub name: String,
    /// How it is bound.
    pub binding: BufferBinding,
    /// Bytes that it needs at least: its static size, a runtime array counting one element.
    pub least: u32,
}

/// How memory is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BufferBinding {
    /// `var<storage>`
    Storage { group: u32, binding: u32, writable: bool },
    /// `var<uniform>`
    Uniform { group: u32, binding: u32 },
    /// `var<immediate>`
    Immediate,
}

/// A memory object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Memory {
    /// An index into [`Code::buffers`].
    Buffer(u32),
    /// The workgroup's memory.
    Workgroup,
}

/// An address: `base` bytes, plus what the register `index` holds in bytes, into a memory object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub memory: Memory,
    pub base: u32,
    pub index: Option<Reg>,
}

/// How many elements an array has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// So many.
    Const(u32),
    /// As many as fit into the bound buffer from a byte offset on.
    Runtime { buffer: u32, offset: u32, stride: u32 },
}

/// Bytes of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// Two bytes; the register holds them in its low half, zero above.
    Half,
    /// Four bytes.
    Word,
}

impl Width {
    pub fn bytes(self) -> u32 {
        match self {
            Width::Half => 2,
            Width::Word => 4,
        }
    }
}

/// The lanes of the narrowest subgroup: code does not know how many there are.
pub(crate) const LEAST_LANES: u32 = 4;

/// The elements of the largest cooperative matrix.
pub(crate) const MOST_ELEMENTS: usize = 256;

/// A cooperative matrix, which a subgroup holds together. Element `row * columns + column` is in lane `element % lanes` of
/// register `element / lanes`; there are as many registers as the narrowest subgroup needs, and a wider one leaves some alone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Matrix {
    pub registers: Box<[Reg]>,
    pub rows: u32,
    pub columns: u32,
}

/// Where a cooperative matrix lies in memory. The registers hold the same in all lanes: see [`Op::ExpectSame`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tile {
    /// Its first element.
    pub place: Place,
    /// The end of the array that it is in; what would be beyond is not accessed.
    pub end: Place,
    /// How many steps from the start of a row to that of the next, or of a column where those are contiguous.
    pub stride: Reg,
    /// Bytes of a step.
    pub step: u32,
    pub row_major: bool,
    pub width: Width,
}

/// An operation. Control is structured: `If`, `Loop` and `Block` open frames, numbered by their depth from 0; lanes that
/// leave a frame early wait at its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// `to = from`, a temporary.
    Copy { to: Reg, from: Reg },
    /// `to = from` in the active lanes: a variable in function space.
    Assign { to: Reg, from: Reg },
    /// `to = (base + index * stride)`: a register chosen per lane. `index` has passed a [`Op::Bound`].
    Pick { to: Reg, base: Reg, index: Reg, stride: u32, count: u32 },
    /// `(base + index * stride) = from` in the active lanes.
    AssignAt { base: Reg, index: Reg, stride: u32, count: u32, from: Reg },
    /// An operation with one operand.
    Unary { op: UnaryOp, to: Reg, a: Reg },
    /// An operation with two.
    Binary { op: BinaryOp, to: Reg, a: Reg, b: Reg },
    /// An operation with three.
    Ternary { op: TernaryOp, to: Reg, a: Reg, b: Reg, c: Reg },
    /// `to = min(index, length - 1)`, unsigned: where `index` is beyond, an active lane has an out-of-bounds finding, and robust
    /// access goes on with the last element. With no element `to` is `u32::MAX`, at which loads give 0 and stores do nothing.
    /// The register `to` counts elements, not bytes.
    Bound { to: Reg, index: Reg, length: Length },
    /// The length of a runtime array.
    ArrayLength { to: Reg, buffer: u32, offset: u32, stride: u32 },
    /// Reads memory in the active lanes.
    Load { to: Reg, place: Place, width: Width },
    /// Writes memory in the active lanes.
    Store { place: Place, width: Width, from: Reg },
    /// Loads from memory without race or initialisation checks, as an atomic.
    AtomicLoad { to: Reg, place: Place },
    /// Stores to memory as an atomic.
    AtomicStore { place: Place, from: Reg },
    /// Changes memory, lane after lane; `to` is the value before.
    Atomic { op: AtomicOp, to: Option<Reg>, place: Place, value: Reg },
    /// Stores `value` where the value before equals `compare`; `to` is the value before, `exchanged` whether it was equal.
    CompareExchange { to: Reg, exchanged: Reg, place: Place, compare: Reg, value: Reg },

    /// Goes on in the lanes where `condition` holds, then at `otherwise` (an `Else` or `EndIf`) in the others.
    If { condition: Reg, otherwise: Target },
    /// Ends the first branch of an `If`; goes on in the other lanes, or at `end` (the `EndIf`) if there are none.
    Else { end: Target },
    /// Joins the lanes again.
    EndIf,
    /// Opens a loop; `end` is its `EndLoop`.
    Loop { end: Target },
    /// Lanes that continued join again: what follows is the loop's continuing part.
    Continuing,
    /// In the continuing part: lanes where `condition` holds leave the loop.
    BreakIf { condition: Reg },
    /// Starts the next trip, after `start` (the `Loop`), if lanes are left; else the loop ends. A trip counts as a step.
    EndLoop { start: Target },
    /// Opens a frame that lanes can leave: a switch, or the body of a function.
    Block { end: Target },
    /// Closes it.
    EndBlock,
    /// The active lanes wait at the end of the frame of this depth.
    Leave { depth: u32 },
    /// The active lanes wait at the `Continuing` of the loop of this depth.
    Continue { depth: u32 },
    /// The end of the kernel.
    End,

    /// A barrier: of control for the workgroup (or only the subgroup), of memory for the spaces named.
    Barrier { workgroup: bool, storage: bool, subgroup: bool },
    /// `workgroupUniformLoad` between two barriers, which are operations of their own: `to` must be the same in all lanes.
    ExpectUniform { value: Reg },
    /// A subgroup ballot of a predicate, or of the active lanes: four words.
    Ballot { to: [Reg; 4], predicate: Option<Reg> },
    /// A subgroup reduction or scan.
    Collect { op: CollectOp, scan: Scan, to: Reg, from: Reg },
    /// A value from another lane.
    Gather { from_lane: Gather, to: Reg, from: Reg },
    /// A value of which the subgroup needs one: it must be the same in all active lanes.
    ExpectSame { value: Reg },

    /// Reads a cooperative matrix from memory, by all lanes of the subgroup.
    CooperativeLoad { to: Matrix, tile: Box<Tile> },
    /// Writes one to memory.
    CooperativeStore { tile: Box<Tile>, from: Matrix },
    /// `to = a * b + c` of the operands `a`, `b`, `c`. Sums are of f32, from `c` on in the order of `a`'s columns, each product
    /// and each sum rounded (products of f16 are exact); `half` rounds them to f16 in the end.
    CooperativeMultiplyAdd { to: Matrix, operands: Box<[Matrix; 3]>, half: bool },
    /// An operation on each element, rounded to f16 if `half`. A scalar stands as a matrix, all of whose registers are its own.
    CooperativeBinary { op: BinaryOp, to: Matrix, operands: Box<[Matrix; 2]>, half: bool },
}

impl Matrix {
    /// How many elements it has.
    pub fn elements(&self) -> usize {
        (self.rows * self.columns) as usize
    }
}

/// Operations with one operand; the letter at the end is the type of the operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(crate) enum UnaryOp {
    NegF, NegI, NotBool, NotI, AbsF, AbsI, SignF, SignI,
    FloorF, CeilF, RoundF, TruncF, SqrtF, InverseSqrtF, ExpF, Exp2F, LogF, Log2F,
    SinF, CosF, TanF, AsinF, AcosF, AtanF, SinhF, CoshF, TanhF, AsinhF, AcoshF, AtanhF,
    QuantizeF16, RoundF16, F16BitsToF, FToF16Bits,
    FToI, FToU, IToF, UToF, ToBool, FToBool,
    CountOneBits, CountLeadingZeros, CountTrailingZeros, ReverseBits, FirstLeadingBitI, FirstLeadingBitU, FirstTrailingBit,
    FrexpFract, FrexpExp,
}

/// Operations with two operands. Comparisons give 0 or 1; shifts take `b` modulo 32, and a finding where it is not below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(crate) enum BinaryOp {
    AddF, SubF, MulF, DivF, RemF, MinF, MaxF, PowF, Atan2F, StepF, LdexpF,
    AddI, SubI, MulI, DivI, DivU, RemI, RemU, MinI, MaxI, MinU, MaxU,
    And, Or, Xor, Shl, ShrI, ShrU,
    EqF, NeF, LtF, LeF, EqI, NeI, LtI, LeI, LtU, LeU,
    Dot4I8, Dot4U8,
}

/// Operations with three operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TernaryOp {
    /// a * b + c, rounded once.
    FmaF,
    /// c where a is true, else b: `select(b, c, a)`.
    Select,
    /// b bits offset, c bits count, of a.
    ExtractBitsI,
    ExtractBitsU,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(crate) enum AtomicOp { Add, AddF, Sub, And, Or, Xor, MinI, MinU, MaxI, MaxU, Exchange }

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(crate) enum CollectOp { All, Any, AddI, AddF, MulI, MulF, MinI, MinU, MinF, MaxI, MaxU, MaxF, And, Or, Xor }

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(crate) enum Scan { Reduce, Inclusive, Exclusive }

/// Which lane a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gather {
    /// The first active one.
    First,
    /// This one, the same for all.
    Broadcast(Reg),
    /// This one.
    Shuffle(Reg),
    /// The own number minus, plus, exclusive or.
    Up(Reg),
    Down(Reg),
    Xor(Reg),
    /// This one of the own quad.
    QuadBroadcast(Reg),
    /// The own number in the quad exclusive or 1, 2, 3.
    QuadSwap(u8),
}
