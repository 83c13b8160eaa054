//! Behaviour changes the gain of each neuron.

use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Result, in_range};
use crate::model::perceptron::{Perceptron, Squash};
use crate::ops::{Activation, activate};

/// A small network from behaviour to a gain for each neuron.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GainConfig {
    /// Layers; the last has one unit per neuron.
    pub layers: usize,
    /// Units of every layer but the last.
    pub hidden: usize,
    /// Whether the last layer is rectified too, which keeps every gain at 1 or above, as in the peer (`papers/sensorium.md#shifter-modulator-loss`).
    pub rectified: bool,
}

/// As in the Sensorium toolkit (`papers/sensorium.md#shifter-modulator-loss`).
impl Default for GainConfig {
    fn default() -> Self {
        Self { layers: 2, hidden: 10, rectified: true }
    }
}

/// Gain `ELU(network(behaviour)) + 1` of the drive of each neuron.
///
/// # Source
/// The MLP modulator of the Sensorium toolkit (`papers/sensorium.md#shifter-modulator-loss`); with `rectified = false` a gain can also fall below 1.
#[derive(Module, Debug)]
pub struct Gain {
    network: Perceptron,
}

impl GainConfig {
    /// Checks that all numbers can be used.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key.
    pub fn check(&self) -> Result<()> {
        in_range("model.modulator.layers", self.layers as f64, 1.0..=16.0)?;
        in_range("model.modulator.hidden", self.hidden as f64, 1.0..=4096.0)
    }

    /// A modulator of `variables` of behaviour with freshly drawn weights.
    pub fn init(&self, variables: usize, neurons: usize, rng: &mut ChaCha8Rng, device: &Device) -> Gain {
        let last = if self.rectified { Squash::Relu } else { Squash::Identity };
        Gain { network: Perceptron::new(&self.sizes(variables, neurons), Squash::Relu, last, rng, device) }
    }

    /// Units of all layers, inputs first.
    pub(super) fn sizes(&self, variables: usize, neurons: usize) -> Vec<usize> {
        let mut sizes = vec![self.hidden; self.layers + 1];
        (sizes[0], sizes[self.layers]) = (variables, neurons);
        sizes
    }
}

impl Gain {
    /// Drive `[batch, neuron]` times the gain for behaviour `[batch, variable]`.
    pub fn forward(&self, drive: Tensor<2>, behaviour: Tensor<2>) -> Tensor<2> {
        drive * activate(self.network.forward(behaviour), Activation::Elu).add_scalar(1.0)
    }

    /// `mean |w|` over the weights of the last layer (`papers/sensorium.md#shifter-modulator-loss`).
    pub fn l1(&self) -> Option<Tensor<1>> {
        self.network.last_weight().map(|weight| weight.abs().mean())
    }
}
