//! Operations that move elements and change none, and those that the host does for cases of several nodes.

use tilewise::{Concat, Pad, PadMode, Permute};

use super::Lowering;
use crate::call::{Call, axis};
use crate::fault::{Fault, Result};
use crate::tensor::{Data, Tensor, sizes};

pub(super) fn find(op_type: &str) -> Option<Lowering> {
    Some(match op_type {
        "Transpose" => transpose,
        "Concat" => concat,
        "Pad" => pad,
        "Constant" => constant,
        "Identity" => identity,
        "Reshape" => reshape,
        "Flatten" => flatten,
        "Squeeze" => squeeze,
        "Unsqueeze" => unsqueeze,
        "Split" => split,
        _ => return None,
    })
}

/// Before operator set 4 the axis may be left out: it is 1.
fn concat(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let inputs = call.all_data()?;
    let dim = axis(call.int("axis", 1)?, inputs[0].shape.len())?;
    Ok(vec![call.apply(&Concat { dim }, &inputs)?.into()])
}

/// Padding, all that comes before first, is an attribute before operator set 11, then an input; so is the constant. Input 3
/// names the axes that are padded, in place of all.
fn pad(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let x = call.data(0)?;
    let pads = call.integers(1, if call.opset < 2 { "paddings" } else { "pads" })?;
    let pads = pads.ok_or_else(|| Fault::malformed("no pads"))?;
    let rank = x.shape.len();
    let axes = match call.integers(3, "axes")? {
        Some(axes) => axes.iter().map(|&value| axis(value, rank)).collect::<Result<Vec<_>>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(Fault::malformed(format!("pads {pads:?} of {} dimensions", axes.len())));
    }
    let (before, after) = pads.split_at(axes.len());
    let mut padding = vec![[0; 2]; rank];
    for ((&dim, &before), &after) in axes.iter().zip(before).zip(after) {
        padding[dim] = [before as isize, after as isize];
    }
    let mode = match call.text("mode", "constant")? {
        "constant" => {
            let value = call.optional(2).map(Tensor::host).transpose()?.filter(|value| !value.is_empty());
            PadMode::Constant(match value {
                Some(value) => value.at(0),
                None => call.float("value", 0.0)?.into(),
            })
        }
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Replicate,
        "wrap" => PadMode::Circular,
        other => return Err(Fault::malformed(format!("mode {other}"))),
    };
    Ok(vec![call.apply(&Pad { padding, mode }, &[x])?.into()])
}

fn transpose(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let x = call.data(0)?;
    let dims = match call.ints("perm")? {
        Some(perm) => sizes(perm)?,
        None => (0..x.shape.len()).rev().collect(),
    };
    Ok(vec![call.apply(&Permute { dims }, &[x])?.into()])
}

fn constant(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let value = if let Some(value) = call.tensor("value")? {
        value
    } else if let Some(value) = call.maybe_float("value_float")? {
        Tensor { shape: Vec::new(), data: Data::F32(vec![value]) }
    } else if let Some(values) = call.floats("value_floats")? {
        Tensor { shape: vec![values.len()], data: Data::F32(values.to_vec()) }
    } else if let Some(values) = call.ints("value_ints")? {
        Tensor::integers(vec![values.len()], values.to_vec())
    } else if let Some(value) = call.maybe_int("value_int")? {
        Tensor::integers(Vec::new(), vec![value])
    } else {
        return Err(Fault::Unsupported("a constant of text".into()));
    };
    Ok(vec![value])
}

fn identity(call: &Call<'_>) -> Result<Vec<Tensor>> {
    Ok(vec![call.input(0)?.clone()])
}

fn reshape(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let x = call.input(0)?;
    let wanted = call.integers(1, "shape")?.ok_or_else(|| Fault::malformed("no shape"))?;
    let wrong = || Fault::malformed(format!("{:?} cannot take the shape {wanted:?}", x.shape));
    let copies = !call.flag("allowzero", false)?;
    let mut shape = Vec::with_capacity(wanted.len());
    for (dim, &size) in wanted.iter().enumerate() {
        shape.push(match size {
            0 if copies => *x.shape.get(dim).ok_or_else(wrong)?,
            -1 => 1,
            size => usize::try_from(size).map_err(|_| wrong())?,
        });
    }
    if let Some(open) = wanted.iter().position(|&size| size == -1) {
        let rest = shape.iter().try_fold(1usize, |rest, &size| rest.checked_mul(size)).ok_or_else(wrong)?;
        shape[open] = x.len().checked_div(rest).ok_or_else(wrong)?;
    }
    Ok(vec![x.clone().reshape(shape)?])
}

