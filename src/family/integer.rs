//! Contractions of whole numbers as ops have them: operands are put into words where they do not lie so, and what the epilogue has to
//! know of rows and columns is gathered, before words are multiplied; codes of 8 bits are put into bytes after.
//!
//! What follows from constant operands alone is prepared once, as of any plan.

mod depthwise;

use super::{LOAD_BYTES, LOAD_VALUES, STORE_BYTES, STORE_VALUES, STRIDES};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::family::contraction::whole::{End, TERM, Words, flip, flipped};
use crate::family::contraction::{self, Addressing, Contraction, Operand, Target, Windows, bind_operand};
use crate::family::mask::{expect_trips, lanes};
use crate::family::wgsl;
use crate::layout::{DType, Layout, count};
use crate::plan::{Access, Assembly, Binding, Dispatch, Param, Slot, Work};
use crate::problem::{Built, Candidate, Operands};
use crate::profile::{Class, DeviceProfile};

const PACK: ShaderFile = shader!("whole/pack.wgsl");
const TERMS: ShaderFile = shader!("whole/terms.wgsl");
const PLANES: ShaderFile = shader!("whole/planes.wgsl");
const SUM: ShaderFile = shader!("whole/sum.wgsl");
const NO_SUM: ShaderFile = shader!("whole/no_sum.wgsl");
const BYTES: ShaderFile = shader!("load/strided_bytes.wgsl");
const CODES: ShaderFile = shader!("load/codes.wgsl");
const SIGNS: ShaderFile = shader!("load/signs.wgsl");
const SIGN_BITS: ShaderFile = shader!("load/sign_bits.wgsl");
const SAME: ShaderFile = shader!("load/same.wgsl");
const STORE_VECTORS: ShaderFile = shader!("epilogue/panels.wgsl");
const GRID: ShaderFile = shader!("common/grid.wgsl");

/// Words that an invocation packs on class Cpu: with more, few invocations are left for small operands.
const RUN: usize = 16;

/// What a plan makes for its contraction: inputs that are numbered after the op's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// The left operand in words.
    Left,
    /// The right one.
    Right,
    /// What the epilogue has to know of rows.
    Rows,
    /// Of columns.
    Columns,
}

impl Made {
    const ALL: [Made; 4] = [Made::Left, Made::Right, Made::Rows, Made::Columns];

    /// Its number as an input, after so many.
    pub fn after(self, inputs: usize) -> usize {
        inputs + self as usize
    }
}

/// What lies in an operand that is put into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codes {
    /// Bytes, signed or not.
    Bytes {
        /// Whether they are unsigned, and have 128 taken off.
        unsigned: bool,
    },
    /// Codes in elements of 32 bits.
    Words,
    /// Floats, of which the signs count.
    Floats(DType),
    /// Bits.
    Bits,
}

/// Strides of the batch dimensions, of rows (or columns), and along k.
#[derive(Clone, Debug, PartialEq)]
pub struct Strides {
    /// Of the batch dimensions, three at the most.
    pub batch: Vec<usize>,
    /// Of a row.
    pub outer: usize,
    /// Along k.
    pub k: usize,
}

/// Values that are put into words along k.
#[derive(Clone, Debug, PartialEq)]
pub struct PackWords {
    /// What they are.
    pub codes: Codes,
    /// Sizes of the batch dimensions.
    pub batch: Vec<usize>,
    /// Rows of a batch entry.
    pub outer: usize,
    /// Values of a row.
    pub k: usize,
    /// Words of a row.
    pub words: usize,
    /// Where the values lie, in bytes, elements or bits.
    pub from: Strides,
    /// Where the words go.
    pub to: Strides,
}

impl PackWords {
    /// Words in all.
    pub fn items(&self) -> usize {
        count(&self.batch).saturating_mul(self.outer).saturating_mul(self.words)
    }
}

/// An operand of a contraction of whole numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// The number of the input.
    pub input: usize,
    /// How it is put into words, unless it lies so.
    pub pack: Option<PackWords>,
    /// The terms of its rows, or columns: sizes of the batch dimensions, and how many of a batch entry.
    pub terms: (Vec<usize>, usize),
    /// The input with zero points, and whether there are many.
    pub zero: Option<(usize, bool)>,
    /// Whether values are unsigned.
    pub unsigned: bool,
    /// The input with scales, and whether there are many.
    pub scale: Option<(usize, bool)>,
    /// The input with a bias, and how many it has.
    pub bias: Option<(usize, usize)>,
    /// Whether the sums of its values are asked for, and the words of a row from which on the last bits do not count, with those that do.
    pub sum: Option<(usize, u32)>,
}

