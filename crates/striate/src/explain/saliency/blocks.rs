//! The samples that are asked about: stretches of trials, what the animal did in them, and where its eye was lost.

use burn::prelude::*;

use crate::batch::{Clip, Inputs, PUPILS, Trials, Variables};
use crate::error::{Error, Result};
use crate::recording::{Session, Stream, Tier};
use crate::twin::Twin;

/// Samples that are shown at once.
const AT_ONCE: usize = 256;

/// A stretch of a trial; of still images all of them, one after another.
#[derive(Debug)]
pub struct Block {
    /// Its parts, that fit into memory, each with its first row here.
    pub parts: Vec<(Vec<Clip>, usize)>,
    /// What the animal did, `[sample, factor]`.
    pub factors: Vec<f32>,
    /// Where it looked, `[sample, factor]`.
    pub pupil: Vec<f32>,
    /// Whether the eye was seen, for each sample.
    pub seen: Vec<bool>,
    /// Whether it was in all that the response depends on, for each sample that is predicted.
    pub is_sound: Vec<bool>,
}

/// The first `samples` predicted samples of a tier, as many of each trial; 0 for all of them.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when the tier is empty, or a trial is damaged.
pub fn blocks(session: &Session, twin: &Twin, tier: &Tier, samples: usize) -> Result<Vec<Block>> {
    let lost = twin.card.model.lost();
    let mut trials = session.require_responses(tier)?;
    trials.retain(|trial| !twin.card.left_out.contains(trial) && session.trials[*trial].samples > lost);
    if trials.is_empty() {
        let message =
            format!("no trial of tier `{tier}` is longer than the {lost} samples that the model loses");
        return Err(Error::data(message).file(&session.path).hint("ask another one: `tier=NAME`"));
    }
    let of_each = if samples == 0 { usize::MAX } else { samples.div_ceil(trials.len().max(1)) };
    if session.has_clips() {
        let clip = |&trial: &usize| {
            let samples = session.trials[trial].samples.min(of_each.saturating_add(lost));
            let whole = Clip { trial, start: 0, samples };
            let parts = whole.stretches(Some(AT_ONCE.max(2 * lost)), lost);
            Block::read(session, twin, &[whole], parts.map(|part| (vec![part], part.start)).collect())
        };
        return trials.iter().map(clip).collect();
    }
    if samples > 0 {
        trials.truncate(samples);
    }
    let images: Vec<Clip> = trials.iter().map(|&trial| Clip { trial, start: 0, samples: 1 }).collect();
    let parts = images.chunks(AT_ONCE).enumerate().map(|(at, part)| (part.to_vec(), at * AT_ONCE));
    Ok(vec![Block::read(session, twin, &images, parts.collect())?])
}

impl Block {
    fn read(session: &Session, twin: &Twin, clips: &[Clip], parts: Vec<(Vec<Clip>, usize)>) -> Result<Self> {
        let normalisation = &twin.card.normalisation;
        let factors = |stream, of: &Option<Variables>| -> Result<Vec<f32>> {
            let Some(of) = of else { return Ok(Vec::new()) };
            let rows = clips.iter().map(|clip| {
                let read = session.read_samples(stream, clip.trial, clip.start..clip.start + clip.samples)?;
                Ok(of.factor_rows(&read))
            });
            Ok(rows.collect::<Result<Vec<_>>>()?.concat())
        };
        let seen = clips.iter().map(|clip| eye_seen(session, clip)).collect::<Result<Vec<_>>>()?.concat();
        Ok(Self {
            factors: factors(Stream::Behavior, &normalisation.behaviour)?,
            pupil: factors(Stream::PupilCenter, &normalisation.pupil)?,
            is_sound: sound(&seen, twin),
            seen,
            parts,
        })
    }

    /// Samples that are predicted.
    pub fn predicted(&self) -> usize {
        self.is_sound.len()
    }

    /// The rows of a part in `rows`, which hold `width` values for each sample.
    pub fn rows<'a>(&self, rows: &'a [f32], (clips, start): &(Vec<Clip>, usize), width: usize) -> &'a [f32] {
        let samples: usize = clips.iter().map(|clip| clip.samples).sum();
        &rows[start * width..(start + samples) * width]
    }
}

