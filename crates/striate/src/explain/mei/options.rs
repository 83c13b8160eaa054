//! What is asked of most exciting inputs.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, in_range, read, unknown};

/// Options by name, and what they mean.
pub const KEYS: [(&str, &str); 15] = [
    (
        "preset",
        "sound, xu2023 (as published; frames and behaviour) or xu2023-c1 (behaviour drawn and kept) [sound]",
    ),
    ("neurons", "neurons that are asked; 0: all [20]"),
    ("order", "which those are: the best by the scores of the run, or the first of the model [best]"),
    ("starts", "starts of each search; the best of them is kept, or their mean with xu2023 [4; 100]"),
    ("steps", "steps of each search [100]"),
    ("rate", "length of a step as a share of the contrast; of Adam with xu2023 [0.3; 0.1]"),
    (
        "smooth",
        "what makes steps smooth without moving the optimum: fourier or blur; tv, which moves it; none [fourier]",
    ),
    (
        "contrast",
        "RMS contrast, as a share of the mean over training images; a clip has that of one frame [0.5]",
    ),
    ("low", "least pixel; by default that of the training images"),
    ("high", "largest pixel; by default that of the training images"),
    ("behaviour", "mean, optimised, or draws of recorded states, another in each step [mean]"),
    ("diverse", "further images that drive the neuron as well and differ most; 0: none [0]"),
    ("share", "share of the response to the best that each of those must reach [0.9]"),
    ("batch", "frames of a start with xu2023 [64]"),
    ("seed", "seed of all starts [1]"),
];

/// How searches are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Each start by itself, at one contrast; the best is kept.
    Sound,
    /// As published (`papers/xu2023.md#preferred-stimuli`): the mean over all starts.
    Xu2023,
    /// Its control: behaviour drawn and kept.
    Xu2023C1,
}

/// Which neurons come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The best by the scores of the run.
    Best,
    /// The first of the model.
    First,
}

/// What makes steps smooth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Smooth {
    /// Amplitudes of cosines fall with their frequency.
    Fourier,
    /// A Gaussian of one pixel.
    Blur,
    /// Total variation is punished.
    Tv,
    /// Nothing.
    None,
}

/// The state of the animal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// The mean over the training trials.
    Mean,
    /// Optimised with the stimulus, within the recorded range of each variable.
    Optimised,
    /// Recorded states, drawn anew in each step.
    Draws,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// How searches are made.
    pub preset: Preset,
    /// Neurons that are asked; 0 for all.
    pub neurons: usize,
    /// Which those are.
    pub order: Order,
    /// Starts of each search.
    pub starts: usize,
    /// Steps of each search.
    pub steps: usize,
    /// Length of a step.
    pub rate: f64,
    /// What makes steps smooth.
    pub smooth: Smooth,
    /// RMS contrast, as a share of the mean over training images; a clip has as much in all its frames together as one of them.
    pub contrast: f64,
    /// Least pixel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f32>,
    /// Largest pixel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f32>,
    /// The state of the animal.
    pub behaviour: Behaviour,
    /// Further images.
    pub diverse: usize,
    /// Share of the best response that they reach.
    pub share: f64,
    /// Frames of a start with [`Preset::Xu2023`].
    pub batch: usize,
    /// Seed of all starts.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            preset: Preset::Sound,
            neurons: 20,
            order: Order::Best,
            starts: 4,
            steps: 100,
            rate: 0.3,
            smooth: Smooth::Fourier,
            contrast: 0.5,
            low: None,
            high: None,
            behaviour: Behaviour::Mean,
            diverse: 0,
            share: 0.9,
            batch: 64,
            seed: 1,
        }
    }
}

impl Options {
    /// Sets one of [`KEYS`] from text; a preset also what belongs to it, so it comes first.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) for an unknown key, and for a value that cannot be used.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "preset" => *self = self.clone().with(word(key, value, &["sound", "xu2023", "xu2023-c1"])?),
            "neurons" => self.neurons = read(key, value)?,
            "order" => self.order = word(key, value, &["best", "first"])?,
            "starts" => self.starts = read(key, value)?,
            "steps" => self.steps = read(key, value)?,
            "rate" => self.rate = read(key, value)?,
            "smooth" => self.smooth = word(key, value, &["fourier", "blur", "tv", "none"])?,
            "contrast" => self.contrast = read(key, value)?,
            "low" => self.low = Some(read(key, value)?),
            "high" => self.high = Some(read(key, value)?),
            "behaviour" => self.behaviour = word(key, value, &["mean", "optimised", "draws"])?,
            "diverse" => self.diverse = read(key, value)?,
            "share" => self.share = read(key, value)?,
            "batch" => self.batch = read(key, value)?,
            "seed" => self.seed = read(key, value)?,
            _ => return Err(unknown("option", key, &KEYS.map(|(name, _)| name))),
        }
        self.check()
    }

    fn with(self, preset: Preset) -> Self {
        let (starts, rate) = match preset {
            Preset::Sound => (4, 0.3),
            Preset::Xu2023 | Preset::Xu2023C1 => (100, 0.1),
        };
        Self { preset, starts, rate, ..self }
    }

    fn check(&self) -> Result<()> {
        let apart = self.low.zip(self.high).is_none_or(|(low, high)| low < high);
        if !apart {
            return Err(Error::config("is no less than `high`").key("low"));
        }
        in_range("starts", self.starts as f64, 1.0..=10_000.0)?;
        in_range("steps", self.steps as f64, 1.0..=100_000.0)?;
        in_range("rate", self.rate, 1e-6..=10.0)?;
        in_range("contrast", self.contrast, 1e-6..=1e6)?;
        in_range("diverse", self.diverse as f64, 0.0..=100.0)?;
        in_range("share", self.share, 0.0..=1.0)?;
        in_range("batch", self.batch as f64, 1.0..=4096.0)
    }
}

/// A word of a few, as serde reads it.
fn word<T: for<'a> Deserialize<'a>>(key: &str, value: &str, known: &[&str]) -> Result<T> {
    serde_json::from_value(value.into()).map_err(|_| unknown(key, value, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_that_are_told() {
        let mut options = Options::default();
        let words = [
            ("preset", "sound xu2023 xu2023-c1"),
            ("order", "best first"),
            ("smooth", "fourier blur tv none"),
            ("behaviour", "mean optimised draws"),
        ];
        for (key, known) in words {
            known.split(' ').for_each(|word| options.set(key, word).unwrap());
        }
        assert_eq!((options.starts, options.rate), (100, 0.1), "those of the last preset");
        assert!(options.set("smooth", "blurr").unwrap_err().advice().unwrap().contains("blur"));
        options.set("low", "3").unwrap();
        assert!(options.set("high", "2").is_err());
    }
}
