//! Composes a kernel from whole `.wgsl` files.
//!
//! A kernel is a *body*, one *fragment* per hook (operand a, operand b, epilogue, ...), *common* helpers and a generated
//! block of `const`, `alias` and parameter lines, one after the other. WGSL's module scope has no order, so the body
//! stands first and the generated block last. The files are plain WGSL; compose makes five changes and no other:
//!
//! 1. **Prefix.** What a fragment declares at module scope, and the constants generated for its hook, carry the hook's
//!    name: `load` in the file of hook `a` becomes `a_load`, so one file can serve `a` and `b`. Several files may fill a
//!    hook together, and see what the others declare.
//! 2. **Parameters.** Every file declares the parameters it reads as a `struct Params` of scalars and reads them as
//!    `params.m`. The structs are blanked and merged into one; a fragment's members carry its hook's name.
//! 3. **Arena.** Where all tensors live in one buffer, `var<storage, read>` becomes `var<storage, read_write>`: a buffer
//!    bound twice in one dispatch must be bound with one access.
//! 4. **Texels.** Where an operand is read through a texture, `var<storage, read> data: array<f32>` (or of `u32`, or vectors of four)
//!    becomes that texture, and `data[i]` a load from it.
//! 5. **Unroll.** A loop marked `// unroll` becomes copies of its body, `{ const i = 3u; ... }`.
//!
//! [`Source`] knows which file, line and column every byte came from, and describes naga's errors in those.

mod constants;
mod parse;
mod source;
#[cfg(test)]
mod tests;
mod texels;
mod unit;
mod unroll;

pub use source::Source;

use std::{
    error::Error,
    fmt,
    hash::{Hash, Hasher},
    iter,
};

use constants::Constants;
use parse::parse_once;
use texels::{texel_array, texel_function};
use unit::Unit;
use unroll::{MAX_COPIES, Writer};

/// A shader file of the crate. Files are equal, ordered and hashed by path.
#[derive(Clone, Copy)]
pub struct ShaderFile {
    /// Path relative to `shaders/`.
    pub path: &'static str,
    /// The file's text.
    pub text: &'static str,
}

/// The [`ShaderFile`] at a path below `shaders/`: `shader!("contraction/tiled.wgsl")`.
macro_rules! shader {
    ($path:literal) => {
        $crate::compose::ShaderFile {
            path: $path,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path)),
        }
    };
}
pub(crate) use shader;

impl ShaderFile {
    fn locate(self, offset: usize) -> Location {
        let (line, column) = position(self.text, offset);
        Location { path: self.path, line, column }
    }

    fn error(self, offset: usize, problem: Problem) -> ComposeError {
        ComposeError { at: Some(self.locate(offset)), problem }
    }
}

impl fmt::Debug for ShaderFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShaderFile({:?})", self.path)
    }
}

impl PartialEq for ShaderFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for ShaderFile {}

impl PartialOrd for ShaderFile {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ShaderFile {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.path.cmp(other.path)
    }
}

impl Hash for ShaderFile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.path.hash(state);
    }
}

/// What a line of the generated block defines a name as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// `const NAME: u32 = 3u;`
    U32(u32),
    /// `const NAME: i32 = -3;`
    I32(i32),
    /// `const NAME: bool = true;`
    Bool(bool),
    /// `const NAME: f32 = 0.5f;` from the bits of a finite number: the composition is a hash key, and floats are not.
    F32(u32),
    /// `alias NAME = vec4<f32>;`
    Type(&'static str),
}

/// Where the merged parameter struct lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParamSpace {
    /// `var<immediate>`: needs `Features::IMMEDIATES`.
    Immediate,
    /// `var<uniform>` in group 0.
    Uniform {
        /// Its binding number.
        binding: u32,
    },
}

/// Which files and constants make a kernel: plain data, and the key of the pipeline cache.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Composition {
    /// The file that holds the entry point.
    pub body: ShaderFile,
    /// Hook and file. One file may serve several hooks, and several files one; what they declare is prefixed with `hook_`.
    pub fragments: Vec<(&'static str, ShaderFile)>,
    /// Helper files, without prefix. A file named twice is included once.
    pub common: Vec<ShaderFile>,
    /// Lines of the generated block: the hook that reads the constant (or `""` for all files), its name, its value.
    pub constants: Vec<(&'static str, &'static str, Value)>,
    /// Extensions to enable, such as `f16`. They are prefixed to line 1 without a newline.
    pub enables: Vec<&'static str>,
    /// Where the parameters live.
    pub params: ParamSpace,
    /// Whether read-only storage is declared read-write.
    pub arena: bool,
    /// The hooks whose operand is read through a texture, of four values in a texel and
    /// [`TEXEL_ROW`](crate::plan::TEXEL_ROW) texels in a row.
    pub texels: Vec<&'static str>,
    /// Whether `// unroll` loops are unrolled. The text is valid either way.
    pub unroll: bool,
}

