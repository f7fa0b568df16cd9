//! Placeholder.

use crate::error::Result;
use crate::problem::{Built, Candidate, Operands};
use crate::profile::DeviceProfile;

/// Placeholder.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce;

pub(crate) fn candidates(_: &Reduce, _: &DeviceProfile) -> Vec<Candidate<()>> {
    Vec::new()
}

pub(crate) fn build(_: &Reduce, _: &(), _: &Operands<'_>, _: &DeviceProfile) -> Result<Built> {
    Ok(Built::scalar(Vec::new()))
}
