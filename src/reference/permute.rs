//! The twin of [`Permute`].

use crate::error::Result;
use crate::op::Op;
use crate::op::permute::Permute;
use crate::reference::{Expected, HostTensor, Select, Twin, Value, layouts};

impl Twin for Permute {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let shape = self.infer(&layouts(inputs))?.swap_remove(0).shape;
        let x = &inputs[0];
        Ok(vec![Expected::compute(&shape, x.dtype(), select, |flat| {
            let mut index = vec![0; shape.len()];
            let mut rest = flat;
            for (i, &dim) in self.dims.iter().enumerate().rev() {
                index[dim] = rest % shape[i];
                rest /= shape[i];
            }
            Value::exact(x.at(index.iter().zip(&x.shape).fold(0, |at, (&i, &size)| at * size + i)))
        })])
    }
}
