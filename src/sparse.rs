//! Sparse tensors: weights on the device in a format that leaves out what is pruned, and that kernels read as it is.

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::layout::Layout;
use crate::op::conv2d::Conv2d;
use crate::op::mask::{BlockMask, CountMask, IndexMask, PruneGroups, words};
use crate::op::matmul::Matmul;
use crate::op::pad::Pad;
use crate::op::sparse::{OCCUPANCY, Pack, SparseConv2d, SparseFormat, SparseLayout, SparseMatmul, Unpack};
use crate::prune::Mask;
use crate::tensor::{AnyTensor, Operand, Tensor};

const OP: &str = "sparse";

/// Weights in a sparse format, with what tells where they lie.
///
/// ```no_run
/// use tilewise::{Amount, Criterion, Gpu, Pruned, SparseFormat, SparseTensor, Tensor};
/// let gpu = Gpu::new()?;
/// let weights = gpu.tensor(&[256, 512], &vec![0.5f32; 256 * 512])?;
/// let mut pruned = Pruned::new(&gpu, &weights)?;
/// pruned.prune(&gpu, &Criterion::blocks(32), Amount::Fraction(0.8))?;
/// let sparse = SparseTensor::new(&gpu, &weights, pruned.mask(), SparseFormat::bsr(32))?;
/// println!("{} bytes instead of {}", sparse.bytes(), 4 * 256 * 512);
/// let x = gpu.tensor(&[512, 64], &vec![1.0f32; 512 * 64])?;
/// let y: Tensor<f32> = gpu.sparse_matmul(&sparse, &x)?; // (256, 64)
/// # Ok::<(), tilewise::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SparseTensor {
    layout: SparseLayout,
    /// The planes, and last the dense tensor, where it is kept.
    planes: Vec<AnyTensor>,
}

impl SparseFormat {
    /// Block-sparse rows of square blocks with a side of 16 or 32.
    pub const fn bsr(side: usize) -> Self {
        SparseFormat::Blocks { size: [side; 2], entries: 0 }
    }

    /// Vectors of so many outputs, as N:M sparsity that they share leaves them.
    pub const fn vectors(outputs: usize) -> Self {
        SparseFormat::Blocks { size: [outputs, 1], entries: 0 }
    }

    /// Compressed sparse rows.
    pub const fn csr() -> Self {
        SparseFormat::vectors(1)
    }

    /// A bit for each weight, and the values that are kept.
    pub const fn bitmask() -> Self {
        SparseFormat::Bitmask { entries: 0 }
    }
}

/// A tensor of indices on the host.
fn upload(gpu: &Gpu, words: &[u32]) -> Result<Tensor<u32>> {
    gpu.tensor(&[words.len()], words)
}

/// Where the entries of each row begin, and the end of the last, as u32: each row filled up to a multiple.
fn pointers(counts: &[u32], multiple: u32) -> Result<Vec<u32>> {
    let mut pointers = vec![0u32];
    let mut end = 0u32;
    for count in counts {
        end =
            count.checked_next_multiple_of(multiple).and_then(|count| end.checked_add(count)).ok_or(Error::Limit {
                op: OP.into(),
                limit: "u32 index",
                needed: u64::from(u32::MAX) + 1,
                available: u64::from(u32::MAX),
                hint: "split the weights",
            })?;
        pointers.push(end);
    }
    Ok(pointers)
}

/// What a mask keeps of each row of a matrix.
pub(crate) async fn count_rows(gpu: &Gpu, bits: &Tensor<u32>, sizes: [usize; 2], block: bool) -> Result<Vec<u32>> {
    let counts: Tensor<u32> = gpu.apply(&CountMask { sizes }, &[bits])?;
    Ok(bytemuck::pod_collect_to_vec(&gpu.bytes(counts.any(), block).await?))
}

/// The sum of counts.
pub(crate) fn total(counts: &[u32]) -> usize {
    counts.iter().map(|&count| count as usize).sum()
}

