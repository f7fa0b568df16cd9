//! Files composed: the text, its map back, and what is refused.

use naga::{
    Module, back,
    valid::{Capabilities, ModuleInfo, ValidationFlags, Validator},
};

use super::source::{Origin, Source};
use super::{ComposeError, Composition, FieldType, ParamSpace, Problem, ShaderFile, Value};

fn file(path: &'static str, text: &'static str) -> ShaderFile {
    ShaderFile { path, text }
}

const BODY: &str = "\
struct Params { m: u32, /* rows, } */ scale: f32 }
@group(0) @binding(OUT) var<storage, read_write> out: array<Elem>;

@compute @workgroup_size(WG_X, WG_Y)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < params.m {
        out[id.x] = half(a_load(id.x) + b_load(id.x)) * Elem(params.scale);
    }
}
";

// Comments name `load` and `values`; `read` is an access mode and a function; the last line ends without a newline.
const LOAD: &str = "\
// load() reads `values`.
struct Params {
    offset: u32, // in elements
    stride: i32,
}
@group(0) @binding(BINDING) var<storage, read> values: array<Elem>;
struct State { x: u32 }
fn read(i: u32) -> Elem { return values[i]; }
/* load /* load */ load */ fn load(i: u32) -> Elem { let s = State(i + params.offset); return read(s.x); } // load";

const HALF: &str = "fn half(x: Elem) -> Elem { return x / 2; }\n";

fn sum() -> Composition {
    let load = file("load.wgsl", LOAD);
    let half = file("half.wgsl", HALF);
    Composition {
        fragments: vec![("a", load), ("b", load)],
        common: vec![half, half],
        constants: vec![
            ("", "Elem", Value::Type("f32")),
            ("a", "BINDING", Value::U32(0)),
            ("b", "BINDING", Value::U32(1)),
            ("", "OUT", Value::U32(2)),
            ("", "WG_X", Value::U32(8)),
            ("", "WG_Y", Value::U32(4)),
        ],
        ..Composition::new(file("body.wgsl", BODY))
    }
}

/// Composes one body of inline text.
fn compose(text: &'static str) -> Result<Source, ComposeError> {
    let constants = vec![("", "TILE", Value::U32(4)), ("", "SIGNED", Value::I32(4))];
    Composition { constants, ..Composition::new(file("body.wgsl", text)) }.compose()
}

/// What is wrong with a body, and where.
fn refusal(text: &'static str) -> (Problem, usize, usize) {
    let ComposeError { at, problem } = compose(text).expect_err(text);
    let at = at.expect("a file is at fault");
    assert_eq!(at.path, "body.wgsl");
    (problem, at.line, at.column)
}

/// Validates the text, and the exactness of its map; returns the module.
fn validate(source: &Source) -> (Module, ModuleInfo) {
    for (offset, byte) in source.text.bytes().enumerate() {
        let piece = source.pieces[source.pieces.partition_point(|piece| piece.start <= offset) - 1];
        if let Some(origin @ Origin { verbatim: true, .. }) = piece.origin {
            let text = source.files[origin.file].text;
            let original = text.as_bytes()[origin.at + offset - piece.start];
            assert!(byte == original || byte == b' ', "byte {offset} of\n{}", source.text);
        }
    }
    let module = naga::front::wgsl::parse_str(&source.text)
        .unwrap_or_else(|error| panic!("{}\n{}", source.describe_parse_error(&error), source.text));
    let info = Validator::new(ValidationFlags::all(), Capabilities::IMMEDIATES | Capabilities::SHADER_FLOAT16)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}\n{}", source.describe_validation_error(&error), source.text));
    (module, info)
}

/// Where the n-th occurrence of `token` in the composed text came from.
fn located(source: &Source, token: &str, n: usize) -> String {
    let (offset, _) = source.text.match_indices(token).nth(n).expect(token);
    source.locate(offset).map_or("generated".into(), |at| at.to_string())
}

