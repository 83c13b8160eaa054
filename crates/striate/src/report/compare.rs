//! Several runs side by side.

use std::collections::{BTreeMap, BTreeSet};

use super::curves::column;
use super::header::best;
use super::markup::{Tag, figure, note, score as digits, table, tag, thousands};
use super::metric;
use super::paired;
use super::palette::{kind_colour, swatches};
use super::plot::{Axis, Plot};
use super::results::Results;
use super::table::interval_mark;
use crate::score::ScoreReport;

/// More columns than this do not fit the page.
const METRICS_SHOWN: usize = 4;
/// More settings than this are no answer to what differs.
const SETTINGS_SHOWN: usize = 4;

/// Table of the runs, their differences neuron by neuron, their validation curves, and a warning when they are not
/// comparable.
pub fn section(runs: &[Results]) -> Vec<Tag> {
    let (warnings, paired) = (warnings(runs).into_iter().map(note), paired::section(runs));
    let means = means(runs, !paired.is_empty());
    warnings.chain([means]).chain(paired).chain(curves(runs)).collect()
}

fn warnings(runs: &[Results]) -> Vec<&'static str> {
    let rules: BTreeSet<_> = runs.iter().filter_map(|run| run.main_scores()).map(|of| &of.preset).collect();
    // Sessions are other neurons of other animals, and shown beside each other as such: alike have to be whole runs, and
    // what several runs are of one session.
    let mut alike: BTreeMap<Option<&str>, Vec<&Results>> = BTreeMap::new();
    runs.iter().for_each(|run| alike.entry(run.session.as_deref()).or_default().push(run));
    let differ = |differs: fn(&Results, &Results) -> bool| {
        alike.values().any(|of| of.windows(2).any(|pair| differs(pair[0], pair[1])))
    };
    let others = differ(|a, b| !a.manifest.recording.same_as(&b.manifest.recording));
    let tiers: BTreeSet<_> = runs.iter().filter_map(|run| run.main_tier()).map(|tier| &tier.name).collect();
    let neurons = differ(|a, b| a.neurons() != b.neurons());
    let all = [
        (others, "The runs are not known to be of one recording: their scores cannot be compared."),
        (tiers.len() > 1, "They were scored on different tiers: their scores cannot be compared."),
        (
            rules.len() > 1,
            "They were scored by different rules (`--preset`): their scores cannot be compared.",
        ),
        (neurons, "The runs hold different numbers of neurons: means are over different populations."),
    ];
    all.into_iter().filter(|(applies, _)| *applies).map(|(_, words)| words).collect()
}

/// `paired` says whether their differences are shown below.
fn means(runs: &[Results], paired: bool) -> Tag {
    let ids = common_metrics(runs);
    let names = ids.iter().map(|id| metric::name(id));
    let heads = ["Run", "Model"].map(str::to_owned).into_iter().chain(names);
    let heads = heads.chain(["Best check", "Parameters"].map(str::to_owned));
    let differing = differing(runs);
    let rows = runs.iter().enumerate().map(|(i, run)| row(i, run, &ids, &differing));
    let caption = if ids.is_empty() {
        "None of the runs was scored: the best check, on validation trials, is all there is to compare. It chose the model that \
         each run keeps, so it flatters."
            .to_owned()
    } else {
        let differences = match paired {
            true => {
                " Whether two runs differ is not read off these intervals, since the runs share their neurons: see the \
                 differences below."
            }
            false => "",
        };
        format!(
            "Mean over neurons of the tier each run was scored on; bar: 95 % interval over neurons; ring, or triangle where it \
             is beyond the scale: shuffled data.{differences} Of models that see behaviour, scores against a ceiling are those \
             with behaviour held at its mean."
        )
    };
    figure([table("scores runs", &heads.collect::<Vec<_>>(), rows)], &caption)
}

/// Keys of the settings that the runs do not share.
fn differing(runs: &[Results]) -> Vec<String> {
    let settings: Vec<_> =
        runs.iter().map(Results::settings).filter(|settings| !settings.is_empty()).collect();
    let keys: BTreeSet<&String> = settings.iter().flat_map(|settings| settings.keys()).collect();
    let differs = |key: &&&String| settings.iter().any(|other| other.get(**key) != settings[0].get(**key));
    keys.iter().filter(differs).map(|key| (*key).clone()).collect()
}

