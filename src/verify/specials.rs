//! NaN, infinity, signed zeros, the largest and the smallest numbers: what a device makes of them.
//!
//! WGSL allows an implementation to assume that there is no NaN and no infinity, and to flush subnormal numbers to 0. So this
//! is reported for each adapter, and promised for none.

use std::fmt;

use crate::error::Result;
use crate::gpu::Gpu;
use crate::layout::{DType, Layout};
use crate::reference::{Expected, HostData, HostTensor, Random, Select, TINY, Twin, Value, layouts};
use crate::tensor::{AnyTensor, Operand};
use crate::verify::fraction;

/// How many outputs of a kind agree with the twin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Outputs that agree.
    pub agree: usize,
    /// Outputs of the kind.
    pub of: usize,
}

impl Agreement {
    /// Whether all agree.
    pub fn is_full(&self) -> bool {
        self.agree == self.of
    }

    fn count(&mut self, agrees: bool) {
        self.agree += usize::from(agrees);
        self.of += 1;
    }

    fn add(&mut self, other: Agreement) {
        self.agree += other.agree;
        self.of += other.of;
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.agree, self.of)
    }
}

/// An output that is not what the twin says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The number of the output.
    pub output: usize,
    /// The flat index.
    pub index: usize,
    /// What the GPU computed.
    pub gpu: f64,
    /// What the twin computed.
    pub expected: Value,
}

/// What [`specials`] found. A kind is what the twin's value is as an f32.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpecialsReport {
    /// The op.
    pub op: &'static str,
    /// The variant that ran.
    pub variant: String,
    /// The adapter that it ran on.
    pub adapter: String,
    /// Outputs that are to be NaN: how many are.
    pub nan: Agreement,
    /// Outputs that are to be infinite: how many are, with the right sign.
    pub infinite: Agreement,
    /// Outputs that are to be numbers: how many are within the twin's bound.
    pub finite: Agreement,
    /// All outputs of the run with subnormal numbers: how many are within the bound, or 0 for a subnormal one.
    pub subnormal: Agreement,
    /// Outputs that were not compared: a sum may overflow on the way, and the order of its terms decides.
    pub undecided: usize,
    /// The first output that differs.
    pub first: Option<Difference>,
}

impl SpecialsReport {
    /// Whether NaN, infinities and numbers are all where IEEE has them. What becomes of subnormal numbers does not count.
    pub fn is_ieee(&self) -> bool {
        self.nan.is_full() && self.infinite.is_full() && self.finite.is_full()
    }

    /// Takes another report in.
    pub fn merge(&mut self, other: SpecialsReport) {
        if self.op.is_empty() {
            (self.op, self.variant, self.adapter) = (other.op, other.variant, other.adapter);
        }
        self.nan.add(other.nan);
        self.infinite.add(other.infinite);
        self.finite.add(other.finite);
        self.subnormal.add(other.subnormal);
        self.undecided += other.undecided;
        self.first = self.first.or(other.first);
    }

    fn take(&mut self, output: usize, found: &HostTensor, expected: &Expected, run: Run) {
        for (&index, value) in expected.indices.iter().zip(&expected.values) {
            if value.is_undecided() {
                self.undecided += 1;
                continue;
            }
            let gpu = found.at(index);
            // Where a comparison takes a flushed number for 0, either may win.
            let flushed = run == Run::Subnormals && value.value.abs() < TINY && gpu.abs() < TINY;
            let agrees = flushed || fraction(gpu, value, expected.dtype) <= 1.0;
            let rounded = if expected.dtype == DType::F32 { f64::from(value.value as f32) } else { value.value };
            let kind = match run {
                Run::Subnormals => &mut self.subnormal,
                _ if rounded.is_nan() => &mut self.nan,
                _ if rounded.is_infinite() => &mut self.infinite,
                _ => &mut self.finite,
            };
            kind.count(agrees);
            if !agrees {
                self.first.get_or_insert(Difference { output, index, gpu, expected: *value });
            }
        }
    }
}

impl fmt::Display for SpecialsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SpecialsReport { op, variant, adapter, nan, infinite, finite, subnormal, undecided, first } = self;
        write!(f, "{op} {variant} on {adapter}: ")?;
        write!(f, "NaN kept {nan}, infinities {infinite}, finite {finite}, with subnormals {subnormal}")?;
        if *undecided > 0 {
            write!(f, ", {undecided} undecided")?;
        }
        if let Some(Difference { output, index, gpu, expected: Value { value, bound, .. } }) = first {
            write!(f, "; first at output {output}, element {index}: GPU {gpu:e}, CPU {value:e}, bound {bound:.3e}")?;
        }
        Ok(())
    }
}

/// What is mixed into the inputs. Not all at once: infinity times a number that may be flushed can be NaN or infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    NonFinite,
    Largest,
    Subnormals,
}

impl Run {
    const ALL: [Run; 3] = [Run::NonFinite, Run::Largest, Run::Subnormals];

    fn words(self) -> &'static [u32] {
        match self {
            // NaN of both signs, infinities, the negative zero.
            Run::NonFinite => &[0x7FC0_0001, 0xFFC0_0000, 0x7F80_0000, 0xFF80_0000, 0x8000_0000],
            Run::Largest => &[0x7F7F_FFFF, 0xFF7F_FFFF, 0x8000_0000],
            // The smallest, the largest and two between.
            Run::Subnormals => &[0x0000_0001, 0x8000_0001, 0x007F_FFFF, 0x807F_FFFF, 0x0040_0000, 0x8001_0000],
        }
    }

    /// The input with special numbers in about `share` of its places, each kind at least once where there is room.
    fn sprinkle(self, input: &HostTensor, share: f64, random: &mut Random) -> HostTensor {
        let mut input = input.clone();
        let HostData::F32(elements) = &mut input.data else { return input };
        let words = self.words();
        let least = if elements.len() >= 4 * words.len() { words.len() } else { elements.len().min(1) };
        let wanted = ((elements.len() as f64 * share) as usize).max(least);
        for i in 0..wanted {
            let at = random.below(elements.len());
            elements[at] = f32::from_bits(words[i % words.len()]);
        }
        input
    }
}

