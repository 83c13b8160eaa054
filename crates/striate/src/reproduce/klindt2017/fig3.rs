//! Figure 3b: fraction of explainable variance over the number of images, for populations of identical linear neurons.

use std::fs;

use crate::array::{self, Array, Arrays};
use crate::error::{Error, Result};
use crate::fit::FitConfig;
use crate::reproduce::work::{World, average, spread};
use crate::reproduce::{Curve, Data, Item, Reproduction, Row, Work};
use crate::simulate::{KlindtLinear, Simulation};

/// Figure 3b.
pub const ITEM: Item = Item {
    id: "klindt2017/fig3",
    about: "FEV over images and population, one linear cell type",
    keys: &[
        ("samples", "numbers of images; 64 to 4096 by default, to 65536 in the paper"),
        ("populations", "numbers of neurons; 1, 10, 100, 1000 by default"),
        ("penalties", "L1 strengths of the masks to choose from; the paper's ten by default"),
        ("repetitions", "repetitions, 1 by default (20 in the paper)"),
        ("baselines", "1: also OLS, ridge, lasso and the kernel known (default), 0: not"),
    ],
    data: Data::None,
    run,
};

const SAMPLES: [usize; 11] = [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];

/// As many of [`SAMPLES`] are run by default: 64 to 4096.
const DEFAULT: usize = 7;

/// Not in the plot.
const NONE: f64 = f64::NAN;

/// Read off the published plot (`papers/klindt2017.md#figure-3`), for each of [`SAMPLES`].
#[rustfmt::skip]
const PUBLISHED: [(&str, [f64; 11]); 8] = [
    ("N = 1", [0.0, 0.0, 0.0, 0.0, 0.13, 0.36, 0.58, 0.75, 0.85, 0.93, 0.965]),
    ("N = 10", [0.0, 0.0, 0.0, 0.35, 0.70, 0.86, 0.93, 0.96, 0.975, 0.986, NONE]),
    // The last, 0.926 with a spread of 0.2, holds repetitions that failed.
    ("N = 100", [0.0, 0.02, 0.40, 0.76, 0.84, 0.95, 0.97, 0.986, 0.99, 0.99, NONE]),
    ("N = 1000", [0.02, 0.24, 0.55, 0.81, 0.89, 0.96, 0.98, 0.99, 0.995, NONE, NONE]),
    ("kernel known", [0.165, 0.467, 0.692, 0.828, 0.917, 0.958, 0.98, NONE, NONE, NONE, NONE]),
    ("OLS", [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.38, 0.71, 0.85, 0.93, 0.966]),
    ("ridge", [0.03, 0.04, 0.08, 0.16, 0.30, 0.45, 0.62, 0.78, 0.88, 0.94, 0.97]),
    ("lasso", [0.0, 0.0, 0.0, 0.05, 0.105, 0.36, 0.60, 0.78, 0.89, 0.94, NONE]),
];

/// Twice the accuracy with which points were read off the plot, and the scatter of few repetitions.
const TOLERANCE: f64 = 0.05;

/// Neurons of a linear baseline, whose mean stands for repetitions.
const COPIES: usize = 20;

fn published(name: &str, samples: usize) -> Option<f64> {
    let at = SAMPLES.iter().position(|&known| known == samples)?;
    PUBLISHED
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, values)| values[at])
        .filter(|fev| !fev.is_nan())
}

/// Penalties of the paper's grid: ten from 0.001 to 1, the same factor apart.
pub(super) fn grid() -> Vec<f64> {
    (0..10).map(|i| 10f64.powf(-3.0 + f64::from(i) / 3.0)).collect()
}

fn run(work: &mut Work<'_>) -> Result<Reproduction> {
    if work.quick() {
        return quick(work);
    }
    let samples = work.counts("samples", &SAMPLES[..DEFAULT])?;
    let populations = work.counts("populations", &[1, 10, 100, 1000])?;
    let mut lines: Vec<Line> = populations.iter().map(|&n| Line::Population(n)).collect();
    if work.flag("baselines", true)? {
        lines.extend([Line::KernelKnown, Line::Linear("ols"), Line::Linear("ridge"), Line::Linear("lasso")]);
    }
    let mut found = Reproduction {
        notes: notes(work)?,
        axes: ["images, log₂", "FEV"],
        curves: lines.iter().map(|line| Curve { name: line.name(), ..Curve::default() }).collect(),
        ..Reproduction::default()
    };
    for samples in samples {
        for (line, curve) in lines.iter().zip(&mut found.curves) {
            let values = line.values(work, samples)?;
            let (mean, x) = (average(&values), (samples as f64).log2());
            curve.ours.push((x, mean));
            let name = format!("{}, {samples} images (s.d. {:.3})", line.name(), spread(&values));
            found.rows.push(match published(&line.name(), samples) {
                Some(published) => Row::near(name, published, mean, TOLERANCE),
                None => Row::shown(name, None, mean),
            });
            curve.published.extend(published(&line.name(), samples).map(|value| (x, value)));
        }
    }
    Ok(found)
}

