//! One pass over a stream: smallest and largest values, and what cannot be read.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::recording::{Session, Stream, StreamInfo, told_by};

/// Smallest and largest finite value of one element of a stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Extent {
    low: f32,
    high: f32,
    not_finite: usize,
}

/// What one pass over all trials of a stream found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// A hash of the values of each trial that can be read.
    pub contents: BTreeMap<usize, u64>,
    /// Trials with one value in all elements, of several.
    pub constant_trials: Vec<usize>,
    /// Samples in which a value is not finite.
    pub damaged_samples: usize,
    total: Pass,
    /// Trials that cannot be read, in order, and why.
    pub failures: Vec<(usize, String)>,
}

#[derive(Debug, Default)]
struct Pass {
    /// One per element of the stream; empty before the first trial.
    extents: Vec<Extent>,
    failures: Vec<(usize, String)>,
    first_not_finite: Option<usize>,
    contents: BTreeMap<usize, u64>,
    constant_trials: Vec<usize>,
    damaged_samples: usize,
}

/// Reads every trial of the stream once, in parallel; memory does not grow with the trials.
pub(super) fn scan(session: &Session, info: &StreamInfo) -> Scan {
    let shown = |trial: &usize| info.stream != Stream::Images || session.trials[*trial].has_stimulus;
    let mut total = (0..session.trials.len())
        .into_par_iter()
        .filter(shown)
        .fold(Pass::default, |pass, trial| pass.with_trial(session, info, trial))
        .reduce(Pass::default, Pass::joined);
    let mut failures = std::mem::take(&mut total.failures);
    failures.sort();
    let mut constant_trials = std::mem::take(&mut total.constant_trials);
    constant_trials.sort_unstable();
    let contents = std::mem::take(&mut total.contents);
    Scan { contents, constant_trials, damaged_samples: total.damaged_samples, total, failures }
}

impl Scan {
    /// Whether not a single trial could be read.
    pub fn unreadable(&self) -> bool {
        self.total.extents.is_empty()
    }

    pub fn extents(&self) -> impl Iterator<Item = &Extent> {
        self.total.extents.iter()
    }

    /// Elements that never change.
    pub fn constant(&self) -> Vec<usize> {
        self.which(|extent| extent.low == extent.high)
    }

    /// Elements that are NaN or infinite in some trial.
    pub fn not_finite(&self) -> Vec<usize> {
        self.which(|extent| extent.not_finite > 0)
    }

    /// Elements that are finite in all trials.
    pub fn finite(&self) -> Vec<usize> {
        self.which(|extent| extent.not_finite == 0)
    }

    /// The first trial with a value that is not finite, and how many such values there are.
    pub fn first_not_finite(&self) -> Option<(usize, usize)> {
        let count = self.extents().map(|extent| extent.not_finite).sum();
        self.total.first_not_finite.map(|trial| (trial, count))
    }

    fn which(&self, condition: impl Fn(&Extent) -> bool) -> Vec<usize> {
        self.extents().enumerate().filter(|(_, extent)| condition(extent)).map(|(index, _)| index).collect()
    }
}

impl Pass {
    fn with_trial(mut self, session: &Session, info: &StreamInfo, trial: usize) -> Self {
        match session.read_as_stored(info.stream, trial) {
            Ok(values) => self.add(trial, &values, info.shape.iter().product()),
            Err(error) => self.failures.push((trial, error.to_string())),
        }
        self
    }

    /// Values `[sample, element]` of a trial.
    fn add(&mut self, trial: usize, values: &[f32], elements: usize) {
        self.extents.resize(elements, Extent::EMPTY);
        let told = told_by(values.len() / elements) * elements;
        self.contents.insert(trial, content(&values[..told]));
        if values.len() > 1 && values.iter().all(|value| *value == values[0]) {
            self.constant_trials.push(trial);
        }
        let damaged = values.chunks_exact(elements).filter(|sample| !self.add_sample(sample)).count();
        self.damaged_samples += damaged;
        if damaged > 0 {
            self.first_not_finite = earliest(self.first_not_finite, Some(trial));
        }
    }

    /// Whether all values are finite.
    fn add_sample(&mut self, values: &[f32]) -> bool {
        let mut finite = true;
        for (extent, &value) in self.extents.iter_mut().zip(values) {
            if value.is_finite() {
                extent.low = extent.low.min(value);
                extent.high = extent.high.max(value);
            } else {
                extent.not_finite += 1;
                finite = false;
            }
        }
        finite
    }

    fn joined(mut self, mut other: Self) -> Self {
        let length = self.extents.len().max(other.extents.len());
        self.extents.resize(length, Extent::EMPTY);
        for (extent, more) in self.extents.iter_mut().zip(&other.extents) {
            extent.low = extent.low.min(more.low);
            extent.high = extent.high.max(more.high);
            extent.not_finite += more.not_finite;
        }
        self.failures.append(&mut other.failures);
        self.contents.append(&mut other.contents);
        self.constant_trials.append(&mut other.constant_trials);
        self.damaged_samples += other.damaged_samples;
        self.first_not_finite = earliest(self.first_not_finite, other.first_not_finite);
        self
    }
}

impl Extent {
    const EMPTY: Self = Self { low: f32::INFINITY, high: f32::NEG_INFINITY, not_finite: 0 };

    /// Smallest and largest value; `None` when no value is finite.
    pub fn range(&self) -> Option<[f32; 2]> {
        (self.low <= self.high).then_some([self.low, self.high])
    }

    /// Whether a few digits of an `f32` are left of what varies, or none of a large value.
    pub fn is_small_beside_its_baseline(&self) -> bool {
        self.range().is_some_and(|[low, high]| {
            let size = low.abs().max(high.abs());
            (high > low || size >= 1e6) && high - low < 1e-4 * size
        })
    }
}

/// A hash of the bits that tells contents apart, but not on purpose made ones.
fn content(values: &[f32]) -> u64 {
    let step = |hash: u64, value: &f32| {
        (hash.rotate_left(5) ^ u64::from(value.to_bits())).wrapping_mul(0x517c_c1b7_2722_0a95)
    };
    values.iter().fold(0, step)
}

fn earliest(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_join_in_any_order() {
        let pass = |trials: &[(usize, [f32; 3])]| {
            let mut pass = Pass::default();
            trials.iter().for_each(|(trial, values)| pass.add(*trial, values, 3));
            pass
        };
        let a = pass(&[(4, [1.0, f32::NAN, 2.0]), (3, [-1.0, 0.5, 2.0])]);
        let b = pass(&[(9, [5.0, f32::INFINITY, 2.0])]);
        let joined = Pass::default().joined(b).joined(a);
        let ranges: Vec<_> = joined.extents.iter().map(Extent::range).collect();
        assert_eq!(ranges, [Some([-1.0, 5.0]), Some([0.5, 0.5]), Some([2.0, 2.0])]);
        assert_eq!(joined.extents[1].not_finite, 2);
        assert_eq!(joined.first_not_finite, Some(4));
    }

    #[test]
    fn responses_on_a_large_baseline_are_told_from_constant_ones() {
        let extent = |low, high| Extent { low, high, not_finite: 0 }.is_small_beside_its_baseline();
        assert!(extent(1e8, 1e8 + 24.0) && extent(1e8, 1e8));
        assert!(!extent(2.0, 2.0) && !extent(0.0, 1e8) && !extent(1e3, 1e3 + 1.0));
    }
}
