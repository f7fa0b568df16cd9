//! Winograd's method for windows of 3 x 3 at a stride of 1: filters and tiles of images are transformed, one matrix product for
//! each of 16 or 36 points takes the place of the windows' nine taps, and its results are transformed back.

use super::bind::{bind_operand, bind_output, word};
use super::patches::unfit;
use super::pieces::Pieces;
use super::quads::{Side, VECTOR};
use super::{Addressing, Contraction, GRID, Operand, Target, Variant, Windows};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::Result;
use crate::family::{LOAD_VALUES, STORE_VALUES, wgsl};
use crate::layout::{DType, Layout};
use crate::op::activation::Activation;
use crate::op::precision::Precision;
use crate::plan::{Access, Assembly, Binding, Dispatch, Slot, Work, expect_dispatches};
use crate::problem::{Built, Operands};
use crate::profile::DeviceProfile;
use crate::split::{Cut, Divisible, Region, bytes, split};

const FILTERS: ShaderFile = shader!("contraction/winograd_filters.wgsl");
const IMAGES: ShaderFile = shader!("contraction/winograd_images.wgsl");
const OUTPUTS: ShaderFile = shader!("contraction/winograd_outputs.wgsl");
const TWO: ShaderFile = shader!("common/winograd_2.wgsl");
const FOUR: ShaderFile = shader!("common/winograd_4.wgsl");

/// Sides of the tiles of an output.
pub(super) const TILES: [u32; 2] = [4, 2];
const TAPS: usize = 3;
/// Invocations of a workgroup that transforms: one subgroup of the widest device.
const LANES: usize = 64;
/// Additions and multiplications that transforming a value takes, about.
const TRANSFORM: f64 = 4.0;

/// The scratch buffers: transformed filters, transformed images, and their products. Those of the products' own variant follow.
const SCRATCH: usize = 3;

/// Variants with their products taken in Winograd's domain.
pub(super) fn through(tile: u32, plain: &[Variant]) -> impl Iterator<Item = Variant> {
    plain.iter().map(move |variant| Variant { winograd: tile, ..*variant })
}

/// A convolution as the method sees it.
struct Winograd<'a> {
    problem: &'a Contraction,
    windows: &'a Windows,
    /// Side of a tile of the output.
    tile: usize,
    groups: usize,
}

