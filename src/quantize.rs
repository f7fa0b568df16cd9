//! Quantized tensors: weights and activations on the device in few bits, with their scales and zero points beside.

pub(crate) mod calibrate;

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::layout::{DType, Element, Layout, count};
use crate::op::Op;
use crate::op::conv2d::Conv2d;
use crate::op::matmul::Matmul;
use crate::op::quantize::{
    Dequantize, DynamicQuantize, Granularity, PackValues, QuantLayout, QuantScheme, QuantType, Quantize, UnpackValues,
};
use crate::op::quantized::{QuantizedConv2d, QuantizedMatmul};
use crate::tensor::{AnyTensor, Operand, Tensor};

const OP: &str = "quantize";

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

/// A quantized tensor as other programs have it: row-major tensors of values, scales and zero points.
#[derive(Clone, Debug)]
pub struct PlainQuantized {
    /// A byte each, u8 of uint8 and else i8: int4 values from -8 to 7, binary ones -1 or 1.
    pub values: AnyTensor,
    /// f32 or f16, of the shape of [`QuantLayout::scales`].
    pub scales: AnyTensor,
    /// Of the type of the values and the shape of the scales; none of a symmetric scheme.
    pub zeros: Option<AnyTensor>,
}

/// The error of a quantized tensor that contradicts itself.
fn corrupt(layout: &QuantLayout, detail: String) -> Error {
    Error::Corrupt { what: format!("a tensor quantized as {} {:?}", layout.scheme, layout.shape), detail }
}

/// Floats of a type as f32.
fn floats(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    match dtype {
        DType::F16 => bytemuck::pod_collect_to_vec::<u8, half::f16>(bytes).iter().map(|half| half.to_f32()).collect(),
        _ => bytemuck::pod_collect_to_vec(bytes),
    }
}

/// Refuses scales that are not positive, normal numbers of their type.
fn check_scales(layout: &QuantLayout, scales: &[f32]) -> Result<()> {
    let (least, most) = match layout.scheme.scales {
        DType::F16 => (half::f16::MIN_POSITIVE.to_f32(), half::f16::MAX.to_f32()),
        _ => (f32::MIN_POSITIVE, f32::MAX),
    };
    match scales.iter().position(|scale| !(least..=most).contains(scale)) {
        Some(at) => {
            let detail =
                format!("scale {at} is {:e}, which is no positive, normal {}", scales[at], layout.scheme.scales);
            Err(corrupt(layout, detail))
        }
        None => Ok(()),
    }
}

/// Refuses zero points that are no values of the type.
fn check_zeros(layout: &QuantLayout, zeros: &[i32]) -> Result<()> {
    let [low, high] = layout.scheme.values.range();
    match zeros.iter().position(|zero| !(low..=high).contains(zero)) {
        Some(at) => {
            let detail = format!("zero point {at} is {}, which is not from {low} to {high}", zeros[at]);
            Err(corrupt(layout, detail))
        }
        None => Ok(()),
    }
}

/// Bytes as the whole numbers that a type's zero points are.
fn signed(values: QuantType, bytes: &[u8]) -> Vec<i32> {
    let number = |&byte: &u8| if values == QuantType::U8 { i32::from(byte) } else { i32::from(byte as i8) };
    bytes.iter().map(number).collect()
}

/// Words of bytes, zero bytes behind the last.
fn word_tensor(gpu: &Gpu, bytes: &[u8]) -> Result<AnyTensor> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let words: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes);
    Ok(gpu.tensor(&[words.len()], &words)?.any().clone())
}

/// Scales on the device, as their type has them.
fn scale_tensor(gpu: &Gpu, layout: &QuantLayout, scales: &[f32]) -> Result<AnyTensor> {
    let shape = layout.scales()?;
    if scales.len() != count(&shape) {
        return Err(Error::Length { shape, found: scales.len() });
    }
    Ok(match layout.scheme.scales {
        DType::F16 => {
            let halves: Vec<half::f16> = scales.iter().map(|&scale| half::f16::from_f32(scale)).collect();
            gpu.tensor(&shape, &halves)?.any().clone()
        }
        _ => gpu.tensor(&shape, scales)?.any().clone(),
    })
}

