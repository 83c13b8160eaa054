//! Saliency: how what the animal does, and what it sees, moves the neurons of a twin.
//!
//! Each neuron's response is shared out among the signals of behaviour by gradients, plain and integrated; held-out responses say which of
//! these shares are real, beside the same for a twin that is told what the animal did at another time (`papers/xu2023.md#behaviour-saliency`).

mod attribution;
mod blocks;
mod evidence;
mod names;
mod neurons;
mod options;
mod pixels;
mod selectivity;
mod write;

use std::collections::BTreeMap;

use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::array::Array;
use crate::batch::{Clip, Trials, Variables};
use crate::error::{Error, Result};
use crate::explain::statistics::{correlation, shifts};
use crate::model::Pass;
use crate::random::Draws;
use crate::recording::{Session, Stream, Tier};
use crate::twin::Twin;

use attribution::{Asked, Attribution, Gradients};
use blocks::Block;
use evidence::Samples;
use names::Names;
use neurons::{Published, Tested};

pub use options::{KEYS, Options, Rule};
pub use pixels::Picture;
pub use selectivity::{Agreement, GROUPS, MIXED, NONE, Panels, group};

/// Seconds over which responses are smoothed before the correlation of the published second panel.
const SMOOTHED_S: f64 = 2.0;

/// A variable of behaviour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Its name.
    pub name: String,
    /// Group of the paper that it is in, or itself.
    pub group: String,
    /// Its s.d. over the training trials, in recorded units, where its value is taken in.
    pub sd: Option<f64>,
}

/// What one signal does to one neuron; responses are in the units of the recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Mean change of the response per s.d. of the signal, through the inputs of behaviour.
    pub value: Option<f64>,
    /// The same per s.d. of its change from sample to sample.
    pub change: Option<f64>,
    /// The same through what the eye sees, of a signal that says where it looks.
    pub gaze: Option<f64>,
    /// S.d. of the integrated gradients over the samples.
    pub integrated_sd: f64,
    /// What held-out responses change by where the twin says 1.
    pub slope: Option<f64>,
    /// Share of copies shifted in time that say as much.
    pub p: f64,
    /// Whether it is among the discoveries.
    pub found: bool,
    /// Whether it is strong by the published rule.
    pub strong: bool,
    /// Whether the neuron of a simulation is moved by it: −1, 0 or 1.
    pub truth: Option<f64>,
}

/// One neuron.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Identifier in the recording.
    pub unit_id: i64,
    /// `none`, a group of signals, or `mixed`.
    pub class: String,
    /// Correlation of prediction and response.
    pub correlation: Option<f64>,
    /// By signal.
    pub effects: Vec<Effect>,
}

/// How what is found agrees with the truth of a simulation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Pairs of a neuron and a signal.
    pub pairs: Agreement,
    /// Whether a neuron is mixed.
    pub mixed: Agreement,
    /// Pairs that are found have the true sign.
    pub signs: Option<f64>,
    /// Pairs by the published rule.
    pub published_pairs: Agreement,
    /// Mixed by the published rule.
    pub published_mixed: Agreement,
}

/// `explain/saliency/saliency.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Version of the file.
    pub format: u64,
    /// Version of striate that wrote it.
    pub striate: String,
    /// SHA-256 of the weights of the model that is explained.
    pub model: String,
    /// What was asked.
    pub options: Options,
    /// The tier.
    pub tier: String,
    /// Predicted samples, and those of them that count: where the eye was lost none do.
    pub samples: [usize; 2],
    /// Variables of behaviour; none where the model takes in none.
    pub signals: Vec<Signal>,
    /// Names of what the model takes in of them.
    pub features: Vec<String>,
    /// What integrated gradients lack of what they share out, as a share of it, root mean square.
    pub gap: f64,
    /// Neurons of each class.
    pub classes: BTreeMap<String, usize>,
    /// The same of a twin that is told what the animal did at another time.
    pub null_classes: BTreeMap<String, usize>,
    /// Pairs of neuron and signal that are found, and those of the same twin.
    pub found: [usize; 2],
    /// The panels of the published rule.
    pub published: Panels,
    /// Their mean over copies in which nothing belongs together.
    pub published_null: Panels,
    /// Agreement with the truth of a simulation.
    pub truth: Option<Known>,
    /// One per neuron.
    pub neurons: Vec<Row>,
    /// Pixels of some neurons.
    pub pictures: Vec<Picture>,
    #[serde(skip)]
    gradients: Gradients,
    #[serde(skip)]
    pixels: Vec<Array>,
}

