//! Pooling.

use tilewise::reference::{HostData, HostTensor, Twin};
use tilewise::{AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, Conv2d, MaxPool2d, Padding};

use super::Lowering;
use super::geometry::{Sides, lift, planar, unlift};
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

fn max_pool(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let x = call.data(0)?;
    planar(call.input(0)?, "pooling")?;
    let rank = x.shape.len();
    let x = lift(x)?;
    let plane = [x.shape[2], x.shape[3]];
    let sides = Sides::read_all(call)?;
    let op = MaxPool2d {
        kernel: sides.kernel,
        stride: sides.strides,
        padding: sides.pads(call, &plane)?,
        dilation: sides.dilations,
        ceil_mode: call.flag("ceil_mode", false)?,
        return_indices: call.wants(1),
    };
    let mut outputs = call.device.apply(&op, &[x])?.into_iter();
    let y = outputs.next().ok_or_else(|| Fault::Failed("no output".into()))?;
    let y = unlift(y, rank)?;
    let shape = y.shape.clone();
    let mut found = vec![y.into()];
    if let Some(indices) = outputs.next() {
        let column_major = call.flag("storage_order", false)?;
        found.push(in_the_whole(&indices, plane, column_major)?.reshape(shape)?);
    }
    Ok(found)
}

/// Indices within planes as indices within the whole tensor, which ONNX wants, rows first or columns first in each plane.
fn in_the_whole(indices: &HostTensor, plane: [usize; 2], column_major: bool) -> Result<Tensor> {
    let HostData::U32(elements) = &indices.data else {
        return Err(Fault::Failed(format!("{} indices", indices.dtype())));
    };
    let [height, width] = plane;
    let per_plane = (indices.shape[2] * indices.shape[3]).max(1);
    let whole = elements.iter().enumerate().map(|(at, &index)| {
        let index = index as usize;
        let (row, column) = (index / width.max(1), index % width.max(1));
        let within = if column_major { column * height + row } else { index };
        (at / per_plane * height * width + within) as i64
    });
    Ok(Tensor::integers(indices.shape.clone(), whole.collect()))
}

fn average_pool(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let x = call.data(0)?;
    planar(call.input(0)?, "pooling")?;
    let rank = x.shape.len();
    let x = lift(x)?;
    let sides = Sides::read_all(call)?;
    let padding = sides.pads(call, &x.shape[2..])?;
    let (ceil_mode, count_include_pad) = (call.flag("ceil_mode", false)?, call.flag("count_include_pad", false)?);
    if sides.dilations != [1; 2] {
        // Only where no window is clipped do all have the same divisor.
        let room = |side: usize| {
            let padded = x.shape[side + 2].saturating_add(padding[side]).saturating_add(padding[side + 2]);
            padded.saturating_sub(sides.reach(side))
        };
        let overhangs = ceil_mode && (0..2).any(|side| room(side) % sides.strides[side] != 0);
        if overhangs || (padding != [0; 4] && !count_include_pad) {
            return Err(Fault::NotYet("dilated average pooling with clipped windows".into()));
        }
        return Ok(vec![unlift(average_of_taps(call, x, &sides, padding)?, rank)?.into()]);
    }
    let op = AvgPool2d {
        kernel: sides.kernel,
        stride: sides.strides,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override: None,
    };
    Ok(vec![unlift(call.apply(&op, &[x])?, rank)?.into()])
}

/// A mean of dilated windows, which tilewise's pooling lacks: a convolution of each channel with equal weights.
fn average_of_taps(call: &Call<'_>, x: HostTensor, sides: &Sides, padding: [usize; 4]) -> Result<HostTensor> {
    let [height, width] = sides.kernel;
    let channels = x.shape[1];
    let taps = height.checked_mul(width).filter(|&taps| taps > 0 && taps <= x.len());
    let taps = taps.ok_or_else(|| Fault::malformed(format!("a window of {:?} in {:?}", sides.kernel, x.shape)))?;
    let weight = vec![1.0 / taps as f32; channels * taps];
    let weight = HostTensor::new(&[channels, 1, height, width], &weight)?;
    let [top, left, bottom, right] = padding;
    let op = Conv2d {
        stride: sides.strides,
        padding: Padding { top, left, bottom, right },
        dilation: sides.dilations,
        groups: channels,
        ..Default::default()
    };
    call.apply(&op, &[x, weight])
}

fn global_average_pool(call: &Call<'_>) -> Result<Vec<Tensor>> {
    global(call, &AdaptiveAvgPool2d { output: [1, 1] })
}

fn global_max_pool(call: &Call<'_>) -> Result<Vec<Tensor>> {
    global(call, &AdaptiveMaxPool2d { output: [1, 1] })
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
