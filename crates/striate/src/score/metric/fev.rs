//! Fraction of variance explained of noise-free responses.

use super::reason::Reason;
use super::{Compute, Metric, Need};
use crate::score::Evaluation;
use crate::score::moments::Moments;

pub(super) const METRIC: Metric = Metric {
    id: "fev",
    name: "fraction of variance explained (noise-free targets)",
    definition: "per neuron: 1 − mean over trials of (prediction − y*)² / variance over trials of y* (ddof 0), \
                 y* the noise-free response of a simulated neuron",
    source: "Klindt et al. 2017, figures 3–5",
    needs: &[Need::Predictions, Need::Truth],
    undefined: &[Reason {
        words: "its noise-free response is the same in every trial",
        applies: |_, _| true,
    }],
    held: None,
    above_one: None,
    zero_in_sensorium: false,
    lower_is_better: false,
    presets: &[],
    compute: Compute::PerNeuron(|evaluation, _| fev(evaluation)),
};

/// Fraction of noise-free variance explained per neuron; NaN without truth or when it is constant.
pub fn fev(evaluation: &Evaluation) -> Vec<f64> {
    evaluation.per_predicted_neuron(|neuron| {
        let truth = || neuron.truth.iter().copied();
        let variance = truth().collect::<Moments>().variance(0.0);
        let squares = neuron.predictions.iter().zip(truth()).map(|(&p, y)| (p - y).powi(2));
        let error = squares.collect::<Moments>().mean();
        if variance > 0.0 { 1.0 - error / variance } else { f64::NAN }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_for_the_truth_and_zero_for_its_mean() {
        let truth = [1., 5., 2., 5., 3., 5.];
        let evaluation = Evaluation::new(2, &[0.; 6], &[0, 1, 2]).unwrap().with_truth(&truth).unwrap();
        let perfect = evaluation.clone().with_predictions(&truth).unwrap();
        assert_eq!(fev(&perfect)[0], 1.0);
        assert!(fev(&perfect)[1].is_nan());
        assert_eq!(fev(&evaluation.with_predictions(&[2.; 6]).unwrap())[0], 0.0);
    }
}