fn notes(work: &Work<'_>) -> Result<Vec<String>> {
    let repetitions = work.count("repetitions", 1)?;
    Ok(vec![
        format!(
            "{repetitions} of the paper's 20 repetitions, each with fresh images and another choice of neurons from one \
             pool of 1000. The strength of the masks' L1 is the median over repetitions of the best by validation."
        ),
        "Masks start at the peak of the raw spike-triggered average, not of the smoothed one. FEV on noise-free \
         responses, mean over neurons, 0 where it is below."
            .into(),
        format!(
            "Linear baselines know where the neuron looks: images of 17 × 17 pixels, mean over {COPIES} identical neurons \
             with noise of their own. As in the paper their strength is the best on the test tier, and the validation \
             images are left out."
        ),
    ])
}

/// One curve.
enum Line {
    Population(usize),
    KernelKnown,
    Linear(&'static str),
}

impl Line {
    fn name(&self) -> String {
        match self {
            Self::Population(neurons) => format!("N = {neurons}"),
            Self::KernelKnown => "kernel known".into(),
            Self::Linear("ols") => "OLS".into(),
            Self::Linear(name) => (*name).into(),
        }
    }

    /// FEV of each repetition.
    fn values(&self, work: &mut Work<'_>, samples: usize) -> Result<Vec<f64>> {
        match self {
            Self::Population(neurons) => convolutional(work, *neurons, samples, false),
            Self::KernelKnown => convolutional(work, 100, samples, true),
            Self::Linear(estimator) => Ok(vec![linear(work, estimator, samples)?]),
        }
    }
}

/// FEV of each repetition with the penalty that is best by validation in the median.
fn convolutional(work: &mut Work<'_>, neurons: usize, samples: usize, known: bool) -> Result<Vec<f64>> {
    let penalties = work.list("penalties", &grid());
    let (mut choices, mut fevs) = (Vec::new(), Vec::new());
    for repetition in 0..work.count("repetitions", 1)? {
        let parameters =
            KlindtLinear { stimulus_seed: Some(repetition as u64 + 1), ..KlindtLinear::fig3(1000, samples) };
        let kernel = if known { Some(true_kernel(work, &parameters)?) } else { None };
        let world = World::new(parameters)?;
        let (mut best, mut row) = (Vec::new(), Vec::new());
        for penalty in &penalties {
            let mut config = FitConfig::preset("klindt2017-fig3")?;
            (config.seed, config.data.neuron_seed) = (repetition as u64 + 1, repetition as u64 + 1);
            config.data.neurons = neurons;
            config.model.penalty.mask_l1 = *penalty;
            if let Some(kernel) = &kernel {
                config.fit.start_from.clone_from(kernel);
                config.fit.frozen = vec!["core.layers.0.weight".into()];
            }
            let kind = if known { "known" } else { "learned" };
            let folder = format!("{kind}-{neurons}-{samples}-{repetition}-{penalty}");
            let (error, fev) = match work.fit_point(&folder, &config, &world.session)? {
                Some(run) => (run.best, average(&work.fev(&run, &world)?).max(0.0)),
                None => (f64::INFINITY, f64::NAN),
            };
            best.push(error);
            row.push(fev);
        }
        choices.push(lowest(&best));
        fevs.push(row);
    }
    let chosen = median(&mut choices);
    // A repetition that diverged there is left out, unless all did.
    let chosen: Vec<f64> = fevs.iter().map(|row| row[chosen]).collect();
    let left: Vec<f64> = chosen.iter().copied().filter(|fev| !fev.is_nan()).collect();
    Ok(if left.is_empty() { chosen } else { left })
}

/// The median, of two in the middle their mean, without what is behind the point (`papers/klindt2017.md#training`).
fn median(indices: &mut [usize]) -> usize {
    indices.sort_unstable();
    (indices[(indices.len() - 1) / 2] + indices[indices.len() / 2]) / 2
}

fn lowest(losses: &[f64]) -> usize {
    (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap_or(0)
}

/// The kernel of all neurons as the weights of a core, in a file.
fn true_kernel(work: &Work<'_>, parameters: &KlindtLinear) -> Result<String> {
    let simulation = Simulation::new(KlindtLinear { neurons: 1, ..parameters.clone() })?;
    let values = simulation.linear()[0].kernel.iter().map(|&value| value as f32).collect();
    let kernel = Array { shape: vec![1, 1, parameters.kernel, parameters.kernel], values };
    let path = work.out().join("kernel.safetensors");
    array::save(&path, &Arrays::from([("core.layers.0.weight".into(), kernel)]))?;
    // However the folder was called, the fits that start from here are the same.
    let path = fs::canonicalize(&path).map_err(|e| Error::io("cannot find", &path, e))?;
    Ok(path.display().to_string())
}

/// Mean FEV of identical neurons whose place is known, at the alpha that is best on the test tier, as in the paper.
fn linear(work: &mut Work<'_>, estimator: &str, samples: usize) -> Result<f64> {
    let world = World::new(KlindtLinear { side: 17, ..KlindtLinear::fig3(COPIES, samples) })?;
    let preset = FitConfig::preset(estimator)?;
    let alphas = preset.linear.as_ref().map_or(Vec::new(), |linear| linear.alphas().to_vec());
    let mut best = f64::NEG_INFINITY;
    for alpha in alphas {
        let mut config = preset.clone();
        if let Some(linear) = config.linear.as_mut().filter(|linear| !linear.alpha.is_empty()) {
            linear.alpha = vec![alpha];
        }
        let run = work.fit(&format!("{estimator}-{samples}-{alpha}"), &config, &world.session)?;
        let fev: Vec<f64> = work.fev(&run, &world)?.iter().map(|fev| fev.max(0.0)).collect();
        best = best.max(average(&fev));
    }
    Ok(best)
}

/// Small neurons and images: more neurons of one type see more with the same images.
fn quick(work: &mut Work<'_>) -> Result<Reproduction> {
    let small =
        KlindtLinear { side: 20, kernel: 9, types: vec![0.6], test: 200, ..KlindtLinear::fig3(40, 400) };
    let world = World::new(small)?;
    let mut fev = |neurons: usize| -> Result<f64> {
        let mut config = FitConfig::preset("klindt2017-fig3")?;
        config.model.stack().kernels = vec![9];
        (config.data.neurons, config.schedule.max_steps) = (neurons, 600);
        let run = work.fit(&format!("quick-{neurons}"), &config, &world.session)?;
        Ok(average(&work.fev(&run, &world)?))
    };
    let (few, many) = (fev(2)?, fev(40)?);
    Ok(Reproduction {
        notes: vec!["A miniature: 9 × 9 kernels on 20 × 20 images, 400 of them.".into()],
        rows: vec![
            Row::above("FEV of 40 neurons", None, many, 0.3),
            Row::above("FEV of 40 neurons minus FEV of 2", None, many - few, 0.0),
        ],
        axes: ["neurons", "FEV"],
        curves: vec![Curve { name: "ours".into(), ours: vec![(2.0, few), (40.0, many)], ..Curve::default() }],
        ..Reproduction::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_the_papers() {
        let grid = grid();
        assert_eq!(grid.len(), 10);
        assert!((grid[0] - 1e-3).abs() < 1e-12 && (grid[9] - 1.0).abs() < 1e-12);
        assert!((grid[6] - 0.1).abs() < 1e-12);
        assert_eq!(SAMPLES[..DEFAULT], [64, 128, 256, 512, 1024, 2048, 4096]);
    }

    #[test]
    fn medians_are_whole() {
        assert_eq!(median(&mut [7]), 7);
        assert_eq!(median(&mut [6, 3]), 4);
        assert_eq!(median(&mut [9, 1, 2]), 2);
    }

    #[test]
    fn published_points_are_found_by_name() {
        assert_eq!(published("N = 100", 256), Some(0.40));
        assert_eq!(published("ridge", 4096), Some(0.62));
        assert_eq!((published("N = 100", 100), published("N = 7", 256)), (None, None));
    }
}
