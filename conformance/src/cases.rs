//! Cases: where they are, which of them count, and what comes of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::compare::compare;
use crate::device::Device;
use crate::fault::{CaseError, Fault, Result};
use crate::graph;
use crate::lower::{COVERED, HELPERS};
use crate::proto::{ModelProto, TensorProto, decode};
use crate::tensor::Tensor;

/// The folders that hold cases of single operations.
const SETS: [&str; 3] = ["node", "pytorch-converted", "pytorch-operator"];

/// A model with the folder that holds its data.
#[derive(Clone, Debug)]
pub struct Case {
    /// Folder and name, as `node/test_relu`.
    pub name: String,
    /// The operations of the graph, each once.
    pub op_types: BTreeSet<String>,
    folder: PathBuf,
    model: ModelProto,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Every output as expected, every op as its twin.
    Passed,
    /// Why not.
    Not(Fault),
}

/// The folder of the cases: `TILEWISE_ONNX_DATA` in the environment, else where Debian's package `libonnx-testdata` puts
/// them; `None` if there is no such folder.
pub fn data() -> Option<PathBuf> {
    let folder =
        std::env::var_os("TILEWISE_ONNX_DATA").map_or("/usr/share/libonnx-testdata/data".into(), PathBuf::from);
    folder.join(SETS[0]).is_dir().then_some(folder)
}

/// Reads the models of all cases, in the order of their names.
///
/// # Errors
/// The first case that cannot be read.
pub fn cases(data: &Path) -> Result<Vec<Case>, CaseError> {
    let mut cases = Vec::new();
    for set in SETS {
        let folder = data.join(set);
        let at = |fault| CaseError { case: set.into(), fault };
        if !folder.is_dir() {
            continue;
        }
        for folder in entries(&folder).map_err(at)? {
            if folder.join("model.onnx").is_file() {
                let name = format!("{set}/{}", file_name(&folder));
                let case = Case::read(name.clone(), folder);
                cases.push(case.map_err(|fault| CaseError { case: name, fault })?);
            }
        }
    }
    Ok(cases)
}

impl Case {
    fn read(name: String, folder: PathBuf) -> Result<Self> {
        let model: ModelProto = decode(&read(&folder.join("model.onnx"))?)?;
        let nodes = model.graph.iter().flat_map(|graph| &graph.node);
        let op_types = nodes.map(|node| node.op_type.clone().unwrap_or_default()).collect();
        Ok(Case { name, op_types, folder, model })
    }

    /// Whether an operation under test is in the graph.
    pub fn concerns(&self) -> bool {
        self.op_types.iter().any(|op_type| COVERED.contains(&op_type.as_str()))
    }

    /// The operations of the graph that are neither under test nor helpers: a case that has any does not count.
    pub fn foreign(&self) -> impl Iterator<Item = &str> {
        let known = |op_type: &str| COVERED.contains(&op_type) || HELPERS.contains(&op_type);
        self.op_types.iter().map(String::as_str).filter(move |op_type| !known(op_type))
    }

    /// The row of the table: the one operation under test, or that there are several.
    pub fn row(&self) -> &str {
        let mut covered = self.op_types.iter().filter(|op_type| COVERED.contains(&op_type.as_str()));
        match (covered.next(), covered.next()) {
            (Some(op_type), None) => op_type,
            _ => "several",
        }
    }

    /// Runs the model on each of its sets of data.
    pub fn run(&self, device: &Device<'_>) -> Outcome {
        match self.check(device) {
            Ok(()) => Outcome::Passed,
            Err(fault) => Outcome::Not(fault),
        }
    }

    fn check(&self, device: &Device<'_>) -> Result<()> {
        let graph = self.model.graph.as_ref().ok_or_else(|| Fault::malformed("no graph"))?;
        let mut sets = 0;
        for folder in entries(&self.folder)?.iter().filter(|folder| folder.is_dir()) {
            let inputs = tensors(folder, "input")?;
            let expected = tensors(folder, "output")?;
            let found = graph::run(graph, graph::opset(&self.model), &inputs, device)?;
            if found.len() != expected.len() || found.is_empty() {
                let what = format!("{} outputs instead of {}", found.len(), expected.len());
                return Err(Fault::Failed(what));
            }
            for (found, expected) in found.iter().zip(&expected) {
                compare(found, expected)?;
            }
            sets += 1;
        }
        if sets == 0 { Err(Fault::malformed("no data")) } else { Ok(()) }
    }
}

/// The tensors `input_0.pb`, `input_1.pb`, ... of a set of data.
fn tensors(folder: &Path, kind: &str) -> Result<Vec<Tensor>> {
    let files = (0..).map(|number| folder.join(format!("{kind}_{number}.pb"))).take_while(|file| file.is_file());
    files.map(|file| Tensor::read(&decode::<TensorProto>(&read(&file)?)?)).collect()
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| Fault::malformed(format!("{}: {error}", file_name(file))))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let paths = std::fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = paths.map_err(|error| Fault::malformed(format!("{}: {error}", file_name(folder))))?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mangled_models_are_found_out() {
        let (Some(folder), Some(gpu)) = (data(), tilewise::verify::devices().first()) else { return };
        let device = Device::new(gpu);
        let cases = cases(&folder).unwrap();
        let counted: Vec<&Case> =
            cases.iter().filter(|case| case.concerns() && case.foreign().next().is_none()).collect();
        let mut random = tilewise::reference::Random::new(11);
        let (mut unreadable, mut malformed, mut failed) = (0, 0, 0);
        for _ in 0..200 {
            let case = counted[random.below(counted.len())];
            let mut bytes = read(&case.folder.join("model.onnx")).unwrap();
            for _ in 0..1 + random.below(3) {
                let at = random.below(bytes.len());
                bytes[at] = random.bits() as u8;
            }
            // Many a changed byte is a name's, and harmless; none may make a panic.
            match decode(&bytes).map(|model| Case { model, ..(*case).clone() }.run(&device)) {
                Err(_) => unreadable += 1,
                Ok(Outcome::Not(Fault::Malformed(_))) => malformed += 1,
                Ok(Outcome::Not(Fault::Failed(_))) => failed += 1,
                Ok(_) => {}
            }
        }
        assert!(unreadable > 0 && malformed > 0 && failed > 0, "{unreadable}, {malformed}, {failed}");
    }
}
