//! Cell types from barcodes: which neurons of a what/where model read the same features.
//!
//! A barcode is a neuron's vector of feature weights `[channel]`. Neurons of one type share its direction, wherever
//! their receptive fields lie (Klindt et al. 2017; `papers/klindt2017.md#barcodes`). [`explain`] joins channels that differ only by a shift, which
//! masks undo ([`Options::copies`]), and asks how many types there are ([`Count`]), which
//! neuron is of which (its group, or by another [`Method`]), whether other neurons and other fits would say the same ([`consensus()`]), and gives
//! the same numbers for barcodes whose channels are shuffled over neurons, which have no types. An [`Explanation`] is
//! what is written.

use serde::{Deserialize, Serialize};

use crate::array::Array;
use crate::error::{Error, Result, in_range, read, unknown};

mod copies;
mod barcodes;
mod ari;
mod assignment;
mod labels;
mod k_means;
mod mixture;
mod cluster;
mod valleys;
mod groups;
mod count;
mod consensus;
mod embed;
mod analysis;
mod explanation;
#[cfg(test)]
mod bank;
#[cfg(test)]
mod planted;

pub use analysis::{NullResult, RunResult};
pub use ari::adjusted_rand_index;
pub use barcodes::{Barcodes, Norm, normalise};
pub use cluster::Method;
pub use consensus::{Consensus, Labels, Spread, Vote, consensus, similarity, stability};
pub use count::{Answer, CRITERION, Count};
pub use embed::{Embedding, principal_components};
pub use explanation::{Across, Explanation, Neurons, explain};
pub use k_means::k_means;
pub use mixture::{Mixture, mixture};

/// The barcodes of one run.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Its name.
    pub name: &'a str,
    /// Index of each neuron in the recording.
    pub neurons: &'a [usize],
    /// Identifier of each neuron in the recording.
    pub unit_ids: &'a [i64],
    /// Feature weights `[neuron, channel]`.
    pub features: &'a [f32],
    /// Number of channels.
    pub channels: usize,
    /// What the channels show for some images, `[image, channel, height, width]`; `None` when copies are not looked for.
    pub maps: Option<&'a Array>,
    /// True type of each neuron of the recording, where it is known.
    pub truth: Option<&'a [usize]>,
}

/// How types are looked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Correlation from which channels that show the same, perhaps at another place, count as one; none do at 1. Types
    /// whose features are more alike are not told apart.
    pub copies: f64,
    /// What makes barcodes comparable.
    pub norm: Norm,
    /// What assigns neurons to types.
    pub method: Method,
    /// Number of types; `None` takes the groups that are found.
    pub types: Option<usize>,
    /// The largest number that can be found; twice as many pieces are joined.
    pub most: usize,
    /// Number of resamples behind the stability, and of shuffled draws.
    pub seeds: usize,
    /// Seed of every random draw.
    pub seed: u64,
    /// Folders of other runs, whose barcodes follow those of the first.
    pub with: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        let (norm, method) = (Norm::default(), Method::default());
        Self { copies: 0.9, norm, method, types: None, most: 20, seeds: 10, seed: 1, with: Vec::new() }
    }
}

/// Names of the options, and what they mean.
pub const KEYS: [(&str, &str); 8] = [
    ("copies", "channels whose maps correlate by this, but for a shift, count as one; 1: none do"),
    ("norm", "length that becomes 1: l2, l1"),
    (
        "method",
        "what assigns neurons to types: groups (those counted; mixture for another number), mixture (of Gaussians), kmeans",
    ),
    ("types", "number of types; when not given that of the groups found"),
    ("most", "largest number of types that can be found"),
    ("seeds", "resamples behind the stability, and shuffled draws"),
    ("seed", "seed of every random draw"),
    ("with", "other runs of the same recording, RUN2,RUN3: their consensus"),
];

impl Options {
    /// Sets one of [`KEYS`] from text.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) for an unknown key, with the nearest one as hint, and for a value
    /// that cannot be read.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "copies" => self.copies = read(key, value)?,
            "norm" => self.norm = value.parse().map_err(|e: Error| e.key(key))?,
            "method" => self.method = value.parse().map_err(|e: Error| e.key(key))?,
            "types" => self.types = Some(read(key, value)?),
            "most" => self.most = read(key, value)?,
            "seeds" => self.seeds = read(key, value)?,
            "seed" => self.seed = read(key, value)?,
            "with" => self.with.extend(value.split(',').map(|run| run.trim().to_owned())),
            _ => return Err(unknown("option", key, &KEYS.map(|(name, _)| name))),
        }
        self.check()
    }

    /// Refuses what cannot be computed.
    fn check(&self) -> Result<()> {
        in_range("copies", self.copies, 0.0..=1.0)?;
        in_range("types", self.types.unwrap_or(1) as f64, 1.0..=1000.0)?;
        in_range("most", self.most as f64, 1.0..=1000.0)?;
        // One number has no spread.
        in_range("seeds", self.seeds as f64, 2.0..=10_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_can_be_set_and_slips_get_a_hint() {
        let values = ["0.95", "l1", "kmeans", "3", "5", "4", "9", "a,b"];
        let mut options = Options::default();
        for ((key, _), value) in KEYS.into_iter().zip(values) {
            options.set(key, value).unwrap();
        }
        assert_eq!((options.norm, options.method, options.types), (Norm::L1, Method::KMeans, Some(3)));
        assert_eq!((options.copies, options.most, options.seeds, options.seed), (0.95, 5, 4, 9));
        assert_eq!(options.with, ["a", "b"]);
        let mut refused = |key, value| options.set(key, value).unwrap_err();
        assert_eq!(refused("sedes", "3").advice(), Some("did you mean `seeds`?"));
        assert_eq!(refused("method", "k-means").advice(), Some("did you mean `kmeans`?"));
        assert!(refused("types", "0").to_string().contains("`types`: is 0"));
        assert!(refused("most", "many").to_string().contains("cannot use `many`"));
        assert!(refused("copies", "1.5").to_string().contains("`copies`: is 1.5"));
    }
}