impl<'a> Winograd<'a> {
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) where the caller has not asked for the method, or it is of no use.
    fn of(op: &'static str, problem: &'a Contraction, tile: u32) -> Result<Self> {
        let Addressing::Windows(windows) = &problem.b.addressing else {
            return Err(unfit(op, "operands without windows", 1, 0));
        };
        let odd = |values: [usize; 2], wanted: usize| usize::from(values != [wanted; 2]);
        for (what, needed) in [
            ("precisions but Precision::Winograd", usize::from(problem.precision != Precision::Winograd)),
            ("windows but 3 x 3", odd(windows.kernel, TAPS)),
            ("strides but 1", odd(windows.stride, 1)),
            ("dilations but 1", odd(windows.dilation, 1)),
            ("transposed windows", windows.transposed.into()),
            ("batch dimensions but one", problem.batch.len().abs_diff(1)),
            ("sums of nothing", usize::from(problem.k == 0)),
        ] {
            if needed > 0 {
                return Err(unfit(op, what, needed, 0));
            }
        }
        Ok(Winograd { problem, windows, tile: tile as usize, groups: problem.batch[0] })
    }

    /// Side of the part of an image that a tile takes, and of the square of points.
    fn side(&self) -> usize {
        self.tile + TAPS - 1
    }

    fn points(&self) -> usize {
        self.side() * self.side()
    }

    fn pixels(&self) -> usize {
        self.windows.output.iter().product()
    }

    /// Tiles of an image, down and across.
    fn tiles(&self) -> [usize; 2] {
        self.windows.output.map(|side| side.div_ceil(self.tile))
    }

    /// Columns of the products for so many images: their tiles, in whole vectors.
    fn columns(&self, images: usize) -> usize {
        images.saturating_mul(self.tiles().iter().product()).div_ceil(VECTOR).saturating_mul(VECTOR)
    }

    /// Elements of a point of the filters, the images and the products.
    fn planes(&self, images: usize) -> [usize; SCRATCH] {
        let (rows, channels, columns) = (self.problem.m, self.windows.channels, self.columns(images));
        [[rows, channels], [channels, columns], [rows, columns]]
            .map(|sizes| sizes.into_iter().fold(self.groups, usize::saturating_mul))
    }

    fn scratch(&self, images: usize) -> [u64; SCRATCH] {
        self.planes(images).map(|plane| (plane.saturating_mul(self.points()) as u64).saturating_mul(DType::F32.size()))
    }

    /// The products of all points, for so many images: a batch of matrix products.
    fn products(&self, images: usize) -> Contraction {
        let (m, n, k) = (self.problem.m, self.columns(images), self.windows.channels);
        let operand = |input, entry, outer, k| Operand {
            input,
            dtype: DType::F32,
            addressing: Addressing::Dense { batch: vec![entry], outer, k, taps: 1 },
        };
        Contraction {
            batch: vec![self.points().saturating_mul(self.groups)],
            m,
            n,
            k,
            a: operand(0, m.saturating_mul(k), k, 1),
            b: operand(1, k.saturating_mul(n), 1, n),
            out: Target { dtype: DType::F32, batch: vec![m.saturating_mul(n)], row: n, columns: None },
            alpha: 1.0,
            addend: None,
            residual: None,
            activation: Activation::None,
            precision: Precision::F32,
            whole: None,
        }
    }

    /// The layouts of the products' operands and of their result.
    fn layouts(&self, images: usize, operands: &Operands<'_>) -> [Layout; SCRATCH] {
        let arena = operands.arena();
        let [filters, inputs, products] =
            self.planes(images).map(|plane| Layout { arena, ..Layout::new(&[self.points(), plane], DType::F32) });
        [Layout { constant: Side::A.is_constant(self.problem, operands), ..filters }, inputs, products]
    }

    /// The images of the whole problem.
    fn images(&self) -> usize {
        self.problem.n / self.pixels().max(1)
    }

    /// Values that transforms load and store at every run.
    fn recurring(&self, operands: &Operands<'_>) -> f64 {
        let [filters, inputs, products] = self.moved(self.images());
        inputs + products + if Side::A.is_constant(self.problem, operands) { 0.0 } else { filters }
    }

    /// Values that the transforms of filters, of images and of products load and store.
    fn moved(&self, images: usize) -> [f64; SCRATCH] {
        let [filters, inputs, products] = self.planes(images).map(|plane| plane as f64);
        let points = self.points() as f64;
        let (taps, outputs) = ((TAPS * TAPS) as f64, (self.tile * self.tile) as f64);
        [filters * (taps + points), inputs * 2.0 * points, products * (points + outputs)]
    }
}

/// The method through the fastest variant of its products, with the time that they take and the values that transforms move at
/// every run. `timed` lists the variants of a problem, the fastest first.
pub(super) fn fastest(
    problem: &Contraction,
    tile: u32,
    operands: &Operands<'_>,
    timed: impl FnOnce(&Contraction, &Operands<'_>) -> Vec<(Variant, f64)>,
) -> Option<(Variant, f64, f64)> {
    let winograd = Winograd::of(operands.op, problem, tile).ok()?;
    let images = winograd.images();
    let [a, b, out] = winograd.layouts(images, operands);
    let own = Operands { op: operands.op, inputs: &[a, b], outputs: &[out] };
    let (variant, products) = timed(&winograd.products(images), &own).into_iter().next()?;
    Some((Variant { winograd: tile, ..variant }, products, winograd.recurring(operands)))
}

/// The method as splitting sees it: images are what it may be cut into.
struct Parts<'a> {
    winograd: &'a Winograd<'a>,
    pieces: &'a Pieces<'a>,
}

impl Parts<'_> {
    fn images(&self, region: &Region) -> usize {
        region.len(self.pieces.dims().1).div_ceil(self.winograd.pixels())
    }
}

