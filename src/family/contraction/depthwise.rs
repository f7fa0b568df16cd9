//! Convolutions whose groups have one channel: memory is what limits them, so vectors of the image slide through registers, and
//! each is loaded once for all rows of the windows that meet it.

use super::bind::{bind_addend, bind_operand, word};
use super::patches::unfit;
use super::pieces::Pieces;
use super::quads::VECTOR;
use super::{Addressing, Contraction, GRID, Variant, Windows};
use crate::compose::Value;
use crate::error::Result;
use crate::family::fours::Fours;
use crate::family::{activation, wgsl};
use crate::layout::DType;
use crate::plan::{Access, Assembly, Binding, Dispatch, Param, Slot, Work, expect_dispatches};
use crate::problem::{Built, Operands};
use crate::profile::{Class, DeviceProfile};
use crate::split::{Divisible, Region, bytes, split};

/// Vectors of the image that a lane may hold: of 7 x 7 windows at a stride of 2 those of four rows are 52.
pub(crate) const MOST_HELD: usize = 64;
/// Multiply-adds of vectors in a step: seven times seven taps of four rows are 196. Above, the compiler would take more than a second.
pub(crate) const MOST_UNROLLED: usize = 200;
/// Fours of outputs along a row that an invocation of a driver on the CPU computes, at most. Long runs read memory as it lies:
/// 8x64x112x112 with 3x3 windows took 18.8 ms in two runs a row, 10.1 in one; copying it takes 5.8.
const CPU_RUN: usize = 64;

/// Windows that slide over a plane: what the constants and the grid of a body follow from.
#[derive(Clone, Copy)]
pub(crate) struct Slide<'a> {
    pub windows: &'a Windows,
    /// Rows of an invocation's outputs.
    pub rows: usize,
}

/// A convolution as the body sees it.
pub(super) struct Depthwise<'a> {
    slide: Slide<'a>,
    /// How rows of the image are loaded, and how those of the output are stored.
    input: Fours,
    output: Fours,
}

impl Slide<'_> {
    pub fn plane(&self) -> usize {
        self.windows.input.iter().product()
    }

    pub fn pixels(&self) -> usize {
        self.windows.output.iter().product()
    }

    /// Rows, or columns, from the first tap of a window to its last.
    fn reach(&self, axis: usize) -> usize {
        // A dilation that no second tap follows is none.
        (self.windows.kernel[axis] - 1).saturating_mul(self.windows.dilation[axis])
    }

    /// Columns of the first vector that no window meets.
    fn skipped(&self) -> usize {
        self.windows.padding[1].wrapping_neg() % VECTOR
    }

    /// Rows of the image that an invocation's windows meet.
    pub fn in_rows(&self) -> usize {
        ((self.rows - 1).saturating_mul(self.windows.stride[0])).saturating_add(self.reach(0) + 1)
    }

    /// Vectors of a row that the windows of four outputs meet.
    pub fn span(&self) -> usize {
        let last = (VECTOR - 1).saturating_mul(self.windows.stride[1]).saturating_add(self.reach(1));
        (self.skipped().saturating_add(last) / VECTOR) + 1
    }

    /// Vectors of the image in registers.
    pub fn held(&self) -> usize {
        self.in_rows().saturating_mul(self.span())
    }

    /// Fours of outputs in a row.
    pub fn fours(&self) -> usize {
        self.windows.output[1].div_ceil(VECTOR)
    }

    /// Rows of runs of a plane.
    pub fn bands(&self) -> usize {
        self.windows.output[0].div_ceil(self.rows)
    }

    /// Fours of a run, and runs of a row.
    pub fn runs(&self, class: Class) -> (usize, usize) {
        let fours = self.fours();
        // On GPUs neighbouring invocations move neighbouring vectors.
        let run = if class == Class::Cpu { fours.div_ceil(fours.div_ceil(CPU_RUN)) } else { 1 };
        (run, fours.div_ceil(run))
    }

    /// The constants of a body's windows.
    pub fn bind(&self, assembly: &mut Assembly) {
        for (name, value) in [
            ("ROWS", self.rows),
            ("KERNEL_H", self.windows.kernel[0]),
            ("KERNEL_W", self.windows.kernel[1]),
            ("STRIDE_H", self.windows.stride[0]),
            ("STRIDE_W", self.windows.stride[1]),
            ("DILATION_H", self.windows.dilation[0]),
            ("DILATION_W", self.windows.dilation[1]),
            ("SKIPPED", self.skipped()),
        ] {
            assembly.constant("", name, word(value));
        }
    }

    /// The parameters of its grid: runs of so many fours, in bands of so many.
    pub fn bind_runs(&self, assembly: &mut Assembly, class: Class) -> Result<()> {
        let (run, runs) = self.runs(class);
        for (name, value) in [
            ("runs", runs),
            ("run", run),
            ("fours", self.fours()),
            ("bands", self.bands()),
            ("height", self.windows.input[0]),
            ("width", self.windows.input[1]),
            ("out_height", self.windows.output[0]),
            ("out_width", self.windows.output[1]),
            ("top", self.windows.padding[0]),
            ("before", self.windows.padding[1].div_ceil(VECTOR)),
        ] {
            assembly.size("", name, value)?;
        }
        Ok(())
    }
}

