//! Trials read on demand, scaled, and kept while memory allows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use burn::prelude::*;
use rayon::prelude::*;

use super::{Normalisation, Variables, cortical_positions};
use crate::error::{Error, Result};
use crate::recording::{Session, Stream};

/// What a model takes in, scaled.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Images, `[batch, channel, height, width]`.
    pub images: Tensor<4>,
    /// Behaviour, `[batch, variable]`.
    pub behaviour: Option<Tensor<2>>,
    /// Pupil centre, `[batch, 2]`: horizontal, vertical.
    pub pupil: Option<Tensor<2>>,
}

/// What a model takes in, and the scaled responses to it.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Images, behaviour and pupil.
    pub inputs: Inputs,
    /// Responses, `[batch, neuron]`.
    pub responses: Tensor<2>,
}

impl Inputs {
    /// Images alone.
    pub fn images(images: Tensor<4>) -> Self {
        Self { images, behaviour: None, pupil: None }
    }
}

/// Scaled values beyond this are no measurement: pixels and responses come in hundreds, z-scores in units.
const ABSURD: f32 = 1e6;

/// Scaled trials of one session for chosen neurons.
#[derive(Debug)]
pub struct Trials<'a> {
    session: &'a Session,
    neurons: Vec<usize>,
    normalisation: Normalisation,
    kept: Vec<OnceLock<Arc<Scaled>>>,
    free: AtomicUsize,
}

/// The streams of one trial; empty where the model does not use them.
#[derive(Debug)]
struct Scaled {
    image: Vec<f32>,
    behaviour: Vec<f32>,
    pupil: Vec<f32>,
    responses: Vec<f32>,
}

impl<'a> Trials<'a> {
    /// Trials of `session`; at most `cache_mib` MiB of them are kept in memory.
    pub fn new(
        session: &'a Session,
        neurons: Vec<usize>,
        normalisation: Normalisation,
        cache_mib: usize,
    ) -> Self {
        let kept = (0..session.trials.len()).map(|_| OnceLock::new()).collect();
        Self {
            session,
            neurons,
            normalisation,
            kept,
            free: AtomicUsize::new(cache_mib.saturating_mul(1 << 20)),
        }
    }

    /// Shape of an image as a model sees it, `[channel, height, width]`.
    pub fn image_shape(&self) -> [usize; 3] {
        self.normalisation.seen_shape(self.session.image_shape())
    }

    /// The scaling in use.
    pub fn normalisation(&self) -> &Normalisation {
        &self.normalisation
    }

    /// Number of chosen neurons.
    pub fn neurons(&self) -> usize {
        self.neurons.len()
    }

    /// Where they are read from.
    pub fn session(&self) -> &'a Session {
        self.session
    }

    /// Number of trials of all tiers.
    pub fn in_session(&self) -> usize {
        self.session.trials.len()
    }

    /// As [`cortical_positions`], of the chosen neurons.
    ///
    /// # Errors
    /// As there.
    pub fn cortical_positions(&self) -> Result<Vec<[f32; 2]>> {
        cortical_positions(self.session, &self.neurons)
    }

    /// The given trials as one batch.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
    pub fn batch(&self, trials: &[usize], device: &Device) -> Result<Batch> {
        let scaled = self.scaled(trials)?;
        let [channels, height, width] = self.image_shape();
        let images = TensorData::new(join(&scaled, |t| &t.image), [trials.len(), channels, height, width]);
        let matrix = |of: fn(&Scaled) -> &[f32]| {
            let columns = scaled.first().map_or(0, |trial| of(trial).len());
            Tensor::from_data(TensorData::new(join(&scaled, of), [trials.len(), columns]), device)
        };
        let inputs = Inputs {
            images: Tensor::from_data(images, device),
            behaviour: self.normalisation.behaviour.is_some().then(|| matrix(|t| &t.behaviour)),
            pupil: self.normalisation.pupil.is_some().then(|| matrix(|t| &t.pupil)),
        };
        Ok(Batch { inputs, responses: matrix(|t| &t.responses) })
    }

    /// Scaled responses `[trial, neuron]` of the given trials.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
    pub fn responses(&self, trials: &[usize]) -> Result<Vec<f32>> {
        Ok(join(&self.scaled(trials)?, |t| &t.responses))
    }

    /// The first of these trials, of which a loss is no number at `step`, that holds a value no experiment gives.
    pub fn suspect(&self, trials: &[usize], step: u64) -> Option<Error> {
        trials.iter().find_map(|&trial| {
            let scaled = self.trial(trial).ok()?;
            let streams = [
                (Stream::Images, &scaled.image),
                (Stream::Responses, &scaled.responses),
                (Stream::Behavior, &scaled.behaviour),
                (Stream::PupilCenter, &scaled.pupil),
            ];
            let absurd = |value: &f32| !value.is_finite() || value.abs() > ABSURD;
            let (stream, index, value) = streams
                .into_iter()
                .find_map(|(stream, values)| Some((stream, values.iter().position(absurd)?, values)))
                .map(|(stream, index, values)| (stream, index, values[index]))?;
            let what = match stream {
                Stream::Responses => {
                    let neuron = self.neurons[index];
                    format!("the response of neuron {neuron} (unit {})", self.session.neurons.ids[neuron])
                }
                _ => format!("value {index}"),
            };
            let message =
                format!("the training loss is no number at step {step}, and {what} is {value:e}, scaled");
            let hint = format!(
                "look at it with `{}`; leave the trial or neuron out, or repair the recording",
                self.session.inspect_command()
            );
            let error = Error::data(message).file(&self.session.path).trial(trial);
            Some(error.key(stream.name()).hint(hint))
        })
    }

    fn scaled(&self, trials: &[usize]) -> Result<Vec<Arc<Scaled>>> {
        trials.par_iter().map(|&trial| self.trial(trial)).collect()
    }

    fn trial(&self, trial: usize) -> Result<Arc<Scaled>> {
        if let Some(scaled) = self.kept[trial].get() {
            return Ok(scaled.clone());
        }
        let image = self.session.read(Stream::Images, trial)?;
        let image = self.normalisation.scale_image(image, self.session.image_shape());
        let raw = self.session.responses(trial, &self.neurons)?;
        let scale = &self.normalisation.response_scale;
        let responses: Vec<f32> = raw.iter().zip(scale).map(|(response, scale)| response * scale).collect();
        let variables = |stream, scaling: &Option<Variables>| match scaling {
            Some(scaling) => Ok(scaling.scaled(&self.session.read(stream, trial)?)),
            None => Ok(Vec::new()),
        };
        let behaviour = variables(Stream::Behavior, &self.normalisation.behaviour)?;
        let pupil = variables(Stream::PupilCenter, &self.normalisation.pupil)?;
        let size = 4 * (image.len() + responses.len() + behaviour.len() + pupil.len());
        let scaled = Arc::new(Scaled { image, behaviour, pupil, responses });
        let room = |free: usize| free.checked_sub(size);
        if self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok() {
            let _ = self.kept[trial].set(scaled.clone());
        }
        Ok(scaled)
    }
}

fn join(trials: &[Arc<Scaled>], of: impl Fn(&Scaled) -> &[f32]) -> Vec<f32> {
    trials.iter().flat_map(|trial| of(trial).iter().copied()).collect()
}