fn as_operands(planes: &[AnyTensor]) -> Vec<&dyn Operand> {
    planes.iter().map(|plane| plane as &dyn Operand).collect()
}

impl QuantizedTensor {
    /// Quantizes weights, f32 or f16, by scales and zero points of their own range, as [`DynamicQuantize`] tells. Waits for nothing.
    ///
    /// # Errors
    /// What [`QuantLayout::new`] refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn quantize(gpu: &Gpu, weights: &dyn Operand, scheme: QuantScheme) -> Result<Self> {
        let layout = QuantLayout::new(scheme, weights.any().shape())?;
        let planes = gpu.apply_all(&DynamicQuantize { layout: layout.clone() }, &[weights])?;
        Ok(QuantizedTensor { layout, planes })
    }

    /// Quantizes weights by scales and zero points that were found otherwise, by calibration or in training; in the order of
    /// [`QuantLayout::scales`]. Zero points of a symmetric scheme are none. Where scales are kept as f16 they are rounded to it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for scales that are not positive, normal numbers and zero points that are no values, [`Error::Length`] for another
    /// number of them, what [`QuantLayout::new`] refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn with_scales(
        gpu: &Gpu,
        weights: &dyn Operand,
        scheme: QuantScheme,
        scales: &[f32],
        zeros: &[i32],
    ) -> Result<Self> {
        let layout = QuantLayout::new(scheme, weights.any().shape())?;
        let rounded: Vec<f32> = match scheme.scales {
            DType::F16 => scales.iter().map(|&scale| half::f16::from_f32(scale).to_f32()).collect(),
            _ => scales.to_vec(),
        };
        check_scales(&layout, &rounded)?;
        check_zeros(&layout, zeros)?;
        let expected = if scheme.symmetric { vec![0] } else { layout.scales()? };
        if zeros.len() != count(&expected) {
            return Err(Error::Length { shape: expected, found: zeros.len() });
        }
        let mut planes = vec![scale_tensor(gpu, &layout, &rounded)?];
        if !scheme.symmetric {
            planes.push(word_tensor(gpu, &zeros.iter().map(|&zero| zero as u8).collect::<Vec<u8>>())?);
        }
        let mut inputs = vec![weights];
        inputs.extend(as_operands(&planes));
        let values = gpu.apply_all(&Quantize { layout: layout.clone() }, &inputs)?;
        planes.splice(0..0, values);
        Ok(QuantizedTensor { layout, planes })
    }

    /// A quantized tensor of planes from elsewhere, as [`QuantLayout::planes`] lists them; they are downloaded and checked.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for scales that are not positive, normal numbers, for zero points that are no values, and for bits that are set where
    /// no value is; [`Error::Shape`], [`Error::DType`] and [`Error::Count`] for planes that are not those of the layout.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_planes(gpu: &Gpu, layout: QuantLayout, planes: Vec<AnyTensor>) -> Result<Self> {
        pollster::block_on(QuantizedTensor::check(gpu, layout, planes, true))
    }

    /// As [`from_planes`](QuantizedTensor::from_planes), without blocking.
    ///
    /// # Errors
    /// As for [`from_planes`](QuantizedTensor::from_planes).
    pub async fn from_planes_async(gpu: &Gpu, layout: QuantLayout, planes: Vec<AnyTensor>) -> Result<Self> {
        QuantizedTensor::check(gpu, layout, planes, false).await
    }

    async fn check(gpu: &Gpu, layout: QuantLayout, planes: Vec<AnyTensor>, block: bool) -> Result<Self> {
        let layouts: Vec<Layout> = planes.iter().map(AnyTensor::layout).collect();
        Dequantize { layout: layout.clone(), output: DType::F32 }.infer(&layouts)?;
        check_scales(&layout, &floats(layout.scheme.scales, &gpu.bytes(&planes[1], block).await?))?;
        if let Some(plane) = planes.get(2) {
            let bytes = gpu.bytes(plane, block).await?;
            let (zeros, behind) = bytes.split_at(count(&layout.scales()?));
            check_zeros(&layout, &signed(layout.scheme.values, zeros))?;
            if behind.iter().any(|&byte| byte != 0) {
                return Err(corrupt(&layout, format!("behind the last zero point lies {behind:02x?}")));
            }
        }
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&gpu.bytes(&planes[0], block).await?);
        check_padding(&layout, &words)?;
        Ok(QuantizedTensor { layout, planes })
    }

    /// A quantized tensor of plain ones, such as ONNX and PyTorch have: exact. Scales and zero points are downloaded and checked, and
    /// values of less than a byte.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for scales that are not positive, normal numbers, and for zero points and values that are not of the type;
    /// [`Error::Shape`], [`Error::DType`] and [`Error::Count`] for tensors that do not fit the scheme, and what [`QuantLayout::new`] refuses.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_plain(gpu: &Gpu, scheme: QuantScheme, plain: &PlainQuantized) -> Result<Self> {
        pollster::block_on(QuantizedTensor::convert(gpu, scheme, plain, true))
    }

    /// As [`from_plain`](QuantizedTensor::from_plain), without blocking.
    ///
    /// # Errors
    /// As for [`from_plain`](QuantizedTensor::from_plain).
    pub async fn from_plain_async(gpu: &Gpu, scheme: QuantScheme, plain: &PlainQuantized) -> Result<Self> {
        QuantizedTensor::convert(gpu, scheme, plain, false).await
    }

    async fn convert(gpu: &Gpu, scheme: QuantScheme, plain: &PlainQuantized, block: bool) -> Result<Self> {
        let PlainQuantized { values, scales, zeros } = plain;
        let layout = QuantLayout::new(scheme, values.shape())?;
        let (byte, shape) = (scheme.values.byte(), layout.scales()?);
        if zeros.is_some() == scheme.symmetric {
            let expected = if scheme.symmetric { "0" } else { "1" }.into();
            let found = usize::from(zeros.is_some());
            return Err(Error::Count { op: OP, what: "tensors of zero points", expected, found });
        }
        let named = [("scales", Some(scales), scheme.scales), ("zero points", zeros.as_ref(), byte)];
        for (name, tensor, dtype) in named {
            let Some(tensor) = tensor else { continue };
            if tensor.dtype() != dtype {
                let (expected, found) = (dtype.to_string(), tensor.dtype());
                return Err(Error::DType { op: OP, operand: name.into(), expected, found });
            }
            if tensor.shape() != shape {
                let detail = format!("{name} of {scheme} {:?} are {shape:?}, not {:?}", values.shape(), tensor.shape());
                return Err(Error::Shape { op: OP, detail });
            }
        }
        check_scales(&layout, &floats(scheme.scales, &gpu.bytes(scales, block).await?))?;
        let kept = if scheme.values.bits() < 8 && values.dtype() == byte {
            signed(scheme.values, &gpu.bytes(values, block).await?)
        } else {
            Vec::new()
        };
        let [low, high] = scheme.values.range();
        let fits = |value: i32| (low..=high).contains(&value) && (scheme.values != QuantType::Binary || value != 0);
        if let Some(at) = kept.iter().position(|&value| !fits(value)) {
            return Err(corrupt(&layout, format!("value {at} is {}", kept[at])));
        }
        let mut planes = gpu.apply_all(&PackValues { layout: layout.clone() }, &[values])?;
        planes.push(scales.clone());
        if let Some(zeros) = zeros {
            let bytes = gpu.bytes(zeros, block).await?;
            check_zeros(&layout, &signed(scheme.values, &bytes))?;
            planes.push(word_tensor(gpu, &bytes)?);
        }
        Ok(QuantizedTensor { layout, planes })
    }

    /// The tensor as plain ones: exact. The scales share memory with it, and so do the zero points.
    ///
    /// # Errors
    /// Those of [`apply_all`](Gpu::apply_all).
    pub fn to_plain(&self, gpu: &Gpu) -> Result<PlainQuantized> {
        let unpack = UnpackValues { layout: self.layout.clone() };
        let values = gpu.apply_all(&unpack, &[&self.planes[0]])?.swap_remove(0);
        let scales = self.planes[1].clone();
        let zeros = self.planes.get(2).map(|plane| {
            let shape = self.planes[1].shape();
            AnyTensor::new(plane.storage().clone(), plane.byte_offset(), shape, self.layout.scheme.values.byte())
        });
        Ok(PlainQuantized { values, scales, zeros })
    }

    /// The numbers that the values stand for, f32 or f16.
    ///
    /// # Errors
    /// [`Error::Option`] for another type, and those of [`apply_all`](Gpu::apply_all).
    pub fn dequantize(&self, gpu: &Gpu, output: DType) -> Result<AnyTensor> {
        let op = Dequantize { layout: self.layout.clone(), output };
        Ok(gpu.apply_all(&op, &as_operands(&self.planes))?.swap_remove(0))
    }

    /// What a plan knows of it.
    pub fn layout(&self) -> &QuantLayout {
        &self.layout
    }

    /// The planes, as [`QuantLayout::planes`] lists them: the inputs of ops.
    pub fn planes(&self) -> &[AnyTensor] {
        &self.planes
    }

    /// The inputs of an op with quantized weights: x, the planes, and perhaps an addend.
    pub fn inputs<'a>(&'a self, x: &'a dyn Operand, addend: Option<&'a dyn Operand>) -> Vec<&'a dyn Operand> {
        [x].into_iter().chain(as_operands(&self.planes)).chain(addend).collect()
    }

    /// Bytes on the device, of values, scales and zero points.
    pub fn bytes(&self) -> u64 {
        self.planes.iter().map(|plane| plane.layout().bytes()).sum()
    }
}

