//! Sliding windows over planes: pooling.

use std::ops::Range;

use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::family::fours::Fours;
use crate::family::{STORE_BYTES, wgsl};
use crate::layout::{DType, Layout};
use crate::plan::{Access, Assembly, Binding, Dispatch, MAX_TRIPS, Param, Slot, Work, too_many_trips};
use crate::problem::{Built, Candidate, Operands};
use crate::profile::{Class, DeviceProfile};
use crate::split::{Cut, Divisible, Region, split};

const POOL: ShaderFile = shader!("window/pool.wgsl");
const SLIDE: ShaderFile = shader!("window/slide.wgsl");
const NO_FOURS: ShaderFile = shader!("epilogue/no_fours.wgsl");
const INDICES: ShaderFile = shader!("epilogue/indices.wgsl");
const NO_INDICES: ShaderFile = shader!("epilogue/no_indices.wgsl");
const WHOLE: ShaderFile = shader!("window/whole.wgsl");
const BYTE_NUMBERS: ShaderFile = shader!("load/byte_numbers.wgsl");
const WORD_NUMBERS: ShaderFile = shader!("load/word_numbers.wgsl");
const SIDE: ShaderFile = shader!("common/side.wgsl");
const GRID: ShaderFile = shader!("common/grid.wgsl");

/// Outputs that are computed and stored at once.
const FOUR: usize = 4;
/// Rows of a strip on GPUs: enough that most rows of the input are loaded for one band, few enough that a plane has many strips.
const GPU_ROWS: usize = 4;
/// Drivers on the CPU load lane by lane, which takes most of the time, so that the vectors loaded are what counts: they are the fewer
/// the wider and the longer a strip is. Wide ones take long to compile: with 126 combinations in a step, those of 7 x 7 windows at a
/// stride of 2 in six fours, 0.8 s, and they run 10 % faster than four fours, which take 0.5 s.
const MOST_COMBINED: usize = 128;
/// Where windows are smaller: of 3 x 3 windows at a stride of 1, 16 fours load 18 vectors of a row, and 32 would load 34.
const MOST_FOURS: usize = 16;
/// Rows of a strip: longer ones load next to nothing less, and their loops would near [`MAX_TRIPS`].
const CPU_ROWS: usize = 128;
/// Strips that keep a few cores busy, of eight lanes each: fewer are cut into bands, which load the rows between them twice.
const CPU_STRIPS: usize = 256;

/// What becomes of the values of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The largest; NaN wins, the first of equals stays.
    Max,
    /// The sum over a divisor.
    Average {
        /// Whether padding counts as elements of the window.
        count_padding: bool,
        /// A divisor for all windows instead of their counts.
        divisor: Option<usize>,
    },
}

/// A window problem: planes of height x width in input 0, pooled planes in output 0, for maxima perhaps their flat
/// indices in output 1. Pairs are (height, width).
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// What is computed.
    pub pooling: Pooling,
    /// Element type: f32, for maxima also i32 and u32.
    pub dtype: DType,
    /// Number of planes.
    pub planes: usize,
    /// Size of an input plane.
    pub size: [usize; 2],
    /// Size of an output plane.
    pub out: [usize; 2],
    /// Size of the window.
    pub kernel: [usize; 2],
    /// Distance of windows.
    pub stride: [usize; 2],
    /// Padding at top, left, bottom, right.
    pub padding: [usize; 4],
    /// Distance of a window's elements.
    pub dilation: [usize; 2],
    /// Windows share the plane evenly instead of striding.
    pub adaptive: bool,
    /// The zero point of whole numbers of 8 bits: bytes, or words of four channels, planes then.
    pub zero: Option<i32>,
}

/// A body with its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Which body.
    pub body: Body,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

/// The bodies of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// An output an invocation, for windows of any kind.
    Pool,
    /// Strips of outputs, for small windows.
    Slide(Strip),
    /// A word of outputs an invocation, of whole numbers of 8 bits.
    Whole,
}

/// The outputs of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Strip {
    /// Rows, one after the other.
    pub rows: usize,
    /// Fours of neighbours in a row.
    pub fours: usize,
}

