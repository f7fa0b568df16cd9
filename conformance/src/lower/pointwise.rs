//! Elementwise operations.

use tilewise::reference::{HostData, HostTensor};
use tilewise::{Activation, BatchNorm, Binary, BinaryKind, Reduce, ReduceKind, Unary, UnaryKind};

use super::Lowering;
use crate::call::{Call, axis};
use crate::device::reshaped;
use crate::fault::{Fault, Result};
use crate::tensor::Tensor;

pub(super) fn find(op_type: &str) -> Option<Lowering> {
    Some(match op_type {
        "Relu" | "LeakyRelu" | "Sigmoid" | "Tanh" | "Elu" | "Celu" | "HardSigmoid" | "HardSwish" | "Softplus"
        | "Softsign" | "Mish" | "ThresholdedRelu" | "Gelu" => activation,
        "Abs" | "Neg" | "Exp" | "Log" | "Sqrt" | "Reciprocal" | "Floor" | "Ceil" | "Round" | "Erf" | "Sign" => unary,
        "Selu" => selu,
        "Clip" => clip,
        "PRelu" => prelu,
        "BatchNormalization" => batch_norm,
        "Add" | "Sub" | "Mul" | "Div" => arithmetic,
        "Pow" => pow,
        "Max" | "Min" | "Sum" | "Mean" => several,
        _ => return None,
    })
}

fn binary(call: &Call<'_>, kind: BinaryKind, x: HostTensor, y: HostTensor) -> Result<HostTensor> {
    call.apply(&Binary { kind }, &[x, y])
}

fn scalar(value: f32) -> Result<HostTensor> {
    Ok(HostTensor::new(&[], &[value])?)
}

fn activation(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let activation = match call.op_type() {
        "Relu" => Activation::Relu,
        "LeakyRelu" => Activation::LeakyRelu(call.float("alpha", 0.01)?),
        "Sigmoid" => Activation::Sigmoid,
        "Tanh" => Activation::Tanh,
        "Elu" => Activation::Elu(call.float("alpha", 1.0)?),
        "Celu" => Activation::Celu(call.float("alpha", 1.0)?),
        "HardSigmoid" => Activation::HardSigmoid(call.float("alpha", 0.2)?, call.float("beta", 0.5)?),
        "HardSwish" => Activation::HardSwish,
        "Softplus" => Activation::Softplus,
        "Softsign" => Activation::Softsign,
        "Mish" => Activation::Mish,
        "ThresholdedRelu" => Activation::Threshold(call.float("alpha", 1.0)?, 0.0),
        "Gelu" if call.text("approximate", "none")? == "tanh" => Activation::GeluTanh,
        "Gelu" => Activation::Gelu,
        other => return Err(Fault::NotYet(other.into())),
    };
    Ok(vec![call.apply(&Unary::from(activation), &[call.data(0)?])?.into()])
}

fn unary(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let kind = match call.op_type() {
        "Abs" => UnaryKind::Abs,
        "Neg" => UnaryKind::Neg,
        "Exp" => UnaryKind::Exp,
        "Log" => UnaryKind::Log,
        "Sqrt" => UnaryKind::Sqrt,
        "Reciprocal" => UnaryKind::Reciprocal,
        "Floor" => UnaryKind::Floor,
        "Ceil" => UnaryKind::Ceil,
        "Round" => UnaryKind::Round,
        "Erf" => UnaryKind::Erf,
        "Sign" => UnaryKind::Sign,
        other => return Err(Fault::NotYet(other.into())),
    };
    Ok(vec![call.apply(&Unary { kind }, &[call.data(0)?])?.into()])
}

/// SELU has fixed parameters in tilewise; with others it is `gamma` times ELU.
fn selu(call: &Call<'_>) -> Result<Vec<Tensor>> {
    const ALPHA: f32 = 1.673_263_2;
    const GAMMA: f32 = 1.050_701;
    let x = call.data(0)?;
    let (alpha, gamma) = (call.float("alpha", ALPHA)?, call.float("gamma", GAMMA)?);
    if (alpha, gamma) == (ALPHA, GAMMA) {
        return Ok(vec![call.apply(&Unary::from(Activation::Selu), &[x])?.into()]);
    }
    let elu = call.apply(&Unary::from(Activation::Elu(alpha)), &[x])?;
    Ok(vec![binary(call, BinaryKind::Mul, elu, scalar(gamma)?)?.into()])
}

/// The bounds are attributes before operator set 11, then inputs that may be left out. Where the lower one is above the upper
/// one, the upper one holds; so it does for whole numbers, which `Activation::Clamp` does not take.
fn clip(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let x = call.data(0)?;
    let bound = |index: usize, name: &str| match call.optional(index) {
        Some(bound) => Ok(Some(bound.host()?)),
        None => call.maybe_float(name)?.map(scalar).transpose(),
    };
    let (low, high) = (bound(1, "min")?, bound(2, "max")?);
    if let HostData::F32(_) = x.data {
        let value = |bound: &Option<HostTensor>, open: f32| match bound {
            Some(HostTensor { data: HostData::F32(elements), .. }) => elements.first().copied().unwrap_or(f32::NAN),
            Some(_) => f32::NAN,
            None => open,
        };
        let (low, high) = (value(&low, f32::NEG_INFINITY), value(&high, f32::INFINITY));
        if low <= high && low < f32::INFINITY && high > f32::NEG_INFINITY {
            return Ok(vec![call.apply(&Unary::from(Activation::Clamp(low, high)), &[x])?.into()]);
        }
    }
    let raised = match low {
        Some(low) => binary(call, BinaryKind::Max, x, low)?,
        None => x,
    };
    let clipped = match high {
        Some(high) => binary(call, BinaryKind::Min, raised, high)?,
        None => raised,
    };
    Ok(vec![clipped.into()])
}

