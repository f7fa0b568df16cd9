//! Kernels of one invocation, lowered and run by the machine.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use naga::valid::{Capabilities, ValidationFlags, Validator};

use super::{Unsupported, lower};
use crate::emulator::code::{BufferBinding, Code, Local, Op, Place, Target};
use crate::emulator::machine::{self, Launch, Window};
use crate::emulator::{EmulatorOptions, FindingKind};
use crate::{DType, DeviceProfile, Layout, wgpu};

#[path = "../../../tests/common/cases.rs"]
mod cases;

fn parsed(text: &str) -> (naga::Module, naga::valid::ModuleInfo) {
    let module = naga::front::wgsl::parse_str(text).unwrap_or_else(|error| panic!("{}", error.emit_to_string(text)));
    let info = Validator::new(ValidationFlags::all(), Capabilities::all())
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(text)));
    (module, info)
}

fn lowered(text: &str) -> Result<Code, Unsupported> {
    let (module, info) = parsed(text);
    let code = lower(&module, &info, "main", &HashMap::new())?;
    check(&code);
    Ok(code)
}

/// The structure of control, as the operations' targets have it.
fn check(code: &Code) {
    struct Open {
        start: usize,
        pending: Vec<Target>,
    }
    assert_eq!(code.ops.len(), code.spans.len());
    assert_eq!(code.ops.last(), Some(&Op::End));
    let mut open: Vec<Open> = Vec::new();
    let meet = |open: &mut Vec<Open>, index: usize| {
        let pending = std::mem::take(&mut open.last_mut().unwrap().pending);
        assert!(pending.iter().all(|&target| target as usize == index), "{pending:?} at {index}");
    };
    for (index, op) in code.ops.iter().enumerate() {
        match *op {
            Op::If { otherwise, .. } => open.push(Open { start: index, pending: vec![otherwise] }),
            Op::Loop { .. } | Op::Block { .. } => open.push(Open { start: index, pending: vec![] }),
            Op::Else { end } => {
                meet(&mut open, index);
                open.last_mut().unwrap().pending.push(end);
            }
            Op::Continuing => meet(&mut open, index),
            Op::EndIf | Op::EndBlock | Op::EndLoop { .. } => {
                meet(&mut open, index);
                let start = open.pop().unwrap().start;
                match (&code.ops[start], op) {
                    (Op::If { .. }, Op::EndIf) => {}
                    (Op::Block { end }, Op::EndBlock) => assert_eq!(*end as usize, index),
                    (Op::Loop { end }, Op::EndLoop { start: back }) => {
                        assert_eq!((*end as usize, *back as usize), (index, start));
                    }
                    (opened, closed) => panic!("{opened:?} is closed by {closed:?}"),
                }
            }
            Op::Leave { depth } | Op::Continue { depth } => {
                let frame = &code.ops[open[depth as usize].start];
                assert!(matches!(frame, Op::Block { .. } | Op::Loop { .. }), "{frame:?}");
            }
            _ => {}
        }
    }
    assert!(open.is_empty());
}

/// Runs a kernel whose `out` holds 64 words that start as zeros; other buffers hold 0, 1, 2, ... in their words.
fn run(text: &str) -> Vec<u32> {
    let code = lowered(text).unwrap();
    let (out, beyond) = run_code(&code);
    assert_eq!(beyond, 0, "indices beyond an array");
    out
}

/// What `out` holds in the end, and how many indices were beyond an array.
fn run_code(code: &Code) -> (Vec<u32>, u64) {
    let words: Vec<Vec<AtomicU32>> = (code.buffers.iter())
        .map(|buffer| (0..64).map(|index| if buffer.name == "out" { 0 } else { index }.into()).collect())
        .collect();
    let windows: Vec<Window> = (words.iter().enumerate())
        .map(|(identity, words)| Window { words, identity, offset: 0, bytes: 256, initialised: None })
        .collect();
    let options = EmulatorOptions { subgroup_size: 4, zero_workgroup_memory: true, threads: 1, ..Default::default() };
    let outcome = machine::run(&Launch { code, grid: [1; 3], windows: &windows, options: &options });
    assert!(outcome.complete, "{:?}", outcome.findings);
    let beyond = outcome.findings.iter().filter(|finding| finding.kind == FindingKind::OutOfBounds);
    let out = code.buffers.iter().position(|buffer| buffer.name == "out").unwrap();
    let out = words[out].iter().map(|word| word.load(Ordering::Relaxed)).collect();
    (out, beyond.map(|finding| 1 + finding.count).sum())
}

/// A kernel of one invocation that writes words of `out`; `seed` is a zero that is not known while lowering.
fn kernel(declarations: &str, body: &str) -> String {
    format!(
        "enable f16;
        @group(0) @binding(0) var<storage, read_write> out: array<u32>;
        @group(0) @binding(1) var<storage, read> data: array<u32>;
        {declarations}
        @compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3u) {{ let seed = id.x; {body} }}"
    )
}

/// What a kernel writes to the first words of `out`.
#[track_caller]
fn writes(declarations: &str, body: &str, expected: &[u32]) {
    let out = run(&kernel(declarations, body));
    assert_eq!(&out[..expected.len()], expected);
}

