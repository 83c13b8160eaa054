//! striate's own format: one folder per session, each stream one array with time first, read by windows.
//!
//! ```text
//! SESSION/striate-store.json                      rate, shapes, where it came from, checksums
//! SESSION/responses.npy                           [sample, neuron], the trials one after another
//! SESSION/images.npy                              [sample, channel, height, width]
//! SESSION/behavior.npy · pupil_center.npy         [sample, variable]
//! SESSION/STREAM.mean.npy · STREAM.std.npy        statistics of a stream
//! SESSION/trials.parquet · neurons.parquet        or .csv
//! ```
//!
//! `docs/STORE.md` is the page of it, for those who write one by hand.

mod card;
mod convert;
mod tables;
mod verify;
mod write;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

pub use convert::{Converted, Outcome, convert};
pub(super) use tables::{classes_of, neurons_of};
pub use verify::{Verified, verify};

use self::card::{CARD, Card};
use self::tables::{TRIALS, Table, Trials};
use super::overlap;
use super::root::Root;
use super::samples::Samples;
use super::{Format, Session, Statistics, StimulusInfo, Stream, StreamInfo, Trial, TrialSource, Window, npy};
use crate::disk;
use crate::error::{Error, Result};

/// The entry in the list of formats.
pub const FORMAT: Format = Format {
    id: "striate-store",
    layout: "a folder with striate-store.json, trials.parquet and responses.npy, images.npy, … as `striate convert` writes them",
    recognise: |root| root.has(CARD) || (root.has("responses.npy") && Table::find(root, TRIALS).is_some()),
    open,
};

/// In the order in which they are written and listed.
const STREAMS: [Stream; 4] = [Stream::Images, Stream::Responses, Stream::Behavior, Stream::PupilCenter];

fn file_of(stream: Stream) -> String {
    format!("{stream}.npy")
}

fn open(root: &Root) -> Result<Session> {
    let card = Card::read(root)?;
    card.check_there(root)?;
    let arrays = arrays(root, &card)?;
    let Trials { trials, starts, classes } = tables::trials(root, &card)?;
    check_lengths(root, &trials, &starts, &arrays)?;
    let streams = arrays.iter().map(|(&stream, array)| info(stream, array, &card));
    let streams: Vec<StreamInfo> = streams.collect::<Result<_>>()?;
    let of = |stream: Stream| streams.iter().find(|info| info.stream == stream);
    let mut warnings = card.warnings.clone();
    let spans = trials.iter().zip(&starts).map(|(of, &start)| (start as f64, (start + of.samples) as f64));
    warnings.extend(overlap::told(&trials, &spans.collect::<Vec<_>>()));
    Ok(Session {
        id: root.name(),
        format: FORMAT.id,
        path: root.place(""),
        neurons: tables::neurons(
            root,
            &card,
            of(Stream::Responses).map_or(0, |info| info.shape[0]),
            &mut warnings,
        )?,
        stimulus: StimulusInfo {
            kind: if card.rate_hz.is_some() { "video" } else { "image" },
            shape: of(Stream::Images).map(|info| info.shape.clone()).unwrap_or_default(),
            rate_hz: card.rate_hz,
        },
        statistics: statistics(root, &card, &streams)?,
        licence: card.licence.clone(),
        source: Arc::new(Source {
            root: root.clone(),
            card,
            arrays,
            shown: trials.iter().map(|trial| trial.has_stimulus).collect(),
            starts,
            classes,
        }),
        trials,
        streams,
        warnings,
    })
}

/// The streams that the card names, or those that are there.
fn arrays(root: &Root, card: &Card) -> Result<BTreeMap<Stream, Samples>> {
    let is_there = |stream: &Stream| {
        *stream == Stream::Responses
            || card.streams.contains_key(stream)
            || (!card.is_sealed() && root.has(&file_of(*stream)))
    };
    let open = |stream: Stream| {
        let array = Samples::open(root, &file_of(stream)).map_err(|error| error.key(stream.name()))?;
        Ok((stream, array))
    };
    STREAMS.into_iter().filter(is_there).map(open).collect()
}

/// Every trial lies within every stream, and streams have samples at the same times.
fn check_lengths(
    root: &Root,
    trials: &[Trial],
    starts: &[usize],
    arrays: &BTreeMap<Stream, Samples>,
) -> Result<()> {
    let all = arrays[&Stream::Responses].len();
    if let Some((stream, array)) = arrays.iter().find(|(_, array)| array.len() != all) {
        let message = format!("has {} samples, responses.npy has {all}", array.len());
        return Err(Error::data(message).file(array.place()).key(stream.name()));
    }
    let end = |trial: usize| starts[trial].checked_add(trials[trial].samples);
    match (0..trials.len()).find(|&trial| end(trial).is_none_or(|end| end > all)) {
        Some(trial) => {
            let (start, samples) = (starts[trial], trials[trial].samples);
            let message =
                format!("has {samples} samples from sample {start} on, but the streams end at {all}");
            Err(Error::data(message).file(tables::place(root, TRIALS)).trial(trial))
        }
        None => Ok(()),
    }
}

