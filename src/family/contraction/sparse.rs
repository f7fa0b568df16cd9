//! Sparse left operands: which bodies take which formats, and how their planes are read.
//!
//! A format is two things to a body: a loader that hands on four values of a row for a step, and the steps of a tile of rows with the
//! values of k for which b is read in each.

use super::bind::word;
use super::pieces::Pieces;
use super::quads::{VECTOR, vector_bytes, whole};
use super::{Body, Contraction, Variant};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::family::{LOAD_BITS, LOAD_VALUES, wgsl};
use crate::layout::DType;
use crate::op::mask::words;
use crate::op::sparse::{OCCUPANCY, SparseFormat};
use crate::plan::{Access, Assembly, Binding, Slot};
use crate::problem::Operands;
use crate::profile::{Class, DeviceProfile};
use crate::split::Region;

const WHOLE_VECTORS: ShaderFile = shader!("load/whole_vectors.wgsl");
const LOOSE_VECTORS: ShaderFile = shader!("load/loose_vectors.wgsl");
const STREAM: ShaderFile = shader!("load/stream.wgsl");
const MASKED: ShaderFile = shader!("load/masked.wgsl");
const TWO_FOUR: ShaderFile = shader!("load/two_four.wgsl");
const BITMASK: ShaderFile = shader!("load/bitmask.wgsl");
const FOUND: ShaderFile = shader!("load/found.wgsl");
pub(super) const QUADS_ROWS: ShaderFile = shader!("load/quads_rows.wgsl");
pub(super) const DENSE_STEPS: ShaderFile = shader!("steps/dense.wgsl");
const BLOCKS: ShaderFile = shader!("steps/blocks.wgsl");
const LISTS: ShaderFile = shader!("steps/lists.wgsl");
const OCCUPIED: ShaderFile = shader!("steps/occupied.wgsl");

/// Columns up to which a product is one with few of them.
const FEW: usize = 8;

/// A sparse matrix as an operand.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparse {
    /// How it lies in memory.
    pub format: SparseFormat,
    /// The number of its first plane among the inputs; the others follow.
    pub first: usize,
    /// How many planes there are.
    pub planes: usize,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Type of the values.
    pub dtype: DType,
    /// Values that are not pruned.
    pub kept: usize,
}

impl Sparse {
    /// Rows that have their steps in common, and columns that follow each other in a step; all of them where k is gone through as it is.
    fn block(&self) -> [usize; 2] {
        match self.format {
            SparseFormat::Blocks { size, .. } => size,
            SparseFormat::Masked => [OCCUPANCY; 2],
            SparseFormat::TwoFour | SparseFormat::Bitmask { .. } => [usize::MAX; 2],
        }
    }

    /// Whether steps name each value of k by itself.
    pub(super) fn lists(&self) -> bool {
        self.block()[1] == 1
    }

    /// Steps of four values, of all rows that have theirs in common, on average; for those that are skipped, as if what is kept were
    /// spread by chance.
    pub(super) fn steps(&self) -> f64 {
        let [height, width] = self.block();
        let all = self.columns.div_ceil(VECTOR) as f64;
        match self.format {
            SparseFormat::Blocks { entries, .. } => {
                entries as f64 * width as f64 / VECTOR as f64 / self.rows.div_ceil(height).max(1) as f64
            }
            SparseFormat::Masked => {
                let density = self.kept as f64 / (self.rows * self.columns).max(1) as f64;
                all * (1.0 - (1.0 - density).powi((OCCUPANCY * OCCUPANCY) as i32))
            }
            SparseFormat::TwoFour | SparseFormat::Bitmask { .. } => all,
        }
    }

    /// Steps that are looked at and skipped.
    pub(super) fn skipped(&self) -> f64 {
        match self.format {
            SparseFormat::Masked => self.columns.div_ceil(VECTOR) as f64 - self.steps(),
            _ => 0.0,
        }
    }

    /// Loads that finding a value takes.
    pub(super) fn found(&self) -> f64 {
        match self.format {
            SparseFormat::Blocks { .. } => 2.0 + (self.steps() + 1.0).log2(),
            _ => 2.0,
        }
    }