impl SparseTensor {
    /// Converts weights, f32 or f16, of which a mask tells what is kept. `entries` of a format are counted: what it is given with
    /// does not matter. Blocks until the device has counted; see [`new_async`](SparseTensor::new_async).
    ///
    /// # Errors
    /// [`Error::Shape`] for a mask of other weights, [`Error::Option`] for a size of blocks that no kernel takes and for weights of which
    /// more than two of four are kept in the format 2:4, [`Error::Rank`] for a scalar, and those of [`apply`](Gpu::apply).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(gpu: &Gpu, weights: &dyn Operand, mask: &Mask, format: SparseFormat) -> Result<Self> {
        pollster::block_on(SparseTensor::convert(gpu, weights.any(), mask, format, true))
    }

    /// As [`new`](SparseTensor::new): counts are read back once, and waited for.
    ///
    /// # Errors
    /// As for [`new`](SparseTensor::new).
    pub async fn new_async(gpu: &Gpu, weights: &dyn Operand, mask: &Mask, format: SparseFormat) -> Result<Self> {
        SparseTensor::convert(gpu, weights.any(), mask, format, false).await
    }

    async fn convert(gpu: &Gpu, weights: &AnyTensor, mask: &Mask, format: SparseFormat, block: bool) -> Result<Self> {
        let bits = mask.words();
        if weights.shape() != mask.shape() {
            let detail = format!("the mask is of weights {:?}, not {:?}", mask.shape(), weights.shape());
            return Err(Error::Shape { op: OP, detail });
        }
        let dtype = weights.dtype();
        let mut layout = SparseLayout { format, shape: weights.shape().to_vec(), dtype, kept: 0, dense: false };
        let sizes = layout.matrix()?;
        // An unfit size is refused before anything runs.
        layout.planes()?;
        let counts = count_rows(gpu, bits, sizes, block).await?;
        layout.kept = total(&counts);
        let mut planes: Vec<AnyTensor> = Vec::new();
        match format {
            SparseFormat::Masked => {
                let right = sizes[1].next_multiple_of(4) - sizes[1];
                let padded = Pad { padding: vec![[0, 0], [0, right as isize]], ..Pad::default() };
                let values = gpu.apply_all(&padded, &[&weights.reshape(&sizes)?])?.swap_remove(0);
                planes.push(values.reshape(&[values.len()])?);
                planes.push(bits.any().clone());
                planes.extend(gpu.apply_all(&BlockMask { sizes, block: [OCCUPANCY; 2] }, &[bits])?);
            }
            SparseFormat::Blocks { size, .. } => {
                let across = [sizes[0].div_ceil(size[0]), sizes[1].div_ceil(size[1])];
                let (blocks, counts) = if size == [1, 1] {
                    (bits.clone(), counts)
                } else {
                    let blocks: Tensor<u32> = gpu.apply(&BlockMask { sizes, block: size }, &[bits])?;
                    let counts = count_rows(gpu, &blocks, across, block).await?;
                    (blocks, counts)
                };
                let pointers = pointers(&counts, if size[1] == 1 { 4 } else { 1 })?;
                let entries = pointers.last().map_or(0, |&end| end as usize);
                layout.format = SparseFormat::Blocks { size, entries };
                let pointers = upload(gpu, &pointers)?;
                let columns: Tensor<u32> =
                    gpu.apply(&IndexMask { sizes: across, len: entries }, &[&blocks, &pointers])?;
                let pack = Pack { layout: layout.clone() };
                planes.extend(gpu.apply_all(&pack, &[weights, bits, &columns, &pointers])?);
                planes.extend([columns.any().clone(), pointers.any().clone()]);
            }
            SparseFormat::Bitmask { .. } => {
                let pointers = upload(gpu, &pointers(&counts, 1)?)?;
                layout.format = SparseFormat::Bitmask { entries: layout.kept };
                planes.extend(gpu.apply_all(&Pack { layout: layout.clone() }, &[weights, bits, &pointers])?);
            }
            SparseFormat::TwoFour => {
                let two: Tensor<u32> =
                    gpu.apply(&PruneGroups { keep: 2, group: 4 }, &[&weights.reshape(&sizes)?, bits])?;
                let fitting = total(&count_rows(gpu, &two, sizes, block).await?);
                if fitting < layout.kept {
                    let (value, requirement) =
                        (format!("{} weights", layout.kept), "two of each four of a row at the most");
                    return Err(Error::Option { op: OP, option: "kept", value, requirement });
                }
                planes.extend(gpu.apply_all(&Pack { layout: layout.clone() }, &[weights, bits])?);
            }
        }
        Ok(SparseTensor { layout, planes })
    }

    /// A sparse tensor of planes from elsewhere, as [`SparseLayout::planes`] lists them, without a dense copy. The planes that tell where
    /// values lie are downloaded and checked, since kernels take them at their word; `kept` is taken as it is given.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if indices contradict each other or the shape, [`Error::Shape`] and [`Error::DType`] for planes that are not those
    /// of the format, [`Error::Count`] for another number of them.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_planes(gpu: &Gpu, layout: SparseLayout, planes: Vec<AnyTensor>) -> Result<Self> {
        pollster::block_on(SparseTensor::check(gpu, layout, planes, true))
    }

    /// As [`from_planes`](SparseTensor::from_planes), without blocking.
    ///
    /// # Errors
    /// As for [`from_planes`](SparseTensor::from_planes).
    pub async fn from_planes_async(gpu: &Gpu, layout: SparseLayout, planes: Vec<AnyTensor>) -> Result<Self> {
        SparseTensor::check(gpu, layout, planes, false).await
    }

    async fn check(gpu: &Gpu, layout: SparseLayout, planes: Vec<AnyTensor>, block: bool) -> Result<Self> {
        let layout = SparseLayout { dense: false, ..layout };
        let layouts: Vec<Layout> = planes.iter().map(|plane| plane.layout()).collect();
        crate::op::Op::infer(&Unpack { layout: layout.clone() }, &layouts)?;
        let mut indices = Vec::new();
        for plane in &planes[1..] {
            indices.push(bytemuck::pod_collect_to_vec(&gpu.bytes(plane, block).await?));
        }
        if let Some(detail) = contradiction(&layout, &indices)? {
            return Err(Error::Corrupt { what: format!("a tensor in the format {}", layout.format), detail });
        }
        Ok(SparseTensor { layout, planes })
    }

    /// The same with the dense weights beside, for when a kernel for them is faster; their bytes are counted.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::DType`] for weights of another shape or type.
    pub fn keep_dense(mut self, dense: &dyn Operand) -> Result<Self> {
        let dense = dense.any();
        if dense.shape() != self.layout.shape {
            let detail = format!("the dense weights are {:?}, not {:?}", dense.shape(), self.layout.shape);
            return Err(Error::Shape { op: OP, detail });
        }
        if dense.dtype() != self.layout.dtype {
            let (expected, found) = (self.layout.dtype.to_string(), dense.dtype());
            return Err(Error::DType { op: OP, operand: "the dense weights".into(), expected, found });
        }
        self.planes.truncate(self.planes.len() - usize::from(self.layout.dense));
        self.planes.push(dense.clone());
        self.layout.dense = true;
        Ok(self)
    }

    /// The weights as a dense tensor, zeros where they are pruned.
    ///
    /// # Errors
    /// Those of [`apply`](Gpu::apply).
    pub fn to_dense(&self, gpu: &Gpu) -> Result<AnyTensor> {
        Ok(gpu.apply_all(&Unpack { layout: self.layout.clone() }, &self.operands())?.swap_remove(0))
    }

    /// What a plan knows of it.
    pub fn layout(&self) -> &SparseLayout {
        &self.layout
    }

    /// The planes, and last the dense tensor, where it is kept: the inputs of ops.
    pub fn planes(&self) -> &[AnyTensor] {
        &self.planes
    }

    fn operands(&self) -> Vec<&dyn Operand> {
        self.planes.iter().map(|plane| plane as &dyn Operand).collect()
    }

    /// The inputs of an op with sparse weights.
    pub fn inputs<'a>(&'a self, x: &'a dyn Operand, addend: Option<&'a dyn Operand>) -> Vec<&'a dyn Operand> {
        [x].into_iter().chain(self.operands()).chain(addend).collect()
    }

    /// Bytes on the device, of the values, of what tells where they lie, and of the dense tensor where it is kept.
    pub fn bytes(&self) -> u64 {
        self.planes.iter().map(|plane| plane.layout().bytes()).sum()
    }
}

