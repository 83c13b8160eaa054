//! From a recording and a configuration to a twin.
//!
//! [`fit`] emits [`Event`]s and never prints. Everything random is a function of the seed and the step, so a
//! fit that is killed and resumed makes the same steps as one that is not.

pub mod checkpoint;
pub mod config;
pub mod folder;
pub mod linear;
pub mod loss;
mod meanings;
mod parts;
pub mod optimiser;
mod presets;
pub mod schedule;
pub mod start;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::prelude::*;

pub use config::FitConfig;
pub use folder::{recording_info, run_folder};
pub use meanings::commented;
pub use presets::PRESETS;

use crate::array::Arrays;
use crate::batch::{Normalisation, Split, Trials, fingerprint, smaller};
use crate::disk;
use crate::error::{Error, Result, unknown};
use crate::model::Encoder;
use crate::model::core::stacked::Pass;
use crate::model::encoder::{EncoderConfig, Made};
use crate::model::output::Output;
use crate::model::penalty::PenaltyConfig;
use crate::model::readout::{FactorisedConfig, ReadoutConfig};
use crate::model::weights::{export, freeze, import, to_host};
use crate::ops::{Adam, Masks};
use crate::random::{generator, permutation};
use crate::recording::{Session, Stream};
use crate::run::manifest::available_memory_mib;
use crate::run::metrics::Row;
use crate::run::{Best, Checkpoint, EventLog, Manifest, MetricsLog, RunFolder, Status};
use crate::score::{mean_ignoring_nan, single_trial_correlation};
use crate::twin::{Card, WEIGHTS};
use checkpoint::{LoopState, Saved};
use config::TrainConfig;
use loss::Loss;
use optimiser::Optimiser;
use schedule::{Monitor, Next};

/// What happens during a fit, for whoever shows it.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The data are read and the model is made.
    Started {
        /// Shape of the images as the model sees them, `[channel, height, width]`.
        images: [usize; 3],
        /// Parameters of the model.
        parameters: usize,
        /// Steps in an epoch.
        steps_per_epoch: u64,
        /// Step it resumes from; 0 for a new fit.
        step: u64,
        /// Names of the weights that `fit.start_from` gave.
        adopted: Vec<String>,
        /// Names of those that start anew, where it gave any.
        anew: Vec<String>,
    },
    /// One step was made.
    Step {
        /// Steps so far.
        step: u64,
    },
    /// The validation trials were scored.
    Check {
        /// The row of `metrics.csv`.
        row: Row,
        /// Whether it is the best so far.
        improved: bool,
    },
    /// A linear model was solved in closed form.
    Solved {
        /// Strength of its penalty; 0 without one.
        alpha: f64,
        /// Neurons whose weights are not as exact as they should be.
        unconverged: usize,
    },
    /// The learning rate was lowered.
    NewRound {
        /// New learning rate.
        learning_rate: f64,
    },
}

/// How a fit ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Best check.
    pub best: Option<Best>,
    /// Steps made in all.
    pub steps: u64,
    /// Whether it ended by itself.
    pub finished: bool,
}

/// Everything one fit works with.
struct Fit<'a> {
    config: &'a FitConfig,
    run: &'a RunFolder,
    trials: Trials<'a>,
    split: Split,
    device: Device,
    training: Device,
    card: Card,
    model: Encoder,
    /// Weights that `fit.start_from` gave.
    adopted: Vec<String>,
    optimiser: Optimiser,
    state: LoopState,
    metrics: MetricsLog,
    events: EventLog,
}

/// Whether `config` can be fitted to `session`, before anything is measured or written.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when the recording lacks what a fit needs,
/// [`Kind::Config`](crate::error::Kind::Config) for options that do not fit the recording.
pub fn check(config: &FitConfig, session: &Session) -> Result<()> {
    check_start(&config.fit)?;
    check_recording(config, session)
}

