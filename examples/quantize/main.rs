//! Quantizes the trained network of `classify` in several ways, and tells what is left: accuracy, agreement with f32, bytes, time.
//!
//!     cargo run --release --example quantize

#[path = "../classify/files.rs"]
#[allow(dead_code)] // Its other readers are those of `classify`.
mod files;
#[path = "../prune/images.rs"]
mod images;
mod integer;
#[path = "../prune/network.rs"]
#[allow(dead_code)] // Networks with fewer filters are those of `prune`.
mod network;
#[path = "../prune/options.rs"]
mod options;
#[path = "../prune/svg.rs"]
mod svg;

use std::error::Error;
use std::process::ExitCode;

use tilewise::{DType, Gpu, Granularity, QuantScheme, QuantType};

use images::{BATCH, Classify, Images, data};
use integer::Integers;
use network::Network;
use options::{Options, finish};
use svg::Point;

const HELP: &str = "\
Quantize a trained network on the GPU, and see what becomes of accuracy, size and speed.

Usage: cargo run --release --example quantize -- [OPTIONS]

  --count N     measure accuracy on the first N images (default: all in the folder; 20 where there is no GPU driver)
  --images DIR  folder of t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, also gzipped (default: the thousand images of the
                repository)
  --svg FILE    draw the chart there (default: quantize.svg in the folder of build output)
  --json        one line of JSON a row instead of the table
  --help        print this

Exit status: 0, or 2 for bad input.";

/// The schemes in which weights alone are quantized.
fn schemes() -> Vec<(&'static str, QuantScheme)> {
    let int8 = QuantScheme::default();
    let in_blocks = |values, scales| QuantScheme { values, granularity: Granularity::Block(32), scales, ..int8 };
    vec![
        ("int8 weights", int8),
        ("int8 weights, blocks", in_blocks(QuantType::I8, DType::F16)),
        ("int4 weights, blocks", in_blocks(QuantType::I4, DType::F16)),
        ("binary weights", QuantScheme { values: QuantType::Binary, ..int8 }),
    ]
}

/// What became of the network.
struct Row {
    scheme: &'static str,
    accuracy: f64,
    /// The share of images with the class that the network in f32 finds.
    agreement: f64,
    bytes: u64,
    ms: f64,
    f32_ms: f64,
    path: String,
}

impl Row {
    fn print(&self, json: bool) {
        let Row { scheme, accuracy, agreement, bytes, ms, f32_ms, path } = self;
        if json {
            let line = serde_json::json!({
                "scheme": scheme, "accuracy": accuracy, "agreement": agreement, "bytes": bytes, "ms": ms, "f32_ms": f32_ms,
                "path": path,
            });
            println!("{line}");
        } else {
            println!("{scheme:22} {accuracy:8.3} {agreement:9.3} {bytes:8} {ms:8.2} {f32_ms:8.2}  {path}");
        }
    }
}

/// The network in f32, and what it is compared on.
struct Comparison<'a> {
    images: &'a Images,
    whole: &'a Classify<'a>,
    classes: Vec<u32>,
}

impl Comparison<'_> {
    fn row(&self, scheme: &'static str, network: &Classify<'_>, bytes: u64, path: String) -> tilewise::Result<Row> {
        let classes = self.images.classes(network)?;
        let agree = classes.iter().zip(&self.classes).filter(|(class, other)| class == other).count();
        let [ms, f32_ms] = self.images.time([network, self.whole])?;
        let (accuracy, agreement) = (self.images.accuracy(&classes), agree as f64 / classes.len() as f64);
        Ok(Row { scheme, accuracy, agreement, bytes, ms, f32_ms, path })
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::new_or_emulated()?;
    let images = Images::load(&options.images, options.count, &gpu)?;
    let (count, batch) = (images.len(), images.len().min(BATCH));
    let whole = Network::load(&gpu, &data().join("model.safetensors"))?;
    let in_f32 = |pixels: &[u8]| whole.classify(&gpu, pixels);
    let comparison = Comparison { images: &images, whole: &in_f32, classes: images.classes(&in_f32)? };
    if !options.json {
        println!("{}: {count} images", gpu.profile().name);
        println!("scheme                 accuracy agreement    bytes       ms   f32 ms  path of the largest layer");
    }
    let mut rows = Vec::new();
    let mut add = |row: Row| {
        row.print(options.json);
        rows.push(row);
    };
    add(comparison.row("f32", &in_f32, whole.bytes(), whole.path(&gpu, batch)?)?);
    for (name, scheme) in schemes() {
        let mut network = whole.clone();
        network.quantize(&gpu, scheme)?;
        let classify = |pixels: &[u8]| network.classify(&gpu, pixels);
        add(comparison.row(name, &classify, network.bytes(), network.path(&gpu, batch)?)?);
    }
    let integers = Integers::calibrate(&gpu, &whole)?;
    let classify = |pixels: &[u8]| integers.classify(&gpu, pixels);
    add(comparison.row("int8", &classify, integers.bytes(), integers.path(&gpu, batch)?)?);

    let points: Vec<Point<'_>> = rows
        .iter()
        .map(|row| Point { series: row.scheme, bytes: row.bytes, accuracy: row.accuracy, speed: row.f32_ms / row.ms })
        .collect();
    if let Some((whole, others)) = points.split_first() {
        options.draw(whole, others)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    finish(Options::parse("quantize.svg", |_| false), HELP, run)
}
