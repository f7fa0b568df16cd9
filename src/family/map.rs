//! Maps: copies over an index space with strides.

use std::ops::Range;

use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::layout::DType;
use crate::plan::{Access, Assembly, Binding, Dispatch, Slot, Work};
use crate::problem::{Built, Candidate, Operands};
use crate::profile::DeviceProfile;
use crate::split::{Cut, Divisible, Region, split};

const COPY: ShaderFile = shader!("map/copy.wgsl");
const STORE: ShaderFile = shader!("map/store.wgsl");
const STRIDED: ShaderFile = shader!("load/strided.wgsl");
const GRID: ShaderFile = shader!("common/grid.wgsl");

/// Dimensions that kernels count.
const RANK: usize = 6;
const LANES: u32 = 64;
const STRIDES: [&str; RANK] = ["stride_0", "stride_1", "stride_2", "stride_3", "stride_4", "stride_5"];
const SIZES: [&str; RANK] = ["size_0", "size_1", "size_2", "size_3", "size_4", "size_5"];

/// `out[index] = input[index]` over an index space, an address being the sum of index times stride.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Sizes of the index space, outermost first.
    pub sizes: Vec<usize>,
    /// Strides of input 0, in elements.
    pub input: Vec<usize>,
    /// Strides of output 0, in elements.
    pub out: Vec<usize>,
    /// Type of the elements.
    pub dtype: DType,
}

pub(crate) fn candidates(_: &Map, _: &DeviceProfile) -> Vec<Candidate<()>> {
    vec![Candidate { variant: (), name: "map/copy".into(), why: "runs within any limits".into() }]
}

pub(crate) fn build(problem: &Map, _: &(), operands: &Operands<'_>, profile: &DeviceProfile) -> Result<Built> {
    if problem.sizes.len() > RANK {
        let detail = format!("{} dimensions remain after merging, at most {RANK} are supported", problem.sizes.len());
        return Err(Error::Shape { op: operands.op, detail });
    }
    let pieces = Pieces { op: operands.op, problem };
    let regions = split(&pieces, Region::whole(&problem.sizes), profile)?;
    let dispatches =
        regions.iter().map(|region| dispatch(&pieces, region, operands, profile)).collect::<Result<_>>()?;
    Ok(Built::scalar(dispatches))
}

struct Pieces<'a> {
    op: &'static str,
    problem: &'a Map,
}

impl Pieces<'_> {
    /// The bytes that a region spans at these strides.
    fn reach(&self, strides: &[usize], region: &Region) -> Range<u64> {
        let (mut start, mut end) = (0, 1);
        for (range, &stride) in region.0.iter().zip(strides) {
            start += range.start as u64 * stride as u64;
            end += range.end.saturating_sub(1) as u64 * stride as u64;
        }
        start * self.problem.dtype.size()..end * self.problem.dtype.size()
    }
}

impl Divisible for Pieces<'_> {
    fn op(&self) -> &'static str {
        self.op
    }

    fn cuts(&self) -> Vec<Cut> {
        (0..self.problem.sizes.len()).map(|dim| Cut { dim, grain: 1, free: true }).collect()
    }

    fn spans(&self, region: &Region) -> Vec<(Slot, Range<u64>)> {
        let Map { input, out, .. } = self.problem;
        vec![(Slot::Input(0), self.reach(input, region)), (Slot::Output(0), self.reach(out, region))]
    }

    fn flops(&self, region: &Region) -> f64 {
        // An element costs about as much as one operation.
        region.0.iter().map(|range| range.len() as f64).product()
    }
}

fn dispatch(
    pieces: &Pieces<'_>,
    region: &Region,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> Result<Dispatch> {
    let Map { input, out, dtype, .. } = pieces.problem;
    let missing = RANK - region.0.len();
    let mut assembly = Assembly::new(operands.op, COPY, operands.arena());
    assembly.common(GRID).constant("", "WG_X", Value::U32(LANES)).constant("", "WG_Y", Value::U32(1));
    let total: usize = region.0.iter().map(|range| range.len()).product();
    assembly.size("", "total", total)?;
    for (dim, name) in SIZES.iter().enumerate().skip(1) {
        assembly.size("", name, if dim < missing { 1 } else { region.len(dim - missing) })?;
    }
    let sides =
        [("a", STRIDED, input, Slot::Input(0), Access::Read), ("out", STORE, out, Slot::Output(0), Access::Write)];
    for (hook, file, strides, slot, access) in sides {
        assembly.fragment(hook, file).constant(hook, "Elem", Value::Type(dtype.wgsl().unwrap_or("f32")));
        assembly.bind(hook, Binding { slot, range: pieces.reach(strides, region), access, element: dtype.size() });
        for (dim, name) in STRIDES.iter().enumerate() {
            assembly.size(hook, name, if dim < missing { 0 } else { strides[dim - missing] })?;
        }
    }
    let bytes = 2.0 * total as f64 * dtype.size() as f64;
    assembly.dispatch(profile, total.div_ceil(LANES as usize) as u64, Work { flops: 0.0, bytes })
}
