//! A fitted model with all that is needed to run it again, and several that answer together.

mod behaviour;
mod check;
mod ensemble;
mod field;
mod gaze;
mod gradient;
mod origin;

use std::collections::BTreeSet;
use std::path::Path;

use burn::prelude::*;
use serde::{Deserialize, Serialize};

use crate::array::{self, Array, Arrays};
use crate::batch::{Choice, Clip, Inputs, Normalisation, Trials, Variables};
use crate::disk;
use crate::error::{self, Error, Result};
use crate::model::encoder::Made;
use crate::model::heads;
use crate::model::readout::Start;
use crate::model::weights::{import, to_host};
use crate::model::{Encoder, EncoderConfig, Model};
use crate::run::folder::home;
use crate::run::{Checkpoint, RunFolder};

pub use behaviour::Seen;
pub use ensemble::{Ensemble, combine};
pub use field::Field;
pub use gradient::{Gradients, Toward};
pub use origin::{changes, require_not_exchanged, require_own, require_rate};

/// Everything about a twin but its weights; `twin.json` in the run folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// Model and its options.
    pub model: EncoderConfig,
    /// Shape of an image as recorded, `[channel, height, width]`.
    pub image_shape: [usize; 3],
    /// Index of each neuron in the recording.
    pub neurons: Vec<usize>,
    /// Identifier of each neuron in the recording.
    pub unit_ids: Vec<i64>,
    /// Group of each neuron, where feature weights are shared; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<usize>,
    /// Trials of the recording that were left out, of any tier; scores leave them out, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<usize>,
    /// Scaling of images and responses.
    pub normalisation: Normalisation,
}

/// What the animal did while it saw each image, in recorded units.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Behaviour, `[image, variable]`; empty means the mean of the training trials.
    pub behaviour: Vec<f32>,
    /// Pupil centre, `[image, 2]`; empty means the mean of the training trials.
    pub pupil: Vec<f32>,
}

/// A model, its neurons and its scaling.
#[derive(Debug, Clone)]
pub struct Twin {
    /// Everything but the weights.
    pub card: Card,
    /// The model, on a device without gradients.
    pub model: Encoder,
    /// SHA-256 of the weights it was loaded from, with those of other sessions.
    digest: String,
}

const CARD: &str = "twin.json";
/// Images that are shown at once.
const AT_ONCE: usize = 64;
/// File of the weights in a checkpoint folder.
pub(crate) const WEIGHTS: &str = "weights.safetensors";

impl Card {
    /// Writes the card into a run folder.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io) when it cannot be written.
    pub fn save(&self, run: &RunFolder) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::data(e.to_string()).key(CARD))?;
        disk::write_bytes(&run.home().join(CARD), &text)
    }

    /// Reads the card of a run folder.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when it is missing or damaged.
    pub fn load(run: &RunFolder) -> Result<Self> {
        require_one(run)?;
        Self::read(&run.home()).map_err(|e| match e.kind() {
            error::Kind::Io if !run.has_model() => run.no_model(),
            error::Kind::Io => e.hint("restore it from a copy of the run"),
            _ => e,
        })
    }

    /// The card in a folder: that of a run, or of a member of an ensemble.
    fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(CARD);
        let text = disk::read(&path, disk::TABLE)?;
        let card: Self = serde_json::from_slice(&text).map_err(|e| Error::data(e.to_string()).file(&path))?;
        card.check().map_err(|e| e.file(&path))?;
        Ok(card)
    }

    /// An untrained model of the right shape.
    pub(crate) fn blank(&self, device: &Device) -> Result<Encoder> {
        self.drawn(0, device)
    }

    /// A model of the right shape with the weights that a fit with `seed` would begin with, but for what the recording says.
    fn drawn(&self, seed: u64, device: &Device) -> Result<Encoder> {
        let start = &self.blank_starts();
        let (behaviour, pupil) = (self.normalisation.behaviours(), self.normalisation.pupils());
        self.model.init(&Made { image: self.seen_shape(), behaviour, pupil, start }, seed, device)
    }

    /// Shape of an image as the model sees it, `[channel, height, width]`.
    pub fn seen_shape(&self) -> [usize; 3] {
        self.normalisation.seen_shape(self.image_shape)
    }

    /// The neurons and trials it was fitted to.
    pub(crate) fn choice(&self) -> Choice {
        let left_out: BTreeSet<usize> = self.left_out.iter().copied().collect();
        Choice { neurons: self.neurons.clone(), left_out: left_out.into_iter().collect() }
    }

    /// Starting points for a model whose weights are about to be replaced.
    pub fn blank_starts(&self) -> Vec<Start> {
        let group = |n: usize| self.groups.get(n).copied().unwrap_or_default();
        (0..self.neurons.len()).map(|n| Start { group: group(n), ..Start::default() }).collect()
    }
}

