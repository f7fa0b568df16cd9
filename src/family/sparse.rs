//! Sparse operands: packing and unpacking them, and the choice between the kernels that read them and those for dense ones.

use super::mask::{Kernel, expect_trips, lanes};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::family::contraction::sparse::{self, Sparse};
use crate::family::contraction::{self, Contraction, Operand};
use crate::family::{LOAD_BITS, LOAD_VALUES, wgsl};
use crate::layout::Layout;
use crate::op::mask::words;
use crate::op::sparse::SparseFormat;
use crate::plan::Slot;
use crate::problem::{Built, Candidate, Operands};
use crate::profile::DeviceProfile;

const PACK_BLOCKS: ShaderFile = shader!("sparse/pack_blocks.wgsl");
const PACK_BITS: ShaderFile = shader!("sparse/pack_bits.wgsl");
const PACK_TWO_FOUR: ShaderFile = shader!("sparse/pack_two_four.wgsl");
const UNPACK: ShaderFile = shader!("sparse/unpack.wgsl");

/// Values that an invocation moves at once.
const QUAD: usize = 4;

/// Dense weights that are packed; inputs and outputs are those of the op.
#[derive(Clone, Debug, PartialEq)]
pub struct Pack {
    /// Into what.
    pub format: SparseFormat,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

/// A contraction whose left operand is sparse.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseContraction {
    /// With the sparse operand.
    pub contraction: Contraction,
    /// The left operand as it would be, dense, in an input that is there only if it is kept.
    pub dense: Operand,
    /// Whether it is.
    pub kept_dense: bool,
}

impl SparseContraction {
    /// The contraction with the dense operand in an input.
    fn densely(&self, input: usize) -> Contraction {
        Contraction { a: Operand { input, ..self.dense.clone() }, ..self.contraction.clone() }
    }
}

/// How a contraction gets along with a sparse operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a body that reads the format.
    Held,
    /// By one for dense operands, on the copy that is kept.
    Kept,
    /// By one for dense operands, after unpacking.
    Unpacked,
}

/// A way and the variant of a contraction.
pub(crate) type Variant = (Way, contraction::Variant);

/// The error of an op whose dense form is no contraction.
pub(crate) fn no_contraction(op: &'static str) -> Error {
    Error::Unsupported { what: format!("{op} with sparse weights"), why: "its dense form is no sum of products" }
}

pub(crate) fn pack_candidates() -> Vec<Candidate<()>> {
    vec![Candidate { variant: (), name: "sparse/pack".into(), why: "runs within any limits".into() }]
}

pub(crate) fn build_pack(problem: &Pack, operands: &Operands<'_>, profile: &DeviceProfile) -> Result<Built> {
    let Pack { format, rows, columns } = *problem;
    let kernel = |body| -> Result<Kernel<'_>> {
        let mut kernel = Kernel::new(body, lanes(profile), operands, profile);
        kernel.assembly().constant("", "Elem", Value::Type(wgsl(operands.outputs[0].dtype)));
        let kernel = kernel.input("x", LOAD_VALUES, 0)?.input("mask", LOAD_BITS, 1)?.output("out", 0)?;
        kernel.size("rows", rows)?.size("columns", columns)
    };
    let quads = columns.div_ceil(QUAD);
    let dispatch = match format {
        SparseFormat::Blocks { size: [height, width], .. } => {
            let vectors = operands.outputs[0].len() / QUAD;
            let kernel = kernel(PACK_BLOCKS)?.input("columns", LOAD_VALUES, 2)?.input("pointers", LOAD_VALUES, 3)?;
            let kernel = kernel.size("vectors", vectors)?.size("groups", rows.div_ceil(height))?;
            kernel.size("height", height)?.size("width", width)?.dispatch(vectors)?
        }
        SparseFormat::Bitmask { entries } => {
            expect_trips(operands.op, words(columns) + columns)?;
            let kernel = kernel(PACK_BITS)?.input("pointers", LOAD_VALUES, 2)?;
            let kernel = kernel.output("codes", 1)?.output("ranks", 2)?.size("words", words(columns))?;
            kernel.size("entries", entries)?.dispatch(rows)?
        }
        _ => {
            let codes = quads.div_ceil(8);
            let kernel = kernel(PACK_TWO_FOUR)?.output("codes", 1)?.size("pairs", quads)?.size("words", codes)?;
            kernel.dispatch(rows * codes)?
        }
    };
    Ok(Built::scalar(vec![dispatch]))
}

pub(crate) fn unpack_candidates() -> Vec<Candidate<()>> {
    vec![Candidate { variant: (), name: "sparse/unpack".into(), why: "runs within any limits".into() }]
}

