//! Ops: what is to be computed, in the field's own words.
//!
//! An op is an options struct with a `Default`. It infers the shape of its outputs, refuses bad input on the host, and
//! lowers to a [`Problem`]; it never names a kernel.

pub(crate) mod activation;
pub(crate) mod batch_norm;
pub(crate) mod binary;
pub(crate) mod concat;
pub(crate) mod conv2d;
pub(crate) mod conv_transpose2d;
pub(crate) mod index_select;
pub(crate) mod integer;
pub(crate) mod mask;
pub(crate) mod matmul;
pub(crate) mod pad;
pub(crate) mod permute;
pub(crate) mod pool;
pub(crate) mod precision;
pub(crate) mod quantize;
pub(crate) mod quantized;
pub(crate) mod reduce;
pub(crate) mod softmax;
pub(crate) mod sparse;
pub(crate) mod stored;
pub(crate) mod unary;

use std::fmt::{self, Debug};

use crate::error::{Error, Result};
use crate::layout::{DType, Layout};
use crate::plan::{Plan, PlanData};
use crate::problem::{Operands, Problem};
use crate::profile::DeviceProfile;
use crate::reference::Twin;

/// An operation on tensors.
pub trait Op: Debug + Send + Sync {
    /// The op's name, as errors and tables print it.
    fn name(&self) -> &'static str;

    /// The layouts of the outputs. This is where bad input is refused.
    fn infer(&self, inputs: &[Layout]) -> Result<Vec<Layout>>;

    /// The op as what computes it on the CPU; every op of the crate has that. Without, its kernels are not checked.
    fn as_twin(&self) -> Option<&dyn Twin> {
        None
    }

    /// What the op comes down to, for inputs and outputs as [`infer`](Op::infer) has accepted them; no output is empty.
    fn problem(&self, inputs: &[Layout], outputs: &[Layout]) -> Result<Problem>;

    /// The best plan for a device. Touches no GPU. Outputs are taken to be aligned as well as every input: for one that is
    /// aligned worse, weaken the `align` of an input's layout.
    ///
    /// # Errors
    /// What [`infer`](Op::infer) refuses, [`Error::Limit`] where no candidate fits the device, [`Error::Unsupported`] for f16
    /// on one without `SHADER_F16`.
    fn plan(&self, profile: &DeviceProfile, inputs: &[Layout]) -> Result<Plan> {
        let mut plans = plans(self, profile, inputs, false)?;
        Ok(plans.swap_remove(0))
    }

    /// A plan for every candidate that the device allows, best first: for tests and tuning.
    ///
    /// # Errors
    /// As for [`plan`](Op::plan).
    fn plans(&self, profile: &DeviceProfile, inputs: &[Layout]) -> Result<Vec<Plan>> {
        plans(self, profile, inputs, true)
    }
}

fn plans<O: Op + ?Sized>(op: &O, profile: &DeviceProfile, inputs: &[Layout], every: bool) -> Result<Vec<Plan>> {
    let mut outputs = op.infer(inputs)?;
    let weakest = inputs.iter().map(|layout| layout.align).min();
    for layout in &mut outputs {
        // At least as what is written of it at once has to be: elements of an input may be smaller.
        let weakest = weakest.map_or(layout.align, |align| align.max(layout.dtype.stored() as u32));
        layout.align = layout.align.min(weakest);
    }
    for (what, layouts) in [("input", inputs), ("output", &outputs)] {
        for (number, layout) in layouts.iter().enumerate() {
            expect_addressable(op.name(), format_args!("{what} {number}"), &layout.shape)?;
        }
    }
    let mut layouts = inputs.iter().chain(&outputs);
    if layouts.any(|layout| layout.dtype == DType::F16) && !profile.features.contains(wgpu::Features::SHADER_F16) {
        let why = "the device lacks SHADER_F16";
        return Err(Error::Unsupported { what: format!("{} with f16 operands", op.name()), why });
    }
    let operands = Operands { op: op.name(), inputs, outputs: &outputs };
    if outputs.iter().all(Layout::is_empty) {
        return Ok(vec![Plan::new(PlanData {
            op: op.name(),
            variant: "nothing".into(),
            why: "no output has elements".into(),
            passed_over: Vec::new(),
            // Nothing is read or written, so any alignment will do.
            inputs: inputs.iter().map(|layout| Layout { align: 1, ..layout.clone() }).collect(),
            outputs: outputs.into_iter().map(|layout| Layout { align: 1, ..layout }).collect(),
            scratch: Vec::new(),
            dispatches: Vec::new(),
        })]);
    }
    let plans = op.problem(inputs, &outputs)?.plans(&operands, profile, every)?;
    log::debug!("{}", plans[0].to_string().trim_end());
    Ok(plans)
}