impl<'a> Depthwise<'a> {
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) for problems that are none, or whose windows take too many registers.
    pub fn of(problem: &'a Contraction, variant: &Variant, operands: &Operands<'_>) -> Result<Self> {
        let op = operands.op;
        let Addressing::Windows(windows) = &problem.b.addressing else {
            return Err(unfit(op, "operands without windows", 1, 0));
        };
        let input = Fours::of(&operands.inputs[problem.b.input], [windows.input[1]]);
        let output = Fours::of(&operands.outputs[0], [windows.output[1]]);
        let depthwise =
            Depthwise { slide: Slide { windows, rows: variant.per_lane.1 as usize / VECTOR }, input, output };
        let column = problem.addend.as_ref().map_or(0, |addend| addend.column);
        for (what, needed, available) in [
            ("types but f32", usize::from([problem.b.dtype, problem.out.dtype] != [DType::F32; 2]), 0),
            ("transposed windows", windows.transposed.into(), 0),
            ("batch dimensions", problem.batch.len(), 1),
            ("channels of a group but one", windows.channels.abs_diff(1), 0),
            ("strides of an addend along a plane", column, 0),
            ("residuals", problem.residual.is_some().into(), 0),
            ("vectors of an invocation", depthwise.slide.held(), MOST_HELD),
            ("multiply-adds of a step", depthwise.slide.rows.saturating_mul(problem.k), MOST_UNROLLED),
            ("elements between planes", depthwise.between_planes(problem), 0),
        ] {
            if needed > available {
                return Err(unfit(op, what, needed, available));
            }
        }
        Ok(depthwise)
    }

    /// Elements by which planes lie apart from whole numbers of them.
    fn between_planes(&self, problem: &Contraction) -> usize {
        let (plane, out) = (self.slide.plane(), self.slide.pixels());
        let inputs = self.slide.windows.batch.iter().chain([&self.slide.windows.image]).map(|stride| stride % plane);
        let outer = problem.out.columns.map_or(0, |(_, stride)| stride);
        let outputs = problem.out.batch.iter().chain([&problem.out.row, &outer]).map(|stride| stride % out);
        inputs.chain(outputs).max().unwrap_or(0)
    }

    /// The operands that are moved in vectors.
    fn aligned(&self, problem: &Contraction) -> Vec<Slot> {
        let slots = [(self.input, Slot::Input(problem.b.input)), (self.output, Slot::Output(0))];
        slots.into_iter().filter(|(fours, _)| *fours == Fours::Vectors).map(|(_, slot)| slot).collect()
    }
}

/// What a convolution takes: runs in all, and what each loads, stores and multiplies.
pub(super) struct Counts {
    pub runs: f64,
    /// Loads and stores of a vector.
    pub vectors: f64,
    /// Loads and stores of an element.
    pub scalars: f64,
    /// Multiply-adds of an element.
    pub multiply_adds: f64,
}

impl Depthwise<'_> {
    pub fn counts(&self, problem: &Contraction, class: Class) -> Counts {
        let planes = problem.batch[0] as f64 * problem.m as f64 * (problem.n / self.slide.pixels()) as f64;
        let (run, runs) = self.slide.runs(class);
        // Before the first step the vectors are loaded that will slide.
        let stride = self.slide.windows.stride[1];
        let loaded = self.slide.in_rows() * (run * stride + self.slide.span().saturating_sub(stride));
        let stored = self.slide.rows * run;
        let (mut vectors, mut scalars) = (0, problem.k);
        for (fours, moved) in [(self.input, loaded), (self.output, stored)] {
            match fours {
                Fours::Vectors => vectors += moved,
                Fours::Elements => scalars += moved * VECTOR,
            }
        }
        Counts {
            runs: planes * (self.slide.bands() * runs) as f64,
            vectors: vectors as f64,
            scalars: scalars as f64,
            multiply_adds: (stored * VECTOR * problem.k) as f64,
        }
    }
}

