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

use std::{
    collections::{HashMap, HashSet},
    error::Error,
    fmt::{self, Write},
    hash::{Hash, Hasher},
    iter,
    ops::Range,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use naga::{Span, WithSpan, front::wgsl::ParseError, valid::ValidationError};

use crate::plan::TEXEL_ROW;

/// The most copies of one loop body, the copies of the loops around it multiplied in. Real register tiles stay far
/// below; the limit turns a bound mistaken for a tile size into an error instead of a megabyte of text.
const MAX_COPIES: u32 = 4096;

/// The most operands, names and parentheses evaluated for one loop bound. It also ends a constant defined by itself.
const MAX_OPERANDS: u32 = 256;

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
    /// The hooks whose operand is read through a texture, of four values in a texel and [`TEXEL_ROW`] texels in a row.
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

/// The one array that a hook reads, by its name in the composed text, and what it holds. `None` if it reads another number of arrays, or
/// something else.
fn texel_array(units: &[Unit<'_>], hook: &str) -> Option<(String, Held)> {
    let arrays = units.iter().flat_map(|unit| unit.arrays().map(move |array| (unit, array)));
    let mut own = arrays.filter(|(unit, array)| unit.hook_of(array) == Some(hook));
    let (unit, array) = own.next()?;
    let held = unit.held(&array)?;
    own.next().is_none().then(|| (unit.global(unit.text(array.name)), held))
}

/// The function through which a hook reads its texture.
fn texel_function(units: &[Unit<'_>], hook: &str) -> Result<String, ComposeError> {
    let (name, held) = texel_array(units, hook)
        .ok_or_else(|| ComposeError { at: None, problem: Problem::NoTexels(hook.to_string()) })?;
    let at = |texel: &str, row: u32| format!("textureLoad({name}, vec2({texel} % {TEXEL_ROW}u, i / {row}u))");
    let one = at("i / 4u", 4 * TEXEL_ROW) + "[i % 4u]";
    let (ty, value) = match held {
        Held::Float => ("f32", one),
        Held::FloatInArray => ("array<f32, 1>", format!("array<f32, 1>({one})")),
        Held::Vector => ("vec4<f32>", at("i", TEXEL_ROW)),
        Held::Word => ("u32", format!("bitcast<u32>({one})")),
        Held::Words => ("vec4<u32>", format!("bitcast<vec4<u32>>({})", at("i", TEXEL_ROW))),
    };
    Ok(format!("fn {name}_at(i: u32) -> {ty} {{\n    return {value};\n}}\n"))
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

// ---------------------------------------------------------------------------------------------------------------------
// Reading a file
// ---------------------------------------------------------------------------------------------------------------------

/// A word, a number or one character of punctuation.
struct Token {
    at: usize,
    text: &'static str,
    /// The index of the matching bracket of `()`, `[]`, `{}`; of the token itself otherwise. `partner + 1` is thus what
    /// follows a whole group.
    partner: usize,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(is_word_start)
    }

    fn end(&self) -> usize {
        self.at + self.text.len()
    }
}

/// A `// unroll` comment.
struct Mark {
    at: usize,
    /// The token that follows.
    next: usize,
}

/// What compose needs to know about a file, whichever hook it serves. Tokens are named by index.
#[derive(Default)]
struct Parsed {
    tokens: Vec<Token>,
    marks: Vec<Mark>,
    /// The tokens of `struct Params { ... }`.
    params: Range<usize>,
    /// Its members.
    fields: Vec<(usize, FieldType)>,
    /// Names declared at module scope, `Params` aside.
    declared: HashSet<&'static str>,
    /// Members of other structs, and parameters of functions.
    members: Vec<usize>,
    /// Names declared in functions.
    locals: HashSet<&'static str>,
    /// The module's u32 constants, and the tokens of their values.
    constants: Vec<(&'static str, Range<usize>)>,
}

/// The parse of a file, made once per process.
fn parse_once(file: ShaderFile) -> Result<Arc<Parsed>, ComposeError> {
    // The text's address and length belong to the key: two tests may give one path to two texts.
    type Key = (&'static str, usize, usize);
    static CACHE: LazyLock<Mutex<HashMap<Key, Arc<Parsed>>>> = LazyLock::new(Mutex::default);

    let key = (file.path, file.text.as_ptr().addr(), file.text.len());
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(parsed) = cache.get(&key) {
        return Ok(parsed.clone());
    }
    let parsed = Arc::new(parse(file)?);
    cache.insert(key, parsed.clone());
    Ok(parsed)
}

fn parse(file: ShaderFile) -> Result<Parsed, ComposeError> {
    let (tokens, marks) = scan(file)?;
    let mut parsed = Parsed { marks, ..Parsed::default() };
    let text = |i: usize| tokens.get(i).map_or("", |token| token.text);
    let mut i = 0;
    while i < tokens.len() {
        let name = match text(i) {
            "var" => after_template(&tokens, i + 1),
            "fn" | "struct" | "const" | "alias" | "override" => i + 1,
            "{" => {
                // A function's body: structs are skipped below.
                for j in i + 1..tokens[i].partner {
                    if matches!(text(j), "let" | "var" | "const") {
                        parsed.locals.insert(text(after_template(&tokens, j + 1)));
                    }
                }
                i
            }
            _ => i,
        };
        if name == i || !tokens.get(name).is_some_and(Token::is_word) {
            i = tokens[i].partner + 1;
            continue;
        }
        let group = name + 1;
        let end = tokens.get(group).map_or(group, |token| token.partner);
        if (text(i), text(name), text(group)) == ("struct", "Params", "{") && parsed.params.is_empty() {
            parsed.params = i..end + 1;
            parsed.fields = fields(file, &tokens, group + 1..end)?;
            i = end + 1;
            continue;
        }
        parsed.declared.insert(text(name));
        i = group;
        match (text(group), text(group + 1), text(group + 2)) {
            ("(" | "{", ..) => {
                // `name:` directly inside the bracket is a parameter or a member.
                let mut j = group + 1;
                while j < end {
                    if tokens[j].is_word() && text(j + 1) == ":" {
                        parsed.members.push(j);
                        parsed.locals.extend((text(group) == "(").then_some(text(j)));
                    }
                    j = tokens[j].partner + 1;
                }
                i = end + 1;
            }
            ("=", ..) | (":", "u32", "=") if text(name - 1) == "const" => {
                let value = if text(group) == "=" { group + 1 } else { group + 3 };
                let length = tokens[value..].iter().take_while(|token| token.text != ";").count();
                parsed.constants.push((text(name), value..value + length));
            }
            _ => {}
        }
    }
    parsed.tokens = tokens;
    Ok(parsed)
}

/// The members between the braces of `struct Params`.
fn fields(file: ShaderFile, tokens: &[Token], body: Range<usize>) -> Result<Vec<(usize, FieldType)>, ComposeError> {
    body.clone()
        .step_by(4)
        .map(|name| {
            let ty = match &tokens[name..body.end.min(name + 4)] {
                [word, colon, ty, comma @ ..]
                    if word.is_word() && colon.text == ":" && comma.iter().all(|comma| comma.text == ",") =>
                {
                    FieldType::named(ty.text)
                }
                _ => None,
            };
            Ok((name, ty.ok_or_else(|| file.error(tokens[name].at, Problem::ParamNotScalar))?))
        })
        .collect()
}

/// The index after a template list such as `<storage, read>` at `i`, if there is one.
fn after_template(tokens: &[Token], i: usize) -> usize {
    let mut depth = 0usize;
    for (offset, token) in tokens.get(i..).unwrap_or_default().iter().enumerate() {
        match token.text {
            "<" => depth += 1,
            ">" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return i + offset + usize::from(token.text == ">");
        }
    }
    i
}

/// Splits a file into tokens. Comments are dropped; `// unroll` is kept aside.
fn scan(file: ShaderFile) -> Result<(Vec<Token>, Vec<Mark>), ComposeError> {
    let text = file.text;
    let (mut tokens, mut marks, mut open) = (Vec::<Token>::new(), Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        if rest.starts_with("//") {
            let comment = rest.split(is_line_break).next().unwrap_or(rest);
            if comment[2..].trim() == "unroll" {
                marks.push(Mark { at, next: tokens.len() });
            }
            at += comment.len();
            continue;
        }
        if rest.starts_with("/*") {
            at += block_comment(rest);
            continue;
        }
        if first.is_whitespace() || matches!(first, '\u{200e}' | '\u{200f}') {
            at += first.len_utf8();
            continue;
        }
        let length = match first {
            _ if is_word_start(first) => rest.find(|c: char| !is_word_part(c)).unwrap_or(rest.len()),
            '0'..='9' => rest.find(|c: char| !is_word_part(c) && c != '.').unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let index = tokens.len();
        let mut partner = index;
        match first {
            '(' | '[' | '{' => open.push(index),
            ')' | ']' | '}' => {
                let opening = match first {
                    ')' => "(",
                    ']' => "[",
                    _ => "{",
                };
                match open.pop() {
                    Some(other) if tokens[other].text == opening => {
                        tokens[other].partner = index;
                        partner = other;
                    }
                    // The inner bracket is the one that was forgotten, more often than not.
                    Some(other) => return Err(file.error(tokens[other].at, Problem::Unbalanced(tokens[other].text))),
                    None => return Err(file.error(at, Problem::Unbalanced(&rest[..length]))),
                }
            }
            _ => {}
        }
        tokens.push(Token { at, text: &rest[..length], partner });
        at += length;
    }
    match open.pop() {
        Some(other) => Err(file.error(tokens[other].at, Problem::Unbalanced(tokens[other].text))),
        None => Ok((tokens, marks)),
    }
}

/// The length of the block comment at the start of `text`. Block comments nest.
fn block_comment(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0, 0);
    while at < bytes.len() {
        match bytes[at..] {
            [b'/', b'*', ..] => depth += 1,
            [b'*', b'/', ..] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    // Unterminated: naga says so, at its start.
    text.len()
}

fn is_line_break(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_word_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

// ---------------------------------------------------------------------------------------------------------------------
// Prefix, parameters, arena, texels
// ---------------------------------------------------------------------------------------------------------------------

/// A file in its place in a composition.
struct Unit<'a> {
    file: ShaderFile,
    /// `""` for the body and for common files.
    hook: &'static str,
    parsed: Arc<Parsed>,
    /// The other fragments of the hook.
    others: Vec<Arc<Parsed>>,
    constants: &'a [(&'static str, &'static str, Value)],
}

/// An array in storage that a file reads, by its tokens.
struct ReadArray {
    var: usize,
    /// The number of its binding.
    binding: usize,
    name: usize,
    ty: Range<usize>,
}

/// What an array that texels take the place of holds.
#[derive(Clone, Copy)]
enum Held {
    Float,
    FloatInArray,
    Vector,
    Word,
    Words,
}

/// A change of a file's text. A replacement of the same length keeps the map byte by byte; all bytes of any other come
/// from `range.start`.
struct Edit {
    range: Range<usize>,
    replacement: String,
}

impl Unit<'_> {
    fn text(&self, token: usize) -> &'static str {
        self.parsed.tokens.get(token).map_or("", |token| token.text)
    }

    fn error(&self, token: usize, problem: Problem) -> ComposeError {
        // Past the last token stands the end of the file.
        let at = self.parsed.tokens.get(token).map_or(self.file.text.len(), |token| token.at);
        self.file.error(at, problem)
    }

    /// Whether the hook's prefix goes in front of a name.
    fn prefixes(&self, name: &str) -> bool {
        let generated = || self.constants.iter().any(|&(hook, constant, _)| hook == self.hook && constant == name);
        let declared = || iter::once(&self.parsed).chain(&self.others).any(|file| file.declared.contains(name));
        !self.hook.is_empty() && (declared() || generated())
    }

    /// A module-scope name as the composed text spells it.
    fn global(&self, name: &str) -> String {
        qualified(if self.prefixes(name) { self.hook } else { "" }, name)
    }

    /// The arrays in storage that the file reads: `@binding(BINDING) var<storage, read> data: array<Elem>;`.
    fn arrays(&self) -> impl Iterator<Item = ReadArray> + '_ {
        let tokens = &self.parsed.tokens;
        let starts_with =
            |i: usize, words: &[&str]| words.iter().enumerate().all(|(j, &word)| self.text(i + j) == word);
        (2..tokens.len()).filter_map(move |var| {
            let declares = starts_with(var, &["var", "<", "storage", ",", "read", ">"]);
            let binding = (declares && starts_with(var - 1, &[")"])).then_some(var - 2)?;
            let (name, ty) = (var + 6, var + 8);
            let length = tokens.get(ty..)?.iter().take_while(|token| token.text != ";").count();
            (starts_with(ty, &["array", "<"]) && length > 3).then_some(ReadArray {
                var,
                binding,
                name,
                ty: ty..ty + length,
            })
        })
    }

    /// The hook that names an array's binding: the file's own, or in a body `input` for `input_BINDING`.
    fn hook_of(&self, array: &ReadArray) -> Option<&'static str> {
        let binding = self.text(array.binding);
        match self.hook {
            "" => binding.strip_suffix("_BINDING"),
            hook => (binding == "BINDING").then_some(hook),
        }
    }

    /// What an array holds, if texels can hold it.
    fn held(&self, array: &ReadArray) -> Option<Held> {
        let inside = array.ty.start + 2..array.ty.end - 1;
        let words: Vec<&str> = inside.map(|i| self.text(i)).collect();
        match words[..] {
            [word] => match self.resolved(word) {
                "f32" => Some(Held::Float),
                "u32" => Some(Held::Word),
                "array<f32, 1>" => Some(Held::FloatInArray),
                ty => self.held_in_fours(ty.strip_prefix("vec4<")?.strip_suffix('>')?),
            },
            ["vec4", "<", word, ">"] => self.held_in_fours(word),
            _ => None,
        }
    }

    /// Likewise of vectors of four.
    fn held_in_fours(&self, element: &'static str) -> Option<Held> {
        match self.resolved(element) {
            "f32" => Some(Held::Vector),
            "u32" => Some(Held::Words),
            _ => None,
        }
    }

    /// What generated aliases make of a type's name.
    fn resolved(&self, mut word: &'static str) -> &'static str {
        // One of an alias is enough for the files that there are, and none of itself goes on for ever.
        for _ in 0..2 {
            let hook = if self.prefixes(word) { self.hook } else { "" };
            let alias = self.constants.iter().find(|&&(of, name, _)| of == hook && name == word);
            match alias {
                Some((.., Value::Type(ty))) => word = ty,
                _ => break,
            }
        }
        word
    }

    /// The changes of prefix, parameters, arena and texels, in the order of the text.
    fn edits(&self, arena: bool, texels: &[&str]) -> Result<Vec<Edit>, ComposeError> {
        let parsed = &*self.parsed;
        let textures: Vec<ReadArray> =
            self.arrays().filter(|array| self.hook_of(array).is_some_and(|hook| texels.contains(&hook))).collect();
        // Where the brackets around indices end that become those of a call.
        let mut closing = HashSet::new();
        if let Some(&member) = parsed.members.iter().find(|&&member| self.prefixes(self.text(member))) {
            // Member access is not prefixed, so a member's declaration must not be.
            return Err(self.error(member, Problem::NameCollision(self.text(member))));
        }
        let prefix = qualified(self.hook, "");
        let insert = |at, text: &str| Edit { range: at..at, replacement: text.to_string() };
        let mut edits = Vec::new();
        let mut i = 0;
        while let Some(token) = parsed.tokens.get(i) {
            if parsed.params.contains(&i) {
                let range = token.at..parsed.tokens[parsed.params.end - 1].end();
                edits.push(Edit { replacement: blank(&self.file.text[range.clone()]), range });
                i = parsed.params.end;
                continue;
            }
            if let Some(texture) = textures.iter().find(|texture| texture.var == i) {
                let template = parsed.tokens[i + 1].at..parsed.tokens[i + 5].end();
                edits.push(Edit { range: template, replacement: String::new() });
                if self.prefixes(self.text(texture.name)) {
                    edits.push(insert(parsed.tokens[texture.name].at, &prefix));
                }
                let ty = parsed.tokens[texture.ty.start].at..parsed.tokens[texture.ty.end - 1].end();
                edits.push(Edit { range: ty, replacement: "texture_storage_2d<rgba32float, read>".into() });
                i = texture.ty.end;
                continue;
            }
            if closing.remove(&i) {
                edits.push(Edit { range: token.at..token.end(), replacement: ")".into() });
            } else if self.text(i + 1) == "["
                && (i == 0 || self.text(i - 1) != ".")
                && textures.iter().any(|texture| self.text(texture.name) == token.text)
            {
                if self.prefixes(token.text) {
                    edits.push(insert(token.at, &prefix));
                }
                let bracket = &parsed.tokens[i + 1];
                edits.push(Edit { range: bracket.at..bracket.end(), replacement: "_at(".into() });
                closing.insert(bracket.partner);
                i += 2;
                continue;
            }
            i = match token.text {
                // Words that name no declaration, though one may have their name: members, attributes and the
                // built-in values they take, address spaces and access modes.
                "." => i + 2,
                "@" if matches!(self.text(i + 1), "builtin" | "interpolate" | "diagnostic") => {
                    parsed.tokens.get(i + 2).map_or(i + 2, |group| group.partner + 1)
                }
                "@" => i + 2,
                "ptr" if self.text(i + 1) == "<" => i + 3,
                "var" => {
                    let end = after_template(&parsed.tokens, i + 1);
                    let template: Vec<_> = (i + 1..end).map(|i| self.text(i)).collect();
                    match template[..] {
                        ["<", "storage", ",", "read", ..] if arena => {
                            let read = &parsed.tokens[i + 4];
                            edits.push(Edit { range: read.at..read.end(), replacement: "read_write".into() });
                        }
                        ["<", "storage", ">"] if arena => edits.push(insert(parsed.tokens[i + 3].at, ", read_write")),
                        _ => {}
                    }
                    end
                }
                "params" if self.text(i + 1) == "." => {
                    let field = self.text(i + 2);
                    if !parsed.fields.iter().any(|&(index, _)| self.text(index) == field) {
                        return Err(self.error(i, Problem::ParamUnknown(field)));
                    }
                    if !prefix.is_empty() {
                        edits.push(insert(parsed.tokens[i + 2].at, &prefix));
                    }
                    i + 3
                }
                "params" | "Params" => return Err(self.error(i, Problem::ParamReserved(token.text))),
                name if self.prefixes(name) => {
                    edits.push(insert(token.at, &prefix));
                    i + 1
                }
                // A local of the name that a declaration is about to take would capture its uses.
                name if !prefix.is_empty() && name.strip_prefix(&prefix).is_some_and(|name| self.prefixes(name)) => {
                    return Err(self.error(i, Problem::NameCollision(name)));
                }
                _ => i + 1,
            };
        }
        Ok(edits)
    }
}

/// As many bytes of blank text, with the same line breaks.
fn blank(text: &str) -> String {
    text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { byte as char } else { ' ' }).collect()
}

// ---------------------------------------------------------------------------------------------------------------------
// Unrolling
// ---------------------------------------------------------------------------------------------------------------------

/// The module's u32 constants under the names of the composed text.
struct Constants<'a> {
    units: &'a [Unit<'a>],
    definitions: HashMap<String, Definition>,
}

enum Definition {
    Value(u32),
    Expression { unit: usize, tokens: Range<usize> },
}

impl<'a> Constants<'a> {
    fn new(generated: &[(&'static str, &'static str, Value)], units: &'a [Unit<'a>]) -> Self {
        let mut definitions = HashMap::new();
        for (unit, of) in units.iter().enumerate() {
            for (name, tokens) in &of.parsed.constants {
                definitions.insert(of.global(name), Definition::Expression { unit, tokens: tokens.clone() });
            }
        }
        for (hook, name, value) in generated {
            if let Value::U32(value) = *value {
                definitions.insert(qualified(hook, name), Definition::Value(value));
            }
        }
        Self { units, definitions }
    }

    /// The value of an expression of a unit; `None` for anything but a constant that fits a u32 at every step.
    fn evaluate(&self, unit: usize, mut tokens: Range<usize>, fuel: &mut u32) -> Option<u32> {
        let value = self.operation(unit, &mut tokens, &[&["+", "-"], &["*", "/", "%"]], fuel)?;
        tokens.is_empty().then_some(value)
    }

    /// Takes operations of the levels given, the loosest first, from the front of `tokens`.
    fn operation(&self, unit: usize, tokens: &mut Range<usize>, levels: &[&[&str]], fuel: &mut u32) -> Option<u32> {
        let Some((level, tighter)) = levels.split_first() else {
            return self.operand(unit, tokens, fuel);
        };
        let mut left = self.operation(unit, tokens, tighter, fuel)?;
        let is_next = |operator: &str, tokens: &Range<usize>| {
            tokens.start < tokens.end && self.units[unit].text(tokens.start) == operator
        };
        while let Some(&operator) = level.iter().find(|operator| is_next(operator, tokens)) {
            tokens.start += 1;
            let right = self.operation(unit, tokens, tighter, fuel)?;
            left = match operator {
                "+" => left.checked_add(right),
                "-" => left.checked_sub(right),
                "*" => left.checked_mul(right),
                "/" => left.checked_div(right),
                _ => left.checked_rem(right),
            }?;
        }
        Some(left)
    }

    fn operand(&self, unit: usize, tokens: &mut Range<usize>, fuel: &mut u32) -> Option<u32> {
        *fuel = fuel.checked_sub(1)?;
        let of = &self.units[unit];
        let index = tokens.next()?;
        let text = of.text(index);
        if text == "(" {
            let close = of.parsed.tokens[index].partner;
            tokens.start = close + 1;
            return self.evaluate(unit, index + 1..close, fuel);
        }
        if text.starts_with(is_word_start) {
            return match self.definitions.get(&of.global(text))? {
                Definition::Value(value) => Some(*value),
                Definition::Expression { unit, tokens } => self.evaluate(*unit, tokens.clone(), fuel),
            };
        }
        let digits = text.strip_suffix('u').unwrap_or(text);
        match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
            Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok(),
            None => digits.parse().ok(),
        }
    }
}

