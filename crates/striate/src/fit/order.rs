//! Which clips of which sessions each step of an epoch takes: a function of seed and epoch alone.

use rand::RngExt;

use super::Fit;
use super::animal::Animal;
use super::config::Sessions;
use crate::batch::Clip;
use crate::model::Model;
use crate::random::{Draws, permutation};

/// What one session adds to a step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Share {
    /// Which of the sessions.
    pub animal: usize,
    /// Its clips, of one length.
    pub clips: Vec<Clip>,
}

impl<M: Model> Fit<'_, M> {
    /// The steps of this epoch. Every session has as many batches as the one with the most: the others begin anew.
    pub(super) fn order(&self) -> Vec<Vec<Share>> {
        let most = self.most_batches();
        let each: Vec<Vec<Share>> =
            (0..self.animals.len()).map(|animal| self.shares(animal, most as usize)).collect();
        let rounds = (0..most as usize).map(|at| each.iter().map(move |shares| shares[at].clone()));
        match self.config.fit.sessions {
            Sessions::Together => rounds.map(Iterator::collect).collect(),
            Sessions::InTurn => rounds.flatten().map(|share| vec![share]).collect(),
        }
    }

    pub(super) fn steps_per_epoch(&self) -> u64 {
        match self.config.fit.sessions {
            Sessions::Together => self.most_batches(),
            Sessions::InTurn => self.most_batches() * self.animals.len() as u64,
        }
    }

    fn most_batches(&self) -> u64 {
        let batches = |animal: &Animal<'_, M>| {
            let (clips, batch) = (animal.clips(self.config), self.batch_size(animal));
            if self.config.fit.drop_last { clips / batch } else { clips.div_ceil(batch) }
        };
        self.animals.iter().map(batches).max().unwrap_or(0) as u64
    }

    fn batch_size(&self, animal: &Animal<'_, M>) -> usize {
        self.config.fit.batch.min(animal.clips(self.config))
    }

    /// `batches` batches of one session, which is gone through as often as it takes.
    fn shares(&self, animal: usize, batches: usize) -> Vec<Share> {
        let of = &self.animals[animal];
        let mut rng = Draws::Epoch(animal as u64, self.state.epoch).generator(self.config.seed);
        let (batch, mut shares) = (self.batch_size(of), Vec::with_capacity(batches));
        let train = of.stretches(self.config);
        while shares.len() < batches {
            let is_first = self.state.epoch == 0 && shares.is_empty();
            let order: Vec<Clip> = match is_first && !self.config.fit.shuffle_first {
                true => train.clone(),
                false => permutation(&mut rng, train.len()).into_iter().map(|i| train[i]).collect(),
            };
            let samples = of.clip_length(self.config);
            let mut clip = |within: Clip| {
                let spare = within.samples - samples;
                let later = if spare > 0 { rng.random_range(0..=spare) } else { 0 };
                Clip { start: within.start + later, samples, ..within }
            };
            let clips: Vec<Clip> = order.into_iter().map(&mut clip).collect();
            let whole = |clips: &&[Clip]| !self.config.fit.drop_last || clips.len() == batch;
            shares
                .extend(clips.chunks(batch).filter(whole).map(|clips| Share { animal, clips: clips.into() }));
        }
        shares.truncate(batches);
        shares
    }
}
