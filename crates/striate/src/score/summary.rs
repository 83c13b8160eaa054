//! One metric over the population: mean, spread, interval, and who was left out.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Metric, Settings};

/// A metric over the neurons of one tier; fields are `None` when no neuron has a value. What a file of an early version does
/// not say is empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Mean over neurons; for a population metric, its value.
    pub mean: Option<f64>,
    /// Median over neurons; `None` for a population metric.
    pub median: Option<f64>,
    /// Standard deviation over neurons (ddof 1, in the preset `xu2023` 0); `None` for a population metric.
    pub sd: Option<f64>,
    /// Neurons that count.
    pub n: usize,
    /// Neurons left out.
    pub excluded: usize,
    /// Neurons without a value, by the reason why they have none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<String, usize>,
    /// Neurons without a value that the preset counts as 0; they are part of `n`.
    #[serde(skip_serializing_if = "is_zero")]
    pub counted_as_zero: usize,
    /// 95 % bootstrap interval of `mean` over neurons (percentiles).
    pub ci95: Option<[f64; 2]>,
    /// Least explainable variance of the neurons that count (`feve` only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Whether a better model has a lower value.
    pub lower_is_better: bool,
    /// Formula in words.
    pub definition: String,
    /// Paper or code that defines it.
    pub source: String,
}

impl Summary {
    /// Summary of one value per neuron; NaN is undefined.
    pub fn of_neurons(metric: &Metric, values: &[f64], settings: &Settings) -> Self {
        let zero = metric.zero_in_sensorium && settings.preset.is_of_sensorium();
        let undefined = values.iter().filter(|value| value.is_nan()).count();
        let kept: Vec<f64> = if zero {
            values.iter().map(|value| if value.is_nan() { 0.0 } else { *value }).collect()
        } else {
            values.iter().copied().filter(|value| !value.is_nan()).collect()
        };
        Self {
            mean: defined(mean(&kept)),
            median: median(&kept),
            sd: standard_deviation(&kept, settings.preset.ddof()),
            counted_as_zero: if zero { undefined } else { 0 },
            ci95: interval(&kept, mean, settings),
            ..Self::counts(metric, kept.len(), values.len() - kept.len(), settings)
        }
    }

    /// Summary of a metric made of a pair of numbers per neuron.
    pub fn of_population(
        metric: &Metric,
        pairs: &[[f64; 2]],
        combine: fn(&[[f64; 2]]) -> f64,
        settings: &Settings,
    ) -> Self {
        let has_value = |pair: &&[f64; 2]| pair.iter().all(|value| !value.is_nan());
        let kept: Vec<[f64; 2]> = pairs.iter().filter(has_value).copied().collect();
        Self {
            mean: defined(combine(&kept)),
            ci95: interval(&kept, combine, settings),
            ..Self::counts(metric, kept.len(), pairs.len() - kept.len(), settings)
        }
    }

    fn counts(metric: &Metric, n: usize, excluded: usize, settings: &Settings) -> Self {
        Self {
            n,
            excluded,
            threshold: (metric.id == "feve").then_some(settings.feve_threshold),
            lower_is_better: metric.lower_is_better,
            definition: metric.definition.into(),
            source: metric.source.into(),
            ..Self::default()
        }
    }
}

impl Summary {
    /// Counts why neurons have no value, from what is known of each.
    pub fn count_reasons(&mut self, of_neurons: &[Option<&str>]) {
        for reason in of_neurons.iter().flatten() {
            *self.reasons.entry((*reason).to_owned()).or_default() += 1;
        }
    }

    /// Why neurons are left out, in words: `its response is the same in every trial (3)`; the threshold with its value.
    pub fn left_out(&self) -> String {
        let with_value = |reason: &str| match self.threshold {
            Some(threshold) => reason.replace("the threshold", &format!("the threshold of {threshold}")),
            None => reason.to_owned(),
        };
        let reasons = self.reasons.iter().map(|(reason, count)| format!("{} ({count})", with_value(reason)));
        reasons.collect::<Vec<_>>().join(", ")
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn defined(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn standard_deviation(values: &[f64], ddof: usize) -> Option<f64> {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - ddof) as f64).sqrt())
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

/// Linear interpolation between order statistics.
fn quantile(sorted: &[f64], fraction: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = fraction * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(low + (high - low) * at.fract())
}

/// Percentile bootstrap over neurons. Every resample has its own random stream, so that the
/// result does not depend on the number of threads.
fn interval<T: Copy + Sync>(
    neurons: &[T],
    statistic: impl Fn(&[T]) -> f64 + Sync,
    settings: &Settings,
) -> Option<[f64; 2]> {
    if neurons.len() < 2 {
        return None;
    }
    let resampled = |stream| {
        let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
        rng.set_stream(stream);
        let draw = |_| neurons[rng.random_range(0..neurons.len())];
        statistic(&(0..neurons.len()).map(draw).collect::<Vec<T>>())
    };
    let mut values: Vec<f64> = (0..settings.resamples).into_par_iter().map(resampled).collect();
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    Some([quantile(&values, 0.025)?, quantile(&values, 0.975)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::{Preset, find};

    #[test]
    fn counts_who_is_left_out_and_says_why() {
        let metric = find("single_trial_correlation").unwrap();
        let summary = Summary::of_neurons(metric, &[0.5, f64::NAN, 0.1], &Settings::default());
        assert_eq!((summary.mean, summary.n, summary.excluded), (Some(0.3), 2, 1));
        let mut summary = summary;
        let reasons = metric.undefined.iter().map(|reason| Some(reason.words)).chain([None]);
        summary.count_reasons(&reasons.collect::<Vec<_>>());
        assert_eq!(
            summary.left_out(),
            "its prediction is the same in every trial (1), its response is the same in every trial (1)"
        );
    }

    #[test]
    fn the_sensorium_preset_counts_them_as_zero_and_still_tells() {
        let settings = Settings { preset: Preset::Sensorium2022, ..Settings::default() };
        let metric = find("single_trial_correlation").unwrap();
        let summary = Summary::of_neurons(metric, &[0.5, f64::NAN, 0.1], &settings);
        assert!((summary.mean.unwrap() - 0.2).abs() < 1e-15);
        assert_eq!((summary.n, summary.excluded, summary.counted_as_zero), (3, 0, 1));
        let feve = Summary::of_neurons(find("feve").unwrap(), &[0.5, f64::NAN], &settings);
        assert_eq!((feve.n, feve.excluded, feve.threshold), (1, 1, Some(0.15)));
        let mut feve = feve;
        feve.count_reasons(&[None, Some("its explainable variance is below the threshold")]);
        assert_eq!(feve.left_out(), "its explainable variance is below the threshold of 0.15 (1)");
    }

    #[test]
    fn nobody_left_is_not_a_number_but_not_a_crash() {
        let metric = find("mse").unwrap();
        let summary = Summary::of_neurons(metric, &[f64::NAN], &Settings::default());
        assert_eq!((summary.mean, summary.median, summary.sd, summary.ci95), (None, None, None, None));
    }

    #[test]
    fn the_interval_has_the_width_theory_gives_and_is_repeatable() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let [low, high] = interval(&values, mean, &Settings::default()).unwrap();
        let expected = 2.0 * 1.96 * standard_deviation(&values, 1).unwrap() / 20.0;
        assert!((high - low - expected).abs() < 0.1 * expected, "{low} {high} {expected}");
        assert_eq!(interval(&values, mean, &Settings::default()), Some([low, high]));
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), Some(3.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