/// A loop that can be unrolled, by its tokens.
struct Loop {
    variable: usize,
    bound: Range<usize>,
    body: Range<usize>,
}

impl Unit<'_> {
    /// The loop whose `for` is at token `at`: `for (var i = 0u; i < BOUND; i++) {`.
    fn unrollable(&self, at: usize) -> Option<Loop> {
        let tokens = &self.parsed.tokens;
        let close = tokens.get(at + 1)?.partner;
        let header: Vec<_> = (at + 1..=close).map(|i| self.text(i)).collect();
        let (variable, rest) = match header[..] {
            ["(", "var", variable, "=", "0u", ";", ref rest @ ..]
            | ["(", "var", variable, ":", "u32", "=", "0u" | "0", ";", ref rest @ ..] => (variable, rest),
            _ => return None,
        };
        let (names, bound) = match *rest {
            [compared, "<", ref bound @ .., ";", stepped, "+", "+", ")"]
            | [compared, "<", ref bound @ .., ";", stepped, "+", "=", "1u" | "1", ")"] => ([compared, stepped], bound),
            _ => return None,
        };
        let start = close + 3 - rest.len();
        let bound = start..start + bound.len();
        (names == [variable; 2] && self.text(close + 1) == "{").then(|| Loop {
            variable: at + 3,
            bound,
            body: close + 2..tokens[close + 1].partner,
        })
    }

    /// A `break` or `continue` in a loop's body that belongs to the loop itself.
    fn stray_jump(&self, body: Range<usize>) -> Option<usize> {
        // The keyword in front of every open brace, if it is one that takes jumps.
        let (mut scopes, mut keyword) = (Vec::new(), "");
        body.into_iter().find(|&i| {
            match self.text(i) {
                word @ ("for" | "while" | "loop" | "switch") => keyword = word,
                "{" => scopes.push(std::mem::take(&mut keyword)),
                "}" => _ = scopes.pop(),
                "break" => return scopes.iter().all(|scope| scope.is_empty()),
                "continue" => return scopes.iter().all(|scope| matches!(*scope, "" | "switch")),
                _ => {}
            }
            false
        })
    }
}