pub(super) fn build(
    problem: &Contraction,
    variant: &Variant,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Built> {
    let depthwise = Depthwise::of(problem, variant, operands)?;
    let tile = (1, depthwise.slide.pixels());
    let pieces = Pieces { op: operands.op, problem, tile, step: 1, parts: 1, feeds: None };
    let whole = Region::whole(&[problem.batch[0], problem.m, problem.n, problem.k]);
    let mut dispatches = Vec::new();
    for region in split(&pieces, whole, profile)? {
        let rest = region.len(pieces.dims().1) % depthwise.slide.pixels();
        if rest > 0 {
            return Err(unfit(operands.op, "pixels of an image in a part", depthwise.slide.pixels(), rest));
        }
        expect_dispatches(operands.op, dispatches.len() + 1)?;
        dispatches.push(dispatch(&depthwise, &pieces, variant, &region, operands, profile)?);
    }
    Ok(Built { dispatches, aligned: depthwise.aligned(problem), ..Built::default() })
}

fn dispatch(
    depthwise: &Depthwise<'_>,
    pieces: &Pieces<'_>,
    variant: &Variant,
    region: &Region,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Dispatch> {
    let (problem, windows) = (pieces.problem, depthwise.slide.windows);
    let (m, n, _) = pieces.dims();
    let mut assembly = Assembly::new(operands.op, variant.body.shader(), operands.arena());
    assembly.common(GRID);
    activation(&mut assembly, problem.activation);
    assembly.constant("", "WG_X", Value::U32(variant.lanes.0)).constant("", "WG_Y", Value::U32(1));
    depthwise.slide.bind(&mut assembly);
    // What a plane beyond the image's edges holds.
    assembly.constant("input", "NOTHING", Value::U32(0)).constant("input", "Word", Value::Type(problem.b.dtype.word()));

    let a = bytes(pieces.operand(&problem.a, region, m), problem.a.dtype);
    let x = bytes(pieces.operand(&problem.b, region, n), problem.b.dtype);
    let out = bytes(pieces.target(region), problem.out.dtype);
    let moved = [&a, &x, &out].map(|range| range.end - range.start).iter().sum::<u64>();
    bind_operand(&mut assembly, "a", &problem.a, a, region.0[m].start)?;
    for (hook, slot, range, access, dtype, fours, file) in [
        (
            "input",
            Slot::Input(problem.b.input),
            x,
            Access::Read,
            problem.b.dtype,
            depthwise.input,
            Fours::load as fn(_) -> _,
        ),
        ("out", Slot::Output(0), out, Access::Write, problem.out.dtype, depthwise.output, Fours::store),
    ] {
        assembly.fragment(hook, file(fours)).constant(hook, "Elem", Value::Type(wgsl(dtype)));
        assembly.bind(hook, Binding { slot, range, access, element: fours.bytes(dtype) });
    }
    let moved = moved + bind_addend(&mut assembly, pieces, region)?;

    let images = region.len(n) / depthwise.slide.pixels();
    let (_, runs) = depthwise.slide.runs(profile.class);
    let planes = images * region.len(0) * region.len(m);
    let total = planes * depthwise.slide.bands() * runs;
    let outer = problem.out.columns.map_or(0, |(_, stride)| stride);
    for (name, value) in [
        ("total", total),
        ("m", region.len(m)),
        ("groups", region.len(0)),
        ("image_planes", windows.image / depthwise.slide.plane()),
        ("group_planes", windows.batch[0] / depthwise.slide.plane()),
        ("out_image_planes", outer / depthwise.slide.pixels()),
        ("out_group_planes", problem.out.batch[0] / depthwise.slide.pixels()),
    ] {
        assembly.size("", name, value)?;
    }
    depthwise.slide.bind_runs(&mut assembly, profile.class)?;
    assembly.param("", "alpha", Param::F32(problem.alpha));
    let work = Work { flops: pieces.flops(region), bytes: moved as f64 };
    assembly.dispatch(profile, (total as u64).div_ceil(variant.lanes.0.into()), work)
}