#[test]
fn one_file_serves_two_hooks_on_every_backend() {
    for params in [ParamSpace::Immediate, ParamSpace::Uniform { binding: 3 }] {
        for arena in [false, true] {
            let (module, info) = validate(&Composition { params, arena, ..sum() }.compose().unwrap());
            // naga takes a module constant as a binding number and as a workgroup size.
            let binding = |name: &str| {
                let (_, var) =
                    module.global_variables.iter().find(|(_, var)| var.name.as_deref() == Some(name)).unwrap();
                var.binding.unwrap().binding
            };
            assert_eq!((binding("a_values"), binding("b_values"), binding("out")), (0, 1, 2));
            assert_eq!(module.entry_points[0].workgroup_size, [8, 4, 1]);

            back::spv::write_vec(&module, &info, &Default::default(), None).unwrap();
            let msl = back::msl::Options { fake_missing_bindings: true, ..Default::default() };
            back::msl::write_string(&module, &info, &msl, &Default::default()).unwrap();
            let (hlsl, pipeline) = (
                back::hlsl::Options { immediates_target: Some(Default::default()), ..Default::default() },
                Default::default(),
            );
            back::hlsl::Writer::new(&mut String::new(), &hlsl, &pipeline).write(&module, &info, None).unwrap();
        }
    }
}

#[test]
fn prefixes_declarations_and_nothing_else() {
    let text = sum().compose().unwrap().text;
    for line in [
        "// load() reads `values`.",
        "@group(0) @binding(b_BINDING) var<storage, read> b_values: array<Elem>;",
        "struct b_State { x: u32 }",
        "fn b_read(i: u32) -> Elem { return b_values[i]; }",
        "/* load /* load */ load */ fn b_load(i: u32) -> Elem { let s = b_State(i + params.b_offset); return b_read(s.x); } // load",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
    }
    assert_eq!(text.matches("fn half").count(), 1, "a common file is included once");
}

#[test]
fn files_of_a_hook_see_each_other() {
    let value = file("value.wgsl", "struct State { x: u32 }\nfn load(s: State) -> u32 { return s.x; }\n");
    let pair =
        file("pair.wgsl", "fn pair(s: State) -> u32 { // unroll\nfor (var i = 0u; i < N; i++) {} return load(s); }\n");
    let count = file("count.wgsl", "const N = 2u;\n");
    let fragments = vec![("a", value), ("a", pair), ("a", count), ("b", value)];
    let text = Composition { fragments, ..Composition::new(file("body.wgsl", "")) }.compose().unwrap().text;
    assert!(text.contains("fn a_pair(s: a_State) -> u32"), "{text}");
    assert!(text.contains("{ const i = 1u;} return a_load(s); }"), "{text}");
    naga::front::wgsl::parse_str(&text).unwrap();
}

#[test]
fn words_that_name_no_declaration_keep_their_spelling() {
    let fragment = "\
fn storage() {} fn function() {} fn position() {} fn x() {} alias group = u32;
@group(0) @binding(0) var<storage> data: array<vec2<f32>>;
fn f(@builtin(position) p: vec4<f32>, q: ptr<function, group>) -> f32 { return data[0].x + p.x; }
";
    let fragments = vec![("a", file("f.wgsl", fragment))];
    let source = Composition { fragments, ..Composition::new(file("body.wgsl", "")) }.compose().unwrap();
    assert_eq!(
        source.text.trim_start(),
        "\
fn a_storage() {} fn a_function() {} fn a_position() {} fn a_x() {} alias a_group = u32;
@group(0) @binding(0) var<storage> a_data: array<vec2<f32>>;
fn a_f(@builtin(position) p: vec4<f32>, q: ptr<function, a_group>) -> f32 { return a_data[0].x + p.x; }
"
    );
}

