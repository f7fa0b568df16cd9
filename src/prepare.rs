//! What of a plan depends on constant operands alone, done once: weights packed into panels, transformed filters.

use std::collections::BTreeSet;

use crate::layout::{DType, Layout};
use crate::plan::{Access, Binding, Dispatch, Plan, PlanData, Slot};

/// A plan in two parts, from [`Plan::prepare`].
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// To be run once. Its inputs are the constants, in the order in which they were named; its outputs are what it prepares.
    pub once: Plan,
    /// To be run each time. Its inputs are those of the whole plan, and after them the outputs of the first part.
    pub each: Plan,
}

impl Plan {
    /// Splits off what depends on these inputs alone, for callers to whom they are the same at every run. `None` if there is nothing:
    /// most kernels read their operands as they lie. Numbers that no input has are passed over.
    ///
    /// A [`Program`](crate::Program) does so by itself with its constants.
    ///
    /// ```
    /// use tilewise::{Class, Conv2d, DType, DeviceProfile, Layout, Op, Padding, Precision};
    /// let profile = DeviceProfile::baseline();
    /// let conv = Conv2d { padding: Padding::all(1), precision: Precision::Winograd, ..Default::default() };
    /// let layouts = [Layout::new(&[8, 256, 14, 14], DType::F32), Layout::new(&[256, 256, 3, 3], DType::F32).constant()];
    /// let plan = conv.plan(&profile, &layouts)?;
    /// let prepared = plan.prepare(&[1]).expect("filters are transformed");
    /// assert_eq!(prepared.once.dispatches.len() + prepared.each.dispatches.len(), plan.dispatches.len());
    /// # Ok::<(), tilewise::Error>(())
    /// ```
    pub fn prepare(&self, constants: &[usize]) -> Option<Prepared> {
        let constants: Vec<usize> = constants.iter().copied().filter(|&i| i < self.inputs.len()).collect();
        let split = Split::of(self, &constants);
        let (once, each): (Vec<_>, Vec<_>) =
            self.dispatches.iter().cloned().partition(|dispatch| split.is_early(dispatch));
        if once.is_empty() {
            return None;
        }
        // What the first part hands on, and what each part keeps to itself.
        let used = |dispatches: &[Dispatch]| -> BTreeSet<usize> {
            let slots = dispatches.iter().flat_map(|dispatch| &dispatch.bindings).map(|binding| binding.slot);
            slots.filter_map(scratch).collect()
        };
        let (early, late) = (used(&once), used(&each));
        let handed: Vec<usize> = early.intersection(&late).copied().collect();
        let kept = |used: BTreeSet<usize>| used.into_iter().filter(|number| !handed.contains(number)).collect();
        let (early, late): (Vec<usize>, Vec<usize>) = (kept(early), kept(late));
        let place = |numbers: &[usize], number: usize| numbers.iter().position(|&other| other == number);
        let outputs: Vec<Layout> =
            handed.iter().map(|&number| Layout::new(&[self.scratch[number] as usize], DType::U8)).collect();
        let sizes = |numbers: &[usize]| numbers.iter().map(|&number| self.scratch[number]).collect();

        let own = |slot| match slot {
            Slot::Input(i) => Slot::Input(place(&constants, i).unwrap_or(i)),
            Slot::Scratch(j) => place(&handed, j).map_or_else(|| kept_slot(&early, j), Slot::Output),
            Slot::Output(_) => slot,
        };
        let first = PlanData {
            variant: format!("{}, once", self.variant),
            inputs: constants.iter().map(|&constant| self.inputs[constant].clone()).collect(),
            outputs: outputs.clone(),
            scratch: sizes(&early),
            dispatches: once.into_iter().map(|dispatch| dispatch.with_slots(own)).collect(),
            ..PlanData::clone(self)
        };
        let own = |slot| match slot {
            Slot::Scratch(j) => {
                place(&handed, j).map_or_else(|| kept_slot(&late, j), |i| Slot::Input(self.inputs.len() + i))
            }
            other => other,
        };
        let second = PlanData {
            inputs: [self.inputs.clone(), outputs].concat(),
            scratch: sizes(&late),
            dispatches: each.into_iter().map(|dispatch| dispatch.with_slots(own)).collect(),
            ..PlanData::clone(self)
        };
        Some(Prepared { once: self.with_data(first), each: self.with_data(second) })
    }
}

fn scratch(slot: Slot) -> Option<usize> {
    match slot {
        Slot::Scratch(number) => Some(number),
        Slot::Input(_) | Slot::Output(_) => None,
    }
}

/// The place of a scratch buffer among those that a part keeps.
fn kept_slot(kept: &[usize], number: usize) -> Slot {
    Slot::Scratch(kept.iter().position(|&other| other == number).unwrap_or(number))
}

/// Which scratch buffers hold what follows from constants.
struct Split<'a> {
    constants: &'a [usize],
    early: BTreeSet<usize>,
}

impl<'a> Split<'a> {
    fn of(plan: &Plan, constants: &'a [usize]) -> Self {
        let mut split = Split { constants, early: (0..plan.scratch.len()).collect() };
        // One that is found out may take others with it.
        loop {
            let still = |&number: &usize| {
                let writers = plan.dispatches.iter().filter(|dispatch| written(dispatch, number).next().is_some());
                // One whose parts use it in turn holds something else each time.
                let alone = writers.clone().flat_map(|dispatch| written(dispatch, number)).count() == 1;
                alone && writers.clone().all(|dispatch| split.is_early(dispatch))
            };
            let early: BTreeSet<usize> = split.early.iter().copied().filter(still).collect();
            if early == split.early {
                return split;
            }
            split.early = early;
        }
    }

    /// Whether a dispatch reads and writes nothing else.
    fn is_early(&self, dispatch: &Dispatch) -> bool {
        dispatch.bindings.iter().all(|binding| match binding.slot {
            Slot::Input(i) => self.constants.contains(&i),
            Slot::Scratch(j) => self.early.contains(&j),
            Slot::Output(_) => false,
        })
    }
}

/// The bindings by which a dispatch writes to a scratch buffer.
fn written(dispatch: &Dispatch, number: usize) -> impl Iterator<Item = &Binding> {
    let writes = move |binding: &&Binding| binding.slot == Slot::Scratch(number) && binding.access == Access::Write;
    dispatch.bindings.iter().filter(writes)
}
