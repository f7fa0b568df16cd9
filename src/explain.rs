//! Explanations: how a plan maps onto a machine, for people.

use std::fmt;

use crate::emulator::{Counted, Counters};
use crate::plan::{Dispatch, Param, Plan, Work};
use crate::profile::DeviceProfile;

/// What the time of a dispatch is bound by from below, in the roofline model (Williams, Waterman, Patterson 2009).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Roof {
    /// The peak rate, even if every access goes to memory.
    Arithmetic,
    /// The bandwidth, even if every byte moves once.
    Bandwidth,
    /// The peak rate where caches hold what is read again, the bandwidth where not.
    Caches,
}

impl fmt::Display for Roof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Roof::Arithmetic => "arithmetic",
            Roof::Bandwidth => "bandwidth",
            Roof::Caches => "arithmetic or bandwidth, as the caches hold",
        })
    }
}

/// How a dispatch maps onto a device: grid, SMs, subgroups, lanes.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    /// The file of the kernel's body, relative to `shaders/`.
    pub kernel: &'static str,
    /// Workgroups in x, y and z.
    pub grid: [u32; 3],
    /// Workgroups of the grid that have work; those beyond fill up its last row.
    pub tiles: u64,
    /// Invocations of a workgroup in x and y.
    pub workgroup: [u32; 2],
    /// Rows and columns of the output that a workgroup computes, where the kernel works in tiles.
    pub tile: Option<[usize; 2]>,
    /// The smallest and largest subgroup size of the device; 0 where unknown.
    pub subgroup_size: (u32, u32),
    /// SMs of the device, where known.
    pub sm_count: Option<u32>,
    /// Bytes of workgroup memory that a workgroup takes, and the most that the device grants one.
    pub workgroup_memory: (u32, u32),
    /// The most invocations that the device grants a workgroup.
    pub most_invocations: u32,
    /// Bytes that are copied into textures beforehand, through which the kernel reads them.
    pub texels: u64,
    /// What the planner reckons: FLOP, and the bytes that have to move at least once.
    pub work: Work,
    /// Peak f32 rate in FLOP/s, where known.
    pub peak_flops: Option<f64>,
    /// Memory bandwidth in bytes/s, where known.
    pub bandwidth: Option<f64>,
    /// What the emulator counted, if it did.
    pub counters: Option<Counters>,
}

impl Mapping {
    fn new(dispatch: &Dispatch, profile: &DeviceProfile, counters: Option<Counters>) -> Self {
        let kernel = &dispatch.kernel;
        let groups = dispatch.grid.iter().map(|&side| u64::from(side)).product();
        // Every kernel stops above this parameter.
        let fields = kernel.fields().unwrap_or_default();
        let working = fields.iter().zip(&dispatch.params).find_map(|(field, param)| match param {
            Param::U32(count) if field.name == "workgroups" => Some(u64::from(*count)),
            _ => None,
        });
        Mapping {
            kernel: kernel.body.path,
            grid: dispatch.grid,
            tiles: working.unwrap_or(groups),
            workgroup: kernel.workgroup_size(),
            tile: kernel.tile().map(|(rows, columns)| [rows, columns]),
            subgroup_size: profile.subgroup_size,
            sm_count: profile.sm_count.filter(|&count| count > 0),
            workgroup_memory: (dispatch.workgroup_memory, profile.limits.max_compute_workgroup_storage_size),
            most_invocations: profile.limits.max_compute_invocations_per_workgroup,
            texels: dispatch.texel_bytes(),
            work: dispatch.work,
            peak_flops: profile.peak_flops,
            bandwidth: profile.bandwidth,
            counters,
        }
    }

    /// Workgroups of the grid.
    pub fn workgroups(&self) -> u64 {
        self.grid.iter().map(|&side| u64::from(side)).product()
    }

    /// Invocations of a workgroup.
    pub fn invocations(&self) -> u32 {
        self.workgroup[0] * self.workgroup[1]
    }

    /// Subgroups of a workgroup at the device's largest size; 0 where no size is known.
    pub fn subgroups(&self) -> u32 {
        let (_, widest) = self.subgroup_size;
        if widest > 0 { self.invocations().div_ceil(widest) } else { 0 }
    }

    /// Lanes that a workgroup's subgroups have; its invocations where no size is known.
    pub fn lanes(&self) -> u32 {
        self.invocations().max(self.subgroups() * self.subgroup_size.1)
    }

    /// Waves over the SMs, at one workgroup an SM at a time; `None` where their number is unknown.
    pub fn waves(&self) -> Option<u64> {
        self.sm_count.map(|count| self.workgroups().div_ceil(u64::from(count)))
    }