fn row(index: usize, run: &Results, ids: &[&str], differing: &[String]) -> (Tag, Vec<Tag>) {
    let swatch = tag("i").class("swatch").set("style", format!("background:{}", kind_colour(index)));
    let link = tag("a").set("href", format!("#run-{index}")).text(&run.name);
    let name = tag("th").with(swatch).with(link).with(tag("small").text(own_settings(run, differing)));
    let scores = ids.iter().map(|id| score_cell(id, run.main_scores()));
    // Model, check and size are those of the whole run.
    let whole = run.session.is_none();
    let of_whole = |words: String| if whole { words } else { String::new() };
    let model = match whole {
        true => run.model().unwrap_or_else(|| "–".into()),
        false => format!("{} neurons", thousands(run.neurons() as f64)),
    };
    let model = tag("td").text(model);
    let size = tag("td").class("number").text(of_whole(thousands(run.manifest.total_parameters as f64)));
    let check = tag("td").text(of_whole(run.manifest.best.as_ref().map_or_else(|| "–".into(), best)));
    (name, [model].into_iter().chain(scores).chain([check, size]).collect())
}

/// What this run has of the settings that are not the same in all.
fn own_settings(run: &Results, differing: &[String]) -> String {
    let settings = run.settings();
    let own = differing.iter().filter_map(|key| Some(format!("{key} = {}", settings.get(key)?)));
    let own: Vec<String> = own.collect();
    let more = match own.len() {
        n if n > SETTINGS_SHOWN => format!(" and {} more", n - SETTINGS_SHOWN),
        _ => String::new(),
    };
    own[..own.len().min(SETTINGS_SHOWN)].join(", ") + &more
}

fn score_cell(id: &str, scores: Option<&ScoreReport>) -> Tag {
    let held = metric::held(id).filter(|held| scores.is_some_and(|scores| scores.metrics.contains_key(held)));
    let id = held.as_deref().unwrap_or(id);
    let score = scores.and_then(|scores| scores.metrics.get(id)).cloned().unwrap_or_default();
    let null = scores.and_then(|scores| scores.null_of(id)).and_then(|(_, null)| null.mean);
    let mean = tag("span").class("mean").text(digits(score.mean));
    tag("td").class("number").with(mean).with(interval_mark(id, &score, null))
}

/// The first metrics that any of the runs has.
fn common_metrics(runs: &[Results]) -> Vec<&str> {
    let scores = runs.iter().filter_map(Results::main_scores);
    let ids: BTreeSet<&String> = scores.flat_map(|scores| scores.metrics.keys()).collect();
    metric::order(ids.into_iter()).into_iter().filter(|id| !metric::is_held(id)).take(METRICS_SHOWN).collect()
}

fn curves(runs: &[Results]) -> Option<Tag> {
    let line = |run: &Results| match &run.curve {
        Some(Ok(rows)) => column(rows, |row| row.val_correlation),
        _ => Vec::new(),
    };
    // Sessions of one run have its curve.
    let (shown, runs): (Vec<usize>, Vec<&Results>) =
        runs.iter().enumerate().filter(|(_, run)| run.session.is_none()).unzip();
    let lines: Vec<Vec<(f64, f64)>> = runs.iter().map(|run| line(run)).collect();
    let points = || lines.iter().flatten();
    points().next()?;
    let steps = points().map(|p| p.0).fold(0.0, f64::max);
    let x = Axis::exactly("optimiser steps", 0.0, steps).counted();
    let y = Axis::around("correlation, validation", points().map(|p| p.1).chain([0.0]));
    let mut plot = Plot::new(530.0, 290.0, x, y);
    for (i, line) in lines.iter().enumerate() {
        let style = format!("stroke:{}", kind_colour(shown[i]));
        plot.styled_line("line", &style, line);
        let kept =
            runs[i].manifest.best.as_ref().and_then(|best| line.iter().find(|p| p.0 == best.step as f64));
        plot.styled_dots("dot best", &style, &kept.copied().into_iter().collect::<Vec<_>>());
    }
    let drawn = runs.iter().enumerate().filter(|(i, _)| !lines[*i].is_empty());
    let names = swatches(drawn.map(|(i, run)| (shown[i], run.name.clone())), "more runs");
    let legend = tag("p").class("legend").all(names);
    Some(figure(
        [legend, plot.finish("Validation correlation of each run over optimiser steps").class("wide")],
        "Correlation with single validation trials while fitting, mean over neurons; the dot is the model that is kept.",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn says_which_settings_differ_between_the_runs() {
        let dir = tempfile::tempdir().unwrap();
        let run = |name: &str, settings: &str| {
            let folder = Fixture::small().write(&dir.path().join(name));
            std::fs::write(folder.config(), format!("name = \"x\"\n{settings}")).unwrap();
            Results::read(&folder).unwrap()
        };
        let runs = [
            run("a", "seed = 1\n[model.penalty]\nreadout_l1 = 0.1\n"),
            run("b", "seed = 1\n[model.penalty]\nreadout_l1 = 0.01\n"),
        ];
        assert_eq!(differing(&runs), ["model.penalty.readout_l1"]);
        let html = means(&runs, true).to_string();
        assert!(
            html.contains("<small>model.penalty.readout_l1 = 0.01</small>") && !html.contains("seed"),
            "{html}"
        );
    }
}
