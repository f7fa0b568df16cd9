//! Quantization: floats kept in few bits, and back. The kernels round in whole numbers, so that every device gives the same bits.

use super::fours::Fours;
use super::mask::{Kernel, expect_trips, lanes};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::family::{LOAD_BYTES, LOAD_VALUES, STORE_VALUES, wgsl};
use crate::layout::{DType, Layout, count};
use crate::op::quantize::{Granularity, QuantLayout, QuantType};
use crate::plan::{Access, Dispatch, Param, Slot};
use crate::problem::{Built, Candidate, Operands};
use crate::profile::{Class, DeviceProfile};

const QUANTIZE: ShaderFile = shader!("quantize/quantize.wgsl");
const DEQUANTIZE: ShaderFile = shader!("quantize/dequantize.wgsl");
const RANGES: ShaderFile = shader!("quantize/ranges.wgsl");
const SCALES: ShaderFile = shader!("quantize/scales.wgsl");
const MAGNITUDES: ShaderFile = shader!("quantize/magnitudes.wgsl");
const MEANS: ShaderFile = shader!("quantize/means.wgsl");
const FAKE: ShaderFile = shader!("quantize/fake.wgsl");
const PACK: ShaderFile = shader!("quantize/pack.wgsl");
const UNPACK: ShaderFile = shader!("quantize/unpack.wgsl");
const LINEAR: ShaderFile = shader!("quantize/linear.wgsl");
const OF_BYTES: ShaderFile = shader!("quantize/numbers.wgsl");
const EXTREMES: ShaderFile = shader!("quantize/extremes.wgsl");
const CARRY: ShaderFile = shader!("quantize/carry.wgsl");
const HISTOGRAM: ShaderFile = shader!("quantize/histogram.wgsl");
const WORDS: ShaderFile = shader!("quantize/words.wgsl");
const QUOTIENT: ShaderFile = shader!("quantize/quotient.wgsl");
const SATURATED: ShaderFile = shader!("quantize/saturated.wgsl");
const LEVEL: ShaderFile = shader!("quantize/level.wgsl");
const SCALE: ShaderFile = shader!("quantize/scale.wgsl");
const GROUPS: ShaderFile = shader!("quantize/groups.wgsl");
const ONE_GROUP: ShaderFile = shader!("quantize/one_group.wgsl");
const WORD_GROUP: ShaderFile = shader!("quantize/word_group.wgsl");
const MEMBERS: ShaderFile = shader!("quantize/members.wgsl");
const NEIGHBOURS: ShaderFile = shader!("quantize/neighbours.wgsl");
const ZEROS: ShaderFile = shader!("quantize/zeros.wgsl");
const NO_ZEROS: ShaderFile = shader!("quantize/no_zeros.wgsl");
const NO_ZEROS_OUT: ShaderFile = shader!("quantize/no_zeros_out.wgsl");

/// What is computed. Inputs and outputs are those of the ops, in their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Quantize {
    /// Numbers into planes, by scales that are given.
    Values(QuantLayout),
    /// Planes into numbers.
    Numbers(QuantLayout),
    /// Numbers into planes, by scales of their own.
    Dynamic(QuantLayout),
    /// Numbers into planes and back into numbers.
    Fake(QuantLayout),
    /// Bytes into a plane of values.
    Pack(QuantLayout),
    /// A plane of values into bytes.
    Unpack(QuantLayout),
    /// Numbers into bytes, by scales that are given.
    Bytes(Scaling),
    /// Bytes into numbers.
    OfBytes(Scaling),
    /// Numbers into bytes, by a scale of their own.
    DynamicBytes,
    /// The ranges of numbers, beside what was found before.
    Ranges(QuantLayout),
    /// How many numbers begin with which bits, beside what was counted before.
    Histogram {
        /// How many bits of a number are left out.
        shift: u32,
    },
}

/// What of bytes shares a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// All elements.
    One,
    /// Those of an index along an axis, or of a block of neighbours along it.
    Axis {
        /// Elements before it, along it and behind it.
        sizes: [usize; 3],
        /// Elements of a block; none are blocks for all of what lies before the axis and behind it.
        block: Option<usize>,
    },
}

