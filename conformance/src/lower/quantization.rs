//! Numbers kept in bytes, and back.

use tilewise::reference::{HostTensor, Twin};
use tilewise::{DType, DequantizeLinear, DynamicQuantizeLinear, QuantizeLinear};

use super::Lowering;
use crate::call::{Call, axis};
use crate::fault::{Fault, Result};
use crate::tensor::Tensor;

pub(super) fn find(op_type: &str) -> Option<Lowering> {
    Some(match op_type {
        "QuantizeLinear" => quantize,
        "DequantizeLinear" => dequantize,
        "DynamicQuantizeLinear" => dynamic,
        _ => return None,
    })
}

/// The inputs, with the zero point where there is one, and the axis and the blocks of the scales.
fn inputs(call: &Call<'_>) -> Result<(Vec<HostTensor>, usize, Option<usize>)> {
    let mut inputs = vec![call.data(0)?, call.data(1)?];
    if call.optional(2).is_some() {
        inputs.push(call.data(2)?);
    }
    let block = match call.int("block_size", 0)? {
        0 => None,
        size => Some(usize::try_from(size).map_err(|_| Fault::malformed(format!("blocks of {size}")))?),
    };
    // The axis of a single scale may be one that x does not have.
    let rank = inputs[0].shape.len();
    let along = if inputs[1].len() == 1 && block.is_none() { 0 } else { axis(call.int("axis", 1)?, rank)? };
    Ok((inputs, along, block))
}

fn one(call: &Call<'_>, op: &dyn Twin, inputs: &[HostTensor]) -> Result<Vec<Tensor>> {
    Ok(vec![call.apply(op, inputs)?.into()])
}

fn quantize(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let (inputs, axis, block) = inputs(call)?;
    let output = inputs.get(2).map_or(DType::U8, HostTensor::dtype);
    one(call, &QuantizeLinear { axis, block, output }, &inputs)
}

fn dequantize(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let (inputs, axis, block) = inputs(call)?;
    one(call, &DequantizeLinear { axis, block, output: DType::F32 }, &inputs)
}

fn dynamic(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let outputs = call.device.apply(&DynamicQuantizeLinear, &[call.data(0)?])?;
    Ok(outputs.into_iter().map(Tensor::from).collect())
}
