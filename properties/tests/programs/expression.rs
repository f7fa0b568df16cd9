//! Expressions: the forms that WGSL has for each type, and trees that choose among them.

use std::fmt;

use proptest::prelude::*;

use Scalar::{Bool, F32, I32, U32};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    Bool,
    I32,
    U32,
    F32,
}

/// A scalar, which has one column of one row, a vector, which has one column, or a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type {
    pub scalar: Scalar,
    pub columns: usize,
    pub rows: usize,
}

impl Type {
    pub const fn scalar(scalar: Scalar) -> Self {
        Type::vector(scalar, 1)
    }

    pub const fn vector(scalar: Scalar, rows: usize) -> Self {
        Type { scalar, columns: 1, rows }
    }

    pub const fn matrix(columns: usize, rows: usize) -> Self {
        Type { scalar: F32, columns, rows }
    }

    /// Every type that an expression of these tests may have.
    pub fn all() -> Vec<Type> {
        let vectors =
            [Bool, I32, U32, F32].into_iter().flat_map(|scalar| (1..=4).map(move |n| Type::vector(scalar, n)));
        let matrices = (2..=4).flat_map(|columns| (2..=4).map(move |rows| Type::matrix(columns, rows)));
        vectors.chain(matrices).collect()
    }

    pub fn words(self) -> usize {
        self.columns * self.rows
    }

    /// The expressions of its words, given one of a value.
    pub fn bits(self, value: &str) -> Vec<String> {
        let component = |index: usize| match (self.columns, self.rows) {
            (1, 1) => value.to_string(),
            (1, _) => format!("{value}[{index}]"),
            (_, rows) => format!("{value}[{}][{}]", index / rows, index % rows),
        };
        let word = |component: String| match self.scalar {
            Bool => format!("u32({component})"),
            I32 => format!("bitcast<u32>({component})"),
            U32 => component,
            F32 => format!("bits1({component})"),
        };
        (0..self.words()).map(component).map(word).collect()
    }

    /// As the names of its functions and members in the prelude end.
    fn suffix(self) -> String {
        if self.columns == 1 { self.rows.to_string() } else { format!("{}x{}", self.columns, self.rows) }
    }

    /// What the data hold of this type for an invocation.
    fn given(self, lane: &str) -> String {
        let suffix = self.suffix();
        match self.scalar {
            Bool => format!("{self}({} & {}(1))", self.of(U32).given(lane), self.of(U32)),
            I32 => format!("ints[{lane}].i{suffix}"),
            U32 => format!("ints[{lane}].u{suffix}"),
            F32 => format!("floats[{lane}].f{suffix}"),
        }
    }

    /// Constants around which operations change what they do.
    fn literal(self, choice: u16) -> Option<String> {
        let of = |texts: &[&str]| Some(format!("{self}({})", texts[pick(choice, texts.len())]));
        match self.scalar {
            _ if self.columns > 1 => None,
            Bool => of(&["false", "true"]),
            I32 => of(&["0", "1", "-1", "2", "-7", "31", "32", "100", "65536", "2147483647", "-2147483648"]),
            U32 => of(&["0", "1", "2", "3", "7", "31", "32", "100", "65535", "2147483648", "4294967295"]),
            F32 => of(&["0.0", "1.0", "-1.0", "0.5", "-0.5", "2.0", "0.125", "3.0", "-5.25", "32.0"]),
        }
    }

    /// The type of the same shape with other scalars.
    fn of(self, scalar: Scalar) -> Type {
        Type { scalar, ..self }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scalar = match self.scalar {
            Bool => "bool",
            I32 => "i32",
            U32 => "u32",
            F32 => "f32",
        };
        match (self.columns, self.rows) {
            (1, 1) => f.write_str(scalar),
            (1, rows) => write!(f, "vec{rows}<{scalar}>"),
            (columns, rows) => write!(f, "mat{columns}x{rows}<{scalar}>"),
        }
    }
}

