//! Which adapter is opened: by the builder, by wgpu's variables, and the builder's word before the variables'.
//!
//! Variables belong to the process, so each case runs in a process of its own: this binary again, with one test to run.

mod common;

use std::process::Command;

use common::device;
use tilewise::verify::devices;
use tilewise::{Error, Gpu, GpuBuilder, wgpu};

const VARIABLES: [&str; 3] = ["WGPU_BACKEND", "WGPU_ADAPTER_NAME", "WGPU_POWER_PREF"];

/// How the child opens a device.
fn builder(how: &str) -> GpuBuilder {
    match how.split_once(':') {
        Some(("name", name)) => Gpu::builder().adapter_name(name),
        Some(("index", index)) => Gpu::builder().adapter_index(index.parse().unwrap()),
        Some(("power", "low")) => Gpu::builder().power_preference(wgpu::PowerPreference::LowPower),
        Some(("power", _)) => Gpu::builder().power_preference(wgpu::PowerPreference::HighPerformance),
        _ => Gpu::builder(),
    }
}

/// Not a test but the child: opens a device as it is told, and prints what came of it.
#[test]
fn child() {
    let Ok(how) = std::env::var("TILEWISE_TEST_OPEN") else { return };
    let opened = builder(&how).build();
    println!("\nfound: {}", Gpu::adapters().len());
    match opened {
        Ok(gpu) => println!("opened: {}", gpu.profile().name),
        Err(error) => println!("refused: {error}"),
    }
}

/// What came of it in a process with these variables and no others of wgpu's: number of adapters, and the outcome.
fn outcome(how: &str, variables: &[(&str, &str)]) -> (usize, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env("TILEWISE_TEST_OPEN", how);
    for name in VARIABLES {
        command.env_remove(name);
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{how} {variables:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    let after = |prefix: &str| text.lines().find_map(|line| line.strip_prefix(prefix).map(str::to_owned));
    let found = after("found: ").unwrap().parse().unwrap();
    (found, after("opened: ").or_else(|| after("refused: ")).unwrap())
}

/// The name of the first adapter.
fn name() -> Option<&'static str> {
    device().map(|gpu| gpu.profile().name.as_str())
}

#[test]
fn the_best_adapter_without_any_word() {
    let Some(_) = name() else { return };
    let (found, opened) = outcome("", &[]);
    assert!(found >= 1 && devices().iter().any(|gpu| gpu.profile().name == opened), "{opened}");
    // Empty variables say nothing.
    assert_eq!(outcome("", &VARIABLES.map(|name| (name, ""))), (found, opened));
}

#[test]
fn the_backend_of_the_variable_narrows_the_search() {
    let Some(gpu) = device() else { return };
    let backend = gpu.profile().backend.as_str();
    let (found, _) = outcome("", &[("WGPU_BACKEND", backend)]);
    assert!(found >= 1, "{backend}");
    // No system has both.
    let missing = if backend == "metal" { "dx12" } else { "metal" };
    for how in ["", "index:0", "power:low"] {
        let (found, refused) = outcome(how, &[("WGPU_BACKEND", missing)]);
        assert_eq!(found, 0);
        assert!(refused.starts_with("no adapter for ") && refused.ends_with("; found: none"), "{refused}");
    }
}

#[test]
fn the_name_of_the_variable() {
    let Some(name) = name() else { return };
    let part = name.split(' ').next().unwrap().to_uppercase();
    assert!(outcome("", &[("WGPU_ADAPTER_NAME", &part)]).1.to_uppercase().contains(&part));
    let (_, refused) = outcome("", &[("WGPU_ADAPTER_NAME", "no such")]);
    assert!(refused.starts_with("no adapter for the name \"no such\"; found: "), "{refused}");
    // A name comes before a preference.
    let (_, refused) = outcome("power:low", &[("WGPU_ADAPTER_NAME", "no such")]);
    assert!(refused.starts_with("no adapter for the name \"no such\"; found: "), "{refused}");
}

#[test]
fn the_builders_adapter_wins_over_the_variables_name() {
    let Some(name) = name() else { return };
    let variable = [("WGPU_ADAPTER_NAME", "no such")];
    assert_eq!(outcome("index:0", &variable).1, name);
    assert_eq!(outcome(&format!("name:{name}"), &variable).1, name);
    // And the other way round.
    let (_, refused) = outcome("name:another", &[("WGPU_ADAPTER_NAME", name)]);
    assert!(refused.starts_with("no adapter for the name \"another\"; found: "), "{refused}");
}

#[test]
fn the_power_preference_of_the_variable_and_of_the_builder() {
    let Some(_) = name() else { return };
    for preference in ["low", "high", "none", "nonsense"] {
        let variable = [("WGPU_POWER_PREF", preference)];
        let by_variable = outcome("", &variable).1;
        assert!(devices().iter().any(|gpu| gpu.profile().name == by_variable), "{by_variable}");
        // The builder's word gives the same whatever the variable says.
        for how in ["power:low", "power:high"] {
            assert_eq!(outcome(how, &variable), outcome(how, &[]), "{how} {preference}");
        }
    }
    assert_eq!(outcome("", &[("WGPU_POWER_PREF", "low")]), outcome("power:low", &[]));
    assert_eq!(outcome("", &[("WGPU_POWER_PREF", "high")]), outcome("power:high", &[]));
}

#[test]
fn required_features_and_features_to_do_without() {
    let Some(own) = device() else { return };
    let offered = own.device().unwrap().features();
    let Some(feature) = (offered & !wgpu::Features::IMMEDIATES).iter().next() else { return };
    let gpu = Gpu::builder().adapter_index(0).required_features(feature).build().unwrap();
    assert!(gpu.device().unwrap().features().contains(feature) && gpu.profile().features.contains(feature));
    let gpu = Gpu::builder().adapter_index(0).without_features(offered).build().unwrap();
    assert!(!gpu.device().unwrap().features().intersects(offered), "{:?}", gpu.device().unwrap().features());
    // By number and by name as well, an adapter that lacks a feature is not taken.
    for builder in [Gpu::builder().adapter_index(0), Gpu::builder().adapter_name(&own.profile().name)] {
        let error = builder.required_features(wgpu::Features::all()).build().unwrap_err();
        assert!(matches!(&error, Error::NoAdapter { wanted, .. } if wanted.contains(" with Features")), "{error}");
    }
    let error = Gpu::builder().required_features(feature).without_features(feature).build().unwrap_err();
    assert_eq!(error.to_string(), format!("builder: without_features = {feature:?}: must not hold what is required"));
}

#[test]
fn a_memory_cap_holds_for_all_clones() {
    if device().is_none() {
        return;
    }
    let gpu = Gpu::builder().memory_limit(4096).build().unwrap();
    let other = gpu.clone();
    let _held = gpu.empty::<f32>(&[768]).unwrap();
    assert!(matches!(other.empty::<f32>(&[768]), Err(Error::OutOfMemory { cap: Some(4096), in_use: 3072, .. })));
    assert_eq!(gpu.stats().live_bytes, 3072);
}
