//! Poisson negative log-likelihood without the terms that do not depend on the model.

use super::reason::Reason;
use super::{Compute, Metric, Need};
use crate::score::Evaluation;
use crate::score::moments::Moments;

pub(super) const METRIC: Metric = Metric {
    id: "poisson_loss",
    name: "Poisson loss",
    definition: "per neuron: mean over trials of p − y·ln(p + 1e-8), p the prediction and y the response",
    source: "neuralpredictors, Poisson loss with its default epsilon",
    needs: &[Need::Predictions],
    undefined: &[Reason { words: "a prediction is negative", applies: |_, _| true }],
    held: None,
    above_one: None,
    zero_in_sensorium: false,
    lower_is_better: true,
    presets: &[],
    compute: Compute::PerNeuron(|evaluation, _| poisson_loss(evaluation)),
};

/// Keeps the logarithm of a prediction of zero finite.
const EPSILON: f64 = 1e-8;

/// Poisson loss per neuron, mean over trials; NaN where a prediction is negative.
pub fn poisson_loss(evaluation: &Evaluation) -> Vec<f64> {
    evaluation.per_predicted_neuron(|neuron| {
        let loss = |(y, p): (f64, f64)| if p < 0.0 { f64::NAN } else { p - y * (p + EPSILON).ln() };
        neuron.pairs().map(loss).collect::<Moments>().mean()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_rate_has_no_likelihood() {
        let evaluation = Evaluation::new(2, &[2., 2.], &[0]).unwrap();
        let loss = poisson_loss(&evaluation.with_predictions(&[1., -1.]).unwrap());
        assert!((loss[0] - 1.0).abs() < 1e-7);
        assert!(loss[1].is_nan());
    }
}
