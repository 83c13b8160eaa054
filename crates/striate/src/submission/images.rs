//! The submission of images: a CSV of one mouse.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::require_all;
use crate::batch::stored_precisions;
use crate::disk;
use crate::error::{Error, Result};
use crate::recording::{Session, Tier};

/// Columns in the order in which they are written.
pub const COLUMNS: [&str; 4] = ["trial_indices", "image_ids", "prediction", "neuron_ids"];

/// Writes the submission of a tier.
///
/// `predictions` `[trial, neuron]` are in recorded units, for the trials of the tier in file order and for `neurons`,
/// indices into the recording, which must be all of them.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when the tier is empty, neurons are missing, a prediction is negative or not
/// finite, or the recording stores no statistics; [`Kind::Io`](crate::error::Kind::Io) when `path` cannot be written.
pub fn write(
    path: &Path,
    session: &Session,
    tier: &Tier,
    neurons: &[usize],
    predictions: &[f32],
) -> Result<()> {
    let form = Form::new(session, tier)?;
    require_all(session, neurons)?;
    form.check_predictions(predictions)?;
    let precisions = stored_precisions(session)?;
    disk::write_atomic(path, |out| {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(COLUMNS)?;
        let ids = list(&session.neurons.ids);
        for (&trial, row) in form.trials.iter().zip(predictions.chunks(neurons.len())) {
            let scaled: Vec<f32> = row.iter().zip(&precisions).map(|(value, scale)| value * scale).collect();
            let trial = &session.trials[trial];
            csv.write_record([&trial.id, &trial.stimulus_id, &list(&scaled), &ids])?;
        }
        csv.flush()
    })
}

/// A list as Python writes it: `[1.0, 2.5e-7]`. Numbers have the digits needed to read them back exactly.
pub(super) fn list(values: &[impl std::fmt::Debug]) -> String {
    format!("{values:?}")
}

/// What a complete submission has rows for.
pub(super) struct Form<'a> {
    pub session: &'a Session,
    /// Trials of the tier, in file order.
    pub trials: Vec<usize>,
    /// Place of each trial in `trials`, by its identifier.
    pub place_of: BTreeMap<&'a str, usize>,
}

impl<'a> Form<'a> {
    pub fn new(session: &'a Session, tier: &Tier) -> Result<Self> {
        if session.has_clips() {
            return Err(Error::data("holds videos, and this is the format of the competition of images")
                .file(&session.path)
                .hint("a submission of videos is Parquet"));
        }
        let trials = session.require_tier(tier)?;
        let mut place_of = BTreeMap::new();
        for (place, &trial) in trials.iter().enumerate() {
            let id = session.trials[trial].id.as_str();
            if place_of.insert(id, place).is_some() {
                let message = format!("two trials of tier `{tier}` are called `{id}`");
                return Err(Error::data(message).file(&session.path).trial(trial).key("trial_idx"));
            }
        }
        Ok(Self { session, trials, place_of })
    }

    fn check_predictions(&self, predictions: &[f32]) -> Result<()> {
        let all = self.session.neurons.len();
        if predictions.len() != self.trials.len() * all {
            let message = format!(
                "has {} values, expected {} trials × {all} neurons",
                predictions.len(),
                self.trials.len()
            );
            return Err(Error::data(message).key("predictions"));
        }
        let Some(at) = predictions.iter().position(|value| !is_response(*value)) else { return Ok(()) };
        let (trial, id) = (self.trials[at / all], self.session.neurons.ids[at % all]);
        Err(Error::data(format!("neuron {id} is predicted to respond with {}", predictions[at]))
            .trial(trial)
            .key("predictions")
            .hint("a submission takes numbers from 0 up: fit with another `model.output`, e.g. `softplus`"))
    }
}

pub(super) fn is_response(value: f32) -> bool {
    value.is_finite() && value >= 0.0
}

pub(super) fn unreadable(path: &Path, error: csv::Error) -> Error {
    Error::io("cannot read", path, io::Error::from(error))
}
