//! What a recording holds, as hashes: to notice that any value of it was changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use rayon::prelude::*;

use super::{Session, Stream, Tier};
use crate::error::Result;
use crate::hash::Digest;

/// A SHA-256 for each thing that was recorded: `neurons`, `positions`, `labels`, `trials`, `shapes`, `statistics`, and each
/// stream.
pub type Content = BTreeMap<String, String>;

/// What one reading of a recording tells.
#[derive(Clone)]
struct Read {
    content: Content,
    /// Hash of the image of each trial; none where it was not recorded or cannot be read.
    images: Vec<Option<String>>,
}

/// What was read, by the stamp of the files: the fits of a sweep ask for the same one.
static KNOWN: Mutex<BTreeMap<String, Read>> = Mutex::new(BTreeMap::new());

impl Session {
    /// Hashes of every value, all tiers, as `f32`: the same for a folder and its archive. What cannot be read counts as
    /// different from all that can. Who asks what a recording holds is not told of one that was damaged since it was written:
    /// where its files have checksums, they are held against them in the same reading.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) naming a file that is not what was written,
    /// [`Kind::Interrupted`](crate::error::Kind::Interrupted) when the user stopped it.
    pub fn content(&self) -> Result<Content> {
        Ok(self.read_all()?.content)
    }

    /// Trials of each other tier that show an image of the training tier, by its id or its pixels.
    ///
    /// # Errors
    /// As [`Session::content`].
    pub fn shared_images(&self) -> Result<BTreeMap<String, usize>> {
        let images = self.read_all()?.images;
        let train = self.trials_of(&Tier::Train);
        let ids: BTreeSet<&str> =
            train.iter().map(|&trial| self.trials[trial].stimulus_id.as_str()).collect();
        let pixels: BTreeSet<&String> = train.iter().filter_map(|&trial| images[trial].as_ref()).collect();
        let mut shared = BTreeMap::new();
        for (trial, image) in self.trials.iter().zip(&images).filter(|(trial, _)| trial.tier != Tier::Train) {
            if ids.contains(trial.stimulus_id.as_str())
                || image.as_ref().is_some_and(|image| pixels.contains(image))
            {
                *shared.entry(trial.tier.to_string()).or_default() += 1;
            }
        }
        Ok(shared)
    }

    fn read_all(&self) -> Result<Read> {
        let stamp = self.stamp().map(|stamp| format!("{}\n{stamp}", self.path.display()));
        let known = |stamp: &String| KNOWN.lock().ok()?.get(stamp).cloned();
        if let Some(read) = stamp.as_ref().and_then(known) {
            return Ok(read);
        }
        let (verified, read) = rayon::join(|| self.source.verify(), || self.hashed());
        self.source.check_interrupt()?;
        verified?;
        if let (Some(stamp), Ok(mut known)) = (stamp, KNOWN.lock()) {
            known.insert(stamp, read.clone());
        }
        Ok(read)
    }

    /// A text that changes when one of its files is written, for all that size and times tell; none for a recording
    /// that is not read from files.
    pub fn stamp(&self) -> Option<String> {
        self.source.stamp()
    }

    fn hashed(&self) -> Read {
        let neurons = self.neurons.ids.iter().fold(Digest::default(), |all, id| all.bytes(id.to_le_bytes()));
        let place = |all: Digest, at: &[f64; 3]| at.iter().fold(all, |all, x| all.bytes(x.to_le_bytes()));
        let positions = self.neurons.position_um.iter().flatten().fold(Digest::default(), place);
        let trials = self.trials.iter().fold(Digest::default(), |all, trial| {
            all.bytes(&trial.id).bytes(trial.tier.to_string()).bytes(&trial.stimulus_id)
        });
        let labels = [("area", &self.neurons.area), ("layer", &self.neurons.layer)];
        let labels = labels.into_iter().fold(Digest::default(), |all, (name, words)| {
            words.iter().flatten().fold(all.bytes(name), Digest::bytes)
        });
        let shapes = self.streams.iter().fold(Digest::default(), |all, info| {
            all.bytes(info.stream.name()).bytes(format!("{:?}", info.shape))
        });
        let statistics = self.statistics.iter().fold(Digest::default(), |all, (stream, of)| {
            all.bytes(stream.name()).numbers(&of.mean).numbers(&of.std)
        });
        let tables = [
            ("neurons", neurons),
            ("positions", positions),
            ("labels", labels),
            ("trials", trials),
            ("shapes", shapes),
            ("statistics", statistics),
        ];
        let tables = tables.map(|(name, digest)| (name.to_owned(), digest.finish()));
        let mut images = vec![None; self.trials.len()];
        let mut content: Content = tables.into_iter().collect();
        for info in &self.streams {
            let trials = self.hashes_of(info.stream);
            let all = trials.iter().map(|hash| hash.as_deref().unwrap_or("unreadable"));
            content.insert(info.stream.to_string(), all.fold(Digest::default(), Digest::bytes).finish());
            if info.stream == Stream::Images {
                let shown = self.trials.iter().zip(trials);
                images = shown.map(|(trial, hash)| hash.filter(|_| trial.has_stimulus)).collect();
            }
        }
        Read { content, images }
    }

    /// A hash of each trial; none for one that cannot be read.
    fn hashes_of(&self, stream: Stream) -> Vec<Option<String>> {
        let trial = |trial: usize| match self.read_as_stored(stream, trial) {
            _ if stream == Stream::Images && !self.trials[trial].has_stimulus => Some("none".to_owned()),
            Ok(values) => Some(Digest::default().numbers(&values).finish()),
            Err(_) => None,
        };
        (0..self.trials.len()).into_par_iter().map(trial).collect()
    }
}
