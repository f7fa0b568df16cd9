//! Prunes the trained network of `classify` in several ways, without training it again, and tells what is left: accuracy, bytes, time.
//!
//!     cargo run --release --example prune

#[path = "../classify/files.rs"]
#[allow(dead_code)] // Its other readers are those of `classify`.
mod files;
mod images;
mod network;
mod options;
mod svg;

use std::error::Error;
use std::process::ExitCode;

use tilewise::prune::prune_global;
use tilewise::{Amount, Criterion, Gpu, Pruned, QuantScheme, SparseFormat, SparseTensor};

use images::{BATCH, Images, data};
use network::{Network, Weights};
use options::{Options, finish};
use svg::Point;

const HELP: &str = "\
Prune a trained network on the GPU, and see what becomes of accuracy, size and speed.

Usage: cargo run --release --example prune -- [OPTIONS]

  --count N     measure accuracy on the first N images (default: all in the folder; 20 where there is no GPU driver)
  --images DIR  folder of t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, also gzipped (default: the thousand images of the
                repository)
  --quick       two levels of each criterion
  --quantize    keep what is left as int8 with a scale for each output channel, zeros included, instead of in a sparse format
  --svg FILE    draw the chart there (default: prune.svg in the folder of build output)
  --json        one line of JSON a row instead of the table
  --help        print this

Exit status: 0, or 2 for bad input.";

/// A way to prune the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// All weights together, by magnitude.
    Global,
    /// Blocks of 16 by 16 of the two largest layers.
    Blocks,
    /// N of each M values of k, the same for 16 outputs, in the same layers.
    Vectors { keep: usize, group: usize },
    /// Whole filters, which are taken out.
    Filters,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Global => "global L1",
            Way::Blocks => "blocks 16x16",
            Way::Vectors { .. } => "vectors N:M",
            Way::Filters => "filters",
        }
    }
}

/// What became of the network.
pub struct Row {
    pub way: &'static str,
    pub amount: f64,
    pub sparsity: f64,
    pub accuracy: f64,
    pub bytes: u64,
    pub ms: f64,
    pub dense_ms: f64,
    pub path: String,
}

/// Prunes a network by an amount. Returns what is left, and the share of its weights that is not.
fn pruned(gpu: &Gpu, dense: &Network, way: Way, amount: f64) -> tilewise::Result<(Network, f64)> {
    let mut layers: Vec<Pruned> =
        dense.layers.iter().map(|layer| Pruned::new(gpu, &layer.dense)).collect::<Result<_, _>>()?;
    let large = [1, 2];
    let mut network = dense.clone();
    let (format, among) = match way {
        Way::Global => {
            let mut all: Vec<&mut Pruned> = layers.iter_mut().collect();
            prune_global(gpu, &mut all, &Criterion::L1Unstructured, Amount::Fraction(amount))?;
            (SparseFormat::csr(), vec![0, 1, 2, 3])
        }
        Way::Blocks => {
            for number in large {
                layers[number].prune(gpu, &Criterion::blocks(16), Amount::Fraction(amount))?;
            }
            (SparseFormat::bsr(16), large.to_vec())
        }
        Way::Vectors { keep, group } => {
            for number in large {
                layers[number].prune_groups(gpu, keep, group, 16)?;
            }
            (SparseFormat::vectors(16), large.to_vec())
        }
        Way::Filters => {
            for layer in &mut layers[..2] {
                layer.prune(gpu, &Criterion::LnStructured { n: 2.0, axis: 0 }, Amount::Fraction(amount))?;
            }
            network.shrink(gpu, &layers)?;
            let left: usize = network.layers.iter().map(|layer| layer.dense.len()).sum();
            return Ok((network, 1.0 - left as f64 / dense.weights() as f64));
        }
    };
    let kept: usize = layers.iter().map(|layer| layer.mask().kept()).sum();
    for number in among {
        let sparse = SparseTensor::new(gpu, &dense.layers[number].dense, layers[number].mask(), format)?;
        // The dense copy holds zeros where the weights are pruned.
        network.layers[number].dense = layers[number].weights().clone();
        network.layers[number].weights = Weights::Sparse(sparse.keep_dense(layers[number].weights())?);
    }
    Ok((network, 1.0 - kept as f64 / dense.weights() as f64))
}

fn levels(quick: bool) -> Vec<(Way, f64)> {
    let amounts: &[f64] = if quick { &[0.5, 0.9] } else { &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95] };
    let mut levels: Vec<(Way, f64)> = Vec::new();
    for way in [Way::Global, Way::Blocks, Way::Filters] {
        levels.extend(amounts.iter().map(|&amount| (way, amount)));
    }
    let groups: &[(usize, usize)] = if quick { &[(2, 4)] } else { &[(3, 4), (2, 4), (1, 4), (1, 8)] };
    levels.extend(groups.iter().map(|&(keep, group)| (Way::Vectors { keep, group }, 1.0 - keep as f64 / group as f64)));
    levels
}

fn run(options: &Options, quick: bool, quantize: bool) -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::new_or_emulated()?;
    let images = Images::load(&options.images, options.count, &gpu)?;
    let count = images.len();
    let dense = Network::load(&gpu, &data().join("model.safetensors"))?;
    let accuracy = images.accuracy(&images.classes(&|pixels| dense.classify(&gpu, pixels))?);
    if !options.json {
        println!("{}: {count} images, dense accuracy {accuracy:.3}, {} bytes", gpu.profile().name, dense.bytes());
        println!("criterion     amount  pruned  accuracy    bytes       ms  dense ms  path of the largest layer");
    }
    let mut rows = Vec::new();
    for (way, amount) in levels(quick) {
        let (mut network, sparsity) = pruned(&gpu, &dense, way, amount)?;
        if quantize {
            network.quantize(&gpu, QuantScheme::default())?;
        }
        let accuracy = images.accuracy(&images.classes(&|pixels| network.classify(&gpu, pixels))?);
        let [ms, dense_ms] =
            images.time([&|pixels| network.classify(&gpu, pixels), &|pixels| dense.classify(&gpu, pixels)])?;
        let path = network.path(&gpu, count.min(BATCH))?;
        let row = Row { way: way.name(), amount, sparsity, accuracy, bytes: network.bytes(), ms, dense_ms, path };
        print(&row, options.json);
        rows.push(row);
    }
    let points: Vec<Point<'_>> = rows
        .iter()
        .map(|row| Point { series: row.way, bytes: row.bytes, accuracy: row.accuracy, speed: row.dense_ms / row.ms })
        .collect();
    let whole = Point { series: "dense", bytes: dense.bytes(), accuracy, speed: 1.0 };
    options.draw(&whole, &points)
}

fn print(row: &Row, json: bool) {
    let Row { way, amount, sparsity, accuracy, bytes, ms, dense_ms, path } = row;
    if json {
        let line = serde_json::json!({
            "criterion": way, "amount": amount, "sparsity": sparsity, "accuracy": accuracy, "bytes": bytes, "ms": ms,
            "dense_ms": dense_ms, "path": path,
        });
        println!("{line}");
    } else {
        let percent = 100.0 * sparsity;
        println!("{way:12} {amount:7.3} {percent:6.1}% {accuracy:9.3} {bytes:8} {ms:8.2} {dense_ms:9.2}  {path}");
    }
}

fn main() -> ExitCode {
    let (mut quick, mut quantize) = (false, false);
    let options = Options::parse("prune.svg", |flag| {
        match flag {
            "quick" => quick = true,
            "quantize" => quantize = true,
            _ => return false,
        }
        true
    });
    finish(options, HELP, |options| run(options, quick, quantize))
}
