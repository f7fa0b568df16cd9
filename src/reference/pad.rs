//! The twin of [`Pad`].

use crate::error::Result;
use crate::op::Op;
use crate::op::pad::{Pad, PadMode};
use crate::reference::{Expected, HostTensor, Select, Twin, Value};

/// The place in a dimension of `size` elements that is read for a place which may lie beyond; `None` for a constant.
fn source(mode: PadMode, at: i64, size: i64) -> Option<i64> {
    if (0..size).contains(&at) {
        return Some(at);
    }
    match mode {
        PadMode::Constant(_) => None,
        PadMode::Reflect if at < 0 => Some(-at),
        PadMode::Reflect => Some(2 * (size - 1) - at),
        PadMode::Replicate if at < 0 => Some(0),
        PadMode::Replicate => Some(size - 1),
        PadMode::Circular => Some(at.rem_euclid(size)),
    }
}

impl Twin for Pad {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let x = &inputs[0];
        let out = self.infer(&[x.layout()])?.swap_remove(0);
        let constant = match (self.mode, out.dtype) {
            (PadMode::Constant(value), crate::DType::F32) => f64::from(value as f32),
            (PadMode::Constant(value), crate::DType::F16) => half::f16::from_f64(value).into(),
            (PadMode::Constant(value), _) => value,
            _ => 0.0,
        };
        Ok(vec![Expected::compute(&out.shape, out.dtype, select, |flat| {
            let (mut rest, mut scale, mut address) = (flat, 1, 0);
            for dim in (0..out.shape.len()).rev() {
                let at = (rest % out.shape[dim]) as i64 - self.padding[dim][0] as i64;
                rest /= out.shape[dim];
                match source(self.mode, at, x.shape[dim] as i64) {
                    Some(at) => address += at as usize * scale,
                    None => return Value::exact(constant),
                }
                scale *= x.shape[dim];
            }
            Value::exact(x.at(address))
        })])
    }
}