impl Divisible for Parts<'_> {
    fn op(&self) -> &'static str {
        self.pieces.op
    }

    fn cuts(&self) -> Vec<Cut> {
        vec![Cut { dim: self.pieces.dims().1, grain: self.winograd.pixels(), free: true }]
    }

    fn spans(&self, region: &Region) -> Vec<(Slot, std::ops::Range<u64>)> {
        let scratch = self.winograd.scratch(self.images(region)).into_iter().enumerate();
        let mut spans = self.pieces.spans(region);
        spans.extend(scratch.map(|(number, bytes)| (Slot::Scratch(number), 0..bytes)));
        spans
    }

    fn flops(&self, region: &Region) -> f64 {
        // The products are cut by their own measure.
        let [_, inputs, outputs] = self.winograd.moved(self.images(region));
        TRANSFORM * inputs.max(outputs)
    }
}

pub(super) fn build(
    problem: &Contraction,
    variant: &Variant,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Built> {
    let winograd = Winograd::of(operands.op, problem, variant.winograd)?;
    let pixels = winograd.pixels();
    let pieces = Pieces { op: operands.op, problem, tile: (1, pixels), step: 1, parts: 1, feeds: None };
    let whole = Region::whole(&[winograd.groups, problem.m, problem.n, problem.k]);
    let n = pieces.dims().1;
    let mut scratch = vec![0; SCRATCH];
    let mut dispatches = Vec::new();
    let transforms = Transforms { winograd: &winograd, pieces: &pieces, operands, profile };
    for region in split(&Parts { winograd: &winograd, pieces: &pieces }, whole, profile)? {
        let rest = region.len(n) % pixels;
        if rest > 0 {
            return Err(unfit(operands.op, "pixels of an image in a part", pixels, rest));
        }
        let images = region.len(n) / pixels;
        let planes = winograd.planes(images);
        if planes.contains(&0) {
            continue;
        }
        // The kernels count the values of all points in 32 bits.
        for plane in planes {
            let most = u32::MAX as usize / winograd.points();
            if plane > most {
                return Err(unfit(operands.op, "values of a point", plane, most));
            }
        }
        if dispatches.is_empty() {
            dispatches.push(transforms.filters(&region)?);
        }
        dispatches.push(transforms.images(&region)?);

        let [a, b, out] = winograd.layouts(images, operands);
        let own = Operands { op: operands.op, inputs: &[a, b], outputs: &[out] };
        let products = super::build(&winograd.products(images), &Variant { winograd: 0, ..*variant }, &own, profile)?;
        dispatches.extend(products.dispatches.into_iter().map(|dispatch| dispatch.with_slots(in_scratch)));
        dispatches.push(transforms.outputs(&region)?);
        expect_dispatches(operands.op, dispatches.len())?;

        // Regions use the scratch memory one after the other.
        let needed: Vec<u64> = winograd.scratch(images).into_iter().chain(products.scratch).collect();
        scratch.resize(scratch.len().max(needed.len()), 0);
        scratch.iter_mut().zip(needed).for_each(|(most, needed)| *most = needed.max(*most));
    }
    Ok(Built { scratch, dispatches, ..Built::default() })
}

/// Where the operands of the products are.
fn in_scratch(slot: Slot) -> Slot {
    Slot::Scratch(match slot {
        Slot::Input(number) => number,
        Slot::Output(number) => SCRATCH - 1 + number,
        Slot::Scratch(number) => SCRATCH + number,
    })
}

/// The transforms of a contraction's regions.
struct Transforms<'a> {
    winograd: &'a Winograd<'a>,
    pieces: &'a Pieces<'a>,
    operands: &'a Operands<'a>,
    profile: &'a DeviceProfile,
}