/// Writes the composed text.
struct Writer<'a> {
    units: &'a [Unit<'a>],
    /// The edits of each unit.
    edits: Vec<Vec<Edit>>,
    constants: Constants<'a>,
    source: Source,
}

impl Writer<'_> {
    /// Copies bytes of a file, with their edits. An insertion belongs to the byte it stands in front of.
    fn copy(&mut self, unit: usize, mut bytes: Range<usize>) {
        let text = self.units[unit].file.text;
        let edits = &self.edits[unit];
        let first = edits.partition_point(|edit| edit.range.start < bytes.start);
        for Edit { range, replacement } in edits[first..].iter().take_while(|edit| edit.range.start < bytes.end) {
            self.source.push(&text[bytes.start..range.start], Some(Origin::verbatim(unit, bytes.start)));
            let verbatim = replacement.len() == range.len();
            self.source.push(replacement, Some(Origin { file: unit, at: range.start, verbatim }));
            bytes.start = range.end;
        }
        self.source.push(&text[bytes.clone()], Some(Origin::verbatim(unit, bytes.start)));
    }

    /// Copies bytes of a file and unrolls the marked loops in them. `copies` is how often the text around is repeated.
    fn unroll(&mut self, unit: usize, mut bytes: Range<usize>, copies: u64) -> Result<(), ComposeError> {
        let of @ Unit { file, parsed, .. } = &self.units[unit];
        for mark in &parsed.marks[parsed.marks.partition_point(|mark| mark.at < bytes.start)..] {
            if mark.at < bytes.start {
                // Inside a loop that has just been unrolled, or a second mark of it.
                continue;
            }
            if mark.at >= bytes.end {
                break;
            }
            if of.text(mark.next) != "for" {
                return Err(file.error(mark.at, Problem::UnrollWithoutLoop));
            }
            let Loop { variable, bound, body } =
                of.unrollable(mark.next).ok_or_else(|| of.error(mark.next, Problem::UnrollHeader))?;
            if let Some(jump) = of.stray_jump(body.clone()) {
                return Err(of.error(jump, Problem::UnrollJump(of.text(jump))));
            }
            // A local constant or variable may hide the module's.
            let hidden = bound.clone().any(|i| parsed.locals.contains(of.text(i)));
            let mut fuel = if hidden { 0 } else { MAX_OPERANDS };
            let count = self.constants.evaluate(unit, bound.clone(), &mut fuel).ok_or_else(|| {
                let end = parsed.tokens[bound.end - 1].end();
                let text = file.text.get(parsed.tokens[bound.start].at..end).unwrap_or_default();
                of.error(bound.start, Problem::UnrollBound(text.to_string()))
            })?;
            let copies = copies * u64::from(count);
            if copies > u64::from(MAX_COPIES) {
                return Err(of.error(mark.next, Problem::UnrollCopies(copies)));
            }

            let [keyword, variable] = [mark.next, variable].map(|i| parsed.tokens[i].at..parsed.tokens[i].end());
            let header = Origin { file: unit, at: keyword.start, verbatim: false };
            let inside = parsed.tokens[body.start - 1].end()..parsed.tokens[body.end].at;
            let closing = inside.end..inside.end + 1;
            self.copy(unit, bytes.start..keyword.start);
            for value in 0..count {
                self.source.push(if value == 0 { "{ const " } else { " { const " }, Some(header));
                self.copy(unit, variable.clone());
                self.source.push(&format!(" = {value}u;"), Some(header));
                self.unroll(unit, inside.clone(), copies)?;
                self.copy(unit, closing.clone());
            }
            bytes.start = closing.end;
        }
        self.copy(unit, bytes);
        Ok(())
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The composed text
// ---------------------------------------------------------------------------------------------------------------------

/// A composed kernel: its text, and where every byte of it came from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The WGSL.
    pub text: String,
    files: Vec<ShaderFile>,
    /// In the order of `start`.
    pieces: Vec<Piece>,
}

