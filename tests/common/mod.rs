//! What the tests share: small tiles, sizes around their edges, devices and what is known of them.
#![allow(dead_code)] // Every test binary compiles this file and uses a part of it.

pub mod cases;

use tilewise::reference::{HostTensor, Random, Select, Twin};
use tilewise::verify::{self, Report, devices};
use tilewise::{Class, ContractionBody, ContractionVariant, DType, DeviceProfile, Gpu, Layout, wgpu};

/// Small tiles for the contraction bodies. Their kernels compile in a tenth of the full-size ones' time, and edges come
/// close together. Rows, columns and step differ, so that nothing can be taken for another, and 16 invocations are more
/// than one subgroup of drivers on the CPU, where barriers matter.
pub const TILED: ContractionVariant = ContractionVariant {
    body: ContractionBody::Tiled,
    lanes: (4, 4),
    per_lane: (3, 2),
    step: 4,
    parts: 1,
    winograd: 0,
};
/// The same tile without workgroup memory.
pub const DIRECT: ContractionVariant = ContractionVariant { body: ContractionBody::Direct, step: 1, ..TILED };
/// A panel's block for each invocation.
pub const STAGED: ContractionVariant = ContractionVariant {
    body: ContractionBody::Staged,
    lanes: (4, 4),
    per_lane: (4, 4),
    step: 8,
    parts: 1,
    winograd: 0,
};
/// Blocks in three rounds, the last not full; sums in parts, as many as there are steps in a short k.
pub const STAGED_UNEVENLY: ContractionVariant =
    ContractionVariant { lanes: (2, 4), per_lane: (8, 4), parts: 3, ..STAGED };
/// A few rows, with invocations along k alone.
pub const FEW_ROWS: ContractionVariant = ContractionVariant {
    body: ContractionBody::FewRows,
    lanes: (1, 8),
    per_lane: (8, 4),
    step: 4,
    parts: 1,
    winograd: 0,
};
/// A few columns, with invocations both ways, in parts.
pub const FEW_COLUMNS: ContractionVariant =
    ContractionVariant { body: ContractionBody::FewColumns, lanes: (2, 4), per_lane: (4, 4), parts: 3, ..FEW_ROWS };

/// The bodies of one subgroup on a device that has subgroups of one size. Of products: two loads of columns, and rows that
/// leave lanes over.
pub fn broadcast(gpu: &Gpu) -> Option<ContractionVariant> {
    of_a_subgroup(gpu, ContractionBody::Broadcast, (6, 8), 4)
}

/// Of convolutions: four output channels of patches of two rows.
pub fn patches(gpu: &Gpu) -> Option<ContractionVariant> {
    of_a_subgroup(gpu, ContractionBody::Patches, (4, 8), 1)
}

/// Two rows of fours, for convolutions whose groups have one channel.
pub const DEPTHWISE: ContractionVariant = ContractionVariant {
    body: ContractionBody::Depthwise,
    lanes: (4, 1),
    per_lane: (1, 8),
    step: 1,
    parts: 1,
    winograd: 0,
};

fn of_a_subgroup(gpu: &Gpu, body: ContractionBody, per_lane: (u32, u32), step: u32) -> Option<ContractionVariant> {
    let profile = gpu.profile();
    let (lanes, most) = profile.subgroup_size;
    let usable = lanes == most && profile.features.contains(wgpu::Features::SUBGROUP);
    usable.then_some(ContractionVariant { body, lanes: (lanes, 1), per_lane, step, parts: 1, winograd: 0 })
}

/// Two subgroups, of one matrix each; for those who ask for matrices, where there are any.
pub const COOPERATIVE: ContractionVariant = ContractionVariant {
    body: ContractionBody::Cooperative,
    lanes: (2, 1),
    per_lane: (16, 16),
    step: 16,
    parts: 1,
    winograd: 0,
};

/// Every body that a device can run, with small tiles.
pub fn bodies(gpu: &Gpu) -> Vec<ContractionVariant> {
    let plain = [TILED, DIRECT, STAGED, COOPERATIVE, FEW_ROWS, FEW_COLUMNS, DEPTHWISE];
    plain.into_iter().chain(broadcast(gpu)).chain(patches(gpu)).collect()
}

