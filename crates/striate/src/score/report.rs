//! What `striate score --json` prints and a run folder keeps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Evaluation, METRICS, Metric, Null, Preset, Scored, Settings, Summary, score};
use crate::error::Result;

/// Scores of one run on one tier of one recording. What a file of an early version does not say is empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScoreReport {
    /// Run folder.
    pub run: String,
    /// SHA-256 of the weights of the model that was scored; empty where early versions did not say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Recording that was scored on.
    pub recording: String,
    /// Tier of the trials.
    pub tier: String,
    /// Whose rules were followed; empty where early versions did not say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub preset: String,
    /// Number of neurons.
    pub neurons: usize,
    /// Number of trials.
    pub trials: usize,
    /// Number of samples of trials that are clips: what metrics call a trial is one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<usize>,
    /// The first sample of each trial that is scored, from 0, of trials that are clips.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<usize>,
    /// Summary by metric id.
    pub metrics: BTreeMap<String, Summary>,
    /// Metrics that could not be computed, and why.
    pub omitted: BTreeMap<String, String>,
    /// Summaries on shuffled predictions, by control and metric id.
    pub null: BTreeMap<String, BTreeMap<String, Summary>>,
    /// Scores of each class of stimuli, where classes are known and there are several.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<String, ClassScores>,
    /// Sentences without which they would be taken for more than they are: trials that were fitted to or chosen by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cautions: Vec<String>,
    /// What to know before comparing them: which hold behaviour at its means, and which lie above their ceiling.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What one of several sessions adds to a joint report.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its own report.
    pub report: ScoreReport,
    /// Its scores.
    pub scored: Scored,
    /// Those of its null controls.
    pub nulls: Vec<(Null, Scored)>,
}

/// Scores on the trials whose stimulus is of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Number of trials.
    pub trials: usize,
    /// Number of samples of trials that are clips.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<usize>,
    /// Whether the model was fitted to trials of this class; none where that is not known.
    #[serde(default)]
    pub trained: Option<bool>,
    /// Summary by metric id.
    pub metrics: BTreeMap<String, Summary>,
}

impl ClassScores {
    /// Whether classes were trained on, in the order in which they are shown, and what is said of them.
    pub const TRAINED: [(Option<bool>, &'static str); 3] = [
        (Some(true), "trained on"),
        (Some(false), "never trained on"),
        (None, "not known whether trained on"),
    ];
}

impl ScoreReport {
    /// Report of scores already computed from `evaluation`.
    pub fn new(run: &str, recording: &str, tier: &str, evaluation: &Evaluation, scored: &Scored) -> Self {
        Self {
            run: run.into(),
            recording: recording.into(),
            tier: tier.into(),
            neurons: evaluation.neurons(),
            trials: evaluation.trials(),
            metrics: scored.summaries.clone(),
            omitted: scored.omitted.clone(),
            notes: notes(&scored.summaries),
            ..Self::default()
        }
    }

    /// Says whose rules were followed.
    pub fn by(mut self, preset: Preset) -> Self {
        self.preset = preset.id().into();
        self.notes.splice(0..0, preset.note(self.first.unwrap_or_default()));
        self
    }

    /// The first null control that has metric `id`: its kind and its score.
    pub fn null_of(&self, id: &str) -> Option<(&str, &Summary)> {
        self.null.iter().find_map(|(kind, scores)| Some((kind.as_str(), scores.get(id)?)))
    }

    /// Adds the scores of a null control, and returns them; metrics that no prediction enters are left out of it.
    ///
    /// # Errors
    /// As [`Null::apply`].
    pub fn add_null(&mut self, null: Null, evaluation: &Evaluation, settings: &Settings) -> Result<Scored> {
        let scored = score(&null.apply(evaluation, settings.seed)?, settings);
        self.set_null(null, &scored);
        Ok(scored)
    }

    fn set_null(&mut self, null: Null, scored: &Scored) {
        let mut summaries = scored.summaries.clone();
        summaries.retain(|id, _| depends_on_predictions(id));
        self.null.insert(null.id().into(), summaries);
    }

