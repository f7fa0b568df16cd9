//! Running tilewise's ops on values of the host, each checked by its CPU twin.

use std::cell::Cell;

use tilewise::reference::{HostTensor, Twin};
use tilewise::{Gpu, Operand, verify};

use crate::fault::{Fault, Result};

/// A device that runs single ops.
pub struct Device<'a> {
    gpu: &'a Gpu,
    runs: Cell<usize>,
}

impl<'a> Device<'a> {
    /// Runs on a device.
    pub fn new(gpu: &'a Gpu) -> Self {
        Device { gpu, runs: Cell::new(0) }
    }

    /// How many ops ran, each of which agreed with its twin.
    pub fn runs(&self) -> usize {
        self.runs.get()
    }

    /// Runs an op; its twin has to agree with it on these inputs.
    ///
    /// # Errors
    /// [`Fault::Unsupported`] for a refused element type, [`Fault::Failed`] for anything else refused, and where the twin
    /// does not agree.
    pub fn apply(&self, op: &dyn Twin, inputs: &[HostTensor]) -> Result<Vec<HostTensor>> {
        let report = verify::op(self.gpu, op, inputs)?;
        if !report.passed() {
            return Err(Fault::Failed(format!("disagrees with its twin: {report}")));
        }
        let operands = inputs.iter().map(|input| self.gpu.upload(input)).collect::<tilewise::Result<Vec<_>>>()?;
        let operands: Vec<&dyn Operand> = operands.iter().map(|operand| operand as &dyn Operand).collect();
        let outputs = self.gpu.apply_all(op, &operands)?;
        self.runs.set(self.runs.get() + 1);
        Ok(outputs.iter().map(|output| self.gpu.download_any(output)).collect::<tilewise::Result<_>>()?)
    }

    /// Runs an op and gives the first of its outputs.
    ///
    /// # Errors
    /// As for [`apply`](Device::apply).
    pub fn one(&self, op: &dyn Twin, inputs: &[HostTensor]) -> Result<HostTensor> {
        self.apply(op, inputs)?.into_iter().next().ok_or_else(|| Fault::Failed("no output".into()))
    }
}

/// The same elements in another shape.
///
/// # Errors
/// [`Fault::Malformed`] if the shape holds another number of elements.
pub fn reshaped(tensor: HostTensor, shape: &[usize]) -> Result<HostTensor> {
    if shape.iter().product::<usize>() != tensor.len() {
        return Err(Fault::malformed(format!("{:?} cannot take the shape {shape:?}", tensor.shape)));
    }
    Ok(HostTensor { shape: shape.to_vec(), ..tensor })
}
