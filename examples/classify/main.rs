//! Classifies real Fashion-MNIST images with a small convolutional network on the GPU, and checks every layer of every
//! image against the CPU and the logits against PyTorch.
//!
//!     cargo run --release --example classify

mod files;
mod network;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use lexopt::prelude::*;
use tilewise::reference::HostTensor;
use tilewise::{Gpu, Program};

use files::{plain_or_gzipped, read_idx, read_tensors};
use network::{CLASSES, Check, Layer, PIXELS, SIDE};

const HELP: &str = "\
Classify Fashion-MNIST images on the GPU, and check the results against the CPU and PyTorch.

Usage: cargo run --release --example classify -- [OPTIONS]

  --count N        classify the first N images (default: all in the folder; 20 where there is no GPU driver)
  --images DIR     folder of t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, also gzipped; where it has a
                   logits.safetensors, results are compared with it (default: the thousand images of the repository)
  --adapter NAME   use the adapter whose name contains NAME (default: the best)
  --quantize       with weights of int8; PyTorch's logits are of f32, and then told of, not held against
  --json           end with a line of JSON
  --help           print this

Exit status: 0 if GPU, CPU and PyTorch agree, 1 if not, 2 for bad input.";

const NAMES: [&str; CLASSES] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

/// The most images that are run at once.
const BATCH: usize = 100;

/// Images that the emulator classifies in a second or two.
const EMULATED: usize = 20;
const NO_DRIVER: &str = "no GPU driver found: this runs on the emulator, which is slow. On Debian and Ubuntu \
    `apt-get install mesa-vulkan-drivers libvulkan1` installs drivers, one that runs on the CPU among them; Windows and macOS \
    bring theirs.";

struct Args {
    count: Option<usize>,
    images: PathBuf,
    adapter: Option<String>,
    quantize: bool,
    json: bool,
}

/// The repository's data folder.
fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/fashion-mnist")
}

fn parse() -> Result<Option<Args>, lexopt::Error> {
    let mut args = Args { count: None, images: data(), adapter: None, quantize: false, json: false };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("count") => args.count = Some(parser.value()?.parse()?),
            Long("images") => args.images = parser.value()?.into(),
            Long("adapter") => args.adapter = Some(parser.value()?.string()?),
            Long("quantize") => args.quantize = true,
            Long("json") => args.json = true,
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(args))
}

/// The images and what is known of them.
struct DataSet {
    pixels: Vec<u8>,
    labels: Vec<u8>,
    /// PyTorch's logits, where the folder has them.
    logits: Option<HostTensor>,
}

