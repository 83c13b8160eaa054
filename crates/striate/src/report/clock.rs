//! Whether the streams of a session run on one clock: by how much responses follow the movie, and behaviour.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use rayon::prelude::*;
use serde::Serialize;

use crate::recording::{Session, Stream};

/// By how many samples responses follow what moves them, or go before it, at most.
const MOST: usize = 30;
/// Trials that are looked at.
const TRIALS: usize = 60;
/// Correlation below which nothing is said: no session of white noise reaches it with a minute of samples.
const LEAST: f64 = 0.1;
/// What changes slowly, or is few trials, correlates by chance at some lag: pairs of trials that do not belong together say how
/// much. So many shuffles are made where there are more trials, and fewer than the least cannot tell.
const SHUFFLES: RangeInclusive<usize> = 5..=19;
/// Samples within which visual cortex answers at the rates of video.
const PLAUSIBLE: RangeInclusive<i64> = 0..=15;
/// Samples by which sessions of one recording may differ, behind the movie and behind behaviour.
const ALIKE: [i64; 2] = [2, 5];

/// When the mean response of all neurons follows something.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Lag {
    /// Samples after it at which the correlation is largest; negative where responses come first.
    pub samples: i64,
    /// That correlation.
    pub correlation: f64,
}

impl Lag {
    /// As a sentence about what is followed.
    pub fn words(&self, followed: &str) -> String {
        let how = if self.samples < 0 { "precede" } else { "follow" };
        format!("responses {how} {followed} by {} samples", self.samples.abs())
    }
}

/// The lags of a session of clips; only where responses follow more than by chance, and by the same in both halves of the trials.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Lags {
    /// Behind the changes of the movie.
    #[serde(rename = "lag", skip_serializing_if = "Option::is_none")]
    pub movie: Option<Lag>,
    /// Behind each variable of behaviour, by name.
    #[serde(rename = "behaviour_lags", skip_serializing_if = "BTreeMap::is_empty")]
    pub behaviour: BTreeMap<String, Lag>,
}

/// The mean response of a trial and what it may follow: changes of the movie, then variables of behaviour. Of mean 0.
struct Traces {
    /// What was shown: the responses of another trial follow the same movie, too.
    stimulus_id: String,
    followed: Vec<Vec<f64>>,
    responses: Vec<f64>,
}

/// The lags of a session; none behind what is damaged.
pub(super) fn lags(session: &Session) -> Lags {
    let trials = (0..session.trials.len()).filter(|&trial| session.trials[trial].has_stimulus).take(TRIALS);
    let trials: Vec<usize> = trials.collect();
    let traces: Vec<Traces> =
        trials.into_par_iter().filter_map(|trial| Traces::read(session, trial)).collect();
    let traces: Vec<&Traces> = traces.iter().collect();
    let names = session.variables(Stream::Behavior);
    let variables = traces.first().map_or(0, |trial| trial.followed.len() - 1);
    let name = |at: usize| names.get(at).cloned().unwrap_or_else(|| format!("behaviour {}", at + 1));
    Lags {
        movie: clear(&traces, 0, ALIKE[0]),
        behaviour: (0..variables)
            .filter_map(|at| Some((name(at), clear(&traces, at + 1, ALIKE[1])?)))
            .collect(),
    }
}

/// The lag that is beyond chance, and alike in both halves of the trials.
fn clear(trials: &[&Traces], which: usize, alike: i64) -> Option<Lag> {
    let found = best(trials, which, 0)?;
    let by_chance = |shift| best(trials, which, shift).is_none_or(|lag| lag.correlation >= found.correlation);
    let half = |first: usize| {
        let half: Vec<&Traces> = trials.iter().copied().skip(first).step_by(2).collect();
        best(&half, which, 0).map(|lag| lag.samples)
    };
    let apart = (half(0)? - half(1)?).abs();
    let shuffles = (trials.len() - 1).min(*SHUFFLES.end());
    let is_clear = found.correlation >= LEAST && apart <= alike && SHUFFLES.contains(&shuffles);
    (is_clear && !(1..=shuffles).any(by_chance)).then_some(found)
}

