//! Matrix products against their twin: both bodies with small tiles around every edge, and every candidate of every device
//! at its full size.

mod common;

use common::{
    DEPTHWISE, DIRECT, FEW_COLUMNS, FEW_ROWS, SMALLEST, STAGED, STAGED_UNEVENLY, TILED, around, check, check_full_size,
    check_projection, check_split, check_variants, f32s, floats, integers, pairwise, passes, small_bindings,
    with_profile,
};
use tilewise::reference::{HostTensor, Random};
use tilewise::verify::{self, devices};
use tilewise::{Activation, ContractionVariant, DType, DeviceProfile, Error, Layout, Matmul, Op};

#[test]
fn integers_are_exact_around_every_edge_of_a_tile() {
    let mut random = Random::new(1);
    let (rows, columns) = TILED.tile();
    let sides = [around(rows), around(columns), around(TILED.step as usize)];
    for row in pairwise(&[6, 6, 6]) {
        let [m, n, k] = [0, 1, 2].map(|factor| sides[factor][row[factor]]);
        check(&Matmul::default(), &[integers(&mut random, &[m, k]), integers(&mut random, &[k, n])], true);
    }
}

#[test]
fn blocks_of_four_are_exact_around_every_edge_of_their_tile() {
    let mut random = Random::new(1);
    for variant in [STAGED_UNEVENLY, FEW_ROWS, FEW_COLUMNS] {
        let (rows, columns) = variant.tile();
        // What invocations take of k together, or a step; then whole fours, which are loaded as vectors.
        let taken = (variant.step.max(4 * variant.lanes.1)) as usize;
        let sides = [rows, columns, taken].map(|side| around(side).into_iter().chain([side + 4]).collect::<Vec<_>>());
        for row in pairwise(&[7, 7, 7]) {
            let [m, n, k] = [0, 1, 2].map(|factor| sides[factor][row[factor]]);
            let inputs = [integers(&mut random, &[m, k]), integers(&mut random, &[k, n])];
            check_variants(&Matmul::default(), &inputs, true, &[variant]);
        }
    }
}

#[test]
fn vectors_lie_either_way() {
    let mut random = Random::new(9);
    // Sides in fours, which are loaded as vectors where they are dense, and of more than a band of tiles.
    let (m, n, k) = (9 * STAGED.tile().0 + 4, 20, 44);
    for (transpose_a, transpose_b) in [(false, false), (true, false), (false, true), (true, true)] {
        let op = Matmul { transpose_a, transpose_b, ..Default::default() };
        let a = if transpose_a { [2, k, m] } else { [2, m, k] };
        let b = if transpose_b { [2, n, k] } else { [2, k, n] };
        let inputs = [integers(&mut random, &a), integers(&mut random, &b)];
        check_variants(&op, &inputs, true, &[STAGED, FEW_ROWS, FEW_COLUMNS]);
    }
}

#[test]
fn parts_are_added_before_the_epilogue() {
    let mut random = Random::new(10);
    let op = Matmul { alpha: 0.5, beta: -2.0, activation: Activation::Relu, ..Default::default() };
    for c in [vec![19], vec![21, 1], vec![2, 21, 19]] {
        let inputs = [integers(&mut random, &[2, 21, 50]), integers(&mut random, &[50, 19]), integers(&mut random, &c)];
        check_variants(&op, &inputs, true, &[STAGED_UNEVENLY, FEW_COLUMNS]);
        for gpu in devices() {
            let gpu = with_profile(gpu, |profile| profile.contractions = vec![STAGED_UNEVENLY]);
            let plan = op.plan(gpu.profile(), &verify::guarded_layouts(&inputs)).unwrap();
            // 50 of k are 3 parts of 24 at the most.
            assert_eq!((plan.dispatches.len(), &*plan.scratch), (2, &[3 * 4 * 2 * 21 * 19][..]), "{plan}");
        }
    }
}

#[test]
fn every_candidate_at_full_size() {
    // Two tiles of 64 either way, the second a rest, and two steps of 16 with a rest.
    check_full_size(&Matmul::default(), &[&[70, 35], &[35, 66]]);
    // A sum so long that a lost product hides in the bound of random numbers: whole numbers show it.
    let mut random = Random::new(3);
    let inputs = [integers(&mut random, &[20, 2_500]), integers(&mut random, &[2_500, 18])];
    for gpu in devices() {
        for report in verify::candidates(gpu, &Matmul::default(), &inputs).unwrap() {
            passes(&Matmul::default(), &report, true);
        }
    }
}

