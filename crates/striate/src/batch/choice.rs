//! The neurons and trials that a configuration chooses.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::which::{Asked, Rule, Which};
use super::{DataConfig, NotFinite};
use crate::error::{Error, Result, in_order, unknown};
use crate::random::{Draws, permutation};
use crate::recording::{Session, Stream, Tier};
use crate::score::{Evaluation, explainable_variance, number_stimuli, oracle_jackknife};

/// Neurons and trials, once chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Indices of the neurons, ascending.
    pub neurons: Vec<usize>,
    /// Trials of any tier that are left out, ascending.
    pub left_out: Vec<usize>,
}

impl Choice {
    /// What `config` chooses of `session`.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key for what is not there, or when nothing is left;
    /// [`Kind::Data`](crate::error::Kind::Data) when a table or a trial cannot be read.
    pub fn new(session: &Session, config: &DataConfig) -> Result<Self> {
        let mut left_out =
            trials(session, &config.exclude_trials).map_err(|e| e.key("data.exclude_trials"))?;
        let mut neurons: Vec<usize> = (0..session.neurons.len()).collect();
        if !config.neuron_ids.is_empty() {
            let wanted =
                neurons_of(session, &config.neuron_ids, false).map_err(|e| e.key("data.neuron_ids"))?;
            neurons.retain(|&neuron| wanted[neuron]);
        }
        let unwanted =
            neurons_of(session, &config.exclude_neurons, true).map_err(|e| e.key("data.exclude_neurons"))?;
        neurons.retain(|&neuron| !unwanted[neuron]);
        if config.nan == NotFinite::DropNeurons {
            drop_neurons(session, &left_out, &mut neurons)?;
        }
        let neurons = draw(neurons, config)?;
        if config.nan == NotFinite::DropTrials {
            left_out.extend(damaged_trials(session, &left_out, &neurons)?);
        }
        Ok(Self { neurons, left_out: left_out.into_iter().collect() })
    }

    /// Those of `trials` that are not left out.
    pub fn kept(&self, mut trials: Vec<usize>) -> Vec<usize> {
        trials.retain(|trial| self.left_out.binary_search(trial).is_err());
        trials
    }
}

/// `data.neurons` of the neurons that may be drawn.
fn draw(candidates: Vec<usize>, config: &DataConfig) -> Result<Vec<usize>> {
    if candidates.is_empty() {
        return Err(Error::config("leaves no neuron to fit").key("data.exclude_neurons"));
    }
    if config.neurons > candidates.len() {
        let message = format!(
            "asks for {} neurons, the recording has {} to choose from",
            config.neurons,
            candidates.len()
        );
        return Err(Error::config(message).key("data.neurons"));
    }
    if config.neurons == 0 {
        return Ok(candidates);
    }
    let order = permutation(&mut Draws::Neurons.generator(config.neuron_seed), candidates.len());
    let mut neurons: Vec<usize> = order[..config.neurons].iter().map(|&at| candidates[at]).collect();
    neurons.sort_unstable();
    Ok(neurons)
}

/// Whether each neuron of the recording is meant; by a rule, one without the number it compares is where `undefined` says.
fn neurons_of(session: &Session, which: &Which, undefined: bool) -> Result<Vec<bool>> {
    let ids = &session.neurons.ids;
    match which.asked(&session.id, "unit_id")? {
        Asked::Rule(rule) => neurons_by(session, &rule, undefined),
        Asked::Numbers(wanted) => {
            let known: BTreeSet<i64> = ids.iter().copied().collect();
            if let Some(stranger) = wanted.difference(&known).next() {
                let message =
                    format!("names the neuron with unit_id {stranger}, which the recording does not have");
                let hint = format!("`{}` names neurons by their unit_id, too", session.inspect_command());
                return Err(Error::config(message).hint(hint));
            }
            Ok(ids.iter().map(|id| wanted.contains(id)).collect())
        }
    }
}

