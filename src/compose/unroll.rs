//! Unrolls loops while it writes the composed text.

use std::ops::Range;

use super::constants::Constants;
use super::source::{Origin, Source};
use super::unit::{Edit, Unit};
use super::{ComposeError, Problem};

/// The most copies of one loop body, the copies of the loops around it multiplied in. Real register tiles stay far
/// below; the limit turns a bound mistaken for a tile size into an error instead of a megabyte of text.
pub(super) const MAX_COPIES: u32 = 4096;

/// The most operands, names and parentheses evaluated for one loop bound. It also ends a constant defined by itself.
const MAX_OPERANDS: u32 = 256;

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
pub(super) struct Writer<'a> {
    pub(super) units: &'a [Unit<'a>],
    /// The edits of each unit.
    pub(super) edits: Vec<Vec<Edit>>,
    pub(super) constants: Constants<'a>,
    pub(super) source: Source,
}

impl Writer<'_> {
    /// Copies bytes of a file, with their edits. An insertion belongs to the byte it stands in front of.
    pub(super) fn copy(&mut self, unit: usize, mut bytes: Range<usize>) {
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
    pub(super) fn unroll(&mut self, unit: usize, mut bytes: Range<usize>, copies: u64) -> Result<(), ComposeError> {
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