/// Writes the weights of `model` into a checkpoint folder.
///
/// # Errors
/// [`Kind::Io`](crate::error::Kind::Io) when they cannot be written.
pub fn save_weights(folder: &Path, weights: &Arrays) -> Result<()> {
    array::save(&folder.join(WEIGHTS), weights)
}

/// Reads the weights of a checkpoint folder.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when they are missing or damaged.
pub fn load_weights(folder: &Path) -> Result<Arrays> {
    array::load(&disk::current_folder(folder).join(WEIGHTS))
}

/// What has an answer for one session only is asked of one.
fn require_one(run: &RunFolder) -> Result<()> {
    if run.session().is_some() {
        return Ok(());
    }
    let ids: Vec<String> = run.read_manifest()?.sessions.into_iter().map(|s| s.recording.session).collect();
    if ids.is_empty() {
        return Ok(());
    }
    Err(Error::config(format!(
        "was fitted to several sessions, and this is asked of one: {}",
        ids.join(", ")
    ))
    .file(run.path())
    .hint("name it with --session"))
}

impl Twin {
    /// The twin of a run, or of one session of it, at its best checkpoint.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the run holds no checkpoint, or a damaged one;
    /// [`Kind::Config`](crate::error::Kind::Config) when it is an ensemble, or of several sessions of which none is named.
    pub fn load(run: &RunFolder, device: &Device) -> Result<Self> {
        run.require_single()?;
        let card = Card::load(run)?;
        if !run.has_model() {
            return Err(run.no_model());
        }
        let (bond, best) =
            (run.bond(Checkpoint::Best)?, disk::current_folder(&run.checkpoint(Checkpoint::Best)));
        let all = load_weights(&best)?;
        let twin = Self::of(card, &all, &best, run.session(), device)?;
        run.check_best(bond.as_ref(), &all).map(|()| twin)
    }

    /// The twin of a card and all weights, found in `folder`, or of one `session` of them.
    fn of(card: Card, all: &Arrays, folder: &Path, session: Option<&str>, device: &Device) -> Result<Self> {
        let (digest, weights) = (array::digest(all), heads::of_session(all, session));
        card.check_size(&weights).map_err(|e| e.file(folder.join(WEIGHTS)))?;
        let model = import(card.blank(device)?, &weights).map_err(|e| e.file(folder.join(WEIGHTS)))?;
        Ok(Self { card, model, digest })
    }

    /// The same but for the weights, which are those that a fit with `seed` would begin with.
    ///
    /// # Errors
    /// None for a card that a model was made of.
    pub fn untrained(&self, seed: u64, device: &Device) -> Result<Self> {
        let model = self.card.drawn(seed, device)?;
        Ok(Self { card: self.card.clone(), model, digest: String::new() })
    }

    /// SHA-256 of its weights, as in [`RunFolder::model`].
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Predicted responses `[clip · kept, neuron]`, in the recording's units, to raw images or frames
    /// `[clip · sample, channel, height, width]` in C order, seen in the given state, in clips of `samples` each (1 for
    /// images). What is kept of a clip are its samples but the first [`EncoderConfig::lost`].
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the length is not a whole number of images, or the state is not
    /// that of as many.
    pub fn respond(
        &self,
        images: &[f32],
        samples: usize,
        state: &State,
        device: &Device,
    ) -> Result<Vec<f32>> {
        let respond = |inputs| self.in_recorded_units(to_host(self.model.respond(inputs)).values);
        let most = self.card.model.stretch();
        Ok(self.shown(images, (samples, most), state, device)?.flat_map(respond).collect())
    }

    /// What the core shows the readout for raw images or frames, as [`Twin::respond`]:
    /// `[clip · kept, channel, height, width]`.
    ///
    /// # Errors
    /// As [`Twin::respond`].
    pub fn maps(&self, images: &[f32], samples: usize, state: &State, device: &Device) -> Result<Array> {
        let mut all = Array { shape: vec![0; 4], values: Vec::new() };
        for inputs in self.shown(images, (samples, None), state, device)? {
            // Features are kept channel-last.
            let maps = to_host(self.model.maps(&inputs).permute([0, 3, 1, 2]));
            let images = all.shape[0] + maps.shape[0];
            all.shape = maps.shape;
            all.shape[0] = images;
            all.values.extend(maps.values);
        }
        Ok(all)
    }

