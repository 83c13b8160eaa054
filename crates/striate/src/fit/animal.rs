//! One session of a fit: its trials, its card, and its encoder, whose core all sessions share.

use std::sync::Arc;

use burn::prelude::*;

use super::config::{FitConfig, TrainConfig};
use super::start;
use crate::batch::{Clip, Normalisation, Split, Trials, Windows};
use crate::error::Result;
use crate::model::encoder::Made;
use crate::model::heads;
use crate::model::objective::Objective;
use crate::model::penalty::PenaltyConfig;
use crate::model::readout::FactorisedConfig;
use crate::model::weights::{freeze, to_host};
use crate::model::{Encoder, Model};
use crate::recording::{Session, Tier};
use crate::run::{Fitted, RunFolder};
use crate::twin::Card;

/// One session of a fit.
pub(super) struct Animal<'a, M> {
    pub session: &'a Session,
    /// The run as this session sees it.
    pub run: RunFolder,
    /// Shared with the thread that reads ahead.
    pub trials: Arc<Trials<'a>>,
    pub split: Split,
    pub card: Card,
    /// Its head on what all share.
    pub model: M,
}

impl<M: Model> Animal<'_, M> {
    /// What the weights of its head are called behind; `None` for the only session.
    pub fn id(&self) -> Option<&str> {
        self.run.session()
    }

    /// Name of one of its weights among those of all sessions.
    pub fn named(&self, weight: &str) -> String {
        heads::named(self.id(), weight)
    }

    /// How much of the recording is fitted.
    pub fn fitted(&self) -> Fitted {
        Fitted {
            neurons: self.split.neurons.len(),
            train: self.split.train.len(),
            validation: self.split.validation.len(),
            validation_tier: self.validation_tier().map(|tier| tier.to_string()),
        }
    }

    /// The tier that stopping is decided on; `None` where its trials are held out of the training tier.
    pub fn validation_tier(&self) -> Option<Tier> {
        let trial = *self.split.validation.first()?;
        (!self.split.tier.contains(&trial)).then(|| self.session.trials[trial].tier.clone())
    }

    /// Samples of a training clip: all that every training trial has, or as many as are asked for.
    pub fn clip_length(&self, config: &FitConfig) -> usize {
        let shortest = self.fitted_on().map(|stretch| stretch.samples).min();
        match config.data.frames {
            0 => shortest.unwrap_or(1),
            frames => frames,
        }
    }

    /// What of each training trial is fitted on.
    fn fitted_on(&self) -> impl Iterator<Item = Clip> {
        self.split.train.iter().map(|&trial| self.split.fitted(self.trials.whole(trial)))
    }

    /// What of each validation trial is validated on.
    pub fn validated(&self) -> impl Iterator<Item = Clip> {
        self.split.validation.iter().map(|&trial| self.split.validated(self.trials.whole(trial)))
    }

    /// Clips of an epoch.
    pub fn clips(&self, config: &FitConfig) -> usize {
        match config.data.windows {
            Windows::Drawn => self.split.train.len(),
            Windows::All => {
                let length = self.clip_length(config);
                self.fitted_on().map(|stretch| (stretch.samples + 1).saturating_sub(length)).sum()
            }
        }
    }

    /// The stretches within which they lie.
    pub fn stretches(&self, config: &FitConfig) -> Vec<Clip> {
        match config.data.windows {
            Windows::Drawn => self.fitted_on().collect(),
            Windows::All => {
                let length = self.clip_length(config);
                self.fitted_on().flat_map(|stretch| stretch.windows(length)).collect()
            }
        }
    }

    /// What its model is held to, with `proximal` penalties left to the optimiser.
    pub fn objective(&self, config: &FitConfig, proximal: &PenaltyConfig) -> Objective {
        let TrainConfig { loss, over_neurons, over_trials, .. } = config.fit;
        Objective {
            loss,
            over_neurons,
            over_trials,
            trials: self.trials.in_session(),
            proximal: proximal.clone(),
        }
    }

    /// Predictions for the validation trials, `[trial · sample, neuron]`, and their loss.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
    pub fn validate(&self, config: &FitConfig, device: &Device) -> Result<(Vec<f32>, f64)> {
        let model = self.model.valid();
        let divisor = config.fit.over_neurons.divisor(self.trials.neurons());
        let (mut predictions, mut loss, mut rows) = (Vec::new(), 0.0, 0.0);
        let (most, lost) = (config.model.stretch(), model.lost());
        let stretches = self.validated().flat_map(|clip| clip.stretches(most, lost));
        for clips in Trials::in_batches(stretches, 128) {
            let batch = self.trials.batch(&clips, device)?;
            let recorded = model.recorded(batch.responses, batch.inputs.samples);
            let predicted = model.respond(batch.inputs);
            let here = predicted.dims()[0] as f64;
            let sum = config.fit.loss.summed(predicted.clone(), recorded);
            loss += f64::from(sum.into_scalar::<f32>()) * here;
            rows += here;
            predictions.extend(to_host(predicted).values);
        }
        Ok((predictions, loss / rows / divisor))
    }
}

