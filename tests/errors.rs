//! Every error, provoked, with its exact variant and text. What an op refuses in its own words is in the op's own file.

mod common;

use common::device;
use tilewise::reference::HostTensor;
use tilewise::verify::devices;
use tilewise::{
    AdaptiveAvgPool2d, AdaptiveMaxPool2d, AnyTensor, AvgPool2d, Binary, Conv2d, ConvTranspose2d, DType, DeviceProfile,
    Error, Gpu, HostDevice, Layout, LogSoftmax, Matmul, MaxPool2d, Op, Pad, Padding, Permute, Program, Reduce,
    ReduceKind, Softmax, Tensor, wgpu,
};

fn f32s(shape: &[usize]) -> Layout {
    Layout::new(shape, DType::F32)
}

/// The error has to be of the variant, and to say this.
#[track_caller]
fn says(error: Error, variant: fn(&Error) -> bool, text: &str) {
    assert!(variant(&error), "{error:?}");
    assert_eq!(error.to_string(), text);
}

fn ones(gpu: &Gpu, shape: &[usize]) -> Tensor<f32> {
    gpu.tensor(shape, &vec![1.0; shape.iter().product()]).unwrap()
}

#[test]
fn shape() {
    let error = Matmul::default().infer(&[f32s(&[2, 3]), f32s(&[4, 5])]).unwrap_err();
    says(
        error,
        |e| matches!(e, Error::Shape { op: "matmul", .. }),
        "matmul: inner dimensions of a [2, 3] and b [4, 5] differ",
    );
}

#[test]
fn rank() {
    let error = Matmul::default().infer(&[f32s(&[]), f32s(&[4, 5])]).unwrap_err();
    says(
        error,
        |e| matches!(e, Error::Rank { operand: "a", found: 0, .. }),
        "matmul: a has 0 dimensions, at least 1 wanted",
    );
}

#[test]
fn count_of_an_op_and_of_a_plan() {
    let error = Matmul::default().infer(&vec![f32s(&[1, 1]); 5]).unwrap_err();
    says(
        error,
        |e| matches!(e, Error::Count { what: "inputs", found: 5, .. }),
        "matmul: 5 inputs given, 2 to 4 wanted",
    );
    let Some(gpu) = device() else { return };
    let a = ones(gpu, &[2, 2]);
    let plan = Matmul::default().plan(gpu.profile(), &[a.layout(), a.layout()]).unwrap();
    let mut c = gpu.empty::<f32>(&[2, 2]).unwrap();
    let error = gpu.run(&plan, &[&a], &mut [&mut c]).unwrap_err();
    says(error, |e| matches!(e, Error::Count { what: "inputs", .. }), "matmul: 1 inputs given, 2 wanted");
    let error = gpu.run(&plan, &[&a, &a], &mut []).unwrap_err();
    says(error, |e| matches!(e, Error::Count { what: "outputs", .. }), "matmul: 0 outputs given, 1 wanted");
}

#[test]
fn dtype_of_an_op_and_of_a_tensor() {
    let error = Matmul::default().infer(&[f32s(&[1, 1]), Layout::new(&[1, 1], DType::I8)]).unwrap_err();
    says(error, |e| matches!(e, Error::DType { found: DType::I8, .. }), "matmul: b is i8, f32 or f16 wanted");
    let Some(gpu) = device() else { return };
    let error = AnyTensor::from(ones(gpu, &[2])).typed::<i32>().unwrap_err();
    says(error, |e| matches!(e, Error::DType { found: DType::F32, .. }), "typed: the tensor is f32, i32 wanted");
}

#[test]
fn option() {
    let op = Conv2d { stride: [1, 0], ..Default::default() };
    let error = op.infer(&[f32s(&[1, 1, 2, 2]), f32s(&[1, 1, 1, 1])]).unwrap_err();
    says(error, |e| matches!(e, Error::Option { option: "stride", .. }), "conv2d: stride = [1, 0]: must be at least 1");
}

