//! Sliding windows over planes: pooling.

use std::ops::Range;

use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::layout::DType;
use crate::plan::{Access, Assembly, Binding, MAX_TRIPS, Param, Slot, Work, too_many_trips};
use crate::problem::{Built, Candidate, Operands};
use crate::profile::{Class, DeviceProfile};
use crate::split::{Cut, Divisible, Region, split};

const POOL: ShaderFile = shader!("window/pool.wgsl");
const INDICES: ShaderFile = shader!("epilogue/indices.wgsl");
const NO_INDICES: ShaderFile = shader!("epilogue/no_indices.wgsl");
const GRID: ShaderFile = shader!("common/grid.wgsl");

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
}

/// Invocations of a workgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Their number.
    pub lanes: u32,
}

pub(crate) fn candidates(_: &Window, profile: &DeviceProfile) -> Vec<Candidate<Variant>> {
    // One subgroup of lavapipe is 8 lanes; 64 fill two subgroups of 32 or one of 64.
    let (lanes, why) = if profile.class == Class::Cpu {
        (8, "class Cpu: a workgroup is one subgroup of 8 lanes")
    } else {
        (64, "an invocation for each output; no device has wider subgroups")
    };
    vec![Candidate { variant: Variant { lanes }, name: format!("window/pool {lanes}"), why: why.into() }]
}

struct Pieces<'a> {
    op: &'static str,
    problem: &'a Window,
    indices: bool,
}

impl Pieces<'_> {
    fn bytes(planes: &Range<usize>, size: [usize; 2]) -> Range<u64> {
        let plane = (size[0] as u64).saturating_mul(size[1] as u64).saturating_mul(4);
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
        vec![Cut { dim: 0, grain: 1, free: true }]
    }

    fn spans(&self, region: &Region) -> Vec<(Slot, Range<u64>)> {
        let planes = &region.0[0];
        let out = Self::bytes(planes, self.problem.out);
        let mut spans = vec![(Slot::Input(0), Self::bytes(planes, self.problem.size)), (Slot::Output(0), out.clone())];
        spans.extend(self.indices.then_some((Slot::Output(1), out)));
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
    // Each row of a window is one trip of the outer loop beside those of the inner one.
    let trips = pieces.window() + pieces.sides()[0];
    if trips > MAX_TRIPS {
        return Err(too_many_trips(operands.op, trips));
    }
    let mut dispatches = Vec::new();
    for region in split(&pieces, Region::whole(&[problem.planes]), profile)? {
        let mut assembly = Assembly::new(operands.op, POOL, operands.arena());
        assembly.common(GRID);
        assembly.constant("", "WG_X", Value::U32(variant.lanes)).constant("", "WG_Y", Value::U32(1));
        let (maximum, count_padding, divisor) = match problem.pooling {
            Pooling::Max => (true, false, None),
            Pooling::Average { count_padding, divisor } => (false, count_padding, divisor),
        };
        for (name, value) in [
            ("ADAPTIVE", problem.adaptive),
            ("MAXIMUM", maximum),
            ("COUNT_PADDING", count_padding),
            ("FLOAT", problem.dtype == DType::F32),
        ] {
            assembly.constant("", name, Value::Bool(value));
        }
        assembly.constant("", "Elem", Value::Type(problem.dtype.wgsl().unwrap_or("f32")));
        let spans = pieces.spans(&region);
        let bytes: u64 = spans.iter().map(|(_, span)| span.end - span.start).sum();
        for ((slot, range), (hook, access)) in
            spans.into_iter().zip([("input", Access::Read), ("output", Access::Write), ("indices", Access::Write)])
        {
            assembly.bind(hook, Binding { slot, range, access, element: 4 });
        }
        assembly.fragment("indices", if indices { INDICES } else { NO_INDICES });
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
        assembly.param("", "divisor", Param::F32(divisor.unwrap_or(0) as f32));
        let work = Work { flops: pieces.flops(&region), bytes: bytes as f64 };
        dispatches.push(assembly.dispatch(profile, (total as u64).div_ceil(variant.lanes.into()), work)?);
    }
    Ok(Built::scalar(dispatches))
}
