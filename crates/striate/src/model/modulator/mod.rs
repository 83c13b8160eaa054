//! Modulators: behaviour changes what every neuron makes of what it sees.

pub mod gain;
pub mod linear;
pub mod recurrent;

use burn::prelude::*;
use rand_chacha::ChaCha8Rng;

pub use gain::{Gain, GainConfig};
pub use linear::{How, Linear, LinearConfig};
pub use recurrent::{Recurrent, RecurrentConfig};

use super::kinds::options;
use super::pass::Pass;
use super::perceptron;
use crate::error::Result;
use crate::ops::Moments;

options! {
    /// Which modulator, and its options.
    ModulatorConfig, before = "gain",
    /// A gain for each neuron.
    Gain(GainConfig) = "gain",
    /// Drive, behaviour and their product, over time.
    Recurrent(RecurrentConfig) = "recurrent",
    /// A sum or product of each neuron.
    Linear(LinearConfig) = "linear",
}

/// Any modulator.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a model has one modulator, and its weights lie elsewhere")]
pub enum Modulator {
    /// A gain for each neuron.
    Gain(Gain),
    /// Drive, behaviour and their product, over time.
    Recurrent(Recurrent),
    /// A sum or product of each neuron.
    Linear(Linear),
}

impl Default for ModulatorConfig {
    fn default() -> Self {
        Self::Gain(GainConfig::default())
    }
}

impl ModulatorConfig {
    /// Checks that all numbers can be used.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Gain(config) => config.check(),
            Self::Recurrent(config) => config.check(),
            Self::Linear(_) => Ok(()),
        }
    }

    /// Samples that it looks at, itself the last; one fewer is lost from a clip.
    pub fn samples(&self) -> usize {
        match self {
            Self::Gain(_) | Self::Linear(_) => 1,
            Self::Recurrent(config) => config.steps,
        }
    }

    /// Number of weights of a modulator of `neurons` by `variables` of behaviour.
    pub fn size(&self, variables: usize, neurons: usize) -> f64 {
        match self {
            Self::Gain(config) => perceptron::size(&config.sizes(variables, neurons)),
            Self::Recurrent(config) => config.size(variables, neurons),
            Self::Linear(_) => perceptron::size(&[variables, neurons]),
        }
    }

    /// A modulator by `variables` of behaviour with freshly drawn weights.
    pub fn init(&self, variables: usize, neurons: usize, rng: &mut ChaCha8Rng, device: &Device) -> Modulator {
        match self {
            Self::Gain(config) => Modulator::Gain(config.init(variables, neurons, rng, device)),
            Self::Recurrent(config) => Modulator::Recurrent(config.init(variables, neurons, rng, device)),
            Self::Linear(config) => Modulator::Linear(config.init(variables, neurons, rng, device)),
        }
    }
}

impl Modulator {
    /// Drive `[batch · kept, neuron]` of drive `[batch · sample, neuron]` by behaviour `[batch · sample, variable]`, of clips of
    /// `samples`; and in training the moments for [`Modulator::keep_moments`]. What is kept of a clip are its last samples.
    pub fn forward(
        &self,
        drive: Tensor<2>,
        behaviour: Tensor<2>,
        samples: usize,
        pass: Pass,
    ) -> (Tensor<2>, Vec<Moments>) {
        match self {
            Self::Gain(gain) => (gain.forward(drive, behaviour), Vec::new()),
            Self::Recurrent(unit) => unit.forward(drive, behaviour, samples, pass),
            Self::Linear(by) => (by.forward(drive, behaviour), Vec::new()),
        }
    }

    /// Mean absolute weight on behaviour of the last layer before the drive is met.
    pub fn l1(&self) -> Option<Tensor<1>> {
        match self {
            Self::Gain(gain) => gain.l1(),
            Self::Recurrent(unit) => Some(unit.l1()),
            Self::Linear(by) => Some(by.l1()),
        }
    }

    /// Moves running statistics towards the moments of one training batch.
    #[must_use]
    pub fn keep_moments(self, moments: &[Moments]) -> Self {
        match self {
            Self::Recurrent(unit) => Self::Recurrent(unit.keep_moments(moments)),
            Self::Gain(_) | Self::Linear(_) => self,
        }
    }
}
