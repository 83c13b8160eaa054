//! Recorded clips, as long as a model looks, at which a twin is asked.

use crate::error::{Error, Result};
use crate::random::{Draws, permutation};
use crate::recording::{Session, Stream, Tier};
use crate::twin::Twin;

/// Trial and first sample of `count` clips of the training tier of so many samples, drawn with `seed`: each trial is taken as often as
/// the others, at random places.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when no trial is as long.
pub fn places(
    session: &Session,
    twin: &Twin,
    samples: usize,
    (count, seed): (usize, u64),
) -> Result<Vec<(usize, usize)>> {
    let mut trials = session.require_tier(&Tier::Train)?;
    trials.retain(|trial| !twin.card.left_out.contains(trial) && session.trials[*trial].samples >= samples);
    if trials.is_empty() {
        let message = format!("no training trial has the {samples} samples that the model looks at");
        return Err(Error::data(message).file(&session.path));
    }
    let lengths: Vec<usize> = trials.iter().map(|&trial| session.trials[trial].samples).collect();
    let drawn = draw(&lengths, samples, count, seed).into_iter();
    Ok(drawn.map(|(at, start)| (trials[at], start)).collect())
}

/// Frames `[clip · sample, channel, height, width]` of clips of so many samples.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
pub fn read(session: &Session, places: &[(usize, usize)], samples: usize) -> Result<Vec<f32>> {
    let clip = |&(trial, start): &(usize, usize)| {
        session.read_samples(Stream::Images, trial, start..start + samples)
    };
    Ok(places.iter().map(clip).collect::<Result<Vec<_>>>()?.concat())
}

/// As [`places`], in trials that last at least so long, by their index in `lengths`.
fn draw(lengths: &[usize], samples: usize, count: usize, seed: u64) -> Vec<(usize, usize)> {
    let mut random = Draws::Clips.generator(seed);
    let mut trials = Vec::new();
    while trials.len() < count && !lengths.is_empty() {
        trials.extend(permutation(&mut random, lengths.len()));
    }
    let mut start = |trial: usize| permutation(&mut random, lengths[trial] - samples + 1)[0];
    trials.into_iter().take(count).map(|trial| (trial, start(trial))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_lie_within_trials_that_take_turns() {
        let lengths = [5, 9, 40];
        let places = draw(&lengths, 5, 8, 1);
        let times = |trial| places.iter().filter(|&&(of, _)| of == trial).count();
        assert!(places.len() == 8 && [0, 1, 2].map(times).iter().all(|count| (2..=3).contains(count)));
        assert!(places.iter().all(|&(trial, start)| start + 5 <= lengths[trial]), "{places:?}");
    }
}
