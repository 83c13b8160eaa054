//! From a recording and a configuration to a twin.
//!
//! [`fit`] emits [`Event`]s and never prints. Everything random is a function of the seed and the step, so a
//! fit that is killed and resumed makes the same steps as one that is not.

mod check;
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
mod step;
mod validation;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::prelude::*;

pub use check::check;
pub use config::FitConfig;
pub use folder::{recording_info, run_folder};
pub use meanings::commented;
pub use presets::PRESETS;

use crate::array::Arrays;
use crate::batch::{Normalisation, Split, Trials};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::model::Encoder;
use crate::model::encoder::Made;
use crate::model::readout::FactorisedConfig;
use crate::model::weights::{export, freeze, import};
use crate::recording::{Session, Tier};
use crate::run::bond::card_digest;
use crate::run::manifest::new_id;
use crate::run::metrics::Row;
use crate::run::{Best, Bond, Checkpoint, EventLog, Fitted, Manifest, MetricsLog, RunFolder, Status};
use crate::twin::{Card, WEIGHTS};
use check::{check_recording, check_responses, check_start, chosen_before, same_recording};
use checkpoint::{LoopState, Saved};
use optimiser::Optimiser;
use schedule::{End, Horizon, Monitor};

/// What happens during a fit, for whoever shows it.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The data are read and the model is made.
    Started {
        /// Shape of the images as the model sees them, `[channel, height, width]`.
        images: [usize; 3],
        /// Neurons that are fitted.
        neurons: usize,
        /// Neurons of the recording.
        recorded: usize,
        /// Trials that parameters are fitted on.
        train: usize,
        /// Trials that stopping is decided on.
        validation: usize,
        /// Their tier; `None` where they are held out of the training tier.
        validation_tier: Option<Tier>,
        /// Parameters of the model.
        parameters: usize,
        /// Steps in an epoch.
        steps_per_epoch: u64,
        /// Step it resumes from; 0 for a new fit.
        step: u64,
        /// Where it ends as far as is known.
        until: Horizon,
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
        /// Where the fit ends as far as is known.
        until: Horizon,
    },
    /// A linear model was solved in closed form.
    Solved {
        /// Strength of its penalty; 0 without one.
        alpha: f64,
        /// Neurons whose weights are not as exact as they should be.
        unconverged: usize,
    },
    /// The fit was over before, and nothing is done.
    AlreadyFinished {
        /// Steps it made.
        step: u64,
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
    /// Why, if it did.
    pub end: Option<End>,
    /// Whether it ended between two checks, so that it cannot be given more steps.
    pub between_checks: bool,
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
    /// What the next checkpoint is bound to.
    bond: Bond,
    metrics: MetricsLog,
    events: EventLog,
}

/// Fits `config` to `session` in the run folder `run`, resuming it when it holds a checkpoint.
///
/// `stop` ends the fit at the next step, with a checkpoint to resume from.
///
/// # Errors
/// [`Kind::Data`] for a damaged recording or run,
/// [`Kind::Config`] for options that do not fit the recording and for the folder of an
/// ensemble, [`Kind::Io`] when the run folder cannot be written.
pub fn fit(
    config: &FitConfig,
    session: &Session,
    run: &RunFolder,
    device: &Device,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(&Event),
) -> Result<Outcome> {
    run.require_single()?;
    // First: to read a checkpoint is to repair what a kill left of it.
    let run = &run.held()?;
    if let Some(outcome) = finished(config, run, session)? {
        observe(&Event::AlreadyFinished { step: outcome.steps });
        return Ok(outcome);
    }
    let clock = Instant::now();
    let prepared = Fit::prepare(config, session, run, device);
    let mut fit =
        prepared.or_else(|error| if run.latest().is_none() { fail(run, error) } else { Err(error) })?;
    let before = fit.state.seconds;
    let mut clock = |state: &mut LoopState| state.seconds = before + clock.elapsed().as_secs_f64();
    observe(&fit.started(session));
    let fitted = match &config.linear {
        Some(linear) => fit.solve(linear, stop, observe, &mut clock),
        None => fit.train(stop, observe, &mut clock),
    };
    fitted.and_then(|()| fit.conclude()).or_else(|error| fail(run, error))
}