#[test]
fn limit_of_a_tensor_a_plan_and_a_pipeline() {
    let profile = DeviceProfile::baseline();
    let error = Matmul::default().plan(&profile, &[f32s(&[1 << 40, 1 << 40]), f32s(&[1 << 40, 1])]).unwrap_err();
    says(
        error,
        |e| matches!(e, Error::Limit { limit: "address space", .. }),
        &format!(
            "matmul: input 0: needs address space = {}, the device has {}; split the problem",
            u64::MAX,
            isize::MAX
        ),
    );
    let Some(gpu) = device() else { return };
    let limits = gpu.device().unwrap().limits();
    let elements = limits.max_buffer_size / 4 + 1;
    let error = gpu.empty::<f32>(&[elements as usize]).unwrap_err();
    let text = format!(
        "tensor: needs max_buffer_size = {}, the device has {}; split the tensor",
        elements * 4,
        limits.max_buffer_size
    );
    says(error, |e| matches!(e, Error::Limit { limit: "max_buffer_size", .. }), &text);

    // A plan for a device with larger workgroups than the one that it is run on.
    let lesser = wgpu::Limits { max_compute_invocations_per_workgroup: 8, ..limits };
    let name = gpu.profile().name.as_str();
    let gpu = Gpu::builder().adapter_name(name).limits(lesser).build().unwrap();
    let a = ones(&gpu, &[64, 64]);
    let error = gpu.with_profile(profile).matmul(&a, &a).unwrap_err();
    says(
        error,
        |e| matches!(e, Error::Limit { limit: "max_compute_invocations_per_workgroup", .. }),
        "contraction/tiled.wgsl: needs max_compute_invocations_per_workgroup = 256, the device has 8; use a smaller tile",
    );
}

#[test]
fn dimensions_that_kernels_count() {
    let every_other: Vec<usize> = (0..7).map(|dim| 1 + dim % 2).collect();
    let (padded, reversed) = ([[0, 0], [0, 1]].repeat(4)[..7].to_vec(), (0..7).rev().collect());
    let pad = Pad { padding: padded, ..Default::default() };
    let (twos, permute) = (f32s(&[2; 7]), Permute { dims: reversed });
    let ops: [(&dyn Op, &[Layout]); 3] = [
        (&pad, std::slice::from_ref(&twos)),
        (&permute, std::slice::from_ref(&twos)),
        (&Binary::default(), &[twos.clone(), f32s(&every_other)]),
    ];
    for (op, inputs) in ops {
        let error = op.plan(&DeviceProfile::baseline(), inputs).unwrap_err();
        let text = format!(
            "{}: needs dimensions that a kernel counts = 7, the device has 6; neighbours that are treated alike count as \
             one; do the others in two steps",
            op.name()
        );
        says(error, |e| matches!(e, Error::Limit { needed: 7, available: 6, .. }), &text);
    }
}

#[test]
fn no_adapter_by_name_number_or_feature() {
    if device().is_none() {
        return;
    }
    let found = Gpu::adapters().iter().map(|adapter| adapter.to_string()).collect::<Vec<_>>().join(", ");
    let no_adapter: fn(&Error) -> bool = |e| matches!(e, Error::NoAdapter { found, .. } if !found.is_empty());
    let error = Gpu::builder().adapter_name("no such adapter").build().unwrap_err();
    says(error, no_adapter, &format!("no adapter for the name \"no such adapter\"; found: {found}"));
    let error = Gpu::builder().adapter_index(99).build().unwrap_err();
    says(error, no_adapter, &format!("no adapter for the number 99; found: {found}"));
    // A feature of native GPUs and one of the web: no adapter has all.
    let error = Gpu::builder().required_features(wgpu::Features::all()).build().unwrap_err();
    let text = error.to_string();
    assert!(no_adapter(&error) && text.starts_with("no adapter for any device with Features"), "{text}");
}

#[test]
fn no_device() {
    let Some(gpu) = device() else { return };
    let mut limits = gpu.device().unwrap().limits();
    let most = limits.max_compute_workgroup_size_x;
    limits.max_compute_workgroup_size_x = most + 1;
    let error = Gpu::builder().adapter_index(0).limits(limits).build().unwrap_err();
    let text = format!(
        "cannot open a device on {}: Limit 'max_compute_workgroup_size_x' value {} is better than allowed {most}",
        Gpu::adapters()[0],
        most + 1
    );
    says(error, |e| matches!(e, Error::NoDevice { .. }), &text);
}

