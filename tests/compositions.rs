//! Static proof of the kernels: every composition that ops plan for is validated and translated to SPIR-V, MSL and HLSL,
//! with parameters in immediates and in a uniform buffer, with separate buffers and with one arena.

use naga::back;
use naga::valid::{Capabilities, ValidationFlags, Validator};
use tilewise::{
    Activation, AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, BatchNorm, Binary, BinaryKind, Class, Concat, Conv2d,
    ConvTranspose2d, DType, DeviceProfile, Layout, LogSoftmax, Matmul, MaxPool2d, Op, Pad, PadMode, Permute, Reduce,
    ReduceKind, Softmax, Unary, UnaryKind, wgpu,
};

/// An op with the shapes of its inputs.
type Case = (Box<dyn Op>, Vec<Vec<usize>>);

/// Every op, in the forms that lead to different fragments.
fn ops() -> Vec<Case> {
    let plane = vec![2, 4, 9, 11];
    vec![
        (Box::new(Matmul::default()), vec![vec![70, 33], vec![33, 90]]),
        (
            Box::new(Matmul { activation: Activation::Gelu, ..Default::default() }),
            vec![vec![3, 7, 5], vec![5, 9], vec![9]],
        ),
        (Box::new(Conv2d::default()), vec![plane.clone(), vec![6, 4, 3, 3], vec![6]]),
        (Box::new(Conv2d { groups: 4, ..Default::default() }), vec![plane.clone(), vec![4, 1, 1, 1]]),
        (Box::new(ConvTranspose2d { stride: [2, 3], ..Default::default() }), vec![plane.clone(), vec![4, 5, 3, 2]]),
        (Box::new(MaxPool2d { return_indices: true, ..Default::default() }), vec![plane.clone()]),
        (Box::new(AvgPool2d::default()), vec![plane.clone()]),
        (Box::new(AdaptiveAvgPool2d::default()), vec![plane.clone()]),
        (Box::new(Reduce { dims: vec![1, 3], ..Default::default() }), vec![plane.clone()]),
        (Box::new(Reduce { kind: ReduceKind::ArgMin, last: true, ..Default::default() }), vec![plane.clone()]),
        (Box::new(Reduce::default()), vec![vec![1 << 20]]),
        (Box::new(Reduce { kind: ReduceKind::ArgMax, ..Default::default() }), vec![vec![1 << 20]]),
        (Box::new(Reduce { kind: ReduceKind::Mean, ..Default::default() }), vec![vec![1 << 20]]),
        (Box::new(AdaptiveMaxPool2d { return_indices: true, ..Default::default() }), vec![vec![1, 2, 300, 300]]),
        (Box::new(AdaptiveMaxPool2d { output: [2, 2], return_indices: true }), vec![plane.clone()]),
        (Box::new(Softmax { dim: 1 }), vec![plane.clone()]),
        (Box::new(LogSoftmax { dim: 3 }), vec![plane.clone()]),
        (Box::new(Permute { dims: vec![3, 1, 0, 2] }), vec![plane.clone()]),
        (Box::new(Unary { kind: UnaryKind::Erf }), vec![plane.clone()]),
        (Box::new(Binary { kind: BinaryKind::Pow }), vec![plane.clone(), vec![9, 1]]),
        (Box::new(BatchNorm::default()), vec![plane.clone(), vec![4], vec![4], vec![4], vec![4]]),
        (Box::new(Concat { dim: 1 }), vec![plane.clone(), plane.clone()]),
        (Box::new(Pad { padding: vec![[1, 1]; 4], mode: PadMode::Reflect }), vec![plane.clone()]),
        (Box::new(Pad { padding: vec![[1, 2]; 4], ..Pad::default() }), vec![vec![2, 0, 1, 1]]),
    ]
}

/// The ops that compute with whole numbers.
fn whole_ops() -> Vec<Case> {
    let plane = vec![2, 4, 9, 11];
    vec![
        (Box::new(Binary { kind: BinaryKind::Div }), vec![plane.clone(), vec![9, 1]]),
        (Box::new(Unary { kind: UnaryKind::Abs }), vec![plane.clone()]),
        (Box::new(Reduce { dims: vec![1, 3], ..Default::default() }), vec![plane.clone()]),
        (Box::new(Reduce { kind: ReduceKind::Max, ..Default::default() }), vec![plane.clone()]),
        (Box::new(Pad { padding: vec![[1, 2]; 4], ..Pad::default() }), vec![plane]),
    ]
}

fn translate(text: &str) -> Result<(), String> {
    let say = |error: &dyn std::fmt::Debug| format!("{error:?}");
    let module = naga::front::wgsl::parse_str(text).map_err(|error| error.emit_to_string(text))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::IMMEDIATES)
        .validate(&module)
        .map_err(|error| error.emit_to_string(text))?;
    back::spv::write_vec(&module, &info, &Default::default(), None).map_err(|error| say(&error))?;
    let msl = back::msl::Options { fake_missing_bindings: true, ..Default::default() };
    back::msl::write_string(&module, &info, &msl, &Default::default()).map_err(|error| say(&error))?;
    let hlsl = back::hlsl::Options { immediates_target: Some(Default::default()), ..Default::default() };
    back::hlsl::Writer::new(&mut String::new(), &hlsl, &Default::default())
        .write(&module, &info, None)
        .map_err(|error| say(&error))?;
    Ok(())
}

/// The workgroup memory of a shader, each variable on 16 bytes.
fn workgroup_memory(text: &str) -> u32 {
    let module = naga::front::wgsl::parse_str(text).unwrap();
    let variables = module.global_variables.iter().map(|(_, variable)| variable);
    variables
        .filter(|variable| variable.space == naga::AddressSpace::WorkGroup)
        .map(|variable| module.types[variable.ty].inner.size(module.to_ctx()).next_multiple_of(16))
        .sum()
}

#[test]
fn every_composition_is_valid_on_every_backend() {
    let mut compositions = 0;
    for immediates in [false, true] {
        for class in [Class::Unknown, Class::Cpu] {
            let mut profile = DeviceProfile { class, ..DeviceProfile::baseline() };
            if immediates {
                profile.features |= wgpu::Features::IMMEDIATES;
                profile.limits.max_immediate_size = 256;
            }
            let floats = ops().into_iter().map(|case| (case, DType::F32));
            for ((op, shapes), dtype) in floats.chain(whole_ops().into_iter().map(|case| (case, DType::I32))) {
                for arena in [false, true] {
                    let layouts: Vec<Layout> =
                        shapes.iter().map(|shape| Layout { arena, ..Layout::new(shape, dtype) }).collect();
                    for plan in op.plans(&profile, &layouts).unwrap() {
                        for dispatch in &plan.dispatches {
                            let source = dispatch.kernel.compose().unwrap();
                            translate(&source.text).unwrap_or_else(|error| panic!("{plan}\n{error}"));
                            assert_eq!(workgroup_memory(&source.text), dispatch.workgroup_memory, "{plan}");
                            assert_eq!(source.text.contains("var<immediate>"), immediates, "{plan}");
                            compositions += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(compositions > 100, "{compositions}");
}

#[test]
fn the_translation_can_fail() {
    assert!(translate("fn f() -> u32 { return 1.5f; }").is_err());
}
