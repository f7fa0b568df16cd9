//! The wgpu executor: binds plans to memory, records their dispatches, submits them, reads results back.

use std::collections::HashMap;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

use crate::compose::ParamSpace;
use crate::error::{Error, Result};
use crate::gpu::bind::Window;
use crate::gpu::memory::{self, Memory, POISON_BYTES, Storage, Texels};
use crate::gpu::pipelines::{self, Kernel, Kernels, PipelineCache};
use crate::gpu::placement::{self, Operands};
use crate::gpu::timing::{Label, Queries, Timings};
use crate::plan::{Access, Dispatch, Plan, Slot};
use crate::profile::DeviceProfile;
use crate::tensor::AnyTensor;

/// A dispatch bound to memory, ready to be encoded into any pass.
pub(crate) struct Step {
    /// The textures that are filled before it, in no pass.
    fills: Vec<Fill>,
    kernel: Arc<Kernel>,
    group: wgpu::BindGroup,
    params: Vec<u32>,
    grid: [u32; 3],
    /// What it is called in timings; a check of a kernel is in none.
    label: Option<Label>,
    flops: f64,
}

impl Step {
    /// Encodes the dispatch. It sets the pass's pipeline, group 0 and immediates, nothing else.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.kernel.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        if self.kernel.params == ParamSpace::Immediate && !self.params.is_empty() {
            pass.set_immediates(0, bytemuck::cast_slice(&self.params));
        }
        let [x, y, z] = self.grid;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// A texture that an operand is read through, and the bytes of a buffer that go there.
struct Fill {
    to: wgpu::TextureView,
    from: wgpu::Buffer,
    window: Range<u64>,
    spare: wgpu::Buffer,
}

/// A texture that holds a window of a buffer.
type Copied = (Texels, wgpu::Buffer, Range<u64>);

/// The texture that holds a window of a buffer.
fn find(copied: &[Copied], buffer: &wgpu::Buffer, window: &Range<u64>) -> Option<wgpu::TextureView> {
    let mut copied = copied.iter();
    copied.find(|(_, from, range)| from == buffer && range == window).map(|(texels, ..)| texels.view.clone())
}

/// What a plan's textures hold, until something writes to the buffers that it came from. They are the plan's own while it is bound:
/// what is recorded later may fill them anew, since it runs later.
#[derive(Default)]
struct Filled<'a> {
    own: Vec<Copied>,
    /// The inputs that are the same at every run, and what earlier runs have kept of them.
    constants: &'a [usize],
    kept: &'a [Copied],
    /// What this run adds to that.
    added: Vec<Copied>,
}

impl Filled<'_> {
    fn find(&self, buffer: &wgpu::Buffer, window: &Range<u64>) -> Option<wgpu::TextureView> {
        [self.kept, &self.added, &self.own].into_iter().find_map(|copied| find(copied, buffer, window))
    }

    /// Forgets what came from a buffer that is written to.
    fn forget(&mut self, written: &wgpu::Buffer) {
        self.own.retain(|(_, from, _)| from != written);
    }
}

/// Textures that hold constant operands, from one run of a plan to the next.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Vec<Copied>>);

impl Kept {
    /// Bytes of the textures.
    pub fn bytes(&self) -> u64 {
        lock(&self.0).iter().map(|(texels, ..)| texels.bytes).sum()
    }
}

/// Something recorded and not yet submitted.
enum Command {
    Fill(Fill),
    Dispatch(Step),
    Copy { from: wgpu::Buffer, from_offset: u64, to: wgpu::Buffer, to_offset: u64, bytes: u64 },
}

#[derive(Default)]
struct Recorder {
    commands: Vec<Command>,
    /// What the commands use: held until they are submitted.
    held: Vec<Arc<Storage>>,
    flops: f64,
    dispatches: usize,
    /// The timings under way, nested ones and those of several threads.
    timings: Vec<Timing>,
    /// Timings that there have been.
    started: u64,
}

/// A timing under way: the queries of what was submitted since it began, and which copy of their results is its own.
struct Timing {
    id: u64,
    queries: Vec<(Arc<Queries>, usize)>,
}

