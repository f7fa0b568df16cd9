//! Named values on the host: every element type that the standard knows, of which tilewise takes five here.

use tilewise::reference::{HostData, HostTensor};

use crate::fault::{Fault, Result};
use crate::proto::TensorProto;

/// The elements of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// f32
    F32(Vec<f32>),
    /// i32
    I32(Vec<i32>),
    /// u32
    U32(Vec<u32>),
    /// i8
    I8(Vec<i8>),
    /// u8
    U8(Vec<u8>),
    /// i64: shapes, axes and indices, which the host reads and makes.
    I64(Vec<i64>),
    /// A type that no op of tilewise takes, by name.
    Other(&'static str),
}

/// A tensor of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Sizes of the dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub data: Data,
}

/// The standard's element types by number.
const TYPES: [&str; 23] = [
    "undefined",
    "f32",
    "u8",
    "i8",
    "u16",
    "i16",
    "i32",
    "i64",
    "string",
    "bool",
    "f16",
    "f64",
    "u32",
    "u64",
    "complex64",
    "complex128",
    "bf16",
    "f8e4m3fn",
    "f8e4m3fnuz",
    "f8e5m2",
    "f8e5m2fnuz",
    "u4",
    "i4",
];

impl Tensor {
    /// Reads a tensor of a file.
    ///
    /// # Errors
    /// [`Fault::Malformed`] where sizes and elements do not fit each other, or the elements are not in the file.
    pub fn read(proto: &TensorProto) -> Result<Self> {
        let name = proto.name.as_deref().unwrap_or("a tensor");
        let shape = sizes(&proto.dims)?;
        let len = count(&shape).ok_or_else(|| Fault::malformed(format!("{name} has shape {shape:?}")))?;
        if proto.data_location.is_some_and(|location| location != 0) {
            return Err(Fault::malformed(format!("the elements of {name} are in another file")));
        }
        let number = proto.data_type.unwrap_or(0);
        let dtype = usize::try_from(number).ok().and_then(|number| TYPES.get(number)).copied();
        let raw = proto.raw_data.as_deref();
        let (data, found) = match dtype {
            None | Some("undefined") => return Err(Fault::malformed(format!("{name} has element type {number}"))),
            Some("f32") => counted(raw.map_or_else(|| proto.float_data.clone(), words(f32::from_le_bytes)), Data::F32),
            Some("i32") => counted(raw.map_or_else(|| proto.int32_data.clone(), words(i32::from_le_bytes)), Data::I32),
            Some("i64") => counted(raw.map_or_else(|| proto.int64_data.clone(), words(i64::from_le_bytes)), Data::I64),
            Some("u32") => {
                let wide = || proto.uint64_data.iter().map(|&element| element as u32).collect();
                counted(raw.map_or_else(wide, words(u32::from_le_bytes)), Data::U32)
            }
            Some("i8") => {
                let wide = || proto.int32_data.iter().map(|&element| element as i8).collect();
                counted(raw.map_or_else(wide, words(i8::from_le_bytes)), Data::I8)
            }
            Some("u8") => {
                let wide = || proto.int32_data.iter().map(|&element| element as u8).collect();
                counted(raw.map_or_else(wide, words(u8::from_le_bytes)), Data::U8)
            }
            Some(other) => (Data::Other(other), len),
        };
        if found != len {
            return Err(Fault::malformed(format!("{name} has shape {shape:?} and {found} elements")));
        }
        Ok(Tensor { shape, data })
    }

    /// Whole numbers that a model computes with on the host.
    pub fn integers(shape: Vec<usize>, elements: Vec<i64>) -> Self {
        Tensor { shape, data: Data::I64(elements) }
    }

