//! A line of the table: what the process of a shape tells the one that started it, and that one its user.

use std::fmt;

use serde_json::{Value, json};

pub const HEAD: &str =
    "op             inputs                   library             ms median     ms min     rate         tilewise";

/// What came of a library at a shape.
pub struct Row {
    pub op: String,
    pub shape: String,
    pub library: String,
    pub outcome: Result<Figures, String>,
}

/// Of a library whose results were right.
pub struct Figures {
    /// Milliseconds.
    pub median: f64,
    pub least: f64,
    /// By the median.
    pub rate: f64,
    pub unit: String,
    /// How many times as fast tilewise was; `None` if it failed.
    pub tilewise_faster: Option<f64>,
}

impl Row {
    pub fn new(op: &str, shape: &str, library: &str, outcome: Result<Figures, String>) -> Self {
        Row { op: op.into(), shape: shape.into(), library: library.into(), outcome }
    }

    pub fn to_json(&self) -> Value {
        let Row { op, shape, library, outcome } = self;
        match outcome {
            Ok(Figures { median, least, rate, unit, tilewise_faster }) => json!({
                "op": op, "shape": shape, "library": library, "ms_median": median, "ms_min": least,
                "rate": rate, "unit": unit, "tilewise_faster": tilewise_faster,
            }),
            Err(failure) => json!({"op": op, "shape": shape, "library": library, "failure": failure}),
        }
    }

    /// `None` for what [`Row::to_json`] did not write.
    pub fn from_json(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| value.get(key)?.as_str().map(String::from);
        let number = |key: &str| value.get(key)?.as_f64();
        let outcome = match text("failure") {
            Some(failure) => Err(failure),
            None => Ok(Figures {
                median: number("ms_median")?,
                least: number("ms_min")?,
                rate: number("rate")?,
                unit: text("unit")?,
                tilewise_faster: number("tilewise_faster"),
            }),
        };
        Some(Row { op: text("op")?, shape: text("shape")?, library: text("library")?, outcome })
    }

    /// Whether the other tells the same library at the same shape: of two attempts the later counts.
    pub fn is_retold_by(&self, other: &Row) -> bool {
        self.is_beside(other) && self.library == other.library
    }

    /// Whether both are of one shape.
    pub fn is_beside(&self, other: &Row) -> bool {
        (&self.op, &self.shape) == (&other.op, &other.shape)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { op, shape, library, outcome } = self;
        write!(f, "{op:14} {shape:24} {library:18} ")?;
        match outcome {
            Ok(Figures { median, least, rate, unit, tilewise_faster }) => {
                let ratio = tilewise_faster.map_or("-".into(), |ratio| format!("{ratio:.2}"));
                write!(f, "{median:10.3} {least:10.3} {rate:8.2} {unit:7} {ratio:>8}")
            }
            Err(failure) => write!(f, "failed: {failure}"),
        }
    }
}
