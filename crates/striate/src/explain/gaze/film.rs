//! A few seconds of what the camera saw and of what the model made of it, with some neurons beside.

use burn::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Options, moments};
use crate::array::Array;
use crate::error::{Error, Result};
use crate::explain::statistics::correlation;
use crate::recording::{Session, Stream, Tier};
use crate::twin::{State, Twin};

/// Pixels of all frames of a film, both before and after the correction: so many keep the report small.
const MOST_PIXELS: usize = 1 << 20;
/// Rows of all frames: a picture of more is not drawn by every browser.
const MOST_ROWS: usize = 15_000;

/// One neuron in the film.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Identifier in the recording.
    pub unit_id: i64,
    /// Correlation of what is predicted and what was recorded over the whole trial.
    pub correlation: Option<f64>,
    /// Recorded responses, one per frame.
    pub recorded: Vec<f32>,
    /// Predicted ones; none where the model has not seen enough yet.
    pub predicted: Vec<Option<f32>>,
}

/// A stretch of a trial. Its frames stand in `film.safetensors`: `camera` and `corrected`, `[frame, channel, height, width]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Film {
    /// Number of the trial.
    pub trial: usize,
    /// What it is called.
    pub id: String,
    /// Its tier.
    pub tier: String,
    /// First sample.
    pub start: usize,
    /// Frames per second.
    pub rate_hz: f64,
    /// Motion of each frame: right and down in pixels, clockwise in degrees.
    pub motions: Vec<[f32; 3]>,
    /// True motions, of a simulation.
    pub truth: Option<Vec<[f32; 3]>>,
    /// The best predicted neurons of the trial.
    pub neurons: Vec<Trace>,
}

/// The film that is asked for, and its frames before and after the correction.
pub(super) fn film(
    twin: &Twin,
    session: &Session,
    motions: &[Vec<[f32; 3]>],
    truth: Option<&[Vec<[f32; 3]>]>,
    options: &Options,
    device: &Device,
) -> Result<(Film, [Array; 2])> {
    let trial = trial(session, options)?;
    let rate_hz = session.stimulus.rate_hz.unwrap_or(1.0);
    let count = (options.seconds * rate_hz).round() as usize;
    let [channels, height, width] = twin.card.seen_shape();
    let most = (MOST_PIXELS / (2 * channels * height * width)).min(MOST_ROWS / height);
    let count = count.clamp(1, most.max(1)).min(session.trials[trial].samples);
    let start = start(&motions[trial], count, options)?;
    let read = |stream| session.read_samples(stream, trial, start..start + count);
    let frames = twin.corrected(&read(Stream::Images)?, &read(Stream::PupilCenter)?, device)?;
    let part = |all: &[Vec<[f32; 3]>]| all[trial][start..start + count].to_vec();
    let film = Film {
        trial,
        id: session.trials[trial].id.clone(),
        tier: session.trials[trial].tier.to_string(),
        start,
        rate_hz,
        motions: part(motions),
        truth: truth.map(part),
        neurons: traces(twin, session, trial, (start, count), options.neurons, device)?,
    };
    Ok((film, frames))
}

fn trial(session: &Session, options: &Options) -> Result<usize> {
    let held_out = session.trials_of(&Tier::Test).first().copied().unwrap_or(0);
    let trial = options.trial.unwrap_or(held_out);
    if trial >= session.trials.len() {
        let message = format!("there is no trial {trial}, but {}", session.trials.len());
        return Err(Error::config(message).key("trial").hint("trials are counted from 0"));
    }
    Ok(trial)
}

/// First of the `count` samples that are shown: where the motions differ from each other as much as in the whole trial.
fn start(motions: &[[f32; 3]], count: usize, options: &Options) -> Result<usize> {
    let last = motions.len() - count;
    if let Some(start) = options.start {
        let message = format!("must be at most {last}: the trial has {} samples", motions.len());
        return if start <= last { Ok(start) } else { Err(Error::config(message).key("start")) };
    }
    let [_, sd] = moments(motions);
    let unlike = |start: usize| {
        let [_, within] = moments(&motions[start..start + count]);
        within.iter().zip(sd).map(|(within, sd)| (within / sd.max(1e-9) - 1.0).abs()).sum::<f64>()
    };
    let starts = (0..=last).step_by((count / 4).max(1));
    Ok(starts.min_by(|&a, &b| unlike(a).total_cmp(&unlike(b))).unwrap_or(0))
}

/// The neurons of a trial that are predicted best, from `start` on for `count` samples.
fn traces(
    twin: &Twin,
    session: &Session,
    trial: usize,
    (start, count): (usize, usize),
    most: usize,
    device: &Device,
) -> Result<Vec<Trace>> {
    let (samples, lost, neurons) =
        (session.trials[trial].samples, twin.card.model.lost(), twin.card.neurons.len());
    if samples <= lost {
        return Ok(Vec::new());
    }
    let read = |stream, used: bool| if used { session.read(stream, trial) } else { Ok(Vec::new()) };
    let uses = twin.card.model.uses();
    let state = State {
        behaviour: read(Stream::Behavior, uses.behaviour)?,
        pupil: read(Stream::PupilCenter, uses.pupil)?,
    };
    let predicted = twin.respond(&session.read(Stream::Images, trial)?, samples, &state, device)?;
    let recorded = session.responses(trial, &twin.card.neurons)?;
    let known = |neuron: usize, sample: usize| predicted[(sample - lost) * neurons + neuron];
    let trace = |neuron: usize| {
        let pair = |sample: usize| {
            (f64::from(known(neuron, sample)), f64::from(recorded[sample * neurons + neuron]))
        };
        let shown = start..start + count;
        Trace {
            unit_id: twin.card.unit_ids[neuron],
            correlation: correlation((lost..samples).map(pair)),
            recorded: shown.clone().map(|sample| recorded[sample * neurons + neuron]).collect(),
            predicted: shown.map(|sample| (sample >= lost).then(|| known(neuron, sample))).collect(),
        }
    };
    let mut all: Vec<Trace> = (0..neurons).map(trace).collect();
    let rank = |of: &Trace| of.correlation.unwrap_or(f64::MIN);
    all.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    all.truncate(most);
    Ok(all)
}
