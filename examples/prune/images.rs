//! The images that networks are measured on, and how right and how fast they are.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tilewise::Gpu;

use crate::files::{plain_or_gzipped, read_idx};
use crate::network::{PIXELS, SIDE};

/// Images that are run at once.
pub const BATCH: usize = 100;
/// Images that the emulator classifies in some seconds.
const EMULATED: usize = 20;
/// Times that a batch is timed.
const RUNS: usize = 5;

/// A network as what makes classes of pixels.
pub type Classify<'a> = dyn Fn(&[u8]) -> tilewise::Result<Vec<u32>> + 'a;

/// The repository's data folder.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/fashion-mnist")
}

/// A file among the build output.
pub fn output(file: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target")).join(file)
}

/// The images, and what they show.
pub struct Images {
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Images {
    /// The first `count` test images of a folder, or as many as there are; on the emulator by itself a few.
    pub fn load(folder: &Path, count: Option<usize>, gpu: &Gpu) -> Result<Self, Box<dyn Error>> {
        let read = |name: &str, dimensions| read_idx(&plain_or_gzipped(&folder.join(name))?, dimensions);
        let (images, labels) = (read("t10k-images-idx3-ubyte", 3)?, read("t10k-labels-idx1-ubyte", 1)?);
        let found = images.data.len() / PIXELS;
        if images.shape[1..] != [SIDE; 2] || labels.data.len() != found {
            let (shape, labels) = (&images.shape, labels.data.len());
            return Err(format!("{}: images {shape:?} and {labels} labels do not fit", folder.display()).into());
        }
        let count = count.unwrap_or(if gpu.is_emulated() { EMULATED.min(found) } else { found });
        if count == 0 || count > found {
            return Err(format!("--count {count}: {} has {found} images", folder.display()).into());
        }
        Ok(Images { pixels: images.data[..count * PIXELS].to_vec(), labels: labels.data[..count].to_vec() })
    }

    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// The classes that a network finds.
    pub fn classes(&self, network: &Classify<'_>) -> tilewise::Result<Vec<u32>> {
        let batches = self.pixels.chunks(BATCH * PIXELS).map(network);
        Ok(batches.collect::<tilewise::Result<Vec<_>>>()?.concat())
    }

    /// The share of classes that are what the images show.
    pub fn accuracy(&self, classes: &[u32]) -> f64 {
        let right = classes.iter().zip(&self.labels).filter(|(class, label)| **class == u32::from(**label)).count();
        right as f64 / self.labels.len() as f64
    }

    /// Milliseconds that a batch takes in each of two networks, which take turns: medians.
    pub fn time(&self, networks: [&Classify<'_>; 2]) -> tilewise::Result<[f64; 2]> {
        let batch = &self.pixels[..self.pixels.len().min(BATCH * PIXELS)];
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..RUNS {
            for (network, times) in networks.iter().zip(&mut times) {
                let start = Instant::now();
                network(batch)?;
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        Ok(times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[RUNS / 2]
        }))
    }
}
