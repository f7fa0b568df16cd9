//! Statements, and the programs that they make.

use std::fmt::Write;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::expression::{Form, Named, Scalar, Tree, Type, pick, tree};

use Scalar::{Bool, F32, I32, U32};

/// A statement whose expressions have no types yet. Where one does not fit, as `break` outside of a loop, a simpler one
/// is written.
#[derive(Clone, Debug)]
pub enum Statement {
    Assign {
        to: Tree,
        operator: u16,
        value: Tree,
    },
    /// One of those that move whole arrays, structs and vectors.
    Move(u16),
    Call {
        to: Tree,
        call: Call,
    },
    /// `break`, `continue` or `return`.
    Leave {
        condition: Tree,
        how: u16,
        value: Tree,
    },
    If {
        condition: Tree,
        call: Option<Call>,
        then: Vec<Statement>,
        otherwise: Vec<Statement>,
    },
    For {
        trips: Tree,
        body: Vec<Statement>,
    },
    While {
        condition: Tree,
        body: Vec<Statement>,
    },
    Loop {
        body: Vec<Statement>,
        continuing: Vec<Statement>,
        until: Tree,
    },
    Switch {
        signed: bool,
        selector: Tree,
        cases: Vec<Vec<Statement>>,
        default: u16,
    },
    /// A value that is named before other statements and used after them.
    Let {
        ty: u16,
        value: Tree,
        body: Vec<Statement>,
        to: Tree,
    },
}

/// A call of a function that was declared before, with pointers to variables.
#[derive(Clone, Debug)]
pub struct Call {
    function: u16,
    arguments: [Tree; 2],
    pointers: [bool; 2],
}

/// The statements of a function, and what it returns.
pub type Function = (Vec<Statement>, Tree);

pub fn functions() -> impl Strategy<Value = Vec<Function>> {
    vec((vec(statement(2, 6), 0..=3), tree(2, 6)), 0..=3)
}

pub fn body() -> impl Strategy<Value = Vec<Statement>> {
    vec(statement(3, 16), 1..=6)
}

fn statement(depth: u32, count: u32) -> impl Strategy<Value = Statement> {
    let tree = || tree(3, 8);
    let call = move || {
        let arguments = (tree(), tree()).prop_map(|(x, y)| [x, y]);
        (any::<u16>(), arguments, any::<[bool; 2]>()).prop_map(|(function, arguments, pointers)| Call {
            function,
            arguments,
            pointers,
        })
    };
    let simple = prop_oneof![
        8 => (tree(), any::<u16>(), tree()).prop_map(|(to, operator, value)| Statement::Assign { to, operator, value }),
        1 => any::<u16>().prop_map(Statement::Move),
        2 => (tree(), call()).prop_map(|(to, call)| Statement::Call { to, call }),
        2 => (tree(), any::<u16>(), tree())
            .prop_map(|(condition, how, value)| Statement::Leave { condition, how, value }),
    ];
    simple.prop_recursive(depth, count, 3, move |inner| {
        let block = |least| vec(inner.clone(), least..=3);
        prop_oneof![
            (tree(), prop::option::weighted(0.2, call()), block(1), block(0))
                .prop_map(|(condition, call, then, otherwise)| Statement::If { condition, call, then, otherwise }),
            (tree(), block(1)).prop_map(|(trips, body)| Statement::For { trips, body }),
            (tree(), block(1)).prop_map(|(condition, body)| Statement::While { condition, body }),
            (block(1), block(0), tree()).prop_map(|(body, continuing, until)| Statement::Loop {
                body,
                continuing,
                until
            }),
            (any::<bool>(), tree(), vec(block(0), 1..=3), any::<u16>())
                .prop_map(|(signed, selector, cases, default)| Statement::Switch { signed, selector, cases, default }),
            (any::<u16>(), tree(), block(1), tree()).prop_map(|(ty, value, body, to)| Statement::Let {
                ty,
                value,
                body,
                to
            }),
        ]
    })
}

const I1: Type = Type::scalar(I32);
const U1: Type = Type::scalar(U32);
const F1: Type = Type::scalar(F32);
const B1: Type = Type::scalar(Bool);
const F3: Type = Type::vector(F32, 3);

/// Variables of the module, which every function may use.
const MODULE: &str = "
struct S { inner: array<array<u32, 4>, 2>, v: vec3<f32>, k: i32 }
var<private> g: u32 = 3u;
var<private> h: vec2<f32>;
var<private> t: array<u32, 3>;
";

const MODULE_PLACES: &[(&str, Type)] = &[
    ("g", U1),
    ("h", Type::vector(F32, 2)),
    ("h[$a % 2u]", F1),
    ("t[1]", U1),
    ("t[$a % 3u]", U1),
    ("out[lane * WORDS + $a % SCRATCH]", U1),
];

