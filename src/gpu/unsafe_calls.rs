//! The calls that wgpu marks unsafe, and why each is sound here. Nothing else in the crate is.
#![allow(unsafe_code)]

/// Lets a device have experimental features, of which the crate asks for one: cooperative matrices.
///
/// They may have bugs that reach beyond a shader. The crate's kernels with such matrices are used where a call asks for them, and
/// only after they passed a check on the device.
pub(super) fn experimental_features() -> wgpu::ExperimentalFeatures {
    // SAFETY: it is known what may come of it, as said above; a builder can do without the feature.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

/// A cache of compiled pipelines, with what an earlier run of the same adapter and driver put into it.
///
/// `data` is what [`PipelineCache::get_data`](wgpu::PipelineCache::get_data) returned then, as a checksum has shown.
pub(super) fn pipeline_cache(device: &wgpu::Device, data: Option<&[u8]>) -> wgpu::PipelineCache {
    let descriptor = wgpu::PipelineCacheDescriptor { label: Some("tilewise"), data, fallback: true };
    // SAFETY: the data was made by this function's cache: callers keep it under a checksum. What another driver made is left
    // aside by wgpu, which looks at its header.
    unsafe { device.create_pipeline_cache(&descriptor) }
}

/// A shader module without runtime checks of addresses and of the trips of loops; divisors are checked still.
///
/// `descriptor` holds a kernel of which [`family::is_bounded`](crate::family::is_bounded) says that it keeps to its bindings.
pub(super) fn trusted_module(
    device: &wgpu::Device,
    descriptor: wgpu::ShaderModuleDescriptor<'_>,
) -> wgpu::ShaderModule {
    let mut checks = wgpu::ShaderRuntimeChecks::checked();
    checks.bounds_checks = false;
    checks.force_loop_bounding = false;
    // SAFETY: the body's header argues that every index lies in its array and every loop ends, given parameters that the
    // planner computes and bindings that it sizes. A plan cannot be changed once it is made, operands are held against it before
    // each run, and the emulator finds no access outside of a binding in any of these kernels.
    unsafe { device.create_shader_module_trusted(descriptor, checks) }
}