/// Signals that truly move each neuron of the recording, −1, 0 or 1, `[neuron][signal]`, with their names.
#[derive(Debug, Clone, Copy)]
pub struct Truth<'a> {
    /// Names of the signals.
    pub signals: &'a [&'a str],
    /// One row per neuron of the recording.
    pub signs: &'a [Vec<f32>],
}

/// What behaviour and pixels do to the neurons of `twin`.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) for a tier that there is not; [`Kind::Data`](crate::error::Kind::Data) when a trial is
/// damaged.
pub fn explain(
    twin: &Twin,
    session: &Session,
    truth: Option<Truth<'_>>,
    options: &Options,
    device: &Device,
) -> Result<Explanation> {
    let tier = tier(session, &options.tier)?;
    let blocks = blocks::blocks(session, twin, &tier, options.samples)?;
    let normalisation = &twin.card.normalisation;
    let trials = Trials::new(session, twin.card.neurons.clone(), normalisation.clone(), 0);
    let asked = Asked { twin, trials: &trials, blocks: &blocks, device };
    let usual = |stream, of: &Option<Variables>| {
        of.as_ref().map(|of| blocks::usual(session, twin, (stream, of))).transpose()
    };
    let behaviour_usual = usual(Stream::Behavior, &normalisation.behaviour)?;
    let pupil_usual = usual(Stream::PupilCenter, &normalisation.pupil)?;
    let behaviour = normalisation.behaviour.as_ref().zip(behaviour_usual.as_ref());
    let pupil = normalisation.pupil.as_ref().zip(pupil_usual.as_ref());
    let names = Names::of(session, behaviour, pupil);

    let lengths: Vec<usize> = blocks.iter().map(Block::predicted).collect();
    let is_sound: Vec<bool> = blocks.iter().flat_map(|block| block.is_sound.iter().copied()).collect();
    let samples = Samples { lengths: &lengths, is_sound: &is_sound };
    let mut random = Draws::Shifts.generator(options.seed);
    let own: Vec<Vec<f32>> = blocks.iter().map(|block| block.factors.clone()).collect();
    let attribution = asked.integrated(behaviour, &own, options.steps)?;
    let tested = Tested::of(&attribution, &names, &samples, options, &mut random);
    let null = match behaviour {
        Some((_, usual)) => {
            let (factors, seen) = elsewhen(&blocks, usual.mean.len(), &mut random);
            let attribution = asked.integrated(behaviour, &factors, options.steps)?;
            let is_sound: Vec<bool> = seen.iter().flat_map(|seen| blocks::sound(seen, twin)).collect();
            let samples = Samples { lengths: &lengths, is_sound: &is_sound };
            Tested::of(&attribution, &names, &samples, options, &mut random)
        }
        None => tested.clone(),
    };
    let pass = if options.dropout { Pass::Drawn { seed: options.seed } } else { Pass::Evaluate };
    let gradients = asked.gradients(behaviour, pupil, pass)?;

    let rate = session.stimulus.rate_hz.filter(|_| session.has_clips());
    let correlations = correlations(&attribution, is_sound.len(), 1);
    let box_of = rate.map_or(1, |rate| (SMOOTHED_S * rate) as usize | 1);
    let smoothed = self::correlations(&attribution, is_sound.len(), box_of);
    let published = Published::of(&gradients, &names, &smoothed, &mut random);
    let rows = neurons::rows(twin, &names, &gradients, &tested, &published, &correlations, truth, options);
    let pictures = pixels::pictures(&asked, &strongest(&asked, &attribution, &correlations, options, rate))?;
    // The null is of evidence.
    let is_published = options.rule == Rule::Published;
    let null_classes = if is_published { Vec::new() } else { null.classes(&names) }.into_iter();
    Ok(Explanation {
        format: 1,
        striate: env!("CARGO_PKG_VERSION").into(),
        model: twin.digest().to_owned(),
        options: options.clone(),
        tier: tier.to_string(),
        samples: [is_sound.len(), is_sound.iter().filter(|sound| **sound).count()],
        signals: names.signals(behaviour_usual.as_ref()),
        features: names.features.clone(),
        gap: attribution.gap(),
        classes: selectivity::counts(rows.iter().map(|row| row.class.as_str())),
        null_classes: selectivity::counts(null_classes.collect::<Vec<_>>().iter().map(String::as_str)),
        found: [&tested, &null].map(|of| of.found.iter().filter(|found| **found).count()),
        published: published.panels,
        published_null: published.null,
        truth: truth.map(|_| neurons::known(&names, &rows)),
        neurons: rows,
        pictures: pictures.0,
        gradients,
        pixels: pictures.1.to_vec(),
    })
}

