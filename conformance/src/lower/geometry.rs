//! The geometry of convolutions and pools: maps over one or two dimensions become maps over three, padding is resolved,
//! and what tilewise does over two dimensions only is brought into that form.

use tilewise::Permute;
use tilewise::reference::{HostData, HostTensor};

use crate::call::Call;
use crate::device::reshaped;
use crate::fault::{Fault, Result};
use crate::tensor::sizes;

/// What is added before and after, along depth, height and width.
pub type Pads = [[usize; 2]; 3];

/// The most elements that the host makes of its own: far above those of the cases, so that a mangled size takes no memory.
pub const LARGEST: usize = 1 << 26;

/// How many dimensions the node convolves or pools over.
fn dimensions(call: &Call<'_>) -> Result<usize> {
    match call.input(0)?.shape.len() {
        rank @ 3..=5 => Ok(rank - 2),
        rank @ 0..3 => Err(Fault::malformed(format!("{} of {rank} dimensions", call.op_type()))),
        rank => Err(Fault::NotYet(format!("{}-D {}", rank - 2, call.op_type()))),
    }
}

/// Makes volumes of maps over one or two dimensions: depth and height are 1.
pub fn lift(x: HostTensor) -> Result<HostTensor> {
    match x.shape[..] {
        [n, c, w] => reshaped(x, &[n, c, 1, 1, w]),
        [n, c, h, w] => reshaped(x, &[n, c, 1, h, w]),
        [_, _, _, _, _] => Ok(x),
        _ => Err(Fault::malformed(format!("{:?} as volumes", x.shape))),
    }
}

/// Volumes in as many dimensions as there were before [`lift`].
pub fn unlift(y: HostTensor, rank: usize) -> Result<HostTensor> {
    let shape = match (rank, &y.shape[..]) {
        (3, &[n, c, 1, 1, w]) => vec![n, c, w],
        (4, &[n, c, 1, h, w]) => vec![n, c, h, w],
        (_, shape) => shape.to_vec(),
    };
    reshaped(y, &shape)
}

/// The sizes of [`lift`]ed maps.
pub fn volume(x: &HostTensor) -> Result<[usize; 5]> {
    <[usize; 5]>::try_from(&x.shape[..]).map_err(|_| Fault::malformed(format!("{:?} as volumes", x.shape)))
}

/// Windows of the depth as channels, so that a sum over depth and channels is one over channels: plane `p, c, tap` is plane
/// `source(p, tap)` of channel c, or zeros. Of `(n, c, d, h, w)` it makes `(n * depth, c * taps, h, w)`.
pub fn unfold(
    x: &HostTensor,
    depth: usize,
    taps: usize,
    source: impl Fn(usize, usize) -> Option<usize>,
) -> Result<HostTensor> {
    let HostData::F32(elements) = &x.data else {
        return Err(Fault::Unsupported(format!("{} data", x.dtype())));
    };
    let [n, channels, d, h, w] = volume(x)?;
    let plane = h * w;
    let sizes = [n, depth, channels, taps, plane];
    let len = sizes.iter().try_fold(1usize, |len, &size| len.checked_mul(size.max(1)));
    if len.is_none_or(|len| len > LARGEST) {
        return Err(Fault::malformed(format!("{depth} windows of {taps} planes of {:?}", x.shape)));
    }
    let mut planes = Vec::with_capacity(sizes.iter().product());
    for (n, p) in (0..n).flat_map(|n| (0..depth).map(move |p| (n, p))) {
        for (c, tap) in (0..channels).flat_map(|c| (0..taps).map(move |tap| (c, tap))) {
            match source(p, tap).filter(|&at| at < d) {
                Some(at) => planes.extend_from_slice(&elements[((n * channels + c) * d + at) * plane..][..plane]),
                None => planes.resize(planes.len() + plane, 0.0),
            }
        }
    }
    Ok(HostTensor::new(&[n * depth, channels * taps, h, w], &planes)?)
}

/// The inverse for outputs: volumes `(n, o, depth, p, q)` of planes `(n * depth, o, p, q)`.
pub fn fold(call: &Call<'_>, y: HostTensor, depth: usize) -> Result<HostTensor> {
    let [planes, o, p, q] = y.shape[..] else { return Err(Fault::malformed(format!("{:?} as planes", y.shape))) };
    swap(call, reshaped(y, &[planes / depth.max(1), depth, o, p, q])?)
}

