//! From a recording and a configuration to a twin.
//!
//! [`fit`] emits [`Event`]s and never prints. Everything random is a function of the seed and the step, so a
//! fit that is killed and resumed makes the same steps as one that is not.

mod ahead;
mod animal;
mod check;
pub mod checkpoint;
pub mod config;
pub mod folder;
pub mod linear;
mod meanings;
mod parts;
pub mod optimiser;
mod order;
mod plan;
mod presets;
pub mod schedule;
pub mod start;
mod solve;
mod step;
mod together;
mod validation;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use burn::prelude::*;

pub use check::check;
pub use config::FitConfig;
pub use folder::{recording_info, run_folder};
pub use presets::PRESETS;

use crate::array::Arrays;
use crate::error::{Error, Kind, Result};
use crate::model::weights::{export, import};
use crate::model::{Model, heads};
use crate::recording::{Session, Tier};
use crate::run::metrics::Row;
use crate::run::{Best, Bond, Checkpoint, EventLog, Fitted, Manifest, MetricsLog, RunFolder, Status};
use crate::twin::WEIGHTS;
use ahead::Ahead;
use animal::Animal;
use check::same_recording;
use checkpoint::{LoopState, Saved};
use optimiser::Optimiser;
use order::Share;
use plan::Plan;
use schedule::{End, Horizon, Monitor};

/// What happens during a fit, for whoever shows it.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The data are read and the model is made.
    Started {
        /// Shape of the images as the model sees them, `[channel, height, width]`.
        images: [usize; 3],
        /// Sessions that are fitted together.
        sessions: usize,
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
struct Fit<'a, M> {
    config: &'a FitConfig,
    run: &'a RunFolder,
    device: Device,
    training: Device,
    /// Each session, the core of all the same.
    animals: Vec<Animal<'a, M>>,
    /// Weights that `fit.start_from` gave.
    adopted: Vec<String>,
    optimiser: Optimiser,
    state: LoopState,
    /// What the next checkpoint is bound to.
    bond: Bond,
    metrics: MetricsLog,
    events: EventLog,
}

