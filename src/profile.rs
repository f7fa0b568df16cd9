//! What is known of a device: plain data that planning depends on, and nothing else does it depend on.

use std::fmt;
use std::time::Duration;

use crate::trust::Learnt;

/// Bytes from which on operands are copied into textures: a copy takes some 20 us, in which two cores load as much.
const TEXELS_FROM: u64 = 32 << 10;

/// The families of devices that the planner tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// NVIDIA GPUs: 32 lanes a subgroup.
    Nvidia,
    /// AMD GPUs: 32 or 64 lanes a subgroup.
    Amd,
    /// Intel GPUs: 8 to 32 lanes a subgroup.
    Intel,
    /// Apple GPUs: 32 lanes a subgroup, unified memory.
    Apple,
    /// Phones and small boards: Adreno, Mali, PowerVR, Broadcom.
    Mobile,
    /// Drivers that run on the CPU: lavapipe, SwiftShader, WARP.
    Cpu,
    /// Anything else, the web included, where a browser hides what it runs on.
    Unknown,
}

impl Class {
    /// The lowest f32 rate, in FLOP/s, that is plausible for this crate's kernels on such a device. It turns the work
    /// budget, which is a time, into a size: an underestimate costs a few dispatches more, an overestimate a reset of
    /// the GPU by its system. The figures are a tenth or less of the slowest part of each family still in use.
    pub fn floor_flops(self) -> f64 {
        match self {
            Class::Nvidia => 1e11, // a GeForce MX150 does 1.1e12
            Class::Amd => 5e10,    // the two compute units of a Ryzen 7000 do 5e11
            Class::Intel => 2e10,  // UHD 600 does 2e11
            Class::Apple => 1e11,  // an M1 does 2.6e12
            Class::Mobile => 5e9,  // Mali-G52 does 5e10
            Class::Cpu => 1e10,    // half of lavapipe's best, a core
            Class::Unknown => 5e9,
        }
    }
}

/// A device as the planner sees it: limits, features, class and what was learnt about it.
///
/// [`Gpu::profile`](crate::Gpu::profile) returns the one of the open device; planning is a pure function of it, so a plan
/// for another device can be made and read anywhere by changing the fields.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceProfile {
    /// The adapter's name, as its driver gives it.
    pub name: String,
    /// The API underneath: `vulkan`, `metal`, `dx12`, `webgpu`.
    pub backend: String,
    /// Driver and version, as far as it tells.
    pub driver: String,
    /// The family that thresholds are chosen by.
    pub class: Class,
    /// The limits of the open device.
    pub limits: wgpu::Limits,
    /// The features of the open device.
    pub features: wgpu::Features,
    /// The smallest and largest subgroup size. Kernels that assume a size are candidates only where both agree.
    pub subgroup_size: (u32, u32),
    /// Sides of the square cooperative matrices (matrix units, tensor cores) that multiply f16 and add in f32.
    pub cooperative_matrices: Vec<u32>,
    /// Streaming multiprocessors (compute units, cores), where known: no API of wgpu tells.
    pub sm_count: Option<u32>,
    /// Peak f32 rate in FLOP/s, where known.
    pub peak_flops: Option<f64>,
    /// Memory bandwidth in bytes/s, where known.
    pub bandwidth: Option<f64>,
    /// The longest that one dispatch, or one submission, should run at the class's lowest plausible rate. A GPU that also
    /// draws a screen is reset by its system after about 2 s.
    pub work_budget: Duration,
    /// The rate in FLOP/s by which the work budget becomes a size; [`Class::floor_flops`] unless set.
    pub floor_flops: f64,
    /// Kernels whose operands hold at least so many bytes together read them through textures, into which they are copied first; `None`:
    /// no kernel does. lavapipe loads a texel of 16 bytes for all lanes at once, and from a buffer one word after the other: a
    /// subgroup of 8 takes 8 ns for a texel and 209 for a vector (Mesa 22.3.6, AVX2), and copies run at 15 GB/s. SwiftShader
    /// gains nothing. Plans encoded into a host's pass, and buffers without the usage `COPY_SRC`, do without.
    pub texels: Option<u64>,
    /// What was learnt about this device: kernels that passed or failed their check, variants that proved fast.
    pub learnt: Learnt,
    /// Whether fast kernels are planned before they have passed a check. Devices of the crate's own check them when they are
    /// first needed; on a host's, [`Gpu::check`](crate::Gpu::check) does it when asked, and in a browser
    /// [`Gpu::check_async`](crate::Gpu::check_async).
    pub unchecked: bool,
    /// Whether nothing that a device learns later changes its plans; see [`frozen`](DeviceProfile::frozen).
    pub frozen: bool,
    /// Forced choices: the candidates for contractions, best first, instead of the family's own; empty for those. Tests set
    /// small tiles here, whose kernels compile fast.
    #[doc(hidden)]
    pub contractions: Vec<crate::family::contraction::Variant>,
}

impl DeviceProfile {
    /// The work budget of a class. No system resets a driver that draws nothing: there it only keeps a host from waiting long.
    fn budget_of(class: Class) -> Duration {
        Duration::from_millis(if class == Class::Cpu { 2000 } else { 200 })
    }

