//! Cooperative matrices on the emulator: values against plain loops, and what the sanitizer says.
#![cfg(feature = "emulator")]

use half::f16;
use tilewise::emulator::{BindingData, EmulatorOptions, Finding, FindingKind, Ran, Run, Shader};

const SIZES: [u32; 5] = [4, 8, 16, 32, 64];

/// Runs `main` in one workgroup of so many subgroups, on buffers that are bound in their order.
fn run(text: &str, subgroup_size: u32, subgroups: u32, buffers: &[Vec<u8>]) -> Ran {
    // No override: naga, once it has set one, refuses what may diverge.
    let size = subgroup_size * subgroups;
    let text = format!("enable f16;\nenable wgpu_cooperative_matrix;\nconst SIZE = {size}u;\n{text}");
    let shader = Shader::new(text.as_str()).unwrap_or_else(|error| panic!("{text}\n{error:?}"));
    let binding =
        |(binding, bytes): (u32, &Vec<u8>)| BindingData { group: 0, binding, bytes: bytes.clone(), initialised: true };
    let run = Run {
        bindings: (0..).zip(buffers).map(binding).collect(),
        options: EmulatorOptions { subgroup_size, ..Default::default() },
        ..Run::new("main", [1, 1, 1])
    };
    shader.run(&run).unwrap()
}

/// What a subgroup leaves in its last buffer, without a finding.
fn results(text: &str, subgroup_size: u32, buffers: &[Vec<u8>]) -> Vec<u8> {
    let ran = run(text, subgroup_size, 1, buffers);
    assert!(ran.complete && ran.findings.is_empty(), "subgroups of {subgroup_size}: {:#?}", ran.findings);
    ran.bindings.last().unwrap().clone()
}

/// Whole numbers from -4 to 4, whose sums of products are exact in f16.
fn whole(count: usize, seed: u32) -> Vec<f32> {
    let value = |index: u32| ((index.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 13) % 9) as f32 - 4.0;
    (0..count as u32).map(value).collect()
}

/// The bytes of values of a type, `f16` or `f32`.
fn bytes(scalar: &str, values: &[f32]) -> Vec<u8> {
    match scalar {
        "f16" => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    }
}

fn values(scalar: &str, bytes: &[u8]) -> Vec<f32> {
    match scalar {
        "f16" => bytes.chunks(2).map(|bytes| f16::from_le_bytes(bytes.try_into().unwrap()).to_f32()).collect(),
        _ => bytes.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect(),
    }
}

/// A value as a type has it.
fn rounded(scalar: &str, value: f32) -> f32 {
    if scalar == "f16" { f16::from_f32(value).to_f32() } else { value }
}

/// Where a square matrix lies: the element at a row and a column.
#[derive(Clone, Copy)]
struct Place {
    first: usize,
    stride: usize,
    row_major: bool,
}

impl Place {
    fn at(self, row: usize, column: usize) -> usize {
        let Place { first, stride, row_major } = self;
        first + if row_major { row * stride + column } else { column * stride + row }
    }

    /// `T` is what the functions of row-major matrices have at the end of their names.
    fn suffix(self) -> &'static str {
        if self.row_major { "T" } else { "" }
    }
}

/// `c + a b` as the emulator documents it: sums of f32 in the order of the columns of `a`.
fn multiply_add(side: usize, [a, b, c]: [&[f32]; 3], places: [Place; 3], mut put: impl FnMut(usize, usize, f32)) {
    for row in 0..side {
        for column in 0..side {
            let mut sum = c[places[2].at(row, column)];
            for inner in 0..side {
                sum += a[places[0].at(row, inner)] * b[places[1].at(inner, column)];
            }
            put(row, column, sum);
        }
    }
}

const DECLARATIONS: &str = "
@group(0) @binding(0) var<storage, read> a: array<IN>;
@group(0) @binding(1) var<storage, read> b: array<IN>;
@group(0) @binding(2) var<storage, read> c: array<OUT>;
@group(0) @binding(3) var<storage, read_write> d: array<OUT>;";

