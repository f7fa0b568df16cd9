//! Arrays that are read through textures: which they are, and the function that reads each.

use std::ops::Range;

use super::unit::Unit;
use super::{ComposeError, Problem, Value};
use crate::plan::TEXEL_ROW;

/// An array in storage that a file reads, by its tokens.
pub(super) struct ReadArray {
    pub(super) var: usize,
    /// The number of its binding.
    binding: usize,
    pub(super) name: usize,
    pub(super) ty: Range<usize>,
}

/// What an array that texels take the place of holds.
#[derive(Clone, Copy)]
pub(super) enum Held {
    Float,
    FloatInArray,
    Vector,
    Word,
    Words,
}

impl Unit<'_> {
    /// The arrays in storage that the file reads: `@binding(BINDING) var<storage, read> data: array<Elem>;`.
    pub(super) fn arrays(&self) -> impl Iterator<Item = ReadArray> + '_ {
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
    pub(super) fn hook_of(&self, array: &ReadArray) -> Option<&'static str> {
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
}

/// The one array that a hook reads, by its name in the composed text, and what it holds. `None` if it reads another
/// number of arrays, or something else.
pub(super) fn texel_array(units: &[Unit<'_>], hook: &str) -> Option<(String, Held)> {
    let arrays = units.iter().flat_map(|unit| unit.arrays().map(move |array| (unit, array)));
    let mut own = arrays.filter(|(unit, array)| unit.hook_of(array) == Some(hook));
    let (unit, array) = own.next()?;
    let held = unit.held(&array)?;
    own.next().is_none().then(|| (unit.global(unit.text(array.name)), held))
}

/// The function through which a hook reads its texture.
pub(super) fn texel_function(units: &[Unit<'_>], hook: &str) -> Result<String, ComposeError> {
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
