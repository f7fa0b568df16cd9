//! What a real GPU compiler makes of every kernel of tilewise, on a machine without that GPU: registers, spills, occupancy,
//! instructions. A regression check: it fails where a goal is missed.
//!
//!     cargo run --release --manifest-path benches/isa/Cargo.toml

#[path = "../../../tests/common/cases.rs"]
mod cases;
mod kernels;
mod listing;
mod radv;
mod spirv;

use std::error::Error;
use std::fmt::Display;
use std::process::{Command, ExitCode};

use kernels::{Kernel, LANES_OF_MATRICES};
use listing::Counts;
use radv::{Compiled, Radv};
use spirv::{Checks, Module};

pub type Failure = Box<dyn Error>;

const HELP: &str = "\
Compile every kernel of tilewise by Mesa's RADV driver for GPUs that this machine need not have, and hold registers, spills,
occupancy and instructions against goals.

Usage: cargo run --release --manifest-path benches/isa/Cargo.toml -- [FAMILY..]

FAMILY is a GPU as RADV calls it: NAVI21 (RDNA2), NAVI31 (RDNA3); both unless given. Where two figures stand in a column,
the first is with wgpu's bounds checks, the second without. FMA % is of the operations in the main loop; so is WMMA % where
matrices are multiplied (Precision::F16Multiply on RDNA3, Mesa 23.3 or newer). There WMMA counts their products, time %
estimates how much of the vector ALUs' time they take, and LDS each is how often workgroup memory is accessed for each.

Exit status: 0, 1 if a goal is missed, 2 if nothing was checked.";

const NO_DRIVER: &str = "\
nothing was checked: no Vulkan driver here is Mesa's RADV. It comes with Mesa 23 or newer (Debian, Ubuntu: mesa-vulkan-drivers,
from backports if the release has an older one; Fedora: mesa-vulkan-drivers; Arch: vulkan-radeon) and needs no GPU. Where it is
installed and not found, let VK_DRIVER_FILES (or VK_ICD_FILENAMES, for loaders before 1.3.207) name its radeon_icd.json.";

/// RDNA2 and RDNA3.
const FAMILIES: [&str; 2] = ["NAVI21", "NAVI31"];
/// The variable by which RADV opens its null device for a GPU. It is read once in a process.
const FORCE_FAMILY: &str = "RADV_FORCE_FAMILY";

/// The least subgroups that a SIMD holds at once: enough to hide the latency of memory behind each other's work.
const SUBGROUPS: u64 = 8;
/// The kernel whose main loop is held against [`FMA_SHARE`], and the least share. In steps of 8, for devices that grant 16 KiB of
/// workgroup memory, each step's addresses and barriers weigh twice as much: 70 to 80 %. Convolutions find each value's place, 64 %.
const LARGEST_TILE: &str = "contraction/staged 128x128x16";
const FMA_SHARE: f64 = 0.8;
/// Kernels of matrices.
const OF_MATRICES: &str = "contraction/cooperative";
/// The one whose main loop is held against [`WMMA_TIME_SHARE`], and the least share: where products have operands of
/// f16 that lie in vectors, finding and turning them takes a third of the ALUs' time, of a single column two fifths. Elements
/// one by one and conversions from f32 leave half of it, and convolutions 30 %.
const LARGEST_OF_MATRICES: &str = "contraction/cooperative 128x128x32";
const WMMA_TIME_SHARE: f64 = 0.55;
/// The most accesses of workgroup memory for each of its products: a lane loads an operand by two, and shares it with others.
const LDS_ACCESSES: usize = 2;

/// What came of a kernel.
struct Figures {
    lanes: u32,
    sgprs: u64,
    vgprs: u64,
    spills: u64,
    scratch: u64,
    shared_bytes: u64,
    subgroups: u64,
    whole: Counts,
    main_loop: Option<Counts>,
}

