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
pub mod metric;
mod moments;
mod null;
mod report;
mod summary;
mod table;

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::error::{Error, Result, unknown};

pub use evaluation::{Evaluation, number_stimuli};
pub use metric::{
    Compute, METRICS, Metric, Need, explainable_variance, find, mean_ignoring_nan, oracle_jackknife,
    single_trial_correlation,
};
pub use null::Null;
pub use report::ScoreReport;
pub use summary::Summary;
pub use table::Table;

/// Conventions that papers differ in, and the bootstrap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Whose NaN rule is followed.
    pub preset: Preset,
    /// Least explainable variance of a neuron that counts for `feve`.
    pub feve_threshold: f64,
    /// Resamples of the neurons for the intervals; 0 gives none.
    pub resamples: u64,
    /// Seed of the resampling and of the null controls.
    pub seed: u64,
}

/// What happens to neurons without a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Preset {
    /// They are left out and counted.
    #[default]
    LeaveOut,
    /// As Sensorium 2022 scored its competition: their correlations count as 0.
    Sensorium2022,
}

/// Every metric an evaluation allows.
#[derive(Debug, Clone)]
pub struct Scored {
    /// Population summary by metric id.
    pub summaries: BTreeMap<String, Summary>,
    /// Metrics that could not be computed, and why.
    pub omitted: BTreeMap<String, String>,
    /// One value per neuron and per-neuron metric, by metric id in the order of [`METRICS`]; NaN where
    /// undefined.
    pub per_neuron: Vec<(&'static str, Vec<f64>)>,
}

impl Preset {
    /// All of them, the default first.
    pub const ALL: [Self; 2] = [Self::LeaveOut, Self::Sensorium2022];

    /// Its name on the command line.
    pub fn id(self) -> &'static str {
        match self {
            Self::LeaveOut => "leave-out",
            Self::Sensorium2022 => "sensorium2022",
        }
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = || unknown("preset of scores", name, &Self::ALL.map(Self::id));
        Self::ALL.into_iter().find(|preset| preset.id() == name).ok_or_else(known)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { preset: Preset::LeaveOut, feve_threshold: 0.15, resamples: 1000, seed: 0 }
    }
}

/// Computes every metric that `evaluation` allows.
pub fn score(evaluation: &Evaluation, settings: &Settings) -> Scored {
    let mut scored = Scored { summaries: BTreeMap::new(), omitted: BTreeMap::new(), per_neuron: Vec::new() };
    for metric in &METRICS {
        match metric.missing(evaluation) {
            Some(need) => drop(scored.omitted.insert(metric.id.into(), need.absence().into())),
            None => scored.add(metric, evaluation, settings),
        }
    }
    scored
}

impl Scored {
    fn add(&mut self, metric: &'static Metric, evaluation: &Evaluation, settings: &Settings) {
        let summary = match metric.compute {
            Compute::PerNeuron(compute) => {
                let values = compute(evaluation, settings);
                let summary = Summary::of_neurons(metric, &values, settings);
                self.per_neuron.push((metric.id, values));
                summary
            }
            Compute::Population { pairs, combine } => {
                Summary::of_population(metric, &pairs(evaluation), combine, settings)
            }
        };
        self.summaries.insert(metric.id.into(), summary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_found_by_name() {
        for preset in Preset::ALL {
            assert_eq!(preset.id().parse::<Preset>().unwrap(), preset);
        }
        let advice = |name: &str| name.parse::<Preset>().unwrap_err().advice().unwrap().to_owned();
        assert_eq!(advice("sensorium2023"), "did you mean `sensorium2022`?");
        assert_eq!(advice("zero"), "there are: leave-out, sensorium2022");
    }

    #[test]
    fn says_why_a_metric_is_missing() {
        let evaluation = Evaluation::new(1, &[1., 2., 3., 5.], &[0, 0, 1, 1]).unwrap();
        let scored = score(&evaluation, &Settings::default());
        assert_eq!(scored.omitted["mse"], "there are no predictions");
        let ids: Vec<&str> = scored.per_neuron.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, ["oracle_jackknife", "oracle_conservative", "explainable_variance", "snr"]);
    }
}
