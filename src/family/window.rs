//! Placeholder.

use crate::error::Result;
use crate::problem::{Built, Candidate, Operands};
use crate::profile::DeviceProfile;

/// Placeholder.
#[derive(Clone, Debug, PartialEq)]
pub struct Window;

pub(crate) fn candidates(_: &Window, _: &DeviceProfile) -> Vec<Candidate<()>> {
    Vec::new()
}

pub(crate) fn build(_: &Window, _: &(), _: &Operands<'_>, _: &DeviceProfile) -> Result<Built> {
    Ok(Built::scalar(Vec::new()))
}
