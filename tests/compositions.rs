//! Static proof of the kernels: every composition that ops plan for is validated and translated to SPIR-V, MSL and HLSL,
//! with parameters in immediates and in a uniform buffer, with separate buffers and with one arena.

mod common;

use std::collections::HashSet;
use std::sync::Mutex;

use common::cases::{mixed_ops, ops, whole_ops};
use naga::back;
use naga::valid::{Capabilities, ValidationFlags, Validator};
use tilewise::reference::Twin;
use tilewise::{Class, DType, DeviceProfile, Layout, wgpu};

fn translate(text: &str) -> Result<(), String> {
    let say = |error: &dyn std::fmt::Debug| format!("{error:?}");
    let module = naga::front::wgsl::parse_str(text).map_err(|error| error.emit_to_string(text))?;
    let capabilities = Capabilities::IMMEDIATES
        | Capabilities::SUBGROUP
        | Capabilities::SHADER_FLOAT16
        | Capabilities::COOPERATIVE_MATRIX;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|error| error.emit_to_string(text))?;
    back::spv::write_vec(&module, &info, &Default::default(), None).map_err(|error| say(&error))?;
    // Metal has no matrices of 16 x 16, and DX12 none at all.
    if !text.contains("coop_mat16x16") {
        let lang_version = if text.contains("coop_mat") { (2, 3) } else { (1, 0) };
        let msl = back::msl::Options { fake_missing_bindings: true, lang_version, ..Default::default() };
        back::msl::write_string(&module, &info, &msl, &Default::default()).map_err(|error| say(&error))?;
    }
    if text.contains("coop_mat") {
        return Ok(());
    }
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

/// The texts that are proven or about to be: devices have many in common.
type Proven = Mutex<HashSet<String>>;

#[test]
fn every_composition_is_valid_on_every_backend() {
    let proven = Proven::default();
    std::thread::scope(|scope| {
        for (immediates, class) in
            [(false, Class::Unknown), (true, Class::Unknown), (false, Class::Cpu), (true, Class::Cpu)]
        {
            let proven = &proven;
            scope.spawn(move || prove(immediates, class, proven));
        }
    });
    let proven = proven.into_inner().unwrap().len();
    assert!(proven > 100, "{proven}");
}

fn prove(immediates: bool, class: Class, proven: &Proven) {
    let mut profile = DeviceProfile { class, subgroup_size: (8, 8), ..DeviceProfile::baseline() };
    if class == Class::Cpu {
        profile.features |= wgpu::Features::SUBGROUP;
        // Operands are read through textures, or are not.
        profile.texels = immediates.then_some(0);
    }
    if class == Class::Unknown {
        profile.features |= wgpu::Features::SUBGROUP | wgpu::Features::SHADER_F16;
        profile.cooperative_matrices = vec![if immediates { 16 } else { 8 }];
    }
    if immediates {
        profile.features |= wgpu::Features::IMMEDIATES;
        profile.limits.max_immediate_size = 256;
    }
    let mut floats: Vec<_> = ops().into_iter().map(|case| (case, DType::F32)).collect();
    if class == Class::Unknown {
        floats.extend(ops().into_iter().map(|case| (case, DType::F16)));
    }
    let whole = whole_ops().into_iter().map(|case| (case, DType::I32));
    let mut cases: Vec<(Box<dyn Twin>, Vec<Layout>)> = floats
        .into_iter()
        .chain(whole)
        .map(|((op, shapes), dtype)| (op, shapes.iter().map(|shape| Layout::new(shape, dtype)).collect()))
        .collect();
    cases.extend(mixed_ops(DType::F32));
    if class == Class::Unknown {
        cases.extend(mixed_ops(DType::F16));
    }
    for (op, layouts) in cases {
        for (arena, align) in [(false, 16), (true, 4), (true, 16)] {
            let layouts: Vec<Layout> = layouts.iter().map(|layout| Layout { arena, align, ..layout.clone() }).collect();
            for plan in op.plans(&profile, &layouts).unwrap() {
                for dispatch in &plan.dispatches {
                    let source = dispatch.kernel.compose().unwrap();
                    assert_eq!(source.text.contains("var<immediate>"), immediates, "{plan}");
                    if !proven.lock().unwrap().insert(source.text.clone()) {
                        continue;
                    }
                    translate(&source.text).unwrap_or_else(|error| panic!("{plan}\n{error}"));
                    assert_eq!(workgroup_memory(&source.text), dispatch.workgroup_memory, "{plan}");
                }
            }
        }
    }
}

#[test]
fn the_translation_can_fail() {
    assert!(translate("fn f() -> u32 { return 1.5f; }").is_err());
}
