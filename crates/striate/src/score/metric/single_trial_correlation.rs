//! Correlation of prediction and response over single trials.

use rayon::prelude::*;

use super::reason::{CONSTANT_PREDICTION, CONSTANT_RESPONSE};
use super::{Compute, Metric, Need};
use crate::score::Evaluation;
use crate::score::moments::PairMoments;

pub(super) const METRIC: Metric = Metric {
    id: "single_trial_correlation",
    name: "single-trial correlation",
    definition: "per neuron: Pearson correlation of prediction and response over the trials of the tier",
    source: "Sensorium starter kits; the presets of the competitions count undefined neurons as 0",
    needs: &[Need::Predictions],
    undefined: &[CONSTANT_RESPONSE, CONSTANT_PREDICTION],
    held: Some("single_trial_correlation_held"),
    above_one: None,
    zero_in_sensorium: true,
    lower_is_better: false,
    presets: &[],
    compute: Compute::PerNeuron(|evaluation, _| of_evaluation(evaluation)),
};

/// Pearson correlation over trials, per neuron; NaN when response or prediction is constant.
pub(super) fn of_evaluation(evaluation: &Evaluation) -> Vec<f64> {
    evaluation.per_predicted_neuron(|neuron| neuron.pairs().collect::<PairMoments>().correlation())
}

/// Pearson correlation over trials of two `[trial, neuron]` arrays in C order, per neuron.
///
/// One pass without a copy: cheap enough for every validation check of a fit. NaN where either
/// column is constant; all NaN when the arrays differ in length.
pub fn single_trial_correlation(predictions: &[f32], responses: &[f32], neurons: usize) -> Vec<f64> {
    if neurons == 0 || predictions.len() != responses.len() {
        return vec![f64::NAN; neurons];
    }
    let mut moments = vec![PairMoments::default(); neurons];
    moments.par_chunks_mut(BLOCK).enumerate().for_each(|(block, moments)| {
        let first = block * BLOCK;
        let rows = responses.chunks_exact(neurons).zip(predictions.chunks_exact(neurons));
        for (a, b) in rows {
            let columns = first..first + moments.len();
            let pairs = a[columns.clone()].iter().zip(&b[columns]);
            moments.iter_mut().zip(pairs).for_each(|(m, (&a, &b))| m.push(f64::from(a), f64::from(b)));
        }
    });
    moments.iter().map(PairMoments::correlation).collect()
}

/// Pearson correlations of many neurons, of pairs that come some at a time.
#[derive(Debug, Clone)]
pub struct Correlations(Vec<PairMoments>);

impl Correlations {
    /// Those of so many neurons, of no pairs yet.
    pub fn new(neurons: usize) -> Self {
        Self(vec![PairMoments::default(); neurons])
    }

    /// Takes in pairs (recorded, predicted) of one neuron.
    pub fn push(&mut self, neuron: usize, pairs: impl IntoIterator<Item = (f64, f64)>) {
        pairs.into_iter().for_each(|(recorded, predicted)| self.0[neuron].push(recorded, predicted));
    }

    /// One per neuron; NaN where either side is constant.
    pub fn values(&self) -> Vec<f64> {
        self.0.iter().map(PairMoments::correlation).collect()
    }
}

/// Neurons per task: their moments stay in the first-level cache.
const BLOCK: usize = 256;

/// Mean of the values that are defined; NaN when none is.
pub fn mean_ignoring_nan(values: &[f64]) -> f64 {
    let defined = values.iter().filter(|value| !value.is_nan());
    let (sum, n) = defined.fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
    sum / n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streaming_form_agrees_with_the_metric() {
        let neurons = 300;
        let value = |i: usize| ((i * 7919) % 1013) as f32;
        let responses: Vec<f32> = (0..neurons * 9).map(value).collect();
        let predictions: Vec<f32> = (0..neurons * 9).map(|i| value(i + 5)).collect();
        let stimulus: Vec<usize> = (0..9).collect();
        let evaluation =
            Evaluation::new(neurons, &responses, &stimulus).unwrap().with_predictions(&predictions).unwrap();
        assert_eq!(single_trial_correlation(&predictions, &responses, neurons), of_evaluation(&evaluation));
    }

    #[test]
    fn constant_columns_are_undefined_and_left_out_of_the_mean() {
        let correlation = single_trial_correlation(&[1., 0.1, 2., 0.1], &[1., 5., 2., 6.], 2);
        assert!(correlation[1].is_nan());
        assert!((mean_ignoring_nan(&correlation) - 1.0).abs() < 1e-15);
        assert!(mean_ignoring_nan(&[f64::NAN]).is_nan());
    }
}
