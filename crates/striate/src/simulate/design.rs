//! The experiment around the neurons, the same for every kind of ground truth: trials, tiers, images.

use std::ops::Range;

use super::keys::{bounded, require};
use crate::error::Result;
use crate::recording::Tier;

/// How many trials of each tier there are, and which image each shows.
///
/// Trials are ordered train, validation, test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Design {
    /// Number of neurons over all types.
    pub neurons: usize,
    /// Shape of one image, `[channel, height, width]`.
    pub image_shape: [usize; 3],
    /// Training and validation images together.
    pub samples: usize,
    /// Validation images, the last of the samples.
    pub validation: usize,
    /// Test images.
    pub test: usize,
    /// Noisy repeats of each test image; 0 for one noise-free presentation.
    pub test_repeats: usize,
    /// Whether the test images are numbered before the samples, and so stay the same for any number of these.
    pub test_first: bool,
    /// Seed of images and noise.
    pub stimulus_seed: u64,
}

impl Design {
    /// Number of training images.
    pub fn train(&self) -> usize {
        self.samples.saturating_sub(self.validation)
    }

    /// Number of test trials: images times presentations.
    pub fn test_trials(&self) -> usize {
        self.test.saturating_mul(self.test_repeats.max(1))
    }

    /// Number of trials of all tiers.
    pub fn trials(&self) -> usize {
        self.samples.saturating_add(self.test_trials())
    }

    /// Values of one image.
    pub fn pixels(&self) -> usize {
        self.image_shape.iter().product()
    }

    /// Trials of `tier`; empty for a tier that a simulation does not have.
    pub fn trials_of(&self, tier: &Tier) -> Range<usize> {
        match tier {
            Tier::Train => 0..self.train(),
            Tier::Validation => self.train()..self.samples,
            Tier::Test => self.samples..self.trials(),
            _ => 0..0,
        }
    }

    /// Tier of `trial`.
    pub fn tier(&self, trial: usize) -> Tier {
        let is_in = |tier: &Tier| self.trials_of(tier).contains(&trial);
        [Tier::Train, Tier::Validation].into_iter().find(is_in).unwrap_or(Tier::Test)
    }

    /// Number of the image shown in `trial`; repeats share it.
    pub fn stimulus(&self, trial: usize) -> usize {
        let (first_sample, first_test) = if self.test_first { (self.test, 0) } else { (0, self.samples) };
        match trial.checked_sub(self.samples) {
            None => first_sample + trial,
            Some(test) => first_test + test / self.test_repeats.max(1),
        }
    }

    /// Whether the responses of `trial` are noisy.
    pub fn is_noisy(&self, trial: usize) -> bool {
        self.test_repeats > 0 || trial < self.samples
    }

    pub(super) fn check(&self) -> Result<()> {
        let below = self.validation < self.samples;
        require(self.samples > 0, "samples", "must be positive")?;
        require(below, "validation", format!("must be below samples, {}", self.samples))?;
        bounded("samples", &[self.samples])?;
        bounded("test", &[self.trials()])
    }

    /// Whether all noise-free responses fit in memory, as writing them needs.
    pub(super) fn check_writable(&self) -> Result<()> {
        bounded("samples", &[self.trials(), self.neurons])
    }
}