/// The lag of the largest correlation of the responses with what they may follow, of the trial so many further on, if that showed
/// something else.
fn best(trials: &[&Traces], which: usize, shift: usize) -> Option<Lag> {
    let lags = 0..=2 * MOST;
    let correlation = |lag: usize| {
        let other = |at: usize| trials[(at + shift) % trials.len()];
        let pairs = trials.iter().enumerate().map(|(at, &trial)| (trial, other(at)));
        let pairs = pairs.filter(|(trial, other)| shift == 0 || trial.stimulus_id != other.stimulus_id);
        let pairs = pairs.map(|(trial, other)| products(&other.followed[which], &trial.responses, lag));
        let [product, followed, responses] =
            pairs.fold([0.0; 3], |sum, trial| [0, 1, 2].map(|moment| sum[moment] + trial[moment]));
        product / (followed * responses).sqrt()
    };
    let all: Vec<f64> = lags.into_par_iter().map(correlation).collect();
    let best = (0..all.len()).filter(|&at| all[at].is_finite()).max_by(|&a, &b| all[a].total_cmp(&all[b]))?;
    Some(Lag { samples: best as i64 - MOST as i64, correlation: all[best] })
}

/// Sums of products and squares at a lag; the first is the longest way that responses come before.
fn products(followed: &[f64], responses: &[f64], lag: usize) -> [f64; 3] {
    let (earlier, later) = (lag.saturating_sub(MOST), MOST.saturating_sub(lag));
    let pairs = followed.iter().skip(later).zip(responses.iter().skip(earlier));
    pairs.fold([0.0; 3], |[xy, xx, yy], (x, y)| [xy + x * y, xx + x * x, yy + y * y])
}

impl Traces {
    fn read(session: &Session, trial: usize) -> Option<Self> {
        let samples = session.trials[trial].samples;
        if !session.has_clips() || samples <= 2 * MOST {
            return None;
        }
        let frames = session.read(Stream::Images, trial).ok()?;
        let responses = session.read(Stream::Responses, trial).ok()?;
        let frames: Vec<&[f32]> = frames.chunks_exact(frames.len() / samples).collect();
        let change = |pair: &[&[f32]]| {
            let all: f64 = pair[0].iter().zip(pair[1]).map(|(a, b)| f64::from((a - b).abs())).sum();
            all / pair[0].len() as f64
        };
        // The first frame changes nothing that is known.
        let changes = centred(frames.windows(2).map(change).collect());
        let behaviour =
            session.shape(Stream::Behavior).map(|_| session.read_as_stored(Stream::Behavior, trial));
        let behaviour = behaviour.transpose().ok()?.unwrap_or_default();
        let width = behaviour.len() / samples;
        let variable = |at: usize| {
            let rows = behaviour.chunks_exact(width).skip(1);
            centred(rows.map(|row| f64::from(row[at])).collect())
        };
        Some(Self {
            stimulus_id: session.trials[trial].stimulus_id.clone(),
            followed: std::iter::once(changes).chain((0..width).map(variable)).collect(),
            responses: centred(responses.chunks_exact(session.neurons.len()).skip(1).map(mean).collect()),
        })
    }
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64
}

fn centred(mut values: Vec<f64>) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter_mut().for_each(|value| *value -= mean);
    values
}

/// What is odd about the lags of each session, beside the medians of the others.
pub(super) fn oddities(lags: &[&Lags]) -> Vec<Vec<String>> {
    let each = |of: &dyn Fn(&Lags) -> Option<Lag>| lags.iter().map(|&lags| of(lags)).collect::<Vec<_>>();
    let movie = odd(&each(&|lags| lags.movie), "the changes of the movie", ALIKE[0], Some(PLAUSIBLE));
    let names: BTreeSet<&String> = lags.iter().flat_map(|lags| lags.behaviour.keys()).collect();
    let behaviour = names.into_iter().map(|name| {
        // Which comes first, and by how much, is not known of behaviour.
        odd(&each(&|lags| lags.behaviour.get(name).copied()), name, ALIKE[1], None)
    });
    let all: Vec<Vec<Option<String>>> = std::iter::once(movie).chain(behaviour).collect();
    (0..lags.len()).map(|at| all.iter().filter_map(|odd| odd[at].clone()).collect()).collect()
}

