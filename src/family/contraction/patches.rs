//! Convolutions in patches of pixels, on drivers that run on the CPU: images are copied into padded planes of vectors and weights
//! into panels, and a subgroup makes a tile of patches and output channels of them.

use super::bind::{bind_output, low_word, read, word};
use super::panels::{PACKERS, PANELS as STORE_PANELS, Panels, pack_side};
use super::pieces::Pieces;
use super::quads::{Side, VECTOR, vector_bytes};
use super::sparse::{self, Sparse};
use super::variant::expect_subgroups;
use super::{Addressing, Body, Contraction, GRID, Variant, Windows};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::family::{GROUP_OF, wgsl};
use crate::layout::DType;
use crate::op::sparse::SparseFormat;
use crate::plan::{
    Access, Assembly, Binding, Dispatch, MAX_TRIPS, Param, Slot, Work, expect_dispatches, too_many_trips,
};
use crate::problem::{Built, Operands};
use crate::profile::DeviceProfile;
use crate::split::{Cut, Divisible, Region, bytes, split};

const PLANES: ShaderFile = shader!("contraction/planes.wgsl");
const PANELS_OF_BLOCKS: ShaderFile = shader!("contraction/panels_of_blocks.wgsl");
const LOAD_PANELS: ShaderFile = shader!("load/panels.wgsl");
const ALL_STEPS: ShaderFile = shader!("steps/taps.wgsl");
const STEPS_OF_BLOCKS: ShaderFile = shader!("steps/taps_of_blocks.wgsl");

/// Planes and panels hold vectors of f32; a vector of a plane is a row of a patch.
const VECTOR_BYTES: u64 = vector_bytes(DType::F32);
/// Values of the vectors behind its own that a lane can get.
const MOST_HALO: usize = VECTOR;
/// Above so many multiply-adds of vectors a step takes one row of the kernel instead of all: the compiler would take more than
/// a second. Nine taps of 8 x 4 vectors are 288.
const UNROLLED: usize = 320;

/// Vectors of a plane that an invocation copies at least, so that starting workgroups takes little of the time, and workgroups that there
/// ought to be at least, so that all cores have some.
const STRETCH: usize = 64;
const STRETCHES: usize = 64;

/// The scratch buffers.
const WEIGHTS: usize = 0;
const IMAGES: usize = 1;

/// The blocks that sparse weights consist of.
#[derive(Clone, Copy)]
struct Blocks<'a> {
    sparse: &'a Sparse,
    /// Rows and columns of each.
    size: [usize; 2],
    /// How many there are.
    entries: usize,
}

impl<'a> Blocks<'a> {
    fn of(problem: &'a Contraction) -> Option<Self> {
        let sparse = sparse::of(problem)?;
        match sparse.format {
            SparseFormat::Blocks { size, entries } => Some(Blocks { sparse, size, entries }),
            _ => None,
        }
    }

    /// Rows of them.
    fn down(&self) -> usize {
        self.sparse.rows.div_ceil(self.size[0])
    }

    /// Blocks in a row of them, where all are there.
    fn across(&self) -> usize {
        self.sparse.columns.div_ceil(self.size[1])
    }

    /// Steps of so many columns that a block may meet.
    fn slots(&self, taps: usize) -> usize {
        (self.size[1] + taps - 2) / taps + 1
    }

    /// Vectors of the panels of all blocks: there is room for one at least.
    fn panels(&self, taps: usize) -> usize {
        self.entries.max(1).saturating_mul(self.slots(taps) * taps * self.size[0] / VECTOR)
    }

    /// The share of steps of so many columns that meet a block, as if they were spread by chance.
    fn met(&self, taps: usize) -> f64 {
        let all = (self.down() * self.across()).max(1) as f64;
        let reached = 1.0 + (taps - 1) as f64 / self.size[1] as f64;
        1.0 - (1.0 - self.entries as f64 / all).max(0.0).powf(reached)
    }
}

/// A convolution as the body sees it: what its constants and the sizes of its planes follow from.
pub(super) struct Patches<'a> {
    windows: &'a Windows,
    /// What the weights consist of, if they are sparse.
    blocks: Option<Blocks<'a>>,
    /// Output channels of a tile.
    rows: usize,
    /// Rows of a patch.
    patch: usize,
    lanes: usize,
}