/// What a rule can ask of a neuron.
const OF_NEURONS: [&str; 8] =
    ["oracle", "explainable_variance", "mean_response", "area", "layer", "x", "y", "z"];

/// Those of them that are measured on repeats.
const ON_REPEATS: [&str; 2] = ["oracle", "explainable_variance"];

fn neurons_by(session: &Session, rule: &Rule, undefined: bool) -> Result<Vec<bool>> {
    let absent = || Error::config(format!("asks for `{}`, which the recording does not tell", rule.name));
    let neurons = &session.neurons;
    let numbers = |values: Vec<f64>| rule.numbers(values.into_iter(), undefined);
    let axis = |axis: usize| {
        let positions = neurons.position_um.as_ref().ok_or_else(absent)?;
        numbers(positions.iter().map(|position| position[axis]).collect())
    };
    match rule.name.as_str() {
        "oracle" => numbers(reliability(session, oracle_jackknife)?),
        "explainable_variance" => numbers(reliability(session, explainable_variance)?),
        "mean_response" => numbers(mean_response(session)?),
        "area" => rule.labels(neurons.area.as_ref().ok_or_else(absent)?),
        "layer" => rule.labels(neurons.layer.as_ref().ok_or_else(absent)?),
        "x" => axis(0),
        "y" => axis(1),
        "z" => axis(2),
        name => Err(unknown("number or label of a neuron", name, &OF_NEURONS)),
    }
}

/// The rule of `config` that chooses neurons by their responses to repeats, if there is one.
pub fn rule_on_repeats(config: &DataConfig) -> Option<&str> {
    [&config.exclude_neurons, &config.neuron_ids].into_iter().find_map(|which| {
        match (which, which.asked("", "unit_id")) {
            (Which::Text(text), Ok(Asked::Rule(rule))) => {
                ON_REPEATS.contains(&rule.name.as_str()).then_some(text.as_str())
            }
            _ => None,
        }
    })
}

/// A metric of each neuron on the repeats that [`Session::repeated_tier`] finds; NaN where it is not defined.
fn reliability(session: &Session, metric: fn(&Evaluation) -> Vec<f64>) -> Result<Vec<f64>> {
    if session.has_clips() {
        return Err(Error::config("is a rule for images: of videos it is not computed yet")
            .hint("name the neurons by list or table"));
    }
    let Some(tier) = session.repeated_tier()? else {
        return Err(Error::config("needs stimuli that were shown more than once, and there are none"));
    };
    let trials = session.repeated_trials(&tier);
    let rows = rows(session, &trials)?;
    let sound: Vec<usize> =
        (0..session.neurons.len()).filter(|&n| rows.iter().all(|row| row[n].is_finite())).collect();
    let mut values = vec![f64::NAN; session.neurons.len()];
    if sound.is_empty() {
        return Ok(values);
    }
    let responses: Vec<f64> = rows.iter().flat_map(|row| sound.iter().map(|&n| row[n])).collect();
    let stimuli = number_stimuli(trials.iter().map(|&trial| &session.trials[trial].stimulus_id));
    let evaluation = Evaluation::new(sound.len(), &responses, &stimuli)?;
    sound.iter().zip(metric(&evaluation)).for_each(|(&neuron, value)| values[neuron] = value);
    Ok(values)
}

/// Over the training tier, in recorded units.
fn mean_response(session: &Session) -> Result<Vec<f64>> {
    let trials = session.require_tier(&Tier::Train)?;
    let mut mean = vec![0.0; session.neurons.len()];
    for &trial in &trials {
        let row = session.read_as_stored(Stream::Responses, trial)?;
        let share = (trials.len() * session.trials[trial].samples) as f64;
        for sample in row.chunks_exact(mean.len()) {
            mean.iter_mut().zip(sample).for_each(|(mean, value)| *mean += f64::from(*value) / share);
        }
    }
    Ok(mean)
}

fn rows(session: &Session, trials: &[usize]) -> Result<Vec<Vec<f64>>> {
    in_order(trials.par_iter().map(|&trial| session.read_f64_as_stored(Stream::Responses, trial)).collect())
}

