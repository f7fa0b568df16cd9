//! The runtime: recording, memory, aliasing, limits, hosts. Its errors are in errors.rs, adapters in adapters.rs.

mod common;

use common::{device, with_profile};
use tilewise::verify::devices;
use tilewise::{
    Bindings, Compiled, ContractionVariant, DType, DeviceProfile, Error, Gpu, HostDevice, Layout, Matmul, Op, Program,
    Workspace, wgpu,
};

#[test]
fn recorded_work_survives_writes_and_pool_reuse() {
    let Some(gpu) = devices().first() else { return };
    let a = gpu.tensor(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0]).unwrap();
    let first = gpu.matmul(&a, &a).unwrap();
    // The write comes after the product in order, so only the second product sees it.
    gpu.write(&a, &[1.0, 0.0, 0.0, 1.0]).unwrap();
    let second = gpu.matmul(&a, &a).unwrap();
    // Uploads and dropped temporaries in between must not disturb what is recorded.
    for i in 0..50 {
        let t = gpu.tensor(&[2, 2], &[i as f32; 4]).unwrap();
        let _dropped = gpu.matmul(&t, &t).unwrap();
    }
    assert_eq!(gpu.download(&first).unwrap(), [7.0, 10.0, 15.0, 22.0]);
    assert_eq!(gpu.download(&second).unwrap(), [1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn a_thousand_iterations_do_not_grow_the_pool() {
    let Some(gpu) = device().map(|_| Gpu::builder().poison(true).build().unwrap()) else { return };
    let weight = gpu.tensor(&[16, 16], &[0.01f32; 256]).unwrap();
    let step = |gpu: &Gpu| {
        let x = gpu.tensor(&[8, 16], &[1.0f32; 128]).unwrap();
        let y = gpu.matmul(&gpu.matmul(&x, &weight).unwrap(), &weight).unwrap();
        gpu.download(&y).unwrap()
    };
    (0..10).for_each(|_| drop(step(&gpu)));
    let before = gpu.stats();
    (0..1000).for_each(|_| drop(step(&gpu)));
    let after = gpu.stats();
    assert_eq!((after.created, after.peak_bytes), (before.created, before.peak_bytes));
    assert_eq!(after.live_bytes, before.live_bytes);
    assert!(gpu.trim() > 0 && gpu.stats().pooled_bytes == 0);
}

#[test]
fn views_of_one_arena_at_odd_offsets() {
    let Some(gpu) = devices().first() else { return };
    let mut elements = vec![f32::NAN; 64];
    elements[3..7].copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
    let arena = gpu.tensor(&[64], &elements).unwrap();
    let a = arena.slice(3..7).unwrap().reshape(&[2, 2]).unwrap();
    let mut c = arena.slice(21..25).unwrap().reshape(&[2, 2]).unwrap();
    let plain = Matmul::default().plan(gpu.profile(), &[a.layout(), a.layout()]).unwrap();
    let error = gpu.run(&plain, &[&a, &a], &mut [&mut c]).unwrap_err();
    assert!(matches!(error, Error::Unplanned { .. }), "{error}");
    let shared = Matmul::default().plan(gpu.profile(), &[a.layout().in_arena(), a.layout()]).unwrap();
    gpu.run(&shared, &[&a, &a], &mut [&mut c]).unwrap();
    assert_eq!(gpu.download(&c).unwrap(), [7.0, 10.0, 15.0, 22.0]);
    let mut over = arena.slice(5..9).unwrap().reshape(&[2, 2]).unwrap();
    let error = gpu.run(&shared, &[&a, &a], &mut [&mut over]).unwrap_err();
    assert_eq!(error.to_string(), "matmul: output 0 overlaps input 0 in memory");
}

#[test]
fn parameters_in_a_uniform_buffer_where_there_are_no_immediates() {
    if device().is_none() {
        return;
    }
    let gpu = Gpu::builder().without_features(wgpu::Features::IMMEDIATES).build().unwrap();
    let a = gpu.tensor(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0]).unwrap();
    assert_eq!(gpu.download(&gpu.matmul(&a, &a).unwrap()).unwrap(), [7.0, 10.0, 15.0, 22.0]);
}

#[test]
fn problems_are_split_at_the_binding_limit_and_the_work_budget_and_grids_fold() {
    let Some(gpu) = devices().first() else { return };
    let (m, k, n) = (96, 40, 80);
    let a = gpu.tensor(&[m, k], &(0..m * k).map(|i| (i % 7) as f32).collect::<Vec<_>>()).unwrap();
    let b = gpu.tensor(&[k, n], &(0..k * n).map(|i| (i % 5) as f32).collect::<Vec<_>>()).unwrap();
    let whole = gpu.download(&gpu.matmul(&a, &b).unwrap()).unwrap();
    let vary = |change: &dyn Fn(&mut DeviceProfile)| {
        let mut profile = gpu.profile().clone();
        change(&mut profile);
        let plan = Matmul::default().plan(&profile, &[a.layout(), b.layout()]).unwrap();
        let mut c = gpu.empty::<f32>(&[m, n]).unwrap();
        gpu.run(&plan, &[&a, &b], &mut [&mut c]).unwrap();
        assert_eq!(gpu.download(&c).unwrap(), whole, "{plan}");
        plan
    };
    // A window of 4 KiB holds neither operand: rows, columns and k are cut.
    let cut = vary(&|profile| profile.limits.max_storage_buffer_binding_size = 4096 + 256);
    assert!(cut.dispatches.len() > 8, "{cut}");
    let slow = vary(&|profile| {
        (profile.floor_flops, profile.work_budget) = (5e5, DeviceProfile::baseline().work_budget);
    });
    assert!(slow.dispatches.iter().all(|d| d.work.flops <= profile_limit(5e5)) && slow.dispatches.len() > 1, "{slow}");
    let folded = vary(&|profile| profile.limits.max_compute_workgroups_per_dimension = 4);
    assert!(folded.dispatches[0].grid[1] > 1, "{folded}");
}

fn profile_limit(floor: f64) -> f64 {
    let mut profile = DeviceProfile::baseline();
    profile.floor_flops = floor;
    profile.work_limit()
}

#[test]
fn a_host_encodes_a_plan_into_its_own_pass() {
    let Some(own) = device() else { return };
    let (device, queue) = (own.device().unwrap().clone(), own.queue().unwrap().clone());
    let gpu = Gpu::from_wgpu(HostDevice {
        device: device.clone(),
        queue: queue.clone(),
        adapter: None,
        pipeline_cache: None,
    });
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let buffer =
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size: 64, usage, mapped_at_creation: false });
    queue.write_buffer(&buffer, 4, bytemuck::cast_slice(&[1.0f32, 2.0, 3.0, 4.0]));
    let a = gpu.view::<f32>(&buffer, 1, &[2, 2]).unwrap();
    let c = gpu.empty::<f32>(&[2, 2]).unwrap();
    let plan = Matmul::default().plan(gpu.profile(), &[a.layout(), a.layout()]).unwrap();
    let mut workspace = Workspace::new();
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    plan.encode(&mut pass, &gpu, &Bindings { inputs: &[&a, &a], outputs: &[&c] }, &mut workspace).unwrap();
    drop(pass);
    queue.submit([encoder.finish()]);
    assert_eq!(gpu.download(&c).unwrap(), [7.0, 10.0, 15.0, 22.0]);
    gpu.notify_lost("the host says so");
    assert_eq!(gpu.submit().unwrap_err().to_string(), "the device is lost: the host says so");
    assert_eq!(gpu.matmul(&a, &a).unwrap_err().to_string(), "the device is lost: the host says so");
}

