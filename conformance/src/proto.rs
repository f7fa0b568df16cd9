//! The messages of ONNX files, as far as they are read: field numbers and types as in the standard's `onnx.proto`.

use prost::Message;

use crate::fault::{Fault, Result};

/// A model: a graph, and the versions of the operator sets that it speaks.
#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetId>,
}

/// A version of an operator set; ONNX's own has no domain.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetId {
    #[prost(string, optional, tag = "1")]
    pub domain: Option<String>,
    #[prost(int64, optional, tag = "2")]
    pub version: Option<i64>,
}

/// Nodes in the order in which they run, with constants, inputs and outputs.
#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
}

/// The name of a graph's input or output.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfoProto {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
}

/// An operation on named values. An input left out has an empty name.
#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, optional, tag = "4")]
    pub op_type: Option<String>,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    #[prost(string, optional, tag = "7")]
    pub domain: Option<String>,
}

/// A named option of a node; one of its fields is set.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub s: Option<Vec<u8>>,
    #[prost(message, optional, tag = "5")]
    pub t: Option<TensorProto>,
    #[prost(float, repeated, packed = "false", tag = "7")]
    pub floats: Vec<f32>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
}

/// A tensor: its elements are in `raw_data`, little-endian, or in the field of their type.
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, optional, tag = "2")]
    pub data_type: Option<i32>,
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    #[prost(string, optional, tag = "8")]
    pub name: Option<String>,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub raw_data: Option<Vec<u8>>,
    #[prost(uint64, repeated, tag = "11")]
    pub uint64_data: Vec<u64>,
    #[prost(int32, optional, tag = "14")]
    pub data_location: Option<i32>,
}

/// Decodes a message from the bytes of a file.
///
/// # Errors
/// [`Fault::Malformed`] where the bytes are no such message.
pub fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M> {
    M::decode(bytes).map_err(|error| Fault::malformed(format!("protobuf: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_model_is_decoded() {
        // Byte by byte by protobuf's wire format: tag = field << 3 | type, type 2 = length-delimited, 0 = varint, 5 = f32.
        let attribute = [&[0x0A, 1][..], b"a", &[0x15, 0, 0, 0, 0x3F]].concat(); // name "a", f 0.5
        let axes = [&[0x0A, 1][..], b"x", &[0x40, 1, 0x42, 2, 2, 3]].concat(); // name "x", ints 1, and packed 2, 3
        let mut node = [&[0x0A, 1][..], b"i", &[0x12, 1], b"o", &[0x22, 4], b"Relu"].concat();
        for attribute in [&attribute, &axes] {
            node.extend([0x2A, attribute.len() as u8]);
            node.extend(attribute);
        }
        let mut graph = vec![0x0A, node.len() as u8];
        graph.extend(node);
        graph.extend([0x5A, 3, 0x0A, 1, b'i', 0x62, 3, 0x0A, 1, b'o']);
        let mut model = vec![0x08, 8, 0x3A, graph.len() as u8]; // ir_version 8, which is skipped
        model.extend(graph);
        model.extend([0x42, 2, 0x10, 17]); // opset 17

        let model: ModelProto = decode(&model).unwrap();
        assert_eq!(model.opset_import[0].version, Some(17));
        let graph = model.graph.unwrap();
        assert_eq!((graph.input[0].name.as_deref(), graph.output[0].name.as_deref()), (Some("i"), Some("o")));
        let node = &graph.node[0];
        assert_eq!(
            (node.op_type.as_deref(), &node.input[..], &node.output[..]),
            (Some("Relu"), &["i".into()][..], &["o".into()][..])
        );
        assert_eq!((node.attribute[0].f, node.attribute[1].ints.as_slice()), (Some(0.5), &[1, 2, 3][..]));
    }

    #[test]
    fn a_cut_message_is_an_error() {
        assert!(matches!(decode::<ModelProto>(&[0x3A, 9, 1]), Err(Fault::Malformed(_))));
    }
}
