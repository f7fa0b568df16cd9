//! Pooling against its twin.

use tilewise::reference::{HostTensor, Random, Twin};
use tilewise::verify::{self, devices};
use tilewise::{
    AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, Class, DType, DeviceProfile, Error, Layout, MaxPool2d, Op,
};

fn floats(seed: u64, shape: &[usize]) -> HostTensor {
    HostTensor::new(shape, &Random::new(seed).floats(shape.iter().product())).unwrap()
}

#[track_caller]
fn check(op: &dyn Twin, input: &HostTensor, exact: bool) {
    for gpu in devices() {
        for report in verify::candidates(gpu, op, std::slice::from_ref(input)).unwrap() {
            report.assert_strict();
            assert!(!exact || report.exact_mismatches == 0, "{report}");
        }
    }
}

/// Kernel, stride, padding, dilation.
type Window = ([usize; 2], [usize; 2], [usize; 4], [usize; 2]);

/// Windows pairwise over what each side can be.
const WINDOWS: [Window; 8] = [
    ([2, 2], [2, 2], [0, 0, 0, 0], [1, 1]),
    ([3, 3], [2, 2], [1, 1, 1, 1], [1, 1]),
    ([3, 2], [1, 3], [0, 1, 2, 0], [2, 1]),
    ([1, 5], [2, 1], [0, 2, 0, 2], [1, 2]),
    ([5, 3], [3, 2], [2, 0, 1, 2], [1, 3]),
    ([1, 1], [1, 1], [0, 0, 0, 0], [1, 1]),
    ([4, 3], [3, 2], [3, 2, 0, 1], [1, 1]),
    ([11, 13], [1, 1], [0, 0, 0, 0], [1, 1]),
];

#[test]
fn maxima_and_their_indices() {
    for (kernel, stride, padding, dilation) in WINDOWS {
        for ceil_mode in [false, true] {
            for return_indices in [false, true] {
                let stride = Some(stride);
                let op = MaxPool2d { kernel, stride, padding, dilation, ceil_mode, return_indices };
                check(&op, &floats(1, &[2, 3, 11, 13]), true);
            }
        }
    }
}

#[test]
fn padding_never_wins_and_the_first_of_equals_stays() {
    let op =
        MaxPool2d { kernel: [3, 3], stride: Some([1, 1]), padding: [1; 4], return_indices: true, ..Default::default() };
    for value in [-1e30, f32::NEG_INFINITY, f32::NAN, f32::INFINITY] {
        check(&op, &HostTensor::new(&[1, 2, 5, 6], &[value; 60]).unwrap(), true);
    }
    let mut values = Random::new(2).floats(60);
    for at in [0, 17, 18, 45] {
        values[at] = f32::NAN;
    }
    check(&op, &HostTensor::new(&[1, 2, 5, 6], &values).unwrap(), true);
    // No integer is lower than what padding counts as.
    check(&op, &HostTensor::new(&[1, 2, 5, 6], &[i32::MIN; 60]).unwrap(), true);
    check(&op, &HostTensor::new(&[1, 2, 5, 6], &[0u32; 60]).unwrap(), true);
}

#[test]
fn means_by_every_divisor() {
    for (kernel, stride, padding, _) in WINDOWS.into_iter().filter(|window| window.3 == [1, 1]) {
        for ceil_mode in [false, true] {
            for (count_include_pad, divisor_override) in [(true, None), (false, None), (true, Some(7))] {
                let stride = Some(stride);
                let op = AvgPool2d { kernel, stride, padding, ceil_mode, count_include_pad, divisor_override };
                check(&op, &floats(3, &[1, 4, 11, 13]), false);
            }
        }
    }
}

#[test]
fn windows_that_share_the_plane() {
    for output in [[1, 1], [2, 3], [11, 13], [5, 7], [12, 1], [0, 3]] {
        check(&AdaptiveAvgPool2d { output }, &floats(4, &[2, 2, 11, 13]), false);
        for return_indices in [false, true] {
            check(&AdaptiveMaxPool2d { output, return_indices }, &floats(5, &[2, 2, 11, 13]), true);
        }
    }
}

