//! How well: defined numbers with ceiling, null control and interval.
//!
//! An [`Evaluation`] holds what was recorded and predicted; [`score`] computes every metric of
//! [`METRICS`] that it allows and gives their [`Summary`]s and a [`Table`] with one row per neuron.
//! Sums are taken in `f64`; a NaN is a neuron without a value, and is left out and counted.
//!
//! ```
//! use striate::score::{Evaluation, Settings, score};
//! let responses = [0.0, 1.0, 2.0, 1.5, 0.5, 3.0, 2.5, 1.0]; // [trial, neuron]: 4 trials, 2 neurons
//! let evaluation = Evaluation::new(2, &responses, &[0, 1, 0, 1])?.with_predictions(&responses)?;
//! let scored = score(&evaluation, &Settings::default());
//! assert_eq!(scored.summaries["single_trial_correlation"].mean, Some(1.0));
//! # Ok::<(), striate::error::Error>(())
//! ```

mod evaluation;
mod joint;
pub mod metric;
mod moments;
mod null;
mod preset;
mod report;
mod series;
mod summary;
mod table;

use std::collections::BTreeMap;

pub use crate::columns::{Column, parquet};
pub use evaluation::{Evaluation, number_stimuli};
pub use metric::{
    Compute, Correlations, METRICS, Metric, Need, Reason, explainable_variance, find, in_order,
    mean_ignoring_nan, oracle_jackknife, single_trial_correlation,
};
pub use null::Null;
pub use preset::Preset;
pub use report::{ClassScores, Part, ScoreReport};
pub use series::{Number, Series};
pub use summary::Summary;
pub use table::Table;

/// Conventions that papers differ in, and the bootstrap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Whose rules are followed.
    pub preset: Preset,
    /// Least explainable variance of a neuron that counts for `feve`.
    pub feve_threshold: f64,
    /// Resamples of the neurons for the intervals; 0 gives none.
    pub resamples: u64,
    /// Seed of the resampling and of the null controls.
    pub seed: u64,
}

/// Every metric an evaluation allows.
#[derive(Debug, Clone, Default)]
pub struct Scored {
    /// Population summary by metric id.
    pub summaries: BTreeMap<String, Summary>,
    /// Metrics that could not be computed, and why.
    pub omitted: BTreeMap<String, String>,
    /// One value per neuron and per-neuron metric, by metric id in the order of [`METRICS`]; NaN where
    /// undefined.
    pub per_neuron: Vec<(&'static str, Vec<f64>)>,
    /// The pair of every neuron that a population metric is made of, by its id.
    pub pairs: Vec<(&'static str, Vec<[f64; 2]>)>,
    /// Why each neuron without a value has none, as `per_neuron`.
    pub reasons: Vec<(&'static str, Vec<Option<&'static str>>)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { preset: Preset::LeaveOut, feve_threshold: 0.15, resamples: 1000, seed: 0 }
    }
}

/// Computes every metric that `evaluation` allows.
pub fn score(evaluation: &Evaluation, settings: &Settings) -> Scored {
    let mut scored = Scored::default();
    let held = evaluation.held();
    let asked = |metric: &&Metric| metric.presets.is_empty() || metric.presets.contains(&settings.preset);
    for metric in METRICS.iter().filter(asked) {
        if let Some(need) = metric.missing(evaluation) {
            scored.omitted.insert(metric.id.into(), need.absence(evaluation).into());
            continue;
        }
        scored.add(metric, metric.id, evaluation, settings);
        if let (Some(id), Some(held)) = (metric.held, &held) {
            scored.add(metric, id, held, settings);
        }
    }
    scored
}

impl Scored {
    /// Computes `metric` and keeps it as `id`.
    fn add(
        &mut self,
        metric: &'static Metric,
        id: &'static str,
        evaluation: &Evaluation,
        settings: &Settings,
    ) {
        let (mut summary, reasons) = match metric.compute {
            Compute::PerNeuron(compute) => {
                let values = compute(evaluation, settings);
                let reasons = metric.reasons(evaluation, &values, settings);
                let summary = Summary::of_neurons(metric, &values, settings);
                self.per_neuron.push((id, values));
                (summary, reasons)
            }
            Compute::Population { pairs, combine } => {
                let pairs = pairs(evaluation);
                let values: Vec<f64> = pairs.iter().map(|[a, b]| a + b).collect();
                let reasons = metric.reasons(evaluation, &values, settings);
                let summary = Summary::of_population(metric, &pairs, combine, settings);
                self.pairs.push((id, pairs));
                (summary, reasons)
            }
        };
        summary.count_reasons(&reasons);
        if Some(id) == metric.held {
            summary.definition = format!("`{}` of predictions with {HELD}", metric.id);
        }
        self.reasons.push((id, reasons));
        self.summaries.insert(id.into(), summary);
    }
}

/// What the `_held` scores hold.
const HELD: &str = "behaviour and pupil centre held at their means over the training trials";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_why_a_metric_is_missing() {
        let evaluation = Evaluation::new(1, &[1., 2., 3., 5.], &[0, 0, 1, 1]).unwrap();
        let scored = score(&evaluation, &Settings::default());
        assert_eq!(scored.omitted["mse"], "there are no predictions");
        let ids: Vec<&str> = scored.per_neuron.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, ["oracle_jackknife", "oracle_conservative", "explainable_variance", "snr"]);
    }
}