/// What is known of a float: it is a multiple of `2^quantum`, and `2^magnitude` at most; quantum <= 0 <= magnitude.
/// With at most 24 bits between them, no f32 was rounded, whatever the order of the operations. Integers and bools
/// count as [`UNIT`].
#[derive(Clone, Copy, Debug)]
struct Exact {
    magnitude: i32,
    quantum: i32,
}

const UNIT: Exact = Exact { magnitude: 0, quantum: 0 };

/// What variables, data and results of `fit` hold.
const FIT: Exact = Exact { magnitude: 5, quantum: -3 };

impl Exact {
    fn holds(self) -> bool {
        self.magnitude - self.quantum <= 24
    }

    /// Either of the two.
    fn or(self, other: Exact) -> Exact {
        Exact { magnitude: self.magnitude.max(other.magnitude), quantum: self.quantum.min(other.quantum) }
    }

    fn plus(self, other: Exact) -> Exact {
        self.or(other).grown(1)
    }

    fn times(self, other: Exact) -> Exact {
        Exact { magnitude: self.magnitude + other.magnitude, quantum: self.quantum + other.quantum }
    }

    /// Times at most `2^by`, a whole number.
    fn grown(self, by: i32) -> Exact {
        Exact { magnitude: self.magnitude + by, ..self }
    }

    /// A sum of at most four products.
    fn dot(self, other: Exact) -> Exact {
        self.times(other).grown(2)
    }

    /// Times at most `2^by`, or divided by it.
    fn scaled(self, by: i32) -> Exact {
        Exact { magnitude: self.magnitude + by, quantum: self.quantum - by }
    }

    fn whole(self) -> Exact {
        Exact { quantum: 0, ..self }
    }

    fn below_one(self) -> Exact {
        Exact { magnitude: 0, ..self }
    }
}

/// The invocations whose data one reads: its own, and others, so that operands differ.
const WHOSE: [&str; 4] = ["lane", "lane ^ 1u", "lane ^ 5u", "LANES - 1u - lane"];

/// A way to write an expression: text with holes, `$a` to `$d`, for expressions of these types.
#[derive(Clone, Debug)]
pub struct Form {
    text: String,
    holes: Vec<Type>,
    /// What is known of the result, given that of what fills the holes; also of all that is computed on the way.
    exact: fn(&[Exact]) -> Exact,
}

fn form(text: impl Into<String>, holes: &[Type]) -> Form {
    let any = |holes: &[Exact]| holes.iter().fold(UNIT, |all, hole| all.or(*hole));
    Form { text: text.into(), holes: holes.to_vec(), exact: any }
}

fn float(text: impl Into<String>, holes: &[Type], exact: fn(&[Exact]) -> Exact) -> Form {
    Form { text: text.into(), holes: holes.to_vec(), exact }
}

/// What memory holds, at so many indices.
fn stored(text: impl Into<String>, indices: usize) -> Form {
    float(text, &vec![Type::scalar(U32); indices], |_| FIT)
}

impl Form {
    /// A place in memory, its holes being indices.
    pub fn place(text: &str) -> Form {
        stored(text, text.matches('$').count())
    }

    pub fn is_leaf(&self) -> bool {
        self.holes.is_empty()
    }

    /// An expression of a type that the form is for, given what fills the holes.
    fn filled(&self, ty: Type, parts: Vec<Written>) -> Written {
        let mut parts = parts;
        let exact = |parts: &[Written]| match ty.scalar {
            F32 => (self.exact)(&parts.iter().map(|part| part.exact).collect::<Vec<_>>()),
            _ => UNIT,
        };
        if !exact(&parts).holds() {
            parts = parts.into_iter().zip(&self.holes).map(|(part, &ty)| part.fit(ty)).collect();
        }
        let exact = exact(&parts);
        assert!(exact.holds(), "{self:?}");
        let mut pieces = self.text.split('$');
        let mut text = pieces.next().unwrap_or_default().to_string();
        for piece in pieces {
            let (hole, rest) = piece.split_at(1);
            text += &parts[usize::from(hole.as_bytes()[0] - b'a')].text;
            text += rest;
        }
        Written { text, exact }
    }

