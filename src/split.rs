//! Splitting a problem into dispatches that fit a device's limits and its work budget.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::layout::DType;
use crate::plan::{Slot, expect_dispatches};
use crate::profile::DeviceProfile;

/// A box of a problem's index space: a range for each of its dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region(pub Vec<Range<usize>>);

impl Region {
    /// The whole of an index space.
    pub fn whole(sizes: &[usize]) -> Self {
        Region(sizes.iter().map(|&size| 0..size).collect())
    }

    /// The size of a dimension.
    pub fn len(&self, dim: usize) -> usize {
        self.0[dim].len()
    }

    /// Cuts a dimension in two at about its half, on a multiple of the grain counted from the region's start.
    fn halve(&self, dim: usize, grain: usize) -> Option<(Region, Region)> {
        let range = &self.0[dim];
        let half = (range.len() / 2).next_multiple_of(grain.max(1));
        if half == 0 || half >= range.len() {
            return None;
        }
        let (mut low, mut high) = (self.clone(), self.clone());
        low.0[dim].end = range.start + half;
        high.0[dim].start = range.start + half;
        Some((low, high))
    }
}

/// What splitting has to know of a problem.
pub(crate) trait Divisible {
    /// The op, for errors.
    fn op(&self) -> &'static str;
    /// The dimensions in the order in which they are best cut, each with the multiple that pieces should keep to and
    /// whether cutting it lessens the work of a piece without adding to the whole's (a reduction's does add).
    fn cuts(&self) -> Vec<Cut>;
    /// The bytes of each slot that a region touches.
    fn spans(&self, region: &Region) -> Vec<(Slot, Range<u64>)>;
    /// Floating point operations of a region.
    fn flops(&self, region: &Region) -> f64;
}

/// A dimension that may be cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub dim: usize,
    pub grain: usize,
    /// Whether the work budget may cut here, or only a memory limit.
    pub free: bool,
}

/// Cuts the whole into regions, in ascending order of every dimension, so that each fits the limits and the budget.
pub(crate) fn split(problem: &impl Divisible, whole: Region, profile: &DeviceProfile) -> Result<Vec<Region>> {
    // Windows start at a multiple of the offset alignment, so up to one alignment is lost.
    let slack = u64::from(profile.limits.min_storage_buffer_offset_alignment);
    let limit = profile.limits.max_storage_buffer_binding_size.saturating_sub(slack);
    let cuts = problem.cuts();
    let mut done = Vec::new();
    let mut open = vec![whole];
    while let Some(region) = open.pop() {
        let too_long = problem.spans(&region).into_iter().find(|(_, span)| span.end - span.start > limit);
        let parts = if let Some((slot, span)) = too_long {
            let length = |region: &Region| {
                problem
                    .spans(region)
                    .into_iter()
                    .filter(|(s, _)| *s == slot)
                    .map(|(_, s)| s.end - s.start)
                    .max()
                    .unwrap_or(0)
            };
            let whole = span.end - span.start;
            // A cut on the grain if there is one, else anywhere: fitting comes before speed.
            let halves = |cut: &Cut| region.halve(cut.dim, cut.grain).or_else(|| region.halve(cut.dim, 1));
            // A cut that takes a quarter off at least, if there is one: columns of a row-major matrix span hardly less than
            // all of it, and would be cut to single ones before rows are. Where no half is shorter, a half of a half may be:
            // a mirrored tensor's middle needs all of it.
            let parts = [whole / 4 * 3, whole - 1, u64::MAX].into_iter().find_map(|most| {
                let fits = |(low, high): &(Region, Region)| length(low).max(length(high)) <= most;
                cuts.iter().find_map(|cut| halves(cut).filter(fits))
            });
            if parts.is_none() {
                return Err(Error::Limit {
                    op: format!("{}: {slot}", problem.op()),
                    limit: "max_storage_buffer_binding_size",
                    needed: span.end - span.start,
                    available: limit,
                    hint: "the smallest part of the problem still spans more than one binding",
                });
            }
            parts
        } else if problem.flops(&region) > profile.work_limit() {
            // The largest dimension first keeps the pieces compact. Where nothing can be cut, one dispatch it is.
            let mut free: Vec<&Cut> = cuts.iter().filter(|cut| cut.free).collect();
            free.sort_by_key(|cut| std::cmp::Reverse(region.len(cut.dim) / cut.grain.max(1)));
            free.iter().find_map(|cut| region.halve(cut.dim, cut.grain))
        } else {
            None
        };
        match parts {
            Some((low, high)) => {
                expect_dispatches(problem.op(), done.len() + open.len() + 2)?;
                open.push(high);
                open.push(low);
            }
            None => done.push(region),
        }
    }
    Ok(done)
}