#[test]
fn out_of_memory_at_the_cap() {
    if device().is_none() {
        return;
    }
    let gpu = Gpu::builder().memory_limit(1 << 20).build().unwrap();
    let half = gpu.empty::<f32>(&[128 << 10]).unwrap();
    let error = gpu.empty::<f32>(&[192 << 10]).unwrap_err();
    says(
        error,
        |e| matches!(e, Error::OutOfMemory { requested: 786432, in_use: 524288, cap: Some(1048576) }),
        "out of memory: 786432 bytes wanted with 524288 in use, capped at 1048576",
    );
    drop(half);
    // What the pool holds is given back when it stands in the way.
    gpu.empty::<f32>(&[192 << 10]).unwrap();
}

#[test]
fn device_lost_and_a_new_one_works() {
    if device().is_none() {
        return;
    }
    let lost: fn(&Error) -> bool = |e| matches!(e, Error::DeviceLost { .. });
    let gpu = Gpu::new().unwrap();
    let a = ones(&gpu, &[1, 1]);
    let plan = Matmul::default().plan(gpu.profile(), &[a.layout(), a.layout()]).unwrap();
    let mut b = gpu.matmul(&a, &a).unwrap();
    gpu.device().unwrap().destroy();
    let text = gpu.download(&b).unwrap_err().to_string();
    assert!(text.starts_with("the device is lost: Destroyed: "), "{text}");
    // From then on everything that needs the device says the same.
    says(gpu.tensor(&[1], &[1.0f32]).unwrap_err(), lost, &text);
    says(gpu.empty::<f32>(&[1]).unwrap_err(), lost, &text);
    says(gpu.write(&a, &[2.0]).unwrap_err(), lost, &text);
    says(gpu.matmul(&a, &a).unwrap_err(), lost, &text);
    says(gpu.run(&plan, &[&a, &a], &mut [&mut b]).unwrap_err(), lost, &text);
    says(gpu.warm_up(&[&plan], |_, _| ()).unwrap_err(), lost, &text);
    says(gpu.download(&b).unwrap_err(), lost, &text);
    says(gpu.submit().unwrap_err(), lost, &text);
    says(gpu.wait().unwrap_err(), lost, &text);
    says(gpu.timed(|gpu| gpu.matmul(&a, &a)).unwrap_err(), lost, &text);
    drop((a, b, gpu));
    let gpu = Gpu::new().unwrap();
    let a = ones(&gpu, &[1, 1]);
    assert_eq!(gpu.download(&gpu.matmul(&a, &a).unwrap()).unwrap(), [1.0]);
}

#[test]
fn device_lost_as_the_host_says() {
    let Some(own) = device() else { return };
    let (device, queue) = (own.device().unwrap().clone(), own.queue().unwrap().clone());
    let gpu = Gpu::from_wgpu(HostDevice { device, queue, adapter: None, pipeline_cache: None });
    gpu.notify_lost("the driver was updated");
    let error = gpu.empty::<f32>(&[1]).unwrap_err();
    says(error, |e| matches!(e, Error::DeviceLost { .. }), "the device is lost: the driver was updated");
}

#[test]
fn other_device() {
    let Some(gpu) = device() else { return };
    let elsewhere: fn(&Error) -> bool = |e| matches!(e, Error::OtherDevice { .. });
    let other = Gpu::new().unwrap();
    let (a, b) = (ones(gpu, &[1, 1]), ones(&other, &[1, 1]));
    says(gpu.matmul(&a, &b).unwrap_err(), elsewhere, "matmul: input 1 lives on another device");
    let plan = Matmul::default().plan(gpu.profile(), &[a.layout(), a.layout()]).unwrap();
    let error = gpu.run(&plan, &[&a, &a], &mut [&mut b.clone()]).unwrap_err();
    says(error, elsewhere, "matmul: output 0 lives on another device");
    says(other.download(&a).unwrap_err(), elsewhere, "download: the tensor lives on another device");
    says(other.write(&a, &[1.0]).unwrap_err(), elsewhere, "write: the tensor lives on another device");
}