#[test]
fn refuses_names_a_prefix_would_confuse() {
    let refusal = |text| {
        let fragments = vec![("a", file("f.wgsl", text))];
        let constants = vec![("a", "BINDING", Value::U32(0))];
        let composition = Composition { fragments, constants, ..Composition::new(file("body.wgsl", "")) };
        composition.compose().expect_err(text).to_string()
    };
    let reason = "would be confused with what this fragment declares once that is prefixed with its hook";
    for (text, at) in [
        ("fn load() {}\nstruct S { i: u32, load: u32 }", "f.wgsl:2:20: `load`"),
        ("struct S { BINDING: u32 }", "f.wgsl:1:12: `BINDING`"),
        ("fn f(@builtin(position) g: u32) {}\nfn g() {}", "f.wgsl:1:25: `g`"),
        ("const n = 1u;\nfn f() -> u32 { let a_n = 2u; return n; }", "f.wgsl:2:21: `a_n`"),
    ] {
        assert_eq!(refusal(text), format!("{at} {reason}"));
    }
}

#[test]
fn merges_parameters_in_order() {
    use FieldType::{F32, I32, U32};
    let fields = sum().fields().unwrap();
    let fields: Vec<_> = fields.iter().map(|field| (&*field.name, field.ty)).collect();
    let expected =
        [("m", U32), ("scale", F32), ("a_offset", U32), ("a_stride", I32), ("b_offset", U32), ("b_stride", I32)];
    assert_eq!(fields, expected);
    let immediate = sum().compose().unwrap().text;
    assert!(immediate.ends_with(
            "struct Params {\n    m: u32,\n    scale: f32,\n    a_offset: u32,\n    a_stride: i32,\n    b_offset: u32,\n    \
             b_stride: i32,\n}\nvar<immediate> params: Params;\n"
        ));
    let uniform = Composition { params: ParamSpace::Uniform { binding: 7 }, ..sum() }.compose().unwrap().text;
    assert!(uniform.ends_with("@group(0) @binding(7) var<uniform> params: Params;\n"));
    assert!(!compose("fn f() {}").unwrap().text.contains("arams"), "no fields, no struct");
}

#[test]
fn refuses_parameters_that_cannot_be_merged() {
    for text in ["struct Params { v: vec2<u32> }", "struct Params { v: f16, }", "struct Params { v }"] {
        assert_eq!(refusal(text), (Problem::ParamNotScalar, 1, 17));
    }
    assert_eq!(refusal("struct Params { @size(16) v: u32 }"), (Problem::ParamNotScalar, 1, 17));
    assert_eq!(refusal("struct Params { v: u32,, }"), (Problem::ParamNotScalar, 1, 24));
    assert_eq!(refusal("struct Params { m: u32, m: i32 }"), (Problem::ParamTwice("m".into()), 1, 25));
    assert_eq!(
        refusal("struct Params { m: u32 }\nfn f() -> u32 {\n    return params.n; }"),
        (Problem::ParamUnknown("n"), 3, 12)
    );
    assert_eq!(refusal("fn f() -> u32 { return params.m; }"), (Problem::ParamUnknown("m"), 1, 24));
    assert_eq!(
        refusal("struct Params { m: u32 }\nfn f() { let p = params; }"),
        (Problem::ParamReserved("params"), 2, 18)
    );
    assert_eq!(refusal("struct Params { m: u32 }\nfn f(p: Params) {}"), (Problem::ParamReserved("Params"), 2, 9));

    let twice = Composition {
        fragments: vec![("a", file("f.wgsl", "\nstruct Params { m: u32 }"))],
        ..Composition::new(file("body.wgsl", "struct Params { a_m: u32 }"))
    };
    assert_eq!(twice.fields().unwrap_err().to_string(), "f.wgsl:2:17: parameter `a_m` is declared twice");
}