/// Refuses bits behind the last value of a row.
fn check_padding(layout: &QuantLayout, words: &[u32]) -> Result<()> {
    let ([_, columns], pitch) = (layout.matrix()?, layout.pitch()?);
    let (bits, per_word) = (layout.scheme.values.bits(), layout.scheme.values.per_word());
    for (at, &word) in words.iter().enumerate() {
        let held = columns.saturating_sub(at % pitch * per_word).min(per_word);
        if u64::from(word) >> (held * bits) != 0 {
            let (row, word_of_row) = (at / pitch, at % pitch);
            let detail = format!("word {word_of_row} of row {row} is {word:08x}, and holds {held} values");
            return Err(corrupt(layout, detail));
        }
    }
    Ok(())
}

/// The blocks of ggml: 32 neighbours of a row, with a scale of f16 before their values.
mod ggml {
    use super::{Granularity, QuantScheme, QuantType};
    use crate::layout::DType;

    /// Values of a block.
    pub const BLOCK: usize = 32;
    /// Bytes of a scale.
    pub const SCALE: usize = 2;

    /// The scheme of blocks of a type.
    pub fn scheme(values: QuantType, scales: DType) -> QuantScheme {
        QuantScheme { values, granularity: Granularity::Block(BLOCK), symmetric: true, scales }
    }

