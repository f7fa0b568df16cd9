//! What splitting knows of a contraction: where it may be cut, and what each part reads and writes.

use std::ops::Range;

use super::whole::{End, Whole};
use super::{Addend, Addressing, Contraction, Operand, Target, panels, parts};
use crate::plan::Slot;
use crate::split::{Cut, Divisible, Region, bytes, reach};

/// A contraction as splitting sees it: dimensions are the batch dimensions, then m, n, k.
pub(super) struct Pieces<'a> {
    pub(super) op: &'static str,
    pub(super) problem: &'a Contraction,
    pub(super) tile: (usize, usize),
    pub(super) step: usize,
    /// Parts of k at the most.
    pub(super) parts: usize,
    /// How the operands are fed in vectors, where the body takes them so.
    pub(super) feeds: Option<[panels::Feed; 2]>,
}

impl Pieces<'_> {
    pub(super) fn dims(&self) -> (usize, usize, usize) {
        let batch = self.problem.batch.len();
        (batch, batch + 1, batch + 2)
    }

    /// Bytes of the scratch buffers for a region, by their number.
    pub(super) fn scratch(&self, region: &Region) -> Vec<u64> {
        match self.feeds {
            Some(feeds) => panels::scratch(self, feeds, region),
            None => parts::scratch(self, region).into_iter().collect(),
        }
    }

    /// The elements of an operand that a region reads; `outer` is its dimension beside k.
    pub(super) fn operand(&self, operand: &Operand, region: &Region, outer_dim: usize) -> Range<u64> {
        let (.., k_dim) = self.dims();
        match &operand.addressing {
            // Its planes are read as a whole.
            Addressing::Sparse(sparse) => 0..sparse.values() as u64,
            Addressing::Quantized(quantized) => quantized.words_of(self, region),
            Addressing::Dense { batch, outer, k, taps } => {
                let part = &region.0[k_dim];
                reach((region.0.iter().cloned().zip(batch.iter().copied())).chain([
                    (region.0[outer_dim].clone(), *outer),
                    (part.start / taps..part.end.div_ceil(*taps), *k),
                    (0..*taps, 1),
                ]))
            }
            Addressing::Windows(windows) => {
                // Whole images: the loader is told where in the first one it starts.
                let pixels = windows.output[0] * windows.output[1];
                let images = region.0[outer_dim].start / pixels..region.0[outer_dim].end.div_ceil(pixels);
                let size = windows.channels * windows.input[0] * windows.input[1];
                reach(
                    (region.0.iter().cloned().zip(windows.batch.iter().copied()))
                        .chain([(images, windows.image), (0..size, 1)]),
                )
            }
        }
    }

    pub(super) fn target(&self, region: &Region) -> Range<u64> {
        let (m, n, _) = self.dims();
        let Target { batch, row, columns, .. } = &self.problem.out;
        let group = match &self.problem.whole {
            Some(Whole { end: End::Words { .. }, .. }) => 4,
            _ => 1,
        };
        let rows = (region.0[m].start / group..region.0[m].end.div_ceil(group), *row);
        let entries = region.0.iter().cloned().zip(batch.iter().copied());
        match columns {
            None => reach(entries.chain([rows, (region.0[n].clone(), 1)])),
            Some((inner, stride)) => {
                // Whole outer columns (images): the kernel is told where in the first one it starts.
                let outer = region.0[n].start / inner..region.0[n].end.div_ceil(*inner);
                reach(entries.chain([rows, (outer, *stride), (0..*inner, 1)]))
            }
        }
    }

    pub(super) fn addend(&self, addend: &Addend, region: &Region) -> Range<u64> {
        let (m, n, _) = self.dims();
        let entries = region.0.iter().cloned().zip(addend.batch.iter().copied());
        reach(entries.chain([(region.0[m].clone(), addend.row), (region.0[n].clone(), addend.column)]))
    }
}

impl Divisible for Pieces<'_> {
    fn op(&self) -> &'static str {
        self.op
    }

    fn cuts(&self) -> Vec<Cut> {
        let (m, n, k) = self.dims();
        let mut cuts: Vec<Cut> = (0..m).map(|dim| Cut { dim, grain: 1, free: true }).collect();
        cuts.push(Cut { dim: m, grain: self.tile.0, free: true });
        if let Some((pixels, _)) = self.problem.out.columns {
            // Operands are whole images: a part across two of them spans more than either.
            cuts.push(Cut { dim: n, grain: pixels, free: false });
        }
        cuts.push(Cut { dim: n, grain: self.tile.1, free: true });
        // Cutting k makes every piece but the first read the output again.
        if self.problem.cuts_k() {
            cuts.push(Cut { dim: k, grain: self.step, free: false });
        }
        cuts
    }

    fn spans(&self, region: &Region) -> Vec<(Slot, Range<u64>)> {
        let (m, n, _) = self.dims();
        let Contraction { a, b, out, addend, residual, .. } = self.problem;
        let mut spans = vec![
            (Slot::Input(a.input), bytes(self.operand(a, region, m), a.dtype)),
            (Slot::Input(b.input), bytes(self.operand(b, region, n), b.dtype)),
            (Slot::Output(0), bytes(self.target(region), out.dtype)),
        ];
        spans.extend(addend.iter().map(|add| (Slot::Input(add.input), bytes(self.addend(add, region), add.dtype))));
        spans.extend(residual.map(|add| (Slot::Input(add.input), bytes(self.target(region), add.dtype))));
        let scratch = self.scratch(region).into_iter().enumerate();
        spans.extend(scratch.map(|(number, bytes)| (Slot::Scratch(number), 0..bytes)));
        spans
    }

    fn flops(&self, region: &Region) -> f64 {
        let products = self.problem.whole.as_ref().map_or(1.0, |whole| whole.words.values() as f64);
        2.0 * products * region.0.iter().map(|range| range.len() as f64).product::<f64>()
    }
}

/// The index space with its first `outer` dimensions taken apart: kernels count three batch dimensions.
pub(super) fn entries(sizes: &[usize], outer: usize) -> Vec<Region> {
    let mut regions = vec![Region::whole(sizes)];
    for (dim, &size) in sizes.iter().enumerate().take(outer) {
        regions = regions
            .into_iter()
            .flat_map(|region| {
                (0..size).map(move |i| {
                    let mut one = region.clone();
                    one.0[dim] = i..i + 1;
                    one
                })
            })
            .collect();
    }
    regions
}

/// The strides of the last three batch dimensions: those that a kernel counts.
pub(super) fn inner<T: Copy + Default>(batch: &[T]) -> [T; 3] {
    let mut last = [T::default(); 3];
    let n = batch.len().min(3);
    last[3 - n..].copy_from_slice(&batch[batch.len() - n..]);
    last
}