/// Of the places of an input, at most this many are special.
const SHARE: f64 = 0.04;

/// Runs an op's best plan on the inputs with special numbers sprinkled into those of f32: NaN, infinities and -0 in one run,
/// the largest numbers in another, subnormal ones in a third. Counts, by what the twin says that an output is, how many are
/// so. Never fails because they are not: that is for the caller to judge.
///
/// The longer the sums of the op, the fewer the special numbers, so that most outputs meet one at most.
///
/// # Errors
/// What the op refuses, and what running it may fail with.
#[cfg(not(target_arch = "wasm32"))]
pub fn specials<O: Twin + ?Sized>(gpu: &Gpu, op: &O, inputs: &[HostTensor]) -> Result<SpecialsReport> {
    let plan = op.plan(gpu.profile(), &layouts(inputs))?;
    let outputs: usize = plan.outputs.iter().map(Layout::len).sum();
    let terms = plan.work().flops / 2.0 / outputs.max(1) as f64;
    let share = SHARE.min(1.0 / (2.0 * terms + 1.0));
    let (variant, adapter) = (plan.variant.clone(), gpu.profile().name.clone());
    let mut report = SpecialsReport { op: plan.op, variant, adapter, ..Default::default() };
    for (seed, run) in Run::ALL.into_iter().enumerate() {
        let mut random = Random::new(seed as u64);
        let inputs: Vec<HostTensor> = inputs.iter().map(|input| run.sprinkle(input, share, &mut random)).collect();
        let operands = inputs.iter().map(|input| upload(gpu, input)).collect::<Result<Vec<_>>>()?;
        let operands: Vec<&dyn Operand> = operands.iter().map(|operand| operand as &dyn Operand).collect();
        let outputs = plan.outputs.iter().map(|layout| gpu.allocate(layout)).collect::<Result<Vec<_>>>()?;
        gpu.record(&plan, &operands, &outputs.iter().collect::<Vec<_>>())?;
        for (number, (output, expected)) in outputs.iter().zip(op.twin(&inputs, &Select::All)?).enumerate() {
            let bytes = pollster::block_on(gpu.bytes(output, true))?;
            report.take(number, &HostTensor::from_bytes(output.shape(), output.dtype(), &bytes), &expected, run);
        }
    }
    Ok(report)
}

#[cfg(not(target_arch = "wasm32"))]
fn upload(gpu: &Gpu, input: &HostTensor) -> Result<AnyTensor> {
    let words: Vec<u32> = bytemuck::pod_collect_to_vec(input.bytes());
    let tensor = AnyTensor::from(gpu.tensor(&[words.len()], &words)?);
    Ok(AnyTensor::new(tensor.storage().clone(), 0, &input.shape, input.dtype()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(run: Run, pairs: &[(f32, Value)]) -> SpecialsReport {
        let (found, values): (Vec<f32>, Vec<Value>) = pairs.iter().copied().unzip();
        let shape = vec![found.len()];
        let expected = Expected { indices: (0..found.len()).collect(), shape, dtype: DType::F32, values };
        let (variant, adapter) = ("tiled".into(), "a GPU".into());
        let mut report = SpecialsReport { op: "matmul", variant, adapter, ..Default::default() };
        report.take(0, &HostTensor::new(&expected.shape, &found).unwrap(), &expected, run);
        report
    }

    #[test]
    fn every_kind_can_disagree() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let exact = |value: f32| Value::exact(value.into());
        let pairs = [
            (nan, exact(nan)),
            (1.0, exact(nan)),
            (inf, exact(inf)),
            (-inf, exact(inf)),
            (nan, exact(-inf)),
            (2.0, exact(2.0)),
            (2.5, exact(2.0)),
            (nan, Value::undecided(3.0)),
        ];
        let report = taken(Run::NonFinite, &pairs);
        assert!(!report.is_ieee());
        assert_eq!(
            report.to_string(),
            "matmul tiled on a GPU: NaN kept 1/2, infinities 1/3, finite 1/2, with subnormals 0/0, 1 undecided; first at output 0, element 1: \
             GPU 1e0, CPU NaN, bound 0.000e0"
        );
    }

    #[test]
    fn subnormal_numbers_may_be_flushed_and_others_not() {
        let pairs = [(0.0, Value::exact(1e-40)), (0.0, Value::exact(1e-30))];
        let report = taken(Run::Subnormals, &pairs);
        assert_eq!((report.subnormal, report.is_ieee()), (Agreement { agree: 1, of: 2 }, true));
    }

    #[test]
    fn every_special_number_is_sprinkled() {
        let zeros = HostTensor::new(&[400], &[1.0f32; 400]).unwrap();
        for run in Run::ALL {
            let HostData::F32(elements) = run.sprinkle(&zeros, 0.1, &mut Random::new(1)).data else { unreachable!() };
            for word in run.words() {
                assert!(elements.iter().any(|element| element.to_bits() == *word), "{run:?} {word:#x}");
            }
        }
    }
}
