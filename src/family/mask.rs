//! Masks: a bit for each weight, kept or pruned, and what is computed from those bits.

use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::family::fours::Fours;
use crate::family::{LOAD_BITS, LOAD_HALF_BITS, LOAD_VALUES, STORE_BYTES, STORE_VALUES, wgsl};
use crate::layout::{DType, Layout};
use crate::op::mask::words;
use crate::plan::{Access, Assembly, Binding, Dispatch, MAX_TRIPS, Param, Slot, Work, too_many_trips};
use crate::problem::{Built, Candidate, Operands};
use crate::profile::{Class, DeviceProfile};

const HISTOGRAM: ShaderFile = shader!("mask/histogram.wgsl");
const DIGIT: ShaderFile = shader!("mask/digit.wgsl");
const LOWEST: ShaderFile = shader!("mask/lowest.wgsl");
const GROUPS: ShaderFile = shader!("mask/groups.wgsl");
const EXPAND: ShaderFile = shader!("mask/expand.wgsl");
const APPLY: ShaderFile = shader!("mask/apply.wgsl");
const NAN: ShaderFile = shader!("mask/nan.wgsl");
const BLOCKS: ShaderFile = shader!("mask/blocks.wgsl");
const COUNT: ShaderFile = shader!("mask/count.wgsl");
const INDEX: ShaderFile = shader!("mask/index.wgsl");
const COUNTS: ShaderFile = shader!("mask/counts.wgsl");
const GRID: ShaderFile = shader!("common/grid.wgsl");

/// Values of a digit of the radix select: a byte.
const DIGITS: u64 = 256;
const WORD: u64 = 4;

/// What is computed of masks. Inputs and outputs are those of the ops, in their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Mask {
    /// Prunes the `count` scores of least magnitude of several tensors.
    Lowest {
        /// How many.
        count: usize,
    },
    /// Keeps the largest `keep` of each `group` neighbours of a row.
    Groups {
        /// Scores of a row.
        columns: usize,
        /// How many are kept.
        keep: usize,
        /// Of how many.
        group: usize,
    },
    /// Prunes what belongs to pruned groups: that of an element (outer, middle, inner) is
    /// `middle / middle_block * stride + inner / inner_block`.
    Expand {
        /// Elements in all.
        total: usize,
        /// Sizes of the last two dimensions.
        sizes: [usize; 2],
        /// Elements of a group along them.
        block: [usize; 2],
        /// Groups between one and the next along the middle.
        stride: usize,
    },
    /// Zeros what is pruned.
    Apply,
    /// Which values are NaN.
    Nan,
    /// Which blocks of a matrix hold anything.
    Blocks {
        /// Rows and columns.
        sizes: [usize; 2],
        /// Those of a block.
        block: [usize; 2],
    },
    /// How many of each row are kept.
    Count {
        /// Bits of a row.
        columns: usize,
    },
    /// Which.
    Index {
        /// Bits of a row.
        columns: usize,
    },
}

/// The one candidate.
pub(crate) fn candidates(problem: &Mask) -> Vec<Candidate<()>> {
    let name = match problem {
        Mask::Lowest { .. } => "mask/radix select",
        Mask::Groups { .. } => "mask/groups",
        Mask::Expand { .. } => "mask/expand",
        Mask::Apply => "mask/apply",
        Mask::Nan => "mask/nan",
        Mask::Blocks { .. } => "mask/blocks",
        Mask::Count { .. } => "mask/count",
        Mask::Index { .. } => "mask/index",
    };
    vec![Candidate { variant: (), name: name.into(), why: "runs within any limits".into() }]
}

/// Invocations of a workgroup: one subgroup of the widest device; of class Cpu one of most, since workgroups are what costs.
pub(super) fn lanes(profile: &DeviceProfile) -> u32 {
    if profile.class == Class::Cpu { 8 } else { 64 }
}

/// A kernel that takes its operands as a whole.
pub(super) struct Kernel<'a> {
    assembly: Assembly,
    operands: &'a Operands<'a>,
    profile: &'a DeviceProfile,
    lanes: u32,
    moved: u64,
}

impl<'a> Kernel<'a> {
    pub fn new(body: ShaderFile, lanes: u32, operands: &'a Operands<'a>, profile: &'a DeviceProfile) -> Self {
        let mut assembly = Assembly::new(operands.op, body, operands.arena());
        assembly.common(GRID).constant("", "WG_X", Value::U32(lanes)).constant("", "WG_Y", Value::U32(1));
        Kernel { assembly, operands, profile, lanes, moved: 0 }
    }