/// What is wrong with the planes that tell where values lie, if anything is.
fn contradiction(layout: &SparseLayout, planes: &[Vec<u32>]) -> Result<Option<String>> {
    let [rows, columns] = layout.matrix()?;
    Ok(match layout.format {
        SparseFormat::Masked => masked_contradiction([rows, columns], &planes[0], &planes[1]),
        SparseFormat::Blocks { size, entries } => {
            blocks_contradiction([rows.div_ceil(size[0]), columns.div_ceil(size[1])], size[1] == 1, entries, planes)
        }
        SparseFormat::TwoFour => {
            let quads = columns.div_ceil(4);
            let per_row = quads.div_ceil(8);
            (0..rows * quads).find_map(|at| {
                let (row, quad) = (at / quads, at % quads);
                let code = planes[0][row * per_row + quad / 8] >> (4 * (quad % 8));
                let twice = code & 3 == code >> 2 & 3;
                twice.then(|| format!("row {row} holds place {} of four {quad} twice", code & 3))
            })
        }
        SparseFormat::Bitmask { entries } => {
            let per_row = words(columns);
            let mut rank = 0usize;
            let codes = planes[0].iter().zip(&planes[1]).enumerate();
            let wrong = codes.into_iter().find_map(|(word, (&code, &found))| {
                let expected = rank;
                rank += code.count_ones() as usize;
                let last = word % per_row.max(1) + 1 == per_row && columns % 32 != 0;
                if last && code >> (columns % 32) != 0 {
                    return Some(format!("word {word} has bits beyond column {columns}"));
                }
                (found as usize != expected).then(|| format!("rank {word} is {found}, not {expected}"))
            });
            wrong.or_else(|| (rank != entries).then(|| format!("{rank} bits are set, for {entries} values")))
        }
    })
}

