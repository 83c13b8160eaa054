//! What a recording holds, as hashes: to notice that any value of it was changed.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rayon::prelude::*;

use super::{Session, Stream};
use crate::error::Result;
use crate::hash::Digest;

/// A SHA-256 for each thing that was recorded: `neurons`, `positions`, `trials`, and each stream.
pub type Content = BTreeMap<String, String>;

/// Contents by the stamp of their files: the fits of a sweep ask for the same one.
static KNOWN: Mutex<BTreeMap<String, Content>> = Mutex::new(BTreeMap::new());

impl Session {
    /// Hashes of every value, all tiers, as `f32`: the same for a folder and its archive. What cannot be read counts as
    /// different from all that can.
    ///
    /// # Errors
    /// [`Kind::Interrupted`](crate::error::Kind::Interrupted) when the user stopped it.
    pub fn content(&self) -> Result<Content> {
        let stamp = self.stamp().map(|stamp| format!("{}\n{stamp}", self.path.display()));
        let known = |stamp: &String| KNOWN.lock().ok()?.get(stamp).cloned();
        if let Some(content) = stamp.as_ref().and_then(known) {
            return Ok(content);
        }
        let content = self.hashed();
        self.source.check_interrupt()?;
        if let (Some(stamp), Ok(mut known)) = (stamp, KNOWN.lock()) {
            known.insert(stamp, content.clone());
        }
        Ok(content)
    }

    /// A text that changes when one of its files is written, for all that size and times tell; none for a recording
    /// that is not read from files.
    pub fn stamp(&self) -> Option<String> {
        self.source.stamp()
    }

    fn hashed(&self) -> Content {
        let neurons = self.neurons.ids.iter().fold(Digest::default(), |all, id| all.bytes(id.to_le_bytes()));
        let place = |all: Digest, at: &[f64; 3]| at.iter().fold(all, |all, x| all.bytes(x.to_le_bytes()));
        let positions = self.neurons.position_um.iter().flatten().fold(Digest::default(), place);
        let trials = self.trials.iter().fold(Digest::default(), |all, trial| {
            all.bytes(&trial.id).bytes(trial.tier.to_string()).bytes(&trial.stimulus_id)
        });
        let tables = [("neurons", neurons), ("positions", positions), ("trials", trials)];
        let tables = tables.map(|(name, digest)| (name.to_owned(), digest.finish()));
        let streams = self.streams.iter().map(|info| (info.stream.to_string(), self.hash_of(info.stream)));
        tables.into_iter().chain(streams).collect()
    }

    fn hash_of(&self, stream: Stream) -> String {
        let trial = |trial: usize| match self.read_as_stored(stream, trial) {
            _ if stream == Stream::Images && !self.trials[trial].has_stimulus => "none".to_owned(),
            Ok(values) => Digest::default().numbers(&values).finish(),
            Err(_) => "unreadable".into(),
        };
        let trials: Vec<String> = (0..self.trials.len()).into_par_iter().map(trial).collect();
        trials.iter().fold(Digest::default(), Digest::bytes).finish()
    }
}