    fn operand(&self, slot: Slot) -> Option<&'a Layout> {
        match slot {
            Slot::Input(i) => self.operands.inputs.get(i),
            Slot::Output(i) => self.operands.outputs.get(i),
            Slot::Scratch(_) => None,
        }
    }

    fn bind(&mut self, hook: &'static str, file: ShaderFile, slot: Slot, bytes: u64, access: Access) -> Result<()> {
        let dtype = self.operand(slot).map_or(DType::U32, |layout| layout.dtype);
        self.bind_as(hook, file, Binding { slot, range: 0..bytes, access, element: dtype.size() }, wgsl(dtype))
    }

    /// Binds memory as an array of a type.
    fn bind_as(&mut self, hook: &'static str, file: ShaderFile, binding: Binding, elem: &'static str) -> Result<()> {
        let bytes = binding.range.end;
        let slack = u64::from(self.profile.limits.min_storage_buffer_offset_alignment);
        let available = self.profile.limits.max_storage_buffer_binding_size.saturating_sub(slack);
        if bytes > available {
            return Err(Error::Limit {
                op: format!("{}: {}", self.operands.op, binding.slot),
                limit: "max_storage_buffer_binding_size",
                needed: bytes,
                available,
                hint: "the kernels of masks, sparse formats and quantization take their operands whole",
            });
        }
        self.moved += bytes;
        self.assembly.fragment(hook, file).constant(hook, "Elem", Value::Type(elem)).bind(hook, binding);
        Ok(())
    }

    /// Reads what an operand holds as an array of a type.
    fn read_as(
        mut self,
        hook: &'static str,
        file: ShaderFile,
        slot: Slot,
        element: u64,
        elem: &'static str,
    ) -> Result<Self> {
        let range = 0..self.operand(slot).map_or(0, Layout::bytes);
        self.bind_as(hook, file, Binding { slot, range, access: Access::Read, element }, elem)?;
        Ok(self)
    }

    /// Reads an operand of floats as the bits that they have as f32: no device takes a subnormal f32 for 0 on the way.
    pub fn bits(self, hook: &'static str, slot: Slot) -> Result<Self> {
        match self.operand(slot).map(|layout| layout.dtype) {
            Some(DType::F16) => self.read_as(hook, LOAD_HALF_BITS, slot, 2, "f16"),
            _ => self.read_as(hook, LOAD_VALUES, slot, 4, "u32"),
        }
    }

    /// Reads rows of an input in fours, f32 as its bits.
    pub fn fours_in(self, hook: &'static str, fours: Fours, number: usize) -> Result<Self> {
        let slot = Slot::Input(number);
        let dtype = self.operand(slot).map_or(DType::F32, |layout| layout.dtype);
        let elem = if dtype == DType::F16 { "f16" } else { "u32" };
        self.read_as(hook, fours.load(), slot, fours.bytes(dtype), elem)
    }

    /// Writes rows of an output in fours.
    pub fn fours_out(mut self, hook: &'static str, fours: Fours, number: usize) -> Result<Self> {
        let slot = Slot::Output(number);
        let layout = self.operand(slot);
        let (bytes, dtype) = layout.map_or((0, DType::F32), |layout| (layout.bytes(), layout.dtype));
        let binding = Binding { slot, range: 0..bytes, access: Access::Write, element: fours.bytes(dtype) };
        self.bind_as(hook, fours.store(), binding, wgsl(dtype))?;
        Ok(self)
    }

    /// Reads the bytes of an operand, wherever it starts, through a file of loads.
    pub fn bytes(self, hook: &'static str, file: ShaderFile, slot: Slot) -> Result<Self> {
        self.read_as(hook, file, slot, 1, "u32")
    }

    /// Writes an output of bytes in words, from a whole word on; what lies behind it in its last word stays.
    pub fn output_bytes(mut self, hook: &'static str, number: usize) -> Result<Self> {
        let bytes = self.operands.outputs.get(number).map_or(0, Layout::bytes);
        let binding = Binding { slot: Slot::Output(number), range: 0..bytes, access: Access::Write, element: WORD };
        self.bind_as(hook, STORE_BYTES, binding, "u32")?;
        self.assembly.size(hook, "bytes", bytes as usize)?;
        Ok(self)
    }

    /// Reads an input through a file of loads.
    pub fn input(mut self, hook: &'static str, file: ShaderFile, number: usize) -> Result<Self> {
        let bytes = self.operands.inputs.get(number).map_or(0, Layout::bytes);
        self.bind(hook, file, Slot::Input(number), bytes, Access::Read)?;
        Ok(self)
    }

    /// Writes an output, element by element.
    pub fn output(mut self, hook: &'static str, number: usize) -> Result<Self> {
        let bytes = self.operands.outputs.get(number).map_or(0, Layout::bytes);
        self.bind(hook, STORE_VALUES, Slot::Output(number), bytes, Access::Write)?;
        Ok(self)
    }

    /// Adds to the counts of an output.
    pub fn counts(mut self, hook: &'static str, number: usize) -> Result<Self> {
        let bytes = self.operand(Slot::Output(number)).map_or(0, Layout::bytes);
        self.bind(hook, COUNTS, Slot::Output(number), bytes, Access::Write)?;
        Ok(self)
    }

    /// Reads or writes scratch memory of words.
    pub fn scratch(
        mut self,
        hook: &'static str,
        file: ShaderFile,
        number: usize,
        words: u64,
        access: Access,
    ) -> Result<Self> {
        self.bind(hook, file, Slot::Scratch(number), words * WORD, access)?;
        Ok(self)
    }

    /// What the kernel is made of, for hooks that it does not fill itself.
    pub fn assembly(&mut self) -> &mut Assembly {
        &mut self.assembly
    }

    /// Counts bytes that such hooks move.
    pub fn moves(mut self, bytes: u64) -> Self {
        self.moved += bytes;
        self
    }

    pub fn size(mut self, name: &str, value: usize) -> Result<Self> {
        self.assembly.size("", name, value)?;
        Ok(self)
    }

    /// The dispatch for so many things, one an invocation.
    pub fn dispatch(self, items: usize) -> Result<Dispatch> {
        let workgroups = items.div_ceil(self.lanes as usize) as u64;
        let work = Work { flops: 0.0, bytes: self.moved as f64 };
        self.assembly.dispatch(self.profile, workgroups, work)
    }
}

