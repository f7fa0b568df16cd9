//! What is worked out once for a dispatch.

use super::shadow::Arena;
use super::{Launch, MOST_INVOCATIONS};
use crate::emulator::code::{BufferBinding, Code, Length, Memory, Op, Place, Target, Width};

/// Of a kernel and what is bound to it.
pub(super) struct Prepared {
    /// For each operation the next operation of control of the innermost frame that is open after it: where a subgroup
    /// without active lanes goes on.
    pub skip: Vec<Target>,
    /// For each operation a number that depends on its kind: the length of a `Bound` or `ArrayLength` in elements, or of
    /// an access the bytes of a lane: 0 where an earlier load of the same vector counts them.
    pub numbers: Vec<u32>,
    /// The deepest stack of frames.
    pub depth: usize,
    /// Bytes of each buffer that can be addressed.
    pub bytes: Vec<u32>,
    /// The arena of each buffer, where a dispatch may write to what it reads.
    pub tracked: Vec<Option<usize>>,
    /// Ranges of allocations in which races are possible.
    pub arenas: Vec<Arena>,
    /// Bytes of a cell of storage memory's shadow, and of workgroup memory's.
    pub storage_granule: u32,
    pub workgroup_granule: u32,
    /// Invocations of a workgroup.
    pub invocations: u32,
}

impl Prepared {
    /// Refuses, with a message, what the machine cannot run.
    pub fn new(launch: &Launch<'_>) -> Result<Self, String> {
        let code = launch.code;
        let size = launch.options.subgroup_size;
        if !matches!(size, 4 | 8 | 16 | 32 | 64) {
            return Err(format!("a subgroup has 4, 8, 16, 32 or 64 lanes, not {size}"));
        }
        let invocations = code.workgroup_size.iter().map(|&n| u64::from(n)).product::<u64>();
        if invocations == 0 || invocations > MOST_INVOCATIONS {
            return Err(format!("a workgroup of {invocations} invocations: from 1 to {MOST_INVOCATIONS} can be run"));
        }
        if launch.windows.len() != code.buffers.len() {
            return Err(format!("{} windows for {} buffers", launch.windows.len(), code.buffers.len()));
        }
        if code.spans.len() != code.ops.len() || code.ops.last() != Some(&Op::End) {
            return Err("the code has no end, or a span is missing".into());
        }
        // Addresses have 32 bits, and the last word stands for no address.
        let bytes = launch.windows.iter().map(|window| {
            let words = (window.words.len() as u64).saturating_mul(4);
            window.bytes.min(words).min(0xffff_fffc) as u32
        });
        let bytes = bytes.collect::<Vec<_>>();
        let (skip, depth) = skips(code)?;
        let numbers = numbers(code, &bytes);
        let (arenas, tracked) = arenas(launch);
        let halves = |workgroup: bool| {
            code.ops.iter().any(|op| match op {
                Op::Load { place, width: Width::Half, .. } | Op::Store { place, width: Width::Half, .. } => {
                    (place.memory == Memory::Workgroup) == workgroup
                }
                Op::CooperativeLoad { tile, .. } | Op::CooperativeStore { tile, .. } => {
                    tile.width == Width::Half && (tile.place.memory == Memory::Workgroup) == workgroup
                }
                _ => false,
            })
        };
        let granule = |workgroup| if halves(workgroup) { 2 } else { 4 };
        Ok(Prepared {
            skip,
            numbers,
            depth,
            bytes,
            tracked,
            arenas,
            storage_granule: granule(false),
            workgroup_granule: granule(true),
            invocations: invocations as u32,
        })
    }
}

/// For each operation the next of control of the frame that is open after it, and the depth of frames.
fn skips(code: &Code) -> Result<(Vec<Target>, usize), String> {
    let mut skip = vec![0; code.ops.len()];
    let mut open: Vec<Target> = Vec::new();
    let mut depth = 0;
    for (at, op) in code.ops.iter().enumerate().rev() {
        // After an operation of control that closes a frame, the enclosing frame is the innermost.
        skip[at] = open.last().copied().unwrap_or(code.ops.len() as Target - 1);
        let ill = || format!("operation {at} opens or closes no frame");
        match op {
            Op::EndIf | Op::EndLoop { .. } | Op::EndBlock => open.push(at as Target),
            Op::Else { .. } | Op::Continuing => *open.last_mut().ok_or_else(ill)? = at as Target,
            Op::If { .. } | Op::Loop { .. } | Op::Block { .. } => {
                open.pop().ok_or_else(ill)?;
            }
            _ => {}
        }
        depth = depth.max(open.len());
    }
    if open.is_empty() { Ok((skip, depth)) } else { Err("a frame is closed that was not opened".into()) }
}