impl Window {
    /// Whether a kernel may be written out for the window: none of its elements is skipped, and they are few.
    fn is_small(&self) -> bool {
        // A global average of 8 x 8 is the largest that networks use; above, the text of the kernel grows past its use.
        const MOST: usize = 64;
        let overlaps = |i: usize| self.stride[i] <= self.kernel[i];
        !self.adaptive
            && self.dilation == [1, 1]
            && overlaps(0)
            && overlaps(1)
            && self.kernel[0] * self.kernel[1] <= MOST
    }

    /// Fours of outputs in a row, the last one perhaps in part.
    fn fours(&self) -> usize {
        self.out[1].div_ceil(FOUR)
    }

    fn strip(&self, class: Class) -> Strip {
        if class != Class::Cpu {
            // Neighbouring invocations move neighbouring vectors. Where windows do not overlap rows have nothing to share.
            let most = if self.kernel[0] > self.stride[0] { GPU_ROWS } else { 1 };
            return Strip { rows: most.min(self.out[0]), fours: 1 };
        }
        let combined = self.stride[0] * self.kernel[1] + self.kernel[0];
        let widest = (MOST_COMBINED / combined).clamp(1, MOST_FOURS);
        let strips = self.fours().div_ceil(widest);
        let bands = self.out[0].div_ceil(CPU_ROWS).max(CPU_STRIPS.div_ceil(self.planes.max(1) * strips));
        let rows = self.out[0].div_ceil(bands).max(2 * self.kernel[0]).min(self.out[0]);
        Strip { rows, fours: self.fours().div_ceil(strips) }
    }
}

/// The candidates for a problem on a device, best first.
pub(crate) fn candidates(problem: &Window, profile: &DeviceProfile) -> Vec<Candidate<Variant>> {
    // One subgroup of lavapipe is 8 lanes; 64 fill two subgroups of 32 or one of 64.
    let (lanes, why) = if profile.class == Class::Cpu {
        (8, "class Cpu: a workgroup is one subgroup of 8 lanes")
    } else {
        (64, "an invocation for each output; no device has wider subgroups")
    };
    let mut list = Vec::new();
    if problem.zero.is_some() {
        let variant = Variant { body: Body::Whole, lanes };
        list.push(Candidate { variant, name: format!("window/whole {lanes}"), why: why.into() });
        return list;
    }
    if problem.is_small() {
        let strip = problem.strip(profile.class);
        let name = format!("window/slide {}x{}", strip.rows, strip.fours * FOUR);
        let why = format!("windows of {:?} slide down: each row is loaded once for all that hold it", problem.kernel);
        list.push(Candidate { variant: Variant { body: Body::Slide(strip), lanes }, name, why });
    }
    let variant = Variant { body: Body::Pool, lanes };
    list.push(Candidate { variant, name: format!("window/pool {lanes}"), why: why.into() });
    list
}

struct Pieces<'a> {
    op: &'static str,
    problem: &'a Window,
    indices: bool,
}

impl Pieces<'_> {
    fn bytes(planes: &Range<usize>, size: [usize; 2], dtype: DType) -> Range<u64> {
        let plane = (size[0] as u64).saturating_mul(size[1] as u64).saturating_mul(dtype.size());
        (planes.start as u64).saturating_mul(plane)..(planes.end as u64).saturating_mul(plane)
    }

    /// Rows and columns of the largest window.
    fn sides(&self) -> [usize; 2] {
        let p = self.problem;
        [0, 1].map(|i| match p.adaptive {
            // An input of a multiple of the output's size is cut evenly; else windows overlap by up to one at each end.
            true if p.size[i].is_multiple_of(p.out[i]) => p.size[i] / p.out[i],
            true => (p.size[i].div_ceil(p.out[i]) + 1).min(p.size[i]),
            false => p.kernel[i].min(p.size[i]),
        })
    }

    /// Elements of the largest window.
    fn window(&self) -> usize {
        self.sides().iter().product()
    }

    /// The largest number that the kernel forms along a side: it counts in 32 bits.
    fn reach(&self, i: usize) -> u128 {
        let p = self.problem;
        let wide = |n: usize| n as u128;
        if p.adaptive {
            return wide(p.out[i]) * wide(p.size[i]) + wide(p.out[i]);
        }
        let padded = wide(p.size[i]) + wide(p.padding[i]) + wide(p.padding[i + 2]);
        let last = wide(p.out[i].saturating_sub(1)) * wide(p.stride[i]) + wide(p.kernel[i]) * wide(p.dilation[i]);
        padded.max(last) + wide(p.dilation[i])
    }
}

