//! Padding and cropping.

use crate::error::{Error, Result};
use crate::family::map::{Argument, Function, Map, Padded, Part};
use crate::layout::{DType, Layout};
use crate::op::precision::ELEMENTS;
use crate::op::{Op, expect_addressable, expect_dtype, expect_inputs, strides};
use crate::problem::Problem;
use crate::reference::Twin;

/// What stands beyond a tensor's edges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PadMode {
    /// This value; for i32 and u32 a whole number in their range.
    Constant(f64),
    /// The mirror image, without repeating the edge; padding is less than the size.
    Reflect,
    /// The element at the edge.
    Replicate,
    /// The tensor again; padding is at most the size.
    Circular,
}

impl Default for PadMode {
    fn default() -> Self {
        PadMode::Constant(0.0)
    }
}

impl PadMode {
    /// The number that the shaders know it by.
    pub(crate) fn code(self) -> u32 {
        match self {
            PadMode::Constant(_) => 0,
            PadMode::Reflect => 1,
            PadMode::Replicate => 2,
            PadMode::Circular => 3,
        }
    }

    /// How many places it can fill beside `size` elements.
    fn reach(self, size: usize) -> usize {
        match self {
            PadMode::Constant(_) => usize::MAX,
            PadMode::Reflect => size.saturating_sub(1),
            PadMode::Replicate if size > 0 => usize::MAX,
            PadMode::Replicate => 0,
            PadMode::Circular => size,
        }
    }
}

/// Pads a tensor, as `torch.nn.functional.pad`, but for the order of the dimensions: outermost first.
///
/// Input: f32, f16, i32 or u32. Output dimension `i` has `before + size + after` elements with `[before, after] = padding[i]`. Negative
/// padding crops. Bits are copied as they are, except that a device may change the payload of a NaN. Refused: padding that the
/// mode cannot fill, and, as [`Error::Limit`](crate::Error::Limit), more than 6 dimensions that remain after neighbours
/// without padding were merged.
///
/// ```no_run
/// use tilewise::{Gpu, Pad, PadMode};
/// let gpu = Gpu::new()?;
/// let x = gpu.tensor(&[3], &[1.0f32, 2.0, 3.0])?;
/// let y = gpu.apply::<f32>(&Pad { padding: vec![[2, 1]], mode: PadMode::Reflect }, &[&x])?;
/// assert_eq!(gpu.download(&y)?, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
/// # Ok::<(), tilewise::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pad {
    /// Places before the first and after the last element, for each dimension of the input.
    pub padding: Vec<[isize; 2]>,
    /// What stands there.
    pub mode: PadMode,
}

const OP: &str = "pad";

impl Pad {
    /// The constant in the bits of an element, or of a word that holds it; 0 for the other modes.
    fn bits(&self, dtype: DType) -> Result<u32> {
        let PadMode::Constant(value) = self.mode else { return Ok(0) };
        let whole = value.fract() == 0.0;
        match dtype {
            DType::I32 if whole && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value) => {
                Ok(value as i32 as u32)
            }
            DType::U32 if whole && (0.0..=f64::from(u32::MAX)).contains(&value) => Ok(value as u32),
            DType::I32 | DType::U32 => Err(Error::Option {
                op: OP,
                option: "mode",
                value: format!("Constant({value:?})"),
                requirement: "must be a number of the input's type",
            }),
            // Kernels take the bits of an f32 that f16 holds.
            DType::F16 => Ok(half::f16::from_f64(value).to_f32().to_bits()),
            _ => Ok((value as f32).to_bits()),
        }
    }
}

impl Op for Pad {
    fn name(&self) -> &'static str {
        OP
    }

    fn as_twin(&self) -> Option<&dyn Twin> {
        Some(self)
    }

    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>> {
        expect_inputs(OP, inputs, 1..=1)?;
        expect_dtype(OP, "x", &inputs[0], ELEMENTS)?;
        self.bits(inputs[0].dtype)?;
        let shape = &inputs[0].shape;
        expect_addressable(OP, "x", shape)?;
        if self.padding.len() != shape.len() {
            let expected = shape.len().to_string();
            return Err(Error::Count { op: OP, what: "pairs of padding", expected, found: self.padding.len() });
        }
        let mut out = Vec::with_capacity(shape.len());
        for (dim, (&size, padding)) in shape.iter().zip(&self.padding).enumerate() {
            let reach = self.mode.reach(size);
            let [before, after] = padding.map(|side| usize::try_from(side).unwrap_or(0));
            let [crop_before, crop_after] = padding.map(|side| if side < 0 { side.unsigned_abs() } else { 0 });
            if before > reach || after > reach || crop_before.saturating_add(crop_after) > size {
                return Err(Error::Shape {
                    op: OP,
                    detail: format!("padding {padding:?} of dimension {dim} of x {shape:?}, mode {:?}", self.mode),
                });
            }
            out.push(size.saturating_add(before).saturating_add(after) - crop_before - crop_after);
        }
        expect_addressable(OP, "output", &out)?;
        Ok(vec![Layout::new(&out, inputs[0].dtype)])
    }

    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem> {
        let (x, out) = (&inputs[0], &outputs[0]);
        let bits = self.bits(x.dtype)?;
        if x.is_empty() {
            // Nothing but padding; a kernel cannot bind an empty input.
            let part = Part { sizes: vec![out.len()], arguments: Vec::new(), start: 0, strides: vec![1] };
            return Ok(Problem::Map(Map { function: Function::Fill(bits), dtype: x.dtype, parts: vec![part] }));
        }
        // Neighbours without padding count as one dimension.
        let mut padded = Padded { sizes: Vec::new(), before: Vec::new(), mode: self.mode, bits };
        let mut sizes: Vec<usize> = Vec::new();
        let mut free = false;
        for (dim, &[before, after]) in self.padding.iter().enumerate() {
            let plain = before == 0 && after == 0;
            match (padded.sizes.last_mut(), sizes.last_mut()) {
                (Some(size), Some(padded_size)) if plain && free => {
                    *size *= x.shape[dim];
                    *padded_size *= out.shape[dim];
                }
                _ => {
                    padded.sizes.push(x.shape[dim]);
                    padded.before.push(before as i64);
                    sizes.push(out.shape[dim]);
                }
            }
            free = plain;
        }
        let (source, target) = (strides(&padded.sizes), strides(&sizes));
        let arguments = vec![Argument { input: 0, strides: source, padding: Some(padded) }];
        let parts = vec![Part { sizes, arguments, start: 0, strides: target }];
        Ok(Problem::Map(Map { function: Function::Copy, dtype: x.dtype, parts }))
    }
}
