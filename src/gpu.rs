//! The runtime: a device, its memory, and the recorder of work.

pub(crate) mod bind;
mod check;
pub(crate) mod device;
#[cfg(feature = "emulator")]
pub(crate) mod emulated;
pub(crate) mod executor;
pub(crate) mod memory;
pub(crate) mod pipelines;
pub(crate) mod placement;
pub(crate) mod scope;
mod shorthands;
pub(crate) mod timing;
mod tune;
mod unsafe_calls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
#[cfg(not(target_arch = "wasm32"))]
use std::time::Instant;

// A browser's clock is not the standard library's.
#[cfg(target_arch = "wasm32")]
use web_time::Instant;

#[cfg(feature = "emulator")]
use crate::emulator::EmulatorOptions;
use crate::emulator::{Counted, Finding};
use crate::error::{Error, Result};
#[cfg(feature = "emulator")]
use crate::gpu::emulated::{EmulatorExecutor, no_wgpu};
use crate::gpu::executor::{Kept, Step, WgpuExecutor};
use crate::gpu::memory::{Memory, MemoryStats, Storage};
use crate::gpu::pipelines::PipelineCache;
use crate::gpu::placement::{Operands, check, expect_own};
use crate::layout::{DType, Element, Layout, count};
use crate::op::Op;
use crate::plan::Plan;
use crate::profile::DeviceProfile;
use crate::reference::HostTensor;
use crate::tensor::{AnyTensor, Operand, Tensor};
use crate::trust::Trust;

use device::{Adapter, GpuBuilder, HostDevice};
use timing::Timings;

/// What runs plans.
#[allow(clippy::large_enum_variant)] // There is one for each device, behind an `Arc`.
enum Executor {
    Wgpu(WgpuExecutor),
    #[cfg(feature = "emulator")]
    Emulator(EmulatorExecutor),
}

/// Has whichever executor there is do something.
macro_rules! on {
    ($gpu:expr, $executor:ident => $work:expr) => {
        on!($gpu, $executor => $work, $executor => $work)
    };
    ($gpu:expr, $wgpu:ident => $by_wgpu:expr, $emulator:ident => $by_emulator:expr) => {
        match &*$gpu.executor {
            Executor::Wgpu($wgpu) => $by_wgpu,
            #[cfg(feature = "emulator")]
            Executor::Emulator($emulator) => $by_emulator,
        }
    };
}

/// A device that runs ops. Cheap to clone; clones share the device, its memory and its recorder.
///
/// Ops are recorded and run in the order of recording. They are submitted when a result is read, when
/// [`submit`](Gpu::submit) says so, and, on a device of our own, whenever enough has gathered. Recording never waits for the GPU.
///
/// ```no_run
/// let gpu = tilewise::Gpu::new()?;
/// let a = gpu.tensor(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0])?;
/// let b = gpu.matmul(&a, &a)?;
/// assert_eq!(gpu.download(&b)?, [7.0, 10.0, 15.0, 22.0]);
/// # Ok::<(), tilewise::Error>(())
/// ```
#[derive(Clone)]
pub struct Gpu {
    executor: Arc<Executor>,
    profile: Arc<DeviceProfile>,
    trust: Arc<Trust>,
    /// Whether what it records is left out of timings: the checks of kernels.
    untimed: bool,
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpu({})", self.profile)
    }
}

/// A number that tells a device apart from all others.
fn next_device() -> u64 {
    static DEVICES: AtomicU64 = AtomicU64::new(0);
    DEVICES.fetch_add(1, Ordering::Relaxed)
}

