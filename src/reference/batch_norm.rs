//! The twin of [`BatchNorm`].

use crate::error::Result;
use crate::op::Op;
use crate::op::batch_norm::BatchNorm;
use crate::reference::activation::activate;
use crate::reference::{Expected, HostTensor, Select, TINY, Twin, U, ULP, Value, layouts, perhaps_flushed};

impl BatchNorm {
    /// An element before its activation.
    fn normalize(&self, [x, weight, bias, mean, variance]: [f64; 5]) -> Value {
        let scale = weight / (variance + f64::from(self.epsilon)).sqrt();
        let scaled = (x - mean) * scale;
        let value = scaled + bias;
        // The difference, the sum under the root (which the root halves), the root's 2 ulp, two products; then the sum.
        let relative = U + 0.5 * U + 2.0 * ULP + 2.0 * U;
        let own = scaled.abs() * relative * (1.0 + 8.0 * U) + U * value.abs() + TINY;
        // A flushed product of weight and root is lost before it meets x - mean.
        let normalized = Value::within(value, own + (x - mean).abs() * TINY);
        // What overflows on the way is infinite, whatever comes after; the root of what may be flushed is anything.
        let overflows =
            [x - mean, scale, scaled].iter().any(|part| part.is_finite() && part.abs() >= f64::from(f32::MAX));
        let flushed = variance + f64::from(self.epsilon) < TINY;
        if overflows || flushed { Value::undecided(value) } else { normalized }
    }
}

impl Twin for BatchNorm {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let out = self.infer(&layouts(inputs))?.swap_remove(0);
        let plane: usize = out.shape[2..].iter().product();
        Ok(vec![Expected::compute(&out.shape, out.dtype, select, |i| {
            let c = i / plane % out.shape[1];
            let places = [i, c, c, c, c];
            let operands: [[f64; 2]; 5] =
                std::array::from_fn(|n| perhaps_flushed(inputs[n].at(places[n]), inputs[n].dtype()));
            // Each operand as it is, or taken for 0.
            let any = |which: u32| self.normalize(std::array::from_fn(|n| operands[n][which as usize >> n & 1]));
            let flushed = operands.iter().any(|[exactly, flushed]| exactly != flushed);
            let value = (1..if flushed { 1 << 5 } else { 1 }).fold(any(0), |value, which| value.or(any(which)));
            activate(self.activation, value).stored(out.dtype)
        })])
    }
}
