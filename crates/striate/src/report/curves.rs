//! How the fit went: loss and correlation over optimiser steps, or over the strengths of a penalty.

use super::markup::{Tag, count, decimal, figure, key, note, tag};
use super::metric;
use super::plot::{Axis, Plot};
use super::results::Results;
use crate::run::Best;
use crate::run::metrics::Row;

/// Loss and correlation side by side.
pub fn section(run: &Results) -> Vec<Tag> {
    let rows = match &run.curve {
        None => return Vec::new(),
        Some(Err(why)) => return vec![note(why)],
        Some(Ok(rows)) if rows.is_empty() => return vec![note("No check was logged yet.")],
        Some(Ok(rows)) => rows,
    };
    let solved = run.is_solved();
    let best = run.manifest.best.as_ref();
    let drops = rate_drops(rows);
    let (losses, correlations) =
        (losses(rows, &drops, best, solved), correlations(rows, &drops, best, solved));
    let beyond = losses.beyond() + &correlations.beyond();
    let plots = [
        losses.finish("Training and validation loss at each check"),
        correlations.finish("Correlation with single validation trials at each check"),
    ];
    let keys = [
        Some(key("line train", "training loss")),
        Some(key("line model", "validation")),
        (!drops.is_empty()).then(|| key("line drop", "learning rate lowered")),
        best.map(|best| key("line best", &kept(rows, best))),
    ];
    let legend = tag("p").class("legend").all(keys.into_iter().flatten());
    let words = if solved { solved_caption(rows) } else { caption(rows, &drops) };
    vec![figure([legend, tag("div").class("two").all(plots)], &format!("{words}{beyond}"))]
}

/// Why the kept model is that one, and its correlation, which need not be the highest.
fn kept(rows: &[Row], best: &Best) -> String {
    let better = if best.metric.ends_with("loss") { "lowest" } else { "highest" };
    let at = rows.iter().find(|row| row.step == best.step).and_then(|row| row.val_correlation);
    let correlation =
        at.map(|value| format!(", correlation {}", decimal(Some(value), 3))).unwrap_or_default();
    format!("the model that is kept: {better} {}{correlation}", metric::check(&best.metric))
}

fn caption(rows: &[Row], drops: &[(u64, f64)]) -> String {
    let rates: Vec<String> = drops.iter().map(|(_, rate)| scientific(*rate)).collect();
    let lowered = if rates.is_empty() { String::new() } else { format!(" to {}", rates.join(", ")) };
    let first = rows.iter().find_map(|row| row.learning_rate);
    let rate =
        first.map(|rate| format!(" The learning rate started at {}{}.", scientific(rate), then(&lowered)));
    format!(
        "{}. Left, loss without penalty: when validation rises while training falls, the model overfits. Right, correlation \
         with single validation trials, mean over neurons.{}",
        count(rows.len(), "check"),
        rate.unwrap_or_default()
    )
}

fn solved_caption(rows: &[Row]) -> String {
    format!(
        "{} of the penalty, each solved in closed form, from the weakest. Left, loss without penalty: where the penalty is too \
         weak, training is well and validation badly predicted. Right, correlation with single validation trials, mean over \
         neurons.",
        count(rows.len(), "strength")
    )
}

/// Three digits, without trailing zeros: `1.8e-4`.
pub fn scientific(rate: f64) -> String {
    let text = format!("{rate:.2e}");
    match text.split_once('e') {
        Some((digits, power)) => format!("{}e{power}", digits.trim_end_matches('0').trim_end_matches('.')),
        None => text,
    }
}

fn then(lowered: &str) -> String {
    if lowered.is_empty() { String::new() } else { format!(" and was lowered{lowered}") }
}

/// Step and new value wherever the learning rate became smaller.
fn rate_drops(rows: &[Row]) -> Vec<(u64, f64)> {
    let rates: Vec<(u64, f64)> = rows.iter().filter_map(|r| Some((r.step, r.learning_rate?))).collect();
    let lower = |pair: &[(u64, f64)]| (pair[1].1 < pair[0].1 * 0.999).then_some(pair[1]);
    let drops: Vec<(u64, f64)> = rates.windows(2).filter_map(lower).collect();
    // A smooth schedule falls at every check: lines everywhere would say nothing.
    if drops.len() > 12 { Vec::new() } else { drops }
}

