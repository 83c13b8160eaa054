//! Correlation normalised by the best that any model could reach.

use super::reason::{CONSTANT_AVERAGE_PREDICTION, Reason};
use super::{Compute, Metric, Need};
use crate::score::Evaluation;
use crate::score::evaluation::NeuronTrials;
use crate::score::moments::{Moments, PairMoments};

pub(super) const METRIC: Metric = Metric {
    id: "cc_norm",
    name: "normalised correlation",
    definition: "per neuron, over stimuli shown at least twice: cov(mean response, mean prediction) / \
                 sqrt(var(mean prediction) · SP), all ddof 1; the signal power SP is the mean covariance between \
                 different repeats, which for R repeats of each is (var(Σ_r y_r) − Σ_r var(y_r)) / (R (R − 1)), and for unequal \
                 repeats pools pairs over the stimuli that have both",
    source: "Schoppe et al. 2016; least signal power as in ViV1T; unequal repeats are striate's own extension",
    needs: &[Need::Predictions, Need::Repeats],
    undefined: &[
        Reason {
            words: "its signal power is at most 1e-4",
            applies: |neuron, _| signal_power(neuron) <= LEAST_SIGNAL_POWER,
        },
        CONSTANT_AVERAGE_PREDICTION,
    ],
    held: Some("cc_norm_held"),
    above_one: Some("the signal power is an estimate, and too small a one where repeats are few"),
    zero_in_sensorium: false,
    lower_is_better: false,
    presets: &[],
    compute: Compute::PerNeuron(|evaluation, _| cc_norm(evaluation)),
};

/// Below this signal power the ratio is noise.
const LEAST_SIGNAL_POWER: f64 = 1e-4;

/// Normalised correlation per neuron; NaN where the signal power is too small.
pub fn cc_norm(evaluation: &Evaluation) -> Vec<f64> {
    evaluation.per_predicted_neuron(|neuron| {
        let power = signal_power(neuron);
        let average = |trials| {
            let recorded: Moments = neuron.recorded(trials).collect();
            let predicted: Moments = neuron.predicted(trials).collect();
            (recorded.mean(), predicted.mean())
        };
        let averages: PairMoments = neuron.repeated().map(average).collect();
        let normalised = averages.covariance() / (averages.second_variance() * power).sqrt();
        if power > LEAST_SIGNAL_POWER && normalised.is_finite() { normalised } else { f64::NAN }
    })
}

/// Mean covariance between different repeats.
///
/// With z the responses centred per repeat, the sum over pairs of repeats of their products is
/// (Σ z)² − Σ z² for each stimulus, so the cost is linear in the trials.
fn signal_power(neuron: &NeuronTrials<'_>) -> f64 {
    let columns = repeat_means(neuron);
    let products: f64 = neuron.repeated().map(|trials| products_between(neuron, trials, &columns)).sum();
    products / degrees_of_freedom(neuron)
}

/// Mean over stimuli of the first, second, … repeat.
fn repeat_means(neuron: &NeuronTrials<'_>) -> Vec<f64> {
    let most = neuron.repeated().map(<[usize]>::len).max().unwrap_or(0);
    let mean = |repeat: usize| {
        let shown = neuron.repeated().filter_map(|trials| trials.get(repeat));
        shown.map(|&trial| neuron.responses[trial]).collect::<Moments>().mean()
    };
    (0..most).map(mean).collect()
}

fn products_between(neuron: &NeuronTrials<'_>, trials: &[usize], means: &[f64]) -> f64 {
    let centred = trials.iter().zip(means).map(|(&trial, mean)| neuron.responses[trial] - mean);
    let (sum, squares) = centred.fold((0.0, 0.0), |(sum, squares), z| (sum + z, squares + z * z));
    sum * sum - squares
}

/// Over ordered pairs of repeats: stimuli that have both, less one.
fn degrees_of_freedom(neuron: &NeuronTrials<'_>) -> f64 {
    let most = neuron.repeated().map(<[usize]>::len).max().unwrap_or(0);
    let stimuli = |repeat: usize| neuron.repeated().filter(|trials| trials.len() > repeat).count();
    (1..most).map(|repeat| 2.0 * repeat as f64 * (stimuli(repeat) as f64 - 1.0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noiseless_repeats_leave_the_plain_correlation() {
        let responses = [1., 1., 3., 3., 2., 2.];
        let evaluation = Evaluation::new(1, &responses, &[0, 0, 1, 1, 2, 2]).unwrap();
        let evaluation = evaluation.with_predictions(&[0., 0., 4., 4., 5., 5.]).unwrap();
        let plain = super::super::single_trial_correlation::of_evaluation(&evaluation);
        assert!((cc_norm(&evaluation)[0] - plain[0]).abs() < 1e-12);
    }

    #[test]
    fn without_signal_it_is_undefined() {
        let evaluation = Evaluation::new(1, &[1., 2., 2., 1.], &[0, 0, 1, 1]).unwrap();
        let evaluation = evaluation.with_predictions(&[0., 0., 4., 4.]).unwrap();
        assert!(cc_norm(&evaluation)[0].is_nan());
    }
}
