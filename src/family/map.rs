//! Maps: every element of the output is a function of one element of each input. Elementwise ops and copies.

mod squares;

use std::ops::Range;

use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::family::{activation, wgsl};
use crate::layout::{DType, Layout};
use crate::op::activation::Activation;
use crate::op::binary::BinaryKind;
use crate::op::pad::PadMode;
use crate::op::unary::UnaryKind;
use crate::plan::{Access, Assembly, Binding, Dispatch, Param, Slot, Work};
use crate::problem::{Built, Candidate, Operands};
use crate::profile::{Class, DeviceProfile};
use crate::split::{Cut, Divisible, Region, bytes, split};

const MAP: ShaderFile = shader!("map/map.wgsl");
const COPY: ShaderFile = shader!("map/copy.wgsl");
const FILL: ShaderFile = shader!("map/fill.wgsl");
const UNARY_FLOAT: ShaderFile = shader!("map/unary_float.wgsl");
const UNARY_INT: ShaderFile = shader!("map/unary_int.wgsl");
const BINARY_FLOAT: ShaderFile = shader!("map/binary_float.wgsl");
const BINARY_INT: ShaderFile = shader!("map/binary_int.wgsl");
const NORMALIZE: ShaderFile = shader!("map/normalize.wgsl");
const ONE: ShaderFile = shader!("map/one.wgsl");
const TWO: ShaderFile = shader!("map/two.wgsl");
const STORE: ShaderFile = shader!("map/store.wgsl");
const STRIDED: ShaderFile = shader!("load/strided.wgsl");
const CONSTANT: ShaderFile = shader!("load/constant.wgsl");
const PADDED: ShaderFile = shader!("load/padded.wgsl");
const GRID: ShaderFile = shader!("common/grid.wgsl");

/// Dimensions that kernels count.
const RANK: usize = 6;
const STRIDES: [&str; RANK] = ["stride_0", "stride_1", "stride_2", "stride_3", "stride_4", "stride_5"];
const SIZES: [&str; RANK] = ["size_0", "size_1", "size_2", "size_3", "size_4", "size_5"];
const BEFORE: [&str; RANK] = ["before_0", "before_1", "before_2", "before_3", "before_4", "before_5"];

/// Elements of a vector.
const VECTOR: usize = 4;
/// Invocations of a workgroup: one subgroup of the widest device, two of most.
const LANES: u32 = 64;
/// And of class Cpu: a workgroup of one subgroup is the cheapest there.
const CPU_LANES: u32 = 8;

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

/// How an index space is gone through: what is moved at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// An element.
    Elements,
    /// Four neighbours along the last dimension.
    Vectors,
    /// Four of them by four along this dimension, the input's fastest.
    Squares(usize),
}

impl Way {
    /// Elements of a unit.
    fn width(self) -> usize {
        match self {
            Way::Elements => 1,
            Way::Vectors | Way::Squares(_) => VECTOR,
        }
    }

    /// The multiple that pieces of a dimension should keep to.
    fn grain(self, dim: usize, last: usize) -> usize {
        if dim == last || self == Way::Squares(dim) { self.width() } else { 1 }
    }

    /// The type of a unit, as the kernels index it.
    fn unit(self, dtype: DType) -> &'static str {
        match (self, dtype) {
            (Way::Elements, DType::I32) => "array<i32, 1>",
            (Way::Elements, DType::U32) => "array<u32, 1>",
            (Way::Elements, DType::F16) => "array<f16, 1>",
            (Way::Elements, _) => "array<f32, 1>",
            (_, DType::I32) => "vec4<i32>",
            (_, DType::U32) => "vec4<u32>",
            (_, DType::F16) => "vec4<f16>",
            _ => "vec4<f32>",
        }
    }

    /// Units of an invocation's run in rows of so many. On GPUs neighbouring invocations move neighbouring units.
    ///
    /// On lavapipe a workgroup costs about as much as moving three vectors: 2^24 elements took 51 ms in runs of one vector, 26
    /// of four, 22 of 8 and 28 of 16. Of elements, runs of 32 took the least, 1.4 times as long as vectors.
    fn run(self, units: usize, class: Class) -> usize {
        let most = match (class, self) {
            (Class::Cpu, Way::Elements) => 32,
            (Class::Cpu, Way::Vectors) => 8,
            _ => 1,
        };
        units.div_ceil(units.div_ceil(most).max(1))
    }

    fn is_in_vectors(self) -> bool {
        self == Way::Vectors
    }
}

