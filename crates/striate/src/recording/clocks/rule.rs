//! How a signal on a clock of its own becomes samples of a session.
//!
//! A sample of the session begins at its time `t` and lasts one step. What is taken for it depends on the rule alone.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What of a signal a sample of the session takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The last value before the middle of the sample: frames of a video, states. Jitter of less than half a sample
    /// changes nothing.
    Hold,
    /// The mean of the values within the sample; where there is none, the last one before: signals that are faster.
    Mean,
    /// On the straight line between its neighbours, at the beginning of the sample: signals that are slower.
    Linear,
    /// The number of events within the sample: spikes, licks.
    Count,
}

/// Part of a sample by which its borders are taken earlier, so that rounding of times moves nothing across them.
const SLACK: f64 = 1e-4;

/// When values were measured, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Times {
    /// At a constant rate.
    Regular { start_s: f64, rate_hz: f64, count: usize },
    /// At these times, which never go back.
    Stamps(Vec<f64>),
}

/// The values that make a sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Taken {
    /// Their mean; often of a single one.
    Mean(Range<usize>),
    /// This one and the next, and how far between them.
    Between(usize, f64),
}

impl Taken {
    /// First and past the last value that are needed.
    pub fn span(&self) -> Range<usize> {
        match self {
            Self::Mean(range) => range.clone(),
            Self::Between(at, _) => *at..*at + 2,
        }
    }
}