/// The trials that are meant.
fn trials(session: &Session, which: &Which) -> Result<BTreeSet<usize>> {
    let count = session.trials.len();
    match which.asked(&session.id, "trial")? {
        Asked::Rule(rule) => {
            let met = trials_by(session, &rule)?;
            Ok((0..count).filter(|&trial| met[trial]).collect())
        }
        Asked::Numbers(wanted) => {
            let index = |&number: &i64| {
                usize::try_from(number).ok().filter(|&trial| trial < count).ok_or_else(|| {
                    let message = format!("names trial {number}, the recording has {count}, counted from 0");
                    Error::config(message)
                })
            };
            wanted.iter().map(index).collect()
        }
    }
}

/// A rule about the length of a trial, `samples<20`, or one value of a stream, `behavior[2]<1`.
fn trials_by(session: &Session, rule: &Rule) -> Result<Vec<bool>> {
    if rule.name == "samples" {
        return rule.numbers(session.trials.iter().map(|trial| trial.samples as f64), false);
    }
    const KNOWN: [(&str, Stream); 2] =
        [("behavior", Stream::Behavior), ("pupil_center", Stream::PupilCenter)];
    let parts = rule.name.strip_suffix(']').and_then(|name| name.split_once('['));
    let named = parts.and_then(|(name, at)| {
        let stream = KNOWN.iter().find(|(known, _)| *known == name)?.1;
        Some((stream, at.trim().parse::<usize>().ok()?))
    });
    let Some((stream, at)) = named else {
        return Err(Error::config(format!("`{}` is nothing that a rule can ask of a trial", rule.name))
            .hint("rules of trials are about their length or a value of a stream: `samples<20`, `behavior[2]<1`, `pupil_center[0]>3`"));
    };
    if session.shape(stream).is_none_or(|shape| shape[0] <= at) {
        return Err(Error::config(format!("asks for `{}`, which was not recorded", rule.name)));
    }
    // Of a clip its mean.
    let value = |trial: usize| {
        let values = session.read_as_stored(stream, trial)?;
        let samples = session.trials[trial].samples;
        let of = values.iter().skip(at).step_by(values.len() / samples);
        Ok(of.map(|value| f64::from(*value)).sum::<f64>() / samples as f64)
    };
    let values = in_order((0..session.trials.len()).into_par_iter().map(value).collect())?;
    rule.numbers(values.into_iter(), true)
}

/// Takes away the neurons with a response that is not finite in a trial that is used.
fn drop_neurons(session: &Session, left_out: &BTreeSet<usize>, neurons: &mut Vec<usize>) -> Result<()> {
    for trial in (0..session.trials.len()).filter(|trial| !left_out.contains(trial)) {
        let responses = session.read_as_stored(Stream::Responses, trial)?;
        let samples = || responses.chunks_exact(session.neurons.len());
        neurons.retain(|&neuron| samples().all(|sample| sample[neuron].is_finite()));
    }
    Ok(())
}

/// Trials that are not left out, with a value that is not finite in what is used.
fn damaged_trials(session: &Session, left_out: &BTreeSet<usize>, neurons: &[usize]) -> Result<Vec<usize>> {
    let is_damaged = |trial: &usize| -> Result<bool> {
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        for info in &session.streams {
            let absent = info.stream == Stream::Images && !session.trials[*trial].has_stimulus;
            if absent {
                continue;
            }
            let values = session.read_as_stored(info.stream, *trial)?;
            let sound = match info.stream {
                Stream::Responses => values
                    .chunks_exact(session.neurons.len())
                    .all(|sample| neurons.iter().all(|&neuron| sample[neuron].is_finite())),
                _ => finite(&values),
            };
            if !sound {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let trials = (0..session.trials.len()).into_par_iter().filter(|trial| !left_out.contains(trial));
    let found = in_order(trials.map(|trial| Ok(is_damaged(&trial)?.then_some(trial))).collect())?;
    Ok(found.into_iter().flatten().collect())
}
