//! The scores of one tier as a table, with interval and null beside each number.

use super::markup::{Tag, count, interval, note, score as digits, table, tag, thousands};
use super::metric;
use super::results::{Results, Tier};
use crate::score::{ClassScores, ScoreReport, Summary};

const TRACK: f64 = 150.0;

/// One table per scored tier.
pub fn section(run: &Results) -> Vec<Tag> {
    run.tiers.iter().flat_map(tier).collect()
}

fn tier(tier: &Tier) -> Vec<Tag> {
    let scores = match &tier.scores {
        Err(why) => return vec![note(why)],
        Ok(scores) => scores,
    };
    let counts =
        format!("Tier {}: {}, {}", tier.name, count(scores.neurons, "neuron"), count(scores.trials, "trial"));
    let caption = tag("p").class("caption").text(caption(scores));
    [tag("h3").text(counts)]
        .into_iter()
        .chain(scores.notes.iter().map(note))
        .chain([numbers(scores), caption])
        .chain(reasons(scores))
        .chain(classes(scores))
        .chain([definitions(scores)])
        .collect()
}

fn caption(scores: &ScoreReport) -> String {
    let ring = scores.null.keys().next().map(|kind| {
        format!(
            " The ring is the same score with {}: a score means something only where dot and ring are apart.",
            metric::control(kind)
        )
    });
    format!(
        "Mean over neurons with its 95 % bootstrap interval over neurons. On the scale from 0 to 1 the dot is the mean and \
         the bar its interval; a triangle at an end is a value beyond it, and a bar that runs past an end goes on.{} n counts \
         the neurons in the mean.",
        ring.unwrap_or_default()
    )
}

fn numbers(scores: &ScoreReport) -> Tag {
    let nulls: Vec<&str> = scores.null.keys().map(String::as_str).collect();
    let fixed = ["Metric", "Mean", "95 % interval", "0 … 1", "Median", "s.d.", "n"].map(str::to_owned);
    let heads = fixed.into_iter().chain(nulls.iter().map(|kind| format!("Null: {}", metric::control(kind))));
    let known =
        metric::order(scores.metrics.keys()).into_iter().filter(|id| scores.metrics[*id].mean.is_some());
    table("scores", &heads.collect::<Vec<_>>(), known.map(|id| row(id, scores, &nulls)))
}

fn row(id: &str, scores: &ScoreReport, nulls: &[&str]) -> (Tag, Vec<Tag>) {
    let score = &scores.metrics[id];
    let null =
        |kind: &&str| scores.null.get(*kind).and_then(|scores| scores.get(id)).and_then(|null| null.mean);
    let cells = [
        cell("mean").text(digits(score.mean)),
        cell("").text(interval(score.ci95, digits)),
        tag("td").with(interval_mark(id, score, nulls.first().and_then(null))),
        cell("").text(digits(score.median)),
        cell("").text(digits(score.sd)),
        counted(score),
    ];
    let nulls = nulls.iter().map(|kind| cell("muted").text(digits(null(kind))));
    (named(id, score), cells.into_iter().chain(nulls).collect())
}

/// The scores of each class of stimuli; classes that were never trained on stand apart.
fn classes(scores: &ScoreReport) -> Vec<Tag> {
    let shown = ClassScores::TRAINED.into_iter();
    shown.flat_map(|(trained, words)| classes_of(scores, trained, words)).collect()
}

