//! The CPU twins: what every op computes, in plain loops with f64 sums, and how far a GPU may be off.
//!
//! A twin is an independent oracle. It reads an op's options, and shares nothing else with the kernels: no tiling, no
//! lowering, no cleverness. Beside each value it derives the largest error that f32 arithmetic may make, by the standard
//! model of floating point arithmetic (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., chapter 3) and
//! WGSL's table of builtin accuracies.

mod activation;
mod batch_norm;
mod binary;
mod concat;
mod conv2d;
mod conv_transpose2d;
mod index_select;
mod integer;
mod mask;
mod matmul;
mod pad;
mod permute;
mod pool;
mod quantize;
mod quantized;
mod reduce;
mod softmax;
mod sparse;
mod stored;
mod unary;

pub use activation::activate;

use crate::error::{Error, Result};
use crate::layout::{DType, Element, Layout, count};
use crate::op::Op;
use crate::op::precision::Precision;

/// Unit roundoff of f32: 2^-24.
pub const U: f64 = 1.0 / (1u64 << 24) as f64;
/// A unit in the last place of f32, relative: the measure of WGSL's accuracy table.
pub const ULP: f64 = 2.0 * U;
/// The smallest normal f32. WGSL may flush what is smaller to zero.
pub const TINY: f64 = f32::MIN_POSITIVE as f64;
/// From here on a number is rounded to an infinite f32: half a unit in the last place above the largest one.
pub(crate) const OVERFLOW: f64 = f32::MAX as f64 * (1.0 + U);

/// A unit in the last place of f16, relative. WGSL lets a device round to f16 either way.
pub const ULP_F16: f64 = 1.0 / (1u64 << 10) as f64;
/// The smallest normal f16. WGSL may flush what is smaller to zero.
pub const TINY_F16: f64 = 1.0 / (1u64 << 14) as f64;
/// The largest f16. What a device makes of larger numbers, infinity or this, is its own affair.
pub const MAX_F16: f64 = 65504.0;

/// What a device may take a float of a type for: itself, or 0 if it is below the normal range of f16.
fn perhaps_flushed(x: f64, dtype: DType) -> [f64; 2] {
    let flushed = dtype == DType::F16 && x.abs() < TINY_F16;
    [x, if flushed { 0f64.copysign(x) } else { x }]
}

/// The smallest normal number of a type.
fn tiny(dtype: DType) -> f64 {
    if dtype == DType::F16 { TINY_F16 } else { TINY }
}

/// The constant of a sum of `k` rounded products in any order: k u / (1 - k u).
pub fn gamma(k: usize) -> f64 {
    let ku = k as f64 * U;
    if ku < 1.0 { ku / (1.0 - ku) } else { f64::INFINITY }
}

/// A value with the error that a GPU may make in it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Value {
    /// The value, in f64.
    pub value: f64,
    /// |gpu - value| beyond this is wrong. Infinite for a number of which nothing is known: where f32 may overflow on the way
    /// to it, or may flush a factor of infinity, the order of the operations decides.
    pub bound: f64,
    /// |gpu - value| beyond this is suspect: rounding errors do not all point one way. At most `bound`.
    pub suspect: f64,
}

impl Value {
    /// A value that a GPU must produce to the bit.
    pub fn exact(value: f64) -> Self {
        Value { value, bound: 0.0, suspect: 0.0 }
    }

    /// A value with a bound that is suspicious nowhere below it.
    pub fn within(value: f64, bound: f64) -> Self {
        Value { value, bound, suspect: bound }
    }

    /// A number of which nothing is known.
    pub fn undecided(value: f64) -> Self {
        Value { value, bound: f64::INFINITY, suspect: f64::INFINITY }
    }

    /// Whether the arithmetic says nothing of the value.
    pub fn is_undecided(&self) -> bool {
        self.bound == f64::INFINITY
    }

