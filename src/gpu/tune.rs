//! Which variant is the fastest on this device, by trying.

use std::time::Duration;

use super::check::unbuilt;
use super::{Gpu, Instant};
use crate::error::Result;
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
/// A measurement lasts this many seconds at least, so that submitting it does not count, nor that a browser rounds times to
/// 0.1 ms.
const LEAST: f64 = 2e-3;
/// The same where the host's clock measures and nothing blocks: the host or the browser may look no more than once a frame
/// whether the device is done.
const LEAST_OF_FRAMES: f64 = 0.1;
/// Runs of a measurement at the most.
const MOST_RUNS: usize = 1 << 10;
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
    /// own where it has timestamps. [`tune_async`](Gpu::tune_async) does not block.
    ///
    /// # Errors
    /// What the ops refuse, [`Error::OutOfMemory`](crate::Error::OutOfMemory), [`Error::DeviceLost`](crate::Error::DeviceLost).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn tune(&self, cases: &[(&dyn Op, &[Layout])], budget: Duration) -> Result<DeviceProfile> {
        pollster::block_on(self.tuned(cases, budget, true))
    }

    /// [`tune`](Gpu::tune) for those that may not block, in a browser too: resolves after about the budget. It submits what it runs,
    /// and what was recorded before; what the device does for others meanwhile makes times longer. A host's device is not polled:
    /// that is the host's part, and where the device has no timestamps, the times tell little if it polls less than once in 20 ms.
    ///
    /// # Errors
    /// As [`tune`](Gpu::tune).
    pub async fn tune_async(&self, cases: &[(&dyn Op, &[Layout])], budget: Duration) -> Result<DeviceProfile> {
        self.tuned(cases, budget, false).await
    }

    async fn tuned(&self, cases: &[(&dyn Op, &[Layout])], budget: Duration, block: bool) -> Result<DeviceProfile> {
        for (op, layouts) in cases {
            self.tune_one(*op, layouts, budget / cases.len() as u32, block).await?;
        }
        self.checked(&[], block).await
    }

    async fn tune_one(&self, op: &dyn Op, layouts: &[Layout], budget: Duration, block: bool) -> Result<()> {
        let outputs = op.infer(layouts)?;
        if outputs.iter().all(Layout::is_empty) {
            return Ok(());
        }
        let mut random = Random::new(0x7E57);
        let data = match op.as_twin() {
            Some(twin) => twin.draw(layouts, &mut random)?,
            None => layouts.iter().map(|layout| HostTensor::draw(&mut random, layout)).collect::<Result<_>>()?,
        };
        let inputs = data.iter().map(|input| self.upload(input)).collect::<Result<Vec<_>>>()?;
        let start = Instant::now();
        let mut runners = self.runners(op, layouts, &inputs, start + budget / 2, block).await?;
        for _ in 0..ROUNDS {
            for runner in &mut runners {
                runner.best = runner.best.min(self.time(runner, &inputs, block).await?);
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
    async fn runners(
        &self,
        op: &dyn Op,
        layouts: &[Layout],
        inputs: &[AnyTensor],
        deadline: Instant,
        block: bool,
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
                || self.judge(op, layouts, &plan, block).await? == Verdict::Failed
            {
                continue;
            }
            let outputs = plan.outputs.iter().map(|layout| self.allocate(layout)).collect::<Result<Vec<_>>>()?;
            let mut runner = Runner { plan, outputs, repeat: 1, best: f64::INFINITY };
            match self.time(&mut runner, inputs, block).await {
                // The first run compiles, and drivers finish some of their work in it.
                Ok(_) => runners.push(runner),
                Err(error) if unbuilt(&runner.plan, &error) => log::warn!("{error}"),
                Err(error) => return Err(error),
            }
        }
        Ok(runners)
    }

    /// Seconds of a run.
    async fn time(&self, runner: &mut Runner, inputs: &[AnyTensor], block: bool) -> Result<f64> {
        loop {
            self.done(block).await?;
            let start = Instant::now();
            let run = |gpu: &Gpu| {
                let inputs: Vec<&dyn Operand> = inputs.iter().map(|input| input as &dyn Operand).collect();
                let outputs: Vec<&AnyTensor> = runner.outputs.iter().collect();
                (0..runner.repeat).try_for_each(|_| gpu.record(&runner.plan, &inputs, &outputs).map(drop))
            };
            let ((), timings) = self.timing(run, block).await?;
            let (seconds, least) = match timings.total_ms() {
                Some(ms) => (ms * 1e-3, LEAST),
                None => {
                    self.done(block).await?;
                    (start.elapsed().as_secs_f64(), if block { LEAST } else { LEAST_OF_FRAMES })
                }
            };
            if seconds >= least || runner.repeat == MOST_RUNS {
                return Ok(seconds / runner.repeat as f64);
            }
            // The clock may be too coarse for a few runs.
            let longer = (least / seconds).clamp(2.0, 16.0);
            runner.repeat = ((runner.repeat as f64 * longer) as usize).min(MOST_RUNS);
        }
    }
}
