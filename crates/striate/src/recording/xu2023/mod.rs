//! Freely moving mice in the layout of Xu et al. 2023: a head camera, spikes, and signals of head, eye and body.
//!
//! ```text
//! MOUSE/{train,test}_nsp_seg_K.npy                [sample, unit]: spikes in bins of 48 ms
//! MOUSE/{train,test}_vid_mean_seg_K.npy           [sample, height, width]
//! MOUSE/{train,test}_{speed,pitch,…}_seg_K.npy    [sample]
//! ```
//!
//! A trial is one part of one segment. Pixels lie between 0 and 1, the least and the largest of each file; missing values of
//! behaviour are 0, as in the authors' code (`papers/xu2023.md#files`).

mod parts;
mod units;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use super::root::Root;
use super::samples::Samples;
use super::{Format, Neurons, Session, StimulusInfo, Stream, StreamInfo, Tier, Trial, TrialSource, Window};
use crate::error::{Error, Result, in_order};
pub use parts::{Part, is_file};

/// The entry in the list of formats.
pub const FORMAT: Format = Format {
    id: "xu2023",
    layout: "a folder of one mouse with {train,test}_{nsp,vid_mean,speed,pitch,roll,phi,th,eyerad}_seg_<n>.npy",
    recognise: parts::is_any,
    open,
};

/// Seconds of a sample.
pub const BIN_S: f64 = 0.048;
/// Key of the spikes.
pub const SPIKES: &str = "nsp";
/// Key of the video that the paper's models see.
pub const VIDEO: &str = "vid_mean";
/// Keys of behaviour, in the order of its variables: running, head and eye in degrees, pupil.
pub const SIGNALS: [&str; 6] = ["speed", "pitch", "roll", "phi", "th", "eyerad"];
/// Those of them that say where the animal looks, in the order in which the gaze correction takes them.
pub const GAZE: [&str; 4] = ["th", "phi", "pitch", "roll"];

/// More samples than a part has: seven hours.
const MOST_SAMPLES: usize = 1 << 19;
const MOST_PIXELS: usize = 1 << 22;
const MOST_UNITS: usize = 1 << 20;
/// Frames that are held as 64-bit numbers at once.
const AT_ONCE: usize = 256;
/// A range of pixels below this is none.
const NO_RANGE: f64 = 1e-8;

fn signals() -> impl Iterator<Item = &'static str> {
    SIGNALS.into_iter()
}

fn open(root: &Root) -> Result<Session> {
    let parts = parts::parts(root)?;
    let stretches = in_order(parts.par_iter().map(|&part| Stretch::open(root, part)).collect())?;
    let (units, shape) = alike(&stretches)?;
    let segments = parts.last().map_or(0, |part| part.segment + 1);
    let (kept, mut warnings) = units::kept(&root.name(), units, segments);
    warnings.extend(missing_values(&stretches));
    let info = |stream, shape: &[usize], variables: &[&str]| StreamInfo {
        stream,
        shape: shape.to_vec(),
        variables: variables.iter().map(|&name| name.to_owned()).collect(),
    };
    Ok(Session {
        id: root.name(),
        format: FORMAT.id,
        path: root.place(""),
        neurons: Neurons { ids: kept.iter().map(|&unit| unit as i64).collect(), ..Neurons::default() },
        trials: stretches.iter().map(Stretch::trial).collect(),
        streams: vec![
            info(Stream::Images, &shape, &[]),
            info(Stream::Responses, &[kept.len()], &[]),
            info(Stream::Behavior, &[SIGNALS.len()], &SIGNALS),
            info(Stream::PupilCenter, &[GAZE.len()], &GAZE),
        ],
        stimulus: StimulusInfo { kind: "video", shape, rate_hz: Some(1.0 / BIN_S) },
        statistics: Default::default(),
        licence: None,
        warnings,
        source: Arc::new(Source { root: root.clone(), stretches, kept }),
    })
}

