//! What was measured: neurons, trials and the streams recorded in each trial.
//!
//! A [`Recording`] holds one or more [`Session`]s. Opening one reads only its small tables;
//! the streams of a trial are read when asked for, so memory does not grow with the recording.
//!
//! All streams of a session run on one clock, and a trial is a stretch of samples on it. A still image is a clip of one
//! sample.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, list, pasted};
pub use classes::read_classes;
pub use content::Content;
pub use interrupt::Interrupt;
pub(crate) use read::finite;
use root::Root;

pub mod antolik2016;
mod archive;
mod classes;
pub mod clocks;
mod content;
mod interrupt;
pub mod files;
pub mod formats;
mod licence;
mod overlap;
pub mod npy;
mod npy_header;
mod read;
pub mod root;
mod samples;
mod sensorium;
pub mod sensorium2022;
pub mod sensorium2023;
pub mod store;
pub mod write;
pub mod xu2023;

/// One or more sessions opened from one path.
#[derive(Debug)]
pub struct Recording {
    /// Where it was opened.
    pub path: PathBuf,
    /// Sessions in the order of the files.
    pub sessions: Vec<Session>,
}

/// One animal, one set of neurons, one list of trials.
#[derive(Debug)]
pub struct Session {
    /// Name of the session, e.g. `static20457-5-9-preproc0`.
    pub id: String,
    /// Format id, e.g. `sensorium2022`.
    pub format: &'static str,
    /// The folder or archive it was read from.
    pub path: PathBuf,
    /// Recorded neurons.
    pub neurons: Neurons,
    /// Trials in the order of the files, which need not be the order in time.
    pub trials: Vec<Trial>,
    /// What the animal saw.
    pub stimulus: StimulusInfo,
    /// Streams that can be read, with the shape of one trial.
    pub streams: Vec<StreamInfo>,
    /// Per-stream statistics stored with the recording, when there are any.
    pub statistics: BTreeMap<Stream, Statistics>,
    /// The licence file found with the recording.
    pub licence: Option<Licence>,
    /// Things the user should know, e.g. that training images are missing.
    pub warnings: Vec<String>,
    /// Where the streams come from.
    pub source: Arc<dyn TrialSource>,
}

/// Columns of the neuron table; optional ones are `None` when the recording lacks them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Neurons {
    /// Identifier of each neuron; its length is the number of neurons.
    pub ids: Vec<i64>,
    /// Cortical position x, y, z in µm.
    pub position_um: Option<Vec<[f64; 3]>>,
    /// Visual area, e.g. `V1`.
    pub area: Option<Vec<String>>,
    /// Cortical layer, e.g. `L2/3`.
    pub layer: Option<Vec<String>>,
}

/// One presentation of a stimulus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Identifier in the recording, a number or a hash; the index in file order where it has none.
    pub id: String,
    /// Which part of an experiment it belongs to.
    pub tier: Tier,
    /// Identity of the stimulus; repeats share it.
    pub stimulus_id: String,
    /// Whether the stimulus itself was recorded.
    pub has_stimulus: bool,
    /// Number of samples that were recorded: 1 for an image; for a clip those before the first that a stream lacks.
    pub samples: usize,
}

/// The part a trial plays: fitted on, selected on, or scored on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Tier {
    /// Parameters are fitted on it.
    Train,
    /// Stopping and penalties are chosen on it.
    Validation,
    /// Repeated stimuli for the final score.
    Test,
    /// A competition's withheld tier.
    FinalTest,
    /// Any other name found in the recording.
    Other(String),
}

/// The part that a signal plays, recorded in every trial. What else is recorded is a variable of one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Image, or frames of a video, `[sample, channel, height, width]`, raw pixel values.
    Images,
    /// Response of each neuron, `[sample, neuron]`.
    Responses,
    /// Behaviour, `[sample, variable]`: pupil dilation, its derivative, running speed.
    Behavior,
    /// Pupil centre, `[sample, 2]`: horizontal, vertical; of freely moving animals where they look, by angles of eye and head.
    PupilCenter,
}