impl Gpu {
    /// Opens a device on the best adapter; blocks.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::NoDevice`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new() -> Result<Gpu> {
        Gpu::builder().build()
    }

    /// As [`new`](Gpu::new); on a machine without any adapter the emulator, its checks off, and a warning in the log. Without the
    /// crate's feature `emulator` there is no such device.
    ///
    /// # Errors
    /// [`Error::NoDevice`], and [`Error::NoAdapter`] without the feature.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new_or_emulated() -> Result<Gpu> {
        match Gpu::new() {
            #[cfg(feature = "emulator")]
            Err(Error::NoAdapter { found, .. }) if found.is_empty() => {
                log::warn!("no adapter found: kernels run on the emulator");
                Gpu::emulated(EmulatorOptions { sanitizer: false, ..Default::default() })
            }
            other => other,
        }
    }

    /// Whether kernels run on the emulator.
    pub fn is_emulated(&self) -> bool {
        on!(self, _wgpu => false, _emulator => true)
    }

    /// Opens a device on the best adapter.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::NoDevice`].
    pub async fn request() -> Result<Gpu> {
        Gpu::builder().request().await
    }

    /// Chooses an adapter by name, number, power or features.
    pub fn builder() -> GpuBuilder {
        GpuBuilder::default()
    }

    /// Every adapter, GPUs before drivers that run on the CPU. `WGPU_BACKEND` narrows the search. A browser lists none.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn adapters() -> Vec<Adapter> {
        pollster::block_on(device::adapters())
    }

    /// Shares a host's device. Nothing is submitted, polled or installed on it behind the host's back: recorded work waits
    /// for [`submit`](Gpu::submit) or a read-back. A lost device is noticed at a read-back or told by
    /// [`notify_lost`](Gpu::notify_lost).
    pub fn from_wgpu(host: HostDevice) -> Gpu {
        let HostDevice { device, queue, adapter, pipeline_cache } = host;
        let info = adapter.as_ref().map_or_else(|| device.adapter_info(), |adapter| adapter.get_info());
        // Its owner would be surprised by work that nobody asked for.
        let profile = DeviceProfile { unchecked: false, ..DeviceProfile::of(&info, &device, adapter.as_ref()) };
        let memory = Memory::new(device, queue, None, cfg!(debug_assertions));
        let executor = Executor::Wgpu(WgpuExecutor::new(memory, PipelineCache::host(pipeline_cache), false));
        Gpu { executor: Arc::new(executor), profile: Arc::new(profile), trust: Arc::default(), untimed: false }
    }

    pub(crate) fn own(memory: Arc<Memory>, pipelines: PipelineCache, profile: DeviceProfile, trust: Trust) -> Gpu {
        memory.health.watch(&memory.device);
        let executor = Executor::Wgpu(WgpuExecutor::new(memory, pipelines, true));
        Gpu { executor: Arc::new(executor), profile: Arc::new(profile), trust: Arc::new(trust), untimed: false }
    }

    /// A device without a driver: interprets the kernels on the CPU, as slowly as that is, and checks every memory access.
    /// Plans run at once when they are recorded. What was found is told by [`findings`](Gpu::findings).
    ///
    /// ```no_run
    /// use tilewise::{EmulatorOptions, Gpu};
    /// let gpu = Gpu::emulated(EmulatorOptions { subgroup_size: 16, ..Default::default() })?;
    /// let a = gpu.tensor(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0])?;
    /// assert_eq!(gpu.download(&gpu.matmul(&a, &a)?)?, [7.0, 10.0, 15.0, 22.0]);
    /// assert!(gpu.findings().is_empty());
    /// # Ok::<(), tilewise::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for options that no machine can have.
    #[cfg(feature = "emulator")]
    pub fn emulated(options: EmulatorOptions) -> Result<Gpu> {
        options.check()?;
        let executor = EmulatorExecutor::new(next_device(), options);
        let profile = Arc::new(executor.profile());
        // The emulator runs kernels as WGSL has them: there is no driver to mistrust.
        Ok(Gpu { executor: Arc::new(Executor::Emulator(executor)), profile, trust: Arc::default(), untimed: false })
    }

    /// The wgpu executor, for `what` needs one.
    fn wgpu(&self, what: &str) -> Result<&WgpuExecutor> {
        // Without the emulator there is nothing else, and no use for the name.
        let _ = what;
        on!(self, executor => Ok(executor), _emulator => Err(no_wgpu(what)))
    }

    /// Tells devices apart.
    fn id(&self) -> u64 {
        on!(self, wgpu => wgpu.memory.id, emulator => emulator.id)
    }

    /// What the emulator's checks found since the last call, each place once; empty on a device of wgpu.
    pub fn findings(&self) -> Vec<Finding> {
        on!(self, _wgpu => Vec::new(), emulator => emulator.findings())
    }

    /// What planning knows of the device.
    pub fn profile(&self) -> &DeviceProfile {
        &self.profile
    }

    /// The same device with another profile: to plan as for a lesser or a slower one.
    pub fn with_profile(&self, profile: DeviceProfile) -> Gpu {
        Gpu {
            executor: self.executor.clone(),
            profile: Arc::new(profile),
            trust: self.trust.clone(),
            untimed: self.untimed,
        }
    }

    /// The wgpu device underneath.
    ///
    /// # Errors
    /// [`Error::Unsupported`] on the emulator, which has none.
    pub fn device(&self) -> Result<&wgpu::Device> {
        Ok(&self.wgpu("the wgpu device")?.memory.device)
    }

    /// The queue of the wgpu device underneath.
    ///
    /// # Errors
    /// [`Error::Unsupported`] on the emulator, which has none.
    pub fn queue(&self) -> Result<&wgpu::Queue> {
        Ok(&self.wgpu("the wgpu queue")?.memory.queue)
    }

    /// Tells that the host's device is lost. From then on every call returns [`Error::DeviceLost`].
    pub fn notify_lost(&self, reason: &str) {
        on!(self, wgpu => wgpu.memory.health.set_lost(reason), emulator => emulator.health.set_lost(reason))
    }

    /// A tensor with these elements.
    ///
    /// # Errors
    /// [`Error::Length`] if the shape holds another number of elements, [`Error::OutOfMemory`], [`Error::Limit`],
    /// [`Error::DeviceLost`].
    pub fn tensor<T: Element>(&self, shape: &[usize], elements: &[T]) -> Result<Tensor<T>> {
        if count(shape) != elements.len() {
            return Err(Error::Length { shape: shape.to_vec(), found: elements.len() });
        }
        self.filled(shape, T::DTYPE, bytemuck::cast_slice(elements))?.typed()
    }

    /// A tensor on the device with the elements of one on the host, whatever their type.
    ///
    /// # Errors
    /// As for [`tensor`](Gpu::tensor).
    pub fn upload(&self, host: &HostTensor) -> Result<AnyTensor> {
        self.filled(&host.shape, host.dtype(), host.bytes())
    }

    fn filled(&self, shape: &[usize], dtype: DType, bytes: &[u8]) -> Result<AnyTensor> {
        let storage = on!(self, executor => executor.allocate(bytes.len() as u64, true))?;
        on!(self, executor => executor.fill(&storage, bytes))?;
        Ok(AnyTensor::new(storage, 0, shape, dtype))
    }

    /// A tensor whose elements are not set yet, for [`run`](Gpu::run) to write.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::Limit`], [`Error::DeviceLost`].
    pub fn empty<T: Element>(&self, shape: &[usize]) -> Result<Tensor<T>> {
        self.allocate(&Layout::new(shape, T::DTYPE))?.typed()
    }

    /// The same of a layout, whatever its type: an output of a plan.
    ///
    /// # Errors
    /// As for [`empty`](Gpu::empty).
    pub fn allocate(&self, layout: &Layout) -> Result<AnyTensor> {
        let storage = on!(self, executor => executor.allocate(layout.bytes(), false))?;
        Ok(AnyTensor::new(storage, 0, &layout.shape, layout.dtype))
    }

    /// Overwrites a tensor's elements, in order with what is recorded: work recorded before sees the old ones.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::View`] if a host's buffer lacks `COPY_DST` or the tensor starts or ends inside a word,
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn write<T: Element>(&self, tensor: &Tensor<T>, elements: &[T]) -> Result<()> {
        if tensor.len() != elements.len() {
            return Err(Error::Length { shape: tensor.shape().to_vec(), found: elements.len() });
        }
        let bytes: &[u8] = bytemuck::cast_slice(elements);
        let start = tensor.any().byte_offset();
        if !start.is_multiple_of(4) || !bytes.len().is_multiple_of(4) {
            return Err(Error::View {
                detail: format!("bytes {start}..{} are not whole words", start + bytes.len() as u64),
            });
        }
        expect_own("write", tensor.any(), self.id())?;
        if bytes.is_empty() { Ok(()) } else { on!(self, executor => executor.overwrite(tensor.any(), bytes)) }
    }

    /// A view of a host's buffer: `offset` elements in, as many as the shape holds. The buffer needs the usage `STORAGE`,
    /// for downloads `COPY_SRC`, for writes `COPY_DST`.
    ///
    /// # Errors
    /// [`Error::View`] if the view reaches beyond the buffer, [`Error::Unsupported`] on the emulator.
    pub fn view<T: Element>(&self, buffer: &wgpu::Buffer, offset: usize, shape: &[usize]) -> Result<Tensor<T>> {
        let memory = &self.wgpu("a view of a host's buffer")?.memory;
        AnyTensor::of_buffer(memory.adopt(buffer), offset, shape, T::DTYPE)?.typed()
    }

    /// Reads a tensor's elements back: submits what is recorded and blocks until the device is done.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::OtherDevice`], [`Error::View`] if a host's buffer lacks `COPY_SRC`.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn download<T: Element>(&self, tensor: &Tensor<T>) -> Result<Vec<T>> {
        Ok(bytemuck::pod_collect_to_vec(&pollster::block_on(self.bytes(tensor.any(), true))?))
    }

    /// Reads a tensor's elements back: submits what is recorded, and resolves when the device is done. A host's device is
    /// not polled: that is the host's part.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::OtherDevice`], [`Error::View`] if a host's buffer lacks `COPY_SRC`.
    pub async fn download_async<T: Element>(&self, tensor: &Tensor<T>) -> Result<Vec<T>> {
        Ok(bytemuck::pod_collect_to_vec(&self.bytes(tensor.any(), false).await?))
    }

    /// Reads a tensor of any type back; blocks.
    ///
    /// # Errors
    /// As for [`download`](Gpu::download).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn download_any(&self, tensor: &AnyTensor) -> Result<HostTensor> {
        Ok(HostTensor::from_bytes(tensor.shape(), tensor.dtype(), &pollster::block_on(self.bytes(tensor, true))?))
    }

    /// The bytes of a tensor. With `block` the future is ready when it is first polled, here and wherever the word stands.
    pub(crate) async fn bytes(&self, tensor: &AnyTensor, block: bool) -> Result<Vec<u8>> {
        on!(self, wgpu => wgpu.download(tensor, block).await, emulator => emulator.download(tensor))
    }

    /// Records an op with outputs of its own: plans it for the inputs and allocates what it needs.
    ///
    /// # Errors
    /// What the op refuses, and [`Error::Limit`], [`Error::OutOfMemory`], [`Error::OtherDevice`], [`Error::DeviceLost`].
    pub fn apply_all(&self, op: &dyn Op, inputs: &[&dyn Operand]) -> Result<Vec<AnyTensor>> {
        let layouts: Vec<Layout> = inputs.iter().map(|input| input.any().layout()).collect();
        let plan = self.plan(op, &layouts)?;
        let outputs = plan.outputs.iter().map(|layout| self.allocate(layout)).collect::<Result<Vec<_>>>()?;
        self.record(&plan, inputs, &outputs.iter().collect::<Vec<_>>())?;
        Ok(outputs)
    }

    /// Records an op with one output, or with the first of its outputs wanted.
    ///
    /// # Errors
    /// As [`apply_all`](Gpu::apply_all), and [`Error::DType`] if the output's elements are not `T`.
    pub fn apply<T: Element>(&self, op: &dyn Op, inputs: &[&dyn Operand]) -> Result<Tensor<T>> {
        self.apply_all(op, inputs)?.swap_remove(0).typed()
    }

    /// Records a plan on the caller's tensors.
    ///
    /// # Errors
    /// [`Error::Count`], [`Error::Unplanned`] if an operand is weaker than planned for, [`Error::Overlap`] if an output
    /// overlaps another operand, [`Error::OtherDevice`], [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn run(&self, plan: &Plan, inputs: &[&dyn Operand], outputs: &mut [&mut dyn Operand]) -> Result<()> {
        let outputs: Vec<&AnyTensor> = outputs.iter().map(|output| output.any()).collect();
        self.record(plan, inputs, &outputs).map(drop)
    }

    /// Records a plan; on the emulator, which runs it at once, returns what was found in it.
    pub(crate) fn record(&self, plan: &Plan, inputs: &[&dyn Operand], outputs: &[&AnyTensor]) -> Result<Vec<Finding>> {
        self.record_keeping(plan, inputs, outputs, None)
    }

    /// Likewise, with the inputs that are the same at every run, and what is kept of them.
    pub(crate) fn record_keeping(
        &self,
        plan: &Plan,
        inputs: &[&dyn Operand],
        outputs: &[&AnyTensor],
        constants: Option<(&[usize], &Kept)>,
    ) -> Result<Vec<Finding>> {
        let inputs: Vec<&AnyTensor> = inputs.iter().map(|input| input.any()).collect();
        let operands = Operands { inputs: &inputs, outputs };
        on!(
            self,
            wgpu => wgpu.record(plan, &operands, &self.profile, !self.untimed, constants).map(|()| Vec::new()),
            emulator => emulator.record(plan, &operands)
        )
    }

    /// Builds the pipelines of plans ahead of their first run; blocks while shaders compile. After each dispatch `progress` is
    /// told how many are ready, and of how many. Returns how many kernels had to be compiled, and how long that took.
    ///
    /// On a device of the crate's own, compiled kernels are kept on disk for later runs, where its driver hands them out.
    ///
    /// ```no_run
    /// use tilewise::{DType, Gpu, Layout, Matmul, Op};
    /// let gpu = Gpu::new()?;
    /// let square = Layout::new(&[256, 256], DType::F32);
    /// let plan = Matmul::default().plan(gpu.profile(), &[square.clone(), square])?;
    /// let compiled = gpu.warm_up(&[&plan], |ready, of| println!("{ready} of {of}"))?;
    /// println!("{} kernels in {:?}", compiled.kernels, compiled.time);
    /// # Ok::<(), tilewise::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shader`], [`Error::Limit`], [`Error::DeviceLost`].
    pub fn warm_up(&self, plans: &[&Plan], mut progress: impl FnMut(usize, usize)) -> Result<Compiled> {
        let dispatches = || plans.iter().flat_map(|plan| &plan.dispatches);
        let (count, mut compiled) = (dispatches().count(), Compiled::default());
        for (dispatch, ready) in dispatches().zip(1..) {
            let start = Instant::now();
            if on!(self, executor => executor.warm(dispatch))? {
                compiled.kernels += 1;
                compiled.time += start.elapsed();
            }
            progress(ready, count);
        }
        if compiled.kernels > 0 {
            on!(self, wgpu => wgpu.keep_pipelines(), _emulator => ());
        }
        Ok(compiled)
    }

    /// Submits what is recorded, and returns at once.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub fn submit(&self) -> Result<()> {
        on!(self, wgpu => wgpu.submit(), emulator => emulator.health.check())
    }

    /// Submits what is recorded, and blocks until the device is done.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&self) -> Result<()> {
        pollster::block_on(self.done(true))
    }

    /// Submits what is recorded, and resolves when the device is done.
    async fn done(&self, block: bool) -> Result<()> {
        self.submit()?;
        on!(self, wgpu => wgpu.done(block).await, emulator => emulator.health.check())
    }

    /// Reports errors of earlier calls that were not known at once.
    async fn settle(&self) -> Result<()> {
        on!(self, wgpu => wgpu.memory.health.settle().await, emulator => emulator.health.check())
    }

    /// Runs a closure and returns, with its value, the GPU time of every dispatch that was submitted meanwhile, also by
    /// other threads. Each dispatch gets a pass of its own; what is copied into textures for it is not in its time. Blocks until the device is done. Where the device has no
    /// timestamps, and on the emulator, the table says `untimed`. Timings may be nested, and several threads may time at once:
    /// each gets all that was submitted in its own time, so that a dispatch can be in several tables.
    ///
    /// # Errors
    /// Those of the closure, and [`Error::DeviceLost`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn timed<R>(&self, work: impl FnOnce(&Gpu) -> Result<R>) -> Result<(R, Timings)> {
        pollster::block_on(self.timing(work, true))
    }

    /// [`timed`](Gpu::timed), which blocks or does not.
    async fn timing<R>(&self, work: impl FnOnce(&Gpu) -> Result<R>, block: bool) -> Result<(R, Timings)> {
        on!(
            self,
            wgpu => {
                let timing = wgpu.start_timing()?;
                let value = work(self)?;
                Ok((value, wgpu.stop_timing(timing, block).await?))
            },
            emulator => {
                let timing = emulator.start_timing()?;
                let value = work(self)?;
                Ok((value, emulator.stop_timing(timing)?))
            }
        )
    }

    /// Runs a closure on the emulator and returns, with its value, the counters of every dispatch that ran meanwhile, also by
    /// other threads, in the order of running. Countings may be nested, like timings.
    ///
    /// # Errors
    /// [`Error::Unsupported`] on a device of wgpu, which counts nothing, before the closure runs; those of the closure, and
    /// [`Error::DeviceLost`].
    pub fn counted<R>(&self, work: impl FnOnce(&Gpu) -> Result<R>) -> Result<(R, Vec<Counted>)> {
        // Without the emulator there is no use for it.
        let _ = &work;
        on!(
            self,
            _wgpu => Err(Error::Unsupported { what: "counting".into(), why: "only the emulator counts" }),
            emulator => {
                let counting = emulator.start_counting()?;
                let value = work(self)?;
                Ok((value, emulator.stop_counting(counting)?))
            }
        )
    }

    /// Numbers about the device memory in use.
    pub fn stats(&self) -> MemoryStats {
        on!(self, wgpu => wgpu.memory.stats(), emulator => emulator.stats())
    }

    /// Cached pipelines and cached bind groups; on the emulator, cached kernels and none.
    pub fn cached(&self) -> (usize, usize) {
        on!(self, wgpu => wgpu.cached(), emulator => (emulator.cached(), 0))
    }

    /// Gives the pool's unused buffers back to the driver, and returns their bytes. The emulator keeps none.
    pub fn trim(&self) -> u64 {
        on!(self, wgpu => wgpu.memory.trim(), _emulator => 0)
    }
}

