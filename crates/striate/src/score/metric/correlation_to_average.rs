//! Correlation of prediction and response after averaging over repeats.

use super::reason::{CONSTANT_AVERAGE_PREDICTION, CONSTANT_AVERAGE_RESPONSE};
use super::{Compute, Metric, Need};
use crate::score::Evaluation;
use crate::score::moments::{Moments, PairMoments};

pub(super) const METRIC: Metric = Metric {
    id: "correlation_to_average",
    name: "correlation to average",
    definition: "per neuron: mean of responses and of predictions over the repeats of each stimulus, then \
                 Pearson correlation over stimuli (stimuli shown once count too)",
    source: "Sensorium starter kits; the presets of the competitions count undefined neurons as 0",
    needs: &[Need::Predictions, Need::Repeats],
    undefined: &[CONSTANT_AVERAGE_RESPONSE, CONSTANT_AVERAGE_PREDICTION],
    held: None,
    above_one: None,
    zero_in_sensorium: true,
    lower_is_better: false,
    presets: &[],
    compute: Compute::PerNeuron(|evaluation, _| correlation_to_average(evaluation)),
};

/// Pearson correlation over stimuli of repeat averages, per neuron; NaN when either is constant.
pub fn correlation_to_average(evaluation: &Evaluation) -> Vec<f64> {
    evaluation.per_predicted_neuron(|neuron| {
        let average = |trials| {
            let recorded: Moments = neuron.recorded(trials).collect();
            let predicted: Moments = neuron.predicted(trials).collect();
            (recorded.mean(), predicted.mean())
        };
        neuron.stimuli.iter().map(|trials| average(trials)).collect::<PairMoments>().correlation()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_before_it_correlates() {
        let responses = [0., 2., 3., 1., 5.];
        let evaluation = Evaluation::new(1, &responses, &[0, 0, 1, 1, 2]).unwrap();
        let evaluation = evaluation.with_predictions(&[1., 1., 2., 2., 5.]).unwrap();
        assert_eq!(correlation_to_average(&evaluation), [1.0]);
    }
}