    /// Loads of 16 bytes and of 4 that a step takes: of a row, and beside.
    pub(super) fn loads(&self) -> ([f64; 2], f64) {
        match self.format {
            SparseFormat::Blocks { .. } => ([1.0, 0.0], if self.lists() { 4.0 } else { 1.0 }),
            SparseFormat::Masked => ([1.0, 2.0], 1.0),
            SparseFormat::TwoFour => ([0.0, 3.0], 0.0),
            SparseFormat::Bitmask { .. } => ([0.0, 6.0], 0.0),
        }
    }

    /// Elements of the plane of values.
    pub(super) fn values(&self) -> usize {
        let quads = self.columns.div_ceil(VECTOR);
        match self.format {
            SparseFormat::Masked => self.rows * quads * VECTOR,
            SparseFormat::Blocks { size: [height, width], entries } => entries * height * width,
            SparseFormat::TwoFour => self.rows * quads * 2,
            SparseFormat::Bitmask { entries } => entries,
        }
    }

    /// Bytes of each plane.
    fn bytes(&self, plane: usize) -> u64 {
        let [height, _] = self.block();
        let u32s = |len: usize| len as u64 * DType::U32.size();
        match (plane, self.format) {
            (0, _) => self.values() as u64 * self.dtype.size(),
            (1, SparseFormat::Masked) => u32s(words(self.rows * self.columns)),
            (_, SparseFormat::Masked) => u32s(words(self.rows.div_ceil(OCCUPANCY) * self.columns.div_ceil(OCCUPANCY))),
            (1, SparseFormat::Blocks { entries, .. }) => u32s(entries),
            (_, SparseFormat::Blocks { .. }) => u32s(self.rows.div_ceil(height) + 1),
            (_, SparseFormat::TwoFour) => u32s(self.rows * self.columns.div_ceil(8 * VECTOR)),
            (_, SparseFormat::Bitmask { .. }) => u32s(self.rows * words(self.columns)),
        }
    }

    /// The most of a body's rows that may go together: those of a block, or any.
    fn is_tile(&self, rows: usize) -> bool {
        let [height, _] = self.block();
        height == usize::MAX || height.is_multiple_of(rows)
    }

    /// Refuses a body that does not follow the format's steps, or a tile of rows that do not have them in common.
    pub(super) fn expect(&self, op: &'static str, variant: &Variant) -> Result<()> {
        let [_, width] = self.block();
        let rows = variant.tile().0;
        let fits = match variant.body {
            // What takes many loads for four values makes its unrolled rows too long to compile.
            Body::Broadcast => self.is_tile(rows) && self.is_in_fours(),
            Body::SparseRows => self.is_tile(rows),
            // Rows of one invocation lie apart, so that those of all share the steps, or each has a row.
            Body::SparseColumns => variant.per_lane.0 == 1 || self.is_tile(rows),
            Body::Staged => self.is_tile(rows) && (self.lists() || width.is_multiple_of(variant.step as usize)),
            // Single columns leave no step of several without a weight.
            Body::Patches => {
                let blocks = matches!(self.format, SparseFormat::Blocks { .. }) && width > 1;
                blocks && self.is_tile(variant.per_lane.0 as usize)
            }
            _ => false,
        };
        if fits && variant.parts == 1 && variant.winograd == 0 {
            return Ok(());
        }
        Err(Error::Limit {
            op: op.into(),
            limit: "rows of a sparse block",
            needed: rows as u64,
            available: self.block()[0] as u64,
            hint: "a tile takes rows that have their blocks in common, and not every body takes sparse operands",
        })
    }

    fn read(&self, assembly: &mut Assembly, hook: &'static str, file: ShaderFile, plane: usize) -> u64 {
        let bytes = self.bytes(plane);
        let (dtype, slot) = (if plane == 0 { self.dtype } else { DType::U32 }, Slot::Input(self.first + plane));
        assembly.fragment(hook, file).constant(hook, "Elem", Value::Type(wgsl(dtype)));
        assembly.bind(hook, Binding { slot, range: 0..bytes, access: Access::Read, element: dtype.size() });
        bytes
    }

    /// Whether four values of a row lie side by side.
    fn is_in_fours(&self) -> bool {
        matches!(self.format, SparseFormat::Blocks { .. } | SparseFormat::Masked)
    }

    /// Whether they are read in whole vectors.
    pub(super) fn in_vectors(&self, operands: &Operands<'_>) -> bool {
        self.is_in_fours() && u64::from(operands.inputs[self.first].align) >= vector_bytes(self.dtype)
    }

