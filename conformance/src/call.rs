//! A node as its lowering sees it: inputs, and attributes with their defaults.

use tilewise::reference::{HostTensor, Twin};

use crate::device::Device;
use crate::fault::{Fault, Result};
use crate::proto::{AttributeProto, NodeProto};
use crate::tensor::Tensor;

/// A node with the values of its inputs.
pub struct Call<'a> {
    /// The node.
    pub node: &'a NodeProto,
    /// The version of ONNX's operator set that the model speaks.
    pub opset: i64,
    /// The inputs; `None` for one left out.
    pub inputs: Vec<Option<&'a Tensor>>,
    /// Where ops run.
    pub device: &'a Device<'a>,
}

impl<'a> Call<'a> {
    /// The operation.
    pub fn op_type(&self) -> &str {
        self.node.op_type.as_deref().unwrap_or_default()
    }

    /// An input that may be left out.
    pub fn optional(&self, index: usize) -> Option<&'a Tensor> {
        self.inputs.get(index).copied().flatten()
    }

    /// An input.
    ///
    /// # Errors
    /// [`Fault::Malformed`] if it is left out.
    pub fn input(&self, index: usize) -> Result<&'a Tensor> {
        self.optional(index).ok_or_else(|| Fault::malformed(format!("{} lacks input {index}", self.op_type())))
    }

    /// An input as tilewise takes it.
    ///
    /// # Errors
    /// As for [`input`](Call::input), and [`Fault::Unsupported`] for an element type that tilewise lacks.
    pub fn data(&self, index: usize) -> Result<HostTensor> {
        self.input(index)?.host()
    }

    /// All inputs as tilewise takes them, at least one.
    ///
    /// # Errors
    /// As for [`data`](Call::data).
    pub fn all_data(&self) -> Result<Vec<HostTensor>> {
        (0..self.inputs.len().max(1)).map(|index| self.data(index)).collect()
    }

    /// Whole numbers that are an input in newer operator sets and an attribute in older ones; `None` where left out.
    ///
    /// # Errors
    /// [`Fault::Malformed`] for other elements than i64.
    pub fn integers(&self, index: usize, attribute: &str) -> Result<Option<Vec<i64>>> {
        match self.optional(index) {
            Some(input) => Ok(Some(input.as_integers()?.to_vec())),
            None => Ok(self.ints(attribute)?.map(<[i64]>::to_vec)),
        }
    }

    /// Whether the node's output with this number is wanted.
    pub fn wants(&self, output: usize) -> bool {
        self.node.output.get(output).is_some_and(|name| !name.is_empty())
    }

    /// Runs an op of tilewise.
    ///
    /// # Errors
    /// As for [`Device::apply`].
    pub fn apply(&self, op: &dyn Twin, inputs: &[HostTensor]) -> Result<HostTensor> {
        self.device.one(op, inputs)
    }

    fn find(&self, name: &str) -> Option<&'a AttributeProto> {
        self.node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name))
    }

    fn read<T>(&self, name: &str, read: impl Fn(&'a AttributeProto) -> Option<T>) -> Result<Option<T>> {
        let Some(attribute) = self.find(name) else { return Ok(None) };
        let wrong = || Fault::malformed(format!("attribute {name} of {} is of another type", self.op_type()));
        read(attribute).map(Some).ok_or_else(wrong)
    }

    /// An attribute that is a whole number.
    ///
    /// # Errors
    /// [`Fault::Malformed`] if the attribute is there and of another type; so with the others.
    pub fn int(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.maybe_int(name)?.unwrap_or(default))
    }

    /// An attribute that is a whole number or not there.
    ///
    /// # Errors
    /// As for [`int`](Call::int).
    pub fn maybe_int(&self, name: &str) -> Result<Option<i64>> {
        self.read(name, |attribute| attribute.i)
    }

    /// An attribute that switches something.
    ///
    /// # Errors
    /// As for [`int`](Call::int).
    pub fn flag(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self.int(name, default.into())? != 0)
    }

    /// An attribute that is a float.
    ///
    /// # Errors
    /// As for [`int`](Call::int).
    pub fn float(&self, name: &str, default: f32) -> Result<f32> {
        Ok(self.maybe_float(name)?.unwrap_or(default))
    }

    /// An attribute that is a float or not there.
    ///
    /// # Errors
    /// As for [`int`](Call::int).
    pub fn maybe_float(&self, name: &str) -> Result<Option<f32>> {
        self.read(name, |attribute| attribute.f)
    }

    /// An attribute that is a list of whole numbers or not there. An empty list cannot be told from another type.
    ///
    /// # Errors
    /// As for [`int`](Call::int).
    pub fn ints(&self, name: &str) -> Result<Option<&'a [i64]>> {
        let alone = |attribute: &AttributeProto| attribute.i.is_none() && attribute.f.is_none();
        self.read(name, |attribute| alone(attribute).then_some(attribute.ints.as_slice()))
    }

    /// An attribute that is a list of floats or not there.
    ///
    /// # Errors
    /// As for [`int`](Call::int).
    pub fn floats(&self, name: &str) -> Result<Option<&'a [f32]>> {
        let alone = |attribute: &AttributeProto| attribute.i.is_none() && attribute.f.is_none();
        self.read(name, |attribute| alone(attribute).then_some(attribute.floats.as_slice()))
    }

    /// An attribute that is text.
    ///
    /// # Errors
    /// As for [`int`](Call::int).
    pub fn text(&self, name: &str, default: &'a str) -> Result<&'a str> {
        let text =
            self.read(name, |attribute| attribute.s.as_deref().and_then(|text| std::str::from_utf8(text).ok()))?;
        Ok(text.unwrap_or(default))
    }

    /// An attribute that is a tensor or not there.
    ///
    /// # Errors
    /// As for [`int`](Call::int), and what [`Tensor::read`] refuses.
    pub fn tensor(&self, name: &str) -> Result<Option<Tensor>> {
        self.read(name, |attribute| attribute.t.as_ref())?.map(Tensor::read).transpose()
    }
}

