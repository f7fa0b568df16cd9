//! Graphs: nodes in their order, over named values.

use std::collections::HashMap;

use crate::call::Call;
use crate::device::Device;
use crate::fault::{Fault, Result};
use crate::lower;
use crate::proto::{GraphProto, ModelProto};
use crate::tensor::Tensor;

/// The version of ONNX's own operator set that a model speaks.
pub fn opset(model: &ModelProto) -> i64 {
    let own = |domain: Option<&str>| matches!(domain, None | Some("" | "ai.onnx"));
    model.opset_import.iter().find(|set| own(set.domain.as_deref())).and_then(|set| set.version).unwrap_or(1)
}

/// Runs a graph. Inputs are named in their order, those that constants stand for left out.
///
/// # Errors
/// [`Fault::Malformed`] where names and values do not fit each other, and why a node does not run.
pub fn run(graph: &GraphProto, opset: i64, inputs: &[Tensor], device: &Device<'_>) -> Result<Vec<Tensor>> {
    let mut values: HashMap<&str, Tensor> = HashMap::new();
    for initializer in &graph.initializer {
        let name = initializer.name.as_deref().ok_or_else(|| Fault::malformed("a constant without a name"))?;
        values.insert(name, Tensor::read(initializer)?);
    }
    let names = graph.input.iter().filter_map(|input| input.name.as_deref());
    let names: Vec<&str> = names.filter(|name| !values.contains_key(name)).collect();
    if names.len() != inputs.len() {
        return Err(Fault::malformed(format!("{} inputs for the names {names:?}", inputs.len())));
    }
    values.extend(names.into_iter().zip(inputs.iter().cloned()));
    for node in &graph.node {
        let value = |name: &String| match values.get(name.as_str()) {
            _ if name.is_empty() => Ok(None),
            Some(value) => Ok(Some(value)),
            None => Err(Fault::malformed(format!("no value has the name {name:?}"))),
        };
        let inputs = node.input.iter().map(value).collect::<Result<_>>()?;
        let outputs = lower::run(&Call { node, opset, inputs, device })?;
        if outputs.len() < node.output.iter().filter(|name| !name.is_empty()).count() {
            return Err(Fault::NotYet(format!(
                "output {} of {}",
                outputs.len(),
                node.op_type.as_deref().unwrap_or("")
            )));
        }
        values.extend(node.output.iter().map(String::as_str).zip(outputs));
    }
    let output = |name: Option<&str>| {
        let value = name.and_then(|name| values.get(name));
        value.cloned().ok_or_else(|| Fault::malformed(format!("no value for output {name:?}")))
    };
    graph.output.iter().map(|info| output(info.name.as_deref())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{NodeProto, ValueInfoProto};

    fn info(name: &str) -> ValueInfoProto {
        ValueInfoProto { name: Some(name.into()) }
    }

    fn node(op_type: &str, input: &[&str], output: &[&str]) -> NodeProto {
        let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
        NodeProto { op_type: Some(op_type.into()), input: names(input), output: names(output), ..Default::default() }
    }

    #[test]
    fn malformed_graphs_are_errors() {
        let Some(gpu) = tilewise::verify::devices().first() else { return };
        let device = Device::new(gpu);
        let x = Tensor::integers(vec![1], vec![7]);
        let graph = GraphProto {
            node: vec![node("Identity", &["x"], &["y"])],
            input: vec![info("x")],
            output: vec![info("y")],
            ..Default::default()
        };
        let run = |graph: &GraphProto, inputs: &[Tensor]| super::run(graph, 13, inputs, &device);
        assert_eq!(run(&graph, std::slice::from_ref(&x)), Ok(vec![x.clone()]));
        assert!(matches!(run(&graph, &[]), Err(Fault::Malformed(_))));
        let unknown = GraphProto { node: vec![node("Identity", &["z"], &["y"])], ..graph.clone() };
        assert!(matches!(run(&unknown, std::slice::from_ref(&x)), Err(Fault::Malformed(_))));
        let lacking = GraphProto { output: vec![info("z")], ..graph.clone() };
        assert!(matches!(run(&lacking, std::slice::from_ref(&x)), Err(Fault::Malformed(_))));
        let foreign = GraphProto { node: vec![node("Nonsense", &["x"], &["y"])], ..graph.clone() };
        assert_eq!(run(&foreign, std::slice::from_ref(&x)), Err(Fault::NotYet("Nonsense".into())));
        let wide = GraphProto { node: vec![node("Relu", &["x"], &["y"])], ..graph };
        assert_eq!(run(&wide, &[x]), Err(Fault::Unsupported("i64 data".into())));
    }
}