impl Figures {
    fn new(compiled: &Compiled) -> Result<Self, Failure> {
        let (whole, main_loop) = listing::read(&compiled.listing);
        Ok(Figures {
            lanes: compiled.lanes,
            sgprs: compiled.statistic("SGPRs")?,
            vgprs: compiled.statistic("VGPRs")?,
            spills: compiled.statistic("Spilled SGPRs")? + compiled.statistic("Spilled VGPRs")?,
            scratch: compiled.statistic("Scratch size")?,
            shared_bytes: compiled.statistic("LDS size")?,
            subgroups: compiled.statistic("Subgroups per SIMD")?,
            whole,
            main_loop,
        })
    }

    /// Of the main loop. `None` without a loop that multiplies and adds, and where matrices are multiplied: there what looks
    /// like multiply-adds converts.
    fn fma_share(&self) -> Option<f64> {
        self.main_loop.filter(|counts| counts.fma > 0 && counts.wmma == 0).map(|counts| counts.fma_share())
    }

    /// The main loop, where it multiplies matrices.
    fn of_matrices(&self) -> Option<Counts> {
        self.main_loop.filter(|counts| counts.wmma > 0)
    }

    /// The goals that it misses.
    fn missed(&self, kernel: &Kernel) -> Vec<String> {
        let mut missed = Vec::new();
        let mut hold = |met: bool, goal: String| {
            if !met {
                missed.push(goal)
            }
        };
        hold(self.spills == 0, "no spills".into());
        hold(self.scratch == 0, "no scratch".into());
        hold(self.subgroups >= SUBGROUPS, format!(">= {SUBGROUPS} subgroups"));
        if kernel.variant.starts_with(LARGEST_TILE) && kernel.planned_for.starts_with("matmul") {
            let share = self.fma_share().unwrap_or(0.0);
            hold(share >= FMA_SHARE, format!(">= {:.0} % FMAs", FMA_SHARE * 100.0));
        }
        // On RDNA2 too the packed dot product is an instruction.
        if let Some(products) = kernel.packed_products() {
            let found = self.main_loop.map_or(0, |counts| counts.dot);
            hold(found >= products, "a dot for each product".into());
        }
        if kernel.variant.starts_with(OF_MATRICES) {
            let found = self.of_matrices().map(|counts| counts.wmma);
            hold(self.lanes == LANES_OF_MATRICES, format!("{LANES_OF_MATRICES} lanes"));
            hold(found.is_some() && found == kernel.matrix_products(), "a WMMA for each product".into());
        }
        if kernel.variant.starts_with(LARGEST_OF_MATRICES) {
            let few = self.of_matrices().is_some_and(|counts| counts.shared <= LDS_ACCESSES * counts.wmma);
            hold(few, format!("<= {LDS_ACCESSES} LDS each"));
        }
        let in_vectors = kernel.planned_for.starts_with("matmul") && kernel.planned_for.ends_with("f16@16");
        if kernel.variant.starts_with(LARGEST_OF_MATRICES) && in_vectors {
            let share = self.of_matrices().map_or(0.0, |counts| counts.wmma_time_share());
            hold(share >= WMMA_TIME_SHARE, format!(">= {:.0} % of the time WMMAs", WMMA_TIME_SHARE * 100.0));
        }
        missed
    }
}