/// Ends a timing, also where the work that is timed panics: else every dispatch to come would be timed for no one.
pub(crate) struct TimingGuard<'a> {
    executor: &'a WgpuExecutor,
    id: u64,
}

impl Drop for TimingGuard<'_> {
    fn drop(&mut self) {
        lock(&self.executor.recorder).timings.retain(|timing| timing.id != self.id);
    }
}

/// Dispatches of one submission at the most: enough to hide the cost of submitting, few enough to keep the GPU fed while
/// the rest is still being recorded.
const SUBMIT_EVERY: usize = 256;

pub(crate) struct WgpuExecutor {
    pub memory: Arc<Memory>,
    kernels: Kernels<Kernel>,
    pipelines: PipelineCache,
    uniforms: Mutex<HashMap<Vec<u32>, wgpu::Buffer>>,
    recorder: Mutex<Recorder>,
    /// On a device of our own the recorder submits by itself at the work budget; on a host's it waits to be told.
    owned: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl WgpuExecutor {
    pub fn new(memory: Arc<Memory>, pipelines: PipelineCache, owned: bool) -> Self {
        WgpuExecutor {
            memory,
            kernels: Kernels::default(),
            pipelines,
            uniforms: Mutex::default(),
            recorder: Mutex::default(),
            owned,
        }
    }

    /// Storage for so many bytes; reused buffers are poisoned, unless the caller is about to overwrite all of it.
    pub fn allocate(&self, bytes: u64, overwritten: bool) -> Result<Arc<Storage>> {
        let (storage, poison) = self.memory.acquire(bytes)?;
        if let Some(poison) = poison.filter(|_| !overwritten) {
            let mut recorder = lock(&self.recorder);
            for offset in (0..storage.bytes).step_by(POISON_BYTES as usize) {
                recorder.commands.push(Command::Copy {
                    from: poison.clone(),
                    from_offset: 0,
                    to: storage.buffer()?.clone(),
                    to_offset: offset,
                    bytes: POISON_BYTES.min(storage.bytes - offset),
                });
            }
            recorder.held.push(storage.clone());
        }
        Ok(storage)
    }

    /// Fills fresh storage. Nothing recorded can refer to it yet, so that the queue may write at once.
    pub fn fill(&self, storage: &Storage, bytes: &[u8]) -> Result<()> {
        let whole = bytes.len() & !3;
        let buffer = storage.buffer()?;
        self.memory.health.guard(&self.memory.device, "upload", || {
            self.memory.queue.write_buffer(buffer, 0, &bytes[..whole]);
            if whole < bytes.len() {
                let mut last = [0; 4];
                last[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
                self.memory.queue.write_buffer(buffer, whole as u64, &last);
            }
        })
    }

    /// Overwrites a tensor in order with what is recorded: through a buffer of its own, since a write by the queue would
    /// take effect before everything recorded.
    pub fn overwrite(&self, tensor: &AnyTensor, bytes: &[u8]) -> Result<()> {
        self.memory.health.check()?;
        tensor.expect_usage(wgpu::BufferUsages::COPY_DST, "write")?;
        let from = self.memory.create_filled(wgpu::BufferUsages::COPY_SRC, bytes)?;
        let mut recorder = lock(&self.recorder);
        recorder.commands.push(Command::Copy {
            from,
            from_offset: 0,
            to: tensor.storage().buffer()?.clone(),
            to_offset: tensor.byte_offset(),
            bytes: bytes.len() as u64,
        });
        recorder.held.push(tensor.storage().clone());
        Ok(())
    }

    /// Binds the dispatches of a plan to memory: builds pipelines where need be, records nothing.
    pub fn bind(&self, plan: &Plan, operands: &Operands<'_>, scratch: &[Arc<Storage>]) -> Result<Vec<Step>> {
        self.memory.health.check()?;
        plan.expect_unaltered()?;
        self.bind_filled(plan, operands, scratch, &mut Filled::default())
    }

    fn bind_filled(
        &self,
        plan: &Plan,
        operands: &Operands<'_>,
        scratch: &[Arc<Storage>],
        filled: &mut Filled<'_>,
    ) -> Result<Vec<Step>> {
        plan.dispatches.iter().map(|dispatch| self.step(plan, dispatch, operands, scratch, filled)).collect()
    }

    fn kernel(&self, dispatch: &Dispatch) -> Result<Arc<Kernel>> {
        self.kernels.get(dispatch, |id| pipelines::build(&self.memory, &self.pipelines, dispatch, id))
    }

    fn step(
        &self,
        plan: &Plan,
        dispatch: &Dispatch,
        operands: &Operands<'_>,
        scratch: &[Arc<Storage>],
        filled: &mut Filled<'_>,
    ) -> Result<Step> {
        let kernel = self.kernel(dispatch)?;
        let placed = placement::place(dispatch, operands, scratch, &self.memory.device.limits());
        let (mut windows, mut fills) = (Vec::with_capacity(placed.windows.len() + 1), Vec::new());
        for (window, binding) in placed.windows.iter().zip(&dispatch.bindings) {
            let (buffer, offset, bytes) = (window.storage.buffer()?.clone(), window.offset, window.bytes);
            windows.push(match binding.access {
                Access::ReadTexels => self.texels(binding.slot, buffer, offset..offset + bytes, filled, &mut fills)?,
                Access::Read | Access::Write => Window::Buffer { buffer, offset, bytes },
            });
        }
        for (window, binding) in placed.windows.iter().zip(&dispatch.bindings) {
            if binding.access == Access::Write {
                filled.forget(window.storage.buffer()?);
            }
        }
        let params = placed.params;
        if let ParamSpace::Uniform { .. } = kernel.params {
            let buffer = self.uniform(&params)?;
            windows.push(Window::Buffer { offset: 0, bytes: buffer.size(), buffer });
        }
        let group = self.memory.binds.get(kernel.id, windows, |windows| {
            let entries: Vec<_> = (0u32..)
                .zip(windows)
                .map(|(binding, window)| wgpu::BindGroupEntry { binding, resource: window.resource() })
                .collect();
            self.memory.health.guard(&self.memory.device, plan.op, || {
                self.memory.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some(plan.op),
                    layout: &kernel.layout,
                    entries: &entries,
                })
            })
        })?;
        let label = Some(Label { op: plan.op, variant: plan.variant.clone() });
        Ok(Step { fills, kernel, group, params, grid: dispatch.grid, label, flops: dispatch.work.flops })
    }