#[test]
fn small_windows_slide_in_vectors_where_rows_are_whole_ones() {
    let same = MaxPool2d { kernel: [3, 3], stride: Some([1, 1]), padding: [1; 4], ..Default::default() };
    let half = MaxPool2d { stride: Some([2, 2]), ..same };
    let mean = AvgPool2d { kernel: [3, 3], stride: Some([1, 1]), padding: [1; 4], ..Default::default() };
    // Input and output rows of whole vectors, of neither, of the input's alone, of the output's alone; several runs of a row.
    for width in [4, 8, 44, 72, 7, 20, 31, 135] {
        // Bands of two and four rows, whole and not.
        for height in [1, 2, 5, 8, 9] {
            let x = floats(13, &[1, 2, height, width]);
            for return_indices in [false, true] {
                check(&MaxPool2d { return_indices, ..same }, &x, true);
                check(&MaxPool2d { return_indices, ..half }, &x, true);
            }
            check(&mean, &x, false);
        }
    }
    let planned = |op: &dyn Op, shape: &[usize], class: Class| {
        let profile = DeviceProfile { class, ..DeviceProfile::baseline() };
        op.plan(&profile, &[Layout::new(shape, DType::F32)]).unwrap()
    };
    let plan = |op: &dyn Op, shape: &[usize]| {
        let plan = planned(op, shape, Class::Unknown);
        (plan.variant.clone(), plan.inputs[0].align, plan.outputs[0].align)
    };
    let (even, odd) = (MaxPool2d::default(), MaxPool2d { kernel: [1, 2], stride: Some([1, 1]), ..Default::default() });
    assert_eq!(plan(&same, &[1, 2, 8, 8]), ("window/slide 4x4".into(), 16, 16));
    assert_eq!(plan(&same, &[1, 2, 8, 7]), ("window/slide 4x4".into(), 4, 4));
    assert_eq!(plan(&even, &[1, 2, 8, 12]), ("window/slide 1x4".into(), 16, 4));
    assert_eq!(plan(&odd, &[1, 2, 8, 13]), ("window/slide 1x4".into(), 4, 16));
    // Windows that share the plane evenly are no others; those that leave elements out, or are large, are not written out.
    assert_eq!(plan(&AdaptiveAvgPool2d { output: [4, 4] }, &[1, 2, 8, 16]).0, "window/slide 1x4");
    assert_eq!(plan(&AdaptiveAvgPool2d { output: [4, 3] }, &[1, 2, 8, 16]).0, "window/pool 64");
    assert_eq!(plan(&MaxPool2d { stride: Some([2, 3]), ..even }, &[1, 2, 8, 8]).0, "window/pool 64");
    assert_eq!(plan(&MaxPool2d { dilation: [1, 2], ..even }, &[1, 2, 8, 8]).0, "window/pool 64");
    assert_eq!(plan(&MaxPool2d { kernel: [5, 13], ..even }, &[1, 2, 40, 40]).0, "window/pool 64");
    // On the CPU strips are wide and long, as far as that leaves enough of them and does not take long to compile.
    let cpu = |op: &dyn Op, shape: &[usize]| planned(op, shape, Class::Cpu).variant.clone();
    let seven = MaxPool2d { kernel: [7, 7], stride: Some([2, 2]), ..Default::default() };
    assert_eq!(cpu(&same, &[8, 64, 56, 56]), "window/slide 56x56");
    assert_eq!(cpu(&same, &[8, 64, 270, 84]), "window/slide 90x44");
    assert_eq!(cpu(&seven, &[1, 64, 224, 224]), "window/slide 109x24");
    assert_eq!(cpu(&seven, &[1, 4, 224, 224]), "window/slide 14x24");
    assert_eq!(cpu(&same, &[1, 1, 56, 56]), "window/slide 6x56");
    assert_eq!(cpu(&same, &[1, 1, 5, 5]), "window/slide 5x8");
}

/// Rows and columns of outputs around the bands and strips of both classes, and around fours.
const OUTPUTS: [[usize; 2]; 9] = [[1, 1], [2, 9], [3, 6], [4, 3], [5, 35], [9, 8], [16, 66], [17, 5], [35, 4]];

#[test]
fn strips_of_every_small_window() {
    let sides = (1..=8).flat_map(|kernel| (1..=kernel.min(3)).map(move |stride| (kernel, stride)));
    for (i, (kernel, stride)) in sides.enumerate() {
        // The other side's kernel is one of the others, at a stride that leaves nothing out.
        let kernel = [kernel, 8 - (i * 3 + kernel) % 8];
        let stride = [stride, kernel[1].min(1 + i % 3)];
        for (maximum, j) in [(true, 2 * i), (false, 2 * i + 1)] {
            let out = OUTPUTS[j % OUTPUTS.len()];
            let padding = [i, i + 1, j, i + j].map(|n| n % 8);
            let padding = [0, 1, 2, 3].map(|at: usize| padding[at].min(kernel[at % 2] - 1));
            // The last window may lack a place, and reaches beyond the padding then.
            let ceil_mode = i % 3 > 0;
            let size = [0, 1].map(|at| {
                let lacks = usize::from(ceil_mode && out[at] > 1 && stride[at] > 1);
                let padded = (out[at] - 1) * stride[at] + kernel[at] - lacks;
                padded.saturating_sub(padding[at] + padding[at + 2]).max(1)
            });
            let shape = [1, 2, size[0], size[1]];
            let (stride, odd) = (Some(stride), !i.is_multiple_of(2));
            if maximum {
                let max = MaxPool2d { kernel, stride, padding, ceil_mode, return_indices: odd, ..Default::default() };
                let values = Random::new(14).integers(shape.iter().product());
                check(&max, &HostTensor::new(&shape, &values).unwrap(), true);
            } else {
                let mean =
                    AvgPool2d { kernel, stride, padding, ceil_mode, count_include_pad: odd, ..Default::default() };
                check(&mean, &floats(15, &shape), false);
            }
        }
    }
}