/// As [`check`], without what only the beginning of a fit needs.
fn check_recording(config: &FitConfig, session: &Session) -> Result<()> {
    let split = Split::new(session, &config.data)?;
    check_streams(&config.model, session)?;
    check_loss(config)?;
    if config.model.readout.shares_features() && config.data.types.is_empty() {
        return Err(Error::config("needs a table of types, since `model.readout.shared_features` is on")
            .key("data.types")
            .hint("`striate explain RUN barcode` writes one: RUN/explain/barcode/types.csv"));
    }
    if !config.model.readout.shares_features() && !config.data.types.is_empty() {
        return Err(Error::config("is not used: the readout of this model shares no features")
            .key("data.types")
            .hint("set `model.readout.shared_features` to true, or leave the table out"));
    }
    check_frozen(&config.fit)?;
    let seen = smaller(session.image_shape(), config.data.image_height);
    if config.linear.is_some() {
        linear::check_image(seen)?;
    }
    let behaviour = session.shape(Stream::Behavior).map_or(0, |shape| shape.iter().product());
    config.model.check(seen, behaviour)?;
    check_memory(config, config.model.core.out_shape(seen), &split)
}

/// Masks that depend on the image are there for every neuron and image of a batch at once.
fn check_memory(config: &FitConfig, [_, height, width]: [usize; 3], split: &Split) -> Result<()> {
    /// Arrays of image × pixel × neuron that a training step keeps.
    const ARRAYS: f64 = 6.0;
    let ReadoutConfig::Attention(_) = config.model.readout else { return Ok(()) };
    let numbers = config.fit.batch.min(split.train.len()) * height * width * split.neurons.len();
    let needed = ARRAYS * numbers as f64 * 4.0 / f64::from(1 << 20);
    match available_memory_mib().filter(|available| needed > *available) {
        None => Ok(()),
        Some(available) => Err(Error::config(format!(
            "an attention for each neuron and image needs about {:.1} GiB, and {:.1} GiB are free",
            needed / 1024.0,
            available / 1024.0
        ))
        .key("model.readout.kind")
        .hint("lower `fit.batch` or `data.neurons`, or take another readout")),
    }
}

/// That the recording has what the model takes in beside images.
fn check_streams(model: &EncoderConfig, session: &Session) -> Result<()> {
    let uses = model.uses();
    let (key, off) = match model.behaviour_planes {
        true => ("model.behaviour_planes", "set it to false"),
        false => ("model.modulator", "set it to none"),
    };
    let needed = [
        (Stream::Behavior, uses.behaviour, key, off),
        (Stream::PupilCenter, uses.pupil, "model.shifter", "set it to none"),
    ];
    for (stream, used, key, off) in needed {
        let wrong = match session.shape(stream) {
            _ if !used => continue,
            None => format!("needs the stream `{stream}`, which the recording lacks"),
            Some(shape) if stream == Stream::PupilCenter && shape != [2] => {
                format!("needs a stream `{stream}` of two numbers, the recording has {shape:?}")
            }
            Some(_) => continue,
        };
        return Err(Error::config(wrong)
            .key(key)
            .hint(format!("{off}, or take a recording with that stream")));
    }
    Ok(())
}

/// A Poisson loss takes the logarithm of the rate.
fn check_loss(config: &FitConfig) -> Result<()> {
    if config.linear.is_none() && config.fit.loss == Loss::Poisson && config.model.output == Output::Identity
    {
        return Err(Error::config("predicts rates below 0, which have no Poisson loss")
            .key("model.output")
            .hint("take another output, elu_plus_one for example, or `fit.loss=mse`"));
    }
    Ok(())
}

/// What can be said of frozen weights before there is a model.
fn check_frozen(fit: &TrainConfig) -> Result<()> {
    const PARTS: [&str; 4] = ["core", "readout", "shifter", "modulator"];
    let part = |name: &String| name.split('.').next().unwrap_or_default().to_owned();
    match fit.frozen.iter().map(part).find(|part| !PARTS.contains(&part.as_str())) {
        Some(slip) => Err(unknown("part of a model", &slip, &PARTS).key("fit.frozen")),
        None => Ok(()),
    }
}