    /// A texture that holds a window of a buffer when the dispatch runs.
    fn texels(
        &self,
        slot: Slot,
        from: wgpu::Buffer,
        window: Range<u64>,
        filled: &mut Filled<'_>,
        fills: &mut Vec<Fill>,
    ) -> Result<Window> {
        if let Some(view) = filled.find(&from, &window) {
            return Ok(Window::Texels(view));
        }
        let texels = self.memory.acquire_texels(window.end - window.start)?;
        let view = texels.view.clone();
        let is_constant = matches!(slot, Slot::Input(i) if filled.constants.contains(&i));
        let list = if is_constant { &mut filled.added } else { &mut filled.own };
        list.push((texels, from.clone(), window.clone()));
        fills.push(Fill { to: view.clone(), from, window, spare: self.memory.spare_texel()? });
        Ok(Window::Texels(view))
    }

    /// A uniform buffer with these words, never rewritten: the same parameters find it again.
    fn uniform(&self, words: &[u32]) -> Result<wgpu::Buffer> {
        const CAPACITY: usize = 4096;
        let mut uniforms = lock(&self.uniforms);
        if let Some(buffer) = uniforms.get(words) {
            return Ok(buffer.clone());
        }
        if uniforms.len() >= CAPACITY {
            let buffers: Vec<_> = uniforms.drain().map(|(_, buffer)| buffer.into()).collect();
            self.memory.binds.forget(&buffers);
        }
        let mut padded = words.to_vec();
        padded.resize(words.len().next_multiple_of(4), 0);
        let buffer = self.memory.create_filled(wgpu::BufferUsages::UNIFORM, bytemuck::cast_slice(&padded))?;
        uniforms.insert(words.to_vec(), buffer.clone());
        Ok(buffer)
    }

