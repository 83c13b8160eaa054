//! Clips: arrays whose last axis is time, with NaN behind the end of the trial.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::names::{Names, STREAMS, place_of};
use crate::error::{Error, Result, in_order};
use crate::hash::Digest;
use crate::recording::root::Root;
use crate::recording::{Stream, StreamInfo, told_by};

/// Samples per second, one per trial.
const RATES: &str = "meta/trials/target_fps.npy";
/// That of the competition.
const RATE_HZ: f64 = 30.0;
/// Samples of a trial beyond which a file is something else: five hours.
const MOST_SAMPLES: usize = 1 << 19;
/// Pixels by which movies are told apart.
const PIXELS: usize = 64;
/// Part of a trial that a stream may lack at its end without a word: one that ends a sample early is common.
const LITTLE: f64 = 0.1;
/// Elements that are transposed at once, so that both sides stay in the cache.
const TILE: usize = 32;

/// How long the trials are.
#[derive(Debug)]
pub(super) struct Lengths {
    /// Samples in the files of each trial, for each of [`STREAMS`]; 0 where there is none.
    stored: Vec<[usize; 4]>,
    /// Samples before the NaN tail of any stream.
    recorded: Vec<usize>,
}

impl Lengths {
    /// Reads the start of every file. A stream that holds nothing but NaN in a trial is withheld there, and says nothing of
    /// its length but that it has no samples behind its file's end.
    pub fn read(
        root: &Root,
        names: &Names,
        streams: &[StreamInfo],
        trials: usize,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        let lengths = |trial| trial_lengths(root, names, streams, trial);
        let all = in_order((0..trials).into_par_iter().map(lengths).collect())?;
        let (stored, ends): (_, Vec<[usize; 4]>) = all.into_iter().unzip();
        warnings.extend(early_ends(&ends));
        Ok(Self { stored, recorded: ends.iter().map(shortest).collect() })
    }

    pub fn stored(&self, stream: Stream, trial: usize) -> usize {
        self.stored[trial][place_of(stream)]
    }

    pub fn recorded(&self, trial: usize) -> usize {
        self.recorded[trial]
    }
}

/// Samples in the files of a trial, and those before the NaN tail, of each stream.
fn trial_lengths(
    root: &Root,
    names: &Names,
    streams: &[StreamInfo],
    trial: usize,
) -> Result<([usize; 4], [usize; 4])> {
    let (mut stored, mut ends, mut has_values) = ([0; 4], [0; 4], false);
    for StreamInfo { stream, .. } in streams.iter().filter(|info| names.of(info.stream).contains_key(&trial))
    {
        let placed = |error: Error| names.placed(error, *stream, trial);
        let (shape, row) = root.rows(&names.file(*stream, trial), 1, usize::MAX).map_err(placed)?;
        if row.is_empty() || row.len() > MOST_SAMPLES {
            return Err(placed(Error::data(format!("has shape {shape:?}: {} samples", row.len()))));
        }
        let last = row.iter().rposition(|value| !value.is_nan());
        has_values |= last.is_some();
        stored[place_of(*stream)] = row.len();
        ends[place_of(*stream)] = last.map_or(row.len(), |last| last + 1);
    }
    if has_values {
        return Ok((stored, ends));
    }
    let error = Error::data("holds nothing but NaN, as all streams of this trial");
    Err(names.placed(error, STREAMS[1], trial))
}

/// Of the ends of the streams of a trial, 0 where there is none, the first.
fn shortest(ends: &[usize; 4]) -> usize {
    ends.iter().copied().filter(|&end| end > 0).min().unwrap_or(0)
}

/// Streams that end a trial long before others do, and how much of the recording is left out with what they lack.
fn early_ends(ends: &[[usize; 4]]) -> Vec<String> {
    let mut found: BTreeMap<Vec<Stream>, (Vec<usize>, usize)> = BTreeMap::new();
    for (trial, ends) in ends.iter().enumerate() {
        let (first, last) = (shortest(ends), ends.iter().copied().max().unwrap_or(0));
        if (last - first) as f64 > LITTLE * last as f64 {
            let early = STREAMS.into_iter().filter(|&stream| ends[place_of(stream)] == first);
            let (trials, lost) = found.entry(early.collect()).or_default();
            trials.push(trial);
            *lost += last - first;
        }
    }
    let all: usize = ends.iter().flat_map(|ends| ends.iter().max()).sum();
    let words = |(streams, (trials, lost)): (Vec<Stream>, (Vec<usize>, usize))| {
        let names: Vec<String> = streams.iter().map(|stream| format!("`{stream}`")).collect();
        format!(
            "{}: no samples from sample {} on in trial {}, and less than other streams in {} of {} trials: {:.0} % of the \
             recording, samples that not all streams have, is left out",
            names.join(", "),
            shortest(&ends[trials[0]]),
            trials[0],
            trials.len(),
            ends.len(),
            100.0 * lost as f64 / all as f64
        )
    };
    found.into_iter().map(words).collect()
}

