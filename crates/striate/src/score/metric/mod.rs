//! Every number striate reports about a twin or a recording: one file each, one line in [`METRICS`].

mod cc_norm;
mod correlation_to_average;
mod correlation_to_truth;
mod explainable_variance;
mod fev;
mod feve;
mod fraction_oracle;
mod mse;
mod oracle_conservative;
mod oracle_jackknife;
mod poisson_loss;
mod reason;
mod single_trial_correlation;
mod smoothed;
mod snr;

pub use cc_norm::cc_norm;
pub use correlation_to_average::correlation_to_average;
pub use correlation_to_truth::correlation_to_truth;
pub use explainable_variance::explainable_variance;
pub use fev::fev;
pub use feve::feve;
pub use fraction_oracle::slope_through_zero;
pub use mse::mse;
pub use oracle_conservative::oracle_conservative;
pub use oracle_jackknife::oracle_jackknife;
pub use poisson_loss::poisson_loss;
pub use reason::Reason;
pub use single_trial_correlation::{Correlations, mean_ignoring_nan, single_trial_correlation};
pub use snr::snr;

use super::{Evaluation, Preset, Settings};
use crate::error::{Error, Result, nearest};

/// All metrics, in the order in which they are reported.
pub static METRICS: [Metric; 16] = [
    single_trial_correlation::METRIC,
    correlation_to_average::METRIC,
    oracle_jackknife::METRIC,
    oracle_conservative::METRIC,
    fraction_oracle::METRIC,
    fev::METRIC,
    correlation_to_truth::METRIC,
    explainable_variance::METRIC,
    snr::METRIC,
    feve::METRIC,
    cc_norm::METRIC,
    poisson_loss::METRIC,
    mse::METRIC,
    smoothed::CORRELATION,
    smoothed::CORRELATION_BY_TRIAL,
    smoothed::MSE,
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
    /// Why a neuron may have no value (NaN); the first that applies is told, and the last where none does.
    pub undefined: &'static [Reason],
    /// Id of the same number for predictions with behaviour and pupil held at their means, where it is read against a
    /// ceiling that comes from repeats. Repeats count as noise what behaviour explains.
    pub held: Option<&'static str>,
    /// How a value above 1, the ceiling, comes about in a model without behaviour and pupil.
    pub above_one: Option<&'static str>,
    /// Whether the presets of the Sensorium competitions count a neuron without a value as 0.
    pub zero_in_sensorium: bool,
    /// Whether a better model has a lower value.
    pub lower_is_better: bool,
    /// Presets whose number it is; empty for a number of all.
    pub presets: &'static [Preset],
    /// How it is computed.
    pub compute: Compute,
}

/// Something a metric cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A model's predictions.
    Predictions,
    /// At least two stimuli that were shown at least twice: what repeats share shows only between stimuli.
    Repeats,
    /// Noise-free responses, known only in simulated recordings.
    Truth,
    /// Samples that follow each other in time, and over how many to smooth.
    Time,
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

    /// When a neuron is left out, in words; empty where none ever is.
    pub fn left_out_when(&self) -> String {
        self.undefined.iter().map(|reason| reason.words).collect::<Vec<_>>().join(", or ")
    }

    /// Why each neuron without a value has none, for one `value` per neuron.
    pub fn reasons(
        &self,
        evaluation: &Evaluation,
        values: &[f64],
        settings: &Settings,
    ) -> Vec<Option<&'static str>> {
        let reason = |neuron: usize| {
            let trials = evaluation.neuron(neuron);
            let first = self.undefined.iter().find(|reason| (reason.applies)(&trials, settings));
            first.or(self.undefined.last()).map(|reason| reason.words)
        };
        values.iter().enumerate().map(|(n, value)| value.is_nan().then(|| reason(n)).flatten()).collect()
    }
}

impl Need {
    fn met(self, evaluation: &Evaluation) -> bool {
        match self {
            Self::Predictions => evaluation.has_predictions(),
            Self::Repeats => evaluation.repeated_stimuli() > 1,
            Self::Truth => evaluation.has_truth(),
            Self::Time => evaluation.has_time(),
        }
    }

    /// Why a metric was not computed of `evaluation`.
    pub fn absence(self, evaluation: &Evaluation) -> &'static str {
        match self {
            Self::Predictions => "there are no predictions",
            Self::Repeats if evaluation.repeated_stimuli() == 1 => {
                "only one stimulus was shown twice, and what repeats share shows only between stimuli"
            }
            Self::Repeats => "no stimulus was shown twice",
            Self::Time => "samples do not follow each other in time",
            Self::Truth => "noise-free responses are known only in simulated recordings",
        }
    }
}

/// Ids of all scores in the order in which they are shown: one that is computed with behaviour and pupil held at their
/// means comes before the one that is not.
pub fn in_order() -> impl Iterator<Item = &'static str> {
    METRICS.iter().flat_map(|metric| metric.held.into_iter().chain([metric.id]))
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
            for text in [metric.name, metric.definition, metric.source] {
                assert!(!text.is_empty(), "{}", metric.id);
            }
            assert!(metric.held.is_none_or(|held| held == format!("{}_held", metric.id)));
        }
    }

    #[test]
    fn offers_the_nearest_id() {
        assert_eq!(find("feve").unwrap().id, "feve");
        assert_eq!(find("fevee").unwrap_err().advice(), Some("did you mean `feve`?"));
    }
}