/// What shares a scale: an element's index is (outer, axis, inner), and blocks lie along the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Groups {
    /// Sizes.
    outer: usize,
    axis: usize,
    inner: usize,
    /// Elements of the axis that share a scale.
    block: usize,
    /// How scales lie: between outer indices, blocks, inner indices.
    strides: [usize; 3],
}

impl From<Scaling> for Groups {
    fn from(scaling: Scaling) -> Self {
        match scaling {
            Scaling::One => Groups { outer: 1, axis: 1, inner: 1, block: 1, strides: [0; 3] },
            Scaling::Axis { sizes: [outer, axis, inner], block: None } => {
                Groups { outer, axis, inner, block: 1, strides: [0, 1, 0] }
            }
            Scaling::Axis { sizes: [outer, axis, inner], block: Some(block) } => {
                Groups { outer, axis, inner, block, strides: [axis.div_ceil(block) * inner, inner, 1] }
            }
        }
    }
}

impl Groups {
    /// Of a tensor's planes.
    fn of(layout: &QuantLayout) -> Result<Self> {
        let [rows, columns] = layout.matrix()?;
        Ok(match layout.scheme.granularity {
            Granularity::Tensor => Groups { outer: 1, axis: 1, inner: rows * columns, block: 1, strides: [0; 3] },
            Granularity::Channel(axis) => {
                let sizes = &layout.shape;
                let (outer, inner) = (count(&sizes[..axis]), count(&sizes[axis + 1..]));
                Groups { outer, axis: sizes[axis], inner, block: 1, strides: [0, 1, 0] }
            }
            Granularity::Block(block) => {
                Groups { outer: rows, axis: columns, inner: 1, block, strides: [columns.div_ceil(block), 1, 0] }
            }
        })
    }

    /// Whether there is one scale for all.
    fn is_one(&self) -> bool {
        self.strides == [0; 3]
    }

    /// Scales.
    fn count(&self) -> usize {
        let [outer, axis, _] = self.strides;
        match (outer, axis) {
            (0, 0) => 1,
            (0, _) => self.axis.div_ceil(self.block),
            _ => self.outer * outer,
        }
    }

    /// Lets a kernel find the scale of an element.
    fn find<'a>(&self, mut kernel: Kernel<'a>) -> Result<Kernel<'a>> {
        if self.is_one() {
            kernel.assembly().common(ONE_GROUP);
            return Ok(kernel);
        }
        kernel.assembly().common(GROUPS);
        let [outer, axis, inner] = self.strides;
        let kernel = kernel.size("inner", self.inner)?.size("size", self.axis)?.size("block", self.block)?;
        kernel.size("outer_stride", outer)?.size("axis_stride", axis)?.size("inner_stride", inner)
    }

    /// Whether the elements of a scale are neighbours.
    fn in_runs(&self) -> bool {
        self.strides[0] > 0 || self.outer == 1
    }

    /// How scales and their elements lie in rows: groups of a row, between rows, between groups of a row, and elements of a row.
    fn rows(&self) -> [usize; 4] {
        if self.strides[0] > 0 {
            [self.strides[0], self.axis * self.inner, self.block, self.axis]
        } else {
            [self.count().max(1), 0, self.inner, u32::MAX as usize]
        }
    }

    /// Elements of a scale, at the most.
    fn members(&self) -> usize {
        if self.strides[0] > 0 { self.block } else { self.outer * self.inner }
    }

    /// Invocations that walk them: as many as each then makes steps, so that neither walking nor gathering takes long.
    fn parts(&self) -> usize {
        let fours = self.members().div_ceil(4);
        if fours <= 32 { 1 } else { fours.isqrt().next_multiple_of(8) }
    }
}

/// The one candidate.
pub(crate) fn candidates(problem: &Quantize) -> Vec<Candidate<()>> {
    let name = match problem {
        Quantize::Values(_) => "quantize/values",
        Quantize::Numbers(_) => "quantize/numbers",
        Quantize::Dynamic(_) => "quantize/dynamic",
        Quantize::Fake(_) => "quantize/fake",
        Quantize::Pack(_) => "quantize/pack",
        Quantize::Unpack(_) => "quantize/unpack",
        Quantize::Bytes(_) => "quantize/linear",
        Quantize::OfBytes(_) => "quantize/linear numbers",
        Quantize::DynamicBytes => "quantize/dynamic linear",
        Quantize::Ranges(_) => "quantize/ranges",
        Quantize::Histogram { .. } => "quantize/histogram",
    };
    vec![Candidate { variant: (), name: name.into(), why: "runs within any limits".into() }]
}

