//! Maps: every element of the output is a function of one element of each input. Elementwise ops and copies.

use std::ops::Range;

use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::family::activation;
use crate::layout::DType;
use crate::op::activation::Activation;
use crate::op::binary::BinaryKind;
use crate::op::pad::PadMode;
use crate::op::unary::UnaryKind;
use crate::plan::{Access, Assembly, Binding, Dispatch, Param, Slot, Work};
use crate::problem::{Built, Candidate, Operands};
use crate::profile::DeviceProfile;
use crate::split::{Cut, Divisible, Region, bytes, split};

const MAP: ShaderFile = shader!("map/map.wgsl");
const COPY: ShaderFile = shader!("map/copy.wgsl");
const FILL: ShaderFile = shader!("map/fill.wgsl");
const UNARY_FLOAT: ShaderFile = shader!("map/unary_float.wgsl");
const UNARY_INT: ShaderFile = shader!("map/unary_int.wgsl");
const BINARY_FLOAT: ShaderFile = shader!("map/binary_float.wgsl");
const BINARY_INT: ShaderFile = shader!("map/binary_int.wgsl");
const NORMALIZE: ShaderFile = shader!("map/normalize.wgsl");
const STORE: ShaderFile = shader!("map/store.wgsl");
const STRIDED: ShaderFile = shader!("load/strided.wgsl");
const PADDED: ShaderFile = shader!("load/padded.wgsl");
const GRID: ShaderFile = shader!("common/grid.wgsl");

/// Dimensions that kernels count.
const RANK: usize = 6;
const LANES: u32 = 64;
const STRIDES: [&str; RANK] = ["stride_0", "stride_1", "stride_2", "stride_3", "stride_4", "stride_5"];
const SIZES: [&str; RANK] = ["size_0", "size_1", "size_2", "size_3", "size_4", "size_5"];
const BEFORE: [&str; RANK] = ["before_0", "before_1", "before_2", "before_3", "before_4", "before_5"];

/// `out[index] = function(inputs[index] ..)` over one or several index spaces.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// What is computed of the elements.
    pub function: Function,
    /// Type of all elements.
    pub dtype: DType,
    /// The index spaces; together they cover the output.
    pub parts: Vec<Part>,
}

/// The function of a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// The element itself.
    Copy,
    /// A value given by its bits; no inputs.
    Fill(u32),
    /// Of one element.
    Unary(UnaryKind),
    /// Of two.
    Binary(BinaryKind),
    /// `activation((x - mean) * (weight / sqrt(variance + epsilon)) + bias)`; inputs x, weight, bias, mean, variance.
    Normalize {
        /// Added to the variance.
        epsilon: f32,
        /// Of the result.
        activation: Activation,
    },
}

impl Function {
    /// The hooks through which it reads its arguments.
    fn hooks(&self) -> &'static [&'static str] {
        match self {
            Function::Copy | Function::Unary(_) => &["a"],
            Function::Fill(_) => &[],
            Function::Binary(_) => &["a", "b"],
            Function::Normalize { .. } => &["a", "weight", "bias", "mean", "variance"],
        }
    }
}

/// An index space of a map, and where its elements lie.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Sizes of the index space, outermost first.
    pub sizes: Vec<usize>,
    /// The arguments of the function.
    pub arguments: Vec<Argument>,
    /// Address of the first element in output 0, in elements.
    pub start: usize,
    /// Strides of output 0, in elements.
    pub strides: Vec<usize>,
}

/// An argument of a map's function: an address is the sum of index times stride.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// The number of the input.
    pub input: usize,
    /// Strides in elements; 0 where it broadcasts.
    pub strides: Vec<usize>,
    /// Where the index space reaches beyond the input.
    pub padding: Option<Padded>,
}

/// How an index space lies around the tensor that it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Padded {
    /// Sizes of the tensor.
    pub sizes: Vec<usize>,
    /// For each dimension the places before the tensor's first; negative where some are left out.
    pub before: Vec<i64>,
    /// What stands in the places beyond.
    pub mode: PadMode,
    /// The bits of a constant.
    pub bits: u32,
}

