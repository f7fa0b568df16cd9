//! Plans: how an op is done, as plain data.
//!
//! A [`Plan`] is a pure function of the op, the layouts of its operands and the [`DeviceProfile`]; making one touches no
//! GPU. It names memory by [`Slot`], so the same plan runs on any operands that fit it.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::compose::{Composition, FieldType, ParamSpace, ShaderFile, Value};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::profile::DeviceProfile;

/// What a binding refers to: an operand of the op or a piece of scratch memory of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The i-th input.
    Input(usize),
    /// The i-th output.
    Output(usize),
    /// The j-th scratch buffer.
    Scratch(usize),
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Slot::Input(i) => write!(f, "input {i}"),
            Slot::Output(i) => write!(f, "output {i}"),
            Slot::Scratch(i) => write!(f, "scratch {i}"),
        }
    }
}

/// How a dispatch uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Only read.
    Read,
    /// Only read, and through a texture, into which the bytes are copied before the dispatch.
    ReadTexels,
    /// Written, perhaps read too.
    Write,
}

/// One storage binding of a dispatch. Its number is its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The memory.
    pub slot: Slot,
    /// The bytes of the slot that the dispatch may touch.
    pub range: Range<u64>,
    /// Whether it writes.
    pub access: Access,
    /// Bytes of an element, by which offsets are counted.
    pub element: u64,
}

/// Texels in a row of the textures that operands are read through; a texel holds 16 bytes, four f32.
pub(crate) const TEXEL_ROW: u32 = 4096;

/// Bytes of a texel.
pub(crate) const TEXEL: u64 = 16;

/// One word of a dispatch's parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Param {
    /// An unsigned word.
    U32(u32),
    /// A signed word.
    I32(i32),
    /// A float.
    F32(f32),
    /// The element offset of a binding's range in the bound window, known when the plan meets its operands.
    Offset(usize),
}

/// What a dispatch costs, for budgets and rooflines.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Floating point operations, a multiply-add being two.
    pub flops: f64,
    /// Bytes that have to cross the memory bus at least once.
    pub bytes: f64,
}

/// One dispatch of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// What the kernel is made of.
    pub kernel: Arc<Composition>,
    /// The storage bindings, in order.
    pub bindings: Vec<Binding>,
    /// The parameters, in the order of the kernel's fields.
    pub params: Vec<Param>,
    /// Workgroups in x, y and z, folded below the device's limit.
    pub grid: [u32; 3],
    /// Bytes of workgroup memory that a workgroup takes.
    pub workgroup_memory: u32,
    /// What it costs.
    pub work: Work,
}

impl Dispatch {
    /// The dispatch on other memory.
    pub(crate) fn with_slots(mut self, slot: impl Fn(Slot) -> Slot) -> Self {
        self.bindings.iter_mut().for_each(|binding| binding.slot = slot(binding.slot));
        self
    }

    /// Bytes that are copied into textures beforehand.
    pub(crate) fn texel_bytes(&self) -> u64 {
        let through = self.bindings.iter().filter(|binding| binding.access == Access::ReadTexels);
        through.map(|binding| binding.range.end - binding.range.start).sum()
    }

    /// The dispatch that reads all its operands where they are.
    pub(crate) fn without_texels(mut self) -> Self {
        let through = self.bindings.iter_mut().filter(|binding| binding.access == Access::ReadTexels);
        through.for_each(|binding| binding.access = Access::Read);
        Arc::make_mut(&mut self.kernel).texels.clear();
        self
    }
}

/// How an op is done on a device: its dispatches, scratch memory and the reason for the choice.
///
/// ```
/// use tilewise::{DType, DeviceProfile, Layout, Matmul, Op};
/// let profile = DeviceProfile::baseline();
/// let (a, b) = (Layout::new(&[64, 32], DType::F32), Layout::new(&[32, 128], DType::F32));
/// let plan = Matmul::default().plan(&profile, &[a, b])?;
/// assert_eq!(plan.outputs[0].shape, [64, 128]);
/// println!("{}", plan.explain(&profile));
/// # Ok::<(), tilewise::Error>(())
/// ```
///
/// It is read and not written: kernels run without the checks that a driver would make of every address, on the strength of
/// what the planner found the addresses to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    data: PlanData,
    /// Whether it is no longer what the planner made.
    altered: bool,
}

