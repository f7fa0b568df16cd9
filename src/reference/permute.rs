//! The twin of [`Permute`].

use crate::error::Result;
use crate::layout::Layout;
use crate::op::Op;
use crate::op::permute::Permute;
use crate::reference::{Expected, HostTensor, Select, Twin, Value};

impl Twin for Permute {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let layouts: Vec<Layout> = inputs.iter().map(HostTensor::layout).collect();
        let shape = self.infer(&layouts)?.swap_remove(0).shape;
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