#[test]
fn arena_makes_read_only_storage_read_write() {
    let text = "\
@group(0) @binding(0) var<storage, read> a: array<u32>;
@group(0) @binding(1) var < storage ,read/* only */> b: array<u32>;
@group(0) @binding(2) var<storage> c: array<u32>;
@group(0) @binding(3) var<storage, read_write> d: array<u32>;
var<workgroup> read: u32;
";
    let source = Composition { arena: true, ..Composition::new(file("body.wgsl", text)) }.compose().unwrap();
    assert_eq!(
        source.text,
        text.replace("read>", "read_write>")
            .replace("read/*", "read_write/*")
            .replace("<storage>", "<storage, read_write>")
    );
    validate(&source);
    assert_eq!(located(&source, "array", 1), "body.wgsl:2:57");
}

#[test]
fn writes_every_kind_of_constant() {
    let constants = vec![
        ("", "U", Value::U32(u32::MAX)),
        ("", "I", Value::I32(i32::MIN)),
        ("a", "B", Value::Bool(true)),
        ("", "TINY", Value::F32(f32::MIN_POSITIVE.to_bits())),
        ("", "HUGE", Value::F32(f32::MIN.to_bits())),
        ("", "Quad", Value::Type("vec4<f16>")),
    ];
    let composition =
        Composition { constants, enables: vec!["f16"], ..Composition::new(file("body.wgsl", "var<private> q: Quad;")) };
    let source = composition.compose().unwrap();
    assert_eq!(
        source.text,
        "enable f16; var<private> q: Quad;\nconst U: u32 = 4294967295u;\nconst I: i32 = -2147483648;\nconst a_B: bool = true;\n\
             const TINY: f32 = 1.1754944e-38f;\nconst HUGE: f32 = -3.4028235e38f;\nalias Quad = vec4<f16>;\n"
    );
    validate(&source);
    let infinite = vec![("a", "X", Value::F32(f32::INFINITY.to_bits()))];
    let error = Composition { constants: infinite, ..composition }.compose().unwrap_err();
    assert_eq!(error, ComposeError { at: None, problem: Problem::NotFinite("a_X".into()) });
}

#[test]
fn unrolls_loops_and_leaves_a_valid_text_without() {
    let text = "\
const HALF: u32 = TILE / 2u;
fn f() -> u32 {
    var sum = 0u;
    // unroll
    for (var i = 0u; i < HALF; i++) { sum += i; }
    return sum;
}
";
    let source = compose(text).unwrap();
    let unrolled = text.replace(
        "for (var i = 0u; i < HALF; i++) { sum += i; }",
        "{ const i = 0u; sum += i; } { const i = 1u; sum += i; }",
    );
    assert!(source.text.starts_with(&unrolled), "{}", source.text);
    validate(&source);
    let rolled = Composition {
        unroll: false,
        constants: vec![("", "TILE", Value::U32(4))],
        ..Composition::new(file("body.wgsl", text))
    };
    let rolled = rolled.compose().unwrap();
    assert!(rolled.text.starts_with(text));
    validate(&rolled);
}

#[test]
fn unrolls_nested_loops_in_a_fragment() {
    let text = "\
const M = 2u;
const i = 7u;
fn f() -> u32 {
    var sum: array<u32, N>;
    // unroll
    for (var i = 0u; i < M; i += 1u) {
        // unroll
        for (var j: u32 = 0u; j < N; j++) {
            for (var k = 0u; k < 9u; k++) { if k == j { break; } else { continue; } }
            switch j { case 0u: { break; } default: {} }
            sum[j] += i;
        }
    }
    return sum[0];
}
";
    let constants = vec![("a", "N", Value::U32(3))];
    let composition = Composition {
        fragments: vec![("a", file("f.wgsl", text))],
        constants,
        ..Composition::new(file("body.wgsl", "\n"))
    };
    let source = composition.compose().unwrap();
    validate(&source);
    validate(&Composition { unroll: false, ..composition }.compose().unwrap());
    assert_eq!(source.text.matches("{ const j = 2u;").count(), 2);
    for copy in 0..6 {
        assert_eq!(located(&source, "a_i;", copy), "f.wgsl:11:23");
        assert_eq!(located(&source, "sum[j]", copy), "f.wgsl:11:13");
        assert_eq!(located(&source, "const j", copy), "f.wgsl:8:9");
    }
    assert_eq!(located(&source, "const a_i = 1u", 0), "f.wgsl:6:5");
    assert_eq!(located(&source, "return", 0), "f.wgsl:14:5");
}

