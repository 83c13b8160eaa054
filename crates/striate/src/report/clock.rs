//! Whether the responses of a session run on the clock of its movies.

use rayon::prelude::*;
use serde::Serialize;

use crate::recording::{Session, Stream};

/// By how many samples responses follow the movie, or go before it, at most.
const MOST: usize = 30;
/// Trials that are looked at.
const TRIALS: usize = 60;
/// Correlation below which nothing is said: no session of white noise reaches it with a minute of samples.
const LEAST: f64 = 0.1;
/// Samples within which visual cortex answers at the rates of video.
const PLAUSIBLE: std::ops::RangeInclusive<i64> = 0..=15;
/// Samples by which sessions of one recording may differ.
const ALIKE: i64 = 2;

/// When the mean response of all neurons follows changes of the movie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Lag {
    /// Samples after the change at which the correlation is largest.
    pub samples: i64,
    /// That correlation.
    pub correlation: f64,
}

/// The lag of the responses of a session of clips; none where they do not follow the movie clearly, or trials are damaged.
pub(super) fn lag(session: &Session) -> Option<Lag> {
    let trials = (0..session.trials.len()).filter(|&trial| session.trials[trial].has_stimulus).take(TRIALS);
    let trials: Vec<usize> = trials.collect();
    let each: Vec<Vec<[f64; 3]>> =
        trials.into_par_iter().filter_map(|trial| products(session, trial)).collect();
    let sum = |at: usize| {
        each.iter().fold([0.0; 3], |sum, trial| [0, 1, 2].map(|moment| sum[moment] + trial[at][moment]))
    };
    let correlation = |at: usize| {
        let [product, changes, responses] = sum(at);
        product / (changes * responses).sqrt()
    };
    let all: Vec<f64> = (0..=2 * MOST).map(correlation).collect();
    let best = (0..all.len()).filter(|&at| all[at].is_finite()).max_by(|&a, &b| all[a].total_cmp(&all[b]))?;
    (all[best] >= LEAST).then(|| Lag { samples: best as i64 - MOST as i64, correlation: all[best] })
}

/// For each lag the sums of products and squares of changes and responses, both about their means over the trial.
fn products(session: &Session, trial: usize) -> Option<Vec<[f64; 3]>> {
    let samples = session.trials[trial].samples;
    if !session.has_clips() || samples <= 2 * MOST {
        return None;
    }
    let frames = session.read(Stream::Images, trial).ok()?;
    let responses = session.read(Stream::Responses, trial).ok()?;
    let mean =
        |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
    let frames: Vec<&[f32]> = frames.chunks_exact(frames.len() / samples).collect();
    let change = |pair: &[&[f32]]| {
        let all: f64 = pair[0].iter().zip(pair[1]).map(|(a, b)| f64::from((a - b).abs())).sum();
        all / pair[0].len() as f64
    };
    // The first frame changes nothing that is known.
    let changes = centred(frames.windows(2).map(change).collect());
    let responses = centred(responses.chunks_exact(session.neurons.len()).skip(1).map(mean).collect());
    let at = |lag: usize| {
        let (earlier, later) = (lag.saturating_sub(MOST), MOST.saturating_sub(lag));
        let pairs = changes[later..].iter().zip(&responses[earlier..]);
        pairs.fold([0.0; 3], |[xy, xx, yy], (x, y)| [xy + x * y, xx + x * x, yy + y * y])
    };
    Some((0..=2 * MOST).map(at).collect())
}

fn centred(mut values: Vec<f64>) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter_mut().for_each(|value| *value -= mean);
    values
}

/// What is odd about the lag of each session, beside the median of the others.
pub(super) fn oddities(lags: &[Option<Lag>]) -> Vec<Option<String>> {
    let words = |at: usize| {
        let samples = lags[at]?.samples;
        let mut others: Vec<i64> = (0..lags.len())
            .filter(|&other| other != at)
            .filter_map(|other| Some(lags[other]?.samples))
            .collect();
        others.sort_unstable();
        // Of an even number both in the middle are usual.
        let (low, high) = (others.get(others.len().saturating_sub(1) / 2), others.get(others.len() / 2));
        let differs = |usual: &&i64| (samples - **usual).abs() >= ALIKE;
        let usual = low.filter(differs).and(high.filter(differs));
        let how = if samples < 0 { "precede" } else { "follow" };
        let said = format!("responses {how} the changes of the movie by {} samples", samples.abs());
        match usual {
            Some(usual) => Some(format!(
                "{said}, in the other sessions it is {usual}: does a stream of this session run on another clock?"
            )),
            None if PLAUSIBLE.contains(&samples) => None,
            None => Some(format!("{said}: does one of both streams run on another clock?")),
        }
    };
    (0..lags.len()).map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_held_against_each_other_and_against_what_cortex_can() {
        let of = |lags: &[Option<i64>]| -> Vec<usize> {
            let lag = |samples: &Option<i64>| samples.map(|samples| Lag { samples, correlation: 0.5 });
            let found = oddities(&lags.iter().map(lag).collect::<Vec<_>>());
            (0..lags.len()).filter(|&at| found[at].is_some()).collect()
        };
        assert!(of(&[Some(3), Some(4), None, Some(3)]).is_empty());
        assert_eq!(of(&[Some(3), Some(3), Some(8), None]), [2]);
        assert_eq!(of(&[Some(3), Some(3), Some(3), Some(8)]), [3]);
        assert_eq!(of(&[Some(3), Some(8)]), [0, 1], "neither is known to be right");
        assert_eq!((of(&[Some(-2)]), of(&[Some(20)]), of(&[Some(0)])), (vec![0], vec![0], vec![]));
    }
}