    /// The values of a block as the crate has them: of Q4_0, whose byte j holds the values j and j + 16 with 8 added, as int4 in order.
    pub fn values(values: QuantType, block: &[u8]) -> Vec<u8> {
        if values == QuantType::I8 {
            return block.to_vec();
        }
        let value = |at: usize| (block[at % 16] >> (4 * (at / 16)) & 15) ^ 8;
        (0..BLOCK / 2).map(|byte| value(2 * byte) | value(2 * byte + 1) << 4).collect()
    }

    /// The values of a block as ggml has them.
    pub fn block(values: QuantType, own: &[u8]) -> Vec<u8> {
        if values == QuantType::I8 {
            return own.to_vec();
        }
        let value = |at: usize| (own[at / 2] >> (4 * (at % 2)) & 15) ^ 8;
        (0..BLOCK / 2).map(|byte| value(byte) | value(byte + 16) << 4).collect()
    }
}

/// Conversion from and to ggml's blocks of 32 neighbours along the last of the reduction axes, byte for byte.
///
/// Sources: `block_q8_0` and `block_q4_0` of ggml's `ggml-common.h`. Scales of ggml may be 0, negative or subnormal: they are kept as they are,
/// as f32 where one is subnormal in f16, which devices may take for 0.
impl QuantizedTensor {
    /// Weights of this shape from blocks of Q8_0: an f16 scale and 32 signed bytes each, 34 bytes.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for another number of bytes than the shape's and for scales that are no numbers, [`Error::Option`] for rows that are no
    /// whole number of blocks, and those of [`tensor`](Gpu::tensor).
    pub fn from_q8_0(gpu: &Gpu, shape: &[usize], bytes: &[u8]) -> Result<Self> {
        QuantizedTensor::from_ggml(gpu, QuantType::I8, shape, bytes)
    }