/// Exchanges the second and the third of five dimensions.
pub fn swap(call: &Call<'_>, x: HostTensor) -> Result<HostTensor> {
    match volume(&x)? {
        // Nothing moves.
        [a, b, c, d, e] if b == 1 || c == 1 => reshaped(x, &[a, c, b, d, e]),
        _ => call.apply(&Permute { dims: vec![0, 2, 1, 3, 4] }, &[x]),
    }
}

/// Windows along one dimension.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Side {
    /// Elements of a window.
    pub kernel: usize,
    /// Distance of windows.
    pub stride: usize,
    /// Distance of a window's elements.
    pub dilation: usize,
}

impl Side {
    /// Every element is a window of its own.
    const ALONE: Side = Side { kernel: 1, stride: 1, dilation: 1 };

    /// Elements from the first to the last of a window.
    pub fn reach(self) -> usize {
        self.kernel.saturating_sub(1).saturating_mul(self.dilation).saturating_add(1)
    }

    /// How many windows there are; with `ceil` the last may reach beyond the padding, if it starts before it.
    pub fn windows(self, size: usize, [before, after]: [usize; 2], ceil: bool) -> Result<usize> {
        let padded = size.checked_add(before).and_then(|padded| padded.checked_add(after));
        let room = padded.and_then(|padded| padded.checked_sub(self.reach()));
        let room = room.ok_or_else(|| Fault::malformed(format!("no window of {} in {padded:?}", self.reach())))?;
        let full = room / self.stride + 1;
        let starts_inside = full.checked_mul(self.stride).is_some_and(|start| start < size + before);
        Ok(full + usize::from(ceil && room % self.stride != 0 && starts_inside))
    }

    /// The size of what a transposed convolution makes, before anything is cut off.
    pub fn scattered(self, size: usize, added: usize) -> usize {
        size.saturating_sub(1).saturating_mul(self.stride).saturating_add(self.reach()).saturating_add(added)
    }
}

/// Windows over depth, height and width.
pub struct Sides {
    /// Dimensions that the node itself counts, 1 to 3, the last of the three.
    rank: usize,
    /// Along depth, height and width.
    pub sides: [Side; 3],
}

impl Sides {
    /// Reads strides and dilations; the kernel is the one of a lifted weight.
    pub fn read(call: &Call<'_>, weight: &HostTensor) -> Result<Self> {
        let rank = dimensions(call)?;
        let [_, _, kernel @ ..] = volume(weight)?;
        if let Some(stated) = call.ints("kernel_shape")?
            && triple(&sizes(stated)?, rank)? != kernel
        {
            return Err(Fault::malformed(format!("kernel_shape {stated:?} of a weight of {kernel:?}")));
        }
        Sides::with_kernel(call, rank, kernel)
    }

    /// Reads the kernel's size too.
    pub fn read_all(call: &Call<'_>) -> Result<Self> {
        let rank = dimensions(call)?;
        let kernel = call.ints("kernel_shape")?.ok_or_else(|| Fault::malformed("no kernel_shape"))?;
        Sides::with_kernel(call, rank, triple(&sizes(kernel)?, rank)?)
    }

    fn with_kernel(call: &Call<'_>, rank: usize, kernel: [usize; 3]) -> Result<Self> {
        let steps = |name| match call.ints(name)? {
            Some(values) => triple(&sizes(values)?, rank),
            None => Ok([1; 3]),
        };
        let (strides, dilations) = (steps("strides")?, steps("dilations")?);
        for (name, values) in [("kernel", kernel), ("strides", strides), ("dilations", dilations)] {
            if values.contains(&0) {
                return Err(Fault::malformed(format!("{name} {values:?}")));
            }
        }
        let side = |side| Side { kernel: kernel[side], stride: strides[side], dilation: dilations[side] };
        Ok(Sides { rank, sides: [side(0), side(1), side(2)] })
    }