    /// With different data in its holes.
    pub fn sample(&self, ty: Type) -> Written {
        let data = self.holes.iter().zip(WHOSE).map(|(&ty, lane)| Written::leaf(ty, ty.given(lane)));
        self.filled(ty, data.collect())
    }
}

/// The text of an expression.
#[derive(Clone, Debug)]
pub struct Written {
    pub text: String,
    exact: Exact,
}

impl Written {
    fn leaf(ty: Type, text: String) -> Self {
        Written { text, exact: if ty.scalar == F32 { FIT } else { UNIT } }
    }

    /// As a value that a variable may hold.
    pub fn fit(self, ty: Type) -> Written {
        let fits = self.exact.magnitude <= FIT.magnitude && self.exact.quantum >= FIT.quantum;
        if fits {
            return self;
        }
        Written { text: format!("fit{}({})", ty.suffix(), self.text), exact: FIT }
    }
}

/// Every form with holes that a type has.
pub fn forms(ty: Type) -> Vec<Form> {
    let mut forms = match (ty.columns, ty.scalar) {
        (1, Bool) => bools(ty),
        (1, I32 | U32) => integers(ty),
        (1, F32) => floats(ty),
        _ => matrices(ty),
    };
    forms.push(stored(ty.given("$a % LANES"), 1));
    forms.push(form("array($a, $b, $c)[$d % 3u]", &[ty, ty, ty, Type::scalar(U32)]));
    if ty.columns == 1 {
        forms.push(form("select($a, $b, $c)", &[ty, ty, Type::scalar(Bool)]));
        forms.extend(if ty.rows == 1 { components(ty.scalar) } else { vectors(ty) });
    }
    forms
}

fn components(scalar: Scalar) -> Vec<Form> {
    let mut forms = Vec::new();
    for rows in 2..=4 {
        let vector = Type::vector(scalar, rows);
        forms.push(form(format!("$a.{}", &"xyzw"[rows - 1..rows]), &[vector]));
        forms.push(form(format!("$a[$b % {rows}u]"), &[vector, Type::scalar(U32)]));
    }
    forms
}

fn vectors(ty: Type) -> Vec<Form> {
    let (one, of) = (Type::scalar(ty.scalar), |rows| Type::vector(ty.scalar, rows));
    let mut forms = vec![
        form("select($a, $b, $c)", &[ty, ty, ty.of(Bool)]),
        form(format!("{ty}($a)"), &[one]),
        match ty.rows {
            2 => form(format!("{ty}($a, $b)"), &[one, one]),
            3 => form(format!("{ty}($a, $b, $c)"), &[one, one, one]),
            _ => form(format!("{ty}($a, $b, $c, $d)"), &[one, one, one, one]),
        },
    ];
    if ty.rows > 2 {
        forms.push(form(format!("{ty}($a, $b)"), &[of(ty.rows - 1), one]));
        forms.push(form(format!("{ty}($a, $b)"), &[one, of(ty.rows - 1)]));
    }
    if ty.rows == 4 {
        forms.push(form(format!("{ty}($a, $b)"), &[of(2), of(2)]));
        forms.push(form(format!("{ty}($a, $b, $c)"), &[one, of(2), one]));
    }
    for rows in 2..=4 {
        let backwards: String = (0..ty.rows).map(|index| &"wzyx"[4 - rows..][index % rows..][..1]).collect();
        let turned: String = (0..ty.rows).map(|index| &"xyzw"[(index + 1) % rows..][..1]).collect();
        forms.extend([backwards, turned].map(|swizzle| form(format!("$a.{swizzle}"), &[of(rows)])));
    }
    forms
}

fn bools(ty: Type) -> Vec<Form> {
    let mut forms = vec![form("(!$a)", &[ty])];
    for scalar in [I32, U32, F32] {
        for operator in ["<", "<=", ">", ">=", "==", "!="] {
            forms.push(form(format!("($a {operator} $b)"), &[ty.of(scalar), ty.of(scalar)]));
        }
        forms.push(form(format!("{ty}($a)"), &[ty.of(scalar)]));
    }
    for operator in ["&", "|", "==", "!="] {
        forms.push(form(format!("($a {operator} $b)"), &[ty, ty]));
    }
    if ty.rows == 1 {
        forms.extend(["($a && $b)", "($a || $b)"].map(|text| form(text, &[ty, ty])));
        for rows in 1..=4 {
            forms.extend(["all($a)", "any($a)"].map(|text| form(text, &[Type::vector(Bool, rows)])));
        }
    }
    forms
}