#[test]
fn the_choice_for_narrow_products() {
    let mut random = Random::new(2);
    for (m, n) in [(1, 1), (1, 9), (1, 70), (3, 20), (9, 5), (70, 1)] {
        let inputs = [integers(&mut random, &[m, 19]), integers(&mut random, &[19, n])];
        for gpu in devices() {
            passes(&Matmul::default(), &verify::op(gpu, &Matmul::default(), &inputs).unwrap(), true);
        }
    }
}

#[test]
fn random_data_stays_within_the_bound() {
    let mut random = Random::new(3);
    for (m, n, k) in [(5, 70, 300), (30, 20, 1000)] {
        check(&Matmul::default(), &[floats(&mut random, &[m, k]), floats(&mut random, &[k, n])], false);
    }
}

#[test]
fn transposed_operands() {
    let mut random = Random::new(3);
    for (transpose_a, transpose_b) in [(true, false), (false, true), (true, true)] {
        let op = Matmul { transpose_a, transpose_b, ..Default::default() };
        for (m, n, k) in [(17, 35, 20), (65, 9, 33)] {
            let a = if transpose_a { [k, m] } else { [m, k] };
            let b = if transpose_b { [n, k] } else { [k, n] };
            check(&op, &[integers(&mut random, &a), integers(&mut random, &b)], true);
        }
    }
}

#[test]
fn batches_broadcast() {
    let mut random = Random::new(4);
    for (a, b) in [
        (vec![3, 5, 7], vec![3, 7, 4]),
        (vec![3, 5, 7], vec![7, 4]),
        (vec![5, 7], vec![2, 3, 7, 4]),
        (vec![2, 1, 5, 7], vec![3, 7, 4]),
        // Four and six batch dimensions that do not merge: more than a kernel counts.
        (vec![2, 1, 2, 1, 3, 4], vec![1, 3, 1, 2, 4, 5]),
        (vec![2, 1, 4, 1, 2, 1, 3, 4], vec![1, 3, 1, 2, 1, 3, 4, 2]),
        // More workgroups than a dimension of a grid holds, with both operands broadcast.
        (vec![300, 1, 1, 2], vec![1, 300, 2, 1]),
    ] {
        check(&Matmul::default(), &[integers(&mut random, &a), integers(&mut random, &b)], true);
    }
    // An addend that keeps dimensions from merging which the operands would let.
    let inputs = [vec![2, 3, 2, 3, 4, 5], vec![5, 6], vec![3, 1, 3, 1, 6]].map(|shape| integers(&mut random, &shape));
    check(&Matmul::default(), &inputs, true);
}

#[test]
fn batches_that_take_too_many_dispatches_are_refused() {
    let plan = |a: &[usize], b: &[usize]| Matmul::default().plan(&DeviceProfile::baseline(), &[f32s(a), f32s(b)]);
    // The three largest dimensions are counted in the kernel, wherever they stand.
    assert_eq!(plan(&[90, 1, 80, 1, 2, 1, 2, 3], &[1, 70, 1, 2, 1, 2, 3, 2]).unwrap().dispatches.len(), 8);
    let refused = plan(&[100, 1, 100, 1, 100, 1, 2, 3], &[1, 100, 1, 100, 1, 100, 3, 2]);
    assert!(
        matches!(refused, Err(Error::Limit { limit: "dispatches of a plan", needed: 1_000_000, .. })),
        "{refused:?}"
    );
}

#[test]
fn vectors() {
    let mut random = Random::new(5);
    for (a, b) in [(vec![9], vec![9]), (vec![9], vec![9, 4]), (vec![6, 9], vec![9]), (vec![2, 6, 9], vec![9])] {
        check(&Matmul::default(), &[integers(&mut random, &a), integers(&mut random, &b)], true);
    }
}

#[test]
fn addends_and_factors() {
    let mut random = Random::new(6);
    for c in [vec![19], vec![1], vec![], vec![33, 1], vec![33, 19], vec![2, 33, 19], vec![2, 1, 1]] {
        let op = Matmul { alpha: 0.5, beta: -2.0, ..Default::default() };
        let inputs = [integers(&mut random, &[2, 33, 10]), integers(&mut random, &[10, 19]), integers(&mut random, &c)];
        check(&op, &inputs, true);
    }
    // With beta = 0 the addend is not read, even if it is NaN.
    let op = Matmul { beta: 0.0, ..Default::default() };
    let nan = HostTensor::new(&[4], &[f32::NAN; 4]).unwrap();
    check(&op, &[integers(&mut random, &[3, 2]), integers(&mut random, &[2, 4]), nan], true);
}

