//! Kernel families: for each problem the candidates, best first, and how each is built. Thresholds carry their reasons.

pub(crate) mod contraction;
pub(crate) mod map;
pub(crate) mod reduce;
pub(crate) mod window;