impl Plan {
    pub(crate) fn new(data: PlanData) -> Self {
        Plan { data, altered: false }
    }

    /// Another plan, for the emulator alone, which checks every address itself: to see what comes of mistakes.
    #[doc(hidden)]
    pub fn altered(&self, alter: impl FnOnce(&mut PlanData)) -> Plan {
        let mut data = self.data.clone();
        alter(&mut data);
        Plan { data, altered: true }
    }

    /// A part of the plan.
    pub(crate) fn with_data(&self, data: PlanData) -> Plan {
        Plan { data, altered: self.altered }
    }

    /// Whether kernels read operands through textures.
    pub(crate) fn reads_texels(&self) -> bool {
        self.dispatches
            .iter()
            .flat_map(|dispatch| &dispatch.bindings)
            .any(|binding| binding.access == Access::ReadTexels)
    }

    /// The plan that reads all operands where they are: in a host's pass, in which nothing is copied.
    pub(crate) fn without_texels(&self) -> Cow<'_, Plan> {
        if !self.reads_texels() {
            return Cow::Borrowed(self);
        }
        let dispatches = self.dispatches.iter().cloned().map(Dispatch::without_texels).collect();
        Cow::Owned(self.with_data(PlanData { dispatches, ..PlanData::clone(self) }))
    }

    /// Refuses a plan that the planner did not make.
    pub(crate) fn expect_unaltered(&self) -> Result<()> {
        if !self.altered {
            return Ok(());
        }
        let why = "its kernels run without checks, on the strength of what the planner found";
        Err(Error::Unsupported { what: format!("an altered plan of {} on a device of wgpu", self.op), why })
    }
}

impl Deref for Plan {
    type Target = PlanData;

    fn deref(&self) -> &PlanData {
        &self.data
    }
}

/// What a [`Plan`] holds.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanData {
    /// The op's name.
    pub op: &'static str,
    /// The variant chosen, as family and tile.
    pub variant: String,
    /// Why this variant.
    pub why: String,
    /// Candidates that came first but could not be built, with the reason.
    pub passed_over: Vec<String>,
    /// The layouts that the inputs must have, or be stronger than.
    pub inputs: Vec<Layout>,
    /// The layouts of the outputs.
    pub outputs: Vec<Layout>,
    /// Bytes of each scratch buffer.
    pub scratch: Vec<u64>,
    /// The dispatches, in order.
    pub dispatches: Vec<Dispatch>,
}

impl PlanData {
    /// The sum of its dispatches' work.
    pub fn work(&self) -> Work {
        self.dispatches
            .iter()
            .fold(Work::default(), |sum, d| Work { flops: sum.flops + d.work.flops, bytes: sum.bytes + d.work.bytes })
    }

    /// Bytes of scratch memory that running it takes.
    pub fn scratch_bytes(&self) -> u64 {
        self.scratch.iter().sum()
    }

    /// Whether the plan binds everything read-write, so that operands may share a buffer.
    pub fn in_arena(&self) -> bool {
        self.inputs.iter().chain(&self.outputs).any(|layout| layout.arena)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.op)?;
        for (i, layout) in self.inputs.iter().enumerate() {
            write!(f, "{}{layout}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str(") -> ")?;
        for (i, layout) in self.outputs.iter().enumerate() {
            write!(f, "{}{layout}", if i > 0 { ", " } else { "" })?;
        }
        let n = self.dispatches.len();
        writeln!(f, ": {}, {n} dispatch{}; {}", self.variant, if n == 1 { "" } else { "es" }, self.why)
    }
}

/// The most trips that all the loops of an invocation may make together. Mesa 22.3's software driver counts the trips of a
/// whole shader and silently ends the loop that passes 65,535, nested or not: a sum of 70,000 ones came out as 65,534.
pub(crate) const MAX_TRIPS: usize = 60_000;

/// The error of a variant whose loops would pass [`MAX_TRIPS`].
pub(crate) fn too_many_trips(op: &'static str, trips: usize) -> Error {
    Error::Limit {
        op: op.into(),
        limit: "loop trips",
        needed: trips as u64,
        available: MAX_TRIPS as u64,
        hint: "this problem cannot be cut along its sums",
    }
}

