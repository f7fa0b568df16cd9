//! Counters of plans whose figures can be worked out by hand, and the explanations and pictures that show them.
#![cfg(feature = "emulator")]

mod common;
// The example's pictures, less what only its terminal needs.
#[path = "../examples/explain/picture.rs"]
mod picture;
#[path = "../examples/explain/svg.rs"]
mod svg;

use common::{f32s, with_profile};
use half::f16;
use tilewise::emulator::{Counted, Counters};
use tilewise::verify::devices;
use tilewise::{
    ContractionBody, ContractionVariant, DType, Element, EmulatorOptions, Error, Explanation, Gpu, Matmul, Op, Permute,
    Plan, Precision, Roof, Tensor,
};

/// 16 SMs, subgroups of 32.
fn emulator() -> Gpu {
    Gpu::emulated(EmulatorOptions::default()).unwrap()
}

fn ones(gpu: &Gpu, shape: &[usize]) -> Tensor<f32> {
    gpu.tensor(shape, &vec![1.0; shape.iter().product()]).unwrap()
}

fn counted(gpu: &Gpu, op: &dyn Op, shapes: &[&[usize]]) -> (Plan, Vec<Counted>) {
    counted_of(gpu, op, &shapes.iter().map(|shape| ones(gpu, shape)).collect::<Vec<_>>())
}

fn counted_of<T: Element>(gpu: &Gpu, op: &dyn Op, inputs: &[Tensor<T>]) -> (Plan, Vec<Counted>) {
    let layouts: Vec<_> = inputs.iter().map(|input| input.layout()).collect();
    let operands: Vec<_> = inputs.iter().map(|input| input as &dyn tilewise::Operand).collect();
    let (_, counted) = gpu.counted(|gpu| gpu.apply_all(op, &operands)).unwrap();
    (op.plan(gpu.profile(), &layouts).unwrap(), counted)
}

fn only(counted: &[Counted]) -> Counters {
    assert_eq!(counted.len(), 1);
    counted[0].counters
}

#[test]
fn a_copy_moves_each_word_once() {
    let (plan, counted) = counted(&emulator(), &Permute { dims: vec![0] }, &[&[4096]]);
    let Counters { storage, transactions, flops, barriers, idle_lanes, workgroups, .. } = only(&counted);
    assert_eq!((storage.loaded, storage.stored, storage.atomics), (4 * 4096, 4 * 4096, 0));
    // In vectors of four words a subgroup's 512 bytes are 16 sectors.
    let accesses = 2 * 4096 / 4 / 32;
    assert_eq!((transactions.accesses, transactions.sectors), (accesses, 16 * accesses));
    assert_eq!((transactions.coalescing(), transactions.bytes()), (Some(1.0), 2 * 4 * 4096));
    assert_eq!((flops, barriers, idle_lanes, workgroups), (0, 0, 0, 16));
    assert_eq!((counted[0].op, counted[0].dispatch, counted[0].grid), ("permute", 0, plan.dispatches[0].grid));
}

#[test]
fn a_transposed_copy_reads_a_sector_for_each_lane_unless_it_moves_squares() {
    let (gpu, op) = (emulator(), Permute { dims: vec![1, 0] });
    let x = ones(&gpu, &[64, 64]);
    let plans = op.plans(gpu.profile(), &[x.layout()]).unwrap();
    let variants: Vec<&str> = plans.iter().map(|plan| plan.variant.as_str()).collect();
    assert_eq!(variants, ["map/squares", "map/scalar"]);
    let transactions = plans.iter().map(|plan| {
        let mut out: tilewise::AnyTensor = gpu.empty::<f32>(&[64, 64]).unwrap().into();
        only(&gpu.counted(|gpu| gpu.run(plan, &[&x], &mut [&mut out])).unwrap().1).transactions
    });
    let [squares, scalar] = transactions.collect::<Vec<_>>().try_into().unwrap();
    assert_eq!((squares.sectors, squares.least_sectors, squares.coalescing()), (1024, 1024, Some(1.0)));
    // Reads lie 256 bytes apart, writes next to each other.
    assert_eq!((scalar.sectors, scalar.least_sectors), (4096 + 512, 1024));
    assert_eq!(scalar.lines, 4096 + 128);
    assert_eq!(scalar.coalescing(), Some(1024.0 / 4608.0));
}