    /// Weights of this shape from blocks of Q4_0: an f16 scale and 32 values of four bits each, 18 bytes. `x = (q - 8) * scale`.
    ///
    /// # Errors
    /// As for [`from_q8_0`](QuantizedTensor::from_q8_0).
    pub fn from_q4_0(gpu: &Gpu, shape: &[usize], bytes: &[u8]) -> Result<Self> {
        QuantizedTensor::from_ggml(gpu, QuantType::I4, shape, bytes)
    }

    fn from_ggml(gpu: &Gpu, values: QuantType, shape: &[usize], bytes: &[u8]) -> Result<Self> {
        let layout = QuantLayout::new(ggml::scheme(values, DType::F16), shape)?;
        let blocks = ggml_blocks(&layout)?;
        let size = ggml::SCALE + ggml::BLOCK / 8 * values.bits();
        if bytes.len() != blocks * size {
            let detail = format!("{} bytes for {blocks} blocks of {size}", bytes.len());
            return Err(corrupt(&layout, detail));
        }
        let (mut scales, mut held) = (Vec::with_capacity(blocks), Vec::with_capacity(bytes.len()));
        for block in bytes.chunks(size) {
            scales.push(half::f16::from_le_bytes([block[0], block[1]]));
            held.extend(ggml::values(values, &block[ggml::SCALE..]));
        }
        if let Some(at) = scales.iter().position(|scale| !scale.is_finite()) {
            return Err(corrupt(&layout, format!("the scale of block {at} is {}", scales[at])));
        }
        let subnormal = |scale: &half::f16| scale.classify() == std::num::FpCategory::Subnormal;
        let kept = if scales.iter().any(subnormal) { DType::F32 } else { DType::F16 };
        let layout = QuantLayout { scheme: ggml::scheme(values, kept), ..layout };
        let scales: Vec<f32> = scales.iter().map(|scale| scale.to_f32()).collect();
        let [rows, _] = layout.matrix()?;
        let words = word_tensor(gpu, &held)?.reshape(&[rows, layout.pitch()?])?;
        let planes = vec![words, scale_tensor(gpu, &layout, &scales)?];
        Ok(QuantizedTensor { layout, planes })
    }