/// The rate that all trials have.
pub(super) fn rate(root: &Root, trials: usize, warnings: &mut Vec<String>) -> Result<f64> {
    let Some(stored) = root.has(RATES).then(|| root.numbers(RATES, trials)).transpose()? else {
        warnings.push(format!("{RATES} is missing: {RATE_HZ} samples per second are assumed"));
        return Ok(RATE_HZ);
    };
    let placed = |error: Error| error.file(root.place(RATES)).key("target_fps");
    let rates = stored.to_f64().map_err(placed)?;
    let first = rates.first().copied().unwrap_or(RATE_HZ);
    match rates.iter().position(|rate| *rate != first) {
        Some(trial) => Err(placed(Error::data(format!(
            "trial 0 has {first} samples per second, trial {trial} {}: a session has one clock",
            rates[trial]
        )))),
        None if first.is_finite() && first > 0.0 => Ok(first),
        None => Err(placed(Error::data(format!("{first} samples per second are no rate")))),
    }
}

/// The shape without its last axis, and what is said of that axis.
pub(super) fn without_time(shape: &[usize]) -> (&[usize], &'static str) {
    (shape.split_last().map_or(&[], |(_, shape)| shape), ", time")
}

/// Names of what the trials showed, from some pixels of their files over [`told_by`] samples, which movies do not share
/// by chance: `inspect` compares all pixels.
pub(super) fn stimulus_ids(root: &Root, names: &Names, lengths: &Lengths) -> Result<Vec<String>> {
    let id = |(trial, &samples): (usize, &usize)| match names.of(Stream::Images).contains_key(&trial) {
        true => {
            let (_, pixels) = root.rows(&names.file(Stream::Images, trial), PIXELS, told_by(samples))?;
            Ok(format!("movie-{}", &Digest::default().numbers(&pixels).finish()[..12]))
        }
        false => Ok(format!("trial-{trial}")),
    };
    in_order(lengths.recorded.par_iter().enumerate().map(id).collect())
}

/// Rows `[element, sample]` that are added one after another, as `[sample, element]`.
pub(super) struct TimeFirst<T> {
    values: Vec<T>,
    elements: usize,
    samples: usize,
    /// Elements that were turned.
    turned: usize,
    /// Rows that were added since.
    tile: Vec<T>,
}

impl<T: Copy + Default> TimeFirst<T> {
    pub fn new(elements: usize, samples: usize) -> Self {
        let (values, tile) = (vec![T::default(); elements * samples], Vec::with_capacity(TILE * samples));
        Self { values, elements, samples, turned: 0, tile }
    }

    /// `[sample, element]` of `values`, `[element, sample]`.
    pub fn of(values: &[T], samples: usize) -> Vec<T> {
        let rows = values.chunks_exact(samples.max(1));
        let mut turned = Self::new(rows.len(), samples);
        rows.for_each(|row| turned.add(row));
        turned.finish()
    }

    /// Adds the samples of the next element.
    pub fn add(&mut self, row: &[T]) {
        self.tile.extend_from_slice(row);
        if self.tile.len() == TILE * self.samples {
            self.turn();
        }
    }

    /// `[sample, element]`.
    pub fn finish(mut self) -> Vec<T> {
        self.turn();
        self.values
    }

    fn turn(&mut self) {
        let rows = self.tile.len() / self.samples.max(1);
        for sample in 0..self.samples {
            let out = &mut self.values[sample * self.elements + self.turned..][..rows];
            let column = self.tile[sample.min(self.tile.len())..].iter().step_by(self.samples);
            out.iter_mut().zip(column).for_each(|(out, value)| *out = *value);
        }
        self.turned += rows;
        self.tile.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_comes_first() {
        for (samples, elements) in [(7, 75), (1, 64), (3, 32), (0, 5), (4, 0)] {
            let turned = TimeFirst::of(&(0..samples * elements).collect::<Vec<_>>(), samples);
            assert_eq!(turned.len(), samples * elements);
            for (at, value) in turned.iter().enumerate() {
                assert_eq!(*value, at % elements * samples + at / elements);
            }
        }
    }
}