fn classes_of(scores: &ScoreReport, trained: Option<bool>, words: &str) -> Vec<Tag> {
    let of: Vec<(&String, &ClassScores)> =
        scores.classes.iter().filter(|(_, class)| class.trained == trained).collect();
    if of.is_empty() {
        return Vec::new();
    }
    let known =
        |id: &&str| of.iter().any(|(_, class)| class.metrics.get(*id).is_some_and(|s| s.mean.is_some()));
    let ids: Vec<&str> =
        metric::order(of[0].1.metrics.keys()).into_iter().filter(known).take(CLASS_METRICS).collect();
    let heads = ["Class".to_owned(), "Trials".to_owned()];
    let heads: Vec<String> = heads.into_iter().chain(ids.iter().map(|id| metric::name(id))).collect();
    let row = |(name, class): &(&String, &ClassScores)| {
        let trials = cell("").text(thousands(class.trials as f64));
        let score = |id: &&str| class.metrics.get(*id).cloned().unwrap_or_default();
        let scores = ids.iter().map(score).map(|score| {
            let mean = tag("span").class("mean").text(digits(score.mean));
            let ends = score.ci95.map(|ends| tag("small").text(interval(Some(ends), digits)));
            cell("").with(mean).all(ends)
        });
        (tag("th").text(name), [trials].into_iter().chain(scores).collect())
    };
    vec![tag("h3").text(format!("Classes of stimuli {words}")), table("scores", &heads, of.iter().map(row))]
}

/// Metrics of each class that are shown; all stand in the score file.
const CLASS_METRICS: usize = 3;

/// What each number is, folded away.
fn definitions(scores: &ScoreReport) -> Tag {
    let ids = metric::order(scores.metrics.keys());
    let defined = ids.into_iter().map(|id| (id, &scores.metrics[id].definition));
    let defined = defined.filter(|(_, definition)| !definition.is_empty());
    let entry = |(id, definition): (&str, &String)| {
        let name = tag("dt").text(metric::name(id)).with(tag("code").text(id));
        [name, tag("dd").prose(definition)]
    };
    let list = tag("dl").class("definitions").all(defined.flat_map(entry));
    tag("details").with(tag("summary").text("What each number is")).with(list)
}

fn cell(class: &str) -> Tag {
    tag("td").class(format!("number {class}").trim_end())
}

fn named(id: &str, score: &Summary) -> Tag {
    let of_recording = metric::shown(id).is_some_and(|metric| metric.of_recording);
    let remark = of_recording.then(|| tag("small").text("of the recording alone"));
    let head = tag("th").text(metric::name(id)).all(remark);
    if score.definition.is_empty() { head } else { head.set("title", &score.definition) }
}

/// Neurons counted.
fn counted(score: &Summary) -> Tag {
    cell("").text(if score.n == 0 { "–".into() } else { thousands(score.n as f64) })
}

/// One line for each metric that not all neurons have a value of.
fn reasons(scores: &ScoreReport) -> Option<Tag> {
    let ids = metric::order(scores.metrics.keys());
    let line = |id: &str| {
        let why = left_out(&scores.metrics[id]);
        (!why.is_empty()).then(|| tag("li").with(tag("b").text(metric::name(id))).text(format!(": {why}")))
    };
    let lines: Vec<Tag> = ids.into_iter().filter_map(line).collect();
    (!lines.is_empty()).then(|| tag("ul").class("caption reasons").all(lines))
}

fn left_out(score: &Summary) -> String {
    let because = |(why, count): (&String, &usize)| match score.threshold {
        Some(least) => {
            let why = why.replace("the threshold", &format!("the threshold of {least}"));
            format!("{} since {why}", thousands(*count as f64))
        }
        None => format!("{} since {why}", thousands(*count as f64)),
    };
    let reasons: Vec<String> = score.reasons.iter().map(because).collect();
    match score.excluded {
        0 if reasons.is_empty() => String::new(),
        0 => format!("counted as 0, {}", reasons.join("; ")),
        n if reasons.is_empty() => format!("{n} left out"),
        _ if score.n == 0 => format!("no neuron has a value, {}", reasons.join("; ")),
        _ => format!("left out, {}", reasons.join("; ")),
    }
}

/// Mean, interval and null on a line from 0 to 1; empty for losses, which have no such scale.
pub fn interval_mark(id: &str, score: &Summary, null: Option<f64>) -> Tag {
    let svg =
        tag("svg").class("interval").set("viewBox", format!("0 0 {TRACK} 16")).set("aria-hidden", "true");
    let drawn = metric::shown(id).is_none_or(|metric| metric.is_fraction);
    let Some(mean) = score.mean.filter(|mean| mean.is_finite() && drawn) else { return svg };
    let bar = score.ci95.map(|[low, high]| line("range", low, high));
    let ring = null.filter(|null| null.is_finite()).map(|null| mark("ring", null));
    svg.with(line("track", 0.0, 1.0)).all(bar).all(ring).with(mark("spot", mean))
}