/// The most dispatches that a plan may hold. At the work budget of 0.2 s each they run for an hour at the class's lowest
/// plausible rate, and take some 30 MB on the host; without a bound, absurd sizes would plan until memory runs out.
pub(crate) const MAX_DISPATCHES: usize = 1 << 14;

/// Refuses a count of dispatches, or of pieces on the way there, above [`MAX_DISPATCHES`].
pub(crate) fn expect_dispatches(op: &str, count: usize) -> Result<()> {
    if count <= MAX_DISPATCHES {
        return Ok(());
    }
    Err(Error::Limit {
        op: op.into(),
        limit: "dispatches of a plan",
        needed: count as u64,
        available: MAX_DISPATCHES as u64,
        hint: "the device's limits or its work budget cut the problem into more pieces than that",
    })
}

/// Folds a count of workgroups into a grid whose every side is within the device's limit. Kernels count their workgroups
/// with `workgroup_index` and stop above `params.workgroups`, so the surplus of the last row does nothing.
pub(crate) fn fold(op: &'static str, workgroups: u64, profile: &DeviceProfile) -> Result<[u32; 3]> {
    let side = u64::from(profile.limits.max_compute_workgroups_per_dimension);
    // A side of 0 is refused below, as any z is above it.
    let fill = side.max(1);
    let z = workgroups.div_ceil(fill * fill).max(1);
    let y = workgroups.div_ceil(z * fill).max(1);
    let x = workgroups.div_ceil(y * z);
    // The kernels count in 32 bits.
    if z > side || x * y * z > u64::from(u32::MAX) {
        return Err(Error::Limit {
            op: op.into(),
            limit: "max_compute_workgroups_per_dimension",
            needed: workgroups,
            available: side,
            hint: "use a larger tile or split the problem",
        });
    }
    Ok([x as u32, y as u32, z as u32])
}

/// Puts a dispatch together: the composition, and beside it the bindings and parameters that its files ask for.
///
/// The number of a binding and the names of the parameters are taken from here alone: nothing is written twice.
pub(crate) struct Assembly {
    op: &'static str,
    composition: Composition,
    bindings: Vec<Binding>,
    /// The hook of each binding.
    hooks: Vec<&'static str>,
    params: Vec<(String, Param)>,
    memory: u32,
}

impl Assembly {
    /// Starts from a body. `arena` binds everything read-write.
    pub fn new(op: &'static str, body: ShaderFile, arena: bool) -> Self {
        let composition = Composition {
            body,
            fragments: Vec::new(),
            common: Vec::new(),
            constants: Vec::new(),
            enables: Vec::new(),
            params: ParamSpace::Immediate,
            arena,
            texels: Vec::new(),
            unroll: true,
        };
        Assembly { op, composition, bindings: Vec::new(), hooks: Vec::new(), params: Vec::new(), memory: 0 }
    }

