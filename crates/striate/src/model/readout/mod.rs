//! Readouts: from shared features to each neuron's drive ("where", and how much of each "what").

pub mod attention;
pub mod deterministic;
pub mod factorised;
pub mod gaussian;
pub mod point_pooled;

use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use attention::{Attention, AttentionConfig};
pub use deterministic::{Deterministic, DeterministicConfig};
pub use factorised::{Factorised, FactorisedConfig};
pub use gaussian::{Gaussian, GaussianConfig};
pub use point_pooled::{PointPooled, PointPooledConfig};

use crate::error::Result;
use crate::model::core::stacked::Pass;
use crate::model::weights::to_host;
use crate::ops::Masks;

/// Which readout, and its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ReadoutConfig {
    /// A mask times feature weights.
    Factorised(FactorisedConfig),
    /// A point, drawn around a mean in training, times feature weights.
    Gaussian(GaussianConfig),
    /// A round bump times feature weights.
    Deterministic(DeterministicConfig),
    /// A point at several scales times feature weights.
    PointPooled(PointPooledConfig),
    /// A mask that depends on the image times feature weights.
    Attention(AttentionConfig),
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
    /// A point, drawn around a mean in training, times feature weights.
    Gaussian(Gaussian),
    /// A round bump times feature weights.
    Deterministic(Deterministic),
    /// A point at several scales times feature weights.
    PointPooled(PointPooled),
    /// A mask that depends on the image times feature weights.
    Attention(Attention),
}

impl ReadoutConfig {
    /// Checks the options against features `[channel, height, width]`.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key.
    pub fn check(&self, features: [usize; 3]) -> Result<()> {
        match self {
            Self::Factorised(config) => config.check(),
            Self::Gaussian(config) => config.check(),
            Self::Deterministic(config) => config.check(),
            Self::PointPooled(config) => config.check(features),
            Self::Attention(config) => config.check(),
        }
    }

    /// A readout from features `[channel, height, width]` for one neuron per element of `start`.
    pub fn init(&self, shape: [usize; 3], start: &[Start], rng: &mut ChaCha8Rng, device: &Device) -> Readout {
        match self {
            Self::Factorised(config) => Readout::Factorised(config.init(shape, start, rng, device)),
            Self::Gaussian(config) => Readout::Gaussian(config.init(shape, start, rng, device)),
            Self::Deterministic(config) => Readout::Deterministic(config.init(shape, start, rng, device)),
            Self::PointPooled(config) => Readout::PointPooled(config.init(shape, start, rng, device)),
            Self::Attention(config) => Readout::Attention(config.init(shape, start, rng, device)),
        }
    }

    /// The options of the factorised readout, if it is one.
    pub fn factorised(&self) -> Option<&FactorisedConfig> {
        match self {
            Self::Factorised(config) => Some(config),
            _ => None,
        }
    }

    /// As [`ReadoutConfig::factorised`], to change them.
    pub fn factorised_mut(&mut self) -> Option<&mut FactorisedConfig> {
        match self {
            Self::Factorised(config) => Some(config),
            _ => None,
        }
    }

    /// Whether it starts from spike-triggered averages.
    pub fn needs_sta(&self) -> bool {
        match self {
            Self::Factorised(config) => config.needs_sta(),
            Self::Gaussian(config) => config.start_at_sta && config.predictor.is_none(),
            Self::Deterministic(config) => config.start_at_sta,
            Self::PointPooled(config) => config.start_at_sta,
            Self::Attention(_) => false,
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
        let (seed, masks) = match pass {
            Pass::Train { seed, masks } => (Some(seed), masks),
            Pass::Evaluate => (None, Masks::Sparse),
        };
        match self {
            Self::Factorised(readout) => readout.forward(features, masks, shift),
            Self::Gaussian(readout) => readout.forward(features, seed, shift),
            Self::Deterministic(readout) => readout.forward(features, shift),
            Self::PointPooled(readout) => readout.forward(features, shift),
            Self::Attention(readout) => readout.forward(features, shift),
        }
    }

    /// Masks after their constraint, `[pixel, neuron]`, where each pixel is a parameter.
    pub fn mask(&self) -> Option<Tensor<2>> {
        match self {
            Self::Factorised(readout) => Some(readout.mask()),
            _ => None,
        }
    }

    /// Sum of the variances of the bumps, where they are parameters.
    pub fn variance(&self) -> Option<Tensor<1>> {
        match self {
            Self::Deterministic(readout) => Some(readout.variance()),
            _ => None,
        }
    }

    /// Where each neuron looks on a map of `height` × `width` pixels, `[pixel, neuron]`; none where that depends on
    /// the image.
    pub fn location(&self, shape: [usize; 2]) -> Option<Tensor<2>> {
        match self {
            Self::Factorised(readout) => Some(readout.mask()),
            Self::Gaussian(readout) => Some(windows(readout.mean(), shape)),
            Self::Deterministic(readout) => Some(readout.mask()),
            Self::PointPooled(readout) => Some(windows(readout.mean(), shape)),
            Self::Attention(_) => None,
        }
    }

    /// Feature weights after their constraint, `[channel, neuron]`: the barcodes.
    pub fn features(&self) -> Tensor<2> {
        match self {
            Self::Factorised(readout) => readout.features(),
            Self::Gaussian(readout) => readout.features(),
            Self::Deterministic(readout) => readout.features(),
            Self::PointPooled(readout) => readout.features(),
            Self::Attention(readout) => readout.features(),
        }
    }
}

/// Starting positions `[neuron, 2]` (x, y), −1 to 1, at the peaks of the spike-triggered averages.
fn sta_positions(start: &[Start], [height, width]: [usize; 2]) -> Vec<f32> {
    let place = |at: f64, side: usize| (2.0 * at / (side.max(2) - 1) as f64 - 1.0) as f32;
    start.iter().flat_map(|start| [place(start.peak.1, width), place(start.peak.0, height)]).collect()
}

/// The bilinear window around each point `[neuron, 2]` of a map of `height` × `width` pixels, `[pixel, neuron]`: the
/// mask that a factorised readout would need to read the same.
pub fn windows(points: Tensor<2>, [height, width]: [usize; 2]) -> Tensor<2> {
    let device = points.device();
    let points = to_host(points);
    let neurons = points.shape[0];
    let mut mask = vec![0.0; height * width * neurons];
    for (n, point) in points.values.chunks(2).enumerate() {
        let at = |position: f32, side: usize| (position + 1.0) / 2.0 * (side as f32 - 1.0);
        let (x, y) = (at(point[0], width), at(point[1], height));
        for (down, right) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let (row, column) = (y.floor() as usize + down, x.floor() as usize + right);
            if row < height && column < width {
                let share = (1.0 - (y - row as f32).abs()) * (1.0 - (x - column as f32).abs());
                mask[(row * width + column) * neurons + n] = share;
            }
        }
    }
    Tensor::from_data(TensorData::new(mask, [height * width, neurons]), &device)
}