/// The number of each operation: see [`Prepared::numbers`].
fn numbers(code: &Code, bytes: &[u32]) -> Vec<u32> {
    let elements = |buffer: u32, offset: u32, stride: u32| {
        bytes[buffer as usize].saturating_sub(offset).checked_div(stride).unwrap_or(0)
    };
    let mut numbers = vec![0; code.ops.len()];
    // What ends a vector: the operation after its last component.
    let mut counted = 0;
    for (at, op) in code.ops.iter().enumerate() {
        numbers[at] = match op {
            Op::Bound { length: Length::Const(length), .. } => *length,
            &Op::Bound { length: Length::Runtime { buffer, offset, stride }, .. }
            | &Op::ArrayLength { buffer, offset, stride, .. } => elements(buffer, offset, stride),
            Op::AtomicLoad { .. } | Op::AtomicStore { .. } | Op::Atomic { .. } | Op::CompareExchange { .. } => 4,
            Op::Load { .. } | Op::Store { .. } if at >= counted => {
                let (bytes, end) = vector(code, at);
                counted = end;
                bytes
            }
            _ => 0,
        };
    }
    numbers
}

/// The bytes of the vector that starts with an access, and the operation after its last component: up to four accesses of
/// the same expression to one place after the other, conversions between them left aside.
fn vector(code: &Code, start: usize) -> (u32, usize) {
    let Some((first, width, load)) = access(&code.ops[start]) else { return (0, start + 1) };
    let (mut bytes, mut end) = (width, start + 1);
    for (at, op) in code.ops.iter().enumerate().skip(start + 1) {
        match op {
            Op::Copy { to, .. } | Op::Unary { to, .. } if first.index != Some(*to) => continue,
            _ => {}
        }
        let next = Place { base: first.base.wrapping_add(bytes), ..*first };
        if access(op) != Some((&next, width, load)) || code.spans[at] != code.spans[start] || bytes == 4 * width {
            break;
        }
        bytes += width;
        end = at + 1;
    }
    (bytes, end)
}

/// The place that a plain access is to, its width in bytes and whether it is a load.
fn access(op: &Op) -> Option<(&Place, u32, bool)> {
    match op {
        Op::Load { place, width, .. } => Some((place, width.bytes(), true)),
        Op::Store { place, width, .. } => Some((place, width.bytes(), false)),
        _ => None,
    }
}

/// The ranges in which a dispatch writes, joined by allocation, and the one that each buffer is looked up in, if any.
fn arenas(launch: &Launch<'_>) -> (Vec<Arena>, Vec<Option<usize>>) {
    let code = launch.code;
    let mut written = vec![false; code.buffers.len()];
    for op in &code.ops {
        let memory = match op {
            Op::Store { place, .. }
            | Op::AtomicStore { place, .. }
            | Op::Atomic { place, .. }
            | Op::CompareExchange { place, .. } => place.memory,
            Op::CooperativeStore { tile, .. } => tile.place.memory,
            _ => continue,
        };
        if let Memory::Buffer(buffer) = memory {
            written[buffer as usize] = true;
        }
    }
    let range = |buffer: usize| {
        let window = &launch.windows[buffer];
        window.offset..window.offset.saturating_add(window.bytes)
    };
    let storage = |buffer: usize| matches!(code.buffers[buffer].binding, BufferBinding::Storage { .. });
    let mut arenas: Vec<Arena> = Vec::new();
    let mut tracked = vec![None; code.buffers.len()];
    for (buffer, window) in launch.windows.iter().enumerate() {
        let bytes = range(buffer);
        let overlaps = |other: usize| {
            let other_bytes = range(other);
            let shared = other_bytes.start.max(bytes.start) < other_bytes.end.min(bytes.end);
            written[other] && launch.windows[other].identity == window.identity && (shared || other == buffer)
        };
        if !storage(buffer) || !(0..written.len()).any(overlaps) {
            continue;
        }
        let index = arenas.iter().position(|arena| arena.identity == window.identity).unwrap_or_else(|| {
            arenas.push(Arena { identity: window.identity, bytes: bytes.clone() });
            arenas.len() - 1
        });
        let arena = &mut arenas[index].bytes;
        *arena = arena.start.min(bytes.start)..arena.end.max(bytes.end);
        tracked[buffer] = Some(index);
    }
    (arenas, tracked)
}
