//! Convolutions of int8 whose groups have one channel and one output, in words that slide through registers: operands are read where they
//! lie, as bytes of planes or as words of four channels.

use super::{IntegerContraction, Kernels, Whole, flip};
use crate::compose::{ShaderFile, Value, shader};
use crate::error::{Error, Result};
use crate::family::contraction::depthwise::{MOST_HELD, MOST_UNROLLED, Slide};
use crate::family::contraction::whole::End;
use crate::family::contraction::{Windows, bind_whole_elements};
use crate::family::fours::Fours;
use crate::family::mask::lanes;
use crate::family::{LOAD_BYTES, wgsl};
use crate::layout::DType;
use crate::plan::{Access, Dispatch, Slot, Work};
use crate::profile::Class;

const DEPTHWISE: ShaderFile = shader!("whole/depthwise.wgsl");
const WORDS: ShaderFile = shader!("load/plane_words.wgsl");
const WORDS_RAGGED: ShaderFile = shader!("load/plane_words_ragged.wgsl");
const BYTES: ShaderFile = shader!("load/plane_bytes.wgsl");
const BYTES_RAGGED: ShaderFile = shader!("load/plane_bytes_ragged.wgsl");
const FOUR_WORDS: ShaderFile = shader!("load/four_words.wgsl");
const FOUR_BYTES: ShaderFile = shader!("load/four_bytes.wgsl");
const ROW_PLACES: ShaderFile = shader!("epilogue/whole_rows.wgsl");
const STORE_PLANES: ShaderFile = shader!("epilogue/whole_planes.wgsl");
const STORE_BYTES: ShaderFile = shader!("epilogue/whole_bytes.wgsl");
const STORE_CHANNELS: ShaderFile = shader!("epilogue/whole_channels.wgsl");

/// Channels in a word.
const CHANNELS: usize = 4;
/// Rows of outputs in an invocation.
const ROWS: [usize; 3] = [4, 2, 1];

/// How outputs lie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// Elements of planes.
    Planes(Fours),
    /// Bytes of planes, whole words in a row.
    Bytes,
    /// Words of four channels.
    Words(Fours),
}

/// The problem with its operands, and codes, where they lie: no other kernel packs them.
pub(super) fn in_place(problem: &IntegerContraction) -> IntegerContraction {
    let mut own = problem.clone();
    for (side, operand) in own.sides.iter_mut().zip([&mut own.contraction.a, &mut own.contraction.b]) {
        operand.input = side.input;
        side.pack = None;
    }
    let is_whole = problem.planes.as_ref().is_some_and(|windows| windows.output[1].is_multiple_of(CHANNELS));
    own.narrow = own.narrow.filter(|_| !is_whole);
    own
}