/// A dimension that counts from the end if it is negative.
///
/// # Errors
/// [`Fault::Malformed`] if there is no such dimension.
pub fn axis(axis: i64, rank: usize) -> Result<usize> {
    let index = if axis < 0 { axis.checked_add_unsigned(rank as u64) } else { Some(axis) };
    let index = index.and_then(|index| usize::try_from(index).ok()).filter(|&index| index < rank);
    index.ok_or_else(|| Fault::malformed(format!("axis {axis} of {rank} dimensions")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(name: &str) -> AttributeProto {
        AttributeProto { name: Some(name.into()), ..Default::default() }
    }

    #[test]
    fn attributes_have_defaults_and_types() {
        let Some(gpu) = tilewise::verify::devices().first() else { return };
        let node = NodeProto {
            op_type: Some("Gemm".into()),
            attribute: vec![
                AttributeProto { f: Some(0.5), ..attribute("alpha") },
                AttributeProto { i: Some(1), ..attribute("transA") },
                AttributeProto { ints: vec![2, 3], ..attribute("pads") },
                AttributeProto { s: Some(b"VALID".to_vec()), ..attribute("auto_pad") },
            ],
            ..Default::default()
        };
        let call = Call { node: &node, opset: 13, inputs: vec![None], device: &Device::new(gpu) };
        assert_eq!((call.float("alpha", 1.0), call.float("beta", 1.0)), (Ok(0.5), Ok(1.0)));
        assert_eq!((call.flag("transA", false), call.flag("transB", false)), (Ok(true), Ok(false)));
        assert_eq!((call.ints("pads"), call.ints("strides")), (Ok(Some(&[2, 3][..])), Ok(None)));
        assert_eq!((call.text("auto_pad", "NOTSET"), call.text("mode", "constant")), (Ok("VALID"), Ok("constant")));
        assert!(matches!(call.int("alpha", 0), Err(Fault::Malformed(_))));
        assert!(matches!(call.float("transA", 0.0), Err(Fault::Malformed(_))));
        assert!(matches!(call.ints("transA"), Err(Fault::Malformed(_))));
        assert!(matches!(call.data(0), Err(Fault::Malformed(_))));
        assert!(matches!(call.data(9), Err(Fault::Malformed(_))));
        assert!(!call.wants(0));
    }

    #[test]
    fn axes_count_from_both_ends() {
        assert_eq!((axis(-1, 3), axis(0, 3), axis(2, 3)), (Ok(2), Ok(0), Ok(2)));
        for (index, rank) in [(3, 3), (-4, 3), (0, 0), (i64::MIN, 3)] {
            assert!(axis(index, rank).is_err());
        }
    }
}