/// The constants of a type of values.
fn constants(kernel: &mut Kernel<'_>, values: QuantType) {
    let [low, high] = values.range();
    let bits = values.bits() as u32;
    kernel.assembly().constant("", "BITS", Value::U32(bits)).constant("", "PER_WORD", Value::U32(32 / bits));
    kernel.assembly().constant("", "LOW", Value::I32(low)).constant("", "HIGH", Value::I32(high));
}

pub(crate) fn build(problem: &Quantize, operands: &Operands<'_>, profile: &DeviceProfile) -> Result<Built> {
    let build = Build { operands, profile };
    let one = |dispatch| Ok::<_, Error>(Built::scalar(vec![dispatch]));
    let mut built = match problem {
        Quantize::Values(layout) => one(build.values(layout, Scales::Given)?),
        Quantize::Numbers(layout) => one(build.numbers(layout)?),
        Quantize::Dynamic(layout) => build.dynamic(layout),
        Quantize::Fake(layout) => one(build.fake(layout)?),
        Quantize::Pack(layout) => one(build.pack(layout)?),
        Quantize::Unpack(layout) => one(build.unpack(layout)?),
        Quantize::Bytes(scaling) => one(build.bytes(&(*scaling).into(), Scales::Given)?),
        Quantize::OfBytes(scaling) => one(build.of_bytes(&(*scaling).into())?),
        Quantize::DynamicBytes => {
            let groups = Groups { inner: operands.inputs[0].len(), ..Scaling::One.into() };
            let mut built = build.scales(&groups, of(operands.outputs[0].dtype), false)?;
            built.dispatches.push(build.bytes(&groups, Scales::Found)?);
            Ok(built)
        }
        Quantize::Ranges(layout) => build.extremes(&Groups::of(layout)?),
        Quantize::Histogram { shift } => Ok(Built::scalar(build.histogram(*shift)?)),
    }?;
    built.aligned = vectors(&built.dispatches, operands);
    Ok(built)
}

/// The operands of floats that are read or written in vectors.
fn vectors(dispatches: &[Dispatch], operands: &Operands<'_>) -> Vec<Slot> {
    let in_vectors = |slot: Slot, layout: &Layout| {
        let bindings = dispatches.iter().flat_map(|dispatch| &dispatch.bindings);
        let own = bindings.filter(|binding| binding.slot == slot).any(|own| own.element > layout.dtype.size());
        layout.dtype.is_float() && own
    };
    let inputs = operands.inputs.iter().enumerate().map(|(i, layout)| (Slot::Input(i), layout));
    let outputs = operands.outputs.iter().enumerate().map(|(i, layout)| (Slot::Output(i), layout));
    inputs.chain(outputs).filter(|(slot, layout)| in_vectors(*slot, layout)).map(|(slot, _)| slot).collect()
}

/// The values of a type of bytes.
fn of(dtype: DType) -> QuantType {
    if dtype == DType::U8 { QuantType::U8 } else { QuantType::I8 }
}

/// Where scales and zero points come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scales {
    /// From inputs after the first.
    Given,
    /// From outputs after the first, which other dispatches have written.
    Found,
}

struct Build<'a> {
    operands: &'a Operands<'a>,
    profile: &'a DeviceProfile,
}

