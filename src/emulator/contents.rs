//! What a binding holds before a run, in words: `f32x64:ramp`.

use std::str::FromStr;

use half::f16;

use super::BindingData;
use crate::DType;
use crate::error::{Error, Result};
use crate::reference::Random;

/// The bytes of so many elements of a type and a fill, written `TYPExCOUNT:FILL`.
///
/// Types: f32, i32, u32, f16. Fills: `zero`; `ramp`: 0, 1, 2, ...; `random`: floats in [-1, 1), integers in the whole range, the
/// same in every run; `poison`: all bits set, a NaN in floats, which does not count as written.
///
/// ```
/// use tilewise::emulator::Contents;
/// let ramp: Contents = "f32x3:ramp".parse()?;
/// assert_eq!(ramp.bytes, [0.0f32, 1.0, 2.0].map(f32::to_le_bytes).concat());
/// assert!(!"u32x4:poison".parse::<Contents>()?.initialised);
/// # Ok::<(), tilewise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The elements, little-endian.
    pub bytes: Vec<u8>,
    /// Whether they count as written.
    pub initialised: bool,
}

#[derive(Clone, Copy)]
enum Fill {
    Zero,
    Ramp,
    Random,
    Poison,
}

/// The most bytes that a fill may have: what a binding can address.
const MOST_BYTES: u64 = 1 << 32;

fn refused(value: &str, requirement: &'static str) -> Error {
    Error::Option { op: "emulator", option: "bind", value: value.into(), requirement }
}

impl FromStr for Contents {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        const FORM: &str = "must be TYPExCOUNT:FILL, as f32x64:ramp";
        let ((dtype, count), fill) = text
            .split_once(':')
            .and_then(|(elements, fill)| Some((elements.split_once('x')?, fill)))
            .ok_or_else(|| refused(text, FORM))?;
        let dtype = match dtype {
            "f32" => DType::F32,
            "i32" => DType::I32,
            "u32" => DType::U32,
            "f16" => DType::F16,
            _ => return Err(refused(text, "its type must be f32, i32, u32 or f16")),
        };
        let fill = match fill {
            "zero" => Fill::Zero,
            "ramp" => Fill::Ramp,
            "random" => Fill::Random,
            "poison" => Fill::Poison,
            _ => return Err(refused(text, "its fill must be zero, ramp, random or poison")),
        };
        let count: u32 = count.parse().map_err(|_| refused(text, FORM))?;
        if u64::from(count) * dtype.size() >= MOST_BYTES {
            return Err(refused(text, "must be less than 4 GiB"));
        }
        let mut random = Random::new(count.into());
        let element =
            |index| fill.bits(dtype, index, &mut random).to_le_bytes().into_iter().take(dtype.size() as usize);
        let bytes = (0..count).flat_map(element).collect();
        Ok(Contents { bytes, initialised: !matches!(fill, Fill::Poison) })
    }
}

impl Fill {
    /// The bits of an element, in the lowest bytes.
    fn bits(self, dtype: DType, index: u32, random: &mut Random) -> u32 {
        let float = |random: &mut Random| if let Fill::Random = self { random.signed() } else { index as f32 };
        match (self, dtype) {
            (Fill::Zero, _) => 0,
            (Fill::Poison, _) => u32::MAX,
            (_, DType::F32) => float(random).to_bits(),
            (_, DType::F16) => f16::from_f32(float(random)).to_bits().into(),
            (Fill::Ramp, _) => index,
            (Fill::Random, _) => random.bits() as u32,
        }
    }
}

/// A place and its [`Contents`]: `GROUP.BINDING=TYPExCOUNT:FILL`, as `0.1=u32x16:zero`.
impl FromStr for BindingData {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let place = |place: &str| {
            let (group, binding) = place.split_once('.')?;
            Some((group.parse().ok()?, binding.parse().ok()?))
        };
        let ((group, binding), contents) = text
            .split_once('=')
            .and_then(|(at, contents)| Some((place(at)?, contents)))
            .ok_or_else(|| refused(text, "must be GROUP.BINDING=TYPExCOUNT:FILL, as 0.0=f32x64:ramp"))?;
        let Contents { bytes, initialised } = contents.parse()?;
        Ok(BindingData { group, binding, bytes, initialised })
    }
}
