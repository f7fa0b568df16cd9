//! The ops that mutants run in: every file of the shaders, each of its lines where it makes a difference, at sizes that an
//! interpreter runs in milliseconds.

use std::time::Duration;

use tilewise::reference::{HostTensor, Random, Twin};
use tilewise::{
    Activation, AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, BatchNorm, Binary, BinaryKind, Class, Concat,
    ContractionBody, ContractionVariant, Conv2d, ConvTranspose2d, DType, Dequantize, DequantizeLinear, DeviceProfile,
    DynamicQuantize, DynamicQuantizeLinear, FakeQuantize, Granularity, Histogram, Layout, LogSoftmax, Matmul,
    MaxPool2d, PackValues, Pad, PadMode, Padding, Permute, Precision, QuantLayout, QuantScheme, QuantType, Quantize,
    QuantizeLinear, Ranges, Reduce, ReduceKind, Softmax, Unary, UnaryKind, UnpackValues,
};

/// An op on its inputs, planned for a profile.
pub struct Case {
    /// The op.
    pub op: Box<dyn Twin>,
    /// Its inputs.
    pub inputs: Vec<HostTensor>,
    /// Whether the twin's values have to come out to the bit.
    pub exact: bool,
    /// The device that it is planned for.
    pub profile: DeviceProfile,
}

/// Small tiles, all sides of which differ.
const TILED: ContractionVariant = ContractionVariant {
    body: ContractionBody::Tiled,
    lanes: (4, 4),
    per_lane: (3, 2),
    step: 4,
    parts: 1,
    winograd: 0,
};
const DIRECT: ContractionVariant = ContractionVariant { body: ContractionBody::Direct, step: 1, ..TILED };
const BROADCAST: ContractionVariant =
    ContractionVariant { body: ContractionBody::Broadcast, lanes: (8, 1), per_lane: (6, 8), ..TILED };
const PATCHES: ContractionVariant = ContractionVariant {
    body: ContractionBody::Patches,
    lanes: (8, 1),
    per_lane: (4, 8),
    step: 1,
    parts: 1,
    winograd: 0,
};
const DEPTHWISE: ContractionVariant = ContractionVariant {
    body: ContractionBody::Depthwise,
    lanes: (4, 1),
    per_lane: (1, 8),
    step: 1,
    parts: 1,
    winograd: 0,
};
/// A block of a panel for each invocation; blocks in three rounds, the last not full, and sums in parts.
const STAGED: ContractionVariant = ContractionVariant {
    body: ContractionBody::Staged,
    lanes: (4, 4),
    per_lane: (4, 4),
    step: 8,
    parts: 1,
    winograd: 0,
};
const STAGED_UNEVENLY: ContractionVariant = ContractionVariant { lanes: (4, 3), per_lane: (8, 8), parts: 3, ..STAGED };
/// Two matrices a subgroup and two steps of them; and three of the smaller ones, with sums in parts.
const COOPERATIVE: ContractionVariant = ContractionVariant {
    body: ContractionBody::Cooperative,
    lanes: (2, 2),
    per_lane: (32, 16),
    step: 32,
    parts: 1,
    winograd: 0,
};
const COOPERATIVE_IN_PARTS: ContractionVariant =
    ContractionVariant { lanes: (3, 1), per_lane: (16, 24), step: 16, parts: 3, ..COOPERATIVE };
const FEW_ROWS: ContractionVariant = ContractionVariant {
    body: ContractionBody::FewRows,
    lanes: (1, 8),
    per_lane: (8, 4),
    step: 4,
    parts: 1,
    winograd: 0,
};
const FEW_COLUMNS: ContractionVariant =
    ContractionVariant { body: ContractionBody::FewColumns, lanes: (2, 4), per_lane: (4, 4), parts: 3, ..FEW_ROWS };

struct List {
    cases: Vec<Case>,
    profile: DeviceProfile,
    random: Random,
}

impl List {
    /// A body of one subgroup, where subgroups have one size.
    fn of_a_subgroup(&self, body: ContractionVariant) -> Option<ContractionVariant> {
        let (lanes, most) = self.profile.subgroup_size;
        let usable = lanes == most && self.profile.features.contains(tilewise::wgpu::Features::SUBGROUP);
        usable.then_some(ContractionVariant { lanes: (lanes, 1), ..body })
    }

    fn push(&mut self, op: impl Twin + 'static, inputs: Vec<HostTensor>, exact: bool) -> &mut DeviceProfile {
        self.cases.push(Case { op: Box::new(op), inputs, exact, profile: self.profile.clone() });
        let last = self.cases.len() - 1;
        &mut self.cases[last].profile
    }

    /// Whole numbers, whose results are exact.
    fn exact(&mut self, op: impl Twin + 'static, shapes: &[&[usize]]) -> &mut DeviceProfile {
        let draw = |shape: &&[usize]| tensor(shape, &self.random.integers(shape.iter().product()));
        let inputs = shapes.iter().map(draw).collect();
        self.push(op, inputs, true)
    }

    /// -1, 0 and 1: whole also where a method makes much larger numbers of them on its way.
    fn units(&mut self, op: impl Twin + 'static, shapes: &[&[usize]]) -> &mut DeviceProfile {
        let Self { random, .. } = self;
        let mut draw = |shape: &&[usize]| {
            let elements: Vec<f32> = (0..shape.iter().product()).map(|_| random.below(3) as f32 - 1.0).collect();
            tensor(shape, &elements)
        };
        let inputs = shapes.iter().map(&mut draw).collect();
        self.push(op, inputs, true)
    }

    /// Inputs such as the op is meant for.
    fn drawn(&mut self, op: impl Twin + 'static, layouts: &[Layout], exact: bool) -> &mut DeviceProfile {
        let inputs = op.draw(layouts, &mut self.random).expect("layouts that the op takes");
        self.push(op, inputs, exact)
    }