impl Divisible for Pieces<'_> {
    fn op(&self) -> &'static str {
        self.op
    }

    fn cuts(&self) -> Vec<Cut> {
        // Planes of bytes begin within words: those of a multiple of four do not.
        let grain = if self.problem.dtype.size() == 1 { FOUR } else { 1 };
        vec![Cut { dim: 0, grain, free: true }]
    }

    fn spans(&self, region: &Region) -> Vec<(Slot, Range<u64>)> {
        let planes = &region.0[0];
        let Window { size, out, dtype, .. } = *self.problem;
        let span = |slot, size, dtype| (slot, Self::bytes(planes, size, dtype));
        let mut spans = vec![span(Slot::Input(0), size, dtype), span(Slot::Output(0), out, dtype)];
        spans.extend(self.indices.then(|| span(Slot::Output(1), out, DType::U32)));
        spans
    }

    fn flops(&self, region: &Region) -> f64 {
        let outputs = region.len(0) as f64 * self.problem.out[0] as f64 * self.problem.out[1] as f64;
        outputs * self.window() as f64
    }
}

pub(crate) fn build(
    problem: &Window,
    variant: &Variant,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Built> {
    let indices = operands.outputs.len() > 1;
    let pieces = Pieces { op: operands.op, problem, indices };
    for side in [0, 1] {
        let reach = pieces.reach(side);
        if reach > u128::from(u32::MAX) {
            return Err(Error::Limit {
                op: operands.op.into(),
                limit: "u32 index",
                needed: u64::try_from(reach).unwrap_or(u64::MAX),
                available: u64::from(u32::MAX),
                hint: "use smaller planes, padding or dilation",
            });
        }
    }
    let mut built = Built::default();
    let ways = Ways::of(problem, operands);
    if let Body::Slide(_) = variant.body {
        built.aligned = ways.aligned(operands.outputs.len());
    } else {
        // Each row of a window is one trip of the outer loop beside those of the inner one.
        let trips = pieces.window() + pieces.sides()[0];
        if trips > MAX_TRIPS {
            return Err(too_many_trips(operands.op, trips));
        }
    }
    for region in split(&pieces, Region::whole(&[problem.planes]), profile)? {
        built.dispatches.push(match variant.body {
            Body::Pool => pool(&pieces, variant.lanes, &region, operands, profile)?,
            Body::Whole => whole(&pieces, variant.lanes, &region, operands, profile)?,
            Body::Slide(strip) => slide(&pieces, (variant.lanes, strip), ways, &region, operands, profile)?,
        });
    }
    Ok(built)
}

/// What all bodies are told of the pooling.
fn pooling(assembly: &mut Assembly, problem: &Window, lanes: u32) {
    let (maximum, count_padding) = match problem.pooling {
        Pooling::Max => (true, false),
        Pooling::Average { count_padding, .. } => (false, count_padding),
    };
    assembly.common(GRID).constant("", "WG_X", Value::U32(lanes)).constant("", "WG_Y", Value::U32(1));
    assembly.constant("", "MAXIMUM", Value::Bool(maximum)).constant("", "COUNT_PADDING", Value::Bool(count_padding));
}

/// What the bodies for elements of 32 and 16 bits are told of it.
fn constants(assembly: &mut Assembly, problem: &Window, lanes: u32) {
    let divisor = match problem.pooling {
        Pooling::Max => None,
        Pooling::Average { divisor, .. } => divisor,
    };
    pooling(assembly, problem, lanes);
    assembly.constant("", "Elem", Value::Type(wgsl(problem.dtype)));
    assembly.constant("", "Word", Value::Type(problem.dtype.word()));
    assembly.constant("", "FLOAT", Value::Bool(problem.dtype.is_float()));
    assembly.param("", "divisor", Param::F32(divisor.unwrap_or(0) as f32));
}

/// Binds a region's operands, elements of so many bytes each; returns the bytes that move.
fn bind(assembly: &mut Assembly, pieces: &Pieces<'_>, region: &Region, elements: [u64; 3]) -> u64 {
    let spans = pieces.spans(region);
    let hooks = [("input", Access::Read), ("output", Access::Write), ("indices", Access::Write)];
    for (((slot, range), (hook, access)), element) in spans.iter().cloned().zip(hooks).zip(elements) {
        assembly.bind(hook, Binding { slot, range, access, element });
    }
    spans.iter().map(|(_, span)| span.end - span.start).sum()
}

/// A dispatch of the body for windows of any kind.
fn pool(
    pieces: &Pieces<'_>,
    lanes: u32,
    region: &Region,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Dispatch> {
    let problem = pieces.problem;
    let mut assembly = Assembly::new(operands.op, POOL, operands.arena());
    constants(&mut assembly, problem, lanes);
    let element = problem.dtype.size();
    let bytes = bind(&mut assembly, pieces, region, [element, element, DType::U32.size()]);
    assembly.fragment("indices", if pieces.indices { INDICES } else { NO_INDICES });
    let total = sizes(&mut assembly, problem, region)?;
    let work = Work { flops: pieces.flops(region), bytes: bytes as f64 };
    assembly.dispatch(profile, (total as u64).div_ceil(lanes.into()), work)
}

/// A dispatch of the body for whole numbers of 8 bits.
fn whole(
    pieces: &Pieces<'_>,
    lanes: u32,
    region: &Region,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Dispatch> {
    let problem = pieces.problem;
    let in_bytes = problem.dtype.size() == 1;
    let mut assembly = Assembly::new(operands.op, WHOLE, operands.arena());
    pooling(&mut assembly, problem, lanes);
    assembly.constant("", "LEAST", Value::I32(if problem.dtype == DType::U8 { 0 } else { -128 }));
    let outputs = if in_bytes { FOUR } else { 1 };
    assembly.constant("", "OUTPUTS", Value::U32(outputs as u32));
    assembly.fragment("input", if in_bytes { BYTE_NUMBERS } else { WORD_NUMBERS });
    assembly.fragment("out", STORE_BYTES);
    let spans = pieces.spans(region);
    let mut moved = 0;
    for ((slot, range), (hook, access, element)) in
        spans.into_iter().zip([("input", Access::Read, problem.dtype.size()), ("out", Access::Write, 4)])
    {
        let bytes = range.end - range.start;
        moved += bytes;
        assembly.constant(hook, "Elem", Value::Type("u32")).bind(hook, Binding { slot, range, access, element });
        if hook == "out" {
            assembly.size("out", "bytes", usize::try_from(bytes).unwrap_or(usize::MAX))?;
        }
    }
    assembly.param("", "zero", Param::I32(problem.zero.unwrap_or(0)));
    let total = sizes(&mut assembly, problem, region)?;
    let work = Work { flops: pieces.flops(region), bytes: moved as f64 };
    assembly.dispatch(profile, (total.div_ceil(outputs) as u64).div_ceil(lanes.into()), work)
}

/// What the bodies for windows of any kind are told of them. Returns the outputs of a region.
fn sizes(assembly: &mut Assembly, problem: &Window, region: &Region) -> Result<usize> {
    assembly.common(SIDE).constant("", "ADAPTIVE", Value::Bool(problem.adaptive));
    let [top, left, bottom, right] = problem.padding;
    let total = region.len(0) * problem.out[0] * problem.out[1];
    for (name, value) in [
        ("total", total),
        ("height", problem.size[0]),
        ("width", problem.size[1]),
        ("out_height", problem.out[0]),
        ("out_width", problem.out[1]),
        ("kernel_height", problem.kernel[0]),
        ("kernel_width", problem.kernel[1]),
        ("stride_height", problem.stride[0]),
        ("stride_width", problem.stride[1]),
        ("top", top),
        ("left", left),
        ("bottom", bottom),
        ("right", right),
        ("dilation_height", problem.dilation[0]),
        ("dilation_width", problem.dilation[1]),
    ] {
        assembly.size("", name, value)?;
    }
    Ok(total)
}

/// How planes are moved: those of the input, and those of the outputs.
#[derive(Clone, Copy)]
struct Ways {
    input: Fours,
    outputs: Fours,
}

impl Ways {
    fn of(problem: &Window, operands: &Operands<'_>) -> Self {
        let of = |layouts: &[Layout], width| {
            let ways = layouts.iter().map(|layout| Fours::of(layout, [width]));
            ways.reduce(|x, y| if x == y { x } else { Fours::Elements }).unwrap_or(Fours::Elements)
        };
        Ways { input: of(operands.inputs, problem.size[1]), outputs: of(operands.outputs, problem.out[1]) }
    }

    /// The operands that are moved in vectors.
    fn aligned(self, outputs: usize) -> Vec<Slot> {
        let input = (self.input == Fours::Vectors).then_some(Slot::Input(0));
        let outputs = if self.outputs == Fours::Vectors { outputs } else { 0 };
        input.into_iter().chain((0..outputs).map(Slot::Output)).collect()
    }
}

/// A dispatch of the body for small windows.
fn slide(
    pieces: &Pieces<'_>,
    (lanes, strip): (u32, Strip),
    ways: Ways,
    region: &Region,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Dispatch> {
    let problem = pieces.problem;
    let mut assembly = Assembly::new(operands.op, SLIDE, operands.arena());
    constants(&mut assembly, problem, lanes);
    let [top, left, bottom, right] = problem.padding;
    for (name, value) in [
        ("FOURS", strip.fours),
        ("KERNEL_H", problem.kernel[0]),
        ("KERNEL_W", problem.kernel[1]),
        ("STRIDE_H", problem.stride[0]),
        ("STRIDE_W", problem.stride[1]),
        ("TOP", top),
        ("LEFT", left),
    ] {
        // All are at most a small window's side, or a strip's width.
        assembly.constant("", name, Value::U32(value as u32));
    }
    // What neither wins a maximum nor adds to a sum.
    let nothing = match (problem.pooling, problem.dtype) {
        (Pooling::Max, DType::F32 | DType::F16) => f32::NEG_INFINITY.to_bits(),
        (Pooling::Max, DType::I32) => i32::MIN as u32,
        _ => 0,
    };
    assembly.constant("", "NOTHING", Value::U32(nothing)).constant("", "INDICES", Value::Bool(pieces.indices));
    let (input, out) = (ways.input, ways.outputs);
    let bytes = bind(
        &mut assembly,
        pieces,
        region,
        [input.bytes(problem.dtype), out.bytes(problem.dtype), out.bytes(DType::U32)],
    );
    assembly.fragment("input", input.load()).fragment("output", out.store());
    assembly.fragment("indices", if pieces.indices { out.store() } else { NO_FOURS });
    if pieces.indices {
        assembly.constant("indices", "Elem", Value::Type("u32"));
    }
    let (strips, bands) = (problem.fours().div_ceil(strip.fours), problem.out[0].div_ceil(strip.rows));
    let total = region.len(0) * bands * strips;
    for (name, value) in [
        ("total", total),
        ("strips", strips),
        ("fours", problem.fours()),
        ("rows", strip.rows),
        ("bands", bands),
        ("height", problem.size[0]),
        ("width", problem.size[1]),
        ("out_height", problem.out[0]),
        ("out_width", problem.out[1]),
        ("bottom", bottom),
        ("right", right),
    ] {
        assembly.size("", name, value)?;
    }
    let work = Work { flops: pieces.flops(region), bytes: bytes as f64 };
    assembly.dispatch(profile, (total as u64).div_ceil(lanes.into()), work)
}
