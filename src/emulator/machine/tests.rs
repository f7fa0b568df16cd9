//! Tests of the machine on code written by hand.

mod barriers;
mod build;
mod control;
mod figures;
mod memory;
mod sanitizer;
mod subgroups;
mod tiled;
