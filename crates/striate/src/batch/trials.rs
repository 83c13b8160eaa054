//! Trials read on demand, scaled, and kept while memory allows.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use burn::prelude::*;
use rayon::prelude::*;
use striate_kernels::memory::filled;

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
    /// Pupil centre, or where the animal looks, `[batch · sample, variable]`.
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

    /// Each clip without its last `left_out` samples.
    ///
    /// # Panics
    /// When clips are not longer.
    #[must_use]
    pub fn without_last(self, left_out: usize) -> Self {
        let kept = 0..self.samples - left_out;
        let rows = |rows| cut(rows, self.samples, kept.clone());
        Self {
            images: cut(self.images, self.samples, kept.clone()),
            behaviour: self.behaviour.map(rows),
            pupil: self.pupil.map(rows),
            samples: kept.len(),
        }
    }

    /// Number of clips.
    pub fn clips(&self) -> usize {
        self.images.dims()[0] / self.samples
    }
}

/// Of rows `[batch · sample, …]` of clips of `samples` those at the samples `kept` of each.
pub fn cut<const D: usize>(rows: Tensor<D>, samples: usize, kept: Range<usize>) -> Tensor<D> {
    if kept == (0..samples) {
        return rows;
    }
    let mut shape = rows.dims();
    let (clips, values) = (shape[0] / samples, shape[1..].iter().product());
    shape[0] = clips * kept.len();
    rows.reshape([clips, samples, values]).slice([0..clips, kept, 0..values]).reshape(shape)
}

/// The last `kept` of the `samples` rows of each clip, `[batch · sample, value]`.
pub fn ends(rows: Tensor<2>, samples: usize, kept: usize) -> Tensor<2> {
    cut(rows, samples, samples - kept..samples)
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
    /// Of the streams that the model uses, `[batch · sample, …]`.
    streams: BTreeMap<Stream, Vec<f32>>,
    rows: usize,
    samples: usize,
}

/// All samples of a trial, `[sample, …]`, of the streams that the model uses.
type Scaled = BTreeMap<Stream, Vec<f32>>;