impl Map {
    /// How an index space is gone through: in vectors where operands are aligned to them and rows are whole ones.
    fn way(&self, part: &Part, operands: &Operands<'_>) -> Way {
        let Some(last) = part.sizes.len().checked_sub(1) else { return Way::Elements };
        let whole = |number: usize| number.is_multiple_of(VECTOR);
        // Rows start on a vector.
        let rows = |strides: &[usize]| strides[..last].iter().copied().all(whole);
        let aligned = |layout: &Layout| u64::from(layout.align) >= VECTOR as u64 * layout.dtype.size();
        let unpadded = |padded: &Padded| padded.before[last] == 0 && padded.sizes[last] == part.sizes[last];
        let argument = |argument: &Argument| match argument.strides[last] {
            0 => argument.padding.is_none(),
            1 => {
                let plain = argument.padding.as_ref().is_none_or(unpadded);
                plain && rows(&argument.strides) && aligned(&operands.inputs[argument.input])
            }
            _ => false,
        };
        let target = part.strides[last] == 1 && rows(&part.strides) && whole(part.start);
        // What is left of a single row is a dispatch of its own.
        let long_enough = whole(part.sizes[last]) || (last == 0 && part.sizes[0] >= LEAST_RAGGED);
        let in_vectors = target && long_enough && aligned(&operands.outputs[0]) && part.arguments.iter().all(argument);
        if in_vectors { Way::Vectors } else { squares::along(self, part).map_or(Way::Elements, Way::Squares) }
    }
}

/// Elements from which on a row that is no multiple of a vector is done in two dispatches. One costs lavapipe 14 to 21 us, and
/// an element without vectors 1 ns more.
const LEAST_RAGGED: usize = 1 << 14;

/// Whether vectors are made use of.
pub(crate) type Variant = bool;

/// The candidates for a problem on a device, best first.
pub(crate) fn candidates(problem: &Map, operands: &Operands<'_>, profile: &DeviceProfile) -> Vec<Candidate<Variant>> {
    let candidate = |variant, name: &str, why: &str| Candidate { variant, name: name.into(), why: why.into() };
    let scalar = candidate(false, "map/scalar", "runs within any limits");
    if let [part] = &problem.parts[..]
        && let Way::Squares(along) = problem.way(part, operands)
    {
        let (worth_it, why) = squares::reason(part, along, operands, profile);
        let squares = candidate(true, "map/squares", why);
        return if worth_it { vec![squares, scalar] } else { vec![scalar, squares] };
    }
    let ways = problem.parts.iter().map(|part| problem.way(part, operands));
    let (count, parts) = (ways.filter(|way| way.is_in_vectors()).count(), problem.parts.len());
    if count == 0 {
        return vec![scalar];
    }
    let why = match parts {
        1 => "vectors of four at once".to_owned(),
        _ => format!("vectors of four at once in {count} of {parts} parts"),
    };
    vec![candidate(true, "map/vectors", &why), scalar]
}