    /// The op, for errors.
    pub fn op(&self) -> &'static str {
        self.op
    }

    /// Fills a hook of the body with a fragment.
    pub fn fragment(&mut self, hook: &'static str, file: ShaderFile) -> &mut Self {
        self.composition.fragments.push((hook, file));
        self
    }

    /// Adds a file of helper functions.
    pub fn common(&mut self, file: ShaderFile) -> &mut Self {
        if !self.composition.common.contains(&file) {
            self.composition.common.push(file);
        }
        self
    }

    /// A line of the const block, for a hook or, with `""`, for all.
    pub fn constant(&mut self, hook: &'static str, name: &'static str, value: Value) -> &mut Self {
        if let Value::Type("f16" | "vec4<f16>" | "array<f16, 1>") = value {
            self.enable("f16");
        }
        self.composition.constants.push((hook, name, value));
        self
    }

    /// An extension of WGSL that the files use.
    pub fn enable(&mut self, extension: &'static str) -> &mut Self {
        if !self.composition.enables.contains(&extension) {
            self.composition.enables.push(extension);
        }
        self
    }

    /// A parameter of a hook's file or, with `""`, of the body.
    pub fn param(&mut self, hook: &str, name: &str, value: Param) -> &mut Self {
        self.params.push((qualified(hook, name), value));
        self
    }

    /// An unsigned parameter; refuses what does not fit into 32 bits.
    pub fn size(&mut self, hook: &str, name: &str, value: usize) -> Result<&mut Self> {
        let word = u32::try_from(value).map_err(|_| Error::Limit {
            op: self.op.into(),
            limit: "u32 index",
            needed: value as u64,
            available: u64::from(u32::MAX),
            hint: "split the problem",
        })?;
        Ok(self.param(hook, name, Param::U32(word)))
    }

    /// A signed parameter that may have another of its size added to it; refuses what would not fit into 32 bits.
    pub fn place(&mut self, hook: &str, name: &str, value: i64) -> Result<&mut Self> {
        const MOST: u64 = 1 << 30;
        match i32::try_from(value) {
            Ok(word) if value.unsigned_abs() <= MOST => Ok(self.param(hook, name, Param::I32(word))),
            _ => Err(Error::Limit {
                op: self.op.into(),
                limit: "i32 index",
                needed: value.unsigned_abs(),
                available: MOST,
                hint: "the sizes and the padding of a dimension have to be less",
            }),
        }
    }

    /// A storage binding: its number becomes the constant `BINDING` of the hook, the element offset of its range in the
    /// bound window the hook's parameter `offset`.
    pub fn bind(&mut self, hook: &'static str, binding: Binding) -> &mut Self {
        let number = self.bindings.len();
        self.constant(hook, "BINDING", Value::U32(number as u32));
        self.param(hook, "offset", Param::Offset(number));
        self.bindings.push(binding);
        self.hooks.push(hook);
        self
    }

    /// Reads operands through textures where that is wanted: all of them or none, so that sizes do not make more kernels.
    fn choose_texels(&mut self, profile: &DeviceProfile) -> Result<()> {
        let Some(from) = profile.texels else { return Ok(()) };
        let size = |binding: &Binding| binding.range.end.saturating_sub(binding.range.start);
        // Most small kernels are done with here.
        if self.bindings.iter().filter(|binding| binding.access == Access::Read).map(size).sum::<u64>() < from {
            return Ok(());
        }
        let side = u64::from(profile.limits.max_texture_dimension_2d);
        let most = if side < u64::from(TEXEL_ROW) { 0 } else { u64::from(TEXEL_ROW) * side * TEXEL };
        let mut reads = Vec::new();
        for (number, (binding, &hook)) in self.bindings.iter().zip(&self.hooks).enumerate() {
            let bytes = size(binding);
            let readable = self.composition.may_read_texels(hook).map_err(|error| self.broken(error.to_string()))?;
            if binding.access == Access::Read && readable && bytes <= most {
                reads.push((number, hook, bytes));
            }
        }
        let bytes: u64 = reads.iter().map(|&(.., bytes)| bytes).sum();
        if bytes >= from && reads.len() as u64 <= u64::from(profile.limits.max_storage_textures_per_shader_stage) {
            for (number, hook, _) in reads {
                self.bindings[number].access = Access::ReadTexels;
                self.composition.texels.push(hook);
            }
        }
        Ok(())
    }

    /// Tells of an array in the body's workgroup memory.
    pub fn workgroup_array(&mut self, bytes: u32) -> &mut Self {
        // As pipelines are checked: each variable on 16 bytes.
        self.memory += bytes.next_multiple_of(16);
        self
    }

    /// Refuses a kernel that the device has no room for.
    fn expect_room(&self, limits: &wgpu::Limits) -> Result<()> {
        let number = |name| self.composition.number(name).unwrap_or(1);
        let (x, y) = (number("WG_X"), number("WG_Y"));
        for (limit, needed, available) in [
            // Those read through textures too: hosts' passes and short memory make do with buffers.
            (
                "max_storage_buffers_per_shader_stage",
                self.bindings.len() as u32,
                limits.max_storage_buffers_per_shader_stage,
            ),
            ("max_compute_workgroup_storage_size", self.memory, limits.max_compute_workgroup_storage_size),
            ("max_compute_invocations_per_workgroup", x * y, limits.max_compute_invocations_per_workgroup),
            ("max_compute_workgroup_size_x", x, limits.max_compute_workgroup_size_x),
            ("max_compute_workgroup_size_y", y, limits.max_compute_workgroup_size_y),
        ] {
            if needed > available {
                return Err(Error::Limit {
                    op: self.op.into(),
                    limit,
                    needed: needed.into(),
                    available: available.into(),
                    hint: "no variant needs less",
                });
            }
        }
        Ok(())
    }

    /// The dispatch of so many workgroups.
    pub fn dispatch(mut self, profile: &DeviceProfile, workgroups: u64, work: Work) -> Result<Dispatch> {
        self.choose_texels(profile)?;
        self.expect_room(&profile.limits)?;
        self.param("", "workgroups", Param::U32(u32::try_from(workgroups).unwrap_or(u32::MAX)));
        let grid = fold(self.op, workgroups, profile)?;
        let fields = self.composition.fields().map_err(|error| self.broken(error.to_string()))?;
        if (fields.len() * 4) as u32 > profile.immediate_bytes() {
            self.composition.params = ParamSpace::Uniform { binding: self.bindings.len() as u32 };
        }
        let mut params = Vec::with_capacity(fields.len());
        for field in &fields {
            let found = self.params.iter().find(|(name, _)| *name == field.name);
            let fits = |param: &Param| match param {
                Param::U32(_) | Param::Offset(_) => field.ty == FieldType::U32,
                Param::I32(_) => field.ty == FieldType::I32,
                Param::F32(_) => field.ty == FieldType::F32,
            };
            match found {
                Some((_, param)) if fits(param) => params.push(*param),
                Some((_, param)) => {
                    return Err(self.broken(format!("params.{} is {:?}, given {param:?}", field.name, field.ty)));
                }
                None => return Err(self.broken(format!("params.{} is not given", field.name))),
            }
        }
        if let Some((name, _)) = self.params.iter().find(|(name, _)| !fields.iter().any(|field| field.name == *name)) {
            return Err(self.broken(format!("no file declares params.{name}")));
        }
        Ok(Dispatch {
            kernel: Arc::new(self.composition),
            bindings: self.bindings,
            params,
            grid,
            workgroup_memory: self.memory,
            work,
        })
    }

    fn broken(&self, detail: String) -> Error {
        Error::Shader { kernel: format!("{}: {}", self.op, self.composition.body.path), detail }
    }
}

