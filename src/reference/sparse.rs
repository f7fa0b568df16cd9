//! The twins of sparse formats: each is unpacked as its definition says, and the dense twin does the rest.

use crate::error::Result;
use crate::layout::{DType, Layout};
use crate::op::Op;
use crate::op::sparse::{Pack, SparseConv2d, SparseFormat, SparseLayout, SparseMatmul, Unpack};
use crate::reference::mask::{even_pointers, kept};
use crate::reference::stored::Stored;
use crate::reference::{Expected, HostTensor, Projection, Random, Select, Twin, Value, layouts};

/// Where a stream of blocks holds a value: of an entry, row and column of its block.
fn streamed([height, width]: [usize; 2], entry: usize, row: usize, column: usize) -> usize {
    let k = entry * width + column;
    (k / 4 * height + row) * 4 + k % 4
}

/// The weights that planes hold, as f64.
fn unpacked(layout: &SparseLayout, planes: &[HostTensor]) -> Result<Vec<f64>> {
    let [rows, columns] = layout.matrix()?;
    let mut dense = vec![0.0; rows * columns];
    let values = &planes[0];
    let quads = columns.div_ceil(4);
    match layout.format {
        SparseFormat::Masked => {
            let mask = kept(&planes[1], rows * columns);
            for at in (0..rows * columns).filter(|&at| mask[at]) {
                dense[at] = values.at(at / columns * quads * 4 + at % columns);
            }
        }
        SparseFormat::Blocks { size: [height, width], .. } => {
            for group in 0..rows.div_ceil(height) {
                for entry in planes[2].at(group) as usize..planes[2].at(group + 1) as usize {
                    for (i, j) in (0..height).flat_map(|i| (0..width).map(move |j| (i, j))) {
                        let (row, column) = (group * height + i, planes[1].at(entry) as usize * width + j);
                        if row < rows && column < columns {
                            dense[row * columns + column] = values.at(streamed([height, width], entry, i, j));
                        }
                    }
                }
            }
        }
        SparseFormat::TwoFour => {
            for (row, quad) in (0..rows).flat_map(|row| (0..quads).map(move |quad| (row, quad))) {
                let code = planes[1].at(row * quads.div_ceil(8) + quad / 8) as u32 >> (4 * (quad % 8));
                for i in 0..2 {
                    let column = 4 * quad + (code as usize >> (2 * i) & 3);
                    let value = values.at(2 * (row * quads + quad) + i);
                    if column < columns && value != 0.0 {
                        dense[row * columns + column] = value;
                    }
                }
            }
        }
        SparseFormat::Bitmask { .. } => {
            let words = columns.div_ceil(32);
            let mut entry = 0;
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
                if planes[1].at(row * words + column / 32) as u32 >> (column % 32) & 1 == 1 {
                    dense[row * columns + column] = values.at(entry);
                    entry += 1;
                }
            }
        }
    }
    Ok(dense)
}

impl Stored for SparseLayout {
    fn dense(&self, planes: &[HostTensor]) -> Result<HostTensor> {
        let weights = unpacked(self, planes)?;
        match self.dtype {
            DType::F16 => {
                let halves: Vec<half::f16> = weights.into_iter().map(half::f16::from_f64).collect();
                HostTensor::new(&self.shape, &halves)
            }
            _ => HostTensor::new(&self.shape, &weights.into_iter().map(|x| x as f32).collect::<Vec<_>>()),
        }
    }

