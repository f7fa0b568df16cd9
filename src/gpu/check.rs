//! Checks of fast kernels on the device, before anything depends on them.

use super::Gpu;
use crate::error::{Error, Result};
use crate::family::contraction;
use crate::layout::Layout;
use crate::op::Op;
use crate::plan::Plan;
use crate::profile::DeviceProfile;
use crate::reference::Random;
use crate::trust::{self, Learnt, Verdict};
use crate::verify;

impl Gpu {
    /// Checks the fast kernels of the plans that these ops and layouts would get, and of those next in line where one fails.
    /// Returns the profile with all verdicts that the device has come to: install it with [`with_profile`](Gpu::with_profile).
    /// Blocks until the device is done; [`check_async`](Gpu::check_async) does not.
    ///
    /// A kernel is run on a small case of the op between guards, and compared with its twin: milliseconds, beside the time that
    /// it takes to compile, which is not lost. Devices of the crate's own do this by themselves when an op is first applied or a
    /// program built. On a host's device, and in a browser, fast kernels are used only after this check. So it is with plans
    /// from [`plan`](Gpu::plan); what [`Op::plan`] makes is not checked otherwise.
    ///
    /// # Errors
    /// What the ops refuse, [`Error::OutOfMemory`], [`Error::DeviceLost`]; never that a kernel is wrong, which is a verdict.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn check(&self, cases: &[(&dyn Op, &[Layout])]) -> Result<DeviceProfile> {
        pollster::block_on(self.checked(cases, true))
    }

    /// [`check`](Gpu::check) for those that may not block, in a browser too: resolves when the device is done. It submits what it
    /// runs, and what was recorded before. A host's device is not polled: that is the host's part.
    ///
    /// ```no_run
    /// # async fn start(host: tilewise::HostDevice) -> tilewise::Result<()> {
    /// use tilewise::{DType, Gpu, Layout, Matmul};
    /// let gpu = Gpu::from_wgpu(host);
    /// let square = Layout::new(&[256, 256], DType::F32);
    /// let profile = gpu.check_async(&[(&Matmul::default(), &[square.clone(), square])]).await?;
    /// let gpu = gpu.with_profile(profile); // whose plans take the fast kernels that are right
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`check`](Gpu::check).
    pub async fn check_async(&self, cases: &[(&dyn Op, &[Layout])]) -> Result<DeviceProfile> {
        self.checked(cases, false).await
    }

    pub(super) async fn checked(&self, cases: &[(&dyn Op, &[Layout])], block: bool) -> Result<DeviceProfile> {
        for (op, layouts) in cases {
            self.plan_checked(*op, layouts, block).await?;
        }
        Ok(DeviceProfile { learnt: self.learnt(), ..(*self.profile).clone() })
    }

    /// The best plan whose fast kernels are right on this device.
    async fn plan_checked(&self, op: &dyn Op, layouts: &[Layout], block: bool) -> Result<Plan> {
        loop {
            let profile = DeviceProfile { learnt: self.learnt(), unchecked: true, ..(*self.profile).clone() };
            let plan = op.plan(&profile, layouts)?;
            // Each failure bans a kernel, so that another plan comes next.
            if self.judge(op, layouts, &plan, block).await? == Verdict::Passed {
                return Ok(plan);
            }
        }
    }

    /// The plan of an op for inputs of these layouts, as the calls of this type make it: on a device of the crate's own, fast kernels
    /// that were not checked there yet are checked now, and those that fail are passed over. [`Op::plan`] needs no device, and
    /// checks nothing.
    ///
    /// Nothing is checked on the web, where nothing can wait for it: plans there hold what [`check_async`](Gpu::check_async) has passed.
    ///
    /// ```no_run
    /// use tilewise::{Gpu, Matmul};
    /// let gpu = Gpu::new()?;
    /// let (a, mut c) = (gpu.tensor(&[64, 64], &[1.0f32; 4096])?, gpu.empty::<f32>(&[64, 64])?);
    /// let plan = gpu.plan(&Matmul::default(), &[a.layout(), a.layout()])?;
    /// gpu.run(&plan, &[&a, &a], &mut [&mut c])?;
    /// # Ok::<(), tilewise::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the op refuses, [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn plan(&self, op: &dyn Op, layouts: &[Layout]) -> Result<Plan> {
        let plan = op.plan(&self.profile, layouts)?;
        if self.profile.frozen || cfg!(target_arch = "wasm32") {
            return Ok(plan);
        }
        let passed = |kernel| self.trust.of(kernel) == Some(Verdict::Passed);
        if !self.trust.by_itself || trust::fast(&plan).all(passed) {
            return Ok(plan);
        }
        pollster::block_on(self.plan_checked(op, layouts, true))
    }

    /// What the profile and the device know.
    fn learnt(&self) -> Learnt {
        self.profile.learnt.clone().with(self.trust.learnt())
    }

    /// Whether the fast kernels of a plan are right: known, or found out now.
    pub(super) async fn judge(&self, op: &dyn Op, layouts: &[Layout], plan: &Plan, block: bool) -> Result<Verdict> {
        let unknown: Vec<_> = trust::fast(plan).filter(|kernel| self.trust.of(kernel).is_none()).cloned().collect();
        if unknown.is_empty() {
            let failed = trust::fast(plan).any(|kernel| self.trust.of(kernel) == Some(Verdict::Failed));
            return Ok(if failed { Verdict::Failed } else { Verdict::Passed });
        }
        let Some(twin) = op.as_twin() else {
            log::debug!("{}: it has no twin to be checked against", plan.op);
            return Ok(Verdict::Passed);
        };
        let own = twin.shrunk(layouts);
        let (small_op, small_layouts) = match &own {
            Some((op, layouts)) => (&**op, layouts.clone()),
            None => (twin, layouts.iter().map(Layout::shrunk).collect()),
        };
        let small = self.small(small_op, small_layouts, plan);
        let (twin, plan, layouts) = match &small {
            Some((plan, layouts)) => (small_op, plan, &layouts[..]),
            None => (twin, plan, layouts),
        };
        let inputs = twin.draw(layouts, &mut Random::new(0x7E57))?;
        let untimed = Gpu { untimed: true, ..self.clone() };
        // What a browser has not told yet of earlier work is not this kernel's.
        self.settle().await?;
        let verdict = match verify::run_plan(&untimed, twin, plan, &inputs, block).await {
            Ok(report) if report.passed() => Verdict::Passed,
            Ok(report) => {
                log::warn!("{report}: this device does without the kernel");
                Verdict::Failed
            }
            Err(error) if unbuilt(plan, &error) => {
                log::warn!("{error}: this device does without the kernel");
                Verdict::Failed
            }
            Err(error) => return Err(error),
        };
        self.trust.add(unknown.iter(), verdict);
        Ok(verdict)
    }

    /// A small case that runs the same fast kernels.
    fn small(&self, op: &dyn Op, layouts: Vec<Layout>, plan: &Plan) -> Option<(Plan, Vec<Layout>)> {
        let mut profile = DeviceProfile { unchecked: true, learnt: Learnt::default(), ..(*self.profile).clone() };
        profile.contractions.extend(contraction::every(&self.profile));
        let same = |small: &Plan| trust::fast(plan).all(|kernel| trust::fast(small).any(|own| own == kernel));
        // Small operands are read through textures only where they are told to.
        [profile.texels, profile.texels.map(|_| 0)]
            .into_iter()
            .find_map(|texels| {
                profile.texels = texels;
                op.plans(&profile, &layouts).ok()?.into_iter().find(same)
            })
            .map(|plan| (plan, layouts))
    }
}

/// Whether an error says that a kernel of the plan cannot be built here: by ourselves, or by what compiles it on the device.
pub(super) fn unbuilt(plan: &Plan, error: &Error) -> bool {
    match error {
        Error::Shader { .. } => true,
        Error::Wgpu { during, .. } => plan.dispatches.iter().any(|dispatch| dispatch.kernel.body.path == during),
        _ => false,
    }
}
