//! Running tilewise's ops on values of the host, each checked by its CPU twin.

use std::cell::Cell;

use tilewise::reference::{HostTensor, Twin};
use tilewise::{AnyTensor, DType, Gpu, Operand, verify};

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
        let operands = inputs.iter().map(|input| self.upload(input)).collect::<Result<Vec<_>>>()?;
        let operands: Vec<&dyn Operand> = operands.iter().map(|operand| operand as &dyn Operand).collect();
        let outputs = self.gpu.apply_all(op, &operands)?;
        self.runs.set(self.runs.get() + 1);
        outputs.into_iter().map(|output| self.download(output)).collect()
    }

    /// Runs an op and gives the first of its outputs.
    ///
    /// # Errors
    /// As for [`apply`](Device::apply).
    pub fn one(&self, op: &dyn Twin, inputs: &[HostTensor]) -> Result<HostTensor> {
        self.apply(op, inputs)?.into_iter().next().ok_or_else(|| Fault::Failed("no output".into()))
    }

    fn upload(&self, tensor: &HostTensor) -> Result<AnyTensor> {
        use tilewise::reference::HostData::{F32, I8, I32, U8, U32};
        Ok(match &tensor.data {
            F32(elements) => self.gpu.tensor(&tensor.shape, elements)?.into(),
            I32(elements) => self.gpu.tensor(&tensor.shape, elements)?.into(),
            I8(elements) => self.gpu.tensor(&tensor.shape, elements)?.into(),
            U8(elements) => self.gpu.tensor(&tensor.shape, elements)?.into(),
            U32(elements) => self.gpu.tensor(&tensor.shape, elements)?.into(),
            _ => return Err(Fault::Unsupported(format!("{} data", tensor.dtype()))),
        })
    }

    fn download(&self, tensor: AnyTensor) -> Result<HostTensor> {
        let shape = tensor.shape().to_vec();
        Ok(match tensor.dtype() {
            DType::F32 => HostTensor::new(&shape, &self.gpu.download(&tensor.typed::<f32>()?)?)?,
            DType::I32 => HostTensor::new(&shape, &self.gpu.download(&tensor.typed::<i32>()?)?)?,
            DType::U32 => HostTensor::new(&shape, &self.gpu.download(&tensor.typed::<u32>()?)?)?,
            DType::I8 => HostTensor::new(&shape, &self.gpu.download(&tensor.typed::<i8>()?)?)?,
            DType::U8 => HostTensor::new(&shape, &self.gpu.download(&tensor.typed::<u8>()?)?)?,
            other => return Err(Fault::Unsupported(format!("{other} data"))),
        })
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