/// Heading and width of each column, and how its cell is made.
type Column = (&'static str, usize, fn(&Figures) -> String);
const COLUMNS: [Column; 16] = [
    ("lanes", 5, |f| f.lanes.to_string()),
    ("SGPRs", 7, |f| f.sgprs.to_string()),
    ("VGPRs", 7, |f| f.vgprs.to_string()),
    ("spills", 6, |f| f.spills.to_string()),
    ("scratch", 7, |f| f.scratch.to_string()),
    ("LDS bytes", 11, |f| f.shared_bytes.to_string()),
    ("per SIMD", 8, |f| f.subgroups.to_string()),
    ("VALU", 9, |f| f.whole.valu.to_string()),
    ("memory", 7, |f| f.whole.memory.to_string()),
    ("LDS", 7, |f| f.whole.shared.to_string()),
    ("FMA %", 9, |f| f.fma_share().map_or("-".into(), |share| format!("{:.0}", share * 100.0))),
    ("dots", 5, |f| f.whole.dot.to_string()),
    ("WMMA", 5, |f| f.of_matrices().map_or("-".into(), |counts| counts.wmma.to_string())),
    ("WMMA %", 9, |f| f.of_matrices().map_or("-".into(), |counts| format!("{:.1}", counts.wmma_share() * 100.0))),
    ("time %", 7, |f| f.of_matrices().map_or("-".into(), |counts| format!("{:.0}", counts.wmma_time_share() * 100.0))),
    ("LDS each", 9, |f| {
        f.of_matrices().map_or("-".into(), |counts| format!("{:.1}", counts.shared as f64 / counts.wmma as f64))
    }),
];

/// One value where both agree.
fn pair(checked: impl Display + PartialEq, unchecked: impl Display + PartialEq) -> String {
    let (checked, unchecked) = (checked.to_string(), unchecked.to_string());
    if checked == unchecked { checked } else { format!("{checked}/{unchecked}") }
}

fn print_heading(radv: &Radv) {
    println!("{}", radv.name);
    println!(
        "goals: no spills, no scratch, >= {SUBGROUPS} subgroups per SIMD; {LARGEST_TILE} of products: >= {:.0} % FMAs",
        FMA_SHARE * 100.0
    );
    if radv.matrices {
        println!(
            "of matrices: {LANES_OF_MATRICES} lanes, a WMMA for each product; {LARGEST_OF_MATRICES}: <= {LDS_ACCESSES} LDS each, \
             and of products in vectors of f16 >= {:.0} % of the time",
            WMMA_TIME_SHARE * 100.0
        );
    } else {
        println!("it multiplies no matrices: kernels of those are left out");
    }
    print!("{:40}", "kernel");
    COLUMNS.iter().for_each(|(heading, width, _)| print!(" {heading:>width$}"));
    println!("  {:24} first planned for", "missed");
}

/// Whether all goals are met.
fn print_row(kernel: &Kernel, [checked, unchecked]: &[Figures; 2]) -> bool {
    let mut missed = checked.missed(kernel);
    missed.extend(unchecked.missed(kernel));
    missed.dedup();
    print!("{:40}", kernel.variant);
    for (_, width, cell) in COLUMNS {
        print!(" {:>width$}", pair(cell(checked), cell(unchecked)));
    }
    println!("  {:24} {}", missed.join(", "), kernel.planned_for);
    missed.is_empty()
}

fn measure(radv: &Radv, kernel: &Kernel, checks: Checks) -> Result<Figures, Failure> {
    let module = Module::parse(&kernel.text)?;
    Figures::new(&radv.compile(&module.module, &module.spirv(checks)?)?)
}

/// Whether all kernels meet their goals on the GPU that the environment names.
fn check_family() -> Result<bool, Failure> {
    let radv = Radv::open()?.ok_or(NO_DRIVER)?;
    print_heading(&radv);
    let kernels = kernels::all(radv.matrices)?;
    let mut failing = 0;
    for kernel in &kernels {
        let [checked, unchecked] = Checks::BOTH.map(|checks| measure(&radv, kernel, checks));
        failing += usize::from(!print_row(kernel, &[checked?, unchecked?]));
    }
    println!("{} kernels, {failing} miss a goal\n", kernels.len());
    Ok(failing == 0)
}

/// Each family in a process of its own.
fn check_each(families: &[String]) -> Result<u8, Failure> {
    let mut worst = 0;
    for family in families {
        let mut child = Command::new(std::env::current_exe()?);
        let status = child.arg(family).env(FORCE_FAMILY, family).status()?;
        worst = worst.max(status.code().map_or(2, |code| code as u8));
    }
    Ok(worst)
}

fn run(families: Vec<String>) -> Result<u8, Failure> {
    match families.as_slice() {
        [] => check_each(&FAMILIES.map(String::from)),
        [family] if std::env::var(FORCE_FAMILY).as_ref() == Ok(family) => Ok(u8::from(!check_family()?)),
        families => check_each(families),
    }
}

fn main() -> ExitCode {
    let families: Vec<String> = std::env::args().skip(1).collect();
    if families.iter().any(|argument| argument.starts_with('-')) {
        println!("{HELP}");
        return ExitCode::from(2 * u8::from(families != ["--help"]));
    }
    match run(families) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
