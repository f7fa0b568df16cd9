//! The emulator as an executor: memory on the host, and plans that run at once when they are recorded.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::compose::{ParamSpace, Source};
use crate::emulator::code::{BufferBinding, Code};
use crate::emulator::machine::{self, Initialised, Launch, Outcome};
use crate::emulator::{Counted, Counters, EmulatorOptions, Finding, FindingKind, lower};
use crate::error::{Error, Result};
use crate::gpu::memory::{Block, MemoryStats, POISON_WORD, Storage};
use crate::gpu::pipelines::{Kernels, checked};
use crate::gpu::placement::{self, Operands, Placed};
use crate::gpu::scope::Health;
use crate::gpu::timing::{Label, Timings};
use crate::plan::{Access, Dispatch, Plan};
use crate::profile::{Class, DeviceProfile};
use crate::tensor::AnyTensor;

/// The error of what needs a wgpu device.
pub(crate) fn no_wgpu(what: &str) -> Error {
    Error::Unsupported { what: what.into(), why: "the emulator has no wgpu device" }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The memory of a tensor.
pub(crate) struct Words {
    words: Vec<AtomicU32>,
    identity: usize,
    /// Which words were written; none where nothing is checked.
    initialised: Option<Initialised>,
    memory: Arc<Mutex<MemoryStats>>,
}

impl Drop for Words {
    fn drop(&mut self) {
        let mut stats = lock(&self.memory);
        stats.live_bytes -= self.words.len() as u64 * 4;
        stats.live_buffers -= 1;
    }
}

impl Words {
    /// Writes bytes from a word on; the rest of the last word becomes 0.
    fn write(&self, first: usize, bytes: &[u8]) {
        let end = first + bytes.len().div_ceil(4);
        for (word, bytes) in self.words[first..end].iter().zip(bytes.chunks(4)) {
            let mut whole = [0; 4];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u32::from_ne_bytes(whole), Ordering::Relaxed);
        }
        if let Some(initialised) = &self.initialised {
            initialised.mark(first..end);
        }
    }

    fn read(&self, range: Range<usize>) -> Vec<u8> {
        let words = range.start / 4..range.end.div_ceil(4);
        let skipped = range.start - words.start * 4;
        let mut bytes: Vec<u8> = Vec::with_capacity(words.len() * 4);
        for word in &self.words[words] {
            bytes.extend(word.load(Ordering::Relaxed).to_ne_bytes());
        }
        bytes.drain(..skipped);
        bytes.truncate(range.len());
        bytes
    }
}

/// The emulated memory of a tensor; a tensor of another device has none, and is refused before.
fn words(storage: &Storage) -> Result<&Words> {
    match &storage.block {
        Block::Emulated(words) => Ok(words),
        Block::Wgpu(_) => Err(Error::OtherDevice { op: "emulator".into(), operand: "the tensor".into() }),
    }
}

/// A kernel as the emulator runs it, and the way back to its files.
struct Lowered {
    code: Code,
    source: Source,
}

#[derive(Default)]
struct Recorder {
    /// What the timings under way have seen.
    timings: Vec<(u64, Vec<Label>)>,
    /// What the countings under way have seen.
    countings: Vec<(u64, Vec<Counted>)>,
    /// Timings and countings that there have been.
    started: u64,
    findings: Vec<Finding>,
}

pub(crate) struct EmulatorExecutor {
    /// Tells devices apart.
    pub id: u64,
    pub health: Health,
    options: EmulatorOptions,
    limits: wgpu::Limits,
    stats: Arc<Mutex<MemoryStats>>,
    kernels: Kernels<Lowered>,
    /// Held while a plan runs: what several threads record runs one after the other.
    recorder: Mutex<Recorder>,
}

/// Ends a timing, also where the work that is timed panics.
pub(crate) struct TimingGuard<'a> {
    executor: &'a EmulatorExecutor,
    id: u64,
}

impl Drop for TimingGuard<'_> {
    fn drop(&mut self) {
        lock(&self.executor.recorder).timings.retain(|(id, _)| *id != self.id);
    }
}

/// Ends a counting, also where the work that is counted panics.
pub(crate) struct CountingGuard<'a> {
    executor: &'a EmulatorExecutor,
    id: u64,
}

impl Drop for CountingGuard<'_> {
    fn drop(&mut self) {
        lock(&self.executor.recorder).countings.retain(|(id, _)| *id != self.id);
    }
}

impl EmulatorExecutor {
    /// An emulator with options that have been checked.
    pub fn new(id: u64, options: EmulatorOptions) -> Self {
        EmulatorExecutor {
            id,
            health: Health::default(),
            limits: options.limits(),
            options,
            stats: Arc::default(),
            kernels: Kernels::default(),
            recorder: Mutex::default(),
        }
    }