impl Transforms<'_> {
    /// A body that transforms an item an invocation, of so many that a point has.
    fn assembly(&self, body: ShaderFile, plane: usize) -> Result<Assembly> {
        let mut assembly = Assembly::new(self.operands.op, body, self.operands.arena());
        assembly.common(GRID).common(if self.winograd.tile == 2 { TWO } else { FOUR });
        assembly.constant("", "WG_X", word(LANES)).constant("", "WG_Y", word(1));
        assembly.size("", "plane", plane)?;
        Ok(assembly)
    }

    /// Binds the values of all points, in a scratch buffer; returns their bytes.
    fn bind_points(&self, assembly: &mut Assembly, images: usize, number: usize, access: Access) -> u64 {
        let bytes = self.winograd.scratch(images)[number];
        let points = Binding { slot: Slot::Scratch(number), range: 0..bytes, access, element: DType::F32.size() };
        assembly
            .fragment("points", if access == Access::Read { LOAD_VALUES } else { STORE_VALUES })
            .bind("points", points);
        assembly.constant("points", "Elem", Value::Type(wgsl(DType::F32)));
        bytes
    }

    fn filters(&self, region: &Region) -> Result<Dispatch> {
        let Transforms { winograd, pieces, .. } = *self;
        let (problem, [plane, ..]) = (winograd.problem, winograd.planes(0));
        let mut assembly = self.assembly(FILTERS, plane)?;
        assembly.size("", "rows", problem.m)?.size("", "channels", winograd.windows.channels)?;
        let range = bytes(pieces.operand(&problem.a, region, pieces.dims().0), problem.a.dtype);
        let read = range.end - range.start;
        bind_operand(&mut assembly, "source", &problem.a, range, 0)?;
        let moved = read + self.bind_points(&mut assembly, 0, 0, Access::Write);
        let work = Work { flops: TRANSFORM * winograd.moved(0)[0], bytes: moved as f64 };
        assembly.dispatch(self.profile, plane.div_ceil(LANES) as u64, work)
    }

    fn images(&self, region: &Region) -> Result<Dispatch> {
        let Transforms { winograd, pieces, .. } = *self;
        let (problem, n) = (winograd.problem, pieces.dims().1);
        let images = region.len(n) / winograd.pixels();
        let [_, plane, _] = winograd.planes(images);
        let mut assembly = self.assembly(IMAGES, plane)?;
        assembly.size("", "tiles", images * winograd.tiles().iter().product::<usize>())?;
        assembly.size("", "columns", winograd.columns(images))?.size("", "channels", winograd.windows.channels)?;
        let range = bytes(pieces.operand(&problem.b, region, n), problem.b.dtype);
        let read = range.end - range.start;
        // The parts of an image under its tiles are windows themselves.
        let tiles = Windows {
            output: winograd.tiles(),
            kernel: [winograd.side(); 2],
            stride: [winograd.tile; 2],
            ..winograd.windows.clone()
        };
        let source = Operand { addressing: Addressing::Windows(tiles), ..problem.b.clone() };
        bind_operand(&mut assembly, "source", &source, range, 0)?;
        let moved = read + self.bind_points(&mut assembly, images, 1, Access::Write);
        let work = Work { flops: TRANSFORM * winograd.moved(images)[1], bytes: moved as f64 };
        assembly.dispatch(self.profile, plane.div_ceil(LANES) as u64, work)
    }

    fn outputs(&self, region: &Region) -> Result<Dispatch> {
        let Transforms { winograd, pieces, .. } = *self;
        let (windows, n) = (winograd.windows, pieces.dims().1);
        let images = region.len(n) / winograd.pixels();
        let [_, _, plane] = winograd.planes(images);
        let mut assembly = self.assembly(OUTPUTS, plane)?;
        let [down, across] = winograd.tiles();
        for (name, value) in [
            ("tiles", images * down * across),
            ("columns", winograd.columns(images)),
            ("rows", winograd.problem.m),
            ("down", down),
            ("across", across),
            ("height", windows.output[0]),
            ("width", windows.output[1]),
        ] {
            assembly.size("", name, value)?;
        }
        let moved = self.bind_points(&mut assembly, images, 2, Access::Read);
        let moved = moved + bind_output(&mut assembly, pieces, region)?;
        let work = Work { flops: TRANSFORM * winograd.moved(images)[2], bytes: moved as f64 };
        assembly.dispatch(self.profile, plane.div_ceil(LANES) as u64, work)
    }
}