/// Fits `config` to `sessions`, one core with a head for each, in the run folder `run`, resuming it when it holds a checkpoint.
///
/// `stop` ends the fit at the next step, with a checkpoint to resume from.
///
/// # Errors
/// [`Kind::Data`] for a damaged recording or run,
/// [`Kind::Config`] for options that do not fit the recording and for the folder of an
/// ensemble, [`Kind::Io`] when the run folder cannot be written.
pub fn fit(
    config: &FitConfig,
    sessions: &[&Session],
    run: &RunFolder,
    device: &Device,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(&Event),
) -> Result<Outcome> {
    run.require_single()?;
    let known = run.read_manifest()?.recordings().len();
    if known != sessions.len() {
        let message = format!("is a run of {known} sessions, not of {}", sessions.len());
        return Err(Error::config(message).file(run.path()));
    }
    // First: to read a checkpoint is to repair what a kill left of it.
    let run = &run.held()?;
    if let Some(outcome) = finished(config, run, sessions)? {
        observe(&Event::AlreadyFinished { step: outcome.steps });
        return Ok(outcome);
    }
    let clock = Instant::now();
    let prepared = Plan::new(config, sessions, run).and_then(|plan| plan.begin(device));
    let mut fit =
        prepared.or_else(|error| if run.latest().is_none() { fail(run, error) } else { Err(error) })?;
    let before = fit.state.seconds;
    let mut clock = |state: &mut LoopState| state.seconds = before + clock.elapsed().as_secs_f64();
    observe(&fit.started());
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
fn finished(config: &FitConfig, run: &RunFolder, sessions: &[&Session]) -> Result<Option<Outcome>> {
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
    for (part, session) in run.sessions()?.iter().zip(sessions) {
        same_recording(part, session)?;
    }
    let steps = saved.state.step;
    let between_checks = saved.state.between_checks;
    Ok(Some(Outcome {
        best: manifest.best,
        steps,
        finished: true,
        end: Some(end(config, &saved.state)),
        between_checks,
    }))
}

/// Why a fit of `config` that ended by itself did so.
fn end(config: &FitConfig, state: &LoopState) -> End {
    if config.linear.is_some() { End::Solved } else { config.schedule.end(&state.progress, state.step) }
}

/// Whether a fit ended only because it was given fewer steps than `config` gives it now.
fn wants_more(config: &FitConfig, state: &LoopState) -> bool {
    state.finished && config.linear.is_none() && !config.schedule.ends_at(&state.progress, state.step)
}

impl<M: Model> Fit<'_, M> {
    fn started(&self) -> Event {
        let each: Vec<Fitted> = self.animals.iter().map(Animal::fitted).collect();
        let sum = |of: fn(&Fitted) -> usize| each.iter().map(of).sum();
        Event::Started {
            images: self.animals[0].card.seen_shape(),
            sessions: each.len(),
            neurons: sum(|of| of.neurons),
            recorded: self.animals.iter().map(|animal| animal.session.neurons.len()).sum(),
            train: sum(|of| of.train),
            validation: sum(|of| of.validation),
            validation_tier: self.animals[0].validation_tier(),
            parameters: self.parameters().values().sum(),
            steps_per_epoch: self.steps_per_epoch(),
            step: self.state.step,
            until: self.horizon(),
            adopted: self.adopted.clone(),
            anew: self.anew(),
        }
    }

    /// Where it ends as far as is known.
    fn horizon(&self) -> Horizon {
        let every = match self.config.schedule.check_every {
            0 => self.steps_per_epoch(),
            every => every,
        };
        match &self.config.linear {
            Some(linear) => Horizon { step: linear.alphas().len() as u64, by: End::Solved },
            None => self.config.schedule.horizon(&self.state.progress, self.state.step, every),
        }
    }

    /// Names of the weights that start anew while others were given.
    fn anew(&self) -> Vec<String> {
        let all = if self.adopted.is_empty() { Arrays::new() } else { self.weights() };
        all.into_keys().filter(|name| !self.adopted.contains(name)).collect()
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
        let sources: Vec<_> = self.animals.iter().map(|animal| animal.trials.clone()).collect();
        thread::scope(|scope| {
            let left = order.iter().skip(self.state.batch as usize).flatten();
            let mut ahead = Ahead::new(scope, &sources, left);
            self.steps(&order, &mut ahead, stop, observe, clock)
        })
    }

    /// As [`Fit::epoch`], of the steps of `order`, with a thread that reads ahead.
    fn steps(
        &mut self,
        order: &[Vec<Share>],
        ahead: &mut Ahead<'_, '_>,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(&Event),
        clock: &mut dyn FnMut(&mut LoopState),
    ) -> Result<()> {
        while self.state.batch < self.steps_per_epoch() {
            self.step(&order[self.state.batch as usize], ahead)?;
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
        let saved = self.saved();
        self.run.require_in_place()?;
        let written = saved.write(self.run, which);
        // It may go while it is written.
        self.run.require_in_place().inspect_err(|_| self.run.remove_made_anew(which))?;
        written
    }

    fn saved(&self) -> Saved {
        let state = LoopState { best: self.best(), bond: self.bond.clone(), ..self.state.clone() };
        Saved { weights: self.weights(), optimiser: self.optimiser.export(), state }
    }

    /// The weights of the core and of every head.
    fn weights(&self) -> Arrays {
        let own = |animal: &Animal<'_, M>| {
            export(&animal.model).into_iter().map(|(name, array)| (animal.named(&name), array)).collect()
        };
        let each: Vec<Arrays> = self.animals.iter().map(own).collect();
        each.into_iter().flatten().collect()
    }

    fn restore(&mut self, saved: Saved, from: Checkpoint) -> Result<()> {
        let folder = self.run.checkpoint(from);
        let known = self.animals.iter().filter_map(Animal::id).collect();
        heads::check_sessions(&saved.weights, &known).map_err(|e| e.file(folder.join(WEIGHTS)))?;
        let mut shared: Option<M> = None;
        for animal in &mut self.animals {
            let own = heads::of_session(&saved.weights, animal.run.session());
            let model = import(animal.model.clone(), &own).map_err(|e| e.file(folder.join(WEIGHTS)))?;
            animal.model = shared.iter().fold(model, |model, other| model.on_shared_of(other));
            shared = Some(animal.model.clone());
        }
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
            epoch: progress.best_step as f64 / self.steps_per_epoch() as f64,
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
        Ok(Outcome {
            best,
            steps,
            finished,
            end: finished.then(|| end(self.config, &self.state)),
            between_checks,
        })
    }
}