    /// Report of several sessions that one run `run` was scored on, over all their neurons.
    pub fn joint(run: &str, sessions: &[Part], settings: &Settings) -> Option<Self> {
        let first = &sessions.first()?.report;
        let scored: Vec<&Scored> = sessions.iter().map(|part| &part.scored).collect();
        let Scored { summaries, omitted, .. } = Scored::joint(&scored, settings);
        let sum = |of: fn(&Self) -> usize| sessions.iter().map(|part| of(&part.report)).sum();
        let samples: Option<Vec<usize>> = sessions.iter().map(|part| part.report.samples).collect();
        let mut all = Self {
            run: run.into(),
            model: first.model.clone(),
            recording: format!("{} sessions", sessions.len()),
            tier: first.tier.clone(),
            preset: String::new(),
            neurons: sum(|report| report.neurons),
            trials: sum(|report| report.trials),
            samples: samples.map(|samples| samples.iter().sum()),
            first: first.first,
            notes: notes(&summaries),
            metrics: summaries,
            omitted,
            null: BTreeMap::new(),
            classes: BTreeMap::new(),
            cautions: Vec::new(),
        };
        for null in Null::ALL {
            let own = |part: &Part| Some(part.nulls.iter().find(|(kind, _)| *kind == null)?.1.clone());
            let of: Option<Vec<Scored>> = sessions.iter().map(own).collect();
            if let Some(of) = of {
                all.set_null(null, &Scored::joint(&of.iter().collect::<Vec<_>>(), settings));
            }
        }
        all = all.by(settings.preset);
        all.cautions = told(sessions, &[], |report| &report.cautions);
        let notes = told(sessions, &all.notes, |report| &report.notes);
        all.notes.extend(notes);
        Some(all)
    }
}

/// What the reports on each session say beyond what is `known`, with the session it is said of.
fn told(sessions: &[Part], known: &[String], of: fn(&ScoreReport) -> &Vec<String>) -> Vec<String> {
    let of_all = |words: &String| sessions.iter().all(|part| of(&part.report).contains(words));
    let mut told = Vec::new();
    for Part { report, .. } in sessions {
        for words in of(report).iter().filter(|words| !known.contains(words)) {
            let whose = if of_all(words) { "each session" } else { &report.recording };
            let words = format!("{whose}: {words}");
            if !told.contains(&words) {
                told.push(words);
            }
        }
    }
    told
}

fn depends_on_predictions(id: &str) -> bool {
    let metric = METRICS.iter().find(|metric| metric.id == id || metric.held == Some(id));
    metric.is_some_and(|metric| metric.needs.contains(&super::Need::Predictions))
}

/// Sentences on scores that are not what they seem.
fn notes(summaries: &BTreeMap<String, Summary>) -> Vec<String> {
    let held: Vec<String> = METRICS
        .iter()
        .filter_map(|metric| metric.held.filter(|held| summaries.contains_key(*held)))
        .map(|held| format!("`{held}`"))
        .collect();
    let compare = (!held.is_empty()).then(|| {
        format!(
            "This model sees behaviour or pupil. Repeats count as noise what these change, so only predictions with both \
             held at their means can be compared with what repeats share: read {}.",
            held.join(", ")
        )
    });
    compare.into_iter().chain(METRICS.iter().flat_map(|metric| above_one(metric, summaries))).collect()
}

/// A sentence for each value of `metric` that lies above 1, its ceiling.
fn above_one(metric: &Metric, summaries: &BTreeMap<String, Summary>) -> Vec<String> {
    let Some(why) = metric.above_one else { return Vec::new() };
    let has_held = metric.held.is_some_and(|held| summaries.contains_key(held));
    let full = if has_held { "it counts what behaviour explains, which repeats take for noise" } else { why };
    let above = |id: &str, why: &str| {
        let mean = summaries.get(id)?.mean.filter(|mean| *mean > 1.0)?;
        Some(format!(
            "`{id}` is {mean:.2}, above its ceiling of 1: {why}. It does not say that the model is perfect."
        ))
    };
    let held = metric.held.and_then(|held| above(held, why));
    above(metric.id, full).into_iter().chain(held).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a preset skips of a model that looks back further is told, once of all.
    #[test]
    fn sentences_on_several_sessions_say_whom_they_are_of() {
        let part = |recording: &str, notes: &[&str]| {
            let report = ScoreReport { recording: recording.into(), first: Some(60), ..Default::default() };
            let mut report = report.by(Preset::Sensorium2023);
            report.notes.extend(notes.iter().map(|note| (*note).to_owned()));
            report.cautions = vec!["fitted to.".into()];
            Part { report, scored: Scored::default(), nulls: Vec::new() }
        };
        let parts = [part("a", &["short.", "of a."]), part("b", &["short."])];
        let settings = Settings { preset: Preset::Sensorium2023, ..Settings::default() };
        let joint = ScoreReport::joint("r", &parts, &settings).unwrap();
        assert!(joint.notes[0].contains("without the first 60 samples"), "{:?}", joint.notes);
        assert_eq!(joint.notes[1..], ["each session: short.", "a: of a."]);
        assert_eq!(joint.cautions, ["each session: fitted to."]);
    }

    #[test]
    fn reads_back_what_it_writes() {
        let responses = [1., 2., 3., 5., 4., 4., 0., 4.];
        let evaluation = Evaluation::new(2, &responses, &[0, 0, 1, 1]).unwrap();
        let evaluation = evaluation.with_predictions(&responses).unwrap();
        let settings = Settings { resamples: 20, ..Settings::default() };
        let mut report = ScoreReport::new("r", "d", "test", &evaluation, &score(&evaluation, &settings));
        report.add_null(Null::ShuffleTrials, &evaluation, &settings).unwrap();
        assert!(!report.null["shuffle-trials"].contains_key("oracle_jackknife"));
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<ScoreReport>(&json).unwrap(), report);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["metrics"]["feve"]["threshold"], 0.15);
        assert_eq!(value["omitted"]["fev"], "noise-free responses are known only in simulated recordings");
    }
}