/// A run of bytes of the composed text that came from one place.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: usize,
    origin: Option<Origin>,
}

#[derive(Clone, Copy, Debug)]
struct Origin {
    file: usize,
    at: usize,
    /// Whether the piece's bytes are those from `at` on; all of them came from `at` otherwise.
    verbatim: bool,
}

impl Origin {
    fn verbatim(file: usize, at: usize) -> Self {
        Self { file, at, verbatim: true }
    }
}

impl Source {
    /// The place that byte `offset` of the text came from; `None` in the generated block and past the end.
    ///
    /// A prefix is where its name is, a generated line of an unrolled loop where the loop's `for` is.
    pub fn locate(&self, offset: usize) -> Option<Location> {
        let (file, at) = self.origin(offset)?;
        Some(file.locate(at))
    }

    /// naga's parse error in terms of the files.
    pub fn describe_parse_error(&self, error: &ParseError) -> String {
        self.describe(error.message(), error.labels(), error.notes().map(str::to_string))
    }

    /// naga's validation error in terms of the files.
    pub fn describe_validation_error(&self, error: &WithSpan<ValidationError>) -> String {
        let labels = error.spans().map(|(span, label)| (*span, label.as_str()));
        let causes = iter::successors(error.as_inner().source(), |&cause| cause.source());
        self.describe(&error.as_inner().to_string(), labels, causes.map(|cause| cause.to_string()))
    }

