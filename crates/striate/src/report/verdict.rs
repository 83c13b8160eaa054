//! How good a twin is beside its null and its ceiling, and what to do next, in sentences for a colleague from next door.

use super::markup::{count, decimal, interval};
use super::metric;
use super::results::Results;
use crate::run::State;
use crate::score::{ScoreReport, Summary};

const CORRELATION: &str = "single_trial_correlation";
/// With fewer neurons than this there is no use in asking for types.
const FEW: usize = 50;

/// How well it went.
pub fn verdict(run: &Results) -> String {
    let unscored = || match &run.standing.state {
        State::Failed(why) => format!("The fit failed: {why}."),
        _ => run.unscored.clone(),
    };
    let Some(scores) = run.main_scores() else { return unscored() };
    let Some((claim, score, mean)) = telling(scores) else { return unscored() };
    // First, so that no number is read without them.
    let cautions: String = scores.cautions.iter().map(|caution| format!("{caution} ")).collect();
    [
        cautions,
        claim.words(score, mean),
        above_ceiling(claim, mean).into(),
        against_null(scores, claim, score),
        ceiling(scores, claim),
    ]
    .concat()
}

/// The claim that says most of those that the scores allow.
fn telling(scores: &ScoreReport) -> Option<(&'static Claim, &Summary, f64)> {
    let has_held = |id: &str| metric::held(id).is_some_and(|held| scores.metrics.contains_key(&held));
    let mut claims = CLAIMS.iter().filter(|claim| !has_held(claim.id));
    claims.find_map(|claim| {
        let score = scores.metrics.get(claim.id)?;
        Some((claim, score, score.mean.filter(|mean| mean.is_finite())?))
    })
}

struct Claim {
    id: &'static str,
    before: &'static str,
    after: &'static str,
    in_percent: bool,
}

/// From the most to the least telling.
const CLAIMS: &[Claim] = &[
    Claim {
        id: "fev",
        before: "Explains ",
        after: " of the noise-free response variance of the simulated neurons",
        in_percent: true,
    },
    Claim {
        id: "feve_held",
        before: "Explains ",
        after: " of the response variance that the repeats say is explainable, with behaviour held at its mean",
        in_percent: true,
    },
    Claim {
        id: "feve",
        before: "Explains ",
        after: " of the response variance that the repeats say is explainable",
        in_percent: true,
    },
    Claim {
        id: "fraction_oracle_held",
        before: "Reaches ",
        after: " of the oracle, which predicts each trial from the other repeats, with behaviour held at its mean",
        in_percent: true,
    },
    Claim {
        id: "fraction_oracle",
        before: "Reaches ",
        after: " of the oracle, which predicts each trial from the other repeats",
        in_percent: true,
    },
    Claim {
        id: "single_trial_correlation",
        before: "Reaches a single-trial correlation of ",
        after: "",
        in_percent: false,
    },
];

impl Claim {
    fn words(&self, score: &Summary, mean: f64) -> String {
        let Self { before, after, in_percent, .. } = self;
        let value = if *in_percent && mean <= 0.0 { "none".into() } else { self.amount(mean) };
        let amount = |end: Option<f64>| self.amount(end.unwrap_or(f64::NAN));
        let ends = score.ci95.map(|ends| format!("95 % interval {}", interval(Some(ends), amount)));
        let n = (score.n > 0).then(|| format!("n = {}", count(score.n, "neuron")));
        let extent: Vec<String> = ends.into_iter().chain(n).collect();
        let extent = if extent.is_empty() { String::new() } else { format!(" ({})", extent.join(", ")) };
        let no_better = *in_percent && before.starts_with("Explains") && mean <= 0.0;
        let no_better = if no_better {
            " On average the mean response of each neuron would predict at least as well."
        } else {
            ""
        };
        format!("{before}{value}{after}{extent}.{no_better}")
    }

    fn amount(&self, value: f64) -> String {
        if self.in_percent {
            format!("{}\u{a0}%", decimal(Some(100.0 * value), 0))
        } else {
            decimal(Some(value), 2)
        }
    }
}

fn above_ceiling(claim: &Claim, mean: f64) -> &'static str {
    if claim.in_percent && mean > 1.0 {
        " More than 100 % does not say that the model is perfect: the ceiling is an estimate, or the model sees behaviour, \
         which repeats take for noise."
    } else {
        ""
    }
}

fn against_null(scores: &ScoreReport, claim: &Claim, score: &Summary) -> String {
    let Some((kind, null)) = scores.null_of(claim.id) else { return String::new() };
    let Some(chance) = null.mean else { return String::new() };
    let (kind, value) = (metric::control(kind), claim.amount(chance));
    if is_above(score, chance) {
        format!(" With {kind} it is {value}.")
    } else {
        format!(" That is no better than with {kind}: {value}.")
    }
}

