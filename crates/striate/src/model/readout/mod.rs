//! Readouts: from shared features to each neuron's drive ("where", and how much of each "what").

pub mod attention;
pub mod deterministic;
pub mod factorised;
pub mod fully_connected;
pub mod gaussian;
pub mod point_pooled;
mod shared;

use burn::module::Param;
use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use attention::{Attention, AttentionConfig};
pub use deterministic::{Deterministic, DeterministicConfig};
pub use factorised::{Factorised, FactorisedConfig};
pub use fully_connected::{FullyConnected, FullyConnectedConfig};
pub use gaussian::{Gaussian, GaussianConfig};
pub use point_pooled::{PointPooled, PointPooledConfig};

use crate::error::Result;
use crate::model::Pass;
use crate::model::weights::{fixed, replace, to_host, trainable};
use crate::random::uniform;

/// What a readout must know about one neuron to start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Start {
    /// Peak of the spike-triggered average in mask coordinates (row, column).
    pub peak: (f64, f64),
    /// Starting bias.
    pub bias: f32,
    /// Cortical position along x and y: centred, and divided by the largest distance along an axis.
    pub cortex: [f32; 2],
    /// Neurons of one group have one set of feature weights, where the readout shares them.
    pub group: usize,
}

/// What every kind of readout does.
trait Part {
    /// As [`Readout::forward`].
    fn forward(&self, features: Tensor<4>, pass: Pass, shift: Option<Tensor<2>>) -> Tensor<2>;
    /// As [`Readout::features`].
    fn features(&self) -> Option<Tensor<2>>;
    /// As [`Readout::location`].
    fn location(&self, shape: [usize; 2]) -> Option<Tensor<2>>;
    /// As [`Readout::mask`].
    fn mask(&self) -> Option<Tensor<3>> {
        None
    }
    /// As [`Readout::weight`].
    fn weight(&self) -> Option<Tensor<2>> {
        None
    }
    /// As [`Readout::variance`].
    fn variance(&self) -> Option<Tensor<1>> {
        None
    }
}

/// What the options of every kind of readout say.
trait Options {
    /// As [`ReadoutConfig::check`].
    fn check(&self, features: [usize; 3]) -> Result<()>;
    /// As [`ReadoutConfig::size`].
    fn size(&self, features: [f64; 3], neurons: f64, columns: f64) -> f64;
    /// As [`ReadoutConfig::needs_sta`].
    fn needs_sta(&self) -> bool {
        false
    }
    /// As [`ReadoutConfig::needs_cortex`].
    fn needs_cortex(&self) -> bool {
        false
    }
    /// As [`ReadoutConfig::shares_features`].
    fn shares_features(&self) -> bool {
        false
    }
}