/// A product with each operand, and the result, in rows or in columns, and rows apart from one another.
fn products(side: usize, input: &str, output: &str) {
    let [a, b, c] = &[1, 2, 3].map(|seed| whole(side * (side + 5) + 4, seed));
    for layouts in 0..16 {
        let place = |operand: usize| Place {
            first: operand % 3,
            stride: side + 1 + operand,
            row_major: layouts >> operand & 1 != 0,
        };
        let places = [0, 1, 2, 3].map(place);
        let load = |operand: usize, role: &str, scalar: &str| {
            let (Place { first, stride, .. }, name) = (places[operand], ["a", "b", "c"][operand]);
            let suffix = places[operand].suffix();
            format!(
                "let m{name} = coopLoad{suffix}<coop_mat{side}x{side}<{scalar}, {role}>>(&{name}[{first}], {stride});"
            )
        };
        let Place { first, stride, .. } = places[3];
        let text = format!(
            "{}\n@compute @workgroup_size(SIZE) fn main() {{ {} {} {}
            coopStore{}(coopMultiplyAdd(ma, mb, mc), &d[{first}], {stride}); }}",
            DECLARATIONS.replace("IN", input).replace("OUT", output),
            load(0, "A", input),
            load(1, "B", input),
            load(2, "C", output),
            places[3].suffix(),
        );
        let mut expected = vec![9.0; c.len()];
        let inputs = [places[0], places[1], places[2]];
        multiply_add(side, [a, b, c], inputs, |row, column, sum| expected[places[3].at(row, column)] = sum);
        for size in SIZES {
            let before = vec![9.0; c.len()];
            let buffers = [bytes(input, a), bytes(input, b), bytes(output, c), bytes(output, &before)];
            assert_eq!(values(output, &results(&text, size, &buffers)), expected, "{text}\nsubgroups of {size}");
        }
    }
}

#[test]
fn products_of_8_by_8_singles() {
    products(8, "f32", "f32");
}

#[test]
fn products_of_16_by_16_halves_summed_in_singles() {
    products(16, "f16", "f32");
}

#[test]
fn products_of_16_by_16_halves_summed_in_halves() {
    products(16, "f16", "f16");
}

/// Fractions, whose sums are rounded: after each step to f32, and to f16 in the end.
#[test]
fn sums_are_of_singles_and_halves_are_rounded_once() {
    let fraction = |value: &f32| rounded("f16", value / 3.0 + 0.1);
    let [a, b, c] = &[1, 2, 3].map(|seed| whole(256, seed).iter().map(fraction).collect::<Vec<f32>>());
    let place = Place { first: 0, stride: 16, row_major: true };
    let mut expected = vec![0.0; 256];
    multiply_add(16, [a, b, c], [place; 3], |row, column, sum| expected[place.at(row, column)] = sum);
    for output in ["f32", "f16"] {
        // The stride that is left out is that of a matrix without gaps.
        let text = format!(
            "{}\n@compute @workgroup_size(SIZE) fn main() {{
            let ma = coopLoadT<coop_mat16x16<f16, A>>(&a[0]); let mb = coopLoadT<coop_mat16x16<f16, B>>(&b[0]);
            coopStoreT(coopMultiplyAdd(ma, mb, coopLoadT<coop_mat16x16<{output}, C>>(&c[0])), &d[0]); }}",
            DECLARATIONS.replace("IN", "f16").replace("OUT", output)
        );
        let buffers = [bytes("f16", a), bytes("f16", b), bytes(output, c), bytes(output, &[0.0; 256])];
        let expected: Vec<f32> = expected.iter().map(|&sum| rounded(output, sum)).collect();
        assert_eq!(values(output, &results(&text, 32, &buffers)), expected);
    }
}