#[test]
fn evaluates_bounds() {
    let copies = |bound: &str, of: &str| {
        let text = format!("{of}\nfn f() {{ // unroll\nfor (var i = 0u; i < {bound}; i++) {{ let x = i; }} }}\n");
        let source = compose(text.leak())?;
        validate(&source);
        Ok::<_, ComposeError>(source.text.matches("const i = ").count())
    };
    for (bound, of, expected) in [
        ("3u", "", 3),
        ("0x10", "", 16),
        ("0u", "", 0),
        ("TILE", "", 4),
        ("2u + TILE * (5u - 1u) / 3 % 4u", "", 3),
        ("8u - 4u - 1u", "", 3),
        ("A", "const A: u32 = B + 1u; const B = TILE;", 5),
    ] {
        assert_eq!(copies(bound, of), Ok(expected), "{bound} of {of}");
    }
}

#[test]
fn refuses_loops_it_cannot_unroll() {
    let refuse = |text: &str| refusal(format!("fn f(n: u32) {{\n{text}\n}}\n").leak());
    let bound = |bound: &str| Problem::UnrollBound(bound.into());
    for (text, problem, line, column) in [
        ("  // unroll\n  let x = 1;", Problem::UnrollWithoutLoop, 2, 3),
        ("  // unroll", Problem::UnrollWithoutLoop, 2, 3),
        ("// unroll\n for (var i = 1u; i < 4u; i++) {}", Problem::UnrollHeader, 3, 2),
        ("// unroll\n for (var i = 0; i < 4; i++) {}", Problem::UnrollHeader, 3, 2),
        ("// unroll\n for (var i = 0u; i <= 4u; i++) {}", bound("= 4u"), 3, 22),
        ("// unroll\n for (var i = 0u; j < 4u; i++) {}", Problem::UnrollHeader, 3, 2),
        ("// unroll\n for (var i = 0u; i < 4u; i += 2u) {}", Problem::UnrollHeader, 3, 2),
        ("// unroll\n for (;;) {}", Problem::UnrollHeader, 3, 2),
        ("// unroll\n for", Problem::UnrollHeader, 3, 2),
        ("// unroll\nfor (var i = 0u; i < ; i++) {}", bound(""), 3, 22),
        ("// unroll\nfor (var i = 0u; i < n; i++) {}", bound("n"), 3, 22),
        ("// unroll\nfor (var i = 0u; i < SIGNED; i++) {}", bound("SIGNED"), 3, 22),
        ("// unroll\nfor (var i = 0u; i < 1u  - 2u; i++) {}", bound("1u  - 2u"), 3, 22),
        ("// unroll\nfor (var i = 0u; i < 1u / 0u; i++) {}", bound("1u / 0u"), 3, 22),
        ("let TILE = 2u; // unroll\nfor (var i = 0u; i < TILE; i++) {}", bound("TILE"), 3, 22),
        ("// unroll\nfor (var i = 0u; i < LOOP; i++) {}\n}\nconst LOOP = LOOP + 1u;\nfn g() {", bound("LOOP"), 3, 22),
        ("// unroll\nfor (var i = 0u; i < 4u; i++) { if i == n { break; } }", Problem::UnrollJump("break"), 3, 45),
        (
            "// unroll\nfor (var i = 0u; i < 4u; i++) { switch i { default: { continue; } } }",
            Problem::UnrollJump("continue"),
            3,
            55,
        ),
        ("// unroll\nfor (var i = 0u; i < 4097u; i++) {}", Problem::UnrollCopies(4097), 3, 1),
        (
            "// unroll\nfor (var i = 0u; i < 65u; i++) {\n// unroll\nfor (var j = 0u; j < 64u; j++) {}\n}",
            Problem::UnrollCopies(65 * 64),
            5,
            1,
        ),
    ] {
        assert_eq!(refuse(text), (problem, line, column), "{text}");
    }
}

