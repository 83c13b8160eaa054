//! Cores: nonlinear features that all neurons share ("what").
//!
//! A core sees rows, the samples of its clips one after another; of images every row is a clip of its own. Features belong
//! to the end of what was seen: a core that looks back over several frames has none for the first of a clip.

pub mod autoencoder;
pub mod conv_gru;
pub mod efficientnet_b0;
mod extent;
pub mod factorised3d;
pub mod lags;
pub mod lgn;
mod normed;
pub mod resnet18;
pub mod stacked;

use burn::prelude::*;
use rand_chacha::ChaCha8Rng;

pub use autoencoder::{Autoencoder, AutoencoderConfig};
pub use conv_gru::{ConvGru, ConvGruConfig};
pub use efficientnet_b0::{EfficientNetB0, EfficientNetB0Config};
pub use extent::Extent;
pub use factorised3d::{Factorised3d, Factorised3dConfig};
pub use lags::{Lags, LagsConfig};
pub use lgn::{Lgn, LgnConfig};
pub use resnet18::{ResNet18, ResNet18Config};
pub use stacked::{Stacked, StackedConfig};

use super::Pass;
use super::kinds::options;
use super::penalty::PenaltyConfig;
use crate::error::Result;
use crate::ops::Moments;

/// What every kind of core does.
trait Part {
    /// As [`Core::forward`].
    fn forward(&self, rows: Tensor<4>, samples: usize, pass: Pass) -> (Tensor<4>, Vec<Moments>);
    /// As [`Core::reconstruct`].
    fn reconstruct(&self, _: Tensor<4>, _: Pass) -> Option<(Tensor<4>, Vec<Moments>)> {
        None
    }
    /// As [`Core::penalty`].
    fn penalty(&self, strengths: &PenaltyConfig) -> Option<Tensor<1>>;
    /// As [`Core::first_kernels`].
    fn first_kernels(&self) -> Option<Tensor<4>>;
    /// As [`Core::extents`].
    fn extents(&self, channels: usize, seen: usize) -> Vec<Extent>;
}

