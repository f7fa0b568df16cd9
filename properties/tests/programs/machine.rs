//! The two that run a program: the emulator and the machine's GPU drivers.

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use tilewise::emulator::{BindingData, EmulatorOptions, Run, Shader};
use tilewise::reference::Random;
use tilewise::wgpu;

/// Invocations, in two workgroups; the prelude has the same number.
const LANES: usize = 64;
const WORKGROUPS: u32 = 2;

/// Words that the structs of the prelude have.
const INTS: usize = 24;
const FLOATS: usize = 104;

/// A program, and how many words of `out` it writes for each invocation.
pub struct Kernel {
    text: String,
    words: usize,
}

/// Printed where a property fails.
impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\n{}", self.text)
    }
}

impl Kernel {
    /// Of a program without the prelude.
    pub fn new(program: &str, words: usize) -> Self {
        let text = format!("{}\nconst WORDS = {words}u;\n{program}", include_str!("prelude.wgsl"));
        Kernel { text, words }
    }

    /// The bytes of the bindings: `out`, `ints` and `floats`.
    pub fn data(&self, seed: u64) -> [Vec<u8>; 3] {
        let mut random = Random::new(seed);
        let ints: Vec<u8> = (0..LANES * INTS).flat_map(|_| int(&mut random).to_le_bytes()).collect();
        let floats = (0..LANES * FLOATS).flat_map(|_| float(&mut random).to_le_bytes()).collect();
        [vec![0; LANES * self.words * 4], ints, floats]
    }

    /// Whether another run wrote what is expected.
    pub fn same(&self, expected: &[u32], found: &[u32], by: &str) -> TestCaseResult {
        prop_assert_eq!(expected.len(), found.len());
        for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
            let (lane, word) = (index / self.words, index % self.words);
            prop_assert!(
                expected == found,
                "word {} of invocation {}: {:#x} by the emulator, {:#x} by {}",
                word,
                lane,
                expected,
                found,
                by
            );
        }
        Ok(())
    }

    /// What `out` holds after a run on the emulator, whose checks find nothing.
    pub fn emulated(&self, data: &[Vec<u8>; 3], options: EmulatorOptions) -> Result<Vec<u32>, TestCaseError> {
        let fail = |error: tilewise::Error| TestCaseError::fail(error.to_string());
        let shader = Shader::new(&self.text).map_err(fail)?;
        let binding = |(binding, bytes): (usize, &Vec<u8>)| BindingData {
            group: 0,
            binding: binding as u32,
            bytes: bytes.clone(),
            initialised: true,
        };
        let bindings = data.iter().enumerate().map(binding).collect();
        let ran = shader.run(&Run { bindings, options, ..Run::new("main", [WORKGROUPS, 1, 1]) }).map_err(fail)?;
        if let Some(finding) = ran.findings.first() {
            return Err(TestCaseError::fail(finding.to_string()));
        }
        Ok(words(&ran.bindings[0]))
    }

    /// What `out` holds after a run on a GPU.
    pub fn driven(&self, data: &[Vec<u8>; 3], device: &wgpu::Device, queue: &wgpu::Queue) -> Vec<u32> {
        use wgpu::BufferUsages as Usage;
        let buffer = |bytes: u64, usage| {
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size: bytes, usage, mapped_at_creation: false })
        };
        let usage = Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC;
        let buffers = data.each_ref().map(|bytes| buffer(bytes.len() as u64, usage));
        for (buffer, bytes) in buffers.iter().zip(data) {
            queue.write_buffer(buffer, 0, bytes);
        }
        let size = buffers[0].size();
        let staging = buffer(size, Usage::MAP_READ | Usage::COPY_DST);
        let pipeline = self.pipeline(device);
        let entry =
            |binding: u32| wgpu::BindGroupEntry { binding, resource: buffers[binding as usize].as_entire_binding() };
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[0, 1, 2].map(entry),
        });
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(WORKGROUPS, 1, 1);
        drop(pass);
        encoder.copy_buffer_to_buffer(&buffers[0], 0, &staging, 0, size);
        queue.submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., |_| {});
        device.poll(wgpu::PollType::wait_indefinitely()).expect("a device that is there");
        words(&staging.get_mapped_range(..).expect("a buffer that is mapped"))
    }

    fn pipeline(&self, device: &wgpu::Device) -> wgpu::ComputePipeline {
        let source = wgpu::ShaderSource::Wgsl(self.text.as_str().into());
        // Not derived from the program, which need not use every binding.
        let entry = |binding| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: binding > 0 },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let group = device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &[0, 1, 2].map(entry) });
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            bind_group_layouts: &[Some(&group)],
            ..Default::default()
        });
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: Some(&layout),
            module: &device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source }),
            entry_point: None,
            compilation_options: Default::default(),
            cache: None,
        })
    }
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect()
}

/// Small numbers, powers of two and what is next to them, any bits.
fn int(random: &mut Random) -> u32 {
    match random.below(4) {
        0 => (random.below(9) as u32).wrapping_sub(4),
        1 => (1u32 << random.below(32)).wrapping_add(random.below(3) as u32).wrapping_sub(1),
        _ => random.bits() as u32,
    }
}

/// Multiples of 1/8 of at most 4, or of at most 32.
fn float(random: &mut Random) -> f32 {
    let most = if random.below(2) == 0 { 32 } else { 256 };
    (random.below(2 * most + 1) as f32 - most as f32) / 8.0
}