#[test]
fn overlap_in_place_and_by_part() {
    let Some(gpu) = device() else { return };
    let overlaps: fn(&Error) -> bool = |e| matches!(e, Error::Overlap { output: 0, .. });
    let arena = ones(gpu, &[32]);
    let part = |at: usize| arena.slice(at..at + 4).unwrap().reshape(&[2, 2]).unwrap();
    let (a, b) = (part(0), part(8));
    let plan = Matmul::default().plan(gpu.profile(), &[a.layout().in_arena(), b.layout()]).unwrap();
    let run = |output: usize| gpu.run(&plan, &[&a, &b], &mut [&mut part(output)]);
    says(run(0).unwrap_err(), overlaps, "matmul: output 0 overlaps input 0 in memory");
    says(run(11).unwrap_err(), overlaps, "matmul: output 0 overlaps input 1 in memory");
    run(4).unwrap();
    run(12).unwrap();
}

#[test]
fn unplanned_shape_alignment_and_aliasing() {
    let Some(gpu) = device() else { return };
    let unplanned: fn(&Error) -> bool = |e| matches!(e, Error::Unplanned { .. });
    let arena = ones(gpu, &[32]);
    let a = arena.slice(0..4).unwrap().reshape(&[2, 2]).unwrap();
    let plan = Matmul::default().plan(gpu.profile(), &[a.layout(), a.layout()]).unwrap();
    let mut c = gpu.empty::<f32>(&[2, 2]).unwrap();
    let error = gpu.run(&plan, &[&a, &arena], &mut [&mut c]).unwrap_err();
    says(error, unplanned, "matmul: input 1 does not fit the plan: it is f32[32], planned for f32[2, 2]");
    let error = gpu.run(&plan, &[&a, &a], &mut [&mut gpu.empty::<u32>(&[2, 2]).unwrap()]).unwrap_err();
    says(error, unplanned, "matmul: output 0 does not fit the plan: it is u32[2, 2], planned for f32[2, 2]");
    let mut inside = arena.slice(8..12).unwrap().reshape(&[2, 2]).unwrap();
    let error = gpu.run(&plan, &[&a, &a], &mut [&mut inside]).unwrap_err();
    says(
        error,
        unplanned,
        "matmul: input 0 does not fit the plan: it shares its buffer with output 0: plan with Layout::in_arena",
    );
    let in_vectors = Binary::default().plan(gpu.profile(), &[a.layout(), a.layout()]).unwrap();
    let odd = arena.slice(1..5).unwrap().reshape(&[2, 2]).unwrap();
    let error = gpu.run(&in_vectors, &[&a, &odd], &mut [&mut c]).unwrap_err();
    says(error, unplanned, "binary: input 1 does not fit the plan: it is aligned to 4 bytes, planned for 16");
}

