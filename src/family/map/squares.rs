//! Copies that turn rows into columns. What lies side by side in the input is far apart in the output: squares of four by four are
//! read in rows of the one and written in rows of the other.

use super::{Function, GRID, Map, Part, Pieces, RANK, SIZES, VECTOR};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::Result;
use crate::family::fours::Fours;
use crate::family::wgsl;
use crate::plan::{Access, Assembly, Binding, Dispatch, Slot, Work};
use crate::problem::Operands;
use crate::profile::{Class, DeviceProfile};
use crate::split::{Region, bytes};

const SQUARES: ShaderFile = shader!("map/squares.wgsl");
const UNRAVEL: ShaderFile = shader!("common/unravel.wgsl");

/// Dimensions that the kernel counts beside the two that make up squares.
const OTHERS: usize = RANK - 2;
const READ: [&str; OTHERS] = ["read_0", "read_1", "read_2", "read_3"];
const WRITTEN: [&str; OTHERS] = ["written_0", "written_1", "written_2", "written_3"];

/// The fastest dimension of the input of a copy, if that is not the output's and both have a square's elements.
pub(super) fn along(problem: &Map, part: &Part) -> Option<usize> {
    let ([argument], Some(last)) = (&part.arguments[..], part.sizes.len().checked_sub(1)) else { return None };
    let plain = problem.function == Function::Copy && argument.padding.is_none() && part.strides[last] == 1;
    let along = argument.strides[..last].iter().position(|&stride| stride == 1)?;
    (plain && part.sizes[along].min(part.sizes[last]) >= VECTOR).then_some(along)
}

/// Whether squares are the best choice, and why they stand where they stand.
///
/// On lavapipe squares that load element by element are slower than no squares: a transpose of 1000 x 3001 elements took 20 ms,
/// and 15 ms without.
pub(super) fn reason(
    part: &Part,
    along: usize,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
) -> (bool, &'static str) {
    match (sides(part, along, &Region::whole(&part.sizes), operands), profile.class) {
        ([Fours::Vectors, Fours::Vectors], _) => (true, "rows become columns in squares of 4 x 4, four at once"),
        (_, Class::Cpu) => (false, "class Cpu: rows that are no whole vectors"),
        _ => (true, "rows become columns in squares of 4 x 4"),
    }
}

/// How the input's rows, along this dimension, and the output's rows in a region are moved.
fn sides(part: &Part, along: usize, region: &Region, operands: &Operands<'_>) -> [Fours; 2] {
    let (argument, last) = (&part.arguments[0], part.sizes.len() - 1);
    let start = argument.reach(region).start as usize;
    let first = region.0.iter().zip(&part.strides).map(|(range, stride)| range.start * stride).sum::<usize>();
    [
        (&operands.inputs[argument.input], start, &argument.strides, along),
        (&operands.outputs[0], part.start + first, &part.strides, last),
    ]
    .map(|(layout, start, strides, row)| {
        let pitches = (0..strides.len()).filter(|&dim| dim != row).map(|dim| strides[dim]);
        Fours::of(layout, pitches.chain([start, region.len(row)]))
    })
}

/// What a workgroup takes, in squares.
struct Tile {
    /// Invocations along the output's rows, and along the input's.
    lanes: (usize, usize),
    /// Squares of an invocation, along the input's rows.
    run: usize,
}

impl Tile {
    /// Elements of a line of a cache.
    const LINE: usize = 16;

    /// The tile for rows of the input, and of the output, that are so far apart.
    ///
    /// On lavapipe, of the rate of copies: where all rows start with a line, squares that read and write whole lines at once reached
    /// 70 % at 2048 x 2048 in runs of 16, 64 % of 8 and 59 % of 4, and 51 % in 8 lanes and runs of 2. Where lines start anywhere,
    /// longer stores cut fewer of them: at 1000 x 3000 8 lanes and runs of 2 reached 52 %, and lanes of 4 by 2 39 % in any run.
    fn of(pitches: [usize; 2], class: Class) -> Self {
        match class {
            Class::Cpu if pitches.iter().all(|pitch| pitch.is_multiple_of(Tile::LINE)) => {
                Tile { lanes: (4, 2), run: 16 }
            }
            Class::Cpu => Tile { lanes: (8, 1), run: 2 },
            _ => Tile { lanes: (8, 8), run: 1 },
        }
    }
}

/// The dispatch of a region, with squares along this dimension and the last. Notes the operands that it moves in vectors.
pub(super) fn dispatch(
    pieces: &Pieces<'_>,
    along: usize,
    region: &Region,
    operands: &Operands<'_>,
    profile: &DeviceProfile,
    aligned: &mut Vec<Slot>,
) -> Result<Dispatch> {
    let (part, dtype) = (pieces.part, pieces.dtype);
    let (last, argument) = (part.sizes.len() - 1, &part.arguments[0]);
    let Tile { lanes, run } = Tile::of([argument.strides[last], part.strides[along]], profile.class);
    let mut assembly = Assembly::new(operands.op, SQUARES, operands.arena());
    assembly.common(GRID).common(UNRAVEL);
    for (name, value) in [("WG_X", lanes.0), ("WG_Y", lanes.1), ("RUN", run), ("RANK", part.sizes.len())] {
        assembly.constant("", name, Value::U32(value as u32));
    }
    assembly.constant("", "Elem", Value::Type(wgsl(dtype)));
    assembly.constant("", "Word", Value::Type(dtype.word()));
    assembly.constant("", "NOTHING", Value::U32(0));

    let tiles = |dim: usize, squares: usize| region.len(dim).div_ceil(VECTOR * squares);
    let (tiles_i, tiles_j) = (tiles(along, lanes.1 * run), tiles(last, lanes.0));
    for (name, value) in [
        ("tiles_i", tiles_i),
        ("tiles_j", tiles_j),
        ("size_i", region.len(along)),
        ("size_j", region.len(last)),
        ("read_j", argument.strides[last]),
        ("written_i", part.strides[along]),
    ] {
        assembly.size("", name, value)?;
    }
    let others: Vec<usize> = (0..last).filter(|&dim| dim != along).collect();
    let other = |place: usize| (place + others.len()).checked_sub(OTHERS).map(|number| others[number]);
    for place in 0..OTHERS {
        let stride = |strides: &[usize]| other(place).map_or(0, |dim| strides[dim]);
        assembly.size("", READ[place], stride(&argument.strides))?.size("", WRITTEN[place], stride(&part.strides))?;
    }
    for (place, name) in SIZES.iter().enumerate().take(OTHERS).skip(1) {
        assembly.size("", name, other(place).map_or(1, |dim| region.len(dim)))?;
    }

    let (read, written) = (bytes(argument.reach(region), dtype), pieces.out(region));
    let elements: usize = region.0.iter().map(ExactSizeIterator::len).product();
    let moved = read.end - read.start + elements as u64 * dtype.size();
    let [source, target] = sides(part, along, region, operands);
    for (fours, hook, fragment, slot, range, access) in [
        (source, "a", source.load(), Slot::Input(argument.input), read, Access::Read),
        (target, "out", target.store(), Slot::Output(0), written, Access::Write),
    ] {
        assembly.fragment(hook, fragment).bind(hook, Binding { slot, range, access, element: fours.bytes(dtype) });
        aligned.extend((fours == Fours::Vectors).then_some(slot));
    }
    let workgroups = others.iter().map(|&dim| region.len(dim)).product::<usize>() * tiles_i * tiles_j;
    assembly.dispatch(profile, workgroups as u64, Work { flops: elements as f64, bytes: moved as f64 })
}
