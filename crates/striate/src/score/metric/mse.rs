//! Mean squared error.

use super::{Compute, Metric, Need};
use crate::score::Evaluation;
use crate::score::moments::Moments;

pub(super) const METRIC: Metric = Metric {
    id: "mse",
    name: "mean squared error",
    definition: "per neuron: mean over trials of (prediction − response)²",
    source: "Klindt et al. 2017, figures 3–5",
    needs: &[Need::Predictions],
    undefined: &[],
    held: None,
    above_one: None,
    zero_in_sensorium: false,
    lower_is_better: true,
    presets: &[],
    compute: Compute::PerNeuron(|evaluation, _| mse(evaluation)),
};

/// Mean squared error over trials, per neuron.
pub fn mse(evaluation: &Evaluation) -> Vec<f64> {
    evaluation.per_predicted_neuron(|neuron| {
        neuron.pairs().map(|(y, p)| (p - y).powi(2)).collect::<Moments>().mean()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_squares_over_trials() {
        let evaluation = Evaluation::new(1, &[1., 2.], &[0, 1]).unwrap();
        assert_eq!(mse(&evaluation.with_predictions(&[2., 4.]).unwrap()), [2.5]);
    }
}