/// Refuses a shape whose strides in bytes overflow, even if a 0 makes it empty: past this, lowering multiplies unchecked. The
/// largest elements count, of 4 bytes.
pub(crate) fn expect_addressable(op: &'static str, operand: impl fmt::Display, shape: &[usize]) -> Result<()> {
    let bytes = shape.iter().fold(4u64, |bytes, &size| bytes.saturating_mul(size.max(1) as u64));
    if bytes <= isize::MAX as u64 {
        return Ok(());
    }
    Err(Error::Limit {
        op: format!("{op}: {operand}"),
        limit: "address space",
        needed: bytes,
        available: isize::MAX as u64,
        hint: "split the problem",
    })
}

/// Refuses a number of inputs outside of a range.
pub(crate) fn expect_inputs(op: &'static str, inputs: &[Layout], range: std::ops::RangeInclusive<usize>) -> Result<()> {
    if range.contains(&inputs.len()) {
        return Ok(());
    }
    let expected = if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{} to {}", range.start(), range.end())
    };
    Err(Error::Count { op, what: "inputs", expected, found: inputs.len() })
}

/// Refuses an element type that is not among those that the op takes.
pub(crate) fn expect_dtype(op: &'static str, operand: &str, layout: &Layout, among: &[DType]) -> Result<()> {
    if among.contains(&layout.dtype) {
        return Ok(());
    }
    let expected = among.iter().map(DType::to_string).collect::<Vec<_>>().join(" or ");
    Err(Error::DType { op, operand: operand.into(), expected, found: layout.dtype })
}

/// Refuses an operand whose rank is not the one that the op takes.
pub(crate) fn expect_rank(
    op: &'static str,
    operand: &'static str,
    layout: &Layout,
    rank: usize,
    words: &'static str,
) -> Result<()> {
    if layout.shape.len() == rank {
        return Ok(());
    }
    Err(Error::Rank { op, operand, expected: words, found: layout.shape.len() })
}

/// Refuses an operand of another shape.
pub(crate) fn expect_shape(
    op: &'static str,
    operand: impl fmt::Display,
    layout: &Layout,
    shape: &[usize],
) -> Result<()> {
    if layout.shape == shape {
        return Ok(());
    }
    Err(Error::Shape { op, detail: format!("the shape of {operand} is {:?}, not {shape:?}", layout.shape) })
}

/// The shape that two shapes broadcast to, by NumPy's rule: aligned at the end, a 1 stretches.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

/// Row-major strides of a shape.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}

/// Strides of an operand over the dimensions of the shape that it broadcasts to: 0 where it stretches.
pub(crate) fn broadcast_strides(shape: &[usize], to: &[usize]) -> Vec<usize> {
    let own = strides(shape);
    let missing = to.len() - shape.len();
    (0..to.len()).map(|i| if i < missing || shape[i - missing] == 1 { 0 } else { own[i - missing] }).collect()
}

/// Merges neighbouring dimensions over which every operand keeps a single stride, and drops those of size 1, so that
/// kernels count as few dimensions as there are. `operands` holds each operand's strides over `sizes`.
pub(crate) fn merge_dims(sizes: &[usize], operands: &[Vec<usize>]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut merged: Vec<usize> = Vec::new();
    let mut strides: Vec<Vec<usize>> = vec![Vec::new(); operands.len()];
    for (dim, &size) in sizes.iter().enumerate() {
        if size == 1 {
            continue;
        }
        let joins = !merged.is_empty()
            && operands.iter().zip(&strides).all(|(operand, kept)| kept.last() == Some(&(operand[dim] * size)));
        if joins {
            *merged.last_mut().unwrap_or(&mut 1) *= size;
        } else {
            merged.push(size);
        }
        for (operand, kept) in operands.iter().zip(&mut strides) {
            if joins {
                kept.pop();
            }
            kept.push(operand[dim]);
        }
    }
    (merged, strides)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_broadcast_by_numpys_rule() {
        assert_eq!(broadcast(&[2, 1, 3], &[4, 1]), Some(vec![2, 4, 3]));
        assert_eq!(broadcast(&[], &[5]), Some(vec![5]));
        assert_eq!(broadcast(&[0], &[1]), Some(vec![0]));
        assert_eq!(broadcast(&[2], &[3]), None);
        assert_eq!(broadcast_strides(&[4, 1], &[2, 4, 3]), [0, 1, 0]);
    }

    #[test]
    fn dimensions_merge_where_all_operands_allow_it() {
        let (sizes, strides) = merge_dims(&[2, 3, 1, 4], &[vec![12, 4, 4, 1], vec![12, 4, 4, 1]]);
        assert_eq!((sizes, strides), (vec![24], vec![vec![1], vec![1]]));
        let (sizes, strides) = merge_dims(&[2, 3, 4], &[vec![12, 4, 1], vec![0, 4, 1]]);
        assert_eq!((sizes, strides), (vec![2, 12], vec![vec![12, 1], vec![0, 1]]));
        // A dimension over which an operand stretches twice stays one dimension of stride 0.
        let (sizes, strides) = merge_dims(&[2, 3], &[vec![3, 1], vec![0, 0]]);
        assert_eq!((sizes, strides), (vec![6], vec![vec![1], vec![0]]));
    }
}
