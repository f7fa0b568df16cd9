//! Rows of a matrix in fours: how kernels that work on four neighbours at once load and store them.

use crate::compose::{ShaderFile, shader};
use crate::layout::{DType, Layout};

const LOAD: ShaderFile = shader!("load/fours.wgsl");
const LOAD_RAGGED: ShaderFile = shader!("load/fours_ragged.wgsl");
const STORE: ShaderFile = shader!("epilogue/fours.wgsl");
const STORE_RAGGED: ShaderFile = shader!("epilogue/fours_ragged.wgsl");

/// Elements that are moved at once.
const FOUR: usize = 4;

/// What is moved at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fours {
    /// Vectors.
    Vectors,
    /// Elements, four one after the other.
    Elements,
}

impl Fours {
    /// Vectors, if the operand is aligned to them and all of these are whole numbers of them: where the first row starts, what
    /// lies between rows, what a row holds.
    pub fn of(layout: &Layout, counts: impl IntoIterator<Item = usize>) -> Self {
        let aligned = u64::from(layout.align) >= FOUR as u64 * layout.dtype.size();
        let whole = counts.into_iter().all(|count| count.is_multiple_of(FOUR));
        if aligned && whole { Fours::Vectors } else { Fours::Elements }
    }

    /// The fragment that loads.
    pub fn load(self) -> ShaderFile {
        if self == Fours::Vectors { LOAD } else { LOAD_RAGGED }
    }

    /// The fragment that stores.
    pub fn store(self) -> ShaderFile {
        if self == Fours::Vectors { STORE } else { STORE_RAGGED }
    }

    /// Bytes by which the fragments count elements of a type.
    pub fn bytes(self, dtype: DType) -> u64 {
        if self == Fours::Vectors { FOUR as u64 * dtype.size() } else { dtype.size() }
    }
}