/// A product of 16 by 16 in blocks of 8 by 8: accumulators in an array and in structs, carried by a loop and through
/// functions; tiles in workgroup memory; the trips and the indices not known before it runs.
#[test]
fn accumulators_are_carried_by_loops_and_held_in_arrays() {
    let text = "
        alias Left = coop_mat8x8<f32, A>; alias Right = coop_mat8x8<f32, B>; alias Sum = coop_mat8x8<f32, C>;
        struct Block { unused: u32, sum: Sum }
        @group(0) @binding(0) var<storage, read> a: array<f32>;
        @group(0) @binding(1) var<storage, read> b: array<f32>;
        @group(0) @binding(2) var<storage, read_write> d: array<f32, 256>;
        var<workgroup> before: u32;
        var<workgroup> tile: array<array<f32, 64>, 2>;
        var<private> last: Sum;
        fn fma(left: Left, right: Right, sum: Sum) -> Sum { return coopMultiplyAdd(left, right, sum); }
        fn add(left: Left, right: Right, sum: ptr<function, Sum>) { *sum = coopMultiplyAdd(left, right, *sum); }
        @compute @workgroup_size(SIZE) fn main(@builtin(local_invocation_index) i: u32) {
            var sums: array<array<Block, 2>, 2>;
            for (var k = 0u; k < arrayLength(&a) / 128u; k++) {
                for (var row = 0u; row < 2u; row++) {
                    let left = coopLoadT<Left>(&a[128u * row + 8u * k], 16u);
                    for (var column = 0u; column < 2u; column++) {
                        workgroupBarrier();
                        for (var e = i; e < 64u; e += SIZE) { tile[k % 2u][e] = b[16u * (8u * k + e / 8u) + 8u * column + e % 8u]; }
                        workgroupBarrier();
                        let right = coopLoadT<Right>(&tile[k % 2u][0], 8);
                        if column == 0u {
                            sums[row][column].sum = fma(left, right, sums[row][column].sum);
                        } else {
                            var sum = sums[row][column].sum;
                            add(left, right, &sum);
                            sums[row][column] = Block(7u, sum);
                        }
                    }
                }
            }
            let zero = Sum();
            for (var row = 0u; row < 2u; row++) {
                last = sums[row][1].sum;
                coopStoreT(sums[row][0].sum + zero, &d[128u * row], 16u);
                coopStoreT(last, &d[128u * row + 8u], 16u);
            }
        }";
    let (a, b) = (whole(256, 5), whole(256, 6));
    let mut expected = vec![0.0; 256];
    let place = Place { first: 0, stride: 16, row_major: true };
    let zero = vec![0.0; 256];
    multiply_add(16, [&a, &b, &zero], [place; 3], |row, column, sum| expected[place.at(row, column)] = sum);
    for size in SIZES {
        let out = results(text, size, &[bytes("f32", &a), bytes("f32", &b), vec![0; 1024]]);
        assert_eq!(values("f32", &out), expected, "subgroups of {size}");
    }
}

#[test]
fn operators_work_on_each_element() {
    for (side, scalar) in [(8, "f32"), (16, "f32"), (8, "f16"), (16, "f16")] {
        let text = format!(
            "alias M = coop_mat{side}x{side}<{scalar}, C>;
            @group(0) @binding(0) var<storage, read> a: array<{scalar}>;
            @group(0) @binding(1) var<storage, read> b: array<{scalar}>;
            @group(0) @binding(2) var<storage, read_write> d: array<{scalar}>;
            @compute @workgroup_size(SIZE) fn main() {{
                let x = coopLoad<M>(&a[0]); var y = coopLoad<M>(&b[0]);
                y = x * b[1] + y; y = y - b[2] * x; y += x; coopStore(y, &d[0]);
            }}"
        );
        let (a, b) = (whole(side * side, 1), whole(side * side, 2));
        // Thirds, so that f16 is rounded after each operator.
        let round = |value| rounded(scalar, value);
        let b: Vec<f32> = b.iter().map(|value| round(value / 3.0)).collect();
        let element = |(x, y): (&f32, &f32)| {
            let sum = round(round(x * b[1]) + y);
            round(round(sum - round(b[2] * x)) + x)
        };
        let expected: Vec<f32> = a.iter().zip(&b).map(element).collect();
        for size in SIZES {
            let out = results(&text, size, &[bytes(scalar, &a), bytes(scalar, &b), bytes(scalar, &a)]);
            assert_eq!(values(scalar, &out), expected, "{scalar}, {side}, subgroups of {size}");
        }
    }
}

/// The stride counts elements of the array: here vectors.
#[test]
fn arrays_may_be_of_vectors() {
    let text = "
        @group(0) @binding(0) var<storage, read> a: array<vec4<f16>>;
        @group(0) @binding(1) var<storage, read_write> d: array<vec2<f16>>;
        @compute @workgroup_size(SIZE) fn main() {
            coopStore(coopLoadT<coop_mat16x16<f16, A>>(&a[1], 5), &d[2], 9u);
        }";
    let a = whole(16 * 20 + 4, 1);
    let mut expected = vec![0.0; 16 * 18 + 4];
    for (row, column) in (0..16).flat_map(|row| (0..16).map(move |column| (row, column))) {
        expected[4 + 18 * column + row] = a[4 + 20 * row + column];
    }
    for size in SIZES {
        let out = results(text, size, &[bytes("f16", &a), vec![0; 2 * expected.len()]]);
        assert_eq!(values("f16", &out), expected, "subgroups of {size}");
    }
}

