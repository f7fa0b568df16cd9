//! WGSL to SPIR-V with the options that wgpu 30 uses on a Vulkan 1.3 device with `robustBufferAccess2`.

use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

use crate::Failure;

/// Whether a host asks wgpu for bounds checks, as it does unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    Checked,
    Unchecked,
}

impl Checks {
    pub const BOTH: [Checks; 2] = [Checks::Checked, Checks::Unchecked];

    /// The driver checks buffers by itself, so wgpu asks for none there; arrays in registers and in workgroup memory it checks.
    fn policies(self) -> BoundsCheckPolicies {
        let index = match self {
            Checks::Checked => BoundsCheckPolicy::Restrict,
            Checks::Unchecked => BoundsCheckPolicy::Unchecked,
        };
        BoundsCheckPolicies { index, ..Default::default() }
    }
}

pub struct Module {
    pub module: naga::Module,
    info: ModuleInfo,
}

impl Module {
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let module = naga::front::wgsl::parse_str(text).map_err(|error| error.emit_to_string(text))?;
        let info = Validator::new(ValidationFlags::all(), Capabilities::all())
            .validate(&module)
            .map_err(|error| error.emit_to_string(text))?;
        Ok(Module { module, info })
    }

    pub fn spirv(&self, checks: Checks) -> Result<Vec<u32>, Failure> {
        let options = spv::Options {
            lang_version: (1, 6),
            flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
            bounds_check_policies: checks.policies(),
            // wgpu keeps both for shaders without overrides, whatever the host asks for.
            zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::Native,
            force_loop_bounding: true,
            ..Default::default()
        };
        Ok(spv::write_vec(&self.module, &self.info, &options, None)?)
    }
}
