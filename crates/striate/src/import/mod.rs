//! Peers' PyTorch weights become twins.
//!
//! An importer knows the names of one toolkit's state dicts; [`write`] makes a run folder of what it found.

mod dict;
mod prefix;
pub mod sensorium2022;
pub mod xu2023;

use std::path::Path;

use burn::prelude::*;

use crate::array::Arrays;
use crate::array::pytorch::Checkpoint;
use crate::batch::{Normalisation, Uses, Variables};
use crate::disk;
use crate::error::{Error, Result, in_range};
use crate::fit::{FitConfig, recording_info};
use crate::model::weights;
use crate::recording::Session;
use crate::run::{self, Manifest, RecordingInfo, RunFolder, manifest::Status};
use crate::twin::{Card, save_weights};

/// What a checkpoint does not say.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// Which session's readout, where the checkpoint holds several; empty takes the only one.
    pub session: String,
    /// What the model was trained on, or the scaling of its images.
    pub data: Data<'a>,
    /// Height to which higher images are made smaller before the model sees them; 0 leaves them as they are.
    pub image_height: usize,
    /// Features of behaviour that the model takes in, where their number does not tell; empty where it does.
    pub behaviour: String,
    /// Samples that each prediction of a recurrent model looks at.
    pub steps: usize,
    /// Whether a checkpoint is taken that holds arrays of unknown meaning beside what the twin needs.
    pub partial: bool,
}

/// Where images' shape and all scaling come from.
#[derive(Debug, Clone)]
pub enum Data<'a> {
    /// The recording: its stored statistics, and its neurons.
    Recording {
        /// Its session.
        session: &'a Session,
        /// Where the user found it.
        path: &'a Path,
    },
    /// Numbers: responses, behaviour and pupil are then left as the model takes and gives them.
    Numbers {
        /// Shape of the images, `[channel, height, width]`, behaviour planes not counted.
        shape: [usize; 3],
        /// Mean of the pixels in training.
        mean: f32,
        /// Their standard deviation.
        sd: f32,
    },
}

impl Data<'_> {
    /// Shape of the images, `[channel, height, width]`.
    fn image_shape(&self) -> [usize; 3] {
        match self {
            Self::Recording { session, .. } => session.image_shape(),
            Self::Numbers { shape, .. } => *shape,
        }
    }

    /// Scaling for a model of `neurons` that takes in `behaviour` variables and, with `pupil`, the pupil centre.
    fn normalisation(&self, neurons: usize, behaviour: usize, pupil: bool) -> Result<Normalisation> {
        let session = match self {
            Self::Recording { session, .. } => session,
            Self::Numbers { mean, sd, .. } => {
                in_range("--image-mean", f64::from(*mean), -1e12..=1e12)?;
                in_range("--image-sd", f64::from(*sd), 1e-12..=1e12)?;
                let plain = |n: usize| {
                    let (mean, scale) = (vec![0.0; n], vec![1.0; n]);
                    Variables { mean, scale, centred: false, features: None }
                };
                return Ok(Normalisation {
                    image_mean: vec![*mean],
                    image_scale: vec![1.0 / sd],
                    image_height: 0,
                    image_range: None,
                    response_scale: vec![1.0; neurons],
                    mean_response: vec![0.0; neurons],
                    behaviour: (behaviour > 0).then(|| plain(behaviour)),
                    pupil: pupil.then(|| plain(2)),
                });
            }
        };
        let found = Normalisation::stored(session, Uses { behaviour: behaviour > 0, pupil })?;
        let mismatch = |what: &str, has: usize, takes: usize| {
            let message = format!("has {has} {what}, the checkpoint {takes}");
            Err(Error::data(message).file(&session.path).hint("is it the session the model was trained on?"))
        };
        match (session.neurons.len(), found.behaviours()) {
            (has, _) if has != neurons => mismatch("neurons", has, neurons),
            (_, has) if has != behaviour => mismatch("variables of behaviour", has, behaviour),
            _ => Ok(found),
        }
    }

    /// Identifier of each neuron.
    fn unit_ids(&self, neurons: usize) -> Vec<i64> {
        match self {
            Self::Recording { session, .. } => session.neurons.ids.clone(),
            Self::Numbers { .. } => (0..neurons as i64).collect(),
        }
    }

    /// What the run notes of the recording; without one only the number of neurons.
    fn info(&self, neurons: usize) -> Result<RecordingInfo> {
        match self {
            Self::Recording { session, path, .. } => recording_info(session, &path.display().to_string()),
            Self::Numbers { .. } => {
                Ok(RecordingInfo { format: "imported".into(), neurons, ..RecordingInfo::default() })
            }
        }
    }
}