#[test]
fn residuals_are_added_before_the_activation() {
    let mut random = Random::new(16);
    for shape in [vec![2, 33, 10], vec![33, 10], vec![10]] {
        let op = Matmul { alpha: 0.5, beta: -2.0, activation: Activation::Relu, ..Default::default() };
        let b = integers(&mut random, &[10, 19]);
        let mut inputs = vec![integers(&mut random, &shape), b, integers(&mut random, &[19])];
        let output = op.infer(&inputs.iter().map(HostTensor::layout).collect::<Vec<_>>()).unwrap().swap_remove(0);
        inputs.push(integers(&mut random, &output.shape));
        check(&op, &inputs, true);
    }
    // Once where the sums come in parts of k, by pieces and by split sums.
    let inputs = [vec![5, 40], vec![40, 9], vec![9], vec![5, 9]].map(|shape| integers(&mut random, &shape));
    check(&Matmul::default(), &inputs, true);
    check_split(&Matmul::default(), &inputs, 1, small_bindings(512));
    check_variants(&Matmul::default(), &inputs, true, &[STAGED_UNEVENLY, FEW_COLUMNS]);
}

#[test]
fn every_activation() {
    let mut random = Random::new(7);
    let inputs = [floats(&mut random, &[40, 21]), floats(&mut random, &[21, 36]), floats(&mut random, &[36])];
    for activation in Activation::ALL {
        let op = Matmul { activation, alpha: 3.0, ..Default::default() };
        check_variants(&op, &inputs, false, &[SMALLEST]);
    }
}

#[test]
fn a_right_operand_beyond_a_binding_is_cut_along_k() {
    // 256 MiB each, where 128 fit. Columns of b span as much as all of it: cutting n would not end before single columns.
    let layout = Layout::new(&[8192, 8192], DType::F32);
    let profile = DeviceProfile::baseline();
    let plan = Matmul::default().plan(&profile, &[layout.clone(), layout]).unwrap();
    let least = plan.work().flops / profile.work_limit();
    assert!((plan.dispatches.len() as f64) < 4.0 * least, "{} dispatches, {least} at least", plan.dispatches.len());
}

#[test]
fn the_choice_follows_shape_and_device() {
    let choice = |[m, n, k]: [usize; 3], transpose_b: bool, change: &dyn Fn(&mut DeviceProfile)| {
        let mut profile = DeviceProfile { floor_flops: 1e15, ..DeviceProfile::baseline() };
        profile.limits.max_compute_workgroup_storage_size = 32 << 10;
        change(&mut profile);
        let b = if transpose_b { [n, k] } else { [k, n] };
        let op = Matmul { transpose_b, ..Default::default() };
        op.plan(&profile, &[f32s(&[m, k]), f32s(&b)]).unwrap().variant.clone()
    };
    let on = |sizes, sms: u32| choice(sizes, false, &|profile| profile.sm_count = Some(sms));
    let unknown = |sizes| choice(sizes, false, &|_| {});
    // Large tiles where they fill the device, smaller ones where they would not.
    assert_eq!(unknown([2048; 3]), "contraction/staged 128x128x16");
    assert_eq!(on([512; 3], 8), "contraction/staged 128x128x16");
    assert_eq!(on([512; 3], 64), "contraction/staged 32x128x16");
    assert_eq!(unknown([100; 3]), "contraction/tiled 16x16x16");
    // Within WebGPU's default limits, shorter steps.
    let limited = choice([2048; 3], false, &|profile| profile.limits = tilewise::wgpu::Limits::default());
    assert_eq!(limited, "contraction/staged 128x128x8");
    // Long sums of few tiles in parts, unless the device is full of them, or the sums are short.
    assert_eq!(unknown([256, 256, 8192]), "contraction/staged 128x64x16 in 8 parts");
    assert!(!on([256, 256, 8192], 4).contains("parts"));
    assert!(!unknown([256, 256, 1024]).contains("parts"));
    // Few rows or columns, along the matrix's dense dimension.
    assert_eq!(unknown([1, 4096, 4096]), "contraction/narrow 4x32");
    assert_eq!(unknown([7, 4096, 4096]), "contraction/narrow 8x32");
    assert_eq!(choice([1, 4096, 4096], true, &|_| {}), "contraction/narrow 4x4");
    assert_eq!(unknown([4096, 1, 4096]), "contraction/narrow 4x4");
    assert!(!unknown([9, 4096, 4096]).contains("narrow"));
    assert_eq!(unknown([1, 1, 60_000]), "contraction/narrow 4x32 in 64 parts");
}