/// Those that a device may come to plan with. Drivers on the CPU take a tenth of a second and more for each kernel, and never
/// choose the staged ones, which have tests of their own.
fn usual_bodies(gpu: &Gpu) -> Vec<ContractionVariant> {
    match gpu.profile().class {
        Class::Cpu => [TILED, DIRECT, DEPTHWISE].into_iter().chain(broadcast(gpu)).chain(patches(gpu)).collect(),
        _ => bodies(gpu),
    }
}

/// An element an invocation: the least to compile, where each shape or epilogue needs a kernel of its own.
pub const SMALLEST: ContractionVariant = ContractionVariant {
    body: ContractionBody::Direct,
    lanes: (8, 1),
    per_lane: (1, 1),
    step: 1,
    parts: 1,
    winograd: 0,
};

/// Sizes around a tile's side: {0, 1, T - 1, T, T + 1, 2 T + 3}.
pub const fn around(tile: usize) -> [usize; 6] {
    [0, 1, tile - 1, tile, tile + 1, 2 * tile + 3]
}

/// Every device, planning with small tiles. Where larger operands are read through textures, small ones are too.
pub fn small_tiles() -> impl Iterator<Item = Gpu> {
    devices().iter().map(|gpu| {
        with_profile(gpu, |profile| {
            profile.contractions = usual_bodies(gpu);
            profile.texels = profile.texels.map(|_| 0);
        })
    })
}

/// Whether an adapter is known to keep to IEEE with NaN and infinity, by its name: WGSL does not ask it of devices.
pub fn keeps_to_ieee(adapter: &str) -> bool {
    adapter.contains("llvmpipe") || adapter.contains("emulator")
}

/// The first device of wgpu; without one a line on standard error, once a process, says that tests which need one check
/// nothing.
pub fn device() -> Option<&'static Gpu> {
    static SAID: std::sync::Once = std::sync::Once::new();
    let device = devices().iter().find(|gpu| !gpu.is_emulated());
    if device.is_none() {
        // Past the harness, which keeps the output of tests that pass to itself.
        let line = "no adapter: tests that need a device of wgpu check nothing";
        SAID.call_once(|| drop(std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes())));
    }
    device
}

/// A device with a changed profile.
pub fn with_profile(gpu: &Gpu, change: impl FnOnce(&mut DeviceProfile)) -> Gpu {
    let mut profile = gpu.profile().clone();
    change(&mut profile);
    gpu.with_profile(profile)
}

/// Whole numbers: their sums are exact in any order.
pub fn integers(random: &mut Random, shape: &[usize]) -> HostTensor {
    HostTensor::new(shape, &random.integers(shape.iter().product())).unwrap()
}

/// Numbers in [-1, 1).
pub fn floats(random: &mut Random, shape: &[usize]) -> HostTensor {
    HostTensor::new(shape, &random.floats(shape.iter().product())).unwrap()
}

/// The layout of an f32 tensor.
pub fn f32s(shape: &[usize]) -> Layout {
    Layout::new(shape, DType::F32)
}

/// Asserts that nothing is wrong or suspect, and that whole numbers came out to the bit.
#[track_caller]
pub fn passes(op: &impl Twin, report: &Report, exact: bool) {
    report.assert_strict();
    assert!(!exact || report.exact_mismatches == 0, "{op:?}: {report}");
}

/// Verifies all bodies with small tiles on every device; whole numbers must come out to the bit.
#[track_caller]
pub fn check(op: &impl Twin, inputs: &[HostTensor], exact: bool) {
    for gpu in small_tiles() {
        for report in verify::candidates(&gpu, op, inputs).unwrap() {
            passes(op, &report, exact);
        }
    }
}

