//! How the scores are spread over the neurons, and how they compare with the oracle.

use super::markup::{Tag, decimal, figure, key, note, tag, thousands};
use super::metric;
use super::plot::{Axis, Plot};
use super::results::{PerNeuron, Results};
use crate::score::Summary;

const SCORE: &str = "single_trial_correlation";
/// With behaviour and pupil held at their means, where a model sees them: the oracle does not see them either.
const HELD: &str = "single_trial_correlation_held";
const ORACLE: &str = "oracle_jackknife";
/// Values that an axis reaches out for; FEV of a neuron can be as low as −1000.
const SCALE: std::ops::RangeInclusive<f64> = -1.0..=2.0;

/// Histogram of the main score, and score against oracle.
pub fn section(run: &Results) -> Vec<Tag> {
    let Some(tier) = run.main_tier() else {
        return Vec::new();
    };
    let neurons = match &tier.per_neuron {
        Err(why) => return vec![note(why)],
        Ok(neurons) => neurons,
    };
    let null = run.main_scores().and_then(|scores| scores.null_of(SCORE));
    let spread = histogram(neurons, null).unwrap_or_else(|| note("No score per neuron was found."));
    let ceiling = against_oracle(neurons).unwrap_or_else(|| {
        note(format!("No comparison with the oracle: tier {} has no repeated stimuli, or was scored without `{ORACLE}`.", tier.name))
    });
    vec![tag("div").class("two").with(spread).with(ceiling)]
}

fn main_metric(neurons: &PerNeuron) -> Option<(&str, Vec<f64>)> {
    let ids = metric::order(neurons.metrics.keys());
    let id = ids.into_iter().find(|id| metric::shown(id).is_some_and(|metric| metric.is_fraction))?;
    let values: Vec<f64> = neurons.values(id)?.into_iter().filter(|v| v.is_finite()).collect();
    (!values.is_empty()).then_some((id, values))
}

fn histogram(neurons: &PerNeuron, null: Option<(&str, &Summary)>) -> Option<Tag> {
    let (id, mut values) = main_metric(neurons)?;
    values.sort_by(f64::total_cmp);
    let median = values[values.len() / 2];
    let null = null.filter(|_| id == SCORE).and_then(|(kind, null)| Some((kind, null.mean?)));
    let near = values.iter().copied().filter(|value| SCALE.contains(value));
    let x = Axis::around(&metric::name(id), near.chain([0.0]).chain(null.map(|null| null.1)));
    let (low, high) = (x.low(), x.high());
    let counts = counts(&values, low, high, bins(values.len()));
    let tallest = counts.iter().copied().max().unwrap_or(1) as f64;
    let mut plot = Plot::new(530.0, 330.0, x, Axis::around("neurons", [0.0, tallest]).counted());
    plot.bars("bars", low, high, &counts);
    plot.point_beyond(&values.iter().map(|value| (*value, 0.0)).collect::<Vec<_>>());
    plot.vertical("line best", median);
    null.into_iter().for_each(|(_, chance)| plot.vertical("line drop", chance));
    let chance = null.map(|(kind, chance)| {
        key("line drop", &format!("mean with {} {}", metric::control(kind), decimal(Some(chance), 2)))
    });
    let median = key("line best", &format!("median {}", decimal(Some(median), 2)));
    let legend = tag("p").class("legend").with(median).all(chance);
    let caption = format!(
        "Each neuron counts once (n = {}). A second hump near 0 is a group of neurons that the model does not predict at \
         all.{}",
        thousands(values.len() as f64),
        plot.beyond()
    );
    Some(figure([legend, plot.finish(&format!("Histogram of {} over neurons", metric::name(id)))], &caption))
}

/// About as many as make the shape of the distribution seen, not the chance of each bar.
fn bins(neurons: usize) -> usize {
    match neurons {
        0..40 => 10,
        40..200 => 20,
        _ => 40,
    }
}

/// How many of the values from `low` to `high` fall into each bin; those outside into none.
fn counts(values: &[f64], low: f64, high: f64, bins: usize) -> Vec<usize> {
    let mut counts = vec![0; bins];
    for value in values.iter().filter(|value| (low..=high).contains(*value)) {
        let bin = (value - low) / (high - low) * bins as f64;
        // The last bin holds its upper end.
        counts[(bin as usize).min(bins - 1)] += 1;
    }
    counts
}

