//! What binds the parts of a run to one another, so that none can be exchanged unnoticed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::folder::session_folders;
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
    /// The text of `config.toml` that was fitted.
    pub config: String,
}

/// A key with another value in one text of settings than in another; `None` where it is not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name, from the outermost table on.
    pub key: String,
    /// Its value in the first text, as TOML.
    pub first: Option<String>,
    /// Its value in the second.
    pub second: Option<String>,
}

/// What differs between two texts of settings; nothing where one of them is no TOML.
pub fn differences(first: &str, second: &str) -> Vec<Difference> {
    let (Some(first), Some(second)) = (values(first), values(second)) else { return Vec::new() };
    let keys: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let differ = keys.into_iter().filter(|key| first.get(*key) != second.get(*key));
    let both = |key: &String| Difference {
        key: key.clone(),
        first: first.get(key).cloned(),
        second: second.get(key).cloned(),
    };
    differ.map(both).collect()
}

/// Every value of a text of settings by its key.
fn values(text: &str) -> Option<BTreeMap<String, String>> {
    fn collect(path: &str, value: &toml::Value, into: &mut BTreeMap<String, String>) {
        match value {
            toml::Value::Table(table) => table.iter().for_each(|(key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(&path, value, into);
            }),
            value => {
                into.insert(path.to_owned(), value.to_string());
            }
        }
    }
    let mut all = BTreeMap::new();
    collect("", &toml::Value::Table(text.parse().ok()?), &mut all);
    Some(all)
}

/// The first differences in words, as `words` puts the two values of one.
pub fn told(differences: &[Difference], words: impl Fn(&str, &str) -> String) -> String {
    const SHOWN: usize = 3;
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".into());
    let one = |d: &Difference| format!("{} is {}", d.key, words(&value(&d.first), &value(&d.second)));
    let told: Vec<String> = differences.iter().take(SHOWN).map(one).collect();
    let more = differences.len().saturating_sub(SHOWN);
    told.join("; ") + &if more > 0 { format!("; and {more} more") } else { String::new() }
}

pub(crate) const RESTORE: &str = "restore the files of this run from a copy, or fit into a fresh folder";

/// Whether what was made from `known` was made from `now`, both SHA-256; of what says nothing, as in early versions, nothing
/// else is known.
pub fn is_of(known: &str, now: &str) -> bool {
    known.is_empty() || now.is_empty() || known == now
}

/// SHA-256 of the card in `folder`, of a run or of a member of an ensemble, or of all of them where there are several
/// sessions; empty where there is none.
pub fn card_digest(folder: &Path) -> String {
    let digest = |folder: &Path| {
        let card = disk::read(&folder.join("twin.json"), disk::TABLE);
        card.map_or(String::new(), |card| Digest::default().bytes(card).finish())
    };
    let sessions = session_folders(folder);
    if sessions.is_empty() {
        return digest(folder);
    }
    joint(&sessions.iter().map(|session| digest(session)).collect::<Vec<_>>())
}

/// Where the cards of the model in `folder` lie: its `twin.json`, or the folder of its sessions.
pub fn card_place(folder: &Path) -> PathBuf {
    let several = !session_folders(folder).is_empty();
    folder.join(if several { "sessions" } else { "twin.json" })
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

    /// That `config.toml` says what was fitted, as far as the last checkpoint knows; its recording may have moved.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) naming the keys that differ.
    pub fn check_config(&self) -> Result<()> {
        let Some((_, fitted)) = self.fitted_config() else { return Ok(()) };
        let there = disk::read_text(&self.config(), disk::TEXT)?;
        let mut changed = differences(&there, &fitted);
        changed.retain(|difference| difference.key != "data.path");
        if changed.is_empty() { Ok(()) } else { Err(self.other_config(&changed)) }
    }

    /// The text of `config.toml` that was fitted, and the checkpoint that knows it; none where that is of another run, or
    /// of an early version.
    pub fn fitted_config(&self) -> Option<(Checkpoint, String)> {
        let which = self.latest()?;
        let bond = self.bond(which).ok().flatten()?;
        let is_ours = self.read_manifest().is_ok_and(|manifest| manifest.id == bond.run);
        (is_ours && !bond.config.is_empty()).then_some((which, bond.config))
    }

    /// The error for a `config.toml` that is not what was fitted.
    pub fn other_config(&self, changed: &[Difference]) -> Error {
        let told = told(changed, |there, fitted| format!("{there} there, {fitted} in the fit"));
        Error::data(format!("is not what this run was fitted with: {told}"))
            .file(self.config())
            .hint("set it back, or fit what it says now into a fresh folder")
    }

    /// That `weights` are those that this run wrote into its best checkpoint, read after `bond` was.
    ///
    /// # Errors
    /// As [`RunFolder::check_bond`].
    pub fn check_best(&self, bond: Option<&Bond>, weights: &Arrays) -> Result<()> {
        let Some(known) = bond else { return Ok(()) };
        match self.check_bond(Checkpoint::Best, known, weights, None) {
            // A fit that goes on may have put a better one in its place between the two.
            Err(_) if self.bond(Checkpoint::Best)?.as_ref() != bond => Ok(()),
            own => own,
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
            () if !is_of(&bond.card, &card_digest(self.path())) => card_place(self.path()),
            () if !is_of(&bond.weights, &array::digest(weights)) => folder.join("weights.safetensors"),
            () if optimiser.is_some_and(|found| !is_of(&bond.optimiser, &array::digest(found))) => {
                folder.join("optimiser.safetensors")
            }
            () => return Ok(()),
        };
        Err(Error::data("is not what this run wrote").file(changed).hint(RESTORE))
    }
}