/// Notes what ended a fit where the next verb will look, as far as the disk takes it.
fn fail<T>(run: &RunFolder, error: Error) -> Result<T> {
    if let (Ok(()), Ok(manifest)) = (run.require_in_place(), run.read_manifest()) {
        let (status, failure) = match error.kind() {
            Kind::Interrupted => (Status::Interrupted, None),
            _ => (Status::Failed, Some(error.message().to_owned())),
        };
        let _ = Manifest { status, failure, ..manifest }.save(&run.manifest());
    }
    Err(error)
}

/// How a fit ended that is over, so that nothing of it has to be touched.
fn finished(config: &FitConfig, run: &RunFolder, session: &Session) -> Result<Option<Outcome>> {
    let manifest = run.read_manifest()?;
    if manifest.status != Status::Finished {
        return Ok(None);
    }
    let Some((saved, _)) = Saved::latest(run, &config.schedule)? else {
        if !run.has_model() {
            return Err(run.no_model());
        }
        let anew = run.restart_command(Some(run.path()));
        return Err(Error::config("holds a model that was not fitted here, and nothing to go on with")
            .file(run.path())
            .hint(format!("begin a new run with its weights: `{anew}`")));
    };
    // One that was given more steps and then killed before its end still calls itself finished.
    // One of an early version may call itself finished though it could never be judged.
    if !saved.state.finished || wants_more(config, &saved.state) || manifest.best.is_none() {
        return Ok(None);
    }
    same_recording(run, session)?;
    let steps = saved.state.step;
    let between_checks = saved.state.between_checks;
    Ok(Some(Outcome {
        best: manifest.best,
        steps,
        finished: true,
        end: Some(end(config, steps)),
        between_checks,
    }))
}

