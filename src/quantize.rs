//! Quantized tensors: weights and activations on the device in few bits, with their scales and zero points beside.

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::layout::{DType, Layout, count};
use crate::op::Op;
use crate::op::quantize::{Dequantize, DynamicQuantize, Granularity, QuantLayout, QuantScheme, QuantType, Quantize};
use crate::tensor::{AnyTensor, Operand, Tensor};

const OP: &str = "quantize";

/// Values of a block of ggml's.
const GGML_BLOCK: usize = 32;

/// A tensor of few bits a value, with what tells which numbers they stand for.
///
/// ```no_run
/// use tilewise::{DType, Gpu, QuantScheme, QuantizedTensor};
/// let gpu = Gpu::new()?;
/// let weights = gpu.tensor(&[256, 512], &vec![0.5f32; 256 * 512])?;
/// let quantized = QuantizedTensor::quantize(&gpu, &weights, QuantScheme::default())?;
/// println!("{} bytes instead of {}", quantized.bytes(), 4 * 256 * 512);
/// let near = quantized.dequantize(&gpu, DType::F32)?; // (256, 512)
/// # Ok::<(), tilewise::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct QuantizedTensor {
    layout: QuantLayout,
    planes: Vec<AnyTensor>,
}

/// A quantized tensor on the host, as other programs have it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlainQuantized {
    /// The values, row-major: those of int8, int4 and binary (-1 and 1) as they are, those of uint8 as bytes of that sign.
    pub values: Vec<i16>,
    /// The scales, in the order and the number of [`QuantLayout::scales`]; f16 ones as the f32 that they are.
    pub scales: Vec<f32>,
    /// The zero points, as many as scales; none of a symmetric scheme.
    pub zeros: Vec<i16>,
}
