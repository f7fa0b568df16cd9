//! Which variant is the fastest on this device, by trying.

use std::time::{Duration, Instant};

use super::Gpu;
use super::check::draw;
use crate::error::{Error, Result};
use crate::family::contraction;
use crate::layout::Layout;
use crate::op::Op;
use crate::plan::Plan;
use crate::problem::Operands;
use crate::profile::DeviceProfile;
use crate::reference::{HostTensor, Random};
use crate::tensor::{AnyTensor, Operand};
use crate::trust::Verdict;

/// A candidate so many times slower than the fastest is not tried again.
const HOPELESS: f64 = 1.5;
/// A measurement lasts this long at least, so that submitting it does not count.
const LEAST: Duration = Duration::from_millis(2);
/// Rounds after which more would tell little.
const ROUNDS: usize = 9;

/// A candidate under way.
struct Runner {
    plan: Plan,
    outputs: Vec<AnyTensor>,
    /// Runs of a measurement.
    repeat: usize,
    /// Seconds of a run, the best so far.
    best: f64,
}

impl Gpu {
    /// Finds the fastest variant for each of these ops and layouts by trying all of them in turn, round after round, those that
    /// are 1.5 times slower than the fastest no more. Returns the profile with the choices, which hold for the same op with the
    /// same layouts: install it with [`with_profile`](Gpu::with_profile). A device of the crate's own keeps them for later runs.
    ///
    /// Variants that fail their [check](Gpu::check) are left out. Blocks for about the budget, which the cases share: half of it may
    /// go into compiling, the planner's favourites first, and what is not compiled by then is not tried. Times are the device's
    /// own where it has timestamps.
    ///
    /// # Errors
    /// What the ops refuse, [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn tune(&self, cases: &[(&dyn Op, &[Layout])], budget: Duration) -> Result<DeviceProfile> {
        for (op, layouts) in cases {
            self.tune_one(*op, layouts, budget / cases.len() as u32)?;
        }
        self.check(&[])
    }

    fn tune_one(&self, op: &dyn Op, layouts: &[Layout], budget: Duration) -> Result<()> {
        let outputs = op.infer(layouts)?;
        if outputs.iter().all(Layout::is_empty) {
            return Ok(());
        }
        let mut random = Random::new(0x7E57);
        let inputs =
            layouts.iter().map(|layout| self.upload(&draw(&mut random, layout)?)).collect::<Result<Vec<_>>>()?;
        let inputs: Vec<&dyn Operand> = inputs.iter().map(|input| input as &dyn Operand).collect();
        let start = Instant::now();
        let mut runners = self.runners(op, layouts, &inputs, start + budget / 2)?;
        for _ in 0..ROUNDS {
            for runner in &mut runners {
                runner.best = runner.best.min(self.time(runner, &inputs)?);
            }
            let fastest = runners.iter().map(|runner| runner.best).fold(f64::INFINITY, f64::min);
            runners.retain(|runner| runner.best <= HOPELESS * fastest);
            if runners.len() < 2 || start.elapsed() > budget {
                break;
            }
        }
        let Some(best) = runners.iter().min_by(|x, y| x.best.total_cmp(&y.best)) else { return Ok(()) };
        log::info!("{}: {} is the fastest, {:.3} ms", best.plan, best.plan.variant, best.best * 1e3);
        let operands = Operands { op: op.name(), inputs: layouts, outputs: &outputs };
        self.trust.choose(&op.problem(layouts, &outputs)?, &operands, &best.plan.variant);
        Ok(())
    }

    /// The variants that are right here, each run once: the planner's own in its order, forced ones, then all others, until the
    /// deadline.
    fn runners(
        &self,
        op: &dyn Op,
        layouts: &[Layout],
        inputs: &[&dyn Operand],
        deadline: Instant,
    ) -> Result<Vec<Runner>> {
        let profile = DeviceProfile { unchecked: true, contractions: Vec::new(), ..(*self.profile).clone() };
        let others = [self.profile.contractions.clone(), contraction::every(&self.profile)].concat();
        let mut plans = op.plans(&profile, layouts)?;
        plans.extend(op.plans(&DeviceProfile { contractions: others, ..profile }, layouts)?);
        let mut runners = Vec::new();
        for plan in plans {
            if runners.len() > 1 && Instant::now() > deadline {
                break;
            }
            if runners.iter().any(|known: &Runner| known.plan.variant == plan.variant)
                || self.judge(op, layouts, &plan)? == Verdict::Failed
            {
                continue;
            }
            let outputs = plan.outputs.iter().map(|layout| self.allocate(layout)).collect::<Result<Vec<_>>>()?;
            let mut runner = Runner { plan, outputs, repeat: 1, best: f64::INFINITY };
            match self.time(&mut runner, inputs) {
                // The first run compiles, and drivers finish some of their work in it.
                Ok(_) => runners.push(runner),
                Err(Error::Shader { kernel, detail }) => log::warn!("{kernel}: {detail}"),
                Err(error) => return Err(error),
            }
        }
        Ok(runners)
    }

    /// Seconds of a run.
    fn time(&self, runner: &mut Runner, inputs: &[&dyn Operand]) -> Result<f64> {
        loop {
            self.wait()?;
            let start = Instant::now();
            let run = |gpu: &Gpu| {
                let outputs: Vec<&AnyTensor> = runner.outputs.iter().collect();
                (0..runner.repeat).try_for_each(|_| gpu.record(&runner.plan, inputs, &outputs).map(drop))?;
                gpu.wait()
            };
            let ((), timings) = self.timed(run)?;
            let whole = start.elapsed();
            if whole < LEAST && runner.repeat < 1 << 10 {
                runner.repeat *= 2;
                continue;
            }
            let spans = timings.spans.iter().map(|span| span.duration_ns);
            let seconds = spans.sum::<Option<f64>>().map_or(whole.as_secs_f64(), |ns| ns * 1e-9);
            return Ok(seconds / runner.repeat as f64);
        }
    }

    fn upload(&self, tensor: &HostTensor) -> Result<AnyTensor> {
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(tensor.bytes());
        let whole = AnyTensor::from(self.tensor(&[words.len()], &words)?);
        Ok(AnyTensor::new(whole.storage().clone(), whole.byte_offset(), &tensor.shape, tensor.dtype()))
    }
}
