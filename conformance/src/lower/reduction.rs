//! Reductions and softmax.

use tilewise::reference::{HostData, HostTensor, Twin};
use tilewise::{LogSoftmax, Pad, PadMode, Reduce, ReduceKind, Softmax};

use super::Lowering;
use crate::call::{Call, axis};
use crate::device::reshaped;
use crate::fault::{Fault, Result};
use crate::tensor::Tensor;

pub(super) fn find(op_type: &str) -> Option<Lowering> {
    Some(match op_type {
        "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" => reduce,
        "ArgMax" | "ArgMin" => index,
        "Softmax" => softmax,
        "LogSoftmax" => log_softmax,
        _ => return None,
    })
}

fn reduce(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let x = call.data(0)?;
    let axes = call.integers(1, "axes")?.unwrap_or_default();
    if axes.is_empty() && call.flag("noop_with_empty_axes", false)? {
        return Ok(vec![x.into()]);
    }
    let kind = match call.op_type() {
        "ReduceSum" => ReduceKind::Sum,
        "ReduceMean" => ReduceKind::Mean,
        "ReduceMax" => ReduceKind::Max,
        _ => ReduceKind::Min,
    };
    let dims = axes.iter().map(|&value| axis(value, x.shape.len())).collect::<Result<Vec<_>>>()?;
    let x = neutral(call, x, kind, &dims)?;
    let op = Reduce { kind, dims, keep_dims: call.flag("keepdims", true)?, last: false };
    Ok(vec![call.apply(&op, &[x])?.into()])
}

/// Where an extreme of nothing is wanted, which tilewise refuses as PyTorch does, one of the type's lowest or highest value.
fn neutral(call: &Call<'_>, x: HostTensor, kind: ReduceKind, dims: &[usize]) -> Result<HostTensor> {
    let [low, high] = match x.data {
        HostData::I32(_) => [i32::MIN, i32::MAX].map(f64::from),
        HostData::U32(_) => [u32::MIN, u32::MAX].map(f64::from),
        _ => [f64::NEG_INFINITY, f64::INFINITY],
    };
    let value = match kind {
        ReduceKind::Max => low,
        ReduceKind::Min => high,
        _ => return Ok(x),
    };
    let empty = |dim: usize| x.shape[dim] == 0 && (dims.is_empty() || dims.contains(&dim));
    let padding: Vec<[isize; 2]> = (0..x.shape.len()).map(|dim| [empty(dim).into(), 0]).collect();
    if padding.iter().all(|pads| *pads == [0; 2]) {
        return Ok(x);
    }
    call.apply(&Pad { padding, mode: PadMode::Constant(value) }, &[x])
}

fn index(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let x = call.data(0)?;
    let op = Reduce {
        kind: if call.op_type() == "ArgMax" { ReduceKind::ArgMax } else { ReduceKind::ArgMin },
        dims: vec![axis(call.int("axis", 0)?, x.shape.len())?],
        keep_dims: call.flag("keepdims", true)?,
        last: call.flag("select_last_index", false)?,
    };
    let found = call.apply(&op, &[x])?;
    let HostData::U32(elements) = &found.data else {
        return Err(Fault::Failed(format!("{} indices", found.dtype())));
    };
    let elements = elements.iter().map(|&index| index.into()).collect();
    Ok(vec![Tensor::integers(found.shape, elements)])
}

fn softmax(call: &Call<'_>) -> Result<Vec<Tensor>> {
    normalize(call, |dim| Box::new(Softmax { dim }))
}

fn log_softmax(call: &Call<'_>) -> Result<Vec<Tensor>> {
    normalize(call, |dim| Box::new(LogSoftmax { dim }))
}

/// Before operator set 13 all dimensions from the axis on count as one, and the axis is 1 by default.
fn normalize(call: &Call<'_>, op: impl Fn(usize) -> Box<dyn Twin>) -> Result<Vec<Tensor>> {
    let x = call.data(0)?;
    let shape = x.shape.clone();
    let flattens = call.opset < 13;
    let dim = axis(call.int("axis", if flattens { 1 } else { -1 })?, shape.len())?;
    if !flattens {
        return Ok(vec![call.apply(&*op(dim), &[x])?.into()]);
    }
    let flat: [usize; 2] = [shape[..dim].iter().product(), shape[dim..].iter().product()];
    let y: HostTensor = call.apply(&*op(1), &[reshaped(x, &flat)?])?;
    Ok(vec![reshaped(y, &shape)?.into()])
}
