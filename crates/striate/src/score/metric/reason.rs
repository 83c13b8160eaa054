//! Why a neuron has no value.

use super::Settings;
use crate::score::evaluation::NeuronTrials;
use crate::score::moments::Moments;

/// One way in which a metric is undefined for a neuron.
#[derive(Debug, Clone, Copy)]
pub struct Reason {
    /// In words that follow "left out because".
    pub words: &'static str,
    /// Whether it is the reason for a neuron.
    pub(in crate::score) applies: fn(&NeuronTrials<'_>, &Settings) -> bool,
}

pub(super) const CONSTANT_RESPONSE: Reason = Reason {
    words: "its response is the same in every trial",
    applies: |neuron, _| constant(neuron.responses.iter().copied()),
};

pub(super) const CONSTANT_PREDICTION: Reason = Reason {
    words: "its prediction is the same in every trial",
    applies: |neuron, _| constant(neuron.predictions.iter().copied()),
};

pub(super) const CONSTANT_IN_REPEATS: Reason = Reason {
    words: "its response is the same in every repeated trial",
    applies: |neuron, _| constant(neuron.repeated().flat_map(|trials| neuron.recorded(trials))),
};

pub(super) const CONSTANT_AVERAGE_RESPONSE: Reason = Reason {
    words: "its average response is the same for every stimulus",
    applies: |neuron, _| constant(neuron.stimuli.iter().map(|trials| mean(neuron.recorded(trials)))),
};

pub(super) const CONSTANT_AVERAGE_PREDICTION: Reason = Reason {
    words: "its average prediction is the same for every stimulus",
    applies: |neuron, _| constant(neuron.stimuli.iter().map(|trials| mean(neuron.predicted(trials)))),
};

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    values.collect::<Moments>().mean()
}

fn constant(mut values: impl Iterator<Item = f64>) -> bool {
    let first = values.next();
    values.all(|value| Some(value) == first)
}