/// Variables of the entry point.
const ENTRY: &str = "
var a = ints[lane].i1; var z: i32; var b = ints[lane].u1; var c: f32; var d = true; var flags: vec3<bool>;
var v = ints[lane].u3; var w = floats[lane].f4; var e: vec2<i32>; var m = floats[lane].f2x3;
var arr = array(1, 2, 3, a); var other: array<i32, 4>;
var s = S(array(array(1u, 2u, 3u, b), array(v.x, v.y, v.z, 4u)), m[1], a);
";

const ENTRY_PLACES: &[(&str, Type)] = &[
    ("a", I1),
    ("z", I1),
    ("b", U1),
    ("c", F1),
    ("d", B1),
    ("flags", Type::vector(Bool, 3)),
    ("flags[$a % 3u]", B1),
    ("v", Type::vector(U32, 3)),
    ("v[$a % 3u]", U1),
    ("v.z", U1),
    ("w", Type::vector(F32, 4)),
    ("w[$a % 4u]", F1),
    ("w.x", F1),
    ("e", Type::vector(I32, 2)),
    ("e[$a % 2u]", I1),
    ("e.y", I1),
    ("m", Type::matrix(2, 3)),
    ("m[$a % 2u]", F3),
    ("m[1][$a % 3u]", F1),
    ("m[$a % 2u].y", F1),
    ("arr[$a % 4u]", I1),
    ("arr[2]", I1),
    ("other[$a % 4u]", I1),
    ("s.inner[$a % 2u][$b % 4u]", U1),
    ("s.inner[1][$a % 4u]", U1),
    ("s.inner[0][3]", U1),
    ("s.v", F3),
    ("s.v[$a % 3u]", F1),
    ("s.k", I1),
];

const ENTRY_MOVES: &[&str] = &[
    "v = v.yzx;",
    "arr = array(arr[3], a, arr[0], arr[1]);",
    "arr = other;",
    "s.inner[b % 2u] = array(v.x, s.inner[1][b % 4u], s.inner[0][0], b);",
    "{ let row = s.inner[v.x % 2u]; s.inner[0] = row; }",
    "{ let old = s; s.inner[0] = old.inner[1]; s.inner[1] = old.inner[0]; }",
    "{ let old = arr; arr[a & 3] = old[z & 3]; other = old; }",
    "s = S(array(s.inner[1], s.inner[0]), m[0], arr[1]);",
    "m = mat2x3(m[1], s.v);",
    "{ let old = w; w.x = old.w; w = old.wxyz; }",
];

/// The places that tell in the end what all variables hold, with a hole for the index where there is more than one.
const ENTRY_RESULTS: &[(&str, Type, usize)] = &[
    ("a", I1, 1),
    ("z", I1, 1),
    ("b", U1, 1),
    ("c", F1, 1),
    ("d", B1, 1),
    ("flags", Type::vector(Bool, 3), 1),
    ("v", Type::vector(U32, 3), 1),
    ("w", Type::vector(F32, 4), 1),
    ("e", Type::vector(I32, 2), 1),
    ("m", Type::matrix(2, 3), 1),
    ("arr[$]", I1, 4),
    ("other[$]", I1, 4),
    ("s.inner[0][$]", U1, 4),
    ("s.inner[1][$]", U1, 4),
    ("s.v", F3, 1),
    ("s.k", I1, 1),
    ("g", U1, 1),
    ("h", Type::vector(F32, 2), 1),
    ("t[$]", U1, 3),
];

/// Variables of a function that is called, which also has its parameters.
const CALLEE: &str = "var l = y; var n = x; var w = vec3(1.0, 0.5, f32(x & 7u));";

const CALLEE_PLACES: &[(&str, Type)] = &[
    ("l", I1),
    ("n", U1),
    ("w", F3),
    ("w[$a % 3u]", F1),
    ("w.y", F1),
    ("(*p)", I1),
    ("(*q)[$a % 4u]", I1),
    ("(*q)[1]", I1),
];

const CALLEE_VALUES: &[(&str, Type)] = &[("x", U1), ("y", I1)];

const CALLEE_MOVES: &[&str] = &[
    "w = w.zxy;",
    "{ let old = *q; *q = array(old[3], l, old[0], y); }",
    "{ let old = w; w.x = old.z; w = old.yxz; }",
    "{ let old = *p; *p = l; l = old; }",
];

/// Words of `out` that programs use as they like; the results stand behind them.
const SCRATCH: usize = 8;

/// Types of values that are named.
const LET_TYPES: [Type; 6] = [U1, I1, F1, B1, F3, Type::vector(I32, 2)];

