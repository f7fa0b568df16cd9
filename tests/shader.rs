//! Anyone's shader on the emulator: what is refused, with which words, and what comes back.
#![cfg(feature = "emulator")]

use tilewise::Error;
use tilewise::emulator::{BindingData, Contents, EmulatorOptions, FindingKind, Ran, Run, Shader};

const SCALE: &str = "
override BY: f32 = 2.0;
var<immediate> plus: f32;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(4)
fn scale(@builtin(global_invocation_id) id: vec3u) {
    if id.x < arrayLength(&y) {
        y[id.x] = BY * x[id.x] + plus;
    }
}
@compute @workgroup_size(1024)
fn wide() {}
";

fn run() -> Run {
    let bindings = ["0.0=f32x6:ramp", "0.3=f32x6:poison"].map(|text| text.parse().unwrap()).into();
    Run { bindings, immediates: 1.0f32.to_le_bytes().into(), ..Run::new("scale", [2, 1, 1]) }
}

fn refused(run: &Run) -> String {
    Shader::new(SCALE).unwrap().run(run).unwrap_err().to_string()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn what_comes_back_is_what_was_bound_changed_by_the_kernel() {
    let ran = Shader::new(SCALE).unwrap().run(&run()).unwrap();
    let expected = vec![floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), floats(&[1.0, 3.0, 5.0, 7.0, 9.0, 11.0])];
    assert_eq!(ran, Ran { findings: vec![], bindings: expected, complete: true });
    let overrides = [("BY".to_string(), -1.0)].into();
    let ran = Shader::new(SCALE).unwrap().run(&Run { overrides, ..run() }).unwrap();
    assert_eq!(ran.bindings[1], floats(&[1.0, 0.0, -1.0, -2.0, -3.0, -4.0]));
    // With a side of 0 nothing runs.
    let poison = run().bindings[1].bytes.clone();
    let ran = Shader::new(SCALE).unwrap().run(&Run { grid: [2, 0, 1], ..run() }).unwrap();
    assert_eq!((ran.findings.len(), &ran.bindings[1], ran.complete), (0, &poison, true));
}

#[test]
fn a_dispatch_that_does_not_fit_the_shader_is_refused() {
    let with = |change: &dyn Fn(&mut Run)| {
        let mut run = run();
        change(&mut run);
        refused(&run)
    };
    let says = |change: &dyn Fn(&mut Run), text: &str| assert_eq!(with(change), text);
    says(
        &|run| run.entry = "main".into(),
        "main: no compute entry point has this name; there are [\"scale\", \"wide\"]",
    );
    says(&|run| drop(run.bindings.remove(1)), "scale: `y` at group 0, binding 3 has nothing bound");
    says(
        &|run| run.bindings[1].binding = 1,
        "scale: the shader declares nothing at group 0, binding 1; it has 0.0, 0.3",
    );
    says(&|run| run.bindings[1].binding = 0, "scale: group 0, binding 0 is bound twice");
    says(&|run| run.bindings[0].bytes.truncate(5), "scale: group 0, binding 0 has 5 bytes, which are no whole words");
    says(&|run| run.bindings[0].bytes.clear(), "scale: `x` at group 0, binding 0 needs 4 bytes, it has 0");
    says(&|run| run.immediates.clear(), "scale: `plus` at the immediates needs 4 bytes, it has 0");
    says(
        &|run| run.immediates.resize(132, 0),
        "scale: needs max_immediate_size = 132, the device has 128; raise the limit in the options",
    );
    says(
        &|run| run.grid[1] = 65_536,
        "scale: needs max_compute_workgroups_per_dimension = 65536, the device has 65535; raise the limit in the options",
    );
    assert!(with(&|run| run.entry = "wide".into()).contains("max_compute_invocations_per_workgroup"));
    says(&|run| run.options.threads = 0, "emulator: threads = 0: must be at least 1");
    let error = with(&|run| run.overrides = [("BY".to_string(), f64::INFINITY)].into());
    assert!(error.starts_with("scale: overrides: "), "{error}");
}