    /// Checks, binds and records a plan; `timed` says whether timings tell of it. Inputs that are the same at every run stay in textures.
    pub fn record(
        &self,
        plan: &Plan,
        operands: &Operands<'_>,
        profile: &DeviceProfile,
        timed: bool,
        constants: Option<(&[usize], &Kept)>,
    ) -> Result<()> {
        placement::check(plan, operands, self.memory.id)?;
        let scratch = plan.scratch.iter().map(|&bytes| self.allocate(bytes, false)).collect::<Result<Vec<_>>>()?;
        let copied = |tensor: &&AnyTensor| tensor.expect_usage(wgpu::BufferUsages::COPY_SRC, plan.op).is_ok();
        // No other run of the plan may come between what is bound and what is recorded.
        let mut kept = constants.map(|(_, kept)| lock(&kept.0));
        let mut added = Vec::new();
        let steps = if plan.reads_texels() && !operands.inputs.iter().all(copied) {
            self.bind(&plan.without_texels(), operands, &scratch)?
        } else {
            // Copies that stay are for those who have the memory.
            let constants = constants.filter(|_| !self.memory.is_capped());
            let constants = constants.map_or(&[][..], |(constants, _)| constants);
            let own = kept.as_ref().map_or(&[][..], |kept| kept);
            let mut filled = Filled { constants, kept: own, ..Filled::default() };
            self.memory.health.check()?;
            plan.expect_unaltered()?;
            match self.bind_filled(plan, operands, &scratch, &mut filled) {
                // Memory that only makes it faster.
                Err(Error::OutOfMemory { .. }) if plan.reads_texels() => {
                    self.bind(&plan.without_texels(), operands, &scratch)?
                }
                bound => {
                    added = filled.added;
                    bound?
                }
            }
        };
        let mut used: Vec<_> =
            operands.inputs.iter().chain(operands.outputs).map(|tensor| tensor.storage().clone()).collect();
        used.extend(scratch);
        let mut recorder = lock(&self.recorder);
        recorder.held.extend(used.iter().cloned());
        for mut step in steps {
            step.label = step.label.filter(|_| timed);
            let full = recorder.dispatches >= SUBMIT_EVERY || recorder.flops + step.flops > profile.work_limit();
            if full && recorder.dispatches > 0 && self.owned {
                self.submit_locked(&mut recorder)?;
                recorder.held.extend(used.iter().cloned());
            }
            recorder.flops += step.flops;
            recorder.dispatches += 1;
            recorder.commands.extend(step.fills.drain(..).map(Command::Fill));
            recorder.commands.push(Command::Dispatch(step));
        }
        if let Some(kept) = &mut kept {
            kept.extend(added);
        }
        Ok(())
    }

    /// Submits what is recorded.
    pub fn submit(&self) -> Result<()> {
        self.submit_locked(&mut lock(&self.recorder))
    }

