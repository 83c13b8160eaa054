//! Figure 5d: nonlinear neurons of four types, over the number of images and of neurons.

use super::population::{Grid, Model, Rules, shortened};
use crate::error::Result;
use crate::reproduce::work::{World, average, spread};
use crate::reproduce::{Curve, Data, Item, Reproduction, Row, Work};
use crate::simulate::KlindtNonlinear;

/// Figure 5d.
pub const ITEM: Item = Item {
    id: "klindt2017/fig5d",
    about: "FEV over images and population, four nonlinear cell types",
    keys: &[
        ("samples", "numbers of images; 4096 by default, 512 to 65536 in the paper"),
        ("populations", "numbers of neurons of our model; 1000 by default, also 12 and 100 in the paper"),
        ("repetitions", "repetitions, 5 by default"),
        ("max_steps", "steps after which a fit stops; the paper's by default"),
        ("full", "1: the paper's grid of penalties, 0: one of them (default)"),
    ],
    data: Data::None,
    run,
};

const SAMPLES: [usize; 8] = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];

/// Published means (`papers/klindt2017.md#figure-5d`), for each of [`SAMPLES`].
const PUBLISHED: [(&str, [f64; 8]); 5] = [
    ("ours, N = 12", [-0.0001, 0.1697, 0.3379, 0.5182, 0.6647, 0.7747, 0.8042, 0.8230]),
    ("ours, N = 100", [0.1149, 0.3195, 0.5728, 0.6743, 0.8136, 0.8343, 0.8606, 0.8749]),
    ("ours, N = 1000", [0.2240, 0.4452, 0.6945, 0.7538, 0.8591, 0.8674, 0.8748, 0.8744]),
    ("fixed mask, N = 1000", [0.1296, 0.2928, 0.4098, 0.5616, 0.6343, 0.6640, 0.6872, 0.7079]),
    ("fully connected, N = 1000", [0.0874, 0.1912, 0.3728, 0.5337, 0.6722, 0.7965, 0.8545, 0.8706]),
];

/// L2 strengths of the fully connected readout that were best in the paper, for each of [`SAMPLES`] (`papers/klindt2017.md#figure-5d`).
const READOUT_L2: [f64; 8] = [5.0, 5.0, 5.0, 1.5811, 1.5811, 0.1581, 0.05, 0.05];

/// Neurons of the baselines.
const POPULATION: usize = 1000;

fn published(name: &str, samples: usize) -> Option<f64> {
    let at = SAMPLES.iter().position(|&known| known == samples)?;
    PUBLISHED.iter().find(|(known, _)| *known == name).map(|(_, values)| values[at])
}

/// Strengths that the paper added for some points (`papers/klindt2017.md#training`).
fn added(neurons: usize, samples: usize) -> Vec<[f64; 2]> {
    match (neurons, samples) {
        (1000, 512) => vec![[0.01, 0.1]],
        (1000, 32768 | 65536) | (12, 65536) => {
            let values = [0.001, 0.003, 0.01];
            values.iter().flat_map(|&mask| values.map(|feature| [mask, feature])).collect()
        }
        _ => Vec::new(),
    }
}

/// The paper's strengths (`papers/klindt2017.md#baselines`, `papers/klindt2017.md#training`), or one of them: the middle, or what was best there for as many images.
pub(super) fn grid((model, neurons): (Model, usize), samples: usize, full: bool, max_steps: u64) -> Grid {
    let strengths = match (model, full) {
        (Model::Factorised, true) => {
            let main = if neurons >= POPULATION { [0.003, 0.01, 0.1] } else { [0.03, 0.1, 0.3] };
            let mut all = added(neurons, samples);
            all.retain(|[mask, feature]| *mask != 0.003 || !main.contains(feature));
            [main.map(|feature| [0.003, feature]).to_vec(), all].concat()
        }
        (Model::Factorised, false) if neurons >= POPULATION => vec![[0.003, 0.01]],
        (Model::Factorised, false) => vec![[0.003, 0.03]],
        (Model::FixedMask, _) => vec![[0.0, 0.001]],
        (Model::FullyConnected, true) => [0.05, 0.1581, 0.5, 1.5811, 5.0].map(|l2| [l2, 0.1]).to_vec(),
        (Model::FullyConnected, false) => {
            let at = SAMPLES.partition_point(|&known| known < samples).min(SAMPLES.len() - 1);
            vec![[READOUT_L2[at], 0.1]]
        }
    };
    Grid { model, strengths, max_steps, rules: Rules::Figure5d }
}