impl Padded {
    /// The places of the tensor, of a dimension, that a range of the index space reads. At least one is named.
    fn places(&self, dim: usize, range: &Range<usize>) -> Range<usize> {
        let last = self.sizes[dim] as i64 - 1;
        let (low, high) = (range.start as i64 - self.before[dim], range.end as i64 - 1 - self.before[dim]);
        let (low, high) = match self.mode {
            PadMode::Constant(_) | PadMode::Replicate => (low.clamp(0, last), high.clamp(0, last)),
            PadMode::Reflect => {
                let mirror = |at: i64| at.abs().min(2 * last - at.abs());
                let (x, y) = (mirror(low), mirror(high));
                let least = if (low..=high).contains(&0) { 0 } else { x.min(y) };
                let most = if (low..=high).contains(&last) { last } else { x.max(y) };
                (least, most)
            }
            PadMode::Circular => match (low.div_euclid(last + 1), high.div_euclid(last + 1)) {
                (x, y) if x == y => (low.rem_euclid(last + 1), high.rem_euclid(last + 1)),
                _ => (0, last),
            },
        };
        low as usize..high as usize + 1
    }
}

impl Argument {
    /// An argument that is read where the index points.
    pub fn strided(input: usize, strides: Vec<usize>) -> Self {
        Argument { input, strides, padding: None }
    }

    /// The elements that a region reads.
    fn reach(&self, region: &Region) -> Range<u64> {
        match &self.padding {
            None => reach(&self.strides, &region.0),
            Some(padded) => {
                let places: Vec<_> =
                    region.0.iter().enumerate().map(|(dim, range)| padded.places(dim, range)).collect();
                reach(&self.strides, &places)
            }
        }
    }
}

/// The elements between the first and the last of a box, the last included.
fn reach(strides: &[usize], ranges: &[Range<usize>]) -> Range<u64> {
    crate::split::reach(ranges.iter().cloned().zip(strides.iter().copied()))
}

pub(crate) fn candidates(_: &Map, _: &DeviceProfile) -> Vec<Candidate<()>> {
    vec![Candidate { variant: (), name: "map/scalar".into(), why: "runs within any limits".into() }]
}

pub(crate) fn build(problem: &Map, _: &(), operands: &Operands<'_>, profile: &DeviceProfile) -> Result<Built> {
    let mut dispatches = Vec::new();
    for part in &problem.parts {
        if part.sizes.len() > RANK {
            let detail = format!("{} dimensions remain after merging, at most {RANK} are supported", part.sizes.len());
            return Err(Error::Shape { op: operands.op, detail });
        }
        let pieces = Pieces { op: operands.op, dtype: problem.dtype, part };
        for region in split(&pieces, Region::whole(&part.sizes), profile)? {
            dispatches.push(dispatch(problem, &pieces, &region, operands, profile)?);
        }
    }
    Ok(Built::scalar(dispatches))
}

struct Pieces<'a> {
    op: &'static str,
    dtype: DType,
    part: &'a Part,
}

impl Pieces<'_> {
    fn out(&self, region: &Region) -> Range<u64> {
        let range = reach(&self.part.strides, &region.0);
        let start = self.part.start as u64;
        bytes(start + range.start..start + range.end, self.dtype)
    }
}

impl Divisible for Pieces<'_> {
    fn op(&self) -> &'static str {
        self.op
    }

    fn cuts(&self) -> Vec<Cut> {
        (0..self.part.sizes.len()).map(|dim| Cut { dim, grain: 1, free: true }).collect()
    }

    fn spans(&self, region: &Region) -> Vec<(Slot, Range<u64>)> {
        let inputs = (self.part.arguments.iter())
            .map(|argument| (Slot::Input(argument.input), bytes(argument.reach(region), self.dtype)));
        inputs.chain([(Slot::Output(0), self.out(region))]).collect()
    }

    fn flops(&self, region: &Region) -> f64 {
        // An element costs about as much as one operation.
        region.0.iter().map(|range| range.len() as f64).product()
    }
}

