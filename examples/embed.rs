//! A host program with its own device, buffers, shaders and encoder lends tilewise its compute pass: the host's shader
//! draws an image, tilewise convolves it, the host's shader measures the result. One pass, one submit, no copies.
//!
//!     cargo run --release --example embed

use std::error::Error;

use tilewise::wgpu::{self, util::DeviceExt};
use tilewise::{Bindings, Conv2d, Gpu, HostDevice, Op, Workspace};

/// Side of the host's image, which is a ramp: x + 2 y.
const SIDE: usize = 64;

/// Sobel's filter for the x direction (I. Sobel, 1968): 8 times the slope of a ramp.
const SOBEL: [f32; 9] = [-1.0, 0.0, 1.0, -2.0, 0.0, 2.0, -1.0, 0.0, 1.0];

/// The slope that the host's second shader has to find everywhere.
const SLOPE: f32 = 1.0;

struct Host {
    device: wgpu::Device,
    queue: wgpu::Queue,
    adapter: wgpu::Adapter,
}

impl Host {
    /// What any wgpu program does at its start.
    fn open() -> Result<Self, Box<dyn Error>> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let adapter = pollster::block_on(instance.request_adapter(&Default::default()))
            .map_err(|_| "no adapter found: a host program needs a GPU driver")?;
        let (device, queue) = pollster::block_on(adapter.request_device(&Default::default()))?;
        Ok(Host { device, queue, adapter })
    }

    fn buffer(&self, label: &str, elements: usize, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let size = elements as u64 * 4;
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: false,
        })
    }

    /// One of the host's shaders with its two buffers.
    fn kernel(&self, entry: &str, buffers: [&wgpu::Buffer; 2]) -> (wgpu::ComputePipeline, wgpu::BindGroup) {
        let module = self.device.create_shader_module(wgpu::include_wgsl!("embed.wgsl"));
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: None,
            module: &module,
            entry_point: Some(entry),
            compilation_options: Default::default(),
            cache: None,
        });
        // Both shaders see the buffer that they read and the one that they write, or only the latter.
        let entries: Vec<wgpu::BindGroupEntry<'_>> = (0u32..)
            .zip(buffers)
            .filter(|(binding, _)| *binding == 1 || entry == "measure")
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let layout = &pipeline.get_bind_group_layout(0);
        let group =
            self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: Some(entry), layout, entries: &entries });
        (pipeline, group)
    }
}

fn main() -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let host = Host::open()?;
    let inner = SIDE - 2;
    let image = host.buffer("image", SIDE * SIDE, wgpu::BufferUsages::STORAGE);
    let slopes = host.buffer("slopes", inner * inner, wgpu::BufferUsages::STORAGE);
    let errors = host.buffer("errors", inner, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
    let mapped = host.buffer("read back", inner, wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ);
    let filter = host.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: Some("filter"),
        contents: bytemuck::cast_slice(&SOBEL.map(|weight| weight / 8.0)),
        usage: wgpu::BufferUsages::STORAGE,
    });
    let (draw, draw_group) = host.kernel("draw", [&image, &image]);
    let (measure, measure_group) = host.kernel("measure", [&slopes, &errors]);

    // tilewise on the host's device, with views of the host's buffers.
    let gpu = Gpu::from_wgpu(HostDevice {
        device: host.device.clone(),
        queue: host.queue.clone(),
        adapter: Some(host.adapter.clone()),
        pipeline_cache: None,
    });
    let x = gpu.view::<f32>(&image, 0, &[1, 1, SIDE, SIDE])?;
    let weight = gpu.view::<f32>(&filter, 0, &[1, 1, 3, 3])?;
    let y = gpu.view::<f32>(&slopes, 0, &[1, 1, inner, inner])?;
    let plan = Conv2d::default().plan(gpu.profile(), &[x.layout(), weight.layout()])?;
    gpu.warm_up(&[&plan], |_, _| ())?;
    print!("{plan}");

    let mut workspace = Workspace::new();
    let mut encoder = host.device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&draw);
        pass.set_bind_group(0, &draw_group, &[]);
        pass.dispatch_workgroups((SIDE * SIDE).div_ceil(64) as u32, 1, 1);

        plan.encode(&mut pass, &gpu, &Bindings { inputs: &[&x, &weight], outputs: &[&y] }, &mut workspace)?;

        // tilewise has changed the pipeline and group 0: the host sets its own again.
        pass.set_pipeline(&measure);
        pass.set_bind_group(0, &measure_group, &[]);
        pass.dispatch_workgroups(inner.div_ceil(64) as u32, 1, 1);
    }
    encoder.copy_buffer_to_buffer(&errors, 0, &mapped, 0, mapped.size());
    host.queue.submit([encoder.finish()]);
    workspace.clear();

    let (sender, receiver) = std::sync::mpsc::channel();
    mapped.map_async(wgpu::MapMode::Read, .., move |result| {
        // The receiver waits below for as long as the device works.
        let _ = sender.send(result);
    });
    host.device.poll(wgpu::PollType::wait_indefinitely())?;
    receiver.recv()??;
    let errors: Vec<f32> = bytemuck::pod_collect_to_vec(&mapped.get_mapped_range(..)?);
    let worst = errors.iter().copied().fold(0.0, f32::max);
    println!("slope of the host's ramp in {} rows: {SLOPE}, off by {worst} at most", errors.len());
    // Whole numbers and power-of-two weights: every sum is exact.
    if errors.len() == inner && errors.iter().all(|&error| error == 0.0) {
        Ok(())
    } else {
        Err(format!("expected a slope of {SLOPE} everywhere, the rows are off by {errors:?}").into())
    }
}