    /// Numbers in [-1, 1).
    fn floats(&mut self, op: impl Twin + 'static, shapes: &[&[usize]]) -> &mut DeviceProfile {
        let draw = |shape: &&[usize]| tensor(shape, &self.random.floats(shape.iter().product()));
        let inputs = shapes.iter().map(draw).collect();
        self.push(op, inputs, false)
    }
}

fn tensor<T: tilewise::Element>(shape: &[usize], elements: &[T]) -> HostTensor {
    HostTensor::new(shape, elements).expect("a shape of its own elements")
}

/// Bindings of at most so many bytes.
fn small_bindings(profile: &mut DeviceProfile, bytes: u64) {
    let limits = &mut profile.limits;
    limits.max_storage_buffer_binding_size = bytes + u64::from(limits.min_storage_buffer_offset_alignment);
}

/// Dispatches of at most so many operations.
fn small_budget(profile: &mut DeviceProfile, operations: u64) {
    (profile.floor_flops, profile.work_budget) = (1.0, Duration::from_secs(operations));
}

/// Grids that fold over all three sides, with a surplus of workgroups. Of 3 a side, so that 10 workgroups make 3 x 2 x 2.
fn small_grid(profile: &mut DeviceProfile, side: u32) {
    profile.limits.max_compute_workgroups_per_dimension = side;
}

/// Every case, for devices with the given profile.
pub fn cases(profile: &DeviceProfile) -> Vec<Case> {
    let mut profile = profile.clone();
    profile.contractions = vec![
        TILED,
        DIRECT,
        STAGED,
        STAGED_UNEVENLY,
        COOPERATIVE,
        COOPERATIVE_IN_PARTS,
        FEW_ROWS,
        FEW_COLUMNS,
        DEPTHWISE,
    ];
    let mut list = List { cases: Vec::new(), profile, random: Random::new(0x3117A) };
    let of_a_subgroup = [BROADCAST, PATCHES].into_iter().filter_map(|body| list.of_a_subgroup(body));
    list.profile.contractions.extend(of_a_subgroup.collect::<Vec<_>>());
    contractions(&mut list);
    convolutions(&mut list);
    maps(&mut list);
    functions(&mut list);
    pools(&mut list);
    reductions(&mut list);
    rounded_products(&mut list);
    quantization(&mut list);
    list.cases
}

