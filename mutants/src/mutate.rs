//! Changes to a shader file, one at a time.

use std::ops::Range;

/// One change to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// The line that is changed, without the space around it.
    pub line_text: String,
    /// The change, as `before -> after`.
    pub change: String,
    /// The whole file, changed.
    pub text: String,
}

/// Every change to a file, in the order of its text: barriers are removed, comparisons become their neighbours, `+ 1u` and
/// `- 1u` are dropped, bounds of loops and indices move by one either way, parameters and
/// constants that are whole numbers grow by one.
pub fn mutants(text: &str) -> Vec<Mutant> {
    let code = without_comments(text);
    let mut edits = barriers(&code);
    edits.extend(comparisons(&code));
    edits.extend(ones(&code));
    edits.extend(bounds(&code));
    edits.extend(indices(&code));
    edits.extend(parameters(&code));
    edits.extend(constants(&code));
    edits.sort_by_key(|edit| edit.at.start);
    edits.into_iter().map(|edit| edit.apply(text)).collect()
}

/// New text for a range of the file, and what is said of it.
struct Edit {
    at: Range<usize>,
    to: String,
    change: String,
}

impl Edit {
    /// The change is told as the range's text and what replaces it.
    fn new(code: &str, at: Range<usize>, to: String) -> Self {
        let change = format!("{} -> {}", &code[at.clone()], if to.is_empty() { "nothing" } else { &to });
        Edit { at, to, change: change.trim().to_owned() }
    }

    fn apply(self, text: &str) -> Mutant {
        // What is dropped with the space before it stands behind that.
        let at = self.at.start + text[self.at.clone()].len() - text[self.at.clone()].trim_start().len();
        let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
        Mutant {
            line: text[..at].matches('\n').count() + 1,
            column: text[start..at].chars().count() + 1,
            line_text: text[start..end].trim().to_owned(),
            change: self.change,
            text: [&text[..self.at.start], &self.to, &text[self.at.end..]].concat(),
        }
    }
}

/// The text with spaces for its comments, so that places stay what they are. The shaders have line comments only.
fn without_comments(text: &str) -> String {
    let blank = |line: &str| match line.find("//") {
        Some(at) => {
            let comment = line[at..].trim_end_matches('\n');
            let newline = &line[at + comment.len()..];
            [&line[..at], &" ".repeat(comment.len()), newline].concat()
        }
        None => line.to_owned(),
    };
    text.split_inclusive('\n').map(blank).collect()
}

fn barriers(code: &str) -> Vec<Edit> {
    let names = ["workgroupBarrier();", "storageBarrier();"];
    let found = names.into_iter().flat_map(|name| code.match_indices(name));
    found.map(|(at, name)| Edit::new(code, at..at + name.len(), String::new())).collect()
}

/// Comparisons stand between spaces, brackets of templates do not.
fn comparisons(code: &str) -> Vec<Edit> {
    let neighbours = [("<", "<="), ("<=", "<"), (">", ">="), (">=", ">"), ("==", "!="), ("!=", "==")];
    let mut edits = Vec::new();
    for (from, to) in neighbours {
        for (at, _) in code.match_indices(&format!(" {from} ")) {
            let end = at + 1 + from.len();
            // What follows tells the comparisons of a line apart.
            let right = code[end + 1..].split([' ', ')', ',', ';']).next().unwrap_or_default();
            let change = format!("{from} {right} -> {to} {right}");
            edits.push(Edit { at: at + 1..end, to: to.into(), change });
        }
    }
    edits
}

/// ` + 1u` and ` - 1u`, and those of signed numbers.
fn ones(code: &str) -> Vec<Edit> {
    let mut edits = Vec::new();
    for one in [" + 1u", " - 1u", " + 1", " - 1"] {
        for (at, _) in code.match_indices(one) {
            let end = at + one.len();
            let ends = !code[end..].starts_with(|c: char| c.is_alphanumeric() || c == '.' || c == '_');
            if ends {
                edits.push(Edit::new(code, at..end, String::new()));
            }
        }
    }
    edits
}

/// The bounds of `for` loops, one more and one less.
fn bounds(code: &str) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (at, _) in code.match_indices("for (") {
        let header = &code[at..at + code[at..].find('{').unwrap_or(0)];
        let Some((from, condition)) = header.split_once(';').map(|(start, rest)| (start.len() + 1, rest)) else {
            continue;
        };
        let condition = condition.split(';').next().unwrap_or_default();
        let operator =
            [" < ", " <= ", " > ", " >= "].into_iter().find_map(|o| condition.find(o).map(|at| at + o.len()));
        if let Some(operator) = operator {
            let range = at + from + operator..at + from + condition.len();
            for sign in ['+', '-'] {
                edits.push(Edit::new(code, range.clone(), format!("{} {sign} 1u", &code[range.clone()])));
            }
        }
    }
    edits
}

/// What stands in the brackets of an index, one more and one less.
fn indices(code: &str) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (at, _) in code.match_indices('[') {
        let mut depth = 0;
        let close = code[at..].char_indices().find_map(|(offset, c)| {
            depth += i32::from(c == '[') - i32::from(c == ']');
            (depth == 0).then_some(at + offset)
        });
        if let Some(close) = close {
            let range = at..close + 1;
            for sign in ['+', '-'] {
                edits.push(Edit::new(code, range.clone(), format!("[{} {sign} 1u]", &code[at + 1..close])));
            }
        }
    }
    edits
}