impl<'a> Build<'a> {
    fn kernel(&self, body: ShaderFile) -> Kernel<'a> {
        Kernel::new(body, lanes(self.profile), self.operands, self.profile)
    }

    /// The dispatch over so many words, several an invocation where workgroups are what costs.
    fn over(&self, mut kernel: Kernel<'a>, words: usize) -> Result<Dispatch> {
        kernel.assembly().common(WORDS);
        // A workgroup of lavapipe's costs as much as some forty elements; 128 of them keep its threads busy.
        let run = if self.profile.class == Class::Cpu { (words / (128 * 8)).clamp(1, 32) } else { 1 };
        kernel.size("words", words)?.size("run", run)?.dispatch(words.div_ceil(run))
    }

    /// A kernel over the words of a plane of values.
    fn over_words(&self, body: ShaderFile, layout: &QuantLayout) -> Result<(Kernel<'a>, usize)> {
        let ([rows, columns], pitch) = (layout.matrix()?, layout.pitch()?);
        let mut kernel = self.kernel(body);
        constants(&mut kernel, layout.scheme.values);
        let words = rows * pitch;
        Ok((kernel.size("columns", columns)?.size("pitch", pitch)?, words))
    }

    /// The same with the scale of each.
    fn over_scaled_words(&self, body: ShaderFile, layout: &QuantLayout) -> Result<(Kernel<'a>, usize)> {
        let (kernel, words) = self.over_words(body, layout)?;
        let mut kernel = Groups::of(layout)?.find(kernel)?;
        // Rows end with their words, and words with blocks.
        let apart = matches!(layout.scheme.granularity, Granularity::Channel(axis) if axis > 0);
        let rows = layout.scheme.granularity == Granularity::Channel(0);
        kernel.assembly().common(WORD_GROUP).constant("", "ROWS", Value::Bool(rows));
        kernel.assembly().constant("", "SHARED", Value::Bool(!apart));
        Ok((kernel, words))
    }

    /// A kernel over fours of elements of the first output, and how many those are.
    fn over_fours(&self, body: ShaderFile, values: QuantType) -> Result<(Kernel<'a>, usize)> {
        let mut kernel = self.kernel(body);
        constants(&mut kernel, values);
        let total = self.operands.outputs[0].len();
        let words = total.div_ceil(4);
        Ok((kernel.size("total", total)?, words))
    }

    /// Binds scales and zero points.
    fn scaled(&self, kernel: Kernel<'a>, scales: Scales) -> Result<Kernel<'a>> {
        let (slot, all): (fn(usize) -> Slot, _) = match scales {
            Scales::Given => (Slot::Input, self.operands.inputs),
            Scales::Found => (Slot::Output, self.operands.outputs),
        };
        let mut kernel = kernel.bits("scales", slot(1))?;
        if all.len() > 2 {
            return kernel.bytes("zeros", ZEROS, slot(2));
        }
        kernel.assembly().fragment("zeros", NO_ZEROS);
        Ok(kernel)
    }

    /// Writes numbers, of given scales.
    fn to_numbers(&self, (mut kernel, items): (Kernel<'a>, usize), row: usize) -> Result<Dispatch> {
        let numbers = &self.operands.outputs[0];
        kernel.assembly().common(LEVEL).constant("", "Elem", Value::Type(wgsl(numbers.dtype)));
        let kernel = self.scaled(kernel, Scales::Given)?.fours_out("out", Fours::of(numbers, [row]), 0)?;
        self.over(kernel, items)
    }

    fn values(&self, layout: &QuantLayout, scales: Scales) -> Result<Dispatch> {
        let (mut kernel, words) = self.over_scaled_words(QUANTIZE, layout)?;
        kernel.assembly().common(QUOTIENT).common(SATURATED);
        let kernel = self.read_fours(kernel, layout.matrix()?[1])?;
        self.over(self.scaled(kernel, scales)?.output("out", 0)?, words)
    }

    fn numbers(&self, layout: &QuantLayout) -> Result<Dispatch> {
        let (kernel, words) = self.over_scaled_words(DEQUANTIZE, layout)?;
        self.to_numbers((kernel.input("values", LOAD_VALUES, 0)?, words), layout.matrix()?[1])
    }

    fn fake(&self, layout: &QuantLayout) -> Result<Dispatch> {
        let (kernel, fours) = self.over_fours(FAKE, layout.scheme.values)?;
        let mut kernel = Groups::of(layout)?.find(kernel)?;
        kernel.assembly().common(QUOTIENT).common(SATURATED);
        let total = self.operands.outputs[0].len();
        self.to_numbers((self.read_fours(kernel, total)?, fours), total)
    }

    fn pack(&self, layout: &QuantLayout) -> Result<Dispatch> {
        let (kernel, words) = self.over_words(PACK, layout)?;
        self.over(kernel.bytes("x", LOAD_BYTES, Slot::Input(0))?.output("out", 0)?, words)
    }

    fn unpack(&self, layout: &QuantLayout) -> Result<Dispatch> {
        let (mut kernel, words) = self.over_fours(UNPACK, layout.scheme.values)?;
        kernel.assembly().common(LEVEL);
        let kernel = kernel.size("columns", layout.matrix()?[1])?.size("pitch", layout.pitch()?)?;
        self.over(kernel.input("values", LOAD_VALUES, 0)?.output_bytes("out", 0)?, words)
    }

    fn bytes(&self, groups: &Groups, scales: Scales) -> Result<Dispatch> {
        let (kernel, words) = self.over_fours(LINEAR, of(self.operands.outputs[0].dtype))?;
        let mut kernel = groups.find(kernel)?;
        kernel.assembly().common(QUOTIENT).common(SATURATED);
        let kernel = self.read_fours(kernel, self.operands.inputs[0].len())?;
        self.over(self.scaled(kernel, scales)?.output_bytes("out", 0)?, words)
    }

    fn of_bytes(&self, groups: &Groups) -> Result<Dispatch> {
        let (kernel, fours) = self.over_fours(OF_BYTES, of(self.operands.inputs[0].dtype))?;
        let kernel = groups.find(kernel)?.bytes("x", LOAD_BYTES, Slot::Input(0))?;
        self.to_numbers((kernel, fours), self.operands.outputs[0].len())
    }

    fn dynamic(&self, layout: &QuantLayout) -> Result<Built> {
        let groups = Groups::of(layout)?;
        let mut built = if layout.scheme.values == QuantType::Binary {
            self.means(&groups)?
        } else {
            self.scales(&groups, layout.scheme.values, layout.scheme.symmetric)?
        };
        built.dispatches.push(self.values(layout, Scales::Found)?);
        Ok(built)
    }

    /// A kernel that walks the elements of each scale of the first input in parts.
    fn walking(&self, body: ShaderFile, groups: &Groups) -> Result<Kernel<'a>> {
        let (members, parts) = (groups.members(), groups.parts());
        expect_trips(self.operands.op, members.div_ceil(4).div_ceil(parts))?;
        expect_trips(self.operands.op, 5 * (parts + 1))?;
        let mut kernel = self.kernel(body);
        let row = if groups.strides[0] > 0 { groups.axis } else { groups.inner };
        let kernel = match groups.in_runs() {
            true => {
                kernel.assembly().common(NEIGHBOURS);
                let [across, row_stride, step, limit] = groups.rows();
                let kernel = self.read_fours(kernel, row)?.size("across", across)?.size("row_stride", row_stride)?;
                kernel.size("step", step)?.size("limit", limit)?
            }
            false => {
                kernel.assembly().common(MEMBERS);
                let (inner, stride) = (groups.inner, groups.axis * groups.inner);
                let kernel = kernel.bits("x", Slot::Input(0))?.size("step", inner)?;
                kernel.size("run", inner.max(1))?.size("stride", stride)?
            }
        };
        kernel.size("count", members)?.size("groups", groups.count())?.size("parts", parts)
    }

    /// Reads rows of numbers in fours, as the bits that they have as f32.
    fn read_fours(&self, mut kernel: Kernel<'a>, row: usize) -> Result<Kernel<'a>> {
        let numbers = &self.operands.inputs[0];
        let half = numbers.dtype == DType::F16;
        let [wide, word] = if half { ["vec4<f32>", "f32"] } else { ["vec4<u32>", "u32"] };
        kernel.assembly().constant("", "Wide", Value::Type(wide)).constant("", "Word", Value::Type(word));
        kernel.assembly().constant("", "NOTHING", Value::U32(0));
        kernel.fours_in("x", Fours::of(numbers, [row]), 0)
    }

    /// A kernel that gathers the parts and stores scales.
    fn gathering(&self, body: ShaderFile, groups: &Groups) -> Result<Kernel<'a>> {
        let dtype = self.operands.outputs[1].dtype;
        let mut kernel = self.kernel(body);
        kernel.assembly().common(SCALE).constant("", "HALVES", Value::Bool(dtype == DType::F16));
        kernel.assembly().constant("", "ScaleElem", Value::Type(wgsl(dtype)));
        kernel.output("scales", 1)?.size("groups", groups.count())?.size("parts", groups.parts())
    }

    /// The ranges of parts, in scratch memory, and how many words those are.
    fn ranges(&self, groups: &Groups) -> Result<(Dispatch, u64)> {
        let parts = groups.count() * groups.parts();
        let found = 2 * parts as u64;
        let kernel = self.walking(RANGES, groups)?.scratch("ranges", STORE_VALUES, 0, found, Access::Write)?;
        Ok((kernel.dispatch(parts)?, found))
    }

    /// The ranges of parts, together with those before.
    fn extremes(&self, groups: &Groups) -> Result<Built> {
        let (ranges, found) = self.ranges(groups)?;
        let kernel = self.kernel(EXTREMES).scratch("ranges", LOAD_VALUES, 0, found, Access::Read)?;
        let kernel = kernel.input("before", LOAD_VALUES, 1)?.output("out", 0)?;
        let kernel = kernel.size("groups", groups.count())?.size("parts", groups.parts())?;
        let extremes = kernel.dispatch(groups.count())?;
        Ok(Built { scratch: vec![4 * found], ..Built::scalar(vec![ranges, extremes]) })
    }

    fn histogram(&self, shift: u32) -> Result<Vec<Dispatch>> {
        let (bins, total) = (self.operands.outputs[0].len(), self.operands.inputs[0].len());
        let kernel = self.kernel(CARRY).input("before", LOAD_VALUES, 1)?.output("out", 0)?;
        let carry = kernel.size("total", bins)?.dispatch(bins.div_ceil(4))?;
        // Enough for zeros to be added up.
        const RUN: usize = 16;
        let mut kernel = self.kernel(HISTOGRAM).bits("x", Slot::Input(0))?.counts("counts", 0)?;
        kernel.assembly().param("", "shift", Param::U32(shift));
        let kernel = kernel.size("total", total)?.size("run", RUN)?;
        Ok(vec![carry, kernel.dispatch(total.div_ceil(RUN))?])
    }

    /// The scales and zero points of ranges.
    fn scales(&self, groups: &Groups, values: QuantType, symmetric: bool) -> Result<Built> {
        let (ranges, found) = self.ranges(groups)?;
        let mut kernel = self.gathering(SCALES, groups)?.scratch("ranges", LOAD_VALUES, 0, found, Access::Read)?;
        constants(&mut kernel, values);
        let [low, high] = values.range();
        let divisor = if symmetric { high } else { high - low };
        kernel.assembly().common(QUOTIENT).constant("", "ASYMMETRIC", Value::Bool(!symmetric));
        kernel.assembly().constant("", "DIVISOR", Value::U32(divisor.unsigned_abs()));
        let kernel = match self.operands.outputs.get(2) {
            Some(zeros) if zeros.dtype == DType::U32 => kernel.output("zeros", 2)?,
            Some(_) => kernel.output_bytes("zeros", 2)?,
            None => {
                kernel.assembly().fragment("zeros", NO_ZEROS_OUT);
                kernel
            }
        };
        let scales = kernel.dispatch(groups.count().div_ceil(4))?;
        Ok(Built { scratch: vec![4 * found], ..Built::scalar(vec![ranges, scales]) })
    }

    /// The scales of binary numbers: mean magnitudes.
    fn means(&self, groups: &Groups) -> Result<Built> {
        let found = (groups.count() * groups.parts()) as u64;
        let kernel = self.walking(MAGNITUDES, groups)?.scratch("sums", STORE_VALUES, 0, found, Access::Write)?;
        let sums = kernel.dispatch(groups.count() * groups.parts())?;
        let kernel = self.gathering(MEANS, groups)?.scratch("sums", LOAD_VALUES, 0, found, Access::Read)?;
        let [across, _, step, limit] = groups.rows();
        let kernel = kernel.size("count", groups.members())?.size("across", across)?.size("step", step)?;
        let mut kernel = kernel.size("limit", limit)?;
        constants(&mut kernel, QuantType::Binary);
        kernel.assembly().constant("", "ASYMMETRIC", Value::Bool(false)).constant("", "DIVISOR", Value::U32(1));
        let means = kernel.dispatch(groups.count())?;
        Ok(Built { scratch: vec![4 * found], ..Built::scalar(vec![sums, means]) })
    }
}