/// Numbers kept in few bits, and back: rows that end within words, every granularity, quotients beside ties, odd numbers.
fn quantization(list: &mut List) {
    const SHAPE: [usize; 3] = [3, 5, 14];
    let x = |shape: &[usize]| Layout::new(shape, DType::F32);
    for (values, granularity, symmetric) in [
        (QuantType::I8, Granularity::Tensor, true),
        (QuantType::I8, Granularity::Channel(1), false),
        (QuantType::U8, Granularity::Channel(0), false),
        (QuantType::U8, Granularity::Tensor, true),
        (QuantType::I4, Granularity::Block(32), false),
        (QuantType::I4, Granularity::Channel(2), true),
        (QuantType::Binary, Granularity::Channel(0), true),
        (QuantType::Binary, Granularity::Block(64), true),
    ] {
        for scales in [DType::F32, DType::F16] {
            let scheme = QuantScheme { values, granularity, symmetric, scales };
            let Ok(layout) = QuantLayout::new(scheme, &SHAPE) else { continue };
            let Ok(planes) = layout.planes() else { continue };
            let scaled = || [x(&SHAPE)].into_iter().chain(planes[1..].iter().cloned()).collect::<Vec<_>>();
            let bytes = Layout::new(&SHAPE, if values == QuantType::U8 { DType::U8 } else { DType::I8 });
            list.drawn(Quantize { layout: layout.clone() }, &scaled(), true);
            list.drawn(FakeQuantize { layout: layout.clone() }, &scaled(), false);
            list.drawn(Dequantize { layout: layout.clone(), output: DType::F32 }, &planes, false);
            list.drawn(DynamicQuantize { layout: layout.clone() }, &[x(&SHAPE)], values != QuantType::Binary);
            small_grid(
                list.drawn(DynamicQuantize { layout: layout.clone() }, &[x(&SHAPE)], values != QuantType::Binary),
                2,
            );
            list.drawn(PackValues { layout: layout.clone() }, &[bytes], true);
            list.drawn(UnpackValues { layout }, &planes[..1], true);
        }
    }
    // Several workgroups.
    let (large, scheme) = ([9, 212], QuantScheme { symmetric: false, ..QuantScheme::default() });
    if let Ok(layout) = QuantLayout::new(scheme, &large)
        && let Ok(planes) = layout.planes()
    {
        let scaled = || [x(&large)].into_iter().chain(planes[1..].iter().cloned()).collect::<Vec<_>>();
        let bytes = || Layout::new(&large, DType::I8);
        list.drawn(Quantize { layout: layout.clone() }, &scaled(), true);
        list.drawn(FakeQuantize { layout: layout.clone() }, &scaled(), false);
        list.drawn(Dequantize { layout: layout.clone(), output: DType::F32 }, &planes, false);
        list.drawn(PackValues { layout: layout.clone() }, &[bytes()], true);
        list.drawn(UnpackValues { layout }, &planes[..1], true);
        let op = QuantizeLinear { output: DType::I8, ..QuantizeLinear::default() };
        list.drawn(op, &[x(&large), x(&[1])], true);
        list.drawn(DequantizeLinear::default(), &[bytes(), x(&[1])], false);
    }
    // Rows that end between words of four.
    for (values, granularity) in [
        (QuantType::I8, Granularity::Channel(0)),
        (QuantType::I8, Granularity::Block(32)),
        (QuantType::I4, Granularity::Block(32)),
    ] {
        let (shape, scheme) = ([3, 20], QuantScheme { values, granularity, ..QuantScheme::default() });
        if let Ok(layout) = QuantLayout::new(scheme, &shape)
            && let Ok(planes) = layout.planes()
        {
            let scaled: Vec<Layout> = [x(&shape)].into_iter().chain(planes[1..].iter().cloned()).collect();
            list.drawn(Quantize { layout: layout.clone() }, &scaled, true);
            list.drawn(Dequantize { layout, output: DType::F32 }, &planes, false);
        }
    }
    let axis = |axis| Granularity::Channel(axis);
    // Ranges in parts, several of them.
    for granularity in [Granularity::Tensor, axis(0), axis(1)] {
        let scheme = QuantScheme { granularity, symmetric: false, ..QuantScheme::default() };
        for shape in [[2, 301], [300, 2]] {
            let Ok(layout) = QuantLayout::new(scheme, &shape) else { continue };
            list.drawn(DynamicQuantize { layout }, &[x(&shape)], true);
            let Ok(layout) =
                QuantLayout::new(QuantScheme { values: QuantType::Binary, symmetric: true, ..scheme }, &shape)
            else {
                continue;
            };
            list.drawn(DynamicQuantize { layout }, &[x(&shape)], false);
            let groups = match granularity {
                Granularity::Channel(axis) => shape[axis],
                _ => 1,
            };
            list.drawn(Ranges { granularity }, &[x(&shape), Layout::new(&[groups, 2], DType::U32)], true);
        }
    }
    let counts = Layout::new(&[1 << 10], DType::U32);
    list.drawn(Histogram { mantissa: 1 }, &[x(&[300]), counts.clone()], true);
    small_grid(list.drawn(Histogram { mantissa: 1 }, &[x(&[3000]), counts.clone()], true), 2);
    for (output, block, scales) in [
        (DType::I8, None, vec![]),
        (DType::U8, None, vec![5]),
        (DType::U8, Some(2), vec![3, 3, 14]),
        (DType::I8, Some(3), vec![3, 2, 14]),
    ] {
        let (scale, zeros) = (x(&scales), Layout::new(&scales, output));
        let op = QuantizeLinear { axis: 1, block, output };
        list.drawn(op, &[x(&SHAPE), scale.clone(), zeros.clone()], true);
        small_grid(list.drawn(op, &[x(&SHAPE), scale.clone()], true), 2);
        let op = DequantizeLinear { axis: 1, block, output: DType::F32 };
        list.drawn(op, &[Layout::new(&SHAPE, output), scale.clone(), zeros], false);
        small_grid(list.drawn(op, &[Layout::new(&SHAPE, output), scale], false), 2);
    }
    for len in [1, 7, 200] {
        list.drawn(DynamicQuantizeLinear, &[x(&[len])], true);
    }
    // Quotients that f32 rounds to a tie, or just not; the largest, the smallest and no numbers; ends of the range.
    let mut numbers =
        vec![f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, f32::MAX, f32::MIN, 1e-40, -2e-40];
    let mut scales = vec![1.0f32; numbers.len()];
    for at in 0..2000 {
        let mantissa = list.random.bits() as u32 & 0x7f_ffff;
        let scale = if at % 8 == 0 { 1.0 } else { f32::from_bits(mantissa | (100 + at % 50) << 23) };
        let tie = (list.random.below(514) as f32 - 257.0 + if at % 3 == 0 { 0.0 } else { 0.5 }) * scale;
        let step = list.random.below(7) as i32 - 3;
        numbers.push(f32::from_bits((tie.to_bits() as i32).wrapping_add(step) as u32));
        scales.push(scale);
    }
    // Infinity by the largest scales, and quotients of very small numbers, which have fewer digits.
    numbers.extend([f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x40_0000), f32::from_bits(0x60_0000)]);
    scales.extend([f32::MAX, 1.5e38, f32::from_bits(0x80_0000), f32::from_bits(0xc0_0000)]);
    for at in 0..200u32 {
        numbers.push(f32::from_bits(at * at * 300 + 7));
        scales.push(f32::from_bits(0x0080_0000 + 40_000 * at));
    }
    for values in [QuantType::I8, QuantType::U8] {
        let scheme = QuantScheme { values, granularity: axis(0), ..QuantScheme::default() };
        let Ok(layout) = QuantLayout::new(scheme, &[numbers.len()]) else { continue };
        let inputs = vec![tensor(&[numbers.len()], &numbers), tensor(&[numbers.len()], &scales)];
        list.push(Quantize { layout }, inputs, true);
    }
    let counted = vec![tensor(&[numbers.len()], &numbers), tensor(&[1 << 10], &[3u32; 1 << 10])];
    list.push(Histogram { mantissa: 1 }, counted, true);
    // Ranges of every magnitude and sign.
    let mut wild: Vec<f32> = (0..8000).map(|_| f32::from_bits(list.random.bits() as u32)).collect();
    for at in 0..100 {
        let large = f32::from_bits(list.random.bits() as u32 & 0x7fff_ffff | 0x3f00_0000).min(3e38);
        let bits = large.to_bits() & 0xff80_0000;
        wild.extend([large, -large / (1 << (at % 40)) as f32, f32::from_bits(bits), f32::from_bits(bits | 1)]);
        wild.extend([-f32::from_bits(bits), large.min(1e6), 0.0, -1e-38]);
    }
    wild.extend([f32::MAX, f32::MIN, f32::MAX, f32::MAX, 3e-38, 0.0, 0.0, 0.0, f32::NAN, f32::INFINITY, 2.0, -1.0]);
    wild.extend([0.0, 0.0, -0.0, 0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, 1e5, -1e5, 7e4, 0.0]);
    wild.extend([1e-3, 0.0, 0.0, -1e-4, 8e-3, -2e-7, 0.0, 0.0]);
    // Scales beside the smallest: by the least of numbers, and by less.
    for at in 0..40 {
        let large = f32::from_bits(((2 + at / 4) << 23) | (0x12_3456 * (at % 4)));
        wild.extend([large, -f32::MIN_POSITIVE, 0.0, 0.0, large, -1e-39, 0.0, 0.0]);
    }
    // Sums just above a tie, by digits far below it.
    for at in 0..40u32 {
        let large = 1.0 + at as f32 / 64.0;
        wild.extend([large, -(1.0 + 1.0 / (1 << (8 + at % 14)) as f32) / (1 << 24) as f32, 0.0, 0.0]);
    }
    // In pieces that bindings take.
    for wild in wild.chunks(4 * 1200) {
        let shape = [wild.len() / 4, 4];
        for values in [QuantType::I8, QuantType::U8, QuantType::I4, QuantType::Binary] {
            for symmetric in [true, false] {
                for scales in [DType::F32, DType::F16] {
                    let scheme = QuantScheme { values, granularity: axis(0), symmetric, scales };
                    let Ok(layout) = QuantLayout::new(scheme, &shape) else { continue };
                    let inputs = vec![tensor(&shape, wild)];
                    list.push(DynamicQuantize { layout }, inputs, values != QuantType::Binary);
                }
            }
        }
    }
}