    /// SMs that get no workgroup in the last wave: the tail.
    pub fn tail(&self) -> Option<u64> {
        Some(self.waves()? * u64::from(self.sm_count?) - self.workgroups())
    }

    /// Workgroups that an SM has room for by workgroup memory: at least as many as fit into what one workgroup may take.
    /// `None` if they take none.
    pub fn room_by_memory(&self) -> Option<u32> {
        let (taken, most) = self.workgroup_memory;
        (taken > 0).then(|| most / taken)
    }

    /// Workgroups that an SM has room for by size: at least as many as have the invocations that one may have.
    pub fn room_by_size(&self) -> u32 {
        self.most_invocations / self.invocations().max(1)
    }

    /// FLOP per byte: of what was counted, with the bytes of every sector, as without a cache; or else of the plan.
    pub fn intensity(&self) -> f64 {
        let (flops, bytes) = match &self.counters {
            Some(counters) => (counters.flops as f64, counters.transactions.bytes() as f64),
            None => (self.work.flops, self.work.bytes),
        };
        flops / bytes.max(1.0)
    }

    /// Which roof binds; `None` where peak rate or bandwidth is unknown.
    pub fn roof(&self) -> Option<Roof> {
        let (peak, bandwidth) = (self.peak_flops?, self.bandwidth?);
        let least = self.work.bytes;
        let (flops, moved) = self
            .counters
            .map_or((self.work.flops, least), |counters| (counters.flops as f64, counters.transactions.bytes() as f64));
        let arithmetic = flops / peak;
        Some(if arithmetic > least.max(moved) / bandwidth {
            Roof::Arithmetic
        } else if arithmetic <= least.min(moved) / bandwidth {
            Roof::Bandwidth
        } else {
            Roof::Caches
        })
    }
}

/// Prints a line for each figure.
impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (groups, invocations) = (self.workgroups(), self.invocations());
        writeln!(f, "{groups} workgroups of {invocations} invocations, grid {:?}, {}", self.grid, self.kernel)?;
        let item = |f: &mut fmt::Formatter<'_>, name: &str| write!(f, "     {name:<11}");
        item(f, "tiles")?;
        match self.tile {
            Some([rows, columns]) => write!(f, "{} of {rows} x {columns}", self.tiles)?,
            None => write!(f, "{}", self.tiles)?,
        }
        writeln!(f, "; {} workgroups more fill up the grid", groups.saturating_sub(self.tiles))?;
        item(f, "waves")?;
        match (self.sm_count, self.waves(), self.tail()) {
            (Some(sms), Some(waves), Some(tail)) => {
                let lanes = u64::from(self.lanes());
                writeln!(
                    f,
                    "{waves} over {sms} SMs, a workgroup an SM; {tail} SMs ({} lanes) idle in the last",
                    tail * lanes
                )?;
            }
            _ => writeln!(f, "SM count unknown")?,
        }
        item(f, "lanes")?;
        let lanes = self.lanes();
        match self.subgroup_size {
            (_, 0) => writeln!(f, "subgroup size unknown")?,
            (_, widest) => {
                let (count, idle) = (self.subgroups(), lanes - invocations);
                writeln!(f, "{count} subgroups of {widest}, {idle} of {lanes} lanes idle from the start")?;
            }
        }
        item(f, "occupancy")?;
        let (taken, most) = self.workgroup_memory;
        match self.room_by_memory() {
            Some(room) => write!(f, "at least {room} workgroups an SM by memory ({taken} of {most} bytes), ")?,
            None => write!(f, "no workgroup memory; at least ")?,
        }
        let most = self.most_invocations;
        writeln!(f, "{} by size ({invocations} of {most}); registers unknown", self.room_by_size())?;
        item(f, "planned")?;
        let Work { flops, bytes } = self.work;
        let ratio = flops / bytes.max(1.0);
        writeln!(f, "{flops:.3e} FLOP, {bytes:.3e} bytes at the least, {ratio:.2} FLOP/byte")?;
        if self.texels > 0 {
            item(f, "textures")?;
            writeln!(f, "{} bytes are copied into textures and read from there", self.texels)?;
        }
        if let Some(counters) = &self.counters {
            self.counted(f, counters)?;
        }
        item(f, "roof")?;
        match self.roof() {
            Some(roof) => writeln!(f, "bound by {roof}"),
            None => writeln!(f, "unknown: peak rate or bandwidth of the device is; {:.2} FLOP/byte", self.intensity()),
        }
    }
}

