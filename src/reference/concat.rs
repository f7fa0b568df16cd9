//! The twin of [`Concat`].

use crate::error::Result;
use crate::layout::count;
use crate::op::Op;
use crate::op::concat::Concat;
use crate::reference::{Expected, HostTensor, Select, Twin, Value, layouts};

impl Twin for Concat {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let out = self.infer(&layouts(inputs))?.swap_remove(0);
        let inner = count(&out.shape[self.dim + 1..]);
        Ok(vec![Expected::compute(&out.shape, out.dtype, select, |flat| {
            let (outer, mut at, last) =
                (flat / inner / out.shape[self.dim], flat / inner % out.shape[self.dim], flat % inner);
            for input in inputs {
                let size = input.shape[self.dim];
                if at < size {
                    return Value::exact(input.at((outer * size + at) * inner + last));
                }
                at -= size;
            }
            Value::exact(f64::NAN)
        })])
    }
}