    fn submit_locked(&self, recorder: &mut Recorder) -> Result<()> {
        let commands = std::mem::take(&mut recorder.commands);
        let held = std::mem::take(&mut recorder.held);
        recorder.flops = 0.0;
        recorder.dispatches = 0;
        self.memory.health.check()?;
        if commands.is_empty() {
            return Ok(());
        }
        let device = &self.memory.device;
        let readers = recorder.timings.len();
        let queries = if readers > 0 {
            let labels = commands.iter().filter_map(|command| match command {
                Command::Dispatch(step) => step.label.clone(),
                Command::Fill(_) | Command::Copy { .. } => None,
            });
            Queries::new(&self.memory, labels, readers)?
        } else {
            None
        };
        self.memory.health.guard(device, "submit", || {
            let mut encoder =
                device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("tilewise") });
            let mut next = commands.iter().peekable();
            let mut timed = 0;
            while let Some(command) = next.next() {
                match command {
                    Command::Fill(fill) => {
                        memory::fill_texels(&mut encoder, &fill.to, &fill.from, fill.window.clone(), &fill.spare);
                    }
                    Command::Copy { from, from_offset, to, to_offset, bytes } => {
                        encoder.copy_buffer_to_buffer(from, *from_offset, to, *to_offset, *bytes);
                    }
                    Command::Dispatch(step) => {
                        let queries_of = queries.as_ref().filter(|_| step.label.is_some());
                        let timestamp_writes = queries_of.and_then(|queries| queries.writes(timed));
                        timed += usize::from(step.label.is_some());
                        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                            label: Some("tilewise"),
                            timestamp_writes,
                        });
                        step.encode(&mut pass);
                        // Many dispatches share a pass, but when timing each has its own.
                        while queries.is_none()
                            && let Some(Command::Dispatch(step)) =
                                next.next_if(|command| matches!(command, Command::Dispatch(_)))
                        {
                            step.encode(&mut pass);
                        }
                    }
                }
            }
            if let Some(queries) = &queries {
                queries.resolve(&mut encoder);
            }
            self.memory.queue.submit([encoder.finish()]);
        })?;
        if let Some(queries) = queries.map(Arc::new) {
            for (reader, timing) in recorder.timings.iter_mut().enumerate() {
                timing.queries.push((queries.clone(), reader));
            }
        }
        drop(held);
        Ok(())
    }

    /// Submits and has the tensor's bytes copied to memory that the host can map.
    fn stage(&self, tensor: &AnyTensor) -> Result<(wgpu::Buffer, Range<usize>)> {
        self.memory.health.check()?;
        placement::expect_own("download", tensor, self.memory.id)?;
        tensor.expect_usage(wgpu::BufferUsages::COPY_SRC, "download")?;
        let start = tensor.byte_offset() & !3;
        let end = (tensor.byte_offset() + tensor.layout().bytes()).next_multiple_of(4);
        let device = &self.memory.device;
        let staging = self.memory.health.guard(device, "download", || {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("tilewise read-back"),
                size: (end - start).max(4),
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })?;
        let mut recorder = lock(&self.recorder);
        if end > start {
            recorder.commands.push(Command::Copy {
                from: tensor.storage().buffer()?.clone(),
                from_offset: start,
                to: staging.clone(),
                to_offset: 0,
                bytes: end - start,
            });
        }
        self.submit_locked(&mut recorder)?;
        let first = (tensor.byte_offset() - start) as usize;
        Ok((staging, first..first + tensor.layout().bytes() as usize))
    }

    /// The bytes of a tensor. Submits what is recorded; the device is polled only where that is wanted or it is our own.
    pub async fn download(&self, tensor: &AnyTensor, block: bool) -> Result<Vec<u8>> {
        if tensor.layout().is_empty() {
            self.memory.health.check()?;
            return Ok(Vec::new());
        }
        let (staging, range) = self.stage(tensor)?;
        let bytes = self.map(&staging, block).await?;
        Ok(bytes[range].to_vec())
    }

    /// Maps a buffer and copies it out.
    pub async fn map(&self, buffer: &wgpu::Buffer, block: bool) -> Result<Vec<u8>> {
        let (sender, receiver) = oneshot_channel();
        let device = &self.memory.device;
        let asked = self.memory.health.guard(device, "read back", || {
            buffer.map_async(wgpu::MapMode::Read, .., move |outcome| {
                // The receiver is gone only if the caller gave up waiting.
                let _ = sender.send(outcome);
            });
        });
        if let Err(error) = asked {
            // A lost device makes invalid buffers without a word; that one of ours cannot be mapped is the first sign. The
            // poll lets our own device's callback tell the reason.
            if self.owned {
                let _ = device.poll(wgpu::PollType::Poll);
            }
            self.memory.health.set_lost(&format!("reading back failed: {error}"));
            self.memory.health.check()?;
        }
        if block {
            self.wait()?;
        }
        let outcome = self.told(receiver).await;
        self.memory.health.settle().await?;
        match outcome {
            Some(Ok(())) => {}
            // wgpu tells of a lost device in no other way than that mapping fails.
            Some(Err(error)) => {
                self.memory.health.set_lost(&format!("reading back failed: {error}"));
                return Err(self.memory.health.diagnose("read back", &error));
            }
            None => return Err(self.memory.health.diagnose("read back", &"the mapping was dropped")),
        }
        let bytes = buffer
            .slice(..)
            .get_mapped_range()
            .map_err(|error| self.memory.health.diagnose("read back", &error))?
            .to_vec();
        buffer.unmap();
        Ok(bytes)
    }

    /// What a callback of wgpu tells; none where it was dropped, or the device is lost. Our own device is driven meanwhile; a
    /// host drives its own, and a browser, where polling does nothing, wakes us.
    async fn told<T: Send + 'static>(&self, receiver: OneshotReceiver<T>) -> Option<T> {
        let drives = self.owned && !cfg!(target_arch = "wasm32");
        let mut answer = pin!(receiver.receive());
        std::future::poll_fn(|context| {
            if drives {
                // A failing poll means a lost device.
                let _ = self.memory.device.poll(wgpu::PollType::Poll);
            }
            let state = answer.as_mut().poll(context);
            if state.is_pending() && self.memory.health.is_lost() {
                return Poll::Ready(None);
            }
            if state.is_pending() && drives {
                context.waker().wake_by_ref();
            }
            state
        })
        .await
    }

    /// Resolves when everything submitted is done.
    pub async fn done(&self, block: bool) -> Result<()> {
        if block {
            return self.wait();
        }
        let (sender, receiver) = oneshot_channel();
        self.memory.queue.on_submitted_work_done(move || {
            // The receiver is gone only if the caller gave up waiting.
            let _ = sender.send(());
        });
        let told = self.told(receiver).await;
        self.memory.health.settle().await?;
        told.ok_or_else(|| self.memory.health.diagnose("wait for the device", &"the callback was dropped"))
    }

    /// Blocks until everything submitted is done.
    pub fn wait(&self) -> Result<()> {
        match self.memory.device.poll(wgpu::PollType::wait_indefinitely()) {
            // A device that is lost has nothing left to wait for.
            Ok(_) => self.memory.health.check(),
            Err(error) => Err(self.memory.health.diagnose("wait for the device", &error)),
        }
    }

    /// Starts to time every dispatch.
    pub fn start_timing(&self) -> Result<TimingGuard<'_>> {
        let mut recorder = lock(&self.recorder);
        self.submit_locked(&mut recorder)?;
        let id = recorder.started;
        recorder.started += 1;
        recorder.timings.push(Timing { id, queries: Vec::new() });
        Ok(TimingGuard { executor: self, id })
    }

    /// Ends a timing and reads what was measured.
    pub async fn stop_timing(&self, guard: TimingGuard<'_>, block: bool) -> Result<Timings> {
        let queries = {
            let mut recorder = lock(&self.recorder);
            self.submit_locked(&mut recorder)?;
            let own = recorder.timings.iter_mut().find(|timing| timing.id == guard.id);
            own.map(|timing| std::mem::take(&mut timing.queries)).unwrap_or_default()
        };
        drop(guard);
        let period = f64::from(self.memory.queue.get_timestamp_period());
        let mut timings = Timings::default();
        for (queries, reader) in queries {
            let ticks = match queries.read_back(reader) {
                Some(buffer) => Some(self.map(buffer, block).await?),
                None => None,
            };
            timings.extend(queries.labels(), ticks.as_deref(), period);
        }
        Ok(timings)
    }

    /// Cached pipelines and bind groups.
    pub fn cached(&self) -> (usize, usize) {
        (self.kernels.len(), self.memory.binds.len())
    }

    /// Builds the pipeline of a dispatch ahead of its first run; whether it was not there.
    pub fn warm(&self, dispatch: &Dispatch) -> Result<bool> {
        self.memory.health.check()?;
        let mut built = false;
        self.kernels.get(dispatch, |id| {
            built = true;
            pipelines::build(&self.memory, &self.pipelines, dispatch, id)
        })?;
        Ok(built)
    }

    /// Keeps compiled pipelines for later runs.
    pub fn keep_pipelines(&self) {
        self.pipelines.keep();
    }
}