/// A kernel of two buffers and two arrays in workgroup memory; the finding's line is the one with `HERE`.
fn kernel(body: &str) -> String {
    format!(
        "alias M = coop_mat8x8<f32, C>;
        @group(0) @binding(0) var<storage, read> a: array<f32>;
        @group(0) @binding(1) var<storage, read_write> d: array<f32>;
        var<workgroup> tile: array<f32, 128>;
        var<workgroup> other: array<f32, 128>;
        @compute @workgroup_size(SIZE)
        fn main(@builtin(local_invocation_index) i: u32, @builtin(subgroup_id) subgroup: u32) {{
            let steps = 128u / SIZE;
            for (var e = 0u; e < steps; e++) {{ tile[steps * i + e] = a[0]; other[steps * i + e] = a[1]; }}
            workgroupBarrier();
            {body}
        }}"
    )
}

/// What is found in a kernel with two subgroups, and that its line is the one that the text marks.
#[track_caller]
fn finds(body: &str, subgroup_size: u32, kind: FindingKind, address: Option<(&str, u64)>) -> Vec<Finding> {
    let text = kernel(body);
    // The directives take three lines.
    let line = text.lines().position(|line| line.contains("HERE")).unwrap() + 4;
    let ran = run(&text, subgroup_size, 2, &[bytes("f32", &whole(128, 1)), vec![0; 512]]);
    assert!(ran.complete);
    assert!(!ran.findings.is_empty(), "nothing is found with subgroups of {subgroup_size}");
    for finding in &ran.findings {
        assert_eq!((finding.kind, finding.at.line), (kind, line), "subgroups of {subgroup_size}: {finding}");
        let at = finding.address.as_ref().map(|(name, byte)| (name.as_str(), *byte));
        assert_eq!(at, address, "subgroups of {subgroup_size}: {finding}");
    }
    ran.findings
}

#[track_caller]
fn finds_nothing(body: &str, subgroup_size: u32) {
    let ran = run(&kernel(body), subgroup_size, 2, &[bytes("f32", &whole(128, 1)), vec![0; 512]]);
    assert!(ran.complete && ran.findings.is_empty(), "subgroups of {subgroup_size}: {:#?}", ran.findings);
}

#[test]
fn what_lies_beyond_an_array_is_found() {
    for size in SIZES {
        let once = |body: &str| format!("if subgroup == 0u {{ {body}\n}}");
        // The last row begins at the buffer's end.
        let body = once("\n let m = coopLoadT<M>(&a[16], 16); /* HERE */\n coopStore(m, &d[0]);");
        let found = finds(&body, size, FindingKind::OutOfBounds, Some(("a", 512)));
        assert_eq!((found.len(), found[0].count), (1, 8), "{found:?}");
        assert_eq!(found[0].message, "row 7, column 0 of a matrix is beyond its array");
        // In workgroup memory another array follows.
        let body = once("\n let m = coopLoad<M>(&tile[65]); /* HERE */\n coopStore(m, &d[0]);");
        let found = finds(&body, size, FindingKind::OutOfBounds, Some(("tile", 512)));
        assert_eq!(found[0].count, 1);
        let body = once("\n let m = coopLoad<M>(&a[0]);\n coopStore(m, &other[0], 20u); /* HERE */");
        let found = finds(&body, size, FindingKind::OutOfBounds, Some(("other", 4 * 7 * 20)));
        assert_eq!(found[0].count, 8);
        finds_nothing(
            &once("coopStore(coopLoadT<M>(&a[8], 16), &d[0]); coopStore(coopLoad<M>(&tile[64]), &other[0], 17u);"),
            size,
        );
    }
    // What is beyond reads as 0, and is not written.
    let text = kernel("if subgroup == 0u { coopStoreT(coopLoadT<M>(&a[124]) + coopLoadT<M>(&a[0]), &d[120]); }");
    let a = whole(128, 1);
    let ran = run(&text, 8, 2, &[bytes("f32", &a), vec![0; 512]]);
    let out = values("f32", &ran.bindings[1]);
    assert_eq!(out[120..124], [0, 1, 2, 3].map(|index| a[124 + index] + a[index]));
    assert_eq!(out[124..], a[4..8]);
}

