//! Every number striate reports about a twin or a recording: one file each, one line in [`METRICS`].

mod cc_norm;
mod correlation_to_average;
mod explainable_variance;
mod fev;
mod feve;
mod fraction_oracle;
mod mse;
mod oracle_conservative;
mod oracle_jackknife;
mod poisson_loss;
mod single_trial_correlation;
mod snr;

pub use cc_norm::cc_norm;
pub use correlation_to_average::correlation_to_average;
pub use explainable_variance::explainable_variance;
pub use fev::fev;
pub use feve::feve;
pub use fraction_oracle::slope_through_zero;
pub use mse::mse;
pub use oracle_conservative::oracle_conservative;
pub use oracle_jackknife::oracle_jackknife;
pub use poisson_loss::poisson_loss;
pub use single_trial_correlation::{mean_ignoring_nan, single_trial_correlation};
pub use snr::snr;

use super::{Evaluation, Settings};
use crate::error::{Error, Result, nearest};

/// All metrics, in the order in which they are reported.
pub static METRICS: [Metric; 12] = [
    single_trial_correlation::METRIC,
    correlation_to_average::METRIC,
    oracle_jackknife::METRIC,
    oracle_conservative::METRIC,
    fraction_oracle::METRIC,
    fev::METRIC,
    explainable_variance::METRIC,
    snr::METRIC,
    feve::METRIC,
    cc_norm::METRIC,
    poisson_loss::METRIC,
    mse::METRIC,
];

/// One defined number.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Key in files and on the command line.
    pub id: &'static str,
    /// Name for people.
    pub name: &'static str,
    /// Formula in words, with axis order.
    pub definition: &'static str,
    /// Paper or code that defines it.
    pub source: &'static str,
    /// What the evaluation must hold.
    pub needs: &'static [Need],
    /// When a neuron has no value (NaN), in words that follow "left out because".
    pub undefined: &'static str,
    /// Whether the `sensorium2022` preset counts a neuron without a value as 0.
    pub zero_in_sensorium2022: bool,
    /// Whether a better model has a lower value.
    pub lower_is_better: bool,
    /// How it is computed.
    pub compute: Compute,
}

/// Something a metric cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A model's predictions.
    Predictions,
    /// Stimuli shown at least twice.
    Repeats,
    /// Noise-free responses, known only in simulated recordings.
    Truth,
}

/// Per neuron, or one number for the population.
#[derive(Debug, Clone, Copy)]
pub enum Compute {
    /// One value per neuron, NaN where undefined.
    PerNeuron(fn(&Evaluation, &Settings) -> Vec<f64>),
    /// One value from a pair of numbers per neuron; a pair with a NaN is left out.
    Population {
        /// The pair of every neuron.
        pairs: fn(&Evaluation) -> Vec<[f64; 2]>,
        /// The number made of them, NaN when undefined.
        combine: fn(&[[f64; 2]]) -> f64,
    },
}

impl Metric {
    /// What `evaluation` lacks for this metric.
    pub fn missing(&self, evaluation: &Evaluation) -> Option<Need> {
        self.needs.iter().copied().find(|need| !need.met(evaluation))
    }
}

impl Need {
    fn met(self, evaluation: &Evaluation) -> bool {
        match self {
            Self::Predictions => evaluation.has_predictions(),
            Self::Repeats => evaluation.has_repeats(),
            Self::Truth => evaluation.has_truth(),
        }
    }

    /// Why a metric was not computed.
    pub fn absence(self) -> &'static str {
        match self {
            Self::Predictions => "there are no predictions",
            Self::Repeats => "no stimulus was shown twice",
            Self::Truth => "noise-free responses are known only in simulated recordings",
        }
    }
}

/// The metric called `id`.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) when there is none, with the nearest id as hint.
pub fn find(id: &str) -> Result<&'static Metric> {
    METRICS.iter().find(|metric| metric.id == id).ok_or_else(|| {
        let ids = METRICS.map(|metric| metric.id);
        let hint = nearest(id, ids).map_or_else(|| format!("there are: {}", ids.join(", ")), did_you_mean);
        Error::config(format!("no metric is called `{id}`")).hint(hint)
    })
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_documented() {
        for (at, metric) in METRICS.iter().enumerate() {
            assert!(METRICS[..at].iter().all(|other| other.id != metric.id), "{}", metric.id);
            for text in [metric.name, metric.definition, metric.source, metric.undefined] {
                assert!(!text.is_empty(), "{}", metric.id);
            }
        }
    }

    #[test]
    fn offers_the_nearest_id() {
        assert_eq!(find("feve").unwrap().id, "feve");
        assert_eq!(find("fevee").unwrap_err().advice(), Some("did you mean `feve`?"));
    }
}
