//! One step: the objective of a batch, and where the optimiser takes the weights from there.

use burn::prelude::*;
use rand::RngExt;

use super::Fit;
use crate::array::Array;
use crate::batch::Clip;
use crate::error::{Error, Result};
use crate::model::Pass;
use crate::model::penalty::PenaltyConfig;
use crate::model::weights::export;
use crate::ops::{Adam, Masks};
use crate::random::{generator, permutation};

impl Fit<'_> {
    /// A clip of each training trial in the order of this epoch: a function of seed and epoch alone.
    pub(super) fn order(&self) -> Vec<Clip> {
        let train = &self.split.train;
        let mut rng = generator(self.config.seed, 1 << 32 | self.state.epoch);
        let order: Vec<usize> = match self.state.epoch == 0 && !self.config.fit.shuffle_first {
            true => train.clone(),
            false => permutation(&mut rng, train.len()).into_iter().map(|i| train[i]).collect(),
        };
        let samples = self.clip_length();
        order
            .into_iter()
            .map(|trial| {
                let spare = self.trials.whole(trial).samples - samples;
                let start = if spare > 0 { rng.random_range(0..=spare) } else { 0 };
                Clip { trial, start, samples }
            })
            .collect()
    }

    /// Samples of a training clip: all that every training trial has, or as many as are asked for.
    fn clip_length(&self) -> usize {
        let shortest = self.split.train.iter().map(|&trial| self.trials.whole(trial).samples).min();
        match self.config.data.frames {
            0 => shortest.unwrap_or(1),
            frames => frames,
        }
    }

    pub(super) fn step(&mut self, clips: &[Clip]) -> Result<()> {
        let batch = self.trials.batch(clips, &self.training)?;
        let config = &self.config.fit;
        let masks = self.masks();
        let pass = Pass::Train { seed: self.config.seed ^ (self.state.step << 20), masks };
        let recorded = self.config.model.predicted(batch.responses, batch.inputs.samples);
        let (predicted, moments) = self.model.forward(batch.inputs, pass);
        let rows = predicted.dims()[0];
        let divisor = config.over_neurons.divisor(self.trials.neurons());
        let activity = self.config.model.penalty.predictions(&predicted);
        let data = config.loss.summed(predicted, recorded).div_scalar(divisor);
        let penalty = self.penalty(divisor, activity);
        let loss = scalar(&data);
        if !loss.is_finite() {
            return Err(self.no_number(clips));
        }
        self.state.loss_sum += loss;
        let data = data.mul_scalar(config.over_trials.factor(clips.len(), rows, self.trials.in_session()));
        let objective = match penalty {
            Some(penalty) => {
                self.state.penalty_sum += scalar(&penalty);
                data + penalty
            }
            None => data,
        };
        let gradients = objective.backward();
        let (of_masks, of_others) =
            (self.mask_step(divisor, masks), Adam { rate: self.rate(), ..Adam::default() });
        let adam = |name: &str| if name == "readout.mask" { of_masks } else { of_others };
        let model = self.optimiser.step(&adam, self.model.clone(), &gradients);
        self.model = model.settle(&moments);
        self.state.step += 1;
        self.state.batch += 1;
        self.state.summed_steps += 1;
        Ok(())
    }

    /// Why the loss of these trials is no number: the data, the weights it began with, or the steps since.
    fn no_number(&self, clips: &[Clip]) -> Error {
        let step = self.state.step;
        if let Some(suspect) = self.trials.suspect(clips, step) {
            return suspect;
        }
        let message = format!("the training loss is no longer a number, at step {step}");
        if step > 0 {
            return Error::diverged(message)
                .file(self.run.path())
                .hint("lower `fit.learning_rate`, or set `fit.clip` to 1");
        }
        let broken = |(_, array): &(String, Array)| array.values.iter().any(|value| !value.is_finite());
        match export(&self.model).into_iter().find(broken) {
            Some((name, _)) => Error::data(format!("{message}: not all weights it starts from are numbers"))
                .file(self.run.path())
                .key(name)
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

    /// Penalties on the core as they are, on the readout and on activity combined over neurons like the loss.
    fn penalty(&mut self, divisor: f64, activity: Option<Tensor<1>>) -> Option<Tensor<1>> {
        let of = |penalty: &PenaltyConfig| {
            let (core, readout) = self.model.penalties(penalty);
            let readout = readout.map(|sum| sum.div_scalar(divisor));
            [core, readout].into_iter().flatten().reduce(|a, b| a + b)
        };
        let proximal = of(&self.proximal()).map_or(0.0, |penalty| scalar(&penalty));
        let by_gradient = of(&self.by_gradient());
        self.state.penalty_sum += proximal;
        let activity = activity.map(|sum| sum.div_scalar(divisor));
        [by_gradient, activity].into_iter().flatten().reduce(|a, b| a + b)
    }

    /// Penalties that the optimiser applies as a proximal step.
    fn proximal(&self) -> PenaltyConfig {
        let sparse = self.config.fit.mask_dense_every > 0;
        let mask_l1 = if sparse { self.config.model.penalty.mask_l1 } else { 0.0 };
        PenaltyConfig { mask_l1, ..PenaltyConfig::default() }
    }

    /// Penalties that are part of the objective.
    fn by_gradient(&self) -> PenaltyConfig {
        let penalty = self.config.model.penalty.clone();
        PenaltyConfig { mask_l1: penalty.mask_l1 - self.proximal().mask_l1, ..penalty }
    }
}

fn scalar(x: &Tensor<1>) -> f64 {
    f64::from(x.clone().detach().into_scalar::<f32>())
}