/// One toolkit's checkpoints.
#[derive(Debug)]
pub struct Importer {
    /// Name on the command line.
    pub name: &'static str,
    /// What it reads, for people.
    pub about: &'static str,
    /// Parts of which each of its models has one: what stands before their names is no part of the model.
    pub parts: &'static [&'static str],
    /// From named arrays to a twin.
    pub read: fn(&Arrays, &Options<'_>) -> Result<Imported>,
}

/// All importers.
pub const IMPORTERS: [Importer; 4] =
    [sensorium2022::IMPORTER, sensorium2022::LINEAR, xu2023::IMPORTER, xu2023::UNSHIFTED];

/// A twin made of somebody else's weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Configuration as if it had been fitted here.
    pub config: FitConfig,
    /// Everything but the weights.
    pub card: Card,
    /// Weights under striate's names.
    pub weights: Arrays,
    /// What is known of the recording.
    pub recording: RecordingInfo,
    /// Arrays of the checkpoint that the twin does not use, with the reason.
    pub unused: Vec<(String, &'static str)>,
    /// What the checkpoint does not say, and was taken for granted, in sentences.
    pub assumed: Vec<String>,
}

/// The importer called `name`.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) with the known names when there is none.
pub fn importer(name: &str) -> Result<&'static Importer> {
    IMPORTERS.iter().find(|importer| importer.name == name).ok_or_else(|| {
        let known: Vec<&str> = IMPORTERS.iter().map(|importer| importer.name).collect();
        Error::config(format!("nothing is known of checkpoints `{name}`"))
            .key("--as")
            .hint(format!("known: {}", known.join(", ")))
    })
}

/// Every tensor of a model of `importer` in a PyTorch checkpoint as an `f32` array, named as in its state dict: what wrappers
/// and trainers put before the names is taken off. Whole numbers such as counters become fractions.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when the file is no checkpoint, holds no model, or numbers of another kind.
pub fn read_state_dict(path: &Path, importer: &Importer) -> Result<Arrays> {
    let checkpoint = Checkpoint::open(path)?;
    let prefix = prefix::before_parts(importer.parts, checkpoint.names())
        .map_err(|e| e.hint(format!("expected the {}", importer.about)).file(path))?;
    checkpoint.read(prefix)
}

impl Imported {
    /// Writes a run folder at `out` that every verb takes as it takes a fitted one.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the weights do not fit the model,
    /// [`Kind::Config`](crate::error::Kind::Config) when `out` is occupied, [`Kind::Io`](crate::error::Kind::Io) when
    /// it cannot be written.
    pub fn write(&self, from: &Path, out: &Path, command: &str) -> Result<RunFolder> {
        self.card.check().map_err(|e| e.file(from))?;
        // Only on a device with gradients are parameters told from constants.
        let model = self.card.blank(&Device::flex().autodiff())?;
        let model = weights::import(model, &self.weights).map_err(|e| e.file(from))?;
        let mut manifest = Manifest::start(self.config.seed, command).with_parameters(weights::count(&model));
        manifest.recording = self.recording.clone();
        manifest.status = Status::Finished;
        RunFolder::create_whole(out, |folder| {
            let made = RunFolder::create(folder, &self.config.to_toml(), &manifest)?;
            self.card.save(&made)?;
            let unused: Vec<String> =
                self.unused.iter().map(|(name, reason)| format!("not used: {name} ({reason})\n")).collect();
            disk::write_bytes(&made.log(), unused.concat().as_bytes())?;
            let folder = made.checkpoint(run::Checkpoint::Best);
            disk::replace_folder(&folder, |folder| save_weights(folder, &self.weights))
        })
    }
}