impl<'a> Patches<'a> {
    /// # Errors
    /// [`Error::Limit`] for problems that are none, or whose windows reach further than lanes hand on.
    pub fn of(op: &'static str, problem: &'a Contraction, variant: &Variant) -> Result<Self> {
        let Addressing::Windows(windows) = &problem.b.addressing else {
            return Err(unfit(op, "operands without windows", 1, 0));
        };
        let rows = variant.per_lane.0 as usize;
        let patches = Patches {
            windows,
            blocks: Blocks::of(problem),
            rows,
            patch: variant.per_lane.1 as usize / VECTOR,
            lanes: variant.lanes.0 as usize,
        };
        // A dilation that no second tap follows is none.
        let dilation = |axis: usize| if windows.kernel[axis] == 1 { 1 } else { windows.dilation[axis] };
        for (what, needed, available) in [
            ("transposed windows", windows.transposed.into(), 0),
            ("dilation", dilation(0).max(dilation(1)), 1),
            ("values of a window behind its vector", patches.halo(), MOST_HALO),
            ("batch dimensions", problem.batch.len(), 1),
        ] {
            if needed > available {
                return Err(unfit(op, what, needed, available));
            }
        }
        if let Some(blocks) = patches.blocks
            && blocks.size[1] < patches.taps()
        {
            return Err(unfit(op, "columns of a sparse block", patches.taps(), blocks.size[1]));
        }
        for trips in [patches.steps(), patches.pitch()] {
            if trips > MAX_TRIPS {
                return Err(too_many_trips(op, trips));
            }
        }
        Ok(patches)
    }

    /// Runs that a line is stored in: columns that a stride apart.
    fn phases(&self) -> usize {
        self.windows.kernel[1].min(self.windows.stride[1])
    }

    /// Values of a run that the windows of four neighbours reach beyond four.
    fn halo(&self) -> usize {
        (self.windows.kernel[1] - 1) / self.windows.stride[1]
    }

    /// Vectors of a run, each with its patch.
    fn pitch(&self) -> usize {
        (self.windows.output[1] + self.halo()).div_ceil(VECTOR)
    }

    /// Rows of patches of an image.
    fn blocks(&self) -> usize {
        self.windows.output[0].div_ceil(self.patch)
    }

    /// Rows of a plane.
    fn plane_rows(&self) -> usize {
        (self.blocks() * self.patch - 1) * self.windows.stride[0] + self.windows.kernel[0]
    }

    /// Vectors of a plane.
    fn plane(&self) -> usize {
        self.plane_rows().saturating_mul(self.phases()).saturating_mul(self.pitch())
    }

    /// Vectors of an image's channels of one group.
    fn group(&self) -> usize {
        self.plane().saturating_mul(self.windows.channels)
    }

    /// Rows of the kernel that a step takes.
    fn tap_rows(&self) -> usize {
        let [height, width] = self.windows.kernel;
        if self.rows * self.patch * height.saturating_mul(width) <= UNROLLED { height } else { 1 }
    }

    fn steps(&self) -> usize {
        self.windows.channels * (self.windows.kernel[0] / self.tap_rows())
    }

    /// Values of k that a step takes.
    fn taps(&self) -> usize {
        self.tap_rows() * self.windows.kernel[1]
    }

    /// Rows of the plane from a line of a step to the next: with one row of taps, those between are read by none.
    fn line_step(&self) -> usize {
        if self.tap_rows() == 1 { self.windows.stride[0] } else { 1 }
    }

    /// Runs that a lane loads in a step.
    fn runs(&self) -> usize {
        let lines = (self.patch - 1) * (self.windows.stride[0] / self.line_step()) + self.tap_rows();
        lines * self.phases()
    }

    /// Vectors of weights that a step takes.
    fn weights(&self) -> usize {
        self.taps() * self.rows / VECTOR
    }

    /// Vectors of a panel: the weights of a tile's output channels.
    fn panel(&self, problem: &Contraction) -> usize {
        problem.k.saturating_mul(self.rows / VECTOR)
    }

    fn pixels(&self) -> usize {
        self.windows.output.iter().product()
    }
}

pub(super) fn unfit(op: &'static str, what: &'static str, needed: usize, available: usize) -> Error {
    Error::Limit {
        op: op.into(),
        limit: what,
        needed: needed as u64,
        available: available as u64,
        hint: "a variant that reads windows value by value takes its place",
    }
}

