//! The geometry of convolutions and pools: maps over one dimension become maps over two, padding is resolved.

use tilewise::reference::HostTensor;

use crate::call::Call;
use crate::device::reshaped;
use crate::fault::{Fault, Result};
use crate::tensor::{Tensor, sizes};

/// Refuses maps over more than two dimensions, which tilewise lacks.
pub fn planar(x: &Tensor, what: &str) -> Result<()> {
    match x.shape.len() {
        3 | 4 => Ok(()),
        rank @ 0..3 => Err(Fault::malformed(format!("{what} over {rank} dimensions"))),
        rank => Err(Fault::NotYet(format!("{}-D {what}", rank - 2))),
    }
}

/// Makes rows of a height of 1 of a map over one dimension.
pub fn lift(x: HostTensor) -> Result<HostTensor> {
    match x.shape[..] {
        [n, c, length] => reshaped(x, &[n, c, 1, length]),
        [_, _, _, _] => Ok(x),
        _ => Err(Fault::malformed(format!("{:?} as planes", x.shape))),
    }
}

/// The shape of an output in as many dimensions as the input had before [`lift`].
pub fn unlift(y: HostTensor, rank: usize) -> Result<HostTensor> {
    match y.shape[..] {
        [n, c, 1, length] if rank == 3 => reshaped(y, &[n, c, length]),
        _ => Ok(y),
    }
}

/// Kernel, strides and dilations, down and across.
pub struct Sides {
    /// Dimensions that the node itself counts, 1 or 2.
    rank: usize,
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
}

impl Sides {
    /// Reads strides and dilations; `kernel` is the lifted one of a weight.
    pub fn read(call: &Call<'_>, kernel: &[usize]) -> Result<Self> {
        let rank = call.input(0)?.shape.len() - 2;
        let kernel = pair(kernel, 2)?;
        if let Some(stated) = call.ints("kernel_shape")?
            && pair(&sizes(stated)?, rank)? != kernel
        {
            return Err(Fault::malformed(format!("kernel_shape {stated:?} of a weight of {kernel:?}")));
        }
        Sides { rank, kernel, strides: [1; 2], dilations: [1; 2] }.with_steps(call)
    }

    /// Reads the kernel's size too.
    pub fn read_all(call: &Call<'_>) -> Result<Self> {
        let rank = call.input(0)?.shape.len() - 2;
        let kernel = call.ints("kernel_shape")?.ok_or_else(|| Fault::malformed("no kernel_shape"))?;
        Sides { rank, kernel: pair(&sizes(kernel)?, rank)?, strides: [1; 2], dilations: [1; 2] }.with_steps(call)
    }

    fn with_steps(mut self, call: &Call<'_>) -> Result<Self> {
        for (name, steps) in [("strides", &mut self.strides), ("dilations", &mut self.dilations)] {
            if let Some(values) = call.ints(name)? {
                *steps = pair(&sizes(values)?, self.rank)?;
            }
            if steps.contains(&0) {
                return Err(Fault::malformed(format!("{name} {steps:?}")));
            }
        }
        Ok(self)
    }

    /// Elements from the first to the last of a window, along a side.
    pub fn reach(&self, side: usize) -> usize {
        self.kernel[side].saturating_sub(1).saturating_mul(self.dilations[side]).saturating_add(1)
    }

    /// Padding at top, left, bottom and right, stated or such that the output has `ceil(input / stride)` elements.
    pub fn pads(&self, call: &Call<'_>, input: &[usize]) -> Result<[usize; 4]> {
        let mut pads = [0; 4];
        let first = 2 - self.rank;
        match call.text("auto_pad", "NOTSET")? {
            "NOTSET" => {
                let stated = sizes(call.ints("pads")?.unwrap_or_default())?;
                if stated.is_empty() {
                    return Ok(pads);
                }
                if stated.len() != 2 * self.rank {
                    return Err(Fault::malformed(format!("pads {stated:?}")));
                }
                for side in first..2 {
                    pads[side] = stated[side - first];
                    pads[side + 2] = stated[side - first + self.rank];
                }
            }
            "VALID" => {}
            "SAME_UPPER" | "SAME_LOWER" => {
                for side in first..2 {
                    let out = input[side].div_ceil(self.strides[side]);
                    let span =
                        out.saturating_sub(1).saturating_mul(self.strides[side]).saturating_add(self.reach(side));
                    let total = span.saturating_sub(input[side]);
                    (pads[side], pads[side + 2]) = halves(total, call.text("auto_pad", "")? == "SAME_UPPER");
                }
            }
            other => return Err(Fault::malformed(format!("auto_pad {other}"))),
        }
        Ok(pads)
    }

    /// For a transposed convolution: what is cut off at top, left, bottom and right, and what is added below and to the
    /// right. A stated or implied size of the output determines both.
    pub fn transposed_pads(&self, call: &Call<'_>, input: &[usize]) -> Result<([usize; 4], [usize; 2])> {
        let mut added = [0; 2];
        if let Some(values) = call.ints("output_padding")? {
            added = pair(&sizes(values)?, self.rank)?;
            // A side that lift has added is not padded.
            added[..2 - self.rank].fill(0);
        }
        let mode = call.text("auto_pad", "NOTSET")?;
        let same = matches!(mode, "SAME_UPPER" | "SAME_LOWER");
        let stated = call.ints("output_shape")?.map(sizes).transpose()?;
        if stated.is_none() && !same {
            return Ok((self.pads(call, input)?, added));
        }
        let mut pads = [0; 4];
        for side in 2 - self.rank..2 {
            let whole = input[side].saturating_sub(1).saturating_mul(self.strides[side]);
            let whole = whole.saturating_add(self.reach(side)).saturating_add(added[side]);
            let wanted = match &stated {
                // Some models state the batch and the channels too.
                Some(stated) => stated.len().checked_sub(2 - side).and_then(|at| stated.get(at)).copied(),
                None => input[side].checked_mul(self.strides[side]),
            };
            let wanted = wanted.ok_or_else(|| Fault::malformed(format!("output_shape {stated:?}")))?;
            added[side] += wanted.saturating_sub(whole);
            (pads[side], pads[side + 2]) = halves(whole.saturating_sub(wanted), mode == "SAME_UPPER");
        }
        Ok((pads, added))
    }
}

/// Splits padding into what is before and what is after; the odd element comes last where `upper`.
fn halves(total: usize, upper: bool) -> (usize, usize) {
    let (small, large) = (total / 2, total - total / 2);
    if upper { (small, large) } else { (large, small) }
}

/// A value for each of two sides; of one, the first side has 1.
fn pair(values: &[usize], rank: usize) -> Result<[usize; 2]> {
    match (rank, values) {
        (1, &[across]) => Ok([1, across]),
        (2, &[down, across]) => Ok([down, across]),
        _ => Err(Fault::malformed(format!("{values:?} for {rank} dimensions"))),
    }
}
