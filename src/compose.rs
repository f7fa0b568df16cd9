//! temp
#![allow(missing_docs, dead_code)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShaderFile {
    pub path: &'static str,
    pub text: &'static str,
}
macro_rules! shader {
    ($p:literal) => {
        crate::compose::ShaderFile {
            path: $p,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $p)),
        }
    };
}
pub(crate) use shader;
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    U32(u32),
    I32(i32),
    Bool(bool),
    F32(u32),
    Type(&'static str),
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParamSpace {
    Immediate,
    Uniform { binding: u32 },
}
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Composition {
    pub body: ShaderFile,
    pub fragments: Vec<(&'static str, ShaderFile)>,
    pub common: Vec<ShaderFile>,
    pub constants: Vec<(&'static str, &'static str, Value)>,
    pub enables: Vec<&'static str>,
    pub params: ParamSpace,
    pub arena: bool,
    pub unroll: bool,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    U32,
    I32,
    F32,
}
pub struct Field {
    pub name: String,
    pub ty: FieldType,
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct ComposeError;
pub struct Source {
    pub text: String,
}
impl Composition {
    pub fn fields(&self) -> Result<Vec<Field>, ComposeError> {
        todo!()
    }
    pub fn compose(&self) -> Result<Source, ComposeError> {
        todo!()
    }
}
impl Source {
    pub fn describe_parse_error(&self, _: &naga::front::wgsl::ParseError) -> String {
        todo!()
    }
}
