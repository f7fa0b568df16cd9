//! Constants of the module, and the values of expressions of them.

use std::collections::HashMap;
use std::ops::Range;

use super::parse::is_word_start;
use super::unit::Unit;
use super::{Value, qualified};

/// The module's u32 constants under the names of the composed text.
pub(super) struct Constants<'a> {
    units: &'a [Unit<'a>],
    definitions: HashMap<String, Definition>,
}

enum Definition {
    Value(u32),
    Expression { unit: usize, tokens: Range<usize> },
}

impl<'a> Constants<'a> {
    pub(super) fn new(generated: &[(&'static str, &'static str, Value)], units: &'a [Unit<'a>]) -> Self {
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
    pub(super) fn evaluate(&self, unit: usize, mut tokens: Range<usize>, fuel: &mut u32) -> Option<u32> {
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
