//! Breaks tilewise's kernels, one change at a time, and asks whether the crate's checks notice: see `main.rs`.

pub mod cases;
pub mod equivalent;
pub mod mutate;
pub mod run;
