//! Pooling.

use tilewise::reference::{HostData, HostTensor, Twin};
use tilewise::{AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, Binary, BinaryKind, Conv2d, MaxPool2d, Padding};

use super::Lowering;
use super::geometry::{LARGEST, Sides, Stage, lift, unlift, volume};
use crate::call::Call;
use crate::device::reshaped;
use crate::fault::{Fault, Result};
use crate::tensor::Tensor;

pub(super) fn find(op_type: &str) -> Option<Lowering> {
    Some(match op_type {
        "MaxPool" => max_pool,
        "AveragePool" => average_pool,
        "GlobalAveragePool" => global_average_pool,
        "GlobalMaxPool" => global_max_pool,
        _ => return None,
    })
}

/// Over depth too, the maximum of a window is the maximum of the maxima of its planes.
fn max_pool(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let rank = call.input(0)?.shape.len();
    let windows = Sides::read_all(call)?;
    let x = lift(call.data(0)?)?;
    let [n, c, d, h, w] = volume(&x)?;
    let pads = windows.pads(call, &[d, h, w])?;
    let ceil_mode = call.flag("ceil_mode", false)?;
    let pool = |x: HostTensor, stage: &Stage| -> Result<(HostTensor, Option<HostTensor>)> {
        let op = MaxPool2d {
            kernel: stage.sides.map(|side| side.kernel),
            stride: Some(stage.sides.map(|side| side.stride)),
            padding: stage.padding,
            dilation: stage.sides.map(|side| side.dilation),
            ceil_mode,
            return_indices: call.wants(1),
        };
        let mut outputs = call.device.apply(&op, &[x])?.into_iter();
        let y = outputs.next().ok_or_else(|| Fault::Failed("no output".into()))?;
        Ok((y, outputs.next()))
    };
    let (mut y, places) = pool(reshaped(x, &[n, c * d, h, w])?, &windows.across(&pads))?;
    let (p, q) = (y.shape[2], y.shape[3]);
    let (mut depth, mut planes) = (d, None);
    if let Some(stage) = windows.along_depth(&pads) {
        (y, planes) = pool(reshaped(y, &[n, c, d, p * q])?, &stage)?;
        depth = y.shape[2];
    }
    let y = unlift(reshaped(y, &[n, c, depth, p, q])?, rank)?;
    let shape = y.shape.clone();
    let mut outputs = vec![y.into()];
    if let Some(places) = places {
        let winners = Winners { places: u32s(&places)?, planes: planes.as_ref().map(u32s).transpose()?, depth };
        let whole = winners.in_the_whole([d, h, w], p * q, call.flag("storage_order", false)?);
        outputs.push(Tensor::integers(shape, whole));
    }
    Ok(outputs)
}

fn u32s(indices: &HostTensor) -> Result<&[u32]> {
    match &indices.data {
        HostData::U32(elements) => Ok(elements),
        _ => Err(Fault::Failed(format!("{} indices", indices.dtype()))),
    }
}

/// Where the maxima lie.
struct Winners<'a> {
    /// For each plane of the input and each window there, the place in the plane.
    places: &'a [u32],
    /// For each window, where in its stack of windows of planes the maximum lies; `None` if every plane stands alone.
    planes: Option<&'a [u32]>,
    /// Windows along the depth.
    depth: usize,
}

impl Winners<'_> {
    /// For each window the index within the whole tensor, which ONNX wants, in each map the last dimension first or the first.
    fn in_the_whole(&self, [d, h, w]: [usize; 3], per_plane: usize, column_major: bool) -> Vec<i64> {
        let per_map = self.depth * per_plane;
        let windows = self.planes.map_or(self.places.len(), <[u32]>::len);
        let whole = |window: usize| {
            let (map, place) = (window / per_map, window % per_plane);
            let plane = match self.planes {
                Some(planes) => planes[window] as usize / per_plane,
                None => window % per_map / per_plane,
            };
            let within = self.places[(map * d + plane) * per_plane + place] as usize;
            let at = if column_major { (within % w * h + within / w) * d + plane } else { plane * h * w + within };
            (map * d * h * w + at) as i64
        };
        (0..windows).map(whole).collect()
    }
}