/// The name of a hook's parameter in the merged struct.
fn qualified(hook: &str, name: &str) -> String {
    if hook.is_empty() { name.to_owned() } else { format!("{hook}_{name}") }
}

impl Composition {
    fn number(&self, name: &str) -> Option<u32> {
        self.constants.iter().find_map(|(hook, constant, value)| match value {
            Value::U32(number) if hook.is_empty() && *constant == name => Some(*number),
            _ => None,
        })
    }

    /// Invocations of a workgroup in x and y, by the constants that every body sizes it with.
    pub(crate) fn workgroup_size(&self) -> [u32; 2] {
        ["WG_X", "WG_Y"].map(|name| self.number(name).unwrap_or(1))
    }

    /// Rows and columns of a workgroup's tile, where the body has one.
    pub(crate) fn tile(&self) -> Option<(usize, usize)> {
        let rows = self.number("WG_Y")? * self.number("ROWS")?;
        let columns = self.number("WG_X")? * self.number("COLUMNS")?;
        Some((rows as usize, columns as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_fold_below_the_limit() {
        let mut profile = DeviceProfile::baseline();
        profile.limits.max_compute_workgroups_per_dimension = 4;
        for (workgroups, grid) in [(0, [0, 1, 1]), (3, [3, 1, 1]), (5, [3, 2, 1]), (17, [3, 3, 2]), (64, [4, 4, 4])] {
            assert_eq!(fold("op", workgroups, &profile), Ok(grid));
        }
        assert!(matches!(fold("op", 65, &profile), Err(Error::Limit { needed: 65, available: 4, .. })));
        profile.limits.max_compute_workgroups_per_dimension = 0;
        assert!(matches!(fold("op", 1, &profile), Err(Error::Limit { needed: 1, available: 0, .. })));
    }
}