/// A stream and the shape of one sample of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamInfo {
    /// Which stream.
    pub stream: Stream,
    /// Shape of one sample.
    pub shape: Vec<usize>,
    /// Names of its variables, of behaviour and pupil centre; empty where the recording does not tell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
}

/// Samples of one stream in one trial.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// Which stream.
    pub stream: Stream,
    /// Index into [`Session::trials`].
    pub trial: usize,
    /// First sample.
    pub start: usize,
    /// Number of samples.
    pub samples: usize,
    /// Shape of one sample.
    pub shape: &'a [usize],
}

/// What the animal saw.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StimulusInfo {
    /// `image` or `video`.
    pub kind: &'static str,
    /// Shape of an image or frame, `[channel, height, width]`.
    pub shape: Vec<usize>,
    /// Samples per second, of all streams; `None` for images.
    pub rate_hz: Option<f64>,
}

/// Mean and standard deviation stored with a recording; one value, or one per element of a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// 1 when they hold for every sample; else they are of each of so many, `[sample, element]`.
    pub samples: usize,
    /// Mean.
    pub mean: Vec<f32>,
    /// Standard deviation.
    pub std: Vec<f32>,
}

/// A licence file beside the recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Licence {
    /// File name.
    pub file: String,
    /// What it is called there, e.g. `CC BY`, else the first non-empty line.
    pub title: String,
}

/// One on-disk format.
#[derive(Debug)]
pub struct Format {
    /// Id, e.g. `sensorium2022`.
    pub id: &'static str,
    /// What a folder in this format looks like, for people.
    pub layout: &'static str,
    /// Whether the folder looks like one session; must be quick and not read arrays.
    pub recognise: fn(&Root) -> bool,
    /// Reads the tables of the session.
    pub open: fn(&Root) -> Result<Session>,
}

/// Reads the streams of one trial at a time.
pub trait TrialSource: Send + Sync + fmt::Debug {
    /// Values in `window`, `[sample, …]` in C order, cast to `f32`, as they are stored: whether they are finite is for
    /// [`Session`] to say.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the stored array is missing, truncated, or of another shape.
    fn read(&self, window: Window<'_>) -> Result<Vec<f32>>;

    /// As [`read`](TrialSource::read), with all stored digits: for statistics of responses, which may lie on a baseline that
    /// leaves nothing of them in an `f32`.
    ///
    /// # Errors
    /// As [`read`](TrialSource::read).
    fn read_f64(&self, window: Window<'_>) -> Result<Vec<f64>> {
        Ok(self.read(window)?.into_iter().map(f64::from).collect())
    }

    /// Gives `take` the values of each sample in `window` as [`read`](TrialSource::read) reads them, one sample after another:
    /// a format of which windows can be read has few of them in memory at once.
    ///
    /// # Errors
    /// As [`read`](TrialSource::read); samples before the error may have been given.
    fn each_sample(&self, window: Window<'_>, take: &mut dyn FnMut(&mut [f32])) -> Result<()> {
        let sample = window.shape.iter().product::<usize>().max(1);
        self.read(window)?.chunks_exact_mut(sample).for_each(take);
        Ok(())
    }

    /// Whether reading was stopped, so that what was made of it cannot be relied on.
    ///
    /// # Errors
    /// [`Kind::Interrupted`](crate::error::Kind::Interrupted) when it was.
    fn check_interrupt(&self) -> Result<()> {
        Ok(())
    }

    /// Holds every file against the checksum of what was written, where there are any.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) naming the first that is something else.
    fn verify(&self) -> Result<()> {
        Ok(())
    }

    /// Class of the stimulus of each of so many trials, e.g. `natural`, in file order; none where the recording does not
    /// tell.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the table is damaged.
    fn classes(&self, _trials: usize) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    /// A text that changes when one of the files behind it is written; none where there are no files.
    fn stamp(&self) -> Option<String> {
        None
    }

    /// The file that holds `stream` of trial `trial`, as people are shown it.
    fn place(&self, stream: Stream, trial: usize) -> PathBuf;

    /// The table `name`, as people are shown it.
    fn table(&self, name: &str) -> PathBuf;
}

impl StimulusInfo {
    /// Whether its samples follow one another as fast as others do; rates are measured, and what differs by less is one.
    pub fn runs_at(&self, rate_hz: Option<f64>) -> bool {
        match (self.rate_hz, rate_hz) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-3 * b.abs(),
            (a, b) => a.is_none() && b.is_none(),
        }
    }
}