    /// Raw images or frames and the state they are seen in, as [`Twin::respond`], as the model takes them in; some clips at once.
    ///
    /// # Errors
    /// As [`Twin::respond`].
    pub fn inputs<'a>(
        &'a self,
        images: &'a [f32],
        samples: usize,
        state: &State,
        device: &'a Device,
    ) -> Result<impl Iterator<Item = Inputs> + 'a> {
        self.shown(images, (samples, None), state, device)
    }

    /// Raw images and the state they are seen in, scaled, some at once: of clips of so many samples, cut into stretches of at
    /// most so many.
    fn shown<'a>(
        &'a self,
        images: &'a [f32],
        (samples, most): (usize, Option<usize>),
        state: &State,
        device: &'a Device,
    ) -> Result<impl Iterator<Item = Inputs> + 'a> {
        let recorded = self.card.image_shape;
        let ([channels, height, width], size) = (recorded, recorded.iter().product());
        if !images.len().is_multiple_of(size) {
            let message =
                format!("holds {} values, not a multiple of {channels}×{height}×{width}", images.len());
            return Err(Error::data(message).key("images"));
        }
        let count = images.len() / size;
        if samples <= self.card.model.lost() || !count.is_multiple_of(samples) {
            let field = self.card.model.lost() + 1;
            let message =
                format!("{count} frames in clips of {samples}: the model looks at {field} frames at once");
            let hint = format!("show it clips of at least {} frames", self.card.model.lost() + 1);
            return Err(Error::data(message).key("images").hint(hint));
        }
        let lost = self.card.model.lost();
        let whole = (0..count / samples).map(|clip| Clip { trial: clip, start: 0, samples });
        let stretches = whole.flat_map(|clip| clip.stretches(most, lost));
        let shown = Trials::in_batches(stretches, AT_ONCE);
        let normalisation = &self.card.normalisation;
        let behaviour = rows(&normalisation.behaviour, &state.behaviour, [count, samples], "behavior")?;
        let pupil = rows(&normalisation.pupil, &state.pupil, [count, samples], "pupil_center")?;
        Ok(shown.into_iter().map(move |clips| {
            // Those of a batch follow each other, since a clip that is cut is a batch of its own.
            let (first, length) = (clips[0].trial * samples + clips[0].start, clips[0].samples);
            let images = &images[first * size..(first + clips.len() * length) * size];
            let scaled = normalisation.scale_images(images.to_vec(), recorded);
            let [channels, height, width] = self.card.seen_shape();
            let shape = [images.len() / size, channels, height, width];
            let part = |rows: &Option<Vec<Vec<f32>>>| {
                let rows = &rows.as_ref()?[first..first + shape[0]];
                let data = TensorData::new(rows.concat(), [rows.len(), rows[0].len()]);
                Some(Tensor::from_data(data, device))
            };
            Inputs {
                images: Tensor::from_data(TensorData::new(scaled, shape), device),
                behaviour: part(&behaviour),
                pupil: part(&pupil),
                samples: length,
            }
        }))
    }

    fn in_recorded_units(&self, mut responses: Vec<f32>) -> Vec<f32> {
        let scale = &self.card.normalisation.response_scale;
        for row in responses.chunks_mut(scale.len()) {
            row.iter_mut().zip(scale).for_each(|(response, scale)| *response /= scale);
        }
        responses
    }

    /// First-layer `kernels` `[channel, in, height, width]`, `masks` `[neuron, height, width]` and `features`
    /// `[neuron, channel]` (the barcodes), all after their constraints, and `centres` `[neuron, 2]`, rows and columns of
    /// the [`receptive_fields`](Self::receptive_fields), as far as the model has them.
    pub fn parts(&self) -> Arrays {
        let [_, height, width] = self.card.model.core.out_shape(self.card.seen_shape());
        let kernels = self.model.core().first_kernels().map(to_host);
        let features = self.model.readout().features().map(|features| to_host(features.transpose()));
        let named = [("kernels", kernels), ("features", features)];
        let mut parts: Arrays =
            named.into_iter().filter_map(|(name, part)| Some((name.into(), part?))).collect();
        if let Some(masks) = self.model.readout().location([height, width]) {
            let mut masks = to_host(masks.transpose());
            masks.shape = vec![self.card.neurons.len(), height, width];
            let centres = self.receptive_fields().into_iter().flat_map(|field| [field.y_px, field.x_px]);
            let centres = centres.map(|at| at as f32).collect();
            parts
                .insert("centres".into(), Array { shape: vec![self.card.neurons.len(), 2], values: centres });
            parts.insert("masks".into(), masks);
        }
        parts
    }
}

/// The scaled variables of each of `count` images, in clips of so many, where the model takes them in; the mean where none are
/// given.
fn rows(
    scaling: &Option<Variables>,
    values: &[f32],
    [count, samples]: [usize; 2],
    key: &str,
) -> Result<Option<Vec<Vec<f32>>>> {
    let Some(scaling) = scaling else { return Ok(None) };
    let width = scaling.recorded();
    if values.is_empty() {
        return Ok(Some(vec![scaling.scaled(&scaling.mean); count]));
    }
    if values.len() != count * width {
        let message = format!("holds {} values, expected {width} for each of {count} images", values.len());
        return Err(Error::data(message).key(key));
    }
    let taken_in: Vec<f32> = values.chunks(samples * width).flat_map(|clip| scaling.taken_in(clip)).collect();
    Ok(Some(taken_in.chunks(scaling.mean.len()).map(<[f32]>::to_vec).collect()))
}