    /// The profile of a device on an adapter.
    pub(crate) fn of(info: &wgpu::AdapterInfo, device: &wgpu::Device, adapter: Option<&wgpu::Adapter>) -> Self {
        let class = classify(info);
        let mut features = device.features();
        if info.backend == wgpu::Backend::Dx12 && !features.contains(wgpu::Features::SHADER_F16) {
            // Without DXC the shader model is 5.1: no f16, no subgroups, no packed dot products.
            features.remove(wgpu::Features::SUBGROUP | wgpu::Features::SUBGROUP_BARRIER);
        }
        DeviceProfile {
            name: info.name.clone(),
            backend: info.backend.to_string(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            class,
            limits: device.limits(),
            features,
            subgroup_size: (info.subgroup_min_size, info.subgroup_max_size),
            cooperative_matrices: adapter.map(|adapter| cooperative_matrices(adapter, features)).unwrap_or_default(),
            sm_count: None,
            peak_flops: None,
            bandwidth: None,
            work_budget: DeviceProfile::budget_of(class),
            floor_flops: class.floor_flops(),
            texels: info.name.contains("llvmpipe").then_some(TEXELS_FROM),
            learnt: Learnt::default(),
            frozen: false,
            unchecked: true,
            contractions: Vec::new(),
        }
    }

    /// A device with WebGPU's default limits and no features: what a kernel can rely on everywhere.
    ///
    /// ```
    /// let profile = tilewise::DeviceProfile::baseline();
    /// assert_eq!(profile.limits.max_compute_workgroup_storage_size, 16384);
    /// ```
    pub fn baseline() -> Self {
        DeviceProfile {
            name: "baseline".into(),
            backend: "any".into(),
            driver: String::new(),
            class: Class::Unknown,
            limits: wgpu::Limits::default(),
            features: wgpu::Features::empty(),
            subgroup_size: (4, 128),
            cooperative_matrices: Vec::new(),
            sm_count: None,
            peak_flops: None,
            bandwidth: None,
            work_budget: DeviceProfile::budget_of(Class::Unknown),
            floor_flops: Class::Unknown.floor_flops(),
            texels: None,
            learnt: Learnt::default(),
            frozen: false,
            unchecked: true,
            contractions: Vec::new(),
        }
    }

    /// The profile with which runs can be repeated: no kernel is checked on the way, and no later verdict or choice counts.
    /// Which kernels passed, and what was tuned until now, stays.
    pub fn frozen(self) -> Self {
        DeviceProfile { frozen: true, ..self }
    }

    /// The most work, in FLOPs, that one dispatch or one submission may hold.
    pub fn work_limit(&self) -> f64 {
        (self.work_budget.as_secs_f64() * self.floor_flops).max(1.0)
    }

    /// The subgroup size, where all subgroups have the same and kernels may use it.
    pub(crate) fn fixed_subgroup_size(&self) -> Option<u32> {
        let (least, most) = self.subgroup_size;
        // A browser asks for a directive that naga does not take.
        let usable = self.features.contains(wgpu::Features::SUBGROUP) && self.backend != "webgpu";
        (usable && least == most).then_some(least)
    }

    /// Bytes of parameters that fit into immediates; 0 where the device has none.
    pub(crate) fn immediate_bytes(&self) -> u32 {
        if self.features.contains(wgpu::Features::IMMEDIATES) { self.limits.max_immediate_size } else { 0 }
    }
}

impl fmt::Display for DeviceProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {:?}, {})", self.name, self.backend, self.class, self.driver)
    }
}

/// The sides of the cooperative matrices that kernels can use; only the adapter lists them.
fn cooperative_matrices(adapter: &wgpu::Adapter, features: wgpu::Features) -> Vec<u32> {
    let needed = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16;
    if !features.contains(needed) {
        return Vec::new();
    }
    let halves = |matrix: &wgpu::CooperativeMatrixProperties| {
        let types = (matrix.ab_type, matrix.cr_type);
        let square = matrix.m_size == matrix.n_size && matrix.n_size == matrix.k_size;
        let usable = types == (wgpu::CooperativeScalarType::F16, wgpu::CooperativeScalarType::F32) && square;
        usable.then_some(matrix.m_size)
    };
    let mut sides: Vec<u32> = adapter.cooperative_matrix_properties().iter().filter_map(halves).collect();
    sides.sort_unstable();
    sides.dedup();
    sides
}

/// The family of an adapter, by its kind and its PCI or Khronos vendor id.
fn classify(info: &wgpu::AdapterInfo) -> Class {
    if info.device_type == wgpu::DeviceType::Cpu {
        return Class::Cpu;
    }
    match info.vendor {
        0x10DE => Class::Nvidia,
        0x1002 | 0x1022 => Class::Amd,
        0x8086 => Class::Intel,
        0x106B => Class::Apple,
        0x5143 | 0x13B5 | 0x1010 | 0x14E4 => Class::Mobile,
        // Metal reports no vendor; on today's Macs it runs on Apple's own GPUs unless the name says otherwise.
        _ if info.backend == wgpu::Backend::Metal => match info.name.as_str() {
            name if name.contains("AMD") || name.contains("Radeon") => Class::Amd,
            name if name.contains("Intel") => Class::Intel,
            _ => Class::Apple,
        },
        _ => Class::Unknown,
    }
}