/// A contraction of whole numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegerContraction {
    /// Over words.
    pub contraction: Contraction,
    /// The left and the right operand.
    pub sides: [Side; 2],
    /// How codes become bytes, or words, of the output.
    pub narrow: Option<PackWords>,
    /// Where words of four rows go in the output itself, which spares that where a body has rows in fours.
    pub fused: Option<Target>,
    /// The windows of a convolution whose groups have one channel and one output, if its rows are channels and both operands are planes in
    /// words of four of those.
    pub planes: Option<Windows>,
    /// The same problem in that form.
    pub depthwise: Option<Box<IntegerContraction>>,
}

/// How a contraction of whole numbers is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// By products of words.
    Products(contraction::Variant),
    /// In words that slide through registers, where each channel is by itself.
    Depthwise,
    /// Four channels at once, where each is by itself.
    Planes,
}

impl IntegerContraction {
    /// The problem whose results need no second pass, for a body that can.
    fn at_once(&self, op: &'static str, variant: &Variant) -> Option<Contraction> {
        let mut contraction = self.contraction.clone();
        contraction.out = self.fused.clone()?;
        let whole = contraction.whole.as_mut()?;
        if let End::Codes { zero, range } = whole.end {
            whole.end = End::Words { zero, range };
        }
        if let Variant::Products(variant) = variant {
            whole.expect(op, variant).ok()?;
        }
        Some(contraction)
    }
}

/// The candidates for a problem on a device, best first.
pub(crate) fn candidates(
    problem: &IntegerContraction,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
    choice: Option<&str>,
) -> Vec<Candidate<Variant>> {
    let depthwise = Candidate {
        variant: Variant::Depthwise,
        name: "whole/depthwise".into(),
        why: "groups of one channel: words slide through registers".into(),
    };
    let why = "groups of one channel: four of them are a word".into();
    let alone = vec![depthwise, Candidate { variant: Variant::Planes, name: "whole/planes".into(), why }];
    if problem.planes.is_some() {
        return alone;
    }
    let layouts = layouts(problem, operands);
    let own = Operands { op: operands.op, inputs: &layouts, outputs: operands.outputs };
    let products = contraction::candidates(&problem.contraction, &own, profile, choice).into_iter().map(|candidate| {
        let Candidate { variant, name, why } = candidate;
        Candidate { variant: Variant::Products(variant), name, why }
    });
    problem.depthwise.is_some().then_some(alone).into_iter().flatten().chain(products).collect()
}

/// The layouts of the inputs, and of what is made for the contraction.
fn layouts(problem: &IntegerContraction, operands: &Operands<'_>) -> Vec<Layout> {
    let arena = operands.arena();
    let constant = |inputs: &[Option<usize>]| inputs.iter().flatten().all(|&input| operands.inputs[input].constant);
    let made = Made::ALL.map(|made| {
        let side = &problem.sides[made as usize % 2];
        let (shape, sources) = match made {
            Made::Left | Made::Right => (vec![side.pack.as_ref().map_or(0, PackWords::items)], [Some(side.input); 4]),
            Made::Rows | Made::Columns => {
                let inputs =
                    [side.zero.map(|zero| zero.0), side.scale.map(|scale| scale.0), side.bias.map(|bias| bias.0)];
                let summed = side.sum.map(|_| side.input);
                (vec![count(&side.terms.0) * side.terms.1, TERM], [inputs[0], inputs[1], inputs[2], summed])
            }
        };
        Layout { arena, constant: constant(&sources), ..Layout::new(&shape, DType::U32) }
    });
    operands.inputs.iter().cloned().chain(made).collect()
}