/// One subgroup of 32, tiles of 32 x 32, panels of 4 x 33 words.
const ONE_SUBGROUP: ContractionVariant = ContractionVariant {
    body: ContractionBody::Tiled,
    lanes: (8, 4),
    per_lane: (8, 4),
    step: 4,
    parts: 1,
    winograd: 0,
};

/// A product of four tiles, in two steps each.
fn product() -> (Gpu, Plan, Vec<Counted>) {
    let gpu = with_profile(&emulator(), |profile| profile.contractions = vec![ONE_SUBGROUP]);
    let (plan, counted) = counted(&gpu, &Matmul::default(), &[&[64, 8], &[8, 64]]);
    (gpu, plan, counted)
}

#[test]
fn a_tiled_product_is_as_reckoned() {
    let (_, _, counted) = product();
    let counters = only(&counted);
    let (m, n, k, tiles, steps) = (64, 64, 8, 4, 2);
    // The sums, and alpha * sum + addend for each element.
    assert_eq!(counters.flops, 2 * m * n * k + 2 * m * n);
    // Before and after the products of each step.
    assert_eq!((counters.barriers, counters.workgroups), (2 * steps * tiles, tiles));
    // A step stages 4 x 32 values of a and of b.
    let staged = 4 * (128 + 128) * steps * tiles;
    assert_eq!((counters.storage.loaded, counters.storage.stored), (staged, 4 * m * n));
    assert_eq!(counters.workgroup.stored, staged);
    // For each k a lane reads its 8 rows and 4 columns.
    assert_eq!(counters.workgroup.loaded, 4 * 32 * 4 * (8 + 4) * steps * tiles);
    // Of a, an access takes 4 values of 8 rows, each in a sector of its own; of b and the output, whole sectors.
    let transactions = counters.transactions;
    let stores = 4 * (m * n / 32);
    assert_eq!(transactions.sectors, steps * tiles * (4 * 8 + 4 * 4) + stores);
    assert_eq!(transactions.least_sectors, steps * tiles * (4 * 4 + 4 * 4) + stores);
    assert_eq!((counters.divergent, counters.idle_lanes), (0, 0));
}

#[test]
fn bank_conflicts_of_a_known_access() {
    let (_, _, counted) = product();
    let banks = only(&counted).banks;
    // Staging a, a subgroup writes word 33 * k + row for 4 of k and 8 rows: bank (k + row) % 32, the middle ones four
    // times. Its other accesses take no bank twice.
    let steps = 2 * 4;
    assert_eq!(banks.extra, steps * 4 * 3);
    assert_eq!(banks.accesses, steps * (4 + 4 + 4 * (8 + 4)));
    assert_eq!(banks.passes, banks.accesses + banks.extra);
}

/// 128 x 128 sums of 256 invocations, as GPUs run it.
const LARGE: ContractionVariant = ContractionVariant {
    body: ContractionBody::Staged,
    lanes: (16, 16),
    per_lane: (8, 8),
    step: 16,
    parts: 1,
    winograd: 0,
};

#[test]
fn the_large_tile_is_without_bank_conflicts_and_coalesced() {
    let limits = Some(tilewise::wgpu::Limits { max_compute_workgroup_storage_size: 32 << 10, ..Default::default() });
    let gpu = Gpu::emulated(EmulatorOptions { limits, ..Default::default() }).unwrap();
    assert_eq!(gpu.profile().subgroup_size, (32, 32));
    let gpu = with_profile(&gpu, |profile| profile.contractions = vec![LARGE]);
    let (side, k) = (128, 32);
    for (transpose_a, transpose_b) in [(false, false), (false, true), (true, false), (true, true)] {
        let op = Matmul { transpose_a, transpose_b, ..Default::default() };
        let a = if transpose_a { [k, side] } else { [side, k] };
        let b = if transpose_b { [side, k] } else { [k, side] };
        let counters = only(&counted(&gpu, &op, &[&a, &b]).1);
        // For each k an invocation reads 2 vectors of its rows and 2 of its columns; each value is staged once.
        let (read, staged) = (256 * k * 4 * 16, 4 * 2 * side * k);
        assert_eq!((counters.workgroup.loaded, counters.workgroup.stored), (read as u64, staged as u64));
        assert_eq!(counters.storage.loaded, staged as u64);
        let subgroups = 256 / 32;
        assert_eq!(counters.banks.accesses, (subgroups * k * 4 + staged / 16 / 32) as u64);
        assert_eq!(counters.banks.extra, 0, "{op:?}");
        // Loads take whole sectors; a store of one column in four touches four times as many as it fills.
        let stores = (side * side / 32) as u64;
        let transactions = counters.transactions;
        assert_eq!(transactions.sectors - transactions.least_sectors, stores * (16 - 4), "{op:?}");
    }
}