#[test]
fn races_of_subgroups_are_found() {
    for size in SIZES {
        // Each its own half, then both the same, by rows that overlap.
        finds_nothing("coopStore(coopLoad<M>(&a[64u * subgroup]), &d[64u * subgroup]);", size);
        let body = "coopStore(coopLoad<M>(&a[0]), &d[56u * subgroup]); // HERE";
        let found = finds(body, size, FindingKind::Race, Some(("d", 224)));
        let other = found[0].other.as_ref().unwrap();
        assert!(other.write && other.at.invocation[0] / size != found[0].at.invocation[0] / size);
        // A subgroup races with itself as well: which lane writes what is not known.
        let twice = |between: &str| {
            format!(
                "let own = 64u * subgroup; coopStore(M(), &tile[own]);\n {between}
            coopStore(coopLoad<M>(&tile[own]), &d[own]); // HERE"
            )
        };
        let found = run(&kernel(&twice("")), size, 2, &[bytes("f32", &whole(128, 1)), vec![0; 512]]).findings;
        assert!(!found.is_empty() && found.iter().all(|finding| finding.kind == FindingKind::Race), "{found:?}");
        finds_nothing(&twice("subgroupBarrier();"), size);
        finds_nothing(&twice("workgroupBarrier();"), size);
        let own = format!("tile[64u * subgroup + i % {size}u] = 1.0; coopStore(M(), &tile[64u * subgroup]); // HERE");
        finds(&own, size, FindingKind::Race, Some(("tile", 0)));
        // A sum in place is none.
        finds_nothing("coopStore(coopLoad<M>(&d[64u * subgroup]) * 2.0, &d[64u * subgroup]);", size);
        finds("coopStore(M(), &d[64u * subgroup], 7u); // HERE", size, FindingKind::Race, Some(("d", 28)));
    }
}

#[test]
fn lanes_that_lack_are_found() {
    let kind = FindingKind::InactiveLane;
    for size in SIZES {
        let lane = format!("i % {size}u");
        for statement in [
            "let m = coopLoad<M>(&a[0]); // HERE",
            "coopStore(own, &d[64u * subgroup]); // HERE",
            "sum = coopMultiplyAdd(left, right, sum); // HERE",
        ] {
            let body = format!(
                "let own = coopLoad<M>(&a[0]); var sum = own;
                let left = coop_mat8x8<f32, A>(); let right = coop_mat8x8<f32, B>();
                if {lane} > 0u {{
                    {statement}
                }}"
            );
            let found = finds(&body, size, kind, None);
            let message = format!("{} of the {size} lanes of a subgroup are at what takes all of them", size - 1);
            assert_eq!((found.len(), &found[0].message), (1, &message));
        }
        // One lane has another place, stride or factor.
        finds(&format!("let m = coopLoad<M>(&a[{lane} / {}u]); // HERE", size - 1), size, kind, None);
        finds(&format!("let m = coopLoad<M>(&a[0], 8u + {lane} / {}u); // HERE", size - 1), size, kind, None);
        finds(&format!("let m = M() * f32({lane}); // HERE"), size, kind, None);
        finds_nothing("let m = coopLoad<M>(&a[subgroup], 8u + subgroup) * f32(subgroup);", size);
    }
    // Half a subgroup.
    let text = "@group(0) @binding(0) var<storage, read_write> d: array<f32>;
        @compute @workgroup_size(SIZE / 2) fn main() {
            coopStore(coop_mat8x8<f32, C>(), &d[0]);
        }";
    let ran = run(text, 32, 1, &[vec![1; 256]]);
    assert_eq!(ran.findings.len(), 1, "{:#?}", ran.findings);
    assert_eq!((ran.findings[0].kind, ran.findings[0].at.line), (kind, 6));
    assert_eq!(ran.findings[0].message, "16 of the 32 lanes of a subgroup are at what takes all of them");
}

#[test]
fn a_tile_that_is_not_written_is_found() {
    let text = "var<workgroup> tile: array<f16, 256>;
        @group(0) @binding(0) var<storage, read_write> d: array<f16>;
        @compute @workgroup_size(SIZE) fn main(@builtin(local_invocation_index) i: u32) {
            for (var e = i; e < 255u; e += SIZE) { tile[e] = 1.0h; }
            workgroupBarrier();
            coopStore(coopLoad<coop_mat16x16<f16, A>>(&tile[0]), &d[0]);
        }";
    for size in SIZES {
        let ran = run(text, size, 1, &[vec![0; 512]]);
        assert_eq!(ran.findings.len(), 1, "{:#?}", ran.findings);
        let found = &ran.findings[0];
        assert_eq!((found.kind, found.at.line, found.count), (FindingKind::Uninitialised, 9, 1));
        assert_eq!(found.address, Some(("tile".into(), 510)));
    }
}