/// What was compiled ahead of running: see [`Gpu::warm_up`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// Kernels that were not there yet.
    pub kernels: usize,
    /// How long their pipelines took to build. Some drivers compile no sooner than a kernel runs first.
    pub time: Duration,
}

/// The operands of an encoded plan.
#[derive(Clone, Copy)]
pub struct Bindings<'a> {
    /// In the order of the plan's inputs.
    pub inputs: &'a [&'a dyn Operand],
    /// In the order of the plan's outputs.
    pub outputs: &'a [&'a dyn Operand],
}

/// Memory and objects that encoded plans need until the pass that holds them was submitted. The caller keeps it for so
/// long; then [`clear`](Workspace::clear) makes it ready for the next pass.
#[derive(Default)]
pub struct Workspace {
    held: Vec<Arc<Storage>>,
    steps: Vec<Step>,
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Workspace({} buffers, {} dispatches)", self.held.len(), self.steps.len())
    }
}

impl Workspace {
    /// An empty workspace; encoding fills it.
    pub fn new() -> Self {
        Workspace::default()
    }

    /// Lets go of everything. Call it when the passes that were encoded with it are submitted, not before.
    pub fn clear(&mut self) {
        self.held.clear();
        self.steps.clear();
    }
}

impl Plan {
    /// Encodes the plan's dispatches into a pass of the host, on operands on the host's device. Submits and polls nothing.
    /// The pass's pipeline, bind group 0 and immediates are changed, nothing else; the workspace and the operands must live
    /// until the pass was submitted.
    ///
    /// # Errors
    /// As [`Gpu::run`], and [`Error::Unsupported`] on the emulator.
    pub fn encode(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        gpu: &Gpu,
        bindings: &Bindings<'_>,
        workspace: &mut Workspace,
    ) -> Result<()> {
        let inputs: Vec<&AnyTensor> = bindings.inputs.iter().map(|operand| operand.any()).collect();
        let outputs: Vec<&AnyTensor> = bindings.outputs.iter().map(|operand| operand.any()).collect();
        let operands = Operands { inputs: &inputs, outputs: &outputs };
        let executor = gpu.wgpu("encoding into a host's pass")?;
        check(self, &operands, executor.memory.id)?;
        let scratch = self.scratch.iter().map(|&bytes| executor.allocate(bytes, true)).collect::<Result<Vec<_>>>()?;
        // Nothing is copied inside of a pass.
        let steps = executor.bind(&self.without_texels(), &operands, &scratch)?;
        for step in &steps {
            step.encode(pass);
        }
        workspace.held.extend(inputs.iter().chain(&outputs).map(|tensor| tensor.storage().clone()));
        workspace.held.extend(scratch);
        workspace.steps.extend(steps);
        Ok(())
    }
}