    /// Such that do not contradict each other, and last the dense weights, where they are kept.
    fn draw(&self, planes: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        let [rows, columns] = self.matrix()?;
        let u32s = |words: &[u32]| HostTensor::new(&[words.len()], words);
        let mut drawn = vec![HostTensor::draw(random, &planes[0])?];
        match self.format {
            SparseFormat::Masked => {
                drawn.push(HostTensor::draw(random, &planes[1])?);
                drawn.push(u32s(&vec![u32::MAX; planes[2].len()])?);
            }
            SparseFormat::Blocks { size: [height, width], entries } => {
                let across = columns.div_ceil(width);
                let pointers = even_pointers(rows.div_ceil(height), entries, if width == 1 { 4 } else { 1 });
                // Spread over the row; what there is no column for fills it up.
                let own = |row: &[u32]| {
                    let held = ((row[1] - row[0]) as usize).min(across);
                    let spread = (0..held).map(move |i| i * across / held);
                    spread.chain(std::iter::repeat(across)).take((row[1] - row[0]) as usize).map(|column| column as u32)
                };
                let columns: Vec<u32> = pointers.windows(2).flat_map(own).collect();
                drawn.extend([u32s(&columns)?, u32s(&pointers)?]);
            }
            SparseFormat::TwoFour => {
                // Places 0 and 3, or 2 and 1.
                let code = |bits: u32| (0..8).fold(0, |code, i| code << 4 | if bits >> i & 1 == 1 { 12 } else { 6 });
                let codes: Vec<u32> = (0..planes[1].len()).map(|_| code(random.bits() as u32)).collect();
                drawn.push(u32s(&codes)?);
            }
            SparseFormat::Bitmask { entries } => {
                let (all, words) = ((rows * columns).max(1), columns.div_ceil(32));
                let mut codes = vec![0u32; rows * words];
                let mut ranks = Vec::new();
                let mut rank = 0;
                for (word, code) in codes.iter_mut().enumerate() {
                    ranks.push(rank);
                    let first = word % words * 32;
                    for column in first..(first + 32).min(columns) {
                        let at = word / words * columns + column;
                        // Spread evenly.
                        if (at + 1) * entries / all > at * entries / all {
                            *code |= 1 << (column % 32);
                            rank += 1;
                        }
                    }
                }
                drawn.extend([u32s(&codes)?, u32s(&ranks)?]);
            }
        }
        if self.dense {
            drawn.push(self.dense(&drawn)?);
        }
        Ok(drawn)
    }

    fn shrunk(&self) -> Option<SparseLayout> {
        const ROWS: usize = 36;
        const COLUMNS: usize = 32;
        let mut shape = self.shape.clone();
        shape[0] = shape[0].min(ROWS + shape[0] % 4);
        let columns = shape.get_mut(1)?;
        *columns = (*columns).min(2 * COLUMNS + *columns % COLUMNS);
        let [rows, columns] = SparseLayout { shape: shape.clone(), ..self.clone() }.matrix().ok()?;
        let format = match self.format {
            SparseFormat::Blocks { size: [height, width], .. } => {
                let (groups, across) = (rows.div_ceil(height), columns.div_ceil(width));
                let each = if width == 1 { across.min(8).next_multiple_of(4) } else { across.min(2) };
                SparseFormat::Blocks { size: [height, width], entries: groups * each }
            }
            SparseFormat::Bitmask { .. } => SparseFormat::Bitmask { entries: rows * columns / 2 },
            other => other,
        };
        Some(SparseLayout { format, shape, kept: rows * columns / 2, ..self.clone() })
    }
}

fn words(elements: &[u32], select: &Select) -> Expected {
    Expected::compute(&[elements.len()], DType::U32, select, |at| Value::exact(elements[at].into()))
}

