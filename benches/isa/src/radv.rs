//! Mesa's RADV driver on its null device: it compiles for the GPU that `RADV_FORCE_FAMILY` names and executes nothing.

use std::ffi::{CStr, c_char};

use ash::khr::{cooperative_matrix, pipeline_executable_properties};
use ash::vk;
use naga::AddressSpace;

use crate::Failure;

/// What the driver says of a compiled kernel.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// The driver's figures by their names.
    statistics: Vec<(String, u64)>,
    /// The disassembly.
    pub listing: String,
    /// Lanes of a subgroup.
    pub lanes: u32,
}

impl Compiled {
    /// # Errors
    /// If the driver has no figure of that name: another version calls it otherwise, and nothing may pass for 0.
    pub fn statistic(&self, name: &str) -> Result<u64, Failure> {
        let found = self.statistics.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = self.statistics.iter().map(|(name, _)| name.as_str()).collect();
            format!("the driver tells no '{name}', only {}", names.join(", ")).into()
        })
    }
}

/// An open device. Its handles live as long as the process.
pub struct Radv {
    device: ash::Device,
    executables: pipeline_executable_properties::Device,
    /// The GPU that the driver compiles for.
    pub name: String,
    /// Whether it multiplies matrices of f16.
    pub matrices: bool,
}

/// Bytes of immediates that every layout has: the least that Vulkan grants.
const IMMEDIATES: u32 = 128;

impl Radv {
    /// `None` where no driver is RADV.
    pub fn open() -> Result<Option<Self>, Failure> {
        // SAFETY: the loader is the system's own, and the handles are used while their parents live.
        unsafe {
            let Ok(loader) = ash::Entry::load() else { return Ok(None) };
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let create = vk::InstanceCreateInfo::default().application_info(&application);
            let Ok(instance) = loader.create_instance(&create, None) else { return Ok(None) };
            // Instance and device keep using it.
            std::mem::forget(loader);
            let is_radv = |&physical: &vk::PhysicalDevice| {
                let mut driver = vk::PhysicalDeviceDriverProperties::default();
                let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
                instance.get_physical_device_properties2(physical, &mut properties);
                driver.driver_id == vk::DriverId::MESA_RADV
            };
            let Some(physical) = instance.enumerate_physical_devices()?.into_iter().find(is_radv) else {
                return Ok(None);
            };
            let name = text(&instance.get_physical_device_properties(physical).device_name);
            let extensions = instance.enumerate_device_extension_properties(physical)?;
            let matrices =
                extensions.iter().any(|found| found.extension_name_as_c_str() == Ok(cooperative_matrix::NAME));
            let device = create_device(&instance, physical, matrices)?;
            let executables = pipeline_executable_properties::Device::new(&instance, &device);
            Ok(Some(Radv { device, executables, name, matrices }))
        }
    }

