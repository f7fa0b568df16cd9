//! Where the operands of a plan lie: the checks and the windows that all executors share.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::gpu::memory::Storage;
use crate::plan::{Access, Dispatch, Param, Plan, Slot, TEXEL};
use crate::tensor::AnyTensor;

/// Operands of one run of a plan.
pub(crate) struct Operands<'a> {
    pub inputs: &'a [&'a AnyTensor],
    pub outputs: &'a [&'a AnyTensor],
}

/// Refuses a tensor of another device.
pub(crate) fn expect_own(op: &str, tensor: &AnyTensor, device: u64) -> Result<()> {
    if tensor.storage().device == device {
        return Ok(());
    }
    Err(Error::OtherDevice { op: op.into(), operand: "the tensor".into() })
}

/// Checks operands against a plan for a device: number, device, shape, type, alignment, aliasing.
pub(crate) fn check(plan: &Plan, operands: &Operands<'_>, device: u64) -> Result<()> {
    let counts =
        [("inputs", plan.inputs.len(), operands.inputs.len()), ("outputs", plan.outputs.len(), operands.outputs.len())];
    for (what, expected, found) in counts {
        if expected != found {
            return Err(Error::Count { op: plan.op, what, expected: expected.to_string(), found });
        }
    }
    let inputs = operands.inputs.iter().zip(&plan.inputs).enumerate().map(|(i, (t, l))| (Slot::Input(i), *t, l));
    let outputs = operands.outputs.iter().zip(&plan.outputs).enumerate().map(|(i, (t, l))| (Slot::Output(i), *t, l));
    let all: Vec<_> = inputs.chain(outputs).collect();
    for (slot, tensor, planned) in &all {
        if tensor.storage().device != device {
            return Err(Error::OtherDevice { op: plan.op.into(), operand: slot.to_string() });
        }
        let unplanned = |detail| Err(Error::Unplanned { op: plan.op, operand: slot.to_string(), detail });
        let found = tensor.layout();
        if found.shape != planned.shape || found.dtype != planned.dtype {
            return unplanned(format!("it is {found}, planned for {planned}"));
        }
        if found.align < planned.align {
            return unplanned(format!("it is aligned to {} bytes, planned for {}", found.align, planned.align));
        }
        tensor.expect_usage(wgpu::BufferUsages::STORAGE, plan.op)?;
    }
    for (output, tensor) in operands.outputs.iter().enumerate() {
        for (slot, other, _) in all.iter().filter(|(slot, ..)| *slot != Slot::Output(output)) {
            if !tensor.shares_buffer(other) {
                continue;
            }
            if tensor.overlaps(other) {
                return Err(Error::Overlap { op: plan.op, output, other: slot.to_string() });
            }
            if !plan.in_arena() {
                return Err(Error::Unplanned {
                    op: plan.op,
                    operand: slot.to_string(),
                    detail: format!("it shares its buffer with output {output}: plan with Layout::in_arena"),
                });
            }
        }
    }
    Ok(())
}

/// A window of memory, as a binding sees it.
pub(crate) struct Window<'a> {
    pub storage: &'a Arc<Storage>,
    /// Bytes from the start of the storage.
    pub offset: u64,
    pub bytes: u64,
}

/// What a dispatch is bound to.
pub(crate) struct Placed<'a> {
    /// In the order of the bindings.
    pub windows: Vec<Window<'a>>,
    /// The words of the parameters, offsets resolved.
    pub params: Vec<u32>,
}

/// Finds the windows of a dispatch's bindings, and its parameters.
pub(crate) fn place<'a>(
    dispatch: &Dispatch,
    operands: &Operands<'a>,
    scratch: &'a [Arc<Storage>],
    limits: &wgpu::Limits,
) -> Placed<'a> {
    let placed: Vec<(&'a Arc<Storage>, Range<u64>)> = dispatch
        .bindings
        .iter()
        .map(|binding| {
            let (storage, base) = match binding.slot {
                Slot::Input(i) => (operands.inputs[i].storage(), operands.inputs[i].byte_offset()),
                Slot::Output(i) => (operands.outputs[i].storage(), operands.outputs[i].byte_offset()),
                Slot::Scratch(j) => (&scratch[j], 0),
            };
            (storage, base + binding.range.start..base + binding.range.end)
        })
        .collect();
    let mut windows = Vec::with_capacity(placed.len() + 1);
    let mut offsets = Vec::with_capacity(placed.len());
    for (i, ((storage, range), binding)) in placed.iter().zip(&dispatch.bindings).enumerate() {
        // The whole buffer where it fits: then all views of it share their bind groups. Not if another operand lies in
        // it and one of them is written: browsers refuse windows that overlap then, so they are as small as may be.
        let contested = placed.iter().zip(&dispatch.bindings).enumerate().any(|(j, ((other, _), b))| {
            i != j && other.is(storage) && (b.access == Access::Write || binding.access == Access::Write)
        });
        // What is copied before it is read is as small as may be too.
        let copied = binding.access == Access::ReadTexels;
        let window = if storage.bytes <= limits.max_storage_buffer_binding_size && !contested && !copied {
            0..storage.bytes & !3
        } else {
            let align = u64::from(limits.min_storage_buffer_offset_alignment).max(TEXEL);
            // An operand without elements may lie at the very end; a window holds a word still.
            let start = range.start.min(storage.bytes.saturating_sub(4)) / align * align;
            start..range.end.next_multiple_of(4).max(start + 4).min(storage.bytes)
        };
        offsets.push(((range.start - window.start) / binding.element) as u32);
        windows.push(Window { storage, offset: window.start, bytes: window.end - window.start });
    }
    let params: Vec<u32> = dispatch
        .params
        .iter()
        .map(|param| match *param {
            Param::U32(word) => word,
            Param::I32(word) => word as u32,
            Param::F32(value) => value.to_bits(),
            Param::Offset(binding) => offsets[binding],
        })
        .collect();
    Placed { windows, params }
}