    /// The value of a sum of `k` products with the sum of their magnitudes:
    /// the bound is gamma(k) * magnitude + u * |value| + k * 2^-126, suspect is 8 sqrt(k) u * magnitude and the same rest.
    ///
    /// A sum that is infinite or NaN is exact. One whose positive or negative terms pass the largest f32 overflows in some
    /// order of its terms: it is infinite where the whole passes it too, undecided else.
    pub fn sum(k: usize, value: f64, magnitude: f64) -> Self {
        if !value.is_finite() {
            return Value::exact(value);
        }
        let rest = U * value.abs() + k as f64 * TINY;
        let bound = gamma(k) * magnitude + rest;
        let sum = Value { value, bound, suspect: bound.min(8.0 * (k as f64).sqrt() * U * magnitude + rest) };
        // Every partial sum lies between that of the negative terms and that of the positive ones.
        let overflows = |part: f64| part + bound >= OVERFLOW;
        let (positive, negative) = ((magnitude + value) / 2.0, (magnitude - value) / 2.0);
        match (overflows(positive), overflows(negative)) {
            (false, false) => sum,
            (true, true) => Value::undecided(value),
            _ if overflows(value.abs()) => sum.in_f32(),
            _ => Value::undecided(value),
        }
    }

    /// What f32 makes of a value: infinity, where not even the error brings it back below the largest number.
    pub(crate) fn in_f32(self) -> Self {
        let beyond = self.value.is_finite() && self.value.abs() - self.bound >= OVERFLOW;
        if beyond { Value::exact(f64::INFINITY.copysign(self.value)) } else { self }
    }

    /// The value as it is stored in elements of a type.
    pub(crate) fn stored(self, dtype: DType) -> Self {
        let Value { value, bound, .. } = self;
        if dtype != DType::F16 || !value.is_finite() || self.is_undecided() {
            return self;
        }
        let most = value.abs() + bound;
        if most > MAX_F16 {
            return Value::undecided(value);
        }
        let representable = half::f16::from_f64(value).to_f64() == value && (value == 0.0 || value.abs() >= TINY_F16);
        if bound == 0.0 && representable {
            return self;
        }
        let flushed = if value.abs() - bound < TINY_F16 { TINY_F16 } else { 0.0 };
        self.step(value, 1.0, ULP_F16 * most + flushed)
    }

    /// The value with the bound that takes in another, which may have come of an operand that was taken for 0.
    pub(crate) fn or(self, other: Value) -> Self {
        let decided = |value: &Value| value.value.is_finite() && !value.is_undecided();
        if !decided(&self) || !decided(&other) {
            return Value::undecided(self.value);
        }
        let between = (self.value - other.value).abs();
        let wider = |own: f64, others: f64| own.max(between + others);
        Value { bound: wider(self.bound, other.bound), suspect: wider(self.suspect, other.suspect), ..self }
    }

    /// The value after a step that multiplies errors by at most `slope` and adds `own` of its own. What is undecided stays
    /// so, and what is infinite or NaN has no error.
    pub fn step(self, value: f64, slope: f64, own: f64) -> Self {
        if self.is_undecided() {
            Value::undecided(value)
        } else if !value.is_finite() {
            Value::exact(value)
        } else {
            Value { value, bound: slope * self.bound + own, suspect: slope * self.suspect + own }
        }
    }
}

/// A sum of products as twins form it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Products {
    terms: usize,
    value: f64,
    magnitude: f64,
    /// The most that flushing subnormal factors to 0 takes away, and rounding factors to f16.
    lost: f64,
    /// Whether flushing turns an infinity into NaN, or a factor leaves f16.
    undecided: bool,
    /// Below which a factor may be flushed.
    tiny: [f64; 2],
    /// The factors that are rounded to f16.
    rounded: [bool; 2],
    precision: Precision,
    /// The least and the greatest scale of factors that are quantized.
    scales: Option<[f64; 2]>,
}

impl Default for Products {
    /// Of f32 factors.
    fn default() -> Self {
        Products::typed(Precision::F32, [DType::F32; 2])
    }
}

impl Products {
    /// Of factors out of these tensors.
    pub fn of(precision: Precision, tensors: [&HostTensor; 2]) -> Self {
        let scales = tensors.iter().find_map(|tensor| match tensor.data {
            HostData::Dequantized { scales, .. } => Some(scales),
            _ => None,
        });
        Products { scales, ..Products::typed(precision, tensors.map(HostTensor::dtype)) }
    }

    fn typed(precision: Precision, dtypes: [DType; 2]) -> Self {
        let in_f16 = precision == Precision::F16Multiply;
        Products {
            terms: 0,
            value: 0.0,
            magnitude: 0.0,
            lost: 0.0,
            undecided: false,
            tiny: dtypes.map(|dtype| tiny(if in_f16 { DType::F16 } else { dtype })),
            rounded: dtypes.map(|dtype| in_f16 && dtype != DType::F16),
            precision,
            scales: None,
        }
    }

