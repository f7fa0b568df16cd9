//! Numbers kept in bytes, and back, and products of them.

use tilewise::reference::{HostTensor, Twin};
use tilewise::{
    DType, DequantizeLinear, DynamicQuantizeLinear, IntegerConv2d, IntegerMatmul, IntegerOutput, Padding,
    QuantizeLinear,
};

use super::Lowering;
use super::geometry::{Sides, lift, unlift, volume};
use crate::call::{Call, axis};
use crate::device::reshaped;
use crate::fault::{Fault, Result};
use crate::tensor::{Tensor, sizes};

pub(super) fn find(op_type: &str) -> Option<Lowering> {
    Some(match op_type {
        "QuantizeLinear" => quantize,
        "DequantizeLinear" => dequantize,
        "DynamicQuantizeLinear" => dynamic,
        "MatMulInteger" => matmul_integer,
        "QLinearMatMul" => qlinear_matmul,
        "ConvInteger" => conv_integer,
        "QLinearConv" => qlinear_conv,
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

/// The inputs that are there of these, and which are.
fn there<const N: usize>(call: &Call<'_>, numbers: [usize; N]) -> Result<(Vec<HostTensor>, [bool; N])> {
    let there = numbers.map(|number| call.optional(number).is_some());
    let found = numbers.iter().zip(there).filter(|(_, there)| *there);
    Ok((found.map(|(&number, _)| call.data(number)).collect::<Result<_>>()?, there))
}

fn matmul_integer(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let (following, zeros) = there(call, [2, 3])?;
    let inputs = [vec![call.data(0)?, call.data(1)?], following].concat();
    one(call, &IntegerMatmul { zeros, ..Default::default() }, &inputs)
}

/// What the inputs of a product of quantized numbers are: both factors, their zero points, the scales of all three as one of the second
/// factor's; and the output.
fn quantized(call: &Call<'_>) -> Result<(Vec<HostTensor>, IntegerOutput)> {
    let [x, weight, y] = [1, 4, 6].map(|number| call.data(number));
    let (x, weight, y) = (x?, weight?, y?);
    if x.len() != 1 || y.len() != 1 {
        return Err(Fault::NotYet("a scale for each row".into()));
    }
    let scales: Vec<f32> = (0..weight.len()).map(|at| (x.at(0) * weight.at(at) / y.at(0)) as f32).collect();
    let zero = call.data(7)?;
    if zero.len() != 1 {
        return Err(Fault::NotYet("a zero point for each row".into()));
    }
    let output = IntegerOutput::Quantized { dtype: zero.dtype(), zero: zero.at(0) as i32 };
    let scales = HostTensor::new(&[scales.len()], &scales)?;
    Ok((vec![call.data(0)?, call.data(3)?, call.data(2)?, call.data(5)?, scales], output))
}

fn qlinear_matmul(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let (inputs, output) = quantized(call)?;
    one(call, &IntegerMatmul { zeros: [true; 2], scales: [false, true], output, ..Default::default() }, &inputs)
}

/// A convolution over height and width, or width alone, of these inputs.
fn convolve(call: &Call<'_>, op: IntegerConv2d, mut inputs: Vec<HostTensor>) -> Result<Vec<Tensor>> {
    let rank = inputs[0].shape.len();
    if rank != inputs[1].shape.len() || rank > 4 {
        return Err(Fault::NotYet(format!("x {:?} and weight {:?}", inputs[0].shape, inputs[1].shape)));
    }
    for input in &mut inputs[..2] {
        *input = lift(input.clone())?;
    }
    let windows = Sides::read(call, &inputs[1])?;
    let [_, high, wide] = windows.pads(call, &inputs[0].shape[2..])?;
    let [_, down, across] = windows.sides;
    for input in &mut inputs[..2] {
        let [n, c, _, h, w] = volume(input)?;
        *input = reshaped(input.clone(), &[n, c, h, w])?;
    }
    let op = IntegerConv2d {
        stride: [down.stride, across.stride],
        padding: Padding { top: high[0], left: wide[0], bottom: high[1], right: wide[1] },
        dilation: [down.dilation, across.dilation],
        groups: sizes(&[call.int("group", 1)?])?[0],
        ..op
    };
    Ok(vec![unlift(lift(call.apply(&op, &inputs)?)?, rank)?.into()])
}

fn conv_integer(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let (following, zeros) = there(call, [2, 3])?;
    let inputs = [vec![call.data(0)?, call.data(1)?], following].concat();
    convolve(call, IntegerConv2d { zeros, ..Default::default() }, inputs)
}

fn qlinear_conv(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let (inputs, output) = quantized(call)?;
    let (bias, [there]) = there(call, [8])?;
    let op = IntegerConv2d { zeros: [true; 2], scales: [false, true], bias: there, output, ..Default::default() };
    convolve(call, op, [inputs, bias].concat())
}
