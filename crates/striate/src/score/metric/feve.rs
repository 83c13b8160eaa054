//! Fraction of the explainable variance that a model explains.

use super::explainable_variance::Variances;
use super::reason::{CONSTANT_IN_REPEATS, Reason};
use super::{Compute, Metric, Need};
use crate::score::Evaluation;
use crate::score::moments::Moments;

pub(super) const METRIC: Metric = Metric {
    id: "feve",
    name: "fraction of explainable variance explained",
    definition: "per neuron: 1 − (MSE − V_noise) / (V_tot − V_noise); MSE, V_tot and V_noise (ddof 1) over single \
                 trials of stimuli shown at least twice; only neurons whose explainable variance reaches the threshold",
    source: "neuralpredictors and the Sensorium 2022 starter kit",
    needs: &[Need::Predictions, Need::Repeats],
    undefined: &[
        CONSTANT_IN_REPEATS,
        Reason { words: "its explainable variance is below the threshold", applies: |_, _| true },
    ],
    held: Some("feve_held"),
    above_one: Some(
        "the noise is estimated from few repeats, or the predictions carry what differed between them",
    ),
    zero_in_sensorium: false,
    lower_is_better: false,
    presets: &[],
    compute: Compute::PerNeuron(|evaluation, settings| feve(evaluation, settings.feve_threshold)),
};

/// Fraction of explainable variance explained per neuron; NaN where the explainable variance is
/// below `threshold`.
pub fn feve(evaluation: &Evaluation, threshold: f64) -> Vec<f64> {
    evaluation.per_predicted_neuron(|neuron| {
        let variances = Variances::of(neuron);
        let trials = neuron.repeated().flatten();
        let error = |&t: &usize| (neuron.predictions[t] - neuron.responses[t]).powi(2);
        let mse = trials.map(error).collect::<Moments>().mean();
        if variances.explainable() >= threshold {
            1.0 - (mse - variances.noise) / (variances.total - variances.noise)
        } else {
            f64::NAN
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_leaves_unreliable_neurons_out() {
        let responses = [1., 1., 1.5, 9., 4., 9., 4.5, 1.];
        let evaluation = Evaluation::new(2, &responses, &[0, 0, 1, 1]).unwrap();
        let evaluation = evaluation.with_predictions(&responses).unwrap();
        let feve = feve(&evaluation, 0.15);
        assert!(feve[0] > 1.0, "predicting the noise as well explains more than all");
        assert!(feve[1].is_nan());
    }
}
