//! From what is asked for to what is fitted: all that can be refused is refused here, before the first file is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::prelude::*;

use super::animal::{Animal, Begun, Planned};
use super::check::{check_recording, check_start, chosen_before, same_recording};
use super::checkpoint::{LoopState, Saved};
use super::optimiser::Optimiser;
use super::together::check_together;
use super::{Fit, FitConfig, wants_more};
use crate::batch::{Split, groups};
use crate::disk;
use crate::error::{Error, Result, list};
use crate::model::weights::count;
use crate::model::{Encoder, Model, heads};
use crate::random::seed_of_session;
use crate::recording::Session;
use crate::run::bond::card_digest;
use crate::run::manifest::new_id;
use crate::run::{Bond, Checkpoint, EventLog, Fitted, Manifest, MetricsLog, RunFolder, Status};
use crate::twin::Card;

/// A fit before its first step: what it goes on from, and what is decided for each session.
pub(super) struct Plan<'a> {
    config: &'a FitConfig,
    run: &'a RunFolder,
    saved: Option<(Saved, Checkpoint)>,
    /// The stamp of the files of each session.
    stamps: Vec<Option<String>>,
    sessions: Vec<Planned<'a>>,
}

impl<'a> Plan<'a> {
    /// That of a fit of `config` to `sessions` in `run`, which it goes on with where that holds a checkpoint.
    ///
    /// # Errors
    /// As [`fit`](super::fit).
    pub fn new(config: &'a FitConfig, sessions: &[&'a Session], run: &'a RunFolder) -> Result<Self> {
        let saved = Saved::latest(run, &config.schedule)?;
        if let Some((saved, Checkpoint::Best)) = &saved {
            warn_of_missing_last(run, saved.state.step)?;
        }
        let parts = run.sessions()?;
        let stamps = parts.iter().zip(sessions).map(|(part, session)| same_recording(part, session));
        let stamps = stamps.collect::<Result<Vec<_>>>()?;
        if saved.is_none() {
            check_start(&config.fit)?;
        }
        let mut planned = Vec::new();
        for (index, (&session, run)) in sessions.iter().zip(parts).enumerate() {
            let known = saved.as_ref().map(|_| Card::load(&run)).transpose()?;
            let split = match &known {
                Some(card) => Split::of(session, &config.data, chosen_before(card, config, session, &run)?)?,
                None => Split::new(session, &config.data)?,
            };
            check_recording(config, session, &split)?;
            let groups = match &known {
                Some(card) => card.groups.clone(),
                None => groups_of(config, session, &split)?,
            };
            let cache_mib = config.data.cache_mib / sessions.len();
            let seed = seed_of_session(config.seed, index);
            planned.push(Planned { session, run, known, split, groups, seed, cache_mib });
        }
        check_together(config, sessions)?;
        Ok(Self { config, run, saved, stamps, sessions: planned })
    }

    /// The fit, ready for its next step, noted as running.
    ///
    /// # Errors
    /// As [`fit`](super::fit).
    pub fn begin(self, device: &Device) -> Result<Fit<'a, Encoder>> {
        let Self { config, run, saved, stamps, sessions } = self;
        let (mut animals, mut adopted) = (Vec::<Animal<'_, Encoder>>::new(), Vec::new());
        let mut random = BTreeSet::new();
        for session in sessions {
            let Begun { mut animal, adopted: mut names, untrained } = session.begin(config, device)?;
            random.extend(untrained);
            if let Some(first) = animals.first() {
                animal.model = animal.model.on_shared_of(&first.model);
                names.retain(|name| !heads::is_shared(name));
            }
            animals.push(animal);
            adopted.extend(names);
        }
        if saved.is_none() {
            super::start::warn_of_library(config);
        }
        warn_of_random(&random.into_iter().collect::<Vec<_>>());
        let step = saved.as_ref().map_or(0, |(saved, _)| saved.state.step);
        let mut fit = Fit {
            optimiser: Optimiser::new((config.fit.clip > 0.0).then_some(config.fit.clip)),
            metrics: MetricsLog::resume(&run.metrics(), step)?,
            events: EventLog::resume(&run.tensorboard(), step)?,
            config,
            run,
            device: device.clone(),
            training: device.clone().autodiff(),
            animals,
            adopted,
            state: LoopState::default(),
            bond: Bond::default(),
        };
        if fit.parameters().is_empty() {
            return Err(Error::config("freezes every weight of the model: nothing is left to fit")
                .key("fit.frozen")
                .hint("leave at least one part out of the list"));
        }
        let lags = matches!(saved, Some((_, Checkpoint::Best)));
        match saved {
            Some((saved, from)) => fit.restore(saved, from)?,
            None => fit.animals.iter().try_for_each(|animal| animal.card.save(&animal.run))?,
        }
        if wants_more(config, &fit.state) {
            fit.go_on()?;
        }
        fit.note_begin(stamps)?;
        if lags {
            // What a kill after the writing of the best left undone.
            fit.state.between_checks = !fit.is_at_check();
            fit.save(Checkpoint::Last)?;
        }
        Ok(fit)
    }
}

impl<M: Model> Fit<'_, M> {
    /// Number of parameters of each part, of all heads together.
    pub(super) fn parameters(&self) -> BTreeMap<String, usize> {
        let mut parts = BTreeMap::new();
        for (index, animal) in self.animals.iter().enumerate() {
            let own = count(&animal.model).into_iter();
            for (part, n) in own.filter(|(part, _)| index == 0 || !heads::is_shared(part)) {
                *parts.entry(part).or_insert(0) += n;
            }
        }
        parts
    }

    /// Notes what is fitted from now on, perhaps with more steps than before; one that nobody holds was killed from here on.
    fn note_begin(&mut self, stamps: Vec<Option<String>>) -> Result<()> {
        let mut known = self.run.read_manifest()?.with_parameters(self.parameters());
        if known.id.is_empty() {
            known.id = new_id();
        }
        let fitted: Vec<Fitted> = self.animals.iter().map(Animal::fitted).collect();
        match known.sessions.as_mut_slice() {
            [] => known.recording.stamp = stamps.into_iter().next().flatten(),
            sessions => {
                for (session, (stamp, fitted)) in sessions.iter_mut().zip(stamps.into_iter().zip(&fitted)) {
                    session.recording.stamp = stamp;
                    session.fitted = Some(fitted.clone());
                }
            }
        }
        known.fitted = Fitted::joint(&fitted);
        let config = self.config.to_toml();
        disk::write_bytes(&self.run.config(), config.as_bytes())?;
        let best = std::mem::take(&mut self.state.bond.best);
        let card = card_digest(self.run.path());
        self.bond = Bond { run: known.id.clone(), card, best, config, ..Bond::default() };
        Manifest { status: Status::Running, failure: None, ..known }.save(&self.run.manifest())
    }
}

/// Random features may be meant; a core that was forgotten to be given is not.
fn warn_of_random(names: &[String]) {
    if !names.is_empty() {
        let names = list("frozen as they are drawn", names);
        tracing::warn!("{names}: nothing trains them unless `fit.start_from` gives them");
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

/// Groups of the neurons whose feature weights are shared; none otherwise.
fn groups_of(config: &FitConfig, session: &Session, split: &Split) -> Result<Vec<usize>> {
    if !config.model.readout.shares_features() {
        return Ok(Vec::new());
    }
    let unit_ids: Vec<i64> = split.neurons.iter().map(|&n| session.neurons.ids[n]).collect();
    groups(Path::new(&config.data.types), &unit_ids)
}