    /// The input that has to be aligned for that.
    pub(crate) fn aligned(&self, operands: &Operands<'_>) -> Option<Slot> {
        self.in_vectors(operands).then_some(Slot::Input(self.first))
    }

    /// Reads the values in vectors.
    fn read_vectors(&self, assembly: &mut Assembly, operands: &Operands<'_>) -> u64 {
        let bytes = self.bytes(0);
        let (file, element) = if self.in_vectors(operands) {
            (WHOLE_VECTORS, vector_bytes(self.dtype))
        } else {
            (LOOSE_VECTORS, self.dtype.size())
        };
        let (slot, access) = (Slot::Input(self.first), Access::Read);
        assembly.fragment("a", file).constant("a", "Elem", Value::Type(wgsl(self.dtype)));
        assembly.bind("a", Binding { slot, range: 0..bytes, access, element });
        bytes
    }

    /// Fills hook a with the loader of rows from `first` on, by k. Returns the bytes that it reads.
    pub(crate) fn bind_rows(&self, assembly: &mut Assembly, first: usize, operands: &Operands<'_>) -> Result<u64> {
        assembly.size("a", "row", first)?;
        let quads = self.columns.div_ceil(VECTOR);
        Ok(match self.format {
            SparseFormat::Masked => {
                assembly.fragment("a", MASKED).size("a", "pitch", quads)?.size("a", "columns", self.columns)?;
                self.read_vectors(assembly, operands) + self.read(assembly, "mask", LOAD_BITS, 1)
            }
            SparseFormat::Blocks { size: [height, width], .. } => {
                assembly.fragment("a", FOUND).constant("a", "HEIGHT", word(height)).constant("a", "WIDTH", word(width));
                self.bind_blocks(assembly, operands)
            }
            SparseFormat::TwoFour => {
                assembly.size("a", "pairs", quads)?.size("a", "words", quads.div_ceil(8))?;
                self.read(assembly, "a", TWO_FOUR, 0) + self.read(assembly, "codes", LOAD_VALUES, 1)
            }
            SparseFormat::Bitmask { entries } => {
                assembly.size("a", "words", words(self.columns))?.size("a", "entries", entries.max(1))?;
                let codes = self.read(assembly, "codes", LOAD_VALUES, 1) + self.read(assembly, "ranks", LOAD_VALUES, 2);
                self.read(assembly, "a", BITMASK, 0) + codes
            }
        })
    }

    /// Fills hook a with the loader of a body, and the hook of its steps. Returns the bytes that they read.
    pub(super) fn bind(
        &self,
        assembly: &mut Assembly,
        pieces: &Pieces<'_>,
        body: Body,
        region: &Region,
        operands: &Operands<'_>,
    ) -> Result<u64> {
        let [height, width] = self.block();
        let first = region.0[pieces.dims().0].start;
        if body == Body::Staged {
            assembly.fragment("a", QUADS_ROWS);
        }
        if height == usize::MAX {
            assembly.fragment("steps", DENSE_STEPS);
            return self.bind_rows(assembly, first, operands);
        }
        if !first.is_multiple_of(height) {
            return Err(Error::Limit {
                op: pieces.op.into(),
                limit: "max_storage_buffer_binding_size",
                needed: (height * pieces.problem.n) as u64,
                available: 0,
                hint: "a row of blocks has to fit",
            });
        }
        assembly.constant("steps", "HEIGHT", word(height)).constant("steps", "WIDTH", word(width));
        assembly.size("steps", "group", first / height)?;
        if let SparseFormat::Masked = self.format {
            assembly.fragment("steps", OCCUPIED).size("steps", "across", self.columns.div_ceil(width))?;
            let occupied = self.read(assembly, "occupied", LOAD_BITS, 2);
            return Ok(self.bind_rows(assembly, first, operands)? + occupied);
        }
        let SparseFormat::Blocks { entries, .. } = self.format else { return Ok(0) };
        assembly.fragment("a", STREAM).constant("a", "HEIGHT", word(height));
        assembly.size("steps", "k", self.columns)?.size(
            "steps",
            "entries",
            entries.max(if width == 1 { 4 } else { 1 }),
        )?;
        let file = if width == 1 { LISTS } else { BLOCKS };
        if width > 1 {
            // Panels and vectors of b are whole.
            let is_whole = pieces.feeds.is_some() || whole(self.columns);
            assembly.constant("steps", "WHOLE", Value::Bool(is_whole));
        }
        let indices = self.bind_indices(assembly, file);
        Ok(self.read_vectors(assembly, operands) + indices)
    }