/// Before operator set 7 there is one slope, or one per channel.
fn prelu(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let (x, mut slope) = (call.data(0)?, call.data(1)?);
    if call.opset < 7 && slope.len() > 1 {
        slope = trailing(slope, x.shape.len(), 1)?;
    }
    Ok(vec![binary(call, BinaryKind::Prelu, x, slope)?.into()])
}

/// An operand that stands from dimension `at` of the other on, with dimensions of size 1 at its end.
fn trailing(y: HostTensor, rank: usize, at: usize) -> Result<HostTensor> {
    let ones = rank.checked_sub(at).and_then(|rest| rest.checked_sub(y.shape.len()));
    let ones = ones.ok_or_else(|| Fault::malformed(format!("{:?} at dimension {at} of {rank}", y.shape)))?;
    let shape = [&y.shape[..], &vec![1; ones]].concat();
    reshaped(y, &shape)
}

/// The operands of an operation that broadcasts by NumPy's rule; before operator set 7 only if told so, and then the second
/// one stands from the dimension `axis` of the first on, by default at its end.
fn operands(call: &Call<'_>) -> Result<[HostTensor; 2]> {
    let (x, mut y) = (call.data(0)?, call.data(1)?);
    if call.opset < 7 {
        if !call.flag("broadcast", false)? && x.shape != y.shape {
            return Err(Fault::malformed(format!("{:?} and {:?} without broadcast", x.shape, y.shape)));
        }
        if let Some(at) = call.maybe_int("axis")? {
            y = trailing(y, x.shape.len(), axis(at, x.shape.len())?)?;
        }
    }
    Ok([x, y])
}

fn arithmetic(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let kind = match call.op_type() {
        "Add" => BinaryKind::Add,
        "Sub" => BinaryKind::Sub,
        "Mul" => BinaryKind::Mul,
        _ => BinaryKind::Div,
    };
    let [x, y] = operands(call)?;
    Ok(vec![binary(call, kind, x, y)?.into()])
}

/// Whole exponents of floats become floats on the host, as long as these hold them.
fn pow(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let [x, y] = operands(call)?;
    let y = match (&x.data, &y.data) {
        (HostData::F32(_), HostData::I32(_) | HostData::U32(_)) => {
            let exponents: Vec<f32> = (0..y.len()).map(|i| y.at(i) as f32).collect();
            if (0..y.len()).any(|i| f64::from(exponents[i]) != y.at(i)) {
                return Err(Fault::Unsupported(format!("{} exponents beyond those of f32", y.dtype())));
            }
            HostTensor::new(&y.shape, &exponents)?
        }
        _ => y,
    };
    Ok(vec![binary(call, BinaryKind::Pow, x, y)?.into()])
}

/// Any number of operands, one after the other; a single one is the result.
fn several(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let kind = match call.op_type() {
        "Max" => BinaryKind::Max,
        "Min" => BinaryKind::Min,
        _ => BinaryKind::Add,
    };
    let operands = call.all_data()?;
    let count = operands.len();
    let mut operands = operands.into_iter();
    let first = operands.next().ok_or_else(|| Fault::malformed("no operands"))?;
    let mut result = operands.try_fold(first, |result, operand| binary(call, kind, result, operand))?;
    if call.op_type() == "Mean" {
        result = binary(call, BinaryKind::Div, result, scalar(count as f32)?)?;
    }
    Ok(vec![result.into()])
}

/// In training x's own mean and variance are taken, and the running ones are outputs 1 and 2.
fn batch_norm(call: &Call<'_>) -> Result<Vec<Tensor>> {
    let op = BatchNorm { epsilon: call.float("epsilon", 1e-5)?, ..Default::default() };
    let inputs = (0..5).map(|index| call.data(index)).collect::<Result<Vec<_>>>()?;
    if call.opset < 9 && !call.flag("spatial", true)? {
        return Err(Fault::NotYet("BatchNormalization of each place".into()));
    }
    if !call.flag("training_mode", false)? {
        return Ok(vec![call.apply(&op, &inputs)?.into()]);
    }
    let [x, weight, bias, running @ ..] =
        <[HostTensor; 5]>::try_from(inputs).map_err(|_| Fault::malformed("inputs"))?;
    let dims: Vec<usize> = (0..x.shape.len()).filter(|&dim| dim != 1).collect();
    let mean_of = Reduce { kind: ReduceKind::Mean, dims, ..Default::default() };
    let mean = call.apply(&mean_of, std::slice::from_ref(&x))?;
    let centre = trailing(mean.clone(), x.shape.len(), 1)?;
    let centred = binary(call, BinaryKind::Sub, x.clone(), centre)?;
    let squares = binary(call, BinaryKind::Mul, centred.clone(), centred)?;
    let variance = call.apply(&mean_of, &[squares])?;
    let y = call.apply(&op, &[x, weight, bias, mean.clone(), variance.clone()])?;
    let momentum = call.float("momentum", 0.9)?;
    let mut outputs = vec![y.into()];
    for (old, new) in running.into_iter().zip([mean, variance]) {
        let old = binary(call, BinaryKind::Mul, old, scalar(momentum)?)?;
        let new = binary(call, BinaryKind::Mul, new, scalar(1.0 - momentum)?)?;
        outputs.push(binary(call, BinaryKind::Add, old, new)?.into());
    }
    Ok(outputs)
}
