//! Where the eye looks moves where every neuron reads the features.

use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Result, in_range};
use crate::model::perceptron::{Perceptron, Squash};

/// A small network from pupil centre to a shift of all readout positions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadoutShifterConfig {
    /// Layers, each followed by tanh.
    pub layers: usize,
    /// Units of every layer but the last.
    pub hidden: usize,
}

/// As in the Sensorium competition (`papers/sensorium.md#shifter-modulator-loss`).
impl Default for ReadoutShifterConfig {
    fn default() -> Self {
        Self { layers: 3, hidden: 5 }
    }
}

/// `tanh` layers from pupil centre `[batch, variable]` to shift `[batch, 2]`.
///
/// # Source
/// The MLP shifter of the Sensorium competition (`papers/sensorium.md#shifter-modulator-loss`), after Sinz et al. 2018: layers of 5, 5 and 2 units.
#[derive(Module, Debug)]
pub struct ReadoutShifter {
    network: Perceptron,
}

impl ReadoutShifterConfig {
    /// Checks that all numbers can be used.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key.
    pub fn check(&self) -> Result<()> {
        in_range("model.shifter.layers", self.layers as f64, 1.0..=16.0)?;
        in_range("model.shifter.hidden", self.hidden as f64, 1.0..=4096.0)
    }

    /// A shifter by `variables` of the pupil, with freshly drawn weights.
    pub fn init(&self, variables: usize, rng: &mut ChaCha8Rng, device: &Device) -> ReadoutShifter {
        ReadoutShifter {
            network: Perceptron::new(&self.sizes(variables), Squash::Tanh, Squash::Tanh, rng, device),
        }
    }

    /// Units of all layers, inputs first.
    pub(super) fn sizes(&self, variables: usize) -> Vec<usize> {
        let mut sizes = vec![self.hidden; self.layers + 1];
        (sizes[0], sizes[self.layers]) = (variables, 2);
        sizes
    }
}

impl ReadoutShifter {
    /// Shift `[batch, 2]` (x along the width, y along the height; −1 to 1 is the whole map) for pupil centres
    /// `[batch, variable]`, scaled.
    pub fn forward(&self, pupil: Tensor<2>) -> Tensor<2> {
        self.network.forward(pupil)
    }
}
