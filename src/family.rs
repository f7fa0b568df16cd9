//! Kernel families: for each problem the candidates, best first, and how each is built. Thresholds carry their reasons.

pub(crate) mod contraction;
mod fours;
pub(crate) mod integer;
pub(crate) mod map;
pub(crate) mod mask;
pub(crate) mod quantize;
pub(crate) mod reduce;
pub(crate) mod sparse;
pub(crate) mod stored;
pub(crate) mod window;

use crate::compose::{Composition, ShaderFile, Value, shader};
use crate::layout::DType;
use crate::op::activation::Activation;
use crate::plan::Assembly;

const LOAD_BITS: ShaderFile = shader!("load/bits.wgsl");
const LOAD_VALUES: ShaderFile = shader!("load/values.wgsl");
const GROUP_OF: ShaderFile = shader!("common/group_of.wgsl");
const LOAD_BYTES: ShaderFile = shader!("load/bytes.wgsl");
const STRIDES: ShaderFile = shader!("load/strides.wgsl");
const LOAD_HALF_BITS: ShaderFile = shader!("load/half_bits.wgsl");
const STORE_BYTES: ShaderFile = shader!("epilogue/bytes.wgsl");
const STORE_VALUES: ShaderFile = shader!("epilogue/values.wgsl");
const ACTIVATION: ShaderFile = shader!("common/activation.wgsl");

/// Whether a kernel asks more of a driver than plain shaders do, and has to pass a check on a device before it is used there.
pub(crate) fn is_fast(kernel: &Composition) -> bool {
    contraction::is_fast(kernel) || reduce::is_fast(kernel) || !kernel.texels.is_empty()
}

/// Whether a kernel keeps to its bindings and ends its loops by itself, so that a driver need not see to it: its body's header
/// then says why, in an entry `Bounds`. A fragment that reads addresses from memory says so in an entry `Unbounded`.
pub(crate) fn is_bounded(kernel: &Composition) -> bool {
    let says = |file: &ShaderFile, word: &str| {
        file.text.lines().take_while(|line| line.starts_with("//")).any(|line| line.starts_with(word))
    };
    says(&kernel.body, "// Bounds:") && !kernel.fragments.iter().any(|(_, file)| says(file, "// Unbounded:"))
}

/// Adds the function `activate` to a kernel.
fn activation(assembly: &mut Assembly, activation: Activation) {
    let (code, [a, b]) = activation.code();
    assembly.common(ACTIVATION).constant("", "ACTIVATION", Value::U32(code));
    assembly.constant("", "ACTIVATION_A", Value::F32(a.to_bits()));
    assembly.constant("", "ACTIVATION_B", Value::F32(b.to_bits()));
}

/// The WGSL type of a storage element; ops let no other through.
pub(crate) fn wgsl(dtype: DType) -> &'static str {
    dtype.wgsl().unwrap_or("f32")
}
