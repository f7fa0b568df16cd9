//! Pipelines, cached by composition. What wgpu does not check of a kernel is checked here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::cache::CacheFile;
use crate::compose::{Composition, ParamSpace, Source};
use crate::error::{Error, Result};
use crate::family;
use crate::gpu::memory::{Memory, TEXEL_FORMAT};
use crate::gpu::unsafe_calls;
use crate::plan::{Access, Dispatch};

/// A pipeline with what is needed to dispatch it.
pub(crate) struct Kernel {
    /// Tells kernels apart in the bind group cache.
    pub id: u64,
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
    pub params: ParamSpace,
}

/// Kernels with the time of their last use.
type Entries<K> = HashMap<Arc<Composition>, (Arc<K>, u64)>;

/// The kernels of a device that are in use, in the form `K` that its executor runs. Bounded: the least recently used go first.
pub(crate) struct Kernels<K> {
    entries: Mutex<Entries<K>>,
    clock: AtomicU64,
}

impl<K> Default for Kernels<K> {
    fn default() -> Self {
        Kernels { entries: Mutex::default(), clock: AtomicU64::default() }
    }
}

/// More than the kernels of any one network; a pipeline holds some 10 to 100 KiB in a driver.
const CAPACITY: usize = 1024;

impl<K> Kernels<K> {
    fn entries(&self) -> MutexGuard<'_, Entries<K>> {
        self.entries.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The kernel of a dispatch, built if need be, with a number that no other build had: that compiles a shader, and takes
    /// from milliseconds to seconds.
    pub fn get(&self, dispatch: &Dispatch, build: impl FnOnce(u64) -> Result<K>) -> Result<Arc<K>> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        if let Some((kernel, used)) = self.entries().get_mut(&dispatch.kernel) {
            *used = now;
            return Ok(kernel.clone());
        }
        let kernel = Arc::new(build(now)?);
        let mut entries = self.entries();
        if entries.len() >= CAPACITY
            && let Some(oldest) = entries.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone())
        {
            entries.remove(&oldest);
        }
        entries.insert(dispatch.kernel.clone(), (kernel.clone(), now));
        Ok(kernel)
    }

    pub fn len(&self) -> usize {
        self.entries().len()
    }
}

/// What drivers compiled, for drivers that do not keep it themselves.
pub(crate) struct PipelineCache {
    inner: Option<wgpu::PipelineCache>,
    file: Option<CacheFile>,
    /// Whether there is something in it that the file lacks.
    grown: AtomicBool,
}

/// A cache that has grown beyond this many bytes is not kept: nothing is ever taken out of one.
const LARGEST: usize = 64 << 20;

impl PipelineCache {
    /// A host's, which keeps it.
    pub fn host(inner: Option<wgpu::PipelineCache>) -> Self {
        PipelineCache { inner, file: None, grown: AtomicBool::new(false) }
    }

    /// One with what a file holds, where the device has such caches.
    pub fn open(device: &wgpu::Device, file: Option<CacheFile>) -> Self {
        let usable = file.filter(|_| device.features().contains(wgpu::Features::PIPELINE_CACHE));
        let inner = usable.as_ref().map(|file| unsafe_calls::pipeline_cache(device, file.read_sealed().as_deref()));
        PipelineCache { inner, file: usable, grown: AtomicBool::new(false) }
    }

    /// Writes the file, if there is something new to write.
    pub fn keep(&self) {
        let (Some(inner), Some(file)) = (&self.inner, &self.file) else { return };
        if self.grown.swap(false, Ordering::Relaxed)
            && let Some(data) = inner.get_data().filter(|data| data.len() <= LARGEST)
        {
            file.write_sealed(&data);
        }
    }
}

impl Drop for PipelineCache {
    fn drop(&mut self) {
        self.keep();
    }
}