    /// What is added at each side, stated or such that the output has `ceil(input / stride)` elements.
    pub fn pads(&self, call: &Call<'_>, input: &[usize]) -> Result<Pads> {
        let mut pads = [[0; 2]; 3];
        let first = 3 - self.rank;
        match call.text("auto_pad", "NOTSET")? {
            "NOTSET" => {
                let stated = sizes(call.ints("pads")?.unwrap_or_default())?;
                if stated.is_empty() {
                    return Ok(pads);
                }
                if stated.len() != 2 * self.rank {
                    return Err(Fault::malformed(format!("pads {stated:?}")));
                }
                for dim in first..3 {
                    pads[dim] = [stated[dim - first], stated[dim - first + self.rank]];
                }
            }
            "VALID" => {}
            mode @ ("SAME_UPPER" | "SAME_LOWER") => {
                for dim in first..3 {
                    let side = self.sides[dim];
                    let span = side.scattered(input[dim].div_ceil(side.stride), 0);
                    pads[dim] = halves(span.saturating_sub(input[dim]), mode == "SAME_UPPER");
                }
            }
            other => return Err(Fault::malformed(format!("auto_pad {other}"))),
        }
        Ok(pads)
    }

    /// For a transposed convolution: what is cut off at each side, and what is added behind. A stated or implied size of the
    /// output determines both.
    pub fn transposed_pads(&self, call: &Call<'_>, input: &[usize]) -> Result<(Pads, [usize; 3])> {
        let first = 3 - self.rank;
        let mut added = [0; 3];
        if let Some(values) = call.ints("output_padding")? {
            added = triple(&sizes(values)?, self.rank)?;
            // A side that lift has added is not padded.
            added[..first].fill(0);
        }
        let mode = call.text("auto_pad", "NOTSET")?;
        let same = matches!(mode, "SAME_UPPER" | "SAME_LOWER");
        let stated = call.ints("output_shape")?.map(sizes).transpose()?;
        if stated.is_none() && !same {
            return Ok((self.pads(call, input)?, added));
        }
        let mut pads = [[0; 2]; 3];
        for dim in first..3 {
            let side = self.sides[dim];
            let whole = side.scattered(input[dim], added[dim]);
            let wanted = match &stated {
                // Some models state the batch and the channels too.
                Some(stated) => stated.len().checked_sub(3 - dim).and_then(|at| stated.get(at)).copied(),
                None => input[dim].checked_mul(side.stride),
            };
            let wanted = wanted.ok_or_else(|| Fault::malformed(format!("output_shape {stated:?}")))?;
            added[dim] = added[dim].saturating_add(wanted.saturating_sub(whole));
            pads[dim] = halves(whole.saturating_sub(wanted), mode == "SAME_UPPER");
        }
        Ok((pads, added))
    }

    /// The part of a pool that goes over height and width.
    pub fn across(&self, [_, high, wide]: &Pads) -> Stage {
        Stage { sides: [self.sides[1], self.sides[2]], padding: [high[0], wide[0], high[1], wide[1]] }
    }

    /// The part of a pool that goes over depth, as if it were the height; `None` where every plane is a window of its own.
    pub fn along_depth(&self, [deep, ..]: &Pads) -> Option<Stage> {
        let side = self.sides[0];
        let idle = side.kernel == 1 && side.stride == 1 && *deep == [0; 2];
        (!idle).then_some(Stage { sides: [side, Side::ALONE], padding: [deep[0], 0, deep[1], 0] })
    }
}

/// A pool over two dimensions, as tilewise has them.
pub struct Stage {
    /// Along the first and the second.
    pub sides: [Side; 2],
    /// Before the first and the second, then behind them.
    pub padding: [usize; 4],
}

/// Splits padding into what is before and what is after; the odd element comes last where `upper`.
fn halves(total: usize, upper: bool) -> [usize; 2] {
    let (small, large) = (total / 2, total - total / 2);
    if upper { [small, large] } else { [large, small] }
}

/// A value for each of three sides; those that a node does not have get 1.
fn triple(values: &[usize], rank: usize) -> Result<[usize; 3]> {
    let mut all = [1; 3];
    if values.len() != rank || rank > 3 {
        return Err(Fault::malformed(format!("{values:?} for {rank} dimensions")));
    }
    all[3 - rank..].copy_from_slice(values);
    Ok(all)
}