/// Factors that may be rounded, those of whole numbers not.
fn rounded_products(list: &mut List) {
    let op = Matmul { precision: Precision::F16Multiply, ..Default::default() };
    list.exact(op, &[&[2, 65, 40], &[40, 75]]);
    // More steps than a fault of one could hide in.
    list.exact(op, &[&[5, 350], &[350, 8]]);
    list.floats(op, &[&[9, 17], &[17, 35]]);
    // A surplus of workgroups, that would lie beyond the last entry.
    small_grid(list.exact(op, &[&[10, 9, 3], &[10, 3, 5]]), 3);
    // Runs of a row, the last shorter, and whole vectors.
    let depthwise = Conv2d { groups: 2, ..Default::default() };
    list.exact(depthwise, &[&[1, 2, 2, 262], &[2, 1, 1, 3]]).class = Class::Cpu;
}

fn contractions(list: &mut List) {
    let op = Matmul::default();
    // Around a tile of 12 x 8 and a step of 4.
    list.exact(op, &[&[11, 3], &[3, 7]]);
    list.exact(op, &[&[12, 8], &[8, 8]]);
    list.exact(op, &[&[13, 9], &[9, 9]]);
    list.floats(op, &[&[13, 9], &[9, 9]]);
    // Batch dimensions that do not merge into one.
    list.exact(op, &[&[2, 2, 2, 5, 3], &[2, 1, 2, 3, 7]]);
    // Operands that are read in vectors as they lie.
    let transposed = Matmul { transpose_b: true, ..Default::default() };
    list.exact(transposed, &[&[2, 1, 2, 5, 8], &[2, 2, 2, 9, 8]]);
    list.exact(transposed, &[&[9, 12], &[14, 12]]);
    list.exact(op, &[&[2, 1, 2, 5, 8], &[2, 2, 2, 8, 12]]);
    // Whole tiles of the broadcast body, and rows that take a lane more than one load.
    if let Some(broadcast) = list.of_a_subgroup(BROADCAST) {
        let columns = broadcast.lanes.0 as usize * broadcast.per_lane.1 as usize;
        list.exact(op, &[&[2, 3, 4], &[2, 4, columns]]);
        let rows = broadcast.lanes.0 + broadcast.lanes.0 / 4;
        let tall = ContractionVariant { per_lane: (rows, 4), ..broadcast };
        let rows = rows as usize;
        list.exact(op, &[&[rows + 3, 8], &[8, 12]]).contractions = vec![tall];
    }
    list.exact(op, &[&[3, 12, 5], &[3, 5, 16]]);
    // Infinity in the last of k, times whatever is staged in its place.
    for operand in [0, 1] {
        let mut values = [list.random.integers(65), list.random.integers(45)];
        (values[0][64], values[1][44]) = (3.0, 2.0);
        values[operand].iter_mut().next_back().into_iter().for_each(|last| *last = f32::INFINITY);
        list.push(op, vec![tensor(&[13, 5], &values[0]), tensor(&[5, 9], &values[1])], true);
    }
    list.exact(op, &[&[1, 1], &[1, 1]]);
    list.exact(op, &[&[3, 0], &[0, 4]]);
    for (transpose_a, transpose_b) in [(true, false), (false, true), (true, true)] {
        let op = Matmul { transpose_a, transpose_b, ..op };
        let (a, b) = (if transpose_a { [6, 10] } else { [10, 6] }, if transpose_b { [14, 6] } else { [6, 14] });
        list.exact(op, &[&a, &b]);
    }
    // Fours that lie as vectors either way, around the tiles of the bodies that load them, and more than a band of tiles.
    for (transpose_a, transpose_b) in [(false, false), (true, false), (false, true), (true, true)] {
        let op = Matmul { transpose_a, transpose_b, ..op };
        for (m, n, k) in [(20, 12, 12), (12, 36, 76), (156, 12, 8), (168, 20, 8)] {
            let (a, b) = (if transpose_a { [k, m] } else { [m, k] }, if transpose_b { [n, k] } else { [k, n] });
            list.exact(op, &[&a, &b]);
        }
        list.exact(
            op,
            &[&[2, 1, 3, 8, 12], &[1, 3, 1, 12, 8]]
                .map(|shape| {
                    let mut shape = shape.to_vec();
                    let flip = if shape[1] == 1 { transpose_a } else { transpose_b };
                    if flip {
                        shape.swap(3, 4);
                    }
                    shape
                })
                .each_ref()
                .map(|shape| shape.as_slice()),
        );
    }
    // Batches of three dimensions that do not merge, and an addend that has them too.
    list.exact(op, &[&[2, 1, 3, 5, 4], &[1, 3, 1, 4, 6]]);
    list.exact(op, &[&[1, 2, 1, 5, 4], &[3, 1, 2, 4, 6]]);
    list.exact(op, &[&[2, 3, 2, 5, 3], &[1, 3, 1, 3, 6]]);
    let factors = Matmul { alpha: 0.5, beta: -2.0, ..op };
    list.exact(factors, &[&[2, 1, 3, 5, 4], &[1, 3, 1, 4, 6], &[2, 3, 3, 5, 6]]);
    list.exact(factors, &[&[2, 9, 5], &[5, 14], &[14]]);
    list.exact(factors, &[&[2, 9, 5], &[5, 14], &[9, 1]]);
    small_grid(list.exact(op, &[&[30, 3], &[3, 40]]), 3);
    small_grid(list.exact(op, &[&[3, 8, 3], &[3, 40]]), 3);
    // Whole tiles of all bodies, in batches.
    list.exact(op, &[&[2, 48, 8], &[8, 64]]);
    // With a surplus, of blocks of four.
    small_grid(list.exact(op, &[&[70, 3], &[3, 40]]), 3);
    small_grid(list.exact(op, &[&[8, 3], &[3, 40]]), 3);
    small_grid(list.exact(op, &[&[80, 3], &[3, 4]]), 3);
    small_grid(list.exact(op, &[&[20, 21], &[21, 33]]), 3);
    // Cut along k, and along rows and columns.
    for bytes in [700, 1200] {
        small_bindings(list.exact(Matmul { beta: 2.0, ..op }, &[&[9, 70], &[70, 10], &[10]]), bytes);
    }
    small_budget(list.exact(Matmul { beta: 2.0, ..op }, &[&[20, 21], &[21, 33], &[33]]), 3000);
    small_budget(list.exact(Matmul { alpha: 2.0, ..op }, &[&[2, 3], &[3, 2]]), 8);
}