fn tier(session: &Session, asked: &str) -> Result<Tier> {
    let given = Tier::from(asked.to_owned());
    if given == Tier::Train {
        let message = "is what the twin was fitted to, and what it says of behaviour is held against responses that it has not seen";
        return Err(Error::config(message).key("tier").hint("name another, or leave `tier=` out"));
    }
    if !asked.is_empty() {
        return Ok(given);
    }
    let known = session.tiers();
    let held_out = [Tier::Test, Tier::Validation].into_iter().find(|tier| known.contains_key(tier));
    held_out.ok_or_else(|| {
        let names: Vec<String> = known.keys().map(Tier::to_string).collect();
        Error::config("has neither a test nor a validation tier")
            .file(&session.path)
            .key("tier")
            .hint(format!("name one with tier=: {}", names.join(", ")))
    })
}

/// Factors of each block, and whether the eye was seen, as they were at another time of it.
fn elsewhen(blocks: &[Block], width: usize, random: &mut ChaCha8Rng) -> (Vec<Vec<f32>>, Vec<Vec<bool>>) {
    let lengths: Vec<usize> = blocks.iter().map(|block| block.seen.len()).collect();
    let turned = blocks.iter().zip(shifts(&lengths, random)).map(|(block, shift)| {
        let (mut factors, mut seen) = (block.factors.clone(), block.seen.clone());
        factors.rotate_left(shift * width);
        seen.rotate_left(shift);
        (factors, seen)
    });
    turned.unzip()
}

/// Correlation of prediction and response of each neuron, both smoothed by a box of so many samples.
fn correlations(of: &Attribution, samples: usize, over: usize) -> Vec<Option<f64>> {
    let neurons = of.recorded.len() / samples.max(1);
    let smoothed = |values: &[f32], neuron: usize| {
        let mut sums = vec![0.0];
        values
            .iter()
            .skip(neuron)
            .step_by(neurons)
            .for_each(|&value| sums.push(sums[sums.len() - 1] + f64::from(value)));
        let at = |row: usize| sums[(row + over / 2 + 1).min(samples)] - sums[row.saturating_sub(over / 2)];
        (0..samples).map(at).collect::<Vec<f64>>()
    };
    let one = |neuron: usize| {
        let [a, b] = [&of.predicted, &of.recorded].map(|values| smoothed(values, neuron));
        correlation(a.iter().copied().zip(b.iter().copied()))
    };
    (0..neurons).map(one).collect()
}

/// The best predicted neurons, and for each the clips to which it responds most, at least a second apart.
fn strongest(
    asked: &Asked<'_>,
    attribution: &Attribution,
    correlations: &[Option<f64>],
    options: &Options,
    rate_hz: Option<f64>,
) -> Vec<(usize, Clip)> {
    let (neurons, lost) = (correlations.len(), asked.twin.card.model.lost());
    let kept =
        |&Clip { trial, start, samples }: &Clip| (start..start + samples - lost).map(move |at| (trial, at));
    let parts = asked.blocks.iter().flat_map(|block| &block.parts);
    let places: Vec<(usize, usize)> = parts.flat_map(|(clips, _)| clips.iter().flat_map(kept)).collect();
    let apart = rate_hz.map_or(0, |rate| rate.ceil() as usize);
    let rank = |neuron: usize| correlations[neuron].unwrap_or(f64::MIN);
    let mut best: Vec<usize> = (0..neurons).collect();
    best.sort_by(|&a, &b| rank(b).total_cmp(&rank(a)));
    best.truncate(options.neurons);
    let mut chosen = Vec::new();
    for neuron in best {
        let response = |row: usize| attribution.predicted[row * neurons + neuron];
        let mut rows: Vec<usize> = (0..places.len()).collect();
        rows.sort_by(|&a, &b| response(b).total_cmp(&response(a)));
        let mut taken: Vec<(usize, usize)> = Vec::new();
        for (trial, start) in rows.into_iter().map(|row| places[row]) {
            let is_near = |&(of, at): &(usize, usize)| of == trial && start.abs_diff(at) < apart.max(1);
            if taken.len() < options.frames && !taken.iter().any(is_near) {
                taken.push((trial, start));
            }
        }
        chosen.extend(
            taken.into_iter().map(|(trial, start)| (neuron, Clip { trial, start, samples: lost + 1 })),
        );
    }
    chosen
}
