//! Amounts chosen by validation: what a metric of the caller's makes of each layer and amount.

use std::fmt;

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::prune::{Amount, Criterion, Pruned};
use crate::tensor::Tensor;

const OP: &str = "prune::search";

/// A layer that may be pruned.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its name, for tables.
    pub name: String,
    /// Its weights.
    pub weights: Tensor<f32>,
}

/// A network with one layer pruned, or several.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The layer, by its number.
    pub layer: usize,
    /// Its name.
    pub name: String,
    /// The share of it that was to be pruned.
    pub amount: f64,
    /// The share of its weights that is.
    pub sparsity: f64,
    /// What the metric made of the network.
    pub metric: f64,
    /// Whether the amount was kept, in a [`Search`]; of a [`Sensitivity`] nothing is.
    pub kept: bool,
}

/// What the metric makes of a network in which one layer is pruned. `Display` prints a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// Of the network as it is.
    pub dense: f64,
    /// Each layer with each amount.
    pub trials: Vec<Trial>,
}

/// Amounts for every layer that keep the metric within a loss. `Display` prints a table.
#[derive(Clone, Debug)]
pub struct Search {
    /// The metric of the network as it is.
    pub dense: f64,
    /// That of the network with all layers pruned by their amounts.
    pub metric: f64,
    /// The amount of each layer.
    pub amounts: Vec<f64>,
    /// The layers, pruned so.
    pub pruned: Vec<Pruned>,
    /// What was tried, in order.
    pub trials: Vec<Trial>,
}

fn table(f: &mut fmt::Formatter<'_>, dense: f64, trials: &[Trial]) -> fmt::Result {
    let width = trials.iter().map(|trial| trial.name.len()).max().unwrap_or(0).max(5);
    writeln!(f, "{:width$}  amount  pruned    metric      loss", "layer")?;
    trials.iter().try_for_each(|trial| {
        let Trial { name, amount, sparsity, metric, kept, .. } = trial;
        let mark = if *kept { "  kept" } else { "" };
        let (percent, loss) = (100.0 * sparsity, dense - metric);
        writeln!(f, "{name:width$}  {amount:6.3}  {percent:5.1}%  {metric:8.4}  {loss:8.4}{mark}")
    })
}

impl fmt::Display for Sensitivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        table(f, self.dense, &self.trials)
    }
}

impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        table(f, self.dense, &self.trials)?;
        writeln!(f, "metric {:.4} of {:.4} with amounts {:?}", self.metric, self.dense, self.amounts)
    }
}

/// Amounts in ascending order, each from 0 to 1.
fn expect_amounts(amounts: &[f64]) -> Result<()> {
    amounts.iter().try_for_each(|&amount| Amount::Fraction(amount).of(0).map(|_| ()))?;
    if amounts.windows(2).all(|pair| pair[0] < pair[1]) {
        return Ok(());
    }
    let requirement = "ascending";
    Err(Error::Option { op: OP, option: "amounts", value: format!("{amounts:?}"), requirement })
}

fn pruned(gpu: &Gpu, layer: &Layer, criterion: &Criterion, amount: f64) -> Result<Pruned> {
    let mut pruned = Pruned::new(gpu, &layer.weights)?;
    pruned.prune(gpu, criterion, Amount::Fraction(amount))?;
    Ok(pruned)
}