/// What the options of every kind of core say.
trait Options {
    /// As [`CoreConfig::check`].
    fn check(&self, shape: [usize; 3]) -> Result<()>;
    /// As [`CoreConfig::size`].
    fn size(&self, shape: [usize; 3]) -> f64;
    /// As [`CoreConfig::out_shape`].
    fn out_shape(&self, shape: [usize; 3]) -> [usize; 3];
    /// As [`CoreConfig::unpooled_shape`].
    fn unpooled_shape(&self, shape: [usize; 3]) -> [usize; 3] {
        self.out_shape(shape)
    }
    /// As [`CoreConfig::step`].
    fn step(&self) -> usize {
        1
    }
    /// As [`CoreConfig::receptive_frames`].
    fn receptive_frames(&self) -> usize {
        1
    }
    /// As [`CoreConfig::is_strided`].
    fn is_strided(&self) -> bool {
        false
    }
    /// As [`CoreConfig::has_kernels_in_time`].
    fn has_kernels_in_time(&self) -> bool {
        false
    }
    /// As [`CoreConfig::reconstructs`].
    fn reconstructs(&self) -> bool {
        false
    }
    /// As [`CoreConfig::library`].
    fn library(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// Makes the two enums of all kinds and the ways from them to their [`Part`] and [`Options`].
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($config:ident) = $name:literal,)*) => {
        options! {
            /// Which core, and its options.
            CoreConfig, before = "stacked", $($(#[$doc])* $kind($config) = $name,)*
        }

        /// Any core.
        #[derive(Module, Debug)]
        #[allow(clippy::large_enum_variant, reason = "a model has one core, and its weights lie elsewhere")]
        pub enum Core { $($(#[$doc])* $kind($kind),)* }

        impl CoreConfig {
            /// A core for images or frames `[channel, height, width]`, with freshly drawn kernels.
            pub fn init(&self, shape: [usize; 3], rng: &mut ChaCha8Rng, device: &Device) -> Core {
                match self { $(Self::$kind(config) => Core::$kind(config.init(shape, rng, device)),)* }
            }

            fn options(&self) -> &dyn Options {
                match self { $(Self::$kind(config) => config,)* }
            }
        }

        impl Core {
            fn part(&self) -> &dyn Part {
                match self { $(Self::$kind(core) => core,)* }
            }

            /// Moves the running statistics towards the moments of one training batch.
            #[must_use]
            pub fn keep_moments(self, moments: &[Moments]) -> Self {
                match self { $(Self::$kind(core) => Self::$kind(core.keep_moments(moments)),)* }
            }
        }
    };
}

kinds! {
    /// Convolutions of images, or of each frame by itself.
    Stacked(StackedConfig) = "stacked",
    /// Convolutions in space, then in time.
    Factorised3d(Factorised3dConfig) = "factorised3d",
    /// Convolutions of each frame, then a recurrent unit of maps.
    ConvGru(ConvGruConfig) = "conv_gru",
    /// Residual blocks.
    ResNet18(ResNet18Config) = "resnet18",
    /// Blocks of convolutions of each channel by itself.
    EfficientNetB0(EfficientNetB0Config) = "efficientnet_b0",
    /// Features of which the image can be made again.
    Autoencoder(AutoencoderConfig) = "autoencoder",
    /// The last frames side by side.
    Lags(LagsConfig) = "lags",
}

impl CoreConfig {
    /// Checks the options against images or frames `[channel, height, width]`.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key.
    pub fn check(&self, shape: [usize; 3]) -> Result<()> {
        self.options().check(shape)
    }

    /// Number of weights of a core for `[channel, height, width]`.
    pub fn size(&self, shape: [usize; 3]) -> f64 {
        self.options().size(shape)
    }

    /// `[channel, height, width]` of the features for images or frames `[channel, height, width]`.
    pub fn out_shape(&self, shape: [usize; 3]) -> [usize; 3] {
        self.options().out_shape(shape)
    }

    /// As [`CoreConfig::out_shape`], with every pixel of the image instead of every [`CoreConfig::step`]-th.
    pub fn unpooled_shape(&self, shape: [usize; 3]) -> [usize; 3] {
        self.options().unpooled_shape(shape)
    }

    /// The options of a stack, if it is one.
    pub fn stacked_mut(&mut self) -> Option<&mut StackedConfig> {
        match self {
            Self::Stacked(config) => Some(config),
            _ => None,
        }
    }

    /// Pixels of the image from one pixel of the features to the next.
    pub fn step(&self) -> usize {
        self.options().step()
    }

    /// Samples that each row of features sees at least, itself the last; one fewer is lost from a clip.
    pub fn receptive_frames(&self) -> usize {
        self.options().receptive_frames()
    }

    /// Whether it leaves pixels out between one output of a layer and the next.
    pub fn is_strided(&self) -> bool {
        self.options().is_strided()
    }

    /// Whether it has kernels along time, as `model.penalty.laplace_time` is for.
    pub fn has_kernels_in_time(&self) -> bool {
        self.options().has_kernels_in_time()
    }

    /// Whether it can make images of its features, as `model.penalty.reconstruction` is for.
    pub fn reconstructs(&self) -> bool {
        self.options().reconstructs()
    }

    /// What the library that it comes from calls its arrays, each beside our name; none of our own.
    pub fn library(&self) -> Vec<(String, String)> {
        self.options().library()
    }
}

impl Core {
    /// Features `[batch · kept, height', width', channel]` of `rows` `[batch · sample, channel, height, width]`, of clips
    /// of `samples` rows each, and in training the moments for [`Core::keep_moments`]. What is kept of a clip are its last
    /// samples.
    pub fn forward(&self, rows: Tensor<4>, samples: usize, pass: Pass) -> (Tensor<4>, Vec<Moments>) {
        self.part().forward(rows, samples, pass)
    }

    /// Images `[row, channel, height, width]` made of features `[row, height, width, channel]`, where it is made for that, and in
    /// training the moments, which follow those of [`Core::forward`].
    pub fn reconstruct(&self, features: Tensor<4>, pass: Pass) -> Option<(Tensor<4>, Vec<Moments>)> {
        self.part().reconstruct(features, pass)
    }

    /// `strengths` on its kernels.
    pub fn penalty(&self, strengths: &PenaltyConfig) -> Option<Tensor<1>> {
        self.part().penalty(strengths)
    }

    /// What looks at an image or frame first, `[channel, in, height, width]`.
    pub fn first_kernels(&self) -> Option<Tensor<4>> {
        self.part().first_kernels()
    }

    /// Where each channel of the features looks that the readout sees at row and column 0 of its map, for `seen` channels
    /// of which `channels` are those of the image; a pixel of the map further is
    /// [`CoreConfig::step`] pixels of the image further. Nonlinearities count as linear, and what lies between kernels of
    /// several layers as independent.
    pub fn extents(&self, channels: usize, seen: usize) -> Vec<Extent> {
        self.part().extents(channels, seen)
    }
}