/// What a convolution takes, over all groups and images.
pub(super) struct Counts {
    /// Workgroups.
    pub tiles: f64,
    /// Steps of each.
    pub steps: f64,
    /// Loads of a vector in a step.
    pub loads: f64,
    /// Weights that a step hands on.
    pub weights: f64,
    /// Vectors of the panels of weights.
    pub panels: f64,
    /// Vectors of the planes.
    pub planes: f64,
}

impl Patches<'_> {
    pub fn counts(&self, problem: &Contraction) -> Counts {
        let groups = problem.batch[0] as f64;
        let images = (problem.n / self.pixels()) as f64;
        let panels = groups * problem.m.div_ceil(self.rows) as f64;
        let patches = images * self.blocks() as f64 * self.pitch() as f64;
        let weights = self.weights();
        let loads = self.runs() + self.runs().div_ceil(self.lanes) + weights.div_ceil(self.lanes);
        Counts {
            tiles: panels * (patches / self.lanes as f64).ceil(),
            steps: self.steps() as f64 * self.blocks.map_or(1.0, |blocks| blocks.met(self.taps())),
            loads: loads as f64,
            weights: (weights * VECTOR) as f64,
            panels: self.blocks.map_or(panels * self.panel(problem) as f64, |blocks| blocks.panels(self.taps()) as f64),
            planes: groups * images * self.group() as f64,
        }
    }
}

/// A convolution as splitting sees it: as other bodies' contractions, but for cuts and scratch memory.
struct Parts<'a> {
    pieces: Pieces<'a>,
    patches: Patches<'a>,
}

impl Parts<'_> {
    fn images(&self, region: &Region) -> usize {
        region.len(self.pieces.dims().1) / self.patches.pixels()
    }

    fn panel(&self) -> usize {
        self.patches.panel(self.pieces.problem)
    }

    fn panels(&self, region: &Region) -> usize {
        region.len(self.pieces.dims().0).div_ceil(self.patches.rows)
    }

    /// The panels of the weights: the output channels of a tile side by side for each tap.
    fn weights(&self, region: &Region) -> Panels {
        let size = self.patches.rows;
        Panels {
            batch: [1, 1, region.len(0)],
            count: self.panels(region),
            size,
            steps: region.len(self.pieces.dims().2),
            width: size / VECTOR,
        }
    }

    /// Vectors of each scratch buffer.
    fn scratch(&self, region: &Region) -> [usize; 2] {
        let groups = region.len(0);
        let dense = || groups.saturating_mul(self.panels(region)).saturating_mul(self.panel());
        [
            self.patches.blocks.map_or_else(dense, |blocks| blocks.panels(self.patches.taps())),
            groups.saturating_mul(self.images(region)).saturating_mul(self.patches.group()),
        ]
    }

    fn binding(&self, region: &Region, number: usize, access: Access) -> Binding {
        let bytes = (self.scratch(region)[number] as u64).saturating_mul(VECTOR_BYTES);
        Binding { slot: Slot::Scratch(number), range: 0..bytes, access, element: VECTOR_BYTES }
    }

    /// Refuses a region that a limit cut in the middle of an image.
    fn expect_whole_images(&self, region: &Region) -> Result<()> {
        let pixels = self.patches.pixels();
        let rest = region.len(self.pieces.dims().1) % pixels;
        if rest == 0 { Ok(()) } else { Err(unfit(self.pieces.op, "pixels of an image in a part", pixels, rest)) }
    }
}

impl Divisible for Parts<'_> {
    fn op(&self) -> &'static str {
        self.pieces.op
    }

    fn cuts(&self) -> Vec<Cut> {
        let (m, n, _) = self.pieces.dims();
        [(0, 1), (m, self.patches.rows), (n, self.patches.pixels())]
            .map(|(dim, grain)| Cut { dim, grain, free: true })
            .into()
    }

    fn spans(&self, region: &Region) -> Vec<(Slot, std::ops::Range<u64>)> {
        let mut spans = self.pieces.spans(region);
        spans.extend([WEIGHTS, IMAGES].map(|number| {
            let binding = self.binding(region, number, Access::Read);
            (binding.slot, binding.range)
        }));
        spans
    }

    fn flops(&self, region: &Region) -> f64 {
        self.pieces.flops(region)
    }
}