    /// Adds x * y.
    #[inline]
    pub fn add(&mut self, x: f64, y: f64) {
        let product = x * y;
        self.terms += 1;
        self.value += product;
        self.magnitude += product.abs();
        let subnormal = |factor: f64, tiny: f64| factor.abs() < tiny && factor != 0.0;
        if subnormal(x, self.tiny[0]) || subnormal(y, self.tiny[1]) {
            if product.is_infinite() {
                self.undecided = true;
            } else if product.is_finite() {
                self.lost += product.abs();
            }
        }
        if self.precision == Precision::F16Multiply {
            self.round([x, y], product);
        }
    }

    /// What is lost when factors are rounded to f16.
    fn round(&mut self, factors: [f64; 2], product: f64) {
        let relative = |rounded: bool| if rounded { 1.0 + ULP_F16 } else { 1.0 };
        let beyond = |factor: f64, rounded: bool| rounded && factor.is_finite() && factor.abs() > MAX_F16;
        self.undecided |= beyond(factors[0], self.rounded[0]) || beyond(factors[1], self.rounded[1]);
        if product.is_finite() {
            self.lost += product.abs() * (relative(self.rounded[0]) * relative(self.rounded[1]) - 1.0);
        }
    }

    /// The sum with its bounds.
    pub fn sum(&self) -> Value {
        if self.undecided && !self.value.is_nan() {
            return Value::undecided(self.value);
        }
        // Matrix units may truncate where others round: each addition is off by twice as much.
        let roundings = if self.precision == Precision::F16Multiply { 2 * self.terms } else { self.terms };
        let Some([least, greatest]) = self.scales else {
            let sum = Value::sum(roundings, self.value, self.magnitude);
            return sum.step(sum.value, 1.0, self.lost);
        };
        // A scale is multiplied with each whole number, or with the sums of those that share it, which are then added up: on the way of
        // each term that is one rounding more and one more addition. Before it is scaled a sum may overflow, or its terms be flushed.
        if self.value.is_finite() && self.magnitude / least.min(1.0) >= OVERFLOW {
            return Value::undecided(self.value);
        }
        let sum = Value::sum(roundings + 2, self.value, self.magnitude);
        sum.step(sum.value, 1.0, self.lost + (self.terms + 1) as f64 * TINY * greatest.max(1.0))
    }
}

/// The elements of a tensor on the host.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum HostData {
    /// f32
    F32(Vec<f32>),
    /// f16
    F16(Vec<half::f16>),
    /// i32
    I32(Vec<i32>),
    /// u32
    U32(Vec<u32>),
    /// i8
    I8(Vec<i8>),
    /// u8
    U8(Vec<u8>),
    /// What quantized values stand for, exactly, which no f32 holds: a device makes of it a whole number and a scale.
    #[doc(hidden)]
    Dequantized {
        /// The values.
        values: Vec<f64>,
        /// The least and the greatest scale.
        scales: [f64; 2],
    },
}

/// A tensor on the host: what twins read.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Sizes of the dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub data: HostData,
}

impl HostTensor {
    /// A tensor of elements.
    ///
    /// # Errors
    /// [`Error::Length`] if the shape holds another number of elements.
    pub fn new<T: Element>(shape: &[usize], elements: &[T]) -> Result<Self> {
        if count(shape) != elements.len() {
            return Err(Error::Length { shape: shape.to_vec(), found: elements.len() });
        }
        Ok(HostTensor::from_bytes(shape, T::DTYPE, bytemuck::cast_slice(elements)))
    }

    /// Elements at random: floats in [-1, 1), any bits of other types.
    pub(crate) fn draw(random: &mut Random, layout: &Layout) -> Result<Self> {
        match layout.dtype {
            DType::F32 => HostTensor::new(&layout.shape, &random.floats(layout.len())),
            DType::F16 => {
                let rounded: Vec<half::f16> =
                    random.floats(layout.len()).into_iter().map(half::f16::from_f32).collect();
                HostTensor::new(&layout.shape, &rounded)
            }
            dtype => {
                let bytes = (0..layout.bytes()).map(|_| random.bits() as u8).collect::<Vec<u8>>();
                Ok(HostTensor::from_bytes(&layout.shape, dtype, &bytes))
            }
        }
    }

