//! The few problems that ops lower to. A problem is plain data: sizes, addressing and epilogue, and no kernel.

use crate::compose::Composition;
use crate::error::{Error, Result};
use crate::family::contraction::stored::Stored;
use crate::family::{contraction, integer, map, mask, quantize, reduce, sparse, stored, window};
use crate::layout::Layout;
use crate::plan::{Dispatch, Plan, PlanData, Slot};
use crate::profile::DeviceProfile;
use crate::trust;

pub use crate::family::contraction::Contraction;
pub use crate::family::contraction::sparse::Sparse;
pub use crate::family::integer::IntegerContraction;
pub use crate::family::map::Map;
pub use crate::family::mask::Mask;
pub use crate::family::quantize::Quantize;
pub use crate::family::reduce::Reduce;
pub use crate::family::sparse::Pack;
pub use crate::family::stored::StoredContraction;
pub use crate::family::window::Window;

/// What an op comes down to.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// Sums of products: matrix products, convolutions.
    Contraction(Box<Contraction>),
    /// Sums of products of whole numbers in words.
    Integer(Box<IntegerContraction>),
    /// Sliding windows: pooling.
    Window(Window),
    /// Reductions along axes: sums, maxima, softmax.
    Reduce(Reduce),
    /// Elementwise work and copies.
    Map(Map),
    /// Masks of weights.
    Mask(Mask),
    /// Floats, kept in few bits, and back.
    Quantize(Quantize),
    /// Dense weights, put into a sparse format.
    Pack(Pack),
    /// Sparse weights, made dense.
    Unpack(Sparse),
    /// Sums of products with weights that lie in planes: sparse or quantized.
    Stored(Box<StoredContraction>),
}

/// A way to solve a problem, with its reason. Families list them best first.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate<V> {
    /// What distinguishes it: body, tile.
    pub variant: V,
    /// Its name, as tables print it.
    pub name: String,
    /// Why it stands where it stands.
    pub why: String,
}

/// The operands that a plan is made for.
pub(crate) struct Operands<'a> {
    pub op: &'static str,
    pub inputs: &'a [Layout],
    pub outputs: &'a [Layout],
}

impl Operands<'_> {
    /// Whether any may share a buffer with one that is written.
    pub fn arena(&self) -> bool {
        self.inputs.iter().chain(self.outputs).any(|layout| layout.arena)
    }
}

/// A family's part of a plan.
#[derive(Default)]
pub(crate) struct Built {
    pub scratch: Vec<u64>,
    pub dispatches: Vec<Dispatch>,
    /// The operands that are read or written in vectors and need the alignment that their layouts promise.
    pub aligned: Vec<Slot>,
}

impl Built {
    /// A variant without scratch memory that moves element by element.
    pub fn scalar(dispatches: Vec<Dispatch>) -> Self {
        Built { dispatches, ..Built::default() }
    }
}

impl Problem {
    /// Plans made by the problem's family, best candidate first: only the first that the device's limits allow, or every
    /// one. With none left, the error is that of the last.
    pub(crate) fn plans(&self, operands: &Operands<'_>, profile: &DeviceProfile, every: bool) -> Result<Vec<Plan>> {
        let request = Request { operands, profile, choice: profile.learnt.choice(self, operands), every };
        match self {
            Problem::Contraction(p) => {
                let candidates = contraction::candidates(p, operands, profile, request.choice);
                request.collect(candidates, |c| contraction::build(p, c, operands, profile))
            }
            Problem::Integer(p) => {
                let candidates = integer::candidates(p, operands, profile, request.choice);
                request.collect(candidates, |c| integer::build(p, c, operands, profile))
            }
            Problem::Window(p) => {
                request.collect(window::candidates(p, profile), |c| window::build(p, c, operands, profile))
            }
            Problem::Reduce(p) => {
                request.collect(reduce::candidates(p, operands, profile), |c| reduce::build(p, c, operands, profile))
            }
            Problem::Map(p) => {
                request.collect(map::candidates(p, operands, profile), |c| map::build(p, c, operands, profile))
            }
            Problem::Mask(p) => request.collect(mask::candidates(p), |()| mask::build(p, operands, profile)),
            Problem::Quantize(p) => {
                request.collect(quantize::candidates(p), |()| quantize::build(p, operands, profile))
            }
            Problem::Pack(p) => {
                request.collect(sparse::pack_candidates(), |()| sparse::build_pack(p, operands, profile))
            }
            Problem::Unpack(p) => request
                .collect(sparse::unpack_candidates(), |()| sparse::build_unpack(Stored::Sparse(p), operands, profile)),
            Problem::Stored(p) => {
                request.collect(stored::candidates(p, operands, profile), |c| stored::build(p, c, operands, profile))
            }
        }
    }
}