/// As [`check`] for these variants: where each costs the compilation of a kernel for a single shape.
#[track_caller]
pub fn check_variants(op: &impl Twin, inputs: &[HostTensor], exact: bool, variants: &[ContractionVariant]) {
    for gpu in devices() {
        let gpu = with_profile(gpu, |profile| profile.contractions = variants.to_vec());
        for report in verify::candidates(&gpu, op, inputs).unwrap() {
            passes(op, &report, exact);
        }
    }
}

/// Verifies every candidate that a device has for the op, at its full size: exact on whole numbers, within the bound on
/// random ones. Their rounding has to leave a trace somewhere.
#[track_caller]
pub fn check_full_size(op: &impl Twin, shapes: &[&[usize]]) {
    let mut random = Random::new(0xF0);
    for gpu in devices() {
        let mut draw = |make: fn(&mut Random, &[usize]) -> HostTensor| -> Vec<HostTensor> {
            shapes.iter().map(|shape| make(&mut random, shape)).collect()
        };
        for report in verify::candidates(gpu, op, &draw(integers)).unwrap() {
            passes(op, &report, true);
        }
        let reports = verify::candidates(gpu, op, &draw(floats)).unwrap();
        reports.iter().for_each(|report| passes(op, report, false));
        assert!(reports.iter().any(|report| report.worst.fraction > 0.0), "no rounding anywhere: {}", reports[0]);
    }
}

/// Verifies that plans for a changed profile split the work into more than `least` dispatches and still come out to the bit.
#[track_caller]
pub fn check_split(op: &impl Twin, inputs: &[HostTensor], least: usize, change: impl Fn(&mut DeviceProfile)) {
    for gpu in small_tiles() {
        let gpu = with_profile(&gpu, &change);
        for plan in op.plans(gpu.profile(), &verify::guarded_layouts(inputs)).unwrap() {
            assert!(plan.dispatches.len() > least, "{plan}");
            let limits = &gpu.profile().limits;
            let limit = limits.max_storage_buffer_binding_size - u64::from(limits.min_storage_buffer_offset_alignment);
            for binding in plan.dispatches.iter().flat_map(|dispatch| &dispatch.bindings) {
                assert!(binding.range.end - binding.range.start <= limit, "{binding:?}");
            }
            passes(op, &verify::plan(&gpu, op, &plan, inputs).unwrap(), true);
        }
    }
}

/// Makes bindings of at most so many bytes.
pub fn small_bindings(bytes: u64) -> impl Fn(&mut DeviceProfile) {
    move |profile| {
        let limits = &mut profile.limits;
        limits.max_storage_buffer_binding_size = bytes + u64::from(limits.min_storage_buffer_offset_alignment);
    }
}

/// Makes dispatches of at most so many FLOP.
pub fn small_budget(flops: u64) -> impl Fn(&mut DeviceProfile) {
    move |profile| {
        profile.floor_flops = 1.0;
        profile.work_budget = std::time::Duration::from_secs(flops);
    }
}

/// Asserts that an op's projection passes what its twin expects, and fails for one element a little beyond the bound, for a
/// NaN and for a lost channel of one image, each in its place. `place(flat)` is the projection's row of an element.
#[track_caller]
pub fn check_projection(op: &impl Twin, shapes: &[&[usize]], place: impl Fn(usize) -> usize) {
    let mut random = Random::new(0xF2);
    let inputs: Vec<HostTensor> = shapes.iter().map(|shape| floats(&mut random, shape)).collect();
    let expected = op.twin(&inputs, &Select::All).unwrap().swap_remove(0);
    let right: Vec<f32> = expected.values.iter().map(|value| value.value as f32).collect();
    let project = |values: &[f32]| {
        let projection = op.project(&inputs, &HostTensor::new(&expected.shape, values).unwrap(), 7).unwrap();
        (projection.worst_fraction, projection.row)
    };
    let clean = project(&right).0;
    assert!(clean > 0.0 && clean < 1.0, "{op:?}: {clean}");
    let columns = op.matrix(&expected.shape).1;
    for flat in [0, right.len() / 2 + 1, right.len() - 1] {
        let with = |change: &dyn Fn(&mut [f32])| {
            let mut values = right.clone();
            change(&mut values);
            project(&values)
        };
        // Far off, an element shows where the bound lies; then twice as far and half as far.
        let (fraction, row) = with(&|values| values[flat] += 1.0);
        assert_eq!(row, place(flat), "{op:?}");
        let bound = (1.0 / fraction) as f32;
        assert!(with(&|values| values[flat] += 2.0 * bound).0 > 1.0, "{op:?}: {bound}");
        assert!(with(&|values| values[flat] += 0.1 * bound).0 < 1.0, "{op:?}: {bound}");
        assert_eq!(with(&|values| values[flat] = f32::NAN), (f64::INFINITY, place(flat)), "{op:?}");
        let first = flat / columns * columns;
        assert!(with(&|values| values[first..first + columns].fill(0.0)).0 > 1.0, "{op:?}: a lost row");
    }
}

