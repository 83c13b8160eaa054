//! Correlation of prediction and noise-free response.

use super::reason::{CONSTANT_PREDICTION, Reason};
use super::{Compute, Metric, Need};
use crate::score::Evaluation;
use crate::score::moments::PairMoments;

pub(super) const METRIC: Metric = Metric {
    id: "correlation_to_truth",
    name: "correlation to the noise-free response",
    definition: "per neuron: Pearson correlation of prediction and y* over the trials of the tier, y* the noise-free \
                 response of a simulated neuron",
    source: "striate",
    needs: &[Need::Predictions, Need::Truth],
    undefined: &[
        CONSTANT_PREDICTION,
        Reason { words: "its noise-free response is the same in every trial", applies: |_, _| true },
    ],
    held: None,
    above_one: None,
    zero_in_sensorium: false,
    lower_is_better: false,
    presets: &[],
    compute: Compute::PerNeuron(|evaluation, _| correlation_to_truth(evaluation)),
};

/// Pearson correlation over trials, per neuron; NaN without truth, and where it or the prediction is constant.
pub fn correlation_to_truth(evaluation: &Evaluation) -> Vec<f64> {
    evaluation.per_predicted_neuron(|neuron| {
        let pairs = neuron.truth.iter().copied().zip(neuron.predictions.iter().copied());
        pairs.collect::<PairMoments>().correlation()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_for_the_truth_on_any_scale_and_none_for_a_constant() {
        let truth = [1., 5., 2., 5., 4., 5.];
        let evaluation = Evaluation::new(2, &[0.; 6], &[0, 1, 2]).unwrap().with_truth(&truth).unwrap();
        let scaled = truth.map(|y| 3. * y + 1.);
        let values = correlation_to_truth(&evaluation.with_predictions(&scaled).unwrap());
        assert!((values[0] - 1.0).abs() < 1e-12 && values[1].is_nan(), "{values:?}");
    }
}
