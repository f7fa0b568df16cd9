//! Stand-in for the lowering, with its signature only.

use std::collections::HashMap;

use super::code::Code;

/// Something in a module that the emulator does not run.
#[derive(Clone, Debug)]
pub(crate) struct Unsupported {
    pub what: String,
    pub span: naga::Span,
}

pub(crate) fn lower(
    _module: &naga::Module,
    _info: &naga::valid::ModuleInfo,
    _entry: &str,
    _overrides: &HashMap<String, f64>,
) -> Result<Code, Unsupported> {
    Err(Unsupported { what: "the lowering".into(), span: naga::Span::UNDEFINED })
}
