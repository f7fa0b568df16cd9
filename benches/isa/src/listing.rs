//! Reading a disassembly: what its instructions are, where its loops lie.

use std::ops::Range;

/// The instructions of a kernel, or of a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations of vector ALUs. An instruction that issues two at once counts twice.
    pub valu: usize,
    /// Of these, multiply-adds of floats.
    pub fma: usize,
    /// Of these, dot products of packed values.
    pub dot: usize,
    /// Of these, products of matrices.
    pub wmma: usize,
    /// Loads and stores of memory.
    pub memory: usize,
    /// Reads and writes of workgroup memory.
    pub shared: usize,
}

/// A product of matrices occupies a SIMD for as long as so many other operations: 8192 FLOP take 32 cycles (192 SIMDs of a Radeon
/// RX 7900 XTX do 123 TFLOP/s of f16 at 2.5 GHz: 256 a cycle), an operation of 64 lanes takes 2.
const WMMA_TIME: f64 = 16.0;

impl Counts {
    fn of(lines: &[&str]) -> Self {
        let mut counts = Counts::default();
        for line in lines {
            let (instruction, _encoding) = line.split_once(';').unwrap_or((line, ""));
            for operation in instruction.split("::") {
                counts.add(operation.split_whitespace().next().unwrap_or_default());
            }
        }
        counts
    }

    fn add(&mut self, opcode: &str) {
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| opcode.starts_with(prefix));
        self.valu += usize::from(starts(&["v_"]));
        self.fma += usize::from(starts(&["v_fma", "v_dual_fma", "v_pk_fma", "v_mac_f", "v_mad_f"]));
        self.dot += usize::from(starts(&["v_dot", "v_dual_dot"]));
        self.wmma += usize::from(starts(&["v_wmma", "v_swmmac"]));
        self.memory += usize::from(starts(&["buffer_", "global_", "flat_", "scratch_", "s_load", "s_buffer_load"]));
        self.shared += usize::from(starts(&["ds_"]));
    }

    /// Multiply-adds among the operations of vector ALUs.
    pub fn fma_share(&self) -> f64 {
        self.fma as f64 / self.valu.max(1) as f64
    }

    /// Products of matrices among the operations of vector ALUs.
    pub fn wmma_share(&self) -> f64 {
        self.wmma as f64 / self.valu.max(1) as f64
    }

    /// Their share of the time of vector ALUs.
    pub fn wmma_time_share(&self) -> f64 {
        let products = WMMA_TIME * self.wmma as f64;
        products / (products + (self.valu - self.wmma) as f64).max(1.0)
    }
}

/// The counts of a whole kernel and of its main loop: of its innermost loops the one with the most products of matrices, or else
/// with the most multiply-adds and packed dot products.
pub fn read(listing: &str) -> (Counts, Option<Counts>) {
    let lines: Vec<&str> = listing.lines().collect();
    let loops = innermost_loops(&lines).into_iter().map(|range| Counts::of(&lines[range]));
    (Counts::of(&lines), loops.max_by_key(|counts| (counts.wmma, counts.fma + counts.dot)))
}

/// The lines from the target of each branch backwards to that branch, unless a loop lies within.
fn innermost_loops(lines: &[&str]) -> Vec<Range<usize>> {
    let mut loops: Vec<Range<usize>> = Vec::new();
    for (end, line) in lines.iter().enumerate() {
        let Some(target) = branch_target(line) else { continue };
        // The blocks stand in the order of their execution: a target that is not above is a branch forwards.
        let Some(start) = lines[..end].iter().position(|line| line.strip_suffix(':') == Some(target)) else { continue };
        // Several branches back to one target are one loop.
        match loops.iter_mut().find(|known| known.start == start) {
            Some(known) => known.end = end + 1,
            None => loops.push(start..end + 1),
        }
    }
    let holds = |outer: &Range<usize>, inner: &Range<usize>| {
        outer != inner && outer.start <= inner.start && inner.end <= outer.end
    };
    loops.iter().filter(|outer| !loops.iter().any(|inner| holds(outer, inner))).cloned().collect()
}

fn branch_target(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let opcode = words.next()?;
    (opcode.starts_with("s_branch") || opcode.starts_with("s_cbranch")).then(|| words.next())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const NESTED: &str = "\
BB0:
\tv_mov_b32_e32 v1, 0 ; 7e020280
BB1:
\ts_load_b128 s[4:7], s[2:3], null ; f4080101 f8000000
BB2:
\tds_load_b128 v[4:7], v2 ; dbfc0000 04000002
\tv_fma_f32 v1, v2, v1, v3 ; d6130001 040e0302
\tv_dual_fmac_f32 v4, v5, v6 :: v_dual_mov_b32 v7, v8 ; c8100d05 04060108
\ts_cbranch_scc1 BB4 ; bfa20002
BB3:
\tv_dot4_i32_iu8 v1, v2, v3, v1 ; cc164001 1c060702
\ts_branch BB2 ; bfa0ffe9
BB4:
\tbuffer_load_b32 v2, off, s[4:7], s3 ; e0500000 03010280
\ts_cbranch_scc0 BB1 ; bfa1fff0
BB5:
\tv_wmma_f32_16x16x16_f16 v[0:7], v[8:15], v[16:23], v[0:7] ; cc404000 1c022108
\ts_cbranch_scc0 BB5 ; bfa1fff0
\ts_endpgm ; bfb00000
";

    #[test]
    fn the_main_loop_is_the_innermost_with_the_most_multiply_adds() {
        let (plain, _) = NESTED.split_once("BB5:").unwrap();
        let main = read(plain).1.unwrap();
        assert_eq!(main, Counts { valu: 4, fma: 2, dot: 1, wmma: 0, memory: 0, shared: 1 });
        assert_eq!((main.fma_share(), main.wmma_time_share()), (0.5, 0.0));
    }

    #[test]
    fn products_of_matrices_count_before_multiply_adds() {
        let (whole, main) = read(NESTED);
        assert_eq!(whole, Counts { valu: 6, fma: 2, dot: 1, wmma: 1, memory: 2, shared: 1 });
        assert_eq!(whole.wmma_time_share(), 16.0 / 21.0);
        let main = main.unwrap();
        assert_eq!(main, Counts { valu: 1, wmma: 1, ..Counts::default() });
        assert_eq!((main.wmma_share(), main.wmma_time_share()), (1.0, 1.0));
    }

    #[test]
    fn a_kernel_without_branches_back_has_no_loop() {
        assert_eq!(read("BB0:\n\ts_cbranch_execz BB1 ; 0\n\tv_mov_b32_e32 v1, 0\nBB1:\n\ts_endpgm\n").1, None);
    }
}