#[test]
fn a_program_runs_many_times_and_reuses_what_lies_between() {
    let Some(gpu) = devices().first() else { return };
    let weight = gpu.tensor(&[2, 2], &[0.0f32, 1.0, 1.0, 0.0]).unwrap();
    let mut build = Program::builder(gpu);
    let x = build.input(&[2, 2], DType::F32);
    let w = build.constant(&weight);
    let mut value = x;
    for _ in 0..6 {
        value = build.op(&Matmul::default(), &[value, w]).unwrap();
    }
    assert!(matches!(build.output(x), Err(Error::Program { .. })));
    let flat = build.reshape(value, &[4]).unwrap();
    build.output(flat).unwrap();
    let program = build.compile().unwrap();
    // Five values lie between; two pieces of memory serve them all.
    assert_eq!(program.scratch_bytes(), 32);
    for i in 0..3 {
        let input = gpu.tensor(&[2, 2], &[i as f32, 1.0, 2.0, 3.0]).unwrap();
        let output = program.run(&[&input]).unwrap().swap_remove(0).typed::<f32>().unwrap();
        assert_eq!((output.shape(), gpu.download(&output).unwrap()), (&[4][..], vec![i as f32, 1.0, 2.0, 3.0]));
    }
    let wrong = gpu.tensor(&[4], &[0.0f32; 4]).unwrap();
    assert_eq!(program.run(&[&wrong]).unwrap_err().to_string(), "program: input 0 is f32[4], declared f32[2, 2]");
}