/// That the weights to start from are there.
fn check_start(fit: &TrainConfig) -> Result<()> {
    if fit.start_from.is_empty() || Path::new(&fit.start_from).exists() {
        return Ok(());
    }
    Err(Error::data("no such run or file of weights").file(&fit.start_from).key("fit.start_from"))
}

/// Fits `config` to `session` in the run folder `run`, resuming it when it holds a checkpoint.
///
/// `stop` ends the fit at the next step, with a checkpoint to resume from.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) for a damaged recording or run,
/// [`Kind::Config`](crate::error::Kind::Config) for options that do not fit the recording and for the folder of an
/// ensemble, [`Kind::Io`](crate::error::Kind::Io) when the run folder cannot be written.
pub fn fit(
    config: &FitConfig,
    session: &Session,
    run: &RunFolder,
    device: &Device,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(&Event),
) -> Result<Outcome> {
    run.require_single()?;
    if let Some(outcome) = finished(config, run, session)? {
        return Ok(outcome);
    }
    let _alone = run.lock()?;
    let clock = Instant::now();
    let mut fit = Fit::prepare(config, session, run, device)?;
    let before = fit.state.seconds;
    let mut clock = |state: &mut LoopState| state.seconds = before + clock.elapsed().as_secs_f64();
    observe(&fit.started());
    match &config.linear {
        Some(linear) => fit.solve(linear, stop, observe, &mut clock)?,
        None => fit.train(stop, observe, &mut clock)?,
    }
    fit.conclude()
}

/// How a fit ended that is over, so that nothing of it has to be touched.
fn finished(config: &FitConfig, run: &RunFolder, session: &Session) -> Result<Option<Outcome>> {
    let manifest = run.read_manifest()?;
    if manifest.status != Status::Finished {
        return Ok(None);
    }
    let Some(saved) = Saved::read(run, Checkpoint::Last)? else {
        return Err(Error::config("holds a model that was not fitted here, and nothing to go on with")
            .file(run.path())
            .hint("begin a new run with its weights: `fit.start_from`"));
    };
    // One that was given more steps and then killed before its end still calls itself finished.
    if !saved.state.finished || wants_more(config, &saved.state) {
        return Ok(None);
    }
    same_recording(run, session)?;
    Ok(Some(Outcome { best: manifest.best, steps: saved.state.step, finished: true }))
}

/// Whether a fit ended only because it was given fewer steps than `config` gives it now.
fn wants_more(config: &FitConfig, state: &LoopState) -> bool {
    state.finished && config.linear.is_none() && !config.schedule.ends_at(&state.progress, state.step)
}

impl<'a> Fit<'a> {
    fn prepare(
        config: &'a FitConfig,
        session: &'a Session,
        run: &'a RunFolder,
        device: &Device,
    ) -> Result<Self> {
        check_recording(config, session)?;
        let split = Split::new(session, &config.data)?;
        let saved = Saved::read(run, Checkpoint::Last)?;
        match &saved {
            Some(_) => same_recording(run, session)?,
            None => check_start(&config.fit)?,
        }
        let known = saved.as_ref().map(|_| Card::load(run)).transpose()?;
        let groups = match &known {
            Some(card) => card.groups.clone(),
            None => groups(config, session, &split)?,
        };
        let normalisation = match known {
            Some(card) => card.normalisation,
            None => Normalisation::measure(
                session,
                &split.tier,
                &split.neurons,
                &config.data,
                config.model.uses(),
            )?,
        };
        let trials = Trials::new(session, split.neurons.clone(), normalisation, config.data.cache_mib);
        if saved.is_none() && config.linear.is_none() {
            check_responses(config.fit.loss, &trials, &split.train)?;
        }
        let card = card(config, session, &split, groups, trials.normalisation());
        let training = device.clone().autodiff();
        let mean = &card.normalisation.mean_response;
        let starts = match &saved {
            Some(_) => card.blank_starts(),
            None => {
                let shown = sta_trials(config, &split);
                let mut starts = start::starts(&config.model, &trials, &shown, mean, device)?;
                starts.iter_mut().zip(&card.groups).for_each(|(start, &group)| start.group = group);
                starts
            }
        };
        let made =
            Made { image: card.seen_shape(), behaviour: card.normalisation.behaviours(), start: &starts };
        let model = config.model.init(&made, config.seed, &training)?;
        let (model, adopted) = match &saved {
            Some(_) => (model, Vec::new()),
            None => start::adopted(model, &config.fit.start_from, &card.unit_ids, session)?,
        };
        let model = freeze(model, &config.fit.frozen).map_err(|e| e.key("fit.frozen"))?;
        let mut fit = Self {
            optimiser: Optimiser::new((config.fit.clip > 0.0).then_some(config.fit.clip)),
            metrics: MetricsLog::resume(&run.metrics(), saved.as_ref().map_or(0, |s| s.state.step))?,
            events: EventLog::resume(&run.tensorboard(), saved.as_ref().map_or(0, |s| s.state.step))?,
            config,
            run,
            trials,
            split,
            device: device.clone(),
            training,
            card,
            model,
            adopted,
            state: LoopState::default(),
        };
        match saved {
            Some(saved) => fit.restore(saved, Checkpoint::Last)?,
            None => fit.card.save(run)?,
        }
        if wants_more(config, &fit.state) {
            fit.go_on()?;
        }
        Ok(fit)
    }

