//! The composed text, and its map back to the files.

use std::error::Error;
use std::fmt::Write;
use std::iter;

use naga::{Span, WithSpan, front::wgsl::ParseError, valid::ValidationError};

use super::{Location, ShaderFile, position};

/// A composed kernel: its text, and where every byte of it came from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The WGSL.
    pub text: String,
    pub(super) files: Vec<ShaderFile>,
    /// In the order of `start`.
    pub(super) pieces: Vec<Piece>,
}

/// A run of bytes of the composed text that came from one place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) start: usize,
    pub(super) origin: Option<Origin>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) file: usize,
    pub(super) at: usize,
    /// Whether the piece's bytes are those from `at` on; all of them came from `at` otherwise.
    pub(super) verbatim: bool,
}

impl Origin {
    pub(super) fn verbatim(file: usize, at: usize) -> Self {
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

    pub(super) fn push(&mut self, text: &str, origin: Option<Origin>) {
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