#[test]
fn refuses_unbalanced_brackets_in_the_file_that_holds_them() {
    assert_eq!(refusal("fn f() {\n    let x = (1 + 2;\n}\n"), (Problem::Unbalanced("("), 2, 13));
    assert_eq!(refusal("fn f() {\n"), (Problem::Unbalanced("{"), 1, 8));
    assert_eq!(refusal("fn f() {}\n }"), (Problem::Unbalanced("}"), 2, 2));
}

#[test]
fn survives_any_prefix_of_its_files() {
    // A half-typed file is an error or a text for naga to judge, never a panic.
    for text in [BODY, LOAD, "// unroll\nfor (var i: u32 = 0u; i < 2u; i++) { é /* */ }"] {
        for end in (0..=text.len()).filter(|&end| text.is_char_boundary(end)) {
            let part = file("part.wgsl", &text[..end]);
            let composition = Composition { fragments: vec![("a", part)], arena: true, ..Composition::new(part) };
            if let Ok(source) = composition.compose() {
                assert!((0..source.text.len() + 2).all(|offset| source.locate(offset).is_none_or(|at| at.line > 0)));
                if let Err(error) = naga::front::wgsl::parse_str(&source.text) {
                    source.describe_parse_error(&error);
                }
            }
        }
    }
}

#[test]
fn locates_every_token() {
    let source = Composition { enables: vec!["f16"], ..sum() }.compose().unwrap();
    validate(&source);
    assert!(source.text.starts_with("enable f16;       "), "line 1 stays line 1, its struct blanked");
    assert_eq!(located(&source, "@group", 0), "body.wgsl:2:1");
    assert_eq!(located(&source, "params.m", 0), "body.wgsl:6:15");
    // Two names are prefixed on the line before the third.
    for (hook, n) in [("a", 0), ("b", 1)] {
        assert_eq!(located(&source, "i + params", n), "load.wgsl:9:68");
        let read = source.text.find(&format!("return {hook}_read")).unwrap();
        for (offset, column) in [(0, 88), (7, 95), (8, 95), (9, 95), (10, 96), (13, 99)] {
            assert_eq!(source.locate(read + offset).unwrap().to_string(), format!("load.wgsl:9:{column}"));
        }
    }
    assert_eq!(located(&source, "x / 2", 0), "half.wgsl:1:35");
    assert_eq!(located(&source, "alias Elem", 0), "generated");
    assert_eq!(source.locate(0), None);
    assert_eq!(source.locate(source.text.len()), None);

    let first = Composition { enables: vec!["f16"], ..Composition::new(file("body.wgsl", "const X = 1;\n")) };
    assert_eq!(located(&first.compose().unwrap(), "X", 0), "body.wgsl:1:7");
}