    /// Reads blocks, their columns and the pointers to those of a row. Returns the bytes of all.
    pub(super) fn bind_blocks(&self, assembly: &mut Assembly, operands: &Operands<'_>) -> u64 {
        let indices = self.read(assembly, "columns", LOAD_VALUES, 1) + self.read(assembly, "pointers", LOAD_VALUES, 2);
        self.read_vectors(assembly, operands) + indices
    }

    /// Fills the hook of steps with a file that reads blocks' columns, and finds a row's blocks by pointers. Returns the bytes that they read.
    pub(super) fn bind_indices(&self, assembly: &mut Assembly, file: ShaderFile) -> u64 {
        self.read(assembly, "steps", file, 1) + self.read(assembly, "pointers", LOAD_VALUES, 2)
    }
}

/// The sparse left operand of a problem.
pub(crate) fn of(problem: &Contraction) -> Option<&Sparse> {
    match &problem.a.addressing {
        super::Addressing::Sparse(sparse) => Some(sparse),
        _ => None,
    }
}

const fn rows(lanes: (u32, u32), per_lane: (u32, u32)) -> Variant {
    Variant { body: Body::SparseRows, lanes, per_lane, step: 4, parts: 1, winograd: 0 }
}

/// The variant that takes any format within WebGPU's default limits, on every device.
pub(crate) const BASELINE: Variant = rows((8, 1), (1, 4));

/// Rows and columns of a lane of the broadcast body on class Cpu: the rows of the blocks that there may be.
const CPU_BROADCAST: [(u32, u32); 11] =
    [(32, 4), (24, 4), (16, 8), (16, 4), (8, 8), (8, 4), (4, 16), (4, 8), (2, 16), (1, 16), (1, 8)];
/// The tiles of GPUs.
const GPU_ROWS: [Variant; 2] = [rows((32, 1), (1, 4)), rows((64, 1), (1, 4))];
const GPU_STAGED: [Variant; 2] = [super::gpu::staged((16, 4), (4, 4), 16), super::gpu::staged((16, 8), (4, 4), 16)];

/// The tiles of a device for any format, with those for so many columns, where they are few, or, without a number, for any.
pub(super) fn tiles(profile: &DeviceProfile, n: Option<usize>) -> Vec<Variant> {
    let counts = match n {
        None => vec![4, 8],
        Some(n) if n <= FEW => vec![n.next_multiple_of(VECTOR).max(VECTOR) as u32],
        Some(_) => Vec::new(),
    };
    let share = |lanes: (u32, u32), rows: u32| {
        let body = Body::SparseColumns;
        let of = move |columns| Variant { body, lanes, per_lane: (rows, columns), step: 4, parts: 1, winograd: 0 };
        counts.iter().copied().map(of).collect::<Vec<_>>()
    };
    let mut list = Vec::new();
    if profile.class == Class::Cpu {
        let lanes = profile.fixed_subgroup_size().unwrap_or(8);
        list.extend([4, 2, 1].into_iter().flat_map(|rows| share((lanes, 1), rows)));
        if profile.fixed_subgroup_size().is_some() {
            list.extend(CPU_BROADCAST.map(|tile| super::cpu::broadcast_of(lanes, tile)));
        }
        list.extend([4, 8, 16].map(|columns| rows((lanes, 1), (1, columns))));
    } else {
        list.extend(
            [((32, 4), 1), ((16, 8), 1), ((1, 64), 1)].into_iter().flat_map(|(lanes, rows)| share(lanes, rows)),
        );
        list.extend(GPU_STAGED);
        list.extend(GPU_ROWS);
    }
    if !list.contains(&BASELINE) {
        list.push(BASELINE);
    }
    list
}

/// The error of a body that takes no operand in planes, or no other.
pub(super) fn unfit(op: &'static str) -> Error {
    Error::Limit {
        op: op.into(),
        limit: "operands in planes",
        needed: 1,
        available: 0,
        hint: "the body reads operands of another kind",
    }
}