#[test]
fn maxima_of_integers() {
    let mut random = Random::new(7);
    let words: Vec<u32> = (0..2 * 11 * 13).map(|_| random.bits() as u32).collect();
    let signed: Vec<i32> = words.iter().map(|&word| word as i32).collect();
    let shape = [1, 2, 11, 13];
    for input in [HostTensor::new(&shape, &words).unwrap(), HostTensor::new(&shape, &signed).unwrap()] {
        for return_indices in [false, true] {
            check(
                &MaxPool2d { kernel: [3, 2], padding: [1, 1, 2, 0], return_indices, ..Default::default() },
                &input,
                true,
            );
            check(&AdaptiveMaxPool2d { output: [4, 3], return_indices }, &input, true);
        }
    }
}

#[test]
fn whole_planes_of_any_size() {
    let size = [300, 300];
    let mut values = Random::new(8).integers(2 * 300 * 300);
    // The largest of each plane twice, far into it.
    for at in [70_001, 89_999, 90_000 + 61_234, 90_000 + 75_000] {
        values[at] = 50.0;
    }
    let x = HostTensor::new(&[1, 2, 300, 300], &values).unwrap();
    let max = MaxPool2d { kernel: size, return_indices: true, ..Default::default() };
    let average = AvgPool2d { kernel: size, divisor_override: Some(1 << 16), ..Default::default() };
    check(&max, &x, true);
    check(&MaxPool2d { return_indices: false, ..max }, &x, true);
    check(&AdaptiveMaxPool2d { output: [1, 1], return_indices: true }, &x, true);
    check(&average, &x, true);
    check(&AvgPool2d { divisor_override: None, ..average }, &x, false);
    check(&AdaptiveAvgPool2d::default(), &x, false);
    for op in [&max as &dyn Op, &average, &AdaptiveAvgPool2d::default(), &AdaptiveMaxPool2d::default()] {
        let plan = op.plan(&DeviceProfile::baseline(), &[x.layout()]).unwrap();
        assert!(plan.variant.starts_with("reduce/"), "{plan}");
    }
    // Padding, and a window of half the plane: no reductions.
    let padded = MaxPool2d { padding: [0, 0, 1, 0], ..max };
    let error = padded.plan(&DeviceProfile::baseline(), &[x.layout()]).unwrap_err().to_string();
    assert_eq!(
        error,
        "max_pool2d: needs loop trips = 90300, the device has 60000; this problem cannot be cut along its sums"
    );
    check(
        &MaxPool2d { kernel: [5, 6], padding: [0, 0, 1, 0], return_indices: true, ..max },
        &floats(9, &[2, 2, 5, 6]),
        true,
    );
}

#[test]
fn planes_are_split_by_memory_and_by_work() {
    for gpu in devices() {
        let mut memory = gpu.profile().clone();
        let slack = u64::from(memory.limits.min_storage_buffer_offset_alignment);
        memory.limits.max_storage_buffer_binding_size = 3 * 11 * 13 * 4 + slack;
        let mut work = gpu.profile().clone();
        (work.floor_flops, work.work_budget) = (700.0, std::time::Duration::from_secs(1));
        let x = floats(10, &[5, 2, 11, 13]);
        let (max, average) = (MaxPool2d { return_indices: true, ..Default::default() }, AvgPool2d::default());
        let (evenly, whole) = (AdaptiveAvgPool2d { output: [3, 2] }, AdaptiveMaxPool2d::default());
        let overlapping = MaxPool2d { kernel: [3, 3], stride: Some([1, 1]), padding: [1; 4], ..max };
        for profile in [memory, work] {
            let small = gpu.with_profile(profile);
            for op in [&max as &dyn Twin, &average, &evenly, &whole, &overlapping] {
                let plan = op.plan(small.profile(), &[x.layout()]).unwrap();
                assert!(plan.dispatches.len() > 1, "{plan}");
                verify::plan(&small, op, &plan, std::slice::from_ref(&x)).unwrap().assert_strict();
            }
        }
    }
}

