//! Matrix products and convolutions.

use tilewise::reference::HostTensor;
use tilewise::{Conv2d, ConvTranspose2d, Matmul, Padding};

use super::Lowering;
use super::geometry::{Sides, lift, planar, unlift};
use crate::call::Call;
use crate::fault::{Fault, Result};
use crate::tensor::{Tensor, sizes};

pub(super) fn find(op_type: &str) -> Option<Lowering> {
    Some(match op_type {
        "MatMul" => matmul,
        "Gemm" => gemm,
        "Conv" => conv,
        "ConvTranspose" => conv_transpose,
        _ => return None,
    })
}

fn matmul(call: &Call<'_>) -> Result<Vec<Tensor>> {
    Ok(vec![call.apply(&Matmul::default(), &[call.data(0)?, call.data(1)?])?.into()])
}

fn gemm(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let op = Matmul {
        transpose_a: call.flag("transA", false)?,
        transpose_b: call.flag("transB", false)?,
        alpha: call.float("alpha", 1.0)?,
        beta: call.float("beta", 1.0)?,
        ..Default::default()
    };
    Ok(vec![call.apply(&op, &call.all_data()?)?.into()])
}

/// x, weight and perhaps bias of a convolution over one or two dimensions, the first two as planes.
fn operands(call: &Call<'_>) -> Result<Vec<HostTensor>> {
    let (x, weight) = (call.input(0)?, call.input(1)?);
    if x.shape.len() != weight.shape.len() {
        return Err(Fault::malformed(format!("x {:?} and weight {:?}", x.shape, weight.shape)));
    }
    let mut operands = vec![lift(call.data(0)?)?, lift(call.data(1)?)?];
    if call.optional(2).is_some() {
        operands.push(call.data(2)?);
    }
    Ok(operands)
}

fn groups(call: &Call<'_>) -> Result<usize> {
    Ok(sizes(&[call.int("group", 1)?])?[0])
}

fn conv(call: &Call<'_>) -> Result<Vec<Tensor>> {
    planar(call.input(0)?, "convolution")?;
    let rank = call.input(0)?.shape.len();
    let inputs = operands(call)?;
    let sides = Sides::read(call, &inputs[1].shape[2..])?;
    let [top, left, bottom, right] = sides.pads(call, &inputs[0].shape[2..])?;
    let op = Conv2d {
        stride: sides.strides,
        padding: Padding { top, left, bottom, right },
        dilation: sides.dilations,
        groups: groups(call)?,
        ..Default::default()
    };
    Ok(vec![unlift(call.apply(&op, &inputs)?, rank)?.into()])
}

fn conv_transpose(call: &Call<'_>) -> Result<Vec<Tensor>> {
    planar(call.input(0)?, "transposed convolution")?;
    let rank = call.input(0)?.shape.len();
    let inputs = operands(call)?;
    let sides = Sides::read(call, &inputs[1].shape[2..])?;
    let (pads, output_padding) = sides.transposed_pads(call, &inputs[0].shape[2..])?;
    let [top, left, bottom, right] = pads;
    let op = ConvTranspose2d {
        stride: sides.strides,
        padding: Padding { top, left, bottom, right },
        output_padding,
        dilation: sides.dilations,
        groups: groups(call)?,
        ..Default::default()
    };
    if inputs[0].shape[2..].contains(&0) {
        return Err(Fault::malformed("an empty image"));
    }
    Ok(vec![unlift(call.apply(&op, &inputs)?, rank)?.into()])
}