fn integers(ty: Type) -> Vec<Form> {
    let (one, shift, count) = (Type::scalar(ty.scalar), ty.of(U32), Type::scalar(U32));
    let other = ty.of(if ty.scalar == I32 { U32 } else { I32 });
    let mut forms = Vec::new();
    for operator in ["+", "-", "*", "&", "|", "^"] {
        forms.push(form(format!("($a {operator} $b)"), &[ty, ty]));
    }
    // Divided by zero, there would be a finding.
    for operator in ["/", "%"] {
        forms.push(form(format!("($a {operator} ($b | {ty}(1)))"), &[ty, ty]));
    }
    if ty.rows > 1 {
        for operator in ["+", "-", "*"] {
            forms.push(form(format!("($a {operator} $b)"), &[ty, one]));
            forms.push(form(format!("($a {operator} $b)"), &[one, ty]));
        }
        for operator in ["/", "%"] {
            forms.push(form(format!("($a {operator} ($b | {one}(1)))"), &[ty, one]));
            forms.push(form(format!("($a {operator} ($b | {ty}(1)))"), &[one, ty]));
        }
    }
    // Shifted by as much as the width, there would be a finding.
    for operator in ["<<", ">>"] {
        forms.push(form(format!("($a {operator} ($b & {shift}(31)))"), &[ty, shift]));
    }
    for function in ["min", "max"] {
        forms.push(form(format!("{function}($a, $b)"), &[ty, ty]));
    }
    forms.push(form("clamp($a, $b, $c)", &[ty, ty, ty]));
    forms.push(form("(~$a)", &[ty]));
    for function in [
        "abs",
        "countOneBits",
        "countLeadingZeros",
        "countTrailingZeros",
        "reverseBits",
        "firstLeadingBit",
        "firstTrailingBit",
    ] {
        forms.push(form(format!("{function}($a)"), &[ty]));
    }
    // Fields that are within the word, and that may not be.
    for limit in ["& 15u", "% 40u"] {
        forms.push(form(format!("extractBits($a, $b {limit}, $c {limit})"), &[ty, count, count]));
        forms.push(form(format!("insertBits($a, $b, $c {limit}, $d {limit})"), &[ty, ty, count, count]));
    }
    forms.push(form(format!("{ty}($a)"), &[other]));
    forms.push(form(format!("{ty}($a)"), &[ty.of(Bool)]));
    forms.push(form(format!("bitcast<{ty}>($a)"), &[other]));
    forms.push(form(format!("bitcast<{ty}>(bits{}($a))", ty.suffix()), &[ty.of(F32)]));
    if ty.rows == 1 {
        forms.extend((2..=4).map(|rows| Type::vector(ty.scalar, rows)).map(|of| form("dot($a, $b)", &[of, of])));
    }
    forms.extend(if ty.scalar == I32 { signed(ty) } else { unsigned(ty) });
    forms
}

fn signed(ty: Type) -> Vec<Form> {
    let packed = Type::scalar(U32);
    let mut forms = vec![
        form("(-$a)", &[ty]),
        form("sign($a)", &[ty]),
        // Within range: an exact float is at most 2^24.
        form(format!("{ty}($a)"), &[ty.of(F32)]),
        form("frexp($a).exp", &[ty.of(F32)]),
    ];
    match ty.rows {
        1 => forms.push(form("dot4I8Packed($a, $b)", &[packed, packed])),
        4 => forms.push(form("unpack4xI8($a)", &[packed])),
        _ => {}
    }
    forms
}

