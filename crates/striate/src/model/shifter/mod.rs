//! Shifters: where the animal looks moves what its neurons see.

pub mod image;
pub mod readout;

use burn::prelude::*;
use rand_chacha::ChaCha8Rng;

pub use image::{Centre, ImageShifter, ImageShifterConfig};
pub use readout::{ReadoutShifter, ReadoutShifterConfig};

use super::kinds::options;
use super::perceptron;
use crate::error::Result;
use crate::ops::Moments;

options! {
    /// Which shifter, and its options.
    ShifterConfig, before = "readout",
    /// The pupil moves where every neuron reads the features.
    Readout(ReadoutShifterConfig) = "readout",
    /// Head and eyes turn and move the image itself.
    Image(ImageShifterConfig) = "image",
}

/// Any shifter.
#[derive(Module, Debug)]
pub enum Shifter {
    /// The pupil moves where every neuron reads the features.
    Readout(ReadoutShifter),
    /// Head and eyes turn and move the image itself.
    Image(ImageShifter),
}

impl Default for ShifterConfig {
    fn default() -> Self {
        Self::Readout(ReadoutShifterConfig::default())
    }
}

impl ShifterConfig {
    /// Checks that all numbers can be used.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Readout(config) => config.check(),
            Self::Image(config) => config.check(),
        }
    }

    /// Number of weights of a shifter by `variables` of the pupil.
    pub fn size(&self, variables: usize) -> f64 {
        match self {
            Self::Readout(config) => perceptron::size(&config.sizes(variables)),
            Self::Image(config) => config.size(variables),
        }
    }

    /// A shifter by `variables` of the pupil, with freshly drawn weights.
    pub fn init(&self, variables: usize, rng: &mut ChaCha8Rng, device: &Device) -> Shifter {
        match self {
            Self::Readout(config) => Shifter::Readout(config.init(variables, rng, device)),
            Self::Image(config) => Shifter::Image(config.init(variables, rng, device)),
        }
    }
}

impl Shifter {
    /// The one that moves the readout, if it does.
    pub fn of_readout(&self) -> Option<&ReadoutShifter> {
        match self {
            Self::Readout(shifter) => Some(shifter),
            Self::Image(_) => None,
        }
    }

    /// The one that moves the image, if it does.
    pub fn of_image(&self) -> Option<&ImageShifter> {
        match self {
            Self::Image(shifter) => Some(shifter),
            Self::Readout(_) => None,
        }
    }

    /// Moves running statistics towards the moments of one training batch.
    #[must_use]
    pub fn keep_moments(self, moments: &[Moments]) -> Self {
        match self {
            Self::Image(shifter) => Self::Image(shifter.keep_moments(moments)),
            Self::Readout(_) => self,
        }
    }
}