fn dispatch(
    problem: &Map,
    pieces: &Pieces<'_>,
    region: &Region,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Dispatch> {
    let Map { function, dtype, .. } = problem;
    let part = pieces.part;
    // The kernel counts six dimensions: those that are missing stand before the others, with size 1.
    let missing = RANK - region.0.len();
    let elem = Value::Type(dtype.wgsl().unwrap_or("f32"));
    let mut assembly = Assembly::new(operands.op, MAP, operands.arena());
    assembly.common(GRID).constant("", "WG_X", Value::U32(LANES)).constant("", "WG_Y", Value::U32(1));
    assembly.constant("", "FLAT", Value::Bool(region.0.len() <= 1));
    let total: usize = region.0.iter().map(|range| range.len()).product();
    assembly.size("", "total", total)?;
    for (dim, name) in SIZES.iter().enumerate().skip(1) {
        assembly.size("", name, if dim < missing { 1 } else { region.len(dim - missing) })?;
    }
    apply(&mut assembly, *function, *dtype);
    assembly.constant("value", "Elem", elem.clone());

    let element = dtype.size();
    let mut moved = 0;
    for (&hook, argument) in function.hooks().iter().zip(&part.arguments) {
        let reach = argument.reach(region);
        moved += reach.end - reach.start;
        assembly.constant(hook, "Elem", elem.clone());
        strides(&mut assembly, hook, &argument.strides)?;
        match &argument.padding {
            None => assembly.fragment(hook, STRIDED),
            Some(padded) => pad(&mut assembly, hook, padded, region, reach.start)?,
        };
        let slot = Slot::Input(argument.input);
        assembly.bind(hook, Binding { slot, range: bytes(reach, *dtype), access: Access::Read, element });
    }
    assembly.fragment("out", STORE).constant("out", "Elem", elem);
    strides(&mut assembly, "out", &part.strides)?;
    let binding = Binding { slot: Slot::Output(0), range: pieces.out(region), access: Access::Write, element };
    assembly.bind("out", binding);
    let work = Work { flops: total as f64, bytes: (moved + total as u64) as f64 * element as f64 };
    assembly.dispatch(profile, total.div_ceil(LANES as usize) as u64, work)
}

/// The parameters of a strided operand.
fn strides(assembly: &mut Assembly, hook: &str, strides: &[usize]) -> Result<()> {
    let missing = RANK - strides.len();
    for (dim, name) in STRIDES.iter().enumerate() {
        assembly.size(hook, name, if dim < missing { 0 } else { strides[dim - missing] })?;
    }
    Ok(())
}

/// The fragment that computes the value.
fn apply(assembly: &mut Assembly, function: Function, dtype: DType) {
    let float = dtype == DType::F32;
    let (file, code) = match function {
        Function::Copy => (COPY, None),
        Function::Fill(bits) => {
            assembly.param("value", "bits", Param::U32(bits));
            (FILL, None)
        }
        Function::Unary(kind) => {
            if float {
                activation(assembly, if let UnaryKind::Activation(f) = kind { f } else { Activation::None });
            }
            (if float { UNARY_FLOAT } else { UNARY_INT }, Some(kind.code()))
        }
        Function::Binary(kind) => (if float { BINARY_FLOAT } else { BINARY_INT }, Some(kind.code())),
        Function::Normalize { epsilon, activation: f } => {
            activation(assembly, f);
            assembly.param("value", "epsilon", Param::F32(epsilon));
            (NORMALIZE, None)
        }
    };
    assembly.fragment("value", file);
    if let Some(code) = code {
        assembly.constant("value", "FUNCTION", Value::U32(code));
    }
}

/// The fragment and parameters of an operand with padding. `base` is the address at which its bound range starts.
fn pad<'a>(
    assembly: &'a mut Assembly,
    hook: &'static str,
    padded: &Padded,
    region: &Region,
    base: u64,
) -> Result<&'a mut Assembly> {
    let missing = RANK - padded.sizes.len();
    for dim in 0..RANK {
        let (size, before) = match dim.checked_sub(missing) {
            Some(dim) => (padded.sizes[dim] as i64, padded.before[dim] - region.0[dim].start as i64),
            None => (1, 0),
        };
        // Kernels add a size to a place.
        assembly.place(hook, SIZES[dim], size)?.place(hook, BEFORE[dim], before)?;
    }
    assembly.constant(hook, "EDGE", Value::U32(padded.mode.code()));
    assembly.param(hook, "bits", Param::U32(padded.bits)).param(hook, "base", Param::U32(base as u32));
    Ok(assembly.fragment(hook, PADDED))
}