impl Recording {
    /// The only session, for verbs that work on one animal.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when there are several.
    pub fn single(&self) -> Result<&Session> {
        match self.sessions.as_slice() {
            [session] => Ok(session),
            sessions => {
                let ids: Vec<&str> = sessions.iter().map(|s| s.id.as_str()).collect();
                Err(Error::data(format!("holds {} sessions ({})", ids.len(), ids.join(", ")))
                    .file(&self.path)
                    .hint("point at one of them, e.g. the sub-folder of one session"))
            }
        }
    }
}

impl Session {
    /// Shape of an image, `[channel, height, width]`; zeros where none was recorded.
    pub fn image_shape(&self) -> [usize; 3] {
        self.stimulus.shape.as_slice().try_into().unwrap_or_default()
    }

    /// The command that shows what it holds and what is wrong with it.
    pub fn inspect_command(&self) -> String {
        format!("striate inspect {}", pasted(&self.path))
    }

    /// Shape of one sample of `stream`, or `None` when it was not recorded.
    pub fn shape(&self, stream: Stream) -> Option<&[usize]> {
        self.streams.iter().find(|s| s.stream == stream).map(|s| s.shape.as_slice())
    }

    /// Names of the variables of a stream; none where the recording does not tell.
    pub fn variables(&self, stream: Stream) -> &[String] {
        self.streams.iter().find(|info| info.stream == stream).map_or(&[], |info| &info.variables)
    }

    /// Whether trials are clips of video.
    pub fn has_clips(&self) -> bool {
        self.stimulus.kind == "video"
    }

    /// Class of the stimulus of each trial, e.g. `natural`; none where the recording does not tell.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when its table is damaged.
    pub fn classes(&self) -> Result<Option<Vec<String>>> {
        self.source.classes(self.trials.len())
    }

    /// Indices of the trials of `tier`, in file order.
    pub fn trials_of(&self, tier: &Tier) -> Vec<usize> {
        (0..self.trials.len()).filter(|&i| &self.trials[i].tier == tier).collect()
    }

    /// As [`Session::trials_of`], but an empty tier is an error that lists the tiers there are.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when no trial has that tier.
    pub fn require_tier(&self, tier: &Tier) -> Result<Vec<usize>> {
        let found = self.trials_of(tier);
        if !found.is_empty() {
            return Ok(found);
        }
        let have: Vec<String> = self.tiers().iter().map(|(tier, n)| format!("{tier} ({n})")).collect();
        Err(Error::data(format!("no trial has tier `{tier}`; {}", list("there are", &have)))
            .file(&self.path)
            .key("tiers"))
    }

    /// As [`Session::require_tier`], but a tier whose responses are withheld is an error, too.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when no trial has that tier, or its responses are withheld or cannot be
    /// read.
    pub fn require_responses(&self, tier: &Tier) -> Result<Vec<usize>> {
        let trials = self.require_tier(tier)?;
        match self.are_withheld(&trials)? {
            true => Err(self.withheld(tier)),
            false => Ok(trials),
        }
    }

    /// The error of who needs the responses of a tier that [`Session::is_withheld`].
    pub fn withheld(&self, tier: &Tier) -> Error {
        let mut others: Vec<String> = Vec::new();
        for (other, n) in self.tiers().into_iter().filter(|(other, _)| other != tier) {
            if !self.is_withheld(&other).unwrap_or(true) {
                others.push(format!("{other} ({n})"));
            }
        }
        let error = Error::data(withheld(tier)).file(&self.path).key("responses");
        error.hint(list("tiers with responses", &others))
    }