    fn push(&mut self, text: &str, origin: Option<Origin>) {
        if !text.is_empty() {
            self.pieces.push(Piece { start: self.text.len(), origin });
            self.text.push_str(text);
        }
    }

    fn origin(&self, offset: usize) -> Option<(ShaderFile, usize)> {
        if offset >= self.text.len() {
            return None;
        }
        let index = self.pieces.partition_point(|piece| piece.start <= offset).checked_sub(1)?;
        let Piece { start, origin } = self.pieces[index];
        let Origin { file, at, verbatim } = origin?;
        Some((self.files[file], if verbatim { at + offset - start } else { at }))
    }

    /// An error as rustc prints one.
    fn describe<'a>(
        &self,
        message: &str,
        labels: impl Iterator<Item = (Span, &'a str)>,
        notes: impl Iterator<Item = String>,
    ) -> String {
        let mut out = format!("error: {message}\n");
        for (span, label) in labels {
            let Some(span) = span.to_range() else { continue };
            // The generated block has no file: its lines are the composed text's.
            let place = |offset| match self.origin(offset) {
                Some((file, at)) => (file.path, file.text, at),
                None => ("(composed text)", self.text.as_str(), offset),
            };
            let (path, text, first) = place(span.start);
            let (last_path, _, last) = place(span.end.saturating_sub(1));
            let (line, column) = position(text, first);
            let (last_line, last_column) = position(text, last);

            let code = text.split('\n').nth(line - 1).unwrap_or_default().trim_end();
            let indent: String = code.chars().take(column - 1).map(|c| if c == '\t' { c } else { ' ' }).collect();
            let to_line_end = code.chars().count().saturating_sub(column - 1);
            let one_line = last_path == path && last_line == line;
            let width = if one_line { (last_column + 1).saturating_sub(column) } else { to_line_end };
            let carets = "^".repeat(width.clamp(1, to_line_end.max(1)));
            let number = line.to_string();
            let gutter = " ".repeat(number.len() + 1);
            // Writing to a string does not fail.
            _ = writeln!(out, "{gutter}--> {path}:{line}:{column}\n{gutter} |\n{number}  | {code}");
            _ = writeln!(out, "{}", format!("{gutter} | {indent}{carets} {label}").trim_end());
        }
        for note in notes {
            _ = writeln!(out, "  = note: {note}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use naga::{
        Module, back,
        valid::{Capabilities, ModuleInfo, ValidationFlags, Validator},
    };

    fn file(path: &'static str, text: &'static str) -> ShaderFile {
        ShaderFile { path, text }
    }

    const BODY: &str = "\
struct Params { m: u32, /* rows, } */ scale: f32 }
@group(0) @binding(OUT) var<storage, read_write> out: array<Elem>;

@compute @workgroup_size(WG_X, WG_Y)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < params.m {
        out[id.x] = half(a_load(id.x) + b_load(id.x)) * Elem(params.scale);
    }
}
";

    // Comments name `load` and `values`; `read` is an access mode and a function; the last line ends without a newline.
    const LOAD: &str = "\
// load() reads `values`.
struct Params {
    offset: u32, // in elements
    stride: i32,
}
@group(0) @binding(BINDING) var<storage, read> values: array<Elem>;
struct State { x: u32 }
fn read(i: u32) -> Elem { return values[i]; }
/* load /* load */ load */ fn load(i: u32) -> Elem { let s = State(i + params.offset); return read(s.x); } // load";

    const HALF: &str = "fn half(x: Elem) -> Elem { return x / 2; }\n";

    fn sum() -> Composition {
        let load = file("load.wgsl", LOAD);
        let half = file("half.wgsl", HALF);
        Composition {
            fragments: vec![("a", load), ("b", load)],
            common: vec![half, half],
            constants: vec![
                ("", "Elem", Value::Type("f32")),
                ("a", "BINDING", Value::U32(0)),
                ("b", "BINDING", Value::U32(1)),
                ("", "OUT", Value::U32(2)),
                ("", "WG_X", Value::U32(8)),
                ("", "WG_Y", Value::U32(4)),
            ],
            ..Composition::new(file("body.wgsl", BODY))
        }
    }

    /// Composes one body of inline text.
    fn compose(text: &'static str) -> Result<Source, ComposeError> {
        let constants = vec![("", "TILE", Value::U32(4)), ("", "SIGNED", Value::I32(4))];
        Composition { constants, ..Composition::new(file("body.wgsl", text)) }.compose()
    }

    /// What is wrong with a body, and where.
    fn refusal(text: &'static str) -> (Problem, usize, usize) {
        let ComposeError { at, problem } = compose(text).expect_err(text);
        let at = at.expect("a file is at fault");
        assert_eq!(at.path, "body.wgsl");
        (problem, at.line, at.column)
    }

    /// Validates the text, and the exactness of its map; returns the module.
    fn validate(source: &Source) -> (Module, ModuleInfo) {
        for (offset, byte) in source.text.bytes().enumerate() {
            let piece = source.pieces[source.pieces.partition_point(|piece| piece.start <= offset) - 1];
            if let Some(origin @ Origin { verbatim: true, .. }) = piece.origin {
                let text = source.files[origin.file].text;
                let original = text.as_bytes()[origin.at + offset - piece.start];
                assert!(byte == original || byte == b' ', "byte {offset} of\n{}", source.text);
            }
        }
        let module = naga::front::wgsl::parse_str(&source.text)
            .unwrap_or_else(|error| panic!("{}\n{}", source.describe_parse_error(&error), source.text));
        let info = Validator::new(ValidationFlags::all(), Capabilities::IMMEDIATES | Capabilities::SHADER_FLOAT16)
            .validate(&module)
            .unwrap_or_else(|error| panic!("{}\n{}", source.describe_validation_error(&error), source.text));
        (module, info)
    }

    /// Where the n-th occurrence of `token` in the composed text came from.
    fn located(source: &Source, token: &str, n: usize) -> String {
        let (offset, _) = source.text.match_indices(token).nth(n).expect(token);
        source.locate(offset).map_or("generated".into(), |at| at.to_string())
    }

    #[test]
    fn one_file_serves_two_hooks_on_every_backend() {
        for params in [ParamSpace::Immediate, ParamSpace::Uniform { binding: 3 }] {
            for arena in [false, true] {
                let (module, info) = validate(&Composition { params, arena, ..sum() }.compose().unwrap());
                // naga takes a module constant as a binding number and as a workgroup size.
                let binding = |name: &str| {
                    let (_, var) =
                        module.global_variables.iter().find(|(_, var)| var.name.as_deref() == Some(name)).unwrap();
                    var.binding.unwrap().binding
                };
                assert_eq!((binding("a_values"), binding("b_values"), binding("out")), (0, 1, 2));
                assert_eq!(module.entry_points[0].workgroup_size, [8, 4, 1]);

                back::spv::write_vec(&module, &info, &Default::default(), None).unwrap();
                let msl = back::msl::Options { fake_missing_bindings: true, ..Default::default() };
                back::msl::write_string(&module, &info, &msl, &Default::default()).unwrap();
                let (hlsl, pipeline) = (
                    back::hlsl::Options { immediates_target: Some(Default::default()), ..Default::default() },
                    Default::default(),
                );
                back::hlsl::Writer::new(&mut String::new(), &hlsl, &pipeline).write(&module, &info, None).unwrap();
            }
        }
    }

    #[test]
    fn prefixes_declarations_and_nothing_else() {
        let text = sum().compose().unwrap().text;
        for line in [
            "// load() reads `values`.",
            "@group(0) @binding(b_BINDING) var<storage, read> b_values: array<Elem>;",
            "struct b_State { x: u32 }",
            "fn b_read(i: u32) -> Elem { return b_values[i]; }",
            "/* load /* load */ load */ fn b_load(i: u32) -> Elem { let s = b_State(i + params.b_offset); return b_read(s.x); } // load",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
        }
        assert_eq!(text.matches("fn half").count(), 1, "a common file is included once");
    }

    #[test]
    fn files_of_a_hook_see_each_other() {
        let value = file("value.wgsl", "struct State { x: u32 }\nfn load(s: State) -> u32 { return s.x; }\n");
        let pair = file(
            "pair.wgsl",
            "fn pair(s: State) -> u32 { // unroll\nfor (var i = 0u; i < N; i++) {} return load(s); }\n",
        );
        let count = file("count.wgsl", "const N = 2u;\n");
        let fragments = vec![("a", value), ("a", pair), ("a", count), ("b", value)];
        let text = Composition { fragments, ..Composition::new(file("body.wgsl", "")) }.compose().unwrap().text;
        assert!(text.contains("fn a_pair(s: a_State) -> u32"), "{text}");
        assert!(text.contains("{ const i = 1u;} return a_load(s); }"), "{text}");
        naga::front::wgsl::parse_str(&text).unwrap();
    }

    #[test]
    fn words_that_name_no_declaration_keep_their_spelling() {
        let fragment = "\
fn storage() {} fn function() {} fn position() {} fn x() {} alias group = u32;
@group(0) @binding(0) var<storage> data: array<vec2<f32>>;
fn f(@builtin(position) p: vec4<f32>, q: ptr<function, group>) -> f32 { return data[0].x + p.x; }
";
        let fragments = vec![("a", file("f.wgsl", fragment))];
        let source = Composition { fragments, ..Composition::new(file("body.wgsl", "")) }.compose().unwrap();
        assert_eq!(
            source.text.trim_start(),
            "\
fn a_storage() {} fn a_function() {} fn a_position() {} fn a_x() {} alias a_group = u32;
@group(0) @binding(0) var<storage> a_data: array<vec2<f32>>;
fn a_f(@builtin(position) p: vec4<f32>, q: ptr<function, a_group>) -> f32 { return a_data[0].x + p.x; }
"
        );
    }

    #[test]
    fn refuses_names_a_prefix_would_confuse() {
        let refusal = |text| {
            let fragments = vec![("a", file("f.wgsl", text))];
            let constants = vec![("a", "BINDING", Value::U32(0))];
            let composition = Composition { fragments, constants, ..Composition::new(file("body.wgsl", "")) };
            composition.compose().expect_err(text).to_string()
        };
        let reason = "would be confused with what this fragment declares once that is prefixed with its hook";
        for (text, at) in [
            ("fn load() {}\nstruct S { i: u32, load: u32 }", "f.wgsl:2:20: `load`"),
            ("struct S { BINDING: u32 }", "f.wgsl:1:12: `BINDING`"),
            ("fn f(@builtin(position) g: u32) {}\nfn g() {}", "f.wgsl:1:25: `g`"),
            ("const n = 1u;\nfn f() -> u32 { let a_n = 2u; return n; }", "f.wgsl:2:21: `a_n`"),
        ] {
            assert_eq!(refusal(text), format!("{at} {reason}"));
        }
    }

    #[test]
    fn merges_parameters_in_order() {
        use FieldType::{F32, I32, U32};
        let fields = sum().fields().unwrap();
        let fields: Vec<_> = fields.iter().map(|field| (&*field.name, field.ty)).collect();
        let expected =
            [("m", U32), ("scale", F32), ("a_offset", U32), ("a_stride", I32), ("b_offset", U32), ("b_stride", I32)];
        assert_eq!(fields, expected);
        let immediate = sum().compose().unwrap().text;
        assert!(immediate.ends_with(
            "struct Params {\n    m: u32,\n    scale: f32,\n    a_offset: u32,\n    a_stride: i32,\n    b_offset: u32,\n    \
             b_stride: i32,\n}\nvar<immediate> params: Params;\n"
        ));
        let uniform = Composition { params: ParamSpace::Uniform { binding: 7 }, ..sum() }.compose().unwrap().text;
        assert!(uniform.ends_with("@group(0) @binding(7) var<uniform> params: Params;\n"));
        assert!(!compose("fn f() {}").unwrap().text.contains("arams"), "no fields, no struct");
    }

    #[test]
    fn refuses_parameters_that_cannot_be_merged() {
        for text in ["struct Params { v: vec2<u32> }", "struct Params { v: f16, }", "struct Params { v }"] {
            assert_eq!(refusal(text), (Problem::ParamNotScalar, 1, 17));
        }
        assert_eq!(refusal("struct Params { @size(16) v: u32 }"), (Problem::ParamNotScalar, 1, 17));
        assert_eq!(refusal("struct Params { v: u32,, }"), (Problem::ParamNotScalar, 1, 24));
        assert_eq!(refusal("struct Params { m: u32, m: i32 }"), (Problem::ParamTwice("m".into()), 1, 25));
        assert_eq!(
            refusal("struct Params { m: u32 }\nfn f() -> u32 {\n    return params.n; }"),
            (Problem::ParamUnknown("n"), 3, 12)
        );
        assert_eq!(refusal("fn f() -> u32 { return params.m; }"), (Problem::ParamUnknown("m"), 1, 24));
        assert_eq!(
            refusal("struct Params { m: u32 }\nfn f() { let p = params; }"),
            (Problem::ParamReserved("params"), 2, 18)
        );
        assert_eq!(refusal("struct Params { m: u32 }\nfn f(p: Params) {}"), (Problem::ParamReserved("Params"), 2, 9));

        let twice = Composition {
            fragments: vec![("a", file("f.wgsl", "\nstruct Params { m: u32 }"))],
            ..Composition::new(file("body.wgsl", "struct Params { a_m: u32 }"))
        };
        assert_eq!(twice.fields().unwrap_err().to_string(), "f.wgsl:2:17: parameter `a_m` is declared twice");
    }

    #[test]
    fn arena_makes_read_only_storage_read_write() {
        let text = "\
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var < storage ,read/* only */> b: array<u32>;
@group(0) @binding(2) var<storage> c: array<u32>;
@group(0) @binding(3) var<storage, read_write> d: array<u32>;
var<workgroup> read: u32;
";
        let source = Composition { arena: true, ..Composition::new(file("body.wgsl", text)) }.compose().unwrap();
        assert_eq!(
            source.text,
            text.replace("read>", "read_write>")
                .replace("read/*", "read_write/*")
                .replace("<storage>", "<storage, read_write>")
        );
        validate(&source);
        assert_eq!(located(&source, "array", 1), "body.wgsl:2:57");
    }

    #[test]
    fn writes_every_kind_of_constant() {
        let constants = vec![
            ("", "U", Value::U32(u32::MAX)),
            ("", "I", Value::I32(i32::MIN)),
            ("a", "B", Value::Bool(true)),
            ("", "TINY", Value::F32(f32::MIN_POSITIVE.to_bits())),
            ("", "HUGE", Value::F32(f32::MIN.to_bits())),
            ("", "Quad", Value::Type("vec4<f16>")),
        ];
        let composition = Composition {
            constants,
            enables: vec!["f16"],
            ..Composition::new(file("body.wgsl", "var<private> q: Quad;"))
        };
        let source = composition.compose().unwrap();
        assert_eq!(
            source.text,
            "enable f16; var<private> q: Quad;\nconst U: u32 = 4294967295u;\nconst I: i32 = -2147483648;\nconst a_B: bool = true;\n\
             const TINY: f32 = 1.1754944e-38f;\nconst HUGE: f32 = -3.4028235e38f;\nalias Quad = vec4<f16>;\n"
        );
        validate(&source);
        let infinite = vec![("a", "X", Value::F32(f32::INFINITY.to_bits()))];
        let error = Composition { constants: infinite, ..composition }.compose().unwrap_err();
        assert_eq!(error, ComposeError { at: None, problem: Problem::NotFinite("a_X".into()) });
    }

    #[test]
    fn unrolls_loops_and_leaves_a_valid_text_without() {
        let text = "\
const HALF: u32 = TILE / 2u;
fn f() -> u32 {
    var sum = 0u;
    // unroll
    for (var i = 0u; i < HALF; i++) { sum += i; }
    return sum;
}
";
        let source = compose(text).unwrap();
        let unrolled = text.replace(
            "for (var i = 0u; i < HALF; i++) { sum += i; }",
            "{ const i = 0u; sum += i; } { const i = 1u; sum += i; }",
        );
        assert!(source.text.starts_with(&unrolled), "{}", source.text);
        validate(&source);
        let rolled = Composition {
            unroll: false,
            constants: vec![("", "TILE", Value::U32(4))],
            ..Composition::new(file("body.wgsl", text))
        };
        let rolled = rolled.compose().unwrap();
        assert!(rolled.text.starts_with(text));
        validate(&rolled);
    }

    #[test]
    fn unrolls_nested_loops_in_a_fragment() {
        let text = "\
const M = 2u;
const i = 7u;
fn f() -> u32 {
    var sum: array<u32, N>;
    // unroll
    for (var i = 0u; i < M; i += 1u) {
        // unroll
        for (var j: u32 = 0u; j < N; j++) {
            for (var k = 0u; k < 9u; k++) { if k == j { break; } else { continue; } }
            switch j { case 0u: { break; } default: {} }
            sum[j] += i;
        }
    }
    return sum[0];
}
";
        let constants = vec![("a", "N", Value::U32(3))];
        let composition = Composition {
            fragments: vec![("a", file("f.wgsl", text))],
            constants,
            ..Composition::new(file("body.wgsl", "\n"))
        };
        let source = composition.compose().unwrap();
        validate(&source);
        validate(&Composition { unroll: false, ..composition }.compose().unwrap());
        assert_eq!(source.text.matches("{ const j = 2u;").count(), 2);
        for copy in 0..6 {
            assert_eq!(located(&source, "a_i;", copy), "f.wgsl:11:23");
            assert_eq!(located(&source, "sum[j]", copy), "f.wgsl:11:13");
            assert_eq!(located(&source, "const j", copy), "f.wgsl:8:9");
        }
        assert_eq!(located(&source, "const a_i = 1u", 0), "f.wgsl:6:5");
        assert_eq!(located(&source, "return", 0), "f.wgsl:14:5");
    }

    #[test]
    fn evaluates_bounds() {
        let copies = |bound: &str, of: &str| {
            let text = format!("{of}\nfn f() {{ // unroll\nfor (var i = 0u; i < {bound}; i++) {{ let x = i; }} }}\n");
            let source = compose(text.leak())?;
            validate(&source);
            Ok::<_, ComposeError>(source.text.matches("const i = ").count())
        };
        for (bound, of, expected) in [
            ("3u", "", 3),
            ("0x10", "", 16),
            ("0u", "", 0),
            ("TILE", "", 4),
            ("2u + TILE * (5u - 1u) / 3 % 4u", "", 3),
            ("8u - 4u - 1u", "", 3),
            ("A", "const A: u32 = B + 1u; const B = TILE;", 5),
        ] {
            assert_eq!(copies(bound, of), Ok(expected), "{bound} of {of}");
        }
    }

    #[test]
    fn refuses_loops_it_cannot_unroll() {
        let refuse = |text: &str| refusal(format!("fn f(n: u32) {{\n{text}\n}}\n").leak());
        let bound = |bound: &str| Problem::UnrollBound(bound.into());
        for (text, problem, line, column) in [
            ("  // unroll\n  let x = 1;", Problem::UnrollWithoutLoop, 2, 3),
            ("  // unroll", Problem::UnrollWithoutLoop, 2, 3),
            ("// unroll\n for (var i = 1u; i < 4u; i++) {}", Problem::UnrollHeader, 3, 2),
            ("// unroll\n for (var i = 0; i < 4; i++) {}", Problem::UnrollHeader, 3, 2),
            ("// unroll\n for (var i = 0u; i <= 4u; i++) {}", bound("= 4u"), 3, 22),
            ("// unroll\n for (var i = 0u; j < 4u; i++) {}", Problem::UnrollHeader, 3, 2),
            ("// unroll\n for (var i = 0u; i < 4u; i += 2u) {}", Problem::UnrollHeader, 3, 2),
            ("// unroll\n for (;;) {}", Problem::UnrollHeader, 3, 2),
            ("// unroll\n for", Problem::UnrollHeader, 3, 2),
            ("// unroll\nfor (var i = 0u; i < ; i++) {}", bound(""), 3, 22),
            ("// unroll\nfor (var i = 0u; i < n; i++) {}", bound("n"), 3, 22),
            ("// unroll\nfor (var i = 0u; i < SIGNED; i++) {}", bound("SIGNED"), 3, 22),
            ("// unroll\nfor (var i = 0u; i < 1u  - 2u; i++) {}", bound("1u  - 2u"), 3, 22),
            ("// unroll\nfor (var i = 0u; i < 1u / 0u; i++) {}", bound("1u / 0u"), 3, 22),
            ("let TILE = 2u; // unroll\nfor (var i = 0u; i < TILE; i++) {}", bound("TILE"), 3, 22),
            (
                "// unroll\nfor (var i = 0u; i < LOOP; i++) {}\n}\nconst LOOP = LOOP + 1u;\nfn g() {",
                bound("LOOP"),
                3,
                22,
            ),
            ("// unroll\nfor (var i = 0u; i < 4u; i++) { if i == n { break; } }", Problem::UnrollJump("break"), 3, 45),
            (
                "// unroll\nfor (var i = 0u; i < 4u; i++) { switch i { default: { continue; } } }",
                Problem::UnrollJump("continue"),
                3,
                55,
            ),
            ("// unroll\nfor (var i = 0u; i < 4097u; i++) {}", Problem::UnrollCopies(4097), 3, 1),
            (
                "// unroll\nfor (var i = 0u; i < 65u; i++) {\n// unroll\nfor (var j = 0u; j < 64u; j++) {}\n}",
                Problem::UnrollCopies(65 * 64),
                5,
                1,
            ),
        ] {
            assert_eq!(refuse(text), (problem, line, column), "{text}");
        }
    }

    #[test]
    fn refuses_unbalanced_brackets_in_the_file_that_holds_them() {
        assert_eq!(refusal("fn f() {\n    let x = (1 + 2;\n}\n"), (Problem::Unbalanced("("), 2, 13));
        assert_eq!(refusal("fn f() {\n"), (Problem::Unbalanced("{"), 1, 8));
        assert_eq!(refusal("fn f() {}\n }"), (Problem::Unbalanced("}"), 2, 2));
    }

    #[test]
    fn survives_any_prefix_of_its_files() {
        // A half-typed file is an error or a text for naga to judge, never a panic.
        for text in [BODY, LOAD, "// unroll\nfor (var i: u32 = 0u; i < 2u; i++) { é /* */ }"] {
            for end in (0..=text.len()).filter(|&end| text.is_char_boundary(end)) {
                let part = file("part.wgsl", &text[..end]);
                let composition = Composition { fragments: vec![("a", part)], arena: true, ..Composition::new(part) };
                if let Ok(source) = composition.compose() {
                    assert!(
                        (0..source.text.len() + 2).all(|offset| source.locate(offset).is_none_or(|at| at.line > 0))
                    );
                    if let Err(error) = naga::front::wgsl::parse_str(&source.text) {
                        source.describe_parse_error(&error);
                    }
                }
            }
        }
    }

    #[test]
    fn locates_every_token() {
        let source = Composition { enables: vec!["f16"], ..sum() }.compose().unwrap();
        validate(&source);
        assert!(source.text.starts_with("enable f16;       "), "line 1 stays line 1, its struct blanked");
        assert_eq!(located(&source, "@group", 0), "body.wgsl:2:1");
        assert_eq!(located(&source, "params.m", 0), "body.wgsl:6:15");
        // Two names are prefixed on the line before the third.
        for (hook, n) in [("a", 0), ("b", 1)] {
            assert_eq!(located(&source, "i + params", n), "load.wgsl:9:68");
            let read = source.text.find(&format!("return {hook}_read")).unwrap();
            for (offset, column) in [(0, 88), (7, 95), (8, 95), (9, 95), (10, 96), (13, 99)] {
                assert_eq!(source.locate(read + offset).unwrap().to_string(), format!("load.wgsl:9:{column}"));
            }
        }
        assert_eq!(located(&source, "x / 2", 0), "half.wgsl:1:35");
        assert_eq!(located(&source, "alias Elem", 0), "generated");
        assert_eq!(source.locate(0), None);
        assert_eq!(source.locate(source.text.len()), None);

        let first = Composition { enables: vec!["f16"], ..Composition::new(file("body.wgsl", "const X = 1;\n")) };
        assert_eq!(located(&first.compose().unwrap(), "X", 0), "body.wgsl:1:7");
    }

    #[test]
    fn textures_take_the_place_of_arrays() {
        let load = |elem| {
            let text = "\
@group(0) @binding(BINDING) var<storage, read> data: array<ELEM>;
fn load(i: u32) -> ELEM {
    let other = data[u32(data[i + 1u].x)]; // data[0]
    return data[i];
}
";
            file("load.wgsl", text.replace("ELEM", elem).leak())
        };
        let compose = |elem, ty| {
            let elem_is = ("", "Elem", Value::Type("f32"));
            let constants = vec![("a", "BINDING", Value::U32(3)), ("a", "Unit", Value::Type(ty)), elem_is];
            let body = Composition::new(file("body.wgsl", ""));
            Composition { fragments: vec![("a", load(elem))], constants, texels: vec!["a"], ..body }.compose()
        };
        let vectors = "\
@group(0) @binding(a_BINDING) var a_data: texture_storage_2d<rgba32float, read>;
fn a_load(i: u32) -> vec4<f32> {
    let other = a_data_at(u32(a_data_at(i + 1u).x)); // data[0]
    return a_data_at(i);
}
";
        let at =
            "fn a_data_at(i: u32) -> vec4<f32> {\n    return textureLoad(a_data, vec2(i % 4096u, i / 4096u));\n}\n";
        let text = compose("vec4<f32>", "f32").unwrap().text;
        assert!(text.trim_start().starts_with(vectors) && text.ends_with(at), "{text}");
        for (elem, ty, returned) in [
            ("Unit", "vec4<f32>", "-> vec4<f32> {\n    return textureLoad(a_data, vec2(i % 4096u, i / 4096u));"),
            ("Unit", "f32", "-> f32 {\n    return textureLoad(a_data, vec2(i / 4u % 4096u, i / 16384u))[i % 4u];"),
            ("Unit", "array<f32, 1>", "-> array<f32, 1> {\n    return array<f32, 1>(textureLoad("),
            ("Unit", "Elem", "-> f32 {\n    return textureLoad(a_data"),
            ("Unit", "vec4<Elem>", "-> vec4<f32> {\n    return textureLoad(a_data"),
            (
                "Unit",
                "u32",
                "-> u32 {\n    return bitcast<u32>(textureLoad(a_data, vec2(i / 4u % 4096u, i / 16384u))[i % 4u]);",
            ),
            ("vec4<Unit>", "u32", "-> vec4<u32> {\n    return bitcast<vec4<u32>>(textureLoad(a_data"),
        ] {
            let text = compose(elem, ty).unwrap().text;
            assert!(text.contains(returned), "{text}");
        }
        for (elem, ty) in [("Unit", "vec4<f16>"), ("Unit", "i32"), ("vec4<Unit>", "f16"), ("vec2<f32>", "f32")] {
            let error = compose(elem, ty).unwrap_err();
            assert_eq!(error.problem, Problem::NoTexels("a".into()), "{elem}, {ty}");
        }
    }

    #[test]
    fn describes_errors_in_the_files_they_are_in() {
        let error = |text| {
            let fragments = vec![("a", file("load.wgsl", text))];
            let source = Composition { fragments, ..Composition::new(file("body.wgsl", "fn f() { a_load(); }\n")) }
                .compose()
                .unwrap();
            match naga::front::wgsl::parse_str(&source.text) {
                Err(error) => source.describe_parse_error(&error),
                Ok(module) => {
                    let error =
                        Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module).unwrap_err();
                    source.describe_validation_error(&error)
                }
            }
        };
        let parse = error("const N = 1;\n\nfn load() {\n\tlet x = N + ;\n}\n");
        assert!(parse.starts_with("error: expected expression, found \";\"\n"), "{parse}");
        assert!(
            parse.contains(
                " --> load.wgsl:4:14\n   |\n4  | \tlet x = N + ;\n   | \t            ^ expected expression\n"
            ),
            "{parse}"
        );

        let validation = error("fn other() {}\nfn load() -> u32 { if true { return 1u; } }\n");
        assert!(validation.contains("--> load.wgsl:2:1\n"), "{validation}");
    }

    #[test]
    fn describes_errors_in_the_generated_block() {
        let constants = vec![("", "N", Value::Type("nothing"))];
        let source = Composition { constants, ..Composition::new(file("body.wgsl", "// empty\n")) }.compose().unwrap();
        let described = source.describe_parse_error(&naga::front::wgsl::parse_str(&source.text).unwrap_err());
        assert!(
            described.contains("--> (composed text):2:11\n   |\n2  | alias N = nothing;\n   |           ^^^^^^^"),
            "{described}"
        );
    }
}
