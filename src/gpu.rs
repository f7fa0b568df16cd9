//! The runtime: a device, its memory, and the recorder of work.

pub(crate) mod bind;
pub(crate) mod device;
pub(crate) mod executor;
pub(crate) mod memory;
mod ops;
pub(crate) mod pipelines;
pub(crate) mod scope;
pub(crate) mod timing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::gpu::executor::{Operands, Step, WgpuExecutor};
use crate::gpu::memory::{Memory, MemoryStats, Storage};
use crate::layout::{Element, Layout, count};
use crate::op::Op;
use crate::plan::Plan;
use crate::profile::DeviceProfile;
use crate::tensor::{AnyTensor, Operand, Tensor};

use device::{Adapter, GpuBuilder, HostDevice};
use timing::Timings;

/// What runs plans.
enum Executor {
    Wgpu(WgpuExecutor),
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
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpu({})", self.profile)
    }
}

static DEVICES: AtomicU64 = AtomicU64::new(0);

impl Gpu {
    /// Opens a device on the best adapter; blocks.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::NoDevice`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new() -> Result<Gpu> {
        Gpu::builder().build()
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
        let info = adapter.map_or_else(|| device.adapter_info(), |adapter| adapter.get_info());
        let profile = DeviceProfile::of(&info, &device);
        let memory = Memory::new(DEVICES.fetch_add(1, Ordering::Relaxed), device, queue, None, cfg!(debug_assertions));
        Gpu {
            executor: Arc::new(Executor::Wgpu(WgpuExecutor::new(memory, pipeline_cache, false))),
            profile: Arc::new(profile),
        }
    }

    pub(crate) fn own(
        device: wgpu::Device,
        queue: wgpu::Queue,
        profile: DeviceProfile,
        cap: Option<u64>,
        poison: bool,
    ) -> Gpu {
        let memory = Memory::new(DEVICES.fetch_add(1, Ordering::Relaxed), device, queue, cap, poison);
        memory.health.watch(&memory.device);
        Gpu { executor: Arc::new(Executor::Wgpu(WgpuExecutor::new(memory, None, true))), profile: Arc::new(profile) }
    }

    fn wgpu(&self) -> &WgpuExecutor {
        let Executor::Wgpu(executor) = &*self.executor;
        executor
    }

    /// What planning knows of the device.
    pub fn profile(&self) -> &DeviceProfile {
        &self.profile
    }

    /// The same device with another profile: to plan as for a lesser or a slower one.
    pub fn with_profile(&self, profile: DeviceProfile) -> Gpu {
        Gpu { executor: self.executor.clone(), profile: Arc::new(profile) }
    }

    /// The wgpu device underneath.
    pub fn device(&self) -> &wgpu::Device {
        &self.wgpu().memory.device
    }

    /// The queue of the wgpu device underneath.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.wgpu().memory.queue
    }

    /// Tells that the host's device is lost. From then on every call returns [`Error::DeviceLost`].
    pub fn notify_lost(&self, reason: &str) {
        self.wgpu().memory.health.set_lost(reason);
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
        let bytes: &[u8] = bytemuck::cast_slice(elements);
        let storage = self.wgpu().allocate(bytes.len() as u64, true)?;
        self.wgpu().fill(&storage, bytes)?;
        AnyTensor::new(storage, 0, shape, T::DTYPE).typed()
    }

    /// A tensor whose elements are not set yet, for [`run`](Gpu::run) to write.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::Limit`], [`Error::DeviceLost`].
    pub fn empty<T: Element>(&self, shape: &[usize]) -> Result<Tensor<T>> {
        self.allocate(&Layout::new(shape, T::DTYPE))?.typed()
    }

    /// A tensor of a layout, its elements not set.
    pub(crate) fn allocate(&self, layout: &Layout) -> Result<AnyTensor> {
        Ok(AnyTensor::new(self.wgpu().allocate(layout.bytes(), false)?, 0, &layout.shape, layout.dtype))
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
        let (_, start) = tensor.buffer();
        if !start.is_multiple_of(4) || !bytes.len().is_multiple_of(4) {
            return Err(Error::View {
                detail: format!("bytes {start}..{} are not whole words", start + bytes.len() as u64),
            });
        }
        self.own_tensor("write", tensor.any())?;
        if bytes.is_empty() { Ok(()) } else { self.wgpu().overwrite(tensor.any(), bytes) }
    }

    fn own_tensor(&self, op: &str, tensor: &AnyTensor) -> Result<()> {
        if tensor.storage().memory.id == self.wgpu().memory.id {
            return Ok(());
        }
        Err(Error::OtherDevice { op: op.into(), operand: "the tensor".into() })
    }

    /// A view of a host's buffer: `offset` elements in, as many as the shape holds. The buffer needs the usage `STORAGE`,
    /// for downloads `COPY_SRC`, for writes `COPY_DST`.
    ///
    /// # Errors
    /// [`Error::View`] if the view reaches beyond the buffer.
    pub fn view<T: Element>(&self, buffer: &wgpu::Buffer, offset: usize, shape: &[usize]) -> Result<Tensor<T>> {
        AnyTensor::of_buffer(self.wgpu().memory.adopt(buffer), offset, shape, T::DTYPE)?.typed()
    }

    /// Reads a tensor's elements back: submits what is recorded and blocks until the device is done.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::OtherDevice`], [`Error::View`] if a host's buffer lacks `COPY_SRC`.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn download<T: Element>(&self, tensor: &Tensor<T>) -> Result<Vec<T>> {
        Ok(bytemuck::pod_collect_to_vec(&self.download_bytes(tensor.any())?))
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn download_bytes(&self, tensor: &AnyTensor) -> Result<Vec<u8>> {
        pollster::block_on(self.wgpu().download(tensor, true))
    }

    /// Reads a tensor's elements back: submits what is recorded, and resolves when the device is done. A host's device is
    /// not polled: that is the host's part.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::OtherDevice`], [`Error::View`] if a host's buffer lacks `COPY_SRC`.
    pub async fn download_async<T: Element>(&self, tensor: &Tensor<T>) -> Result<Vec<T>> {
        let bytes = self.wgpu().download(tensor.any(), false).await?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// Records an op with outputs of its own: plans it for the inputs and allocates what it needs.
    ///
    /// # Errors
    /// What the op refuses, and [`Error::Limit`], [`Error::OutOfMemory`], [`Error::OtherDevice`], [`Error::DeviceLost`].
    pub fn apply_all(&self, op: &dyn Op, inputs: &[&dyn Operand]) -> Result<Vec<AnyTensor>> {
        let layouts: Vec<Layout> = inputs.iter().map(|input| input.any().layout()).collect();
        let plan = op.plan(&self.profile, &layouts)?;
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
        self.record(plan, inputs, &outputs)
    }

    pub(crate) fn record(&self, plan: &Plan, inputs: &[&dyn Operand], outputs: &[&AnyTensor]) -> Result<()> {
        let inputs: Vec<&AnyTensor> = inputs.iter().map(|input| input.any()).collect();
        self.wgpu().record(plan, &Operands { inputs: &inputs, outputs }, &self.profile)
    }

    /// Builds the pipelines of a plan ahead of its first run; blocks while shaders compile.
    ///
    /// # Errors
    /// [`Error::Shader`], [`Error::Limit`], [`Error::DeviceLost`].
    pub fn warm(&self, plan: &Plan) -> Result<()> {
        self.wgpu().warm(plan)
    }

    /// Submits what is recorded, and returns at once.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub fn submit(&self) -> Result<()> {
        self.wgpu().submit()
    }

    /// Submits what is recorded, and blocks until the device is done.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&self) -> Result<()> {
        self.submit()?;
        self.wgpu().wait()
    }

    /// Runs a closure and returns, with its value, the GPU time of every dispatch that was submitted meanwhile, also by
    /// other threads. Each dispatch gets a pass of its own. Blocks until the device is done. Where the device has no
    /// timestamps, the table says `untimed`. Timings may be nested, and several threads may time at once: each gets all that
    /// was submitted in its own time, so that a dispatch can be in several tables.
    ///
    /// # Errors
    /// Those of the closure, and [`Error::DeviceLost`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn timed<R>(&self, work: impl FnOnce(&Gpu) -> Result<R>) -> Result<(R, Timings)> {
        let timing = self.wgpu().start_timing()?;
        let value = work(self)?;
        Ok((value, pollster::block_on(self.wgpu().stop_timing(timing, true))?))
    }

    /// Numbers about the device memory in use.
    pub fn stats(&self) -> MemoryStats {
        self.wgpu().memory.stats()
    }

    /// Cached pipelines and cached bind groups.
    pub fn cached(&self) -> (usize, usize) {
        self.wgpu().cached()
    }

    /// Gives the pool's unused buffers back to the driver, and returns their bytes.
    pub fn trim(&self) -> u64 {
        self.wgpu().memory.trim()
    }
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
    /// As [`Gpu::run`].
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
        let executor = gpu.wgpu();
        executor.check(self, &operands)?;
        let scratch = self.scratch.iter().map(|&bytes| executor.allocate(bytes, true)).collect::<Result<Vec<_>>>()?;
        let steps = executor.bind(self, &operands, &scratch)?;
        for step in &steps {
            step.encode(pass);
        }
        workspace.held.extend(inputs.iter().chain(&outputs).map(|tensor| tensor.storage().clone()));
        workspace.held.extend(scratch);
        workspace.steps.extend(steps);
        Ok(())
    }
}