/// Prunes each layer alone, by each amount, and measures the network: `metric` is given the weights of all layers, in order, and the larger it
/// is the better. `progress` is told of measurements made and of all there are.
///
/// # Errors
/// [`Error::Option`] for amounts that do not ascend from 0 to 1, what the metric fails with, and those of [`Pruned::prune`].
pub fn sensitivity(
    gpu: &Gpu,
    layers: &[Layer],
    (criterion, amounts): (&Criterion, &[f64]),
    mut metric: impl FnMut(&[Tensor<f32>]) -> Result<f64>,
    mut progress: impl FnMut(usize, usize),
) -> Result<Sensitivity> {
    expect_amounts(amounts)?;
    let all = 1 + layers.len() * amounts.len();
    let mut weights: Vec<Tensor<f32>> = layers.iter().map(|layer| layer.weights.clone()).collect();
    let dense = metric(&weights)?;
    progress(1, all);
    let mut trials = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        for &amount in amounts {
            let own = pruned(gpu, layer, criterion, amount)?;
            weights[number] = own.weights().clone();
            let (name, sparsity) = (layer.name.clone(), own.mask().sparsity());
            trials.push(Trial { layer: number, name, amount, sparsity, metric: metric(&weights)?, kept: false });
            progress(1 + trials.len(), all);
        }
        weights[number] = layer.weights.clone();
    }
    Ok(Sensitivity { dense, trials })
}

/// Finds amounts for all layers together whose loss against the dense network's metric is at most `budget`: in each step one layer goes to its
/// next amount, that of which the sensitivity has the least loss a weight; one whose step costs more than the budget stays where it is.
/// The last metric that was kept is that of the result. `progress` is told of measurements made and of the most there can be.
///
/// # Errors
/// As for [`sensitivity`], and [`Error::Option`] for a budget below 0.
pub fn search(
    gpu: &Gpu,
    layers: &[Layer],
    (criterion, amounts, budget): (&Criterion, &[f64], f64),
    mut metric: impl FnMut(&[Tensor<f32>]) -> Result<f64>,
    mut progress: impl FnMut(usize, usize),
) -> Result<Search> {
    if budget.is_nan() || budget < 0.0 {
        let requirement = "at least 0";
        return Err(Error::Option { op: OP, option: "budget", value: budget.to_string(), requirement });
    }
    let steps = layers.len() * amounts.len();
    let all = 1 + 2 * steps;
    let alone = sensitivity(gpu, layers, (criterion, amounts), &mut metric, |done, _| progress(done, all))?;
    let dense = alone.dense;
    let mut chosen: Vec<Pruned> = layers.iter().map(|layer| Pruned::new(gpu, &layer.weights)).collect::<Result<_>>()?;
    let mut weights: Vec<Tensor<f32>> = layers.iter().map(|layer| layer.weights.clone()).collect();
    // The next amount of each layer, by its number; none where a step was too much.
    let mut next: Vec<Option<usize>> = vec![Some(0); layers.len()];
    let mut result =
        Search { dense, metric: dense, amounts: vec![0.0; layers.len()], pruned: Vec::new(), trials: Vec::new() };
    loop {
        let loss = |layer: usize, step: usize| {
            let trial = &alone.trials[layer * amounts.len() + step];
            (dense - trial.metric) / (trial.sparsity * layers[layer].weights.len() as f64).max(1.0)
        };
        let open = next.iter().enumerate().filter_map(|(layer, step)| step.map(|step| (layer, step)));
        let open = open.filter(|&(_, step)| step < amounts.len());
        let Some((layer, step)) = open.min_by(|&(x, i), &(y, j)| loss(x, i).total_cmp(&loss(y, j))) else { break };
        let own = pruned(gpu, &layers[layer], criterion, amounts[step])?;
        let before = std::mem::replace(&mut weights[layer], own.weights().clone());
        let metric = metric(&weights)?;
        let kept = dense - metric <= budget;
        let (name, sparsity) = (layers[layer].name.clone(), own.mask().sparsity());
        result.trials.push(Trial { layer, name, amount: amounts[step], sparsity, metric, kept });
        progress(1 + steps + result.trials.len(), all);
        if kept {
            (result.metric, result.amounts[layer]) = (metric, amounts[step]);
            (chosen[layer], next[layer]) = (own, Some(step + 1));
        } else {
            (weights[layer], next[layer]) = (before, None);
        }
    }
    progress(all, all);
    result.pruned = chosen;
    Ok(result)
}