/// The pipeline of a dispatch. `id` tells it apart from all others of the device.
pub(crate) fn build(memory: &Memory, cache: &PipelineCache, dispatch: &Dispatch, id: u64) -> Result<Kernel> {
    let composition = &dispatch.kernel;
    let name = composition.body.path;
    let (source, _) = checked(composition, &memory.device.limits())?;

    let device = &memory.device;
    let storage = |read_only| wgpu::BindingType::Buffer {
        ty: wgpu::BufferBindingType::Storage { read_only },
        has_dynamic_offset: false,
        min_binding_size: None,
    };
    let texels = wgpu::BindingType::StorageTexture {
        access: wgpu::StorageTextureAccess::ReadOnly,
        format: TEXEL_FORMAT,
        view_dimension: wgpu::TextureViewDimension::D2,
    };
    let entry =
        |binding, ty| wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None };
    let mut entries: Vec<_> = (0u32..)
        .zip(&dispatch.bindings)
        .map(|(number, binding)| match binding.access {
            Access::ReadTexels => entry(number, texels),
            access => entry(number, storage(access == Access::Read && !composition.arena)),
        })
        .collect();
    let mut immediate_size = 0;
    match composition.params {
        ParamSpace::Immediate => immediate_size = (dispatch.params.len() * 4) as u32,
        ParamSpace::Uniform { binding } => entries.push(entry(
            binding,
            wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Uniform,
                has_dynamic_offset: false,
                min_binding_size: None,
            },
        )),
    }
    memory.health.guard(device, name, || {
        let text = wgpu::ShaderSource::Wgsl(source.text.into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(name), source: text };
        let module = match family::is_bounded(composition) {
            true => unsafe_calls::trusted_module(device, descriptor),
            false => device.create_shader_module(descriptor),
        };
        let layout =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(name), entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Every body writes its workgroup memory before it reads it.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: cache.inner.as_ref(),
        });
        cache.grown.store(true, Ordering::Relaxed);
        Kernel { id, pipeline, layout, params: composition.params }
    })
}

/// Composes a kernel and holds it against limits that wgpu 30 leaves unchecked (it takes 32 KiB of workgroup memory where 16
/// are allowed). Errors of the text are reported by file, line and column.
pub(crate) fn checked(composition: &Composition, limits: &wgpu::Limits) -> Result<(Source, naga::Module)> {
    let name = composition.body.path;
    let source =
        composition.compose().map_err(|error| Error::Shader { kernel: name.into(), detail: error.to_string() })?;
    let module = naga::front::wgsl::parse_str(&source.text)
        .map_err(|error| Error::Shader { kernel: name.into(), detail: source.describe_parse_error(&error) })?;
    within_limits(name, &module, limits)?;
    Ok((source, module))
}

/// Holds a module against the limits that wgpu does not hold it against once overrides have their values.
pub(crate) fn within_limits(name: &str, module: &naga::Module, limits: &wgpu::Limits) -> Result<()> {
    let bytes: u64 = module
        .global_variables
        .iter()
        .filter(|(_, variable)| variable.space == naga::AddressSpace::WorkGroup)
        .map(|(_, variable)| u64::from(module.types[variable.ty].inner.size(module.to_ctx())).next_multiple_of(16))
        .sum();
    let within = |limit: &'static str, needed: u64, available: u64, hint: &'static str| {
        if needed <= available { Ok(()) } else { Err(Error::Limit { op: name.into(), limit, needed, available, hint }) }
    };
    let hint = "use a smaller tile";
    within("max_compute_workgroup_storage_size", bytes, limits.max_compute_workgroup_storage_size.into(), hint)?;
    for entry in &module.entry_points {
        let [x, y, z] = entry.workgroup_size;
        let invocations = u64::from(x) * u64::from(y) * u64::from(z);
        within(
            "max_compute_invocations_per_workgroup",
            invocations,
            limits.max_compute_invocations_per_workgroup.into(),
            hint,
        )?;
        within("max_compute_workgroup_size_x", x.into(), limits.max_compute_workgroup_size_x.into(), hint)?;
        within("max_compute_workgroup_size_y", y.into(), limits.max_compute_workgroup_size_y.into(), hint)?;
        within("max_compute_workgroup_size_z", z.into(), limits.max_compute_workgroup_size_z.into(), hint)?;
    }
    Ok(())
}