#[test]
fn a_smaller_device_gets_a_smaller_variant() {
    let layout = Layout::new(&[64, 64], DType::F32);
    let variants = |change: &dyn Fn(&mut DeviceProfile)| -> Vec<String> {
        let mut profile = DeviceProfile::baseline();
        change(&mut profile);
        let plans = Matmul::default().plans(&profile, &[layout.clone(), layout.clone()]).unwrap();
        plans.into_iter().map(|plan| plan.variant.clone()).collect()
    };
    let memory = variants(&|profile| profile.limits.max_compute_workgroup_storage_size = 8 << 10);
    assert_eq!(memory, ["contraction/tiled 16x16x16", "contraction/tiled 32x32x16", "contraction/direct 8x8"]);
    let lanes = variants(&|profile| profile.limits.max_compute_invocations_per_workgroup = 128);
    assert_eq!(lanes, ["contraction/staged 32x32x32", "contraction/staged 64x64x16", "contraction/direct 8x8"]);
}

#[test]
fn sizes_beyond_the_address_space_are_refused() {
    let refuse = |a: &[usize], b: &[usize]| {
        let inputs = [Layout::new(a, DType::F32), Layout::new(b, DType::F32)];
        Matmul::default().plan(&DeviceProfile::baseline(), &inputs).unwrap_err().to_string()
    };
    let message = |operand: &str| {
        format!(
            "matmul: {operand}: needs address space = {}, the device has {}; split the problem",
            u64::MAX,
            isize::MAX
        )
    };
    assert_eq!(refuse(&[usize::MAX, 2], &[2, 3]), message("input 0"));
    assert_eq!(refuse(&[1 << 40, 1], &[1, 1 << 40]), message("output 0"));
    // The largest that can be counted passes 64 bits where it is rounded up to a tile.
    let error = refuse(&[1, 1], &[1, isize::MAX as usize / 4]);
    assert!(error.contains("dispatches of a plan"), "{error}");
}

#[test]
fn empty_sums_leave_the_epilogue() {
    let mut random = Random::new(8);
    for (m, n, k) in [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)] {
        for c in [vec![n], vec![1], vec![m, 1], vec![m, n]] {
            let op = Matmul { activation: Activation::Relu, alpha: f32::MAX, beta: 2.0, ..Default::default() };
            let inputs = [integers(&mut random, &[m, k]), integers(&mut random, &[k, n]), integers(&mut random, &c)];
            check(&Matmul { alpha: 1.0, ..op }, &inputs, true);
            if k == 0 {
                check(&op, &inputs, true);
            }
        }
    }
    // Batches of nothing.
    for (a, b) in [(vec![0, 3, 2], vec![2, 4]), (vec![1, 3, 2], vec![0, 2, 4]), (vec![2, 1, 3, 0], vec![5, 0, 4])] {
        check(&Matmul::default(), &[integers(&mut random, &a), integers(&mut random, &b)], true);
    }
}

#[test]
fn the_projection_sees_what_is_lost() {
    let op = Matmul { alpha: 0.7, beta: -1.3, ..Default::default() };
    for c in [vec![6], vec![4, 1], vec![2, 4, 6]] {
        check_projection(&op, &[&[2, 4, 9], &[9, 6], &c], |flat| flat / 6);
    }
    check_projection(&Matmul::default(), &[&[2, 4, 9], &[9, 6]], |flat| flat / 6);
    check_projection(&op, &[&[2, 4, 9], &[9, 6], &[6], &[2, 4, 6]], |flat| flat / 6);
}

#[test]
fn bad_input_is_refused_by_name() {
    let infer = |inputs: &[Layout]| Matmul::default().infer(inputs).unwrap_err().to_string();
    assert_eq!(infer(&[f32s(&[2, 3]), f32s(&[4, 5])]), "matmul: inner dimensions of a [2, 3] and b [4, 5] differ");
    assert_eq!(
        infer(&[f32s(&[2, 2, 3]), f32s(&[3, 3, 5])]),
        "matmul: batch dimensions of a [2, 2, 3] and b [3, 3, 5] differ"
    );
    assert_eq!(infer(&[f32s(&[]), f32s(&[4, 5])]), "matmul: a has 0 dimensions, at least 1 wanted");
    assert_eq!(infer(&[f32s(&[2, 3])]), "matmul: 1 inputs given, 2 to 4 wanted");
    assert_eq!(infer(&[f32s(&[2, 3]), Layout::new(&[3, 2], DType::I32)]), "matmul: b is i32, f32 or f16 wanted");
    let residual = [f32s(&[2, 3]), f32s(&[3, 2]), f32s(&[2]), f32s(&[1, 2])];
    assert_eq!(infer(&residual), "matmul: residual [1, 2] is not of the output's shape [2, 2]");
    assert_eq!(infer(&[f32s(&[2, 3]), f32s(&[3, 2]), f32s(&[3])]), "matmul: c [3] does not broadcast to [2, 2]");
    assert!(matches!(Matmul::default().infer(&[f32s(&[2, 3]), f32s(&[4, 5])]), Err(Error::Shape { op: "matmul", .. })));
}