/// The dispatch, and the operands that it moves in words or in vectors. `packed` is the problem before [`in_place`].
///
/// # Errors
/// [`Error::Limit`] for windows that take too many registers.
pub(super) fn build(
    kernels: &Kernels<'_>,
    problem: &IntegerContraction,
    packed: &IntegerContraction,
) -> Result<(Dispatch, Vec<Slot>)> {
    let (operands, profile) = (kernels.operands, kernels.profile);
    let op = operands.op;
    let (Some(windows), Some(whole)) = (&problem.planes, &problem.contraction.whole) else {
        return Err(unfit(op, "channels of a group but one", 1, 0));
    };
    let [weight, x] = &problem.sides;
    let contraction = &problem.contraction;
    let x_layout = &operands.inputs[x.input];
    let in_words = x_layout.dtype == DType::U32;
    let input = Fours::of(x_layout, [windows.input[1]]);
    let rows_of = |layout| Fours::of(layout, [windows.output[1]]);
    let lie = match whole.end {
        End::Words { .. } => Lie::Words(rows_of(&operands.outputs[0])),
        End::Codes { .. } if problem.narrow.is_none() => Lie::Bytes,
        // Codes lie in scratch memory, row by row: ragged ones, or the row would be whole words.
        End::Codes { .. } => Lie::Planes(Fours::Elements),
        End::Sums | End::Floats => Lie::Planes(rows_of(&operands.outputs[0])),
    };
    let out_words = matches!(lie, Lie::Words(_));
    let channels = if in_words || out_words { CHANNELS } else { 1 };
    let slide = slide(op, windows, channels, profile.class)?;

    let mut assembly = kernels.assembly(DEPTHWISE);
    slide.bind(&mut assembly);
    for (name, value) in [
        ("CHANNELS", channels),
        ("IN_PLANES", if in_words { 1 } else { channels }),
        ("OUT_PLANES", if out_words { 1 } else { channels }),
    ] {
        assembly.constant("", name, Value::U32(value as u32));
    }
    let (file, element) = match (in_words, input) {
        (true, Fours::Vectors) => (WORDS, 16),
        (true, Fours::Elements) => (WORDS_RAGGED, 4),
        (false, Fours::Vectors) => (BYTES, 4),
        (false, Fours::Elements) => (BYTES_RAGGED, 1),
    };
    assembly.fragment("x", if in_words { FOUR_WORDS } else { FOUR_BYTES }).constant("x", "FLIP", flip(x.unsigned));
    let mut moved = kernels.bind(&mut assembly, "x", file, kernels.input(x.input, "u32", element))?;
    moved += kernels.bind(&mut assembly, "w", LOAD_BYTES, kernels.input(weight.input, "u32", 1))?;
    moved += kernels.bind_zeros(&mut assembly, &problem.sides)?;
    moved += bind_whole_elements(&mut assembly, op, contraction)?;

    let (elem, element) = match lie {
        Lie::Planes(fours) => (wgsl(contraction.out.dtype), fours.bytes(contraction.out.dtype)),
        Lie::Words(fours) => ("u32", fours.bytes(DType::U32)),
        Lie::Bytes => ("u32", DType::U32.size()),
    };
    let bytes = match lie {
        Lie::Planes(_) => (contraction.m * contraction.n) as u64 * contraction.out.dtype.size(),
        _ => operands.outputs[0].bytes(),
    };
    let target = Whole { slot: Slot::Output(0), bytes, access: Access::Write, elem, element };
    assembly.fragment("out", ROW_PLACES);
    let aligned_output = match lie {
        Lie::Planes(fours) | Lie::Words(fours) => {
            assembly.fragment("out", if out_words { STORE_CHANNELS } else { STORE_PLANES });
            moved += kernels.bind(&mut assembly, "out", fours.store(), target)?;
            fours == Fours::Vectors
        }
        Lie::Bytes => {
            moved += kernels.bind(&mut assembly, "out", STORE_BYTES, target)?;
            false
        }
    };

    let images = contraction.n / slide.pixels().max(1);
    let groups = contraction.m.div_ceil(channels);
    let total = images * groups * slide.bands() * slide.runs(profile.class).1;
    slide.bind_runs(&mut assembly, profile.class)?;
    let row = packed.sides[0].pack.as_ref().map_or(contraction.k, |pack| pack.from.k);
    for (name, value) in [
        ("total", total),
        ("channels", contraction.m),
        ("groups", groups),
        ("in_planes", if in_words { groups } else { contraction.m }),
        ("out_planes", if out_words { groups } else { contraction.m }),
        ("filter_bytes", row),
        ("zero_stride", usize::from(weight.zero.is_some_and(|zero| zero.1))),
    ] {
        assembly.size("", name, value)?;
    }
    let products = contraction.n as f64 * contraction.m as f64 * contraction.k as f64;
    let workgroups = total.div_ceil(lanes(profile) as usize) as u64;
    let dispatch = assembly.dispatch(profile, workgroups, Work { flops: 2.0 * products, bytes: moved as f64 })?;
    let aligned = [(input == Fours::Vectors, Slot::Input(x.input)), (aligned_output, Slot::Output(0))];
    Ok((dispatch, aligned.into_iter().filter(|(is, _)| *is).map(|(_, slot)| slot).collect()))
}

/// The most rows of outputs that fit into an invocation.
fn slide<'a>(op: &'static str, windows: &'a Windows, channels: usize, class: Class) -> Result<Slide<'a>> {
    let taps = windows.kernel[0].saturating_mul(windows.kernel[1]);
    // Registers of GPUs take half as many rows in four planes.
    let most = if channels > 1 && class != Class::Cpu { 2 } else { ROWS[0] };
    let fits = |slide: &Slide<'_>| {
        let rows = slide.rows;
        rows <= most.min(windows.output[0].max(1).next_power_of_two())
            && slide.held() <= MOST_HELD
            && rows.saturating_mul(taps).saturating_mul(channels) <= MOST_UNROLLED
    };
    let slides = ROWS.map(|rows| Slide { windows, rows });
    let least = slides[ROWS.len() - 1];
    slides.into_iter().find(fits).ok_or_else(|| {
        let held = least.held();
        if held > MOST_HELD {
            unfit(op, "vectors of an invocation", held, MOST_HELD)
        } else {
            unfit(op, "multiply-adds of a step", taps.saturating_mul(channels), MOST_UNROLLED)
        }
    })
}

fn unfit(op: &'static str, what: &'static str, needed: usize, available: usize) -> Error {
    Error::Limit {
        op: op.into(),
        limit: what,
        needed: needed as u64,
        available: available as u64,
        hint: "a variant that reads windows word by word takes its place",
    }
}