pub(crate) fn build(
    problem: &IntegerContraction,
    variant: &Variant,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Built> {
    let packed = match (variant, &problem.depthwise) {
        (Variant::Planes | Variant::Depthwise, Some(depthwise)) => depthwise,
        _ => problem,
    };
    let in_place = (*variant == Variant::Depthwise).then(|| depthwise::in_place(packed));
    let problem = in_place.as_ref().unwrap_or(packed);
    let layouts = layouts(problem, operands);
    let inputs = operands.inputs.len();
    let own = Operands { op: operands.op, inputs: &layouts, outputs: operands.outputs };
    let fused = problem.at_once(operands.op, variant);
    let narrow = problem.narrow.as_ref().filter(|_| fused.is_none());
    let contraction = fused.as_ref().unwrap_or(&problem.contraction);
    let mut built = match (variant, &problem.planes) {
        (Variant::Depthwise, _) => {
            let kernels = Kernels { operands: &own, profile, moved: &|slot| slot };
            let at_once = IntegerContraction { contraction: contraction.clone(), ..problem.clone() };
            let (dispatch, aligned) = depthwise::build(&kernels, &at_once, packed)?;
            Built { aligned, ..Built::scalar(vec![dispatch]) }
        }
        (Variant::Products(variant), _) => contraction::build(contraction, variant, &own, profile)?,
        (Variant::Planes, Some(windows)) => Built::scalar(vec![planes(problem, contraction, windows, &own, profile)?]),
        (Variant::Planes, None) => {
            let why = "only groups of one channel and one output are";
            return Err(Error::Unsupported { what: format!("{} by planes", operands.op), why });
        }
    };
    // What is made lies in scratch memory behind the contraction's own.
    let mut slots = [None; Made::ALL.len()];
    for (made, slot) in Made::ALL.into_iter().zip(&mut slots) {
        let layout = &layouts[made.after(inputs)];
        let is_made = match made {
            Made::Left | Made::Right => problem.sides[made as usize].pack.is_some(),
            Made::Rows | Made::Columns => true,
        };
        if is_made {
            *slot = Some(Slot::Scratch(built.scratch.len()));
            // Of nothing at all there is a vector still, to be bound.
            built.scratch.push(layout.bytes().max(16));
        }
    }
    let codes = Slot::Scratch(built.scratch.len());
    let Contraction { batch, m, n, .. } = &problem.contraction;
    let code_bytes = (count(batch) * m * n) as u64 * DType::I32.size();
    if narrow.is_some() {
        built.scratch.push(code_bytes);
    }
    let moved = |slot: Slot| match slot {
        Slot::Input(number) if number >= inputs => slots[number - inputs].unwrap_or(slot),
        Slot::Output(0) if narrow.is_some() => codes,
        slot => slot,
    };
    let kernels = Kernels { operands: &own, profile, moved: &moved };
    let mut before = Vec::new();
    for (side, made) in problem.sides.iter().zip([Made::Left, Made::Right]) {
        if let Some(pack) = &side.pack {
            let to = Slot::Input(made.after(inputs));
            before.extend(kernels.pack(pack, Slot::Input(side.input), layouts[side.input].bytes(), to)?);
        }
    }
    for (side, made) in problem.sides.iter().zip([Made::Rows, Made::Columns]) {
        let operand = if made == Made::Rows { &problem.contraction.a } else { &problem.contraction.b };
        before.push(kernels.terms(problem, side, operand, Slot::Input(made.after(inputs)))?);
    }
    let mut dispatches = before;
    dispatches.extend(built.dispatches.into_iter().map(|dispatch| dispatch.with_slots(moved)));
    if let Some(narrow) = narrow {
        // What is packed goes to the output itself, and comes from where the contraction's output went.
        let last = Kernels { moved: &|slot| slot, ..kernels }.pack(narrow, codes, code_bytes, Slot::Output(0))?;
        dispatches.extend(last);
    }
    built.dispatches = dispatches;
    built.aligned = built.aligned.into_iter().map(moved).filter(|slot| !matches!(slot, Slot::Scratch(_))).collect();
    // Operands that are read in words where they lie; of those that slide it has been said.
    let read = |side: &&Side| side.pack.is_none() && *variant != Variant::Depthwise;
    for side in problem.sides.iter().filter(read) {
        built.aligned.push(Slot::Input(side.input));
    }
    Ok(built)
}

/// What the kernels beside the contraction are made for.
#[derive(Clone, Copy)]
struct Kernels<'a> {
    operands: &'a Operands<'a>,
    profile: &'a DeviceProfile,
    moved: &'a dyn Fn(Slot) -> Slot,
}

