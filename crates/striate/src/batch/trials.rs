//! Trials read on demand, scaled, and kept while memory allows.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use burn::prelude::*;
use rayon::prelude::*;

use super::{Normalisation, Variables, cortical_positions};
use crate::error::{Error, Result, in_order};
use crate::recording::{Session, Stream};

/// What a model takes in, scaled: a row for each sample, those of a clip one after another.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Images or frames, `[batch · sample, channel, height, width]`.
    pub images: Tensor<4>,
    /// Behaviour, `[batch · sample, variable]`.
    pub behaviour: Option<Tensor<2>>,
    /// Pupil centre, `[batch · sample, 2]`: horizontal, vertical.
    pub pupil: Option<Tensor<2>>,
    /// Samples of each clip; 1 for images.
    pub samples: usize,
}

/// What a model takes in, and the scaled responses to it.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Images, behaviour and pupil.
    pub inputs: Inputs,
    /// Responses, `[batch · sample, neuron]`.
    pub responses: Tensor<2>,
}

impl Inputs {
    /// Images alone.
    pub fn images(images: Tensor<4>) -> Self {
        Self { images, behaviour: None, pupil: None, samples: 1 }
    }

    /// Number of clips.
    pub fn clips(&self) -> usize {
        self.images.dims()[0] / self.samples
    }
}

/// The last `kept` of the `samples` rows of each clip, `[batch · sample, value]`.
pub fn ends(rows: Tensor<2>, samples: usize, kept: usize) -> Tensor<2> {
    if kept == samples {
        return rows;
    }
    let [all, values] = rows.dims();
    let clips = rows.reshape([all / samples, samples, values]);
    clips
        .slice([0..all / samples, samples - kept..samples, 0..values])
        .reshape([all / samples * kept, values])
}

/// Scaled values beyond this are no measurement: pixels and responses come in hundreds, z-scores in units.
const ABSURD: f32 = 1e6;

/// A stretch of one trial. Of an image it is all: one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clip {
    /// Index into [`Session::trials`].
    pub trial: usize,
    /// Its first sample.
    pub start: usize,
    /// Number of samples.
    pub samples: usize,
}

/// Scaled trials of one session for chosen neurons.
#[derive(Debug)]
pub struct Trials<'a> {
    session: &'a Session,
    neurons: Vec<usize>,
    normalisation: Normalisation,
    kept: Vec<OnceLock<Arc<Scaled>>>,
    free: AtomicUsize,
}

/// Scaled clips on the way to a device.
#[derive(Debug)]
pub struct Read {
    images: Vec<f32>,
    behaviour: Vec<f32>,
    pupil: Vec<f32>,
    responses: Vec<f32>,
    rows: usize,
    samples: usize,
}

/// The streams of some samples of a trial, `[sample, …]`; empty where the model does not use them.
#[derive(Debug)]
struct Scaled {
    images: Vec<f32>,
    behaviour: Vec<f32>,
    pupil: Vec<f32>,
    responses: Vec<f32>,
    samples: usize,
}

/// A clip within what was read of its trial.
struct Cut {
    scaled: Arc<Scaled>,
    start: usize,
    samples: usize,
}

impl Cut {
    fn of<'s>(&'s self, values: &'s [f32]) -> &'s [f32] {
        let width = values.len() / self.scaled.samples.max(1);
        &values[self.start * width..(self.start + self.samples) * width]
    }
}

impl Clip {
    /// All clips of so many samples in it, one from each sample on.
    pub fn windows(self, samples: usize) -> impl Iterator<Item = Self> {
        let starts = self.start..(self.start + self.samples + 1).saturating_sub(samples);
        starts.map(move |start| Self { start, samples, ..self })
    }
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

    /// All of a trial.
    pub fn whole(&self, trial: usize) -> Clip {
        Clip { trial, start: 0, samples: self.session.trials[trial].samples }
    }

    /// `clips`, in their order, in batches of one length with about `rows` samples together.
    pub fn in_batches(clips: impl IntoIterator<Item = Clip>, rows: usize) -> Vec<Vec<Clip>> {
        let mut batches: Vec<Vec<Clip>> = Vec::new();
        for clip in clips {
            let fits = |batch: &&mut Vec<Clip>| {
                batch[0].samples == clip.samples && (batch.len() + 1) * clip.samples <= rows
            };
            match batches.last_mut().filter(fits) {
                Some(batch) => batch.push(clip),
                None => batches.push(vec![clip]),
            }
        }
        batches
    }

    /// Clips of one length as a batch.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
    pub fn batch(&self, clips: &[Clip], device: &Device) -> Result<Batch> {
        Ok(self.on_device(self.read_clips(clips)?, device))
    }

    /// The first half of [`Trials::batch`], which a thread can do ahead.
    ///
    /// # Errors
    /// As there.
    pub fn read_clips(&self, clips: &[Clip]) -> Result<Read> {
        let cuts = self.cuts(clips)?;
        let samples = clips.first().map_or(1, |clip| clip.samples);
        let of = |stream: fn(&Scaled) -> &[f32]| join(&cuts, stream);
        Ok(Read {
            images: of(|t| &t.images),
            behaviour: of(|t| &t.behaviour),
            pupil: of(|t| &t.pupil),
            responses: of(|t| &t.responses),
            rows: clips.len() * samples,
            samples,
        })
    }

