//! The streams of a trial: read when asked for, held finite, and placed where they are not.

use std::ops::Range;

use super::{Session, Stream, Window};
use crate::error::{Error, Result};

impl Session {
    /// Values of `stream` in one trial, `[sample, …]` in C order.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) naming file, trial and stream when the recording lacks the stream, the
    /// trial is damaged, or a value is not finite.
    pub fn read(&self, stream: Stream, trial: usize) -> Result<Vec<f32>> {
        self.read_samples(stream, trial, self.all_samples(trial))
    }

    /// As [`Session::read`], of some samples.
    ///
    /// # Errors
    /// As there, and when the trial is shorter.
    pub fn read_samples(&self, stream: Stream, trial: usize, samples: Range<usize>) -> Result<Vec<f32>> {
        let placed = |error| self.placed(error, stream, trial);
        let values = self.source.read(self.window(stream, trial, samples)?);
        let values = values.map_err(|error| placed(error).hint(self.without(trial)))?;
        finite(values).map_err(|error| placed(error).hint(self.without_all(trial)))
    }

    /// Gives `take` each sample that [`Session::read_samples`] reads, one after another.
    ///
    /// # Errors
    /// As there; samples before the error may have been given, and the one that it is about.
    pub fn each_sample(
        &self,
        stream: Stream,
        trial: usize,
        samples: Range<usize>,
        mut take: impl FnMut(&mut [f32]),
    ) -> Result<()> {
        let (window, mut sound) = (self.window(stream, trial, samples.clone())?, true);
        let read = self.source.each_sample(window, &mut |sample| {
            sound &= all_finite(sample);
            take(sample);
        });
        read.map_err(|error| self.placed(error, stream, trial).hint(self.without(trial)))?;
        // Which names the value.
        if sound { Ok(()) } else { self.read_samples(stream, trial, samples).map(drop) }
    }

    /// As [`Session::read`], but values that are not finite are kept: for looking at a recording, not for computing
    /// with it.
    ///
    /// # Errors
    /// As [`Session::read`], except for values that are not finite.
    pub fn read_as_stored(&self, stream: Stream, trial: usize) -> Result<Vec<f32>> {
        let values = self.source.read(self.window(stream, trial, self.all_samples(trial))?);
        values.map_err(|error| self.placed(error, stream, trial).hint(self.without(trial)))
    }

    /// Responses of some `neurons`, by index, in one trial, `[sample, neuron]`; those of others need not be finite.
    ///
    /// # Errors
    /// As [`Session::read`], naming the neuron.
    pub fn responses(&self, trial: usize, neurons: &[usize]) -> Result<Vec<f32>> {
        self.responses_of(trial, neurons, self.all_samples(trial))
    }

    /// As [`Session::responses`], of some samples.
    ///
    /// # Errors
    /// As there, and when the trial is shorter.
    pub fn responses_of(&self, trial: usize, neurons: &[usize], samples: Range<usize>) -> Result<Vec<f32>> {
        let window = self.window(Stream::Responses, trial, samples.clone())?;
        let mut chosen = Vec::with_capacity(window.samples * neurons.len());
        self.each_response(trial, neurons, samples, |responses| chosen.extend_from_slice(responses))?;
        Ok(chosen)
    }

    /// Gives `take` the responses of each sample that [`Session::responses_of`] reads, one sample after another.
    ///
    /// # Errors
    /// As there; samples before the error may have been given, and the one that it is about.
    pub fn each_response(
        &self,
        trial: usize,
        neurons: &[usize],
        samples: Range<usize>,
        mut take: impl FnMut(&mut [f32]),
    ) -> Result<()> {
        let (mut sound, mut chosen) = (true, Vec::with_capacity(neurons.len()));
        let mut give = |responses: &mut [f32]| {
            sound &= all_finite(responses);
            take(responses);
        };
        let all = self.are_all(neurons);
        let window = self.window(Stream::Responses, trial, samples.clone())?;
        let read = self.source.each_sample(window, &mut |responses| {
            if all {
                return give(responses);
            }
            chosen.clear();
            chosen.extend(neurons.iter().map(|&neuron| responses[neuron]));
            give(&mut chosen);
        });
        read.map_err(|error| self.placed(error, Stream::Responses, trial).hint(self.without(trial)))?;
        // Which names the value, with all its digits.
        if sound { Ok(()) } else { self.responses_f64(trial, neurons, samples).map(drop) }
    }