#[test]
fn textures_take_the_place_of_arrays() {
    let load = |elem| {
        let text = "\
@group(0) @binding(BINDING) var<storage, read> data: array<ELEM>;
fn load(i: u32) -> ELEM {
    let other = data[u32(data[i + 1u].x)]; // data[0]
    return data[i];
}
";
        file("load.wgsl", text.replace("ELEM", elem).leak())
    };
    let compose = |elem, ty| {
        let elem_is = ("", "Elem", Value::Type("f32"));
        let constants = vec![("a", "BINDING", Value::U32(3)), ("a", "Unit", Value::Type(ty)), elem_is];
        let body = Composition::new(file("body.wgsl", ""));
        Composition { fragments: vec![("a", load(elem))], constants, texels: vec!["a"], ..body }.compose()
    };
    let vectors = "\
@group(0) @binding(a_BINDING) var a_data: texture_storage_2d<rgba32float, read>;
fn a_load(i: u32) -> vec4<f32> {
    let other = a_data_at(u32(a_data_at(i + 1u).x)); // data[0]
    return a_data_at(i);
}
";
    let at = "fn a_data_at(i: u32) -> vec4<f32> {\n    return textureLoad(a_data, vec2(i % 4096u, i / 4096u));\n}\n";
    let text = compose("vec4<f32>", "f32").unwrap().text;
    assert!(text.trim_start().starts_with(vectors) && text.ends_with(at), "{text}");
    for (elem, ty, returned) in [
        ("Unit", "vec4<f32>", "-> vec4<f32> {\n    return textureLoad(a_data, vec2(i % 4096u, i / 4096u));"),
        ("Unit", "f32", "-> f32 {\n    return textureLoad(a_data, vec2(i / 4u % 4096u, i / 16384u))[i % 4u];"),
        ("Unit", "array<f32, 1>", "-> array<f32, 1> {\n    return array<f32, 1>(textureLoad("),
        ("Unit", "Elem", "-> f32 {\n    return textureLoad(a_data"),
        ("Unit", "vec4<Elem>", "-> vec4<f32> {\n    return textureLoad(a_data"),
        (
            "Unit",
            "u32",
            "-> u32 {\n    return bitcast<u32>(textureLoad(a_data, vec2(i / 4u % 4096u, i / 16384u))[i % 4u]);",
        ),
        ("vec4<Unit>", "u32", "-> vec4<u32> {\n    return bitcast<vec4<u32>>(textureLoad(a_data"),
    ] {
        let text = compose(elem, ty).unwrap().text;
        assert!(text.contains(returned), "{text}");
    }
    for (elem, ty) in [("Unit", "vec4<f16>"), ("Unit", "i32"), ("vec4<Unit>", "f16"), ("vec2<f32>", "f32")] {
        let error = compose(elem, ty).unwrap_err();
        assert_eq!(error.problem, Problem::NoTexels("a".into()), "{elem}, {ty}");
    }
}

#[test]
fn describes_errors_in_the_files_they_are_in() {
    let error = |text| {
        let fragments = vec![("a", file("load.wgsl", text))];
        let source = Composition { fragments, ..Composition::new(file("body.wgsl", "fn f() { a_load(); }\n")) }
            .compose()
            .unwrap();
        match naga::front::wgsl::parse_str(&source.text) {
            Err(error) => source.describe_parse_error(&error),
            Ok(module) => {
                let error =
                    Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module).unwrap_err();
                source.describe_validation_error(&error)
            }
        }
    };
    let parse = error("const N = 1;\n\nfn load() {\n\tlet x = N + ;\n}\n");
    assert!(parse.starts_with("error: expected expression, found \";\"\n"), "{parse}");
    assert!(
        parse.contains(" --> load.wgsl:4:14\n   |\n4  | \tlet x = N + ;\n   | \t            ^ expected expression\n"),
        "{parse}"
    );

    let validation = error("fn other() {}\nfn load() -> u32 { if true { return 1u; } }\n");
    assert!(validation.contains("--> load.wgsl:2:1\n"), "{validation}");
}

#[test]
fn describes_errors_in_the_generated_block() {
    let constants = vec![("", "N", Value::Type("nothing"))];
    let source = Composition { constants, ..Composition::new(file("body.wgsl", "// empty\n")) }.compose().unwrap();
    let described = source.describe_parse_error(&naga::front::wgsl::parse_str(&source.text).unwrap_err());
    assert!(
        described.contains("--> (composed text):2:11\n   |\n2  | alias N = nothing;\n   |           ^^^^^^^"),
        "{described}"
    );
}