fn convolutions(list: &mut List) {
    let sides = Padding { top: 2, left: 0, bottom: 1, right: 3 };
    let op = Conv2d::default();
    list.exact(op, &[&[2, 3, 5, 6], &[4, 3, 3, 2], &[4]]);
    list.exact(op, &[&[2, 3, 5, 6], &[4, 3, 1, 1], &[4]]);
    list.exact(Conv2d { stride: [2, 3], padding: sides, dilation: [2, 1], ..op }, &[&[2, 2, 6, 7], &[3, 2, 2, 3]]);
    list.exact(Conv2d { groups: 2, padding: Padding::all(1), ..op }, &[&[2, 4, 4, 5], &[6, 2, 3, 3], &[6]]);
    list.exact(Conv2d { groups: 3, dilation: [1, 2], ..op }, &[&[2, 3, 4, 6], &[3, 1, 2, 3]]);
    // Winograd's method: both tiles, ragged, and more than one workgroup of everything.
    for (winograd, tile) in [(2, 2), (4, 4)] {
        let op = Conv2d { precision: Precision::Winograd, ..op };
        let through = vec![ContractionVariant { winograd, ..DIRECT }];
        let ragged = Conv2d { padding: sides, groups: 2, ..op };
        list.units(ragged, &[&[3, 4, 4, 8], &[6, 2, 3, 3], &[6]]).contractions = through.clone();
        list.units(op, &[&[1, 8, 3 * tile + 2, 4 * tile + 2], &[9, 8, 3, 3]]).contractions = through;
    }
    // Depthwise: bands and runs of rows, in vectors and not, and two outputs of a channel.
    for class in [Class::Unknown, Class::Cpu] {
        list.exact(Conv2d { groups: 3, padding: sides, ..op }, &[&[1, 3, 5, 261], &[3, 1, 3, 3], &[3]]).class = class;
        let strided = Conv2d { groups: 2, stride: [2, 3], dilation: [1, 2], padding: Padding::all(1), ..op };
        list.exact(strided, &[&[2, 2, 6, 24], &[4, 1, 2, 3], &[4]]).class = class;
    }
    small_grid(list.exact(Conv2d { groups: 2, ..op }, &[&[1, 2, 9, 20], &[2, 1, 2, 3]]), 3);
    // Patches: several rows and lines of them, runs of several phases, kernels taken row by row.
    list.exact(Conv2d { padding: sides, ..op }, &[&[2, 3, 5, 30], &[8, 3, 2, 5], &[8]]);
    list.exact(Conv2d { stride: [2, 3], padding: sides, groups: 2, ..op }, &[&[2, 4, 6, 50], &[10, 2, 3, 6]]);
    list.exact(Conv2d { stride: [2, 2], padding: Padding::all(3), ..op }, &[&[1, 2, 9, 14], &[3, 2, 7, 7]]);
    small_grid(list.exact(op, &[&[1, 1, 10, 30], &[5, 1, 1, 3]]), 3);
    let padded = Conv2d { padding: Padding::all(1), ..op };
    small_bindings(list.exact(Conv2d { groups: 2, ..padded }, &[&[3, 4, 5, 6], &[4, 2, 3, 3], &[4]]), 500);
    small_budget(list.exact(padded, &[&[2, 2, 5, 13], &[3, 2, 3, 3]]), 2500);

    let op = ConvTranspose2d::default();
    list.exact(op, &[&[2, 3, 3, 4], &[3, 4, 3, 2], &[4]]);
    let even = ConvTranspose2d { stride: [2, 3], padding: Padding::all(1), ..op };
    list.exact(even, &[&[2, 2, 3, 4], &[2, 3, 4, 3], &[3]]);
    list.exact(
        ConvTranspose2d { output_padding: [1, 2], dilation: [2, 1], ..even },
        &[&[1, 2, 3, 4], &[2, 3, 2, 3], &[3]],
    );
    list.exact(ConvTranspose2d { groups: 2, stride: [2, 1], ..op }, &[&[2, 4, 3, 3], &[4, 2, 2, 3], &[4]]);
    small_budget(list.exact(even, &[&[2, 2, 4, 6], &[2, 3, 3, 3]]), 2500);
}