    /// As [`Session::responses_of`], with all stored digits.
    ///
    /// # Errors
    /// As there.
    pub fn responses_f64(&self, trial: usize, neurons: &[usize], samples: Range<usize>) -> Result<Vec<f64>> {
        let first = samples.start;
        let window = self.window(Stream::Responses, trial, samples)?;
        let all =
            self.source.read_f64(window).map_err(|error| self.placed(error, Stream::Responses, trial))?;
        let chosen = self.chosen(all, neurons);
        // What is too large for an `f32` is infinite to a fit.
        let Some(at) = chosen.iter().position(|value| !(*value as f32).is_finite()) else {
            return Ok(chosen);
        };
        let neuron = neurons[at % neurons.len()];
        let id = self.neurons.ids[neuron];
        let sample = if self.has_clips() {
            format!("of sample {}, ", first + at / neurons.len())
        } else {
            String::new()
        };
        let error =
            Error::data(format!("value {neuron} is {}, {sample}of the neuron with unit_id {id}", chosen[at]));
        Err(self.placed(error, Stream::Responses, trial).hint(format!(
            "leave the neuron out with `data.exclude_neurons=[{id}]`, or all such neurons with \
             `data.nan=drop_neurons`; {}",
            self.without_all(trial)
        )))
    }

    /// How a fit leaves a trial out, alone or beside other sessions.
    fn without(&self, trial: usize) -> String {
        format!(
            "a fit leaves the trial out with `data.exclude_trials=[{trial}]`, one of several sessions with \
             `'data.exclude_trials=[\"{}:{trial}\"]'`",
            self.id
        )
    }

    /// The same of one that holds values that are not finite.
    fn without_all(&self, trial: usize) -> String {
        format!("{}, or all such trials with `data.nan=drop_trials`", self.without(trial))
    }

    /// Of responses of all neurons, `[sample, neuron]`, those of some.
    fn chosen<T: Copy>(&self, all: Vec<T>, neurons: &[usize]) -> Vec<T> {
        if self.are_all(neurons) {
            return all;
        }
        let mut chosen = Vec::with_capacity(all.len() / self.neurons.len().max(1) * neurons.len());
        for row in all.chunks_exact(self.neurons.len().max(1)) {
            chosen.extend(neurons.iter().map(|&neuron| row[neuron]));
        }
        chosen
    }

    fn are_all(&self, neurons: &[usize]) -> bool {
        neurons.iter().copied().eq(0..self.neurons.len())
    }

    fn placed(&self, error: Error, stream: Stream, trial: usize) -> Error {
        error.file(self.source.place(stream, trial)).trial(trial).key(stream.name())
    }

    /// As [`Session::read_as_stored`], with all stored digits.
    ///
    /// # Errors
    /// As [`Session::read_as_stored`].
    pub fn read_f64_as_stored(&self, stream: Stream, trial: usize) -> Result<Vec<f64>> {
        let values = self.source.read_f64(self.window(stream, trial, self.all_samples(trial))?);
        values.map_err(|error| self.placed(error, stream, trial))
    }

    fn all_samples(&self, trial: usize) -> Range<usize> {
        0..self.trials.get(trial).map_or(0, |trial| trial.samples)
    }

    fn window(&self, stream: Stream, trial: usize, samples: Range<usize>) -> Result<Window<'_>> {
        let message = match (self.trials.get(trial), self.shape(stream)) {
            (None, _) => format!("the recording has only {} trials", self.trials.len()),
            (_, None) => format!("the recording has no stream `{stream}`"),
            (Some(of), _) if samples.end > of.samples => {
                format!("samples {samples:?} are asked for, the trial has {}", of.samples)
            }
            (_, Some(shape)) => {
                return Ok(Window { stream, trial, start: samples.start, samples: samples.len(), shape });
            }
        };
        Err(Error::data(message).file(&self.path).trial(trial).key(stream.name()))
    }
}

/// Of sixteen at once, without an early end: 0 times what is not finite is NaN, and stays it.
fn all_finite(values: &[f32]) -> bool {
    let (sixteens, rest) = values.as_chunks::<16>();
    let mut zeros = [0.0_f32; 16];
    for sixteen in sixteens {
        zeros.iter_mut().zip(sixteen).for_each(|(zero, value)| *zero += value * 0.0);
    }
    zeros.iter().chain(rest).all(|value| value.is_finite())
}

/// `values`, if all of them are finite.
pub(crate) fn finite(values: Vec<f32>) -> Result<Vec<f32>> {
    if all_finite(&values) {
        return Ok(values);
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::data(format!("value {index} is {}", values[index]))),
        None => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_finite_is_found_wherever_it_is() {
        for length in [1, 16, 33, 40] {
            let sound = vec![-f32::MAX; length];
            assert!(all_finite(&sound));
            for (at, odd) in (0..length).zip([f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().cycle())
            {
                let mut values = sound.clone();
                values[at] = odd;
                assert!(!all_finite(&values), "{odd} at {at} of {length}");
            }
        }
    }
}