#[track_caller]
fn writes_floats(declarations: &str, body: &str, expected: &[f32]) {
    let out = run(&kernel(declarations, body));
    let floats: Vec<f32> = out[..expected.len()].iter().map(|&word| f32::from_bits(word)).collect();
    assert_eq!(floats, expected);
}

/// Of words 0, 1, 2, ... as bits of floats.
const TEXTURE: &str = "
    @group(0) @binding(2) var texels: texture_storage_2d<rgba32float, read>;
    fn bits(i: u32) -> vec4u { return bitcast<vec4u>(textureLoad(texels, vec2(i % 4096u, i / 4096u))); }
    fn bit(i: u32) -> u32 { return bitcast<u32>(textureLoad(texels, vec2(i / 4u % 4096u, i / 16384u))[i % 4u]); }";

#[test]
fn textures_are_read_as_the_buffers_that_they_are_copied_from() {
    let body = "let v = bits(seed + 3u);
        out[0] = v.x; out[1] = v.y; out[2] = v.z; out[3] = v.w; out[4] = bit(seed + 37u); out[5] = bit(63u);
        out[6] = bitcast<u32>(textureLoad(texels, vec2(seed, seed)).y);";
    writes(TEXTURE, body, &[12, 13, 14, 15, 37, 63, 1]);
}

#[test]
fn what_lies_beyond_a_texture_is_found() {
    for (body, beyond) in [
        ("out[0] = bit(seed + 64u);", 1),
        // A whole texel, whose floats are counted one by one.
        ("out[0] = bits(seed + 16u).x;", 4),
        // A column beyond a row, which would be another row's; the last column instead is beyond the end too.
        ("out[0] = u32(textureLoad(texels, vec2(seed + 4096u, 0u)).x);", 2),
        ("out[0] = u32(textureLoad(texels, vec2(seed, 1u)).x);", 1),
    ] {
        let (_, found) = run_code(&lowered(&kernel(TEXTURE, body)).unwrap());
        assert_eq!(found, beyond, "{body}");
    }
}

#[test]
fn control_flow_nests() {
    writes(
        "",
        "var sum = 0u;
        for (var i = seed; i < 10u; i++) {
            if i == 7u { break; }
            if i % 2u == 0u { continue; }
            var j = 0u;
            loop {
                if j == i { break; }
                sum += 1u;
                continuing { j += 1u; break if j >= 4u; }
            }
            if i == 5u { sum += 100u; } else if i == 3u { sum += 1000u; } else { sum += 10000u; }
        }
        out[0] = sum;",
        // 1 + 3 + 4 trips, and a hundred, a thousand, ten thousand.
        &[11108],
    );
}

/// A finding about a loop's trips is told at the loop, not at the last of its statements.
#[test]
fn trips_stand_where_their_loop_does() {
    let text = kernel(
        "",
        "var i = seed; // loops:
        while i < 3u {
            i += 1u;
        }
        for (var j = seed; j < 3u; j++) {
            loop {
                i += j;
                continuing {
                    j += 1u;
                    break if j > 2u;
                }
            }
        }",
    );
    let code = lowered(&text).unwrap();
    let start = text.lines().position(|line| line.contains("loops:")).unwrap() as u32 + 1;
    let ends = code.ops.iter().zip(&code.spans).filter(|(op, _)| matches!(op, Op::EndLoop { .. }));
    let lines: Vec<u32> = ends.map(|(_, span)| span.location(&text).line_number - start).collect();
    assert_eq!(lines, [1, 5, 4]);
}

#[test]
fn switches_fall_through_and_break() {
    let body = "for (var i = seed; i < 7u; i++) {
        switch i {
            case 0u, 1u: { out[i] = 10u; }
            default: { out[i] = 20u; if i == 5u { break; } out[i] += 1u; }
            case 3u: { if seed == 0u { continue; } out[i] = 99u; }
            case 4u: { out[i] = 40u; break; }
        }
        out[i] += 100u;
    }";
    writes("", body, &[110, 110, 121, 0, 140, 120, 121]);
    // A selector that is known leaves one case.
    let code = lowered(&kernel("const C = 4;", "switch C { case 3: { out[0] = 1u; } default: { out[0] = 2u; } }"));
    assert!(!code.unwrap().ops.iter().any(|op| matches!(op, Op::If { .. })));
}

#[test]
fn functions_return_early_and_write_through_pointers() {
    writes(
        "fn early(x: u32) -> u32 {
            for (var i = 0u; i < 10u; i++) { if i * i >= x { return i; } }
            return 77u;
        }
        fn branched(x: u32) -> u32 { if x > 3u { return x; } else { return 0u; } }
        fn swap(a: ptr<function, u32>, b: ptr<function, u32>) { let c = *a; *a = *b; *b = c; }
        fn bump(p: ptr<function, u32>) -> u32 { *p += 1u; return *p; }
        struct Pair { a: u32, b: array<u32, 3> }
        fn fill(p: ptr<function, array<u32, 3>>, at: u32) { (*p)[at] = 9u; }",
        "out[0] = early(17u + seed); out[1] = early(100u + seed);
        out[2] = branched(5u + seed); out[3] = branched(2u + seed);
        var x = 3u; var y = 4u; swap(&x, &y); out[4] = x; out[5] = y;
        // The value that a call gives is the one before the next call.
        let first = bump(&x); let second = bump(&x); out[6] = first * 10u + second;
        let old = x; let third = bump(&x); out[7] = old * 10u + third;
        var pair = Pair(1u, array(2u, 3u, 4u)); fill(&pair.b, 1u + seed);
        out[8] = pair.a * 1000u + pair.b[0] * 100u + pair.b[1] * 10u + pair.b[2];",
        &[5, 77, 5, 0, 4, 3, 56, 67, 1294],
    );
}

