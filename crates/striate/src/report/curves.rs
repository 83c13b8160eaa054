//! How the fit went: loss and correlation over optimiser steps.

use super::markup::{Tag, decimal, figure, key, note, tag, thousands};
use super::plot::{Axis, Plot};
use super::results::Results;
use crate::run::metrics::Row;

/// Loss and correlation side by side.
pub fn section(run: &Results) -> Vec<Tag> {
    let rows = match &run.curve {
        Err(why) => return vec![note(why)],
        Ok(rows) if rows.is_empty() => return vec![note("No check was logged yet.")],
        Ok(rows) => rows,
    };
    let best = run.manifest.best.as_ref().map(|best| best.step);
    let drops = rate_drops(rows);
    let (train, validation) = (column(rows, |row| row.train_loss), column(rows, |row| row.val_loss));
    let cut_off = !outside(&train, &validation).is_empty();
    let plots = [losses(rows, &drops, best), correlations(rows, &drops, best)];
    let legend = tag("p").class("legend").all([
        key("line train", "training loss"),
        key("line model", "validation"),
        key("line drop", "learning rate lowered"),
        key("line best", "best check"),
    ]);
    vec![figure([legend, tag("div").class("two").all(plots)], &caption(rows, &drops, cut_off))]
}

fn caption(rows: &[Row], drops: &[(u64, f64)], cut_off: bool) -> String {
    let rates: Vec<String> = drops.iter().map(|(_, rate)| scientific(*rate)).collect();
    let lowered = if rates.is_empty() { String::new() } else { format!(" to {}", rates.join(", ")) };
    let first = rows.iter().find_map(|row| row.learning_rate);
    let rate =
        first.map(|rate| format!(" The learning rate started at {}{}.", scientific(rate), then(&lowered)));
    format!(
        "{} checks. Left, loss without penalty: when validation rises while training falls, the model \
         overfits. Right, correlation with single validation trials, mean over neurons: the best check is \
         the model that is kept.{}{}",
        thousands(rows.len() as f64),
        if cut_off { " Losses far above the others are cut off." } else { "" },
        rate.unwrap_or_default()
    )
}

/// Three digits, without trailing zeros: `1.8e-4`.
fn scientific(rate: f64) -> String {
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

fn losses(rows: &[Row], drops: &[(u64, f64)], best: Option<u64>) -> Tag {
    let train = column(rows, |row| row.train_loss);
    let validation = column(rows, |row| row.val_loss);
    let finite = sorted(&train, &validation);
    let axis = Axis::around("loss", finite.iter().copied().filter(|&v| v <= calm_top(&finite)));
    let mut plot = Plot::new(530.0, 290.0, steps(rows), axis);
    events(&mut plot, drops, best);
    plot.line("line train", &train);
    plot.line("line model", &validation);
    plot.finish("Training and validation loss over optimiser steps")
}

fn sorted(train: &[(f64, f64)], validation: &[(f64, f64)]) -> Vec<f64> {
    let mut finite: Vec<f64> =
        train.iter().chain(validation).map(|p| p.1).filter(|v| v.is_finite()).collect();
    finite.sort_by(f64::total_cmp);
    finite
}

/// Losses that the axis does not hold.
fn outside(train: &[(f64, f64)], validation: &[(f64, f64)]) -> Vec<f64> {
    let finite = sorted(train, validation);
    let top = calm_top(&finite);
    finite.into_iter().filter(|v| *v > top).collect()
}

/// The first checks are often far above all others; an axis that held them would flatten the rest.
fn calm_top(sorted: &[f64]) -> f64 {
    let at = |part: f64| sorted.get((sorted.len() as f64 * part) as usize).copied().unwrap_or(f64::MAX);
    let (low, middle) = (at(0.0), at(0.5));
    (middle + 6.0 * (middle - low)).max(at(0.9))
}

fn correlations(rows: &[Row], drops: &[(u64, f64)], best: Option<u64>) -> Tag {
    let points = column(rows, |row| row.val_correlation);
    let axis = Axis::around("correlation, validation", points.iter().map(|p| p.1).chain([0.0]));
    let mut plot = Plot::new(530.0, 290.0, steps(rows), axis);
    events(&mut plot, drops, best);
    plot.line("line model", &points);
    let kept = best.and_then(|best| points.iter().find(|p| p.0 == best as f64)).filter(|p| p.1.is_finite());
    if let Some(&(x, y)) = kept {
        plot.dots("dot best", &[(x, y)]);
        let late = plot.at_x(x) > 430.0;
        let words = format!("best {}", decimal(Some(y), 3));
        let (shift, anchor) = if late { (-8.0, "end") } else { (8.0, "start") };
        plot.label((x, y), (shift, 22.0), anchor, "value", &words);
    }
    plot.finish("Correlation on the validation tier over optimiser steps")
}

fn events(plot: &mut Plot, drops: &[(u64, f64)], best: Option<u64>) {
    drops.iter().for_each(|(step, _)| plot.vertical("line drop", *step as f64));
    best.into_iter().for_each(|step| plot.vertical("line best", step as f64));
}

fn steps(rows: &[Row]) -> Axis {
    let of = |row: Option<&Row>| row.map_or(0.0, |row| row.step as f64);
    Axis::exactly("optimiser steps", of(rows.first()).min(0.0), of(rows.last()))
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
