//! Why a case does not pass.

/// Why a node, and with it its case, does not pass.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// An element type that tilewise lacks, there or in that op.
    #[error("{0}")]
    Unsupported(String),
    /// An operation that tilewise lacks.
    #[error("{0}")]
    NotYet(String),
    /// The model or its data make no sense.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Another result than expected, or a refusal of what ought to work.
    #[error("{0}")]
    Failed(String),
}

/// What every step of a case returns.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    /// A model that makes no sense.
    pub fn malformed(what: impl Into<String>) -> Self {
        Fault::Malformed(what.into())
    }
}

impl From<tilewise::Error> for Fault {
    /// A refused element type is a lack of the crate; everything else is a failure.
    fn from(error: tilewise::Error) -> Self {
        match error {
            tilewise::Error::DType { .. } => Fault::Unsupported(error.to_string()),
            error => Fault::Failed(error.to_string()),
        }
    }
}

/// A fault with the name of its case.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{case}: {fault}")]
pub struct CaseError {
    /// The folder's name, as `node/test_relu`.
    pub case: String,
    /// What is wrong.
    pub fault: Fault,
}