    fn started(&self) -> Event {
        Event::Started {
            images: self.card.seen_shape(),
            parameters: crate::model::weights::count(&self.model).values().sum(),
            steps_per_epoch: self.batches_per_epoch(),
            step: self.state.step,
            adopted: self.adopted.clone(),
            anew: self.anew(),
        }
    }

    /// Names of the weights that start anew while others were given.
    fn anew(&self) -> Vec<String> {
        let all = if self.adopted.is_empty() { Arrays::new() } else { export(&self.model) };
        all.into_keys().filter(|name| !self.adopted.contains(name)).collect()
    }

    fn batches_per_epoch(&self) -> u64 {
        let (trials, batch) = (self.split.train.len(), self.batch_size());
        (if self.config.fit.drop_last { trials / batch } else { trials.div_ceil(batch) }) as u64
    }

    fn batch_size(&self) -> usize {
        self.config.fit.batch.min(self.split.train.len())
    }

    /// Epoch after epoch, until the schedule or the user ends it.
    fn train(
        &mut self,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(&Event),
        clock: &mut dyn FnMut(&mut LoopState),
    ) -> Result<()> {
        while !self.state.finished {
            self.epoch(stop, observe, clock)?;
            if stop.load(Ordering::Relaxed) && !self.state.finished {
                return self.saved().write(self.run, Checkpoint::Last);
            }
        }
        Ok(())
    }

    /// The rest of the current epoch.
    fn epoch(
        &mut self,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(&Event),
        clock: &mut dyn FnMut(&mut LoopState),
    ) -> Result<()> {
        let order = self.order();
        while self.state.batch < self.batches_per_epoch() {
            let start = self.state.batch as usize * self.batch_size();
            let batch = &order[start..(start + self.batch_size()).min(order.len())];
            self.step(batch)?;
            observe(&Event::Step { step: self.state.step });
            if self.check_is_due() {
                clock(&mut self.state);
                self.check(observe)?;
            }
            if self.state.finished || stop.load(Ordering::Relaxed) {
                clock(&mut self.state);
                return Ok(());
            }
        }
        self.state.epoch += 1;
        self.state.batch = 0;
        Ok(())
    }

    /// Training trials in the order of this epoch: a function of seed and epoch alone.
    fn order(&self) -> Vec<usize> {
        let train = &self.split.train;
        if self.state.epoch == 0 && !self.config.fit.shuffle_first {
            return train.clone();
        }
        let mut rng = generator(self.config.seed, 1 << 32 | self.state.epoch);
        permutation(&mut rng, train.len()).into_iter().map(|i| train[i]).collect()
    }

