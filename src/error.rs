//! The one error type of the crate: every variant names what failed and carries the numbers.

use crate::layout::DType;

/// The result of everything in the crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call was refused or failed. Nothing in the crate panics on bad input, lack of memory or a lost device.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The shapes of the operands do not fit each other or the operation.
    #[error("{op}: {detail}")]
    Shape {
        /// The operation, as its options struct is called in lower case (`matmul`).
        op: &'static str,
        /// What does not fit, with the shapes.
        detail: String,
    },
    /// An operand has the wrong number of dimensions.
    #[error("{op}: {operand} has {found} dimensions, {expected} wanted")]
    Rank {
        /// The operation.
        op: &'static str,
        /// The operand, in the operation's own words (`weight`).
        operand: &'static str,
        /// What the operation takes, in words (`4`, `at least 2`).
        expected: &'static str,
        /// The number of dimensions of the operand.
        found: usize,
    },
    /// The number of operands is wrong.
    #[error("{op}: {found} {what} given, {expected} wanted")]
    Count {
        /// The operation.
        op: &'static str,
        /// What was counted: `inputs`, `outputs`.
        what: &'static str,
        /// What the operation takes, in words (`2 or 3`).
        expected: String,
        /// The number given.
        found: usize,
    },
    /// An operand has an element type that the operation does not take.
    #[error("{op}: {operand} is {found}, {expected} wanted")]
    DType {
        /// The operation.
        op: &'static str,
        /// The operand.
        operand: String,
        /// The types that the operation takes.
        expected: String,
        /// The type of the operand.
        found: DType,
    },
    /// An option of the operation is out of its range.
    #[error("{op}: {option} = {value}: {requirement}")]
    Option {
        /// The operation.
        op: &'static str,
        /// The field of the options struct.
        option: &'static str,
        /// The value given.
        value: String,
        /// What it has to be.
        requirement: &'static str,
    },
    /// Every variant is one that this device gets wrong, or has not been checked for: a profile that forces one says so.
    #[error("{op}: {variant} {objection}")]
    Untrusted {
        /// The operation.
        op: &'static str,
        /// The last variant that was left.
        variant: String,
        /// What stands against it.
        objection: &'static str,
    },
    /// A device limit stands in the way, and splitting the problem does not help.
    #[error("{op}: needs {limit} = {needed}, the device has {available}; {hint}")]
    Limit {
        /// The operation or kernel.
        op: String,
        /// The limit, as wgpu calls it.
        limit: &'static str,
        /// What the operation needs.
        needed: u64,
        /// What the device offers.
        available: u64,
        /// What the caller can do.
        hint: &'static str,
    },
    /// No adapter fits the request.
    #[error("no adapter for {wanted}; found: {}", list(.found))]
    NoAdapter {
        /// What was asked for.
        wanted: String,
        /// The adapters that there are, as `name (backend)`.
        found: Vec<String>,
    },
    /// The adapter is there, but the device could not be opened.
    #[error("cannot open a device on {adapter}: {detail}")]
    NoDevice {
        /// The adapter's name.
        adapter: String,
        /// What the driver or wgpu said.
        detail: String,
    },
    /// Memory ran out, on the device or against the cap set with [`GpuBuilder::memory_limit`](crate::GpuBuilder::memory_limit).
    #[error("out of memory: {requested} bytes wanted with {in_use} in use{}", limit(.cap))]
    OutOfMemory {
        /// Bytes asked for.
        requested: u64,
        /// Bytes that live tensors hold.
        in_use: u64,
        /// The cap, where one is set.
        cap: Option<u64>,
    },
    /// The device was lost or destroyed. A new [`Gpu`](crate::Gpu) works in the same process.
    #[error("the device is lost: {reason}")]
    DeviceLost {
        /// What the driver, wgpu or the host said.
        reason: String,
    },
    /// A tensor lives on another device than the one that shall use it.
    #[error("{op}: {operand} lives on another device")]
    OtherDevice {
        /// The operation.
        op: String,
        /// The operand.
        operand: String,
    },
    /// An output overlaps another operand of the same call in memory.
    #[error("{op}: output {output} overlaps {other} in memory")]
    Overlap {
        /// The operation.
        op: &'static str,
        /// The number of the output.
        output: usize,
        /// The operand that it overlaps.
        other: String,
    },
    /// An operand is weaker than the one that the plan was made for.
    #[error("{op}: {operand} does not fit the plan: {detail}")]
    Unplanned {
        /// The operation.
        op: &'static str,
        /// The operand.
        operand: String,
        /// What differs, with both values.
        detail: String,
    },
    /// A view reaches outside of its tensor or buffer, or its buffer cannot be used.
    #[error("view: {detail}")]
    View {
        /// What is wrong, with the numbers.
        detail: String,
    },
    /// The number of elements does not fit the shape.
    #[error("shape {shape:?} has {} elements, {found} given", crate::layout::count(.shape))]
    Length {
        /// The shape asked for.
        shape: Vec<usize>,
        /// The number of elements given.
        found: usize,
    },
    /// A program's values or operands do not fit together.
    #[error("program: {detail}")]
    Program {
        /// What is wrong.
        detail: String,
    },
    /// A composed shader did not pass. For the crate's own kernels this is a bug of the crate.
    #[error("{kernel}: {detail}")]
    Shader {
        /// The composition.
        kernel: String,
        /// The finding, with file, line and column.
        detail: String,
    },
    /// A shader of the caller's is not valid WGSL.
    #[error("{name}:{line}:{column}: {message}")]
    Wgsl {
        /// The shader's name.
        name: String,
        /// Line, from 1; 0 if it is about the shader as a whole.
        line: usize,
        /// Column, from 1, in characters; 0 if it is about the shader as a whole.
        column: usize,
        /// What is wrong, in one line.
        message: String,
        /// The same with the lines that it is about, in the words of naga.
        report: String,
    },
    /// A shader of the caller's cannot be started with what it is given.
    #[error("{entry}: {detail}")]
    Launch {
        /// The entry point.
        entry: String,
        /// What does not fit.
        detail: String,
    },
    /// wgpu refused something that had passed the crate's own checks: a bug of the crate, or of a driver.
    #[error("{during}: {detail}")]
    Wgpu {
        /// What was being done.
        during: String,
        /// What wgpu said.
        detail: String,
    },
    /// Weights that are NaN would be pruned: their importance is unknown.
    #[error("{op}: {count} of the weights that would be pruned are NaN")]
    NotANumber {
        /// The operation.
        op: &'static str,
        /// How many.
        count: usize,
    },
    /// Data from elsewhere contradicts itself.
    #[error("{what} is corrupt: {detail}")]
    Corrupt {
        /// What was read.
        what: String,
        /// Where it does not fit together, with the numbers.
        detail: String,
    },
    /// Not possible on this executor or in this state.
    #[error("{what} is not supported: {why}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// Why not.
        why: &'static str,
    },
}

fn list(found: &[String]) -> String {
    if found.is_empty() { "none".into() } else { found.join(", ") }
}

fn limit(cap: &Option<u64>) -> String {
    cap.map(|cap| format!(", capped at {cap}")).unwrap_or_default()
}