    /// What planning knows of the emulator.
    pub fn profile(&self) -> DeviceProfile {
        let EmulatorOptions { subgroup_size, sm_count, .. } = self.options;
        DeviceProfile {
            name: "emulator".into(),
            backend: "naga".into(),
            driver: format!("subgroups of {subgroup_size}"),
            class: Class::Unknown,
            limits: self.limits.clone(),
            features: wgpu::Features::IMMEDIATES
                | wgpu::Features::SUBGROUP
                | wgpu::Features::SHADER_F16
                | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
            subgroup_size: (subgroup_size, subgroup_size),
            cooperative_matrices: vec![8, 16],
            sm_count: Some(sm_count),
            ..DeviceProfile::baseline()
        }
    }

    /// Storage for so many bytes. What is about to be overwritten need not be poisoned.
    pub fn allocate(&self, bytes: u64, overwritten: bool) -> Result<Arc<Storage>> {
        self.health.check()?;
        let max = self.limits.max_buffer_size;
        if bytes > max {
            return Err(crate::gpu::memory::too_large(bytes, max));
        }
        // Room for a vector at least: bindings of vectors need it.
        let exact = bytes;
        let bytes = bytes.max(16).next_multiple_of(4);
        let cap = self.options.memory_limit;
        let mut stats = lock(&self.stats);
        let out_of_memory = Error::OutOfMemory { requested: bytes, in_use: stats.live_bytes, cap };
        if cap.is_some_and(|cap| stats.live_bytes + bytes > cap) {
            return Err(out_of_memory);
        }
        let mut words: Vec<AtomicU32> = Vec::new();
        let count = usize::try_from(bytes / 4).map_err(|_| out_of_memory.clone())?;
        words.try_reserve_exact(count).map_err(|_| out_of_memory)?;
        let fill = if self.options.poison && !overwritten { POISON_WORD } else { 0 };
        words.resize_with(count, || AtomicU32::new(fill));
        stats.live_bytes += bytes;
        stats.live_buffers += 1;
        stats.created += 1;
        stats.peak_bytes = stats.peak_bytes.max(stats.live_bytes);
        drop(stats);
        let initialised = self.options.sanitizer.then(|| Initialised::new(count));
        // Bytes are written in words: what lies behind the last one is read, and written again as it was.
        if let (Some(initialised), true) = (&initialised, !exact.is_multiple_of(4)) {
            initialised.mark((exact / 4) as usize..(exact / 4) as usize + 1);
        }
        let block = Block::Emulated(Words {
            words,
            identity: machine::next_identity(),
            initialised,
            memory: self.stats.clone(),
        });
        Ok(Arc::new(Storage { bytes, device: self.id, block }))
    }

    /// Fills fresh storage.
    pub fn fill(&self, storage: &Storage, bytes: &[u8]) -> Result<()> {
        self.health.check()?;
        words(storage)?.write(0, bytes);
        Ok(())
    }

    /// Overwrites a tensor, which starts and ends between words.
    pub fn overwrite(&self, tensor: &AnyTensor, bytes: &[u8]) -> Result<()> {
        self.health.check()?;
        let _one_at_a_time = lock(&self.recorder);
        words(tensor.storage())?.write((tensor.byte_offset() / 4) as usize, bytes);
        Ok(())
    }

    /// The bytes of a tensor.
    pub fn download(&self, tensor: &AnyTensor) -> Result<Vec<u8>> {
        self.health.check()?;
        placement::expect_own("download", tensor, self.id)?;
        let _one_at_a_time = lock(&self.recorder);
        let start = tensor.byte_offset() as usize;
        Ok(words(tensor.storage())?.read(start..start + tensor.layout().bytes() as usize))
    }

