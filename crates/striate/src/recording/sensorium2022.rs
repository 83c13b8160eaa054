//! Static recordings in the layout of the Sensorium 2022 competition, also used by Lurz et al. 2020.
//!
//! One folder or zip per session: one `.npy` file per trial and stream under `data/`, tables of
//! neurons and trials and statistics under `meta/`.
//!
//! # Source
//! Willeke et al. 2022 (arXiv 2206.08666), data at gin.g-node.org/cajal/Sensorium2022.

mod names;
mod tables;

use std::path::PathBuf;
use std::sync::Arc;

use names::{Names, STREAMS};

use super::npy::{Array, lengths};
use super::root::Root;
use super::{Format, Session, StimulusInfo, Stream, StreamInfo, TrialSource};
use crate::error::{Error, Result};

/// The entry in the list of formats.
pub const FORMAT: Format = Format {
    id: "sensorium2022",
    layout: "a folder with data/{images,responses,…}/<trial>.npy and meta/{neurons,trials,…}/<table>.npy",
    recognise,
    open,
};

/// More values than an image has.
const MOST_PIXELS: usize = 1 << 22;
/// More neurons than are recorded at once.
const MOST_NEURONS: usize = 1 << 20;

fn recognise(root: &Root) -> bool {
    (root.has(tables::TIERS) || root.has_any("data/responses")) && !root.has_any("data/videos")
}

fn open(root: &Root) -> Result<Session> {
    let mut names = Names::list(root)?;
    let mut warnings = Vec::new();
    let trials = tables::trials(root, &mut names, &mut warnings)?;
    let streams = streams(root, &names)?;
    let neurons = tables::neurons(root, &streams, &mut warnings)?;
    let images = streams.iter().find(|info| info.stream == Stream::Images);
    Ok(Session {
        id: root.name(),
        format: FORMAT.id,
        path: root.place(""),
        stimulus: StimulusInfo {
            kind: "image",
            shape: images.map(|info| info.shape.clone()).unwrap_or_default(),
            rate_hz: None,
        },
        statistics: tables::statistics(root, &streams, &mut warnings),
        licence: None,
        source: Arc::new(TrialFiles { root: root.clone(), names }),
        neurons,
        trials,
        streams,
        warnings,
    })
}

fn streams(root: &Root, names: &Names) -> Result<Vec<StreamInfo>> {
    let first = |stream: Stream| Some((stream, *names.of(stream).first_key_value()?.0));
    STREAMS
        .into_iter()
        .filter_map(first)
        .map(|(stream, trial)| Ok(StreamInfo { stream, shape: first_shape(root, names, stream, trial)? }))
        .collect()
}

fn first_shape(root: &Root, names: &Names, stream: Stream, trial: usize) -> Result<Vec<usize>> {
    let placed = |error: Error| error.file(names.place(stream, trial)).trial(trial).key(stream.name());
    let shape = root.array_shape(&names.file(stream, trial)).map_err(placed)?;
    let most = if stream == Stream::Images { MOST_PIXELS } else { MOST_NEURONS };
    if shape.iter().product::<usize>() > most {
        return Err(placed(Error::data(format!("has shape {shape:?}, a trial has at most {most} values"))));
    }
    match plain_shape(stream, &shape) {
        Some(plain) => Ok(plain),
        None => {
            let axes = if stream == Stream::Images { "[channel, height, width]" } else { "[value]" };
            Err(placed(Error::data(format!("has shape {shape:?}, expected {axes}"))))
        }
    }
}

/// The shape of one trial as it is meant: `[1, n]` is read as `[n]`, and an image without an axis for channels has one.
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
}

impl TrialSource for TrialFiles {
    fn stamp(&self) -> Option<String> {
        self.root.stamp()
    }

    fn read(&self, stream: Stream, trial: usize, shape: &[usize]) -> Result<Vec<f32>> {
        self.array(stream, trial, shape)?.to_f32()
    }

    fn read_f64(&self, stream: Stream, trial: usize, shape: &[usize]) -> Result<Vec<f64>> {
        self.array(stream, trial, shape)?.to_f64()
    }

    fn place(&self, stream: Stream, trial: usize) -> PathBuf {
        self.names.place(stream, trial)
    }

    fn table(&self, name: &str) -> PathBuf {
        self.root.place(name)
    }
}

impl TrialFiles {
    fn array(&self, stream: Stream, trial: usize, shape: &[usize]) -> Result<Array> {
        self.root.numbers(&self.names.file(stream, trial), shape.iter().product())?.expect(shape)
    }
}
