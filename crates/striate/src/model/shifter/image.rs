//! Gaze correction: where head and eyes point turns and moves the image before anything sees it.

use burn::module::Param;
use burn::prelude::*;
use burn::tensor::activation::tanh;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Result, in_range};
use crate::model::Pass;
use crate::model::affine::NormedAffine;
use crate::model::weights::trainable;
use crate::ops::{self, Moments};

/// A network from where head and eyes point to a rigid motion of the image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageShifterConfig {
    /// Units of both hidden layers.
    pub hidden: usize,
    /// Farthest movement, as a share of width and height.
    pub reach: f64,
    /// Farthest turn, in degrees.
    pub turn: f64,
    /// What images turn around.
    pub centre: Centre,
    /// Whether no image moves before the first step, in place of random motions.
    #[serde(default)]
    pub starts_still: bool,
}

/// What images turn around.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Centre {
    /// Their centre.
    Image,
    /// Half their height from the left and half their width from the top, as in the authors' code, where both are exchanged.
    Published,
}

/// As the models with behaviour of Xu et al. 2023 (`papers/xu2023.md#gaze`), around the true centre.
impl Default for ImageShifterConfig {
    fn default() -> Self {
        Self { hidden: 256, reach: 1.0 / 5.5, turn: 45.0, centre: Centre::Image, starts_still: false }
    }
}

/// `tanh` of a network of three layers, each behind a batch norm, and an offset: Δx, Δy and α as shares of the farthest.
///
/// # Source
/// The shifter of Xu et al. 2023 (`papers/xu2023.md#gaze`).
#[derive(Module, Debug)]
pub struct ImageShifter {
    layers: Vec<NormedAffine>,
    /// `[3]`.
    bias: Param<Tensor<1>>,
    #[module(skip)]
    config: ImageShifterConfig,
}

impl ImageShifterConfig {
    /// Checks that all numbers can be used.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key.
    pub fn check(&self) -> Result<()> {
        in_range("model.shifter.hidden", self.hidden as f64, 1.0..=4096.0)?;
        in_range("model.shifter.reach", self.reach, 0.0..=1.0)?;
        in_range("model.shifter.turn", self.turn, 0.0..=180.0)
    }

    /// Number of weights of a shifter by `variables`, statistics included.
    pub fn size(&self, variables: usize) -> f64 {
        self.sizes(variables).windows(2).map(|pair| NormedAffine::size(pair[0], pair[1])).sum::<f64>() + 3.0
    }

    fn sizes(&self, variables: usize) -> [usize; 4] {
        [variables, self.hidden, self.hidden, 3]
    }

    /// A shifter by `variables`, with freshly drawn weights.
    pub fn init(&self, variables: usize, rng: &mut ChaCha8Rng, device: &Device) -> ImageShifter {
        let layers = self.sizes(variables);
        let mut layers: Vec<NormedAffine> =
            layers.windows(2).map(|pair| NormedAffine::init(pair[0], pair[1], rng, device)).collect();
        if let (true, Some(last)) = (self.starts_still, layers.last_mut()) {
            last.clear(device);
        }
        ImageShifter { layers, bias: trainable(vec![0.0; 3], [3], device), config: self.clone() }
    }

    /// What images of `height` × `width` turn around (x, y), in pixels from the middle of the first.
    fn around(&self, height: usize, width: usize) -> [f32; 2] {
        match self.centre {
            Centre::Image => [(width as f32 - 1.0) / 2.0, (height as f32 - 1.0) / 2.0],
            Centre::Published => [height as f32 / 2.0, width as f32 / 2.0],
        }
    }
}

impl ImageShifter {
    /// Motions `[row, 3]` for images of `height` × `width`, by where head and eyes point `[row, variable]`: Δx (right) and Δy
    /// (down) in pixels and α (clockwise) in radians; and in training the moments for [`ImageShifter::keep_moments`].
    pub fn motions(
        &self,
        pointed: Tensor<2>,
        [height, width]: [usize; 2],
        pass: Pass,
    ) -> (Tensor<2>, Vec<Moments>) {
        let mut moments = Vec::new();
        let shares = self.layers.iter().enumerate().fold(pointed, |x, (index, layer)| {
            layer.forward(x, pass, |x| if index == 0 { x } else { tanh(x) }, &mut moments)
        });
        let reach = self.config.reach as f32;
        let farthest = [reach * width as f32, reach * height as f32, self.config.turn.to_radians() as f32];
        let farthest = Tensor::<1>::from_floats(farthest, &shares.device()).unsqueeze::<2>();
        ((tanh(shares) + self.bias.val().unsqueeze()) * farthest, moments)
    }

    /// Images `[row, channel, height, width]`, each turned and moved by its motion `[row, 3]`.
    pub fn moved(&self, images: Tensor<4>, motions: Tensor<2>) -> Tensor<4> {
        let [_, _, height, width] = images.dims();
        let around = self.config.around(height, width);
        ops::warp(images.permute([0, 2, 3, 1]), motions, around).permute([0, 3, 1, 2])
    }

    /// Moves the running statistics towards the moments of one training batch.
    #[must_use]
    pub fn keep_moments(mut self, moments: &[Moments]) -> Self {
        self.layers.iter_mut().zip(moments).for_each(|(layer, moments)| layer.keep(moments));
        self
    }
}