/// Verifies an op above the threshold of sampling, with a device's best candidate: sampled and projected.
#[track_caller]
pub fn check_sampled(op: &impl Twin, shapes: &[&[usize]]) {
    let mut random = Random::new(0xF3);
    let inputs: Vec<HostTensor> = shapes.iter().map(|shape| floats(&mut random, shape)).collect();
    for gpu in devices() {
        let report = verify::op(gpu, op, &inputs).unwrap();
        passes(op, &report, false);
        assert!(report.sampled && report.projection.is_some_and(|fraction| fraction > 0.0), "{report}");
    }
}

/// Rows of choices, one for each of the factors, in which every pair of choices of two factors occurs; `levels` says how
/// many choices each factor has. Greedy: each row takes the choices that meet the most pairs not met yet.
pub fn pairwise(levels: &[usize]) -> Vec<Vec<usize>> {
    let mut open = std::collections::BTreeSet::new();
    for j in 0..levels.len() {
        for i in 0..j {
            open.extend((0..levels[i]).flat_map(|x| (0..levels[j]).map(move |y| (i, x, j, y))));
        }
    }
    let mut rows = Vec::new();
    while let Some(&(i, x, j, y)) = open.first() {
        let mut row = vec![None; levels.len()];
        (row[i], row[j]) = (Some(x), Some(y));
        for factor in 0..levels.len() {
            let gain = |choice: usize| {
                let met = |(other, taken): (usize, &Option<usize>)| {
                    let (low, high) = if other < factor { (other, factor) } else { (factor, other) };
                    taken.is_some_and(|taken| {
                        let (a, b) = if other < factor { (taken, choice) } else { (choice, taken) };
                        open.contains(&(low, a, high, b))
                    })
                };
                row.iter().enumerate().filter(|(other, _)| *other != factor).filter(|pair| met(*pair)).count()
            };
            if row[factor].is_none() {
                // Among equals, turn: else the last choices would only ever come alone.
                row[factor] = (0..levels[factor]).map(|c| (c + rows.len()) % levels[factor]).max_by_key(|&c| gain(c));
            }
        }
        let row: Vec<usize> = row.into_iter().flatten().collect();
        open.retain(|&(i, x, j, y)| row[i] != x || row[j] != y);
        rows.push(row);
    }
    rows
}

/// Elements of f32 or f16: whole numbers from -2 to 2, whose sums f16 holds exactly up to 512 products, or fractions with more
/// digits than f16 has.
pub fn small(random: &mut Random, shape: &[usize], dtype: DType, whole: bool) -> HostTensor {
    let len = shape.iter().product();
    let elements: Vec<f32> =
        if whole { (0..len).map(|_| random.below(5) as f32 - 2.0).collect() } else { random.floats(len) };
    match dtype {
        DType::F16 => {
            let elements: Vec<half::f16> = elements.into_iter().map(half::f16::from_f32).collect();
            HostTensor::new(shape, &elements).unwrap()
        }
        _ => HostTensor::new(shape, &elements).unwrap(),
    }
}

/// A tensor of u32 of one dimension.
pub fn u32s(elements: &[u32]) -> HostTensor {
    HostTensor::new(&[elements.len()], elements).unwrap()
}
