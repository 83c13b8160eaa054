//! One step: where the optimiser takes the weights from the objectives of one or several sessions.

use super::Fit;
use super::ahead::Ahead;
use super::animal::Animal;
use super::optimiser::Named;
use super::order::Share;
use crate::array::Array;
use crate::batch::Clip;
use crate::error::{Error, Result};
use crate::model::objective::scalar;
use crate::model::penalty::PenaltyConfig;
use crate::model::weights::export;
use crate::model::{Model, Pass};
use crate::ops::{Adam, Masks};
use crate::random::seed_of_step;

impl<M: Model> Fit<'_, M> {
    /// One step on the shares of one or several sessions, whose gradients are added.
    pub(super) fn step(&mut self, shares: &[Share], ahead: &mut Ahead<'_, '_>) -> Result<()> {
        let (masks, proximal) = (self.masks(), self.proximal());
        let (mut gradients, mut moments) = (Named::default(), Vec::new());
        for share in shares {
            let animal = &self.animals[share.animal];
            let seed = seed_of_step(self.config.seed, self.state.step, share.animal);
            let pass = Pass::Train { seed, masks };
            let batch = animal.trials.on_device(ahead.next()?, &self.training);
            let terms = animal.model.objective(batch, pass, &animal.objective(self.config, &proximal));
            let loss = scalar(&terms.loss);
            if !loss.is_finite() {
                return Err(self.no_number(animal, &share.clips));
            }
            self.state.loss_sum += loss / shares.len() as f64;
            self.state.penalty_sum += terms.penalty() / shares.len() as f64;
            gradients.add(&animal.model, &terms.objective().backward(), &|weight| animal.named(weight));
            moments.push(terms.moments);
        }
        self.follow(shares, gradients, &moments, masks);
        self.state.step += 1;
        self.state.batch += 1;
        self.state.summed_steps += 1;
        Ok(())
    }

    /// Moves the weights of all that took part, and what is shared, of all.
    fn follow(&mut self, shares: &[Share], mut gradients: Named, moments: &[M::Moments], masks: Masks) {
        let shrink = self.optimiser.shrink(&gradients);
        let mut shared: Option<M> = None;
        for (share, moments) in shares.iter().zip(moments) {
            let animal = &self.animals[share.animal];
            let divisor = self.config.fit.over_neurons.divisor(animal.trials.neurons());
            let (of_masks, of_others) =
                (self.mask_step(divisor, masks), Adam { rate: self.rate(), ..Adam::default() });
            let adam = |weight: &str| if M::is_mask(weight) { of_masks } else { of_others };
            let model = animal.model.clone();
            let model = shared.iter().fold(model, |model, other| model.on_shared_of(other));
            let name = |weight: &str| animal.named(weight);
            let model = self.optimiser.step(model, &mut gradients, shrink, &name, &adam).settle(moments);
            shared = Some(model.clone());
            self.animals[share.animal].model = model;
        }
        if let (Some(shared), 2..) = (shared, self.animals.len()) {
            for animal in &mut self.animals {
                animal.model = animal.model.clone().on_shared_of(&shared);
            }
        }
    }

    /// Why the loss of these trials is no number: the data, the weights it began with, or the steps since.
    fn no_number(&self, animal: &Animal<'_, M>, clips: &[Clip]) -> Error {
        let step = self.state.step;
        if let Some(suspect) = animal.trials.suspect(clips, step) {
            return suspect;
        }
        let message = format!("the training loss is no longer a number, at step {step}");
        if step > 0 {
            return Error::diverged(message)
                .file(self.run.path())
                .hint("lower `fit.learning_rate`, or set `fit.clip` to 1");
        }
        let broken = |(_, array): &(String, Array)| array.values.iter().any(|value| !value.is_finite());
        match export(&animal.model).into_iter().find(broken) {
            Some((name, _)) => Error::data(format!("{message}: not all weights it starts from are numbers"))
                .file(self.run.path())
                .key(animal.named(&name))
                .hint("these weights come from the recording, or from `fit.start_from`"),
            None => Error::diverged(format!("{message}, before any was made"))
                .file(self.run.path())
                .hint("the loss of the untrained model overflows: scale with `data.images=scalar` and `data.responses=std`"),
        }
    }

    /// Mask weights that take part in the next step.
    fn masks(&self) -> Masks {
        match self.config.fit.mask_dense_every {
            0 => Masks::Dense,
            every if self.state.step.is_multiple_of(every) => Masks::Dense,
            _ => Masks::Sparse,
        }
    }

    /// Learning rate of the next step.
    fn rate(&self) -> f32 {
        let start = self.config.fit.learning_rate;
        self.config.schedule.learning_rate(start, self.state.progress.rounds) as f32
    }

    /// The next step of the masks.
    fn mask_step(&self, divisor: f64, masks: Masks) -> Adam {
        Adam {
            rate: self.rate() * self.config.fit.mask_rate as f32,
            l1: (self.proximal().mask_l1 / divisor) as f32,
            keep_zeros: masks == Masks::Sparse,
            ..Adam::default()
        }
    }

    /// Penalties that the optimiser applies as a proximal step.
    fn proximal(&self) -> PenaltyConfig {
        let sparse = self.config.fit.mask_dense_every > 0;
        let mask_l1 = if sparse { self.config.model.penalty.mask_l1 } else { 0.0 };
        PenaltyConfig { mask_l1, ..PenaltyConfig::default() }
    }
}