fn losses(rows: &[Row], drops: &[(u64, f64)], best: Option<&Best>, solved: bool) -> Plot {
    let train = column(rows, |row| row.train_loss);
    let validation = column(rows, |row| row.val_loss);
    let finite = sorted(&train, &validation);
    let axis = Axis::around(
        "loss, mean over neurons and trials",
        finite.iter().copied().filter(|&v| v <= calm_top(&finite)),
    );
    let mut plot = Plot::new(530.0, 290.0, steps(rows, solved), axis);
    events(&mut plot, drops, best);
    plot.line("line train", &train);
    plot.line("line model", &validation);
    plot
}

fn sorted(train: &[(f64, f64)], validation: &[(f64, f64)]) -> Vec<f64> {
    let mut finite: Vec<f64> =
        train.iter().chain(validation).map(|p| p.1).filter(|v| v.is_finite()).collect();
    finite.sort_by(f64::total_cmp);
    finite
}

/// The first checks are often far above all others; an axis that held them would flatten the rest.
fn calm_top(sorted: &[f64]) -> f64 {
    let at = |part: f64| sorted.get((sorted.len() as f64 * part) as usize).copied().unwrap_or(f64::MAX);
    let (low, middle) = (at(0.0), at(0.5));
    (middle + 6.0 * (middle - low)).max(at(0.9))
}

fn correlations(rows: &[Row], drops: &[(u64, f64)], best: Option<&Best>, solved: bool) -> Plot {
    let points = column(rows, |row| row.val_correlation);
    let axis = Axis::around("correlation, validation", points.iter().map(|p| p.1).chain([0.0]));
    let mut plot = Plot::new(530.0, 290.0, steps(rows, solved), axis);
    events(&mut plot, drops, best);
    plot.line("line model", &points);
    let kept = best.and_then(|best| points.iter().find(|p| p.0 == best.step as f64));
    plot.dots("dot best", &kept.copied().into_iter().collect::<Vec<_>>());
    plot
}

fn events(plot: &mut Plot, drops: &[(u64, f64)], best: Option<&Best>) {
    drops.iter().for_each(|(step, _)| plot.vertical("line drop", *step as f64));
    best.into_iter().for_each(|best| plot.vertical("line best", best.step as f64));
}

fn steps(rows: &[Row], solved: bool) -> Axis {
    let of = |row: Option<&Row>| row.map_or(0.0, |row| row.step as f64);
    let (label, first) = match solved {
        true => ("strength of the penalty, weakest first", of(rows.first())),
        false => ("optimiser steps", 0.0),
    };
    Axis::exactly(label, first, of(rows.last())).counted()
}

/// Steps and values of one column; NaN where it was not measured.
pub fn column(rows: &[Row], value: impl Fn(&Row) -> Option<f64>) -> Vec<(f64, f64)> {
    rows.iter().filter_map(|row| Some((row.step as f64, value(row)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: u64, rate: f64) -> Row {
        Row { step, learning_rate: Some(rate), ..Row::default() }
    }

    #[test]
    fn finds_the_steps_at_which_the_rate_was_lowered() {
        let rows = [row(1, 0.1), row(2, 0.1), row(3, 0.03), row(4, 0.03), row(5, 0.1)];
        assert_eq!(rate_drops(&rows), [(3, 0.03)]);
    }

    #[test]
    fn rates_are_written_without_noise() {
        assert_eq!(scientific(2e-3 * 0.3 * 0.3), "1.8e-4");
        assert_eq!((scientific(1e-3), scientific(0.0)), ("1e-3".into(), "0e0".into()));
    }

    #[test]
    fn the_kept_check_is_named_by_what_decided_not_by_the_curve_beside_it() {
        let at =
            |step, val_correlation| Row { step, val_correlation: Some(val_correlation), ..Row::default() };
        let best =
            |metric: &str| Best { step: 3, epoch: 1.0, value: 0.1, metric: metric.into(), alpha: None };
        let told = |metric: &str| kept(&[at(2, 0.15), at(3, 0.107)], &best(metric));
        assert_eq!(told("val_loss"), "the model that is kept: lowest validation loss, correlation 0.107");
        assert!(told("val_correlation").contains("highest validation correlation"));
    }

    #[test]
    fn a_smooth_schedule_draws_no_lines() {
        let rows: Vec<Row> = (0..40).map(|i| row(i, 1.0 / (1.0 + i as f64))).collect();
        assert!(rate_drops(&rows).is_empty());
    }

    #[test]
    fn the_first_huge_loss_does_not_set_the_axis() {
        assert!(calm_top(&[1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 50.0]) < 50.0);
        assert_eq!(calm_top(&[]), f64::MAX);
    }
}