#[test]
fn warming_up_compiles_each_kernel_once_and_tells_of_it() {
    for opened in devices() {
        // Planned in a way that no other test is, so that no other has compiled the kernels.
        let tile = ContractionVariant { per_lane: (3, 1), ..common::DIRECT };
        let gpu = &with_profile(opened, |profile| profile.contractions = vec![tile]);
        let layouts = [Layout::new(&[4, 4], DType::F32), Layout::new(&[4, 4], DType::F32)];
        let plan = Matmul::default().plan(gpu.profile(), &layouts).unwrap();
        let mut told = Vec::new();
        let compiled = gpu.warm_up(&[&plan, &plan], |ready, of| told.push((ready, of))).unwrap();
        assert_eq!((compiled.kernels, &told[..]), (1, &[(1, 2), (2, 2)][..]));
        assert!(compiled.time.as_nanos() > 0);
        assert_eq!(gpu.warm_up(&[&plan], |_, _| ()).unwrap(), Compiled::default());
    }
}

#[test]
fn timing_counts_every_dispatch() {
    let Some(gpu) = device().map(|_| Gpu::new().unwrap()) else { return };
    let a = gpu.tensor(&[64, 64], &[1.0f32; 4096]).unwrap();
    let (_, timings) = gpu.timed(|gpu| (0..5).try_for_each(|_| gpu.matmul(&a, &a).map(drop))).unwrap();
    let kernels = timings.kernels();
    assert_eq!((kernels.len(), kernels[0].dispatches, kernels[0].op), (1, 5, "matmul"));
    if gpu.profile().features.contains(wgpu::Features::TIMESTAMP_QUERY) {
        assert!(timings.total_ms().unwrap() > 0.0);
    }
    let mut trace = Vec::new();
    timings.write_chrome_trace(&mut trace).unwrap();
    let trace: serde_json::Value = serde_json::from_slice(&trace).unwrap();
    assert_eq!(trace["traceEvents"].as_array().unwrap().len(), 5);
}

#[test]
fn every_type_comes_back_as_it_went() {
    let Some(gpu) = devices().first() else { return };
    let bytes: Vec<u8> = (0..7).collect();
    let t = gpu.tensor(&[7], &bytes).unwrap();
    assert_eq!(gpu.download(&t).unwrap(), bytes);
    assert_eq!(gpu.download(&t.slice(3..6).unwrap()).unwrap(), [3, 4, 5]);
    let halves = [half::f16::from_f32(1.5), half::f16::from_f32(-2.0), half::f16::from_f32(0.25)];
    let t = gpu.tensor(&[3], &halves).unwrap();
    assert_eq!(gpu.download(&t.slice(1..3).unwrap()).unwrap(), halves[1..]);
    assert_eq!(gpu.download(&gpu.tensor(&[2], &[-1i8, 2]).unwrap()).unwrap(), [-1, 2]);
    assert_eq!(gpu.download(&gpu.tensor::<i32>(&[0], &[]).unwrap()).unwrap(), [0i32; 0]);
}

#[test]
fn an_operand_larger_than_a_binding_is_split() {
    let Some(gpu) = device() else { return };
    let (m, k) = (40 << 10, 1 << 10);
    let elements: Vec<f32> = (0..m * k).map(|i| ((i / k + i) % 3) as f32).collect();
    let a = gpu.tensor(&[m, k], &elements).unwrap(); // 160 MiB
    let x = gpu.tensor(&[k], &vec![1.0f32; k]).unwrap();
    // WebGPU's default, also where the device offers more.
    let mut profile = gpu.profile().clone();
    profile.limits.max_storage_buffer_binding_size = 128 << 20;
    let plan = Matmul::default().plan(&profile, &[a.layout(), x.layout()]).unwrap();
    assert!(plan.dispatches.len() > 1, "{plan}");
    let mut y = gpu.empty::<f32>(&[m]).unwrap();
    gpu.run(&plan, &[&a, &x], &mut [&mut y]).unwrap();
    let expected: Vec<f32> = elements.chunks(k).map(|row| row.iter().sum()).collect();
    assert!(gpu.download(&y).unwrap() == expected);
}
