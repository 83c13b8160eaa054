//! A small fully connected network: the part that shifters, modulators and position predictors share.

use burn::prelude::*;
use burn::tensor::activation::{elu, relu, tanh};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::model::affine::Affine;

/// Nonlinearity between the layers of a small network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Squash {
    /// None.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `x` above 0, `eˣ − 1` below.
    Elu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Squash {
    fn forward(self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Identity => x,
            Self::Relu => relu(x),
            Self::Elu => elu(x, 1.0),
            Self::Tanh => tanh(x),
        }
    }
}

/// Fully connected layers, a nonlinearity after each.
#[derive(Module, Debug)]
pub struct Perceptron {
    layers: Vec<Affine>,
    #[module(skip)]
    between: Squash,
    #[module(skip)]
    last: Squash,
}

/// Number of weights of layers of `sizes` (inputs first).
pub fn size(sizes: &[usize]) -> f64 {
    sizes.windows(2).map(|pair| (pair[0] as f64 + 1.0) * pair[1] as f64).sum()
}

impl Perceptron {
    /// Layers of `sizes` (inputs first), weights and biases uniform within `±1/√inputs` (`papers/sensorium.md#conventions`), with `between`
    /// after each layer but the last and `last` after that.
    pub fn new(
        sizes: &[usize],
        between: Squash,
        last: Squash,
        rng: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let layers = sizes.windows(2).map(|pair| Affine::init(pair[0], pair[1], rng, device));
        Self { layers: layers.collect(), between, last }
    }

    /// `[row, out]` of `x` `[row, in]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let last = self.layers.len().saturating_sub(1);
        self.layers.iter().enumerate().fold(x, |x, (index, layer)| {
            let squash = if index == last { self.last } else { self.between };
            squash.forward(layer.forward(x))
        })
    }

    /// Weights `[out, in]` of the last layer.
    pub fn last_weight(&self) -> Option<Tensor<2>> {
        self.layers.last().map(|layer| layer.weight.val())
    }
}
