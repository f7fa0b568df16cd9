//! The device's own limits, measured by the plainest kernels that reach them, with wgpu alone.

use std::error::Error;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use tilewise::Gpu;
use tilewise::wgpu::{self, util::DeviceExt};

/// Invocations of a workgroup.
const LANES: u64 = 64;
/// Trips of the loop of multiply-adds, and the operations in one.
const TRIPS: u64 = 128;
const FLOPS_OF_A_TRIP: u64 = 64 * 14 * 2;
/// The longest buffer that is copied: beyond the last cache of most devices.
const COPIED_BYTES: u64 = 256 << 20;
/// A measurement takes at least this long, so that starting it does not count.
const LEAST: Duration = Duration::from_millis(60);
const ROUNDS: usize = 7;

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// f32 multiply-adds in registers, two operations each, in FLOP/s.
    pub flops: f64,
    /// The best of three copies, read and written bytes together, in bytes/s.
    pub bytes: f64,
}

/// Times of dispatches that do next to nothing, by wgpu alone.
pub struct Bare<'a> {
    bench: Bench<'a>,
    pipeline: wgpu::ComputePipeline,
    groups: [wgpu::BindGroup; 2],
}

struct Bench<'a> {
    device: &'a wgpu::Device,
    queue: &'a wgpu::Queue,
    module: wgpu::ShaderModule,
    layout: wgpu::PipelineLayout,
    group_layout: wgpu::BindGroupLayout,
}

impl<'a> Bench<'a> {
    fn new(gpu: &'a Gpu) -> Result<Self, Box<dyn Error>> {
        let (device, queue) = (gpu.device()?, gpu.queue()?);
        let module = device.create_shader_module(wgpu::include_wgsl!("limits.wgsl"));
        let entry = |binding, read_only| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only },
                has_dynamic_offset: false,
                min_binding_size: NonZeroU64::new(16),
            },
            count: None,
        };
        let group_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: None,
            entries: &[entry(0, true), entry(1, false)],
        });
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&group_layout)],
            immediate_size: 0,
        });
        Ok(Bench { device, queue, module, layout, group_layout })
    }

    fn pipeline(&self, entry: &str) -> wgpu::ComputePipeline {
        let constants: &[(&str, f64)] = if entry == "multiply_add" { &[("TRIPS", TRIPS as f64)] } else { &[] };
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: Some(&self.layout),
            module: &self.module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
            cache: None,
        })
    }

    fn group(&self, source: &wgpu::Buffer, target: &wgpu::Buffer) -> wgpu::BindGroup {
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.group_layout,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: source.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: target.as_entire_binding() },
            ],
        })
    }

    fn buffer(&self, bytes: u64) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// The time to record dispatches of one pass, submit them and wait for them.
    fn run(
        &self,
        pipeline: &wgpu::ComputePipeline,
        groups: &[&wgpu::BindGroup],
        workgroups: [u32; 2],
        count: usize,
    ) -> Result<Duration, Box<dyn Error>> {
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        let start = Instant::now();
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for i in 0..count {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, groups[i % groups.len()], &[]);
            pass.dispatch_workgroups(workgroups[0], workgroups[1], 1);
        }
        drop(pass);
        self.queue.submit([encoder.finish()]);
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        Ok(start.elapsed())
    }

    /// Seconds of one dispatch: the least of some rounds, each of as many dispatches as take long enough.
    fn seconds(&self, entry: &str, group: &wgpu::BindGroup, workgroups: [u32; 2]) -> Result<f64, Box<dyn Error>> {
        let pipeline = self.pipeline(entry);
        let mut count = 1;
        while self.run(&pipeline, &[group], workgroups, count)? < LEAST && count < 1 << 12 {
            count *= 2;
        }
        let mut best = f64::INFINITY;
        for _ in 0..ROUNDS {
            best = best.min(self.run(&pipeline, &[group], workgroups, count)?.as_secs_f64() / count as f64);
        }
        Ok(best)
    }
}

/// Measures both limits of a device.
pub fn measure(gpu: &Gpu) -> Result<Limits, Box<dyn Error>> {
    let bench = Bench::new(gpu)?;
    let limits = &gpu.profile().limits;
    // From 1 on, so that no value and no factor is 0.
    let start: Vec<f32> = (1..=4 * LANES).map(|i| i as f32 / 1024.0).collect();
    let values = bench.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: None,
        contents: bytemuck::cast_slice(&start),
        usage: wgpu::BufferUsages::STORAGE,
    });
    // Enough for every lane of the largest device, a few times over; drivers on the CPU count in cores.
    let workgroups: u32 = if gpu.profile().class == tilewise::Class::Cpu { 256 } else { 1 << 14 };
    let sink = bench.buffer(u64::from(workgroups) * LANES * 16);
    let seconds = bench.seconds("multiply_add", &bench.group(&values, &sink), [workgroups, 1])?;
    let flops = (u64::from(workgroups) * LANES * TRIPS * FLOPS_OF_A_TRIP) as f64 / seconds;

    // A multiple of what four vectors an invocation copy in a workgroup, in rows that fit the grid.
    let grain = LANES * 16 * 4;
    let side = u64::from(limits.max_compute_workgroups_per_dimension);
    let most = COPIED_BYTES.min(limits.max_storage_buffer_binding_size).min(limits.max_buffer_size);
    let bytes = most / grain * grain;
    let (from, to) = (bench.buffer(bytes), bench.buffer(bytes));
    let group = bench.group(&from, &to);
    let mut best = f64::INFINITY;
    for (entry, bytes_of_a_lane) in [("copy_scalar", 4), ("copy_vec4", 16), ("copy_four_vec4", 64)] {
        let workgroups = bytes / (LANES * bytes_of_a_lane);
        let rows = workgroups.div_ceil(side);
        best = best.min(bench.seconds(entry, &group, [(workgroups / rows) as u32, rows as u32])?);
    }
    Ok(Limits { flops, bytes: 2.0 * bytes as f64 / best })
}

impl<'a> Bare<'a> {
    /// Two buffers of 64 floats, from one to the other and back.
    pub fn new(gpu: &'a Gpu) -> Result<Self, Box<dyn Error>> {
        let bench = Bench::new(gpu)?;
        let (a, b) = (bench.buffer(LANES * 4), bench.buffer(LANES * 4));
        let groups = [bench.group(&a, &b), bench.group(&b, &a)];
        let pipeline = bench.pipeline("tiny");
        Ok(Bare { bench, pipeline, groups })
    }

    /// The time of so many dispatches in one pass, each of which needs the one before.
    pub fn run(&self, count: usize) -> Result<Duration, Box<dyn Error>> {
        let [there, back] = &self.groups;
        self.bench.run(&self.pipeline, &[there, back], [1, 1], count)
    }
}
