//! Readouts: from shared features to each neuron's drive ("where", and how much of each "what").

pub mod factorised;
pub mod gaussian;

use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use factorised::{Factorised, FactorisedConfig};
pub use gaussian::{Gaussian, GaussianConfig};

use crate::error::Result;
use crate::model::core::stacked::Pass;
use crate::ops::Masks;

/// Which readout, and its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ReadoutConfig {
    /// A mask times feature weights.
    Factorised(FactorisedConfig),
    /// A point times feature weights.
    Gaussian(GaussianConfig),
}

/// What a readout must know about one neuron to start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Start {
    /// Peak of the spike-triggered average in mask coordinates (row, column).
    pub peak: (f64, f64),
    /// Starting bias.
    pub bias: f32,
    /// Cortical position along x and y: centred, and divided by the largest distance along an axis.
    pub cortex: [f32; 2],
}

/// Any readout.
#[derive(Module, Debug)]
pub enum Readout {
    /// A mask times feature weights.
    Factorised(Factorised),
    /// A point times feature weights.
    Gaussian(Gaussian),
}

impl ReadoutConfig {
    /// Checks that all numbers can be used.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Factorised(config) => config.check(),
            Self::Gaussian(config) => config.check(),
        }
    }

    /// A readout from features `[channel, height, width]` for one neuron per element of `start`.
    pub fn init(&self, shape: [usize; 3], start: &[Start], rng: &mut ChaCha8Rng, device: &Device) -> Readout {
        match self {
            Self::Factorised(config) => Readout::Factorised(config.init(shape, start, rng, device)),
            Self::Gaussian(config) => Readout::Gaussian(config.init(shape, start, rng, device)),
        }
    }

    /// The options of the factorised readout, if it is one.
    pub fn factorised(&self) -> Option<&FactorisedConfig> {
        match self {
            Self::Factorised(config) => Some(config),
            Self::Gaussian(_) => None,
        }
    }

    /// As [`ReadoutConfig::factorised`], to change them.
    pub fn factorised_mut(&mut self) -> Option<&mut FactorisedConfig> {
        match self {
            Self::Factorised(config) => Some(config),
            Self::Gaussian(_) => None,
        }
    }

    /// Whether it starts from spike-triggered averages.
    pub fn needs_sta(&self) -> bool {
        match self {
            Self::Factorised(config) => config.needs_sta(),
            Self::Gaussian(config) => config.start_at_sta && config.predictor.is_none(),
        }
    }

    /// Whether it starts from cortical positions.
    pub fn needs_cortex(&self) -> bool {
        matches!(self, Self::Gaussian(config) if config.predictor.is_some())
    }
}

impl Readout {
    /// Drive `[batch, neuron]` from features `[batch, height, width, channel]`, seen `shift` `[batch, 2]` away.
    pub fn forward(&self, features: Tensor<4>, pass: Pass, shift: Option<Tensor<2>>) -> Tensor<2> {
        match (self, pass) {
            (Self::Factorised(readout), Pass::Train { masks, .. }) => readout.forward(features, masks, shift),
            (Self::Factorised(readout), Pass::Evaluate) => readout.forward(features, Masks::Sparse, shift),
            (Self::Gaussian(readout), Pass::Train { seed, .. }) => {
                readout.forward(features, Some(seed), shift)
            }
            (Self::Gaussian(readout), Pass::Evaluate) => readout.forward(features, None, shift),
        }
    }

    /// Masks after their constraint, `[pixel, neuron]`, where they are parameters.
    pub fn mask(&self) -> Option<Tensor<2>> {
        match self {
            Self::Factorised(readout) => Some(readout.mask()),
            Self::Gaussian(_) => None,
        }
    }

    /// Where each neuron looks on a map of `height` × `width` pixels, `[pixel, neuron]`.
    pub fn location(&self, shape: [usize; 2]) -> Tensor<2> {
        match self {
            Self::Factorised(readout) => readout.mask(),
            Self::Gaussian(readout) => readout.mask(shape),
        }
    }

    /// Feature weights after their constraint, `[channel, neuron]`: the barcodes.
    pub fn features(&self) -> Tensor<2> {
        match self {
            Self::Factorised(readout) => readout.features(),
            Self::Gaussian(readout) => readout.features(),
        }
    }
}