    /// Checks, binds and runs a plan; returns what was found meanwhile.
    pub fn record(&self, plan: &Plan, operands: &Operands<'_>) -> Result<Vec<Finding>> {
        placement::check(plan, operands, self.id)?;
        let scratch = plan.scratch.iter().map(|&bytes| self.allocate(bytes, false)).collect::<Result<Vec<_>>>()?;
        plan.dispatches.iter().try_for_each(|dispatch| self.warm(dispatch).map(drop))?;
        let mut recorder = lock(&self.recorder);
        let mut found = Vec::new();
        let mut outcome = Ok(());
        for (number, dispatch) in plan.dispatches.iter().enumerate() {
            for (_, labels) in &mut recorder.timings {
                labels.push(Label { op: plan.op, variant: plan.variant.clone() });
            }
            let placed = placement::place(dispatch, operands, &scratch, &self.limits);
            match self.run(plan, dispatch, placed, &mut found) {
                Ok(counters) => {
                    for (_, counted) in &mut recorder.countings {
                        counted.push(Counted {
                            op: plan.op,
                            variant: plan.variant.clone(),
                            dispatch: number,
                            grid: dispatch.grid,
                            counters,
                        });
                    }
                }
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        found.iter().for_each(|finding| finding.merge_into(&mut recorder.findings));
        outcome.map(|()| found)
    }

    /// Lowers a kernel ahead of its first run; whether it had not been.
    pub fn warm(&self, dispatch: &Dispatch) -> Result<bool> {
        self.health.check()?;
        let before = self.cached();
        self.lowered(dispatch)?;
        Ok(self.cached() > before)
    }

    /// What was found since the last call.
    pub fn findings(&self) -> Vec<Finding> {
        std::mem::take(&mut lock(&self.recorder).findings)
    }

    /// Starts to list every dispatch.
    pub fn start_timing(&self) -> Result<TimingGuard<'_>> {
        self.health.check()?;
        let mut recorder = lock(&self.recorder);
        let id = recorder.started;
        recorder.started += 1;
        recorder.timings.push((id, Vec::new()));
        Ok(TimingGuard { executor: self, id })
    }

    /// The dispatches since then. How long an emulation takes says nothing of a GPU: they are untimed.
    pub fn stop_timing(&self, guard: TimingGuard<'_>) -> Result<Timings> {
        self.health.check()?;
        let mut timings = Timings::default();
        if let Some((_, labels)) = lock(&self.recorder).timings.iter().find(|(id, _)| *id == guard.id) {
            timings.extend(labels, None, 1.0);
        }
        Ok(timings)
    }

    /// Starts to keep the counters of every dispatch.
    pub fn start_counting(&self) -> Result<CountingGuard<'_>> {
        self.health.check()?;
        let mut recorder = lock(&self.recorder);
        let id = recorder.started;
        recorder.started += 1;
        recorder.countings.push((id, Vec::new()));
        Ok(CountingGuard { executor: self, id })
    }

    /// The counters since then.
    pub fn stop_counting(&self, guard: CountingGuard<'_>) -> Result<Vec<Counted>> {
        self.health.check()?;
        let mut recorder = lock(&self.recorder);
        let own = recorder.countings.iter_mut().find(|(id, _)| *id == guard.id);
        let counted = own.map(|(_, counted)| std::mem::take(counted)).unwrap_or_default();
        // The guard takes the same lock when it ends.
        drop(recorder);
        Ok(counted)
    }

    pub fn stats(&self) -> MemoryStats {
        *lock(&self.stats)
    }

    /// Cached kernels.
    pub fn cached(&self) -> usize {
        self.kernels.len()
    }
}

