//! Matrix products and convolutions.

use tilewise::reference::HostTensor;
use tilewise::{Conv2d, ConvTranspose2d, Matmul, Padding};

use super::Lowering;
use super::geometry::{Sides, fold, lift, swap, unfold, unlift, volume};
use crate::call::Call;
use crate::device::reshaped;
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

/// x and weight of a convolution as volumes, and perhaps bias.
fn operands(call: &Call<'_>) -> Result<(HostTensor, HostTensor, Option<HostTensor>)> {
    let (x, weight) = (call.input(0)?, call.input(1)?);
    if x.shape.len() != weight.shape.len() {
        return Err(Fault::malformed(format!("x {:?} and weight {:?}", x.shape, weight.shape)));
    }
    let bias = call.optional(2).map(|bias| bias.host()).transpose()?;
    let (x, weight) = (lift(call.data(0)?)?, lift(call.data(1)?)?);
    if x.shape[2..].contains(&0) {
        return Err(Fault::malformed("an empty image"));
    }
    Ok((x, weight, bias))
}

fn groups(call: &Call<'_>) -> Result<usize> {
    Ok(sizes(&[call.int("group", 1)?])?[0])
}

/// A convolution over depth too is one over height and width whose channels are the planes of the windows.
fn conv(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let rank = call.input(0)?.shape.len();
    let (x, weight, bias) = operands(call)?;
    let windows = Sides::read(call, &weight)?;
    let [pad_depth, high, wide] = windows.pads(call, &x.shape[2..])?;
    let [deep, down, across] = windows.sides;
    let op = Conv2d {
        stride: [down.stride, across.stride],
        padding: Padding { top: high[0], left: wide[0], bottom: high[1], right: wide[1] },
        dilation: [down.dilation, across.dilation],
        groups: groups(call)?,
        ..Default::default()
    };
    let depth = deep.windows(x.shape[2], pad_depth, false)?;
    let plane = |p: usize, tap: usize| (p * deep.stride + tap * deep.dilation).checked_sub(pad_depth[0]);
    let x = unfold(&x, depth, deep.kernel, plane)?;
    let [o, c, taps, kh, kw] = volume(&weight)?;
    let weight = reshaped(weight, &[o, c * taps, kh, kw])?;
    let inputs: Vec<HostTensor> = [x, weight].into_iter().chain(bias).collect();
    let y = fold(call, call.apply(&op, &inputs)?, depth)?;
    Ok(vec![unlift(y, rank)?.into()])
}

/// Over depth likewise: of the planes that a plane of the output gathers, those between the input's are zeros.
fn conv_transpose(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let rank = call.input(0)?.shape.len();
    let (x, weight, bias) = operands(call)?;
    let windows = Sides::read(call, &weight)?;
    let ([cut, high, wide], added) = windows.transposed_pads(call, &x.shape[2..])?;
    let [deep, down, across] = windows.sides;
    let op = ConvTranspose2d {
        stride: [down.stride, across.stride],
        padding: Padding { top: high[0], left: wide[0], bottom: high[1], right: wide[1] },
        output_padding: [added[1], added[2]],
        dilation: [down.dilation, across.dilation],
        groups: groups(call)?,
        ..Default::default()
    };
    let whole = deep.scattered(x.shape[2], added[0]);
    let depth = cut[0].checked_add(cut[1]).and_then(|cut| whole.checked_sub(cut)).filter(|&depth| depth > 0);
    let depth = depth.ok_or_else(|| Fault::malformed(format!("padding {cut:?} leaves nothing of {whole}")))?;
    let plane = |y: usize, tap: usize| {
        let at = (y + cut[0]).checked_sub(tap * deep.dilation)?;
        (at % deep.stride == 0).then_some(at / deep.stride)
    };
    let x = unfold(&x, depth, deep.kernel, plane)?;
    let [c, o, taps, kh, kw] = volume(&weight)?;
    let weight = reshaped(swap(call, weight)?, &[c * taps, o, kh, kw])?;
    let inputs: Vec<HostTensor> = [x, weight].into_iter().chain(bias).collect();
    let y = fold(call, call.apply(&op, &inputs)?, depth)?;
    Ok(vec![unlift(y, rank)?.into()])
}