impl Times {
    /// Stamps, `offset_s` later than they say.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) naming the first that is not finite or goes back.
    pub fn stamps(stamps: Vec<f64>, offset_s: f64) -> Result<Self> {
        if let Some(at) = stamps.iter().position(|time| !time.is_finite()) {
            return Err(Error::data(format!("time {at} is {}", stamps[at])));
        }
        if let Some(at) = stamps.windows(2).position(|pair| pair[1] < pair[0]) {
            let message =
                format!("time {} is {}, earlier than {} before it", at + 1, stamps[at + 1], stamps[at]);
            return Err(Error::data(message).hint("times are seconds that never go back"));
        }
        Ok(Self::Stamps(stamps.into_iter().map(|time| time + offset_s).collect()))
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Regular { count, .. } => *count,
            Self::Stamps(stamps) => stamps.len(),
        }
    }

    pub fn at(&self, index: usize) -> f64 {
        match self {
            Self::Regular { start_s, rate_hz, .. } => start_s + index as f64 / rate_hz,
            Self::Stamps(stamps) => stamps[index],
        }
    }

    /// Number of values before `time`.
    pub fn before(&self, time: f64) -> usize {
        match self {
            Self::Regular { start_s, rate_hz, count } => {
                // A float that is too large for a number, or below 0, is cut off there.
                (((time - start_s) * rate_hz).ceil() as usize).min(*count)
            }
            Self::Stamps(stamps) => stamps.partition_point(|stamp| *stamp < time),
        }
    }

    /// First and last time.
    pub fn extent(&self) -> Option<(f64, f64)> {
        let last = self.len().checked_sub(1)?;
        Some((self.at(0), self.at(last)))
    }

    /// Mean time between values; without end for a single one.
    fn period(&self) -> f64 {
        match (self.extent(), self.len()) {
            (Some((first, last)), count) if count > 1 => (last - first) / (count - 1) as f64,
            _ => f64::INFINITY,
        }
    }

    /// Time between most values: the median; 0 of fewer than two.
    pub fn usual_period(&self) -> f64 {
        let Self::Stamps(stamps) = self else { return self.period() };
        let mut periods: Vec<f64> = stamps.windows(2).map(|pair| pair[1] - pair[0]).collect();
        periods.sort_by(f64::total_cmp);
        periods.get(periods.len() / 2).copied().unwrap_or_default()
    }

    /// The longest time between `from` and `to` without a value.
    pub fn longest_gap(&self, from: f64, to: f64) -> f64 {
        let inside = self.before(from)..self.before(to);
        let borders = [from].into_iter().chain(inside.map(|at| self.at(at))).chain([to]);
        let mut gap = (f64::NEG_INFINITY, 0.0_f64);
        borders.for_each(|time| gap = (time, if gap.0.is_finite() { gap.1.max(time - gap.0) } else { 0.0 }));
        gap.1
    }

    /// Values within the step that begins at `time`.
    pub fn within(&self, time: f64, step: f64) -> Range<usize> {
        let early = time - SLACK * step;
        self.before(early)..self.before(early + step)
    }

    /// What is taken for the sample from `time` to `time + step`; none where the signal had not begun, or had ended, by
    /// more than the time between its values.
    pub fn take(&self, rule: Rule, time: f64, step: f64) -> Option<Taken> {
        match rule {
            Rule::Hold => self.held(time + step / 2.0).map(|at| Taken::Mean(at..at + 1)),
            Rule::Mean | Rule::Count => match self.within(time, step) {
                within if within.is_empty() => self.take(Rule::Hold, time, step),
                within => Some(Taken::Mean(within)),
            },
            Rule::Linear => self.between(time, step),
        }
    }

    /// The last value before `time`.
    fn held(&self, time: f64) -> Option<usize> {
        let (first, last) = self.extent()?;
        let is_near = time >= first - self.period() && time <= last + 1.5 * self.period();
        is_near.then(|| self.before(time).saturating_sub(1))
    }

    fn between(&self, time: f64, step: f64) -> Option<Taken> {
        let at = self.held(time + SLACK * step)?;
        if at + 1 >= self.len() {
            return Some(Taken::Mean(at..at + 1));
        }
        let (before, after) = (self.at(at), self.at(at + 1));
        let fraction = ((time - before) / (after - before)).clamp(0.0, 1.0);
        // The time of a value takes that value, to the last bit.
        let exact = fraction.is_nan() || fraction < SLACK;
        Some(if exact { Taken::Mean(at..at + 1) } else { Taken::Between(at, fraction) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: f64 = 0.1;

    fn regular() -> Times {
        Times::Regular { start_s: 1.0, rate_hz: 10.0, count: 50 }
    }

    #[test]
    fn on_the_same_clock_every_rule_takes_each_value_as_it_is() {
        let stamps = Times::stamps((0..50).map(|i| 1.0 + f64::from(i) / 10.0).collect(), 0.0).unwrap();
        for times in [regular(), stamps] {
            for rule in [Rule::Hold, Rule::Mean, Rule::Linear] {
                for at in 0..50 {
                    let time = 1.0 + at as f64 * STEP;
                    assert_eq!(times.take(rule, time, STEP), Some(Taken::Mean(at..at + 1)), "{rule:?} {at}");
                }
            }
        }
    }

    #[test]
    fn a_known_delay_is_repaired_by_its_offset() {
        // Values that were stamped three samples late.
        let late: Vec<f64> = (0..50).map(|i| 1.3 + f64::from(i) / 10.0).collect();
        let repaired = Times::stamps(late.clone(), -0.3).unwrap();
        let late = Times::stamps(late, 0.0).unwrap();
        for rule in [Rule::Hold, Rule::Mean, Rule::Linear] {
            assert_eq!(late.take(rule, 2.0, STEP), Some(Taken::Mean(7..8)));
            assert_eq!(repaired.take(rule, 2.0, STEP), Some(Taken::Mean(10..11)));
        }
    }

    #[test]
    fn jitter_below_half_a_sample_leaves_frames_where_they_are() {
        let jitter = |i: i32| 1.0 + f64::from(i) / 10.0 + [0.0, 0.04, -0.04, 0.02][i as usize % 4];
        let times = Times::stamps((0..50).map(jitter).collect(), 0.0).unwrap();
        for at in 0..50 {
            let taken = times.take(Rule::Hold, 1.0 + at as f64 * STEP, STEP);
            assert_eq!(taken, Some(Taken::Mean(at..at + 1)));
        }
    }

    #[test]
    fn faster_signals_are_averaged_and_slower_ones_lie_on_lines() {
        let fast = Times::Regular { start_s: 0.0, rate_hz: 40.0, count: 400 };
        assert_eq!(fast.take(Rule::Mean, 1.0, STEP), Some(Taken::Mean(40..44)));
        let slow = Times::Regular { start_s: 0.0, rate_hz: 2.0, count: 20 };
        let Some(Taken::Between(at, fraction)) = slow.take(Rule::Linear, 1.1, STEP) else { panic!() };
        assert!(at == 2 && (fraction - 0.2).abs() < 1e-9, "{fraction}");
        assert_eq!(slow.take(Rule::Mean, 1.1, STEP), Some(Taken::Mean(2..3)), "none within: the last one");
    }

    #[test]
    fn the_longest_gap_is_that_within_the_stretch() {
        let stamps: Vec<f64> = [0, 1, 2, 9, 10, 11, 30].map(f64::from).into();
        let times = Times::stamps(stamps, 0.0).unwrap();
        assert_eq!(times.usual_period(), 1.0);
        let gaps =
            [(0.0, 2.0), (0.0, 10.5), (4.0, 8.0), (10.0, 14.0)].map(|(from, to)| times.longest_gap(from, to));
        assert_eq!(gaps, [1.0, 7.0, 4.0, 3.0]);
        assert!((regular().longest_gap(2.0, 3.0) - STEP).abs() < 1e-9);
    }

    #[test]
    fn beyond_its_ends_a_signal_has_no_value() {
        let times = regular();
        for rule in [Rule::Hold, Rule::Mean, Rule::Linear] {
            assert_eq!(times.take(rule, 0.5, STEP), None, "{rule:?}");
            assert_eq!(times.take(rule, 6.2, STEP), None, "{rule:?}");
            assert_eq!(times.take(rule, 0.95, STEP), Some(Taken::Mean(0..1)), "{rule:?}");
            assert_eq!(times.take(rule, 5.92, STEP), Some(Taken::Mean(49..50)), "{rule:?}");
        }
        assert_eq!(Times::Stamps(vec![]).take(Rule::Hold, 0.0, STEP), None);
    }

    #[test]
    fn times_that_go_back_or_are_none_are_named() {
        let refused = |stamps: &[f64]| Times::stamps(stamps.to_vec(), 0.0).unwrap_err().message().to_owned();
        assert_eq!(refused(&[0.0, f64::NAN]), "time 1 is NaN");
        assert!(refused(&[0.0, 2.0, 1.0]).starts_with("time 2 is 1, earlier than 2"));
    }
}