/// Refuses loops that some drivers would end early.
pub(super) fn expect_trips(op: &'static str, trips: usize) -> Result<()> {
    if trips > MAX_TRIPS { Err(too_many_trips(op, trips)) } else { Ok(()) }
}

pub(crate) fn build(problem: &Mask, operands: &Operands<'_>, profile: &DeviceProfile) -> Result<Built> {
    let kernel = |body| Kernel::new(body, lanes(profile), operands, profile);
    let (input, output) = (|i: usize| operands.inputs[i].len(), operands.outputs[0].len());
    let dispatch = match *problem {
        Mask::Lowest { count } => return lowest(count, operands, profile),
        Mask::Groups { columns, keep, group } => {
            expect_trips(operands.op, 32 * (group + 1))?;
            let kernel = kernel(GROUPS).input("scores", LOAD_VALUES, 0)?.input("mask", LOAD_BITS, 1)?;
            let kernel = kernel.output("out", 0)?.size("words", output)?.size("total", input(0))?;
            let kernel = kernel.size("columns", columns)?.size("keep", keep)?.size("group", group)?;
            kernel.dispatch(output)?
        }
        Mask::Expand { total, sizes, block, stride } => {
            let kernel = kernel(EXPAND).input("groups", LOAD_BITS, 0)?.input("mask", LOAD_BITS, 1)?.output("out", 0)?;
            let kernel = kernel.size("words", output)?.size("total", total)?.size("middle", sizes[0])?;
            let kernel =
                kernel.size("inner", sizes[1])?.size("middle_block", block[0])?.size("inner_block", block[1])?;
            kernel.size("stride", stride)?.dispatch(output)?
        }
        Mask::Apply => {
            let mut kernel = kernel(APPLY);
            kernel.assembly.constant("", "Elem", Value::Type(wgsl(operands.outputs[0].dtype)));
            let kernel = kernel.input("x", LOAD_VALUES, 0)?.input("mask", LOAD_BITS, 1)?.output("out", 0)?;
            let count = words(output);
            kernel.size("words", count)?.size("total", output)?.dispatch(count)?
        }
        Mask::Nan => {
            let kernel = kernel(NAN).input("x", LOAD_VALUES, 0)?.output("out", 0)?;
            kernel.size("words", output)?.size("total", input(0))?.dispatch(output)?
        }
        Mask::Blocks { sizes: [rows, columns], block: [height, width] } => {
            expect_trips(operands.op, 32 * (height + 1))?;
            let (down, across) = (rows.div_ceil(height), columns.div_ceil(width));
            let kernel = kernel(BLOCKS).input("mask", LOAD_BITS, 0)?.output("out", 0)?.size("words", output)?;
            let kernel = kernel.size("total", down * across)?.size("across", across)?.size("rows", rows)?;
            let kernel = kernel.size("columns", columns)?.size("height", height)?.size("width", width)?;
            kernel.dispatch(output)?
        }
        Mask::Count { columns } => {
            expect_trips(operands.op, words(columns))?;
            let kernel = kernel(COUNT).input("mask", LOAD_BITS, 0)?.output("out", 0)?;
            kernel.size("rows", output)?.size("columns", columns)?.dispatch(output)?
        }
        Mask::Index { columns } => {
            expect_trips(operands.op, words(columns) + columns)?;
            let rows = input(1) - 1;
            let kernel = kernel(INDEX).input("mask", LOAD_BITS, 0)?.input("pointers", LOAD_VALUES, 1)?;
            let kernel = kernel.output("out", 0)?.size("rows", rows)?.size("columns", columns)?;
            kernel.size("total", output)?.dispatch(rows)?
        }
    };
    Ok(Built::scalar(vec![dispatch]))
}

