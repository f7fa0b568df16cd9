//! Timing where it is not straight: errors, panics, nesting, threads, devices without timestamps, long recordings.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;

use common::device as first;
use tilewise::{Error, Gpu, HostDevice, Tensor, Timings, wgpu};

/// A device of the test's own: others' dispatches would be timed too.
fn device() -> Option<Gpu> {
    first().map(|gpu| Gpu::builder().adapter_name(&gpu.profile().name).build().unwrap())
}

fn square(gpu: &Gpu) -> Tensor<f32> {
    gpu.tensor(&[8, 8], &[1.0f32; 64]).unwrap()
}

/// So many products.
fn work(gpu: &Gpu, a: &Tensor<f32>, times: usize) -> Result<(), Error> {
    (0..times).try_for_each(|_| gpu.matmul(a, a).map(drop))
}

#[track_caller]
fn counts(timings: &Timings, dispatches: usize, timed: bool) {
    assert_eq!(timings.spans.len(), dispatches);
    assert!(timings.spans.iter().all(|span| span.op == "matmul" && span.duration_ns.is_some() == timed));
    assert_eq!(timings.total_ms().is_some(), timed && dispatches > 0);
}

fn has_timestamps(gpu: &Gpu) -> bool {
    gpu.profile().features.contains(wgpu::Features::TIMESTAMP_QUERY)
}

#[test]
fn an_error_of_the_closure_is_passed_on_and_timing_ends() {
    let Some(gpu) = device() else { return };
    let a = square(&gpu);
    let error = gpu
        .timed(|gpu| {
            work(gpu, &a, 2)?;
            gpu.matmul(&a, &a.reshape(&[64])?)
        })
        .unwrap_err();
    assert_eq!(error.to_string(), "matmul: inner dimensions of a [8, 8] and b [64] differ");
    // What was recorded still runs, and the next timing counts its own.
    let (_, timings) = gpu.timed(|gpu| work(gpu, &a, 3)).unwrap();
    counts(&timings, 3, has_timestamps(&gpu));
}

#[test]
fn a_panic_of_the_closure_ends_the_timing() {
    let Some(gpu) = device() else { return };
    let a = square(&gpu);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        gpu.timed(|gpu| -> Result<(), Error> {
            work(gpu, &a, 2)?;
            panic!("the closure's own");
        })
    }));
    assert!(outcome.is_err());
    let (_, timings) = gpu.timed(|gpu| work(gpu, &a, 1)).unwrap();
    counts(&timings, 1, has_timestamps(&gpu));
    assert_eq!(gpu.download(&gpu.matmul(&a, &a).unwrap()).unwrap(), [8.0; 64]);
}

#[test]
fn nothing_to_time() {
    let Some(gpu) = device() else { return };
    let (value, timings) = gpu.timed(|_| Ok(7)).unwrap();
    assert_eq!(value, 7);
    counts(&timings, 0, false);
    assert!(timings.kernels().is_empty());
}

#[test]
fn nested_timings_count_for_both() {
    let Some(gpu) = device() else { return };
    let (a, timed) = (square(&gpu), has_timestamps(&gpu));
    let (inner, outer) = gpu
        .timed(|gpu| {
            work(gpu, &a, 2)?;
            let (_, inner) = gpu.timed(|gpu| work(gpu, &a, 3))?;
            work(gpu, &a, 4)?;
            Ok(inner)
        })
        .unwrap();
    counts(&inner, 3, timed);
    counts(&outer, 9, timed);
}

#[test]
fn two_threads_time_at_once() {
    let Some(gpu) = device() else { return };
    let timed = has_timestamps(&gpu);
    let barrier = Barrier::new(2);
    let run = |times: usize| {
        let a = square(&gpu);
        let (_, timings) = gpu
            .timed(|gpu| {
                barrier.wait();
                work(gpu, &a, times)?;
                gpu.submit()?;
                barrier.wait();
                Ok(())
            })
            .unwrap();
        timings
    };
    std::thread::scope(|scope| {
        let (first, second) = (scope.spawn(|| run(5)), scope.spawn(|| run(6)));
        // All was submitted while both were timing.
        counts(&first.join().unwrap(), 11, timed);
        counts(&second.join().unwrap(), 11, timed);
    });
}

#[test]
fn without_timestamps_the_table_says_untimed() {
    let Some(own) = first() else { return };
    let name = &own.profile().name;
    let gpu = Gpu::builder().adapter_name(name).without_features(wgpu::Features::TIMESTAMP_QUERY).build().unwrap();
    assert!(!has_timestamps(&gpu));
    let a = square(&gpu);
    let (_, timings) = gpu.timed(|gpu| work(gpu, &a, 3)).unwrap();
    counts(&timings, 3, false);
    assert_eq!(timings.kernels()[0].ms, None);
    assert!(timings.to_string().lines().nth(1).unwrap().ends_with("untimed"), "{timings}");
}

#[test]
fn more_dispatches_in_one_submission_than_a_query_set_holds() {
    let Some(own) = device() else { return };
    let (device, queue) = (own.device().unwrap().clone(), own.queue().unwrap().clone());
    // On a host's device nothing is submitted before the host says so.
    let gpu = Gpu::from_wgpu(HostDevice { device, queue, adapter: None, pipeline_cache: None });
    let a = square(&gpu);
    let mut c = gpu.empty::<f32>(&[8, 8]).unwrap();
    let plan = tilewise::Op::plan(&tilewise::Matmul::default(), gpu.profile(), &[a.layout(), a.layout()]).unwrap();
    let (_, timings) = gpu.timed(|gpu| (0..2100).try_for_each(|_| gpu.run(&plan, &[&a, &a], &mut [&mut c]))).unwrap();
    counts(&timings, 2100, has_timestamps(&gpu));
}

#[test]
fn a_device_lost_while_timing_is_an_error() {
    let Some(gpu) = device() else { return };
    let a = square(&gpu);
    let error = gpu
        .timed(|gpu| {
            work(gpu, &a, 2)?;
            gpu.device().unwrap().destroy();
            Ok(())
        })
        .unwrap_err();
    assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
    assert!(matches!(gpu.timed(|_| Ok(())), Err(Error::DeviceLost { .. })));
}