#[test]
fn text_that_is_not_valid_is_refused_with_its_place() {
    let place = |text: &str| match Shader::named("it.wgsl", text).unwrap_err() {
        Error::Wgsl { name, line, column, report, .. } => {
            assert!(name == "it.wgsl" && report.contains("it.wgsl"), "{report}");
            (line, column)
        }
        other => panic!("{other}"),
    };
    assert_eq!(place("fn f() {\n  let x = ;\n}"), (2, 11));
    // Valid to the parser, not to the validator.
    assert_eq!(place("fn f() -> u32 {\n  return 1.5f;\n}").0, 2);
    assert!(Shader::new("").unwrap().entries().is_empty());
}

#[test]
fn the_directive_of_browsers_is_passed_over_and_shifts_nothing() {
    let text = "// Two lines.\nenable subgroups; @group(0) @binding(0) var<storage, read_write> y: array<u32>;
        @compute @workgroup_size(4) fn main() { y[subgroupAdd(1u)] = 1u; }";
    let bindings = vec!["0.0=u32x4:zero".parse().unwrap()];
    let ran = Shader::new(text).unwrap().run(&Run { bindings, ..Run::new("main", [1, 1, 1]) }).unwrap();
    let found: Vec<_> = ran.findings.iter().map(|found| (found.kind, found.at.line, found.at.column)).collect();
    assert!(found.contains(&(FindingKind::OutOfBounds, 3, 49)), "{found:?}");
}

#[test]
fn what_is_not_supported_is_a_finding_with_its_line() {
    let text = "@group(0) @binding(0) var image: texture_2d<f32>;
        @compute @workgroup_size(1) fn main() {
            let size = textureDimensions(image);
        }";
    let ran = Shader::new(text).unwrap().run(&Run::new("main", [1, 1, 1])).unwrap();
    let found: Vec<_> = ran.findings.iter().map(|found| (found.kind, found.at.line)).collect();
    assert!(matches!(found[..], [(FindingKind::Unsupported, 1 | 3)]) && !ran.complete, "{:?}", ran.findings);
    assert!(ran.findings[0].message.contains("texture"), "{}", ran.findings[0]);
}

#[test]
fn what_nothing_wrote_is_found_only_where_the_contents_do_not_count_as_written() {
    let shader = Shader::new(SCALE).unwrap();
    let read_poison = |options: EmulatorOptions| {
        let bindings = vec!["0.0=f32x6:poison".parse().unwrap(), "0.3=f32x6:zero".parse().unwrap()];
        shader.run(&Run { bindings, options, ..run() }).unwrap()
    };
    let ran = read_poison(EmulatorOptions::default());
    assert_eq!((ran.findings.len(), ran.findings[0].kind), (1, FindingKind::Uninitialised));
    assert_eq!(read_poison(EmulatorOptions { sanitizer: false, ..Default::default() }).findings, []);
}

#[test]
fn contents_in_words() {
    let bytes = |text: &str| text.parse::<Contents>().unwrap().bytes;
    assert_eq!(bytes("i32x3:ramp"), [0, 1, 2].map(i32::to_le_bytes).concat());
    assert_eq!(bytes("f16x2:ramp"), [0, 0, 0x00, 0x3c]);
    assert_eq!(bytes("f16x2:poison"), [255; 4]);
    assert_eq!(bytes("u32x0:zero"), [0; 0]);
    let random = bytes("f32x100:random");
    let values: Vec<f32> = random.chunks(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect();
    assert!(values.iter().all(|value| (-1.0..1.0).contains(value)) && values.iter().any(|&value| value < 0.0));
    assert_eq!(random, bytes("f32x100:random"));
    let BindingData { group, binding, bytes, initialised } = "2.7=u32x1:zero".parse().unwrap();
    assert_eq!((group, binding, bytes, initialised), (2, 7, vec![0; 4], true));
}
