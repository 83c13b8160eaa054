//! What binds the parts of a run to one another, so that none can be exchanged unnoticed.

use std::path::Path;

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

pub(crate) const RESTORE: &str = "restore the files of this run from a copy, or fit into a fresh folder";

/// Whether what was made from `known` was made from `now`, both SHA-256; of what says nothing, as in early versions, nothing
/// else is known.
pub fn is_of(known: &str, now: &str) -> bool {
    known.is_empty() || now.is_empty() || known == now
}

/// SHA-256 of the card in `folder`, of a run or of a member of an ensemble; empty where there is none.
pub fn card_digest(folder: &Path) -> String {
    let card = disk::read(&folder.join("twin.json"), disk::TABLE);
    card.map_or(String::new(), |card| Digest::default().bytes(card).finish())
}

/// That of several models that answer together, by those of each; empty where one is.
pub fn joint<S: AsRef<str>>(models: &[S]) -> String {
    match models {
        [one] => one.as_ref().to_owned(),
        all if all.iter().any(|model| model.as_ref().is_empty()) => String::new(),
        all => all.iter().fold(Digest::default(), |joint, model| joint.bytes(model.as_ref())).finish(),
    }
}

impl RunFolder {
    /// SHA-256 of the weights of the model that this run keeps now; empty where the run does not know it. Results name the
    /// model they are of, for a fit that goes on may keep a better one.
    pub fn model(&self) -> String {
        let members = self.read_manifest().map(|manifest| manifest.members).unwrap_or_default();
        match members.as_slice() {
            [] => self.bond(Checkpoint::Best).ok().flatten().map(|bond| bond.weights).unwrap_or_default(),
            members => joint(&members.iter().map(|member| &member.weights).collect::<Vec<_>>()),
        }
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
        let changed = match () {
            () if !is_of(&bond.card, &card_digest(self.path())) => self.path().join("twin.json"),
            () if !is_of(&bond.weights, &array::digest(weights)) => folder.join("weights.safetensors"),
            () if optimiser.is_some_and(|found| !is_of(&bond.optimiser, &array::digest(found))) => {
                folder.join("optimiser.safetensors")
            }
            () => return Ok(()),
        };
        Err(Error::data("is not what this run wrote").file(changed).hint(RESTORE))
    }
}