/// What plans are wanted for.
struct Request<'a> {
    operands: &'a Operands<'a>,
    profile: &'a DeviceProfile,
    /// The variant that proved the fastest here.
    choice: Option<&'a str>,
    /// Whether every candidate is wanted.
    every: bool,
}

impl Request<'_> {
    fn collect<V>(&self, mut candidates: Vec<Candidate<V>>, build: impl Fn(&V) -> Result<Built>) -> Result<Vec<Plan>> {
        let Request { operands, profile, choice, every } = *self;
        if let Some(at) = candidates.iter().position(|candidate| Some(&*candidate.name) == choice) {
            candidates[..=at].rotate_right(1);
            candidates[0].why = "the fastest when this problem was tuned on this device".into();
        }
        let mut plans: Vec<Plan> = Vec::new();
        let mut passed_over = Vec::new();
        let mut last = None;
        for candidate in candidates {
            let objects = |built: &Built| {
                let kernels: Vec<&Composition> = built.dispatches.iter().map(|dispatch| &*dispatch.kernel).collect();
                trust::objection(&kernels, profile)
            };
            let mut built = build(&candidate.variant);
            if let Ok(built) = &mut built
                && built.dispatches.iter().any(|dispatch| !dispatch.kernel.texels.is_empty())
                && let Some(objection) = objects(built)
            {
                passed_over.push(format!("{} through textures {objection}", candidate.name));
                built.dispatches = built.dispatches.drain(..).map(Dispatch::without_texels).collect();
            }
            if let Some(objection) = built.as_ref().ok().and_then(objects) {
                passed_over.push(format!("{} {objection}", candidate.name));
                last = Some(Error::Untrusted { op: operands.op, variant: candidate.name, objection });
                continue;
            }
            match built {
                Ok(built) => plans.push(Plan::new(PlanData {
                    op: operands.op,
                    variant: candidate.name,
                    why: candidate.why,
                    passed_over: passed_over.clone(),
                    inputs: needed(operands.inputs, Slot::Input, &built.aligned),
                    outputs: needed(operands.outputs, Slot::Output, &built.aligned),
                    scratch: built.scratch,
                    dispatches: built.dispatches,
                })),
                Err(error @ Error::Limit { .. }) => {
                    passed_over.push(format!("{}: {error}", candidate.name));
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
            if !every && !plans.is_empty() {
                break;
            }
        }
        match last {
            Some(error) if plans.is_empty() => Err(error),
            _ => Ok(plans),
        }
    }
}

/// The layouts that operands have to have for a variant: what was promised where it counts, else the alignment of an element.
fn needed(layouts: &[Layout], slot: fn(usize) -> Slot, aligned: &[Slot]) -> Vec<Layout> {
    let written = matches!(slot(0), Slot::Output(_));
    let needs = |i: usize, layout: &Layout| {
        let element = if written { layout.dtype.stored() } else { layout.dtype.size() };
        if aligned.contains(&slot(i)) { layout.align } else { layout.align.min(element as u32) }
    };
    layouts
        .iter()
        .enumerate()
        .map(|(i, layout)| Layout { align: needs(i, layout), constant: false, ..layout.clone() })
        .collect()
}