/// A member of the merged parameter struct. Every member takes four bytes, and there is no padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name, prefixed with its fragment's hook.
    pub name: String,
    /// The type.
    pub ty: FieldType,
}

/// The type of a [`Field`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// `u32`
    U32,
    /// `i32`
    I32,
    /// `f32`
    F32,
}

impl FieldType {
    fn name(self) -> &'static str {
        match self {
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::U32, Self::I32, Self::F32].into_iter().find(|ty| ty.name() == name)
    }
}

/// A place in a shader file, printed as `contraction/tiled.wgsl:12:5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// The file's path relative to `shaders/`.
    pub path: &'static str,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path, self.line, self.column)
    }
}

/// Files that cannot be composed: where, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComposeError {
    /// The place; `None` where the composition itself is at fault, not a file.
    pub at: Option<Location>,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for ComposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{at}: {}", self.problem),
            None => self.problem.fmt(f),
        }
    }
}

impl Error for ComposeError {}

/// What a [`ComposeError`] is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A bracket without its partner.
    #[error("`{0}` has no partner")]
    Unbalanced(&'static str),
    /// A fragment uses the name of something it declares, or that name with its prefix, for something else as well.
    #[error("`{0}` would be confused with what this fragment declares once that is prefixed with its hook")]
    NameCollision(&'static str),
    /// A parameter that is no scalar.
    #[error("`struct Params` may hold `name: u32`, `i32` or `f32` and nothing else")]
    ParamNotScalar,
    /// Two files give one name to a parameter.
    #[error("parameter `{0}` is declared twice")]
    ParamTwice(String),
    /// A read of a parameter that the file does not declare.
    #[error("`params.{0}` is not in this file's `struct Params`")]
    ParamUnknown(&'static str),
    /// `params` or `Params` elsewhere than in `params.member`: the merged struct has other members than the file's own.
    #[error("`{0}` is reserved: parameters are declared in one `struct Params` and read as `params.member`")]
    ParamReserved(&'static str),
    /// `// unroll` in front of something else than a loop.
    #[error("`// unroll` is not followed by a `for` loop")]
    UnrollWithoutLoop,
    /// A loop header that is not the one form compose unrolls.
    #[error("only `for (var i = 0u; i < BOUND; i++) {{ ... }}` can be unrolled")]
    UnrollHeader,
    /// A bound that is no constant, or that leaves u32 at some step.
    #[error(
        "cannot unroll up to `{0}`: a bound holds u32 literals, module constants that no function of the file hides, \
         + - * / % and parentheses"
    )]
    UnrollBound(String),
    /// `break` or `continue` of the unrolled loop itself.
    #[error("`{0}` leaves a loop that is marked `// unroll`")]
    UnrollJump(&'static str),
    /// More copies than compose makes.
    #[error("unrolling makes {0} copies of this loop's body, more than {MAX_COPIES}")]
    UnrollCopies(u64),
    /// A hook that does not read one array of f32, or of vectors of four, which a texture could take the place of.
    #[error("hook `{0}` does not read one array of f32 or vec4<f32>")]
    NoTexels(String),
    /// A constant that WGSL cannot write.
    #[error("constant `{0}` is not finite")]
    NotFinite(String),
}

impl Composition {
    /// The body alone: no fragments, immediates, no arena, loops unrolled.
    pub fn new(body: ShaderFile) -> Self {
        Self {
            body,
            fragments: Vec::new(),
            common: Vec::new(),
            constants: Vec::new(),
            enables: Vec::new(),
            params: ParamSpace::Immediate,
            arena: false,
            texels: Vec::new(),
            unroll: true,
        }
    }

    /// Whether the operand of a hook may be read through a texture: an array of f32, or of `vec4<f32>`.
    pub(crate) fn may_read_texels(&self, hook: &str) -> Result<bool, ComposeError> {
        Ok(texel_array(&self.units()?, hook).is_some())
    }

    /// Members of the merged parameter struct in order: the body's, the fragments', the common files'.
    ///
    /// Planning asks this at every operation: files are parsed once per process.
    pub fn fields(&self) -> Result<Vec<Field>, ComposeError> {
        merge_fields(&self.units()?)
    }

    /// The kernel's text and its map back to the files.
    pub fn compose(&self) -> Result<Source, ComposeError> {
        let units = self.units()?;
        let mut generated = self.generated_block(&merge_fields(&units)?)?;
        for hook in &self.texels {
            generated += &texel_function(&units, hook)?;
        }
        let edits = units.iter().map(|unit| unit.edits(self.arena, &self.texels)).collect::<Result<_, _>>()?;
        let source =
            Source { text: String::new(), files: units.iter().map(|unit| unit.file).collect(), pieces: Vec::new() };
        let mut writer = Writer { constants: Constants::new(&self.constants, &units), units: &units, edits, source };

        for extension in &self.enables {
            writer.source.push(&format!("enable {extension}; "), None);
        }
        for (index, Unit { file, .. }) in units.iter().enumerate() {
            if self.unroll {
                writer.unroll(index, 0..file.text.len(), 1)?;
            } else {
                writer.copy(index, 0..file.text.len());
            }
            // A last line without its newline may be a comment, and would swallow the next file's first line.
            if !file.text.ends_with('\n') {
                writer.source.push("\n", None);
            }
        }
        writer.source.push(&generated, None);
        Ok(writer.source)
    }

    fn units(&self) -> Result<Vec<Unit<'_>>, ComposeError> {
        let common = self.common.iter().enumerate().filter(|&(i, file)| !self.common[..i].contains(file));
        iter::once(("", self.body))
            .chain(self.fragments.iter().copied())
            .chain(common.map(|(_, &file)| ("", file)))
            .map(|(hook, file)| {
                let others = self.fragments.iter().filter(|&&other| other.0 == hook && other.1 != file);
                let others = others.map(|&(_, other)| parse_once(other)).collect::<Result<_, _>>()?;
                Ok(Unit { file, hook, parsed: parse_once(file)?, others, constants: &self.constants })
            })
            .collect()
    }

    fn generated_block(&self, fields: &[Field]) -> Result<String, ComposeError> {
        let mut block = String::new();
        for (hook, name, value) in &self.constants {
            let name = qualified(hook, name);
            block += &match *value {
                Value::U32(value) => format!("const {name}: u32 = {value}u;\n"),
                // Without a suffix: `-2147483648i` negates a literal that does not fit.
                Value::I32(value) => format!("const {name}: i32 = {value};\n"),
                Value::Bool(value) => format!("const {name}: bool = {value};\n"),
                Value::F32(bits) => match f32::from_bits(bits) {
                    // `{:?}` prints the shortest decimal that reads back as the same bits.
                    value if value.is_finite() => format!("const {name}: f32 = {value:?}f;\n"),
                    _ => return Err(ComposeError { at: None, problem: Problem::NotFinite(name) }),
                },
                Value::Type(ty) => format!("alias {name} = {ty};\n"),
            };
        }
        if !fields.is_empty() {
            block += "struct Params {\n";
            for Field { name, ty } in fields {
                block += &format!("    {name}: {},\n", ty.name());
            }
            block += "}\n";
            block += &match self.params {
                ParamSpace::Immediate => "var<immediate> params: Params;\n".to_string(),
                ParamSpace::Uniform { binding } => {
                    format!("@group(0) @binding({binding}) var<uniform> params: Params;\n")
                }
            };
        }
        Ok(block)
    }
}

fn merge_fields(units: &[Unit<'_>]) -> Result<Vec<Field>, ComposeError> {
    let mut fields: Vec<Field> = Vec::new();
    for unit in units {
        for &(index, ty) in &unit.parsed.fields {
            let name = qualified(unit.hook, unit.parsed.tokens[index].text);
            if fields.iter().any(|field| field.name == name) {
                return Err(unit.error(index, Problem::ParamTwice(name)));
            }
            fields.push(Field { name, ty });
        }
    }
    Ok(fields)
}

fn qualified(hook: &str, name: &str) -> String {
    if hook.is_empty() { name.to_string() } else { format!("{hook}_{name}") }
}

/// Line and column, from 1, of a byte offset. It works on bytes, so that an offset inside a character is no panic.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = before.split(|&byte| byte == b'\n').next_back().unwrap_or_default();
    let characters = line.iter().filter(|&byte| byte & 0xC0 != 0x80).count();
    (before.iter().filter(|&&byte| byte == b'\n').count() + 1, characters + 1)
}