#[test]
fn a_load_keeps_its_value_past_later_stores() {
    writes(
        "var<private> global = 5u;
        fn touch() -> u32 { global = 6u; return 1u; }
        fn first(x: u32) -> u32 { global = 7u; return x; }",
        "var v = vec2(1u, 2u); v = v.yx; out[0] = v.x * 10u + v.y;
        let before = v; v.x = 9u; out[1] = before.x * 10u + v.x;
        var w = 1u + seed; let kept = w;
        for (var i = 0u; i < 3u; i++) { out[2] += kept; w += 1u; }
        let saved = global; out[3] = touch() * 100u + saved * 10u + global;
        out[4] = first(global) * 10u + global;
        if seed == 0u { w = 50u; } out[5] = kept + w;
        var m = array(array(1u, 2u), array(3u, 4u)); m[seed] = m[1u - seed]; m[1u][seed] = 8u;
        out[6] = m[0][0] * 1000u + m[0][1] * 100u + m[1][0] * 10u + m[1][1];
        m = array(m[1], m[0]); out[7] = m[0][0] * 1000u + m[0][1] * 100u + m[1][0] * 10u + m[1][1];
        m[1u - seed][1u - seed] = m[seed][seed]; out[8] = m[1][1];",
        &[21, 29, 3, 156, 67, 51, 3484, 8434, 8],
    );
}

#[test]
fn variables_are_initialised_each_time() {
    writes(
        "fn count(p: ptr<function, u32>) { var x: u32; x += 1u; *p += x; var y = array(1u, 2u); y[*p % 2u] += 5u; *p += y[0]; }",
        "var sum = 0u; for (var i = 0u; i < 3u; i++) { var x: vec2u; x.y += 2u; sum += x.y; count(&sum); } out[0] = sum;",
        // 2 + 1 = 3: y[1] grows, + 1: 4; 6 + 1 = 7: + 1: 8; 10 + 1 = 11: + 1: 12.
        &[12],
    );
}

#[test]
fn memory_is_laid_out_as_the_host_has_it() {
    writes(
        "struct Inner { a: vec3u, b: u32, c: array<vec2u, 2> }
        struct Outer { x: u32, inner: Inner, rest: array<mat2x3f> }
        @group(0) @binding(2) var<storage, read> outer: Outer;
        struct Uniforms { v: vec4u, w: array<vec4u, 2> }
        @group(0) @binding(3) var<uniform> uniforms: Uniforms;",
        "let o = outer.inner; out[0] = o.a.z; out[1] = o.b; out[2] = o.c[1].y; out[3] = outer.inner.c[seed + 1u].x;
        out[4] = bitcast<u32>(outer.rest[1][seed][2]); out[5] = bitcast<u32>(outer.rest[seed][1u].y);
        out[6] = arrayLength(&outer.rest); out[7] = uniforms.w[1u + seed].z; out[8] = arrayLength(&data);
        let whole = uniforms; out[9] = whole.w[seed + 1u][seed + 3u];",
        // inner at word 4, c at 8, rest at 12 with 8 words each.
        &[6, 7, 11, 10, 22, 17, 6, 10, 64, 11],
    );
    let code = lowered(&kernel(
        "struct S { a: vec3f, b: array<vec3f> } @group(1) @binding(4) var<storage, read_write> s: S;",
        "s.b[0].y = 1.0; out[0] = 1u;",
    ))
    .unwrap();
    let buffer = code.buffers.iter().find(|buffer| buffer.name == "s").unwrap();
    assert_eq!(buffer.binding, BufferBinding::Storage { group: 1, binding: 4, writable: true });
    assert_eq!(buffer.least, 32);
    assert!(code.ops.iter().any(|op| matches!(op, Op::Store { place: Place { base: 20, index: None, .. }, .. })));
    // `data` is not used.
    assert_eq!(code.buffers.len(), 2);
}

#[test]
fn workgroup_memory_holds_composites_bools_and_halves() {
    writes(
        "struct Flags { on: bool, three: vec3<bool>, half: f16, word: u32 }
        var<workgroup> flags: array<Flags, 2>; var<workgroup> tile: array<array<f32, 4>, 3>;
        var<workgroup> count: atomic<u32>; var<workgroup> uniform_word: u32;",
        "flags[1] = Flags(true, vec3(false, true, false), 0.1h, 7u); let f = flags[seed + 1u];
        out[0] = u32(f.on) + 10u * u32(f.three.y) + 100u * u32(f.three.z) + 1000u * f.word;
        out[1] = bitcast<u32>(f32(flags[1].half)); flags[0].three[seed + 2u] = true; out[2] = u32(all(flags[0].three.zz));
        tile = array(array(1.0, 2.0, 3.0, 4.0), array(5.0, 6.0, 7.0, 8.0), array(9.0, 10.0, 11.0, 12.0));
        let row = tile[seed + 1u]; out[3] = u32(row[seed + 2u]); out[4] = u32(tile[2][seed + 3u]);
        atomicStore(&count, 5u); out[5] = atomicAdd(&count, 2u); out[6] = atomicLoad(&count);
        let r = atomicCompareExchangeWeak(&count, 7u, 1u); out[7] = r.old_value * 10u + u32(r.exchanged);
        atomicMin(&count, 0u); out[8] = atomicExchange(&count, 3u); out[9] = workgroupUniformLoad(&uniform_word);",
        &[7011, half::f16::from_f32(0.1).to_f32().to_bits(), 1, 7, 12, 5, 7, 71, 0, 0],
    );
}