fn maps(list: &mut List) {
    let relu = || Unary::from(Activation::Relu);
    for len in [1, 63, 64, 65, 130] {
        list.exact(relu(), &[&[len]]);
    }
    small_grid(list.exact(relu(), &[&[64 * 9 + 5]]), 3);
    small_grid(list.exact(relu(), &[&[64 * 10]]), 3);
    list.exact(Binary::default(), &[&[2, 1, 2, 1, 3, 1], &[1, 3, 1, 3, 1, 2]]);
    list.exact(Binary::default(), &[&[1, 3, 1, 3, 1, 2], &[2, 1, 2, 1, 3, 1]]);
    list.exact(Binary::default(), &[&[2, 3, 4], &[3, 1]]);
    list.exact(Permute { dims: vec![3, 1, 0, 2] }, &[&[2, 3, 4, 5]]);
    list.exact(Permute { dims: vec![5, 4, 3, 2, 1, 0] }, &[&[2, 3, 2, 3, 2, 3]]);
    // In squares, with edges on either side, in more than one tile, and beside other dimensions.
    for class in [Class::Unknown, Class::Cpu] {
        for shape in [[40, 36], [36, 41], [41, 36], [16, 144]] {
            list.exact(Permute { dims: vec![1, 0] }, &[&shape]).class = class;
        }
        list.exact(Permute { dims: vec![5, 1, 3, 0, 2, 4] }, &[&[2, 2, 3, 2, 8, 8]]).class = class;
    }
    small_grid(list.exact(Permute { dims: vec![1, 0] }, &[&[36, 200]]), 3);
    // A surplus of workgroups, that would lie beyond the last matrix.
    small_grid(list.exact(Permute { dims: vec![0, 2, 1] }, &[&[5, 36, 40]]), 3);
    small_bindings(list.exact(Permute { dims: vec![1, 0] }, &[&[16, 20]]), 512);
    for dim in 0..3 {
        let shapes = [1, 3, 2].map(|side| {
            let mut shape = [3, 2, 5];
            shape[dim] = side;
            shape
        });
        list.exact(Concat { dim }, &shapes.each_ref().map(|shape| shape.as_slice()));
    }
    list.floats(BatchNorm { epsilon: 0.1, ..Default::default() }, &[&[2, 3, 4], &[3], &[3], &[3], &[3]]);
    let variance = tensor(&[3], &[0.3f32, 1.7, 0.2]);
    for activation in [Activation::default(), Activation::Relu] {
        let mut draw = |shape: &[usize]| tensor(shape, &list.random.floats(shape.iter().product()));
        let inputs = vec![draw(&[2, 3, 5]), draw(&[3]), draw(&[3]), draw(&[3]), variance.clone()];
        list.push(BatchNorm { epsilon: 0.1, activation }, inputs, false);
    }
    for mode in [PadMode::Constant(2.5), PadMode::Reflect, PadMode::Replicate, PadMode::Circular] {
        let op = |padding: Vec<[isize; 2]>| Pad { padding, mode };
        list.exact(op(vec![[2, 1], [1, 2], [2, 1], [1, 3]]), &[&[3, 3, 5, 4]]);
        list.exact(op(vec![[-1, 1], [1, -2], [-2, -1], [3, 3]]), &[&[2, 3, 5, 4]]);
        list.exact(op(vec![[1, 1]; 6]), &[&[2, 3, 2, 3, 2, 3]]);
        list.exact(op(vec![[64, 1]]), &[&[65]]);
        small_bindings(list.exact(op(vec![[9, 8], [11, 9]]), &[&[11, 20]]), 600);
    }
    list.exact(Pad { padding: vec![[2, 1], [0, 1]], ..Pad::default() }, &[&[0, 4]]);
    // Rows of whole vectors, more than a run of a CPU's driver in a row.
    for class in [Class::Unknown, Class::Cpu] {
        list.exact(Binary { kind: BinaryKind::Sub }, &[&[2, 1, 3, 36], &[2, 3, 1]]).class = class;
        list.exact(Binary { kind: BinaryKind::Sub }, &[&[5, 36], &[36]]).class = class;
        list.exact(Binary::default(), &[&[2, 1, 2, 1, 3, 8], &[1, 3, 1, 3, 1, 1]]).class = class;
        list.exact(Binary::default(), &[&[5, 36], &[1]]).class = class;
    }
    list.exact(relu(), &[&[(1 << 14) + 3]]).limits.max_storage_buffer_binding_size = 1 << 27;
    for mode in [PadMode::Constant(2.5), PadMode::Reflect] {
        list.exact(Pad { padding: vec![[2, 1], [-1, 3], [0, 0]], mode }, &[&[3, 4, 8]]);
    }
    list.exact(Pad { padding: vec![[8, 4]], ..Pad::default() }, &[&[0]]);
    small_bindings(list.exact(Binary::default(), &[&[30, 20], &[30, 1]]), 600);
    small_bindings(list.exact(relu(), &[&[500]]), 600);
}

