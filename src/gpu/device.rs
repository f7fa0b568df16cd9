//! Finding an adapter and opening a device.

use std::path::PathBuf;

use crate::cache::{self, CacheFile};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::gpu::memory::Memory;
use crate::gpu::pipelines::PipelineCache;
use crate::gpu::unsafe_calls::experimental_features;
use crate::profile::DeviceProfile;
use crate::trust::Trust;

/// An adapter that wgpu found.
#[derive(Clone, Debug)]
pub struct Adapter {
    adapter: wgpu::Adapter,
    /// Name, vendor, driver, backend.
    pub info: wgpu::AdapterInfo,
}

impl std::fmt::Display for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.info.name, self.info.backend)
    }
}

impl Adapter {
    /// Opens a device on this adapter.
    ///
    /// # Errors
    /// [`Error::NoDevice`].
    pub async fn request(&self) -> Result<Gpu> {
        GpuBuilder::default().open(self).await
    }

    /// Opens a device on this adapter; blocks.
    ///
    /// # Errors
    /// [`Error::NoDevice`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(&self) -> Result<Gpu> {
        pollster::block_on(self.request())
    }
}

/// A device that a host program has opened, to be shared by [`Gpu::from_wgpu`].
#[derive(Clone, Debug)]
pub struct HostDevice {
    /// The device.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: wgpu::Queue,
    /// The adapter; only it lists cooperative matrices.
    pub adapter: Option<wgpu::Adapter>,
    /// A cache for compiled pipelines, where the host keeps one.
    pub pipeline_cache: Option<wgpu::PipelineCache>,
}

#[derive(Clone, Debug)]
enum Wanted {
    Best,
    Name(String),
    Index(usize),
}

/// Chooses an adapter and opens a device. Made by [`Gpu::builder`].
///
/// What the builder leaves open, wgpu's variables decide, where they are set and not empty: `WGPU_BACKEND` (`vulkan`, `metal`,
/// `dx12`, or several with commas), `WGPU_ADAPTER_NAME` (part of a name), `WGPU_POWER_PREF` (`low`, `high`). The backends hold
/// for whatever the builder says. A name or a number of the builder wins over the name of the variable, and either name over a
/// power preference, the builder's over the variable's.
///
/// ```no_run
/// let gpu = tilewise::Gpu::builder().adapter_name("llvmpipe").memory_limit(1 << 30).build()?;
/// # Ok::<(), tilewise::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct GpuBuilder {
    wanted: Wanted,
    power: Option<wgpu::PowerPreference>,
    required_features: wgpu::Features,
    required_limits: Option<wgpu::Limits>,
    without: wgpu::Features,
    memory_limit: Option<u64>,
    poison: bool,
    self_check: bool,
    cache: Option<PathBuf>,
}

impl Default for GpuBuilder {
    fn default() -> Self {
        GpuBuilder {
            wanted: Wanted::Best,
            power: None,
            required_features: wgpu::Features::empty(),
            required_limits: None,
            without: wgpu::Features::empty(),
            memory_limit: None,
            poison: cfg!(debug_assertions),
            self_check: true,
            cache: cache::folder(),
        }
    }
}

/// Features that kernels or the runtime make use of; taken where the adapter has them.
const USEFUL: wgpu::Features = wgpu::Features::IMMEDIATES
    .union(wgpu::Features::SUBGROUP)
    .union(wgpu::Features::SHADER_F16)
    .union(wgpu::Features::TIMESTAMP_QUERY)
    .union(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES)
    .union(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX)
    .union(wgpu::Features::PIPELINE_CACHE);

impl GpuBuilder {
    /// Takes the first adapter whose name contains this, without regard to case.
    pub fn adapter_name(mut self, name: &str) -> Self {
        self.wanted = Wanted::Name(name.to_owned());
        self
    }

    /// Takes the adapter of this number in the order of [`Gpu::adapters`].
    pub fn adapter_index(mut self, index: usize) -> Self {
        self.wanted = Wanted::Index(index);
        self
    }

    /// Prefers the fast or the frugal adapter. Without it, and without `WGPU_POWER_PREF`, the fast one.
    pub fn power_preference(mut self, preference: wgpu::PowerPreference) -> Self {
        self.power = Some(preference);
        self
    }

    /// Features that the device must have. An adapter that lacks one is not chosen. What is listed here cannot be among
    /// those [to do without](GpuBuilder::without_features) too: opening fails with [`Error::Option`].
    pub fn required_features(mut self, features: wgpu::Features) -> Self {
        self.required_features = features;
        self
    }

    /// Features that the device must not use although the adapter has them: to run as on a lesser device.
    pub fn without_features(mut self, features: wgpu::Features) -> Self {
        self.without = features;
        self
    }

    /// Opens the device with these limits instead of all that the adapter offers: to run as on a lesser device.
    pub fn limits(mut self, limits: wgpu::Limits) -> Self {
        self.required_limits = Some(limits);
        self
    }

    /// The most bytes that tensors and the pool may take together; beyond, [`Error::OutOfMemory`].
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Whether buffers that the pool hands out again are filled with NaN first, so that reading what was never written
    /// shows. On in debug builds.
    pub fn poison(mut self, poison: bool) -> Self {
        self.poison = poison;
        self
    }

    /// Whether fast kernels are checked on the device before they are used first, as [`Gpu::check`] does. On. In a browser,
    /// where nothing can wait for that, they are used only after [`Gpu::check_async`].
    pub fn self_check(mut self, check: bool) -> Self {
        self.self_check = check;
        self
    }