pub(super) fn build(
    problem: &Contraction,
    variant: &Variant,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Built> {
    expect_subgroups(operands.op, variant, profile)?;
    let patches = Patches::of(operands.op, problem, variant)?;
    let pieces = Pieces { op: operands.op, problem, tile: variant.tile(), step: 1, parts: 1, feeds: None };
    let parts = Parts { pieces, patches };
    let whole = Region::whole(&[problem.batch[0], problem.m, problem.n, problem.k]);
    let (mut dispatches, mut scratch) = (Vec::new(), vec![0; 2]);
    for region in split(&parts, whole, profile)? {
        parts.expect_whole_images(&region)?;
        for (number, vectors) in parts.scratch(&region).into_iter().enumerate() {
            // A region uses the scratch memory after the one before it.
            scratch[number] = (vectors as u64 * VECTOR_BYTES).max(scratch[number]);
        }
        if problem.k > 0 {
            match parts.patches.blocks {
                // Those of all regions lie there from the first on.
                Some(_) if !dispatches.is_empty() => {}
                Some(blocks) if blocks.entries == 0 => {}
                Some(blocks) => dispatches.push(pack_blocks(&parts, blocks, &region, operands, profile)?),
                None => {
                    let weights = parts.weights(&region);
                    dispatches.push(pack_side(&parts.pieces, Side::A, &weights, WEIGHTS, &region, operands, profile)?);
                }
            }
            dispatches.push(pack_images(&parts, &region, operands, profile)?);
        }
        dispatches.push(convolve(&parts, &region, operands, profile)?);
        expect_dispatches(operands.op, dispatches.len())?;
    }
    let aligned = sparse::of(problem).and_then(|sparse| sparse.aligned(operands)).into_iter().collect();
    Ok(Built { scratch, dispatches, aligned })
}

/// The sizes that a body gets: refused where they do not fit into 32 bits.
fn sizes(assembly: &mut Assembly, sizes: &[(&str, usize)]) -> Result<()> {
    sizes.iter().try_for_each(|(name, size)| assembly.size("", name, *size).map(drop))
}

fn numbers(assembly: &mut Assembly, numbers: &[(&'static str, usize)]) {
    for (name, number) in numbers {
        assembly.constant("", name, word(*number));
    }
}

/// Copies sparse weights into the panels of the steps that meet them.
fn pack_blocks(
    parts: &Parts<'_>,
    blocks: Blocks<'_>,
    region: &Region,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Dispatch> {
    let taps = parts.patches.taps();
    let pieces = parts.scratch(region)[WEIGHTS] / taps;
    let mut assembly = Assembly::new(operands.op, PANELS_OF_BLOCKS, operands.arena());
    assembly.common(GRID).common(GROUP_OF);
    numbers(
        &mut assembly,
        &[
            ("WG_X", PACKERS),
            ("WG_Y", 1),
            ("HEIGHT", blocks.size[0]),
            ("WIDTH", blocks.size[1]),
            ("ROWS", parts.patches.rows),
            ("TAPS", taps),
            ("SLOTS", blocks.slots(taps)),
        ],
    );
    sizes(&mut assembly, &[("pieces", pieces), ("groups", blocks.down())])?;
    let read = blocks.sparse.bind_blocks(&mut assembly, operands);
    let panels = parts.binding(region, WEIGHTS, Access::Write);
    let moved = (read + panels.range.end) as f64;
    assembly.fragment("panels", STORE_PANELS).bind("panels", panels).constant("panels", "Elem", Value::Type("f32"));
    assembly.dispatch(profile, pieces.div_ceil(PACKERS) as u64, Work { flops: 0.0, bytes: moved })
}

/// Copies the images of a region into padded planes.
fn pack_images(
    parts: &Parts<'_>,
    region: &Region,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Dispatch> {
    let (pieces, patches, image) = (&parts.pieces, &parts.patches, &parts.pieces.problem.b);
    let windows = patches.windows;
    let (_, n, _) = pieces.dims();
    let vectors = parts.scratch(region)[IMAGES];
    let runs = vectors / patches.pitch();
    let stretch = STRETCH.div_ceil(patches.pitch()).min(runs.div_ceil(STRETCHES * patches.lanes)).max(1);
    let mut assembly = Assembly::new(operands.op, PLANES, operands.arena());
    assembly.common(GRID);
    numbers(
        &mut assembly,
        &[("WG_X", patches.lanes), ("WG_Y", 1), ("PHASES", patches.phases()), ("STRIDE_W", windows.stride[1])],
    );
    assembly.constant("", "Elem", Value::Type(wgsl(image.dtype)));
    sizes(
        &mut assembly,
        &[
            ("runs", runs),
            ("stretch", stretch),
            ("pitch", patches.pitch()),
            ("rows", patches.plane_rows()),
            ("channels", windows.channels),
            ("groups", region.len(0)),
            ("image_stride", windows.image),
            ("group_stride", windows.batch[0]),
            ("height", windows.input[0]),
            ("width", windows.input[1]),
        ],
    )?;
    for (name, padding) in ["origin_h", "origin_w"].into_iter().zip(windows.padding) {
        assembly.param("", name, Param::U32(low_word(padding).wrapping_neg()));
    }
    let range = bytes(pieces.operand(image, region, n), image.dtype);
    let moved = range.end - range.start + vectors as u64 * VECTOR_BYTES;
    assembly.bind("source", read(image.input, range, image.dtype));
    assembly.fragment("panels", STORE_PANELS).bind("panels", parts.binding(region, IMAGES, Access::Write));
    assembly.constant("panels", "Elem", Value::Type("f32"));
    let workgroups = runs.div_ceil(patches.lanes * stretch);
    assembly.dispatch(profile, workgroups as u64, Work { flops: 0.0, bytes: moved as f64 })
}

/// The convolution of a region, from its panels and planes.
fn convolve(parts: &Parts<'_>, region: &Region, operands: &Operands<'_>, profile: &DeviceProfile) -> Result<Dispatch> {
    let (pieces, patches) = (&parts.pieces, &parts.patches);
    let windows = patches.windows;
    let m = pieces.dims().0;
    let mut assembly = Assembly::new(operands.op, Body::Patches.shader(), operands.arena());
    assembly.common(GRID);
    numbers(
        &mut assembly,
        &[
            ("WG_X", patches.lanes),
            ("WG_Y", 1),
            ("ROWS", patches.rows),
            ("COLUMNS", patches.patch * VECTOR),
            ("PATCH", patches.patch),
            ("KERNEL_H", windows.kernel[0]),
            ("KERNEL_W", windows.kernel[1]),
            ("STRIDE_H", windows.stride[0]),
            ("STRIDE_W", windows.stride[1]),
            ("PHASES", patches.phases()),
            ("TAP_ROWS", patches.tap_rows()),
            ("LINE_STEP", patches.line_step()),
        ],
    );
    let images = parts.images(region);
    let of_a_group = images.saturating_mul(patches.blocks()).saturating_mul(patches.pitch());
    sizes(
        &mut assembly,
        &[
            ("m", region.len(m)),
            ("steps", patches.steps()),
            ("patches", of_a_group),
            ("blocks", patches.blocks()),
            ("pitch", patches.pitch()),
            ("plane", patches.plane()),
            ("group", patches.group()),
            ("image", patches.group().saturating_mul(region.len(0))),
            ("out_height", windows.output[0]),
            ("out_width", windows.output[1]),
        ],
    )?;
    for (hook, number) in [("weight", WEIGHTS), ("planes", IMAGES)] {
        assembly.fragment(hook, LOAD_PANELS).bind(hook, parts.binding(region, number, Access::Read));
    }
    let named = match patches.blocks {
        None => {
            assembly.fragment("steps", ALL_STEPS).size("steps", "panel", parts.panel())?;
            0
        }
        Some(blocks) => {
            for (name, number) in
                [("HEIGHT", blocks.size[0]), ("WIDTH", blocks.size[1]), ("SLOTS", blocks.slots(patches.taps()))]
            {
                assembly.constant("steps", name, word(number));
            }
            assembly.size("steps", "row", region.0[m].start)?;
            blocks.sparse.bind_indices(&mut assembly, STEPS_OF_BLOCKS)
        }
    };
    let packed: u64 = parts.scratch(region).iter().map(|&vectors| vectors as u64 * VECTOR_BYTES).sum();
    let written = bind_output(&mut assembly, pieces, region)?;
    let tiles = region.len(0) * parts.panels(region) * of_a_group.div_ceil(patches.lanes);
    assembly.dispatch(
        profile,
        tiles as u64,
        Work { flops: pieces.flops(region), bytes: (packed + named + written) as f64 },
    )
}