    /// The weights as blocks of Q8_0.
    ///
    /// # Errors
    /// [`Error::Option`] for another scheme than symmetric int8 in blocks of 32, for rows that are no whole number of blocks, and for scales that
    /// f16 does not hold; those of [`download`](Gpu::download).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_q8_0(&self, gpu: &Gpu) -> Result<Vec<u8>> {
        pollster::block_on(self.to_ggml(gpu, QuantType::I8, true))
    }

    /// As [`to_q8_0`](QuantizedTensor::to_q8_0), without blocking.
    ///
    /// # Errors
    /// As for [`to_q8_0`](QuantizedTensor::to_q8_0).
    pub async fn to_q8_0_async(&self, gpu: &Gpu) -> Result<Vec<u8>> {
        self.to_ggml(gpu, QuantType::I8, false).await
    }

    /// The weights as blocks of Q4_0.
    ///
    /// # Errors
    /// As for [`to_q8_0`](QuantizedTensor::to_q8_0), of int4.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_q4_0(&self, gpu: &Gpu) -> Result<Vec<u8>> {
        pollster::block_on(self.to_ggml(gpu, QuantType::I4, true))
    }

    /// As [`to_q4_0`](QuantizedTensor::to_q4_0), without blocking.
    ///
    /// # Errors
    /// As for [`to_q4_0`](QuantizedTensor::to_q4_0).
    pub async fn to_q4_0_async(&self, gpu: &Gpu) -> Result<Vec<u8>> {
        self.to_ggml(gpu, QuantType::I4, false).await
    }

    async fn to_ggml(&self, gpu: &Gpu, values: QuantType, block: bool) -> Result<Vec<u8>> {
        let scheme = self.layout.scheme;
        if ggml::scheme(values, scheme.scales) != scheme {
            let requirement = "symmetric, of ggml's type, in blocks of 32";
            return Err(Error::Option { op: OP, option: "scheme", value: scheme.to_string(), requirement });
        }
        ggml_blocks(&self.layout)?;
        let held = gpu.bytes(&self.planes[0], block).await?;
        let scales = floats(scheme.scales, &gpu.bytes(&self.planes[1], block).await?);
        let mut bytes = Vec::new();
        for (own, scale) in held.chunks(ggml::BLOCK / 8 * values.bits()).zip(scales) {
            let half = half::f16::from_f32(scale);
            if half.to_f32() != scale {
                let value = format!("{scale:e}");
                return Err(Error::Option { op: OP, option: "scales", value, requirement: "f16 holds them" });
            }
            bytes.extend(half.to_le_bytes());
            bytes.extend(ggml::block(values, own));
        }
        Ok(bytes)
    }
}

/// The blocks of a tensor whose rows they fill.
fn ggml_blocks(layout: &QuantLayout) -> Result<usize> {
    let [rows, columns] = layout.matrix()?;
    if !columns.is_multiple_of(ggml::BLOCK) {
        let value = format!("{columns} columns");
        return Err(Error::Option { op: OP, option: "shape", value, requirement: "rows of whole blocks of 32" });
    }
    Ok(rows * (columns / ggml::BLOCK))
}

impl PlainQuantized {
    /// Of tensors of known types.
    pub fn new<V: Element, S: Element>(values: &Tensor<V>, scales: &Tensor<S>, zeros: Option<&Tensor<V>>) -> Self {
        let any = |operand: &dyn Operand| operand.any().clone();
        PlainQuantized { values: any(values), scales: any(scales), zeros: zeros.map(|zeros| any(zeros)) }
    }
}

/// Ops with quantized weights and f32 activations.
impl Gpu {
    /// `W x`, of weights `(rows, columns)` and x `(..., columns, n)`; see [`QuantizedMatmul`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn quantized_matmul(&self, weight: &QuantizedTensor, x: &Tensor<f32>) -> Result<Tensor<f32>> {
        let op = QuantizedMatmul { weight: weight.layout().clone(), linear: false, options: Matmul::default() };
        self.apply(&op, &weight.inputs(x, None))
    }

    /// The linear layer `x Wᵀ + bias`, of x `(..., n, columns)`; see [`QuantizedMatmul`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn quantized_linear(
        &self,
        x: &Tensor<f32>,
        weight: &QuantizedTensor,
        bias: Option<&Tensor<f32>>,
    ) -> Result<Tensor<f32>> {
        let op = QuantizedMatmul { weight: weight.layout().clone(), linear: true, options: Matmul::default() };
        self.apply(&op, &weight.inputs(x, bias.map(|bias| bias as &dyn Operand)))
    }

    /// The convolution of `x` with quantized filters; see [`QuantizedConv2d`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn quantized_conv2d(
        &self,
        options: &Conv2d,
        x: &Tensor<f32>,
        weight: &QuantizedTensor,
        bias: Option<&Tensor<f32>>,
    ) -> Result<Tensor<f32>> {
        let op = QuantizedConv2d { weight: weight.layout().clone(), options: *options };
        self.apply(&op, &weight.inputs(x, bias.map(|bias| bias as &dyn Operand)))
    }
}