pub(crate) fn build(
    problem: &Map,
    &in_vectors: &Variant,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Built> {
    let mut built = Built::default();
    for part in &problem.parts {
        if part.sizes.len() > RANK {
            return Err(Error::Limit {
                op: operands.op.into(),
                limit: "dimensions that a kernel counts",
                needed: part.sizes.len() as u64,
                available: RANK as u64,
                hint: "neighbours that are treated alike count as one; do the others in two steps",
            });
        }
        let way = if in_vectors { problem.way(part, operands) } else { Way::Elements };
        if way.is_in_vectors() {
            let along = part.arguments.iter().filter(|argument| argument.strides.last() != Some(&0));
            built.aligned.extend(along.map(|argument| Slot::Input(argument.input)).chain([Slot::Output(0)]));
        }
        for (whole, way) in halves(&part.sizes, way) {
            let pieces = Pieces { op: operands.op, dtype: problem.dtype, part, way };
            for region in split(&pieces, whole, profile)? {
                built.dispatches.push(match way {
                    Way::Squares(along) => {
                        squares::dispatch(&pieces, along, &region, operands, profile, &mut built.aligned)?
                    }
                    _ => dispatch(problem, &pieces, &region, operands, profile)?,
                });
            }
        }
    }
    Ok(built)
}

/// An index space, without what is left of its last dimension after whole vectors; that, if there is any.
fn halves(sizes: &[usize], way: Way) -> Vec<(Region, Way)> {
    let whole = Region::whole(sizes);
    let (Way::Vectors, Some(last)) = (way, sizes.len().checked_sub(1)) else { return vec![(whole, way)] };
    let end = sizes[last] / VECTOR * VECTOR;
    let (mut vectors, mut rest) = (whole.clone(), whole);
    (vectors.0[last].end, rest.0[last].start) = (end, end);
    [(vectors, way), (rest, Way::Elements)].into_iter().filter(|(region, _)| region.len(last) > 0).collect()
}

struct Pieces<'a> {
    op: &'static str,
    dtype: DType,
    part: &'a Part,
    way: Way,
}

impl Pieces<'_> {
    /// Elements of a unit as a divisor of what kernels count in units.
    fn expect_units(&self, region: &Region) -> Result<()> {
        let whole = |range: &Range<usize>| range.start.is_multiple_of(VECTOR) && range.len().is_multiple_of(VECTOR);
        if !self.way.is_in_vectors() || region.0.last().is_none_or(whole) {
            return Ok(());
        }
        Err(Error::Limit {
            op: self.op.into(),
            limit: "whole vectors of a part",
            needed: VECTOR as u64 * self.dtype.size(),
            available: self.dtype.size(),
            hint: "a variant that loads element by element takes its place",
        })
    }

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
        let last = self.part.sizes.len().wrapping_sub(1);
        (0..self.part.sizes.len()).map(|dim| Cut { dim, grain: self.way.grain(dim, last), free: true }).collect()
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
    let Pieces { part, way, .. } = *pieces;
    pieces.expect_units(region)?;
    let (lanes, width) = (if profile.class == Class::Cpu { CPU_LANES } else { LANES }, way.width());
    let mut assembly = Assembly::new(operands.op, MAP, operands.arena());
    assembly.common(GRID).constant("", "WG_X", Value::U32(lanes)).constant("", "WG_Y", Value::U32(1));
    assembly.constant("", "RANK", Value::U32(region.0.len().max(1) as u32));
    assembly.constant("", "Elem", Value::Type(wgsl(*dtype)));
    assembly.constant("", "Word", Value::Type(dtype.word()));
    assembly.constant("", "Unit", Value::Type(way.unit(*dtype))).constant("", "WIDTH", Value::U32(width as u32));

    let elements: usize = region.0.iter().map(|range| range.len()).product();
    let units = region.0.last().map_or(1, |range| range.len() / width);
    let run = way.run(units, profile.class);
    let runs = units.div_ceil(run.max(1));
    let total = elements / width / units.max(1) * runs;
    for (name, value) in [("total", total), ("runs", runs), ("run", run), ("units", units)] {
        assembly.size("", name, value)?;
    }
    for (slot, name) in SIZES.iter().enumerate().take(RANK - 1).skip(1) {
        assembly.size("", name, dimension(slot, region.0.len()).map_or(1, |dim| region.len(dim)))?;
    }
    apply(&mut assembly, *function, *dtype);

    let element = dtype.size();
    let mut moved = 0;
    for (&hook, argument) in function.hooks().iter().zip(&part.arguments) {
        let reach = argument.reach(region);
        moved += reach.end - reach.start;
        let repeats = argument.strides.last() == Some(&0) && argument.padding.is_none();
        let width = if repeats { 1 } else { width };
        strides(&mut assembly, hook, &argument.strides, width, if repeats { RANK - 1 } else { RANK })?;
        match &argument.padding {
            None => assembly.fragment(hook, if repeats { CONSTANT } else { STRIDED }),
            Some(padded) => pad(&mut assembly, hook, padded, region, reach.start, width)?,
        };
        let (slot, element) = (Slot::Input(argument.input), element * width as u64);
        assembly.bind(hook, Binding { slot, range: bytes(reach, *dtype), access: Access::Read, element });
    }
    assembly.fragment("out", STORE);
    strides(&mut assembly, "out", &part.strides, width, RANK)?;
    let (range, unit) = (pieces.out(region), element * width as u64);
    assembly.bind("out", Binding { slot: Slot::Output(0), range, access: Access::Write, element: unit });
    let work = Work { flops: elements as f64, bytes: (moved + elements as u64) as f64 * element as f64 };
    assembly.dispatch(profile, total.div_ceil(lanes as usize) as u64, work)
}

