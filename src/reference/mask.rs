//! The twins of the ops on masks: lists of booleans, sorted and counted.

use crate::error::Result;
use crate::layout::{DType, Layout, count};
use crate::op::Op;
use crate::op::mask::{
    ApplyMask, BlockMask, CountMask, ExpandMask, Grain, IndexMask, NanMask, PruneGroups, PruneLowest,
};
use crate::reference::{Expected, HostTensor, Random, Select, Twin, Value, layouts};

/// What a mask keeps.
pub(super) fn kept(mask: &HostTensor, len: usize) -> Vec<bool> {
    (0..len).map(|at| mask.at(at / 32) as u32 >> (at % 32) & 1 == 1).collect()
}

/// The words of a mask.
fn words(kept: &[bool]) -> Vec<u32> {
    kept.chunks(32).map(|bits| bits.iter().rev().fold(0, |word, &bit| word << 1 | u32::from(bit))).collect()
}

fn expected(elements: &[u32], select: &Select) -> Expected {
    Expected::compute(&[elements.len()], DType::U32, select, |at| Value::exact(elements[at].into()))
}

/// Those of some scores that are kept, the one that is pruned first at the beginning.
fn ranked(scores: impl Fn(usize) -> f64, among: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut ranked: Vec<usize> = among.collect();
    ranked.sort_by(|&x, &y| scores(x).abs().total_cmp(&scores(y).abs()).then(x.cmp(&y)));
    ranked
}

impl Twin for PruneLowest {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.infer(&layouts(inputs))?;
        let (scores, masks) = inputs.split_at(inputs.len() / 2);
        let all: Vec<f64> = scores.iter().flat_map(|scores| (0..scores.len()).map(|at| scores.at(at))).collect();
        let mut bits: Vec<bool> =
            scores.iter().zip(masks).flat_map(|(scores, mask)| kept(mask, scores.len())).collect();
        let left = (0..all.len()).filter(|&at| bits[at]);
        for at in ranked(|at| all[at], left).into_iter().take(self.count) {
            bits[at] = false;
        }
        let mut rest = &bits[..];
        let outputs = scores.iter().map(|scores| {
            let (own, others) = rest.split_at(scores.len());
            rest = others;
            expected(&words(own), select)
        });
        Ok(outputs.collect())
    }
}

impl Twin for PruneGroups {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.infer(&layouts(inputs))?;
        let (scores, len) = (&inputs[0], inputs[0].len());
        let mut bits = kept(&inputs[1], len);
        let columns = scores.shape.last().copied().unwrap_or(1).max(1);
        for row in (0..len).step_by(columns) {
            for first in (row..row + columns).step_by(self.group) {
                let left = (first..(first + self.group).min(row + columns)).filter(|&at| bits[at]);
                for at in ranked(|at| scores.at(at), left).into_iter().rev().skip(self.keep) {
                    bits[at] = false;
                }
            }
        }
        Ok(vec![expected(&words(&bits), select)])
    }
}

impl Twin for ExpandMask {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.infer(&layouts(inputs))?;
        let len = count(&self.shape);
        let columns = count(self.shape.get(1..).unwrap_or_default()).max(1);
        let group = |at: usize| match self.grain {
            Grain::Slices(axis) => at / count(&self.shape[axis + 1..]) % self.shape[axis],
            Grain::Blocks([height, width]) => at / columns / height * columns.div_ceil(width) + at % columns / width,
        };
        let groups = kept(&inputs[0], inputs[0].len() * 32);
        let bits: Vec<bool> =
            kept(&inputs[1], len).into_iter().enumerate().map(|(at, bit)| bit && groups[group(at)]).collect();
        Ok(vec![expected(&words(&bits), select)])
    }
}

impl Twin for ApplyMask {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.infer(&layouts(inputs))?;
        let x = &inputs[0];
        let bits = kept(&inputs[1], x.len());
        let element = |at: usize| Value::exact(if bits[at] { x.at(at) } else { 0.0 });
        Ok(vec![Expected::compute(&x.shape, x.dtype(), select, element)])
    }
}

impl Twin for NanMask {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.infer(&layouts(inputs))?;
        let bits: Vec<bool> = (0..inputs[0].len()).map(|at| inputs[0].at(at).is_nan()).collect();
        Ok(vec![expected(&words(&bits), select)])
    }
}

impl Twin for BlockMask {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.infer(&layouts(inputs))?;
        let ([rows, columns], [height, width]) = (self.sizes, self.block);
        let bits = kept(&inputs[0], rows * columns);
        let mut blocks = Vec::new();
        for row in (0..rows).step_by(height) {
            for column in (0..columns).step_by(width) {
                let mut own = (row..(row + height).min(rows))
                    .flat_map(|i| (column..(column + width).min(columns)).map(move |j| i * columns + j));
                blocks.push(own.any(|at| bits[at]));
            }
        }
        Ok(vec![expected(&words(&blocks), select)])
    }
}

impl Twin for CountMask {
    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.infer(&layouts(inputs))?;
        let [rows, columns] = self.sizes;
        let bits = kept(&inputs[0], rows * columns);
        let counted = |row: usize| bits[row * columns..][..columns].iter().filter(|&&bit| bit).count() as u32;
        Ok(vec![expected(&(0..rows).map(counted).collect::<Vec<_>>(), select)])
    }
}

/// Where the entries of each row begin, spread evenly, each row's a multiple.
pub(super) fn even_pointers(rows: usize, entries: usize, multiple: usize) -> Vec<u32> {
    let shares = entries / multiple;
    (0..=rows).map(|row| (row * shares / rows.max(1) * multiple) as u32).collect()
}

impl Twin for IndexMask {
    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        let pointers = even_pointers(self.sizes[0], self.len, 1);
        Ok(vec![HostTensor::draw(random, &inputs[0])?, HostTensor::new(&inputs[1].shape, &pointers)?])
    }

    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.infer(&layouts(inputs))?;
        let [rows, columns] = self.sizes;
        let bits = kept(&inputs[0], rows * columns);
        let mut entries = vec![columns as u32; self.len];
        for row in 0..rows {
            let [first, end] = [row, row + 1].map(|i| (inputs[1].at(i) as usize).min(self.len));
            let own = (0..columns).filter(|column| bits[row * columns + column]);
            for (entry, column) in entries[first..end.max(first)].iter_mut().zip(own) {
                *entry = column as u32;
            }
        }
        Ok(vec![expected(&entries, select)])
    }
}