/// Over depth too, the mean of a window is the mean of the means of its planes: all of them have the same divisor.
fn average_pool(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let rank = call.input(0)?.shape.len();
    let windows = Sides::read_all(call)?;
    let x = lift(call.data(0)?)?;
    let [n, c, d, h, w] = volume(&x)?;
    let pads = windows.pads(call, &[d, h, w])?;
    let mut y = average(call, reshaped(x, &[n, c * d, h, w])?, &windows.across(&pads))?;
    let (p, q) = (y.shape[2], y.shape[3]);
    let mut depth = d;
    if let Some(stage) = windows.along_depth(&pads) {
        y = average(call, reshaped(y, &[n, c, d, p * q])?, &stage)?;
        depth = y.shape[2];
    }
    Ok(vec![unlift(reshaped(y, &[n, c, depth, p, q])?, rank)?.into()])
}

fn average(call: &Call<'_>, x: HostTensor, stage: &Stage) -> Result<HostTensor> {
    if stage.sides.iter().any(|side| side.dilation != 1) {
        return average_of_taps(call, x, stage);
    }
    let op = AvgPool2d {
        kernel: stage.sides.map(|side| side.kernel),
        stride: Some(stage.sides.map(|side| side.stride)),
        padding: stage.padding,
        ceil_mode: call.flag("ceil_mode", false)?,
        count_include_pad: call.flag("count_include_pad", false)?,
        divisor_override: None,
    };
    call.apply(&op, &[x])
}

/// A mean of dilated windows, which tilewise's pooling lacks: a sum of the taps, by a convolution, divided by how many of
/// them count, by the same convolution of ones.
fn average_of_taps(call: &Call<'_>, x: HostTensor, stage: &Stage) -> Result<HostTensor> {
    let (channels, plane) = (x.shape[1], [x.shape[2], x.shape[3]]);
    let [top, left, bottom, right] = stage.padding;
    let ceil = call.flag("ceil_mode", false)?;
    // What the last windows have beyond the padding, in ceil mode: it is summed as zeros and never counts.
    let mut beyond = [0; 2];
    for (dim, pads) in [[top, bottom], [left, right]].into_iter().enumerate() {
        let side = stage.sides[dim];
        let end = side.scattered(side.windows(plane[dim], pads, ceil)?, 0);
        beyond[dim] = end.saturating_sub(plane[dim] + pads[0] + pads[1]);
    }
    let op = |padding, groups| Conv2d {
        stride: stage.sides.map(|side| side.stride),
        padding,
        dilation: stage.sides.map(|side| side.dilation),
        groups,
        ..Default::default()
    };
    let [down, across] = beyond;
    let padding = Padding { top, left, bottom: bottom.saturating_add(down), right: right.saturating_add(across) };
    let (counted, edge) = if call.flag("count_include_pad", false)? {
        let whole = ones([1, 1, plane[0] + top + bottom, plane[1] + left + right])?;
        (whole, Padding { bottom: down, right: across, ..Padding::default() })
    } else {
        (ones([1, 1, plane[0], plane[1]])?, padding)
    };
    let [height, width] = stage.sides.map(|side| side.kernel);
    let sum = call.apply(&op(padding, channels), &[x, ones([channels, 1, height, width])?])?;
    let count = call.apply(&op(edge, 1), &[counted, ones([1, 1, height, width])?])?;
    call.apply(&Binary { kind: BinaryKind::Div }, &[sum, count])
}

fn ones(shape: [usize; 4]) -> Result<HostTensor> {
    let len = shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size)).filter(|&len| len <= LARGEST);
    let len = len.ok_or_else(|| Fault::malformed(format!("windows of {shape:?}")))?;
    Ok(HostTensor::new(&shape, &vec![1.0f32; len])?)
}

fn global_average_pool(call: &Call<'_>) -> Result<Vec<Tensor>> {
    global(call, &AdaptiveAvgPool2d { output: [1, 1] })
}

fn global_max_pool(call: &Call<'_>) -> Result<Vec<Tensor>> {
    global(call, &AdaptiveMaxPool2d { output: [1, 1], return_indices: false })
}

/// Pools everything but batch and channels, in however many dimensions: as planes of one row.
fn global(call: &Call<'_>, op: &dyn Twin) -> Result<Vec<Tensor>> {
    let x = call.data(0)?;
    let [n, c, ref sizes @ ..] = x.shape[..] else {
        return Err(Fault::malformed(format!("global pooling of {:?}", x.shape)));
    };
    let (elements, rank) = (sizes.iter().product(), sizes.len());
    let y = call.apply(op, &[reshaped(x, &[n, c, 1, elements])?])?;
    let shape: Vec<usize> = [n, c].into_iter().chain(std::iter::repeat_n(1, rank)).collect();
    Ok(vec![reshaped(y, &shape)?.into()])
}