impl Mapping {
    fn counted(&self, f: &mut fmt::Formatter<'_>, counters: &Counters) -> fmt::Result {
        let Counters { storage, transactions, banks, .. } = counters;
        let percent = |part: u64, whole: u64| 100.0 * part as f64 / (whole.max(1)) as f64;
        let intensity = self.intensity();
        writeln!(f, "     counted    {} FLOP, {intensity:.2} FLOP/byte without a cache", counters.flops)?;
        let (moved, asked) = (transactions.bytes(), storage.loaded + storage.stored);
        let times = moved as f64 / self.work.bytes.max(1.0);
        writeln!(f, "     bytes      {moved} in sectors of 32, {times:.2} times the least; lanes ask for {asked}")?;
        let (least, sectors) = (transactions.least_sectors, transactions.sectors);
        match transactions.coalescing() {
            Some(part) => {
                writeln!(f, "     coalescing {:.1} %: {least} sectors would do, {sectors} are touched", 100.0 * part)
            }
            None => writeln!(f, "     coalescing no accesses to storage buffers"),
        }?;
        let idle = percent(counters.idle_lanes, counters.idle_lanes + counters.active_lanes);
        let (branches, divergent) = (counters.branches, counters.divergent);
        write!(f, "     divergence {idle:.1} % of lanes idle over the run")?;
        if self.lanes() > self.invocations() {
            f.write_str(", partial subgroups' among them")?;
        }
        writeln!(f, "; {divergent} of {branches} branches diverge")?;
        writeln!(f, "     conflicts  {} extra passes of {} over workgroup memory's banks", banks.extra, banks.passes)?;
        writeln!(f, "     barriers   {}, each subgroup's counting", counters.barriers)
    }
}

/// How a plan maps onto a device, with what the emulator counted beside it. Prints as some lines for each dispatch.
///
/// [`Plan::explain_counted`] makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The plan in one line, and why it was chosen.
    pub plan: String,
    /// The device.
    pub device: String,
    /// Candidates that came first but could not be built, with the reason.
    pub passed_over: Vec<String>,
    /// The plan's dispatches, in order.
    pub dispatches: Vec<Mapping>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\non {}", self.plan, self.device)?;
        for note in &self.passed_over {
            writeln!(f, "  passed over: {note}")?;
        }
        for (number, mapping) in self.dispatches.iter().enumerate() {
            write!(f, "  {number}: {mapping}")?;
        }
        Ok(())
    }
}

impl Plan {
    /// How the plan maps onto a device, for people: for each dispatch its grid, the waves over the device's SMs where their
    /// number is known, idle lanes, occupancy as far as limits tell, bytes moved and arithmetic intensity.
    pub fn explain(&self, profile: &DeviceProfile) -> String {
        self.explain_counted(profile, &[]).to_string()
    }

    /// The same with what the emulator counted in a run of the plan beside it. Counters of other plans are passed over: a
    /// dispatch's own are the first of its op, variant, number and grid.
    ///
    /// ```
    /// # #[cfg(feature = "emulator")] {
    /// use tilewise::{EmulatorOptions, Gpu, Op, Permute};
    /// let gpu = Gpu::emulated(EmulatorOptions::default())?;
    /// let x = gpu.tensor(&[2, 64], &[1.0f32; 128])?;
    /// let op = Permute { dims: vec![1, 0] };
    /// let plan = op.plan(gpu.profile(), &[x.layout()])?;
    /// let (_, counted) = gpu.counted(|gpu| gpu.apply::<f32>(&op, &[&x]))?;
    /// let explanation = plan.explain_counted(gpu.profile(), &counted);
    /// assert_eq!(explanation.dispatches[0].counters.map(|counters| counters.storage.stored), Some(4 * 128));
    /// println!("{explanation}");
    /// # }
    /// # Ok::<(), tilewise::Error>(())
    /// ```
    pub fn explain_counted(&self, profile: &DeviceProfile, counted: &[Counted]) -> Explanation {
        let dispatches = self.dispatches.iter().enumerate().map(|(number, dispatch)| {
            let own = counted.iter().find(|one| {
                (one.op, one.dispatch, one.grid) == (self.op, number, dispatch.grid) && one.variant == self.variant
            });
            Mapping::new(dispatch, profile, own.map(|one| one.counters))
        });
        Explanation {
            plan: self.to_string().trim_end().to_owned(),
            device: profile.to_string(),
            passed_over: self.passed_over.clone(),
            dispatches: dispatches.collect(),
        }
    }
}