/// Units, and shape of a frame, of all parts.
fn alike(stretches: &[Stretch]) -> Result<(usize, Vec<usize>)> {
    let first = &stretches[0];
    let differs = |stretch: &&Stretch, of: fn(&Stretch) -> &Samples| of(stretch).shape() != of(first).shape();
    for (of, key) in [((|s| &s.spikes) as fn(&Stretch) -> &Samples, SPIKES), (|s| &s.video, VIDEO)] {
        if let Some(other) = stretches.iter().find(|stretch| differs(stretch, of)) {
            let (of_other, of_first) = (of(other), of(first));
            let message = format!(
                "has samples of shape {:?}, {} of {:?}",
                of_other.shape(),
                first.part.file(key),
                of_first.shape()
            );
            return Err(Error::data(message).file(of_other.place()).key(key));
        }
    }
    Ok((first.spikes.shape()[0], [&[1], first.video.shape()].concat()))
}

/// How many samples of which signals were missing, in words.
fn missing_values(stretches: &[Stretch]) -> Option<String> {
    let all: usize = stretches.iter().map(|stretch| stretch.spikes.len()).sum();
    let of = |at: usize| stretches.iter().map(|stretch| stretch.missing[at]).sum::<usize>();
    let named =
        SIGNALS.iter().enumerate().map(|(at, name)| (name, of(at))).filter(|(_, missing)| *missing > 0);
    let named: Vec<String> = named.map(|(name, missing)| format!("{missing} of `{name}`")).collect();
    let words = || format!("of {all} samples, {} are missing, and read as 0", named.join(", "));
    (!named.is_empty()).then(words)
}

/// One trial: the arrays of one part.
#[derive(Debug)]
struct Stretch {
    part: Part,
    spikes: Samples,
    video: Samples,
    /// `[sample, signal]`, 0 where they are missing.
    signals: Vec<f32>,
    /// Samples in which each is.
    missing: [usize; SIGNALS.len()],
    /// Least pixel of the file, and what lies between that and the largest; once asked for.
    range: OnceLock<(f64, f64)>,
}

impl Stretch {
    fn open(root: &Root, part: Part) -> Result<Self> {
        let spikes = array(root, part, SPIKES, "[sample, unit]", 1, MOST_UNITS)?;
        let video = array(root, part, VIDEO, "[sample, height, width]", 2, MOST_PIXELS)?;
        let samples = spikes.len();
        let mut signals = vec![0.0; samples * SIGNALS.len()];
        let mut missing = [0; SIGNALS.len()];
        let other_length = |key: &str, has: usize| {
            let message = format!("has {has} samples, {} has {samples}", part.file(SPIKES));
            Error::data(message)
                .file(root.place(&part.file(key)))
                .key(key)
                .hint("all files of one part of a segment have the same bins")
        };
        if video.len() != samples {
            return Err(other_length(VIDEO, video.len()));
        }
        for (at, key) in SIGNALS.into_iter().enumerate() {
            let (name, placed) =
                (part.file(key), |error: Error| error.file(root.place(&part.file(key))).key(key));
            match root.array_shape(&name)?[..] {
                [has] if has != samples => return Err(other_length(key, has)),
                _ => {}
            }
            let stored = root.numbers(&name, samples)?.expect(&[samples]).and_then(|array| array.to_f32());
            for (row, value) in signals.chunks_exact_mut(SIGNALS.len()).zip(stored.map_err(placed)?) {
                missing[at] += usize::from(value.is_nan());
                row[at] = if value.is_nan() { 0.0 } else { value };
            }
        }
        Ok(Self { part, spikes, video, signals, missing, range: OnceLock::new() })
    }

    fn trial(&self) -> Trial {
        Trial {
            id: self.part.id(),
            tier: if self.part.is_test { Tier::Test } else { Tier::Train },
            stimulus_id: self.part.id(),
            has_stimulus: true,
            samples: self.spikes.len(),
        }
    }

    /// Frames between 0 and 1.
    fn frames(&self, samples: Range<usize>, at_once: usize) -> Result<Vec<f32>> {
        let (least, range) = self.range(at_once)?;
        let mut frames = Vec::with_capacity(samples.len() * self.video.shape().iter().product::<usize>());
        for window in windows(samples, at_once) {
            let stored = self.video.read(window)?.to_f64()?;
            frames.extend(stored.iter().map(|pixel| ((pixel - least) / range) as f32));
        }
        Ok(frames)
    }

    /// Least pixel of all frames and the range of all, 1 where there is none.
    fn range(&self, at_once: usize) -> Result<(f64, f64)> {
        if let Some(known) = self.range.get() {
            return Ok(*known);
        }
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for window in windows(0..self.video.len(), at_once) {
            for pixel in self.video.read(window)?.to_f64()? {
                (least, most) = (least.min(pixel), most.max(pixel));
            }
        }
        let range = most - least;
        Ok(*self.range.get_or_init(|| (least, if range > NO_RANGE { range } else { 1.0 })))
    }