/// 128 x 128 sums of eight subgroups with matrix units.
const OF_MATRICES: ContractionVariant =
    ContractionVariant { body: ContractionBody::Cooperative, lanes: (4, 2), per_lane: (64, 32), step: 32, ..LARGE };

#[test]
fn panels_of_matrices_are_without_bank_conflicts_and_coalesced() {
    let limits = Some(tilewise::wgpu::Limits { max_compute_workgroup_storage_size: 32 << 10, ..Default::default() });
    let gpu = Gpu::emulated(EmulatorOptions { limits, ..Default::default() }).unwrap();
    let gpu = with_profile(&gpu, |profile| profile.contractions = vec![OF_MATRICES]);
    let (side, k) = (128, 64);
    for (transpose_a, transpose_b) in [(false, false), (false, true), (true, false), (true, true)] {
        let (precision, output) = (Precision::F16Multiply, Some(DType::F32));
        let op = Matmul { transpose_a, transpose_b, precision, output, ..Default::default() };
        let shapes = [if transpose_a { [k, side] } else { [side, k] }, if transpose_b { [side, k] } else { [k, side] }];
        let inputs = shapes.map(|shape| gpu.tensor(&shape, &vec![f16::ONE; side * k]).unwrap());
        let counters = only(&counted_of(&gpu, &op, &inputs).1);
        // For each 16 of k a subgroup reads 4 and 2 matrices of as many rows; each value is staged once, and so is each sum.
        let (read, staged, leaving) = (8 * (4 + 2) * 2 * 16 * k, 2 * 2 * side * k, 4 * side * side);
        assert_eq!(counters.workgroup.loaded, (read + leaving) as u64);
        assert_eq!(counters.workgroup.stored, (staged + leaving) as u64);
        assert_eq!(counters.storage.loaded, staged as u64);
        assert_eq!(counters.banks.extra, 0, "{op:?}");
        assert_eq!(counters.transactions.coalescing(), Some(1.0), "{op:?}");
    }
}

#[test]
fn countings_nest_and_end_with_errors() {
    let gpu = emulator();
    let a = ones(&gpu, &[64]);
    let copy = Permute { dims: vec![0] };
    let run = |gpu: &Gpu| gpu.apply::<f32>(&copy, &[&a]).map(drop);
    let ((_, inner), outer) = gpu
        .counted(|gpu| {
            run(gpu)?;
            let inner = gpu.counted(run)?;
            run(gpu)?;
            Ok(inner)
        })
        .unwrap();
    assert_eq!((inner.len(), outer.len()), (1, 3));
    assert_eq!(inner[0], outer[1]);
    let failed = gpu.counted(|gpu| gpu.matmul(&a, &a.reshape(&[8, 8])?)).unwrap_err();
    assert!(matches!(failed, Error::Shape { .. }), "{failed:?}");
    assert_eq!(gpu.counted(|_| Ok(())).unwrap().1, []);
    let mut sum = inner[0].counters;
    sum.merge(&inner[0].counters);
    assert_eq!((sum.storage.loaded, sum.workgroups), (2 * 256, 2));
}

#[test]
fn a_device_of_wgpu_counts_nothing() {
    for gpu in devices().iter().filter(|gpu| gpu.device().is_ok()) {
        let error = gpu.counted(|_| -> Result<(), Error> { panic!("the closure does not run") }).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }));
        assert_eq!(error.to_string(), "counting is not supported: only the emulator counts");
    }
}