pub(crate) fn build_unpack(sparse: &Sparse, operands: &Operands<'_>, profile: &DeviceProfile) -> Result<Built> {
    let quads = sparse.columns.div_ceil(QUAD);
    let mut kernel = Kernel::new(UNPACK, lanes(profile), operands, profile);
    kernel.assembly().constant("", "Elem", Value::Type(wgsl(sparse.dtype)));
    let bytes = sparse.bind_rows(kernel.assembly(), 0, operands)?;
    let kernel = kernel.moves(bytes).output("out", 0)?.size("rows", sparse.rows)?;
    let kernel = kernel.size("columns", sparse.columns)?.size("quads", quads)?;
    let aligned = sparse.aligned(operands).into_iter().collect();
    Ok(Built { aligned, ..Built::scalar(vec![kernel.dispatch(sparse.rows * quads)?]) })
}

/// The candidates for a problem on a device, the fastest first: what reads the format, and what is there for dense operands.
pub(crate) fn candidates(
    problem: &SparseContraction,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Vec<Candidate<Variant>> {
    let Some(sparse) = sparse::of(&problem.contraction) else { return Vec::new() };
    let held = contraction::timed_sparse(&problem.contraction, operands, profile);
    let layouts = with_dense(problem, operands);
    let dense = problem.densely(operands.inputs.len());
    let own = Operands { op: operands.op, inputs: &layouts, outputs: operands.outputs };
    let (way, extra) =
        if problem.kept_dense { (Way::Kept, 0.0) } else { (Way::Unpacked, contraction::unpack_time(sparse, profile)) };
    let dense = contraction::timed(&dense, &own, profile).into_iter().map(|(variant, time)| (variant, time + extra));
    let mut timed: Vec<(Variant, f64)> = held.into_iter().map(|(variant, time)| ((Way::Held, variant), time)).collect();
    let fastest = |timed: &[(Variant, f64)]| timed.iter().map(|&(_, time)| time).fold(f64::INFINITY, f64::min);
    let read = fastest(&timed);
    let densely: Vec<(Variant, f64)> = dense.map(|(variant, time)| ((way, variant), time)).collect();
    let ratio = fastest(&densely) / read;
    timed.extend(densely);
    timed.sort_by(|(_, x), (_, y)| x.total_cmp(y));
    let kept = 100.0 * sparse.kept as f64 / (sparse.rows * sparse.columns).max(1) as f64;
    let why = format!(
        "{} with {kept:.1} % of the weights kept: reading it is estimated to be {ratio:.2} times as fast as {}",
        sparse.format,
        if problem.kept_dense { "the dense kernel on the dense copy" } else { "unpacking it for the dense kernel" }
    );
    timed
        .into_iter()
        .map(|((way, variant), _)| {
            let name = match way {
                Way::Held => format!("{} of {}", variant.name(), sparse.format),
                Way::Kept => format!("{} on the dense copy", variant.name()),
                Way::Unpacked => format!("{} after unpacking {}", variant.name(), sparse.format),
            };
            Candidate { variant: (way, variant), name, why: why.clone() }
        })
        .collect()
}

/// The layouts of the inputs, and after them that of the dense operand.
fn with_dense(problem: &SparseContraction, operands: &Operands<'_>) -> Vec<Layout> {
    let dense = if problem.kept_dense {
        operands.inputs[problem.dense.input].clone()
    } else {
        let sparse = sparse::of(&problem.contraction);
        let shape = sparse.map_or([0, 0], |sparse| [sparse.rows, sparse.columns]);
        let (arena, constant) = (operands.arena(), operands.inputs[problem.contraction.a.input].constant);
        Layout { arena, constant, ..Layout::new(&shape, problem.dense.dtype) }
    };
    operands.inputs.iter().cloned().chain([dense]).collect()
}

pub(crate) fn build(
    problem: &SparseContraction,
    &(way, ref variant): &Variant,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Built> {
    if way == Way::Held {
        return contraction::build(&problem.contraction, variant, operands, profile);
    }
    let layouts = with_dense(problem, operands);
    let number = operands.inputs.len();
    let own = Operands { op: operands.op, inputs: &layouts, outputs: operands.outputs };
    let mut built = contraction::build(&problem.densely(number), variant, &own, profile)?;
    // The last of these inputs is the copy that is kept, or scratch memory.
    let dense = if way == Way::Kept { Slot::Input(problem.dense.input) } else { Slot::Scratch(built.scratch.len()) };
    let moved = |slot: Slot| if slot == Slot::Input(number) { dense } else { slot };
    built.dispatches = built.dispatches.into_iter().map(|dispatch| dispatch.with_slots(moved)).collect();
    built.aligned = built.aligned.into_iter().map(moved).filter(|slot| !matches!(slot, Slot::Scratch(_))).collect();
    if let (Way::Unpacked, Some(sparse)) = (way, sparse::of(&problem.contraction)) {
        built.scratch.push(layouts[number].bytes());
        let outputs = [layouts[number].clone()];
        let own = Operands { op: operands.op, inputs: operands.inputs, outputs: &outputs };
        let unpack = build_unpack(sparse, &own, profile)?;
        let to_scratch = |slot: Slot| if slot == Slot::Output(0) { dense } else { slot };
        built.dispatches.splice(0..0, unpack.dispatches.into_iter().map(|dispatch| dispatch.with_slots(to_scratch)));
        built.aligned.extend(unpack.aligned);
    }
    Ok(built)
}