#[test]
fn indices_beyond_an_array_are_bounded() {
    let text =
        kernel("", "var a = array(1u, 2u, 3u); out[seed] = a[seed + 5u]; out[seed + 100u] = 4u; a[seed + 9u] = 1u;");
    let (out, beyond) = run_code(&lowered(&text).unwrap());
    assert_eq!((out[0], out[63], beyond), (3, 4, 3));
}

#[test]
fn halves_are_rounded_after_each_operation() {
    let body = "let a = f16(2048.0 + f32(seed)); let b = a + 1.0h; out[0] = bitcast<u32>(f32(b));
        let v = vec2(1.0h / (3.0h + f16(seed)), 65504.0h * (2.0h + f16(seed))); out[1] = bitcast<u32>(f32(v.x));
        out[2] = bitcast<u32>(f32(v.y)); out[3] = u32(v.y); out[4] = bitcast<u32>(f32(sqrt(2.0h + f16(seed))));";
    let third = half::f16::from_f32(1.0 / 3.0).to_f32().to_bits();
    let root = half::f16::from_f32(2f32.sqrt()).to_f32().to_bits();
    writes("", body, &[2048f32.to_bits(), third, f32::INFINITY.to_bits(), 65504, root]);
    let text = "enable f16; @group(0) @binding(0) var<storage, read_write> out: array<f16>;
        @compute @workgroup_size(1) fn main() { out[3] = 1.5h; out[2] = out[3] + 1.0h; }";
    assert_eq!(run(text)[1], 0x3e00_4100);
}

#[test]
fn functions_of_mathematics_are_composed() {
    let two = std::f32::consts::SQRT_2;
    writes_floats(
        "fn put(i: u32, x: f32) { out[i] = bitcast<u32>(x); }",
        "let z = f32(seed); let a = vec3(1.0 + z, 2.0, 3.0); let b = vec3(4.0, 5.0 + z, 6.0); let c = cross(a, b);
        put(0u, dot(a, b)); put(1u, c.x); put(2u, c.y); put(3u, c.z);
        put(4u, length(vec2(3.0 + z, 4.0))); put(5u, distance(a.xx, vec2(4.0, 5.0))); put(6u, normalize(vec2(3.0, 4.0 + z)).x);
        put(7u, mix(1.0 + z, 3.0, 0.25)); put(8u, smoothstep(0.0, 2.0 + z, 0.5)); put(9u, step(1.0, 1.0 + z));
        put(10u, clamp(5.0 + z, 0.0, 2.0)); put(11u, saturate(-1.0 + z)); put(12u, fract(-1.25 + z));
        let m = modf(-2.5 + z); put(13u, m.fract); put(14u, m.whole);
        let f = frexp(6.0 + z); put(15u, f.fract); put(16u, f32(f.exp)); put(17u, ldexp(1.5 + z, -1));
        put(18u, reflect(vec2(1.0, -1.0 + z), vec2(0.0, 1.0)).y); put(19u, faceForward(a, b, c).x);
        let r = refract(vec2(0.0, -1.0 + z), vec2(0.0, 1.0), 0.5); put(20u, r.y);
        put(21u, refract(vec2(1.0 + z, 0.0), vec2(0.0, 1.0), 2.0).x);
        put(22u, degrees(3.1415927 + z)); put(23u, sign(-3.0 + z)); put(24u, fma(2.0 + z, 3.0, 4.0));
        put(25u, quantizeToF16(0.1 + z)); put(26u, round(2.5 + z)); put(27u, max(vec2(z, 2.0), vec2(1.0)).y);
        put(28u, mix(vec2(z, 2.0), vec2(1.0, 4.0), 0.5).y);",
        &[
            32.0,
            -3.0,
            6.0,
            -3.0,
            5.0,
            5.0,
            3.0 / 5.0,
            1.5,
            0.15625,
            1.0,
            2.0,
            0.0,
            0.75,
            -0.5,
            -2.0,
            0.75,
            3.0,
            0.75,
            1.0,
            -1.0,
            -1.0,
            0.0,
            180.0,
            -1.0,
            10.0,
            half::f16::from_f32(0.1).to_f32(),
            2.0,
            2.0,
            3.0,
        ],
    );
    writes_floats(
        "fn put(i: u32, x: f32) { out[i] = bitcast<u32>(x); }",
        "let z = f32(seed); let m = mat3x2(1.0 + z, 2.0, 3.0, 4.0, 5.0, 6.0); let t = transpose(m);
        put(0u, t[1].z); put(1u, t[0][1]); let v = m * vec3(1.0, 10.0, 100.0); put(2u, v.x); put(3u, v.y);
        let w = vec2(1.0, 10.0) * m; put(4u, w.z); let p = t * m; put(5u, p[2][0]);
        put(6u, determinant(mat2x2(3.0 + z, 1.0, 4.0, 2.0)));
        put(7u, determinant(mat3x3(2.0 + z, 0.0, 1.0, 1.0, 3.0, 2.0, 1.0, 1.0, 4.0)));
        put(8u, determinant(mat4x4(1.0 + z, 2.0, 3.0, 4.0, 2.0, 1.0, 5.0, 2.0, 3.0, 1.0, 1.0, 3.0, 4.0, 2.0, 2.0, 1.0)));
        let s = m * 2.0 + m; put(9u, s[2].y); put(10u, sqrt(2.0 + z)); var n = m; n[seed + 1u][seed] = 9.0; put(11u, n[1].x);",
        // The determinants: 6 - 4, then 2 (12 - 2) + (1 - 3).
        &[6.0, 3.0, 531.0, 642.0, 65.0, 17.0, 2.0, 18.0, determinant4(), 18.0, two, 9.0],
    );
}

