//! Behaviour adds to the drive of each neuron, or multiplies it, by a linear function of its own.

use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::model::affine::Affine;
use crate::model::weights::replace;

/// Options of the linear modulator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearConfig {
    /// What is made of drive and behaviour.
    pub how: How,
}

/// What is made of the drive v and of a linear function of behaviour b.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// `v + w·b + c`.
    Add,
    /// `v · |w·b + c|`.
    Multiply,
}

/// Additive.
impl Default for LinearConfig {
    fn default() -> Self {
        Self { how: How::Add }
    }
}

/// `v + w·b + c` or `v · |w·b + c|` for each neuron, which starts as v.
///
/// # Source
/// The models of position of Parker et al. 2022 (`papers/xu2023.md#linear-models`).
#[derive(Module, Debug)]
pub struct Linear {
    layer: Affine,
    #[module(skip)]
    how: How,
}

impl LinearConfig {
    /// A modulator by `variables` of behaviour, whose weights are 0.
    pub fn init(&self, variables: usize, neurons: usize, rng: &mut ChaCha8Rng, device: &Device) -> Linear {
        let Affine { weight, bias } = Affine::init(variables, neurons, rng, device);
        let start = if self.how == How::Add { 0.0 } else { 1.0 };
        let layer = Affine {
            weight: replace(weight, |drawn| drawn.zeros_like()),
            bias: replace(bias, |drawn| drawn.full_like(start)),
        };
        Linear { layer, how: self.how }
    }
}

impl Linear {
    /// Drive `[batch, neuron]` with behaviour `[batch, variable]`.
    pub fn forward(&self, drive: Tensor<2>, behaviour: Tensor<2>) -> Tensor<2> {
        let by = self.layer.forward(behaviour);
        match self.how {
            How::Add => drive + by,
            How::Multiply => drive * by.abs(),
        }
    }

    /// `mean |w|`.
    pub fn l1(&self) -> Tensor<1> {
        self.layer.weight.val().abs().mean()
    }
}