/// What is decided for one session before anything is measured.
pub(super) struct Planned<'a> {
    pub session: &'a Session,
    /// The run as this session sees it.
    pub run: RunFolder,
    /// The card of a fit that goes on.
    pub known: Option<Card>,
    pub split: Split,
    /// Groups of the neurons whose feature weights are shared; none otherwise.
    pub groups: Vec<usize>,
    /// The seed of its model: that of the fit for the first.
    pub seed: u64,
    /// Memory for its trials, in MiB.
    pub cache_mib: usize,
}

/// A session that is ready to be fitted.
pub(super) struct Begun<'a> {
    pub animal: Animal<'a, Encoder>,
    /// Names of the weights that `fit.start_from` gave.
    pub adopted: Vec<String>,
    /// Names of those that are frozen as they were drawn.
    pub untrained: Vec<String>,
}

impl<'a> Planned<'a> {
    /// Its trials, scaled, and its model: a blank one for a fit that goes on, else as it starts.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged or weights to start from do not fit;
    /// [`Kind::Config`](crate::error::Kind::Config) for frozen weights that there are not.
    pub fn begin(self, config: &FitConfig, device: &Device) -> Result<Begun<'a>> {
        let Self { session, run, known, split, groups, seed, cache_mib } = self;
        let is_new = known.is_none();
        let normalisation = match known {
            Some(card) => card.normalisation,
            None => {
                let uses = config.model.uses();
                Normalisation::measure(session, &split.tier, &split.neurons, &config.data, uses)?
            }
        };
        let trials = Arc::new(Trials::new(session, split.neurons.clone(), normalisation, cache_mib));
        if is_new && config.linear.is_none() {
            super::check::check_responses(config.fit.loss, &trials, &split.train)?;
        }
        let card = Card {
            model: config.model.clone(),
            image_shape: session.image_shape(),
            neurons: split.neurons.clone(),
            unit_ids: split.neurons.iter().map(|&n| session.neurons.ids[n]).collect(),
            groups,
            left_out: split.left_out.clone(),
            normalisation: trials.normalisation().clone(),
        };
        let starts = if is_new {
            let (shown, mean) = (sta_clips(config, &split, &trials), &card.normalisation.mean_response);
            let mut starts = start::starts(&config.model, &trials, &shown, mean, device)?;
            starts.iter_mut().zip(&card.groups).for_each(|(start, &group)| start.group = group);
            starts
        } else {
            card.blank_starts()
        };
        let made = Made {
            image: card.seen_shape(),
            behaviour: card.normalisation.behaviours(),
            pupil: card.normalisation.pupils(),
            start: &starts,
        };
        let model = config.model.init(&made, seed, &device.clone().autodiff())?;
        let (model, adopted) = match is_new {
            true => start::adopted(model, config, &card.unit_ids, session, run.session().is_none())?,
            false => (model, Vec::new()),
        };
        let untrained = match is_new {
            true => start::untrained(&model, config, &adopted, session, &run)?,
            false => Vec::new(),
        };
        let model = freeze(model, &config.fit.frozen).map_err(|e| e.key("fit.frozen"))?;
        let animal = Animal { session, run, trials, split, card, model };
        let adopted = adopted.iter().map(|name| animal.named(name)).collect();
        Ok(Begun { animal, adopted, untrained })
    }
}

/// What the spike-triggered average is taken of.
fn sta_clips(config: &FitConfig, split: &Split, trials: &Trials<'_>) -> Vec<Clip> {
    let validation = if config.model.readout.factorised().is_some_and(FactorisedConfig::sta_with_validation) {
        split.validation.as_slice()
    } else {
        &[]
    };
    let fitted = split.train.iter().map(|&trial| split.fitted(trials.whole(trial)));
    fitted.chain(validation.iter().map(|&trial| split.validated(trials.whole(trial)))).collect()
}
