//! Reductions and softmax.

use tilewise::reference::{HostData, HostTensor, Twin};
use tilewise::{LogSoftmax, Reduce, ReduceKind, Softmax};

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
    let dims = axes.iter().map(|&value| axis(value, x.shape.len())).collect::<Result<_>>()?;
    let op = Reduce { kind, dims, keep_dims: call.flag("keepdims", true)?, last: false };
    Ok(vec![call.apply(&op, &[x])?.into()])
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
