//! The state of a fit on disk: replaced as a whole, so that a kill at any moment leaves a usable one.

use serde::{Deserialize, Serialize};

use super::schedule::{Progress, ScheduleConfig};
use crate::array::{self, Arrays};
use crate::disk;
use crate::error::{Error, Result};
use crate::run::{Best, Bond, Checkpoint, RunFolder};
use crate::twin::{load_weights, save_weights};

/// File of the optimiser's state in a checkpoint folder.
pub(super) const OPTIMISER: &str = "optimiser.safetensors";

/// Numbers that say where a fit stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct LoopState {
    /// Steps made.
    pub step: u64,
    /// Epochs completed.
    pub epoch: u64,
    /// Batches of the current epoch already used.
    pub batch: u64,
    /// Rounds, best value, patience.
    pub progress: Progress,
    /// The best check, as a reader of the run is told it.
    #[serde(default)]
    pub best: Option<Best>,
    /// What binds it to its run; hashes of weights and optimiser are known when they are written.
    #[serde(default)]
    pub bond: Bond,
    /// Sum of training losses since the last check.
    pub loss_sum: f64,
    /// Sum of penalties since the last check.
    pub penalty_sum: f64,
    /// Steps in those sums.
    pub summed_steps: u64,
    /// Time spent so far in s.
    pub seconds: f64,
    /// Whether the fit has ended by itself.
    pub finished: bool,
    /// Whether the last check was made only because the steps were over: with more of them there would have been none.
    #[serde(default)]
    pub between_checks: bool,
}

/// Weights, optimiser and loop state.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// Weights of the model.
    pub weights: Arrays,
    /// State of the optimiser.
    pub optimiser: Arrays,
    /// State of the loop.
    pub state: LoopState,
}

impl Saved {
    /// Writes a checkpoint in place of the earlier one.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io) when it cannot be written; the earlier one is then intact.
    pub fn write(&self, run: &RunFolder, which: Checkpoint) -> Result<()> {
        let (weights, optimiser) = (array::digest(&self.weights), array::digest(&self.optimiser));
        let bond = Bond { weights, optimiser, ..self.state.bond.clone() };
        let state = LoopState { bond, ..self.state.clone() };
        disk::replace_folder(&run.checkpoint(which), |folder| {
            save_weights(folder, &self.weights)?;
            array::save(&folder.join(OPTIMISER), &self.optimiser)?;
            let state = serde_json::to_vec_pretty(&state).map_err(|e| Error::data(e.to_string()))?;
            disk::write_bytes(&folder.join("state.json"), &state)
        })
    }

    /// Reads the state to go on from, or `None` when there is none.
    ///
    /// A kill may fall between the writing of the best and of the last state: the best is then the later one, and only
    /// whether the fit ends with it is not yet in it.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when it is damaged.
    pub fn latest(run: &RunFolder, schedule: &ScheduleConfig) -> Result<Option<(Self, Checkpoint)>> {
        let which = run.latest().unwrap_or(Checkpoint::Last);
        let read = Self::read(run, which).map_err(|e| match e.advice() {
            Some(_) => e,
            None => e.hint(format!("restore it from a copy of the run, or {}", run.begin_anew())),
        });
        let Some(mut saved) = read? else { return Ok(None) };
        if which == Checkpoint::Last {
            saved.check_best(run)?;
        } else {
            saved.state.finished = schedule.ends_at(&saved.state.progress, saved.state.step);
        }
        Ok(Some((saved, which)))
    }

    /// Reads a checkpoint, or `None` when there is none.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when it is damaged.
    pub fn read(run: &RunFolder, which: Checkpoint) -> Result<Option<Self>> {
        let folder = run.checkpoint(which);
        disk::recover_folder(&folder)?;
        if !folder.is_dir() {
            return Ok(None);
        }
        let path = folder.join("state.json");
        let state = disk::read(&path, disk::TEXT)?;
        let state = serde_json::from_slice(&state).map_err(|e| Error::data(e.to_string()).file(&path))?;
        let optimiser = array::load(&folder.join(OPTIMISER))?;
        let saved = Self { weights: load_weights(&folder)?, optimiser, state };
        run.check_bond(which, &saved.state.bond, &saved.weights, Some(&saved.optimiser))?;
        Ok(Some(saved))
    }

    /// That the best checkpoint is there, and the one that this last state knew.
    fn check_best(&self, run: &RunFolder) -> Result<()> {
        if self.state.progress.best.is_none() {
            return Ok(());
        }
        let folder = run.checkpoint(Checkpoint::Best);
        let Some(best) = Self::read(run, Checkpoint::Best)? else {
            return Err(run.no_model());
        };
        let known = &self.state.bond.best;
        if known.is_empty() || *known == best.state.bond.weights {
            return Ok(());
        }
        Err(Error::data("is not the best checkpoint that `last` was written beside")
            .file(folder)
            .hint("restore both from one copy of the run, or fit into a fresh folder"))
    }
}