    /// Compiles the entry point `main` and asks what came of it.
    pub fn compile(&self, module: &naga::Module, spirv: &[u32]) -> Result<Compiled, Failure> {
        let bindings: Vec<_> = module.global_variables.iter().filter_map(|(_, variable)| binding(variable)).collect();
        let immediates = [vk::PushConstantRange::default().stage_flags(vk::ShaderStageFlags::COMPUTE).size(IMMEDIATES)];
        // SAFETY: the SPIR-V is naga's, from a validated module; the layout has all of its bindings.
        unsafe {
            let create = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            let set = [self.device.create_descriptor_set_layout(&create, None)?];
            let create = vk::PipelineLayoutCreateInfo::default().set_layouts(&set).push_constant_ranges(&immediates);
            let layout = self.device.create_pipeline_layout(&create, None)?;
            let shader = self.device.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(spirv), None)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE)
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(shader)
                .name(c"main");
            let create = [vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout).flags(
                vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                    | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR,
            )];
            let pipelines = self.device.create_compute_pipelines(vk::PipelineCache::null(), &create, None);
            let pipeline = pipelines.map_err(|(_, error)| error)?[0];
            let compiled = self.inspect(pipeline)?;
            self.device.destroy_pipeline(pipeline, None);
            self.device.destroy_shader_module(shader, None);
            self.device.destroy_pipeline_layout(layout, None);
            self.device.destroy_descriptor_set_layout(set[0], None);
            Ok(compiled)
        }
    }

    unsafe fn inspect(&self, pipeline: vk::Pipeline) -> Result<Compiled, Failure> {
        let info = vk::PipelineInfoKHR::default().pipeline(pipeline);
        let executable = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        // SAFETY: the pipeline was made with statistics. RADV's are all unsigned.
        unsafe {
            let executables = self.executables.get_pipeline_executable_properties(&info)?;
            let statistics = self.executables.get_pipeline_executable_statistics(&executable)?;
            Ok(Compiled {
                statistics: statistics.iter().map(|found| (text(&found.name), found.value.u64)).collect(),
                listing: self.listing(&executable)?,
                lanes: executables.first().map_or(0, |executable| executable.subgroup_size),
            })
        }
    }

    unsafe fn listing(&self, executable: &vk::PipelineExecutableInfoKHR<'_>) -> Result<String, Failure> {
        // SAFETY: the pipeline was made with representations. The first call tells the sizes, the second fills memory of them.
        unsafe {
            let mut representations = self.executables.get_pipeline_executable_internal_representations(executable)?;
            let mut texts: Vec<Vec<u8>> = Vec::new();
            for representation in &mut representations {
                let mut text = vec![0; representation.data_size];
                representation.p_data = text.as_mut_ptr().cast();
                texts.push(text);
            }
            let mut count = representations.len() as u32;
            (self.executables.fp().get_pipeline_executable_internal_representations_khr)(
                self.device.handle(),
                executable,
                &mut count,
                representations.as_mut_ptr(),
            )
            .result()?;
            let found = representations.iter().zip(&texts).find(|(found, _)| text(&found.name) == "Assembly");
            let (_, listing) = found.ok_or("the driver tells no assembly: it was built without a disassembler")?;
            Ok(String::from_utf8_lossy(listing).trim_end_matches('\0').to_owned())
        }
    }
}

/// With the features that wgpu enables and these kernels use.
unsafe fn create_device(
    instance: &ash::Instance,
    physical: vk::PhysicalDevice,
    matrices: bool,
) -> Result<ash::Device, Failure> {
    let mut extensions = vec![pipeline_executable_properties::NAME.as_ptr(), ash::ext::robustness2::NAME.as_ptr()];
    let core = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true);
    let mut robustness = vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
    let mut executable =
        vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
    let mut v11 = vk::PhysicalDeviceVulkan11Features::default()
        .storage_buffer16_bit_access(true)
        .uniform_and_storage_buffer16_bit_access(true);
    let mut v12 = vk::PhysicalDeviceVulkan12Features::default().vulkan_memory_model(true).shader_float16(true);
    let mut v13 = vk::PhysicalDeviceVulkan13Features::default()
        .shader_integer_dot_product(true)
        .shader_zero_initialize_workgroup_memory(true)
        .subgroup_size_control(true);
    let mut cooperative = vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default().cooperative_matrix(true);
    if matrices {
        extensions.push(cooperative_matrix::NAME.as_ptr());
    }
    let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
    let mut create = vk::DeviceCreateInfo::default()
        .queue_create_infos(&queues)
        .enabled_extension_names(&extensions)
        .enabled_features(&core)
        .push_next(&mut robustness)
        .push_next(&mut executable)
        .push_next(&mut v11)
        .push_next(&mut v12)
        .push_next(&mut v13);
    if matrices {
        create = create.push_next(&mut cooperative);
    }
    // SAFETY: the physical device is the instance's.
    Ok(unsafe { instance.create_device(physical, &create, None)? })
}

fn binding(variable: &naga::GlobalVariable) -> Option<vk::DescriptorSetLayoutBinding<'static>> {
    let kind = match variable.space {
        AddressSpace::Uniform => vk::DescriptorType::UNIFORM_BUFFER,
        _ => vk::DescriptorType::STORAGE_BUFFER,
    };
    let binding = vk::DescriptorSetLayoutBinding::default()
        .binding(variable.binding.as_ref()?.binding)
        .descriptor_type(kind)
        .descriptor_count(1)
        .stage_flags(vk::ShaderStageFlags::COMPUTE);
    Some(binding)
}

/// A fixed array of characters, up to its zero.
fn text(characters: &[c_char]) -> String {
    // SAFETY: Vulkan ends its strings by a zero within the array.
    unsafe { CStr::from_ptr(characters.as_ptr()) }.to_string_lossy().into_owned()
}