#[test]
fn nan_and_infinity() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let mut values = Random::new(11).floats(2 * 9 * 10);
    for (at, value) in [(0, nan), (12, nan), (13, nan), (37, inf), (47, -inf), (75, inf), (88, -inf), (179, nan)] {
        values[at] = value;
    }
    let x = HostTensor::new(&[1, 2, 9, 10], &values).unwrap();
    for (kernel, stride) in [([2, 2], None), ([3, 4], Some([1, 2])), ([9, 10], None)] {
        let padding = if kernel == [9, 10] { [0; 4] } else { [1, 0, 0, 1] };
        check(&MaxPool2d { kernel, stride, padding, return_indices: true, ..Default::default() }, &x, true);
        check(&AvgPool2d { kernel, stride, padding, ..Default::default() }, &x, false);
    }
    for output in [[1, 1], [4, 3]] {
        check(&AdaptiveAvgPool2d { output }, &x, false);
        check(&AdaptiveMaxPool2d { output, return_indices: true }, &x, true);
    }
}

#[test]
fn a_divisor_beyond_32_bits() {
    // Only one place of the window lies in the plane; all of the padding counts.
    let side = 70_001;
    let op = AvgPool2d { kernel: [side; 2], padding: [side - 1; 4], stride: Some([side - 1; 2]), ..Default::default() };
    check(&op, &floats(12, &[1, 1, 1, 1]), false);
}

#[test]
fn no_planes() {
    check(&MaxPool2d { return_indices: true, ..Default::default() }, &floats(6, &[0, 3, 4, 4]), true);
    check(&AvgPool2d::default(), &floats(6, &[2, 0, 4, 4]), false);
}

#[track_caller]
fn refused(op: &dyn Op, x: &Layout, message: &str) {
    assert_eq!(op.infer(std::slice::from_ref(x)).unwrap_err().to_string(), message);
}

#[test]
fn bad_input_is_refused_by_name() {
    let x = Layout::new(&[1, 2, 6, 6], DType::F32);
    let max = MaxPool2d::default();
    refused(&MaxPool2d { kernel: [0, 2], ..max }, &x, "max_pool2d: kernel = 0: it has to be at least 1");
    refused(&MaxPool2d { stride: Some([1, 0]), ..max }, &x, "max_pool2d: stride = 0: it has to be at least 1");
    refused(&MaxPool2d { dilation: [0, 1], ..max }, &x, "max_pool2d: dilation = 0: it has to be at least 1");
    for padding in [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 2]] {
        let message = "max_pool2d: padding = 2: it has to be less than the window's extent";
        refused(&MaxPool2d { padding, ..max }, &x, message);
        refused(&AvgPool2d { padding, ..Default::default() }, &x, &message.replace("max", "avg"));
        assert!(MaxPool2d { padding, dilation: [2, 2], ..max }.infer(std::slice::from_ref(&x)).is_ok());
    }
    refused(
        &MaxPool2d { kernel: [4, 2], dilation: [2, 1], ..max },
        &x,
        "max_pool2d: a window of 7 (dilated) does not fit into 6 (padded)",
    );
    // At -2, 1 and 4: over a plane of one row.
    refused(
        &MaxPool2d { kernel: [3, 1], dilation: [3, 1], stride: Some([3, 1]), padding: [2, 0, 6, 0], ..max },
        &Layout::new(&[1, 1, 1, 4], DType::F32),
        "max_pool2d: dilation = 3: a window steps over the plane and holds padding only",
    );
    refused(&max, &Layout::new(&[2, 6, 6], DType::F32), "max_pool2d: x has 3 dimensions, 4 (n, c, h, w) wanted");
    refused(&max, &Layout::new(&[1, 2, 6, 6], DType::U8), "max_pool2d: x is u8, f32 or f16 or i32 or u32 wanted");
    refused(&max, &Layout::new(&[1, 2, 0, 6], DType::F32), "max_pool2d: x [1, 2, 0, 6] has empty planes");
    assert_eq!(max.infer(&[]).unwrap_err().to_string(), "max_pool2d: 0 inputs given, 1 wanted");
}

