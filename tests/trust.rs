//! Fast kernels have to earn trust on each device: those that a device gets wrong are found out and replaced.

mod common;

use std::path::PathBuf;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread::sleep;
use std::time::Duration;

use common::{DIRECT, integers, with_profile};
use tilewise::reference::{HostTensor, Random};
use tilewise::verify;
use tilewise::{
    ContractionBody, ContractionVariant, DType, DeviceProfile, Error, Gpu, HostDevice, Layout, Matmul, Op, Program,
    Softmax, Tensor, wgpu,
};

/// A device of its own on the first adapter with subgroups of one size, and that size.
fn open(folder: Option<PathBuf>) -> Option<(Gpu, u32)> {
    let devices = verify::devices().iter().enumerate();
    let mut usable = devices.filter(|(_, gpu)| !gpu.is_emulated() && common::broadcast(gpu).is_some());
    let (index, gpu) = usable.next()?;
    let lanes = gpu.profile().subgroup_size.0;
    // Poisoned, so that what a wrong kernel leaves out does not hold a right result of before.
    let gpu = Gpu::builder().adapter_index(index).cache_folder(folder).poison(true).build().unwrap();
    Some((gpu, lanes))
}

const fn broadcast(lanes: u32) -> ContractionVariant {
    ContractionVariant {
        body: ContractionBody::Broadcast,
        lanes: (lanes, 1),
        per_lane: (6, 8),
        step: 4,
        parts: 1,
        winograd: 0,
    }
}

/// The device as if its subgroups were twice as large: the broadcast body then takes two subgroups for one, which is wrong.
fn mistaken(gpu: &Gpu, lanes: u32) -> Gpu {
    with_profile(gpu, |profile| {
        profile.subgroup_size = (2 * lanes, 2 * lanes);
        profile.contractions = vec![broadcast(2 * lanes), DIRECT];
    })
}

fn operands(gpu: &Gpu) -> (Tensor<f32>, Tensor<f32>, HostTensor) {
    let mut random = Random::new(7);
    let (a, b) = (integers(&mut random, &[20, 40]), integers(&mut random, &[40, 80]));
    let mut product = vec![0.0f64; 20 * 80];
    for (i, sum) in product.iter_mut().enumerate() {
        *sum = (0..40).map(|k| a.at(i / 80 * 40 + k) * b.at(k * 80 + i % 80)).sum();
    }
    let upload = |host: &HostTensor| {
        let elements: Vec<f32> = (0..host.len()).map(|i| host.at(i) as f32).collect();
        gpu.tensor(&host.shape, &elements).unwrap()
    };
    let product: Vec<f32> = product.into_iter().map(|x| x as f32).collect();
    (upload(&a), upload(&b), HostTensor::new(&[20, 80], &product).unwrap())
}

/// The device as a host's, on which nothing goes on by itself.
fn host(own: &Gpu, subgroup: u32) -> Gpu {
    let (device, queue) = (own.device().unwrap().clone(), own.queue().unwrap().clone());
    let host = Gpu::from_wgpu(HostDevice { device, queue, adapter: None, pipeline_cache: None });
    with_profile(&host, |profile| {
        profile.features = own.profile().features;
        profile.subgroup_size = (subgroup, subgroup);
        profile.contractions = vec![broadcast(subgroup), DIRECT];
    })
}