/// Frames, and what the animal did, of a part, as the model takes them in.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
pub fn inputs(trials: &Trials<'_>, part: &(Vec<Clip>, usize), device: &Device) -> Result<Inputs> {
    Ok(trials.batch(&part.0, device)?.inputs)
}

/// Whether the eye was seen, for each sample of a clip: a pupil without a size was not.
fn eye_seen(session: &Session, clip: &Clip) -> Result<Vec<bool>> {
    let variables = session.variables(Stream::Behavior);
    let Some(at) = variables.iter().position(|name| PUPILS.contains(&name.as_str())) else {
        return Ok(vec![true; clip.samples]);
    };
    let rows = session.read_samples(Stream::Behavior, clip.trial, clip.start..clip.start + clip.samples)?;
    Ok(rows.chunks_exact(variables.len()).map(|row| row[at] != 0.0).collect())
}

/// Whether the eye was seen in all samples of one stretch that each predicted one depends on, and in the one before, from which changes are
/// taken.
pub fn sound(seen: &[bool], twin: &Twin) -> Vec<bool> {
    let model = &twin.card.model;
    if !model.sees_clips() {
        return seen.to_vec();
    }
    let (lost, lag) = (model.lost(), model.lag);
    let of = |sample: usize| seen[(sample - lost).saturating_sub(1)..=sample - lag].iter().all(|seen| *seen);
    (lost..seen.len()).map(of).collect()
}

/// Mean and s.d. of the factors and of what the model makes of them, over the training trials, where the eye was seen.
#[derive(Debug, Clone)]
pub struct Usual {
    /// Of factors.
    pub mean: Vec<f32>,
    /// Of factors.
    pub sd: Vec<f32>,
    /// Of what is taken in, scaled as the model sees it.
    pub sd_taken_in: Vec<f32>,
}

/// What is usual of a stream.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
pub fn usual(session: &Session, twin: &Twin, (stream, of): (Stream, &Variables)) -> Result<Usual> {
    let (mut factors, mut taken_in) = (Vec::new(), Vec::new());
    for trial in session.require_tier(&Tier::Train)? {
        if twin.card.left_out.contains(&trial) {
            continue;
        }
        let whole = Clip { trial, start: 0, samples: session.trials[trial].samples };
        let rows = of.factor_rows(&session.read(stream, trial)?);
        let features = of.of_factors(&rows);
        let seen = eye_seen(session, &whole)?;
        // A change looks at the sample before.
        let is_sound: Vec<bool> = (0..seen.len()).map(|at| seen[at] && seen[at.saturating_sub(1)]).collect();
        let keep = |rows: &[f32], into: &mut Vec<f32>| {
            let width = rows.len() / is_sound.len().max(1);
            let kept = rows.chunks_exact(width.max(1)).zip(&is_sound).filter(|(_, sound)| **sound);
            kept.for_each(|(row, _)| into.extend_from_slice(row));
        };
        keep(&rows, &mut factors);
        keep(&features, &mut taken_in);
    }
    let [mean, sd] = moments(&factors, of.factor_rows(&vec![0.0; of.recorded()]).len());
    let [_, sd_taken_in] = moments(&taken_in, of.mean.len());
    Ok(Usual { mean, sd, sd_taken_in })
}

/// Mean and s.d. of each column of rows of so many values.
fn moments(rows: &[f32], width: usize) -> [Vec<f32>; 2] {
    let n = (rows.len() / width.max(1)).max(1) as f64;
    let column = |at: usize| rows.iter().skip(at).step_by(width.max(1)).map(|&value| f64::from(value));
    let mean: Vec<f64> = (0..width).map(|at| column(at).sum::<f64>() / n).collect();
    let variance = |at: usize| column(at).map(|value| (value - mean[at]).powi(2)).sum::<f64>() / n;
    let sd = (0..width).map(|at| variance(at).sqrt() as f32).collect();
    [mean.iter().map(|&mean| mean as f32).collect(), sd]
}