    /// The folder that keeps what was learnt about adapters; `None` keeps nothing. Without this, `TILEWISE_CACHE_DIR` or a
    /// folder where the system keeps what can be made again.
    pub fn cache_folder(mut self, folder: Option<PathBuf>) -> Self {
        self.cache = folder;
        self
    }

    /// Finds the adapter and opens the device.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] with the adapters that there are, [`Error::NoDevice`], or [`Error::Option`] for features that
    /// are required and to be done without.
    pub async fn request(self) -> Result<Gpu> {
        let both = self.required_features & self.without;
        if !both.is_empty() {
            return Err(Error::Option {
                op: "builder",
                option: "without_features",
                value: format!("{both:?}"),
                requirement: "must not hold what is required",
            });
        }
        let adapter = self.choose().await?;
        self.open(&adapter).await
    }

    /// [`request`](GpuBuilder::request), blocking.
    ///
    /// # Errors
    /// As [`request`](GpuBuilder::request).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn build(self) -> Result<Gpu> {
        pollster::block_on(self.request())
    }

    async fn choose(&self) -> Result<Adapter> {
        let by_environment = || std::env::var("WGPU_ADAPTER_NAME").ok().filter(|name| !name.is_empty());
        let wanted = match &self.wanted {
            Wanted::Best => by_environment().map_or(Wanted::Best, Wanted::Name),
            other => other.clone(),
        };
        let all = adapters().await;
        let found: Vec<String> = all.iter().map(Adapter::to_string).collect();
        let fits = |adapter: &Adapter| adapter.adapter.features().contains(self.required_features);
        let words = |what: String| {
            if self.required_features.is_empty() { what } else { format!("{what} with {:?}", self.required_features) }
        };
        let (chosen, wanted) = match wanted {
            Wanted::Name(name) => {
                let lower = name.to_lowercase();
                let named = all.into_iter().find(|a| a.info.name.to_lowercase().contains(&lower) && fits(a));
                (named, format!("the name {name:?}"))
            }
            Wanted::Index(index) => (all.into_iter().nth(index).filter(|a| fits(a)), format!("the number {index}")),
            Wanted::Best => {
                // A browser lists nothing and has to be asked.
                let power = self
                    .power
                    .or_else(wgpu::PowerPreference::from_env)
                    .unwrap_or(wgpu::PowerPreference::HighPerformance);
                let options = wgpu::RequestAdapterOptions { power_preference: power, ..Default::default() };
                let best = instance().request_adapter(&options).await.ok().map(Adapter::new).filter(fits);
                (best.or_else(|| all.into_iter().find(fits)), "any device".into())
            }
        };
        chosen.ok_or_else(|| Error::NoAdapter { wanted: words(wanted), found })
    }

    async fn open(&self, adapter: &Adapter) -> Result<Gpu> {
        let offered = adapter.adapter.features();
        let failed = |detail: String| Error::NoDevice { adapter: adapter.to_string(), detail };
        let missing = self.required_features - offered;
        if !missing.is_empty() {
            return Err(failed(format!("it lacks {missing:?}")));
        }
        let required_features = (self.required_features | (USEFUL & offered)) - self.without;
        let experimental_features = match required_features.intersects(wgpu::Features::all_experimental_mask()) {
            true => experimental_features(),
            false => wgpu::ExperimentalFeatures::disabled(),
        };
        let (device, queue) = adapter
            .adapter
            .request_device(&wgpu::DeviceDescriptor {
                experimental_features,
                label: Some("tilewise"),
                required_features,
                required_limits: self.required_limits.clone().unwrap_or_else(|| adapter.adapter.limits()),
                ..Default::default()
            })
            .await
            .map_err(|error| failed(error.to_string()))?;
        let profile = DeviceProfile::of(&adapter.info, &device, Some(&adapter.adapter));
        let file = |kind| self.cache.as_deref().map(|folder| CacheFile::new(folder, &profile, kind));
        let trust = Trust::new(file("learnt"), self.self_check);
        let pipelines = PipelineCache::open(&device, file("pipelines"));
        let unchecked = !(self.self_check && cfg!(target_arch = "wasm32"));
        let profile = DeviceProfile { learnt: trust.learnt(), unchecked, ..profile };
        let memory = Memory::new(device, queue, self.memory_limit, self.poison);
        Ok(Gpu::own(memory, pipelines, profile, trust))
    }
}

impl Adapter {
    fn new(adapter: wgpu::Adapter) -> Self {
        Adapter { info: adapter.get_info(), adapter }
    }
}

/// wgpu's instance, by wgpu's variables.
fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    // wgpu takes an empty variable for no backend at all.
    if std::env::var("WGPU_BACKEND").is_ok_and(|names| names.trim().is_empty()) {
        descriptor.backends = wgpu::Backends::default();
    }
    wgpu::Instance::new(descriptor)
}

/// Every adapter, GPUs before drivers that run on the CPU; wgpu's order otherwise.
pub(crate) async fn adapters() -> Vec<Adapter> {
    let mut list: Vec<Adapter> =
        instance().enumerate_adapters(wgpu::Backends::all()).await.into_iter().map(Adapter::new).collect();
    list.sort_by_key(|adapter| match adapter.info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu | wgpu::DeviceType::Other => 2,
        wgpu::DeviceType::Cpu => 3,
    });
    list
}