/// What comes of a future that a host polls, on any of its threads, while it drives its device.
fn driven<T>(host: &Gpu, future: impl Future<Output = T> + Send) -> T {
    let (mut future, mut context) = (pin!(future), Context::from_waker(Waker::noop()));
    // Until the host drives its device, the future neither blocks nor gets on.
    for _ in 0..8 {
        assert!(future.as_mut().poll(&mut context).is_pending());
        sleep(Duration::from_millis(10));
    }
    loop {
        host.device().unwrap().poll(wgpu::PollType::Poll).unwrap();
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

fn right(gpu: &Gpu, a: &Tensor<f32>, b: &Tensor<f32>, expected: &HostTensor) -> bool {
    let found = gpu.download(&gpu.matmul(a, b).unwrap()).unwrap();
    found.iter().enumerate().all(|(i, &x)| f64::from(x) == expected.at(i))
}

fn layouts() -> [Layout; 2] {
    [Layout::new(&[20, 40], DType::F32), Layout::new(&[40, 80], DType::F32)]
}

/// A folder of the test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tilewise-trust-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Folder(path)
    }

    /// Its files of a kind.
    fn files(&self, kind: &str) -> Vec<PathBuf> {
        let files = std::fs::read_dir(&self.0).into_iter().flatten().map(|file| file.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == kind)).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_kernel_that_a_device_gets_wrong_is_banned_and_the_next_takes_over() {
    let Some((gpu, lanes)) = open(None) else { return eprintln!("no adapter with subgroups of one size") };
    let wrong = mistaken(&gpu, lanes);
    let (a, b, expected) = operands(&wrong);
    // By hand nothing is checked: the kernel really is wrong.
    let plan = Matmul::default().plan(wrong.profile(), &layouts()).unwrap();
    assert!(plan.variant.starts_with("contraction/broadcast"), "{plan}");
    let mut c = wrong.empty::<f32>(&[20, 80]).unwrap();
    wrong.run(&plan, &[&a, &b], &mut [&mut c]).unwrap();
    assert!(gpu.download(&c).unwrap().iter().enumerate().any(|(i, &x)| f64::from(x) != expected.at(i)));
    let plan = wrong.plan(&Matmul::default(), &layouts()).unwrap();
    assert!(plan.variant.starts_with("contraction/direct"), "{plan}");
    assert!(right(&wrong, &a, &b, &expected));
    let profile = wrong.check(&[(&Matmul::default(), &layouts())]).unwrap();
    assert_eq!(profile.learnt.verdicts(), (0, 1));
    let plan = Matmul::default().plan(&profile, &layouts()).unwrap();
    assert!(plan.variant.starts_with("contraction/direct"), "{plan}");
    assert!(plan.passed_over[0].ends_with("failed its check on this device"), "{:?}", plan.passed_over);
    // Programs are built of what is right, too.
    let mut build = Program::builder(&wrong);
    let (x, w) = (build.input(&[20, 40], DType::F32), build.constant(&b));
    let y = build.op(&Matmul::default(), &[x, w]).unwrap();
    build.output(y).unwrap();
    let out = build.compile().unwrap().run(&[&a]).unwrap().swap_remove(0).typed::<f32>().unwrap();
    assert!(gpu.download(&out).unwrap().iter().enumerate().all(|(i, &x)| f64::from(x) == expected.at(i)));
}

#[test]
fn with_nothing_else_left_the_error_says_so() {
    let Some((gpu, lanes)) = open(None) else { return };
    let wrong = with_profile(&mistaken(&gpu, lanes), |profile| profile.contractions.truncate(1));
    let (a, b, _) = operands(&gpu);
    let error = wrong.matmul(&a, &b).map(drop).unwrap_err();
    assert!(matches!(error, Error::Untrusted { op: "matmul", .. }), "{error}");
    assert!(error.to_string().ends_with("failed its check on this device"), "{error}");
}

#[test]
fn verdicts_outlive_the_device_and_damaged_files_do_not_matter() {
    let folder = Folder::new("cache");
    let Some((gpu, lanes)) = open(Some(folder.0.clone())) else { return };
    let (good, wrong) =
        (with_profile(&gpu, |profile| profile.contractions = vec![broadcast(lanes)]), mistaken(&gpu, lanes));
    let (a, b, expected) = operands(&gpu);
    assert!(right(&good, &a, &b, &expected) && right(&wrong, &a, &b, &expected));
    let files = folder.files("learnt");
    let [file] = &files[..] else { panic!("{files:?}") };
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(" passed\n") && text.contains(" failed\n"), "{text}");
    let verdicts = |gpu: &Gpu| gpu.check(&[]).unwrap().learnt.verdicts();
    let again = open(Some(folder.0.clone())).unwrap().0;
    assert_eq!(verdicts(&again), (1, 1));
    for damaged in [text.replace("passed", "perhaps"), String::new(), format!("another\n{text}")] {
        std::fs::write(file, damaged).unwrap();
        let again = open(Some(folder.0.clone())).unwrap().0;
        assert_eq!(verdicts(&again), (0, 0));
        let (a, b, expected) = operands(&again);
        assert!(right(&mistaken(&again, lanes), &a, &b, &expected));
        assert!(std::fs::read_to_string(file).unwrap().ends_with(" failed\n"));
    }
    assert_eq!(folder.files("learnt").len(), 1);
}

