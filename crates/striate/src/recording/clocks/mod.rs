//! Signals that run on clocks of their own, brought to the one clock of a session.
//!
//! Each signal has times and a [`Rule`]; trials are stretches of time. Nothing is copied: what a window of a trial takes is
//! read from the files when it is asked for, and `striate convert` makes a store of it.

mod events;
mod experanto;
mod gaps;
mod rule;
mod settings;
mod signal;
mod yaml;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub use experanto::FORMAT as EXPERANTO;
pub use rule::Rule;
pub use settings::EXAMPLE;
pub(super) use settings::{is_settings, open};
use signal::{Grid, Signal};

use super::{Neurons, Session, StimulusInfo, Stream, StreamInfo, Trial, TrialSource, Window, overlap};
use crate::error::{Error, Result};

/// Part of a sample that a trial may lack at its end: times are rounded.
const ROUNDED: f64 = 1e-3;
/// Samples of a trial beyond which its times are in another unit.
const MOST_SAMPLES: f64 = (1 << 22) as f64;

/// Signals, and when each trial began.
#[derive(Debug)]
struct Clocks {
    signals: BTreeMap<Stream, Signals>,
    grids: Vec<Grid>,
    /// Where tables lie.
    table: PathBuf,
    classes: Option<Vec<String>>,
    stamp: Option<String>,
}

/// What a stream is made of.
#[derive(Debug)]
enum Signals {
    /// The values of these, one after another, in all trials.
    Beside(Vec<Signal>),
    /// One for each trial; none where it was not recorded.
    PerTrial(Vec<Option<Signal>>),
}

impl Signals {
    fn of(&self, trial: usize) -> Vec<&Signal> {
        match self {
            Self::Beside(signals) => signals.iter().collect(),
            Self::PerTrial(trials) => trials[trial].iter().collect(),
        }
    }

    fn empty(&self) -> Error {
        let error = Error::data("holds no events, or no values at any time: of which units is not told");
        match self.of(0).first() {
            Some(signal) => error.file(signal.place()),
            None => error,
        }
    }

    /// Shape of one sample, which all trials share.
    fn shape(&self, stream: Stream) -> Result<Vec<usize>> {
        if stream != Stream::Images {
            let width = self.of(0).iter().map(|signal| signal.width()).sum();
            return if width > 0 { Ok(vec![width]) } else { Err(self.empty()) };
        }
        let all: Vec<&Signal> = match self {
            Self::Beside(signals) => signals.iter().collect(),
            Self::PerTrial(trials) => trials.iter().flatten().collect(),
        };
        let shapes = all.iter().map(|signal| signal.frame()).collect::<Result<Vec<_>>>()?;
        let first = shapes.first().cloned().unwrap_or_default();
        match shapes.iter().position(|shape| *shape != first) {
            Some(other) => Err(Error::data(format!("has frames of {:?}, others {first:?}", shapes[other]))
                .file(all[other].place())),
            None => Ok(first),
        }
    }
}

impl Clocks {
    /// That every signal has values for every trial.
    fn check(&self, trials: &[Trial], streams: &[StreamInfo]) -> Result<()> {
        for (trial, (of, grid)) in trials.iter().zip(&self.grids).enumerate() {
            for StreamInfo { stream, .. } in streams {
                let signals = self.signals.get(stream).map(|signals| signals.of(trial)).unwrap_or_default();
                let check = |signal: &&Signal| signal.check(*grid, of.samples);
                signals.iter().try_for_each(check).map_err(|e| e.trial(trial).key(stream.name()))?;
            }
        }
        Ok(())
    }
}

impl TrialSource for Clocks {
    fn read(&self, window: Window<'_>) -> Result<Vec<f32>> {
        Ok(self.read_f64(window)?.into_iter().map(|value| value as f32).collect())
    }

    fn read_f64(&self, window: Window<'_>) -> Result<Vec<f64>> {
        let signals = self.signals.get(&window.stream).map(|signals| signals.of(window.trial));
        let samples = window.start..window.start + window.samples;
        let read = |signal: &Signal| signal.read(self.grids[window.trial], samples.clone());
        match signals.unwrap_or_default()[..] {
            [] => Err(Error::data("was not recorded in this trial")),
            [signal] => read(signal),
            ref several => {
                let parts = several.iter().map(|signal| Ok((signal.width(), read(signal)?)));
                let parts: Vec<(usize, Vec<f64>)> = parts.collect::<Result<_>>()?;
                let row = |at: usize| parts.iter().flat_map(move |(width, all)| &all[at * width..][..*width]);
                Ok((0..window.samples).flat_map(row).copied().collect())
            }
        }
    }