    /// The second half of [`Trials::batch`].
    pub fn on_device(&self, read: Read, device: &Device) -> Batch {
        let [channels, height, width] = self.image_shape();
        let Read { images, behaviour, pupil, responses, rows, samples } = read;
        let images = TensorData::new(images, [rows, channels, height, width]);
        let matrix = |values: Vec<f32>| {
            let columns = values.len() / rows;
            Tensor::from_data(TensorData::new(values, [rows, columns]), device)
        };
        let inputs = Inputs {
            images: Tensor::from_data(images, device),
            behaviour: self.normalisation.behaviour.is_some().then(|| matrix(behaviour)),
            pupil: self.normalisation.pupil.is_some().then(|| matrix(pupil)),
            samples,
        };
        Batch { inputs, responses: matrix(responses) }
    }

    /// Scaled responses `[clip · sample, neuron]` of the given clips, without the first `skipped` samples of each.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
    pub fn responses(&self, clips: impl IntoIterator<Item = Clip>, skipped: usize) -> Result<Vec<f32>> {
        let rest = |clip: Clip| {
            let skipped = skipped.min(clip.samples);
            Clip { start: clip.start + skipped, samples: clip.samples - skipped, ..clip }
        };
        let clips: Vec<Clip> = clips.into_iter().map(rest).collect();
        Ok(join(&self.cuts(&clips)?, |t| &t.responses))
    }

    /// The first of these clips, of which a loss is no number at `step`, that holds a value no experiment gives.
    pub fn suspect(&self, clips: &[Clip], step: u64) -> Option<Error> {
        clips.iter().find_map(|clip| {
            let cut = self.cut(clip).ok()?;
            let streams = [
                (Stream::Images, &cut.scaled.images),
                (Stream::Responses, &cut.scaled.responses),
                (Stream::Behavior, &cut.scaled.behaviour),
                (Stream::PupilCenter, &cut.scaled.pupil),
            ];
            let absurd = |value: &f32| !value.is_finite() || value.abs() > ABSURD;
            let (stream, index, value) = streams.into_iter().find_map(|(stream, values)| {
                let values = cut.of(values);
                let index = values.iter().position(absurd)?;
                Some((stream, index % (values.len() / clip.samples), values[index]))
            })?;
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
            let error = Error::data(message).file(&self.session.path).trial(clip.trial);
            Some(error.key(stream.name()).hint(hint))
        })
    }

    fn cuts(&self, clips: &[Clip]) -> Result<Vec<Cut>> {
        in_order(clips.par_iter().map(|clip| self.cut(clip)).collect())
    }

    /// From memory, or read: all of the trial while there is room for it, else no more than the clip.
    fn cut(&self, &Clip { trial, start, samples }: &Clip) -> Result<Cut> {
        if let Some(scaled) = self.kept[trial].get() {
            return Ok(Cut { scaled: scaled.clone(), start, samples });
        }
        let all = self.session.trials[trial].samples;
        let size = 4 * all * self.row_length();
        let room = |free: usize| free.checked_sub(size);
        if self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            let scaled = Arc::new(self.read(trial, start..start + samples)?);
            return Ok(Cut { scaled, start: 0, samples });
        }
        let scaled = Arc::new(self.read(trial, 0..all)?);
        let _ = self.kept[trial].set(scaled.clone());
        Ok(Cut { scaled, start, samples })
    }

    /// Numbers that a sample is kept as.
    fn row_length(&self) -> usize {
        let variables = |scaling: &Option<Variables>| scaling.as_ref().map_or(0, |v| v.mean.len());
        let Normalisation { behaviour, pupil, .. } = &self.normalisation;
        self.image_shape().iter().product::<usize>()
            + self.neurons.len()
            + variables(behaviour)
            + variables(pupil)
    }

    fn read(&self, trial: usize, samples: Range<usize>) -> Result<Scaled> {
        let frames = self.session.read_samples(Stream::Images, trial, samples.clone())?;
        let images = self.normalisation.scale_images(frames, self.session.image_shape());
        let mut responses = self.session.responses_of(trial, &self.neurons, samples.clone())?;
        for row in responses.chunks_exact_mut(self.neurons.len().max(1)) {
            let scales = self.normalisation.response_scale.iter();
            row.iter_mut().zip(scales).for_each(|(response, scale)| *response *= scale);
        }
        let variables = |stream, scaling: &Option<Variables>| match scaling {
            Some(scaling) => {
                // Changes look at the sample before.
                let first = samples.start.saturating_sub(1);
                let rows = self.session.read_samples(stream, trial, first..samples.end)?;
                Ok(scaling.taken_in(&rows).split_off((samples.start - first) * scaling.mean.len()))
            }
            None => Ok(Vec::new()),
        };
        let behaviour = variables(Stream::Behavior, &self.normalisation.behaviour)?;
        let pupil = variables(Stream::PupilCenter, &self.normalisation.pupil)?;
        Ok(Scaled { images, behaviour, pupil, responses, samples: samples.len() })
    }
}

fn join(cuts: &[Cut], of: impl Fn(&Scaled) -> &[f32]) -> Vec<f32> {
    cuts.iter().map(|cut| cut.of(of(&cut.scaled))).collect::<Vec<_>>().concat()
}