/// The determinant of the test above, by permutations.
fn determinant4() -> f32 {
    let m = [[1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 5.0, 2.0], [3.0, 1.0, 1.0, 3.0], [4.0, 2.0, 2.0, 1.0f32]];
    let mut sum = 0.0;
    for code in 0..256usize {
        let p = [code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6];
        let pairs = (0..4).flat_map(|j| (0..j).map(move |i| (i, j)));
        if pairs.clone().all(|(i, j)| p[i] != p[j]) {
            let swaps = pairs.filter(|&(i, j)| p[i] > p[j]).count();
            sum += (0..4).map(|i| m[i][p[i]]).product::<f32>() * if swaps % 2 == 0 { 1.0 } else { -1.0 };
        }
    }
    sum
}

#[test]
fn bits_are_packed_and_converted() {
    writes(
        "",
        "let z = f32(seed); out[0] = pack4x8snorm(vec4(-1.0 + z, 0.5, 2.0, 0.0)); out[1] = pack4x8unorm(vec4(1.0 + z, 0.5, -1.0, 0.2));
        out[2] = pack2x16float(vec2(1.0 + z, -2.0)); out[3] = pack2x16snorm(vec2(-1.0 + z, 1.0)); out[4] = pack2x16unorm(vec2(1.0 + z, 0.0));
        out[5] = u32(unpack4x8snorm(seed + 0x81u).x * -100.0); out[6] = u32(unpack4x8unorm(seed + 0xff00u).y * 10.0);
        out[7] = u32(unpack2x16float(seed + 0x40003c00u).y); let s = unpack4xI8(seed + 0xff02u); out[8] = u32(s.x + s.y);
        out[9] = pack4xI8(vec4(-1, 2, 3, 4 + i32(seed))); out[10] = pack4xU8Clamp(vec4(300u + seed, 2u, 3u, 4u));
        out[11] = pack4xI8Clamp(vec4(-300 + i32(seed), 2, 3, 4)); out[12] = u32(dot4I8Packed(seed + 0xff02u, 0x0203u));
        out[13] = dot4U8Packed(seed + 0xff02u, 0x0203u); out[14] = insertBits(seed + 0xffffu, 0u, 4u, 8u);
        out[15] = insertBits(seed, 0xffffffffu, 28u, 99u); out[16] = insertBits(seed, 7u, 32u, 4u); out[17] = extractBits(seed + 0xf0u, 4u, 3u);
        out[18] = u32(extractBits(i32(seed) + 0xf0, 4u, 4u)); out[19] = insertBits(seed, 0xabcdef01u, 0u, 32u);
        out[20] = u32(-1.5 + z); out[21] = u32(i32(-1.5 + z)); out[22] = u32(bool(seed + 2u)); out[23] = bitcast<u32>(f32(seed == 0u));
        out[24] = u32(all(vec2(seed == 0u, seed == 1u))) + 2u * u32(any(vec2(seed == 0u, seed == 1u)));
        let v = select(vec2(1u, 2u), vec2(3u, 4u), vec2(seed == 0u, seed == 1u)); out[25] = v.x * 10u + v.y;
        out[26] = firstLeadingBit(seed + 10u) + countOneBits(seed + 7u) * 10u + reverseBits(seed + 0x80000000u) * 100u;
        out[27] = u32(-7 / (2 + i32(seed))); out[28] = u32(abs(-7 % (3 + i32(seed)))); out[29] = (seed + 1u) << (seed + 4u);",
        &[
            0x007f_4081,
            0x3300_80ff,
            0xc000_3c00,
            0x7fff_8001,
            0x0000_ffff,
            100,
            10,
            2,
            1,
            0x0403_02ff,
            0x0403_02ff,
            0x0403_0280,
            4,
            6 + 255 * 2,
            0xf00f,
            0xf000_0000,
            0,
            7,
            u32::MAX,
            0xabcd_ef01,
            0,
            -1i32 as u32,
            1,
            1f32.to_bits(),
            2,
            32,
            3 + 30 + 100,
            -3i32 as u32,
            1,
            16,
        ],
    );
}