    fn classes(&self, _trials: usize) -> Result<Option<Vec<String>>> {
        Ok(self.classes.clone())
    }

    fn stamp(&self) -> Option<String> {
        self.stamp.clone()
    }

    fn place(&self, stream: Stream, trial: usize) -> PathBuf {
        let signals = self.signals.get(&stream).map(|signals| signals.of(trial)).unwrap_or_default();
        signals.first().map_or_else(|| self.table.clone(), |signal| signal.place())
    }

    fn table(&self, _name: &str) -> PathBuf {
        self.table.clone()
    }
}

/// What a session of such signals is made of.
struct Parts {
    id: String,
    format: &'static str,
    path: PathBuf,
    rate_hz: Option<f64>,
    neurons: Neurons,
    trials: Vec<Trial>,
    grids: Vec<Grid>,
    signals: BTreeMap<Stream, Signals>,
    variables: BTreeMap<Stream, Vec<String>>,
    /// Where the tables lie.
    table: PathBuf,
    /// Class of each stimulus, where it is known.
    classes: Option<Vec<String>>,
    stamp: Option<String>,
    warnings: Vec<String>,
}

/// The session, once every signal has values for every trial.
fn session(parts: Parts) -> Result<Session> {
    let streams = parts.signals.iter().map(|(&stream, signals)| {
        let shape = signals.shape(stream).map_err(|error| error.key(stream.name()))?;
        let variables = parts.variables.get(&stream).cloned().unwrap_or_default();
        Ok(StreamInfo { stream, shape, variables })
    });
    let streams: Vec<StreamInfo> = streams.collect::<Result<_>>()?;
    let images = streams.iter().find(|info| info.stream == Stream::Images);
    let clocks = Clocks {
        signals: parts.signals,
        grids: parts.grids,
        table: parts.table,
        classes: parts.classes,
        stamp: parts.stamp,
    };
    clocks.check(&parts.trials, &streams)?;
    let gaps = clocks
        .signals
        .iter()
        .flat_map(|(&stream, signals)| gaps::told(stream, signals, &clocks.grids, &parts.trials));
    let mut warnings: Vec<String> = parts.warnings.into_iter().chain(gaps).collect();
    for (&stream, signals) in &clocks.signals {
        warnings.extend(events::told(stream, signals, &clocks.grids, &parts.trials)?);
    }
    let spans: Vec<(f64, f64)> =
        clocks.grids.iter().zip(&parts.trials).map(|(grid, of)| grid.span(of.samples)).collect();
    warnings.extend(overlap::told(&parts.trials, &spans));
    Ok(Session {
        id: parts.id,
        format: parts.format,
        path: parts.path,
        neurons: parts.neurons,
        trials: parts.trials,
        stimulus: StimulusInfo {
            kind: if parts.rate_hz.is_some() { "video" } else { "image" },
            shape: images.map(|info| info.shape.clone()).unwrap_or_default(),
            rate_hz: parts.rate_hz,
        },
        streams,
        statistics: BTreeMap::new(),
        licence: None,
        warnings,
        source: Arc::new(clocks),
    })
}

/// Samples of a trial from `start_s` to `end_s`, where `rate_hz` tells how many there are in a second; else a single one.
fn grid(start_s: f64, end_s: f64, rate_hz: Option<f64>) -> Result<(Grid, usize)> {
    let lasts = end_s - start_s;
    // Not `lasts <= 0.0`, which is false for NaN.
    if !(lasts > 0.0 && start_s.is_finite() && end_s.is_finite()) {
        return Err(Error::data(format!("begins at {start_s} s and ends at {end_s} s")));
    }
    let Some(rate) = rate_hz else { return Ok((Grid { start_s, step_s: lasts }, 1)) };
    match (lasts * rate + ROUNDED).floor() {
        samples if samples < 1.0 => {
            Err(Error::data(format!("lasts {lasts} s, less than a sample of {} s", 1.0 / rate)))
        }
        samples => Ok((Grid { start_s, step_s: 1.0 / rate }, count_of(samples, lasts)?)),
    }
}

/// So many samples of a trial that lasts so many seconds.
fn count_of(samples: f64, lasts_s: f64) -> Result<usize> {
    if samples > MOST_SAMPLES {
        return Err(Error::data(format!("lasts {lasts_s} s: times are expected in seconds")));
    }
    Ok(samples as usize)
}
