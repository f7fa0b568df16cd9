//! The list of mutants that no check can tell from the original.

use crate::mutate::Mutant;

/// An entry of the list: a change to a line, wherever the line stands in the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The files' paths below `shaders/`.
    pub files: Vec<String>,
    /// The line, without the space around it.
    pub line_text: String,
    /// The changes to it, as `before -> after`.
    pub changes: Vec<String>,
    /// Why they make no difference.
    pub reason: String,
}

impl Entry {
    /// Whether it is about a mutant of a file.
    pub fn covers(&self, file: &str, mutant: &Mutant) -> bool {
        self.files.iter().any(|own| own == file)
            && self.line_text == mutant.line_text
            && self.changes.contains(&mutant.change)
    }
}

/// Reads the list. An entry is a block of lines that start with `file`, `line`, `change` (one or more) and `reason`; blank
/// lines part the entries, `#` starts a comment.
///
/// # Errors
/// The number of a line that is none of these, or of the end of an entry that lacks one.
pub fn parse(list: &str) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    let empty = Entry { files: Vec::new(), line_text: String::new(), changes: Vec::new(), reason: String::new() };
    let mut entry = empty.clone();
    for (number, line) in (1..).zip(list.lines().chain([""])) {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        if line.is_empty() {
            let whole = !(entry.line_text.is_empty() || entry.changes.is_empty() || entry.reason.is_empty());
            if whole && !entry.files.is_empty() {
                entries.push(std::mem::replace(&mut entry, empty.clone()));
            } else if entry != empty {
                return Err(format!("line {number}: the entry before lacks its file, line, change or reason"));
            }
            continue;
        }
        match line.split_once(' ').map(|(key, value)| (key, value.trim().to_owned())) {
            Some(("file", value)) => entry.files.push(value),
            Some(("line", value)) => entry.line_text = value,
            Some(("change", value)) => entry.changes.push(value),
            Some(("reason", value)) => entry.reason = value,
            _ => return Err(format!("line {number}: file, line, change or reason expected")),
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_name_files_line_changes_and_reason() {
        let list = "# words\nfile a.wgsl\nfile b.wgsl\nline if x < y {\nchange < y -> <= y\nreason never equal\n\n";
        let entries = parse(list).unwrap();
        assert_eq!(entries.len(), 1);
        let mutant = crate::mutate::mutants("  if x < y {\n}\n").remove(0);
        assert!(entries[0].covers("b.wgsl", &mutant) && !entries[0].covers("c.wgsl", &mutant));
        assert_eq!(parse("file a\n\n").unwrap_err(), "line 2: the entry before lacks its file, line, change or reason");
        assert_eq!(parse("fil a").unwrap_err(), "line 1: file, line, change or reason expected");
    }

    #[test]
    fn the_list_is_well_formed() {
        assert!(!parse(include_str!("../equivalent.txt")).unwrap().is_empty());
    }
}
