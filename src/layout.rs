//! Element types and operand layouts: what a plan knows of a tensor.

use std::fmt;

/// The element types that a [`Tensor`](crate::Tensor) can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// 32-bit IEEE float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// 32-bit signed integer.
    I32,
    /// 32-bit unsigned integer.
    U32,
    /// 8-bit signed integer.
    I8,
    /// 8-bit unsigned integer.
    U8,
}

impl DType {
    /// Bytes of one element.
    pub const fn size(self) -> u64 {
        match self {
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F16 => 2,
            DType::I8 | DType::U8 => 1,
        }
    }

    /// Bytes that kernels write at once, at the least: WGSL has no 8-bit types, so bytes are written in words.
    pub(crate) const fn stored(self) -> u64 {
        if self.size() == 1 { 4 } else { self.size() }
    }

    /// The WGSL type of an element of a storage array, where there is one (WGSL has no 8-bit types).
    pub(crate) const fn wgsl(self) -> Option<&'static str> {
        match self {
            DType::F32 => Some("f32"),
            DType::F16 => Some("f16"),
            DType::I32 => Some("i32"),
            DType::U32 => Some("u32"),
            DType::I8 | DType::U8 => None,
        }
    }

    /// The WGSL type of 32 bits in which kernels compute with such elements.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            DType::F32 | DType::F16 => "f32",
            DType::I32 | DType::I8 => "i32",
            DType::U32 | DType::U8 => "u32",
        }
    }

    /// Whether the elements are floats.
    pub(crate) const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::I32 => "i32",
            DType::U32 => "u32",
            DType::I8 => "i8",
            DType::U8 => "u8",
        })
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that is an element of a tensor: `f32`, [`half::f16`], `i32`, `u32`, `i8`, `u8`.
pub trait Element: bytemuck::Pod + PartialEq + fmt::Debug + Send + Sync + sealed::Sealed {
    /// The element type's tag.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($ty:ty => $dtype:ident),* $(,)?) => {$(
        impl sealed::Sealed for $ty {}
        impl Element for $ty {
            const DTYPE: DType = DType::$dtype;
        }
    )*};
}
elements!(f32 => F32, half::f16 => F16, i32 => I32, u32 => U32, i8 => I8, u8 => U8);

/// The number of elements of a shape. Saturates, so that absurd shapes fail by their size, not by overflow.
pub fn count(shape: &[usize]) -> usize {
    if shape.contains(&0) { 0 } else { shape.iter().fold(1, |product, &d| product.saturating_mul(d)) }
}

/// What a plan is made for: shape, element type, alignment and aliasing of an operand.
///
/// Every tensor is dense and row-major, so a layout holds no strides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Sizes of the dimensions, outermost first. The empty shape is a scalar.
    pub shape: Vec<usize>,
    /// Type of the elements.
    pub dtype: DType,
    /// The largest power of two, at most 16, that divides the byte offset of the first element.
    pub align: u32,
    /// Whether the operand may share its buffer with an operand that is written in the same dispatch. wgpu does not
    /// take one buffer as read-only and as read-write at once, so such a plan binds all its operands read-write.
    pub arena: bool,
    /// Whether the operand is the same at every run, so that what follows from it alone does not count:
    /// [`Plan::prepare`](crate::Plan::prepare) splits it off.
    pub constant: bool,
}

impl Layout {
    /// The layout of a tensor that has a buffer of its own, aligned to 16 bytes.
    pub fn new(shape: &[usize], dtype: DType) -> Self {
        Layout { shape: shape.to_vec(), dtype, align: 16, arena: false, constant: false }
    }

    /// The same layout for an operand that may share its buffer with an output.
    pub fn in_arena(mut self) -> Self {
        self.arena = true;
        self
    }

    /// The same layout for an operand that is the same at every run.
    pub fn constant(mut self) -> Self {
        self.constant = true;
        self
    }

    /// The layout with smaller sizes, for a small case of the same kernels: equal ones stay equal, and multiples of 4 stay multiples.
    pub(crate) fn shrunk(&self) -> Layout {
        // Sizes up to the first are taken for those of filters and the like, which shape a kernel. The second, which larger ones shrink to, is
        // beyond a tile, and a multiple of 4.
        const KEPT: usize = 12;
        const AWKWARD: usize = 36;
        let size = |&size: &usize| if size <= KEPT { size } else { size.min(AWKWARD + size % 4) };
        Layout { shape: self.shape.iter().map(size).collect(), ..self.clone() }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        count(&self.shape)
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the elements.
    pub fn bytes(&self) -> u64 {
        (self.len() as u64).saturating_mul(self.dtype.size())
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)?;
        if self.arena { f.write_str(" (arena)") } else { Ok(()) }
    }
}

/// The alignment that a byte offset guarantees: the largest power of two, at most 16, that divides it.
pub(crate) fn alignment(offset: u64) -> u32 {
    1 << offset.trailing_zeros().min(4)
}
