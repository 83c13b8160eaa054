//! Signals on clocks of their own, read as samples of a trial.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::rule::{Rule, Taken, Times};
use crate::error::{Error, Result};
use crate::recording::samples::Samples;

/// Samples of a trial on the clock of its session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::recording) struct Grid {
    /// Time of the first, in seconds.
    pub start_s: f64,
    /// Seconds from each to the next.
    pub step_s: f64,
}

impl Grid {
    pub fn time(&self, sample: usize) -> f64 {
        self.start_s + sample as f64 * self.step_s
    }

    /// First and last time of so many samples, without what clocks jitter: half of a sample of several, less of a single one.
    pub fn span(&self, samples: usize) -> (f64, f64) {
        let part = if samples > 1 { 0.5 } else { 0.01 };
        (self.start_s, self.time(samples) - part * self.step_s)
    }
}

/// One signal.
#[derive(Debug, Clone)]
pub(super) enum Signal {
    /// Values at times.
    Track(Track),
    /// Times of events of several units, in order.
    Events { place: PathBuf, times: Arc<Times>, units: Arc<Vec<u32>>, count: usize },
}

/// Values at times, in a file.
#[derive(Debug, Clone)]
pub(super) struct Track {
    pub samples: Samples,
    pub times: Arc<Times>,
    pub rule: Rule,
    /// The only column that is taken.
    pub column: Option<usize>,
}

impl Signal {
    /// Values of each sample.
    pub fn width(&self) -> usize {
        match self {
            Self::Track(track) if track.column.is_some() => 1,
            Self::Track(track) => track.samples.shape().iter().product(),
            Self::Events { count, .. } => *count,
        }
    }

    /// Shape of a frame, `[channel, height, width]`.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the values are no images.
    pub fn frame(&self) -> Result<Vec<usize>> {
        let shape = match self {
            Self::Track(track) => track.samples.shape(),
            Self::Events { .. } => &[],
        };
        match *shape {
            [height, width] if height * width > 0 => Ok(vec![1, height, width]),
            [channels, height, width] if channels * height * width > 0 => Ok(vec![channels, height, width]),
            _ => Err(Error::data(format!(
                "has frames of shape {shape:?}, expected [height, width] or [channel, height, width]"
            ))
            .file(self.place())),
        }
    }

    pub fn place(&self) -> PathBuf {
        match self {
            Self::Track(track) => track.samples.place(),
            Self::Events { place, .. } => place.clone(),
        }
    }

    /// Samples `window` of a trial, `[sample, value]`.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the file cannot be read, or the signal has no value there.
    pub fn read(&self, grid: Grid, window: Range<usize>) -> Result<Vec<f64>> {
        match self {
            Self::Track(track) => track.read(grid, window),
            Self::Events { times, units, count, .. } => {
                let mut counts = vec![0.0; window.len() * count];
                for (row, sample) in counts.chunks_exact_mut((*count).max(1)).zip(window) {
                    for event in times.within(grid.time(sample), grid.step_s) {
                        row[units[event] as usize] += 1.0;
                    }
                }
                Ok(counts)
            }
        }
    }

    /// That it has values for all `samples` of a trial, from its first to its last.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) telling both times.
    pub fn check(&self, grid: Grid, samples: usize) -> Result<()> {
        match self {
            Self::Track(track) => [0, samples - 1].iter().try_for_each(|&at| track.taken(grid, at).map(drop)),
            // Where there are no events there were none.
            Self::Events { .. } => Ok(()),
        }
    }
}

impl Track {
    fn taken(&self, grid: Grid, sample: usize) -> Result<Taken> {
        let time = grid.time(sample);
        self.times.take(self.rule, time, grid.step_s).ok_or_else(|| {
            let message = match self.times.extent() {
                Some((first, last)) => format!("has values from {first} s to {last} s, none at {time} s"),
                None => "holds no values".to_owned(),
            };
            Error::data(message)
                .file(self.samples.place())
                .hint("correct its times or `offset_s`, or take the trial out of the table of trials")
        })
    }

    fn read(&self, grid: Grid, window: Range<usize>) -> Result<Vec<f64>> {
        let taken: Vec<Taken> = window.map(|sample| self.taken(grid, sample)).collect::<Result<_>>()?;
        let first = taken.iter().map(|taken| taken.span().start).min().unwrap_or(0);
        let end = taken.iter().map(|taken| taken.span().end).max().unwrap_or(0);
        let stored = self.samples.read(first..end)?.to_f64()?;
        let all: usize = self.samples.shape().iter().product();
        let row = |at: usize| {
            let row = &stored[(at - first) * all..][..all];
            self.column.map_or(row, |column| &row[column..=column])
        };
        let values = taken.into_iter().flat_map(|taken| match taken {
            Taken::Mean(range) if range.len() == 1 => row(range.start).to_vec(),
            Taken::Mean(range) => {
                let count = range.len() as f64;
                let mut sums = vec![0.0; row(range.start).len()];
                range.for_each(|at| sums.iter_mut().zip(row(at)).for_each(|(sum, value)| *sum += value));
                sums.into_iter().map(|sum| sum / count).collect()
            }
            Taken::Between(at, part) => {
                let pairs = row(at).iter().zip(row(at + 1));
                pairs.map(|(before, after)| before * (1.0 - part) + after * part).collect()
            }
        });
        Ok(values.collect())
    }
}