/// The members of `struct Params` that are whole numbers, with the literal 1 of their type.
fn whole_parameters(code: &str) -> Vec<(&str, &'static str)> {
    let body =
        code.split_once("struct Params {").and_then(|(_, rest)| rest.split_once('}')).map_or("", |(body, _)| body);
    let members = body.split([',', '\n']).filter_map(|member| member.split_once(':'));
    let typed = members.filter_map(|(name, ty)| match ty.trim() {
        "u32" => Some((name.trim(), "1u")),
        "i32" => Some((name.trim(), "1")),
        _ => None,
    });
    typed.collect()
}

/// Reads of parameters that are whole numbers, plus one.
fn parameters(code: &str) -> Vec<Edit> {
    let whole = whole_parameters(code);
    let mut edits = Vec::new();
    for (at, start) in code.match_indices("params.") {
        let rest = &code[at + start.len()..];
        let name = &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())];
        if let Some((_, one)) = whole.iter().find(|(member, _)| *member == name) {
            let range = at..at + start.len() + name.len();
            edits.push(Edit::new(code, range, format!("(params.{name} + {one})")));
        }
    }
    edits
}

/// Constants between operators of arithmetic, plus one: the sides of tiles and workgroups, by which kernels step. Those in
/// constants of the module stay: the planner computes with the same.
fn constants(code: &str) -> Vec<Edit> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let operators = ["* ", "/ ", "% ", "+ ", "- ", "+= "];
    let mut edits = Vec::new();
    for (at, _) in code.match_indices(|c: char| c.is_ascii_uppercase()) {
        if code[..at].ends_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit()) {
            continue;
        }
        let start = code[..at].rfind(|c: char| !is_word(c)).map_or(0, |before| before + 1);
        let name = &code[start..start + code[start..].find(|c| !is_word(c)).unwrap_or(code.len() - start)];
        let end = start + name.len();
        let constant = at > 0 && name[at - start..].chars().all(|c| !c.is_ascii_lowercase());
        let own = edits.last().is_none_or(|last: &Edit| last.at.start != start);
        // Function bodies are indented, constants of the module are not; activations' constants are no whole numbers.
        let line = &code[code[..start].rfind('\n').map_or(0, |newline| newline + 1)..];
        let before = operators.iter().any(|operator| code[..start].ends_with(operator));
        let after = operators.iter().any(|operator| code[end..].starts_with(&format!(" {operator}")));
        if constant && own && line.starts_with(' ') && (before || after) && !name.starts_with("ACTIVATION_") {
            edits.push(Edit::new(code, start..end, format!("({name} + 1u)")));
        }
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_change_is_found_where_it_stands() {
        let text = "struct Params {\n    n: u32, // a < b\n    low: i32,\n    scale: f32,\n}\n\
                    fn f(a: array<u32, 4>) -> u32 {\n    workgroupBarrier();\n    // if a == b\n\
                    \x20   for (var i = 0u; i < params.n; i++) {\n        s += a[i] * params.scale >> 1u;\n    }\n\
                    \x20   return x - 1u + 1.0 == 2.0;\n}\n";
        let found: Vec<_> = mutants(text).into_iter().map(|m| (m.line, m.column, m.change)).collect();
        let expected = [
            (7, 5, "workgroupBarrier(); -> nothing"),
            (9, 24, "< params.n -> <= params.n"),
            (9, 26, "params.n -> params.n + 1u"),
            (9, 26, "params.n -> params.n - 1u"),
            (9, 26, "params.n -> (params.n + 1u)"),
            (10, 15, "[i] -> [i + 1u]"),
            (10, 15, "[i] -> [i - 1u]"),
            (12, 14, "- 1u -> nothing"),
            (12, 25, "== 2.0 -> != 2.0"),
        ];
        assert_eq!(found, expected.map(|(line, column, change)| (line, column, change.to_owned())));
    }

    #[test]
    fn constants_grow_where_they_are_computed_with() {
        let text = "const N: u32 = W + 1u;\nfn f() {\n    let a: array<u32, N> = b * W_2 + team_SIZE;\n    return select(1, 2, L);\n}\n";
        let found: Vec<_> = mutants(text).into_iter().map(|m| (m.column, m.change)).collect();
        let expected = [(18, "+ 1u -> nothing"), (32, "W_2 -> (W_2 + 1u)"), (38, "team_SIZE -> (team_SIZE + 1u)")];
        assert_eq!(found, expected.map(|(column, change)| (column, change.to_owned())));
    }

    #[test]
    fn a_change_leaves_the_rest_as_it_is() {
        let text = "// one\nlet a = b[c[0]] + 1u; // two\n";
        let texts: Vec<_> = mutants(text).into_iter().map(|m| (m.line_text, m.text)).collect();
        let line = "let a = b[c[0]] + 1u; // two";
        let changed =
            ["b[c[0] + 1u] + 1u;", "b[c[0] - 1u] + 1u;", "b[c[0 + 1u]] + 1u;", "b[c[0 - 1u]] + 1u;", "b[c[0]];"];
        assert_eq!(texts, changed.map(|rest| (line.to_owned(), format!("// one\nlet a = {rest} // two\n"))));
    }
}