#[test]
fn view_beyond_a_buffer_a_tensor_and_a_usage() {
    let Some(gpu) = device() else { return };
    let view: fn(&Error) -> bool = |e| matches!(e, Error::View { .. });
    let buffer = |usage| {
        let descriptor = wgpu::BufferDescriptor { label: None, size: 64, usage, mapped_at_creation: false };
        gpu.device().unwrap().create_buffer(&descriptor)
    };
    let bare = buffer(wgpu::BufferUsages::STORAGE);
    let error = gpu.view::<f32>(&bare, 13, &[2, 2]).unwrap_err();
    says(error, view, "view: f32[2, 2] at element 13 ends at byte 68, the buffer has 64");
    let max = usize::MAX;
    for (offset, shape) in [(max, &[1, 1][..]), (0, &[max, max]), (max, &[max]), (1 << 62, &[0])] {
        let error = gpu.view::<f32>(&bare, offset, shape).unwrap_err();
        let end = if shape == [0] { 1u64 << 62 << 2 } else { u64::MAX };
        let end = if end == 0 { u64::MAX } else { end };
        says(error, view, &format!("view: f32{shape:?} at element {offset} ends at byte {end}, the buffer has 64"));
    }
    let t = gpu.view::<f32>(&bare, 0, &[4, 4]).unwrap();
    says(
        gpu.download(&t).unwrap_err(),
        view,
        "view: download needs a buffer with usage BufferUsages(COPY_SRC), it has BufferUsages(STORAGE)",
    );
    says(
        gpu.write(&t, &[0.0; 16]).unwrap_err(),
        view,
        "view: write needs a buffer with usage BufferUsages(COPY_DST), it has BufferUsages(STORAGE)",
    );
    let copy = gpu.view::<f32>(&buffer(wgpu::BufferUsages::COPY_DST), 0, &[4, 4]).unwrap();
    says(
        gpu.matmul(&copy, &t).unwrap_err(),
        view,
        "view: matmul needs a buffer with usage BufferUsages(STORAGE), it has BufferUsages(COPY_DST)",
    );
    says(t.slice(2..5).unwrap_err(), view, "view: 2..5 of 4 in [4, 4]");
    #[expect(clippy::reversed_empty_ranges)]
    let backwards = t.slice(3..2);
    says(backwards.unwrap_err(), view, "view: 3..2 of 4 in [4, 4]");
    says(ones(gpu, &[]).slice(0..1).unwrap_err(), view, "view: a scalar has no dimension to slice");
    let bytes = gpu.tensor(&[8], &[0u8; 8]).unwrap();
    let error = gpu.write(&bytes.slice(1..5).unwrap(), &[1u8; 4]).unwrap_err();
    says(error, view, "view: bytes 1..5 are not whole words");
}

#[test]
fn length() {
    let length: fn(&Error) -> bool = |e| matches!(e, Error::Length { .. });
    says(HostTensor::new(&[2, 3], &[0.0f32]).unwrap_err(), length, "shape [2, 3] has 6 elements, 1 given");
    let max = usize::MAX;
    let text = format!("shape [{max}, {max}] has {max} elements, 1 given");
    says(HostTensor::new(&[max, max], &[0.0f32]).unwrap_err(), length, &text);
    let Some(gpu) = device() else { return };
    says(gpu.tensor(&[2], &[1u32]).unwrap_err(), length, "shape [2] has 2 elements, 1 given");
    says(gpu.tensor(&[max, max], &[0.0f32]).unwrap_err(), length, &text);
    let t = ones(gpu, &[2, 3]);
    says(t.reshape(&[7]).unwrap_err(), length, "shape [7] has 7 elements, 6 given");
    says(gpu.write(&t, &[0.0]).unwrap_err(), length, "shape [2, 3] has 6 elements, 1 given");
}

#[test]
fn program_values_and_operands() {
    let Some(gpu) = device() else { return };
    let broken: fn(&Error) -> bool = |e| matches!(e, Error::Program { .. });
    let mut build = Program::builder(gpu);
    let x = build.input(&[2, 2], DType::F32);
    says(build.output(x).unwrap_err(), broken, "program: value 0 is an input or a constant: no op makes it");
    let foreign = Program::builder(gpu).input(&[2, 2], DType::F32);
    let error = build.op(&Matmul::default(), &[x, foreign]).unwrap_err();
    says(error, broken, "program: value 0 belongs to another program");
    says(build.shape(foreign).unwrap_err(), broken, "program: value 0 belongs to another program");
    says(build.reshape(foreign, &[4]).unwrap_err(), broken, "program: value 0 belongs to another program");
    says(build.output(foreign).unwrap_err(), broken, "program: value 0 belongs to another program");
    let y = build.op(&Matmul::default(), &[x, x]).unwrap();
    build.output(y).unwrap();
    says(build.output(y).unwrap_err(), broken, "program: value 1 is a result already");
    let program = build.compile().unwrap();
    let t = ones(gpu, &[4]);
    says(program.run(&[]).unwrap_err(), broken, "program: 0 inputs given, 1 wanted");
    says(program.run(&[&t]).unwrap_err(), broken, "program: input 0 is f32[4], declared f32[2, 2]");
    let square = t.reshape(&[2, 2]).unwrap();
    says(program.run_into(&[&square], &mut []).unwrap_err(), broken, "program: 0 results given, 1 wanted");
    let error = program.run_into(&[&square], &mut [&mut gpu.empty::<u32>(&[2, 2]).unwrap()]).unwrap_err();
    says(error, broken, "program: result 0 is u32[2, 2], declared f32[2, 2]");
    says(Program::builder(gpu).compile().unwrap_err(), broken, "program: it has no result");
}