/// The smallest range that holds the addresses of an index box, in elements; of an empty box it is 0..0, since a tensor
/// without elements has no other place.
pub(crate) fn reach(parts: impl IntoIterator<Item = (Range<usize>, usize)>) -> Range<u64> {
    let (mut start, mut end) = (0u64, 1u64);
    for (range, stride) in parts {
        if range.is_empty() {
            return 0..0;
        }
        start += range.start as u64 * stride as u64;
        end += (range.end - 1) as u64 * stride as u64;
    }
    start..end
}

/// A range of elements as a range of bytes.
pub(crate) fn bytes(range: Range<u64>, dtype: DType) -> Range<u64> {
    range.start * dtype.size()..range.end * dtype.size()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of a matrix, as an elementwise op would see them.
    struct Rows {
        row_bytes: u64,
    }

    impl Divisible for Rows {
        fn op(&self) -> &'static str {
            "rows"
        }
        fn cuts(&self) -> Vec<Cut> {
            vec![Cut { dim: 0, grain: 4, free: true }]
        }
        fn spans(&self, region: &Region) -> Vec<(Slot, Range<u64>)> {
            let rows = &region.0[0];
            vec![(Slot::Input(0), rows.start as u64 * self.row_bytes..rows.end as u64 * self.row_bytes)]
        }
        fn flops(&self, region: &Region) -> f64 {
            region.len(0) as f64
        }
    }

    fn profile() -> DeviceProfile {
        let mut profile = DeviceProfile::baseline();
        profile.limits.max_storage_buffer_binding_size = 1024 + 256;
        profile
    }

    #[test]
    fn pieces_fit_cover_everything_and_keep_to_the_grain() {
        let pieces = split(&Rows { row_bytes: 64 }, Region::whole(&[101]), &profile()).unwrap();
        let mut next = 0;
        for piece in &pieces {
            assert_eq!(piece.0[0].start, next);
            assert!(piece.len(0) <= 16 && (piece.len(0) % 4 == 0 || piece.0[0].end == 101));
            next = piece.0[0].end;
        }
        assert_eq!(next, 101);
    }

    #[test]
    fn an_empty_box_lies_at_the_start() {
        assert_eq!(reach([(2..3, 12), (0..0, 4)]), 0..0);
        assert_eq!(reach([(2..3, 12), (1..3, 4)]), 28..33);
    }

    #[test]
    fn more_pieces_than_a_plan_may_hold_are_refused() {
        let error = split(&Rows { row_bytes: 1024 }, Region::whole(&[usize::MAX >> 11]), &profile()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "rows: needs dispatches of a plan = 16385, the device has 16384; \
             the device's limits or its work budget cut the problem into more pieces than that"
        );
    }

    #[test]
    fn the_work_budget_cuts_too() {
        let mut profile = profile();
        profile.floor_flops = 1.0;
        profile.work_budget = std::time::Duration::from_secs(8);
        let pieces = split(&Rows { row_bytes: 1 }, Region::whole(&[32]), &profile).unwrap();
        assert_eq!(pieces.iter().map(|p| p.len(0)).collect::<Vec<_>>(), [8; 4]);
    }

    #[test]
    fn a_row_beyond_the_limit_is_refused_with_the_numbers() {
        let error = split(&Rows { row_bytes: 4096 }, Region::whole(&[3]), &profile()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "rows: input 0: needs max_storage_buffer_binding_size = 4096, the device has 1024; \
             the smallest part of the problem still spans more than one binding"
        );
    }
}
