//! Differences between runs, neuron by neuron.

use std::collections::BTreeMap;

use super::markup::{Tag, decimal, figure, interval, note, table, tag, thousands};
use super::palette::kind_colour;
use super::results::{PerNeuron, Results};
use crate::score::{Settings, Summary, find};

const SCORE: &str = "single_trial_correlation";
/// With more runs of a recording than this, each is compared with the best alone.
const ALL_PAIRS: usize = 4;

/// Table of the differences of all pairs of runs that were scored on the same trials.
pub fn section(runs: &[Results]) -> Vec<Tag> {
    let pairs = pairs(runs);
    let compared: Vec<(Tag, Vec<Tag>)> = pairs.iter().filter_map(|&[a, b]| row(runs, a, b)).collect();
    if pairs.is_empty() || runs.iter().all(|run| run.tiers.is_empty()) {
        return Vec::new();
    }
    if compared.is_empty() {
        return vec![note(
            "No two runs were scored on the same neurons of the same tier: there is nothing to pair.",
        )];
    }
    let heads = ["Difference", "Mean", "95 % interval", "Neurons", "Better in", "In words"];
    let table = table("scores pairs", &heads.map(str::to_owned), compared);
    vec![figure(
        [tag("h3").text("Differences, neuron by neuron"), table],
        "Single-trial correlation of the first run minus that of the second, of each neuron that both hold (same unit id), then \
         the mean over neurons with its 95 % bootstrap interval over the same neurons. It holds for other neurons of this \
         recording; trials and seeds are those of the runs.",
    )]
}

/// Pairs of runs to compare, those of one recording together, the better one of each pair first.
fn pairs(runs: &[Results]) -> Vec<[usize; 2]> {
    let mut alike: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, run) in runs.iter().enumerate() {
        alike.entry(&run.manifest.recording.fingerprint).or_default().push(at);
    }
    let mut alike: Vec<Vec<usize>> = alike.into_values().collect();
    alike.sort();
    alike.into_iter().flat_map(|of| pairs_of(runs, of)).collect()
}

fn pairs_of(runs: &[Results], mut order: Vec<usize>) -> Vec<[usize; 2]> {
    order.sort_by(|&a, &b| mean(&runs[b]).total_cmp(&mean(&runs[a])));
    let firsts = if order.len() > ALL_PAIRS { 1 } else { order.len() };
    let pairs = |first: usize| order[first + 1..].iter().map(move |&second| (first, second));
    (0..firsts).flat_map(pairs).map(|(first, second)| [order[first], second]).collect()
}

fn mean(run: &Results) -> f64 {
    let score = run.main_scores().and_then(|scores| scores.metrics.get(SCORE));
    score.and_then(|score| score.mean).unwrap_or(f64::NEG_INFINITY)
}

/// Differences of the neurons that both runs have a score of.
fn differences(a: &Results, b: &Results) -> Option<Vec<f64>> {
    let same_recording = a.manifest.recording.same_as(&b.manifest.recording);
    let same_trials = same_recording && a.main_tier()?.name == b.main_tier()?.name;
    let (first, second) = (a.main_neurons()?, b.main_neurons()?);
    // Ids may repeat, places in the recording do not; early versions wrote ids alone.
    let by_place = !first.neuron.is_empty() && !second.neuron.is_empty();
    let scores = |of: &PerNeuron| -> Option<BTreeMap<(i64, usize), f64>> {
        let place = |at: usize| if by_place { of.neuron.get(at).copied() } else { Some(0) };
        let keys = of.unit_id.iter().enumerate().filter_map(|(at, &unit)| Some((unit, place(at)?)));
        Some(keys.zip(of.values(SCORE)?).collect())
    };
    let (first, second) = (scores(first)?, scores(second)?);
    let paired = first.iter().filter_map(|(neuron, score)| Some(score - second.get(neuron)?));
    let paired: Vec<f64> = paired.filter(|difference| difference.is_finite()).collect();
    (same_trials && !paired.is_empty()).then_some(paired)
}