fn unsigned(ty: Type) -> Vec<Form> {
    let packed = Type::scalar(U32);
    // Within range.
    let mut forms = vec![form(format!("{ty}(abs($a))"), &[ty.of(F32)])];
    match ty.rows {
        1 => {
            forms.push(form("dot4U8Packed($a, $b)", &[packed, packed]));
            for (scalar, functions) in [(I32, ["pack4xI8", "pack4xI8Clamp"]), (U32, ["pack4xU8", "pack4xU8Clamp"])] {
                let four = Type::vector(scalar, 4);
                forms.extend(functions.map(|function| form(format!("{function}($a)"), &[four])));
            }
            // Odd multiples of 1/64 never end up halfway between two, where rounding differs.
            for (function, rows) in
                [("pack4x8snorm", 4), ("pack4x8unorm", 4), ("pack2x16snorm", 2), ("pack2x16unorm", 2)]
            {
                let text = format!("{function}(fit{rows}($a) * 0.25 + 0.015625)");
                forms.push(form(text, &[Type::vector(F32, rows)]));
            }
            // An odd multiple of 1/16 is not zero, and an f16.
            forms.push(form("pack2x16float(fit2($a) + 0.0625)", &[Type::vector(F32, 2)]));
        }
        4 => forms.push(form("unpack4xU8($a)", &[packed])),
        _ => {}
    }
    forms
}

