//! Scores of responses smoothed over two seconds, as freely moving mice are scored by (`papers/xu2023.md#scores`).

use super::reason::{CONSTANT_PREDICTION, CONSTANT_RESPONSE};
use super::{Compute, Metric, Need};
use crate::score::evaluation::NeuronTrials;
use crate::score::moments::{Moments, PairMoments};
use crate::score::{Evaluation, Preset};

pub(super) const CORRELATION: Metric = Metric {
    id: "smoothed_correlation",
    name: "correlation, smoothed over 2 s",
    definition: "per neuron: Pearson correlation over all samples, of prediction and response after a centred box over 2 s that runs \
                 on from trial to trial and takes what lies before the first and behind the last for 0",
    source: "Xu et al. 2023, Tables 1 to 3",
    needs: &[Need::Predictions, Need::Time],
    undefined: &[CONSTANT_RESPONSE, CONSTANT_PREDICTION],
    held: None,
    above_one: None,
    zero_in_sensorium: false,
    lower_is_better: false,
    presets: &[Preset::Xu2023],
    compute: Compute::PerNeuron(|evaluation, _| {
        evaluation.per_predicted_neuron(|neuron| correlation(neuron, joined))
    }),
};

pub(super) const CORRELATION_BY_TRIAL: Metric = Metric {
    id: "smoothed_correlation_by_trial",
    name: "correlation, smoothed over 2 s of each trial",
    definition: "per neuron: Pearson correlation over all samples, of prediction and response after a centred mean over 2 s, or over \
                 as much of them as the trial has",
    source: "ours, beside `smoothed_correlation`",
    presets: &[Preset::Xu2023],
    compute: Compute::PerNeuron(|evaluation, _| {
        evaluation.per_predicted_neuron(|neuron| correlation(neuron, by_trial))
    }),
    ..CORRELATION
};

pub(super) const MSE: Metric = Metric {
    id: "smoothed_mse",
    name: "mean squared error, smoothed over 2 s",
    definition: "per neuron: mean over samples of (prediction − response)², both smoothed as in `smoothed_correlation`",
    undefined: &[],
    lower_is_better: true,
    compute: Compute::PerNeuron(|evaluation, _| evaluation.per_predicted_neuron(squared_error)),
    ..CORRELATION
};

/// How a series of a neuron is smoothed.
type Smoothed = fn(&NeuronTrials<'_>, &[f64]) -> Vec<f64>;

fn correlation(neuron: &NeuronTrials<'_>, smoothed: Smoothed) -> f64 {
    let [responses, predictions] =
        [&neuron.responses, &neuron.predictions].map(|series| smoothed(neuron, series));
    responses.into_iter().zip(predictions).collect::<PairMoments>().correlation()
}

fn squared_error(neuron: &NeuronTrials<'_>) -> f64 {
    let [responses, predictions] =
        [&neuron.responses, &neuron.predictions].map(|series| joined(neuron, series));
    responses.iter().zip(predictions).map(|(y, p)| (p - y).powi(2)).collect::<Moments>().mean()
}

/// All trials as one series, 0 beyond its ends.
fn joined(neuron: &NeuronTrials<'_>, values: &[f64]) -> Vec<f64> {
    let width = neuron.time.map_or(1, |time| time.width);
    sums(values, width).into_iter().map(|(sum, _)| sum / width as f64).collect()
}

/// Each trial for itself, over what there is.
fn by_trial(neuron: &NeuronTrials<'_>, values: &[f64]) -> Vec<f64> {
    let Some(time) = neuron.time else { return values.to_vec() };
    let mut rest = values;
    let mut of_trial = |&samples: &usize| {
        let (trial, behind) = rest.split_at(samples.min(rest.len()));
        rest = behind;
        sums(trial, time.width).into_iter().map(|(sum, count)| sum / count as f64)
    };
    time.trials.iter().flat_map(&mut of_trial).collect()
}

/// Sum and number of the values at each place and around it: of an even width one more before than behind.
fn sums(values: &[f64], width: usize) -> Vec<(f64, usize)> {
    let around = |at: usize| {
        let range = at.saturating_sub(width / 2)..(at + width.div_ceil(2)).min(values.len());
        (values[range.clone()].iter().sum(), range.len())
    };
    (0..values.len()).map(around).collect()
}

impl Evaluation {
    /// Whether samples follow each other in time.
    pub(super) fn has_time(&self) -> bool {
        self.time().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::{Settings, score};

    fn of(responses: &[f64], predictions: &[f64], trials: &[usize], width: usize) -> [f64; 3] {
        let stimulus: Vec<usize> = (0..responses.len()).collect();
        let evaluation =
            Evaluation::new(1, responses, &stimulus).unwrap().with_predictions(predictions).unwrap();
        let settings = Settings { preset: Preset::Xu2023, ..Settings::default() };
        let scored = score(&evaluation.in_time(trials, width), &settings);
        ["smoothed_correlation", "smoothed_correlation_by_trial", "smoothed_mse"]
            .map(|id| scored.summaries[id].mean.unwrap())
    }

    /// Against NumPy: `convolve(x, ones(3) / 3, "same")`, then `corrcoef`.
    #[test]
    fn the_box_runs_on_over_trials_and_is_cut_at_their_ends_in_the_other() {
        let (y, p) = ([0.0, 3.0, 1.0, 2.0, 5.0, 0.0], [1.0, 2.0, 1.0, 1.0, 4.0, 1.0]);
        let [joined, by_trial, mse] = of(&y, &p, &[3, 3], 3);
        let pearson = |a: &[f64], b: &[f64]| {
            a.iter().copied().zip(b.iter().copied()).collect::<PairMoments>().correlation()
        };
        let third = |sums: [f64; 6]| sums.map(|sum| sum / 3.0);
        let (a, b) = (third([3.0, 4.0, 6.0, 8.0, 7.0, 5.0]), third([3.0, 4.0, 4.0, 6.0, 6.0, 5.0]));
        assert!((joined - pearson(&a, &b)).abs() < 1e-12, "{joined}");
        let squares: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
        assert!((mse - squares / 6.0).abs() < 1e-12);
        let (a, b) = ([1.5, 4.0 / 3.0, 2.0, 3.5, 7.0 / 3.0, 2.5], [1.5, 4.0 / 3.0, 1.5, 2.5, 2.0, 2.5]);
        assert!((by_trial - pearson(&a, &b)).abs() < 1e-12, "{by_trial}");
    }

    #[test]
    fn a_wider_box_hides_noise() {
        let y: Vec<f64> = (0..400).map(|t| f64::from(t / 50 % 2) + f64::from(t * 7919 % 13) / 4.0).collect();
        let p: Vec<f64> = (0..400).map(|t| f64::from(t / 50 % 2)).collect();
        let [narrow, wide] = [1, 21].map(|width| of(&y, &p, &[400], width)[0]);
        assert!(wide > narrow + 0.2, "{narrow} {wide}");
    }

    #[test]
    fn other_presets_do_not_have_them_and_images_cannot() {
        let evaluation = Evaluation::new(1, &[1.0, 2.0], &[0, 1]).unwrap();
        let evaluation = evaluation.with_predictions(&[1.0, 2.0]).unwrap();
        let scored = score(&evaluation.clone().in_time(&[2], 1), &Settings::default());
        assert!(
            !scored.summaries.contains_key(CORRELATION.id) && !scored.omitted.contains_key(CORRELATION.id)
        );
        let settings = Settings { preset: Preset::Xu2023, ..Settings::default() };
        assert!(score(&evaluation, &settings).omitted[CORRELATION.id].contains("do not follow each other"));
    }
}