/// All that naga has of them: no minimum, no maximum, no comparison, no workgroup memory.
#[test]
fn floats_are_added_and_exchanged_atomically() {
    writes_floats(
        "@group(0) @binding(2) var<storage, read_write> sum: array<atomic<f32>, 2>;",
        "atomicStore(&sum[1], 1.5 + f32(seed)); let old = atomicAdd(&sum[1], 2.0); let more = atomicSub(&sum[seed + 1u], 0.25);
        let last = atomicExchange(&sum[1], 9.0); let now = atomicLoad(&sum[1]);
        out[0] = bitcast<u32>(old); out[1] = bitcast<u32>(more); out[2] = bitcast<u32>(last); out[3] = bitcast<u32>(now);",
        &[1.5, 3.5, 3.25, 9.0],
    );
    let refused = |operation: &str| {
        let sum = "@group(0) @binding(2) var<storage, read_write> sum: atomic<f32>;";
        let module = naga::front::wgsl::parse_str(&kernel(sum, operation)).unwrap();
        Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module).is_err()
    };
    assert!(!refused("atomicAdd(&sum, 1.0);"));
    assert!(refused("atomicMax(&sum, 1.0);") && refused("let x = atomicCompareExchangeWeak(&sum, 1.0, 2.0);"));
}

/// The bits of `a` from a shift on, 9 at most, and the mask of where they were.
fn field(a: u16, shift: u32) -> (u32, u32, u32) {
    let count = 9.min(16 - shift.min(16));
    let mask = (1 << count) - 1;
    (count, u32::from(a).wrapping_shr(shift) & mask, mask.wrapping_shl(shift))
}

/// Every function and operator on i16 and u16, against Rust's.
#[test]
fn whole_numbers_of_16_bits_wrap() {
    let values = [0, 1, 7, 300, 0x7fff, 0x8000, 0xfff9, 0xffff];
    for (signed, (a, b)) in [false, true].into_iter().flat_map(|s| values.map(|a| values.map(|b| (s, (a, b)))).concat())
    {
        let wide = |bits: u16| if signed { i32::from(bits as i16) } else { i32::from(bits) };
        let (x, y, shift) = (wide(a), wide(b), u32::from(b) % 32);
        let (count, bits, mask) = field(a, shift);
        let extracted = match (count, signed) {
            (0, _) => 0,
            (_, true) => (bits << (32 - count)) as i32 >> (32 - count),
            (_, false) => bits as i32,
        };
        let tripled = x as f32 * 3.0;
        let is_nan = half::f16::from_bits(a).is_nan();
        let mut cases = vec![
            ("a + b", x + y),
            ("a - b", x - y),
            ("a * b", x.wrapping_mul(y)),
            ("a / b", if y == 0 { x } else { x / y }),
            ("a % b", if y == 0 { 0 } else { x % y }),
            ("a & b", x & y),
            ("a | b", x | y),
            ("a ^ b", x ^ y),
            ("~a", !x),
            ("a << shift", x << (shift % 16)),
            ("a >> shift", x >> (shift % 16)),
            ("min(a, b)", x.min(y)),
            ("max(a, b)", x.max(y)),
            ("clamp(a, b, b)", y),
            ("abs(a)", x.abs()),
            ("select(a, b, a < b)", if x < y { y } else { x }),
            ("T(a <= b)", i32::from(x <= y)),
            ("T(a == b)", i32::from(x == y)),
            ("countOneBits(a)", a.count_ones() as i32),
            ("countLeadingZeros(a)", a.leading_zeros() as i32),
            ("countTrailingZeros(a)", a.trailing_zeros() as i32),
            ("firstTrailingBit(a)", if a == 0 { -1 } else { a.trailing_zeros() as i32 }),
            ("firstLeadingBit(a)", 15 - (if x < 0 { !a } else { a }).leading_zeros() as i32),
            ("reverseBits(a)", i32::from(a.reverse_bits())),
            ("extractBits(a, shift, 9u)", extracted),
            ("insertBits(a, b, shift, 9u)", (u32::from(a) & !mask | u32::from(b).wrapping_shl(shift) & mask) as i32),
            ("dot(vec2(a, b), vec2(b, a))", x.wrapping_mul(y).wrapping_mul(2)),
            ("vec2(a, b).y", y),
            ("T(f32(a))", x),
            ("T(i32(a))", x),
            ("T(u32(a))", x),
            ("T(f32(a) * 3.0)", if signed { i32::from(tripled as i16) } else { i32::from(tripled as u16) }),
            ("T(O(a))", x),
            ("bitcast<T>(bitcast<O>(a))", x),
            ("bitcast<T>(bitcast<f16>(a))", if is_nan { 0x7e00 | x & 0x8000 } else { x }),
        ];
        if signed {
            cases.extend([("-a", -x), ("sign(a)", x.signum())]);
        }
        let stores = |(index, (text, _)): (usize, &(&str, i32))| format!("out[{index}] = u32({text});");
        let stores: String = cases.iter().enumerate().map(stores).collect();
        let types = if signed { "alias T = i16; alias O = u16;" } else { "alias T = u16; alias O = i16;" };
        let body = format!("let a = T(seed + {a}u); let b = T(seed + {b}u); let shift = seed + {shift}u; {stores}");
        let out = run(&format!("enable wgpu_int16;\n{}", kernel(types, &body)));
        for ((text, expected), found) in cases.into_iter().zip(out) {
            assert_eq!(found, wide(expected as u16) as u32, "{text} of {a:#x} and {b:#x}, {types}");
        }
    }
}