fn run(work: &mut Work<'_>) -> Result<Reproduction> {
    if work.quick() {
        return quick(work);
    }
    let populations = work.counts("populations", &[POPULATION])?;
    let mut lines: Vec<(Model, usize)> = populations.iter().map(|&n| (Model::Factorised, n)).collect();
    lines.extend([(Model::FixedMask, POPULATION), (Model::FullyConnected, POPULATION)]);
    let samples = work.counts("samples", &[4096])?;
    let name = |(model, neurons): &(Model, usize)| format!("{}, N = {neurons}", model.name());
    let mut found = Reproduction {
        notes: [NOTE.into(), format!("{} repetitions.", work.count("repetitions", 5)?)]
            .into_iter()
            .chain(shortened(work)?)
            .collect(),
        axes: ["images, log₂", "FEV"],
        curves: lines.iter().map(|line| Curve { name: name(line), ..Curve::default() }).collect(),
        ..Reproduction::default()
    };
    for samples in samples {
        let x = (samples as f64).log2();
        let mut means = Vec::new();
        for (line, curve) in lines.iter().zip(&mut found.curves) {
            let values = repetitions(work, *line, samples)?;
            let (mean, known) = (average(&values), published(&name(line), samples));
            let label = format!("{}, {samples} images (s.d. {:.3})", name(line), spread(&values));
            found.rows.push(Row::shown(label, known, mean));
            curve.ours.push((x, mean));
            curve.published.extend(known.map(|value| (x, value)));
            means.push((*line, mean));
        }
        found.rows.extend(order(&means, samples));
    }
    Ok(found)
}

const NOTE: &str = "Dead leaves shown to a fixed random network stand in for the paper's photographs and VGG units, which are \
    not available: published numbers stand beside ours to compare the order of the models, not their height. In the paper the \
    fixed mask is a little above the fully connected readout at 4096 images, and below it from 8192 on. FEV of our \
    model is the mean over neurons, each with the fit, or its mean response, that validates best; that of the baselines is one \
    minus the sum of their errors over the sum of the variances.";

fn repetitions(work: &mut Work<'_>, line: (Model, usize), samples: usize) -> Result<Vec<f64>> {
    let (full, (model, neurons)) = (work.flag("full", false)?, line);
    let default = if model == Model::Factorised { 10_000 } else { 15_000 };
    let count = work.count("repetitions", 5)? as u64;
    let grid = grid(line, samples, full, work.count("max_steps", default)? as u64);
    let one = |seed: u64| {
        let world = World::new(KlindtNonlinear { seed, ..KlindtNonlinear::fig5d(neurons, samples) })?;
        let name = format!("{}-{neurons}-{samples}-{seed}", model.name().replace(' ', "-"));
        grid.fev(work, &world, &name, seed)
    };
    (1..=count).map(one).collect()
}

/// The published order at 4096 images: ours, fixed mask and fully connected far below, close to each other.
fn order(means: &[((Model, usize), f64)], samples: usize) -> Vec<Row> {
    let of = |model| means.iter().find(|(line, _)| *line == (model, POPULATION)).map(|(_, mean)| *mean);
    let Some(ours) = of(Model::Factorised) else { return Vec::new() };
    let against = |model: Model| {
        let known = |model: Model| published(&format!("{}, N = {POPULATION}", model.name()), samples);
        let gap = known(Model::Factorised).zip(known(model)).map(|(ours, other)| ours - other);
        let name = format!("ours minus {}, {samples} images", model.name());
        of(model).map(|other| Row::above(name, gap, ours - other, 0.0))
    };
    [Model::FullyConnected, Model::FixedMask].into_iter().filter_map(against).collect()
}

/// Few neurons, images and steps.
fn quick(work: &mut Work<'_>) -> Result<Reproduction> {
    let small = KlindtNonlinear { validation: Some(32), test: 64, ..KlindtNonlinear::fig5d(16, 160) };
    let world = World::new(small)?;
    let mut rows = Vec::new();
    for model in [Model::Factorised, Model::FixedMask, Model::FullyConnected] {
        let fev =
            grid((model, 16), 160, false, 10).fev(work, &world, &format!("quick-{}", model.name()), 1)?;
        // So few steps explain nothing yet.
        rows.push(Row::shown(model.name(), None, fev));
    }
    let notes = vec!["A miniature: 16 neurons, 160 images, 10 steps.".into()];
    Ok(Reproduction { notes, rows, ..Reproduction::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_order_is_ours_first() {
        let rows = order(
            &[
                ((Model::Factorised, 1000), 0.7),
                ((Model::FixedMask, 1000), 0.8),
                ((Model::FullyConnected, 1000), 0.5),
            ],
            4096,
        );
        assert_eq!(rows.iter().map(|row| row.ok).collect::<Vec<_>>(), [Some(true), Some(false)]);
        assert!((rows[0].published.unwrap() - (0.7538 - 0.5337)).abs() < 1e-9);
    }

    #[test]
    fn grids_are_the_papers() {
        assert_eq!(grid((Model::FullyConnected, 1000), 4096, true, 1).strengths.len(), 5);
        assert_eq!(grid((Model::Factorised, 100), 4096, true, 1).strengths[2], [0.003, 0.3]);
        let sizes = [512, 4096, 65536].map(|n| grid((Model::Factorised, 1000), n, true, 1).strengths.len());
        assert_eq!(sizes, [4, 3, 10]);
        let best = |samples| grid((Model::FullyConnected, 1000), samples, false, 1).strengths[0][0];
        assert_eq!([160, 4096, 5000, 1 << 20].map(best), [5.0, 1.5811, 1.5811, 0.05]);
    }
}
