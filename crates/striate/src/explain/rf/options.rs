//! What is asked of receptive fields.

use serde::{Deserialize, Serialize};

use crate::error::{Result, in_range, read, unknown};

/// Options by name, and what they mean.
pub const KEYS: [(&str, &str); 6] = [
    ("neurons", "neurons that are asked, the first of the model; 0: all [100]"),
    ("clips", "recorded clips at which gradients are taken [64]"),
    (
        "shuffles",
        "shuffled pairings of stimuli and responses that the reverse correlation is held against [40]",
    ),
    ("ridge", "power that is added to that of every wave of the stimuli, as a share of its mean [5]"),
    ("degrees_per_px", "degrees of visual angle in a pixel of the recorded images; 0: not known [0]"),
    ("seed", "seed of clips and shuffles [1]"),
];

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Neurons that are asked; 0 for all.
    pub neurons: usize,
    /// Clips at which gradients are taken.
    pub clips: usize,
    /// Shuffled pairings.
    pub shuffles: usize,
    /// Share of the mean power.
    pub ridge: f64,
    /// Degrees in a pixel; 0 where it is not known.
    pub degrees_per_px: f64,
    /// Seed.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { neurons: 100, clips: 64, shuffles: 40, ridge: 5.0, degrees_per_px: 0.0, seed: 1 }
    }
}

impl Options {
    /// Sets one of [`KEYS`] from text.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) for an unknown key, and for a value that cannot be used.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "neurons" => self.neurons = read(key, value)?,
            "clips" => self.clips = read(key, value)?,
            "shuffles" => self.shuffles = read(key, value)?,
            "ridge" => self.ridge = read(key, value)?,
            "degrees_per_px" => self.degrees_per_px = read(key, value)?,
            "seed" => self.seed = read(key, value)?,
            _ => return Err(unknown("option", key, &KEYS.map(|(name, _)| name))),
        }
        in_range("clips", self.clips as f64, 2.0..=10_000.0)?;
        in_range("shuffles", self.shuffles as f64, 20.0..=1000.0)?;
        in_range("ridge", self.ridge, 1e-6..=1e3)?;
        in_range("degrees_per_px", self.degrees_per_px, 0.0..=90.0)
    }
}
