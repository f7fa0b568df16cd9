//! A file in its place in a composition, and the edits that make its text part of the kernel's.

use std::collections::HashSet;
use std::iter;
use std::ops::Range;
use std::sync::Arc;

use super::parse::{Parsed, after_template};
use super::texels::ReadArray;
use super::{ComposeError, Problem, ShaderFile, Value, qualified};

/// A file in its place in a composition.
pub(super) struct Unit<'a> {
    pub(super) file: ShaderFile,
    /// `""` for the body and for common files.
    pub(super) hook: &'static str,
    pub(super) parsed: Arc<Parsed>,
    /// The other fragments of the hook.
    pub(super) others: Vec<Arc<Parsed>>,
    pub(super) constants: &'a [(&'static str, &'static str, Value)],
}

/// A change of a file's text. A replacement of the same length keeps the map byte by byte; all bytes of any other come
/// from `range.start`.
pub(super) struct Edit {
    pub(super) range: Range<usize>,
    pub(super) replacement: String,
}

impl Unit<'_> {
    pub(super) fn text(&self, token: usize) -> &'static str {
        self.parsed.tokens.get(token).map_or("", |token| token.text)
    }

    pub(super) fn error(&self, token: usize, problem: Problem) -> ComposeError {
        // Past the last token stands the end of the file.
        let at = self.parsed.tokens.get(token).map_or(self.file.text.len(), |token| token.at);
        self.file.error(at, problem)
    }

    /// Whether the hook's prefix goes in front of a name.
    pub(super) fn prefixes(&self, name: &str) -> bool {
        let generated = || self.constants.iter().any(|&(hook, constant, _)| hook == self.hook && constant == name);
        let declared = || iter::once(&self.parsed).chain(&self.others).any(|file| file.declared.contains(name));
        !self.hook.is_empty() && (declared() || generated())
    }

    /// A module-scope name as the composed text spells it.
    pub(super) fn global(&self, name: &str) -> String {
        qualified(if self.prefixes(name) { self.hook } else { "" }, name)
    }

    /// The changes of prefix, parameters, arena and texels, in the order of the text.
    pub(super) fn edits(&self, arena: bool, texels: &[&str]) -> Result<Vec<Edit>, ComposeError> {
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