#[test]
fn bad_input_of_means_is_refused_by_name() {
    let x = Layout::new(&[1, 2, 6, 6], DType::F32);
    let average = AvgPool2d::default();
    refused(&AvgPool2d { kernel: [2, 0], ..average }, &x, "avg_pool2d: kernel = 0: it has to be at least 1");
    refused(&AvgPool2d { stride: Some([0, 1]), ..average }, &x, "avg_pool2d: stride = 0: it has to be at least 1");
    refused(
        &AvgPool2d { kernel: [2, 9], padding: [0, 1, 0, 1], ..average },
        &x,
        "avg_pool2d: a window of 9 (dilated) does not fit into 8 (padded)",
    );
    refused(
        &AvgPool2d { divisor_override: Some(0), ..average },
        &x,
        "avg_pool2d: divisor_override = 0: it has to be at least 1",
    );
    refused(&average, &Layout::new(&[1, 2, 6, 6], DType::I32), "avg_pool2d: x is i32, f32 or f16 wanted");
    refused(&average, &Layout::new(&[6, 6], DType::F32), "avg_pool2d: x has 2 dimensions, 4 (n, c, h, w) wanted");
    refused(&average, &Layout::new(&[1, 2, 6, 0], DType::F32), "avg_pool2d: x [1, 2, 6, 0] has empty planes");
    let (mean, most) = (AdaptiveAvgPool2d::default(), AdaptiveMaxPool2d::default());
    refused(&mean, &Layout::new(&[2, 6], DType::F32), "adaptive_avg_pool2d: x has 2 dimensions, 4 (n, c, h, w) wanted");
    refused(&mean, &Layout::new(&[1, 2, 6, 6], DType::U32), "adaptive_avg_pool2d: x is u32, f32 or f16 wanted");
    refused(&mean, &Layout::new(&[1, 2, 0, 6], DType::F32), "adaptive_avg_pool2d: x [1, 2, 0, 6] has empty planes");
    refused(&most, &Layout::new(&[1; 5], DType::F32), "adaptive_max_pool2d: x has 5 dimensions, 4 (n, c, h, w) wanted");
    refused(
        &most,
        &Layout::new(&[1, 2, 6, 6], DType::I8),
        "adaptive_max_pool2d: x is i8, f32 or f16 or i32 or u32 wanted",
    );
    refused(&most, &Layout::new(&[0, 2, 6, 0], DType::F32), "adaptive_max_pool2d: x [0, 2, 6, 0] has empty planes");
}

#[test]
fn huge_sizes_are_refused() {
    const HUGE: usize = usize::MAX;
    let x = Layout::new(&[1, 1, 6, 6], DType::F32);
    let max = MaxPool2d::default();
    let refuse = |option: &str| format!("max_pool2d: {option}");
    refused(
        &MaxPool2d { kernel: [HUGE, 2], dilation: [2, 1], ..max },
        &x,
        &refuse("dilation = 2: the window's extent overflows"),
    );
    refused(
        &MaxPool2d { padding: [HUGE, 0, 0, 0], ..max },
        &x,
        &refuse(&format!("padding = {HUGE}: the padded size overflows")),
    );
    refused(
        &MaxPool2d { kernel: [HUGE, 2], ..max },
        &x,
        &refuse(&format!("a window of {HUGE} (dilated) does not fit into 6 (padded)")),
    );
    // As far as a stride reaches, there is one window.
    let apart = MaxPool2d { stride: Some([HUGE; 2]), ceil_mode: true, ..max };
    assert_eq!(apart.infer(std::slice::from_ref(&x)).unwrap()[0].shape, [1, 1, 1, 1]);
    // A window of 2^40 over a plane of one row, found to hold something everywhere in no time.
    let (far, wide) = (1 << 40, Layout::new(&[1, 1, 1, 6], DType::F32));
    let dilated = MaxPool2d { kernel: [2, 2], dilation: [far, 1], padding: [far, 0, far, 0], ..max };
    refused(
        &MaxPool2d { stride: Some([1, 1]), ..dilated },
        &wide,
        &refuse(&format!("dilation = {far}: a window steps over the plane and holds padding only")),
    );
    let profile = DeviceProfile::baseline();
    let limit = |op: &dyn Op, x: Layout| matches!(op.plan(&profile, &[x]), Err(Error::Limit { .. }));
    assert!(limit(&MaxPool2d { stride: Some([far, 1]), ..dilated }, wide));
    assert!(limit(&max, Layout::new(&[1, 1, 1 << 20, 1 << 20], DType::F32)));
    assert!(limit(&AdaptiveAvgPool2d { output: [1 << 31, 1] }, x.clone()));
    assert!(limit(&AdaptiveMaxPool2d { output: [1 << 20, 1 << 20], return_indices: true }, x));
}