    pub(crate) fn from_bytes(shape: &[usize], dtype: DType, bytes: &[u8]) -> Self {
        let data = match dtype {
            DType::F32 => HostData::F32(bytemuck::pod_collect_to_vec(bytes)),
            DType::F16 => HostData::F16(bytemuck::pod_collect_to_vec(bytes)),
            DType::I32 => HostData::I32(bytemuck::pod_collect_to_vec(bytes)),
            DType::U32 => HostData::U32(bytemuck::pod_collect_to_vec(bytes)),
            DType::I8 => HostData::I8(bytemuck::pod_collect_to_vec(bytes)),
            DType::U8 => HostData::U8(bytes.to_vec()),
        };
        HostTensor { shape: shape.to_vec(), data }
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        match self.data {
            HostData::F32(_) | HostData::Dequantized { .. } => DType::F32,
            HostData::F16(_) => DType::F16,
            HostData::I32(_) => DType::I32,
            HostData::U32(_) => DType::U32,
            HostData::I8(_) => DType::I8,
            HostData::U8(_) => DType::U8,
        }
    }

    /// The layout of the tensor on a device.
    pub fn layout(&self) -> Layout {
        Layout::new(&self.shape, self.dtype())
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        count(&self.shape)
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An element as f64, which holds every element of any type.
    pub fn at(&self, index: usize) -> f64 {
        match &self.data {
            HostData::F32(elements) => elements[index].into(),
            HostData::F16(elements) => elements[index].into(),
            HostData::I32(elements) => elements[index].into(),
            HostData::U32(elements) => elements[index].into(),
            HostData::I8(elements) => elements[index].into(),
            HostData::U8(elements) => elements[index].into(),
            HostData::Dequantized { values, .. } => values[index],
        }
    }

    /// Roundings that each product with an element takes beside its own; `None`, if scales above 1 make it more than that.
    fn roundings(&self) -> Option<usize> {
        match self.data {
            HostData::Dequantized { scales: [_, greatest], .. } => (greatest <= 1.0).then_some(2),
            _ => Some(0),
        }
    }

    /// The bytes of the elements.
    pub fn bytes(&self) -> &[u8] {
        match &self.data {
            HostData::F32(elements) => bytemuck::cast_slice(elements),
            HostData::F16(elements) => bytemuck::cast_slice(elements),
            HostData::I32(elements) => bytemuck::cast_slice(elements),
            HostData::U32(elements) => bytemuck::cast_slice(elements),
            HostData::I8(elements) => bytemuck::cast_slice(elements),
            HostData::U8(elements) => elements,
            HostData::Dequantized { values, .. } => bytemuck::cast_slice(values),
        }
    }
}

/// Which elements of an output a twin shall compute.
#[derive(Clone, Debug, PartialEq)]
pub enum Select {
    /// Every one.
    All,
    /// Those at these flat indices: verification of what is too large to be computed whole on a CPU.
    At(Vec<usize>),
}

impl Select {
    /// The flat indices out of an output of `len` elements.
    pub fn indices(&self, len: usize) -> Vec<usize> {
        match self {
            Select::All => (0..len).collect(),
            Select::At(indices) => indices.iter().copied().filter(|&index| index < len).collect(),
        }
    }
}

/// What a twin expects of an output.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Sizes of the output's dimensions.
    pub shape: Vec<usize>,
    /// Type of the output's elements.
    pub dtype: DType,
    /// The flat index of each value.
    pub indices: Vec<usize>,
    /// The values.
    pub values: Vec<Value>,
}

impl Expected {
    /// Computes the selected elements of an output, one by one.
    pub fn compute(shape: &[usize], dtype: DType, select: &Select, element: impl FnMut(usize) -> Value) -> Self {
        let indices = select.indices(count(shape));
        let values = indices.iter().copied().map(element).collect();
        Expected { shape: shape.to_vec(), dtype, indices, values }
    }
}

/// The flat index of the element of `own` that broadcasts to an element of `shape`.
pub(crate) fn broadcast_index(own: &[usize], shape: &[usize], flat: usize) -> usize {
    let (mut rest, mut index, mut scale) = (flat, 0, 1);
    for (dim, &size) in shape.iter().enumerate().rev() {
        let at = rest % size;
        rest /= size;
        if let Some(own_dim) = (dim + own.len()).checked_sub(shape.len()) {
            if own[own_dim] > 1 {
                index += at * scale;
            }
            scale *= own[own_dim];
        }
    }
    index
}