fn against_oracle(neurons: &PerNeuron) -> Option<Tag> {
    let held = neurons.values(HELD);
    let name =
        if held.is_some() { "single-trial correlation, behaviour held" } else { "single-trial correlation" };
    let scores = held.or_else(|| neurons.values(SCORE))?;
    let points: Vec<(f64, f64)> = neurons.values(ORACLE)?.into_iter().zip(scores).collect();
    let points: Vec<(f64, f64)> = points.into_iter().filter(|p| p.0.is_finite() && p.1.is_finite()).collect();
    let slope = slope_through_zero(&points)?;
    let ends = |axis: fn(&(f64, f64)) -> f64| points.iter().map(axis).chain([0.0]);
    let x = Axis::around("oracle correlation (jackknife)", ends(|p| p.0));
    let y = Axis::around(name, ends(|p| p.1).chain([x.high()]));
    let (far, end) = (x.high(), leaves(slope, x.high(), [y.low(), y.high()]));
    let mut plot = Plot::new(530.0, 330.0, x, y);
    plot.line("line drop", &[(0.0, 0.0), (far, far)]);
    plot.dots("dots", &points);
    plot.line("line model", &[(0.0, 0.0), (end, end * slope)]);
    let legend = tag("p").class("legend").all([
        key("line model", &format!("slope {}, the fraction oracle", decimal(Some(slope), 2))),
        key("line drop", "as good as the oracle"),
    ]);
    let caption = format!(
        "One dot per neuron (n = {}). The oracle predicts a trial by the mean of the other repeats; the slope is that of \
         least squares through 0. Dots high above 0 on the left would be suspicious: nothing reliable is there to \
         predict.{}",
        thousands(points.len() as f64),
        plot.beyond()
    );
    Some(figure(
        [legend, plot.finish("Single-trial correlation of each neuron against its oracle correlation")],
        &caption,
    ))
}

/// Where the line of `slope` through 0 leaves the frame, on its way to `far`.
fn leaves(slope: f64, far: f64, [low, high]: [f64; 2]) -> f64 {
    let edge = if slope < 0.0 { low } else { high };
    if (far * slope).abs() > edge.abs() { edge / slope } else { far }
}

/// Least-squares slope of y on x without intercept.
fn slope_through_zero(points: &[(f64, f64)]) -> Option<f64> {
    let (xy, xx) = points.iter().fold((0.0, 0.0), |(xy, xx), (x, y)| (xy + x * y, xx + x * x));
    (xx > 0.0).then(|| xy / xx)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_its_bin_or_none() {
        assert_eq!(counts(&[-9.0, 0.0, 0.49, 0.5, 1.0, 1.01], 0.0, 1.0, 2), [2, 2]);
    }

    #[test]
    fn values_beyond_the_axis_are_counted_and_no_bar_stands_for_them() {
        let values: Vec<Option<f64>> = [0.2, 0.4, -40.0, 7.0].map(Some).into();
        let neurons = PerNeuron { metrics: [("fev".to_owned(), values)].into(), ..PerNeuron::default() };
        let html = histogram(&neurons, None).unwrap().to_string();
        assert!(html.contains("Outside the axes: 2 values"), "{html}");
        let bars = html.split("class=\"bars\"").nth(1).unwrap().split('>').next().unwrap();
        assert_eq!(bars.matches('Z').count(), 2, "{html}");
    }

    #[test]
    fn a_steep_line_keeps_its_slope_and_ends_at_the_frame() {
        assert_eq!(leaves(0.5, 0.8, [0.0, 1.0]), 0.8);
        assert_eq!(leaves(2.0, 0.8, [0.0, 1.0]), 0.5);
        assert_eq!(leaves(-1.0, 0.8, [-0.2, 1.0]), 0.2);
    }

    #[test]
    fn the_slope_is_the_fraction_oracle() {
        assert_eq!(slope_through_zero(&[(1.0, 0.5), (2.0, 1.0)]), Some(0.5));
        assert_eq!(slope_through_zero(&[]), None);
    }
}
