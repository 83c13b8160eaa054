//! How the scores are spread over the neurons, and how they compare with the oracle.

use super::markup::{Tag, decimal, figure, note, tag, thousands};
use super::metric;
use super::plot::{Axis, Plot};
use super::results::{PerNeuron, Results, Score};

const SCORE: &str = "single_trial_correlation";
/// With behaviour and pupil held at their means, where a model sees them: the oracle does not see them either.
const HELD: &str = "single_trial_correlation_held";
const ORACLE: &str = "oracle_jackknife";

/// Histogram of the main score, and score against oracle.
pub fn section(run: &Results) -> Vec<Tag> {
    let Some(tier) = run.main_tier() else {
        return vec![note("No tier was scored yet.")];
    };
    let neurons = match &tier.per_neuron {
        Err(why) => return vec![note(why)],
        Ok(neurons) => neurons,
    };
    let null = run.main_scores().and_then(|scores| scores.null_of(SCORE)).map(|(_, null)| null);
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

fn histogram(neurons: &PerNeuron, null: Option<&Score>) -> Option<Tag> {
    const BINS: usize = 40;
    let (id, mut values) = main_metric(neurons)?;
    values.sort_by(f64::total_cmp);
    let median = values[values.len() / 2];
    let x = Axis::around(
        &metric::name(id).to_lowercase(),
        [0.0, values[0].max(-1.0), values[values.len() - 1].min(2.0)],
    );
    let (low, high) = (x.low(), x.high());
    let counts = count(&values, low, high, BINS);
    let tallest = counts.iter().copied().max().unwrap_or(1) as f64;
    let mut plot = Plot::new(530.0, 330.0, x, Axis::around("neurons", [0.0, tallest * 1.08]));
    plot.bars("bars", low, high, &counts);
    plot.vertical("line best", median);
    let top = plot_top(tallest * 1.08);
    plot.label((median, top), (6.0, 4.0), "start", "value", &format!("median {}", decimal(Some(median), 2)));
    let chance = null.filter(|_| id == SCORE).and_then(|null| null.mean);
    if let Some(chance) = chance {
        plot.vertical("line drop", chance);
        plot.label(
            (chance, top),
            (6.0, 20.0),
            "start",
            "tick",
            &format!("null {}", decimal(Some(chance), 2)),
        );
    }
    let below = values.iter().filter(|v| **v < low).count();
    let above = values.iter().filter(|v| **v > high).count();
    let outside = if below + above > 0 {
        format!(" {below} neurons below the axis and {above} above it are in the first and the last bar.")
    } else {
        String::new()
    };
    let caption = format!(
        "Each neuron counts once (n = {}).{outside} A second hump near 0 is a group of neurons that the model does not \
         predict at all.",
        thousands(values.len() as f64)
    );
    Some(figure([plot.finish(&format!("Histogram of {} over neurons", metric::name(id)))], &caption))
}

fn plot_top(tallest: f64) -> f64 {
    Axis::around("", [0.0, tallest]).high()
}

fn count(values: &[f64], low: f64, high: f64, bins: usize) -> Vec<usize> {
    let mut counts = vec![0; bins];
    for value in values {
        let bin = (value - low) / (high - low) * bins as f64;
        counts[(bin.max(0.0) as usize).min(bins - 1)] += 1;
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
    plot.label((far * 0.86, far * 0.86), (-10.0, 0.0), "end", "tick", "as good as the oracle");
    plot.label(
        (end, end * slope),
        (-6.0, if slope > 0.0 { -8.0 } else { 18.0 }),
        "end",
        "value accent",
        &format!("slope {}", decimal(Some(slope), 2)),
    );
    let caption = format!(
        "One dot per neuron (n = {}). The oracle predicts a trial by the mean of the other repeats; the line is the \
         least-squares slope through 0, the fraction oracle. Dots high above 0 on the left would be suspicious: \
         nothing reliable is there to predict.",
        thousands(points.len() as f64)
    );
    Some(figure(
        [plot.finish("Single-trial correlation of each neuron against its oracle correlation")],
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
    fn every_value_falls_into_one_bin() {
        assert_eq!(count(&[-9.0, 0.0, 0.49, 0.5, 1.0], 0.0, 1.0, 2), [3, 2]);
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