#[test]
fn compiled_pipelines_are_kept_and_damaged_files_do_not_matter() {
    let folder = Folder::new("pipelines");
    let Some((gpu, _)) = open(Some(folder.0.clone())) else { return };
    if !gpu.profile().features.contains(wgpu::Features::PIPELINE_CACHE) {
        return eprintln!("the device has no pipeline cache");
    }
    let op = Matmul::default();
    let plan = op.plan(gpu.profile(), &layouts()).unwrap();
    gpu.warm_up(&[&plan], |_, _| ()).unwrap();
    let files = folder.files("pipelines");
    let [file] = &files[..] else { panic!("{files:?}") };
    let whole = std::fs::read(file).unwrap();
    let (a, b, expected) = operands(&gpu);
    assert!(right(&gpu, &a, &b, &expected));
    for contents in [&whole[..], &whole[..whole.len() - 1], b"", b"another"] {
        std::fs::write(file, contents).unwrap();
        let again = open(Some(folder.0.clone())).unwrap().0;
        let (a, b, expected) = operands(&again);
        assert!(right(&again, &a, &b, &expected));
        drop((a, b, again));
        assert_eq!(std::fs::read(file).unwrap(), whole, "written when the device goes");
    }
}

#[test]
fn on_a_host_s_device_fast_kernels_wait_for_a_check() {
    let Some((own, lanes)) = open(None) else { return };
    let host = host(&own, lanes);
    let plan = |profile: &DeviceProfile| Matmul::default().plan(profile, &layouts()).unwrap();
    let before = plan(host.profile());
    assert!(before.variant.starts_with("contraction/direct"), "{before}");
    assert!(before.passed_over[0].contains("Gpu::check"), "{:?}", before.passed_over);
    let checked = host.check(&[(&Matmul::default(), &layouts())]).unwrap();
    assert_eq!(checked.learnt.verdicts(), (1, 0));
    assert!(plan(&checked).variant.starts_with("contraction/broadcast"));
    let (a, b, expected) = operands(&host);
    assert!(right(&host.with_profile(checked), &a, &b, &expected));
}

#[test]
fn a_host_that_may_not_block_drives_the_check() {
    let Some((own, lanes)) = open(None) else { return };
    let op = Matmul::default();
    for (subgroup, verdicts, variant) in
        [(lanes, (1, 0), "contraction/broadcast"), (2 * lanes, (0, 1), "contraction/direct")]
    {
        let host = host(&own, subgroup);
        let checked = driven(&host, host.check_async(&[(&op, &layouts())])).unwrap();
        assert_eq!(checked.learnt.verdicts(), verdicts);
        let plan = op.plan(&checked, &layouts()).unwrap();
        assert!(plan.variant.starts_with(variant), "{plan}");
        let (a, b, expected) = operands(&host);
        assert!(right(&host.with_profile(checked.clone()), &a, &b, &expected));
        // What is known is not run again: there is nothing to wait for.
        let again = pollster::block_on(host.check_async(&[(&op, &layouts())])).unwrap();
        assert_eq!(again, checked);
    }
}

#[test]
fn a_check_that_waits_is_told_of_a_lost_device() {
    let Some((own, lanes)) = open(None) else { return };
    let host = host(&own, lanes);
    let (op, layouts) = (Matmul::default(), layouts());
    let cases: [(&dyn Op, &[Layout]); 1] = [(&op, &layouts)];
    let (mut check, mut context) = (pin!(host.check_async(&cases)), Context::from_waker(Waker::noop()));
    assert!(check.as_mut().poll(&mut context).is_pending());
    host.notify_lost("unplugged");
    let Poll::Ready(outcome) = check.poll(&mut context) else { panic!("still waiting") };
    assert_eq!(outcome.unwrap_err(), Error::DeviceLost { reason: "unplugged".into() });
    assert_eq!(host.check(&[]).unwrap().learnt.verdicts(), (0, 0));
}

#[test]
fn a_check_that_does_not_block_comes_to_the_same_verdicts() {
    let Some((gpu, lanes)) = open(None) else { return };
    let (op, layouts) = (Matmul::default(), layouts());
    let cases: [(&dyn Op, &[Layout]); 1] = [(&op, &layouts)];
    let wrong = pollster::block_on(mistaken(&gpu, lanes).check_async(&cases)).unwrap();
    let other = open(None).unwrap().0;
    assert_eq!(wrong, mistaken(&other, lanes).check(&cases).unwrap());
    assert_eq!(wrong.learnt.verdicts(), (0, 1));
}

#[test]
fn a_kernel_that_a_device_refuses_is_banned_too() {
    let Some((own, lanes)) = open(None) else { return };
    let name = &own.profile().name;
    let without = Gpu::builder().adapter_name(name).without_features(wgpu::Features::SUBGROUP).cache_folder(None);
    let lesser = with_profile(&without.build().unwrap(), |profile| {
        profile.features |= wgpu::Features::SUBGROUP;
        profile.contractions = vec![broadcast(lanes), DIRECT];
    });
    let (a, b, expected) = operands(&lesser);
    assert!(right(&lesser, &a, &b, &expected));
    assert_eq!(lesser.check(&[]).unwrap().learnt.verdicts(), (0, 1));
}