fn info(stream: Stream, array: &Samples, card: &Card) -> Result<StreamInfo> {
    let shape = match (stream, array.shape()) {
        (_, shape) if shape.contains(&0) => None,
        (Stream::Images, &[height, width]) => Some(vec![1, height, width]),
        (Stream::Images, shape) => (shape.len() == 3).then(|| shape.to_vec()),
        (_, []) => Some(vec![1]),
        (_, shape) => (shape.len() == 1).then(|| shape.to_vec()),
    };
    let placed = |message: String| Error::data(message).file(array.place()).key(stream.name());
    let Some(shape) = shape else {
        let axes = if stream == Stream::Images { "channel, height, width" } else { "value" };
        return Err(placed(format!("has samples of shape {:?}, expected [{axes}]", array.shape())));
    };
    let told = card.streams.get(&stream);
    if let Some(told) = told.filter(|told| !told.shape.is_empty() && told.shape != shape) {
        return Err(placed(format!("has samples of shape {shape:?}, {CARD} says {:?}", told.shape)));
    }
    let variables = told.map(|told| told.variables.clone()).unwrap_or_default();
    Ok(StreamInfo { stream, shape, variables })
}

/// Statistics of each stream that has them, `[element]`, or `[sample, element]` where samples differ.
fn statistics(root: &Root, card: &Card, streams: &[StreamInfo]) -> Result<BTreeMap<Stream, Statistics>> {
    let read = |info: &StreamInfo| {
        let elements: usize = info.shape.iter().product();
        let moment = |name: &str| {
            let name = statistic(info.stream, name);
            let placed = |error: Error| error.file(root.place(&name));
            let whole = root.read(&name, disk::ARRAYS)?;
            card.check(&name, &whole).map_err(placed)?;
            let array = npy::parse(whole).map_err(placed)?;
            let samples = if array.shape.len() < 2 { 1 } else { array.shape[0] };
            if array.len() != 1 && array.len() != samples * elements {
                let message = format!("has {} values, a sample has {elements}", array.len());
                return Err(placed(Error::data(message)));
            }
            Ok((samples, array.to_f32().map_err(placed)?))
        };
        let ((samples, mean), (of_std, std)) = (moment("mean")?, moment("std")?);
        if (samples, mean.len()) != (of_std, std.len()) {
            let message = format!("has another shape than {}", statistic(info.stream, "mean"));
            return Err(Error::data(message).file(root.place(&statistic(info.stream, "std"))));
        }
        Ok((info.stream, Statistics { samples, mean, std }))
    };
    let stored = streams.iter().filter(|info| root.has(&statistic(info.stream, "mean")));
    stored.map(|info| read(info).map_err(|error: Error| error.key(info.stream.name()))).collect()
}

fn statistic(stream: Stream, name: &str) -> String {
    format!("{stream}.{name}.npy")
}

/// The arrays of a session, and where each trial begins in them.
#[derive(Debug)]
struct Source {
    root: Root,
    card: Card,
    arrays: BTreeMap<Stream, Samples>,
    starts: Vec<usize>,
    /// Whether the stimulus of a trial was recorded.
    shown: Vec<bool>,
    classes: Option<Vec<String>>,
}

impl Source {
    /// The array of a stream, and the samples in it that `window` is.
    fn samples(&self, window: &Window<'_>) -> Result<(&Samples, Range<usize>)> {
        if window.stream == Stream::Images && !self.shown[window.trial] {
            return Err(Error::data("the stimulus of this trial was not recorded"));
        }
        let first = self.starts[window.trial] + window.start;
        let array = self.arrays.get(&window.stream);
        let array = array.ok_or_else(|| Error::data(format!("there is no stream `{}`", window.stream)))?;
        Ok((array, first..first + window.samples))
    }

    fn array(&self, window: &Window<'_>) -> Result<npy::Array> {
        let (array, samples) = self.samples(window)?;
        array.read(samples)
    }
}

impl TrialSource for Source {
    fn read(&self, window: Window<'_>) -> Result<Vec<f32>> {
        self.array(&window)?.to_f32()
    }

    fn read_f64(&self, window: Window<'_>) -> Result<Vec<f64>> {
        self.array(&window)?.to_f64()
    }

    fn each_sample(&self, window: Window<'_>, take: &mut dyn FnMut(&mut [f32])) -> Result<()> {
        let (array, samples) = self.samples(&window)?;
        array.each(samples, take)
    }

    fn verify(&self) -> Result<()> {
        verify::damage(&self.root, &self.card).into_iter().next().map_or(Ok(()), Err)
    }

    fn classes(&self, _trials: usize) -> Result<Option<Vec<String>>> {
        Ok(self.classes.clone())
    }

    fn stamp(&self) -> Option<String> {
        self.root.stamp()
    }

    fn place(&self, stream: Stream, _trial: usize) -> PathBuf {
        self.root.place(&file_of(stream))
    }

    fn table(&self, name: &str) -> PathBuf {
        let ours = match name.split('/').collect::<Vec<_>>()[..] {
            ["meta", "neurons", ..] => return tables::place(&self.root, tables::NEURONS),
            ["meta", "trials", ..] => return tables::place(&self.root, TRIALS),
            ["meta", "statistics", stream, ..] => format!("{stream}.mean.npy"),
            _ => name.to_owned(),
        };
        self.root.place(&ours)
    }
}