fn masked_contradiction([rows, columns]: [usize; 2], mask: &[u32], occupied: &[u32]) -> Option<String> {
    let bit = |words: &[u32], at: usize| words[at / 32] >> (at % 32) & 1 == 1;
    let across = columns.div_ceil(OCCUPANCY);
    (0..rows * columns).filter(|&at| bit(mask, at)).find_map(|at| {
        let (row, column) = (at / columns, at % columns);
        let block = row / OCCUPANCY * across + column / OCCUPANCY;
        (!bit(occupied, block)).then(|| format!("weight ({row}, {column}) is kept in a block that is marked as empty"))
    })
}

fn blocks_contradiction(
    [groups, across]: [usize; 2],
    in_fours: bool,
    entries: usize,
    planes: &[Vec<u32>],
) -> Option<String> {
    let (columns, pointers) = (&planes[0], &planes[1]);
    if pointers[0] != 0 || pointers[groups] as usize != entries {
        return Some(format!("pointers run from {} to {}, not 0 to {entries}", pointers[0], pointers[groups]));
    }
    for group in 0..groups {
        let [first, end] = [pointers[group] as usize, pointers[group + 1] as usize];
        if end < first || end > entries || (in_fours && first % 4 != 0) {
            return Some(format!("row {group} of blocks has entries {first} to {end}"));
        }
        let own = &columns[first..end];
        // What fills up a row names the column after the last.
        let filled = own.iter().position(|&column| in_fours && column as usize == across).unwrap_or(own.len());
        let (held, rest) = own.split_at(filled);
        let ascending = held.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || held.iter().any(|&column| column as usize >= across) || rest.len() > 3 {
            return Some(format!("row {group} of blocks has columns {own:?}, of {across}"));
        }
        if let Some(&column) = rest.iter().find(|&&column| column as usize != across) {
            return Some(format!("row {group} of blocks has column {column} among what fills it up"));
        }
    }
    None
}

/// Ops with sparse weights; each runs the kernel that the planner finds the fastest, a dense one where that is.
impl Gpu {
    /// `W x`, of weights `(rows, columns)` and x `(..., columns, n)`; see [`SparseMatmul`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn sparse_matmul(&self, weight: &SparseTensor, x: &Tensor<f32>) -> Result<Tensor<f32>> {
        let op = SparseMatmul { weight: weight.layout().clone(), linear: false, options: Matmul::default() };
        self.apply(&op, &weight.inputs(x, None))
    }

    /// The linear layer `x Wᵀ + bias`, of x `(..., n, columns)`; see [`SparseMatmul`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn sparse_linear(
        &self,
        x: &Tensor<f32>,
        weight: &SparseTensor,
        bias: Option<&Tensor<f32>>,
    ) -> Result<Tensor<f32>> {
        let op = SparseMatmul { weight: weight.layout().clone(), linear: true, options: Matmul::default() };
        self.apply(&op, &weight.inputs(x, bias.map(|bias| bias as &dyn Operand)))
    }

    /// The convolution of `x` with sparse filters; see [`SparseConv2d`].
    ///
    /// # Errors
    /// What the op refuses, and those of [`apply_all`](Gpu::apply_all).
    pub fn sparse_conv2d(
        &self,
        options: &Conv2d,
        x: &Tensor<f32>,
        weight: &SparseTensor,
        bias: Option<&Tensor<f32>>,
    ) -> Result<Tensor<f32>> {
        let op = SparseConv2d { weight: weight.layout().clone(), options: *options };
        self.apply(&op, &weight.inputs(x, bias.map(|bias| bias as &dyn Operand)))
    }
}
