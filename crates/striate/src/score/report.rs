//! What `striate score --json` prints and a run folder keeps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Evaluation, Null, Scored, Settings, Summary, score};
use crate::error::Result;

/// Scores of one run on one tier of one recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreReport {
    /// Run folder.
    pub run: String,
    /// Recording that was scored on.
    pub recording: String,
    /// Tier of the trials.
    pub tier: String,
    /// Number of neurons.
    pub neurons: usize,
    /// Number of trials.
    pub trials: usize,
    /// Summary by metric id.
    pub metrics: BTreeMap<String, Summary>,
    /// Metrics that could not be computed, and why.
    pub omitted: BTreeMap<String, String>,
    /// Summaries on shuffled predictions, by control and metric id.
    pub null: BTreeMap<String, BTreeMap<String, Summary>>,
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
            null: BTreeMap::new(),
        }
    }

    /// Adds the scores of a null control; metrics that no prediction enters are left out of it.
    ///
    /// # Errors
    /// As [`Null::apply`].
    pub fn add_null(&mut self, null: Null, evaluation: &Evaluation, settings: &Settings) -> Result<()> {
        let mut summaries = score(&null.apply(evaluation, settings.seed)?, settings).summaries;
        summaries.retain(|id, _| depends_on_predictions(id));
        self.null.insert(null.id().into(), summaries);
        Ok(())
    }
}

fn depends_on_predictions(id: &str) -> bool {
    super::find(id).is_ok_and(|metric| metric.needs.contains(&super::Need::Predictions))
}

#[cfg(test)]
mod tests {
    use super::*;

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