/// Where `value` is on the line, or the end of the drawing past the end of the line.
fn at(value: f64) -> f64 {
    (8.0 + value * (TRACK - 16.0)).clamp(1.0, TRACK - 1.0)
}

fn line(class: &str, low: f64, high: f64) -> Tag {
    tag("line").class(class).at([("x1", at(low)), ("x2", at(high)), ("y1", 8.0), ("y2", 8.0)])
}

/// A dot at `value`; a triangle that points at it where it is beyond an end of the line.
fn mark(class: &str, value: f64) -> Tag {
    let triangle = |path: &str| tag("path").class(class).set("d", path);
    match value {
        ..0.0 => triangle("M8 3.5L1 8L8 12.5Z"),
        0.0..=1.0 => tag("circle").class(class).at([("cx", at(value)), ("cy", 8.0), ("r", 4.0)]),
        _ => triangle("M142 3.5L149 8L142 12.5Z"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn says_how_many_were_left_out_and_why() {
        let said = |score| left_out(&serde_json::from_value::<Summary>(score).unwrap());
        assert_eq!(said(json!({"excluded": 0})), "");
        assert_eq!(said(json!({})), "");
        // As older striates wrote it.
        assert_eq!(said(json!({"n": 3, "excluded": 12})), "12 left out");
        let feve = json!({"n": 5, "excluded": 3, "reasons": {"it is below the threshold": 2, "it is silent": 1}, "threshold": 0.15});
        assert_eq!(said(feve), "left out, 2 since it is below the threshold of 0.15; 1 since it is silent");
        assert_eq!(
            said(json!({"excluded": 0, "reasons": {"it is silent": 2}})),
            "counted as 0, 2 since it is silent"
        );
    }

    #[test]
    fn a_mean_beyond_the_scale_is_no_dot_at_its_end() {
        let drawn = |mean| {
            interval_mark("feve", &Summary { mean: Some(mean), ..Summary::default() }, None).to_string()
        };
        assert!(drawn(0.9).contains("circle") && drawn(1.0).contains("circle"));
        assert!(
            [1.1, 2.12, -0.1]
                .iter()
                .all(|mean| !drawn(*mean).contains("circle") && drawn(*mean).contains("path"))
        );
    }

    #[test]
    fn null_and_interval_beyond_the_scale_are_drawn_as_beyond_it() {
        let score = Summary { mean: Some(0.9), ci95: Some([-0.4, 1.2]), ..Summary::default() };
        let drawn = |null| interval_mark("feve", &score, Some(null)).to_string();
        assert!(
            drawn(-1.5).contains("<path class=\"ring\" d=\"M8 ")
                && drawn(1.5).contains("class=\"ring\" d=\"M142")
        );
        assert!(drawn(0.0).contains("<circle class=\"ring\""));
        assert!(drawn(0.0).contains("class=\"range\" x1=\"1\" x2=\"149\""), "{}", drawn(0.0));
    }

    #[test]
    fn metrics_that_no_neuron_has_are_told_and_take_no_row() {
        let snr = json!({"n": 0, "excluded": 60, "reasons": {"a response is below −3/8": 60}});
        let scores = json!({"metrics": {"snr": snr, "feve": {"mean": 0.5, "n": 4}}});
        let scores: ScoreReport = serde_json::from_value(scores).unwrap();
        assert!(!numbers(&scores).to_string().contains("Signal-to-noise"));
        let told = reasons(&scores).unwrap().to_string();
        assert!(
            told.contains("Signal-to-noise ratio</b>: no neuron has a value, 60 since a response"),
            "{told}"
        );
    }

    #[test]
    fn a_loss_is_not_drawn_on_the_unit_scale() {
        let score = Summary { mean: Some(0.5), ..Summary::default() };
        assert!(!interval_mark("poisson_loss", &score, None).to_string().contains("circle"));
        assert!(interval_mark("fev", &score, None).to_string().contains("circle"));
    }
}
