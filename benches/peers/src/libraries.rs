//! What every library has to do: take a case's operands into its own memory, and run it.

mod burn;
mod gemm;
mod own;
mod rten;

use std::error::Error;

use crate::cases::Case;

pub type Failure = Box<dyn Error>;

/// A case with its operands in the library's memory, packed in no way that the library does not pack at each run.
pub trait Prepared {
    /// Runs it that many times, one after the other, and waits for the last.
    fn run(&mut self, count: usize) -> Result<(), Failure>;
    /// Runs it once more and returns what it computed.
    fn result(&mut self) -> Result<Vec<f32>, Failure>;
}

/// What tilewise is called among the libraries.
pub const OWN: &str = "tilewise";

/// A library.
pub trait Library {
    /// With its version, where it is not tilewise.
    fn name(&self) -> &'static str;
    /// `None` for an op that it does not have.
    fn prepare(&self, case: &Case, inputs: &[Vec<f32>]) -> Result<Option<Box<dyn Prepared>>, Failure>;
}

/// tilewise first, then its peers.
pub fn all(gpu: &tilewise::Gpu) -> Vec<Box<dyn Library>> {
    let own = own::Own(gpu.clone());
    let burn = burn::Burn::beside(gpu);
    vec![Box::new(own), Box::new(burn), Box::new(gemm::Gemm), Box::new(rten::Rten)]
}