#[test]
fn values_of_16_bits_lie_in_memory_and_cross_lanes() {
    let text = "enable f16; enable wgpu_int16;
        struct Mixed { a: i16, b: u16, c: vec2<i16>, d: f16 }
        @group(0) @binding(0) var<storage, read_write> out: array<i16>;
        @group(0) @binding(1) var<storage, read> data: Mixed;
        var<workgroup> shared_words: array<vec2<u16>, 2>;
        @compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
            let whole = data;
            shared_words[i / 2u][i % 2u] = data.b + u16(i);
            let sum = subgroupAdd(i16(20000));
            let bits = bitcast<vec2<i16>>(vec2(data.d, -2.0h));
            workgroupBarrier();
            if i == 0u {
                out[0] = whole.c.y; out[1] = data.a; out[2] = sum; out[3] = i16(shared_words[1].y);
                out[4] = bits.x; out[5] = bits.y; out[6] = i16(bitcast<f16>(bits.y)); out[7] = i16(-40000.0);
            }
        }";
    let words: Vec<u32> = run(text)[..4].to_vec();
    let halves: Vec<u16> = words.iter().flat_map(|&word| [word as u16, (word >> 16) as u16]).collect();
    // The data are 0, 1, 2 in words: the halves 0, 0, 1, 0, 2.
    assert_eq!(halves, [0, 0, 80000u32 as u16, 3, 2, 0xc000, -2i16 as u16, i16::MIN as u16]);
}

#[test]
fn a_barrier_of_memory_alone_holds_nobody_up() {
    let (mut module, _) = parsed(&kernel("", "out[0] = 1u + seed; storageBarrier(); out[1] = out[0];"));
    for statement in module.entry_points[0].function.body.iter_mut() {
        if let naga::Statement::ControlBarrier(flags) = *statement {
            *statement = naga::Statement::MemoryBarrier(flags);
        }
    }
    let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module).unwrap();
    let code = lower(&module, &info, "main", &HashMap::new()).unwrap();
    assert!(!code.ops.iter().any(|op| matches!(op, Op::Barrier { .. })));
    assert_eq!(run_code(&code).0[..2], [1, 1]);
}

#[test]
fn an_index_beyond_an_overridden_length_is_bounded() {
    let text =
        kernel("override N = 4u; var<workgroup> tile: array<u32, N>;", "tile[3] = 5u; out[0] = tile[7] + tile[3];");
    let (out, beyond) = run_code(&lowered(&text).unwrap());
    assert_eq!((out[0], beyond), (10, 1));
}

#[test]
fn overrides_are_resolved() {
    let text = "override SIDE: u32 = 4u; @id(7) override more = 2u; override half = SIDE / 2u;
        var<workgroup> tile: array<u32, SIDE * more>;
        var<workgroup> last: u32;
        @group(0) @binding(0) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(SIDE, half) fn main(@builtin(local_invocation_index) i: u32) {
            tile[i] = SIDE; last = more; out[0] = half * 100u + tile[i] * 10u + more;
        }";
    let (module, info) = parsed(text);
    let code = lower(&module, &info, "main", &HashMap::from([("SIDE".into(), 8.0), ("7".into(), 3.0)])).unwrap();
    check(&code);
    assert_eq!((code.workgroup_size, code.workgroup_bytes), ([8, 4, 1], 112));
    let local = |name: &str, bytes| Local { name: name.into(), bytes };
    assert_eq!(code.locals, [local("tile", 0..96), local("last", 96..100)]);
    assert_eq!(run_code(&code).0[0], 483);
    let code = lower(&module, &info, "main", &HashMap::new()).unwrap();
    assert_eq!((code.workgroup_size, code.workgroup_bytes), ([4, 2, 1], 48));
    for (name, what) in [("none", "'none' not found"), ("SIDE", "finite")] {
        let error = lower(&module, &info, "main", &HashMap::from([(name.into(), f64::NAN)])).unwrap_err();
        assert!(error.what.contains(what), "{error:?}");
    }
    assert!(lower(&module, &info, "other", &HashMap::new()).unwrap_err().what.contains("'other'"));
}