/// Why a fit of `config` that ended by itself at `step` did so.
fn end(config: &FitConfig, step: u64) -> End {
    if config.linear.is_some() { End::Solved } else { config.schedule.end(step) }
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
        let saved = Saved::latest(run, &config.schedule)?;
        if let Some((saved, Checkpoint::Best)) = &saved {
            warn_of_missing_last(run, saved.state.step)?;
        }
        let stamp = same_recording(run, session)?;
        if saved.is_none() {
            check_start(&config.fit)?;
        }
        let known = saved.as_ref().map(|_| Card::load(run)).transpose()?;
        let split = match &known {
            Some(card) => Split::of(session, &config.data, chosen_before(card, config, session, run)?)?,
            None => Split::new(session, &config.data)?,
        };
        check_recording(config, session, &split)?;
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
        if crate::model::weights::count(&model).is_empty() {
            return Err(Error::config("freezes every weight of the model: nothing is left to fit")
                .key("fit.frozen")
                .hint("leave at least one part out of the list"));
        }
        let mut fit = Self {
            optimiser: Optimiser::new((config.fit.clip > 0.0).then_some(config.fit.clip)),
            metrics: MetricsLog::resume(&run.metrics(), saved.as_ref().map_or(0, |(s, _)| s.state.step))?,
            events: EventLog::resume(&run.tensorboard(), saved.as_ref().map_or(0, |(s, _)| s.state.step))?,
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
            bond: Bond::default(),
        };
        match saved {
            Some((saved, from)) => fit.restore(saved, from)?,
            None => fit.card.save(run)?,
        }
        if wants_more(config, &fit.state) {
            fit.go_on()?;
        }
        fit.note_begin(stamp, session)?;
        Ok(fit)
    }

    fn started(&self, session: &Session) -> Event {
        Event::Started {
            images: self.card.seen_shape(),
            neurons: self.split.neurons.len(),
            recorded: session.neurons.len(),
            train: self.split.train.len(),
            validation: self.split.validation.len(),
            validation_tier: self.validation_tier(session),
            parameters: crate::model::weights::count(&self.model).values().sum(),
            steps_per_epoch: self.batches_per_epoch(),
            step: self.state.step,
            until: self.horizon(),
            adopted: self.adopted.clone(),
            anew: self.anew(),
        }
    }

    fn validation_tier(&self, session: &Session) -> Option<Tier> {
        let trial = *self.split.validation.first()?;
        (!self.split.tier.contains(&trial)).then(|| session.trials[trial].tier.clone())
    }

    /// Where it ends as far as is known.
    fn horizon(&self) -> Horizon {
        let every = match self.config.schedule.check_every {
            0 => self.batches_per_epoch(),
            every => every,
        };
        match &self.config.linear {
            Some(linear) => Horizon { step: linear.alphas().len() as u64, by: End::Solved },
            None => self.config.schedule.horizon(&self.state.progress, self.state.step, every),
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
                return self.save(Checkpoint::Last);
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

    /// Notes what is fitted from now on, perhaps with more steps than before; one that nobody holds was killed from here on.
    fn note_begin(&mut self, stamp: Option<String>, session: &Session) -> Result<()> {
        let mut known = self.run.read_manifest()?.with_parameters(crate::model::weights::count(&self.model));
        if known.id.is_empty() {
            known.id = new_id();
        }
        known.recording.stamp = stamp;
        known.fitted = Some(Fitted {
            neurons: self.split.neurons.len(),
            train: self.split.train.len(),
            validation: self.split.validation.len(),
            validation_tier: self.validation_tier(session).map(|tier| tier.to_string()),
        });
        let config = self.config.to_toml();
        disk::write_bytes(&self.run.config(), config.as_bytes())?;
        let best = std::mem::take(&mut self.state.bond.best);
        let card = card_digest(self.run.path());
        self.bond = Bond { run: known.id.clone(), card, best, config, ..Bond::default() };
        Manifest { status: Status::Running, failure: None, ..known }.save(&self.run.manifest())
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
        self.state.finished = false;
        let next = self.config.schedule.next(&mut self.state.progress, self.state.step);
        self.turn(next, &mut |_| {})
    }

    fn save(&self, which: Checkpoint) -> Result<()> {
        self.run.require_in_place()?;
        // It may go while it is written.
        self.saved().write(self.run, which).or_else(|error| self.run.require_in_place().and(Err(error)))
    }

    fn saved(&self) -> Saved {
        let state = LoopState { best: self.best(), bond: self.bond.clone(), ..self.state.clone() };
        Saved { weights: export(&self.model), optimiser: self.optimiser.export(), state }
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

    /// The best check so far.
    fn best(&self) -> Option<Best> {
        let (progress, monitor) = (&self.state.progress, self.config.schedule.monitor);
        Some(Best {
            step: progress.best_step,
            epoch: progress.best_step as f64 / self.batches_per_epoch() as f64,
            value: if monitor == Monitor::Correlation { -progress.best? } else { progress.best? },
            alpha: self.chosen_alpha(),
            metric: monitor.metric().into(),
        })
    }

    fn conclude(&self) -> Result<Outcome> {
        let best = self.best();
        if self.state.finished && best.is_none() {
            return Err(self.never_judged());
        }
        if self.state.finished {
            self.warn_if_it_says_nothing();
        }
        let mut manifest = self.run.read_manifest()?;
        manifest.status = if self.state.finished { Status::Finished } else { Status::Interrupted };
        manifest.wall_seconds = self.state.seconds;
        manifest.peak_memory_mib = crate::run::manifest::peak_memory_mib();
        manifest.best = best.clone();
        manifest.save(&self.run.manifest())?;
        let LoopState { step: steps, finished, between_checks, .. } = self.state;
        Ok(Outcome { best, steps, finished, end: finished.then(|| end(self.config, steps)), between_checks })
    }
}

/// After a kill there may be no last state yet; a fit that had time to end has written one.
fn warn_of_missing_last(run: &RunFolder, step: u64) -> Result<()> {
    let concluded = run.read_manifest()?.status != Status::Running;
    if concluded && !run.checkpoint(Checkpoint::Last).is_dir() {
        tracing::warn!("checkpoints/last is missing: the fit goes on from its best check, step {step}");
    }
    Ok(())
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
        left_out: split.left_out.clone(),
        normalisation: normalisation.clone(),
    }
}
