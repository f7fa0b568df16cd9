//! Static proof of the kernels: every composition that ops plan for is validated and translated to SPIR-V, MSL and HLSL,
//! with parameters in immediates and in a uniform buffer, with separate buffers and with one arena.

mod common;

use std::collections::HashSet;
use std::path::Path;
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

/// An operator between operands that WGSL's grammar wants in parentheses, and naga takes without: its line and its neighbours in the expression.
fn loose_operator(text: &str) -> Option<(usize, String)> {
    const OPERATORS: [&str; 31] = [
        "<<=", ">>=", "->", "&&", "||", "<<", ">>", "<=", ">=", "==", "!=", "+=", "-=", "*=", "/=", "%=", "&=", "|=",
        "^=", "++", "--", "+", "-", "*", "/", "%", "&", "|", "^", "<", ">",
    ];
    const TEMPLATES: [&str; 8] = ["array", "atomic", "bitcast", "coop", "mat", "ptr", "var", "vec"];
    // The operators of an expression within each pair of brackets.
    let mut levels: Vec<Vec<&str>> = vec![Vec::new()];
    let mut follows_operand = false;
    for (number, line) in text.lines().enumerate() {
        let mut rest = line.split("//").next().unwrap_or_default();
        while let Some(first) = rest.chars().next() {
            let operator = OPERATORS.iter().find(|operator| rest.starts_with(**operator));
            let word = rest.find(|c: char| !(c.is_alphanumeric() || "_.".contains(c))).unwrap_or(rest.len());
            let mut taken = first.len_utf8();
            let mut ended = None;
            if first.is_whitespace() {
            } else if word > 0 {
                taken = word;
                follows_operand = !["return", "if", "while", "else", "case"].contains(&&rest[..word]);
                if TEMPLATES.iter().any(|name| rest[..word].starts_with(name)) && rest[word..].starts_with('<') {
                    let mut depth = 0;
                    let end = rest[word..].find(|c| {
                        depth += i32::from(c == '<') - i32::from(c == '>');
                        depth == 0
                    });
                    taken = word + end.unwrap_or(0) + 1;
                }
            } else if let Some(operator) = operator {
                taken = operator.len();
                if operator.ends_with('=') && !["<=", ">=", "==", "!="].contains(operator) {
                    ended = levels.last_mut().map(std::mem::take);
                } else if follows_operand && !["++", "--", "->"].contains(operator) {
                    levels.last_mut().unwrap().push(operator);
                }
                follows_operand = false;
            } else {
                follows_operand = ")]".contains(first);
                ended = match first {
                    '(' | '[' => {
                        levels.push(Vec::new());
                        None
                    }
                    ')' | ']' => levels.pop(),
                    ',' | ';' | '{' | '}' | '=' | ':' => levels.last_mut().map(std::mem::take),
                    _ => None,
                };
            }
            if let Some(operators) = ended.filter(|operators| is_loose(operators)) {
                return Some((number + 1, operators.join(" ")));
            }
            rest = &rest[taken..];
        }
    }
    None
}

/// Shifts take no operators beside them, and bits none but their own; comparisons come one at a time, and of `&&` and `||` one kind.
fn is_loose(operators: &[&str]) -> bool {
    let any = |names: &[&str]| operators.iter().any(|operator| names.contains(operator));
    let bits = any(&["&", "|", "^"]) && operators.iter().any(|operator| operator != &operators[0]);
    let compared = |operator: &&str| ["<", ">", "<=", ">=", "==", "!="].contains(operator);
    let joined = |operator: &&str| ["&&", "||"].contains(operator);
    let shifts = operators
        .split(|operator| compared(operator) || joined(operator))
        .any(|operands| operands.len() > 1 && operands.iter().any(|operator| ["<<", ">>"].contains(operator)));
    let comparisons = operators.split(joined).any(|part| part.iter().filter(|operator| compared(operator)).count() > 1);
    bits || shifts || comparisons || (any(&["&&"]) && any(&["||"]))
}

/// The first line that makes a float of a constant's bits: if they are those of infinity or NaN, the grammar refuses it.
fn constant_bits(text: &str) -> Option<&str> {
    let is_constant = |argument: &str| {
        let name = argument.split(')').next().unwrap_or_default();
        let named = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        named || name.starts_with("0x")
    };
    text.lines().find(|line| {
        let mut bits = line.split("bitcast<").skip(1).filter_map(|cast| cast.split_once(">("));
        bits.any(|(_, argument)| is_constant(argument))
    })
}

/// Browsers compile WGSL by the letter.
#[test]
fn files_keep_to_the_grammar() {
    let mut folders: Vec<_> =
        ["shaders", "examples"].map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).into();
    let mut files = 0;
    let mut loose = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "wgsl") {
                continue;
            }
            files += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            loose.extend(
                loose_operator(&text).map(|(line, operators)| format!("{}:{line}: {operators}", path.display())),
            );
            loose.extend(constant_bits(&text).map(|line| format!("{}: {line}", path.display())));
        }
    }
    assert!(files > 100, "{files}");
    assert!(loose.is_empty(), "{}", loose.join("\n"));
}

#[test]
fn what_the_grammar_refuses_is_found() {
    for text in [
        "let a = b >> c & 1u;",
        "let a = b | c << 2u;",
        "f(a << 24u >> 24u);",
        "x = word >> 8u * at;",
        "if a & b == c {",
        "return a && b || c;",
        "let a = b & c | d;",
    ] {
        assert!(loose_operator(text).is_some(), "{text}");
    }
    for text in [
        "let a = (b >> c) & 1u;",
        "a |= (b | (c << 2u)) << (4u * at);",
        "if a << 2u < b && !(c == -d) {",
        "let a = bitcast<vec4<u32>>(b) & c & d; // a | b & c",
        "for (var i = 0u; i < 4u; i++) { x += a[i] * -b + c[i % 2u]; }",
        "var<storage, read> data: array<vec4<f32>>;",
        "atomicAdd(&counts[(word >> shift) & (DIGITS - 1u)], 1u);",
        "fn f(p: ptr<function, u32>) -> vec4<f32> { return vec4<f32>(f32(*p)); }",
    ] {
        assert_eq!(loose_operator(text), None, "{text}");
    }
    assert!(constant_bits("let x = vec4(bitcast<f32>(NOTHING));").is_some());
    assert_eq!(constant_bits("let x = bitcast<vec4<f32>>(nothing) + bitcast<f32>(a[MOST]);"), None);
}