/// The layouts of inputs on the host.
pub(crate) fn layouts(inputs: &[HostTensor]) -> Vec<Layout> {
    inputs.iter().map(HostTensor::layout).collect()
}

/// The result of a check of a whole output by a random projection (Freivalds).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Projection {
    /// The largest error as a fraction of its bound.
    pub worst_fraction: f64,
    /// The row in which it was found; of a convolution, the pixel: those of a group of channels follow each other, then
    /// the groups, then the images.
    pub row: usize,
}

impl Projection {
    /// Keeps the worse of two.
    fn take(&mut self, row: usize, fraction: f64) {
        if fraction > self.worst_fraction {
            *self = Projection { worst_fraction: fraction, row };
        }
    }
}

/// An op with a CPU twin.
pub trait Twin: Op {
    /// Computes the outputs on the CPU, with error bounds.
    ///
    /// # Errors
    /// What the op refuses of these shapes.
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>>;

    /// Rows and columns of the matrices that an output is made of, in order, as tiles lie on them: the last two dimensions
    /// unless the op knows better.
    fn matrix(&self, output: &[usize]) -> (usize, usize) {
        match *output {
            [.., rows, columns] => (rows, columns),
            _ => (1, count(output)),
        }
    }

    /// A small case for the same kernels: the op and the layouts of its inputs. `None` where the op itself does with smaller inputs.
    fn shrunk(&self, _inputs: &[Layout]) -> Option<(Box<dyn Twin>, Vec<Layout>)> {
        None
    }

    /// Inputs at random, such as the op is meant for.
    ///
    /// # Errors
    /// [`Error::DType`] for element types that no twin takes.
    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        inputs.iter().map(|layout| HostTensor::draw(random, layout)).collect()
    }

    /// Checks a whole output in less time than computing it takes, by projecting it onto a random vector of signs; `None`
    /// where the op knows no such check. Source: R. Freivalds, Probabilistic machines can use less running time, 1977.
    fn project(&self, _inputs: &[HostTensor], _output: &HostTensor, _seed: u64) -> Option<Projection> {
        None
    }
}

/// A small generator for test data and sampling: splitmix64 (Steele, Lea and Flood, 2014). Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n.max(1) as u64) as usize
    }

    /// A float in [-1, 1).
    pub fn signed(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// So many floats in [-1, 1).
    pub fn floats(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.signed()).collect()
    }

    /// So many whole numbers in -8..=8, as floats: sums of their products are exact in any order as long as they stay
    /// below 2^24, that is up to 2^18 terms.
    pub fn integers(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.below(17) as f32 - 8.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: f64 = f32::MAX as f64;

    fn sum_of(terms: &[f64]) -> Value {
        let mut products = Products::default();
        terms.iter().for_each(|&term| products.add(term, 1.0));
        products.sum()
    }

    #[test]
    fn sums_beyond_the_largest_number_are_infinite() {
        assert_eq!(sum_of(&[MAX, MAX, 1.0]), Value::exact(f64::INFINITY));
        assert_eq!(sum_of(&[-MAX, 1.0, -MAX]), Value::exact(f64::NEG_INFINITY));
        assert_eq!(sum_of(&[MAX, -f64::INFINITY]), Value::exact(f64::NEG_INFINITY));
        assert!(sum_of(&[f64::INFINITY, 1.0, -f64::INFINITY]).value.is_nan());
    }

    #[test]
    fn sums_that_overflow_in_some_order_only_are_undecided() {
        assert!(sum_of(&[MAX, MAX, -MAX, -MAX]).is_undecided());
        assert!(sum_of(&[MAX, MAX, -MAX]).is_undecided());
        // 2^127 and its negative: no order overflows.
        let half = 2f64.powi(127);
        assert!(!sum_of(&[half, -half, 1.0]).is_undecided());
        assert_eq!(sum_of(&[half, -half, 1.0]).value, 1.0);
    }

    #[test]
    fn a_flushed_factor_of_infinity_is_undecided() {
        let mut products = Products::default();
        products.add(1e-40, f64::INFINITY);
        assert!(products.sum().is_undecided());
        products.add(f64::NAN, 1.0);
        assert!(products.sum().value.is_nan() && !products.sum().is_undecided());
        let mut products = Products::default();
        products.add(1e-40, MAX);
        assert!(products.sum().bound >= 1e-40 * MAX);
    }
}