fn floats(ty: Type) -> Vec<Form> {
    let one = Type::scalar(F32);
    let mut forms = vec![
        float("(-$a)", &[ty], |e| e[0]),
        float("($a + $b)", &[ty, ty], |e| e[0].plus(e[1])),
        float("($a - $b)", &[ty, ty], |e| e[0].plus(e[1])),
        float("($a * $b)", &[ty, ty], |e| e[0].times(e[1])),
        float("fma($a, $b, $c)", &[ty, ty, ty], |e| e[0].times(e[1]).plus(e[2])),
        float("mix($a, $b, $c)", &[ty, ty, ty], |e| e[0].plus(e[1]).times(e[2].plus(UNIT)).grown(1)),
        float("ldexp($a, $b % 4)", &[ty, ty.of(I32)], |e| e[0].scaled(3)),
        float("floor($a)", &[ty], |e| e[0].whole()),
        float("ceil($a)", &[ty], |e| e[0].whole()),
        float("trunc($a)", &[ty], |e| e[0].whole()),
        float("round($a)", &[ty], |e| e[0].whole()),
        float("modf($a).whole", &[ty], |e| e[0].whole()),
        float("modf($a).fract", &[ty], |e| e[0].below_one()),
        float("fract($a)", &[ty], |e| e[0].below_one()),
        float("saturate($a)", &[ty], |e| e[0].below_one()),
        float("abs($a)", &[ty], |e| e[0]),
        float("min($a, $b)", &[ty, ty], |e| e[0].or(e[1])),
        float("max($a, $b)", &[ty, ty], |e| e[0].or(e[1])),
        float("clamp($a, -abs($b), abs($c))", &[ty, ty, ty], |e| e[0].or(e[1]).or(e[2])),
        float("frexp($a).fract", &[ty], |e| e[0].scaled(e[0].magnitude).below_one()),
        float("sign($a)", &[ty], |_| UNIT),
        float("step($a, $b)", &[ty, ty], |_| UNIT),
        // What f16 has, too.
        float(format!("quantizeToF16(fit{}($a))", ty.suffix()), &[ty], |_| FIT),
        float(format!("{ty}($a)"), &[ty.of(Bool)], |_| UNIT),
        float(format!("{ty}($a & {}(1023))", ty.of(U32)), &[ty.of(U32)], |_| UNIT.grown(10)),
        float(format!("{ty}($a % {}(1024))", ty.of(I32)), &[ty.of(I32)], |_| UNIT.grown(10)),
        // Sign, two bits of the exponent and four of the mantissa.
        float(format!("bitcast<{ty}>(($a & {0}(0x81f80000)) | {0}(0x40000000))", ty.of(U32)), &[ty.of(U32)], |_| FIT),
    ];
    if ty.rows == 1 {
        for rows in 2..=4 {
            let of = Type::vector(F32, rows);
            forms.push(float("dot($a, $b)", &[of, of], |e| e[0].dot(e[1])));
        }
        forms.push(float("determinant($a)", &[Type::matrix(2, 2)], |e| e[0].dot(e[0])));
        // Signs have small minors.
        let three = Type::vector(F32, 3);
        let text = "determinant(mat3x3(sign($a), sign($b), sign($c)))";
        forms.push(float(text, &[three; 3], |_| UNIT.grown(3)));
        let text = "determinant(mat4x4(sign($a), sign($b), sign($c), sign($d)))";
        forms.push(float(text, &[Type::vector(F32, 4); 4], |_| UNIT.grown(5)));
        return forms;
    }
    for (a, b) in [(ty, one), (one, ty)] {
        forms.push(float("($a + $b)", &[a, b], |e| e[0].plus(e[1])));
        forms.push(float("($a - $b)", &[a, b], |e| e[0].plus(e[1])));
        forms.push(float("($a * $b)", &[a, b], |e| e[0].times(e[1])));
    }
    forms.push(float("mix($a, $b, $c)", &[ty, ty, one], |e| e[0].plus(e[1]).times(e[2].plus(UNIT)).grown(1)));
    // Their inner products have to be exact too: with signs they are.
    forms.push(float("faceForward($a, sign($b), sign($c))", &[ty, ty, ty], |e| e[0]));
    forms.push(float("reflect($a, sign($b))", &[ty, ty], |e| e[0].grown(4)));
    for columns in 2..=4 {
        forms.push(form(format!("$a[$b % {columns}u]"), &[Type::matrix(columns, ty.rows), Type::scalar(U32)]));
        let (matrix, vector) = (Type::matrix(columns, ty.rows), Type::vector(F32, columns));
        forms.push(float("($a * $b)", &[matrix, vector], |e| e[0].dot(e[1])));
        let (matrix, vector) = (Type::matrix(ty.rows, columns), Type::vector(F32, columns));
        forms.push(float("($a * $b)", &[vector, matrix], |e| e[0].dot(e[1])));
    }
    let packed = Type::scalar(U32);
    match ty.rows {
        2 => {
            // Sign and mantissa, and the exponent of one. Mesa 22.3's compiler takes the upper half of what it knows
            // for 0.
            let halves = "unpack2x16float((($a ^ ints[lane].noise) & 0x83ff83ffu) | 0x3c003c00u)";
            forms.push(float(halves, &[packed], |_| Exact { magnitude: 1, quantum: -10 }));
            // The quotients may be inexact, yet their whole numbers are not.
            forms.push(float("round(unpack2x16snorm($a) * 32767.0)", &[packed], |_| UNIT.grown(15)));
            forms.push(float("round(unpack2x16unorm($a) * 65535.0)", &[packed], |_| UNIT.grown(16)));
        }
        3 => forms.push(float("cross($a, $b)", &[ty, ty], |e| e[0].dot(e[1]))),
        _ => {
            forms.push(float("round(unpack4x8snorm($a) * 127.0)", &[packed], |_| UNIT.grown(7)));
            forms.push(float("round(unpack4x8unorm($a) * 255.0)", &[packed], |_| UNIT.grown(8)));
        }
    }
    forms
}

fn matrices(ty: Type) -> Vec<Form> {
    let (one, column) = (Type::scalar(F32), Type::vector(F32, ty.rows));
    let columns = ["$a", "$b", "$c", "$d"][..ty.columns].join(", ");
    let mut forms = vec![
        form(format!("{ty}({columns})"), &vec![column; ty.columns]),
        form("transpose($a)", &[Type::matrix(ty.rows, ty.columns)]),
        float("($a + $b)", &[ty, ty], |e| e[0].plus(e[1])),
        float("($a - $b)", &[ty, ty], |e| e[0].plus(e[1])),
        float("($a * $b)", &[ty, one], |e| e[0].times(e[1])),
        float("($a * $b)", &[one, ty], |e| e[0].times(e[1])),
    ];
    for inner in 2..=4 {
        // Mesa 22.3 crashes on the product of two transposes, or refuses it, unless it is square; `fit` makes one
        // something else.
        let factors = [Type::matrix(inner, ty.rows), Type::matrix(ty.columns, inner)];
        forms.push(float(format!("($a * fit{}($b))", factors[1].suffix()), &factors, |e| e[0].dot(FIT)));
    }
    forms
}