impl EmulatorExecutor {
    fn lowered(&self, dispatch: &Dispatch) -> Result<Arc<Lowered>> {
        self.kernels.get(dispatch, |_| {
            let name = dispatch.kernel.body.path;
            let (source, module) = checked(&dispatch.kernel, &self.limits)?;
            // What the emulator lacks, the lowering refuses.
            let info =
                naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all())
                    .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
                    .subgroup_operations(naga::valid::SubgroupOperationSet::all())
                    .validate(&module)
                    .map_err(|e| Error::Shader { kernel: name.into(), detail: source.describe_validation_error(&e) })?;
            let code = lower::lower(&module, &info, "main", &HashMap::new()).map_err(|unsupported| {
                let at = match locate(name, &source, unsupported.span) {
                    (file, 0, _) => file,
                    (file, line, column) => format!("{file}:{line}:{column}"),
                };
                let what = format!("{} at {at}", unsupported.what);
                Error::Unsupported { what, why: "the emulator does not run it" }
            })?;
            Ok(Lowered { code, source })
        })
    }

    /// Holds a dispatch against the limits that wgpu would hold it against.
    fn expect_limits(&self, plan: &Plan, dispatch: &Dispatch, placed: &Placed<'_>) -> Result<()> {
        let windows = placed.windows.iter().zip(&dispatch.bindings);
        let buffers = windows.filter(|(_, binding)| binding.access != Access::ReadTexels).map(|(window, _)| window);
        let (count, widest) = (buffers.clone().count(), buffers.map(|window| window.bytes).max().unwrap_or(0));
        let immediates = match dispatch.kernel.params {
            ParamSpace::Immediate => placed.params.len() as u64 * 4,
            ParamSpace::Uniform { .. } => 0,
        };
        let limits = &self.limits;
        for (limit, needed, available) in [
            (
                "max_compute_workgroups_per_dimension",
                dispatch.grid.into_iter().max().unwrap_or(0).into(),
                limits.max_compute_workgroups_per_dimension.into(),
            ),
            ("max_storage_buffers_per_shader_stage", count as u64, limits.max_storage_buffers_per_shader_stage.into()),
            ("max_storage_buffer_binding_size", widest, limits.max_storage_buffer_binding_size),
            ("max_immediate_size", immediates, limits.max_immediate_size.into()),
        ] {
            if needed > available {
                let hint = "plan for the profile of this device";
                return Err(Error::Limit { op: plan.op.into(), limit, needed, available, hint });
            }
        }
        Ok(())
    }

    /// Runs a dispatch, adds what is found, and returns what was executed.
    fn run(&self, plan: &Plan, dispatch: &Dispatch, placed: Placed<'_>, found: &mut Vec<Finding>) -> Result<Counters> {
        self.expect_limits(plan, dispatch, &placed)?;
        let lowered = self.lowered(dispatch)?;
        let Lowered { code, source } = &*lowered;
        let name = dispatch.kernel.body.path;
        // Uniform buffers come in rows of 16 bytes, immediates in words.
        let size = match dispatch.kernel.params {
            ParamSpace::Immediate => placed.params.len(),
            ParamSpace::Uniform { .. } => placed.params.len().next_multiple_of(4),
        };
        let params: Vec<AtomicU32> =
            placed.params.iter().copied().chain(std::iter::repeat(0)).take(size).map(AtomicU32::new).collect();
        let params = machine::Window {
            words: &params,
            identity: machine::next_identity(),
            offset: 0,
            bytes: size as u64 * 4,
            initialised: None,
        };
        let mut windows = Vec::with_capacity(code.buffers.len());
        for buffer in &code.buffers {
            let broken = |detail: &str| {
                Err(Error::Shader { kernel: name.into(), detail: format!("`{}` {detail}", buffer.name) })
            };
            let window = match buffer.binding {
                BufferBinding::Storage { group: 0, binding, writable } => {
                    let number = binding as usize;
                    let (Some(window), Some(planned)) = (placed.windows.get(number), dispatch.bindings.get(number))
                    else {
                        return broken(&format!("has binding {binding}, which the dispatch lacks"));
                    };
                    if writable && planned.access == Access::Read && !dispatch.kernel.arena {
                        return broken("is declared read_write, the dispatch binds it to be read");
                    }
                    let memory = words(window.storage)?;
                    let first = (window.offset / 4) as usize;
                    machine::Window {
                        words: &memory.words[first..first + (window.bytes / 4) as usize],
                        identity: memory.identity,
                        offset: window.offset,
                        bytes: window.bytes,
                        initialised: memory.initialised.as_ref(),
                    }
                }
                BufferBinding::Uniform { group: 0, binding }
                    if dispatch.kernel.params == (ParamSpace::Uniform { binding }) =>
                {
                    params
                }
                BufferBinding::Immediate if dispatch.kernel.params == ParamSpace::Immediate => params,
                other => return broken(&format!("is bound as {other:?}, which the dispatch lacks")),
            };
            if window.bytes < u64::from(buffer.least) {
                return broken(&format!("needs {} bytes, {} are bound", buffer.least, window.bytes));
            }
            windows.push(window);
        }
        let launch = Launch { code, grid: dispatch.grid, windows: &windows, options: &self.options };
        let Outcome { findings, counters, complete } = machine::run(&launch);
        let kernel = format!("{} {}", plan.op, plan.variant);
        let raised: Vec<Finding> =
            findings.into_iter().map(|raised| raised.located(&kernel, |span| locate(name, source, span))).collect();
        raised.iter().for_each(|finding| finding.merge_into(found));
        if complete {
            return Ok(counters);
        }
        // A GPU would hang here, or be reset.
        let ends = |finding: &&Finding| {
            matches!(finding.kind, FindingKind::StepBudget | FindingKind::NonuniformBarrier | FindingKind::Unsupported)
        };
        let why = raised.iter().find(ends).map_or("nothing says why".into(), Finding::to_string);
        Err(Error::Shader { kernel: name.into(), detail: format!("it does not come to its end: {why}") })
    }
}

/// File, line and column of a span: those of the composed text where no file has it, and 0 for the body as a whole.
fn locate(body: &str, source: &Source, span: naga::Span) -> (String, usize, usize) {
    let Some(range) = span.to_range() else { return (body.into(), 0, 0) };
    if let Some(at) = source.locate(range.start) {
        return (at.path.into(), at.line, at.column);
    }
    let at = span.location(&source.text);
    ("(composed text)".into(), at.line_number as usize, at.line_position as usize)
}