/// Only the plan of a profile that promises more than the device has reaches wgpu with something that it refuses.
#[test]
fn wgpu_refuses_what_the_crate_did_not() {
    let Some(gpu) = device() else { return };
    let most = gpu.device().unwrap().limits().max_compute_workgroups_per_dimension;
    let beyond = common::with_profile(gpu, |profile| {
        profile.limits.max_compute_workgroups_per_dimension = u32::MAX;
        profile.contractions = vec![common::SMALLEST];
    });
    let side = 8 * (most.isqrt() as usize + 1);
    let (a, b) = (ones(gpu, &[side, 1]), ones(gpu, &[1, side]));
    let plan = Matmul::default().plan(beyond.profile(), &[a.layout(), b.layout()]).unwrap();
    let [workgroups, 1, 1] = plan.dispatches[0].grid else { panic!("{plan}") };
    gpu.run(&plan, &[&a, &b], &mut [&mut gpu.empty::<f32>(&[side, side]).unwrap()]).unwrap();
    let error = gpu.wait().unwrap_err();
    assert!(matches!(&error, Error::Wgpu { during, .. } if during == "submit"), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("submit: ") && text.contains(&workgroups.to_string()), "{text}");
    // The device goes on.
    let a = ones(gpu, &[2, 2]);
    assert_eq!(gpu.download(&gpu.matmul(&a, &a).unwrap()).unwrap(), [2.0; 4]);
}

/// Kernels run without a driver's checks: a device takes no parameters but the planner's, and the emulator finds what is wrong.
#[test]
fn an_altered_plan_runs_on_the_emulator_alone() {
    for gpu in devices() {
        let a = ones(gpu, &[2, 2]);
        let plan = Matmul::default().plan(gpu.profile(), &[a.layout(), a.layout()]).unwrap();
        let altered = plan.altered(|plan| plan.dispatches[0].params.clear());
        let error = gpu.run(&altered, &[&a, &a], &mut [&mut gpu.empty::<f32>(&[2, 2]).unwrap()]).unwrap_err();
        match gpu.is_emulated() {
            true => assert!(matches!(error, Error::Shader { .. }), "{error}"),
            false => says(
                error,
                |e| matches!(e, Error::Unsupported { .. }),
                "an altered plan of matmul on a device of wgpu is not supported: its kernels run without checks, on the \
                 strength of what the planner found",
            ),
        }
    }
}

/// A kernel that does not pass would be a bug of the crate, and nothing of it is unsupported on wgpu: these two can only be
/// written down.
#[test]
fn the_texts_of_what_cannot_be_provoked() {
    let error = Error::Shader { kernel: "map/copy.wgsl".into(), detail: "map/copy.wgsl:3:4: no such thing".into() };
    assert_eq!(error.to_string(), "map/copy.wgsl: map/copy.wgsl:3:4: no such thing");
    let error = Error::Unsupported { what: "a view".into(), why: "there is no buffer" };
    assert_eq!(error.to_string(), "a view is not supported: there is no buffer");
}

const MAX: usize = usize::MAX;

/// Every way to put these sizes into a shape of a rank.
fn shapes(rank: usize, sizes: &[usize]) -> Vec<Vec<usize>> {
    let mut shapes = vec![Vec::new()];
    for _ in 0..rank {
        shapes = (shapes.iter())
            .flat_map(|shape: &Vec<usize>| sizes.iter().map(|&size| [&shape[..], &[size]].concat()))
            .collect();
    }
    shapes
}