/// What control may leave from a place.
#[derive(Clone, Copy, Default)]
struct Exits {
    breaks: bool,
    continues: bool,
    returns: bool,
}

struct Writer {
    text: String,
    scope: Vec<Named>,
    exits: Exits,
    names: usize,
    /// Functions that may be called.
    functions: usize,
    /// Within one of them: else within the entry point.
    callee: bool,
}

/// The text of a program, without the prelude, and how many words it writes for each invocation.
pub fn program(functions: &[Function], body: &[Statement]) -> (String, usize) {
    let mut writer = Writer {
        text: String::new(),
        scope: Vec::new(),
        exits: Exits::default(),
        names: 0,
        functions: 0,
        callee: true,
    };
    let words = SCRATCH + ENTRY_RESULTS.iter().map(|(_, ty, count)| ty.words() * count).sum::<usize>();
    writer.line(format_args!("const SCRATCH = {SCRATCH}u;{MODULE}"));
    for function in functions {
        writer.function(function);
    }
    writer.entry(body);
    (writer.text, words)
}

fn places(places: &[(&str, Type)], writable: bool) -> impl Iterator<Item = Named> {
    places.iter().map(move |&(text, ty)| Named { form: Form::place(text), ty, writable })
}

impl Writer {
    fn line(&mut self, line: std::fmt::Arguments) {
        self.text.write_fmt(line).expect("a string takes any text");
        self.text.push('\n');
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn declare(&mut self, name: &str, ty: Type) {
        self.scope.push(Named { form: Form::place(name), ty, writable: false });
    }

    /// An expression that a variable of the type may hold.
    fn value(&self, tree: &Tree, ty: Type) -> String {
        tree.write(ty, &self.scope).fit(ty).text
    }

    fn function(&mut self, (body, result): &Function) {
        let f = self.functions;
        self.scope = places(CALLEE_PLACES, true)
            .chain(places(CALLEE_VALUES, false))
            .chain(places(MODULE_PLACES, true))
            .collect();
        self.exits = Exits { returns: true, ..Exits::default() };
        self.line(format_args!(
            "fn f{f}(x: u32, y: i32, p: ptr<function, i32>, q: ptr<function, array<i32, 4>>) -> u32 {{\n{CALLEE}"
        ));
        self.block(body);
        let result = self.value(result, U1);
        self.line(format_args!("return {result};\n}}"));
        self.functions += 1;
    }

    fn entry(&mut self, body: &[Statement]) {
        self.callee = false;
        self.scope = places(ENTRY_PLACES, true).chain(places(MODULE_PLACES, true)).collect();
        self.exits = Exits { returns: true, ..Exits::default() };
        self.line(format_args!(
            "@compute @workgroup_size(32) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{\nlane = id.x;{ENTRY}"
        ));
        self.block(body);
        let mut word = SCRATCH;
        for &(place, ty, count) in ENTRY_RESULTS {
            for index in 0..count {
                for bits in ty.bits(&place.replace('$', &index.to_string())) {
                    self.line(format_args!("out[lane * WORDS + {word}u] = {bits};"));
                    word += 1;
                }
            }
        }
        self.line(format_args!("}}"));
    }

    /// Statements within braces that stand already.
    fn block(&mut self, statements: &[Statement]) {
        let names = self.scope.len();
        for statement in statements {
            self.statement(statement);
        }
        self.scope.truncate(names);
    }

    fn body(&mut self, statements: &[Statement], exits: Exits) {
        let outer = std::mem::replace(&mut self.exits, exits);
        self.block(statements);
        self.exits = outer;
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Assign { to, operator, value } => self.assign(to, *operator, value),
            Statement::Move(which) => {
                let moves = if self.callee { CALLEE_MOVES } else { ENTRY_MOVES };
                self.line(format_args!("{}", moves[pick(*which, moves.len())]));
            }
            Statement::Call { to, call } => self.call_statement(to, call),
            Statement::Leave { condition, how, value } => self.leave(condition, *how, value),
            Statement::If { condition, call, then, otherwise } => {
                let condition = self.value(condition, B1);
                let call = call.as_ref().map(|call| format!(" && {} % 2u == 0u", self.call(call)));
                self.line(format_args!("if ({condition}{}) {{", call.unwrap_or_default()));
                self.block(then);
                if !otherwise.is_empty() {
                    self.line(format_args!("}} else {{"));
                    self.block(otherwise);
                }
                self.line(format_args!("}}"));
            }
            Statement::For { trips, body } => {
                let (i, trips) = (self.name("trip"), self.value(trips, U1));
                self.line(format_args!("for (var {i} = 0u; {i} < {trips} % 4u; {i}++) {{"));
                self.trips(&i, body);
                self.line(format_args!("}}"));
            }
            Statement::While { condition, body } => {
                let (i, condition) = (self.name("trip"), self.value(condition, B1));
                self.line(format_args!("var {i} = 0u;\nwhile ({i} < 3u && {condition}) {{\n{i} += 1u;"));
                self.trips(&i, body);
                self.line(format_args!("}}"));
            }
            Statement::Loop { body, continuing, until } => {
                let i = self.name("trip");
                self.line(format_args!("var {i} = 0u;\nloop {{"));
                self.trips(&i, body);
                self.line(format_args!("continuing {{"));
                self.body(continuing, Exits::default());
                let until = self.value(until, B1);
                self.line(format_args!("{i} += 1u;\nbreak if {i} >= 4u || {until};\n}}\n}}"));
            }
            Statement::Switch { signed, selector, cases, default } => {
                let selector = self.value(selector, if *signed { I1 } else { U1 });
                self.switch(&selector, cases, *default);
            }
            Statement::Let { ty, value, body, to } => {
                let ty = LET_TYPES[pick(*ty, LET_TYPES.len())];
                let (name, value) = (self.name("value"), self.value(value, ty));
                self.line(format_args!("{{\nlet {name} = {value};"));
                let outer = self.scope.len();
                self.declare(&name, ty);
                self.block(body);
                self.assign(to, 0, &Tree::latest());
                self.scope.truncate(outer);
                self.line(format_args!("}}"));
            }
        }
    }

