//! What is known to come of the cases of each release of ONNX.

/// The results of a release's cases.
pub struct Pins {
    /// The release.
    pub release: &'static str,
    /// How many cases it has, by which it is known.
    cases: usize,
    /// How many cases pass, by operation.
    pub passed: &'static [(&'static str, usize)],
    /// The cases whose element type tilewise lacks.
    pub unsupported: &'static [&'static str],
    /// The cases whose operation tilewise lacks.
    pub not_yet: &'static [&'static str],
}

const ALL: &[Pins] = &[];

/// The results of the release with so many cases.
pub fn of(cases: usize) -> Option<&'static Pins> {
    ALL.iter().find(|pins| pins.cases == cases)
}
