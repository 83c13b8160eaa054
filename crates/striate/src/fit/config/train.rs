//! `[fit]` for Adam.

use serde::{Deserialize, Serialize};

use crate::model::loss::{Loss, OverNeurons, OverTrials};

/// How several sessions take part in the steps; of one there is nothing to choose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sessions {
    /// A batch of each in every step, their gradients added (Turishcheva et al. 2023; `papers/sensorium.md#training`).
    #[default]
    Together,
    /// A batch of one in each step, one session after another.
    InTurn,
}

/// Loss, optimiser and order of the batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Loss.
    pub loss: Loss,
    /// How loss and readout penalty combine neurons.
    pub over_neurons: OverNeurons,
    /// How the loss combines the trials of a batch, relative to the penalties.
    #[serde(default)]
    pub over_trials: OverTrials,
    /// Learning rate of Adam at the start.
    pub learning_rate: f64,
    /// Learning rate of the masks as a share of `learning_rate`: Adam moves every pixel of a mask by about the
    /// rate, however small its gradient, so masks that start localised need a low one to stay so.
    pub mask_rate: f64,
    /// Steps from one that lets every mask weight move to the next; between them weights at exactly zero rest,
    /// and the work of the readout is proportional to the others. `model.penalty.mask_l1` is then a proximal
    /// step, which is what makes weights exactly zero; 0 makes every step dense and the penalty a gradient.
    #[serde(default)]
    pub mask_dense_every: u64,
    /// Trials per step.
    pub batch: usize,
    /// How several sessions take part in the steps.
    #[serde(default)]
    pub sessions: Sessions,
    /// Largest Euclidean norm of the gradient; 0 means no limit.
    pub clip: f64,
    /// Whether the last, smaller batch of an epoch is left out.
    pub drop_last: bool,
    /// Whether the first epoch is shuffled too.
    pub shuffle_first: bool,
    /// A run, or a file of weights: those of the same name and shape are where this fit starts.
    #[serde(default)]
    pub start_from: String,
    /// Weights that stay as they start, by name or by part: `readout.mask`, `core`.
    #[serde(default)]
    pub frozen: Vec<String>,
}

impl TrainConfig {
    /// What stands for it in closed form: the loss of the checks, and all trials in one step for every alpha.
    pub(in crate::fit) fn one_pass() -> Self {
        Self {
            loss: Loss::Mse,
            over_neurons: OverNeurons::Mean,
            over_trials: OverTrials::Mean,
            learning_rate: 1.0,
            mask_rate: 1.0,
            mask_dense_every: 0,
            batch: usize::MAX,
            sessions: Sessions::default(),
            clip: 0.0,
            drop_last: false,
            shuffle_first: false,
            start_from: String::new(),
            frozen: Vec::new(),
        }
    }
}
