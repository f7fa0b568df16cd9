//! How exactly products are formed, and what type they are stored in.

use crate::error::{Error, Result};
use crate::layout::{DType, Layout};

/// How a contraction multiplies. Sums are f32 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Factors as they are, in f32.
    #[default]
    F32,
    /// Factors may be rounded to f16 first: 11 significant bits, and nothing beyond 65504. That is what matrix units take
    /// (cooperative matrices, tensor cores), which multiply many times faster. Devices without them multiply in f32.
    F16Multiply,
    /// f32 throughout, and convolutions with windows of 3 x 3 at a stride of 1 may be computed by Winograd's method, in 4 or 2.25
    /// times fewer multiplications. Its sums take in the whole tile of up to 6 x 6 values around a window, so that errors grow
    /// with what lies beside the window too, by ten times and more, and an infinity or NaN there reaches outputs whose windows
    /// do not hold it. The bounds say so. Everything else is as with `F32`. Source: A. Lavin and S. Gray, Fast algorithms for
    /// convolutional neural networks, 2016.
    Winograd,
}

/// The types that contractions read and write.
pub(crate) const FLOATS: &[DType] = &[DType::F32, DType::F16];

/// The types that maps read and write.
pub(crate) const ELEMENTS: &[DType] = &[DType::F32, DType::F16, DType::I32, DType::U32];

/// The type of an output of two operands: the one asked for, else f16 if both are that.
pub(crate) fn output(op: &'static str, asked: Option<DType>, operands: &[Layout]) -> Result<DType> {
    let all_f16 = || operands.iter().take(2).all(|layout| layout.dtype == DType::F16);
    match asked {
        None => Ok(if all_f16() { DType::F16 } else { DType::F32 }),
        Some(dtype) if FLOATS.contains(&dtype) => Ok(dtype),
        Some(dtype) => {
            let requirement = "must be f32 or f16";
            Err(Error::Option { op, option: "output", value: dtype.to_string(), requirement })
        }
    }
}