fn functions(list: &mut List) {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    // Special places of the functions, and the numbers next to them.
    let mut ladder: Vec<f32> = (-24..=24).map(|i| i as f32 / 3.5).collect();
    for place in [0.25, 0.5, 1.0, 1.5, 2.5, 3.0, 6.0, 20.0, 90.0] {
        for x in [place, f32::next_up(place), f32::next_down(place)] {
            ladder.extend([x, -x]);
        }
    }
    ladder.extend([0.0, -0.0, nan, inf, -inf, f32::MAX, f32::MIN]);
    let x = tensor(&[ladder.len()], &ladder);
    let with_parameters = [
        Activation::LeakyRelu(-0.5),
        Activation::Elu(2.5),
        Activation::Celu(0.7),
        Activation::HardSigmoid(0.2, 0.5),
        Activation::Clamp(f32::NEG_INFINITY, 1.5),
        Activation::Clamp(-1.5, f32::INFINITY),
        Activation::Threshold(-0.5, 20.0),
        Activation::Threshold(2.5, -3.0),
    ];
    for activation in Activation::ALL.into_iter().chain(with_parameters) {
        list.push(Unary::from(activation), vec![x.clone()], false);
    }
    for kind in UnaryKind::ALL {
        list.push(Unary { kind }, vec![x.clone()], false);
    }
    let edges = [
        nan,
        inf,
        -inf,
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        -2.0,
        -3.0,
        3.0,
        0.5,
        -0.5,
        1.5,
        -1.5,
        0.75,
        16777216.0,
        16777215.0,
        -16777215.0,
        1e30,
        33.0,
    ];
    let (rows, columns) = (tensor(&[edges.len(), 1], &edges), tensor(&[edges.len()], &edges));
    for kind in BinaryKind::ALL {
        list.push(Binary { kind }, vec![rows.clone(), columns.clone()], false);
    }
    let edges = [i32::MIN, i32::MIN + 1, -7, -1, 0, 1, 7, i32::MAX];
    let words = edges.map(|edge| edge as u32);
    for kind in &BinaryKind::ALL[..6] {
        let op = Binary { kind: *kind };
        list.push(op, vec![tensor(&[8, 1], &edges), tensor(&[8], &edges)], true);
        list.push(op, vec![tensor(&[8, 1], &words), tensor(&[8], &words)], true);
    }
    for kind in [UnaryKind::Neg, UnaryKind::Abs, UnaryKind::Sign] {
        list.push(Unary { kind }, vec![tensor(&[8], &edges)], true);
    }
}

fn pools(list: &mut List) {
    let windows = [
        ([2, 2], [2, 2], [0, 0, 0, 0], [1, 1]),
        ([3, 2], [1, 3], [0, 1, 2, 0], [2, 1]),
        ([5, 3], [3, 2], [2, 0, 1, 2], [1, 3]),
        ([4, 3], [3, 2], [3, 2, 0, 1], [1, 1]),
        ([3, 3], [1, 1], [1, 1, 1, 1], [1, 1]),
    ];
    let shape: &[usize] = &[2, 3, 7, 8];
    for (kernel, stride, padding, dilation) in windows {
        let stride = Some(stride);
        for ceil_mode in [false, true] {
            let return_indices = true;
            list.exact(MaxPool2d { kernel, stride, padding, dilation, ceil_mode, return_indices }, &[shape]);
            if dilation == [1, 1] {
                for (count_include_pad, divisor_override) in [(true, None), (false, None), (true, Some(7))] {
                    let op = AvgPool2d { kernel, stride, padding, ceil_mode, count_include_pad, divisor_override };
                    list.floats(op, &[shape]);
                }
            }
        }
    }
    // Bands and runs of rows, in vectors and not.
    for class in [Class::Unknown, Class::Cpu] {
        for shape in [&[1, 2, 9, 68][..], &[1, 2, 6, 70]] {
            let op = MaxPool2d { kernel: [3, 3], padding: [1; 4], return_indices: true, ..Default::default() };
            for stride in [1, 2] {
                list.exact(MaxPool2d { stride: Some([stride; 2]), ..op }, &[shape]).class = class;
            }
            let op = AvgPool2d { kernel: [3, 2], stride: Some([1, 2]), ..Default::default() };
            list.floats(op, &[shape]).class = class;
            list.floats(AvgPool2d { padding: [1, 1, 1, 0], count_include_pad: false, ..op }, &[shape]).class = class;
        }
    }
    // Windows that end beyond the padding on the right.
    let wide = AvgPool2d { kernel: [2, 4], stride: Some([1, 3]), ceil_mode: true, ..Default::default() };
    list.floats(AvgPool2d { padding: [0, 0, 0, 1], ..wide }, &[shape]);
    list.exact(MaxPool2d { kernel: [3, 2], ..Default::default() }, &[shape]);
    let op =
        MaxPool2d { kernel: [3, 3], stride: Some([1, 1]), padding: [1; 4], return_indices: true, ..Default::default() };
    let mut values = list.random.integers(60);
    for at in [0, 17, 18, 45] {
        values[at] = f32::NAN;
    }
    list.push(op, vec![tensor(&[1, 2, 5, 6], &values)], true);
    let lowest = values.iter().map(|&x| if x < 0.0 { f32::NEG_INFINITY } else { x }).collect::<Vec<_>>();
    list.push(op, vec![tensor(&[1, 2, 5, 6], &lowest)], true);
    let words: Vec<u32> = (0..60).map(|_| list.random.bits() as u32).collect();
    list.push(op, vec![tensor(&[1, 2, 5, 6], &words)], true);
    for output in [[1, 1], [2, 3], [7, 8], [5, 3], [9, 1]] {
        list.floats(AdaptiveAvgPool2d { output }, &[shape]);
        list.exact(AdaptiveMaxPool2d { output, return_indices: true }, &[shape]);
    }
    let max = MaxPool2d { return_indices: true, ..Default::default() };
    small_grid(list.exact(max, &[&[1, 10, 16, 16]]), 3);
    small_bindings(list.exact(max, &[shape]), 300);
    // A plane that is one window, as a reduction.
    let whole = MaxPool2d { kernel: [40, 41], ..max };
    list.exact(whole, &[&[1, 2, 40, 41]]);
    list.floats(AdaptiveAvgPool2d::default(), &[&[1, 2, 40, 41]]);
}