#[test]
fn what_is_not_supported_is_named() {
    for (declarations, body, what) in [
        ("", "var x = 1.0lf; x += 1.0lf;", "Float of 8 bytes"),
        ("@group(1) @binding(0) var t: texture_2d<f32>;", "out[0] = textureDimensions(t).x;", "textures"),
        ("", "let x = f64(seed) + 1.0lf;", "Float of 8 bytes"),
        ("", "let x = i64(seed);", "Sint of 8 bytes"),
        ("", "var x = 7li;", "Sint of 8 bytes"),
        ("", "let x = 7lu + u64(seed);", "Uint of 8 bytes"),
        ("", "let x = bitcast<i64>(7lu);", "literal U64(7)"),
        ("var<workgroup> a: atomic<u64>;", "atomicAdd(&a, 1lu);", "Uint of 8 bytes"),
        ("@group(1) @binding(0) var<storage> a: array<vec2<u64>>;", "let x = a[seed];", "Uint of 8 bytes"),
        (
            "@group(1) @binding(0) var t: texture_storage_2d<rgba16float, read>;",
            "out[0] = u32(textureLoad(t, vec2u()).x);",
            "textures",
        ),
        (
            "@group(1) @binding(0) var t: texture_storage_2d<r32uint, write>;",
            "textureStore(t, vec2u(), vec4u());",
            "textures",
        ),
        (
            "struct Part { x: u32 } @group(1) @binding(0) var<storage> parts: binding_array<Part, 3>;",
            "let x = parts[seed].x;",
            "arrays of bindings",
        ),
        (
            "@group(1) @binding(0) var a: acceleration_structure;",
            "var q: ray_query; rayQueryInitialize(&q, a, RayDesc(0u, 255u, 0.1, 9.0, vec3f(), vec3f(1.0)));",
            "ray queries",
        ),
        ("var<workgroup> m: array<M, 2>;", "let m = m[0];", "a cooperative matrix as a variable in memory"),
        ("", "var a: array<f32, 64>; let m = coopLoad<M>(&a[0]);", "outside of storage and workgroup memory"),
        (
            "struct U { m: mat4x4f } @group(1) @binding(0) var<uniform> u: U;",
            "let m = coopLoad<M>(&u.m[0]);",
            "outside of storage",
        ),
        ("var<workgroup> w: array<vec3f, 64>;", "let m = coopLoad<M>(&w[0]);", "no scalars nor vectors of 2 or 4"),
        ("var<workgroup> w: array<mat2x2f, 64>;", "let m = coopLoad<M>(&w[0]);", "no scalars nor vectors of 2 or 4"),
        ("var<workgroup> w: array<f32, 64>;", "let m = coopLoad<M>(&w[0], 8.0);", "a stride that is no whole number"),
        (
            "",
            "let m = coopMultiplyAdd(coop_mat8x8<f32, A>(), coop_mat16x16<f32, B>(), M());",
            "8 x 8 of f32 times 16 x 16 of f32 plus 8 x 8 of f32",
        ),
        (
            "",
            "let m = coopMultiplyAdd(coop_mat8x8<f16, A>(), coop_mat8x8<f32, B>(), M());",
            "8 x 8 of f16 times 8 x 8 of f32 plus 8 x 8 of f32",
        ),
    ] {
        let text = kernel(&format!("alias M = coop_mat8x8<f32, C>;\n{declarations}"), &format!("\n{body}"));
        let text = format!("enable wgpu_cooperative_matrix; enable wgpu_ray_query; enable wgpu_binding_array;\n{text}");
        let error = lowered(&text).unwrap_err();
        assert!(error.what.contains(what), "{error:?}");
        // The line of the declaration or of the body.
        let line = error.span.location(&text).line_number as usize;
        let line = text.lines().nth(line - 1).unwrap().trim();
        assert!(line.contains(declarations) && !declarations.is_empty() || line.contains(body), "{error:?}: {line}");
    }
}

#[test]
fn registers_are_used_again() {
    let body = (0..100).map(|i| format!("out[{i}] = (data[{i}] + 1u) * data[{i} + seed];"));
    let code = lowered(&kernel("", &body.collect::<String>())).unwrap();
    // Two hundred constants at most, and few temporaries.
    assert!(code.registers as usize <= code.constants.len() + 10, "{} {}", code.registers, code.constants.len());
    // An accumulator takes neither a copy nor a register more.
    let body = "var sum = 0.0; for (var i = 0u; i < 4u; i++) { sum = fma(2.0, f32(i), sum); } out[0] = u32(sum);";
    let code = lowered(&kernel("", body)).unwrap();
    assert!(!code.ops.iter().any(|op| matches!(op, Op::Copy { .. })), "{:#?}", code.ops);
    // What nothing reads is not computed.
    let code = lowered(&kernel("", "let unused = sin(f32(seed)) * 3.0; out[0] = seed;")).unwrap();
    assert!(!code.ops.iter().any(|op| matches!(op, Op::Unary { .. })));
}

/// Every composition that ops plan for, with parameters in immediates or a buffer, in one arena or not.
#[test]
fn every_composition_lowers() {
    let floats = cases::ops().into_iter().map(|case| (case, DType::F32));
    let plain = floats.chain(cases::whole_ops().into_iter().map(|case| (case, DType::I32)));
    let layouts = |shapes: Vec<Vec<usize>>, dtype| shapes.iter().map(|shape| Layout::new(shape, dtype)).collect();
    let plain = plain.map(|((op, shapes), dtype)| (op, layouts(shapes, dtype)));
    let mut compositions = 0;
    for (op, layouts) in plain.chain(cases::mixed_ops(DType::F32)) {
        for (immediates, arena) in [(false, false), (true, false), (true, true)] {
            let mut profile = DeviceProfile::baseline();
            if immediates {
                profile.features |= wgpu::Features::IMMEDIATES;
                profile.limits.max_immediate_size = 256;
            }
            let layouts: Vec<Layout> = layouts.iter().map(|layout| Layout { arena, ..layout.clone() }).collect();
            for plan in op.plans(&profile, &layouts).unwrap() {
                for dispatch in &plan.dispatches {
                    let source = dispatch.kernel.compose().unwrap();
                    let code = lowered(&source.text).unwrap_or_else(|error| panic!("{plan}\n{error:?}"));
                    assert_eq!(code.workgroup_bytes, dispatch.workgroup_memory, "{plan}");
                    compositions += 1;
                }
            }
        }
    }
    assert!(compositions > 100, "{compositions}");
}
