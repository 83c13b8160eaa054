//! Options of `striate explain RUN saliency`.

use serde::{Deserialize, Serialize};

use crate::error::{Result, in_range, read, unknown};

/// Options by name, and what they mean.
pub const KEYS: [(&str, &str); 12] = [
    ("tier", "tier that is asked, held out from the fit [test, else the validation tier]"),
    ("samples", "samples of it, as many of each trial, the first; 0: all [6000]"),
    ("steps", "steps of the integrated gradients [8]"),
    ("shifts", "copies shifted in time that what is found is held against [1999]"),
    ("rate", "share of what is found that may be wrong on average [0.05]"),
    ("least", "smallest s.d. of what a signal does, as a share of the mean response, that counts [0.1]"),
    ("rule", "what makes a class: `evidence`, or `published`, z across neurons [evidence]"),
    ("dropout", "whether gradients are taken with dropout, as published [false]"),
    ("neurons", "neurons whose pixels are asked, the best predicted, at most 20 [4]"),
    ("frames", "frames for each, those it responds to most, at most 8 [3]"),
    ("preset", "`xu2023`: rule=published dropout=true samples=0 (Xu et al. 2023)"),
    ("seed", "seed of shifts and dropout [1]"),
];

/// What makes a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// What held-out responses say beyond copies shifted in time.
    Evidence,
    /// Mean gradients one s.d. from those of the other neurons (`papers/xu2023.md#behaviour-saliency`).
    Published,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Tier; empty for the test tier, or without one the validation tier.
    pub tier: String,
    /// Samples; 0 for all.
    pub samples: usize,
    /// Steps of the integrated gradients.
    pub steps: usize,
    /// Copies shifted in time.
    pub shifts: usize,
    /// False discoveries.
    pub rate: f64,
    /// Smallest s.d. of what held-out responses confirm of a signal, as a share of the neuron's mean response, that counts.
    pub least: f64,
    /// What makes a class.
    pub rule: Rule,
    /// Dropout in gradients.
    pub dropout: bool,
    /// Neurons whose pixels are asked.
    pub neurons: usize,
    /// Frames for each.
    pub frames: usize,
    /// Seed.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tier: String::new(),
            samples: 6000,
            steps: 8,
            shifts: 1999,
            rate: 0.05,
            least: 0.1,
            rule: Rule::Evidence,
            dropout: false,
            neurons: 4,
            frames: 3,
            seed: 1,
        }
    }
}

impl Options {
    /// Sets one of [`KEYS`] from text.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) for an unknown key, and for a value that cannot be used.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "tier" => value.clone_into(&mut self.tier),
            "samples" => self.samples = read(key, value)?,
            "steps" => self.steps = read(key, value)?,
            "shifts" => self.shifts = read(key, value)?,
            "rate" => self.rate = read(key, value)?,
            "least" => self.least = read(key, value)?,
            "rule" => match value {
                "evidence" => self.rule = Rule::Evidence,
                "published" => self.rule = Rule::Published,
                _ => return Err(unknown("rule", value, &["evidence", "published"]).key(key)),
            },
            "dropout" => self.dropout = read(key, value)?,
            "neurons" => self.neurons = read(key, value)?,
            "frames" => self.frames = read(key, value)?,
            "preset" if value == "xu2023" => {
                (self.rule, self.dropout, self.samples) = (Rule::Published, true, 0);
            }
            "preset" => return Err(unknown("preset", value, &["xu2023"]).key(key)),
            "seed" => self.seed = read(key, value)?,
            _ => return Err(unknown("option", key, &KEYS.map(|(name, _)| name))),
        }
        in_range("steps", self.steps as f64, 1.0..=1000.0)?;
        in_range("shifts", self.shifts as f64, 19.0..=100_000.0)?;
        in_range("rate", self.rate, 1e-6..=0.5)?;
        in_range("least", self.least, 0.0..=10.0)?;
        in_range("neurons", self.neurons as f64, 0.0..=20.0)?;
        in_range("frames", self.frames as f64, 1.0..=8.0)
    }
}