/// The dimension that stands in one of the kernel's six places: the outermost in the first, the last in the last, those between
/// right before that.
fn dimension(place: usize, rank: usize) -> Option<usize> {
    match place {
        0 => (rank > 1).then_some(0),
        _ => (place + rank).checked_sub(RANK).filter(|&dim| dim > 0 || rank == 1),
    }
}

/// The parameters of a strided operand in units of this width, for the first so many places.
fn strides(assembly: &mut Assembly, hook: &str, strides: &[usize], width: usize, places: usize) -> Result<()> {
    for (place, name) in STRIDES.iter().enumerate().take(places) {
        let stride = dimension(place, strides.len()).map_or(0, |dim| strides[dim]);
        // Neighbours are neighbours in any unit.
        assembly.size(hook, name, if place == RANK - 1 { stride } else { stride / width })?;
    }
    Ok(())
}

/// The fragment that computes the value.
fn apply(assembly: &mut Assembly, function: Function, dtype: DType) {
    let float = dtype.is_float();
    let (value, function) = match function {
        Function::Copy => (COPY, None),
        Function::Fill(bits) => {
            assembly.param("value", "bits", Param::U32(bits));
            (FILL, None)
        }
        Function::Unary(kind) => {
            if float {
                activation(assembly, if let UnaryKind::Activation(f) = kind { f } else { Activation::None });
            }
            (ONE, Some((if float { UNARY_FLOAT } else { UNARY_INT }, kind.code())))
        }
        Function::Binary(kind) => (TWO, Some((if float { BINARY_FLOAT } else { BINARY_INT }, kind.code()))),
        Function::Normalize { epsilon, activation: f } => {
            activation(assembly, f);
            assembly.param("value", "epsilon", Param::F32(epsilon));
            (NORMALIZE, None)
        }
    };
    assembly.fragment("value", value);
    if let Some((file, code)) = function {
        assembly.fragment("function", file).constant("function", "FUNCTION", Value::U32(code));
    }
}

/// The fragment and parameters of an operand with padding. `base` is the address at which its bound range starts.
fn pad<'a>(
    assembly: &'a mut Assembly,
    hook: &'static str,
    padded: &Padded,
    region: &Region,
    base: u64,
    width: usize,
) -> Result<&'a mut Assembly> {
    for place in 0..RANK {
        let (size, before) = match dimension(place, padded.sizes.len()) {
            Some(dim) => (padded.sizes[dim] as i64, padded.before[dim] - region.0[dim].start as i64),
            None => (1, 0),
        };
        let units = if place == RANK - 1 { width as i64 } else { 1 };
        // Kernels add a size to a place.
        assembly.place(hook, SIZES[place], size / units)?.place(hook, BEFORE[place], before / units)?;
    }
    assembly.constant(hook, "EDGE", Value::U32(padded.mode.code()));
    assembly.param(hook, "bits", Param::U32(padded.bits)).param(hook, "base", Param::U32((base / width as u64) as u32));
    Ok(assembly.fragment(hook, PADDED))
}