/// A value or a place in memory that has a name.
#[derive(Clone, Debug)]
pub struct Named {
    pub form: Form,
    pub ty: Type,
    pub writable: bool,
}

/// An expression without types: at each place it chooses among the forms that fit there, and its parts fill their
/// holes. One without parts chooses among the data, variables and literals.
#[derive(Clone, Debug)]
pub struct Tree {
    choice: u16,
    parts: Vec<Tree>,
}

/// The bit of a leaf's choice that makes it a literal where one may stand; what else it chooses hardly depends on it.
const LITERAL: u16 = 1;

impl Tree {
    pub fn leaf(choice: u16) -> Tree {
        Tree { choice, parts: Vec::new() }
    }

    /// The variable of the type that was declared last, if there is one.
    pub fn latest() -> Tree {
        Tree::leaf(!LITERAL)
    }

    /// One of so many: the first for the smallest choice, so that shrinking leads there.
    pub fn pick(&self, count: usize) -> usize {
        pick(self.choice, count)
    }

    /// The part that fills a hole, or a leaf if there is none.
    fn part(&self, hole: usize) -> Tree {
        self.parts.get(hole).cloned().unwrap_or_else(|| Tree::leaf(self.choice.rotate_left(5 * hole as u32)))
    }

    /// An expression of a type, of what has a name in a scope.
    pub fn write(&self, ty: Type, scope: &[Named]) -> Written {
        self.expression(ty, scope, false)
    }

    /// What may be assigned to in a scope.
    pub fn target(&self, scope: &[Named]) -> (Type, String) {
        let writable: Vec<&Named> = scope.iter().filter(|named| named.writable).collect();
        let Named { form, ty, .. } = writable[self.pick(writable.len())];
        (*ty, self.fill(form, *ty, scope).text)
    }

    fn expression(&self, ty: Type, scope: &[Named], literal: bool) -> Written {
        let named = |leaf: bool| {
            scope
                .iter()
                .filter(move |named| named.ty == ty && named.form.is_leaf() == leaf)
                .map(|named| named.form.clone())
        };
        if !self.parts.is_empty() {
            let forms: Vec<Form> = named(false).chain(forms(ty)).collect();
            return self.fill(&forms[self.pick(forms.len())], ty, scope);
        }
        let given = WHOSE.map(|lane| ty.given(lane));
        let leaves: Vec<String> = given.into_iter().chain(named(true).map(|form| form.text)).collect();
        let literal = literal && self.choice & LITERAL != 0;
        let constant = if literal { ty.literal(self.choice.rotate_left(7)) } else { None };
        Written::leaf(ty, constant.unwrap_or_else(|| leaves[self.pick(leaves.len())].clone()))
    }

    fn fill(&self, form: &Form, ty: Type, scope: &[Named]) -> Written {
        // One operand, and not the only one: WGSL refuses what overflows or is out of range when all are literals.
        let literal = usize::from(self.choice) % 4;
        let may = |hole| hole == literal && form.holes.len() > 1;
        let part = |(hole, &ty): (usize, &Type)| self.part(hole).expression(ty, scope, may(hole));
        form.filled(ty, form.holes.iter().enumerate().map(part).collect())
    }
}

/// One of so many: the first for the smallest choice, so that shrinking leads there.
pub fn pick(choice: u16, count: usize) -> usize {
    (usize::from(choice) * count) >> 16
}

/// Trees that are so deep and have about so many parts.
pub fn tree(depth: u32, parts: u32) -> impl Strategy<Value = Tree> + Clone {
    any::<u16>().prop_map(Tree::leaf).prop_recursive(depth, parts, 3, |inner| {
        (any::<u16>(), prop::collection::vec(inner, 1..=3)).prop_map(|(choice, parts)| Tree { choice, parts })
    })
}