fn reductions(list: &mut List) {
    use ReduceKind::{ArgMax, ArgMin, Max, Mean, Min, Sum};
    let eight: &[usize] = &[2, 3, 2, 3, 3, 2, 2, 2];
    for kind in [Sum, Mean, Max, Min, ArgMax, ArgMin] {
        let exact = kind != Mean;
        for len in [1, 7, 64, 65, 200] {
            let op = Reduce { kind, ..Default::default() };
            list.exact(op.clone(), &[&[len]]);
            list.exact(Reduce { last: true, ..op }, &[&[len]]);
            list.cases.iter_mut().rev().take(2).for_each(|case| case.exact = exact);
        }
        // In vectors; on drivers of CPUs by a subgroup, which values leave lanes over.
        for class in [Class::Unknown, Class::Cpu] {
            for len in [12, 40, 264] {
                for last in [false, true] {
                    let values: Vec<f32> = list.random.integers(2 * len).iter().map(|x| x - 9.0).collect();
                    let op = Reduce { kind, dims: vec![1], last, ..Default::default() };
                    list.push(op, vec![tensor(&[2, len], &values)], exact).class = class;
                }
            }
        }
        // Four columns at once.
        for class in [Class::Unknown, Class::Cpu] {
            for last in [false, true] {
                let values: Vec<f32> = list.random.integers(40 * 12).iter().map(|x| x - 9.0).collect();
                let op = Reduce { kind, dims: vec![0], last, ..Default::default() };
                list.push(op, vec![tensor(&[40, 12], &values)], exact).class = class;
            }
        }
        let arg = matches!(kind, ArgMax | ArgMin);
        for dims in [vec![1], vec![2], if arg { vec![0] } else { vec![0, 2] }] {
            list.exact(Reduce { kind, dims, ..Default::default() }, &[&[5, 6, 7]]);
            list.cases.iter_mut().rev().take(1).for_each(|case| case.exact = exact);
        }
        // NaN, infinities and ties.
        for marks in [
            &[(69, f32::NAN), (60, f32::NAN), (17, f32::INFINITY)][..],
            &[(0, f32::NAN)],
            &[(65, -99.0)],
            &[(33, -99.0), (77, f32::INFINITY)],
        ] {
            let mut values = list.random.integers(80);
            marks.iter().for_each(|&(at, value)| values[at] = value);
            list.push(Reduce { kind, ..Default::default() }, vec![tensor(&[80], &values)], exact);
            list.push(Reduce { kind, last: true, ..Default::default() }, vec![tensor(&[80], &values)], exact);
        }
    }
    for dims in [vec![0, 2, 4, 6], vec![1, 3, 5, 7]] {
        list.exact(Reduce { dims, ..Default::default() }, &[eight]);
    }
    let cast: Vec<i32> = (0..90).map(|_| list.random.bits() as i32).collect();
    for kind in [Sum, Max, Min, ArgMax] {
        list.push(Reduce { kind, ..Default::default() }, vec![tensor(&[90], &cast)], true);
    }
    // In parts, by the length, by memory and by work, for devices of both classes.
    for class in [Class::Unknown, Class::Cpu] {
        for kind in [Sum, ArgMax] {
            let op = Reduce { kind, ..Default::default() };
            // More than one team's share, in one binding.
            let profile = list.exact(op.clone(), &[&[if class == Class::Cpu { 16_400 } else { 8200 }]]);
            profile.class = class;
            profile.limits.max_storage_buffer_binding_size = 1 << 27;
            let profile = list.exact(op, &[&[600]]);
            profile.class = class;
            small_budget(profile, 70);
        }
        for (dim, last) in [(0, false), (1, true)] {
            let profile = list.exact(Reduce { kind: ArgMin, dims: vec![dim], last, ..Default::default() }, &[&[9, 60]]);
            profile.class = class;
            small_bindings(profile, 256);
        }
        let profile = list.exact(Reduce { dims: vec![0, 2], ..Default::default() }, &[&[3, 4, 30]]);
        profile.class = class;
        small_budget(profile, 40);
        list.exact(Reduce { dims: vec![1], ..Default::default() }, &[&[90, 5]]).class = class;
    }
    small_grid(list.exact(Reduce { dims: vec![1], ..Default::default() }, &[&[64 * 9 + 5, 3]]), 3);
    small_grid(list.exact(Reduce { dims: vec![1], ..Default::default() }, &[&[10, 70]]), 3);

    for len in [1, 64, 65, 131] {
        list.floats(Softmax { dim: 1 }, &[&[3, len]]);
        list.floats(LogSoftmax { dim: 1 }, &[&[3, len]]);
    }
    // In a team of a subgroup, in vectors and not, in more than one block of its steps; down columns in more than one four.
    for len in [36, 41, 280] {
        let shapes: [(usize, &[usize]); 3] = [(1, &[3, len]), (0, &[len, 12]), (1, &[2, len, 11])];
        for (dim, shape) in shapes {
            list.floats(Softmax { dim }, &[shape]).class = Class::Cpu;
        }
    }
    // All far below 0: a maximum of nothing, taken for one of them, would leave no exponential above 0.
    let low: Vec<f32> = list.random.floats(21).iter().map(|x| x - 200.0).collect();
    list.push(Softmax { dim: 1 }, vec![tensor(&[3, 7], &low)], false);
    list.push(Softmax { dim: 0 }, vec![tensor(&[5, 4], &low[..20])], false);
    for dim in 0..3 {
        list.floats(Softmax { dim }, &[&[3, 5, 7]]);
    }
    small_grid(list.floats(Softmax { dim: 1 }, &[&[10, 70]]), 3);
    small_grid(list.floats(Softmax { dim: 1 }, &[&[64 * 9 + 5, 3]]), 3);
    small_bindings(list.floats(Softmax { dim: 1 }, &[&[4, 20, 3]]), 300);
}
