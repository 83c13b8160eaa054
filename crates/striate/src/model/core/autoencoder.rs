//! An autoencoder: few features, of which the image can be made again.
//!
//! # Source
//! The baseline of Xu et al. 2023 (`papers/xu2023.md#autoencoder`). The biases of convolutions are left out, which the batch norm
//! behind each cancels.

use burn::module::Param;
use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::extent::{Extent, averaged};
use super::stacked::{Nonlinearity, Padding, Stacked, StackedConfig};
use super::{Options, Part};
use crate::error::{Result, in_range};
use crate::model::affine::Affine;
use crate::model::norm::{BatchNormConfig, Norm};
use crate::model::pass::Pass;
use crate::model::penalty::PenaltyConfig;
use crate::model::weights::trainable;
use crate::ops::{self, Activation, Moments};
use crate::random::uniform;

/// Options of the autoencoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderConfig {
    /// Kernel side of each layer, in pixels; no padding, stride 2.
    pub kernels: Vec<usize>,
    /// Output channels of each layer.
    pub channels: Vec<usize>,
    /// Features.
    pub latent: usize,
}

/// As published.
impl Default for AutoencoderConfig {
    fn default() -> Self {
        Self { kernels: vec![7; 3], channels: vec![64, 128, 256], latent: 256 }
    }
}

const STRIDE: usize = 2;

/// Layers, features, and the way back.
#[derive(Module, Debug)]
pub struct Autoencoder {
    encoder: Stacked,
    latent: Affine,
    widen: Affine,
    decoder: Vec<Up>,
    /// Sides of the maps on the way back.
    #[module(skip)]
    sizes: Vec<[usize; 2]>,
}

/// A transposed convolution behind which are a batch norm and a rectification.
#[derive(Module, Debug)]
struct Up {
    /// `[in, out, kernel, kernel]`.
    weight: Param<Tensor<4>>,
    norm: Norm,
}

impl AutoencoderConfig {
    fn encoder(&self) -> StackedConfig {
        let layers = self.kernels.len();
        StackedConfig {
            kernels: self.kernels.clone(),
            channels: self.channels.clone(),
            padding: vec![Padding::Valid; layers],
            strides: vec![STRIDE; layers],
            nonlinearity: Nonlinearity::Relu,
            final_nonlinearity: Nonlinearity::Relu,
            batch_norm: Some(BatchNormConfig::default()),
            init_uniform: true,
            ..StackedConfig::default()
        }
    }

    /// Shapes of the image and of the map behind each layer.
    fn shapes(&self, image: [usize; 3]) -> Vec<[usize; 3]> {
        let upto = |layers: usize| {
            let (kernels, channels) = (self.kernels[..layers].to_vec(), self.channels[..layers].to_vec());
            Self { kernels, channels, ..self.clone() }.encoder().out_shape(image)
        };
        (0..=self.kernels.len()).map(upto).collect()
    }

    /// Shapes of the transposed convolutions, in their order.
    fn ups(&self, image: [usize; 3]) -> Vec<[usize; 4]> {
        let channels = self.shapes(image);
        let up = |at: usize| [channels[at + 1][0], channels[at][0], self.kernels[at], self.kernels[at]];
        (0..self.kernels.len()).rev().map(up).collect()
    }

    /// Shape of the map that the features are made of, `[channel, height, width]`, for images `[channel, height, width]` that are
    /// large enough.
    pub fn map(&self, image: [usize; 3]) -> [usize; 3] {
        self.encoder().out_shape(image)
    }

    fn flat(&self, image: [usize; 3]) -> usize {
        self.map(image).iter().product()
    }

    /// A core for images `[channel, height, width]`, with freshly drawn weights.
    pub fn init(&self, image: [usize; 3], rng: &mut ChaCha8Rng, device: &Device) -> Autoencoder {
        let encoder = self.encoder().init(image, rng, device);
        let flat = self.flat(image);
        let latent = Affine::init(flat, self.latent, rng, device);
        let widen = Affine::init(self.latent, flat, rng, device);
        let up = |shape: [usize; 4]| {
            let [_, outputs, side, _] = shape;
            let bound = 1.0 / ((outputs * side * side) as f64).sqrt();
            Up {
                weight: trainable(uniform(rng, shape.iter().product(), bound), shape, device),
                norm: Norm::init(outputs, true, true, device),
            }
        };
        let decoder = self.ups(image).into_iter().map(up).collect();
        let sizes = self.shapes(image).into_iter().rev().map(|[_, height, width]| [height, width]).collect();
        Autoencoder { encoder, latent, widen, decoder, sizes }
    }
}