fn odd(
    lags: &[Option<Lag>],
    followed: &str,
    alike: i64,
    plausible: Option<RangeInclusive<i64>>,
) -> Vec<Option<String>> {
    let words = |at: usize| {
        let lag = lags[at]?;
        let mut others: Vec<i64> = (0..lags.len())
            .filter(|&other| other != at)
            .filter_map(|other| Some(lags[other]?.samples))
            .collect();
        others.sort_unstable();
        // Of an even number both in the middle are usual.
        let (low, high) = (others.get(others.len().saturating_sub(1) / 2), others.get(others.len() / 2));
        let differs = |usual: &&i64| (lag.samples - **usual).abs() >= alike;
        let said = lag.words(followed);
        match low.filter(differs).and(high.filter(differs)) {
            Some(usual) => Some(format!(
                "{said}, in the other sessions it is {usual}: does a stream of this session run on another clock?"
            )),
            None if plausible.as_ref().is_none_or(|range| range.contains(&lag.samples)) => None,
            None => Some(format!("{said}: does one of both streams run on another clock?")),
        }
    };
    (0..lags.len()).map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{generator, normal};

    fn lag(samples: i64) -> Lag {
        Lag { samples, correlation: 0.5 }
    }

    #[test]
    fn sessions_are_held_against_each_other_and_against_what_cortex_can() {
        let of = |lags: &[Option<i64>]| -> Vec<usize> {
            let lags: Vec<Lags> =
                lags.iter().map(|samples| Lags { movie: samples.map(lag), ..Lags::default() }).collect();
            let found = oddities(&lags.iter().collect::<Vec<_>>());
            (0..lags.len()).filter(|&at| !found[at].is_empty()).collect()
        };
        assert!(of(&[Some(3), Some(4), None, Some(3)]).is_empty());
        assert_eq!(of(&[Some(3), Some(3), Some(8), None]), [2]);
        assert_eq!(of(&[Some(3), Some(3), Some(3), Some(8)]), [3]);
        assert_eq!(of(&[Some(3), Some(8)]), [0, 1], "neither is known to be right");
        assert_eq!((of(&[Some(-2)]), of(&[Some(20)]), of(&[Some(0)])), (vec![0], vec![0], vec![]));
    }

    #[test]
    fn behaviour_is_held_against_other_sessions_alone() {
        let of = |lags: &[i64]| -> Vec<usize> {
            let lags: Vec<Lags> = lags
                .iter()
                .map(|&samples| Lags { behaviour: [("speed".into(), lag(samples))].into(), movie: None })
                .collect();
            let found = oddities(&lags.iter().collect::<Vec<_>>());
            (0..lags.len()).filter(|&at| !found[at].is_empty()).collect()
        };
        assert_eq!((of(&[-25]), of(&[0, 1, 4]), of(&[0, 1, -9])), (vec![], vec![], vec![2]));
    }

    /// Trials in which a slow walk moves the responses `late` samples later, by `share` of their noise.
    fn walks(late: usize, share: f64) -> Vec<Traces> {
        let trial = |stream: u64| {
            let stimulus_id = stream.to_string();
            let mut random = generator(3, stream);
            let draws = normal(&mut random, 400, 0.0, 1.0);
            let step = |state: &mut f64, &draw: &f32| {
                *state = 0.98 * *state + 0.2 * f64::from(draw);
                Some(*state)
            };
            let walk: Vec<f64> = draws.iter().scan(0.0, step).collect();
            let noise = normal(&mut random, 300, 0.0, 1.0);
            let responses = (0..300).map(|at| share * walk[50 + at - late] + f64::from(noise[at])).collect();
            Traces {
                stimulus_id,
                followed: vec![Vec::new(), centred(walk[50..350].to_vec())],
                responses: centred(responses),
            }
        };
        (0..20).map(trial).collect()
    }

    #[test]
    fn a_lag_behind_behaviour_is_found_and_chance_is_not() {
        let found = |late, share| {
            let trials = walks(late, share);
            clear(&trials.iter().collect::<Vec<_>>(), 1, ALIKE[1]).map(|lag| lag.samples)
        };
        assert!((10..=14).contains(&found(12, 0.5).unwrap()), "{:?}", found(12, 0.5));
        assert_eq!(found(0, 0.5), Some(0));
        assert_eq!(found(0, 0.0), None);
        // As many as there are shuffles, at least: of three pairs the right one is the best by chance too often.
        assert!(clear(&walks(0, 0.5).iter().take(5).collect::<Vec<_>>(), 1, ALIKE[1]).is_none());
    }

    /// What happens in all trials alike says nothing of what is followed, however well it correlates.
    #[test]
    fn what_any_other_trial_explains_as_well_is_not_told() {
        let mut random = generator(5, 0);
        let noise: Vec<f64> = normal(&mut random, 83, 0.0, 1.0).into_iter().map(f64::from).collect();
        let trial = |at: usize| Traces {
            stimulus_id: at.to_string(),
            followed: vec![centred(noise[3..].to_vec())],
            responses: centred(noise[..80].to_vec()),
        };
        let trials: Vec<Traces> = (0..8).map(trial).collect();
        let trials: Vec<&Traces> = trials.iter().collect();
        assert_eq!(best(&trials, 0, 0).map(|lag| lag.samples), Some(3));
        assert_eq!(clear(&trials, 0, ALIKE[0]), None);
    }
}