/// Whether the interval of a score lies above what shuffled data reach; the mean, where there is no interval.
fn is_above(score: &Summary, chance: f64) -> bool {
    score.ci95.map(|[low, _]| low).or(score.mean).is_some_and(|low| low > chance)
}

/// The plain correlation beside the oracle, which sees no behaviour either.
fn ceiling(scores: &ScoreReport, claim: &Claim) -> String {
    let mean = |id: &str| scores.metrics.get(id).and_then(|score| score.mean);
    let held = format!("{CORRELATION}_held");
    let Some((model, oracle)) = mean(&held).or(mean(CORRELATION)).zip(mean("oracle_jackknife")) else {
        return String::new();
    };
    let [model, oracle] = [model, oracle].map(|value| decimal(Some(value), 2));
    match claim.id {
        CORRELATION => format!(" The oracle, the mean of the other repeats of a stimulus, reaches {oracle}."),
        _ => format!(
            " Its single-trial correlation is {model}; the oracle, the mean of the other repeats of a \
             stimulus, reaches {oracle}."
        ),
    }
}

/// What to do next, with the command that does it.
pub fn next(run: &Results) -> Option<String> {
    match (&run.standing.state, run.main_scores()) {
        (State::Failed(_), _) => Some("mend what the error names, and fit into a new folder.".into()),
        (State::Interrupted | State::Killed, _) => {
            run.resume.as_ref().map(|resume| format!("{resume} where it was stopped."))
        }
        (State::Running | State::Unknown(_), _) => {
            Some("the fit is not finished: make this page again when it is.".into())
        }
        (State::Finished, None) => None,
        (State::Finished, Some(scores)) => after_scores(run, scores),
    }
}

fn after_scores(run: &Results, scores: &ScoreReport) -> Option<String> {
    let correlation = scores.metrics.get(CORRELATION);
    let chance = scores.null_of(CORRELATION).and_then(|(_, null)| null.mean);
    let is_single = run.manifest.members.is_empty();
    if correlation.zip(chance).is_some_and(|(score, chance)| !is_above(score, chance)) {
        let words = "the predictions are no better than shuffled ones, so what the model has learned says nothing about these \
                     neurons: look at the learning curves, and at the recording with striate inspect.";
        return Some(words.into());
    }
    let has_barcodes =
        run.neurons() >= FEW && matches!(&run.parts, Some(Ok(parts)) if parts.features.is_some());
    if has_barcodes && run.types.is_none() {
        return Some(format!("`{}` asks whether the neurons fall into types.", run.explain));
    }
    let seeds = "how much of this is the luck of one seed? Fit again with another `seed=`, and give both runs to striate report.";
    is_single.then(|| seeds.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(metrics: serde_json::Value, control: serde_json::Value) -> String {
        let scores: ScoreReport =
            serde_json::from_value(json!({"metrics": metrics, "null": {"shuffle-neurons": control}}))
                .unwrap();
        let (claim, score, mean) = telling(&scores).unwrap();
        [claim.words(score, mean), against_null(&scores, claim, score), ceiling(&scores, claim)].concat()
    }

    #[test]
    fn a_score_stands_beside_its_null_and_its_ceiling_in_the_same_units() {
        let metrics = json!({"fev": {"mean": 0.826, "ci95": [0.811, 0.838], "n": 60},
            "single_trial_correlation": {"mean": 0.342}, "oracle_jackknife": {"mean": 0.258}});
        assert_eq!(
            said(metrics, json!({"fev": {"mean": -0.373}})),
            "Explains 83\u{a0}% of the noise-free response variance of the simulated neurons (95 % interval 81\u{a0}% to 84\u{a0}%, n = 60 \
             neurons). With neurons shuffled it is −37\u{a0}%. Its single-trial correlation is 0.34; the \
             oracle, the mean of the other repeats of a stimulus, reaches 0.26."
        );
    }

    #[test]
    fn what_is_not_above_its_null_is_not_called_so() {
        let metrics = |low: f64| json!({"fev": {"mean": -0.014, "ci95": [low, -0.005], "n": 1}});
        let null = json!({"fev": {"mean": -0.04}});
        let told = said(metrics(-0.02), null.clone());
        assert!(told.contains("Explains none") && told.contains("n = 1 neuron)."), "{told}");
        assert!(
            told.contains("would predict at least as well. With neurons shuffled it is −4\u{a0}%."),
            "{told}"
        );
        let told = said(metrics(-0.05), null);
        assert!(told.contains("no better than with neurons shuffled: −4\u{a0}%."), "{told}");
    }
}