#[test]
fn the_mapping_and_its_roof() {
    let (gpu, plan, counted) = product();
    let explain = |peak: Option<f64>, bandwidth: Option<f64>, counted: &[Counted]| {
        let mut profile = gpu.profile().clone();
        (profile.peak_flops, profile.bandwidth) = (peak, bandwidth);
        plan.explain_counted(&profile, counted).dispatches.swap_remove(0)
    };
    let mapping = explain(None, None, &counted);
    assert_eq!((mapping.tiles, mapping.workgroup, mapping.tile), (4, [8, 4], Some([32, 32])));
    assert_eq!((mapping.waves(), mapping.tail(), mapping.subgroups(), mapping.lanes()), (Some(1), Some(12), 1, 32));
    // Two panels of 4 x 33 words.
    assert_eq!(mapping.workgroup_memory, (2 * 4 * 4 * 33, 16384));
    assert_eq!((mapping.room_by_memory(), mapping.room_by_size()), (Some(15), 8));
    assert_eq!((mapping.roof(), explain(Some(1.0), None, &counted).roof()), (None, None));
    // 73,728 FLOP; 896 sectors are 28,672 bytes, the operands and the output 20,480.
    assert_eq!(mapping.intensity(), 73728.0 / 28672.0);
    for (peak, roof) in [(1.0, Roof::Arithmetic), (3.0, Roof::Caches), (4.0, Roof::Bandwidth)] {
        assert_eq!(explain(Some(peak), Some(1.0), &counted).roof(), Some(roof), "{peak}");
    }
    assert_eq!(explain(Some(3.0), Some(1.0), &[]).counters, None);
    let another = Permute { dims: vec![1, 0] }.plan(gpu.profile(), &plan.inputs[..1]).unwrap();
    assert_eq!(another.explain_counted(gpu.profile(), &counted).dispatches[0].counters, None);
}

/// Figures of the product as they have to stand in texts.
const FIGURES: [&str; 5] =
    ["73728 FLOP", "28672 in sectors", "768 sectors would do, 896", "96 extra passes", "16, each"];

#[test]
fn the_text_tells_what_was_counted_and_what_is_unknown() {
    let (gpu, plan, counted) = product();
    let text = plan.explain_counted(gpu.profile(), &counted).to_string();
    for figure in FIGURES.iter().chain(&["12 SMs (384 lanes) idle", "registers unknown", "roof       unknown"]) {
        assert!(text.contains(figure), "{figure}: {text}");
    }
    let plain = plan.explain(gpu.profile());
    assert!(FIGURES.iter().all(|figure| !plain.contains(figure)), "{plain}");
    let nameless = with_profile(&gpu, |profile| (profile.sm_count, profile.subgroup_size) = (None, (0, 0)));
    let text = plan.explain(nameless.profile());
    assert!(text.contains("SM count unknown") && text.contains("subgroup size unknown"), "{text}");
}

/// Every tag is closed, in order, and text is escaped.
fn well_formed(document: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = document;
    while let Some((text, after)) = rest.split_once('<') {
        assert!(!text.contains('>'), "{text}");
        let (tag, after) = after.split_once('>').unwrap();
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().unwrap()),
        }
        rest = after;
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
    let entities = document.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
    assert!(!entities.contains('&'));
}

#[test]
fn pictures_are_well_formed_and_show_the_figures() {
    let (gpu, plan, counted) = product();
    let explanation = plan.explain_counted(gpu.profile(), &counted);
    let document = svg::document(std::slice::from_ref(&explanation));
    well_formed(&document);
    for figure in FIGURES {
        assert!(document.contains(figure), "{figure}");
    }
    // Lane 0 has 8 x 4 elements of the tile.
    assert_eq!(document.matches("#202020\"/>").count(), 8 * 4);
    well_formed(&svg::document(&[]));
    // Many SMs, waves and subgroups; none known.
    for (sms, size) in [(Some(1), 4), (Some(3), 8), (Some(200), 128), (None, 0)] {
        let gpu = with_profile(&gpu, |profile| (profile.sm_count, profile.subgroup_size) = (sms, (size, size)));
        let plans = [
            Matmul::default().plan(gpu.profile(), &[f32s(&[640, 8]), f32s(&[8, 640])]).unwrap(),
            Permute { dims: vec![1, 0] }.plan(gpu.profile(), &[f32s(&[500, 70])]).unwrap(),
        ];
        let explanations: Vec<Explanation> =
            plans.iter().map(|plan| plan.explain_counted(gpu.profile(), &[])).collect();
        let document = svg::document(&explanations);
        well_formed(&document);
        assert_eq!(document.contains(&format!("over {} SMs", sms.unwrap_or(0))), sms.is_some());
        for mapping in explanations.iter().flat_map(|explanation| &explanation.dispatches) {
            let text = picture::terminal(mapping);
            assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
            assert_eq!(text.contains("SM0"), sms.is_some());
        }
    }
}
