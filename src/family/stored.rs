//! Contractions whose left operand lies in planes: the choice between the kernels that read them and those for dense operands.

use super::sparse;
use crate::error::Result;
use crate::family::contraction::stored::Stored;
use crate::family::contraction::{self, Contraction, Operand};
use crate::layout::Layout;
use crate::plan::Slot;
use crate::problem::{Built, Candidate, Operands, Problem};
use crate::profile::DeviceProfile;

/// A contraction whose left operand lies in planes.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredContraction {
    /// With that operand.
    pub contraction: Contraction,
    /// The left operand as it would be, dense, in an input that is there only if it is kept.
    pub dense: Operand,
    /// Whether it is.
    pub kept_dense: bool,
}

impl StoredContraction {
    /// The contraction with the dense operand in an input.
    fn densely(&self, input: usize) -> Contraction {
        Contraction { a: Operand { input, ..self.dense.clone() }, ..self.contraction.clone() }
    }
}

/// How a contraction gets along with its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a body that reads the planes.
    Held,
    /// By one for dense operands, on the copy that is kept.
    Kept,
    /// By one for dense operands, after unpacking.
    Unpacked,
}

/// A way and the variant of a contraction.
pub(crate) type Variant = (Way, contraction::Variant);

/// The contraction of a dense op with its weights on the left, x in input 0 and the addend in this one; `turned`, where it has them on the
/// right.
pub(crate) fn with_planes(
    op: &'static str,
    dense: Problem,
    turned: bool,
    addend: Option<usize>,
) -> Result<Contraction> {
    let mut contraction = dense.contraction(op)?;
    if turned {
        contraction = contraction::turned(&contraction, op)?;
    }
    contraction.b.input = 0;
    if let (Some(own), Some(number)) = (&mut contraction.addend, addend) {
        own.input = number;
    }
    Ok(contraction)
}

/// The candidates for a problem on a device, the fastest first: what reads the format, and what is there for dense operands.
pub(crate) fn candidates(
    problem: &StoredContraction,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Vec<Candidate<Variant>> {
    let Some(stored) = Stored::of(&problem.contraction) else { return Vec::new() };
    let held = contraction::timed_stored(&problem.contraction, operands, profile);
    let layouts = with_dense(problem, operands);
    let densely = problem.densely(operands.inputs.len());
    let own = Operands { op: operands.op, inputs: &layouts, outputs: operands.outputs };
    let (way, extra) =
        if problem.kept_dense { (Way::Kept, 0.0) } else { (Way::Unpacked, contraction::unpack_time(stored, profile)) };
    let dense = contraction::timed(&densely, &own, profile).into_iter().map(|(variant, time)| (variant, time + extra));
    let mut timed: Vec<(Variant, f64)> = held.into_iter().map(|(variant, time)| ((Way::Held, variant), time)).collect();
    let fastest = |timed: &[(Variant, f64)]| timed.iter().map(|&(_, time)| time).fold(f64::INFINITY, f64::min);
    let read = fastest(&timed);
    let dense: Vec<(Variant, f64)> = dense.map(|(variant, time)| ((way, variant), time)).collect();
    let ratio = fastest(&dense) / read;
    timed.extend(dense);
    timed.sort_by(|(_, x), (_, y)| x.total_cmp(y));
    let instead = if problem.kept_dense {
        "the dense kernel on the dense copy".into()
    } else {
        format!("{} it for the dense kernel", stored.unpacking())
    };
    let why = format!("{}: reading it is estimated to be {ratio:.2} times as fast as {instead}", stored.description());
    timed
        .into_iter()
        .map(|((way, variant), _)| {
            let name = match way {
                Way::Held => format!("{} of {}", variant.name(), stored.name()),
                Way::Kept => format!("{} on the dense copy", variant.name()),
                Way::Unpacked => format!("{} after {} {}", variant.name(), stored.unpacking(), stored.name()),
            };
            Candidate { variant: (way, variant), name, why: why.clone() }
        })
        .collect()
}

/// The layouts of the inputs, and after them that of the dense operand.
fn with_dense(problem: &StoredContraction, operands: &Operands<'_>) -> Vec<Layout> {
    let dense = if problem.kept_dense {
        operands.inputs[problem.dense.input].clone()
    } else {
        let shape = Stored::of(&problem.contraction).map_or([0, 0], Stored::sizes);
        let (arena, constant) = (operands.arena(), operands.inputs[problem.contraction.a.input].constant);
        Layout { arena, constant, ..Layout::new(&shape, problem.dense.dtype) }
    };
    operands.inputs.iter().cloned().chain([dense]).collect()
}

pub(crate) fn build(
    problem: &StoredContraction,
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
    if let (Way::Unpacked, Some(stored)) = (way, Stored::of(&problem.contraction)) {
        built.scratch.push(layouts[number].bytes());
        let outputs = [layouts[number].clone()];
        let own = Operands { op: operands.op, inputs: operands.inputs, outputs: &outputs };
        let unpack = sparse::build_unpack(stored, &own, profile)?;
        let to_scratch = |slot: Slot| if slot == Slot::Output(0) { dense } else { slot };
        built.dispatches.splice(0..0, unpack.dispatches.into_iter().map(|dispatch| dispatch.with_slots(to_scratch)));
        built.aligned.extend(unpack.aligned);
    }
    Ok(built)
}