#[test]
fn sums_longer_than_drivers_count_trips() {
    // Mesa 22.3's software driver silently ends a shader's loops after 65,535 trips together. One body takes a trip for
    // each value of k, the other one for four: both have to be cut.
    let ones = |shape: &[usize]| HostTensor::new(shape, &vec![1.0f32; shape.iter().product()]).unwrap();
    let op = Matmul { activation: Activation::Relu, ..Default::default() };
    for (k, variants) in [(60_001, vec![TILED, DIRECT]), (140_001, vec![DIRECT]), (240_001, vec![TILED])] {
        for gpu in devices() {
            let gpu = with_profile(gpu, |profile| profile.contractions = variants.clone());
            let inputs = [ones(&[2, k]), ones(&[k])];
            for plan in verify::plans(gpu.profile(), &op, &inputs).unwrap() {
                assert!(plan.dispatches.len() > 1 || k < 240_000 && plan.variant.contains("tiled"), "{plan}");
                passes(&op, &verify::plan(&gpu, &op, &plan, &inputs).unwrap(), true);
            }
        }
    }
    for gpu in devices() {
        passes(&op, &verify::op(gpu, &op, &[ones(&[3, 70_000]), ones(&[70_000])]).unwrap(), true);
    }
}

#[test]
fn a_profile_may_not_choose_what_no_body_can_be() {
    let refused = |variant| {
        let profile = DeviceProfile { contractions: vec![variant], ..DeviceProfile::baseline() };
        let plan = Matmul::default().plan(&profile, &[f32s(&[2, 3]), f32s(&[3, 2])]);
        assert!(matches!(plan, Err(Error::Option { op: "matmul", .. })), "{plan:?}");
    };
    refused(ContractionVariant { lanes: (0, 4), ..TILED });
    refused(ContractionVariant { per_lane: (1, 0), ..DIRECT });
    refused(ContractionVariant { step: 0, ..TILED });
    refused(ContractionVariant { step: 2, ..DIRECT });
    let broadcast = ContractionVariant {
        body: tilewise::ContractionBody::Broadcast,
        lanes: (8, 1),
        per_lane: (4, 4),
        step: 4,
        parts: 1,
        winograd: 0,
    };
    refused(ContractionVariant { step: 1, ..broadcast });
    refused(ContractionVariant { lanes: (4, 2), ..broadcast });
    refused(ContractionVariant { per_lane: (4, 6), ..broadcast });
    let patches = ContractionVariant { body: tilewise::ContractionBody::Patches, step: 1, ..broadcast };
    refused(ContractionVariant { step: 4, ..patches });
    refused(ContractionVariant { lanes: (4, 2), ..patches });
    refused(ContractionVariant { per_lane: (6, 4), ..patches });
    refused(ContractionVariant { step: 4, ..DEPTHWISE });
    refused(ContractionVariant { lanes: (4, 2), ..DEPTHWISE });
    refused(ContractionVariant { per_lane: (2, 4), ..DEPTHWISE });
    refused(ContractionVariant { per_lane: (1, 6), ..DEPTHWISE });
    refused(ContractionVariant { per_lane: (1, 1), step: 3, ..TILED });
    refused(ContractionVariant { lanes: (u32::MAX, u32::MAX), ..TILED });
    refused(ContractionVariant { parts: 0, ..STAGED });
    refused(ContractionVariant { per_lane: (4, 6), ..STAGED });
    refused(ContractionVariant { per_lane: (2, 4), ..STAGED });
    refused(ContractionVariant { step: 4, ..STAGED });
    refused(ContractionVariant { lanes: (1, 6), ..FEW_ROWS });
    refused(ContractionVariant { lanes: (2, 1), ..FEW_COLUMNS });
    refused(ContractionVariant { per_lane: (4, 8), ..FEW_ROWS });
    refused(ContractionVariant { per_lane: (2, 4), ..FEW_COLUMNS });
    refused(ContractionVariant { step: 8, ..FEW_ROWS });
    for body in [TILED, DIRECT, DEPTHWISE, broadcast] {
        refused(ContractionVariant { parts: 2, ..body });
    }
}
