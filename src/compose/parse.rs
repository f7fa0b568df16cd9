//! Reads a file: its tokens, and what compose needs to know about them.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::{ComposeError, FieldType, Problem, ShaderFile};

/// A word, a number or one character of punctuation.
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) text: &'static str,
    /// The index of the matching bracket of `()`, `[]`, `{}`; of the token itself otherwise. `partner + 1` is thus what
    /// follows a whole group.
    pub(super) partner: usize,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(is_word_start)
    }

    pub(super) fn end(&self) -> usize {
        self.at + self.text.len()
    }
}

/// A `// unroll` comment.
pub(super) struct Mark {
    pub(super) at: usize,
    /// The token that follows.
    pub(super) next: usize,
}

/// What compose needs to know about a file, whichever hook it serves. Tokens are named by index.
#[derive(Default)]
pub(super) struct Parsed {
    pub(super) tokens: Vec<Token>,
    pub(super) marks: Vec<Mark>,
    /// The tokens of `struct Params { ... }`.
    pub(super) params: Range<usize>,
    /// Its members.
    pub(super) fields: Vec<(usize, FieldType)>,
    /// Names declared at module scope, `Params` aside.
    pub(super) declared: HashSet<&'static str>,
    /// Members of other structs, and parameters of functions.
    pub(super) members: Vec<usize>,
    /// Names declared in functions.
    pub(super) locals: HashSet<&'static str>,
    /// The module's u32 constants, and the tokens of their values.
    pub(super) constants: Vec<(&'static str, Range<usize>)>,
}

/// The parse of a file, made once per process.
pub(super) fn parse_once(file: ShaderFile) -> Result<Arc<Parsed>, ComposeError> {
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
pub(super) fn after_template(tokens: &[Token], i: usize) -> usize {
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

pub(super) fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_word_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