fn flatten(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let x = call.input(0)?;
    // The axis may be one behind the last.
    let at = match call.int("axis", 1)? {
        end if end == x.shape.len() as i64 => x.shape.len(),
        other => axis(other, x.shape.len())?,
    };
    let shape = vec![x.shape[..at].iter().product(), x.shape[at..].iter().product()];
    Ok(vec![x.clone().reshape(shape)?])
}

fn squeeze(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let x = call.input(0)?;
    let axes = match call.integers(1, "axes")? {
        Some(axes) => axes.iter().map(|&value| axis(value, x.shape.len())).collect::<Result<Vec<_>>>()?,
        None => (0..x.shape.len()).filter(|&dim| x.shape[dim] == 1).collect(),
    };
    let shape = (0..x.shape.len()).filter(|dim| !axes.contains(dim)).map(|dim| x.shape[dim]).collect();
    Ok(vec![x.clone().reshape(shape)?])
}

fn unsqueeze(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let x = call.input(0)?;
    let axes = call.integers(1, "axes")?.ok_or_else(|| Fault::malformed("no axes"))?;
    let rank = x.shape.len() + axes.len();
    let axes = axes.iter().map(|&value| axis(value, rank)).collect::<Result<Vec<_>>>()?;
    let mut sizes = x.shape.iter().copied();
    let shape = (0..rank).map(|dim| if axes.contains(&dim) { 1 } else { sizes.next().unwrap_or(1) }).collect();
    Ok(vec![x.clone().reshape(shape)?])
}

fn split(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let x = call.input(0)?;
    let dim = axis(call.int("axis", 0)?, x.shape.len())?;
    let parts = match call.integers(1, "split")? {
        Some(parts) => sizes(&parts)?,
        None => {
            let count = call.node.output.len().max(1);
            let size = x.shape[dim].div_ceil(count);
            (0..count).map(|part| size.min(x.shape[dim].saturating_sub(part * size))).collect()
        }
    };
    if parts.iter().try_fold(0usize, |sum, &part| sum.checked_add(part)) != Some(x.shape[dim]) {
        return Err(Fault::malformed(format!("parts {parts:?} of {}", x.shape[dim])));
    }
    let mut start = 0;
    let mut outputs = Vec::with_capacity(parts.len());
    for part in parts {
        outputs.push(slice(x, dim, start..start + part)?);
        start += part;
    }
    Ok(outputs)
}

/// A range of a dimension.
fn slice(x: &Tensor, dim: usize, range: std::ops::Range<usize>) -> Result<Tensor> {
    let row: usize = x.shape[dim + 1..].iter().product();
    let block = x.shape[dim] * row;
    fn pick<T: Copy>(elements: &[T], block: usize, rows: std::ops::Range<usize>) -> Vec<T> {
        elements.chunks(block.max(1)).flat_map(|chunk| &chunk[rows.clone()]).copied().collect()
    }
    let rows = range.start * row..range.end * row;
    let data = match &x.data {
        Data::F32(elements) => Data::F32(pick(elements, block, rows)),
        Data::I32(elements) => Data::I32(pick(elements, block, rows)),
        Data::U32(elements) => Data::U32(pick(elements, block, rows)),
        Data::I8(elements) => Data::I8(pick(elements, block, rows)),
        Data::U8(elements) => Data::U8(pick(elements, block, rows)),
        Data::I64(elements) => Data::I64(pick(elements, block, rows)),
        Data::Other(name) => return Err(Fault::Unsupported(format!("{name} data"))),
    };
    let mut shape = x.shape.clone();
    shape[dim] = range.len();
    Ok(Tensor { shape, data })
}
