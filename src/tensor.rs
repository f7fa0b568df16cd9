//! Tensors: dense, row-major arrays in device memory.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::gpu::memory::Storage;
use crate::layout::{DType, Element, Layout, alignment, count};

mod sealed {
    pub trait Sealed {}
}

/// Anything that an op takes as an operand: a [`Tensor`] of any element type, or an [`AnyTensor`].
pub trait Operand: sealed::Sealed {
    /// The tensor without its element type.
    fn any(&self) -> &AnyTensor;
}

/// A tensor whose element type is known at run time only.
#[derive(Clone)]
pub struct AnyTensor {
    storage: Arc<Storage>,
    /// Bytes from the start of the storage.
    offset: u64,
    shape: Vec<usize>,
    dtype: DType,
}

impl sealed::Sealed for AnyTensor {}
impl Operand for AnyTensor {
    fn any(&self) -> &AnyTensor {
        self
    }
}

impl AnyTensor {
    pub(crate) fn new(storage: Arc<Storage>, offset: u64, shape: &[usize], dtype: DType) -> Self {
        AnyTensor { storage, offset, shape: shape.to_vec(), dtype }
    }

    /// A view of a host's buffer, `offset` elements in.
    pub(crate) fn of_buffer(storage: Arc<Storage>, offset: usize, shape: &[usize], dtype: DType) -> Result<Self> {
        let size = dtype.size();
        let start = (offset as u64).saturating_mul(size);
        let bytes = (count(shape) as u64).saturating_mul(size);
        // wgpu sees buffers in words: a tensor that ends inside the last word cannot be bound whole.
        let usable = storage.bytes & !3;
        if start.saturating_add(bytes) > usable {
            return Err(Error::View {
                detail: format!(
                    "{dtype}{shape:?} at element {offset} ends at byte {}, the buffer has {usable}",
                    start.saturating_add(bytes)
                ),
            });
        }
        Ok(AnyTensor::new(storage, start, shape, dtype))
    }

    /// Sizes of the dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        count(&self.shape)
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a plan has to know of the tensor.
    pub fn layout(&self) -> Layout {
        Layout {
            shape: self.shape.clone(),
            dtype: self.dtype,
            align: alignment(self.offset),
            arena: false,
            constant: false,
        }
    }

    /// The same elements in another shape. Copies nothing.
    ///
    /// # Errors
    /// [`Error::Length`] if the shape holds another number of elements.
    pub fn reshape(&self, shape: &[usize]) -> Result<AnyTensor> {
        if count(shape) != self.len() {
            return Err(Error::Length { shape: shape.to_vec(), found: self.len() });
        }
        Ok(AnyTensor { shape: shape.to_vec(), ..self.clone() })
    }

    /// A range of the leading dimension. Copies nothing; the view starts at any element.
    ///
    /// # Errors
    /// [`Error::View`] if the range reaches outside, or the tensor is a scalar.
    pub fn slice(&self, range: Range<usize>) -> Result<AnyTensor> {
        let Some((&rows, rest)) = self.shape.split_first() else {
            return Err(Error::View { detail: "a scalar has no dimension to slice".into() });
        };
        if range.start > range.end || range.end > rows {
            return Err(Error::View {
                detail: format!("{}..{} of {rows} in {:?}", range.start, range.end, self.shape),
            });
        }
        let mut view = self.clone();
        view.offset += range.start as u64 * count(rest) as u64 * self.dtype.size();
        view.shape[0] = range.len();
        Ok(view)
    }

    /// The tensor with its element type.
    ///
    /// # Errors
    /// [`Error::DType`] if the elements are of another type.
    pub fn typed<T: Element>(self) -> Result<Tensor<T>> {
        if self.dtype != T::DTYPE {
            return Err(Error::DType {
                op: "typed",
                operand: "the tensor".into(),
                expected: T::DTYPE.to_string(),
                found: self.dtype,
            });
        }
        Ok(Tensor { any: self, element: PhantomData })
    }

    /// The buffer that holds the tensor, and the byte at which it starts. The buffer may be larger than the tensor, and
    /// goes back to the pool with the last tensor that refers to it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] on the emulator, whose tensors are no buffers.
    pub fn buffer(&self) -> Result<(&wgpu::Buffer, u64)> {
        Ok((self.storage.buffer()?, self.offset))
    }

