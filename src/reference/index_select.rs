//! The twin of [`IndexSelect`].

use crate::error::Result;
use crate::layout::count;
use crate::op::Op;
use crate::op::index_select::IndexSelect;
use crate::reference::{Expected, HostTensor, Select, Twin, Value, layouts};

impl Twin for IndexSelect {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        let shape = self.infer(&layouts(inputs))?.swap_remove(0).shape;
        let x = &inputs[0];
        let inner = count(&x.shape[self.axis + 1..]);
        Ok(vec![Expected::compute(&shape, x.dtype(), select, |flat| {
            let (outer, slice) = (flat / inner / shape[self.axis], flat / inner % shape[self.axis]);
            Value::exact(x.at((outer * x.shape[self.axis] + self.indices[slice]) * inner + flat % inner))
        })])
    }
}
