//! The scores of one tier as a table, with interval and null beside each number.

use serde_json::Value;

use super::markup::{Tag, decimal, note, tag, thousands};
use super::metric;
use super::results::{Results, Score, Scores, Tier};

const TRACK: f64 = 150.0;

/// One table per scored tier.
pub fn section(run: &Results) -> Vec<Tag> {
    if run.tiers.is_empty() {
        return vec![note(format!("No tier was scored yet: `striate score {}` adds the numbers.", run.name))];
    }
    run.tiers.iter().flat_map(tier).collect()
}

fn tier(tier: &Tier) -> Vec<Tag> {
    let scores = match &tier.scores {
        Err(why) => return vec![note(why)],
        Ok(scores) => scores,
    };
    let counts = format!(
        "Tier {}: {} neurons, {} trials",
        tier.name,
        thousands(scores.neurons as f64),
        thousands(scores.trials as f64)
    );
    vec![
        tag("h3").text(counts),
        tag("div").class("scroll").with(table(scores)),
        tag("p").class("caption").text(CAPTION),
    ]
}

const CAPTION: &str = "Mean over neurons with its 95 % bootstrap interval. On the scale from 0 to 1 the dot is the \
    mean, the bar its interval, the ring the same score on shuffled data (at 0 where it is below): a score means something only where dot \
    and ring are apart. n counts the neurons in the mean; the others are left out for the reason given.";

fn table(scores: &Scores) -> Tag {
    let nulls: Vec<&str> = scores.null.keys().map(String::as_str).collect();
    let fixed = ["Metric", "Mean", "95 % interval", "0 … 1", "Median", "s.d.", "n"].map(str::to_owned);
    let heads = fixed.into_iter().chain(nulls.iter().map(|kind| format!("Null: {}", kind.replace('_', " "))));
    let head = tag("thead").with(tag("tr").all(heads.map(|name| tag("th").set("scope", "col").text(name))));
    let rows = metric::order(scores.metrics.keys()).into_iter().map(|id| row(id, scores, &nulls));
    tag("table").class("scores").with(head).with(tag("tbody").all(rows))
}

fn row(id: &str, scores: &Scores, nulls: &[&str]) -> Tag {
    let score = &scores.metrics[id];
    let null =
        |kind: &&str| scores.null.get(*kind).and_then(|scores| scores.get(id)).and_then(|null| null.mean);
    let cells = [
        cell("mean").text(decimal(score.mean, 3)),
        cell("").text(interval(score)),
        tag("td").with(interval_mark(id, score, nulls.first().and_then(null))),
        cell("").text(decimal(score.median, 3)),
        cell("").text(decimal(score.sd, 3)),
        counted(score),
    ];
    let nulls = nulls.iter().map(|kind| cell("muted").text(decimal(null(kind), 3)));
    tag("tr").with(named(id, score)).all(cells).all(nulls)
}

fn cell(class: &str) -> Tag {
    tag("td").class(format!("number {class}").trim_end())
}

fn named(id: &str, score: &Score) -> Tag {
    let head = tag("th").set("scope", "row").text(metric::name(id));
    match &score.definition {
        Some(definition) => head.set("title", definition).with(tag("small").text(definition)),
        None => head,
    }
}

fn interval(score: &Score) -> String {
    match score.ci95 {
        Some([Some(low), Some(high)]) => format!("{} – {}", decimal(Some(low), 3), decimal(Some(high), 3)),
        _ => "–".into(),
    }
}

/// Neurons counted, and how many were left out and why.
fn counted(score: &Score) -> Tag {
    let n = score.n.map_or_else(|| "–".into(), |n| thousands(n as f64));
    let out = left_out(&score.excluded);
    let cell = cell("").text(n);
    if out.is_empty() { cell } else { cell.with(tag("small").text(out)) }
}

fn left_out(excluded: &Value) -> String {
    match excluded {
        Value::Number(n) if n.as_f64() == Some(0.0) => String::new(),
        Value::Number(n) => format!("{n} left out"),
        Value::String(why) => why.clone(),
        Value::Object(parts) => {
            let count = parts.get("count").or_else(|| parts.get("n")).cloned().unwrap_or(Value::Null);
            let why = parts.get("reason").and_then(Value::as_str).unwrap_or_default();
            let count = left_out(&count);
            if count.is_empty() || why.is_empty() { count } else { format!("{count}: {why}") }
        }
        _ => String::new(),
    }
}

/// Mean, interval and null on a line from 0 to 1; empty for losses, which have no such scale.
pub fn interval_mark(id: &str, score: &Score, null: Option<f64>) -> Tag {
    let svg =
        tag("svg").class("interval").set("viewBox", format!("0 0 {TRACK} 16")).set("aria-hidden", "true");
    let on_scale = |value: &f64| (-0.2..=1.2).contains(value);
    let drawn = metric::shown(id).is_none_or(|metric| metric.is_fraction);
    let Some(mean) = score.mean.filter(on_scale).filter(|_| drawn) else { return svg };
    let at = |value: f64| 8.0 + value.clamp(0.0, 1.0) * (TRACK - 16.0);
    let line = |class: &str, low: f64, high: f64| {
        tag("line").class(class).at([("x1", at(low)), ("x2", at(high)), ("y1", 8.0), ("y2", 8.0)])
    };
    let dot = |class: &str, x: f64| tag("circle").class(class).at([("cx", at(x)), ("cy", 8.0), ("r", 4.0)]);
    let bar = match score.ci95 {
        Some([Some(low), Some(high)]) => Some(line("range", low, high)),
        _ => None,
    };
    let ring = null.filter(|null| null.is_finite()).map(|null| dot("ring", null));
    svg.with(line("track", 0.0, 1.0)).all(ring).all(bar).with(dot("spot", mean))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn says_how_many_were_left_out_and_why() {
        assert_eq!(left_out(&json!(0)), "");
        assert_eq!(left_out(&json!(12)), "12 left out");
        assert_eq!(left_out(&json!({"count": 3, "reason": "no variance"})), "3 left out: no variance");
        assert_eq!(left_out(&json!(null)), "");
    }

    #[test]
    fn a_loss_is_not_drawn_on_the_unit_scale() {
        let score = Score { mean: Some(0.5), ..Score::default() };
        assert!(!interval_mark("poisson_loss", &score, None).to_string().contains("circle"));
        assert!(interval_mark("fev", &score, None).to_string().contains("circle"));
    }
}