    pub(crate) fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    pub(crate) fn byte_offset(&self) -> u64 {
        self.offset
    }

    fn byte_range(&self) -> Range<u64> {
        self.offset..self.offset + self.layout().bytes()
    }

    /// Whether the two lie in one buffer.
    pub(crate) fn shares_buffer(&self, other: &AnyTensor) -> bool {
        self.storage.is(&other.storage)
    }

    /// Whether the two have bytes in common.
    pub(crate) fn overlaps(&self, other: &AnyTensor) -> bool {
        let (a, b) = (self.byte_range(), other.byte_range());
        self.shares_buffer(other) && a.start < b.end && b.start < a.end
    }

    /// Refuses a host's buffer that was not created for this use.
    pub(crate) fn expect_usage(&self, usage: wgpu::BufferUsages, during: &str) -> Result<()> {
        // Memory of the emulator may be used for everything.
        let Ok(buffer) = self.storage.buffer() else { return Ok(()) };
        let found = buffer.usage();
        if found.contains(usage) {
            return Ok(());
        }
        Err(Error::View { detail: format!("{during} needs a buffer with usage {usage:?}, it has {found:?}") })
    }
}

impl std::fmt::Debug for AnyTensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor<{}>{:?}", self.dtype, self.shape)
    }
}

/// A dense, row-major array of `T` in device memory.
///
/// A clone is a second handle to the same memory. Views ([`reshape`](Tensor::reshape), [`slice`](Tensor::slice)) share
/// memory too; it is freed with the last handle, and not before recorded work that uses it was submitted.
///
/// ```no_run
/// # let gpu = tilewise::Gpu::new()?;
/// let t = gpu.tensor(&[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// let row = t.slice(1..2)?.reshape(&[3])?;
/// assert_eq!(gpu.download(&row)?, [4.0, 5.0, 6.0]);
/// # Ok::<(), tilewise::Error>(())
/// ```
pub struct Tensor<T: Element> {
    any: AnyTensor,
    element: PhantomData<T>,
}

impl<T: Element> Clone for Tensor<T> {
    fn clone(&self) -> Self {
        Tensor { any: self.any.clone(), element: PhantomData }
    }
}

impl<T: Element> std::fmt::Debug for Tensor<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.any.fmt(f)
    }
}

impl<T: Element> sealed::Sealed for Tensor<T> {}
impl<T: Element> Operand for Tensor<T> {
    fn any(&self) -> &AnyTensor {
        &self.any
    }
}

impl<T: Element> From<Tensor<T>> for AnyTensor {
    fn from(tensor: Tensor<T>) -> Self {
        tensor.any
    }
}

impl<T: Element> Tensor<T> {
    /// Sizes of the dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        self.any.shape()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.any.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.any.is_empty()
    }

    /// What a plan has to know of the tensor.
    pub fn layout(&self) -> Layout {
        self.any.layout()
    }

    /// The same elements in another shape. Copies nothing.
    ///
    /// # Errors
    /// [`Error::Length`] if the shape holds another number of elements.
    pub fn reshape(&self, shape: &[usize]) -> Result<Tensor<T>> {
        Ok(Tensor { any: self.any.reshape(shape)?, element: PhantomData })
    }

    /// A range of the leading dimension. Copies nothing; the view starts at any element.
    ///
    /// # Errors
    /// [`Error::View`] if the range reaches outside, or the tensor is a scalar.
    pub fn slice(&self, range: Range<usize>) -> Result<Tensor<T>> {
        Ok(Tensor { any: self.any.slice(range)?, element: PhantomData })
    }

    /// The buffer that holds the tensor, and the byte at which it starts.
    ///
    /// # Errors
    /// [`Error::Unsupported`] on the emulator, whose tensors are no buffers.
    pub fn buffer(&self) -> Result<(&wgpu::Buffer, u64)> {
        self.any.buffer()
    }

    /// Reads the elements back; blocks. The same as [`Gpu::download`].
    ///
    /// # Errors
    /// [`Error::DeviceLost`], and [`Error::OtherDevice`] if the tensor lives elsewhere.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_vec(&self, gpu: &Gpu) -> Result<Vec<T>> {
        gpu.download(self)
    }
}