    /// Spikes of some units, `[sample, unit]`.
    fn counts(&self, samples: Range<usize>, units: &[usize]) -> Result<Vec<f32>> {
        let stored = self.spikes.read(samples.clone())?.to_f32()?;
        let of_samples = stored.chunks_exact(self.spikes.shape()[0]);
        let counts: Vec<f32> = of_samples.flat_map(|all| units.iter().map(|&unit| all[unit])).collect();
        let is_count = |value: &f32| !value.is_finite() || (*value >= 0.0 && value.fract() == 0.0);
        match counts.iter().position(|value| !is_count(value)) {
            None => Ok(counts),
            Some(at) => {
                let (sample, unit) = (samples.start + at / units.len(), units[at % units.len()]);
                let message = format!("unit {unit} has {} spikes in sample {sample}: no count", counts[at]);
                Err(Error::data(message).hint(
                    "this format has counts of spikes in bins of 48 ms; rates and traces belong into a store (docs/STORE.md)",
                ))
            }
        }
    }

    fn signals(&self, samples: Range<usize>, of: &[usize]) -> Vec<f32> {
        let rows = self.signals.chunks_exact(SIGNALS.len()).skip(samples.start).take(samples.len());
        rows.flat_map(|row| of.iter().map(|&at| row[at])).collect()
    }
}

/// A part of `samples` after another, each of no more than so many.
fn windows(samples: Range<usize>, at_once: usize) -> impl Iterator<Item = Range<usize>> {
    let end = samples.end;
    samples.step_by(at_once.max(1)).map(move |start| start..start.saturating_add(at_once).min(end))
}

/// The array of `key`, whose samples have so many axes and not more than `most` values.
fn array(root: &Root, part: Part, key: &str, axes: &str, count: usize, most: usize) -> Result<Samples> {
    let samples = Samples::open(root, &part.file(key)).map_err(|error| error.key(key))?;
    let (length, shape) = (samples.len(), samples.shape());
    let placed = |message: String| Err(Error::data(message).file(samples.place()).key(key));
    let stored = || [&[length], shape].concat();
    if shape.len() != count || length == 0 || shape.contains(&0) {
        return placed(format!("has shape {:?}, expected {axes}", stored()));
    }
    if length > MOST_SAMPLES || shape.iter().product::<usize>() > most {
        return placed(format!(
            "has shape {:?}: more than {MOST_SAMPLES} samples, or than {most} values in each",
            stored()
        ));
    }
    Ok(samples)
}

#[derive(Debug)]
struct Source {
    root: Root,
    stretches: Vec<Stretch>,
    /// Columns of the units that are kept.
    kept: Vec<usize>,
}

impl TrialSource for Source {
    fn read(&self, window: Window<'_>) -> Result<Vec<f32>> {
        let stretch = &self.stretches[window.trial];
        let samples = window.start..window.start + window.samples;
        match window.stream {
            // Of a file in an archive all is read whatever is asked for.
            Stream::Images if !self.root.path().is_dir() => stretch.frames(samples, usize::MAX),
            Stream::Images => stretch.frames(samples, AT_ONCE),
            Stream::Responses => stretch.counts(samples, &self.kept),
            Stream::Behavior => Ok(stretch.signals(samples, &SIGNALS.map(place_of))),
            Stream::PupilCenter => Ok(stretch.signals(samples, &GAZE.map(place_of))),
        }
    }

    fn stamp(&self) -> Option<String> {
        self.root.stamp()
    }

    fn place(&self, stream: Stream, trial: usize) -> PathBuf {
        let key = match stream {
            Stream::Images => VIDEO,
            Stream::Responses => SPIKES,
            Stream::Behavior => SIGNALS[0],
            Stream::PupilCenter => GAZE[0],
        };
        self.root.place(&self.stretches[trial].part.file(key))
    }

    fn table(&self, name: &str) -> PathBuf {
        self.root.place(name)
    }
}

fn place_of(signal: &str) -> usize {
    SIGNALS.iter().position(|name| *name == signal).unwrap_or_default()
}