impl Twin for Pack {
    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        let [rows, _] = self.layout.matrix()?;
        let mut drawn: Vec<HostTensor> =
            inputs[..2].iter().map(|layout| HostTensor::draw(random, layout)).collect::<Result<_>>()?;
        match self.layout.format {
            SparseFormat::Blocks { .. } => {
                let planes = SparseLayout { dense: false, ..self.layout.clone() };
                drawn.extend(planes.draw(&planes.planes()?, random)?.drain(1..));
            }
            SparseFormat::Bitmask { .. } => {
                let counts = kept(&drawn[1], drawn[0].len());
                let columns = counts.len() / rows.max(1);
                let mut pointers = vec![0u32];
                for row in 0..rows {
                    let own = counts[row * columns..][..columns].iter().filter(|&&bit| bit).count() as u32;
                    pointers.push(pointers[row] + own);
                }
                drawn.push(HostTensor::new(&[pointers.len()], &pointers)?);
            }
            _ => {}
        }
        Ok(drawn)
    }

    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.infer(&layouts(inputs))?;
        let (x, layout) = (&inputs[0], &self.layout);
        let [rows, columns] = layout.matrix()?;
        let mask = kept(&inputs[1], x.len());
        let at = |row: usize, column: usize| {
            let there = row < rows && column < columns && mask[row * columns + column];
            if there { x.at(row * columns + column) } else { 0.0 }
        };
        let values =
            |values: &[f64]| Expected::compute(&[values.len()], layout.dtype, select, |at| Value::exact(values[at]));
        match layout.format {
            SparseFormat::Blocks { size: [height, width], entries } => {
                let mut stream = vec![0.0; entries * height * width];
                for group in 0..rows.div_ceil(height) {
                    for entry in inputs[3].at(group) as usize..inputs[3].at(group + 1) as usize {
                        for (i, j) in (0..height).flat_map(|i| (0..width).map(move |j| (i, j))) {
                            let value = at(group * height + i, inputs[2].at(entry) as usize * width + j);
                            stream[streamed([height, width], entry, i, j)] = value;
                        }
                    }
                }
                Ok(vec![values(&stream)])
            }
            SparseFormat::Bitmask { entries } => {
                let per_row = columns.div_ceil(32);
                let (mut list, mut codes, mut ranks) = (Vec::new(), Vec::new(), Vec::new());
                for (row, word) in (0..rows).flat_map(|row| (0..per_row).map(move |word| (row, word))) {
                    ranks.push(list.len() as u32);
                    let own: Vec<usize> = (32 * word..(32 * word + 32).min(columns))
                        .filter(|column| mask[row * columns + column])
                        .collect();
                    codes.push(own.iter().fold(0, |code, column| code | 1 << (column % 32)));
                    list.extend(own.iter().map(|&column| at(row, column)));
                }
                list.resize(entries, 0.0);
                Ok(vec![values(&list), words(&codes, select), words(&ranks, select)])
            }
            _ => {
                let (quads, mut pairs) = (columns.div_ceil(4), Vec::new());
                let mut codes = vec![0; rows * quads.div_ceil(8)];
                for (row, quad) in (0..rows).flat_map(|row| (0..quads).map(move |quad| (row, quad))) {
                    let there = |i: &usize| 4 * quad + i < columns && mask[row * columns + 4 * quad + i];
                    let mut places: Vec<usize> = (0..4).filter(there).take(2).collect();
                    let found = places.len();
                    pairs.extend(places.iter().map(|i| at(row, 4 * quad + i)).chain([0.0; 2]).take(2));
                    // Others stand for those that are not kept: the first is 0, the second another than the first.
                    if found == 0 {
                        places.push(0);
                    }
                    if found < 2 {
                        places.push(usize::from(places[0] == 0));
                    }
                    codes[row * quads.div_ceil(8) + quad / 8] |=
                        ((places[0] | places[1] << 2) as u32) << (4 * (quad % 8));
                }
                Ok(vec![values(&pairs), words(&codes, select)])
            }
        }
    }
}

impl Twin for Unpack {
    fn shrunk(&self, _inputs: &[Layout]) -> Option<(Box<dyn Twin>, Vec<Layout>)> {
        let layout = self.layout.shrunk()?;
        let planes = layout.planes().ok()?;
        Some((Box::new(Unpack { layout }), planes))
    }

    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        self.layout.draw(inputs, random)
    }

    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.infer(&layouts(inputs))?;
        let weights = unpacked(&self.layout, inputs)?;
        Ok(vec![Expected::compute(&self.layout.shape, self.layout.dtype, select, |at| Value::exact(weights[at]))])
    }
}

impl Twin for SparseMatmul {
    fn shrunk(&self, inputs: &[Layout]) -> Option<(Box<dyn Twin>, Vec<Layout>)> {
        let (weight, inputs) = self.stored().shrunk(inputs)?;
        Some((Box::new(SparseMatmul { weight, ..self.clone() }), inputs))
    }

    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        self.stored().draw(inputs, random)
    }

    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.stored().twin(inputs, select)
    }

    fn project(&self, inputs: &[HostTensor], output: &HostTensor, seed: u64) -> Option<Projection> {
        self.stored().project(inputs, output, seed)
    }
}

impl Twin for SparseConv2d {
    fn shrunk(&self, inputs: &[Layout]) -> Option<(Box<dyn Twin>, Vec<Layout>)> {
        let (weight, inputs) = self.stored().shrunk(inputs)?;
        Some((Box::new(SparseConv2d { weight, ..self.clone() }), inputs))
    }

    fn draw(&self, inputs: &[Layout], random: &mut Random) -> Result<Vec<HostTensor>> {
        self.stored().draw(inputs, random)
    }

    fn twin(&self, inputs: &[HostTensor], select: &Select) -> Result<Vec<Expected>> {
        self.stored().twin(inputs, select)
    }

    fn matrix(&self, output: &[usize]) -> (usize, usize) {
        self.options.matrix(output)
    }

    fn project(&self, inputs: &[HostTensor], output: &HostTensor, seed: u64) -> Option<Projection> {
        self.stored().project(inputs, output, seed)
    }
}
