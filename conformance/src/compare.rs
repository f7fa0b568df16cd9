//! Comparison with the outputs of a case.

use crate::fault::{Fault, Result};
use crate::tensor::{Data, Tensor};

/// The relative tolerance of ONNX's own backend test.
pub const RELATIVE: f64 = 1e-3;
/// The absolute tolerance of ONNX's own backend test.
pub const ABSOLUTE: f64 = 1e-7;

/// Compares an output with the one expected: type and shape have to be equal, integers to the bit, floats within
/// `ABSOLUTE + RELATIVE * |expected|`. NaN agrees with NaN, an infinity with itself.
///
/// # Errors
/// [`Fault::Failed`] with the first difference, [`Fault::Unsupported`] for a type that is not read.
pub fn compare(found: &Tensor, expected: &Tensor) -> Result<()> {
    if found.dtype() != expected.dtype() {
        return Err(Fault::Failed(format!("{} instead of {}", found.dtype(), expected.dtype())));
    }
    if found.shape != expected.shape {
        return Err(Fault::Failed(format!("shape {:?} instead of {:?}", found.shape, expected.shape)));
    }
    match (&found.data, &expected.data) {
        (Data::F32(found), Data::F32(expected)) => first(found, expected, |&found, &expected| {
            let (found, expected) = (f64::from(found), f64::from(expected));
            found == expected
                || (found.is_nan() && expected.is_nan())
                // An infinity is near nothing but itself.
                || (expected.is_finite() && (found - expected).abs() <= ABSOLUTE + RELATIVE * expected.abs())
        }),
        (Data::I32(found), Data::I32(expected)) => first(found, expected, i32::eq),
        (Data::U32(found), Data::U32(expected)) => first(found, expected, u32::eq),
        (Data::I8(found), Data::I8(expected)) => first(found, expected, i8::eq),
        (Data::U8(found), Data::U8(expected)) => first(found, expected, u8::eq),
        (Data::I64(found), Data::I64(expected)) => first(found, expected, i64::eq),
        _ => Err(Fault::Unsupported(format!("{} data", expected.dtype()))),
    }
}

fn first<T: std::fmt::Debug>(found: &[T], expected: &[T], agree: impl Fn(&T, &T) -> bool) -> Result<()> {
    if found.len() != expected.len() {
        return Err(Fault::Failed(format!("{} elements instead of {}", found.len(), expected.len())));
    }
    match found.iter().zip(expected).position(|(found, expected)| !agree(found, expected)) {
        Some(at) => Err(Fault::Failed(format!("element {at} is {:?} instead of {:?}", found[at], expected[at]))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(elements: &[f32]) -> Tensor {
        Tensor { shape: vec![elements.len()], data: Data::F32(elements.to_vec()) }
    }

    #[test]
    fn what_is_near_agrees() {
        assert_eq!(compare(&floats(&[1.0009, 5e-8]), &floats(&[1.0, 0.0])), Ok(()));
        let special = floats(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0]);
        assert_eq!(compare(&special, &floats(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0])), Ok(()));
    }

    #[test]
    fn what_is_wrong_fails() {
        let wrong = [
            (1.0011, 1.0),
            (2e-7, 0.0),
            (0.0, 1.0),
            (f32::NAN, 1.0),
            (1.0, f32::NAN),
            (f32::INFINITY, f32::MAX),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::INFINITY),
            (-1.0, 1.0),
        ];
        for (found, expected) in wrong {
            let result = compare(&floats(&[0.5, found]), &floats(&[0.5, expected]));
            assert!(matches!(result, Err(Fault::Failed(_))), "{found} for {expected}");
        }
    }

    #[test]
    fn another_type_shape_or_length_fails() {
        let integers = Tensor::integers(vec![2], vec![1, 2]);
        assert!(compare(&floats(&[1.0, 2.0]), &integers).is_err());
        assert!(compare(&integers, &Tensor::integers(vec![1, 2], vec![1, 2])).is_err());
        assert!(compare(&integers, &Tensor::integers(vec![2], vec![1, 3])).is_err());
        let short = Tensor { shape: vec![2], data: Data::F32(vec![1.0]) };
        assert!(compare(&short, &floats(&[1.0, 2.0])).is_err());
    }
}