impl Clip {
    /// The clip in stretches of at most `most` samples, if there is a most, each of which begins with the last `lost` of the
    /// one before: what is said of all but the first `lost` samples of each is said of every sample once.
    ///
    /// # Panics
    /// When `most` is no more than `lost`.
    pub fn stretches(self, most: Option<usize>, lost: usize) -> impl Iterator<Item = Self> {
        let most = most.unwrap_or(usize::MAX);
        assert!(most > lost, "a stretch has samples of its own");
        let end = self.start + self.samples;
        let starts = (self.start..end.saturating_sub(lost).max(self.start + 1)).step_by(most - lost);
        starts.map(move |start| Self { start, samples: most.min(end - start), ..self })
    }

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
        let kept = in_order(clips.par_iter().map(|clip| self.kept(clip.trial)).collect())?;
        let samples = clips.first().map_or(1, |clip| clip.samples);
        let read = |stream| {
            let values = filled(clips.len(), samples * self.width(stream), |clip, part| {
                self.add_scaled(stream, clips[clip], kept[clip].as_deref(), part)
            })?;
            Ok((stream, values))
        };
        let streams = self.streams().into_par_iter().map(read).collect();
        Ok(Read { streams: in_order(streams)?.into_iter().collect(), rows: clips.len() * samples, samples })
    }

    /// The second half of [`Trials::batch`].
    pub fn on_device(&self, read: Read, device: &Device) -> Batch {
        let [channels, height, width] = self.image_shape();
        let Read { mut streams, rows, samples } = read;
        let mut matrix = |stream| {
            let values = streams.remove(&stream)?;
            let columns = values.len() / rows;
            Some(Tensor::from_data(TensorData::new(values, [rows, columns]), device))
        };
        let [images, responses] =
            [Stream::Images, Stream::Responses].map(|stream| matrix(stream).expect("is always read"));
        let images = images.reshape([rows, channels, height, width]);
        let (behaviour, pupil) = (matrix(Stream::Behavior), matrix(Stream::PupilCenter));
        Batch { inputs: Inputs { images, behaviour, pupil, samples }, responses }
    }

    /// Scaled responses `[clip · sample, neuron]` of the given clips, without the first `skipped` samples of each.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
    pub fn responses(&self, clips: impl IntoIterator<Item = Clip>, skipped: usize) -> Result<Vec<f32>> {
        let clips: Vec<Clip> = clips.into_iter().collect();
        let rest = |clip: &Clip| {
            let skipped = skipped.min(clip.samples);
            let rest = Clip { start: clip.start + skipped, samples: clip.samples - skipped, ..*clip };
            self.scaled(Stream::Responses, rest)
        };
        Ok(in_order(clips.par_iter().map(rest).collect())?.concat())
    }

    /// The first of these clips, of which a loss is no number at `step`, that holds a value no experiment gives.
    pub fn suspect(&self, clips: &[Clip], step: u64) -> Option<Error> {
        clips.iter().find_map(|clip| {
            let absurd = |value: &f32| !value.is_finite() || value.abs() > ABSURD;
            let (stream, index, value) = self.streams().into_iter().find_map(|stream| {
                let values = self.scaled(stream, *clip).ok()?;
                let index = values.iter().position(absurd)?;
                Some((stream, index % self.width(stream), values[index]))
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

    /// What is kept of a trial: all of it, read now where there is room for it; none else.
    fn kept(&self, trial: usize) -> Result<Option<Arc<Scaled>>> {
        if let Some(kept) = self.kept[trial].get() {
            return Ok(Some(kept.clone()));
        }
        let clip = self.whole(trial);
        let row: usize = self.streams().into_iter().map(|stream| self.width(stream)).sum();
        let room = |free: usize| free.checked_sub(4 * clip.samples * row);
        if self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            return Ok(None);
        }
        let read = |stream| {
            let mut scaled = Vec::with_capacity(clip.samples * self.width(stream));
            self.add_read(stream, clip, &mut scaled)?;
            Ok((stream, scaled))
        };
        let scaled = Arc::new(self.streams().into_iter().map(read).collect::<Result<_>>()?);
        if self.kept[trial].set(Arc::clone(&scaled)).is_err() {
            // Another thread read it meanwhile, and counted its room.
            self.free.fetch_add(4 * clip.samples * row, Ordering::Relaxed);
        }
        Ok(Some(scaled))
    }

    /// The streams that the model uses.
    fn streams(&self) -> Vec<Stream> {
        let always = |stream| matches!(stream, Stream::Images | Stream::Responses);
        let is_used = |stream: &Stream| always(*stream) || self.variables(*stream).is_some();
        let all = [Stream::Images, Stream::Responses, Stream::Behavior, Stream::PupilCenter];
        all.into_iter().filter(is_used).collect()
    }

    /// Values of a sample of a stream, as a model sees it.
    fn width(&self, stream: Stream) -> usize {
        match stream {
            Stream::Images => self.image_shape().iter().product(),
            Stream::Responses => self.neurons.len(),
            Stream::Behavior | Stream::PupilCenter => self.variables(stream).map_or(0, |of| of.mean.len()),
        }
    }

    fn variables(&self, stream: Stream) -> Option<&Variables> {
        match stream {
            Stream::Behavior => self.normalisation.behaviour.as_ref(),
            Stream::PupilCenter => self.normalisation.pupil.as_ref(),
            Stream::Images | Stream::Responses => None,
        }
    }

    /// A stream of a clip, from memory or read.
    fn scaled(&self, stream: Stream, clip: Clip) -> Result<Vec<f32>> {
        let mut scaled = Vec::with_capacity(clip.samples * self.width(stream));
        self.add_scaled(stream, clip, self.kept(clip.trial)?.as_deref(), &mut scaled)?;
        Ok(scaled)
    }

    /// Adds a stream of a clip, from what is `kept` of its trial where that is there.
    fn add_scaled(
        &self,
        stream: Stream,
        clip: Clip,
        kept: Option<&Scaled>,
        scaled: &mut impl Extend<f32>,
    ) -> Result<()> {
        let Some(kept) = kept else { return self.add_read(stream, clip, scaled) };
        let width = self.width(stream);
        scaled.extend(kept[&stream][clip.start * width..][..clip.samples * width].iter().copied());
        Ok(())
    }

    /// Adds one sample after another as it is read, while it is in the cache of this thread's core.
    fn add_read(&self, stream: Stream, clip: Clip, scaled: &mut impl Extend<f32>) -> Result<()> {
        let Clip { trial, start, samples } = clip;
        let (samples, scaling) = (start..start + samples, &self.normalisation);
        match (stream, self.variables(stream)) {
            (Stream::Responses, _) => {
                self.session.each_response(trial, &self.neurons, samples, |responses| {
                    let scales = scaling.response_scale.iter();
                    scaled.extend(responses.iter().zip(scales).map(|(response, scale)| response * scale));
                })
            }
            (_, Some(variables)) => {
                // Changes look at the sample before.
                let first = start.saturating_sub(1);
                let rows = self.session.read_samples(stream, trial, first..samples.end)?;
                scaled.extend(variables.taken_in(&rows).split_off((start - first) * variables.mean.len()));
                Ok(())
            }
            (_, None) => self.session.each_sample(stream, trial, samples, |image| {
                scaled.extend(scaling.scale_image(image, self.session.image_shape()).iter().copied());
            }),
        }
    }
}