impl Options for AutoencoderConfig {
    fn check(&self, shape: [usize; 3]) -> Result<()> {
        in_range("model.core.latent", self.latent as f64, 1.0..=1e6)?;
        self.encoder().check(shape)
    }

    fn size(&self, image: [usize; 3]) -> f64 {
        let (flat, latent) = (self.flat(image) as f64, self.latent as f64);
        let up =
            |shape: [usize; 4]| shape.map(|side| side as f64).iter().product::<f64>() + 4.0 * shape[1] as f64;
        let ups: f64 = self.ups(image).into_iter().map(up).sum();
        self.encoder().size(image) + (flat + 1.0) * latent + (latent + 1.0) * flat + ups
    }

    fn out_shape(&self, _: [usize; 3]) -> [usize; 3] {
        [self.latent, 1, 1]
    }

    fn is_strided(&self) -> bool {
        true
    }

    fn reconstructs(&self) -> bool {
        true
    }
}

impl Part for Autoencoder {
    fn forward(&self, rows: Tensor<4>, _: usize, pass: Pass) -> (Tensor<4>, Vec<Moments>) {
        let (maps, moments) = self.encoder.forward(rows, pass);
        let [rows, height, width, channels] = maps.dims();
        let features = self.latent.forward(maps.reshape([rows, height * width * channels]));
        let latent = features.dims()[1];
        (features.reshape([rows, 1, 1, latent]), moments)
    }

    fn reconstruct(&self, features: Tensor<4>, pass: Pass) -> Option<(Tensor<4>, Vec<Moments>)> {
        let [rows, _, _, latent] = features.dims();
        let wide = ops::activate(self.widen.forward(features.reshape([rows, latent])), Activation::Relu);
        let ([height, width], mut moments) = (self.sizes[0], Vec::new());
        let channels = wide.dims()[1] / (height * width);
        let start: Tensor<4> = wide.reshape([rows, height, width, channels]);
        let image = self
            .decoder
            .iter()
            .zip(&self.sizes[1..])
            .fold(start, |maps, (up, &size)| up.forward(maps, size, pass, &mut moments));
        Some((image.permute([0, 3, 1, 2]), moments))
    }

    fn penalty(&self, strengths: &PenaltyConfig) -> Option<Tensor<1>> {
        strengths.kernels(&self.encoder.kernels())
    }

    fn first_kernels(&self) -> Option<Tensor<4>> {
        self.encoder.first_kernels()
    }

    /// All of the map, wherever the weights of a feature lie on it.
    fn extents(&self, channels: usize, seen: usize) -> Vec<Extent> {
        let of = Extent::of(self.encoder.extents(channels, seen).into_iter());
        let step = STRIDE.pow(self.decoder.len() as u32) as f64;
        let latent = self.widen.weight.val().dims()[1];
        vec![averaged(of, step, self.sizes[0]); latent]
    }
}

impl Up {
    fn forward(
        &self,
        maps: Tensor<4>,
        size: [usize; 2],
        pass: Pass,
        moments: &mut Vec<Moments>,
    ) -> Tensor<4> {
        let drive = ops::conv_transpose2d(maps, self.weight.val(), STRIDE, size);
        let (normed, own) = self.norm.rows(&BatchNormConfig::default(), drive, pass);
        moments.extend(own);
        ops::activate(normed, Activation::Relu)
    }
}

impl Autoencoder {
    /// Moves the running statistics towards the moments of one training batch: of the layers, and of those on the way back where
    /// it was gone.
    #[must_use]
    pub fn keep_moments(mut self, moments: &[Moments]) -> Self {
        let (there, back) = moments.split_at(self.decoder.len().min(moments.len()));
        self.encoder = self.encoder.keep_moments(there);
        for (up, moments) in self.decoder.iter_mut().zip(back) {
            up.norm.keep(moments, &BatchNormConfig::default());
        }
        self
    }
}
