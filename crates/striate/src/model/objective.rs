//! What a fit, and a twin, ask of a model: an objective to follow downhill, responses, and what a step leaves behind.
//!
//! A fit goes through [`Model`] alone, so it does not know of which parts a model is made, nor what is penalised.

use burn::module::Module;
use burn::prelude::*;

use super::loss::{Loss, OverNeurons, OverTrials};
use super::pass::Pass;
use super::penalty::PenaltyConfig;
use crate::batch::{Batch, Inputs, ends};

/// How a fit weighs what a model is held to, in one session.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// The loss between predictions and responses.
    pub loss: Loss,
    /// How loss and penalties on a head combine neurons.
    pub over_neurons: OverNeurons,
    /// How the loss combines the trials of a batch, relative to the penalties.
    pub over_trials: OverTrials,
    /// Trials of all tiers of the session.
    pub trials: usize,
    /// Penalties that are left to the optimiser, which applies them as a proximal step.
    pub proximal: PenaltyConfig,
}

/// The objective on one batch, term by term.
#[derive(Debug)]
pub struct Terms<M> {
    /// The loss for people, whatever it weighs in the objective.
    pub loss: Tensor<1>,
    /// What adds up to the objective, by name.
    pub named: Vec<(&'static str, Tensor<1>)>,
    /// Penalties that are left to the optimiser.
    pub proximal: Option<Tensor<1>>,
    /// For [`Model::settle`].
    pub moments: M,
}

/// What the term of the loss itself is called among [`Terms::named`].
pub const LOSS: &str = "loss";

impl<M> Terms<M> {
    /// What is followed downhill.
    ///
    /// # Panics
    /// When there are no terms.
    pub fn objective(&self) -> Tensor<1> {
        self.named.iter().map(|(_, term)| term.clone()).reduce(|a, b| a + b).expect("there is a loss")
    }

    /// All terms but the loss, together with what is left to the optimiser, for people.
    pub fn penalty(&self) -> f64 {
        let beside = self.named.iter().filter(|(name, _)| *name != LOSS).map(|(_, term)| term);
        beside.chain(&self.proximal).map(scalar).sum()
    }
}

/// A number on the host.
pub(crate) fn scalar(x: &Tensor<1>) -> f64 {
    f64::from(x.clone().detach().into_scalar::<f32>())
}

/// A model that can be fitted to sessions, with what they share and a head for each.
pub trait Model: Module {
    /// What a training pass leaves for [`Model::settle`].
    type Moments;

    /// The terms of its objective on a batch.
    fn objective(&self, batch: Batch, pass: Pass, objective: &Objective) -> Terms<Self::Moments>;

    /// Predicted responses `[batch · kept, neuron]` with running statistics. What is kept of a clip are its samples but
    /// [`Model::lost`].
    fn respond(&self, inputs: Inputs) -> Tensor<2>;

    /// What follows a training step with these moments: running statistics move, and what must keep to a range does.
    #[must_use]
    fn settle(self, moments: &Self::Moments) -> Self;

    /// The same head on what another of its kind shares.
    #[must_use]
    fn on_shared_of(self, other: &Self) -> Self;

    /// Samples at the start of a clip that it has no prediction for, since it looks back and lags behind.
    fn lost(&self) -> usize;

    /// Whether the parameter `name` is a weight of masks, for which `fit.mask_rate` and proximal penalties are. Which are
    /// shared, [`heads::is_shared`](super::heads::is_shared) says of all models alike.
    fn is_mask(name: &str) -> bool;

    /// Of recorded rows `[batch · sample, neuron]` of clips of `samples` those that it has predictions for.
    fn recorded(&self, rows: Tensor<2>, samples: usize) -> Tensor<2> {
        ends(rows, samples, samples.saturating_sub(self.lost()))
    }
}