impl Kernels<'_> {
    fn assembly(&self, body: ShaderFile) -> Assembly {
        let mut assembly = Assembly::new(self.operands.op, body, self.operands.arena());
        assembly.common(GRID).constant("", "WG_X", Value::U32(lanes(self.profile)));
        assembly.constant("", "WG_Y", Value::U32(1));
        assembly
    }

    /// Binds an operand as a whole.
    fn bind(&self, assembly: &mut Assembly, hook: &'static str, file: ShaderFile, whole: Whole) -> Result<u64> {
        let Whole { slot, bytes, access, elem, element } = whole;
        let slack = u64::from(self.profile.limits.min_storage_buffer_offset_alignment);
        let available = self.profile.limits.max_storage_buffer_binding_size.saturating_sub(slack);
        if bytes > available {
            return Err(Error::Limit {
                op: format!("{}: {slot}", self.operands.op),
                limit: "max_storage_buffer_binding_size",
                needed: bytes,
                available,
                hint: "the kernels that pack words take their operands whole",
            });
        }
        assembly.fragment(hook, file).constant(hook, "Elem", Value::Type(elem));
        assembly.bind(hook, Binding { slot, range: 0..bytes, access, element });
        Ok(bytes)
    }

    /// An input as a whole.
    fn input(&self, number: usize, elem: &'static str, element: u64) -> Whole {
        let bytes = self.operands.inputs[number].bytes();
        Whole { slot: Slot::Input(number), bytes, access: Access::Read, elem, element }
    }

    /// Fills the hooks of the zero points where each channel is by itself. Returns the bytes that they read.
    fn bind_zeros(&self, assembly: &mut Assembly, [weight, x]: &[Side; 2]) -> Result<u64> {
        let mut moved = 0;
        for (hook, name, side) in [("x_zero", "X_FLIP", x), ("w_zero", "W_FLIP", weight)] {
            assembly.constant("", name, flip(side.unsigned));
            match side.zero {
                Some((number, _)) => moved += self.bind(assembly, hook, LOAD_BYTES, self.input(number, "u32", 1))?,
                None => {
                    assembly.fragment(hook, SAME).constant(hook, "Elem", Value::Type("u32"));
                    assembly.constant(hook, "NUMBER", Value::U32(0));
                }
            }
        }
        Ok(moved)
    }

    fn dispatch(&self, assembly: Assembly, items: usize, bytes: u64) -> Result<Dispatch> {
        let workgroups = items.div_ceil(lanes(self.profile) as usize) as u64;
        let dispatch = assembly.dispatch(self.profile, workgroups, Work { flops: 0.0, bytes: bytes as f64 })?;
        Ok(dispatch.with_slots(self.moved))
    }

    /// The dispatch that puts values into words, if there are any.
    fn pack(&self, pack: &PackWords, from: Slot, bytes: u64, to: Slot) -> Result<Option<Dispatch>> {
        let items = pack.items();
        if items == 0 {
            return Ok(None);
        }
        let mut assembly = self.assembly(PACK);
        let per_word = if matches!(pack.codes, Codes::Floats(_) | Codes::Bits) { Words::Signs } else { Words::Int8 };
        assembly.constant("", "PER_WORD", Value::U32(per_word.values() as u32));
        let outer_fastest = pack.to.outer < pack.to.k;
        let run = if self.profile.class == Class::Cpu { RUN } else { 1 };
        let (fast, slow) = if outer_fastest { (pack.outer, pack.words) } else { (pack.words, pack.outer) };
        let runs = count(&pack.batch) * slow * fast.div_ceil(run);
        assembly.constant("", "OUTER_FASTEST", Value::Bool(outer_fastest));
        assembly.constant("", "RUN", Value::U32(run as u32));
        let (file, elem, element) = match pack.codes {
            Codes::Bytes { unsigned } => {
                assembly.constant("source", "FLIP", flip(unsigned));
                (BYTES, "u32", 1)
            }
            Codes::Words => (CODES, "u32", DType::U32.size()),
            Codes::Floats(dtype) => (SIGNS, wgsl(dtype), dtype.size()),
            Codes::Bits => (SIGN_BITS, "u32", DType::U32.size()),
        };
        let source = Whole { slot: from, bytes, access: Access::Read, elem, element };
        let read = self.bind(&mut assembly, "source", file, source)?;
        if pack.codes != Codes::Bits {
            assembly.fragment("source", STRIDES);
        }
        strides(&mut assembly, "source", "batch_", &pack.from.batch)?;
        assembly.size("source", "outer_stride", pack.from.outer)?.size("source", "k_stride", pack.from.k)?;
        let written = items as u64 * DType::U32.size();
        let target = Whole { slot: to, bytes: written, access: Access::Write, elem: "u32", element: DType::U32.size() };
        if let Slot::Output(number) = to {
            // Of bytes, the last may end within a word.
            let bytes = self.operands.outputs[number].bytes();
            self.bind(&mut assembly, "words", STORE_BYTES, Whole { bytes, ..target })?;
            assembly.size("words", "bytes", bytes as usize)?;
        } else {
            self.bind(&mut assembly, "words", STORE_VALUES, target)?;
        }
        let [_, middle, last] = three(&pack.batch, 1);
        assembly.size("", "runs", runs)?.size("", "outer", pack.outer)?.size("", "words", pack.words)?;
        assembly.size("", "k", pack.k)?.size("", "batch_1", middle)?.size("", "batch_2", last)?;
        strides(&mut assembly, "", "to_", &pack.to.batch)?;
        assembly.size("", "to_outer", pack.to.outer)?.size("", "to_word", pack.to.k)?;
        Ok(Some(self.dispatch(assembly, runs, read + written)?))
    }

    /// The dispatch that gathers what the epilogue has to know.
    fn terms(&self, problem: &IntegerContraction, side: &Side, operand: &Operand, to: Slot) -> Result<Dispatch> {
        let mut assembly = self.assembly(TERMS);
        let (batch, size) = &side.terms;
        let items = count(batch) * size;
        let mut moved = items as u64 * TERM as u64 * DType::U32.size();
        let none = |assembly: &mut Assembly, hook: &'static str, elem: &'static str, number: u32| {
            assembly.fragment(hook, SAME).constant(hook, "Elem", Value::Type(elem));
            assembly.constant(hook, "NUMBER", Value::U32(number));
        };
        assembly.constant("", "FLIP", flip(side.unsigned));
        match side.zero.filter(|_| problem.planes.is_none()) {
            // Planes have their zero points taken off before they are multiplied.
            None if problem.planes.is_some() => none(&mut assembly, "zero", "u32", flipped(side.unsigned)),
            Some((number, _)) => moved += self.bind(&mut assembly, "zero", LOAD_BYTES, self.input(number, "u32", 1))?,
            None => none(&mut assembly, "zero", "u32", 0),
        }
        match side.scale {
            Some((number, _)) => {
                let dtype = self.operands.inputs[number].dtype;
                let scale = self.input(number, wgsl(dtype), dtype.size());
                moved += self.bind(&mut assembly, "scale", LOAD_VALUES, scale)?;
            }
            None => none(&mut assembly, "scale", "f32", 1),
        }
        match side.bias {
            Some((number, _)) => {
                let dtype = self.operands.inputs[number].dtype;
                let bias = self.input(number, wgsl(dtype), dtype.size());
                moved += self.bind(&mut assembly, "bias", LOAD_VALUES, bias)?;
            }
            None => none(&mut assembly, "bias", "u32", 0),
        }
        let k = problem.contraction.k;
        match side.sum {
            Some((tail, mask)) => {
                expect_trips(self.operands.op, k)?;
                let bytes = self.operands.inputs[operand.input].bytes();
                assembly.fragment("sum", SUM).size("sum", "k", k)?.size("sum", "tail", tail)?;
                assembly.param("sum", "mask", Param::U32(mask));
                bind_operand(&mut assembly, "source", operand, 0..bytes, 0)?;
                moved += bytes;
            }
            None => {
                assembly.fragment("sum", NO_SUM);
            }
        }
        let [_, middle, last] = three(batch, 1);
        assembly.size("", "items", items)?.size("", "size", *size)?;
        assembly.size("", "batch_1", middle)?.size("", "batch_2", last)?;
        assembly.size("", "zero_stride", side.zero.map_or(0, |zero| zero.1.into()))?;
        assembly.size("", "scale_stride", side.scale.map_or(0, |scale| scale.1.into()))?;
        assembly.size("", "biases", side.bias.map_or(1, |bias| bias.1))?;
        // Columns have the product of both zero points and k taken off: only where rows have zero points does it count.
        let length = problem.contraction.whole.as_ref().map_or(0, |whole| whole.length);
        let less = if std::ptr::eq(operand, &problem.contraction.b) { length } else { 0 };
        assembly.param("", "less", Param::I32(i32::try_from(less).unwrap_or(i32::MAX)));
        let target =
            Whole { slot: to, bytes: moved.min(items as u64 * 16), access: Access::Write, elem: "u32", element: 16 };
        self.bind(&mut assembly, "out", STORE_VECTORS, target)?;
        self.dispatch(assembly, items, moved)
    }
}

