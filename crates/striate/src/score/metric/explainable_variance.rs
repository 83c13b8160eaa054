//! The part of a neuron's variance that repeats share.

use super::reason::CONSTANT_IN_REPEATS;
use super::{Compute, Metric, Need};
use crate::score::Evaluation;
use crate::score::evaluation::NeuronTrials;
use crate::score::moments::Moments;

pub(super) const METRIC: Metric = Metric {
    id: "explainable_variance",
    name: "explainable variance",
    definition: "per neuron: (V_tot − V_noise) / V_tot; V_tot is the variance over all trials, V_noise the mean \
                 over stimuli of the variance over repeats (both ddof 1), over stimuli shown at least twice",
    source: "neuralpredictors and the Sensorium 2022 starter kit",
    needs: &[Need::Repeats],
    undefined: &[CONSTANT_IN_REPEATS],
    held: None,
    above_one: None,
    zero_in_sensorium: false,
    lower_is_better: false,
    presets: &[],
    compute: Compute::PerNeuron(|evaluation, _| explainable_variance(evaluation)),
};

/// Explainable fraction of the variance per neuron; needs responses only.
pub fn explainable_variance(evaluation: &Evaluation) -> Vec<f64> {
    evaluation.per_neuron(|neuron| Variances::of(neuron).explainable())
}

/// Variances over the trials of repeated stimuli.
pub(super) struct Variances {
    pub total: f64,
    pub noise: f64,
}

impl Variances {
    pub fn of(neuron: &NeuronTrials<'_>) -> Self {
        let total: Moments = neuron.repeated().flat_map(|trials| neuron.recorded(trials)).collect();
        let within = |trials| neuron.recorded(trials).collect::<Moments>().variance(1.0);
        let noise: Moments = neuron.repeated().map(within).collect();
        Self { total: total.variance(1.0), noise: noise.mean() }
    }

    pub fn explainable(&self) -> f64 {
        (self.total - self.noise) / self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfect_repeats_are_fully_explainable_and_constants_undefined() {
        let evaluation = Evaluation::new(2, &[1., 3., 1., 3., 4., 3., 4., 3.], &[0, 0, 1, 1]).unwrap();
        let explainable = explainable_variance(&evaluation);
        assert_eq!(explainable[0], 1.0);
        assert!(explainable[1].is_nan());
    }
}