    fn assign(&mut self, to: &Tree, operator: u16, value: &Tree) {
        let (ty, to) = to.target(&self.scope);
        let operators: &[&str] = match ty.scalar {
            I32 | U32 => &["=", "+=", "-=", "*=", "^=", "&=", "|="],
            Bool => &["=", "&=", "|="],
            F32 => &["="],
        };
        let (operator, value) = (operators[pick(operator, operators.len())], self.value(value, ty));
        self.line(format_args!("{to} {operator} {value};"));
    }

    /// The body of a loop whose trips so far a variable counts.
    fn trips(&mut self, counter: &str, body: &[Statement]) {
        let outer = self.scope.len();
        self.declare(counter, U1);
        self.body(body, Exits { breaks: true, continues: true, ..self.exits });
        self.scope.truncate(outer);
    }

    /// The text of a call, or of its first argument where there is nothing to call.
    fn call(&mut self, call: &Call) -> String {
        let [x, y] = [(0, U1), (1, I1)].map(|(index, ty)| self.value(&call.arguments[index], ty));
        if self.functions == 0 {
            return x;
        }
        let f = pick(call.function, self.functions);
        let [p, q] = self.pointers(call);
        format!("f{f}({x}, {y}, {p}, {q})")
    }

    fn pointers(&self, call: &Call) -> [&'static str; 2] {
        if self.callee {
            return ["p", "q"];
        }
        [["&a", "&z"][usize::from(call.pointers[0])], ["&arr", "&other"][usize::from(call.pointers[1])]]
    }

    /// A value loaded before the call is used after it.
    fn call_statement(&mut self, to: &Tree, call: &Call) {
        let [p, _] = self.pointers(call);
        let (before, result, text) = (self.name("value"), self.name("value"), self.call(call));
        self.line(format_args!("let {before} = *{p};\nlet {result} = {text} + u32({before});"));
        self.declare(&before, I1);
        self.declare(&result, U1);
        self.assign(to, 0, &Tree::latest());
    }

    fn leave(&mut self, condition: &Tree, how: u16, value: &Tree) {
        let mut exits = Vec::new();
        if self.exits.breaks {
            exits.push("break".into());
        }
        if self.exits.continues {
            exits.push("continue".into());
        }
        if self.exits.returns {
            exits.push(if self.callee { format!("return {}", self.value(value, U1)) } else { "return".into() });
        }
        if exits.is_empty() {
            return;
        }
        let condition = self.value(condition, B1);
        self.line(format_args!("if {condition} {{\n{};\n}}", exits[pick(how, exits.len())]));
    }

    /// The first case has two selectors; the default stands anywhere.
    fn switch(&mut self, selector: &str, cases: &[Vec<Statement>], default: u16) {
        self.line(format_args!("switch ({selector} % 6) {{"));
        let exits = Exits { breaks: true, ..self.exits };
        let default = pick(default, cases.len());
        for (index, case) in cases.iter().enumerate() {
            let selectors = match (index == default, index) {
                (true, 0) => "default".into(),
                (true, _) => format!("case {index}, default"),
                (false, 0) => "case 0, 5".into(),
                (false, _) => format!("case {index}"),
            };
            self.line(format_args!("{selectors}: {{"));
            self.body(case, exits);
            self.line(format_args!("}}"));
        }
        self.line(format_args!("}}"));
    }
}