fn row(runs: &[Results], a: usize, b: usize) -> Option<(Tag, Vec<Tag>)> {
    let differences = differences(&runs[a], &runs[b])?;
    let summary = Summary::of_neurons(find(SCORE).ok()?, &differences, &Settings::default());
    let swatch =
        |run: usize| tag("i").class("swatch").set("style", format!("background:{}", kind_colour(run)));
    let name = tag("th").with(swatch(a)).text(format!("{} − ", runs[a].name));
    let name = name.with(swatch(b)).text(&runs[b].name);
    let better = differences.iter().filter(|difference| **difference > 0.0).count();
    let interval = interval(summary.ci95, |end| decimal(end, 4));
    let number = |text: String| tag("td").class("number").text(text);
    let share = 100.0 * better as f64 / differences.len() as f64;
    let cells = [
        number(decimal(summary.mean, 4)),
        number(interval),
        number(thousands(summary.n as f64)),
        number(format!("{share:.0} % of them")),
        tag("td").text(words(summary.ci95, &runs[a].name)),
    ];
    Some((name, cells.into()))
}

fn words(interval: Option<[f64; 2]>, first: &str) -> String {
    match interval {
        Some([low, _]) if low > 0.0 => format!("{first} predicts better"),
        Some([_, high]) if high < 0.0 => format!("{first} predicts worse"),
        Some(_) => "no difference shown".into(),
        None => "too few neurons".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, save};
    use super::*;
    use serde_json::json;

    /// A small difference that all neurons share is shown, although the intervals of the means overlap.
    #[test]
    fn neurons_are_matched_by_their_ids() {
        let dir = tempfile::tempdir().unwrap();
        let run = |name: &str, units: &[i64], scores: &[Option<f64>]| {
            let folder = Fixture::small().write(&dir.path().join(name));
            let columns = json!({"single_trial_correlation": scores});
            save(&folder.per_neuron("test"), &json!({"unit_id": units, "metrics": columns}));
            Results::read(&folder).unwrap()
        };
        let first = run("first", &[1, 2, 3, 4], &[Some(0.1), Some(0.5), Some(0.9), None]);
        let second = run("second", &[3, 2, 1, 9], &[Some(0.88), Some(0.48), Some(0.08), Some(0.0)]);
        let found = differences(&first, &second).unwrap();
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|difference| (difference - 0.02).abs() < 1e-12), "{found:?}");
        let html = section(&[first, second])[0].to_string();
        assert!(html.contains("0.0200 to 0.0200") && html.contains("first predicts better"), "{html}");
        let twice = |name: &str, scores: &[Option<f64>]| {
            let folder = Fixture::small().write(&dir.path().join(name));
            let columns = json!({"single_trial_correlation": scores});
            let table = json!({"neuron": [4, 9], "unit_id": [7, 7], "metrics": columns});
            save(&folder.per_neuron("test"), &table);
            Results::read(&folder).unwrap()
        };
        let same_id =
            differences(&twice("p", &[Some(0.5), Some(0.25)]), &twice("q", &[Some(0.25), Some(0.5)]));
        assert_eq!(same_id, Some(vec![0.25, -0.25]));
        let mut unknown = [twice("r", &[Some(0.5), None]), twice("s", &[Some(0.5), None])];
        unknown.iter_mut().for_each(|run| run.manifest.recording.fingerprint.clear());
        assert_eq!(differences(&unknown[0], &unknown[1]), None, "of recordings that nobody knows");
        let other = run("other", &[7], &[Some(0.5)]);
        let html = section(&[other, run("third", &[8], &[Some(0.5)])])[0].to_string();
        assert!(html.contains("nothing to pair"), "{html}");
    }

    /// Two runs on five mice: each mouse of the one is beside the same of the other, and none beside another mouse.
    #[test]
    fn many_sessions_of_two_runs_are_paired_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut runs = Vec::new();
        for run in ["a", "b"] {
            for mouse in 0..5 {
                let folder = Fixture::small().write(&dir.path().join(format!("{run}{mouse}")));
                let mut part = Results::read(&folder).unwrap();
                part.manifest.recording.fingerprint = mouse.to_string();
                runs.push(part);
            }
        }
        let pairs = pairs(&runs);
        assert_eq!(pairs.len(), 5);
        for [first, second] in pairs {
            assert_eq!(first.abs_diff(second), 5);
        }
        assert!(section(&runs[..5]).is_empty(), "five mice of one run have nothing to pair");
    }

    #[test]
    fn an_interval_around_zero_shows_no_difference() {
        assert_eq!(words(Some([-0.1, 0.2]), "a"), "no difference shown");
        assert_eq!(words(Some([-0.2, -0.1]), "a"), "a predicts worse");
    }
}