    fn step(&mut self, trials: &[usize]) -> Result<()> {
        let batch = self.trials.batch(trials, &self.training)?;
        let config = &self.config.fit;
        let masks = self.masks();
        let pass = Pass::Train { seed: self.config.seed ^ (self.state.step << 20), masks };
        let (predicted, moments) = self.model.forward(batch.inputs, pass);
        let divisor = config.over_neurons.divisor(self.trials.neurons());
        let activity = self.config.model.penalty.predictions(&predicted);
        let data = config.loss.summed(predicted, batch.responses).div_scalar(divisor);
        let penalty = self.penalty(divisor, activity);
        let loss = scalar(&data);
        if !loss.is_finite() {
            return Err(Error::diverged(format!(
                "the training loss is no longer a number, at step {}",
                self.state.step
            ))
            .file(self.run.path())
            .hint("lower `fit.learning_rate`, or set `fit.clip` to 1"));
        }
        self.state.loss_sum += loss;
        let data = data.mul_scalar(config.over_trials.factor(trials.len(), self.trials.in_session()));
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

    fn check_is_due(&self) -> bool {
        let schedule = &self.config.schedule;
        let due = match schedule.check_every {
            0 => self.state.batch == self.batches_per_epoch(),
            every => self.state.step.is_multiple_of(every),
        };
        due || self.state.step == schedule.max_steps
    }

    fn check(&mut self, observe: &mut dyn FnMut(&Event)) -> Result<()> {
        let row = self.measure()?;
        let value = match self.config.schedule.monitor {
            Monitor::Loss => row.val_loss,
            Monitor::Correlation => row.val_correlation,
        };
        let value = value.unwrap_or(f64::NAN);
        let verdict = self.config.schedule.check(&mut self.state.progress, self.state.step, value);
        (self.state.loss_sum, self.state.penalty_sum, self.state.summed_steps) = (0.0, 0.0, 0);
        self.log(&row)?;
        if verdict.improved {
            self.saved().write(self.run, Checkpoint::Best)?;
        }
        observe(&Event::Check { row, improved: verdict.improved });
        self.turn(verdict.next, observe)?;
        self.saved().write(self.run, Checkpoint::Last)
    }

    /// Does what the schedule decided.
    fn turn(&mut self, next: Next, observe: &mut dyn FnMut(&Event)) -> Result<()> {
        match next {
            Next::Continue => {}
            Next::NextRound { rewind } => {
                if rewind {
                    self.rewind()?;
                }
                let rate = self.config.fit.learning_rate;
                let learning_rate = self.config.schedule.learning_rate(rate, self.state.progress.rounds);
                observe(&Event::NewRound { learning_rate });
            }
            Next::Stop => self.state.finished = true,
        }
        Ok(())
    }

    /// Takes up a fit that ended by its number of steps, as if it had had more from the start.
    fn go_on(&mut self) -> Result<()> {
        if !self.check_is_due() {
            let message = format!("the fit ended at step {}, between two checks", self.state.step);
            return Err(Error::config(message)
                .file(self.run.path())
                .key("schedule.max_steps")
                .hint("it cannot go on as if it had not: choose another folder with --out"));
        }
        disk::write_bytes(&self.run.config(), self.config.to_toml().as_bytes())?;
        let manifest = Manifest { status: Status::Running, ..self.run.read_manifest()? };
        manifest.save(&self.run.manifest())?;
        self.state.finished = false;
        let next = self.config.schedule.next(&mut self.state.progress, self.state.step);
        self.turn(next, &mut |_| {})
    }

    /// Loss and correlation on the validation trials, and the means since the last check.
    fn measure(&self) -> Result<Row> {
        let recorded = self.trials.responses(&self.split.validation)?;
        let (predicted, loss) = self.validate()?;
        let mut correlation = single_trial_correlation(&predicted, &recorded, self.trials.neurons());
        count_silent(&mut correlation, &predicted, &recorded);
        let steps = self.state.summed_steps.max(1) as f64;
        let rate = |start| self.config.schedule.learning_rate(start, self.state.progress.rounds);
        Ok(Row {
            step: self.state.step,
            epoch: self.state.step as f64 / self.batches_per_epoch() as f64,
            learning_rate: self.config.linear.is_none().then(|| rate(self.config.fit.learning_rate)),
            train_loss: Some(self.state.loss_sum / steps),
            penalty: Some(self.state.penalty_sum / steps),
            val_loss: Some(loss),
            val_correlation: Some(mean_ignoring_nan(&correlation)),
            seconds: Some(self.state.seconds),
        })
    }

    fn validate(&self) -> Result<(Vec<f32>, f64)> {
        use burn::module::Module;
        let model = self.model.valid();
        let validation = &self.split.validation;
        let divisor = self.config.fit.over_neurons.divisor(self.trials.neurons());
        let (mut predictions, mut loss) = (Vec::new(), 0.0);
        for chunk in validation.chunks(128) {
            let batch = self.trials.batch(chunk, &self.device)?;
            let predicted = model.respond(batch.inputs);
            let sum = self.config.fit.loss.summed(predicted.clone(), batch.responses);
            loss += f64::from(sum.into_scalar::<f32>()) * chunk.len() as f64;
            predictions.extend(to_host(predicted).values);
        }
        Ok((predictions, loss / validation.len() as f64 / divisor))
    }

    fn log(&mut self, row: &Row) -> Result<()> {
        self.metrics.append(row)?;
        let scalars = [
            ("train/loss", row.train_loss),
            ("train/penalty", row.penalty),
            ("train/learning_rate", row.learning_rate),
            ("validation/loss", row.val_loss),
            ("validation/correlation", row.val_correlation),
        ];
        let known: Vec<(&str, f64)> =
            scalars.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
        self.events.scalars(row.step, &known)
    }

    fn saved(&self) -> Saved {
        Saved { weights: export(&self.model), optimiser: self.optimiser.export(), state: self.state.clone() }
    }

    fn restore(&mut self, saved: Saved, from: Checkpoint) -> Result<()> {
        let folder = self.run.checkpoint(from);
        self.model = import(self.model.clone(), &saved.weights).map_err(|e| e.file(folder.join(WEIGHTS)))?;
        self.optimiser
            .import(&saved.optimiser, &saved.weights, &self.device)
            .map_err(|e| e.file(folder.join(checkpoint::OPTIMISER)))?;
        self.state = saved.state;
        Ok(())
    }

    /// Back to the weights and optimiser of the best check; the loop goes on.
    fn rewind(&mut self) -> Result<()> {
        if let Some(best) = Saved::read(self.run, Checkpoint::Best)? {
            let state = self.state.clone();
            self.restore(best, Checkpoint::Best)?;
            self.state = state;
        }
        Ok(())
    }

    /// Alpha of the best step of a linear model in closed form, of which each solves for one.
    fn chosen_alpha(&self) -> Option<f64> {
        let at = self.state.progress.best_step.checked_sub(1)? as usize;
        self.config.linear.as_ref()?.alphas().get(at).copied().filter(|alpha| *alpha > 0.0)
    }

    fn conclude(self) -> Result<Outcome> {
        let progress = &self.state.progress;
        let best = progress.best.map(|value| Best {
            step: progress.best_step,
            epoch: progress.best_step as f64 / self.batches_per_epoch() as f64,
            value: if self.config.schedule.monitor == Monitor::Correlation { -value } else { value },
            alpha: self.chosen_alpha(),
            metric: match self.config.schedule.monitor {
                Monitor::Loss => "val_loss".into(),
                Monitor::Correlation => "val_correlation".into(),
            },
        });
        let mut manifest: Manifest =
            self.run.read_manifest()?.with_parameters(crate::model::weights::count(&self.model));
        manifest.status = if self.state.finished { Status::Finished } else { Status::Interrupted };
        manifest.wall_seconds = self.state.seconds;
        manifest.peak_memory_mib = crate::run::manifest::peak_memory_mib();
        manifest.best = best.clone();
        manifest.save(&self.run.manifest())?;
        Ok(Outcome { best, steps: self.state.step, finished: self.state.finished })
    }
}

/// Rates have a Poisson loss where responses are at least 0; the first trials tell z-scores from rates, of which some may
/// be a little below.
fn check_responses(loss: Loss, trials: &Trials<'_>, train: &[usize]) -> Result<()> {
    const LITTLE: f32 = 0.01;
    let first = trials.responses(&train[..train.len().min(256)])?;
    let (least, most) = first.iter().fold((0f32, 0f32), |(least, most), &y| (least.min(y), most.max(y)));
    if loss != Loss::Poisson || -least <= LITTLE * most {
        return Ok(());
    }
    Err(Error::config(format!("has no meaning for responses below 0, and there are some of {least:.3}"))
        .key("fit.loss")
        .hint("set `fit.loss=mse`, and `model.output=identity` if predictions should go there too"))
}

/// Correlations of 0 for neurons that vary over `recorded` trials while what is `predicted` for them does not, both
/// `[trial, neuron]`: leaving them out would reward a model for giving neurons up.
fn count_silent(correlation: &mut [f64], predicted: &[f32], recorded: &[f32]) {
    let neurons = correlation.len();
    let constant = |values: &[f32], n: usize| {
        let mut column = values.iter().skip(n).step_by(neurons);
        let first = column.next();
        column.all(|value| Some(value) == first)
    };
    for (n, value) in correlation.iter_mut().enumerate().filter(|(_, value)| value.is_nan()) {
        if constant(predicted, n) && !constant(recorded, n) {
            *value = 0.0;
        }
    }
}

fn scalar(x: &Tensor<1>) -> f64 {
    f64::from(x.clone().detach().into_scalar::<f32>())
}

/// Trials of the spike-triggered average.
fn sta_trials(config: &FitConfig, split: &Split) -> Vec<usize> {
    let validation = if config.model.readout.factorised().is_some_and(FactorisedConfig::sta_with_validation) {
        split.validation.as_slice()
    } else {
        &[]
    };
    [&split.train, validation].concat()
}

/// Groups of the neurons whose feature weights are shared; none otherwise.
fn groups(config: &FitConfig, session: &Session, split: &Split) -> Result<Vec<usize>> {
    if !config.model.readout.shares_features() {
        return Ok(Vec::new());
    }
    let unit_ids: Vec<i64> = split.neurons.iter().map(|&n| session.neurons.ids[n]).collect();
    crate::batch::groups(Path::new(&config.data.types), &unit_ids)
}

fn card(
    config: &FitConfig,
    session: &Session,
    split: &Split,
    groups: Vec<usize>,
    normalisation: &Normalisation,
) -> Card {
    Card {
        model: config.model.clone(),
        image_shape: session.image_shape(),
        neurons: split.neurons.clone(),
        unit_ids: split.neurons.iter().map(|&n| session.neurons.ids[n]).collect(),
        groups,
        normalisation: normalisation.clone(),
    }
}

/// A fit goes on only with the recording it began with.
fn same_recording(run: &RunFolder, session: &Session) -> Result<()> {
    let known = run.read_manifest()?.recording.fingerprint;
    if known.is_empty() || known == fingerprint(session) {
        return Ok(());
    }
    Err(Error::data("is not the recording this run began with: neurons, trials or responses differ")
        .file(&session.path)
        .hint("restore the recording, or fit into a fresh folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neuron_that_a_model_gave_up_counts_as_0() {
        // Neurons: silent prediction, silent recording, both, a prediction that is no number, one that is defined.
        let predicted = [1.0, 1.0, 3.0, f32::NAN, 1.0, 1.0, 2.0, 3.0, f32::NAN, 2.0];
        let recorded = [1.0, 5.0, 5.0, 1.0, 1.0, 2.0, 5.0, 5.0, 2.0, 3.0];
        let mut correlation = [f64::NAN, f64::NAN, f64::NAN, f64::NAN, 1.0];
        count_silent(&mut correlation, &predicted, &recorded);
        assert_eq!(correlation[0], 0.0);
        assert!(correlation[1..4].iter().all(|value| value.is_nan()));
        assert_eq!(correlation[4], 1.0);
    }
}
