//! What binds the parts of a run to one another, so that none can be exchanged unnoticed.

use serde::{Deserialize, Serialize};

use super::{Checkpoint, RunFolder};
use crate::array::{self, Arrays};
use crate::disk;
use crate::error::{Error, Result};
use crate::hash::Digest;

/// In `state.json` of each checkpoint: the run it belongs to and SHA-256 of what belongs to it. Empty parts, as in
/// checkpoints of early versions, bind nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Bond {
    /// [`Manifest::id`](super::Manifest::id).
    pub run: String,
    /// Of `twin.json`.
    pub card: String,
    /// Of the weights beside it.
    pub weights: String,
    /// Of the state of the optimiser beside it.
    pub optimiser: String,
    /// Of the weights of the best checkpoint of that moment; empty before there was one.
    pub best: String,
}

const RESTORE: &str = "restore the files of this run from a copy, or fit into a fresh folder";

impl RunFolder {
    /// SHA-256 of the card as it is; empty where there is none.
    pub fn card_digest(&self) -> String {
        let card = disk::read(&self.path().join("twin.json"), disk::TABLE);
        card.map_or(String::new(), |card| Digest::default().bytes(card).finish())
    }

    /// That a checkpoint belongs to this run, and `weights` and `optimiser`, where given, to the checkpoint.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) naming the part that does not.
    pub fn check_bond(
        &self,
        which: Checkpoint,
        bond: &Bond,
        weights: &Arrays,
        optimiser: Option<&Arrays>,
    ) -> Result<()> {
        let (folder, id) = (self.checkpoint(which), self.read_manifest()?.id);
        if bond.run.is_empty() || id.is_empty() {
            return Ok(());
        }
        if bond.run != id {
            return Err(Error::data("is a checkpoint of another run").file(folder).hint(RESTORE));
        }
        let is = |known: &str, found: String| known.is_empty() || known == found;
        let changed = match () {
            () if !is(&bond.card, self.card_digest()) => self.path().join("twin.json"),
            () if !is(&bond.weights, array::digest(weights)) => folder.join("weights.safetensors"),
            () if optimiser.is_some_and(|found| !is(&bond.optimiser, array::digest(found))) => {
                folder.join("optimiser.safetensors")
            }
            () => return Ok(()),
        };
        Err(Error::data("is not what this run wrote").file(changed).hint(RESTORE))
    }
}