/// The dispatch over planes in words of four channels.
fn planes(
    problem: &IntegerContraction,
    contraction: &Contraction,
    windows: &Windows,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Dispatch> {
    let kernels = Kernels { operands, profile, moved: &|slot| slot };
    let mut assembly = kernels.assembly(PLANES);
    let mut moved = 0;
    for (hook, operand) in [("x", &contraction.b), ("w", &contraction.a)] {
        let words = kernels.input(operand.input, "u32", DType::U32.size());
        moved += kernels.bind(&mut assembly, hook, LOAD_VALUES, words)?;
    }
    moved += kernels.bind_zeros(&mut assembly, &problem.sides)?;
    moved += contraction::bind_whole_output(&mut assembly, operands.op, contraction)?;
    let pixels = windows.output[0] * windows.output[1];
    let items = contraction.n * contraction.m.div_ceil(4);
    expect_trips(operands.op, windows.kernel[0] * (windows.kernel[1] + 1))?;
    for (name, value) in [
        ("items", items),
        ("channels", contraction.m),
        ("words", contraction.m.div_ceil(4)),
        ("pixels", pixels),
        ("out_width", windows.output[1]),
        ("height", windows.input[0]),
        ("width", windows.input[1]),
        ("step_h", windows.stride[0]),
        ("step_w", windows.stride[1]),
        ("tap_h", windows.dilation[0]),
        ("tap_w", windows.dilation[1]),
        ("zero_stride", usize::from(problem.sides[0].zero.is_some_and(|zero| zero.1))),
    ] {
        assembly.size("", name, value)?;
    }
    for ((name, side), padding) in [("origin_h", "KERNEL_H"), ("origin_w", "KERNEL_W")].into_iter().zip([0, 1]) {
        let wrapped = u32::try_from(windows.padding[padding]).unwrap_or(u32::MAX).wrapping_neg();
        assembly.param("", name, Param::U32(wrapped));
        assembly.constant("", side, Value::U32(u32::try_from(windows.kernel[padding]).unwrap_or(u32::MAX)));
    }
    let products = items as f64 * 4.0 * windows.kernel.iter().product::<usize>() as f64;
    let workgroups = items.div_ceil(lanes(profile) as usize) as u64;
    assembly.dispatch(profile, workgroups, Work { flops: 2.0 * products, bytes: moved as f64 })
}

/// An operand that a kernel takes as a whole.
#[derive(Clone, Copy)]
struct Whole {
    slot: Slot,
    bytes: u64,
    access: Access,
    elem: &'static str,
    element: u64,
}

/// The sizes of the last three batch dimensions.
fn three(batch: &[usize], least: usize) -> [usize; 3] {
    let mut last = [least; 3];
    let n = batch.len().min(3);
    last[3 - n..].copy_from_slice(&batch[batch.len() - n..]);
    last
}

fn strides(assembly: &mut Assembly, hook: &str, name: &str, batch: &[usize]) -> Result<()> {
    for (dim, stride) in three(batch, 0).into_iter().enumerate() {
        assembly.size(hook, &format!("{name}{dim}"), stride)?;
    }
    Ok(())
}

/// Where the words of an operand lie, for a contraction.
pub(crate) fn words(input: usize, batch: Vec<usize>, outer: usize) -> Operand {
    Operand { input, dtype: DType::U32, addressing: Addressing::Dense { batch, outer, k: 1, taps: 1 } }
}
