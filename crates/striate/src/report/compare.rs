//! Several runs side by side.

use std::collections::BTreeSet;

use super::curves::column;
use super::header::{duration, verdict};
use super::markup::{Tag, decimal, figure, note, table, tag, thousands};
use super::metric;
use super::paired;
use super::palette::{kind_colour, swatch};
use super::plot::{Axis, Plot};
use super::results::{Results, Score, Scores};
use super::table::interval_mark;

/// More columns than this do not fit the page.
const METRICS_SHOWN: usize = 4;

/// Table of the runs, their differences neuron by neuron, their validation curves, and a warning when they are not
/// comparable.
pub fn section(runs: &[Results]) -> Vec<Tag> {
    let warnings = warnings(runs).into_iter().map(note);
    warnings.chain([means(runs)]).chain(paired::section(runs)).chain(curves(runs)).collect()
}

fn warnings(runs: &[Results]) -> Vec<&'static str> {
    let others = runs.windows(2).any(|pair| !pair[0].manifest.recording.same_as(&pair[1].manifest.recording));
    let tiers: BTreeSet<_> = runs.iter().filter_map(|run| run.main_tier()).map(|tier| &tier.name).collect();
    let neurons: BTreeSet<_> = runs.iter().map(Results::neurons).collect();
    let all = [
        (others, "The runs are not known to be of one recording: their scores cannot be compared."),
        (tiers.len() > 1, "The runs were scored on different tiers: their scores cannot be compared."),
        (
            neurons.len() > 1,
            "The runs hold different numbers of neurons: means are over different populations.",
        ),
    ];
    all.into_iter().filter(|(applies, _)| *applies).map(|(_, words)| words).collect()
}

fn means(runs: &[Results]) -> Tag {
    let ids = common_metrics(runs);
    let names = ids.iter().map(|id| metric::name(id));
    let heads = ["Run", "Model"].map(str::to_owned).into_iter().chain(names);
    let heads = heads.chain(["Parameters", "Wall time"].map(str::to_owned));
    let rows = runs.iter().enumerate().map(|(i, run)| row(i, run, &ids));
    figure(
        [table("scores runs", &heads.collect::<Vec<_>>(), rows)],
        "Mean over neurons of the tier each run was scored on; bar: 95 % interval over neurons, ring: shuffled data. \
         Whether two runs differ is not read off these intervals, since the runs share their neurons: see the differences \
         below. Of models that see behaviour, scores against a ceiling are those with behaviour held at its mean.",
    )
}

fn row(index: usize, run: &Results, ids: &[&str]) -> (Tag, Vec<Tag>) {
    let swatch = tag("i").class("swatch").set("style", format!("background:{}", kind_colour(index)));
    let link = tag("a").set("href", format!("#run-{index}")).text(&run.name);
    let name = tag("th").with(swatch).with(link).with(tag("small").prose(verdict(run)));
    let scores = ids.iter().map(|id| score_cell(id, run.main_scores()));
    let number = |text: String| tag("td").class("number").text(text);
    let model = tag("td").text(run.model().unwrap_or_else(|| "–".into()));
    let size = number(thousands(run.manifest.total_parameters as f64));
    let ends = [size, number(duration(run.manifest.wall_seconds))];
    (name, [model].into_iter().chain(scores).chain(ends).collect())
}

fn score_cell(id: &str, scores: Option<&Scores>) -> Tag {
    let held = metric::held(id).filter(|held| scores.is_some_and(|scores| scores.metrics.contains_key(held)));
    let id = held.as_deref().unwrap_or(id);
    let score = scores.and_then(|scores| scores.metrics.get(id)).cloned().unwrap_or_else(Score::default);
    let null = scores.and_then(|scores| scores.null_of(id)).and_then(|(_, null)| null.mean);
    let mean = tag("span").class("mean").text(decimal(score.mean, 3));
    tag("td").class("number").with(mean).with(interval_mark(id, &score, null))
}

/// The first metrics that any of the runs has.
fn common_metrics(runs: &[Results]) -> Vec<&str> {
    let scores = runs.iter().filter_map(Results::main_scores);
    let ids: BTreeSet<&String> = scores.flat_map(|scores| scores.metrics.keys()).collect();
    metric::order(ids.into_iter()).into_iter().filter(|id| !metric::is_held(id)).take(METRICS_SHOWN).collect()
}

fn curves(runs: &[Results]) -> Option<Tag> {
    let lines: Vec<Vec<(f64, f64)>> = runs
        .iter()
        .map(|run| run.curve.as_ref().map(|rows| column(rows, |row| row.val_correlation)).unwrap_or_default())
        .collect();
    let points = || lines.iter().flatten();
    points().next()?;
    let x = Axis::exactly("optimiser steps", 0.0, points().map(|p| p.0).fold(0.0, f64::max));
    let y = Axis::around("correlation, validation", points().map(|p| p.1).chain([0.0]));
    let mut plot = Plot::new(720.0, 280.0, x, y);
    for (i, line) in lines.iter().enumerate() {
        plot.styled_line("line", &format!("stroke:{}", kind_colour(i)), line);
    }
    let names = runs.iter().enumerate().map(|(i, run)| swatch(kind_colour(i), &run.name));
    let legend = tag("p").class("legend").all(names);
    Some(figure(
        [legend, plot.finish("Validation correlation of each run over optimiser steps").class("wide")],
        "Single-trial correlation on the validation tier while fitting.",
    ))
}