    /// The element type's name.
    pub fn dtype(&self) -> &'static str {
        match self.data {
            Data::F32(_) => "f32",
            Data::I32(_) => "i32",
            Data::U32(_) => "u32",
            Data::I8(_) => "i8",
            Data::U8(_) => "u8",
            Data::I64(_) => "i64",
            Data::Other(name) => name,
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tensor as tilewise takes it.
    ///
    /// # Errors
    /// [`Fault::Unsupported`] for an element type that tilewise lacks.
    pub fn host(&self) -> Result<HostTensor> {
        Ok(match &self.data {
            Data::F32(elements) => HostTensor::new(&self.shape, elements)?,
            Data::I32(elements) => HostTensor::new(&self.shape, elements)?,
            Data::U32(elements) => HostTensor::new(&self.shape, elements)?,
            Data::I8(elements) => HostTensor::new(&self.shape, elements)?,
            Data::U8(elements) => HostTensor::new(&self.shape, elements)?,
            Data::I64(_) | Data::Other(_) => return Err(Fault::Unsupported(format!("{} data", self.dtype()))),
        })
    }

    /// The elements as i64.
    ///
    /// # Errors
    /// [`Fault::Malformed`] for another type.
    pub fn as_integers(&self) -> Result<&[i64]> {
        match &self.data {
            Data::I64(elements) => Ok(elements),
            _ => Err(Fault::malformed(format!("{} elements where i64 is wanted", self.dtype()))),
        }
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// [`Fault::Malformed`] if the shape holds another number of elements.
    pub fn reshape(mut self, shape: Vec<usize>) -> Result<Self> {
        if count(&shape) != Some(self.len()) {
            return Err(Fault::malformed(format!("{:?} cannot take the shape {shape:?}", self.shape)));
        }
        self.shape = shape;
        Ok(self)
    }
}

impl From<HostTensor> for Tensor {
    fn from(tensor: HostTensor) -> Self {
        let data = match tensor.data {
            HostData::F32(elements) => Data::F32(elements),
            HostData::I32(elements) => Data::I32(elements),
            HostData::U32(elements) => Data::U32(elements),
            HostData::I8(elements) => Data::I8(elements),
            HostData::U8(elements) => Data::U8(elements),
            _ => Data::Other("unknown"),
        };
        Tensor { shape: tensor.shape, data }
    }
}

/// The number of elements of a shape. An empty one has to be countable without its zeros too: every part of it is then.
fn count(shape: &[usize]) -> Option<usize> {
    let nonzero = shape.iter().try_fold(1usize, |len, &size| len.checked_mul(size.max(1)))?;
    Some(if shape.contains(&0) { 0 } else { nonzero })
}

fn counted<T>(elements: Vec<T>, data: impl FnOnce(Vec<T>) -> Data) -> (Data, usize) {
    let len = elements.len();
    (data(elements), len)
}

/// Cuts bytes into elements of `N` bytes; a rest counts as one more, so that the number does not fit the shape.
fn words<T, const N: usize>(element: impl Fn([u8; N]) -> T) -> impl FnOnce(&[u8]) -> Vec<T> {
    move |bytes| {
        let word = |chunk: &[u8]| std::array::from_fn(|i| chunk.get(i).copied().unwrap_or(0));
        bytes.chunks(N).map(|chunk| element(word(chunk))).collect()
    }
}

/// Sizes, which are not negative.
///
/// # Errors
/// [`Fault::Malformed`] where one is.
pub fn sizes(values: &[i64]) -> Result<Vec<usize>> {
    let size = |&value: &i64| usize::try_from(value);
    values.iter().map(size).collect::<Result<_, _>>().map_err(|_| Fault::malformed(format!("{values:?} as sizes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_from_raw_bytes_or_from_their_field() {
        let raw = TensorProto {
            dims: vec![2],
            data_type: Some(1),
            raw_data: Some([1.5f32.to_le_bytes(), (-2f32).to_le_bytes()].concat()),
            ..Default::default()
        };
        let tensor = Tensor::read(&raw).unwrap();
        assert_eq!(tensor, Tensor { shape: vec![2], data: Data::F32(vec![1.5, -2.0]) });
        let field = TensorProto { dims: vec![2], data_type: Some(7), int64_data: vec![3, -4], ..Default::default() };
        assert_eq!(Tensor::read(&field).unwrap(), Tensor::integers(vec![2], vec![3, -4]));
        let bytes =
            TensorProto { dims: vec![2], data_type: Some(3), raw_data: Some(vec![1, 255]), ..Default::default() };
        assert_eq!(Tensor::read(&bytes).unwrap().data, Data::I8(vec![1, -1]));
        let wide = TensorProto { dims: vec![2], data_type: Some(2), int32_data: vec![0, 255], ..Default::default() };
        assert_eq!(Tensor::read(&wide).unwrap().data, Data::U8(vec![0, 255]));
        let scalar = TensorProto { data_type: Some(11), ..Default::default() };
        assert_eq!(Tensor::read(&scalar).unwrap().host(), Err(Fault::Unsupported("f64 data".into())));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let short = TensorProto { dims: vec![2], data_type: Some(1), float_data: vec![1.0], ..Default::default() };
        let cut = TensorProto { dims: vec![1], data_type: Some(1), raw_data: Some(vec![0; 5]), ..Default::default() };
        let negative = TensorProto { dims: vec![-1], data_type: Some(1), ..Default::default() };
        let huge = TensorProto { dims: vec![i64::MAX, 4], data_type: Some(1), ..Default::default() };
        let empty = TensorProto { dims: vec![0, i64::MAX, 4], data_type: Some(1), ..Default::default() };
        let unknown = TensorProto { data_type: Some(99), ..Default::default() };
        for proto in [short, cut, negative, huge, empty, unknown] {
            assert!(matches!(Tensor::read(&proto), Err(Fault::Malformed(_))), "{proto:?}");
        }
    }
}
