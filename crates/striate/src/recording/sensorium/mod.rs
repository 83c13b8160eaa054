//! The layout that the Sensorium competitions share.
//!
//! One folder or zip per session: one `.npy` file per trial and stream under `data/`, tables of
//! neurons and trials and statistics under `meta/`. Of images a file is one sample, of clips its last axis is time.

mod clips;
mod names;
mod tables;

use std::path::PathBuf;
use std::sync::Arc;

use clips::{Lengths, TimeFirst};
use names::{Names, STREAMS};
pub(super) use tables::TIERS;

use super::npy::{Number, lengths};
use super::root::Root;
use super::{Session, StimulusInfo, Stream, StreamInfo, TrialSource, Window};
use crate::error::{Error, Result};

/// More values than an image has.
const MOST_PIXELS: usize = 1 << 22;
/// More neurons than are recorded at once.
const MOST_NEURONS: usize = 1 << 20;

/// Where the competitions differ.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Id of the format.
    pub id: &'static str,
    /// Folder of the stimuli.
    pub stimuli: &'static str,
    /// Whether the last axis is time.
    pub clips: bool,
    /// Variables of behaviour, where it has as many.
    pub behavior: &'static [&'static [&'static str]],
}

impl Layout {
    /// The tables of the session at `root`.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) naming the file of what is missing or contradicts another.
    pub fn open(self, root: &Root) -> Result<Session> {
        let mut names = Names::list(root, self.stimuli)?;
        let mut warnings = Vec::new();
        let tiers = tables::tiers(root, &mut names, &mut warnings)?;
        let streams = self.streams(root, &names)?;
        let read = || Lengths::read(root, &names, &streams, tiers.len(), &mut warnings);
        let lengths = self.clips.then(read).transpose()?;
        let trials = tables::trials(root, &names, tiers, lengths.as_ref(), &mut warnings)?;
        let neurons = tables::neurons(root, &streams, &mut warnings)?;
        let images = streams.iter().find(|info| info.stream == Stream::Images);
        Ok(Session {
            id: root.name(),
            format: self.id,
            path: root.place(""),
            stimulus: StimulusInfo {
                kind: if self.clips { "video" } else { "image" },
                shape: images.map(|info| info.shape.clone()).unwrap_or_default(),
                rate_hz: self.clips.then(|| clips::rate(root, trials.len(), &mut warnings)).transpose()?,
            },
            statistics: tables::statistics(root, &names, &streams, self.clips, &mut warnings),
            licence: None,
            source: Arc::new(TrialFiles { root: root.clone(), names, lengths }),
            neurons,
            trials,
            streams,
            warnings,
        })
    }

    fn streams(self, root: &Root, names: &Names) -> Result<Vec<StreamInfo>> {
        let first = |stream: Stream| Some((stream, *names.of(stream).first_key_value()?.0));
        let info = |(stream, trial)| {
            let shape = self.first_shape(root, names, stream, trial)?;
            Ok(StreamInfo { stream, variables: self.variables(stream, &shape), shape })
        };
        STREAMS.into_iter().filter_map(first).map(info).collect()
    }

    fn first_shape(self, root: &Root, names: &Names, stream: Stream, trial: usize) -> Result<Vec<usize>> {
        let placed = |error: Error| names.placed(error, stream, trial);
        let stored = root.array_shape(&names.file(stream, trial)).map_err(placed)?;
        let (shape, time) = if self.clips { clips::without_time(&stored) } else { (&stored[..], "") };
        let most = if stream == Stream::Images { MOST_PIXELS } else { MOST_NEURONS };
        if shape.iter().product::<usize>() > most {
            return Err(placed(Error::data(format!(
                "has shape {stored:?}, a sample has at most {most} values"
            ))));
        }
        plain_shape(stream, shape).ok_or_else(|| {
            let axes = match (stream, self.clips) {
                (Stream::Images, false) => "channel, height, width",
                (Stream::Images, true) => "height, width",
                _ => "value",
            };
            placed(Error::data(format!("has shape {stored:?}, expected [{axes}{time}]")))
        })
    }

    fn variables(self, stream: Stream, shape: &[usize]) -> Vec<String> {
        let named: &[&[&str]] = match stream {
            Stream::Behavior => self.behavior,
            Stream::PupilCenter => &[&["horizontal", "vertical"]],
            Stream::Images | Stream::Responses => &[],
        };
        let fitting = named.iter().find(|names| shape == [names.len()]);
        fitting.into_iter().flat_map(|names| names.iter().map(|&name| name.to_owned())).collect()
    }
}

/// The shape of one sample as it is meant: `[1, n]` is read as `[n]`, and an image without an axis for channels has one.
fn plain_shape(stream: Stream, shape: &[usize]) -> Option<Vec<usize>> {
    if shape.is_empty() || shape.contains(&0) {
        return None;
    }
    let long: Vec<usize> = lengths(shape).copied().collect();
    match (stream, shape, long.as_slice()) {
        (Stream::Images, [_, _, _], _) => Some(shape.to_vec()),
        (Stream::Images, [height, width], _) => Some(vec![1, *height, *width]),
        (Stream::Images, ..) => None,
        (_, _, []) => Some(vec![1]),
        (_, _, [length]) => Some(vec![*length]),
        _ => None,
    }
}

/// One file per trial and stream.
#[derive(Debug)]
struct TrialFiles {
    root: Root,
    names: Names,
    /// Of clips.
    lengths: Option<Lengths>,
}

impl TrialSource for TrialFiles {
    fn stamp(&self) -> Option<String> {
        self.root.stamp()
    }

    fn read(&self, window: Window<'_>) -> Result<Vec<f32>> {
        self.values(&window)
    }

    fn read_f64(&self, window: Window<'_>) -> Result<Vec<f64>> {
        self.values(&window)
    }

    fn classes(&self, trials: usize) -> Result<Option<Vec<String>>> {
        tables::classes(&self.root, trials)
    }

    fn place(&self, stream: Stream, trial: usize) -> PathBuf {
        self.names.place(stream, trial)
    }

    fn table(&self, name: &str) -> PathBuf {
        self.root.place(name)
    }
}

impl TrialFiles {
    /// The window, `[sample, …]`; as it is stored, time is the last axis of clips.
    fn values<T: Number>(&self, window: &Window<'_>) -> Result<Vec<T>> {
        let file = self.names.file(window.stream, window.trial);
        let elements = window.shape.iter().product();
        let Some(lengths) = &self.lengths else {
            return self.root.numbers(&file, elements)?.expect(window.shape)?.numbers();
        };
        let shape = [window.shape, &[lengths.stored(window.stream, window.trial)]].concat();
        let mut values = TimeFirst::new(elements, window.samples);
        let samples = window.start..window.start + window.samples;
        self.root.each_row(&file, &shape, samples, |row| values.add(row))?;
        Ok(values.finish())
    }
}