/// Makes the two enums of all kinds and the ways from them to their [`Part`] and [`Options`].
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($config:ident),)*) => {
        /// Which readout, and its options.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        pub enum ReadoutConfig { $($(#[$doc])* $kind($config),)* }

        /// Any readout.
        #[derive(Module, Debug)]
        pub enum Readout { $($(#[$doc])* $kind($kind),)* }

        impl ReadoutConfig {
            /// One of each kind.
            pub fn kinds() -> Vec<Self> {
                vec![$(Self::$kind(<$config>::default()),)*]
            }

            /// A readout from features `[channel, height, width]` for one neuron per element of `start`.
            pub fn init(&self, shape: [usize; 3], start: &[Start], rng: &mut ChaCha8Rng, device: &Device) -> Readout {
                match self { $(Self::$kind(config) => Readout::$kind(config.init(shape, start, rng, device)),)* }
            }

            fn options(&self) -> &dyn Options {
                match self { $(Self::$kind(config) => config,)* }
            }
        }

        impl Readout {
            fn part(&self) -> &dyn Part {
                match self { $(Self::$kind(readout) => readout,)* }
            }
        }
    };
}

kinds! {
    /// A mask times feature weights.
    Factorised(FactorisedConfig),
    /// A weight for each feature at each pixel.
    FullyConnected(FullyConnectedConfig),
    /// A point, drawn around a mean in training, times feature weights.
    Gaussian(GaussianConfig),
    /// A round bump times feature weights.
    Deterministic(DeterministicConfig),
    /// A point at several scales times feature weights.
    PointPooled(PointPooledConfig),
    /// A mask that depends on the image times feature weights.
    Attention(AttentionConfig),
}

impl ReadoutConfig {
    /// Checks the options against features `[channel, height, width]`.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key.
    pub fn check(&self, features: [usize; 3]) -> Result<()> {
        self.options().check(features)
    }

    /// Number of weights of a readout from features `[channel, height, width]` to `neurons`, which have `columns` of
    /// feature weights.
    pub fn size(&self, features: [usize; 3], neurons: usize, columns: usize) -> f64 {
        let columns = if self.shares_features() { columns } else { neurons };
        self.options().size(features.map(|side| side as f64), neurons as f64, columns as f64)
    }

    /// Whether it starts from spike-triggered averages.
    pub fn needs_sta(&self) -> bool {
        self.options().needs_sta()
    }

    /// Whether it starts from cortical positions.
    pub fn needs_cortex(&self) -> bool {
        self.options().needs_cortex()
    }

    /// Whether neurons of one group share their feature weights.
    pub fn shares_features(&self) -> bool {
        self.options().shares_features()
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
}

impl Readout {
    /// Drive `[batch, neuron]` from features `[batch, height, width, channel]`, seen `shift` `[batch, 2]` away.
    pub fn forward(&self, features: Tensor<4>, pass: Pass, shift: Option<Tensor<2>>) -> Tensor<2> {
        self.part().forward(features, pass, shift)
    }

    /// Positions that a training step moved off the map, put back on its border (the toolkit's clamp in place, `papers/sensorium.md#readouts`).
    #[must_use]
    pub fn keep_on_map(self) -> Self {
        match self {
            Self::Gaussian(readout) => Self::Gaussian(readout.keep_on_map()),
            Self::PointPooled(readout) => Self::PointPooled(readout.keep_on_map()),
            other => other,
        }
    }

    /// Feature weights after their constraint, `[channel, neuron]`: the barcodes; none where a neuron weighs the
    /// features differently from pixel to pixel.
    pub fn features(&self) -> Option<Tensor<2>> {
        self.part().features()
    }

    /// Where each neuron looks on a map of `height` × `width` pixels, `[pixel, neuron]`; none where that depends on
    /// the image.
    pub fn location(&self, shape: [usize; 2]) -> Option<Tensor<2>> {
        self.part().location(shape)
    }

    /// Masks after their constraint, `[height, width, neuron]`, where each pixel is a parameter.
    pub fn mask(&self) -> Option<Tensor<3>> {
        self.part().mask()
    }

    /// Weights `[neuron, pixel · channel]`, where each feature has one at each pixel.
    pub fn weight(&self) -> Option<Tensor<2>> {
        self.part().weight()
    }

    /// Sum of the variances of the bumps, where they are parameters.
    pub fn variance(&self) -> Option<Tensor<1>> {
        self.part().variance()
    }
}

/// Biases that start so that the output is the mean rate; without `bias` they are 0 and stay so.
fn biases(bias: bool, start: &[Start], device: &Device) -> Param<Tensor<1>> {
    match bias {
        true => trainable(start.iter().map(|start| start.bias).collect(), [start.len()], device),
        false => fixed(vec![0.0; start.len()], [start.len()], device),
    }
}

/// `drive` `[batch, neuron]` with the bias of each neuron, where they have one.
fn add_bias(drive: Tensor<2>, has_bias: bool, bias: &Param<Tensor<1>>) -> Tensor<2> {
    if has_bias { drive + bias.val().unsqueeze() } else { drive }
}

/// Starting positions `[neuron, 2]` (x, y): at the peaks of the spike-triggered averages, or uniform within ± `range`.
fn positions(at_sta: bool, range: f64, start: &[Start], map: [usize; 2], rng: &mut ChaCha8Rng) -> Vec<f32> {
    // Drawn in either case, so that what is drawn next does not depend on it.
    let drawn = uniform(rng, 2 * start.len(), range);
    if at_sta { sta_positions(start, map) } else { drawn }
}

/// Starting positions `[neuron, 2]` (x, y), −1 to 1, at the peaks of the spike-triggered averages.
fn sta_positions(start: &[Start], [height, width]: [usize; 2]) -> Vec<f32> {
    let place = |at: f64, side: usize| (2.0 * at / (side.max(2) - 1) as f64 - 1.0) as f32;
    start.iter().flat_map(|start| [place(start.peak.1, width), place(start.peak.0, height)]).collect()
}

/// Positions within the map, −1 to 1: beyond its border a position has no slope and would stay there.
fn on_map(positions: Param<Tensor<2>>) -> Param<Tensor<2>> {
    replace(positions, |old| {
        let inside = old.clone().inner().clamp(-1.0, 1.0);
        Tensor::from_data(inside.into_data(), &old.device())
    })
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
                let near = |distance: f32| (1.0 - distance.abs()).max(0.0);
                let share = near(y - row as f32) * near(x - column as f32);
                mask[(row * width + column) * neurons + n] = share;
            }
        }
    }
    Tensor::from_data(TensorData::new(mask, [height * width, neurons]), &device)
}