    /// Whether a tier has trials, and all of their responses are 0 or missing: so the publishers of a competition withhold
    /// them.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
    pub fn is_withheld(&self, tier: &Tier) -> Result<bool> {
        self.are_withheld(&self.trials_of(tier))
    }

    /// As [`Session::is_withheld`], of some trials of a tier.
    ///
    /// # Errors
    /// As there.
    pub fn are_withheld(&self, trials: &[usize]) -> Result<bool> {
        for &trial in trials {
            let responses = self.read_as_stored(Stream::Responses, trial)?;
            if responses.iter().any(|response| *response != 0.0 && !response.is_nan()) {
                return Ok(false);
            }
        }
        Ok(!trials.is_empty())
    }

    /// The tier whose repeats say how reliable responses are: the test tier, else `oracle`, else any with repeats and
    /// responses that are not withheld.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
    pub fn repeated_tier(&self) -> Result<Option<Tier>> {
        let mut tiers: Vec<Tier> = self.tiers().into_keys().collect();
        tiers.sort_by_key(|tier| match tier {
            Tier::Test => 0,
            Tier::Other(name) if name == "oracle" => 1,
            _ => 2,
        });
        for tier in tiers {
            if !self.repeated_trials(&tier).is_empty() && !self.is_withheld(&tier)? {
                return Ok(Some(tier));
            }
        }
        Ok(None)
    }

    /// Trials of `tier` whose stimulus was shown in another of them, too.
    pub fn repeated_trials(&self, tier: &Tier) -> Vec<usize> {
        let trials = self.trials_of(tier);
        let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
        trials.iter().for_each(|&trial| *shown.entry(&self.trials[trial].stimulus_id).or_default() += 1);
        trials.into_iter().filter(|&trial| shown[self.trials[trial].stimulus_id.as_str()] > 1).collect()
    }

    /// Number of trials per tier.
    pub fn tiers(&self) -> BTreeMap<Tier, usize> {
        let mut counts = BTreeMap::new();
        for trial in &self.trials {
            *counts.entry(trial.tier.clone()).or_insert(0) += 1;
        }
        counts
    }
}

impl Neurons {
    /// Number of neurons.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl Tier {
    /// Whether models are chosen or scored on it: any tier but those that are fitted on or not used at all.
    pub fn is_judged_on(&self) -> bool {
        *self != Self::Train && !matches!(self, Self::Other(name) if name == "none")
    }
}

impl From<String> for Tier {
    fn from(name: String) -> Self {
        match name.as_str() {
            "train" => Self::Train,
            "validation" => Self::Validation,
            "test" => Self::Test,
            "final_test" => Self::FinalTest,
            _ => Self::Other(name),
        }
    }
}

impl From<&str> for Tier {
    fn from(name: &str) -> Self {
        name.to_owned().into()
    }
}

impl From<Tier> for String {
    fn from(tier: Tier) -> Self {
        tier.to_string()
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
            Self::FinalTest => "final_test",
            Self::Other(name) => name,
        })
    }
}

impl Stream {
    /// Its folder in the Sensorium layouts, and its name everywhere else.
    pub fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Responses => "responses",
            Self::Behavior => "behavior",
            Self::PupilCenter => "pupil_center",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Samples of a clip of so many by which it is told from others: repeats of a movie need not end at the same sample.
pub fn told_by(samples: usize) -> usize {
    const ENOUGH: usize = 128;
    samples.checked_ilog2().map_or(0, |log| (1 << log).min(ENOUGH))
}

/// What is said of a tier that [`Session::is_withheld`].
pub fn withheld(tier: &Tier) -> String {
    let used = if *tier == Tier::Train { "fitted to" } else { "scored on" };
    format!(
        "all responses of tier `{tier}` are 0 or missing, as publishers withhold them: nothing can be {used} it"
    )
}

/// Opens a recording of any known format at `path`: a folder or a `.zip` of one session, or of several.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when the path is missing, no format recognises it, or its
/// tables are damaged.
pub fn open(path: &Path) -> Result<Recording> {
    Ok(Recording { path: path.to_path_buf(), sessions: formats::open_all(path)? })
}