impl DataSet {
    /// The first `count` images, or the first `most` where no count is asked for.
    fn load(folder: &Path, count: Option<usize>, most: usize) -> Result<Self, Box<dyn Error>> {
        let path = plain_or_gzipped(&folder.join("t10k-images-idx3-ubyte"))?;
        let images = read_idx(&path, 3)?;
        let labels = read_idx(&plain_or_gzipped(&folder.join("t10k-labels-idx1-ubyte"))?, 1)?;
        let found = images.shape[0];
        if images.shape[1..] != [SIDE, SIDE] {
            return Err(format!("{}: images are {:?}, wanted [28, 28]", path.display(), &images.shape[1..]).into());
        }
        if labels.shape[0] != found {
            return Err(format!("{}: {found} images, but {} labels", folder.display(), labels.shape[0]).into());
        }
        if let Some(label) = labels.data.iter().find(|&&label| usize::from(label) >= CLASSES) {
            return Err(format!("{}: a label is {label}, wanted 0 to 9", folder.display()).into());
        }
        let count = count.unwrap_or(found.min(most));
        if count == 0 || count > found {
            return Err(format!("--count {count}: {} has {found} images", folder.display()).into());
        }
        let path = folder.join("logits.safetensors");
        let logits = if path.exists() { read_tensors(&path, &[("logits", &[found, CLASSES])])?.pop() } else { None };
        Ok(DataSet { pixels: images.data[..count * PIXELS].to_vec(), labels: labels.data[..count].to_vec(), logits })
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    /// The images of a batch that starts at `first`, as the network takes them; a short last batch ends in zeros.
    fn batch(&self, first: usize, batch: usize) -> Vec<f32> {
        let end = (first + batch).min(self.len());
        let mut images = network::normalise(&self.pixels[first * PIXELS..end * PIXELS]);
        images.resize(batch * PIXELS, 0.0);
        images
    }
}

/// The class with the largest logit.
fn argmax(logits: impl IntoIterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (class, logit) in logits.into_iter().enumerate() {
        if logit > best.1 {
            best = (class, logit);
        }
    }
    best.0
}

/// The logits of all images, and the time that took.
fn classify(
    gpu: &Gpu,
    program: &Program,
    set: &DataSet,
    batch: usize,
) -> Result<(Vec<f32>, Duration), tilewise::Error> {
    let start = Instant::now();
    let mut logits = Vec::new();
    for first in (0..set.len()).step_by(batch) {
        let images = gpu.tensor(&[batch, 1, SIDE, SIDE], &set.batch(first, batch))?;
        logits.extend(gpu.download(&program.run(&[&images])?.swap_remove(0).typed::<f32>()?)?);
    }
    logits.truncate(set.len() * CLASSES);
    Ok((logits, start.elapsed()))
}

/// Runs the network once more with every layer's output kept, and checks each layer of each image.
fn check(gpu: &Gpu, layers: &[Layer], set: &DataSet, batch: usize) -> Result<(Vec<Check>, Vec<f32>), tilewise::Error> {
    let program = network::compile(gpu, layers, batch, true)?;
    let style = ProgressStyle::with_template("checking {wide_bar} {pos}/{len} images");
    let bar = ProgressBar::new(set.len() as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let (mut checks, mut logits) = (Vec::new(), Vec::new());
    for first in (0..set.len()).step_by(batch) {
        let images = set.batch(first, batch);
        let outputs = program.run(&[&gpu.tensor(&[batch, 1, SIDE, SIDE], &images)?])?;
        let mut values = vec![images];
        for output in outputs {
            values.push(gpu.download(&output.typed::<f32>()?)?);
        }
        let count = batch.min(set.len() - first);
        checks.extend(network::check(layers, &values, batch, count)?);
        logits.extend(&values[layers.len()][..count * CLASSES]);
        bar.inc(count as u64);
    }
    bar.finish_and_clear();
    Ok((checks, logits))
}

/// Draws images side by side, two rows of pixels to a line of text.
fn draw(set: &DataSet, predictions: &[usize]) {
    const RAMP: &[u8] = b" .:-=+*#%@";
    let shown = set.len().min(3);
    for line in 0..SIDE / 2 {
        for image in 0..shown {
            let row = |row: usize| &set.pixels[image * PIXELS + row * SIDE..][..SIDE];
            let pairs = row(2 * line).iter().zip(row(2 * line + 1));
            let text: String = pairs
                .map(|(&upper, &lower)| (usize::from(upper) + usize::from(lower)) * (RAMP.len() - 1) / (2 * 255))
                .map(|shade| char::from(RAMP[shade]))
                .collect();
            print!("{text}  ");
        }
        println!();
    }
    for what in ["label", "predicted"] {
        for (&label, &prediction) in set.labels.iter().zip(predictions).take(shown) {
            let class = if what == "label" { usize::from(label) } else { prediction };
            print!("{:28}  ", format!("{what}: {}", NAMES[class]));
        }
        println!();
    }
    println!();
}

/// Prints how each class fared.
fn table(set: &DataSet, predictions: &[usize]) {
    println!("{:12} {:>6} {:>6} {:>9}  most often mistaken for", "class", "images", "right", "accuracy");
    for (class, name) in NAMES.iter().enumerate() {
        let mut predicted = [0usize; CLASSES];
        let of_class = set.labels.iter().zip(predictions).filter(|(label, _)| usize::from(**label) == class);
        of_class.for_each(|(_, &prediction)| predicted[prediction] += 1);
        let (images, right) = (predicted.iter().sum::<usize>(), std::mem::take(&mut predicted[class]));
        let mistaken = predicted.iter().enumerate().max_by_key(|(_, count)| **count).filter(|(_, count)| **count > 0);
        let mistaken = mistaken.map(|(other, count)| format!("{} ({count})", NAMES[other])).unwrap_or_default();
        let accuracy = if images > 0 { format!("{:.1} %", 100.0 * right as f64 / images as f64) } else { "-".into() };
        println!("{name:12} {images:6} {right:6} {accuracy:>9}  {mistaken}");
    }
    println!();
}

fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    let gpu = match &args.adapter {
        Some(name) => Gpu::builder().adapter_name(name).build()?,
        None => Gpu::new_or_emulated()?,
    };
    if gpu.is_emulated() {
        eprintln!("{NO_DRIVER}");
    }
    let set = DataSet::load(&args.images, args.count, if gpu.is_emulated() { EMULATED } else { usize::MAX })?;
    let mut layers = network::load(&data().join("model.safetensors"))?;
    if args.quantize {
        layers = layers.into_iter().map(|layer| layer.quantized(&gpu)).collect::<Result<_, _>>()?;
    }
    println!("device: {}\n", gpu.profile());

    let batch = set.len().min(BATCH);
    let program = network::compile(&gpu, &layers, batch, false)?;
    // Drivers finish some of their work at the first run: the kernels are timed first, and the whole after that.
    let images = gpu.tensor(&[batch, 1, SIDE, SIDE], &set.batch(0, batch))?;
    program.run(&[&images])?;
    gpu.wait()?;
    let (_, timings) = gpu.timed(|_| program.run(&[&images]))?;
    let (logits, time) = classify(&gpu, &program, &set, batch)?;
    let ms_per_image = time.as_secs_f64() * 1e3 / set.len() as f64;
    let predictions: Vec<usize> =
        logits.chunks(CLASSES).map(|logits| argmax(logits.iter().map(|&x| x.into()))).collect();
    let right = set.labels.iter().zip(&predictions).filter(|(label, prediction)| usize::from(**label) == **prediction);
    let accuracy = right.count() as f64 / set.len() as f64;
    draw(&set, &predictions);
    table(&set, &predictions);
    println!("accuracy: {:.2} % of {} images", 100.0 * accuracy, set.len());
    println!("time: {ms_per_image:.3} ms per image, in batches of {batch}, transfers included");

    println!("\nkernels, for one batch:\n{timings}");

    // Both programs consist of the same plans: their logits must be the same to the bit.
    let (checks, checked) = check(&gpu, &layers, &set, batch)?;
    let bits = |logits: &[f32]| logits.iter().map(|logit| logit.to_bits()).collect::<Vec<_>>();
    let same = bits(&logits) == bits(&checked);
    let agree = checks.iter().filter(|check| check.passed).count();
    let (layer, fraction) =
        checks.iter().map(|check| check.worst).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0));
    println!(
        "CPU: every layer of {agree} of {} images within its error bound; worst: {fraction:.3} of the bound, in {}",
        set.len(),
        layers[layer].name
    );
    if !same {
        println!("CPU: the logits change when every layer's output is kept: they must not");
    }

    let pytorch = set.logits.as_ref().map(|theirs| {
        let largest = |image: usize| argmax((0..CLASSES).map(|class| theirs.at(image * CLASSES + class)));
        let agree = predictions.iter().enumerate().filter(|&(image, &class)| largest(image) == class).count();
        let difference =
            logits.iter().enumerate().map(|(i, &logit)| (f64::from(logit) - theirs.at(i)).abs()).fold(0.0, f64::max);
        println!(
            "PyTorch: the same class for {agree} of {} images; logits differ by {difference:.1e} at most",
            set.len()
        );
        agree
    });
    if pytorch.is_none() {
        println!("PyTorch: {} has no logits to compare with", args.images.display());
    }

    if args.json {
        let share = |count: usize| count as f64 / set.len() as f64;
        println!(
            "{}",
            serde_json::json!({
                "adapter": gpu.profile().name,
                "images": set.len(),
                "accuracy": accuracy,
                "agree_with_cpu": share(agree),
                "agree_with_pytorch": pytorch.map(share),
                "worst_bound_fraction": fraction,
                "ms_per_image": ms_per_image,
            })
        );
    }
    let like_pytorch = args.quantize || pytorch.is_none_or(|agree| agree == set.len());
    Ok(same && agree == set.len() && like_pytorch)
}

fn main() -> ExitCode {
    env_logger::init();
    let outcome = match parse() {
        Ok(Some(args)) => run(&args),
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => Err(format!("{error}; see --help").into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("error: the results disagree");
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
