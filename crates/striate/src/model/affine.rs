//! A fully connected layer, by itself and behind a batch normalisation.

use burn::module::Param;
use burn::prelude::*;
use rand_chacha::ChaCha8Rng;

use super::norm::{BatchNormConfig, Norm};
use super::pass::Pass;
use super::weights::trainable;
use crate::ops::{self, Moments};
use crate::random::uniform;

/// `x · weightᵀ + bias`.
#[derive(Module, Debug)]
pub(super) struct Affine {
    /// `[out, in]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
}

/// `norm(x) · weightᵀ + bias`.
#[derive(Module, Debug)]
pub(super) struct NormedAffine {
    norm: Norm,
    /// `[out, in]`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
}

impl Affine {
    /// Weights and biases uniform within `±1/√inputs` (`papers/sensorium.md#conventions`).
    pub fn init(inputs: usize, outputs: usize, rng: &mut ChaCha8Rng, device: &Device) -> Self {
        let bound = 1.0 / (inputs as f64).sqrt();
        Self {
            weight: trainable(uniform(rng, outputs * inputs, bound), [outputs, inputs], device),
            bias: trainable(uniform(rng, outputs, bound), [outputs], device),
        }
    }

    /// `[row, out]` of rows `[row, in]`.
    pub fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        ops::linear(rows, self.weight.val(), self.bias.val())
    }
}

impl NormedAffine {
    /// As [`Affine::init`], behind a fresh normalisation.
    pub fn init(inputs: usize, outputs: usize, rng: &mut ChaCha8Rng, device: &Device) -> Self {
        let Affine { weight, bias } = Affine::init(inputs, outputs, rng, device);
        Self { norm: Norm::init(inputs, true, true, device), weight, bias }
    }

    /// Says 0 to everything, and can learn.
    pub fn clear(&mut self, device: &Device) {
        let [outputs, inputs] = self.weight.val().dims();
        self.weight = trainable(vec![0.0; outputs * inputs], [outputs, inputs], device);
        self.bias = trainable(vec![0.0; outputs], [outputs], device);
    }

    /// `[row, out]` of rows `[row, in]`, whose moments are kept in training, after `between` the normalisation and the layer.
    pub fn forward(
        &self,
        rows: Tensor<2>,
        pass: Pass,
        between: impl FnOnce(Tensor<2>) -> Tensor<2>,
        moments: &mut Vec<Moments>,
    ) -> Tensor<2> {
        let (normed, own) = self.norm.rows(&BatchNormConfig::default(), rows, pass);
        moments.extend(own);
        ops::linear(between(normed), self.weight.val(), self.bias.val())
    }

    /// Moves the running statistics towards the moments of one training batch.
    pub fn keep(&mut self, moments: &Moments) {
        self.norm.keep(moments, &BatchNormConfig::default());
    }

    /// Number of weights, statistics included.
    pub fn size(inputs: usize, outputs: usize) -> f64 {
        (4 * inputs) as f64 + (inputs as f64 + 1.0) * outputs as f64
    }
}