/// The passes of a radix select over the magnitudes of all tensors and then their indices, and the masks without what it found.
fn lowest(count: usize, operands: &Operands<'_>, profile: &DeviceProfile) -> Result<Built> {
    const HISTOGRAM_SCRATCH: usize = 0;
    const STATE_SCRATCH: usize = 1;
    const STATE: u64 = 3;
    let tensors = operands.inputs.len() / 2;
    let lens: Vec<usize> = operands.inputs[..tensors].iter().map(Layout::len).collect();
    // Indices count from 1, so that no key is 0, the one that is found where nothing is to be pruned.
    let firsts: Vec<usize> = lens
        .iter()
        .scan(1usize, |first, &len| {
            let own = *first;
            *first = first.saturating_add(len);
            Some(own)
        })
        .collect();
    let all = lens.iter().fold(0usize, |all, &len| all.saturating_add(len));
    // On GPUs as many lanes as digits; drivers on the CPU run a workgroup's lanes one subgroup after the other.
    let (lanes, run) = if profile.class == Class::Cpu { (8, 4096) } else { (256, 16) };

    let digit = |begin: bool, shift: u32, by_index: bool| -> Result<Dispatch> {
        let kernel = Kernel::new(DIGIT, 1, operands, profile);
        let kernel = kernel.scratch("histogram", STORE_VALUES, HISTOGRAM_SCRATCH, DIGITS, Access::Write)?;
        let mut kernel = kernel.scratch("state", STORE_VALUES, STATE_SCRATCH, STATE, Access::Write)?;
        kernel.assembly.param("", "begin", Param::U32(begin.into())).param("", "shift", Param::U32(shift));
        kernel.assembly.param("", "by_index", Param::U32(by_index.into()));
        kernel.size("count", count)?.dispatch(1)
    };
    let mut dispatches = vec![digit(true, 0, false)?];
    // Digits of magnitudes, then as many of indices as there are: both from the highest on.
    let index_bits = usize::BITS - all.leading_zeros();
    let passes = (0..4).map(|pass| (24 - 8 * pass, false));
    let index_passes = (0..index_bits.div_ceil(8)).rev().map(|pass| (8 * pass, true));
    for (shift, by_index) in passes.chain(index_passes) {
        for (tensor, (&len, &first)) in lens.iter().zip(&firsts).enumerate().filter(|(_, (len, _))| **len > 0) {
            let workgroups = len.div_ceil(lanes as usize * run);
            let kernel = Kernel::new(HISTOGRAM, lanes, operands, profile);
            let kernel = kernel.input("scores", LOAD_VALUES, tensor)?.input("mask", LOAD_BITS, tensors + tensor)?;
            let kernel = kernel.scratch("state", LOAD_VALUES, STATE_SCRATCH, STATE, Access::Read)?;
            let mut kernel = kernel.scratch("histogram", COUNTS, HISTOGRAM_SCRATCH, DIGITS, Access::Write)?;
            let fixed = if shift == 24 { 0 } else { u32::MAX << (shift + 8) };
            kernel.assembly.workgroup_array((DIGITS * WORD) as u32);
            kernel.assembly.param("", "fixed", Param::U32(fixed)).param("", "shift", Param::U32(shift));
            kernel.assembly.param("", "by_index", Param::U32(by_index.into()));
            let kernel = kernel.size("total", len)?.size("run", run)?.size("first", first)?;
            dispatches.push(kernel.dispatch(workgroups * lanes as usize)?);
        }
        dispatches.push(digit(false, shift, by_index)?);
    }
    for (tensor, (&len, &first)) in lens.iter().zip(&firsts).enumerate().filter(|(_, (len, _))| **len > 0) {
        let kernel = Kernel::new(LOWEST, self::lanes(profile), operands, profile);
        let kernel = kernel.input("scores", LOAD_VALUES, tensor)?.input("mask", LOAD_BITS, tensors + tensor)?;
        let kernel = kernel.scratch("state", LOAD_VALUES, STATE_SCRATCH, STATE, Access::Read)?.output("out", tensor)?;
        let kernel = kernel.size("words", words(len))?.size("total", len)?.size("first", first)?;
        dispatches.push(kernel.dispatch(words(len))?);
    }
    Ok(Built { scratch: vec![DIGITS * WORD, STATE * WORD], dispatches, aligned: Vec::new() })
}