/// Planning for shapes that overflow ends in an error or, where there is nothing to do, in an empty plan: never in a panic,
/// a wrapped number or an endless loop.
#[track_caller]
fn overflows(op: &dyn Op, inputs: &[Vec<usize>]) {
    let layouts: Vec<Layout> = inputs.iter().map(|shape| f32s(shape)).collect();
    let size = |shape: &[usize]| shape.iter().map(|&size| size.max(1) as f64).product::<f64>();
    if inputs.iter().any(|shape| (1e9..1e18).contains(&size(shape))) {
        return; // large, but it can be planned: in very many dispatches
    }
    match op.plan(&DeviceProfile::baseline(), &layouts) {
        Ok(plan) => assert!(inputs.iter().all(|shape| size(shape) < 1e9), "{op:?} {inputs:?}: {plan}"),
        Err(Error::Limit { .. } | Error::Shape { .. } | Error::Option { .. }) => {}
        Err(error) => panic!("{op:?} {inputs:?}: {error}"),
    }
}

#[test]
fn huge_shapes_overflow_nothing() {
    for shape in shapes(3, &[0, 1, 3, 1 << 33, MAX]) {
        for dim in 0..3 {
            overflows(&Softmax { dim }, std::slice::from_ref(&shape));
            overflows(&LogSoftmax { dim }, std::slice::from_ref(&shape));
            for kind in [ReduceKind::Sum, ReduceKind::ArgMax] {
                overflows(&Reduce { kind, dims: vec![dim], ..Default::default() }, std::slice::from_ref(&shape));
            }
        }
        overflows(&Reduce { kind: ReduceKind::Mean, ..Default::default() }, std::slice::from_ref(&shape));
        overflows(&Permute { dims: vec![2, 0, 1] }, std::slice::from_ref(&shape));
    }
    for a in shapes(2, &[0, 1, 1 << 33, MAX]) {
        for b in shapes(2, &[0, 1, 1 << 33, MAX]) {
            for transpose_b in [false, true] {
                overflows(&Matmul { transpose_b, ..Default::default() }, &[a.clone(), b.clone()]);
            }
            let batched = [&[MAX, 1][..], &a].concat();
            overflows(&Matmul::default(), &[batched, [&[1, MAX][..], &b].concat()]);
        }
    }
    for x in shapes(4, &[1, 1 << 33, MAX]) {
        for weight in shapes(4, &[1, MAX]) {
            overflows(&Conv2d::default(), &[x.clone(), weight.clone()]);
            overflows(&ConvTranspose2d::default(), &[x.clone(), weight]);
        }
    }
    for planes in shapes(2, &[0, 1, 1 << 33, MAX]) {
        let x = [&planes[..], &[9, 9]].concat();
        overflows(&MaxPool2d::default(), std::slice::from_ref(&x));
        overflows(&AvgPool2d::default(), std::slice::from_ref(&x));
        overflows(&AdaptiveMaxPool2d::default(), std::slice::from_ref(&x));
        overflows(&AdaptiveAvgPool2d { output: [MAX, MAX] }, &[x]);
    }
}

#[test]
fn huge_options_overflow_nothing() {
    let numbers = [1, 2, 1 << 33, MAX];
    let inputs = [vec![1, 2, 5, 5], vec![2, 1, 3, 3]];
    for pair in shapes(2, &numbers) {
        let [x, y] = [pair[0], pair[1]];
        let padding = Padding { top: x, left: y, bottom: y, right: x };
        for conv in [
            Conv2d { stride: [x, y], ..Default::default() },
            Conv2d { dilation: [x, y], ..Default::default() },
            Conv2d { padding, ..Default::default() },
            Conv2d { groups: x, ..Default::default() },
        ] {
            let conv = Conv2d { groups: conv.groups.max(2), ..conv };
            overflows(&conv, &inputs);
        }
        for conv in [
            ConvTranspose2d { stride: [x, y], ..Default::default() },
            ConvTranspose2d { stride: [x, x], output_padding: [x - 1, y - 1], ..Default::default() },
            ConvTranspose2d { dilation: [x, y], ..Default::default() },
            ConvTranspose2d { padding, ..Default::default() },
            ConvTranspose2d { groups: x, ..Default::default() },
        ] {
            overflows(&conv, &inputs);
        }
    }
}