#[test]
fn without_the_check_nothing_is_run_but_what_was_asked_for() {
    let Some((own, lanes)) = open(None) else { return };
    let name = &own.profile().name;
    let gpu = Gpu::builder().adapter_name(name).self_check(false).cache_folder(None).build().unwrap();
    let (a, b, expected) = operands(&gpu);
    assert!(!right(&mistaken(&gpu, lanes), &a, &b, &expected));
}

#[test]
fn tuning_finds_a_fast_variant_and_keeps_it() {
    let folder = Folder::new("tune");
    let Some((gpu, _)) = open(Some(folder.0.clone())) else { return };
    // One element an invocation comes first by force; anything is faster.
    let slow = with_profile(&gpu, |profile| profile.contractions = vec![common::SMALLEST]);
    let op = Matmul::default();
    let layouts = [Layout::new(&[160, 192], DType::F32), Layout::new(&[192, 160], DType::F32)];
    let variant = |profile: &DeviceProfile| op.plan(profile, &layouts).unwrap().variant.clone();
    let before = variant(slow.profile());
    let tuned = slow.tune(&[(&op, &layouts)], Duration::from_millis(300)).unwrap();
    assert_eq!(tuned.learnt.choices(), 1);
    // Forced variants stay forced; the family's own give way.
    let free = DeviceProfile { contractions: Vec::new(), ..tuned };
    let plan = op.plan(&free, &layouts).unwrap();
    assert!(plan.variant != before && plan.why.contains("tuned"), "{plan}");
    // Another shape was not tuned.
    let other = op.plan(&free, &[layouts[1].clone(), layouts[0].clone()]).unwrap();
    assert!(!other.why.contains("tuned"), "{other}");
    let again = open(Some(folder.0.clone())).unwrap().0;
    assert_eq!(variant(again.profile()), plan.variant);
    let mut random = Random::new(3);
    let inputs = [integers(&mut random, &[160, 192]), integers(&mut random, &[192, 160])];
    verify::op(&again, &op, &inputs).unwrap().assert_strict();
}

#[test]
fn a_host_that_may_not_block_drives_the_tuning() {
    let Some((own, lanes)) = open(None) else { return };
    let (op, name) = (Matmul::default(), &own.profile().name);
    let layouts = [Layout::new(&[160, 192], DType::F32), Layout::new(&[192, 160], DType::F32)];
    let without = Gpu::builder().adapter_name(name).without_features(wgpu::Features::TIMESTAMP_QUERY);
    // By the device's clock, and by the host's.
    for own in [own.clone(), without.cache_folder(None).build().unwrap()] {
        let host = host(&own, lanes);
        let tuned = driven(&host, host.tune_async(&[(&op, &layouts)], Duration::from_millis(200))).unwrap();
        assert_eq!(tuned.learnt.choices(), 1);
        let free = DeviceProfile { contractions: Vec::new(), ..tuned };
        let plan = op.plan(&free, &layouts).unwrap();
        assert!(plan.why.contains("tuned"), "{plan}");
        let mut random = Random::new(3);
        let inputs = [integers(&mut random, &[160, 192]), integers(&mut random, &[192, 160])];
        verify::op(&host.with_profile(free), &op, &inputs).unwrap().assert_strict();
    }
}

#[test]
fn a_frozen_profile_learns_nothing() {
    let Some((gpu, lanes)) = open(None) else { return };
    let wrong = mistaken(&gpu, lanes);
    let frozen = wrong.with_profile(wrong.profile().clone().frozen());
    let (a, b, expected) = operands(&gpu);
    assert!(!right(&frozen, &a, &b, &expected));
    assert!(right(&wrong, &a, &b, &expected));
    assert!(!right(&frozen, &a, &b, &expected));
}

#[test]
fn reductions_by_a_subgroup_are_checked_too() {
    let Some((gpu, _)) = open(None) else { return };
    let op = Softmax { dim: 1 };
    let layouts = [Layout::new(&[256, 256], DType::F32)];
    let by_a_subgroup = op.plan(gpu.profile(), &layouts).unwrap().variant.contains("subgroup");
    let profile = gpu.check(&[(&op, &layouts)]).unwrap();
    assert_eq!(profile.learnt.verdicts(), (by_a_subgroup.into(), 0));
}
