//! Runs the node test cases of ONNX on tilewise.
//!
//! A case is a folder with a model and with inputs and outputs of it. A graph runs as a sequence of nodes over named
//! values; each node is lowered to tilewise's ops by a function of its own. Every op's result must agree with its CPU
//! twin, and every output with the case's, within the tolerances of ONNX's own test.

#![deny(missing_docs, unsafe_code)]

pub mod call;
pub mod compare;
pub mod device;
pub mod fault;
pub mod graph;
pub mod lower;
#[allow(missing_docs, reason = "the fields are those of the standard")]
pub mod proto;
pub mod table;
pub mod tensor;

mod cases;

pub use cases::{Case, Outcome, cases, data};
